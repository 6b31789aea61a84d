"""The process that asks: which program it is, with which arguments, in which directory; or its parent's."""

from __future__ import annotations

import functools
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.exceptions import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PYTHON_OPTIONS = ("-W", "-X")  # those of the interpreter that take a value
# What the uploaders that ask within their own process are doing when they ask for a token, and when they store one.
# Missing: pdm, which stores one between two uploads of `publish` and passes over a failure.
_ASKING = {
    "twine": ("upload", "register"),
    "flit": ("publish",),
    "hatch": ("publish",),
    "poetry": ("publish",),
    "pdm": ("publish",),
    "devpi": ("push",),
}
_STORING = {"flit": ("publish",), "hatch": ("publish",), "poetry": ("config",), "pdm": ("config",)}
_MAX_BYTES = 10_000_000


# No dataclass: making one would cost each `keyring get` most of a millisecond.
class Process(NamedTuple):
    """What tells which upload a lookup is for.

    Attributes:
        program: the name of the program, such as `twine`.
        arguments: its command line without the program.
        directory: its current directory.
        environ: its environment.
        is_parent: whether that is the process which started this one.
    """

    program: str
    arguments: tuple[str, ...]
    directory: Path
    environ: Mapping[str, str]
    is_parent: bool = False


def this_process() -> Process:
    """Describe the running process, or its parent where this is the `keyring` command.

    Raises:
        Refusal: its directory is gone.
    """
    try:
        directory = Path(os.getcwd())
    except OSError:
        raise Refusal("the current directory does not exist any more: change to one that does.") from None
    if not is_keyring_command():
        return Process(_program_name(sys.argv[0]) if sys.argv else "", tuple(sys.argv[1:]), directory, os.environ)
    # uv and pdm start `keyring get`, in their own directory, and only their own command line names files.
    program, arguments = read_command_line(_parents_command_line())
    return Process(program, arguments, directory, os.environ, is_parent=True)


def is_keyring_command() -> bool:
    """Return True if this process is `keyring` or `python -m keyring`, and not a program that uses the library."""
    return _is_program("keyring", "keyring.cli")


def started_by() -> str:
    """Return the name of the program that started this `keyring` command; empty where this is another program."""
    return read_command_line(_parents_command_line())[0] if is_keyring_command() else ""


def is_uploading() -> bool:
    """Return True if this process is an uploader that asks for the token of an upload."""
    return _does(_ASKING)


def stores_a_token() -> bool:
    """Return True if this process is an uploader that stores what was typed, and should not go on if it cannot."""
    return _does(_STORING)


def read_command_line(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Tell the program and its arguments from a command line, which may begin with a Python interpreter.

    Args:
        words: the command line.

    Returns:
        The program's name, empty where it has none, and its arguments.
    """
    rest = list(words)
    if rest and re.fullmatch(r"(python|pypy)[0-9.]*w?", _program_name(rest[0]).lower()):
        del rest[0]
        while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
            del rest[: 2 if rest[0] in _PYTHON_OPTIONS else 1]
        if rest and rest[0] == "-c":
            return "", tuple(rest[2:])
        if rest and rest[0] == "-m":
            del rest[0]
    return (_program_name(rest[0]), tuple(rest[1:])) if rest else ("", ())


def _does(commands: Mapping[str, tuple[str, ...]]) -> bool:
    return any(
        _is_program(program, program) and not set(names).isdisjoint(sys.argv[1:]) for program, names in commands.items()
    )


def _is_program(name: str, module: str) -> bool:
    return module in sys.modules and bool(sys.argv) and _program_name(sys.argv[0]) == name


def _program_name(path: str) -> str:
    """Return what a program is called: `twine` for twine, twine.exe, twine-script.py and twine/__main__.py."""
    directory, name = os.path.split(os.path.normcase(path))
    if name == "__main__.py":
        return os.path.basename(directory)
    stem, ending = os.path.splitext(name)
    if ending in (".exe", ".py", ".pyw"):
        name = stem.removesuffix("-script")
    return name if name.isprintable() else ""  # it is shown to people


@functools.cache
def _parents_command_line() -> list[str]:
    """Return the command line of the process that started this one; nothing where that cannot be told."""
    read = _READERS.get(sys.platform)
    if read is None:
        return []
    import subprocess

    try:
        return read(os.getppid())
    except (OSError, subprocess.SubprocessError):
        return []


def _from_proc(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        data = file.read(_MAX_BYTES)
    return os.fsdecode(data).rstrip("\0").split("\0")


def _from_ps(pid: int) -> list[str]:
    import subprocess

    # It separates arguments by spaces: one that holds a space comes in parts, of which the last still names a file.
    command = ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=10)  # noqa: S603 - all but a number is fixed
    return os.fsdecode(done.stdout).split()


_READERS: dict[str, Callable[[int], list[str]]] = {"linux": _from_proc, "darwin": _from_ps}
