"""What asks keyring: which program it is, with which arguments, in which directory, and whether it uploads."""

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

    from keyring_pypitoken.uploaders.options import Parsed
    from keyring_pypitoken.uploaders.uploader import State, Uploader

_PYTHON = r"(?i)(?:python|pypy)[0-9.]*w?"
_PIP = r"(?i)pip[0-9.]*"
_PIP_ASKS = "pip._internal.network.auth"  # also of a copy, as in pipenv
_UV_MOVES = ("UV_WORKING_DIR", "UV_WORKING_DIRECTORY")  # then uv runs the program in another directory
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
    ("env",): Grammar("-u/--unset", ""),
    ("nohup",): Grammar("", ""),
    ("time",): Grammar("", "-p"),
    ("timeout",): Grammar("-k/--kill-after -s/--signal", ""),
    ("uvx",): _UV_RUN,
    ("uv", "tool", "run"): _UV_RUN,
    ("uv", "run"): _UV_RUN,
    ("pipx", "run"): Grammar("--spec --python --index-url", "--no-cache --quiet -q --verbose -v"),
    ("poetry", "run"): Grammar("", ""),
    ("pdm", "run"): Grammar("-p/--project --venv", "-q/--quiet -v/--verbose"),
    ("hatch", "run"): Grammar("", ""),
}
_INSTALLERS = ("uvx", "uv", "pipx", "poetry", "pdm", "hatch")  # these install what they run, and may ask for that
_MAX_BYTES = 10_000_000  # of a command line


def asker() -> Process:
    """Return what asks keyring: this process, or what started the `keyring` command.

    Its state is known, and its directory the root if its own is gone.

    Raises:
        Refusal: what started the `keyring` command cannot be read, and may be an uploader.
    """
    if is_keyring_command():
        return _parent()
    arguments = tuple(sys.argv[1:])
    program = _program_name(sys.argv[0]) if sys.argv else ""
    named = find_uploader(program)
    running, files = _running_upload()
    if running is not None:
        arguments = arguments if running is named else ()
        return Process(running.name, arguments, _directory(), os.environ, files=files, state="uploading")
    process = Process(program, arguments, _directory(), os.environ)
    if named is not None and named.module in sys.modules:
        return process._replace(state="uploading" if named.is_uploading(process) else "other")
    if _is_pip(program) or any(name.endswith(_PIP_ASKS) for name in sys.modules):
        return process._replace(state="other")
    # A script that has loaded an uploader may upload with it as a library, which goes on to other credentials.
    state = "uploading" if all_uploaders(among=sys.modules) else "unknown"
    return process._replace(program="" if named else program, state=state)


def is_keyring_command() -> bool:
    """Return True if this process is `keyring` or `python -m keyring`, and not a program that uses the library."""
    return "keyring.cli" in sys.modules and bool(sys.argv) and _program_name(sys.argv[0]) == "keyring"


def parent_process() -> Process | None:
    """Return what started this `keyring` command; None in other programs, or if it cannot be read."""
    return recall("parent", _find_parent)[1] if is_keyring_command() else None


def parent_number() -> int:
    """Return the id of the process that started this `keyring` command, to recognize it if it asks again."""
    return recall("parent", _find_parent)[0]


def read_command_line(words: Sequence[str], directory: Path, environ: Mapping[str, str]) -> Process:
    """Return the process that a command line starts, looking through interpreters and launchers.

    What cannot be looked through, such as a shell's `-c`, has no name and no arguments: no evidence is better than
    wrong evidence. Variables that `env` sets are in the result's environment. The state is `other` for pip, and for
    what a launcher installs before.
    """
    rest, environ = list(words), dict(environ)
    state: State = "unknown"
    while rest:
        name = _program_name(rest[0])
        if re.fullmatch(_PYTHON, name):
            rest = _behind_python(rest[1:])
            continue
        launcher = next((known for known in _LAUNCHERS if (name, *rest[1 : len(known)]) == known), None)
        if launcher is None:
            state = "other" if _is_pip(name) else state
            return Process(name, tuple(rest[1:]), directory, environ, state=state)
        state = "other" if name in _INSTALLERS else state
        parsed = _LAUNCHERS[launcher].parse(rest[len(launcher) :], stop=True)
        moves = name in ("uv", "uvx") and any(map(environ.get, _UV_MOVES))
        rest = [] if parsed.unknown or moves else _behind(name, parsed, environ)
    return Process("", (), directory, environ, state=state)


def _is_pip(program: str) -> bool:
    """Return True only if that is sure: an asker that is taken for pip gets no token."""
    match = re.fullmatch(_PIP, program)
    return match is not None and match[0] == program


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


def _parent() -> Process:
    # uv and pdm start `keyring get` in their own directory, and only their own command line names files.
    process = parent_process()
    if process is None:
        if not sys.stdout.isatty():  # uv and pdm read what is printed; a person sees it
            raise Refusal(
                "the program that started `keyring` cannot be seen, so it is unknown whether it uploads: run "
                "`keyring-pypitoken exec -- uv publish`, or the like for your uploader."
            )
        return Process("", (), _directory(), os.environ, is_parent=True)
    uploader, arguments = process.uploader, process.arguments
    if uploader is None or process.state == "other":
        return process
    # The first word decides that is a subcommand, and not the value of a known option.
    known = uploader.subcommands.split()
    while known and (name := uploader.parse(arguments).name) and name not in known:
        arguments = arguments[arguments.index(name) + 1 :]
    process = process._replace(arguments=arguments)
    return process._replace(state="uploading" if uploader.is_uploading(process) else "other")


def _find_parent() -> tuple[int, Process | None]:
    """Return the id of what started this `keyring` command, and that; None if it cannot be read.

    What only runs it, with its very arguments, is passed over: `uv run`, `timeout`, and on Windows the launcher
    keyring.exe and the python.exe of an environment, which are processes of their own.
    """
    try:
        for pid, words in ancestors():
            process = read_command_line(words, _directory(), os.environ)
            if (process.program, process.arguments) != ("keyring", tuple(sys.argv[1:])):
                return pid, process._replace(is_parent=True)
    except OSError:
        return 0, None
    return 0, Process("", (), _directory(), os.environ, is_parent=True)


def ancestors() -> Iterator[tuple[int, list[str]]]:
    """Yield the id and command line of what started this process, of what started that, and so on, while they run.

    On Linux it is one process, and none if this one was started from outside of its container.

    Raises:
        OSError: a command line cannot be read.
    """
    if sys.platform != "linux":
        yield from _by_psutil()
    elif pid := os.getppid():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            yield pid, _checked(os.fsdecode(file.read(_MAX_BYTES)).removesuffix("\0").split("\0"))


def _by_psutil() -> Iterator[tuple[int, list[str]]]:
    try:
        import psutil  # type: ignore[import-untyped]  # it has no types
    except ImportError:
        raise ProcessLookupError from None
    try:
        process = psutil.Process().parent()  # None if it has ended, even if another process has its id now
        while process is not None:
            yield process.pid, _checked(process.cmdline())
            process = process.parent()
    except psutil.Error:
        raise ProcessLookupError from None


def _checked(words: list[str]) -> list[str]:
    if not any(words):  # it is about to end, or hides its arguments
        raise ProcessLookupError
    return words


def _behind_python(words: list[str]) -> list[str]:
    while words and words[0].startswith("-") and words[0] not in ("-m", "-c", "-"):
        words = words[2 if words[0] in ("-W", "-X") else 1 :]
    if not words or words[0] in ("-c", "-"):
        return []
    return words[1:] if words[0] == "-m" else words


def _behind(launcher: str, parsed: Parsed, environ: dict[str, str]) -> list[str]:
    """Return the command that a launcher runs, without what it adds to the program's name; `env` changes variables."""
    words = [*parsed.positional_args, *parsed.rest]
    if launcher == "env":
        for _, name in parsed.options:
            environ.pop(name or "", None)
        while words and "=" in words[0]:
            name, _, environ[name] = words.pop(0).partition("=")
    elif launcher == "timeout":
        words = words[1:]
    elif words and launcher in ("uvx", "uv", "pipx"):
        words[0] = words[0].partition("@")[0].partition("==")[0]  # uvx twine@6.1.0
    elif words and launcher == "hatch":
        words[0] = words[0].rpartition(":")[2]  # hatch run ENVIRONMENT:twine
    return words


def _program_name(path: str) -> str:
    """Return what a program is called: `twine` for twine, twine.exe, twine-script.py and twine/__main__.py."""
    if sys.platform == "win32":
        path = path.replace("\\", "/").lower()
    directory, name = posixpath.split(path)
    if name in ("__main__.py", "__pip-runner__.py"):
        return posixpath.basename(directory)
    stem, ending = posixpath.splitext(name)
    if ending in (".exe", ".py", ".pyw"):
        name = stem.removesuffix("-script")
    return name if name.isprintable() else ""  # it is shown to people
