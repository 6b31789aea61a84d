"""What shows which projects an upload is for: the environment, the lookup, the arguments, the project's metadata."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.files import display_name, find_inside, is_directory, read_text, status
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.policy.discovery import project_directories
from keyring_pypitoken.policy.model import Evidence, NamedFile, Origin, WithOrigin
from keyring_pypitoken.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from keyring_pypitoken.uploaders.uploader import Process, Uploader

PROJECT_VARIABLE = "KEYRING_PYPITOKEN_PROJECT"
VALID_FOR_VARIABLE = "KEYRING_PYPITOKEN_VALID_FOR"
_MAX_DIGITS = 10
_PYPROJECT, _SETUP_CFG = "pyproject.toml", "setup.cfg"
_NAMES = ("project.name", "tool.poetry.name", "tool.flit.metadata.dist-name", "tool.flit.metadata.module")


def find_evidence(
    process: Process,
    requested: str | None = None,
    named: WithOrigin[tuple[str, ...]] | None = None,
    patterns: tuple[str, ...] = (),
) -> Evidence:
    """Find the projects that an upload is for; the first source that answers wins.

    Args:
        process: the upload.
        requested: a project that the lookup itself names.
        named: projects that a person named to the command.
        patterns: files that a person named to the command, instead of those of the process.

    Raises:
        Refusal: a source answers and cannot be understood.
    """
    uploader = process.uploader
    directory = process.directory if uploader is None else uploader.find_project(process)
    if uploader is not None and process.files is None and not uploader.is_uploading(process):
        uploader = None
    variable = [name.strip() for name in process.environ.get(PROJECT_VARIABLE, "").split(",")]
    found = (
        named
        or _projects(filter(None, variable), PROJECT_VARIABLE)
        or _projects([requested] if requested else [], "the lookup")
    )
    files: tuple[NamedFile, ...] | None = None
    try:
        if patterns:
            files = _read_files(expand(patterns, process.directory), process)
        elif uploader is not None:
            files = _read_files(_find_files(uploader, process), process)
    except Refusal:
        if found is None:
            raise
    found = found or _projects([file.project for file in files or ()], _origin(files or (), process, patterns))
    if uploader is not None:
        found = found or _projects(uploader.find_projects(process), f"the arguments of {process.program}")
    return Evidence(
        found or find_metadata(directory, process.directory), directory, files, uploader.resume if uploader else ""
    )


def read_override(environ: Mapping[str, str]) -> WithOrigin[int] | None:
    """Return the seconds that the environment shortens the window to; None if it does not.

    Raises:
        Refusal: it is not a length of time.
    """
    text = environ.get(VALID_FOR_VARIABLE)
    if not text:
        return None
    from keyring_pypitoken.policy.values import WrongValueError, read_positive_duration

    try:
        # Nine digits are thirty years; Python makes no integer of thousands of them.
        seconds = read_positive_duration(
            int(text) if text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS else text
        )
    except WrongValueError as error:
        raise Refusal(f"{VALID_FOR_VARIABLE} {error}.") from None
    return WithOrigin(seconds, Origin(VALID_FOR_VARIABLE), text)


def read_file(path: Path, name: str) -> NamedFile:
    """Return the project and size of a distribution file.

    Raises:
        Refusal: it does not exist, or its name is not that of a wheel or an sdist.
    """
    project = project_of_file(path.name)
    if project is None:
        raise Refusal(f"{quoted(name)} is not named like a wheel or an sdist, so its project is unknown: rebuild it.")
    found = status(path, name)
    if found is None:
        raise Refusal(f"the file {quoted(name)} does not exist: build it, or correct its name.")
    return NamedFile(path, project, found.st_size)


def project_of_file(name: str) -> str | None:
    """Return the normalized project name that a distribution file is named after; None if it is not one."""
    from packaging.utils import parse_sdist_filename, parse_wheel_filename  # only if a file is named

    try:
        return normalize_valid((parse_wheel_filename if name.endswith(".whl") else parse_sdist_filename)(name)[0])
    except ValueError:
        return None


def find_metadata(directory: Path, here: Path) -> WithOrigin[tuple[str, ...]] | None:
    """Return the project that a directory belongs to: the nearest metadata counts, within its repository.

    Raises:
        Refusal: the metadata cannot be understood.
    """
    for candidate in project_directories(directory):
        files = (candidate / name for name in (_PYPROJECT, _SETUP_CFG))
        if any(status(file, display_name(file, here)) is not None for file in files):
            return _from_metadata(candidate, here)
    return None


def find_workspace(directory: Path, here: Path) -> tuple[Path, list[str]]:
    """Find the projects of a repository: that of the nearest metadata, and those of a uv workspace it is the root of.

    Returns:
        The directory of the metadata, and sorted normalized names; none if no metadata names one.

    Raises:
        Refusal: the metadata cannot be understood.
    """
    for candidate in project_directories(directory):
        found = [_from_metadata(member, here) for member in (candidate, *_workspace_members(candidate))]
        names = {name for names in found if names for name in names.value}
        if names or any(status(candidate / name, name) is not None for name in (_PYPROJECT, _SETUP_CFG)):
            return candidate, sorted(names)
    return directory, []


def expand(patterns: Iterable[str], directory: Path) -> tuple[Path, ...]:
    """Return the files that arguments name: each a path, or a pattern if no file has that name.

    Raises:
        Refusal: one stands for nothing.
    """
    import glob

    paths: list[Path] = []
    for pattern in patterns:
        path = directory / pattern
        found = (
            [path]
            if status(path, pattern) is not None
            else [directory / name for name in sorted(glob.glob(pattern, root_dir=directory))]
        )
        if not found:
            raise Refusal(f"{quoted(pattern)} matches no file: build first, or correct the name.")
        paths += found
    return tuple(paths)


def _find_files(uploader: Uploader, process: Process) -> tuple[Path, ...] | None:
    if process.files == ():
        raise Refusal(
            f"{uploader.name} does not show which files it uploads: build them, or name the project in "
            f"{PROJECT_VARIABLE}."
        )
    return process.files or uploader.find_files(process)


def _read_files(paths: tuple[Path, ...] | None, process: Process) -> tuple[NamedFile, ...] | None:
    return None if paths is None else tuple(read_file(path, display_name(path, process.directory)) for path in paths)


def _origin(files: Iterable[NamedFile], process: Process, patterns: tuple[str, ...]) -> str:
    """Return what names the files: the arguments, or the directory in which the uploader looks for them by itself."""
    if patterns:
        return "the arguments"
    arguments = {os.path.normpath(process.directory / argument) for argument in process.arguments}
    parents = {file.path.parent for file in files}
    named = any(str(file.path) in arguments or str(file.path.parent) in arguments for file in files)
    if named or len(parents) != 1 or any(mark in argument for argument in process.arguments for mark in "*?["):
        return f"the arguments of {process.program}"
    return f"the files in {display_name(parents.pop(), process.directory)}"


def _projects(names: Iterable[str], origin: str) -> WithOrigin[tuple[str, ...]] | None:
    """Normalize the names of one source; None if there are none."""
    found: set[str] = set()
    for name in names:
        try:
            found.add(normalize_valid(name))
        except InvalidNameError:
            raise Refusal(
                f"{quoted(name)} is not a valid project name, but {origin} contains it: correct it there."
            ) from None
    return WithOrigin(tuple(sorted(found)), Origin(origin)) if found else None


def _from_metadata(directory: Path, here: Path) -> WithOrigin[tuple[str, ...]] | None:
    path = directory / _PYPROJECT
    shown = display_name(path, here)
    text = read_text(path, shown)
    if text is not None and (name := _name_in_pyproject(text, shown)):
        return _projects([name], shown)
    path = directory / _SETUP_CFG
    shown = display_name(path, here)
    if status(path, shown) is None:
        return None
    from keyring_pypitoken.uploaders.settings import read_ini

    name = read_ini(path, shown).get("metadata", {}).get("name")
    return _projects([name], shown) if name else None


def _name_in_pyproject(text: str, origin: str) -> str | None:
    from keyring_pypitoken.toml import entry, load_toml

    content = load_toml(text, origin)
    name = next(filter(None, (entry(content, *place.split(".")) for place in _NAMES)), None)
    if name is not None and not isinstance(name, str):
        raise PolicyError(f"the project's name in {origin} is not text: write it in quotes.")
    return name


def _workspace_members(directory: Path) -> list[Path]:
    """List the directories that a workspace of uv is made of (uv, "Using workspaces")."""
    from keyring_pypitoken.toml import entry, load_toml

    text = read_text(directory / _PYPROJECT, _PYPROJECT)
    table = entry(load_toml(text, _PYPROJECT) if text else {}, "tool", "uv", "workspace")
    found: dict[str, set[Path]] = {}
    for key in ("members", "exclude"):
        patterns = table.get(key) if isinstance(table, dict) else None
        texts = [pattern for pattern in patterns if isinstance(pattern, str)] if isinstance(patterns, list) else []
        found[key] = {path for pattern in texts for path in find_inside(directory, pattern)}
    return [path for path in sorted(found["members"] - found["exclude"]) if is_directory(path, os.path.basename(path))]
