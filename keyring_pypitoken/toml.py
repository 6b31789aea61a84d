"""TOML with bounds, and the line of each key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.memory import PARSED, recall
from keyring_pypitoken.text import looks_like_token, printable, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str, ...]

_MAX_CHARACTERS = 2 * 1024 * 1024  # whatever a checkout holds
_MAX_PARTS = 12  # of one key: the parser needs quadratic time for them
# Possessive, and quotes end soon: no text is read more than a few times. Longer parts are too few in 1 MiB to matter.
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.){0,50}+"|'[^'\n]{0,50}+')"""
_DOT = r"[ \t]*+\.[ \t]*+"
_DEEP = rf"(?<![A-Za-z0-9_-])(?:{_PART}{_DOT}){{{_MAX_PARTS}}}"
_KEY = rf"(?m)^[ \t]*+(?P<header>\[\[?[ \t]*+)?(?P<key>{_PART}(?:{_DOT}{_PART})*+)[ \t]*+[\]=]"


def load_toml(text: str, name: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        PolicyError: it is invalid, or nested too deeply, or this lookup has parsed too much already; the message calls
            it `name`.
    """
    import tomli

    parsed: dict[str, int] = recall(PARSED, dict)
    parsed[name] = len(text)  # what is read twice counts once
    if sum(parsed.values()) > _MAX_CHARACTERS:
        raise PolicyError(
            f"{name} is too much to read, together with the other settings and policies of this upload: shorten them, "
            "or remove some."
        )
    if deep := re.search(_DEEP, text):
        line = text.count("\n", 0, deep.start()) + 1
        raise PolicyError(f"{name}:{line} is nested too deeply: simplify it.")
    try:
        # A copy, which nothing but a table can be made into: what is not one would look like an empty file.
        return dict(tomli.loads(text))
    except RecursionError:
        raise PolicyError(f"{name} is nested too deeply: simplify it.") from None
    except tomli.TOMLDecodeError as error:
        line, problem = _explain(text, error.msg, error.lineno)
    except ValueError:  # Python makes no integer of more than 4300 digits
        line, problem = 1, "a number is too long"
    raise PolicyError(f"{name}:{line} is not valid TOML: {problem}; correct it there.", (f"{name}:{line}: {problem}",))


def entry(content: Any, *path: str) -> object:
    """Return what is at a path of nested tables, or None."""
    for part in path:
        content = content.get(part) if isinstance(content, dict) else None
    return content


def find_lines(text: str) -> dict[Path, int]:
    """Return the first line of each table and key that is written at the beginning of a line, without escapes."""
    lines: dict[Path, int] = {}
    for line, path in _find_keys(text):
        for length in range(len(path), 0, -1):
            if lines.setdefault(path[:length], line) != line:
                break  # what is above it is there, too
    return lines


def _find_keys(text: str) -> Iterator[tuple[int, Path]]:
    table: Path = ()
    line, counted = 1, 0
    for match in re.finditer(_KEY, text):
        line, counted = line + text.count("\n", counted, match.start()), match.start()
        path = tuple(part.strip("\"'") for part in re.findall(_PART, match["key"]))
        table = path if match["header"] else table
        yield line, (path if match["header"] else (*table, *path))


def _explain(text: str, message: str, line: int) -> tuple[int, str]:
    """Return the line of a parser's error, and the problem in our words if we have better ones."""
    problem = "a key looks like a token" if looks_like_token(message) else printable(message[:1].lower() + message[1:])
    before = [(number, path) for number, path in _find_keys(text) if number <= line]
    if before:
        last, path = before[-1]
        first = next(number for number, other in before if other == path)
        if first != last:
            return last, f"{quoted('.'.join(path))} is there twice, first in line {first}"
        if last < line:
            return last, problem.replace("invalid value", "the value is not closed")
        if problem.startswith(("invalid value", "expected newline")):
            return line, f"{problem}; put text in quotes"
    return line, problem
