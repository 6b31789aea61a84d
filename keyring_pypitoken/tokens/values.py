"""What callers pass: the context of a check, moments, names."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import InvalidRestriction
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_BITS = 63  # as clocks count; Python writes no integer of more than 4300 digits, and PyPI reads none


class Context(Record):
    """How a bearer is about to use a token.

    Attributes:
        project_name: in any spelling; None outside a project.
        project_id: a lower-case UUID.
        user_id: a lower-case UUID.
        now: Unix seconds; by default the current time.
    """

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
        super().__init__(project_name, project_id, user_id, moment)


def to_timestamp(parameter: str, moment: int | datetime.datetime) -> int:
    """Return Unix seconds, or those of a date-time with a time zone; raise InvalidRestriction if it is neither."""
    if isinstance(moment, int) and not isinstance(moment, bool):
        if (bits := moment.bit_length()) > _MAX_BITS:
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


def to_window(
    kind: str, not_before: int | datetime.datetime | None, not_after: int | datetime.datetime | None
) -> tuple[int, int] | None:
    """Return a window that two parameters of a kind ask for, or None; raise InvalidRestriction."""
    if not_before is None and not_after is None:
        return None
    if not_before is None or not_after is None:
        raise InvalidRestriction(f"{kind}not_before and {kind}not_after belong together: pass both.")
    return to_timestamp(f"{kind}not_before", not_before), to_timestamp(f"{kind}not_after", not_after)


def to_string(parameter: str, value: str) -> str:
    """Return a string; raise InvalidRestriction if it is anything else."""
    if not isinstance(value, str):
        raise InvalidRestriction(f"{parameter} is of type {type(value).__name__}, expected a string.")
    return value


def to_strings(parameter: str, values: Iterable[str]) -> list[str]:
    """Return the strings of a list; raise InvalidRestriction if it holds anything else."""
    if isinstance(values, (str, bytes)):
        raise InvalidRestriction(f"{parameter} is a single string, expected a list: put it into one.")
    try:
        strings = list(values)
    except TypeError:
        kind = type(values).__name__
        raise InvalidRestriction(f"{parameter} is of type {kind}, expected a list of strings.") from None
    for value in strings:
        if not isinstance(value, str):
            raise InvalidRestriction(f"{parameter} has an entry of type {type(value).__name__}, expected strings only.")
    return strings


def to_names(parameter: str, values: Iterable[str]) -> list[str]:
    """Return project names, normalized; raise InvalidRestriction if one is not valid."""
    names: list[str] = []
    for name in to_strings(parameter, values):
        try:
            names.append(normalize_valid(name))
        except InvalidNameError:
            raise InvalidRestriction(
                f"{parameter}: {quoted(name)} is not a valid project name: "
                "use letters, digits, '-', '_' and '.', and begin and end with a letter or digit."
            ) from None
    return names
