"""Find and read the policies of projects, the user and the machine."""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import TYPE_CHECKING

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.files import climb, display_name, list_directory, read_text, status
from keyring_pypitoken.policy.model import PYPROJECT_TABLE, Config, Layer, PolicyFile, SearchPath, WithOrigin
from keyring_pypitoken.text import in_shell, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_POSIX = os.name == "posix"  # files have owners and modes there
POLICY_VARIABLE = "KEYRING_PYPITOKEN_POLICY"
POLICY_NAME = "pypitoken.toml"
PYPROJECT = "pyproject.toml"
# A `.git` is a file in worktrees and submodules.
_MARKERS = (".git", ".hg", ".svn", ".bzr", "_darcs", ".jj")
MISNAMED = ("pypi-token.toml", "pypi_token.toml", ".pypitoken.toml", "keyring-pypitoken.toml", "policy.toml")
# Compiled when they are used: most lookups need neither.
_MISNAMED_TABLE = r"""(?m)^[ \t]*\[[ \t]*tool[ \t]*\.[ \t]*["']?(pypitoken|pypi-token|keyring[_.]?pypitoken)\b"""
_TELLING_KEY = r"(?m)^[ \t]*(?:projects|valid-for|max-valid-for|clock-skew|require-policy)[ \t]*="
_NAMES = (*_MARKERS, POLICY_NAME, PYPROJECT, *MISNAMED)


def load_config() -> Config:
    """Read the policies of the user and of the machine; what is wrong with one is the `problem` of the result."""
    found: list[PolicyFile] = []
    problem: Refusal | None = None
    for path, layer in configured_paths():
        try:
            policy = read_configured(path, layer)
        except Refusal as refusal:
            problem = problem or refusal.with_traceback(None)
            continue
        found += [] if policy is None else [policy]
    return Config(tuple(found), problem)


def configured_paths() -> list[tuple[str, Layer]]:
    """Return the path of each policy that the user and the machine may have, and whose it is."""
    return [(paths.user_policy(), "user"), *((path, "site") for path in paths.site_policies())]


def read_configured(name: str, layer: Layer) -> PolicyFile | None:
    """Read a policy of the user or the machine; None if it is absent.

    Raises:
        Refusal: it cannot be followed, or somebody else may write it.
    """
    if status(name, name) is None:
        return None
    from keyring_pypitoken.policy.trust import check_trusted  # only if there is such a policy

    check_trusted(name, layer)
    text = read_text(name, name)
    policy = None if text is None else _parse(text, name, "", layer)
    identity = None if policy is None else policy.store.identity
    if policy is None or identity is None:
        return policy
    # From the policy's own directory, since the current one is somebody's project.
    full = os.path.normpath(os.path.join(os.path.dirname(name), os.path.expanduser(identity.value)))
    return policy._replace(store=policy.store._replace(identity=WithOrigin(full, identity.origin)))


def find_search_path(directory: Path, here: Path, environ: Mapping[str, str]) -> SearchPath:
    """Walk up from a directory to the root of its project, and read every policy on the way.

    KEYRING_PYPITOKEN_POLICY names one file instead of them all. Messages name files as seen from `here`.

    Raises:
        Refusal: a policy cannot be followed, or the system cannot find out if there is one.
    """
    if named := environ.get(POLICY_VARIABLE):
        return SearchPath(
            directory, (_read_named(here / named, here),), (directory,), f"{POLICY_VARIABLE} names the policy"
        )
    policies: list[PolicyFile] = []
    directories: list[Path] = []
    misnamed: list[str] = []
    owners = _trusted_owners(directory)
    end = ""
    for current, found, end in _walk_up(directory):  # noqa: B007 - the last one counts
        directories.append(current)
        inside, alike = _read_directory(current, found, here, owners)
        policies += inside
        misnamed += alike
    return SearchPath(directory, tuple(policies), tuple(directories), end or "root of the file system", tuple(misnamed))


def project_directories(directory: Path) -> Iterator[Path]:
    """Yield a directory and those above it that belong to the same project, as `find_search_path` visits them.

    Raises:
        PolicyError: the system cannot find out how far the project goes.
    """
    for current, _, _ in _walk_up(directory):
        yield current


def _walk_up(directory: Path) -> Iterator[tuple[Path, frozenset[str], str]]:
    """Yield each directory of a way, which of the names are in it, and why the way ends there, or an empty text."""
    home = os.path.realpath(os.path.expanduser("~"))
    for current, found in climb(directory, _NAMES):
        marker = next((name for name in _MARKERS if name in found and _is_real(current, name)), None)
        end = f"root of the repository ({marker})" if marker else "home directory" if str(current) == home else ""
        yield current, found, end
        if end:
            return


def _is_real(directory: Path, marker: str) -> bool:
    """Return True if a repository begins here; anybody can make an empty file, or anything in a shared directory."""
    path = directory / marker
    if _POSIX and (above := status(directory, str(directory))) and above.st_mode & stat.S_IWOTH:
        return False
    found = status(path, str(path))
    if found is not None and stat.S_ISDIR(found.st_mode):
        return bool(list_directory(path, str(path)))
    return marker == ".git" and found is not None and stat.S_ISREG(found.st_mode) and found.st_size > 0


def _read_directory(
    directory: Path, found: frozenset[str], here: Path, owners: set[int] | None
) -> tuple[list[PolicyFile], list[str]]:
    """Return the policy of a directory, if there is one, and the display names of misnamed ones."""
    if found.isdisjoint((POLICY_NAME, PYPROJECT, *MISNAMED)):
        return [], []
    policies: list[PolicyFile] = []
    misnamed = [
        display_name(directory / name, here)
        for name in MISNAMED
        if name in found and (name != "policy.toml" or _looks_like_policy(directory / name))
    ]
    for name in (POLICY_NAME, PYPROJECT):
        path, shown = directory / name, display_name(directory / name, here)
        text = read_text(path, shown) if name in found else None
        if text is None:
            continue
        if name == PYPROJECT:
            misnamed += [f"[tool.{table}] of {shown}" for table in re.findall(_MISNAMED_TABLE, text)]
        policy = _parse(text, shown, name)
        if policy is not None:
            policies.append(policy._replace(trusted=_is_trusted(path, owners)))
    if len(policies) > 1:
        raise PolicyError(
            f"two policies are in one directory, {policies[0].origin} and [{'.'.join(PYPROJECT_TABLE)}] of "
            f"{policies[1].origin}: keep one of them."
        )
    return policies, misnamed


def _parse(text: str, shown: str, name: str, layer: Layer = "project") -> PolicyFile | None:
    table = PYPROJECT_TABLE if name == PYPROJECT else ()
    if table and table[-1] not in text:  # somebody else's pyproject.toml is not even parsed
        return None
    from keyring_pypitoken.policy.parser import parse_policy  # only if there is a policy

    return parse_policy(text, layer=layer, name=shown, table=table)


def _read_named(path: Path, here: Path) -> PolicyFile:
    name = display_name(path, here)
    text = read_text(path, name)
    policy = None if text is None else _parse(text, name, path.name)
    if policy is not None:
        return policy
    missing = "it does not exist" if text is None else f"it has no [{'.'.join(PYPROJECT_TABLE)}]"
    raise PolicyError(f"{POLICY_VARIABLE} names {name}, but {missing}: correct it, or run {in_shell(POLICY_VARIABLE)}.")


def _trusted_owners(start: Path) -> set[int] | None:
    """Return who may wish: the user, root, and the owner of the start (a checkout of uid 1000, used by root)."""
    if sys.platform == "win32" or not _POSIX:
        return None
    found = status(start, str(start))
    return {os.getuid(), 0, found.st_uid if found else 0}


def _is_trusted(path: Path, owners: set[int] | None) -> bool:
    if owners is None:
        return True
    try:
        # A stranger's link may lead to a file of the user.
        return {os.lstat(path).st_uid, os.stat(path).st_uid} <= owners
    except OSError as error:  # its wishes may count, and some only shorten
        reason = (error.strerror or type(error).__name__).lower()
        raise PolicyError(f"the owner of {printable(str(path))} is unknown ({reason}): repair or remove it.") from None


def _looks_like_policy(path: Path) -> bool:
    """Return True if a `policy.toml`, which may be for any program, has keys of ours and is not followed."""
    followed = {os.path.realpath(own) for own, _ in configured_paths()}
    try:
        text = read_text(path, str(path)) or ""
    except PolicyError:  # not ours
        return False
    return os.path.realpath(path) not in followed and re.search(_TELLING_KEY, text) is not None
