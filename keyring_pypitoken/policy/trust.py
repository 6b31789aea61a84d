"""Whether somebody else may write a policy of the user or the machine, and so loosen it."""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyring_pypitoken.policy.model import Layer

# Windows' names for the system, the administrators, their own account, the creator, the owner, Windows' installer.
_SAFE_ON_WINDOWS = {
    *("SY", "S-1-5-18", "BA", "S-1-5-32-544", "LA", "CO", "S-1-3-0", "OW", "S-1-3-4"),
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
}
_RIGHTS = {"FA": 0x1F01FF, "FW": 0x120116, "GA": 0x10000000, "GW": 0x40000000}  # of files, and in general: all, write
_RIGHTS |= {"SD": 0x10000, "WD": 0x40000, "WO": 0x80000}  # delete, change permissions, take ownership
_RIGHTS |= {"DC": 0x2, "LC": 0x4, "DT": 0x40}  # write (in a directory: add a file), append, delete what is in it
_HARMLESS = ("FR", "FX", "GR", "GX", "RC", "CC", "SW", "RP", "WP", "LO", "CR")  # any other name may stand for anything
# In the machine's directory every user may add files, which replaces none.
REPLACE = sum(_RIGHTS[name] for name in ("DT", "SD", "WD", "WO", "GW", "GA"))
REPLACE_OR_WRITE = REPLACE | _RIGHTS["DC"] | _RIGHTS["LC"]
# https://learn.microsoft.com/windows/win32/secauthz/security-descriptor-string-format; conditions are not understood.
_SID = "(S-[0-9-]+|[A-Z]{2})"
_ACCESS_LIST = re.compile(rf"(?:G:{_SID})?D:[A-Z_]*((?:\((?:[^();]*;){{5}}[^();]+\))+)(?:S:.*)?", re.DOTALL)


def check_trusted(path: str, layer: Layer, platform: str = sys.platform) -> None:
    """Refuse a policy (PolicyError) if others may write it, or a link or directory on the way to it from the root."""
    if platform == "win32":
        if layer == "site":  # a profile directory is private by default, the machine's is not
            _check_windows(path)
    elif sys.platform != "win32":  # pragma: no branch - repeated for the type checker
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
    owner = re.match(f"O:{_SID}", descriptor)
    if owner is None or owner[1] not in safe:
        return "does not belong to SYSTEM, Administrators or you"
    found = _ACCESS_LIST.fullmatch(descriptor, owner.end())
    if found is None:
        return "has no access list that keeps others out"  # an absent one allows all
    for kind, flags, rights, _, _, who in (entry.split(";") for entry in found[2][1:-1].split(")(")):
        is_mask = re.fullmatch("0x[0-9a-f]{1,8}", rights)
        masks = [int(rights, 16)] if is_mask else [_mask(name) for name in _pairs(rights)]
        is_denied = kind in ("D", "OD") or "IO" in _pairs(flags)
        if not is_denied and who not in safe and any(mask & forbidden for mask in masks):
            return "can be written by others"
    return ""


def _pairs(text: str) -> list[str]:
    return re.findall("..?", text)


def _mask(name: str) -> int:
    return 0 if name in _HARMLESS else _RIGHTS.get(name, -1)


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


def _check_windows(path: str) -> None:
    """Check a file and every directory above it, as it is named and where it really is."""
    real = os.path.realpath(path)  # junctions are not links to Python
    for passed in dict.fromkeys((*_passed(path), *_passed(real))):
        forbidden = REPLACE_OR_WRITE if passed in (os.path.abspath(path), real) else REPLACE
        problem = windows_problem(_descriptor(passed), _user(), forbidden)
        if problem:
            raise PolicyError(
                f"{printable(passed)} {problem}, so anybody may have written the policy: let Administrators own it and "
                "nobody else write it."
            )


def _descriptor(path: str) -> str:
    import ctypes

    system: Any = ctypes  # WinDLL exists on Windows only
    advapi = system.WinDLL("advapi32")
    security, text = ctypes.c_void_p(), ctypes.c_wchar_p()
    parts = 1 | 4  # the owner and the access list (SECURITY_INFORMATION)
    if advapi.GetNamedSecurityInfoW(path, 1, parts, None, None, None, None, ctypes.byref(security)) == 0:
        advapi.ConvertSecurityDescriptorToStringSecurityDescriptorW(security, 1, parts, ctypes.byref(text), None)
    return text.value or ""


def _user() -> str:
    import ctypes

    system: Any = ctypes
    advapi = system.WinDLL("advapi32")
    buffer, length, text = ctypes.create_string_buffer(256), ctypes.c_ulong(), ctypes.c_wchar_p()
    token = ctypes.c_void_p(-4)  # of this process (GetCurrentProcessToken)
    advapi.GetTokenInformation(token, 1, buffer, 256, ctypes.byref(length))  # TokenUser, which begins with the SID
    advapi.ConvertSidToStringSidW(ctypes.c_void_p.from_buffer(buffer), ctypes.byref(text))
    return text.value or ""


if sys.platform != "win32":  # pragma: no branch - which has no such owners and modes

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
