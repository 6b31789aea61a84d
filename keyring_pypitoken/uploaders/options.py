"""Command lines, read as the parsers of the uploaders read them (argparse, click, cleo, clap)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
                positional += reversed(rest)
                break
            if not word.startswith("-") or word == "-":
                positional.append(word)
                if stop:
                    rest.reverse()
                    return Parsed(tuple(options), tuple(positional), tuple(doubtful), tuple(rest), tuple(unknown))
                continue
            known = self._read_long(word, rest, options) if word[1] == "-" else self._read_short(word, rest, options)
            if not known:
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
