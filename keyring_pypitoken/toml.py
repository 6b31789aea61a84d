"""TOML with what its parsers leave out: where keys are, and limits that keep reading linear."""

from __future__ import annotations

import re
import sys
from typing import Any, NamedTuple

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.text import caret, quoted

_MAX_DEPTH = (
    50  # parts of a key, and brackets within brackets: parsers take the square of the one, the stack of the other
)
_MAX_KEYS = 10_000
_MAX_TOKENS = 300_000
_MAX_WORD = 1000  # characters of a bare key or a number
# No alternative can fail once it has begun, so that nothing is looked at twice.
_TOKEN = re.compile(
    r'"""(?:[^"\\]+|\\[\s\S]|"(?!""))*(?:"{3,5}|\\?\Z)'
    r"|'''(?:[^']+|'(?!''))*(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]+|\\.)*"?' + r"|'[^'\n]*'?|[A-Za-z0-9_-]+|#[^\n]*|[^\S\n]+|[\s\S]"
)


Path = tuple[str, ...]


class Place(NamedTuple):
    """Where a key is, in lines and columns from 1, and the column of its value (that of the key for a table)."""

    line: int
    column: int
    value_column: int


def load_toml(text: str, name: str) -> dict[str, Any]:
    """Parse TOML.

    Args:
        text: the TOML.
        name: what messages call the file.

    Raises:
        PolicyError: it is not TOML, or too deep or too long to be read in time.
    """
    return read_toml(text, name)[0]


def read_toml(text: str, name: str) -> tuple[dict[str, Any], dict[Path, Place]]:
    """Parse TOML; return its content, and where the tables and keys are. Raises as `load_toml`."""
    found = _find_keys(text, name).found
    if sys.version_info >= (3, 11):
        import tomllib  # pragma: no cover - one version of Python takes this line
    else:
        import tomli as tomllib  # pragma: no cover - and another this one
    try:
        # A copy, which nothing but a table can be made into: what is not one would look like an empty file.
        return dict(tomllib.loads(text)), _first_places(found)
    except ValueError as error:  # as every TOMLDecodeError is
        raise _syntax_error(str(error), found, text, name) from None


def entry(content: Any, *path: str) -> object:
    """Return what is at a path of nested tables, or None."""
    for part in path:
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _first_places(found: list[tuple[Path, Place]]) -> dict[Path, Place]:
    places: dict[Path, Place] = {}
    for path, place in found:
        for length in range(len(path), 0, -1):
            if places.setdefault(path[:length], place) is not place:
                break  # what is above it is there, too
    return places


def _find_keys(text: str, name: str) -> _Scanner:
    """Find each header and key; whether they are right is for the parser to say."""
    scanner = _Scanner()
    line, line_start = 1, 0
    for number, token in enumerate(_TOKEN.finditer(text)):
        word = token[0]
        scanner.take(word, line, token.start() - line_start + 1)
        if "\n" in word:
            line, line_start = line + word.count("\n"), token.start() + word.rfind("\n") + 1
        is_long = len(word) > _MAX_WORD and (word[0].isalnum() or word[0] in "-_")
        if is_long or scanner.is_deep() or number > _MAX_TOKENS:
            raise PolicyError(f"{name}:{line} is nested too deeply or too long to be read: simplify it.")
    return scanner


class _Scanner:
    """Takes the tokens of a file one by one."""

    def __init__(self) -> None:
        self.found: list[tuple[Path, Place]] = []  # headers and keys in their order
        self._table: Path = ()
        self._brackets: list[tuple[str, Path]] = []  # those open in a value, each with the key that it belongs to
        self._parts: list[str] = []  # of the key that is being read
        self._start = 1
        self._in_value = False

    def is_deep(self) -> bool:
        return max(len(self._parts), len(self._brackets)) > _MAX_DEPTH or len(self.found) > _MAX_KEYS

    def take(self, word: str, line: int, column: int) -> None:
        first = word[0]
        if first == "\n" and not self._brackets:
            self._in_value, self._parts = False, []
        elif first.isspace() or first == "#":
            return
        elif self._in_value:
            self._take_value(first, column)
        elif first not in ".[]={},":
            self._start = self._start if self._parts else column
            self._parts.append(word.strip("\"'"))
        else:
            self._take_mark(first, line)

    def _take_value(self, first: str, column: int) -> None:
        path, place = self.found[-1]
        if not place.value_column:
            self.found[-1] = (path, place._replace(value_column=column))
        if first in "[{":
            in_list = bool(self._brackets) and self._brackets[-1][0] == "["
            self._brackets.append((first, self._brackets[-1][1] if in_list else path))
        elif first in "]}" and self._brackets:
            self._brackets.pop()
        in_table = bool(self._brackets) and self._brackets[-1][0] == "{"
        self._in_value = not (first == "{" or (first == "," and in_table))

    def _take_mark(self, first: str, line: int) -> None:
        if first == "]" and self._parts and not self._brackets:
            self._table, self._parts = tuple(self._parts), []
            self.found.append((self._table, Place(line, self._start, self._start)))
        elif first == "=" and self._parts:
            above = self._brackets[-1][1] if self._brackets else self._table
            self.found.append(((*above, *self._parts), Place(line, self._start, 0)))
            self._in_value, self._parts = True, []
        elif first == "}" and self._brackets:
            self._brackets.pop()
            self._in_value = True


def _syntax_error(message: str, found: list[tuple[Path, Place]], text: str, name: str) -> PolicyError:
    """Return the parser's error in the form of all others: where, what, and the line itself."""
    at = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    problem = message[: at.start()] if at else message
    problem = problem[:1].lower() + problem[1:]
    ends_early = at is None or not at[1]
    line, column = (text.count("\n") + 1, 1) if at is None or ends_early else (int(at[1]), int(at[2]))
    path, place = next(((path, place) for path, place in reversed(found) if place.line <= line), ((), None))
    first = next((other for other_path, other in found if other_path == path), place)
    if place is not None and first is not None and first is not place:
        line, column, problem = (
            place.line,
            place.column,
            f"{quoted('.'.join(path))} is there twice, first in line {first.line}",
        )
    elif place is not None and ends_early:
        line, column = place.line, place.value_column or place.column
    elif place is not None and place.line == line and problem.startswith(("invalid value", "expected newline")):
        problem += "; put text in quotes"
    shown = caret(name, text, line, column, problem)
    return PolicyError(f"{name}:{line}:{column} is not valid TOML: {problem}; correct it there.", (shown,))
