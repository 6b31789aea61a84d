"""How values are written into sentences for people."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_MOST_NAMES = 5
_MOST_CHARACTERS = 100


def listed(names: Collection[str]) -> str:
    """Write names sorted and quoted, the first few of many."""
    found = sorted(names)
    shown = ", ".join(quoted(name) for name in found[:_MOST_NAMES])
    return f"{shown} and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else shown


def quoted(text: str) -> str:
    """Quote a text that somebody else wrote; what is too long to be read is not shown."""
    return repr(text) if len(text) <= _MOST_CHARACTERS else f"a text of {len(text)} characters"


def utc(timestamp: int) -> str:
    """Write Unix seconds as a date and time."""
    try:
        moment = datetime.datetime.fromtimestamp(timestamp, datetime.timezone.utc)
    except (OverflowError, ValueError, OSError):  # beyond the years that Python, or the platform, can write
        return f"the Unix second {timestamp}"
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
