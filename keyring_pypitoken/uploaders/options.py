"""Command lines and file patterns, read as the uploaders read them (argparse, click, cleo, clap; Python, Rust)."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import follow, is_present, status
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MAX_LOOKED_AT = 40_000  # directory entries, for one pattern: less than 5 seconds even on a busy machine
_MAGIC = r"[*?\[]"
_SEPARATORS = r"[/\\]+" if os.name == "nt" else "/+"


class Parsed(Record):
    """A command line."""

    # The options in their order, by their last spelling (`--repository`); the value of a flag is None.
    options: tuple[tuple[str, str | None], ...] = ()
    positional_args: tuple[str, ...] = ()  # what is neither an option nor the value of one
    rest: tuple[str, ...] = ()  # what follows the first positional argument, if the parser was to stop there
    unknown: tuple[str, ...] = ()  # options that are not known

    def __repr__(self) -> str:
        return f"Parsed({[name for name, _ in self.options]})"  # their values may be passwords

    def last(self, name: str) -> str | None:
        """Return the value of an option; the last one counts."""
        return next((value for option, value in reversed(self.options) if option == name), None)

    def has(self, *names: str) -> bool:
        """Return True if one of the options was given."""
        return any(option in names for option, _ in self.options)


class Command(Record):
    """A command line with a subcommand, which is empty if there is none."""

    name: str
    before: Parsed
    after: Parsed


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
        unknown: list[str] = []
        rest = list(reversed(arguments))
        while rest and not (stop and positional):
            word = rest.pop()
            if word == "--":
                if not stop:
                    positional += reversed(rest)
                    break
                positional += rest[-1:]
                del rest[-1:]
            elif not word.startswith("-") or word == "-":
                positional.append(word)
            elif not (self._read_long if word[1] == "-" else self._read_short)(word, rest, options):
                # argparse takes a word with a space for no option.
                (positional if self._abbreviations and " " in word else unknown).append(word)
        return Parsed(tuple(options), tuple(positional), tuple(reversed(rest)) if stop else (), tuple(unknown))

    def _read_long(self, word: str, rest: list[str], options: list[tuple[str, str | None]]) -> bool:
        spelling, equals, value = word.partition("=")
        names = {self._names[spelling]} if spelling in self._names else set()
        if not names and self._abbreviations:
            names = {name for known, name in self._names.items() if known.startswith(spelling)}
        if len(names) != 1:
            return False
        options.append(self._with_value(names.pop(), value if equals else None, rest))
        return True

    def _read_short(self, word: str, rest: list[str], options: list[tuple[str, str | None]]) -> bool:
        """Read one short option, or several in one word of which only the last takes a value."""
        for at, letter in enumerate(word[1:], 1):
            name, value = self._names.get(f"-{letter}"), word[at + 1 :]
            if name is None:
                return False
            attached = value.removeprefix("=") if self._equals else value
            options.append(self._with_value(name, attached if value else None, rest))
            if name in self._values.values():
                break
        return True

    def _with_value(self, name: str, value: str | None, rest: list[str]) -> tuple[str, str | None]:
        """Return an option with the value in its word, or else the next word; with None if it takes none."""
        if name not in self._values.values():
            return name, None
        return name, rest.pop() if value is None and rest else value


def _by_spelling(options: str) -> Mapping[str, str]:
    """Map each spelling of each option to the option's name: its last spelling, which is the longest."""
    return {spelling: group.split("/")[-1] for group in options.split() for spelling in group.split("/")}


def named_files(names: Iterable[str], directory: Path) -> list[Path]:
    """Return the files that arguments name: each a path, or a pattern if no file has that name.

    Raises:
        Refusal: one stands for nothing.
    """
    paths: list[str] = []
    for name in names:
        path = os.path.join(directory, name)
        matches = [path] if name and status(path, name) is not None else expand(directory, name)
        if not matches:
            raise Refusal(f"{quoted(name)} matches no file: build first, or correct the name.")
        paths += matches
    return [Path(path) for path in paths]


def expand(directory: Path, pattern: str, *, as_rust: bool = False) -> list[str]:
    """Return the paths that a pattern finds, in the order in which the system lists directories.

    That is, as `glob.glob`, for which `**` is `*`; or as Rust's crate glob, for which names that begin with a dot match
    like others, and `**` is any directories.

    Raises:
        Refusal: that would look at more than a large directory holds.
    """
    left = _MAX_LOOKED_AT
    drive, rest = os.path.splitdrive(pattern)
    parts = [part for part in re.split(_SEPARATORS, rest) if part]
    paths = [os.path.join(directory, drive + os.sep if re.match(_SEPARATORS, rest) else drive)] if parts else []
    for part in parts:
        further: list[str] = []
        seen: set[tuple[int, int]] = set()
        for path in paths:
            has_magic = re.search(_MAGIC, part)
            names = _names_in(path) if has_magic else [part] if is_present(os.path.join(path, part)) else []
            left -= len(names) + 1
            if left < 0:
                raise Refusal(f"the pattern {quoted(pattern)} looks at too many files: name them.")
            if as_rust and part == "**":
                target = follow(path, path)
                # Links may lead back: what a directory holds is the same by whichever path.
                if target and stat.S_ISDIR(target.st_mode) and (target.st_dev, target.st_ino) not in seen:
                    seen.add((target.st_dev, target.st_ino))
                    further.append(path)
                    paths += [os.path.join(path, name) for name in names]  # which this loop then comes to
                continue
            if has_magic:
                names = [name for name in fnmatch.filter(names, part) if as_rust or part[0] == "." or name[0] != "."]
            further += [os.path.join(path, name) for name in names]
        paths = further
    return paths


def fits(path: Sequence[str], pattern: str) -> bool:
    """Return True if a relative path, as its parts, is one that a pattern describes; `**` is any directories."""
    reached = {0}  # how many parts of the path may be described by now
    for part in re.split(_SEPARATORS, pattern):
        if part == "**":
            reached = set(range(min(reached), len(path) + 1)) if reached else reached
        elif part not in ("", "."):
            reached = {at + 1 for at in reached if at < len(path) and fnmatch.fnmatchcase(path[at], part)}
    return len(path) in reached


def _names_in(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:  # in its order, which is that of the upload
            return [entry.name for entry in entries]
    except (OSError, ValueError):
        return []  # as for glob
