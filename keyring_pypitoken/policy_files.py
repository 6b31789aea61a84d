"""Find and read the policy files of the project, the user and the machine."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import locations
from .exceptions import PolicyError, Refusal
from .grant import Sourced
from .policy import PYPROJECT_TABLE, Layer, PolicyFile, parse_policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

POLICY_VARIABLE = "KEYRING_PYPITOKEN_POLICY"
_POLICY_NAME = "pypitoken.toml"
_VCS = (".git", ".hg", ".svn", ".bzr", "_darcs", ".jj")
# A policy or a pyproject.toml is some kilobytes; what is larger is no such file.
_MOST_BYTES = 10_000_000
# Write permission of the group and of everybody, as ssh looks at its own configuration.
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def user_policy() -> PolicyFile | None:
    """Read the user's own policy, or None where there is none.

    Raises:
        Refusal: it cannot be followed or trusted.
    """
    return _read_own(locations.user_policy(), "user")


def site_policy() -> PolicyFile | None:
    """Read the machine's policy, or None where there is none.

    Raises:
        Refusal: it cannot be followed or trusted.
    """
    return _read_own(locations.site_policy(), "site")


def project_policy(folder: Path, environ: Mapping[str, str], here: Path | None = None) -> PolicyFile | None:
    """Read the policy of the project that a folder belongs to, or None where there is none.

    Args:
        folder: a folder of the project.
        environ: the environment, which may name the file explicitly.
        here: the current folder, where that is another one.

    Raises:
        Refusal: it cannot be followed.
    """
    here = here or folder
    if named := environ.get(POLICY_VARIABLE):
        return _read_named(here / named, here)
    folders = list(project_folders(folder))
    found: PolicyFile | None = None
    for candidate in folders:
        own, shared = candidate / _POLICY_NAME, candidate / "pyproject.toml"
        policy = _read(own, "project", here)
        in_pyproject = _read(shared, "project", here, PYPROJECT_TABLE)
        if policy is not None and in_pyproject is not None:
            msg = (
                f"two policies lie in one folder, {policy.origin} and [{'.'.join(PYPROJECT_TABLE)}] of "
                f"{in_pyproject.origin}: keep one of them."
            )
            raise Refusal(msg)
        if policy is not None:
            return policy
        found = found or in_pyproject
    return found


def project_folders(folder: Path) -> Iterator[Path]:
    """Yield a folder and those above it, up to the root of its repository, the home folder or the root."""
    home = os.path.expanduser("~")
    homes = (Path(home), Path(os.path.realpath(home)))  # the current folder is told with its links resolved
    for candidate in (folder, *folder.parents):
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
            data = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            msg = f"{name} is a link to a file that is not there: restore the file, or remove the link."
            raise PolicyError(msg) from None
        return None
    except OSError as error:
        msg = f"{name} cannot be read ({type(error).__name__}): make it a readable file."
        raise PolicyError(msg) from None
    if len(data) > _MOST_BYTES:
        msg = f"{name} is longer than {_MOST_BYTES} bytes: shorten it."
        raise PolicyError(msg)
    try:
        return data.decode("utf-8-sig")  # Windows editors begin a file with a mark
    except UnicodeDecodeError:
        msg = f"{name} is not UTF-8 text: save it as UTF-8."
        raise PolicyError(msg) from None


def display_name(path: Path, folder: Path) -> str:
    """Return how messages call a file: by its path from the current folder where that is shorter."""
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # on another drive (Windows)
        return str(path)
    return min(relative, str(path), key=len)


def _read(path: Path, layer: Layer, folder: Path, table: tuple[str, ...] = ()) -> PolicyFile | None:
    if not os.path.lexists(path):  # most folders on the way up have none
        return None
    name = display_name(path, folder)
    text = read_text(path, name)
    if text is None or (table and table[-1] not in text):  # somebody else's pyproject.toml: not even parsed
        return None
    return parse_policy(text, layer=layer, name=name, table=table)


def _read_named(path: Path, folder: Path) -> PolicyFile:
    table = PYPROJECT_TABLE if path.name == "pyproject.toml" else ()
    policy = _read(path, "project", folder, table)
    if policy is None:
        where = f"[{'.'.join(table)}] in it" if path.exists() else "such file"
        msg = f"{POLICY_VARIABLE} names {display_name(path, folder)}, and there is no {where}: correct it, or unset it."
        raise PolicyError(msg)
    return policy


def _read_own(name: str, layer: Layer) -> PolicyFile | None:
    path = Path(name)
    if not os.path.lexists(path):
        return None
    _refuse_writable_by_others(path)
    text = read_text(path, name)
    policy = None if text is None else parse_policy(text, layer=layer, name=name)
    if policy is None or policy.store.identity is None:
        return policy
    identity = policy.store.identity
    # From the policy's own folder, since the current one is somebody's project.
    full = os.path.normpath(path.parent / os.path.expanduser(identity.value))
    return policy._replace(store=policy.store._replace(identity=Sourced(full, identity.origin)))


def _refuse_writable_by_others(path: Path) -> None:
    """Check a file, its folder and that of what it links to, since who may write a folder may replace its files."""
    if sys.platform == "win32":  # access lists instead of modes, and a profile folder that is private by default
        return
    for candidate in (path, path.parent, Path(os.path.realpath(path)).parent):
        try:
            found = candidate.stat()
        except OSError:
            continue  # told when it is read
        file = shlex.quote(str(candidate))
        if found.st_uid not in (os.getuid(), 0):
            msg = f"{candidate} belongs to another user, who could loosen the policy: run `chown $USER {file}`."
            raise PolicyError(msg)
        if found.st_mode & _WRITABLE_BY_OTHERS:
            msg = f"{candidate} can be written by others, who could loosen the policy: run `chmod go-w {file}`."
            raise PolicyError(msg)
