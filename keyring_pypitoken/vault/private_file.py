"""A file that only its owner can read, replaced by one process at a time, and as a whole however a writer ends."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import insist

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK_SECONDS = 60  # another writer may wait for a touch, or for scrypt on a slow machine


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Let one process at a time change a file, in a directory that is made if it is absent.

    The lock is a file beside it, which stays; the system releases it when its process ends. It is a Refusal if another
    process keeps it for a minute, or there can be none.
    """
    with _take_lock(path):
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


def _take_lock(path: str) -> Any:
    directory = os.path.dirname(path)
    try:
        import filelock

        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.chmod(directory, 0o700)  # notes of accounts may have made it before
        lock = filelock.FileLock(f"{path}.lock", timeout=_LOCK_SECONDS, mode=0o600).acquire()
    except ImportError:
        problem = "masters in a file need filelock, which is not installed: install `keyring-pypitoken[age]`."
    except filelock.Timeout:
        problem = (
            f"another process has kept {path} locked for {_LOCK_SECONDS} seconds: "
            "wait until it ends, or end it, and try again."
        )
    except (OSError, NotImplementedError) as error:  # the file system of a network may have no locks
        problem = f"{path} cannot be locked ({_reason(error)}): make {directory} a directory that you can write."
    else:
        return lock
    raise Refusal(problem)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
