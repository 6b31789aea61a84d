"""Restricted, short-lived PyPI tokens for uploaders, and the library that derives them.

Restrict a token to one project and a quarter of an hour, and check a use of it as PyPI would:

    >>> from keyring_pypitoken import Token
    >>> token = Token.create("pypi.org", "5f3a", key="the index's secret")
    >>> token = token.restrict(not_before=1790000000, not_after=1790000900, project_names=["demo"])
    >>> token.check("the index's secret", project_name="demo", now=1790000100)

`Token.load` reads the text of a token, `Token.dump` writes it, and `Token.restrictions` lists what restricts it. Every
exception is a `PyPITokenException`.

The command is `keyring-pypitoken`, or `python -m keyring_pypitoken`. keyring finds the backend by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyring_pypitoken.exceptions import (
        InvalidRestriction,
        LoaderError,
        MissingContextError,
        PyPITokenException,
        ValidationError,
    )
    from keyring_pypitoken.tokens.restrictions import (
        DateRestriction,
        LegacyDateRestriction,
        LegacyNoopRestriction,
        LegacyProjectIDsRestriction,
        LegacyProjectNamesRestriction,
        OIDCPublisherRestriction,
        ProjectIDsRestriction,
        ProjectNamesRestriction,
        Restriction,
        UnknownCaveat,
        UserIDRestriction,
    )
    from keyring_pypitoken.tokens.token import Token
    from keyring_pypitoken.tokens.values import Context

__all__ = [
    "Context",
    "DateRestriction",
    "InvalidRestriction",
    "LegacyDateRestriction",
    "LegacyNoopRestriction",
    "LegacyProjectIDsRestriction",
    "LegacyProjectNamesRestriction",
    "LoaderError",
    "MissingContextError",
    "OIDCPublisherRestriction",
    "ProjectIDsRestriction",
    "ProjectNamesRestriction",
    "PyPITokenException",
    "Restriction",
    "Token",
    "UnknownCaveat",
    "UserIDRestriction",
    "ValidationError",
]

# The public names are loaded on first use (PEP 562): keyring imports this package in every process that uses keyring
# for anything, and most of those never upload.
_MODULES = {
    "Context": "tokens.values",
    "InvalidRestriction": "exceptions",
    "LoaderError": "exceptions",
    "MissingContextError": "exceptions",
    "PyPITokenException": "exceptions",
    "Token": "tokens.token",
    "ValidationError": "exceptions",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = _MODULES.get(name, "tokens.restrictions")
    return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return __all__
