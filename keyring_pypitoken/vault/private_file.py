"""A file that only its owner can read, replaced by one process at a time, and as a whole however a writer ends."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import insist

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK_SECONDS = 60  # another writer may wait for a touch, or for scrypt on a slow machine
_PAUSE = 0.05  # seconds between two tries


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Let one process at a time change a file, in a directory that is made if it is absent.

    The lock is a file beside it, which stays; the system releases it when its process ends. It is a Refusal if another
    process keeps it for a minute, or there can be none.
    """
    directory = os.path.dirname(path)
    remedy = f"make {directory} a directory that you can write"
    with contextlib.ExitStack() as held:
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            os.chmod(directory, 0o700)  # notes of accounts may have made it before
            remedy = f"delete {path}.lock if it is not yours, or let it be on a local disk"
            handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
            held.callback(os.close, handle)
            _wait_for_lock(handle, path)
        except OSError as error:  # the file system of a network may have no locks
            raise Refusal(f"{path} cannot be locked ({_reason(error)}): {remedy}.") from None
        yield


def replace_private(path: str, data: bytes) -> None:
    """Replace or make a file whose lock the caller holds; if it cannot be written it stays as it was: a Refusal."""
    new = f"{path}.new"
    _refuse_link(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)  # left by a writer that was stopped
        # Exclusive, so that nothing is written through a link or into another file, and 0600 from the start.
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        insist(lambda: os.replace(new, path))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise Refusal(
            f"{path} cannot be written ({_reason(error)}) and is as it was: make it a file that you can write, "
            "and try again."
        ) from None


def remove_private(path: str) -> None:
    """Remove a file whose lock the caller holds; if it cannot be removed that is a Refusal."""
    _refuse_link(path)
    try:
        insist(lambda: os.unlink(path))
    except OSError as error:
        raise Refusal(f"{path} cannot be removed ({_reason(error)}): remove it by hand.") from None


def _refuse_link(path: str) -> None:
    if os.path.islink(path):
        raise Refusal(f"{path} is a link, which would be replaced instead of the file: put the file itself there.")


def _wait_for_lock(handle: int, path: str) -> None:
    end = time.monotonic() + _LOCK_SECONDS
    while not _lock(handle):
        if time.monotonic() > end:
            raise Refusal(
                f"another process has kept {path} locked for {_LOCK_SECONDS} seconds: "
                "wait until it ends, or end it, and try again."
            )
        time.sleep(_PAUSE)


def _lock(handle: int) -> bool:
    """Lock a file; return False if another handle has it locked, in this process or in another one."""
    try:
        if sys.platform == "win32":  # pragma: no cover - one system takes this branch
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:  # pragma: no cover - and the others this one
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter on Windows
        return False
    return True


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
