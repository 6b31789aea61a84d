"""A program that prints the master: a password manager's command, named by `command` in [store].

It is started without a shell, may ask the user on the terminal, and has two minutes. What it prints is never shown.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import find_program
from keyring_pypitoken.memory import recall
from keyring_pypitoken.notices import notify
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.text import quoted
from keyring_pypitoken.vault import passphrase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

GUARD = "KEYRING_PYPITOKEN_COMMAND"
_TERMINAL = "/dev/tty"
_MAX_BYTES = 64 * 1024
_NOTICE_SECONDS = 5
_LIMIT_SECONDS = 120
_KILL_SECONDS = 5


def refuse_recursion(environ: Mapping[str, str]) -> None:
    """Refuse a lookup (raise a Refusal) that was started by the very program that answers it."""
    if environ.get(GUARD):
        raise Refusal(
            "the program that [store] names as `command` asks keyring for the same token, which would never end: "
            "name one that reads the master from elsewhere."
        )


class CommandStore(NamedTuple):
    """A program that prints the master of one account; it cannot store any."""

    command: tuple[str, ...]  # the program and its arguments, in which `{repository}` and `{account}` are replaced
    repository_name: str  # such as `pypi`
    account: str

    def __str__(self) -> str:
        return f"the program {quoted(self.command[0])}"

    def find(self) -> str:
        """Return the path of the program; a missing one is a Refusal."""
        if (program := find_program(self.command[0], os.environ)) is None:
            raise Refusal(
                f"{self}, which [store] names as `command`, is not found: install it in an absolute directory of PATH, "
                "or name it by its absolute path."
            )
        return program

    def read_master(self) -> MasterToken:
        """Return the one line that the program prints, else refuse. It runs once per process, even if it fails."""
        refuse_recursion(os.environ)
        outcome = recall(("command", self), self._run)
        if isinstance(outcome, str):
            raise Refusal(f"{self}, which [store] names as `command`, {outcome}.")
        return outcome

    def _run(self) -> MasterToken | str:
        """Return the master, or what went wrong as the rest of a sentence."""
        program = self.find()
        arguments = [
            part.replace("{repository}", self.repository_name).replace("{account}", self.account)
            for part in self.command[1:]
        ]
        running: _Running | None = None
        try:
            try:
                with interrupt_held():
                    running = _Running([program, *arguments])
            except (OSError, ValueError) as error:
                return f"cannot be started ({getattr(error, 'strerror', None) or type(error).__name__}): repair it"
            return self._wait_for(running)
        finally:
            if running is not None and running.reader.is_alive():
                _kill(running.process)
                running.reader.join(_KILL_SECONDS)

    def _wait_for(self, running: _Running) -> MasterToken | str:
        with _terminal_lent_to(running.process.pid):
            running.reader.join(_NOTICE_SECONDS)
            if running.reader.is_alive():
                notify(f"waiting for {self} to print the master, for at most {_LIMIT_SECONDS} seconds")
                running.reader.join(_LIMIT_SECONDS - _NOTICE_SECONDS)
        if running.reader.is_alive():
            return f"did not end within {_LIMIT_SECONDS} seconds: see what it waits for"
        if running.process.returncode == -signal.SIGINT:  # Ctrl-C went to the program, which had the terminal
            raise KeyboardInterrupt
        return running.outcome[0] if running.outcome else "could not be read: try again"


class _Running:
    """A program that was started, and the thread that reads what it prints."""

    def __init__(self, arguments: list[str]) -> None:
        self.outcome: list[MasterToken | str] = []
        self.process = _start(arguments)
        self.reader = threading.Thread(target=lambda: self.outcome.append(_outcome(self.process)), daemon=True)
        try:
            self.reader.start()
        except BaseException:
            _kill(self.process)
            raise


@contextlib.contextmanager
def interrupt_held() -> Iterator[None]:
    """Hold a Ctrl-C back until the end of a step that must not be stopped halfway."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield  # nothing is raised here
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *received: held.append(received))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(*held[0])


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start the program in a process group of its own, with our stdin and stderr if somebody can answer."""
    nobody = sys.stdin is None or (os.isatty(0) and not passphrase.has_terminal())
    settings: dict[str, Any] = {"process_group": 0}  # without effect on Windows
    nothing = subprocess.DEVNULL
    settings |= {"stdin": nothing if nobody else None, "stderr": None if sys.stderr else nothing}
    # The user's own choice of a program; a project's policy has no [store].
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, env=os.environ | {GUARD: "1"}, **settings)  # noqa: S603


def _outcome(process: subprocess.Popen[bytes]) -> MasterToken | str:
    """Read what a program prints and wait for its end; this frame is never part of a traceback."""
    with process:
        data: bytes = process.stdout.read(_MAX_BYTES + 1) if process.stdout else b""
        if len(data) > _MAX_BYTES:
            _kill(process)
            return f"printed more than {_MAX_BYTES // 1024} KiB: let it print the token only"
    status = process.returncode
    if status != 0:
        known = {-number.value: number.name for number in signal.Signals}
        reason = f"exit code {status}" if status > 0 else known.get(status, f"signal {-status}")
        return f"failed ({reason}): run it by hand to see why"
    lines = data.decode("utf-8", "replace").strip().splitlines()
    if not lines:
        return "printed nothing: see whether it holds the token"
    if len(lines) > 1:
        return f"printed {len(lines)} lines: let it print the token only"
    return MasterToken(lines[0])


def _kill(process: subprocess.Popen[bytes], platform: str = sys.platform) -> None:
    """Kill a program and what it started."""
    with contextlib.suppress(OSError):
        if platform == "win32":
            path = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
            if (tool := find_program(path, {})) is not None:
                words = [tool, "/F", "/T", "/PID", str(process.pid)]
                subprocess.run(words, capture_output=True, check=False)  # noqa: S603 - Windows' own
            process.kill()
        elif sys.platform != "win32":  # pragma: no branch - repeated for the type checker
            os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _terminal_lent_to(group: int) -> Iterator[None]:
    """Let a process group ask on the terminal that this one may ask on; a shell does the same for its jobs."""
    if sys.platform == "win32":  # pragma: no cover - which has no such groups
        yield
        return
    try:
        handle = os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY)
    except OSError:  # there is none
        yield
        return
    try:
        with contextlib.suppress(OSError):
            if os.tcgetpgrp(handle) == os.getpgrp():  # not from the background
                _set_foreground(handle, group)
                os.killpg(group, signal.SIGCONT)  # it may have asked already, which stopped it
        yield
    finally:
        with contextlib.suppress(OSError):
            if os.tcgetpgrp(handle) == group:
                _set_foreground(handle, os.getpgrp())
        os.close(handle)


def _set_foreground(handle: int, group: int) -> None:
    """Set who may read from the terminal, without being stopped for that in the background."""
    if sys.platform == "win32":  # pragma: no cover - it is not called there
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(handle, group)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
