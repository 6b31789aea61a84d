"""What asks keyring: which program it is, with which arguments, in which directory, and whether it uploads."""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import current_directory
from keyring_pypitoken.memory import recall
from keyring_pypitoken.record import Record
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.uploader import Process, all_uploaders, find_uploader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyring_pypitoken.uploaders.uploader import Uploader

_PYTHON = r"(?i)(?:python|pypy)[0-9.]*w?"
_PIP = r"(?i)pip[0-9.]*"
_PIP_ASKS = "pip._internal.network.auth"  # also of a copy, as in pipenv
_UV_MOVES = ("UV_WORKING_DIR", "UV_WORKING_DIRECTORY")  # then uv runs the program in another directory
_ENV = Grammar("-u/--unset", "")
_UV_RUN = Grammar(
    "-w/--with --with-editable --with-requirements --from --extra --no-extra --group --no-group --only-group "
    "-p/--python --project --env-file --package --index --default-index --cache-dir --config-file --color",
    "-q/--quiet -v/--verbose --frozen --locked --exact --no-sync --isolated --active --no-project --all-extras "
    "--all-groups --dev --no-dev --only-dev --no-default-groups --all-packages --no-editable --no-env-file "
    "-m/--module --offline -n/--no-cache --no-config --no-progress --no-sources --managed-python --no-managed-python",
)
# Programs that run the rest of their command line. Behind an option that is not listed it is not known where that
# begins, and no evidence is better than wrong evidence.
_LAUNCHERS = {
    ("nohup",): Grammar("", ""),
    ("time",): Grammar("", "-p"),
    ("timeout",): Grammar("-k/--kill-after -s/--signal", ""),
}
# These install what they run, and may ask keyring for that.
_INSTALLERS = {
    ("uvx",): _UV_RUN,
    ("uv", "tool", "run"): _UV_RUN,
    ("uv", "run"): _UV_RUN,
    ("pipx", "run"): Grammar("--spec --python --index-url", "--no-cache --quiet -q --verbose -v"),
    ("poetry", "run"): Grammar("", ""),
    ("pdm", "run"): Grammar("-p/--project --venv", "-q/--quiet -v/--verbose"),
    ("hatch", "run"): Grammar("", ""),
}


State = Literal["uploading", "other", "unknown"]


def _is_pip(program: str) -> bool:
    name = re.fullmatch(_PIP, program)
    return name is not None and name[0] == program


class Asker(Record):
    """What asks keyring.

    Attributes:
        process: this process; or the one that started the `keyring` command.
        state: `uploading`; `other` for an uploader's program, or pip, that does not upload; `unknown` for any other
            program, such as a script or a person's shell.
    """

    process: Process
    state: State


def asker() -> Asker:
    """Return what asks keyring; it is in the root directory if its own is gone.

    Raises:
        Refusal: what started the `keyring` command cannot be read, and may be an uploader.
    """
    if is_keyring_command():
        return _parent()
    arguments = tuple(sys.argv[1:])
    program = _program_name(sys.argv[0], sys.platform) if sys.argv else ""
    named = find_uploader(program)
    running, files = _running_upload()
    if running is not None:
        arguments = arguments if running is named else ()
        return Asker(Process(running.name, arguments, _directory(), os.environ, files=files), "uploading")
    process = Process(program, arguments, _directory(), os.environ)
    if named is not None and named.module in sys.modules:
        return Asker(process, "uploading" if named.is_uploading(process) else "other")
    if _is_pip(program) or any(name.endswith(_PIP_ASKS) for name in sys.modules):
        return Asker(process, "other")
    # A script that has loaded an uploader may upload with it as a library, which goes on to other credentials.
    state: State = "uploading" if all_uploaders(among=sys.modules) else "unknown"
    return Asker(process._replace(program="" if named else program), state)


def is_keyring_command() -> bool:
    """Return True if this process is `keyring` or `python -m keyring`, and not a program that uses the library."""
    return "keyring.cli" in sys.modules and bool(sys.argv) and _program_name(sys.argv[0], sys.platform) == "keyring"


def parent_process() -> Process | None:
    """Return what started this `keyring` command; None in other programs."""
    if not is_keyring_command():
        return None
    try:
        return _parent().process
    except Refusal:
        return Process("", (), _directory(), os.environ, is_parent=True)


def parent_number() -> int:
    """Return the id of the process that started this `keyring` command, to recognize it if it asks again."""
    return recall("parent", _find_parent)[0]


def read_command_line(
    words: Sequence[str], directory: Path, environ: Mapping[str, str], platform: str = sys.platform
) -> Process:
    """Return the process that a command line starts, looking through interpreters and launchers.

    What cannot be looked through, such as a shell's `-c`, has no name and no arguments: no evidence is better than
    wrong evidence. Variables that `env` sets are in the result's environment.
    """
    return _read(words, directory, environ, platform)[0]


def _directory() -> Path:
    try:
        return current_directory()
    except Refusal:
        return Path(os.sep)


def _running_upload() -> tuple[Uploader | None, tuple[Path, ...] | None]:
    """Return whose function that uploads is on the call stack, and the files it was given, if they are known there.

    No reference to a frame is left, and none to what else is in it: an uploader's frames hold secrets.
    """
    hooks = {
        name: (uploader, read)
        for uploader in all_uploaders(among=sys.modules)
        for name, read in uploader.upload_functions.items()
    }
    asking: Uploader | None = None
    frame = sys._getframe() if hooks else None  # noqa: SLF001 - the one way to see the callers' arguments
    while frame is not None:
        uploader, read = hooks.get(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}", (None, None))
        if uploader is not None and read is not None:
            try:
                files = read(frame.f_locals)
                if files is not None:
                    return uploader, tuple(Path(os.path.abspath(name)) for name in files)
            except Exception:  # noqa: BLE001 - another version of the uploader: nothing is known, and it is refused
                return uploader, ()
        elif asking is None:
            asking = uploader
        frame = frame.f_back
    return asking, None


def _parent() -> Asker:
    # uv and pdm start `keyring get` in their own directory, and only their own command line names files.
    words = recall("parent", _find_parent)[1]
    if words is None and not sys.stdout.isatty():  # uv and pdm read what is printed; a person sees it
        raise Refusal(
            "the program that started `keyring` cannot be seen, so it is unknown whether it uploads: run "
            "`keyring-pypitoken exec -- uv publish`, or the like for your uploader."
        )
    process, is_installed = _read(words or (), _directory(), os.environ, sys.platform)
    process = process._replace(is_parent=True)
    uploader = process.uploader
    if is_installed or _is_pip(process.program):
        return Asker(process, "other")
    if uploader is None:
        return Asker(process, "unknown")
    process = process._replace(arguments=_skip_unknown(uploader, process.arguments))
    return Asker(process, "uploading" if uploader.is_uploading(process) else "other")


def _skip_unknown(uploader: Uploader, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out what comes before the first word that is a subcommand and not the value of a known option."""
    known = uploader.subcommands.split()
    while known and (name := uploader.parse(arguments).name) and name not in known:
        arguments = arguments[arguments.index(name) + 1 :]
    return arguments


def _find_parent() -> tuple[int, list[str] | None]:
    """Return the id and command line of what started this `keyring` command; None if that cannot be read.

    What only runs it, with its very arguments, is passed over: `uv run`, `timeout`, and on Windows the launcher
    keyring.exe and the python.exe of an environment, which are processes of their own.
    """
    from keyring_pypitoken.uploaders.parent import ancestors

    try:
        for pid, words in ancestors():
            process = read_command_line(words, Path(), os.environ, sys.platform)
            if (process.program, process.arguments) != ("keyring", tuple(sys.argv[1:])):
                return pid, words
    except OSError:
        return 0, None
    return 0, []


def _read(words: Sequence[str], directory: Path, environ: Mapping[str, str], platform: str) -> tuple[Process, bool]:
    """Return what `read_command_line` does, and whether something on that command line installs it."""
    rest: list[str] | None = list(words)
    environ = dict(environ)
    is_installed = False
    while rest:
        name = _program_name(rest[0], platform)
        if re.fullmatch(_PYTHON, name):
            rest = _behind_python(rest[1:])
        elif name == "env":
            rest = _behind_env(rest[1:], environ)
        else:
            launchers = _LAUNCHERS | _INSTALLERS
            launcher = next((known for known in launchers if (name, *rest[1 : len(known)]) == known), None)
            if launcher is None:
                return Process(name, tuple(rest[1:]), directory, environ), is_installed
            is_installed = is_installed or launcher in _INSTALLERS
            parsed = launchers[launcher].parse(rest[len(launcher) :], stop=True)
            moves = name in ("uv", "uvx") and any(map(environ.get, _UV_MOVES))
            rest = None if parsed.unknown or moves else _behind(name, [*parsed.positional_args, *parsed.rest])
    return Process("", (), directory, environ), is_installed


def _behind(launcher: str, words: list[str]) -> list[str]:
    """Return the command that a launcher runs, without what it adds to the program's name."""
    if launcher == "timeout" or not words:
        return words[1:]
    program, *arguments = words
    if launcher in ("uvx", "uv", "pipx"):
        program = program.partition("@")[0].partition("==")[0]  # uvx twine@6.1.0
    elif launcher == "hatch":
        program = program.rpartition(":")[2]  # hatch run ENVIRONMENT:twine
    return [program, *arguments]


def _behind_python(words: list[str]) -> list[str] | None:
    while words and words[0].startswith("-") and words[0] not in ("-m", "-c", "-"):
        words = words[2 if words[0] in ("-W", "-X") else 1 :]
    if not words or words[0] in ("-c", "-"):
        return None
    return words[1:] if words[0] == "-m" else words


def _behind_env(words: list[str], environ: dict[str, str]) -> list[str] | None:
    """Return the command that `env` runs, and change the environment as it does."""
    parsed = _ENV.parse(words, stop=True)
    for _, name in parsed.options:
        environ.pop(name or "", None)
    rest = [*parsed.positional_args, *parsed.rest]
    while rest and "=" in rest[0]:
        name, _, value = rest.pop(0).partition("=")
        environ[name] = value
    return None if parsed.unknown else rest


def _program_name(path: str, platform: str) -> str:
    """Return what a program is called: `twine` for twine, twine.exe, twine-script.py and twine/__main__.py."""
    if platform == "win32":
        path = path.replace("\\", "/").lower()
    directory, name = posixpath.split(path)
    if name in ("__main__.py", "__pip-runner__.py"):
        return posixpath.basename(directory)
    stem, ending = posixpath.splitext(name)
    if ending in (".exe", ".py", ".pyw"):
        name = stem.removesuffix("-script")
    return name if name.isprintable() else ""  # it is shown to people
