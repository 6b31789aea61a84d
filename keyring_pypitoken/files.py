"""The only door to the file system for what others wrote.

A file is absent only if the system says so (ENOENT, ENOTDIR, on Windows also 123 and 161) and no link on its path
leads nowhere. Any other failure (no permission, an I/O error, a loop, a link to something unmounted) is a refusal: an
error that counts as absence would lift the limits in that file. Nothing here waits: pipes, devices and terminals are
refused unopened.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

T = TypeVar("T")
Name = str | os.PathLike[str]

MAX_BYTES = 1024 * 1024
_MAX_DENIALS = 10 if os.name == "nt" else 0
_INVALID_NAME, _BAD_PATHNAME = 123, 161  # of Windows' winerror.h
_PAUSE = 0.05  # seconds between two attempts
_LOCK_SECONDS = 60  # another writer may wait for a touch, or for scrypt on a slow machine
# Never wait for whoever opens the other end of a pipe, and never take a terminal.
_OPEN = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))


def status(path: Name, name: str) -> os.stat_result | None:
    """Return the status of a file or directory, links followed; None only if it is absent.

    Raises:
        PolicyError: the system reports another error, or a link on the path leads nowhere.
    """
    state = follow(path, name)
    if state is None:
        _refuse_dangling(path, name)
    return state


def follow(path: Name, name: str) -> os.stat_result | None:
    """Return what `status` does, but None for a link that leads nowhere: uploaders pass over what it should lead to.

    Raises:
        PolicyError: the system reports another error.
    """
    try:
        return insist(lambda: os.stat(path))
    except (OSError, ValueError) as error:
        if is_absence(error):
            return None
        raise PolicyError(_cannot_read(name, error)) from None


def is_absence(error: Exception) -> bool:
    """Return True if an error says that nothing has the name; on Windows, that nothing can have it (`dist/*`)."""
    is_said = isinstance(error, (FileNotFoundError, NotADirectoryError))
    return is_said or getattr(error, "winerror", None) in (_INVALID_NAME, _BAD_PATHNAME)


def any_present(paths: Iterable[str]) -> bool:
    """Return True if one of the files is there, or if the system reports another error than its absence."""
    try:
        return any(status(path, path) is not None for path in paths)
    except PolicyError:
        return True


def insist(step: Callable[[], T]) -> T:
    """Do what Windows denies for a moment while another process opens or replaces the file."""
    for _ in range(_MAX_DENIALS):
        try:
            return step()
        except PermissionError:
            time.sleep(_PAUSE)
    return step()


def replace(path: str, data: bytes) -> None:
    """Replace or make a file as a whole, with all its directories; only its owner can read it.

    The caller holds a lock, if another process may write the same file.

    Raises:
        Refusal: it is a link, or cannot be written; it is as it was.
    """
    new = f"{path}.new"
    _refuse_link(path)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
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


def remove(path: str) -> None:
    """Remove a file, if it is there.

    Raises:
        Refusal: it is a link, or cannot be removed.
    """
    _refuse_link(path)
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            insist(lambda: os.unlink(path))
    except OSError as error:
        raise Refusal(f"{path} cannot be removed ({_reason(error)}): remove it by hand.") from None


@contextlib.contextmanager
def locked(path: str, seconds: float = 0) -> Iterator[None]:
    """Let one process at a time change a file, in a directory that is made if it is absent.

    The lock is a file beside it, which stays; the system releases it when its process ends.

    Raises:
        Refusal: another process keeps it for so many seconds, a minute by default, or there can be none.
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


def read_bytes(path: Name, name: str, *, max_bytes: int = MAX_BYTES) -> bytes | None:
    """Return the content of a regular file, links followed; None only if it is absent. Messages call it `name`.

    Raises:
        PolicyError: it cannot be read, is not a regular file, or is longer than `max_bytes`.
    """
    state = status(path, name)
    if state is None:
        return None
    try:
        if stat.S_ISREG(state.st_mode):
            with open(insist(lambda: os.open(path, _OPEN)), "rb") as file:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it may have been replaced since
                    data = file.read(max_bytes + 1)
                    if len(data) <= max_bytes:
                        return data
                    raise PolicyError(f"{printable(name)} is longer than {max_bytes} bytes: shorten it.")
    except OSError as error:
        raise PolicyError(_cannot_read(name, error)) from None
    raise PolicyError(f"{printable(name)} is not a regular file: replace it with one.")


def read_text(path: Name, name: str, *, max_bytes: int = MAX_BYTES) -> str | None:
    """Return the text of a UTF-8 file, without a byte order mark; None only if it is absent.

    Raises:
        PolicyError: as `read_bytes`; or it is not UTF-8.
    """
    data = read_bytes(path, name, max_bytes=max_bytes)
    if data is None:
        return None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:2]:  # as `>` writes in Windows' own PowerShell
        raise PolicyError(f"{printable(name)} is UTF-16 text: save it as UTF-8.")
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode()  # Windows editors begin a file with a mark
    except UnicodeDecodeError:
        raise PolicyError(f"{printable(name)} is not UTF-8 text: save it as UTF-8.") from None


def is_directory(path: Name, name: str) -> bool:
    """Return True if the path is a directory, False if it is a file or absent.

    Raises:
        PolicyError: the system reports another error than its absence.
    """
    state = status(path, name)
    return state is not None and stat.S_ISDIR(state.st_mode)


def list_directory(path: Name, name: str) -> list[str]:
    """Return the sorted names in a directory; nothing if it is absent.

    Raises:
        PolicyError: it cannot be read, or is not a directory.
    """
    try:
        return sorted(os.listdir(path))
    except (OSError, ValueError) as error:
        if not is_absence(error):
            raise PolicyError(_cannot_read(name, error)) from None
        if status(path, name) is None:
            return []
        raise PolicyError(f"{printable(name)} is not a directory: replace it with one.") from None


def is_empty(path: Name, name: str) -> bool:
    """Return True if nothing is in a directory; only its first entry is read.

    Raises:
        PolicyError: it cannot be read.
    """
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError as error:
        raise PolicyError(_cannot_read(name, error)) from None


def current_directory() -> Path:
    """Return the current directory.

    Raises:
        Refusal: it is gone.
    """
    try:
        return Path(os.getcwd())
    except OSError:
        raise Refusal("the current directory does not exist any more: change to one that does.") from None


def climb(start: Path, names: tuple[str, ...]) -> Iterator[tuple[Path, frozenset[str]]]:
    """Yield a directory and each one above it, with those of the names that are in it.

    A link counts as present, wherever it leads.

    Raises:
        PolicyError: the system cannot find out where the directory is, or if one of the names is there.
    """
    directory = Path(_real_path(start))
    for current in (directory, *directory.parents):
        yield current, frozenset(name for name in names if is_present(os.path.join(current, name)))


def find_program(name: str, environ: Mapping[str, str], *, platform: str = os.name) -> str | None:
    """Return the absolute path of a program: itself, or found in the absolute entries of PATH.

    Relative entries and the current directory, which Windows searches by itself, may be somebody's checkout. On
    Windows only `.exe` counts, since others are scripts for a shell.
    """
    paths = [name] if os.path.isabs(name) else []
    if not paths and name and os.path.basename(name) == name:
        suffix = ".exe" if platform == "nt" and not name.lower().endswith(".exe") else ""
        entries = environ.get("PATH", "").split(os.pathsep)
        paths = [os.path.join(entry, name + suffix) for entry in entries if os.path.isabs(entry)]
    return next((path for path in paths if _is_program(path)), None)


def display_name(path: Path, directory: Path) -> str:
    """Return what messages call a file: its path from a directory if that is shorter, escaped for a terminal."""
    try:
        relative = os.path.relpath(path, directory)
    except ValueError:  # on another drive (Windows)
        return printable(str(path))
    return printable(min(relative, str(path), key=len))


def _refuse_dangling(path: Name, name: str) -> None:
    """Refuse if a link on the path leads nowhere: what it should lead to may only be unmounted."""
    prefix = os.fspath(path) if os.path.isabs(path) else os.path.abspath(path)
    while not is_present(prefix) and (above := os.path.dirname(prefix)) != prefix:
        prefix = above
    if not is_present(prefix):
        raise PolicyError(f"{printable(name)} cannot be found, because {printable(prefix)} is not there: connect it.")
    try:
        os.stat(prefix)
    except OSError:
        raise PolicyError(
            f"{printable(name)} cannot be found, because the link {printable(prefix)} leads nowhere: restore what it "
            "leads to, or remove the link."
        ) from None


def _real_path(path: Name) -> str:
    """Return the path of a directory without links."""
    try:
        return os.path.realpath(path, strict=True)
    except (OSError, ValueError) as error:  # another directory would be climbed
        if is_absence(error):
            return os.path.realpath(path)
        raise PolicyError(_cannot_read(str(path), error)) from None


def is_present(path: str) -> bool:
    """Return True if something has a name: a link counts, wherever it leads.

    Raises:
        PolicyError: the system reports another error than its absence.
    """
    try:
        os.lstat(path)
    except (OSError, ValueError) as error:
        if is_absence(error):
            return False
        raise PolicyError(_cannot_read(path, error)) from None
    return True


def _is_program(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except (OSError, ValueError):
        return False  # such an entry of PATH is passed over by every shell


def _refuse_link(path: str) -> None:
    if os.path.islink(path):
        raise Refusal(f"{path} is a link, which would be replaced instead of the file: put the file itself there.")


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


def _cannot_read(name: str, error: Exception) -> str:
    return f"{printable(name)} cannot be read ({_reason(error)}): repair it or its directory."


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
