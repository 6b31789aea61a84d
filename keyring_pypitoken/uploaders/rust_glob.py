"""Patterns of paths as Rust's crate glob 0.3 has them, which uv expands file names and workspaces with.

They differ from Python's: `*` and `**` find hidden names too, `**` follows links, and what cannot be a pattern is an
error. Every walk is bounded in entries and in depth.
"""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_VISITED = 50_000  # directory entries that one pattern may look at: less than a second's work
_SPECIAL = re.compile(r"[*?\[]")
_CLASS = re.compile(r"\[!?.[^\]]*\]")
_SEPARATORS = re.compile(r"[/\\]+" if os.name == "nt" else "/+")


def expand(pattern: str, directory: Path) -> Iterator[Path]:
    """Yield the paths that a pattern finds, relative to a directory; one without wildcards finds itself if it exists.

    Raises:
        Refusal: it is not a valid pattern, looks at too much, or meets a directory that cannot be read.
    """
    if not _SPECIAL.search(pattern):
        if os.path.lexists(directory / pattern):
            yield directory / pattern
        return
    root, parts = _split(pattern)
    todo = [(os.path.join(directory, root), 0)]
    seen = set(todo)
    visited = 0
    while todo:
        path, at = todo.pop()
        if at == len(parts):
            yield Path(path)
            continue
        part = parts[at]
        if part == "**":
            further = [(path, at + 1), *((entry, at) for entry in _entries(path, pattern))]
        elif _SPECIAL.search(part):
            names = _entries(path, pattern)
            further = [(name, at + 1) for name in names if fnmatch.fnmatchcase(os.path.basename(name), part)]
            visited += len(names)
        else:
            below = os.path.join(path, part)
            further = [(below, at + 1)] if os.path.lexists(below) else []
        visited += len(further)
        if visited > _MAX_VISITED:
            raise Refusal(f"the pattern {quoted(pattern)} looks at too many files: name a smaller directory.")
        todo += [step for step in further if step not in seen]
        seen.update(further)


def fits(path: Iterable[str], pattern: str) -> bool:
    """Return True if a relative path, as its parts, is one that a pattern describes.

    Raises:
        Refusal: it is not a valid pattern.
    """
    _, parts = _split(pattern)

    def reachable(places: set[int]) -> set[int]:
        """Add the places that come next if `**` stands for nothing."""
        for at, part in enumerate(parts):
            if at in places and part == "**":
                places.add(at + 1)
        return places

    places = reachable({0})
    for name in path:
        places = reachable(
            {
                at if parts[at] == "**" else at + 1
                for at in places
                if at < len(parts) and (parts[at] == "**" or fnmatch.fnmatchcase(name, parts[at]))
            }
        )
    return len(parts) in places


def _split(pattern: str) -> tuple[str, list[str]]:
    """Return the root of a pattern, empty if it is relative, and its parts."""
    drive, rest = os.path.splitdrive(pattern)
    root = drive + os.sep if _SEPARATORS.match(rest) else drive
    parts = [part for part in _SEPARATORS.split(rest) if part not in ("", ".")]
    for part in parts:
        if "[" in _CLASS.sub("", part) or ("**" in _CLASS.sub("", part) and part != "**"):
            raise Refusal(f"{quoted(pattern)} is not a valid pattern of file names: correct it.")
    return root, parts


def _entries(path: str, pattern: str) -> list[str]:
    if not os.path.isdir(path):
        return []
    try:
        return [entry.path for entry in os.scandir(path)]
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise Refusal(
            f"a directory that the pattern {quoted(pattern)} looks into cannot be read ({reason}): name another one."
        ) from None
