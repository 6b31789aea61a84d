"""A program that prints the master: a password manager's command, named by `command` in [store].

It is a plain child, started without a shell: it may ask on our terminal, and has two minutes. What it prints is never
shown.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.exceptions import LoaderError, Refusal
from keyring_pypitoken.files import find_program
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.memory import forget, recall
from keyring_pypitoken.notices import notify
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.text import quoted
from keyring_pypitoken.tokens.macaroon import read_text
from keyring_pypitoken.vault import terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

GUARD = "KEYRING_PYPITOKEN_COMMAND"
_MAX_BYTES = 64 * 1024
_NOTICE_SECONDS = 3
_LIMIT_SECONDS = 120
_REMEMBERED_SECONDS = 60  # an uploader asks several times for one upload
_SLICE_SECONDS = 0.01
_ONLY = "let it print the token only"


def refuse_recursion(environ: Mapping[str, str]) -> None:
    """Refuse a lookup (raise a Refusal) that was started by the very program that answers it."""
    if environ.get(GUARD):
        raise Refusal(
            "the program that [store] names as `command` asks keyring for the same token, which would never end: "
            "name one that reads the master from elsewhere."
        )


class CommandStore(NamedTuple):
    """A program that prints the master of one account, or a token for one upload; it cannot store any."""

    command: tuple[str, ...]  # the program and its arguments, in which the names below in braces are replaced
    repository: str  # its name, such as `pypi`
    account: str
    projects: tuple[str, ...] = ()  # normalized names
    domain: str = PYPI.domain  # the location that its tokens have

    def find(self, platform: str = os.name) -> str:
        """Return the path of the program; a missing one is a Refusal."""
        ending = os.path.splitext(self.command[0])[1].lower() if platform == "nt" else ""
        if ending in (".bat", ".cmd"):
            raise self._refusal("is a batch file, which runs its arguments as commands: name an .exe instead")
        if ending == ".py":
            raise self._refusal('is a Python script, which Windows does not start: name "py.exe" before it')
        if (program := find_program(self.command[0], os.environ)) is None:
            raise self._refusal(
                "is not found: install it in an absolute directory of PATH, or name it by its absolute path"
            )
        return program

    def read_master(self) -> MasterToken:
        """Return the token that the program prints, else refuse. It is remembered for a minute."""
        refuse_recursion(os.environ)
        key = ("command", self)
        known: tuple[MasterToken, float] | None = recall(key, lambda: None)
        if known is None or time.monotonic() > known[1]:
            forget(key)
            master = self._run()
            known = recall(key, lambda: (master, time.monotonic() + _REMEMBERED_SECONDS))
        return known[0]

    def _run(self) -> MasterToken:
        outcome: list[MasterToken | str | None] = []
        arguments = [self.find(), *map(self._replaced, self.command[1:])]
        try:
            process = _start(arguments)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise self._refusal(f"cannot be started ({reason}): repair it") from None
        try:
            threading.Thread(target=_read, args=(process, self.domain, outcome), daemon=True).start()
            self._wait_for(outcome)
        finally:
            if process.poll() is None:
                process.kill()
        if not outcome:
            raise self._refusal(f"did not end within {_LIMIT_SECONDS} seconds: see what it waits for")
        if not isinstance(master := outcome[0], MasterToken):
            raise self._refusal(master or "could not be read: try again")
        return master

    def _replaced(self, argument: str) -> str:
        if "{projects}" in argument and not self.projects:
            raise self._refusal("is given the projects of an upload, and none is known: name them with --project")
        values = {"repository": self.repository, "account": self.account, "projects": ",".join(self.projects)}
        for name, value in values.items():
            argument = argument.replace(f"{{{name}}}", value)
        return argument

    def _wait_for(self, outcome: list[MasterToken | str | None]) -> None:
        """Wait by looking: Ctrl-C while a thread is joined can leave Python's own lock in disorder."""
        start, is_noticed = time.monotonic(), False
        while not outcome and (waited := time.monotonic() - start) < _LIMIT_SECONDS:
            if waited > _NOTICE_SECONDS and not is_noticed:
                notify(f"waiting for {self} to print the token, for at most {_LIMIT_SECONDS} seconds")
                is_noticed = True
            time.sleep(_SLICE_SECONDS)

    def __str__(self) -> str:
        return f"the program {quoted(self.command[0])}"

    def _refusal(self, reason: str) -> Refusal:
        return Refusal(f"{self}, which [store] names as `command`, {reason}.")


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start the program, with our stdin and stderr if somebody can answer."""
    nobody = sys.stdin is None or (os.isatty(0) and not terminal.has_terminal())
    return subprocess.Popen(  # noqa: S603 - the user's own choice of a program; a project's policy has no [store]
        arguments,
        stdin=subprocess.DEVNULL if nobody else None,
        stdout=subprocess.PIPE,
        stderr=None if sys.stderr else subprocess.DEVNULL,
        env=os.environ | {GUARD: "1"},
    )


def _read(process: subprocess.Popen[bytes], domain: str, outcome: list[MasterToken | str | None]) -> None:
    """Put in what the program prints, what went wrong as the rest of a sentence, or None. A thread runs this."""
    with contextlib.suppress(BaseException):  # `threading.excepthook` would be given the frames with the master
        outcome.append(_outcome(process, domain))
    if not outcome:
        outcome.append(None)


def _outcome(process: subprocess.Popen[bytes], domain: str) -> MasterToken | str:
    with process:
        data: bytes = process.stdout.read(_MAX_BYTES + 1) if process.stdout else b""
        if len(data) > _MAX_BYTES:
            process.kill()
            return f"printed more than {_MAX_BYTES // 1024} KiB: {_ONLY}"
    status = process.returncode
    if status != 0:
        known = {-number.value: number.name for number in signal.Signals}
        reason = f"exit code {status}" if status > 0 else known.get(status, f"signal {-status}")
        return f"failed ({reason}): run it by hand to see why"
    text = data.decode("utf-8", "replace").strip()
    return _problem_of(text, domain) or MasterToken(text)


def _problem_of(text: str, domain: str) -> str:
    """Return why a text is not a token, as the rest of a sentence; an empty text if it is one."""
    lines = len(text.splitlines())
    if not text:
        return "printed nothing: see whether it holds the token"
    if text[0] in "{[":
        return f"printed JSON: {_ONLY}"
    if lines > 1:
        return f"printed {lines} lines: {_ONLY}"
    if text[0] in "'\"`":
        return f"printed the token in quotes: {_ONLY}"
    parsed = read_text(text)
    if not isinstance(parsed, LoaderError) and parsed[0] == "pypi":
        location = parsed[1].location
        return "" if location == domain else f"printed a token for {quoted(location)}, not for {domain!r}: correct it"
    if text.startswith("pypi-"):
        return "printed a token that is cut short or damaged: store all of it there"
    return f"printed {'more than the token' if 'pypi-' in text else 'no PyPI token'}: {_ONLY}"
