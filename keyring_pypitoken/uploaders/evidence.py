"""What shows which projects an upload is for: the environment, the lookup, the arguments, the project's metadata."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.files import current_directory, display_name, is_directory, read_bytes, status
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.policy.discovery import is_trusted, project_directories, trusted_owners
from keyring_pypitoken.policy.model import Evidence, NamedFile, Origin, WithOrigin
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import join_names, quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.options import expand, named_files
from keyring_pypitoken.uploaders.settings import listed, read_ini, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyring_pypitoken.uploaders.uploader import Process, Uploader

PROJECT_VARIABLE = "KEYRING_PYPITOKEN_PROJECT"
VALID_FOR_VARIABLE = "KEYRING_PYPITOKEN_VALID_FOR"
_MAX_FILES = 20_000  # of one upload
_MAX_OPENED = 4  # sdists whose names do not show their project
_MAX_SDIST, _MAX_METADATA = 64 * 1024 * 1024, 1024 * 1024  # bytes, unpacked
_BLOCK = 512  # bytes: https://www.gnu.org/software/tar/manual/html_node/Standard.html
_PYPROJECT, _SETUP_CFG, _SETUP_PY, _CARGO = "pyproject.toml", "setup.cfg", "setup.py", "Cargo.toml"
_NAMES = ("project.name", "tool.poetry.name", "tool.flit.metadata.dist-name", "tool.flit.metadata.module")


class Metadata(Record):
    """What the files of a directory say about a project: their names, and its name."""

    directory: Path
    files: frozenset[str] = frozenset()
    projects: WithOrigin[tuple[str, ...]] | None = None


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
    current_directory()  # what is relative to one that is gone would be found elsewhere
    uploader, directory, reads_cargo = process.uploader, process.directory, False
    if uploader is not None:
        directory, reads_cargo = uploader.find_project(process), uploader.reads_cargo
    if uploader is not None and process.files is None and not uploader.is_uploading(process):
        uploader = None
    variable = map(str.strip, process.environ.get(PROJECT_VARIABLE, "").split(","))
    projects = named or _projects(filter(None, variable), PROJECT_VARIABLE)
    projects = projects or _projects(filter(None, [requested]), "the lookup")
    files: tuple[NamedFile, ...] | None = None
    try:
        files = _read_files(uploader, process, patterns)
    except Refusal:
        if projects is None:
            raise
    if projects is not None:
        _check_files(files or (), projects)
    elif files:
        projects = _projects([file.project for file in files], "the arguments" if patterns else _origin(files, process))
    elif uploader is not None:
        projects = _projects(uploader.find_projects(process), f"the arguments of {process.program}")
    resume = uploader.resume if uploader else ""
    if projects is not None:
        return Evidence(projects, directory, files, resume)
    metadata = find_metadata(directory, process.directory, reads_cargo=reads_cargo)
    return Evidence(metadata.projects, directory, files, resume, _hint(uploader, metadata))


def read_override(environ: Mapping[str, str]) -> WithOrigin[int] | None:
    """Return the seconds that the environment shortens the window to; None if it does not.

    Raises:
        Refusal: it is not a length of time.
    """
    text = environ.get(VALID_FOR_VARIABLE)
    if not text:
        return None
    from keyring_pypitoken.policy.values import WrongValueError, read_positive_duration

    is_number = re.fullmatch("[0-9]{1,9}", text)  # thirty years; Python makes no integer of thousands of digits
    try:
        seconds = read_positive_duration(int(text) if is_number else text)
    except WrongValueError as error:
        raise Refusal(f"{VALID_FOR_VARIABLE} {error}.") from None
    return WithOrigin(seconds, Origin(VALID_FOR_VARIABLE))


def read_file(path: Path, name: str) -> NamedFile:
    """Return the project and size of a distribution file.

    Raises:
        Refusal: it does not exist, or shows no project.
    """
    names = projects_of_file(path.name)
    if not names:
        is_distribution = name.endswith((".whl", ".tar.gz", ".zip"))
        remedy = "rebuild it" if is_distribution else "leave it out, as in `dist/*.whl dist/*.tar.gz`"
        raise Refusal(f"{quoted(name)} is not named like a wheel or an sdist, so its project is unknown: {remedy}.")
    state = status(path, name)
    if state is None:
        raise Refusal(f"the file {quoted(name)} does not exist: build it, or correct its name.")
    project = names[0] if len(names) == 1 else _project_in_sdist(path, name)
    if project not in names:
        raise Refusal(
            f"{quoted(name)} may be of the project {join_names(names)}, and its metadata does not show which: rebuild "
            f"it, or name the project in {PROJECT_VARIABLE}."
        )
    return NamedFile(path, project, state.st_size)


def projects_of_file(name: str) -> tuple[str, ...]:
    """Return the normalized names of projects that a distribution file may be of; none if it is not one.

    In the name of an sdist, a hyphen may end the project's name or be within name or version.
    """
    from packaging.utils import parse_wheel_filename  # only if a file is named
    from packaging.version import InvalidVersion, Version

    stem, ending, _ = name.rpartition(".tar.gz") if name.endswith(".tar.gz") else name.rpartition(".zip")
    projects = []
    try:
        if name.endswith(".whl"):
            return (normalize_valid(parse_wheel_filename(name)[0]),)
    except ValueError:
        return ()
    for at in [at for at, letter in enumerate(stem) if ending and letter == "-"]:
        try:
            Version(stem[at + 1 :])
            projects.append(normalize_valid(stem[:at]))
        except (InvalidVersion, InvalidNameError):
            continue
    return tuple(projects)


def find_metadata(directory: Path, here: Path, *, reads_cargo: bool = False) -> Metadata:
    """Return what the nearest metadata says about the project of a directory, within its repository.

    Raises:
        Refusal: the metadata cannot be understood.
    """
    candidates = list(project_directories(directory))
    owners = trusted_owners(candidates[-1])
    for candidate in candidates:
        metadata = _read_metadata(candidate, owners, here, reads_cargo=reads_cargo)
        if metadata.files:
            return metadata
    return Metadata(directory)


def find_workspace(directory: Path, here: Path) -> tuple[Path, list[str]]:
    """Find the projects of a repository: that of the nearest metadata, and those of a uv workspace it is the root of.

    Returns:
        The directory of the metadata, and sorted normalized names; none if no metadata names one.

    Raises:
        Refusal: the metadata cannot be understood.
    """
    nearest = find_metadata(directory, here)
    members = [find_metadata(member, here) for member in _workspace_members(nearest.directory)]
    names = {name for one in (nearest, *members) if one.projects for name in one.projects.value}
    return nearest.directory, sorted(names)


def _hint(uploader: Uploader | None, metadata: Metadata) -> str:
    """Return what would show the project, for a refusal."""
    name_files = "name the distribution files, "
    if uploader is not None:
        name_files = f"name the files (`{uploader.naming_files}`), " if uploader.naming_files else ""
    if _SETUP_PY in metadata.files:
        return f"build it, since `setup.py` does not show its name before, {name_files}name it with `--project`"
    return f"{name_files}run it in the project's directory"


def _read_files(uploader: Uploader | None, process: Process, patterns: tuple[str, ...]) -> tuple[NamedFile, ...] | None:
    paths: tuple[Path, ...] | None
    if patterns:
        paths = tuple(named_files(patterns, process.directory))
    elif uploader is None:
        return None
    elif process.files == ():
        raise Refusal(
            f"{uploader.name} does not show which files it uploads: build them, or name the project in "
            f"{PROJECT_VARIABLE}."
        )
    elif (paths := process.files or uploader.find_files(process)) is None:
        return None
    opened = sum(len(projects_of_file(path.name)) > 1 for path in paths[: _MAX_FILES + 1])
    if len(paths) > _MAX_FILES or opened > _MAX_OPENED:
        raise Refusal(f"{len(paths)} files are too many for one upload: name fewer.")
    return tuple(read_file(path, display_name(path, process.directory)) for path in paths)


def _check_files(files: Iterable[NamedFile], projects: WithOrigin[tuple[str, ...]]) -> None:
    for file in files:
        if file.project not in projects.value:
            raise Refusal(
                f"{quoted(file.path.name)} is a file of {file.project}, but {projects.origin} names "
                f"{join_names(projects.value)}: leave the file out, or correct the name."
            )


def _origin(files: Iterable[NamedFile], process: Process) -> str:
    parents = {file.path.parent for file in files}
    if len(parents) > 1:
        return f"the files of {process.program}"
    return f"the files in {display_name(parents.pop(), process.directory)}"


def _projects(names: Iterable[str], origin: str) -> WithOrigin[tuple[str, ...]] | None:
    """Normalize the names of one source; None if there are none."""
    projects: set[str] = set()
    for name in names:
        try:
            projects.add(normalize_valid(name))
        except InvalidNameError:
            raise Refusal(
                f"{quoted(name)} is not a valid project name, but {origin} contains it: correct it there."
            ) from None
    return WithOrigin(tuple(sorted(projects)), Origin(origin)) if projects else None


def _project_in_sdist(path: Path, name: str) -> str | None:
    """Return the normalized name in the metadata of a .tar.gz; None if it has none that can be read."""
    import gzip
    import io
    import zlib

    from packaging.metadata import parse_email

    data = read_bytes(path, name, max_bytes=_MAX_SDIST) or b""
    try:
        unpacked = gzip.GzipFile(fileobj=io.BytesIO(data)).read(_MAX_SDIST + 1)
        (content,) = _members(unpacked, f"{path.name.removesuffix('.tar.gz')}/PKG-INFO".encode())
        return normalize_valid(parse_email(content)[0]["name"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError):
        return None


def _members(archive: bytes, name: bytes) -> list[bytes]:
    """Return the content of each regular file of a name in a tar archive; raise ValueError if it is no such archive.

    What tarfile of every supported Python does with hostile headers is not known; this reads two fields of each.
    """
    if len(archive) > _MAX_SDIST:
        raise ValueError
    contents, at = [], 0
    while (header := archive[at : at + _BLOCK]).strip(b"\0"):
        size = int(header[124:136].strip(b" \0"), 8)
        is_named = header[:100].partition(b"\0")[0] == name
        if size < 0 or (is_named and (header[156:157] not in (b"0", b"\0") or size > _MAX_METADATA)):
            raise ValueError
        at += _BLOCK
        contents += [archive[at : at + size]] if is_named else []
        at += -(-size // _BLOCK) * _BLOCK
    return contents


def _read_metadata(directory: Path, owners: set[int] | None, here: Path, *, reads_cargo: bool) -> Metadata:
    names = {name: display_name(directory / name, here) for name in (_PYPROJECT, _SETUP_CFG, _SETUP_PY, _CARGO)}
    files = {
        name: shown
        for name, shown in names.items()
        if status(directory / name, shown) and is_trusted(directory / name, owners)
    }
    shown = files.get(_PYPROJECT, "")
    content = read_table(directory / _PYPROJECT, here).content if shown else {}
    name = next(filter(None, (entry(content, *place.split(".")) for place in _NAMES)), None)
    if not name and _SETUP_CFG in files:
        shown = files[_SETUP_CFG]
        name = read_ini(directory / _SETUP_CFG, shown).get("metadata", {}).get("name")
    reads_cargo = reads_cargo or entry(content, "build-system", "build-backend") == "maturin"
    if not name and reads_cargo and _CARGO in files:
        shown = files[_CARGO]
        name = entry(read_table(directory / _CARGO, here).content, "package", "name")
    if name is not None and not isinstance(name, str):
        raise PolicyError(f"the project's name in {shown} is not text: write it in quotes.")
    if not reads_cargo:
        files.pop(_CARGO, None)
    return Metadata(directory, frozenset(files), _projects([name], shown) if name else None)


def _workspace_members(directory: Path) -> list[Path]:
    """List the directories that a workspace of uv is made of (uv, "Using workspaces")."""
    table = entry(read_table(directory / _PYPROJECT, directory).content, "tool", "uv", "workspace")
    members, excluded = (
        {Path(path) for text in listed(table, key) for path in expand(directory, str(text), as_rust=True)}
        for key in ("members", "exclude")
    )
    inside = [path for path in sorted(members - excluded) if path.resolve().is_relative_to(directory.resolve())]
    return [path for path in inside if is_directory(path, path.name)]
