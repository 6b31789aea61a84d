"""TOML with the one thing that its parsers leave out: the line that a key stands in."""

from __future__ import annotations

import re
import sys
from typing import Any

from keyring_pypitoken.exceptions import PolicyError


def load_toml(text: str, name: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        PolicyError: the text is not TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib  # pragma: no cover - one version of Python takes this line
    else:
        import tomli as tomllib  # pragma: no cover - and another this one
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = _lower_first(str(error))
    except (ValueError, RecursionError):  # Python's own words are for programmers
        problem = "a number in it is too long, or it is nested too deeply"
    raise PolicyError(f"{name} is not valid TOML: {problem}; correct it there.")


def entry(content: Any, *path: str) -> object:
    """Return what lies at a path of nested tables, or None where nothing does."""
    for part in path:
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*"
_HEADER = re.compile(rf"\s*\[\[?{_DOTTED}\]\]?\s*(?:#.*)?")
_ASSIGNMENT = re.compile(f"{_DOTTED}=")


def find_lines(text: str) -> dict[tuple[str, ...], int]:
    """Map the dotted path of each table and key to its line, in one pass.

    TOML parsers tell no positions. This looks at lines that begin like a header or an assignment, so that a
    text of several lines that imitates one can mislead a message, and nothing but a message.
    """
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.fullmatch(line):
            table = _parts(header[1])
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            path = (*table, *_parts(assignment[1]))
            for length in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:length], number)
    return lines


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))
