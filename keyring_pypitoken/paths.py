"""Where this package's files lie, by platformdirs; asked once per process."""

from __future__ import annotations

import functools
import os

_APP = "keyring-pypitoken"


@functools.cache
def user_policy() -> str:
    """Return the path of the user's own policy file."""
    import platformdirs

    return os.path.join(platformdirs.user_config_dir(_APP, appauthor=False), "policy.toml")


@functools.cache
def site_policy() -> str:
    """Return the path of the machine's policy file."""
    import platformdirs

    return os.path.join(platformdirs.site_config_dir(_APP, appauthor=False), "policy.toml")


@functools.cache
def accounts_directory() -> str:
    """Return the directory that holds the labels of stored accounts."""
    import platformdirs

    return os.path.join(platformdirs.user_data_dir(_APP, appauthor=False), "accounts")


@functools.cache
def told_directory() -> str:
    """Return the directory that holds notes of lines told: nothing that matters when the session is over."""
    import platformdirs

    return os.path.join(platformdirs.user_cache_dir(_APP, appauthor=False), "told")


@functools.cache
def history_directory() -> str:
    """Return the directory that holds the history of derived tokens."""
    import platformdirs

    return os.path.join(platformdirs.user_state_dir(_APP, appauthor=False), "history")


@functools.cache
def age_file() -> str:
    """Return the path of the file that keeps masters where no keyring does."""
    import platformdirs

    return os.path.join(platformdirs.user_data_dir(_APP, appauthor=False), "masters.age")


def has_own_policies() -> bool:
    """Return True if the user or the machine has a policy file, which may make further repositories known."""
    return os.path.lexists(user_policy()) or os.path.lexists(site_policy())
