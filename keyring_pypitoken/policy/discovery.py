"""Find and read the policies of projects, the user and the machine, and judge who may write them."""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import TYPE_CHECKING

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.files import climb, display_name, is_empty, read_text, status
from keyring_pypitoken.memory import PARSED, forget
from keyring_pypitoken.policy.model import PYPROJECT_TABLE, Config, Layer, PolicyFile, SearchPath, WithOrigin
from keyring_pypitoken.text import in_shell, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_POSIX = os.name == "posix"  # files have owners and modes there
POLICY_VARIABLE = "KEYRING_PYPITOKEN_POLICY"
POLICY_NAME = "pypitoken.toml"
PYPROJECT = "pyproject.toml"
_GIT = ".git"  # a file in worktrees and submodules
_OTHER_MARKERS = (".hg", ".svn", ".bzr", "_darcs", ".jj")
MISNAMED = ("pypi-token.toml", "pypi_token.toml", ".pypitoken.toml", "keyring-pypitoken.toml", "policy.toml")
# Compiled when they are used: most lookups need neither.
_MISNAMED_TABLE = r"""(?m)^[ \t]*\[[ \t]*tool[ \t]*\.[ \t]*["']?(pypitoken|pypi-token|keyring[_.]?pypitoken)\b"""
_TELLING_KEY = r"(?m)^[ \t]*(?:projects|valid-for|max-valid-for|clock-skew|require-policy)[ \t]*="
_END_OF_KEY = r'"[ \t]*+[.=\]]'
_NAMES = (_GIT, *_OTHER_MARKERS, POLICY_NAME, PYPROJECT, *MISNAMED)
# What one lookup looks at, whatever a checkout holds; what it parses is bounded in `toml`.
_MAX_DIRECTORIES, _MAX_CHARACTERS = 10_000, 16 * 1024 * 1024


def load_config() -> Config:
    """Read the policies of the user and of the machine; what is wrong with one is the `problem` of the result.

    Each lookup begins with this, and so does what it may parse.
    """
    forget(PARSED)
    policies: list[PolicyFile] = []
    problem: Refusal | None = None
    for path in configured_paths():
        try:
            policy = read_configured(path)
            policies += [] if policy is None else [policy]
        except Refusal as refusal:
            problem = problem or refusal.with_traceback(None)
    config = Config(tuple(policies), problem)
    if policies and problem is None and (conflicts := config.conflicts):
        from keyring_pypitoken.policy.parser import policy_error  # loaded already: there is a policy

        return config._replace(problem=policy_error(conflicts))
    return config


def configured_paths() -> tuple[str, ...]:
    """Return the path of each policy that the user and the machine may have."""
    return (paths.user_policy(), *paths.site_policies())


def read_configured(name: str) -> PolicyFile | None:
    """Read a policy of the user or the machine; None if it is absent.

    Raises:
        Refusal: it cannot be followed, or somebody else may write it.
    """
    if status(name, name) is None:
        return None
    _check_others_cannot_write(name)
    text = read_text(name, name)
    policy = None if text is None else _parse(text, name, "", "user")
    identity = None if policy is None else policy.store.identity
    if policy is None or identity is None:
        return policy
    # From the policy's own directory, since the current one is a checkout.
    full = os.path.normpath(os.path.join(os.path.dirname(name), os.path.expanduser(identity.value)))
    return policy._replace(store=policy.store._replace(identity=WithOrigin(full, identity.origin)))


def find_search_path(directory: Path, here: Path, environ: Mapping[str, str]) -> SearchPath:
    """Return what `find_search_paths` finds for one directory."""
    return find_search_paths((directory,), here, environ)[0]


def find_search_paths(starts: Sequence[Path], here: Path, environ: Mapping[str, str]) -> list[SearchPath]:
    """Walk up from directories to the roots of their projects, and read every policy on each search path once.

    KEYRING_PYPITOKEN_POLICY names one file instead of them all. Messages name files as seen from `here`.

    Raises:
        Refusal: a policy cannot be followed, the system cannot find out if there is one, or they are too many.
    """
    if named := environ.get(POLICY_VARIABLE):
        return [SearchPath((_read_named(here / named, here),))] * len(starts)
    reader = _Reader(here)
    return [reader.find(start) for start in starts]


def project_directories(directory: Path) -> Iterator[Path]:
    """Yield a directory and those above it that belong to the same project, as `find_search_path` visits them.

    Raises:
        PolicyError: the system cannot find out how far the project goes.
    """
    for current, _ in _walk_up(directory):
        yield current


class _Reader:
    """Reads each directory of several search paths once, within one budget."""

    def __init__(self, here: Path) -> None:
        self._here = here
        self._directories, self._characters = _MAX_DIRECTORIES, _MAX_CHARACTERS
        self._read: dict[Path, tuple[list[tuple[Path, PolicyFile]], list[str]]] = {}

    def find(self, start: Path) -> SearchPath:
        steps = _walk_up(start)
        self._spend(directories=len(steps))
        owners = trusted_owners(start)
        policies: list[PolicyFile] = []
        misnamed: list[str] = []
        for current, names in steps:
            if current not in self._read:
                self._read[current] = self._read_directory(current, names)
            files, alike = self._read[current]
            policies += [policy._replace(trusted=is_trusted(path, owners)) for path, policy in files]
            misnamed += alike
        return SearchPath(tuple(policies), tuple(misnamed))

    def _read_directory(
        self, directory: Path, names: frozenset[str]
    ) -> tuple[list[tuple[Path, PolicyFile]], list[str]]:
        """Return the policy of a directory, if there is one, and the display names of misnamed ones."""
        misnamed = [
            display_name(directory / name, self._here)
            for name in MISNAMED
            if name in names and (name != "policy.toml" or self._looks_like_policy(directory / name))
        ]
        policies: list[tuple[Path, PolicyFile]] = []
        for name in names.intersection((POLICY_NAME, PYPROJECT)):
            path, shown = directory / name, display_name(directory / name, self._here)
            text = read_text(path, shown) or ""
            self._spend(characters=len(text))
            if name == PYPROJECT:
                tables = dict.fromkeys(re.findall(_MISNAMED_TABLE, text))
                misnamed += [f"[tool.{table}] of {shown}" for table in tables]
            if _may_be_policy(text, name):
                policy = _parse(text, shown, name)
                policies += [] if policy is None else [(path, policy)]
        if len(policies) > 1:
            raise PolicyError(
                f"two policies are in one directory, {display_name(directory / POLICY_NAME, self._here)} and "
                f"[{'.'.join(PYPROJECT_TABLE)}] of {PYPROJECT}: keep one of them."
            )
        return policies, misnamed

    def _looks_like_policy(self, path: Path) -> bool:
        """Return True if a `policy.toml`, which may be for any program, has keys of ours and is not followed."""
        try:
            text = read_text(path, str(path)) or ""
        except PolicyError:  # not ours
            return False
        self._spend(characters=len(text))
        followed = map(os.path.realpath, configured_paths())
        return re.search(_TELLING_KEY, text) is not None and str(path) not in followed  # without links, as we climbed

    def _spend(self, *, directories: int = 0, characters: int = 0) -> None:
        self._directories -= directories
        self._characters -= characters
        if min(self._directories, self._characters) < 0:
            raise PolicyError(
                "the policies of this upload are too many or too long to be read: shorten them, remove some, or name "
                f"one by {POLICY_VARIABLE}."
            )


def _walk_up(directory: Path) -> list[tuple[Path, frozenset[str]]]:
    """Return each directory of a search path with those of the names that are in it."""
    home = os.path.realpath(os.path.expanduser("~"))
    steps: list[tuple[Path, frozenset[str]]] = []
    for current, names in climb(directory, _NAMES):
        steps.append((current, names))
        if _GIT in names and _is_real(current, _GIT):
            return steps
        if str(current) == home:
            break
    # A git repository may hold directories named like those of other systems, so these end a path outside git only.
    for number in range(len(steps), 0, -1):
        current, names = steps[number - 1]
        if any(name in names and _is_real(current, name) for name in _OTHER_MARKERS):
            return steps[:number]
    return steps


def _is_real(directory: Path, marker: str) -> bool:
    """Return True if a repository begins here; anybody can make an empty file, or anything in a shared directory."""
    path = directory / marker
    if _POSIX and (above := status(directory, str(directory))) and above.st_mode & stat.S_IWOTH:
        return False
    state = status(path, str(path))
    if state is not None and stat.S_ISDIR(state.st_mode):
        return not is_empty(path, str(path))
    return marker == _GIT and state is not None and stat.S_ISREG(state.st_mode) and state.st_size > 0


def _may_be_policy(text: str, name: str) -> bool:
    """Return True if a file may have a policy: most files named pyproject.toml have none, and are not parsed."""
    if name != PYPROJECT or PYPROJECT_TABLE[-1] in text:
        return True
    # A key may be spelled with escapes: then a quote ends it, behind the backslash.
    lines = (line.partition("\\")[2] for line in text.split("\n") if "\\" in line)
    return any(re.search(_END_OF_KEY, line) for line in lines)


def _parse(text: str, shown: str, name: str, layer: Layer = "project") -> PolicyFile | None:
    from keyring_pypitoken.policy.parser import parse_policy  # only if there is a policy

    return parse_policy(text, layer=layer, name=shown, table=PYPROJECT_TABLE if name == PYPROJECT else ())


def _read_named(path: Path, here: Path) -> PolicyFile:
    name = display_name(path, here)
    text = read_text(path, name)
    policy = None if text is None else _parse(text, name, path.name)
    if policy is not None:
        return policy
    missing = "it does not exist" if text is None else f"it has no [{'.'.join(PYPROJECT_TABLE)}]"
    raise PolicyError(f"{POLICY_VARIABLE} names {name}, but {missing}: correct it, or run {in_shell(POLICY_VARIABLE)}.")


def trusted_owners(start: Path) -> set[int] | None:
    """Return whose preferences count: the user, root, the owner of the start (a checkout of uid 1000 used by root)."""
    if sys.platform == "win32" or not _POSIX:
        return None
    state = status(start, str(start))
    return {os.getuid(), 0, state.st_uid if state else 0}


def is_trusted(path: Path, owners: set[int] | None) -> bool:
    """Return True if a file, and the link that leads to it, belong to one of the owners; None if none is known."""
    if owners is None:
        return True
    try:
        # A stranger's link may lead to a file of the user.
        return {os.lstat(path).st_uid, os.stat(path).st_uid} <= owners
    except OSError as error:  # its preferences may count, and some only shorten
        reason = (error.strerror or type(error).__name__).lower()
        raise PolicyError(f"the owner of {printable(str(path))} is unknown ({reason}): repair or remove it.") from None


def _check_others_cannot_write(path: str) -> None:
    """Refuse a policy of the user or the machine if others may write it, or a link or directory on its path.

    On Windows, a user's profile is private, and only administrators write below Program Files.
    """
    if sys.platform != "win32":  # pragma: no branch - Windows has no such owners and modes
        for passed in _passed(path):
            try:
                problem = _writers(os.lstat(passed)) or _writers(os.stat(passed))
            except OSError:
                continue  # reported when it is read
            if problem is not None:
                import shlex

                reason, fix = problem
                shown = printable(passed)
                raise PolicyError(f"{shown} {reason}, who could loosen the policy: run `{fix} {shlex.quote(shown)}`.")


def _passed(path: str) -> Iterator[str]:
    """Yield every file, directory and link that the system passes on its way to a file."""
    seen: set[str] = set()
    rest = [os.path.abspath(path)]
    while rest:
        current = rest.pop()
        if current not in seen:
            seen.add(current)
            yield current
            above = os.path.dirname(current)
            rest += [above, os.path.join(above, os.readlink(current))] if os.path.islink(current) else [above]


if sys.platform != "win32":  # pragma: no branch - Windows has no such owners and modes

    def _writers(state: os.stat_result) -> tuple[str, str] | None:
        """Return who else may write and what ends that; None if nobody may."""
        if state.st_uid not in (os.getuid(), 0):
            return "belongs to another user", "chown $USER"
        # A link has no permissions; in a sticky directory, only owners replace what is theirs.
        sticky = stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX
        group = state.st_mode & stat.S_IWGRP and not _is_users_group(state.st_gid)
        if stat.S_ISLNK(state.st_mode) or sticky or not (state.st_mode & stat.S_IWOTH or group):
            return None
        return "can be written by others", "chmod go-w"

    def _is_users_group(group: int) -> bool:
        """Return True for root's group, and the group that bears the user's name and has no other member."""
        import grp
        import pwd

        if group == 0:
            return True
        try:  # a directory service need not list all members, so that the name counts, too
            user, entry = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(group)
            others = {*entry.gr_mem, *(other.pw_name for other in pwd.getpwall() if other.pw_gid == group)}
        except (KeyError, OSError):
            return False
        return entry.gr_name == user and others <= {user, "root"}
