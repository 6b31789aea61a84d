"""A type for each kind of secret, so that none can be shown and a master cannot be returned by mistake."""

from __future__ import annotations

from typing import NoReturn


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

    def is_token(self) -> bool:
        """Return True if it begins as PyPI's tokens do, or holds one within other text, such as quotes."""
        text = self._reveal().strip().lower()
        return text.startswith("pypi-") or "pypi-age" in text or "pypi-mda" in text  # versions 2 and 1, in base64

    def equals(self, other: MasterToken) -> bool:
        """Return True if two masters are the same."""
        return self._reveal() == other._reveal()

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
        """Return the text; only `passphrase` and `identities` may, and a test holds them to it."""
        return self._reveal()
