"""Whether somebody else may write a policy of the user or the machine, and so loosen it."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_trusted(path: str) -> None:
    """Refuse a policy (PolicyError) if others may write it, or a link or directory on its path from the root.

    On Windows, a user's profile is private, and only administrators write below Program Files.
    """
    if sys.platform != "win32":  # pragma: no branch - Windows has no such owners and modes
        for passed in _passed(path):
            try:
                problem = _problem(os.lstat(passed)) or _problem(os.stat(passed))
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

    def _problem(state: os.stat_result) -> tuple[str, str] | None:
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
