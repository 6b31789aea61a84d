"""Let one process at a time change a file."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK_SECONDS = 60  # another writer may wait for a touch, or for scrypt on a slow machine
_PAUSE = 0.05  # seconds between two tries


@contextlib.contextmanager
def locked(path: str, seconds: float = 0) -> Iterator[None]:
    """Let one process at a time change a file, in a directory that is made if it is absent.

    The lock is a file beside it, which stays; the system releases it when its process ends. It is a Refusal if another
    process keeps it for so many seconds, a minute by default, or there can be none.
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
            _wait_for_lock(handle, path, seconds or _LOCK_SECONDS)
        except OSError as error:  # the file system of a network may have no locks
            raise Refusal(f"{path} cannot be locked ({_reason(error)}): {remedy}.") from None
        yield


def _wait_for_lock(handle: int, path: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not _lock(handle):
        if time.monotonic() > end:
            raise Refusal(
                f"another process has kept {path} locked for {seconds} seconds: "
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
