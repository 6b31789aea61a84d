"""TOML with what its parsers leave out: where keys are, and limits that keep reading linear."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.text import caret, quoted

_MAX_DEPTH = 50  # parts of a key, and open brackets: parsers need quadratic time for the one, a stack for the other
_MAX_KEYS = 10_000
_MAX_TOKENS = 300_000
_MAX_WORD = 1000  # characters of a bare key or a number
# No alternative fails after it has begun, so that nothing is read twice.
_PART = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"' + r"|'[^'\n]*'|[A-Za-z0-9_-]+"
_TOKEN = re.compile(
    r'"""(?:[^"\\]+|\\[\s\S]|"(?!""))*(?:"{3,5}|\\?\Z)'
    r"|'''(?:[^']+|'(?!''))*(?:'{3,5}|\Z)"
    rf"|(?P<key>(?:{_PART})(?:[ \t]*\.[ \t]*(?:{_PART}))*)(?:[ \t]*(?P<equals>=)[ \t]*)?"
    r"""|["'#][^\n]*|\s+|[\s\S]"""
)

Path = tuple[str, ...]


class Place(NamedTuple):
    """Where a key is, in lines and columns from 1, and the column of its value (that of the key for a table)."""

    line: int
    column: int
    value_column: int


def load_toml(text: str, name: str) -> dict[str, Any]:
    """Parse TOML. If it is not, or too deep or too long to be read in time, a PolicyError about `name` is raised."""
    return read_toml(text, name)[0]


def read_toml(text: str, name: str) -> tuple[dict[str, Any], dict[Path, Place]]:
    """Parse TOML as `load_toml`; return its content, and where its tables and keys are."""
    found = _find_keys(text, name)
    import tomli

    try:
        # A copy, which nothing but a table can be made into: what is not one would look like an empty file.
        content = dict(tomli.loads(text))
    except ValueError as error:  # as every TOMLDecodeError is
        raise _syntax_error(str(error), found, text, name) from None
    places: dict[Path, Place] = {}
    for path, place in found:
        for length in range(len(path), 0, -1):
            if places.setdefault(path[:length], place) is not place:
                break  # what is above it is there, too
    return content, places


def entry(content: Any, *path: str) -> object:
    """Return what is at a path of nested tables, or None."""
    for part in path:
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _find_keys(text: str, name: str) -> list[tuple[Path, Place]]:
    """Find each header and key in its order, valid or not."""
    found: list[tuple[Path, Place]] = []
    brackets: list[tuple[str, Path]] = []  # those open in a value, each with the key that it belongs to
    table: Path = ()
    in_header = False
    line, line_start, value_start = 1, 0, -1
    for number, token in enumerate(_TOKEN.finditer(text)):
        first, column = token[0][0], token.start() - line_start + 1
        parts = re.findall(_PART, token["key"] or "")
        if (
            max(len(brackets), len(parts)) > _MAX_DEPTH
            or len(found) > _MAX_KEYS
            or number > _MAX_TOKENS
            or (any(len(part) > _MAX_WORD and part[0] not in "\"'" for part in parts))
        ):
            raise PolicyError(f"{name}:{line} is nested too deeply or too long to be read: simplify it.")
        path = tuple(part.strip("\"'") for part in parts)
        if in_header and path:
            table, in_header = path, False
            found.append((path, Place(line, column, column)))
        elif token["equals"] and (not brackets or brackets[-1][0] == "{"):
            value_start = token.end()
            above = brackets[-1][1] if brackets else table
            found.append(((*above, *path), Place(line, column, value_start - line_start + 1)))
        elif first in "[{" and (brackets or token.start() == value_start):
            in_list = bool(brackets) and brackets[-1][0] == "["
            brackets.append((first, brackets[-1][1] if in_list else found[-1][0]))
        elif first == "[":
            in_header = True
        elif first in "]}" and brackets:
            brackets.pop()
        if "\n" in token[0]:
            line, line_start = line + token[0].count("\n"), token.start() + token[0].rfind("\n") + 1
    return found


def _syntax_error(message: str, found: list[tuple[Path, Place]], text: str, name: str) -> PolicyError:
    """Return the parser's error in the form of all others: where, what, and the line itself."""
    problem = re.sub(r" \(at [^()]*\)$", "", message)
    problem = problem[:1].lower() + problem[1:]
    at = re.search(r"\(at line (\d+), column (\d+)\)$", message)  # else it is at the end
    line, column = (int(at[1]), int(at[2])) if at else (text.count("\n") + 1, 1)
    path, place = next(((path, place) for path, place in reversed(found) if place.line <= line), ((), None))
    first = next((other for other_path, other in found if other_path == path), place)
    if place is not None and first is not None and first is not place:
        line, column = place.line, place.column
        problem = f"{quoted('.'.join(path))} is there twice, first in line {first.line}"
    elif place is not None and at is None:
        line, column = place.line, place.value_column
        problem = problem.replace("invalid value", "the value is not closed")
    elif place is not None and place.line == line and problem.startswith(("invalid value", "expected newline")):
        problem += "; put text in quotes"
    shown = caret(name, text, line, column, problem)
    return PolicyError(f"{name}:{line}:{column} is not valid TOML: {problem}; correct it there.", (shown,))
