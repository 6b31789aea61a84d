"""What tells which projects an upload is for: the environment, the lookup, the arguments, the directory."""

from __future__ import annotations

import configparser
import glob
import os
import re
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import display_name, find_inside, read_text
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.policy.discovery import project_directories
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.text import quoted
from keyring_pypitoken.toml import entry, load_toml
from keyring_pypitoken.uploaders.command_line import files_directory, positional_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from keyring_pypitoken.uploaders.process import Process

PROJECT_VARIABLE = "KEYRING_PYPITOKEN_PROJECT"
_DISTRIBUTIONS = (".whl", ".tar.gz", ".zip")
_REQUIREMENT = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==[A-Za-z0-9._!+-]+")
_GLOB = re.compile(r"[*?\[]")


def find_evidence(process: Process, hint: str | None, project: Path) -> WithOrigin[tuple[str, ...]] | None:
    """Find the projects that an upload is for; the first source that speaks wins.

    Args:
        process: where the lookup comes from.
        hint: a project that the lookup itself tells.
        project: the directory of the project that the uploader was pointed at.

    Returns:
        Sorted normalized names and what tells them, or None where nothing does.

    Raises:
        Refusal: a source speaks and cannot be understood.
    """
    sources: tuple[Callable[[], WithOrigin[tuple[str, ...]] | None], ...] = (
        lambda: _from_variable(process.environ),
        lambda: None if hint is None else _sourced([hint], Origin("the lookup")),
        lambda: _sourced(_in_arguments(process, files_directory(process, project)), _arguments_of(process)),
        lambda: _from_directory(project, process.directory),
    )
    return next((found for source in sources if (found := source()) is not None), None)


def project_of_file(path: str) -> str | None:
    """Return the normalized project name that the name of a distribution file begins with.

    Args:
        path: a file; it need not exist.

    Returns:
        The name, or None where the file is neither a wheel nor an sdist.
    """
    name = os.path.basename(path)
    if not name.endswith(_DISTRIBUTIONS):
        return None
    from packaging.utils import parse_sdist_filename, parse_wheel_filename  # only where a file is named

    try:
        project = parse_wheel_filename(name)[0] if name.endswith(".whl") else parse_sdist_filename(name)[0]
        return normalize_valid(project)
    except ValueError:
        return None


def projects_in_directory(directory: Path) -> tuple[Path, list[str]]:
    """Find the projects of a repository: that of a directory, or, in the root of a uv workspace, those of its members.

    Args:
        directory: a directory of the repository.

    Returns:
        The directory whose metadata tell, and sorted normalized names; none where nothing tells.

    Raises:
        Refusal: the metadata cannot be understood.
    """
    for candidate in project_directories(directory):
        found = _from_metadata(candidate, directory)
        names = set(found.value) if found else set()
        for member in _workspace_members(candidate):
            inside = _from_metadata(member, directory)
            names.update(inside.value if inside else ())
        if names or _metadata_of(candidate):
            return candidate, sorted(names)
    return directory, []


def _workspace_members(directory: Path) -> list[Path]:
    """List the directories that a workspace of uv is made of (uv, "Using workspaces")."""
    text = read_text(directory / "pyproject.toml", "pyproject.toml")
    content = load_toml(text, "pyproject.toml") if text else {}
    patterns = {key: entry(content, "tool", "uv", "workspace", key) for key in ("members", "exclude")}
    found: dict[str, set[Path]] = {}
    for key, value in patterns.items():
        texts = [pattern for pattern in value if isinstance(pattern, str)] if isinstance(value, list) else []
        found[key] = {path for pattern in texts for path in find_inside(directory, pattern)}
    return sorted(found["members"] - found["exclude"])


def _sourced(names: Iterable[str], origin: Origin) -> WithOrigin[tuple[str, ...]] | None:
    """Normalize the names of one source; None where there are none."""
    found: set[str] = set()
    for name in names:
        try:
            found.add(normalize_valid(name))
        except InvalidNameError:
            raise Refusal(
                f"{origin} names the project {quoted(name)}, and none can be called so: correct the name."
            ) from None
    return WithOrigin(tuple(sorted(found)), origin) if found else None


def _from_variable(environ: Mapping[str, str]) -> WithOrigin[tuple[str, ...]] | None:
    names = (name.strip() for name in environ.get(PROJECT_VARIABLE, "").split(","))
    return _sourced(filter(None, names), Origin(PROJECT_VARIABLE))


def _arguments_of(process: Process) -> Origin:
    return Origin(f"the arguments of {process.program}" if process.is_parent else "the arguments")


def _in_arguments(process: Process, directory: Path) -> Iterator[str]:
    """Yield the projects of the files, and of the `name==version`s, among the arguments."""
    for argument in positional_args(process):
        if requirement := _REQUIREMENT.fullmatch(argument):
            yield requirement[1]
        # Uploaders expand what the shell left as it was and is no file: a quoted 'dist/*', or anything on Windows.
        is_glob = _GLOB.search(argument) and not os.path.exists(directory / argument)
        for path in glob.glob(argument, root_dir=directory) if is_glob else [argument]:
            if (project := project_of_file(path)) is not None:
                yield project


def _from_directory(directory: Path, here: Path) -> WithOrigin[tuple[str, ...]] | None:
    """Read the name of the project that a directory belongs to: the nearest metadata counts."""
    nearest = next((candidate for candidate in project_directories(directory) if _metadata_of(candidate)), None)
    return None if nearest is None else _from_metadata(nearest, here)


def _metadata_of(directory: Path) -> list[tuple[Path, Callable[[str, Origin], str | None]]]:
    metadata = ((directory / "pyproject.toml", _name_in_pyproject), (directory / "setup.cfg", _name_in_setup_cfg))
    return [(path, read_name) for path, read_name in metadata if os.path.lexists(path)]


def _from_metadata(directory: Path, here: Path) -> WithOrigin[tuple[str, ...]] | None:
    for path, read_name in _metadata_of(directory):
        origin = Origin(display_name(path, here))
        if name := read_name(read_text(path, origin) or "", origin):
            return _sourced([name], origin)
    return None


def _name_in_pyproject(text: str, origin: Origin) -> str | None:
    content = load_toml(text, origin)
    name = (
        entry(content, "project", "name")
        or entry(content, "tool", "poetry", "name")
        or entry(content, "tool", "flit", "metadata", "dist-name")
        or entry(content, "tool", "flit", "metadata", "module")
    )
    if name is not None and not isinstance(name, str):
        raise Refusal(f"the project's name in {origin} is no text: write it in quotes.")
    return name


def _name_in_setup_cfg(text: str, origin: Origin) -> str | None:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise Refusal(f"{origin} is not valid ({type(error).__name__}): correct it there.") from None
    return parser.get("metadata", "name", fallback=None)
