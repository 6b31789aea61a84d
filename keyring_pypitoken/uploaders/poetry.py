"""poetry: `poetry publish`, and `poetry config pypi-token.NAME`, which stores a token."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, display_name, list_directory
from keyring_pypitoken.lookup import BUILT_IN, TOKEN_USERNAME
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import join_quoted, quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import (
    DEFAULT,
    Setting,
    Source,
    Sources,
    Table,
    checked_url,
    first,
    home,
    listed,
    read_table,
    user_config,
)
from keyring_pypitoken.uploaders.uploader import Address, Problem, Target, Uploader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyring_pypitoken.uploaders.uploader import Process

_GRAMMAR = Grammar(
    "-P/--project -C/--directory -r/--repository -u/--username -p/--password --cert --client-cert --dist-dir",
    "-h/--help -q/--quiet -v/--verbose -V/--version --ansi --no-ansi -n/--no-interaction --no-plugins --no-cache "
    "--build --dry-run --skip-existing --list --unset --local --migrate",
    abbreviations=True,  # of those that may stand before the subcommand, too
    equals=False,
)


class _Run(Record):
    """One run: what poetry calls the repository, its settings, its project's directory."""

    repository: str
    sources: Sources
    project: Path

    def get(self, *keys: str) -> tuple[object, Source]:
        """Return what a variable or the first file has for a key, and its source; None if nothing does."""
        variable = _variable(*keys)
        if variable in self.sources.environ:
            return self.sources.environ[variable], Source("variable", variable)
        for table in self.sources.tables:
            if (value := entry(table.content, *keys)) is not None:
                return value, Source("file", table.name, ".".join(keys), table.in_checkout)
        return None, DEFAULT

    def find(self, *keys: str) -> Setting:
        """Return the same, if it is text."""
        value, source = self.get(*keys)
        return Setting(value, source) if isinstance(value, str) else Setting()


class Poetry(Uploader):
    """Its options may stand before and behind the subcommand."""

    name = "poetry"
    typical = ("publish",)
    module = "poetry"
    token_variables = {"POETRY_PYPI_TOKEN_{name}": "{token}"}
    address_variables = {"POETRY_REPOSITORIES_{name}_URL": "{url}"}
    options = _GRAMMAR
    commands = {"publish": _GRAMMAR}
    upload_functions = {
        "poetry.publishing.publisher.Publisher.publish": lambda variables: (
            None if variables["dry_run"] else variables["self"].files
        )
    }

    def is_uploading(self, process: Process) -> bool:
        return super().is_uploading(process) and not process.command.after.positional_args

    def is_saving(self, process: Process) -> bool:
        words = process.command.after.positional_args
        stores = bool(words) and words[0].startswith(("pypi-token.", "http-basic.")) and any(words[1:])
        return process.command.name == "config" and stores and not process.command.after.has("--unset")

    def find_project(self, process: Process) -> Path:
        arguments = process.command.after
        # argparse drops an equals sign behind `-P`, and cleo none behind `-r`.
        directory, project = ((arguments.last(name) or ".").removeprefix("=") for name in ("--directory", "--project"))
        # It has changed into that directory, if this is poetry's own process.
        start = process.directory / ("." if self.module in sys.modules else directory)
        start = Path(os.path.normpath(start / project))
        return next((directory for directory, present in climb(start, ("pyproject.toml",)) if present), start)

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        """Return the wheels and sdists of the project's latest version in `--dist-dir`; None if it builds them."""
        arguments = process.command.after
        if arguments.has("--build"):
            return None
        project = self.find_project(process)
        directory = Path(os.path.normpath(project / (arguments.last("--dist-dir") or "dist")))
        shown = display_name(directory, process.directory)
        prefix = _distribution_name(read_table(project / "pyproject.toml", process.directory)) + "-"
        artifact = re.compile(re.escape(prefix) + r"([^-]*)(?:-.*\.whl|(?:-.*)?\.tar\.gz)", re.DOTALL)
        versions: dict[str, list[Path]] = {}
        for name in list_directory(directory, shown):
            if match := artifact.fullmatch(name):
                versions.setdefault(match[1], []).append(directory / name)
        if not versions:
            raise Refusal(f"poetry finds no files to publish in {shown}: build them, or name their directory.")
        return tuple(sorted(versions[_latest(versions, shown)], key=lambda path: (path.suffix == ".whl", path)))

    def target(self, process: Process) -> Target:
        run = _read(process, self.find_project(process))
        address = _find_address(run)
        given, password = (run.sources.find(option) for option in ("--username", "--password"))
        username = given
        if not (given.value and password.value):
            token = run.find("pypi-token", run.repository)
            username, password = Setting(TOKEN_USERNAME, token.source), Setting(token.value or None, token.source)
        enabled, source = run.get("keyring", "enabled")
        asks = enabled is None or (enabled.lower() in ("true", "1") if isinstance(enabled, str) else bool(enabled))
        problem = Problem(f"{source} is false, so poetry does not ask keyring", "`poetry config keyring.enabled true`")
        return Target(
            address,
            username,
            password,
            _lookup(run, address) if asks and password.value is None else None,
            problems=(*(() if asks else (problem,)), *_taken(run, asks=asks)),
            checkout=tuple(_choices(run)),
            takes_address=run.repository != "pypi",
        )


def _read(process: Process, project: Path) -> _Run:
    named = process.environ.get("POETRY_CONFIG_DIR")
    directory = process.directory / named if named else user_config("pypoetry", roaming=True)
    tables = (
        read_table(project / "poetry.toml", process.directory, in_checkout=True),
        *(read_table(directory / name, home(process.environ)) for name in ("auth.toml", "config.toml")),
    )
    arguments = process.command.after
    return _Run(arguments.last("--repository") or "pypi", Sources(arguments, process.environ, tables), project)


def _find_address(run: _Run) -> Address:
    if not run.sources.options.last("--repository"):
        return Address(BUILT_IN[0].url, "pypi", DEFAULT)
    url = run.find("repositories", run.repository, "url")
    if url.source.kind != "variable":
        source = _find_source(run, is_configured=url.value is not None)
        url = url if source.value is None else source
    if url.value is None:
        raise Refusal(
            f"poetry has no repository {quoted(run.repository)}: define it with `poetry config repositories.NAME URL`, "
            "or correct its name."
        )
    address = checked_url(url.value, url.source)
    return Address(address + "/" if address.endswith("/legacy") else address, run.repository, url.source)


def _lookup(run: _Run, address: Address) -> tuple[str, str | None] | None:
    user, password = (run.find("http-basic", run.repository, key).value for key in ("username", "password"))
    return (address.url, user) if password is None else None


def _taken(run: _Run, *, asks: bool) -> Iterator[Problem]:
    """Yield what it takes before it asks keyring for the URL."""
    # PyPI and TestPyPI are found by their names, before it comes to the URL.
    if asks and run.repository in [repository.name for repository in BUILT_IN]:
        return
    for key in ("username", "password"):
        setting = run.find("http-basic", run.repository, key)
        if setting.value and setting.value != TOKEN_USERNAME:
            problem = f"{setting.source} is set, and poetry takes it before it asks keyring for the URL"
            yield Problem(problem, "remove it there")


def _choices(run: _Run) -> Iterator[Setting]:
    """Yield what a checkout sets: no check of the certificate, or a certificate that it brings itself."""
    value, source = run.get("certificates", run.repository, "verify")
    if value is None:
        value, source = run.get("certificates", run.repository, "cert")
    is_used = run.repository.lower() != "pypi" and not run.sources.options.last("--cert")
    if is_used and source.in_checkout and (value is False or isinstance(value, str)):
        yield Setting(str(value), source)


def _variable(*keys: str) -> str:
    return "_".join(("poetry", *keys)).upper().replace("-", "_")


def _distribution_name(table: Table) -> str:
    name = entry(table.content, "project", "name") or entry(table.content, "tool", "poetry", "name")
    try:
        return normalize_valid(str(name or "")).replace("-", "_")
    except InvalidNameError:
        raise Refusal(f"poetry finds no project name in {table.name}: add it there.") from None


def _latest(versions: Mapping[str, object], directory: str) -> str:
    if len(versions) == 1:
        return next(iter(versions))
    from packaging.version import InvalidVersion, Version

    try:
        return max(versions, key=Version)
    except InvalidVersion:
        raise Refusal(
            f"the versions of the files in {directory} cannot be compared ({join_quoted(list(versions))}): "
            "remove those that are not to be published."
        ) from None


def _find_source(run: _Run, *, is_configured: bool) -> Setting:
    """Return a [[tool.poetry.source]]: it counts if no repository is called so, or if any variable defines one."""
    variables = (re.match(r"POETRY_REPOSITORIES_[A-Z_]+_URL", variable) for variable in run.sources.environ)
    if is_configured and not any(variables):
        return Setting()
    table = read_table(run.project / "pyproject.toml", run.project, in_checkout=True)
    sources = listed(table.content, "tool", "poetry", "source")
    named = [source for source in sources if entry(source, "name") == run.repository]
    url = first([table._replace(content=source) for source in named], "url")
    return url._replace(source=url.source._replace(key="tool.poetry.source"))


UPLOADER = Poetry()
