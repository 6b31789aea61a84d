"""A type for each kind of secret, so that none can be shown and a master cannot be returned by mistake."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Collection

# How PyPI's tokens begin: with their prefix, versions 2 and 1 of macaroons; without it, version 2 with one of PyPI's
# two locations. Behind that come at least 80 characters of base64 (PyPI's pattern for secret scanners has 85); 40 are
# enough, which a signature has, if the location can be read: an identifier may be shorter than PyPI's.
_START = re.compile("pypi-(AgE|MDA)|(AgEIcHlwaS5vcmc|AgENdGVzdC5weXBpLm9yZw)")
_MIN_FURTHER, _MIN_UNREADABLE = 40, 80
_NOT_BASE64 = re.compile("[^A-Za-z0-9+/_-]+")
_VERSION_2, _VERSION_1 = re.compile(rb"\x02\x01([\x01-\x7f])"), re.compile(rb"([0-9a-fA-F]{4})location ")
_DOMAINS = ("pypi.org", "test.pypi.org")
_READ = 400  # characters in which a location is looked for: that of an index has a few dozen


def find_locations(text: object) -> list[str | None]:
    """Return the location of each token in a text or in bytes; None for one that cannot be read.

    What base64 lacks is left out first: white space, quotes, letters that cannot be seen. Which of the locations make
    it a token of PyPI's is for the caller to say.
    """
    if isinstance(text, (bytes, bytearray)):
        text = text.decode("latin-1")
    if not isinstance(text, str) or len(text) < _MIN_FURTHER:
        return []
    plain = _NOT_BASE64.sub("", text)
    locations = []
    for start in _START.finditer(plain):
        at, further = start.start(start.lastindex or 0), len(plain) - start.end()
        location = _location(plain[at : at + _READ]) if further >= _MIN_FURTHER else None
        if location is not None or further >= _MIN_UNREADABLE:
            locations.append(location)
    return locations


def is_token(text: object, domains: Collection[str] | None = ()) -> bool:
    """Return True if a text holds a token of PyPI, TestPyPI, or one of further domains; of any domain with None."""
    return any(
        domains is None or location is None or location in _DOMAINS or location in domains
        for location in find_locations(text)
    )


def _location(text: str) -> str | None:
    """Return the location of a macaroon in base64, which may be cut; None if it cannot be read."""
    data = base64.urlsafe_b64decode(text[: len(text) // 4 * 4].replace("+", "-").replace("/", "_"))
    length = end = 0
    if start := _VERSION_2.match(data):
        length, end = start[1][0], start.end() + start[1][0]
    elif start := _VERSION_1.match(data):  # the length counts itself, the name and a line end
        end = int(start[1], 16) - 1
        length = end - start.end()
    location = data[end - length : end]
    return location.decode("ascii") if 0 < length == len(location) and location.isascii() else None


class _Secret:
    """Text that no repr, str, format, pickle or copy shows."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def _reveal(self) -> str:
        return self.__text

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    def __format__(self, format_spec: str) -> str:
        return format(repr(self), format_spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is never copied out of its process")

    # What Python 3.11 and later give every object would return the text.
    __getstate__ = __reduce__


class MasterToken(_Secret):
    """The stored token, which may publish everything its owner can."""

    __slots__ = ()

    def reveal(self) -> str:
        """Return the text; only the modules that `.github/CONTRIBUTING.md` lists may, and a test holds them to it."""
        return self._reveal()

    def is_token(self, domains: Collection[str] | None = ()) -> bool:
        """Return True if it holds a token of PyPI, TestPyPI, or one of further domains; of any domain with None."""
        return is_token(self._reveal(), domains)

    def equals(self, other: MasterToken) -> bool:
        """Return True if two masters are the same."""
        return self._reveal() == other._reveal()

    def holds(self, other: MasterToken) -> bool:
        """Return True if another master is in this text."""
        return other.is_in(self._reveal())

    def is_in(self, text: str) -> bool:
        """Return True if a text holds the master; a URL may write the padding at its end in another way."""
        return self._reveal().rstrip("=") in text


class DerivedToken(_Secret):
    """A token that `derive` restricted and checked: the only kind that leaves this package."""

    __slots__ = ()

    def unwrap(self) -> str:
        """Return the text, for the uploader that asked."""
        return self._reveal()


class Passphrase(_Secret):
    """What opens the age file."""

    __slots__ = ()

    def reveal_to_age(self) -> str:
        """Return the text; only `vault.keys` may, and a test holds them to it."""
        return self._reveal()
