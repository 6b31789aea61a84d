"""The keys of a policy: what each is for, how its value is read, and whose policy may set it.

Beside each reader stands the shape of what it takes, as JSON Schema, so that the two are changed together.
"""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.names import VALID_NAME, InvalidNameError, normalize_valid
from keyring_pypitoken.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    Shape: TypeAlias = Mapping[str, object]

_MAX_SHOWN = 10**12
MAX_CLOCK_SKEW = 10 * 60  # seconds
_MAX_DURATION = 3650 * 86_400  # seconds; more is a slip of the keyboard, and no date can hold the sum
_LENGTH = "(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?"
_DURATION = re.compile(_LENGTH)
LABEL = "[A-Za-z0-9._@+-]{1,64}"
_LABEL = re.compile(LABEL)


class Key(NamedTuple):
    """A key of a policy.

    Attributes:
        read: reads its value.
        shape: the JSON Schema of what `read` takes; where JSON has no words for that, of more than that.
        meaning: what it is for, as README's table tells it.
        project_may: whether a project's policy may set it.
    """

    read: Callable[[object], object]
    shape: Shape
    meaning: str
    project_may: bool = True


class WrongValueError(ValueError):
    """A value is not what its key expects; the text continues a sentence that begins with the key."""


def whole(pattern: str) -> str:
    """Return the pattern that finds only what another one fully matches: JSON Schema knows no other way to match."""
    return f"^(?:{pattern})$"


def _shape_of_length(least: int, most: int) -> Shape:
    """Return the shape of a length of time, its limits in seconds."""
    beginning = "(?=.*[1-9])" if least else "(?=[0-9])"  # not zero, or not empty
    return {
        "anyOf": [
            {"type": "string", "pattern": whole(beginning + _LENGTH)},
            {"type": "integer", "minimum": least, "maximum": most},
        ]
    }


def parse_duration(value: object) -> int:
    """Read a length of time such as `"90s"`, `"15m"`, `"1h30m"`, `"2d"` or 900.

    Args:
        value: the text, or whole seconds.

    Returns:
        Seconds, at least 0.

    Raises:
        WrongValueError: it is neither; the message continues a sentence that begins with its name.
    """
    seconds = -1
    if isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str) and value and (found := _DURATION.fullmatch(value)):
        days, hours, minutes, rest = (int(part or 0) for part in found.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if not 0 <= seconds <= _MAX_DURATION:
        raise WrongValueError(
            f"is {shown(value)}, expected a length of time of at most 3650 days "
            'such as "90s", "15m", "1h30m" or "2d", or whole seconds'
        )
    return seconds


def valid_label(label: str) -> bool:
    """Return True if a text can be the name of an account."""
    return _LABEL.fullmatch(label) is not None


def read_names(value: object, what: str) -> list[str]:
    """Read a list of names.

    Args:
        value: the list.
        what: how the message calls them.

    Returns:
        The list.

    Raises:
        WrongValueError: it is none; the message continues a sentence that begins with its key.
    """
    if not isinstance(value, list):
        raise WrongValueError(f'is {shown(value)}, expected a list of {what} such as ["demo"]')
    for item in value:
        if not isinstance(item, str) or not item:
            raise WrongValueError(f"holds {shown(item)}, expected {what} in quotes")
    return value


NAMES: Shape = {"type": "array", "items": {"type": "string", "minLength": 1}}
_PROJECTS: Shape = {"type": "array", "items": {"type": "string", "pattern": whole(VALID_NAME)}}


def _read_projects(value: object) -> frozenset[str]:
    names: set[str] = set()
    for name in read_names(value, "project names"):
        try:
            names.add(normalize_valid(name))
        except InvalidNameError:
            raise WrongValueError(f"holds {quoted(name)}, which no project can be called") from None
    return frozenset(names)


_POSITIVE_DURATION = _shape_of_length(1, _MAX_DURATION)


def _read_positive_duration(value: object) -> int:
    seconds = parse_duration(value)
    if not seconds:
        raise WrongValueError("is 0, expected at least one second")
    return seconds


_SKEW = _shape_of_length(0, MAX_CLOCK_SKEW)


def _read_skew(value: object) -> int:
    seconds = parse_duration(value)
    if seconds > MAX_CLOCK_SKEW:
        raise WrongValueError(f'is {shown(value)}, expected at most "10m"')
    return seconds


# A date-time is a type of TOML's and none of JSON's: an editor passes it on as a text, a program of Python's as an
# object of no type that JSON Schema knows.
_MOMENT: Shape = {
    "not": {"type": ["boolean", "number", "array", "object"]},
    "pattern": whole(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
    ),
}


def _read_moment(value: object) -> int:
    if not isinstance(value, datetime.datetime):
        raise WrongValueError(f"is {shown(value)}, expected a date-time with its offset such as 2026-01-31T18:00:00Z")
    if value.tzinfo is None:
        raise WrongValueError(
            f"is the naive date-time {value.isoformat()}, which is another moment in every time zone: "
            f"write its offset, as in {value.isoformat()}Z"
        )
    return int(value.timestamp())


_ACCOUNT: Shape = {"type": "string", "pattern": whole(LABEL)}


def _read_account(value: object) -> str:
    if not isinstance(value, str) or not valid_label(value):
        raise WrongValueError(f"is {shown(value)}, expected up to 64 letters, digits or any of . _ @ + -")
    return value


_BOOL: Shape = {"type": "boolean"}


def _read_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongValueError(f"is {shown(value)}, expected true or false")
    return value


_UNSCOPED: Shape = {"enum": ["refuse", "allow"]}


def _read_unscoped(value: object) -> str:
    if value not in ("refuse", "allow") or not isinstance(value, str):
        raise WrongValueError(f'is {shown(value)}, expected "refuse" or "allow"')
    return value


_BOUNDS = "no uploads before or after: date-times such as 2026-01-31T18:00:00Z"
KEYS: dict[str, Key] = {
    "projects": Key(_read_projects, _PROJECTS, "what may be uploaded; all lists that speak apply"),
    "valid-for": Key(
        _read_positive_duration,
        _POSITIVE_DURATION,
        'how long a token works: "90s", "15m", "1h30m", "2d", or seconds',
    ),
    "max-valid-for": Key(
        _read_positive_duration,
        _POSITIVE_DURATION,
        "the longest valid-for that is allowed",
        project_may=False,
    ),
    "clock-skew": Key(_read_skew, _SKEW, 'how far before now a token begins to work; at most "10m"'),
    "not-before": Key(_read_moment, _MOMENT, _BOUNDS),
    "not-after": Key(_read_moment, _MOMENT, _BOUNDS),
    "account": Key(_read_account, _ACCOUNT, "which master is derived from"),
    "require-policy": Key(_read_bool, _BOOL, "refuse uploads from repositories without a policy", project_may=False),
    "unscoped": Key(
        _read_unscoped,
        _UNSCOPED,
        '"allow": where nothing tells the project, restrict in time alone',
        project_may=False,
    ),
    "notice": Key(_read_bool, _BOOL, "the line on stderr for each token", project_may=False),
    "history": Key(
        _read_bool,
        _BOOL,
        "the line in the history for each token: when, for what, until when; never the token",
        project_may=False,
    ),
}


def shown(value: object) -> str:
    """Show a TOML value in a message, by its type where it is not a short plain one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (int, float)):
        return repr(value) if abs(value) <= _MAX_SHOWN else "a number out of range"
    return "a list" if isinstance(value, list) else "a table"
