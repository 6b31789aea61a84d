"""What the uploaders' command lines say: which files they upload, and which project they were pointed at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.files import read_text
from keyring_pypitoken.policy.model import Origin
from keyring_pypitoken.toml import entry, load_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from keyring_pypitoken.uploaders.process import Process

# Options whose next argument is their value, and no file to upload. Twine's long ones may be abbreviated (argparse).
_TWINE_OPTIONS = (
    "--repository", "--repository-url", "--sign-with", "--identity", "--username", "--password", "--comment",
    "--config-file", "--cert", "--client-cert",
)  # fmt: skip
# Twine's short ones, then those of hatch and of uv.
_OTHER_OPTIONS = (
    "-r", "-i", "-u", "-p", "-c",
    "--user", "-a", "--auth", "--repo", "-o", "--option", "--ca-cert", "--client-key", "--publisher", "--project",
    "-e", "--env", "--data-dir", "--cache-dir", "--config",
    "-t", "--token", "--index", "--publish-url", "--check-url", "--keyring-provider", "--directory",
    "--trusted-publishing", "--allow-insecure-host", "--color",
)  # fmt: skip


# The option, short and long, and the variable by which an uploader is pointed at a project.
_POINTERS = {
    "flit": ("-f", "--ini-file", ""),
    "pdm": ("-p", "--project", "PDM_PROJECT"),
    "poetry": ("-P", "--project", ""),
    "hatch": ("-p", "--project", "HATCH_PROJECT"),
}
_PROJECT_FILES = ("pyproject.toml", "setup.py")  # what makes a directory a project of hatch


def project_directory(process: Process) -> Path:
    """Return the directory of the project that the uploader was pointed at, else the one it runs in.

    Raises:
        Refusal: the file that tells it cannot be read.
    """
    if process.program == "hatch":
        named = _hatch_project(process)
    else:
        named = _pointed_at(process, process.arguments)
        if named and process.program == "flit":  # which is given the file itself
            named = os.path.dirname(named)
    return Path(os.path.normpath(process.directory / named)) if named else process.directory


def files_directory(process: Process, project: Path) -> Path:
    """Return the directory that the files in the arguments are relative to.

    Args:
        process: the uploader.
        project: the directory of its project.
    """
    return _hatch_root(project) or project if process.program == "hatch" else process.directory


def positional_args(process: Process) -> Iterator[str]:
    """Yield the arguments that are neither options nor values of options, and the files that uv takes by itself."""
    found = list(_positional_args(process.arguments))
    yield from found
    if process.program == "uv" and found == ["publish"]:
        yield "dist/*"


def _positional_args(arguments: Sequence[str]) -> Iterator[str]:
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            yield from rest
        elif not argument.startswith("-"):
            yield argument
        elif _takes_value(argument):
            next(rest, None)


def _takes_value(option: str) -> bool:
    # Twine's --sign takes none, and is no abbreviation of --sign-with.
    return option in _OTHER_OPTIONS or (
        option.startswith("--") and option != "--sign" and any(known.startswith(option) for known in _TWINE_OPTIONS)
    )


def _pointed_at(process: Process, arguments: Sequence[str]) -> str | None:
    """Return what the uploader's own option says, else its variable."""
    if process.program not in _POINTERS:
        return None
    short, long, variable = _POINTERS[process.program]
    return _last_value(arguments, short, long) or process.environ.get(variable)


def _last_value(arguments: Sequence[str], short: str, long: str) -> str | None:
    """Return the value of an option, the last one counting, in any of the spellings that parsers know."""
    found: str | None = None
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument == "--":
            break
        if argument == short or (len(name) > len("--p") and long.startswith(name)):
            found = value if equals else next(rest, None)
        elif argument.startswith(short) and not argument.startswith("--"):
            found = argument[len(short) :].removeprefix("=")
    return found


def _hatch_project(process: Process) -> str | None:
    """Return the directory of the project that hatch was pointed at: by a name, which its configuration maps."""
    arguments = process.arguments
    if "publish" in arguments:  # whose own -p names a plugin
        arguments = arguments[: arguments.index("publish")]
    config = _hatch_config(process, _last_value(arguments, "--config", "--config"))
    name: object = _pointed_at(process, arguments)
    mode = config.get("mode")
    if not name and (mode == "project" or (mode == "aware" and _hatch_root(process.directory) is None)):
        name = config.get("project")
    if not isinstance(name, str) or not name:
        return None
    found = entry(config, "projects", name)
    location = found.get("location") if isinstance(found, dict) else found
    if isinstance(location, str) and location:
        return location
    directories = entry(config, "dirs", "project")
    candidates = [os.path.join(directory, name) for directory in directories] if isinstance(directories, list) else []
    return next((directory for directory in candidates if os.path.isdir(process.directory / directory)), None)


def _hatch_config(process: Process, named: str | None) -> dict[str, Any]:
    """Read hatch's own configuration, as TOML."""
    path = named or process.environ.get("HATCH_CONFIG")
    if not path:
        import platformdirs

        path = os.path.join(platformdirs.user_config_dir("hatch", appauthor=False), "config.toml")
    file = process.directory / path
    return load_toml(read_text(file, str(file)) or "", Origin(str(file)))


def _hatch_root(directory: Path) -> Path | None:
    for candidate in (directory, *directory.parents):
        if any(os.path.isfile(candidate / name) for name in _PROJECT_FILES):
            return candidate
    return None
