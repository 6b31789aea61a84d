"""The only door to the file system for what others wrote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator

_VCS = (".git", ".hg", ".svn", ".bzr", "_darcs", ".jj")

# A policy or a pyproject.toml is some kilobytes; what is larger is no such file.
_MAX_BYTES = 10_000_000


def project_directories(directory: Path) -> Iterator[Path]:
    """Yield a directory and those above it, up to the root of its repository, the home directory or the root."""
    home = os.path.expanduser("~")
    homes = (Path(home), Path(os.path.realpath(home)))  # the current directory is told with its links resolved
    for candidate in (directory, *directory.parents):
        yield candidate
        if candidate in homes or any(os.path.lexists(os.path.join(candidate, name)) for name in _VCS):
            return


def read_text(path: Path, name: str) -> str | None:
    """Read a text file.

    Args:
        path: the file.
        name: how messages call it.

    Returns:
        Its text, or None where there is no such file.

    Raises:
        Refusal: it is there and cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise PolicyError(
                f"{name} is a link to a file that is not there: restore the file, or remove the link."
            ) from None
        return None
    except OSError as error:
        raise PolicyError(f"{name} cannot be read ({type(error).__name__}): make it a readable file.") from None
    if len(data) > _MAX_BYTES:
        raise PolicyError(f"{name} is longer than {_MAX_BYTES} bytes: shorten it.")
    try:
        return data.decode("utf-8-sig")  # Windows editors begin a file with a mark
    except UnicodeDecodeError:
        raise PolicyError(f"{name} is not UTF-8 text: save it as UTF-8.") from None


def display_name(path: Path, directory: Path) -> str:
    """Return how messages call a file: by its path from the current directory where that is shorter."""
    try:
        relative = os.path.relpath(path, directory)
    except ValueError:  # on another drive (Windows)
        return str(path)
    return min(relative, str(path), key=len)
