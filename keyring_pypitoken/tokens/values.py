"""What callers pass: the context of a check, moments, names. And the base of immutable values."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import InvalidRestriction
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

_MAX_BITS = 63  # as clocks count; Python writes no integer of more than 4300 digits, and PyPI reads none


class Value:
    """An immutable value; its fields are `__match_args__`. Importing dataclasses would take too long."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def _set(self, *values: object) -> None:
        for name, value in zip(self.__match_args__, values, strict=True):
            object.__setattr__(self, name, value)

    def _values(self) -> tuple[object, ...]:
        return tuple(
            [getattr(self, name, None) for name in self.__match_args__]
        )  # None: a traceback may show it half made

    def _refuse(self, *_: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    __setattr__ = __delattr__ = _refuse

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and type(other) is type(self) and other._values() == self._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), self._values()  # copied and pickled by its constructor

    def __repr__(self) -> str:
        fields = zip(self.__match_args__, self._values(), strict=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in fields)})"


class Context(Value):
    """How a bearer is about to use a token.

    Attributes:
        project_name: the project uploaded to, in any spelling; None outside a project.
        project_id: its id, a lower-case UUID.
        user_id: the id of the user who uploads, a lower-case UUID.
        now: the moment of the upload, in Unix seconds.
    """

    __slots__ = __match_args__ = ("project_name", "project_id", "user_id", "now")
    project_name: str | None
    project_id: str | None
    user_id: str | None
    now: int

    def __init__(
        self,
        project_name: str | None = None,
        project_id: str | None = None,
        user_id: str | None = None,
        now: int | datetime.datetime | None = None,
    ) -> None:
        """Take the moment as `to_timestamp` does; by default it is the current time."""
        moment = int(time.time()) if now is None else to_timestamp("now", now)
        self._set(project_name, project_id, user_id, moment)


def to_timestamp(parameter: str, moment: int | datetime.datetime) -> int:
    """Return a moment as Unix seconds.

    Args:
        parameter: its name, for the message.
        moment: Unix seconds, or a date-time that has a time zone.

    Raises:
        InvalidRestriction: it is neither.
    """
    if isinstance(moment, int) and not isinstance(moment, bool):
        if moment.bit_length() > _MAX_BITS:
            bits = moment.bit_length()
            raise InvalidRestriction(f"{parameter} is an integer of {bits} bits, expected Unix seconds.")
        return moment
    if not isinstance(moment, datetime.datetime):
        raise InvalidRestriction(
            f"{parameter} is of type {type(moment).__name__}, expected Unix seconds or a date-time with a time zone."
        )
    if moment.utcoffset() is None:
        raise InvalidRestriction(
            f"{parameter} is {moment.isoformat()}, which has no time zone: "
            "write it with one, such as datetime.now(timezone.utc), or pass Unix seconds."
        )
    return int(moment.timestamp())


def to_strings(parameter: str, values: Iterable[str]) -> list[str]:
    """Return the strings of a list; raise InvalidRestriction if it holds anything else."""
    if isinstance(values, (str, bytes)):
        raise InvalidRestriction(f"{parameter} is a single string, expected a list: put it into one.")
    try:
        found = list(values)
    except TypeError:
        kind = type(values).__name__
        raise InvalidRestriction(f"{parameter} is of type {kind}, expected a list of strings.") from None
    for value in found:
        if not isinstance(value, str):
            raise InvalidRestriction(f"{parameter} has an entry of type {type(value).__name__}, expected strings only.")
    return found


def to_names(parameter: str, values: Iterable[str]) -> list[str]:
    """Return project names, normalized; raise InvalidRestriction if one is not valid."""
    found: list[str] = []
    for name in to_strings(parameter, values):
        try:
            found.append(normalize_valid(name))
        except InvalidNameError:
            raise InvalidRestriction(
                f"{parameter}: {quoted(name)} is not a valid project name: "
                "use letters, digits, '-', '_' and '.', and begin and end with a letter or digit."
            ) from None
    return found
