"""poetry: `poetry publish`, and `poetry config pypi-token.NAME`, which stores a token."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, display_name, list_directory
from keyring_pypitoken.lookup import BUILT_IN, TOKEN_USERNAME
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.text import join_quoted, quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.legacy import Address, Credentials, Setting, Sources, Uploader, first, read_table
from keyring_pypitoken.uploaders.options import Grammar, Parsed
from keyring_pypitoken.uploaders.settings import checked_url, home, user_config
from keyring_pypitoken.uploaders.uploader import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.uploaders.uploader import Lookups, Process, Target

# Global options, which argparse reads first: it takes the beginning of one, too. cleo then reads the others.
_GLOBAL = (
    *("-P/--project", "-C/--directory"),
    *("-h/--help", "-q/--quiet", "-v/--verbose", "-V/--version", "--ansi", "--no-ansi", "-n/--no-interaction"),
    *("--no-plugins", "--no-cache"),
)


def _with_beginnings(options: tuple[str, ...]) -> str:
    """Add to each global option the spellings that only it begins with."""
    longs = [option.rpartition("/")[2] for option in _GLOBAL]

    def spell(option: str) -> str:
        short, slash, long = option.rpartition("/")
        beginnings = [long[:length] for length in range(len("--p"), len(long))]
        unique = [text for text in beginnings if sum(other.startswith(text) for other in longs) == 1]
        return short + slash + "/".join([*unique, long])

    return " ".join(spell(option) for option in options)


_GRAMMAR = Grammar(
    f"{_with_beginnings(_GLOBAL[:2])} -r/--repository -u/--username -p/--password --cert --client-cert --dist-dir",
    f"{_with_beginnings(_GLOBAL[2:])} --build --dry-run --skip-existing --list --unset --local --migrate",
    equals=False,
)
_EMPTY_USERNAME = "__poetry_source_empty_username__"
_AVAILABILITY = ("python-poetry-check", "python-poetry")


class _Run(NamedTuple):
    """One run: what poetry calls the repository, its settings, its project's directory."""

    repository: str
    sources: Sources
    project: Path

    def find(self, *keys: str) -> Setting:
        return self.sources.find("", _variable(*keys), *keys)


class Poetry(Uploader):
    """poetry."""

    name = "poetry"
    typical = ("publish",)
    observed = "2.5.1"
    source = (
        "poetry/console/application.py, console/commands/publish.py and config.py, publishing/publisher.py and "
        "uploader.py, config/config.py, utils/password_manager.py, utils/authenticator.py"
    )
    module = "poetry"
    lookups_per_upload = 5  # the first is for its own check; the others until one is answered
    prompts = False
    saves = "`poetry config pypi-token.NAME` stores a token for __token__ under poetry-repository-NAME"
    asks_for = (
        "python-poetry-check and python-poetry",
        "poetry-repository-NAME and __token__",
        f"poetry-repository-NAME and {_EMPTY_USERNAME}, or the user of http-basic.NAME",
        "{url} without a user name",
        "{host} without a user name",
    )
    kept_services = ("poetry-repository-",)
    before_keyring = ("POETRY_PYPI_TOKEN_NAME", "pypi-token.NAME", "--username and --password together")
    # NAME is what poetry calls the repository: `variables` fills it in.
    token_variables = {"POETRY_PYPI_TOKEN_PYPI": "{token}"}  # noqa: RUF012
    upload_functions = {  # noqa: RUF012 - never changed
        "poetry.publishing.publisher.Publisher.publish": lambda variables: (
            None if variables["dry_run"] else variables["self"].files
        )
    }

    def is_uploading(self, process: Process) -> bool:
        arguments = self._parse(process)
        return arguments.positional_args == ("publish",) and not arguments.has("--help", "--version", "--dry-run")

    def is_saving(self, process: Process) -> bool:
        arguments = self._parse(process)
        command, key, *values = (*arguments.positional_args, "", "")
        stores = key.startswith(("pypi-token.", "http-basic."))
        return command == "config" and stores and any(values) and not arguments.has("--unset")

    def find_project(self, process: Process) -> Path:
        arguments = self._parse(process)
        # argparse drops an equals sign behind `-P`, and cleo none behind `-r`.
        directory, project = ((arguments.last(name) or ".").removeprefix("=") for name in ("--directory", "--project"))
        # It has changed into that directory, if this is poetry's own process.
        start = process.directory / ("." if self.module in sys.modules else directory)
        start = Path(os.path.normpath(start / project))
        return next((found for found, present in climb(start, ("pyproject.toml",)) if present), start)

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        """Return the wheels and sdists of the project's latest version in `--dist-dir`; None if it builds them."""
        arguments = self._parse(process)
        if arguments.has("--build"):
            return None
        project = self.find_project(process)
        directory = Path(os.path.normpath(project / (arguments.last("--dist-dir") or "dist")))
        shown = display_name(directory, process.directory)
        prefix = _distribution_name(*read_table(project / "pyproject.toml", process.directory)) + "-"
        artifact = re.compile(re.escape(prefix) + r"(?:[^-]*-.*\.whl|.*\.tar\.gz)", re.DOTALL)
        found: dict[str, list[Path]] = {}
        for name in list_directory(directory, shown):
            if artifact.fullmatch(name):
                stem = Path(name).stem.removesuffix(".tar").removeprefix(prefix)
                found.setdefault(stem.split("-", maxsplit=1)[0], []).append(directory / name)
        if not found:
            raise Refusal(f"poetry finds no files to publish in {shown}: build them, or name their directory.")
        return tuple(sorted(found[_latest(found, shown)], key=lambda path: (path.suffix == ".whl", path)))

    def find_address(self, process: Process) -> Address:
        run = self._read(process)
        if not run.sources.options.last("--repository"):
            return Address(BUILT_IN[0].url, "pypi", "default")
        url, origin = run.find("repositories", run.repository, "url")
        if origin != _variable("repositories", run.repository, "url"):
            source = _find_source(run, is_configured=url is not None)
            url, origin = (url, origin) if source.value is None else source
        if url is None:
            raise Refusal(
                f"poetry has no repository {quoted(run.repository)}: define it with `poetry config repositories.NAME "
                "URL`, or correct its name."
            )
        url = checked_url(url, origin)
        return Address(url + "/" if url.endswith("/legacy") else url, run.repository, origin)

    def find_lookups(self, process: Process, address: Address) -> Lookups:
        run = self._read(process)
        if self.find_credentials(process, address).password.value is not None or not _keyring(run)[0]:
            return ()
        service = f"poetry-repository-{run.repository}"
        lookups: list[tuple[str, str | None]] = [_AVAILABILITY, (service, TOKEN_USERNAME)]
        user = run.find("http-basic", run.repository, "username").value
        if run.find("http-basic", run.repository, "password").value is None:
            lookups += [(service, user or _EMPTY_USERNAME), (address.url, user), (urlsplit(address.url).netloc, user)]
        return tuple(lookups)

    def _problems(self, process: Process, address: Address) -> Iterator[Problem]:
        run = self._read(process)
        yield from super()._problems(process, address)
        enabled, origin = _keyring(run)
        if not enabled:
            problem = f"{origin} is false, so poetry does not ask keyring"
            yield Problem(problem, "`poetry config keyring.enabled true`")
        # PyPI and TestPyPI are found by their names, before it comes to the URL.
        if not enabled or run.repository not in [repository.name for repository in BUILT_IN]:
            for key in ("username", "password"):
                value, origin = run.find("http-basic", run.repository, key)
                if value and value != TOKEN_USERNAME:
                    problem = f"{origin} is set, and poetry takes it before it asks keyring for the URL"
                    yield Problem(problem, "remove it there")

    def variables(self, token: str, repository: Repository, target: Target | None = None) -> dict[str, str]:
        """Return the variables, which are named by what poetry calls the repository."""
        name = repository.name if target is None else target.address.name
        found = {_variable("pypi-token", name): token}
        return found if name == "pypi" else found | {_variable("repositories", name, "url"): repository.url}

    def find_credentials(self, process: Process, address: Address) -> Credentials:  # noqa: ARG002 - it asks by name
        run = self._read(process)
        username, password = (run.sources.find(option) for option in ("--username", "--password"))
        if username.value and password.value:
            return Credentials(username, password)
        token = run.find("pypi-token", run.repository)
        return Credentials(Setting(TOKEN_USERNAME, token.origin), token._replace(value=token.value or None))

    def _parse(self, process: Process) -> Parsed:
        return _GRAMMAR.parse(process.arguments)

    def _read(self, process: Process) -> _Run:
        arguments, project = self._parse(process), self.find_project(process)
        own = process.environ.get("POETRY_CONFIG_DIR")
        directory = process.directory / own if own else user_config("pypoetry", roaming=True)
        files = (
            read_table(project / "poetry.toml", process.directory),
            *(read_table(directory / name, home(process.environ)) for name in ("auth.toml", "config.toml")),
        )
        sources = Sources(arguments, process.environ, files)
        return _Run(arguments.last("--repository") or "pypi", sources, project)


def _variable(*keys: str) -> str:
    return "_".join(("poetry", *keys)).upper().replace("-", "_")


def _distribution_name(content: object, shown: str) -> str:
    name = entry(content, "project", "name") or entry(content, "tool", "poetry", "name")
    try:
        return normalize_valid(str(name or "")).replace("-", "_")
    except InvalidNameError:
        raise Refusal(f"poetry finds no project name in {shown}: add it there.") from None


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
        return Setting(None, "")
    content, shown = read_table(run.project / "pyproject.toml", run.project)
    tables = entry(content, "tool", "poetry", "source")
    named = [table for table in (tables if isinstance(tables, list) else []) if entry(table, "name") == run.repository]
    return first([(table, f"tool.poetry.source in {shown}") for table in named], "url")


def _keyring(run: _Run) -> tuple[bool, str]:
    """Return whether it asks keyring, and what sets that."""
    variable = "POETRY_KEYRING_ENABLED"
    found: list[tuple[object, str]] = (
        [(run.sources.environ[variable], variable)] if variable in run.sources.environ else []
    )
    found += [
        (entry(content, "keyring", "enabled"), f"keyring.enabled in {name}") for content, name in run.sources.files
    ]
    value, origin = next((one for one in found if one[0] is not None), (True, ""))
    return value.lower() in ("true", "1") if isinstance(value, str) else bool(value), origin


UPLOADER = Poetry()
