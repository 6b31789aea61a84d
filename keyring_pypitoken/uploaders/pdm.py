"""What is known about pdm.

If keyring has nothing, pdm asks the index for Trusted Publishing, and sends a password from netrc with that request;
then it prompts. If the `keyring` command prints anything (in the mode `creds` two lines, the user name first), pdm
sends that and looks no further; a single line in the mode `creds` makes it give up keyring and go on.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from urllib.parse import urlparse

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, display_name, is_directory, list_directory
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.text import printable, quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import read_toml
from keyring_pypitoken.uploaders.uploader import (
    Address,
    Problem,
    Uploader,
    other_user,
    password_taken_first,
    taken_first,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyring_pypitoken.uploaders.options import Parsed
    from keyring_pypitoken.uploaders.uploader import Process

_MAIN = Grammar(
    "-c/--config",
    "-V/--version -v/--verbose -q/--quiet --no-cache -I/--ignore-python --pep582 -n/--non-interactive -h/--help",
    abbreviations=True,
)
_PUBLISH = Grammar(
    "-p/--project -k/--skip -r/--repository -u/--username -P/--password -i/--identity -c/--comment -d/--dest "
    "--ca-certs",
    "-v/--verbose -q/--quiet -S/--sign --no-build --skip-existing --no-verify-ssl --no-very-ssl -h/--help",
    abbreviations=True,
)
_REPOSITORIES = {"pypi": "https://upload.pypi.org/legacy/", "testpypi": "https://test.pypi.org/legacy/"}
_UNNAMED = "__unknown__"  # pdm's name for a repository that was given by its URL
_DISTRIBUTIONS = (".whl", ".tar.gz", ".tar.bz2", ".zip")  # it stops at any other file


class Pdm(Uploader):
    """pdm: asks in its own process if keyring is in its environment, else through the command; argparse."""

    name = "pdm"
    typical = ("publish",)
    observed = "2.29.3"
    source = (
        "pdm 2.29.3: core.py, cli/commands/publish/*.py, models/auth.py, project/config.py, _types.py; "
        "unearth 0.18.3: auth.py"
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
    token_variables: ClassVar[Mapping[str, str]] = {
        "PDM_PUBLISH_USERNAME": TOKEN_USERNAME,
        "PDM_PUBLISH_PASSWORD": "{token}",
    }
    address_variables: ClassVar[Mapping[str, str]] = {"PDM_PUBLISH_REPO": "{url}"}

    def is_uploading(self, process: Process) -> bool:
        run = _Run(process)
        return run.command == "publish" and not any(
            parsed.has(name) for parsed in (run.main, run.typed) for name in ("--help", "--version", "--pep582")
        )

    def is_saving(self, process: Process) -> bool:
        return _Run(process).command == "config"

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
        found = _Run(process).repository
        return Address(found.url, found.name, found.origin)

    def find_lookups(self, process: Process, address: Address) -> tuple[tuple[str, str | None], ...]:
        run = _Run(process)
        username, password = run.username.value, run.password.value
        keys = [] if username is not None and password is not None else [f"pdm-repository-{address.name}"]
        if not password and not _holds_password(address.url):
            keys += [address.url, urlparse(address.url).netloc]
        users = (username, TOKEN_USERNAME if username is None else username)
        return tuple(dict.fromkeys((key, user) for key in keys for user in users))

    def find_problems(self, process: Process, address: Address) -> list[Problem]:
        run = _Run(process)
        try:
            username, password = run.username, run.password
        except Refusal as refusal:
            return [Problem.of_refusal(refusal)]
        found = [password_taken_first("pdm", password.origin)] if password.value else []
        if _holds_password(address.url):
            what = f"the URL in {printable(address.origin)} holds a password"
            found.append(taken_first("pdm", what, "delete it there"))
        if username.value and username.value != TOKEN_USERNAME:
            found.append(other_user("pdm", username.value, username.origin))
        return found


_Table = tuple[dict[str, object], str]  # what a settings file says of a repository, and the file's name
_Tables = dict[str, _Table]


class _Value(NamedTuple):
    value: str | None
    origin: str


class _Repository(NamedTuple):
    """A repository, and the settings that it was made from; the first that says something counts."""

    name: str
    url: str
    origin: str
    tables: list[_Table]


class _Run:
    """One run of pdm: its command line, its environment, its settings."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.main = _MAIN.parse(process.arguments, stop=True)
        self.command = next(iter(self.main.positional_args), "")
        self.typed = _PUBLISH.parse(self.main.rest)

    @cached_property
    def project(self) -> Path:
        named = self.typed.last("--project")
        if named is None:
            named = self.process.environ.get("PDM_PROJECT")
        if named:
            return Path(os.path.normpath(self.process.directory / named))
        above = climb(self.process.directory, ("pyproject.toml",))
        return next((found for found, names in above if names), self.process.directory)

    @cached_property
    def publish(self) -> Parsed:
        """The arguments of `publish`: those in the project's settings, then those that were typed."""
        file = self.project / "pyproject.toml"
        name = display_name(file, self.process.directory)
        added = entry(read_toml(file, name), "tool", "pdm", "options", "publish") or []
        if not isinstance(added, list) or not all(isinstance(word, str) for word in added):
            raise Refusal(f"`tool.pdm.options.publish` in {name} is not an array of strings: correct it there.")
        return _PUBLISH.parse((*added, *self.main.rest))

    @cached_property
    def repository(self) -> _Repository:
        wanted = self._choose("--repository", "PDM_PUBLISH_REPO")
        repo, origin = ("pypi", "default") if wanted.value is None else (wanted.value, wanted.origin)
        if "://" in repo:
            named = [_by_url(tables, repo) for tables in self._layers]
            tables = [layer[name] for layer, name in zip(self._layers, named, strict=True) if name]
            return _Repository(named[0] or _UNNAMED, repo, origin, tables)
        tables = [layer[repo] for layer in self._layers if repo in layer]
        url = _first(tables, "url").value or _REPOSITORIES.get(repo)
        if not url:
            raise Refusal(
                f"{origin} names the repository {quoted(repo)}, which has no URL: use `pypi`, `testpypi` or a URL, or "
                f"run `pdm config repository.NAME.url URL`."
            )
        return _Repository(repo, url, origin, tables)

    @cached_property
    def username(self) -> _Value:
        chosen = self._choose("--username", "PDM_PUBLISH_USERNAME")
        return _first(self.repository.tables, "username") if chosen.value is None else chosen

    @cached_property
    def password(self) -> _Value:
        chosen = self._choose("--password", "PDM_PUBLISH_PASSWORD")
        return _first(self.repository.tables, "password") if chosen.value is None else chosen

    def _choose(self, option: str, variable: str) -> _Value:
        """Return what an option says, unless that is empty, else its variable."""
        value = self.publish.last(option)
        return _Value(value, option) if value else _Value(self.process.environ.get(variable), variable)

    @cached_property
    def _layers(self) -> tuple[_Tables, _Tables]:
        """The repositories in the project's settings, and those in the user's, which replace the site's."""
        import platformdirs

        named = self.main.last("--config") or self.process.environ.get("PDM_CONFIG_FILE")
        user = self.process.directory / (named or Path(platformdirs.user_config_dir("pdm"), "config.toml"))
        site = Path(platformdirs.site_config_dir("pdm"), "config.toml")
        return self._read(self.project / "pdm.toml"), self._read(site) | self._read(user)

    def _read(self, file: Path) -> _Tables:
        name = display_name(file, self.process.directory)
        content = read_toml(file, name).get("repository")
        tables = content.items() if isinstance(content, dict) else ()
        return {key: (table, name) for key, table in tables if isinstance(table, dict)}


def _first(tables: Iterable[_Table], key: str) -> _Value:
    found = ((table.get(key), file) for table, file in tables)
    return next((_Value(value, file) for value, file in found if isinstance(value, str)), _Value(None, ""))


def _by_url(tables: _Tables, url: str) -> str | None:
    return next((name for name, (table, _) in tables.items() if table.get("url") == url), None)


def _holds_password(url: str) -> bool:
    parts = urlparse(url)
    return parts.username is not None and parts.password is not None


ROOM = Pdm()
