"""Where this package's files are; asked of platformdirs once per process."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.memory import recall
from keyring_pypitoken.text import in_shell

_APP = "keyring-pypitoken"
# platformdirs 4.4 and later follow XDG variables on macOS too, and its answer for a site depends on the Python build:
# a policy that is looked for in a place that varies can be lost without a word.
_MACOS = {
    "user_config": "~/Library/Application Support",
    "site_config": "/Library/Application Support",
    "user_data": "~/Library/Application Support",
    "user_state": "~/Library/Application Support",
}


def _place(kind: str, name: str) -> str:
    return os.path.join(_directories(kind)[0], name)


user_policy = functools.partial(_place, "user_config", "policy.toml")
accounts_directory = functools.partial(_place, "user_data", "accounts")  # with the labels of stored accounts
age_file = functools.partial(_place, "user_data", "masters.age")  # masters on a machine without a keyring
last_notice = functools.partial(_place, "user_state", "last-notice")  # what an uploader was told, not to be repeated
history = functools.partial(_place, "user_state", "history.jsonl")


def site_policies() -> tuple[str, ...]:
    """Return the paths of the machine's policy files, one in each site configuration directory."""
    return tuple(os.path.join(directory, "policy.toml") for directory in _directories("site_config"))


def _directories(kind: str) -> tuple[str, ...]:
    return recall(("paths", kind), lambda: find_directories(kind, sys.platform))


def find_directories(kind: str, platform: str) -> tuple[str, ...]:
    """Return the directories of a kind, such as `user_config`, on a platform, the most important first."""
    if platform == "win32" and kind == "site_config":
        return (_program_files(),)
    if platform == "darwin":
        return (os.path.join(os.sep, os.path.expanduser(_MACOS[kind]), _APP),)
    import platformdirs

    try:
        path: str = getattr(platformdirs.PlatformDirs(_APP, appauthor=False, multipath=True), f"{kind}_dir")
    except RuntimeError:  # a user whom the system does not know, as in a container
        example = in_shell("HOME", "/tmp/home")  # noqa: S108 - an example for a person
        raise Refusal(f"this user has no home directory: set one, as in {example}.") from None
    if kind == "site_config":
        # A relative or empty entry of XDG_CONFIG_DIRS would take a file of somebody's checkout for the machine's.
        paths = (*path.split(os.pathsep), f"/etc/xdg/{_APP}")  # whatever the variable says
        return tuple(dict.fromkeys(filter(os.path.isabs, paths)))
    # A relative HOME would take files of somebody's checkout for the user's.
    return (os.path.join(os.sep, os.path.expanduser("~"), path),)


def _program_files() -> str:
    """Return our directory below the one of 64-bit programs on Windows, which only administrators write."""
    import importlib

    winreg: Any = importlib.import_module("winreg")  # only Windows has it
    try:
        access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Windows\CurrentVersion", 0, access) as key:
            directory, _ = winreg.QueryValueEx(key, "ProgramFilesDir")
    except OSError:
        raise Refusal(
            "Windows does not say where programs are, so the machine's policy is unknown: repair it."
        ) from None
    return f"{directory}\\{_APP}"
