"""A file that only its owner reads, replaced as a whole and by one process at a time.

Whatever stops a writer, and when: the old content or the new one is there, never none and never a part.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from typing import TYPE_CHECKING, TypeVar

from keyring_pypitoken.exceptions import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

MOST_SECONDS = 60  # a writer may wait for a touch, or for a slow machine's scrypt
_PAUSE = 0.05  # seconds between two attempts
_MAX_DENIALS = 10
# A master is some hundred bytes; what is larger is no such file.
_MAX_BYTES = 10_000_000
_NO_LOCK = "{path} cannot be locked ({problem}): make {directory} a directory of yours that can be written."


def read_private(path: str) -> bytes | None:
    """Read the file.

    Args:
        path: the file.

    Returns:
        Its content, or None where there is no such file.

    Raises:
        Refusal: it is there and cannot be read.
    """
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode):
            problem = "a link" if stat.S_ISLNK(mode) else "no file"
            fix = "put the file itself there" if stat.S_ISLNK(mode) else "move it away"
            raise Refusal(f"{path} is {problem}, and masters are kept in a file only: {fix}.")
        data = _insist(lambda: _read(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        problem = _words(error)
    else:
        if len(data) <= _MAX_BYTES:
            return data
        problem = f"it is longer than {_MAX_BYTES} bytes"
    raise Refusal(f"{path} cannot be read ({problem}): make it readable, or restore it from a backup.")


def replace_private(path: str, data: bytes) -> None:
    """Replace the file's content, or make the file; the caller holds its lock.

    Args:
        path: the file.
        data: the new content.

    Raises:
        Refusal: it cannot be written, and the old content is still there.
    """
    new = f"{path}.new"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)  # what a writer left that was stopped
        _write(new, data)
        _insist(lambda: os.replace(new, path))
    except OSError as error:
        problem = _words(error)
    else:
        _sync_directory(os.path.dirname(path))
        return
    with contextlib.suppress(OSError):
        os.unlink(new)
    raise Refusal(
        f"{path} cannot be written ({problem}), and what it held is still there: make it writable, and try again."
    )


def remove_private(path: str) -> None:
    """Remove the file; the caller holds its lock.

    Args:
        path: the file.

    Raises:
        Refusal: it cannot be removed.
    """
    try:
        _insist(lambda: os.unlink(path))
    except OSError as error:
        msg = f"{path} cannot be removed ({_words(error)}): remove it by hand."
    else:
        _sync_directory(os.path.dirname(path))
        return
    raise Refusal(msg)


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Let one process at a time change the file; make its directory where there is none.

    The lock is a file beside it, which stays: the system lets go of it when a process ends, however it does.

    Args:
        path: the file.

    Raises:
        Refusal: the directory or the lock cannot be had.
    """
    handle = _open_lock(path)
    try:
        _take(handle, path)
        yield
    finally:
        os.close(handle)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MAX_BYTES + 1)


def _write(path: str, data: bytes) -> None:
    # Exclusive, so that nothing that lies there is written into, and 0600 from the start.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_directory(directory: str) -> None:
    """Make the new name last; the content is in place already, so a failure here is none."""
    if sys.platform == "win32":  # which opens no directories
        return
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _open_lock(path: str) -> int:
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.chmod(directory, 0o700)  # notes of accounts may have made it before
        return os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        msg = _NO_LOCK.format(path=path, problem=_words(error), directory=directory)
    raise Refusal(msg)


def _take(handle: int, path: str) -> None:
    end = time.monotonic() + MOST_SECONDS
    try:
        while not _try_lock(handle):
            if time.monotonic() >= end:
                raise Refusal(
                    f"another process has kept {path} locked for {MOST_SECONDS} seconds: "
                    "wait until it ends, or end it, and try again."
                )
            time.sleep(_PAUSE)
    except OSError as error:  # a network's file system may know no locks
        msg = _NO_LOCK.format(path=path, problem=_words(error), directory=os.path.dirname(path))
    else:
        return
    raise Refusal(msg)


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # pragma: no cover - one system takes these lines

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # pragma: no cover - and all others those below
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # how each of them says that another process holds it
        return False
    return True


def _insist(step: Callable[[], T]) -> T:
    """Do what Windows denies while another process has the file open for a moment."""
    for _ in range(_MAX_DENIALS):
        try:
            return step()
        except PermissionError:
            time.sleep(_PAUSE)
    return step()


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
