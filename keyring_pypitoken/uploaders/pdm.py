"""What is known about pdm.

If keyring has nothing, pdm asks the index for Trusted Publishing, and sends a password from netrc with that request;
then it prompts. If the `keyring` command prints anything (in the mode `creds` two lines, the user name first), pdm
sends that and looks no further; a single line in the mode `creds` makes it give up keyring and go on.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, display_name, is_directory, list_directory
from keyring_pypitoken.lookup import BUILT_IN, TOKEN_USERNAME
from keyring_pypitoken.text import quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.legacy import Address, Credentials, Setting, Sources, Uploader, first, read_table
from keyring_pypitoken.uploaders.options import Grammar

if TYPE_CHECKING:
    from keyring_pypitoken.uploaders.legacy import Table
    from keyring_pypitoken.uploaders.options import Parsed
    from keyring_pypitoken.uploaders.uploader import Lookups, Process

_PUBLISH = Grammar(
    "-p/--project -k/--skip -r/--repository -u/--username -P/--password -i/--identity -c/--comment -d/--dest "
    "--ca-certs",
    "-v/--verbose -q/--quiet -S/--sign --no-build --skip-existing --no-verify-ssl --no-very-ssl -h/--help",
    abbreviations=True,
)
_BY_NAME = {repository.name: repository.url for repository in BUILT_IN}
_UNNAMED = "__unknown__"  # pdm's name for a repository that was given by its URL
_DISTRIBUTIONS = (".whl", ".tar.gz", ".tar.bz2", ".zip")  # it stops at any other file


class Pdm(Uploader):
    """pdm: asks in its own process if keyring is in its environment, else through the command; argparse."""

    name = "pdm"
    typical = ("publish",)
    observed = "2.29.3"
    source = (
        "pdm/core.py, cli/commands/publish/*.py, models/auth.py, project/config.py, _types.py; unearth 0.18.3 auth.py"
    )
    module = "pdm"
    uses_command = True
    lookups_per_upload = 6
    hides_stderr = True
    goes_on = True
    saves = "the host and port (`pdm publish`), `pdm-repository-NAME` (`pdm config`)"
    asks_for = ("pdm-repository-NAME", "{url}", "{host}")
    kept_services = ("pdm-repository-",)
    before_keyring = (
        "-P, PDM_PUBLISH_PASSWORD, `password` in its settings (user, site, project), with a user name",
        "a user name and password in the URL",
    )
    token_variables = {"PDM_PUBLISH_USERNAME": TOKEN_USERNAME, "PDM_PUBLISH_PASSWORD": "{token}"}  # noqa: RUF012
    address_variables = {"PDM_PUBLISH_REPO": "{url}"}  # noqa: RUF012
    options = Grammar(
        "-c/--config",
        "-V/--version -v/--verbose -q/--quiet --no-cache -I/--ignore-python --pep582 -n/--non-interactive -h/--help",
        abbreviations=True,
    )
    commands = {"publish": _PUBLISH}  # noqa: RUF012
    subcommands = (
        "add build cache completion config export fix import info init install list lock new outdated publish python "
        "py remove run search self plugin show sync update use venv"
    )
    upload_functions = {  # noqa: RUF012 - never changed
        "pdm.cli.commands.publish.Command.handle": lambda variables: variables["package_files"]
    }

    def is_uploading(self, process: Process) -> bool:
        return super().is_uploading(process) and not process.command.before.has("--pep582")

    def is_saving(self, process: Process) -> bool:
        return process.command.name == "config"

    def find_project(self, process: Process) -> Path:
        return _Run(process).project

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        run = _Run(process)
        if not run.publish.has("--no-build"):
            return None
        dest = run.publish.last("--dest")
        directory = Path(os.path.normpath(run.project / ("dist" if dest is None else dest)))
        name = display_name(directory, process.directory)
        if not is_directory(directory, name):
            raise Refusal(f"{name} is not a directory, and pdm has nothing to upload: build there first.")
        files = [file for file in list_directory(directory, name) if not file.endswith(".asc")]
        strange = next((file for file in files if not file.endswith(_DISTRIBUTIONS)), None)
        if strange is not None:
            raise Refusal(f"{name} holds {quoted(strange)}, which pdm refuses to upload: remove it.")
        return tuple(directory / file for file in sorted(files, key=lambda file: not file.endswith(".whl")))

    def find_address(self, process: Process) -> Address:
        return _Run(process).repository[0]

    def find_lookups(self, process: Process, address: Address) -> Lookups:
        run = _Run(process)
        username, password = run.username.value, run.password.value
        keys = [] if username is not None and password is not None else [f"pdm-repository-{address.name}"]
        if not password and not _holds_password(address.url):
            keys += [address.url, urlparse(address.url).netloc]
        users = (username, TOKEN_USERNAME if username is None else username)
        return tuple(dict.fromkeys((key, user) for key in keys for user in users))

    def find_credentials(self, process: Process, address: Address) -> Credentials:
        run = _Run(process)
        username, password = (given._replace(value=given.value or None) for given in (run.username, run.password))
        if password.value is None and _holds_password(address.url):
            password = Setting(urlparse(address.url).password, address.origin)
            return Credentials(username, password, in_url=True)
        return Credentials(username, password)


class _Run:
    """One run: its command line, its environment, its settings."""

    def __init__(self, process: Process) -> None:
        command = process.command
        self.directory = process.directory
        self.environ = process.environ
        self.before = Sources(command.before, process.environ)
        self._words = command.before.rest
        self.typed = Sources(_PUBLISH.parse(self._words), process.environ)  # other commands name the project alike

    @cached_property
    def project(self) -> Path:
        named = self.typed.find("--project", "PDM_PROJECT").value
        if named:
            return Path(os.path.normpath(self.directory / named))
        above = climb(self.directory, ("pyproject.toml",))
        return next((found for found, names in above if names), self.directory)

    @cached_property
    def publish(self) -> Parsed:
        """The arguments of `publish`: those in the project's settings, then those that were typed."""
        content, name = read_table(self.project / "pyproject.toml", self.directory)
        added = entry(content, "tool", "pdm", "options", "publish") or []
        if not isinstance(added, list) or not all(isinstance(word, str) for word in added):
            raise Refusal(f"`tool.pdm.options.publish` in {name} is not an array of strings: correct it there.")
        return _PUBLISH.parse((*added, *self._words))

    @cached_property
    def repository(self) -> tuple[Address, list[Table]]:
        """Where it uploads to, and the repository's tables in the settings, the most important first."""
        repo, origin = self._choose("--repository", "PDM_PUBLISH_REPO")
        if repo is None:
            repo, origin = "pypi", "default"
        layers = self._layers()
        if "://" in repo:
            named = [
                next((name for name in layer if first([layer[name]], "url").value == repo), "") for layer in layers
            ]
            tables = [layer[name] for layer, name in zip(layers, named, strict=True) if name]
            return Address(repo, named[0] or _UNNAMED, origin), tables
        tables = [layer[repo] for layer in layers if repo in layer]
        url = first(tables, "url").value or _BY_NAME.get(repo)
        if not url:
            raise Refusal(
                f"{origin} names the repository {quoted(repo)}, which has no URL: use `pypi`, `testpypi` or a URL, or "
                f"run `pdm config repository.NAME.url URL`."
            )
        return Address(url, repo, origin), tables

    @property
    def username(self) -> Setting:
        chosen = self._choose("--username", "PDM_PUBLISH_USERNAME")
        return first(self.repository[1], "username") if chosen.value is None else chosen

    @property
    def password(self) -> Setting:
        chosen = self._choose("--password", "PDM_PUBLISH_PASSWORD")
        return first(self.repository[1], "password") if chosen.value is None else chosen

    def _choose(self, option: str, variable: str) -> Setting:
        """Return what an option says, unless that is empty, else its variable."""
        return Sources(self.publish, self.environ).find(option if self.publish.last(option) else "", variable)

    def _layers(self) -> tuple[dict[str, Table], dict[str, Table]]:
        """Return the repositories in the project's settings, and in the user's, which replace the machine's."""
        import platformdirs

        named = self.before.options.last("--config") or self.environ.get("PDM_CONFIG_FILE")
        user = self.directory / (named or Path(platformdirs.user_config_dir("pdm"), "config.toml"))
        site = Path(platformdirs.site_config_dir("pdm"), "config.toml")
        return self._repositories(self.project / "pdm.toml"), self._repositories(site) | self._repositories(user)

    def _repositories(self, file: Path) -> dict[str, Table]:
        content, name = read_table(file, self.directory)
        tables = entry(content, "repository")
        return {key: (table, name) for key, table in tables.items()} if isinstance(tables, dict) else {}


def _holds_password(url: str) -> bool:
    parts = urlparse(url)
    return parts.username is not None and parts.password is not None


UPLOADER = Pdm()
