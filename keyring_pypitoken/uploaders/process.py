"""The process that asks: which program it is, with which arguments, in which directory; or its parent."""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import current_directory
from keyring_pypitoken.memory import recall
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.uploader import Process, all_uploaders, find_uploader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_INIT = 1  # the process that adopts orphans: its arguments are not those of whoever started them
_MOVING = ("UV_WORKING_DIR", "UV_WORKING_DIRECTORY")  # then uv runs it in another directory
# Programs that run the rest of their command line in another way. Options that are not listed give no evidence.
_LAUNCHERS = {
    ("nice",): Grammar("-n/--adjustment", ""),
    ("nohup",): Grammar("", ""),
    ("time",): Grammar("", "-p"),
    ("stdbuf",): Grammar("-i/--input -o/--output -e/--error", ""),
    ("setsid",): Grammar("", "-w/--wait"),
    ("timeout",): Grammar("-k/--kill-after -s/--signal", ""),
    ("uvx",): Grammar(
        "--from -w/--with -p/--python --index --cache-dir", "-q/--quiet --isolated --offline -n/--no-cache"
    ),
    ("uv", "tool", "run"): Grammar("--from -w/--with -p/--python --index", "-q/--quiet --isolated --offline"),
    ("uv", "run"): Grammar(
        "-w/--with --with-editable --with-requirements --extra --no-extra --group --no-group --only-group -p/--python "
        "--project --env-file --package --index --default-index --cache-dir --config-file --color",
        "-q/--quiet -v/--verbose --frozen --locked --exact --no-sync --isolated --active --no-project --all-extras "
        "--all-groups --dev --no-dev --only-dev --no-default-groups --all-packages --no-editable --no-env-file "
        "-m/--module --offline -n/--no-cache --no-config --no-progress --no-sources --managed-python "
        "--no-managed-python",
    ),
    ("pipx", "run"): Grammar("--spec --python --index-url", "--no-cache --quiet -q --verbose -v"),
}


def this_process() -> Process:
    """Return the running process, or its parent if this is the `keyring` command.

    Raises:
        Refusal: the current directory is gone.
    """
    directory = current_directory()
    if is_keyring_command():
        # uv and pdm start `keyring get` in their own directory, and only their own command line names files.
        return _parent(directory)
    program = _program_name(sys.argv[0], sys.platform) if sys.argv else ""
    uploader = find_uploader(program)
    if uploader is not None and uploader.module in sys.modules:
        return Process(program, tuple(sys.argv[1:]), directory, os.environ)
    for inside in all_uploaders(among=sys.modules):
        words = inside.find_inside()
        if words is not None:
            return Process(inside.name, words, directory, os.environ)
    # A program that only bears an uploader's name is none.
    return Process("" if uploader is not None else program, tuple(sys.argv[1:]), directory, os.environ)


def is_keyring_command() -> bool:
    """Return True if this process is `keyring` or `python -m keyring`, and not a program that uses the library."""
    return "keyring.cli" in sys.modules and bool(sys.argv) and _program_name(sys.argv[0], sys.platform) == "keyring"


def parent_process() -> Process | None:
    """Return what started this `keyring` command, in the root directory if its own is gone; None in other programs."""
    if not is_keyring_command():
        return None
    try:
        directory = current_directory()
    except Refusal:
        directory = Path(os.sep)
    return _parent(directory)


def _parent(directory: Path) -> Process:
    return read_command_line(_parents_command_line(), directory, os.environ, sys.platform)._replace(is_parent=True)


def read_command_line(
    words: Sequence[str], directory: Path, environ: Mapping[str, str], platform: str = sys.platform
) -> Process:
    """Return the process that a command line starts, looking through interpreters and launchers.

    What cannot be looked through, such as a shell's `-c`, has no name and no arguments: no evidence is better than
    wrong evidence. Variables that `env` sets are in the result's environment.
    """
    program, arguments, changes = _read(words, environ, platform)
    changed = {name: value for name, value in {**environ, **changes}.items() if value is not None}
    return Process(program, arguments, directory, changed)


def _read(
    words: Sequence[str], environ: Mapping[str, str], platform: str
) -> tuple[str, tuple[str, ...], dict[str, str | None]]:
    """Return the program, its arguments, and what `env` changes in its environment."""
    rest, changes = list(words), dict[str, "str | None"]()
    while rest:
        name = _program_name(rest[0], platform)
        if re.fullmatch(r"(python|pypy)[0-9.]*w?", name.lower()):
            found = _behind_python(rest[1:])
        elif name == "env":
            found = _behind_env(rest[1:], changes)
        else:
            launcher = next((known for known in _LAUNCHERS if (name, *rest[1 : len(known)]) == known), None)
            if launcher is None:
                return name, tuple(rest[1:]), changes
            moves = launcher[0] in ("uv", "uvx") and any({**environ, **changes}.get(name) for name in _MOVING)
            found = None if moves else _behind(launcher, rest[len(launcher) :])
        if found is None:
            break
        rest = found
    return "", (), changes


def _behind(launcher: tuple[str, ...], words: list[str]) -> list[str] | None:
    """Return the command that a launcher runs; None if an option is not known, so that it may be anywhere."""
    parsed = _LAUNCHERS[launcher].parse(words, stop=True)
    if parsed.unknown:
        return None
    found = [*parsed.positional_args, *parsed.rest]
    if launcher == ("timeout",):
        del found[:1]  # how long
    if found and launcher[0] in ("uvx", "uv", "pipx"):
        found[0] = found[0].partition("@")[0].partition("==")[0]  # uvx twine@6.1.0
    return found or None


def _behind_python(words: list[str]) -> list[str] | None:
    while words and words[0].startswith("-") and words[0] not in ("-m", "-c", "-"):
        words = words[2 if words[0] in ("-W", "-X") else 1 :]
    if not words or words[0] in ("-c", "-"):
        return None
    return words[1:] if words[0] == "-m" else words


def _behind_env(words: list[str], changes: dict[str, str | None]) -> list[str] | None:
    while words:
        word = words[0]
        if word in ("-u", "--unset") and len(words) > 1:
            changes[words[1]] = None
            words = words[2:]
        elif word == "--":
            return words[1:]
        elif word.startswith("-"):
            return None
        elif "=" in word:
            name, _, value = word.partition("=")
            changes[name] = value
            words = words[1:]
        else:
            return words
    return None


def _program_name(path: str, platform: str) -> str:
    """Return what a program is called: `twine` for twine, twine.exe, twine-script.py and twine/__main__.py."""
    if platform == "win32":
        path = path.replace("\\", "/").lower()
    directory, name = posixpath.split(path)
    if name == "__main__.py":
        return posixpath.basename(directory)
    stem, ending = posixpath.splitext(name)
    if ending in (".exe", ".py", ".pyw"):
        name = stem.removesuffix("-script")
    return name if name.isprintable() else ""  # it is shown to people


def parent_number() -> int:
    """Return the id of the process that started this `keyring` command, to recognize it if it asks again."""
    return _find_parent()[0]


def _parents_command_line() -> list[str]:
    """Return the command line of the process that started this one; nothing if it is unknown."""
    return _find_parent()[1]


def _find_parent() -> tuple[int, list[str]]:
    return recall("parent", lambda: _read_parent(sys.platform, os.getppid()))


def _read_parent(platform: str, pid: int) -> tuple[int, list[str]]:
    try:
        if platform == "win32":
            from keyring_pypitoken.uploaders import windows

            return _behind_launchers(windows.ancestors(os.getpid(), windows.look))
        from keyring_pypitoken.uploaders.parent import READERS

        return pid, READERS[platform](pid) if platform in READERS and pid > _INIT else []
    except OSError:
        return pid, []


def _behind_launchers(chain: Iterator[tuple[int, list[str]]]) -> tuple[int, list[str]]:
    """Return what started this `keyring` command on Windows: the first that does not run it with its arguments."""
    own = _read(next(chain)[1], {}, "win32")[:2]
    rest = chain if own[0] == "keyring" else ()
    return next((found for found in rest if _read(found[1], {}, "win32")[:2] != own), (0, []))
