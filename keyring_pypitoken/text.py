"""How values are written in sentences for people."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

_MAX_NAMES = 5
_MAX_CHARACTERS = 100
_MAX_PROJECT_NAME = 60  # longer than the names of nearly all projects; PyPI's tokens have 90 characters and more
_UNITS = (("year", 365 * 86_400), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_MAX_YEARS = 1000  # longer than anybody counts


def wrapped(text: str, stream: TextIO, first: str = "", further: str = "") -> str:
    """Break a text where a terminal would end the line; elsewhere, it stays one line."""
    if not stream.isatty():
        return first + text
    import shutil  # these two only for a person
    import textwrap

    width = max(40, shutil.get_terminal_size().columns)
    lines = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines or [first.rstrip()])


def printable(text: str) -> str:
    """Escape what a terminal would obey or cannot show: control characters, line ends, lone surrogates."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def looks_like_token(text: str) -> bool:
    """Return True if a text may be a token or begin as one, or holds one; `pypi-attestations` and others are not."""
    if "pypi-AgE" in text or "pypi-MDA" in text:  # versions 2 and 1, in base64
        return True
    start = text.strip("'\" \t\r\n").lower()
    return start.startswith("pypi-age") or (start.startswith("pypi-") and len(start) > _MAX_PROJECT_NAME)


def quoted(text: str) -> str:
    """Quote text that somebody else wrote. It is not shown if it is too long to read or looks like a token."""
    if looks_like_token(text):
        return "a text that looks like a token"
    if len(text) > _MAX_CHARACTERS:
        return f"a text of {len(text)} characters"
    return repr(text)


def join_quoted(names: Collection[str]) -> str:
    """Join names sorted and quoted: the first few of many."""
    return _join(names, quoted)


def join_names(names: Collection[str] | None) -> str:
    """Join project names for a line: the first few of many. None is any project."""
    if names is None:
        return "any project"
    return _join(
        names, lambda name: printable(name) if len(name) <= _MAX_CHARACTERS else f"a name of {len(name)} characters"
    )


def _join(names: Collection[str], show: Callable[[str], str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(map(show, ordered[:_MAX_NAMES]))
    return f"{shown} and {len(ordered) - _MAX_NAMES} more" if len(ordered) > _MAX_NAMES else shown


def nearest(word: str, known: Sequence[str], cutoff: float = 0.6) -> str:
    """Return the most similar of known words; an empty text if none is similar."""
    import difflib

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=cutoff)), "")


def in_shell(
    name: str, value: str = "", *, environ: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> str:
    """Return the command, quoted, that sets a variable in the reader's shell, or removes it if the value is empty.

    PowerShell sets PSModulePath, but Windows has it set always, so that it says nothing there: both shells are named.
    """
    posix = f"`export {name}={value}`" if value else f"`unset {name}`"
    powershell = f'`$env:{name} = "{value}"`' if value else f"`Remove-Item Env:{name}`"
    if platform == "win32" and "MSYSTEM" not in environ:  # which Git's and MSYS2's bash set
        return f"{powershell}, or `set {name}={value}` in cmd.exe"
    return f"{posix}, or {powershell} in PowerShell" if "PSModulePath" in environ else posix


def utc(timestamp: int) -> str:
    """Write Unix seconds as a date and time."""
    import datetime

    try:  # computed here, since Windows converts nothing after the year 3000
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=timestamp)  # noqa: DTZ001 - UTC
    except OverflowError:  # beyond the years that Python can write
        return f"the Unix second {timestamp}"
    return f"{moment.isoformat(' ', 'seconds')} UTC"


def local_time(timestamp: int, form: str = "%Y-%m-%d %H:%M:%S %Z") -> str:
    """Write Unix seconds as local date and time; as UTC if they are beyond the years that the system converts."""
    import time

    try:
        return time.strftime(form, time.localtime(timestamp))
    except (OverflowError, ValueError, OSError):
        return utc(timestamp)


def in_words(seconds: int) -> str:
    """Write a length of time, at least 0 seconds, by its largest unit and the next, such as `1 hour 5 minutes`."""
    if seconds >= _MAX_YEARS * _UNITS[0][1]:
        return f"{_MAX_YEARS} years or more"
    parts = []
    for name, size in _UNITS:
        count, seconds = divmod(seconds, size)
        parts.append(f"{count} {name}{'' if count == 1 else 's'}" if count else "")
    first = next((at for at, part in enumerate(parts) if part), None)
    return "0 seconds" if first is None else " ".join(part for part in parts[first : first + 2] if part)
