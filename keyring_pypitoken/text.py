"""How values are written into sentences for people."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_MAX_NAMES = 5
_MAX_CHARACTERS = 100


def join_quoted(names: Collection[str]) -> str:
    """Write names sorted and quoted, the first few of many."""
    found = sorted(names)
    shown = ", ".join(quoted(name) for name in found[:_MAX_NAMES])
    return f"{shown} and {len(found) - _MAX_NAMES} more" if len(found) > _MAX_NAMES else shown


def quoted(text: str) -> str:
    """Quote a text that somebody else wrote; what is too long to be read is not shown."""
    return repr(text) if len(text) <= _MAX_CHARACTERS else f"a text of {len(text)} characters"


def utc(timestamp: int) -> str:
    """Write Unix seconds as a date and time."""
    try:
        moment = datetime.datetime.fromtimestamp(timestamp, datetime.timezone.utc)
    except (OverflowError, ValueError, OSError):  # beyond the years that Python, or the platform, can write
        return f"the Unix second {timestamp}"
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


_UNITS = (("year", 365 * 86_400), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


_MAX_YEARS = 1000  # beyond, nobody counts


def in_words(seconds: int) -> str:
    """Write a length of time by its largest unit and the next one, such as `1 hour 5 minutes`.

    Args:
        seconds: at least 0.
    """
    if seconds >= _MAX_YEARS * _UNITS[0][1]:
        return f"{_MAX_YEARS} years or more"
    parts = []
    for name, size in _UNITS:
        count, seconds = divmod(seconds, size)
        parts.append(f"{count} {name}{'' if count == 1 else 's'}" if count else "")
    first = next((at for at, part in enumerate(parts) if part), None)
    return "0 seconds" if first is None else " ".join(part for part in parts[first : first + 2] if part)
