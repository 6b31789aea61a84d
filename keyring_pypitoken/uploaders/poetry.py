"""poetry: `poetry publish`, and `poetry config pypi-token.NAME`, which stores a token."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, display_name, list_directory
from keyring_pypitoken.lookup import BUILT_IN, TOKEN_USERNAME
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.text import join_quoted, quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.options import Grammar, Parsed
from keyring_pypitoken.uploaders.settings import home, read_toml, user_config
from keyring_pypitoken.uploaders.uploader import Address, Problem, Uploader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.uploaders.process import Process

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
    """One run: its command line and its settings, the most important file first."""

    arguments: Parsed
    environ: Mapping[str, str]
    project: Path
    settings: tuple[tuple[str, dict[str, Any]], ...]

    @property
    def repository(self) -> str:
        """What poetry calls the repository."""
        return self.arguments.last("--repository") or "pypi"

    def find(self, *keys: str) -> tuple[Any, str] | None:
        """Return a setting and what says it: its variable, or a file."""
        variable = _variable(*keys)
        if variable in self.environ:
            return self.environ[variable], f"the variable {variable}"
        for name, content in self.settings:
            if (value := entry(content, *keys)) is not None:
                return value, f"{'.'.join(keys)} in {name}"
        return None


class Poetry(Uploader):
    """poetry."""

    name = "poetry"
    typical = ("publish",)
    observed = "2.5.1"
    source = (
        "console/application.py, console/commands/publish.py and config.py, publishing/publisher.py and uploader.py, "
        "config/config.py, utils/password_manager.py, utils/authenticator.py"
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

    def is_uploading(self, process: Process) -> bool:
        """Return True for `poetry publish`."""
        arguments = _parse(process)
        asks = not any(arguments.has(option) for option in ("--help", "--version", "--dry-run"))
        return asks and arguments.positional_args[:1] == ("publish",)

    def is_saving(self, process: Process) -> bool:
        """Return True for `poetry config pypi-token.NAME TOKEN` and `poetry config http-basic.NAME USER`."""
        arguments = _parse(process)
        command, key, *values = (*arguments.positional_args, "", "")
        stores = key.startswith(("pypi-token.", "http-basic."))
        return command == "config" and stores and any(values) and not arguments.has("--unset")

    def find_project(self, process: Process) -> Path:
        """Return the directory of the nearest pyproject.toml, from `--project`, else `--directory`, else here."""
        arguments = _parse(process)
        start = process.directory
        # It has changed into that directory, if this is poetry's own process.
        if self.module not in sys.modules:
            start = start / (arguments.last("--directory") or ".")
        start = Path(os.path.normpath(start / (arguments.last("--project") or ".")))
        return next((found for found, present in climb(start, ("pyproject.toml",)) if present), start)

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        """Return the wheels and sdists of the project's latest version in `--dist-dir`; None if it builds them."""
        arguments = _parse(process)
        if arguments.has("--build"):
            return None
        project = self.find_project(process)
        directory = Path(os.path.normpath(project / (arguments.last("--dist-dir") or "dist")))
        shown = display_name(directory, process.directory)
        prefix = _distribution_name(project, process.directory) + "-"
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
        """Return the URL of `--repository` by variables, settings and [[tool.poetry.source]]; without it PyPI."""
        return _find_address(_read(self, process))

    def find_lookups(self, process: Process, address: Address) -> tuple[tuple[str, str | None], ...]:
        """Return what it asks, until one is answered; nothing if it has a token, or keyring is off."""
        run = _read(self, process)
        if _before_keyring(run) or not _uses_keyring(run):
            return ()
        service = f"poetry-repository-{run.repository}"
        lookups: list[tuple[str, str | None]] = [_AVAILABILITY, (service, TOKEN_USERNAME)]
        user = run.find("http-basic", run.repository, "username")
        name = user[0] if user else None
        if run.find("http-basic", run.repository, "password") is None:
            lookups += [(service, name or _EMPTY_USERNAME), (address.url, name), (urlsplit(address.url).netloc, name)]
        return tuple(lookups)

    def find_problems(self, process: Process, address: Address) -> list[Problem]:  # noqa: ARG002 - it asks by name
        """Return tokens in options, variables and settings, keyring switched off, and what comes before the URL."""
        try:
            run = _read(self, process)
            return [*_before_keyring(run), *_switched_off(run), *_before_url(run)]
        except Refusal as refusal:
            return [Problem.of_refusal(refusal)]

    def variables(self, token: str, repository: Repository, address: Address | None = None) -> dict[str, str]:
        """Return the variables, which are named by what poetry calls the repository."""
        name = repository.name if address is None else address.name
        found = {_variable("pypi-token", name): token}
        return found if name == "pypi" else found | {_variable("repositories", name, "url"): repository.url}


def _parse(process: Process) -> Parsed:
    return _GRAMMAR.parse(process.arguments)


def _variable(*keys: str) -> str:
    return "_".join(("poetry", *keys)).upper().replace("-", "_")


def _read(uploader: Poetry, process: Process) -> _Run:
    project = uploader.find_project(process)
    own = process.environ.get("POETRY_CONFIG_DIR")
    directory = process.directory / own if own else user_config("pypoetry", roaming=True)
    files = (project / "poetry.toml", directory / "auth.toml", directory / "config.toml")
    names = [
        display_name(files[0], process.directory),
        *(display_name(file, home(process.environ)) for file in files[1:]),
    ]
    settings = tuple((name, read_toml(file, name)) for file, name in zip(files, names, strict=True))
    return _Run(_parse(process), process.environ, project, settings)


def _distribution_name(project: Path, directory: Path) -> str:
    shown = display_name(project / "pyproject.toml", directory)
    content = read_toml(project / "pyproject.toml", shown)
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


def _find_address(run: _Run) -> Address:
    name = run.arguments.last("--repository")
    if not name:
        return Address(BUILT_IN[0].url, "pypi", "default")
    found = run.find("repositories", name, "url")
    configured = _variable("repositories", name, "url") in run.environ
    if not configured and (source := _find_source(run, name, found is not None)):
        found = source
    if found is None:
        raise Refusal(
            f"poetry has no repository {quoted(name)}: define it with `poetry config repositories.NAME URL`, or "
            "correct its name."
        )
    url, origin = found
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise Refusal(f"the upload URL of {origin} is not a valid one: correct it.")
    return Address(url + "/" if url.endswith("/legacy") else url, name, origin)


def _find_source(run: _Run, name: str, is_configured: bool) -> tuple[str, str] | None:  # noqa: FBT001
    """Return a [[tool.poetry.source]]: it counts if no repository is called so, or if any variable defines one."""
    if is_configured and not any(re.match(r"POETRY_REPOSITORIES_[A-Z_]+_URL", variable) for variable in run.environ):
        return None
    shown = display_name(run.project / "pyproject.toml", run.project)
    sources = entry(read_toml(run.project / "pyproject.toml", shown), "tool", "poetry", "source")
    for source in sources if isinstance(sources, list) else []:
        url = entry(source, "url")
        if entry(source, "name") == name and isinstance(url, str):
            return url, f"tool.poetry.source in {shown}"
    return None


def _uses_keyring(run: _Run) -> bool:
    enabled = run.find("keyring", "enabled")
    if enabled is None:
        return True
    value = enabled[0]
    return value.lower() in ("true", "1") if isinstance(value, str) else bool(value)


def _before_keyring(run: _Run) -> list[Problem]:
    if run.arguments.last("--username") and run.arguments.last("--password"):
        return [
            Problem(
                "the options --username and --password hold a credential, and poetry asks nothing else",
                "leave them out",
            )
        ]
    token = run.find("pypi-token", run.repository)
    if token is None or not token[0]:
        return []
    _, _, variable = token[1].partition("the variable ")
    remedy = f"`unset {variable}`" if variable else "store it with `keyring-pypitoken login`, then delete it there"
    return [Problem(f"{token[1]} holds a token, and poetry takes it before it asks keyring", remedy)]


def _switched_off(run: _Run) -> Iterator[Problem]:
    if not _uses_keyring(run):
        found = run.find("keyring", "enabled")
        origin = found[1] if found else ""
        yield Problem(f"{origin} is false, so poetry does not ask keyring", "`poetry config keyring.enabled true`")


def _before_url(run: _Run) -> Iterator[Problem]:
    """Find what comes between the name of a repository and its URL: PyPI and TestPyPI are known by the name."""
    if _uses_keyring(run) and run.repository in [repository.name for repository in BUILT_IN]:
        return
    for key in ("username", "password"):
        found = run.find("http-basic", run.repository, key)
        if found and found[0] and found[0] != TOKEN_USERNAME:
            yield Problem(
                f"{found[1]} is set, and poetry takes it before it asks keyring for the URL", "remove it there"
            )


ROOM = Poetry()
