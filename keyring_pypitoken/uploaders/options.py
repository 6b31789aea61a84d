"""Command lines, read as the parsers of the uploaders read them (argparse, click, cleo, clap)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MAX_LOOKED_AT = 100_000  # directory entries, for one pattern: a second or less


class Parsed(NamedTuple):
    """A command line.

    Attributes:
        options: the options in their order, by their last spelling (`--repository`); the value of a flag is None.
        positional_args: what is neither an option nor the value of one.
        doubtful: what follows an option that is not known, and may be its value.
        rest: what follows the first positional argument, if the parser was to stop there.
        unknown: options that are not known.
    """

    options: tuple[tuple[str, str | None], ...]
    positional_args: tuple[str, ...]
    doubtful: tuple[str, ...]
    rest: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def last(self, name: str) -> str | None:
        """Return the value of an option; the last one counts."""
        return next((value for found, value in reversed(self.options) if found == name), None)

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of an option that may be repeated."""
        return tuple(value for found, value in self.options if found == name and value is not None)

    def has(self, name: str) -> bool:
        """Return True if an option was given."""
        return any(found == name for found, _ in self.options)


class Grammar:
    """The options of a program.

    Args:
        values: options that take a value, all spellings of one joined by slashes: `-r/--repository --cert`.
        flags: options that take none, likewise.
        abbreviations: whether a long option may be shortened while it stays unique, as in argparse.
        equals: whether an equals sign between a short option and its value is dropped, as argparse and clap do.
    """

    def __init__(self, values: str, flags: str, *, abbreviations: bool = False, equals: bool = True) -> None:
        self._values = _by_spelling(values)
        self._names = {**self._values, **_by_spelling(flags)}
        self._abbreviations = abbreviations
        self._equals = equals

    def parse(self, arguments: Sequence[str], *, stop: bool = False) -> Parsed:
        """Read a command line; with `stop` only up to the first positional argument, which is a subcommand."""
        options: list[tuple[str, str | None]] = []
        positional: list[str] = []
        doubtful: list[str] = []
        unknown: list[str] = []
        rest = list(reversed(arguments))
        while rest:
            word = rest.pop()
            if word == "--":
                if stop and rest:
                    return Parsed(tuple(options), (rest.pop(),), tuple(doubtful), tuple(reversed(rest)))
                positional += reversed(rest)
                break
            if not word.startswith("-") or word == "-":
                positional.append(word)
                if stop:
                    rest.reverse()
                    return Parsed(tuple(options), tuple(positional), tuple(doubtful), tuple(rest), tuple(unknown))
                continue
            known = self._read_long(word, rest, options) if word[1] == "-" else self._read_short(word, rest, options)
            if not known and self._abbreviations and " " in word:
                positional.append(word)  # as argparse has it
            elif not known:
                unknown.append(word)
                if rest and not rest[-1].startswith("-"):
                    doubtful.append(rest.pop())
        return Parsed(tuple(options), tuple(positional), tuple(doubtful), (), tuple(unknown))

    def _read_long(self, word: str, rest: list[str], options: list[tuple[str, str | None]]) -> bool:
        spelling, equals, value = word.partition("=")
        found = self._find(spelling)
        if found is None:
            return bool(equals)
        takes_value = found in self._values.values()
        options.append((found, (value if equals else rest.pop() if rest else None) if takes_value else None))
        return True

    def _read_short(self, word: str, rest: list[str], options: list[tuple[str, str | None]]) -> bool:
        """Read one short option, or several in one word of which only the last takes a value."""
        for at, letter in enumerate(word[1:], 1):
            found = self._names.get(f"-{letter}")
            if found is None:
                return False
            if found not in self._values.values():
                options.append((found, None))
                continue
            value = word[at + 1 :]
            if value.startswith("=") and self._equals:
                options.append((found, value[1:]))
            else:
                options.append((found, value or (rest.pop() if rest else None)))
            break
        return True

    def _find(self, spelling: str) -> str | None:
        if spelling in self._names or not self._abbreviations:
            return self._names.get(spelling)
        found = {name for known, name in self._names.items() if known.startswith(spelling)}
        return found.pop() if len(found) == 1 else None


def _by_spelling(options: str) -> Mapping[str, str]:
    """Map each spelling of each option to the option's name: its last spelling, which is the longest."""
    return {spelling: group.split("/")[-1] for group in options.split() for spelling in group.split("/")}


def expand(directory: Path, pattern: str) -> list[str]:
    """Return the paths that `glob.glob` finds for a pattern in a directory, in its order; `**` stands for `*`.

    Raises:
        Refusal: that would look at more than a large directory holds.
    """
    import fnmatch
    import glob

    path, left = os.path.normcase(pattern), _MAX_LOOKED_AT
    drive, rest = os.path.splitdrive(path)
    parts = [part for part in rest.split(os.sep) if part]
    found = [os.path.join(directory, drive + os.sep if rest.startswith(os.sep) else drive)] if parts else []
    for part in parts:
        further: list[str] = []
        for above in found:
            if glob.has_magic(part):
                names = _names_in(above)
                inside = [name for name in fnmatch.filter(names, part) if part[0] == "." or name[0] != "."]
            else:
                names = inside = [part] if os.path.lexists(os.path.join(above, part)) else []
            left -= len(names) + 1
            if left < 0:
                raise Refusal(f"the pattern {quoted(pattern)} looks at too many files: name them.")
            further += [os.path.join(above, name) for name in inside]
        found = further
    return found


def _names_in(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:  # in its order, which is that of the upload
            return [entry.name for entry in entries]
    except OSError:
        return []  # as for glob
