"""pdm: asks in its own process if keyring is in its environment, else through the command; argparse.

If keyring has nothing, pdm asks the index for Trusted Publishing, and sends a password from netrc with that request;
then it prompts. If the `keyring` command prints anything (in the mode `creds` two lines, the user name first), pdm
sends that and looks no further; a single line in the mode `creds` makes it give up keyring and go on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, display_name, is_directory, list_directory
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.options import Grammar, Parsed
from keyring_pypitoken.uploaders.settings import URLS, Setting, Source, Sources, Table, checked_url, first, read_table
from keyring_pypitoken.uploaders.uploader import Address, Target, Uploader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyring_pypitoken.uploaders.uploader import Process

_PUBLISH = Grammar(
    "-p/--project -k/--skip -r/--repository -u/--username -P/--password -i/--identity -c/--comment -d/--dest "
    "--ca-certs",
    "-v/--verbose -q/--quiet -S/--sign --no-build --skip-existing --no-verify-ssl --no-very-ssl -h/--help",
    abbreviations=True,
)
_UNNAMED = "__unknown__"  # pdm's name for a repository that was given by its URL
_DISTRIBUTIONS = (".whl", ".tar.gz", ".tar.bz2", ".zip")  # it stops at any other file


class Pdm(Uploader):
    """The project's pyproject.toml may add options to each command, and pdm.toml defines repositories."""

    name = "pdm"
    typical = ("publish",)
    module = "pdm"
    uses_command = True
    hides_stderr = True
    token_variables = {"PDM_PUBLISH_USERNAME": TOKEN_USERNAME, "PDM_PUBLISH_PASSWORD": "{token}"}
    address_variables = {"PDM_PUBLISH_REPO": "{url}"}
    options = Grammar(
        "-c/--config",
        "-V/--version -v/--verbose -q/--quiet --no-cache -I/--ignore-python --pep582 -n/--non-interactive -h/--help",
        abbreviations=True,
    )
    commands = {"publish": _PUBLISH}
    subcommands = (
        "add build cache completion config export fix import info init install list lock new outdated publish python "
        "py remove run search self plugin show sync update use venv"
    )
    upload_functions = {"pdm.cli.commands.publish.Command.handle": lambda variables: variables["package_files"]}

    def is_saving(self, process: Process) -> bool:
        return process.command.name == "config"

    def find_project(self, process: Process) -> Path:
        named = Sources(process.command.after, process.environ).find("--project", "PDM_PROJECT").value
        if named:
            return Path(os.path.normpath(process.directory / named))
        above = climb(process.directory, ("pyproject.toml",))
        return next((directory for directory, present in above if present), process.directory)

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        """Return all files of `--dest`, wheels first; None if it builds them."""
        run = _Run.of(process)
        if not run.both.has("--no-build"):
            return None
        dest = run.both.last("--dest")
        directory = Path(os.path.normpath(run.project / ("dist" if dest is None else dest)))
        name = display_name(directory, process.directory)
        if not is_directory(directory, name):
            raise Refusal(f"{name} is not a directory, and pdm has nothing to upload: build there first.")
        files = [file for file in list_directory(directory, name) if not file.endswith(".asc")]
        strange = next((file for file in files if not file.endswith(_DISTRIBUTIONS)), None)
        if strange is not None:
            raise Refusal(f"{name} holds {quoted(strange)}, which pdm refuses to upload: remove it.")
        return tuple(directory / file for file in sorted(files, key=lambda file: not file.endswith(".whl")))

    def target(self, process: Process) -> Target:
        run = _Run.of(process)
        repository = run.choose("--repository", "PDM_PUBLISH_REPO")
        address, tables = _find_repository(repository, run)
        username, password = (
            run.choose(f"--{key}", f"PDM_PUBLISH_{key.upper()}").otherwise(first(tables, key))
            for key in ("username", "password")
        )
        url = urlparse(address.url)
        in_url = url.username is not None and url.password is not None
        lookup = None if password.value or in_url else (address.url, username.value)
        if not password.value:
            password = Setting(url.password if in_url else None, address.source._replace(kind="url"))
        if username.value is None:
            password = Setting()  # what keyring has for the repository's name wins
        username = username if username.value else Setting()
        return Target(address, username, password, lookup, checkout=tuple(_choices(run, tables)))


class _Run(Record):
    """One run: its project, what was typed, that with what the project adds, and the file that adds it."""

    process: Process
    project: Path
    typed: Parsed
    both: Parsed
    added_by: Source

    @classmethod
    def of(cls, process: Process) -> _Run:
        project = UPLOADER.find_project(process)
        table = read_table(project / "pyproject.toml", process.directory)
        added = entry(table.content, "tool", "pdm", "options", "publish") or []
        if not isinstance(added, list) or not all(isinstance(word, str) for word in added):
            raise Refusal(f"`tool.pdm.options.publish` in {table.name} is not an array of strings: correct it there.")
        both = _PUBLISH.parse((*added, *process.command.before.rest))
        added_by = Source("file", table.name, "tool.pdm.options.publish", in_checkout=True)
        return cls(process, project, process.command.after, both, added_by)

    def choose(self, option: str, variable: str) -> Setting:
        """Return what an option says, unless that is empty, else its variable."""
        chosen = Sources(self.both, self.process.environ).find(option if self.both.last(option) else "", variable)
        is_added = chosen.source.kind == "option" and self.typed.last(option) is None
        return chosen._replace(source=self.added_by) if is_added else chosen


def _find_repository(chosen: Setting, run: _Run) -> tuple[Address, list[Table]]:
    """Return where it uploads to, and the repository's tables in the settings, the most important first."""
    repo = "pypi" if chosen.value is None else chosen.value
    layers = _find_layers(run)
    if "://" in repo:
        named = [next((name for name in layer if first([layer[name]], "url").value == repo), "") for layer in layers]
        tables = [layer[name] for layer, name in zip(layers, named, strict=True) if name]
        return Address(checked_url(repo, chosen.source), named[0] or _UNNAMED, chosen.source), tables
    tables = [layer[repo] for layer in layers if repo in layer]
    url = first(tables, "url")
    if not url.value:
        url = Setting(URLS.get(repo), chosen.source)
    if url.value is None:
        raise Refusal(
            f"{chosen.source} names the repository {quoted(repo)}, which has no URL: use `pypi`, `testpypi` or a URL, "
            "or run `pdm config repository.NAME.url URL`."
        )
    return Address(checked_url(url.value, url.source), repo, url.source), tables


def _find_layers(run: _Run) -> tuple[dict[str, Table], dict[str, Table]]:
    """Return the repositories in the project's settings, and in the user's, which replace the machine's."""
    import platformdirs

    here = run.process.directory
    named = run.process.command.before.last("--config") or run.process.environ.get("PDM_CONFIG_FILE")
    user = here / (named or Path(platformdirs.user_config_dir("pdm"), "config.toml"))
    site = Path(platformdirs.site_config_dir("pdm"), "config.toml")
    project = _repositories(read_table(run.project / "pdm.toml", here, in_checkout=True))
    return project, _repositories(read_table(site, here)) | _repositories(read_table(user, here))


def _repositories(table: Table) -> dict[str, Table]:
    tables = entry(table.content, "repository")
    return {
        name: table._replace(content=content) for name, content in (tables.items() if isinstance(tables, dict) else ())
    }


def _choices(run: _Run, tables: list[Table]) -> Iterator[Setting]:
    """Yield what a checkout sets: no check of the certificate, or a certificate that it brings itself."""
    if run.both.has("--no-verify-ssl", "--no-very-ssl") and not run.typed.has("--no-verify-ssl", "--no-very-ssl"):
        yield Setting("--no-verify-ssl", run.added_by)
    chosen = run.choose("--ca-certs", "PDM_PUBLISH_CA_CERTS")
    if chosen.source.in_checkout:
        yield chosen
    for table in tables[:1]:
        if table.in_checkout and entry(table.content, "verify_ssl") is False:
            yield Setting("false", Source("file", table.name, "verify_ssl", in_checkout=True))
        if table.in_checkout and chosen.value is None and first([table], "ca_certs").value:
            yield first([table], "ca_certs")


UPLOADER = Pdm()
