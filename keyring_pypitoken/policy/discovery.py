"""Find and read the policy files of the project, the user and the machine."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.files import climb, display_name, read_text
from keyring_pypitoken.policy.model import Layer, PolicyFile, WithOrigin
from keyring_pypitoken.policy.parser import PYPROJECT_TABLE, parse_policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

POLICY_VARIABLE = "KEYRING_PYPITOKEN_POLICY"
_POLICY_NAME = "pypitoken.toml"
# Write permission of the group and of everybody, as ssh looks at its own configuration.
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def user_policy() -> PolicyFile | None:
    """Read the user's own policy, or None where there is none.

    Raises:
        Refusal: it cannot be followed or trusted.
    """
    return _read_own(paths.user_policy(), "user")


def site_policy() -> PolicyFile | None:
    """Read the machine's policy, or None where there is none.

    Raises:
        Refusal: it cannot be followed or trusted.
    """
    return _read_own(paths.site_policies()[0], "site")


def project_policy(directory: Path, environ: Mapping[str, str], here: Path | None = None) -> PolicyFile | None:
    """Read the policy of the project that a directory belongs to, or None where there is none.

    Args:
        directory: a directory of the project.
        environ: the environment, which may name the file explicitly.
        here: the current directory, where that is another one.

    Raises:
        Refusal: it cannot be followed.
    """
    here = here or directory
    if named := environ.get(POLICY_VARIABLE):
        return _read_named(here / named, here)
    directories = list(project_directories(directory))
    found: PolicyFile | None = None
    for candidate in directories:
        own, shared = candidate / _POLICY_NAME, candidate / "pyproject.toml"
        policy = _read(own, "project", here)
        in_pyproject = _read(shared, "project", here, PYPROJECT_TABLE)
        if policy is not None and in_pyproject is not None:
            raise Refusal(
                f"two policies lie in one directory, {policy.origin} and [{'.'.join(PYPROJECT_TABLE)}] of "
                f"{in_pyproject.origin}: keep one of them."
            )
        if policy is not None:
            return policy
        found = found or in_pyproject
    return found


_VCS = (".git", ".hg", ".svn", ".bzr", "_darcs", ".jj")


def project_directories(directory: Path) -> Iterator[Path]:
    """Yield a directory and those above it, up to the root of its repository, the home directory or the root."""
    home = os.path.expanduser("~")
    homes = (Path(home), Path(os.path.realpath(home)))
    for candidate, found in climb(directory, _VCS):
        yield candidate
        if candidate in homes or found:
            return


def _read(path: Path, layer: Layer, directory: Path, table: tuple[str, ...] = ()) -> PolicyFile | None:
    if not os.path.lexists(path):  # most directories on the way up have none
        return None
    name = display_name(path, directory)
    text = read_text(path, name)
    if text is None or (table and table[-1] not in text):  # somebody else's pyproject.toml: not even parsed
        return None
    return parse_policy(text, layer=layer, name=name, table=table)


def _read_named(path: Path, directory: Path) -> PolicyFile:
    table = PYPROJECT_TABLE if path.name == "pyproject.toml" else ()
    policy = _read(path, "project", directory, table)
    if policy is None:
        where = f"[{'.'.join(table)}] in it" if path.exists() else "such file"
        raise PolicyError(
            f"{POLICY_VARIABLE} names {display_name(path, directory)}, and there is no {where}: "
            "correct it, or unset it."
        )
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
    # From the policy's own directory, since the current one is somebody's project.
    full = os.path.normpath(path.parent / os.path.expanduser(identity.value))
    return policy._replace(store=policy.store._replace(identity=WithOrigin(full, identity.origin)))


def _refuse_writable_by_others(path: Path) -> None:
    """Check a file, its directory and that of what it links to: who may write a directory may replace its files."""
    if sys.platform == "win32":  # access lists instead of modes, and a profile directory that is private by default
        return
    for candidate in (path, path.parent, Path(os.path.realpath(path)).parent):
        try:
            found = candidate.stat()
        except OSError:
            continue  # told when it is read
        file = shlex.quote(str(candidate))
        if found.st_uid not in (os.getuid(), 0):
            raise PolicyError(
                f"{candidate} belongs to another user, who could loosen the policy: run `chown $USER {file}`."
            )
        if found.st_mode & _WRITABLE_BY_OTHERS:
            raise PolicyError(
                f"{candidate} can be written by others, who could loosen the policy: run `chmod go-w {file}`."
            )
