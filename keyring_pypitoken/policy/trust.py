"""Whether somebody else may write a policy of the user or the machine, and so loosen it."""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyring_pypitoken.policy.model import Layer

# Windows' names for the system, the administrators, the creator, the owner, and the installer of Windows itself.
_SAFE_ON_WINDOWS = {
    *("SY", "S-1-5-18", "BA", "S-1-5-32-544", "CO", "S-1-3-0", "OW", "S-1-3-4"),
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
}
_RIGHTS = {"FA": 0x1F01FF, "FW": 0x120116, "GA": 0x10000000, "GW": 0x40000000}  # of files, and in general: all, write
_RIGHTS |= {"SD": 0x10000, "WD": 0x40000, "WO": 0x80000}  # delete, change permissions, take ownership
_RIGHTS |= {"DC": 0x2, "LC": 0x4, "DT": 0x40}  # write (in a directory: add a file), append, delete what is in it
# In the machine's directory every user may add files, which replaces none.
REPLACE = sum(_RIGHTS[name] for name in ("DT", "SD", "WD", "WO", "GW", "GA"))
REPLACE_OR_WRITE = REPLACE | _RIGHTS["DC"] | _RIGHTS["LC"]


def check_own(path: str, layer: Layer) -> None:
    """Refuse a policy (PolicyError) if others may write it, or a link or directory on the way to it from the root."""
    if sys.platform == "win32":  # pragma: no cover - Windows runs it
        if layer == "site":  # a profile directory is private by default, the machine's is not
            _check_windows(path)
    else:
        for passed in _passed(path):
            try:
                problem = _problem(os.lstat(passed))
                problem = problem or _problem(os.stat(passed))
            except OSError:
                continue  # reported when it is read
            if problem is not None:
                import shlex

                reason, fix = problem
                shown = printable(passed)
                raise PolicyError(f"{shown} {reason}, who could loosen the policy: run `{fix} {shlex.quote(shown)}`.")


def windows_problem(descriptor: str, user: str, forbidden: int = REPLACE_OR_WRITE) -> str:
    """Return why a file on Windows cannot be trusted; an empty text if it can.

    The `descriptor` is its owner and access list in Windows' SDDL, the `user` a security identifier such as
    `S-1-5-21-...`; nobody else may have `forbidden` rights.
    """
    safe = {*_SAFE_ON_WINDOWS, user}
    owner = re.match(r"O:(S-[0-9-]+|[A-Z]{2})", descriptor)
    if owner is None or owner[1] not in safe:
        return "does not belong to SYSTEM, Administrators or you"
    entries = re.findall(r"\(([^()]*)\)", descriptor)
    if not entries:
        return "can be written by everybody"  # an absent list allows all
    for kind, flags, rights, _, _, who in (entry.split(";")[:6] for entry in entries):
        names = re.findall("..", rights)
        masks = [int(rights, 16)] if names[:1] == ["0x"] else [_RIGHTS.get(name, 0) for name in names]
        if kind == "A" and "IO" not in flags and who not in safe and any(mask & forbidden for mask in masks):
            return "can be written by others"
    return ""


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


if sys.platform == "win32":  # pragma: no cover - Windows runs it
    import ctypes

    def _check_windows(path: str) -> None:
        for passed, forbidden in ((path, REPLACE_OR_WRITE), (os.path.dirname(path), REPLACE)):
            problem = windows_problem(_descriptor(passed), _user(), forbidden)
            if problem:
                raise PolicyError(
                    f"{printable(passed)} {problem}, so anybody may have written the policy: correct that."
                )

    def _descriptor(path: str) -> str:
        security, text = ctypes.c_void_p(), ctypes.c_wchar_p()
        parts = 1 | 4  # the owner and the access list (SECURITY_INFORMATION)
        advapi = ctypes.windll.advapi32
        if advapi.GetNamedSecurityInfoW(path, 1, parts, None, None, None, None, ctypes.byref(security)) == 0:
            advapi.ConvertSecurityDescriptorToStringSecurityDescriptorW(security, 1, parts, ctypes.byref(text), None)
        return text.value or ""

    def _user() -> str:
        buffer, length, text = ctypes.create_string_buffer(256), ctypes.c_ulong(), ctypes.c_wchar_p()
        token = ctypes.c_void_p(-4)  # of this process (GetCurrentProcessToken)
        advapi = ctypes.windll.advapi32
        advapi.GetTokenInformation(token, 1, buffer, 256, ctypes.byref(length))  # TokenUser, which begins with the SID
        advapi.ConvertSidToStringSidW(ctypes.c_void_p.from_buffer(buffer), ctypes.byref(text))
        return text.value or ""

else:

    def _problem(found: os.stat_result) -> tuple[str, str] | None:
        """Return who else may write and what ends that; None if nobody may."""
        if found.st_uid not in (os.getuid(), 0):
            return "belongs to another user", "chown $USER"
        # A link has no permissions; in a sticky directory, only owners replace what is theirs.
        sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        group = found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid)
        if stat.S_ISLNK(found.st_mode) or sticky or not (found.st_mode & stat.S_IWOTH or group):
            return None
        return "can be written by others", "chmod go-w"

    def _is_own_group(group: int) -> bool:
        """Return True if nobody but the user and root is in a group, as umask 002 expects."""
        import grp
        import pwd

        try:
            safe = {pwd.getpwuid(os.getuid()).pw_name, "root"}
            members = {*grp.getgrgid(group).gr_mem}
        except KeyError:
            return False
        return members <= safe and all(user.pw_name in safe for user in pwd.getpwall() if user.pw_gid == group)
