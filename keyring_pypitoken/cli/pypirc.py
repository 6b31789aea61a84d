"""Tokens in .pypirc files: where they are, and taking one out while the rest stays byte for byte.

Files are parsed as uploaders parse them, and what was taken out is checked by parsing again.
"""

from __future__ import annotations

import configparser
import contextlib
import io
import os
import re
import stat
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import PolicyError, Refusal, sealed
from keyring_pypitoken.files import display_name, follow, list_directory, read_bytes, replace
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.record import Record
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.uploaders.settings import home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "~/.pypirc"
_PASSWORD = re.compile(r"\s*password\s*[=:]", re.IGNORECASE)
_MAX_COMMENTS = 5  # lines within a password
_MAX_LINE = 4096  # characters; configparser takes quadratic time for a line of many spaces
_RECIPES = (".bat", ".cfg", ".cmd", ".ini", ".json", ".mk", ".ps1", ".py", ".sh", ".toml", "makefile", "justfile")
_MAX_RECIPES = 100
_CONFIG_FILE = re.compile(rb"--config-file[ =]+[\"']?([^\s\"'<>|;&]+)")


class PypircToken(Record):
    """A token that is the password of a section."""

    section: str
    username: str
    url: str  # of the section, as it is there; may be empty
    master: MasterToken


@sealed
def read_home() -> tuple[list[PypircToken], str]:
    """Return the tokens in ~/.pypirc, and the lines of those that cannot be taken out.

    Raises:
        Refusal: it cannot be read, or holds a token and is not a file that uploaders can parse.
    """
    text, tokens = _read(_home(), NAME), []
    try:
        sections = _parse(text)
    except configparser.Error as error:
        if not (lines := _lines(text)):
            return [], ""
        raise Refusal(
            f"{NAME} holds a token ({lines}) and is not a valid INI file ({type(error).__name__}): correct it, and try "
            "again."
        ) from None
    for section, options in sections.items():
        master = MasterToken(options.get("password", ""))
        rest = _without_password(text, section) if master.is_token() else None
        if rest is not None:
            text = rest
            username = options.get("username", TOKEN_USERNAME)
            tokens.append(PypircToken(section, username, options.get("repository", ""), master))
    return tokens, _lines(text)


@sealed
def remove_password(section: str) -> None:
    """Take the password of a section out of ~/.pypirc."""
    text = _read(_home(), NAME)
    rest = _without_password(text, section) if section in _parse(text) else None
    if rest is None:
        raise Refusal(f"{NAME} was changed meanwhile: look into it, and try again.")
    rewrite(os.path.realpath(_home()), rest.encode(errors="surrogateescape"))  # a link to a managed file stays a link


def rewrite(path: str, data: bytes) -> None:
    """Replace a file of the user's, whose owner and mode stay, or make it."""
    before = follow(path, path)
    replace(path, data)
    if before is not None:
        os.chmod(path, stat.S_IMODE(before.st_mode))
        if hasattr(os, "chown"):  # pragma: no branch - Windows' files have no such owner
            with contextlib.suppress(PermissionError):  # only root gives a file to somebody else
                os.chown(path, before.st_uid, before.st_gid)


def find_in_checkout(directory: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and lines of each file with a token: `.pypirc`, and what recipes name for uploaders."""
    names = list_directory(directory, str(directory))
    paths = {directory / ".pypirc": None}
    for recipe in [name for name in names if name.lower().endswith(_RECIPES)][:_MAX_RECIPES]:
        with contextlib.suppress(PolicyError):
            for named in _CONFIG_FILE.findall(read_bytes(directory / recipe, recipe) or b"")[:_MAX_RECIPES]:
                paths[directory / os.path.expanduser(os.fsdecode(named))] = None
    for path in paths:
        name = display_name(path, directory)
        with contextlib.suppress(PolicyError):
            if str(path) != _home() and (lines := _lines(_read(str(path), name))):
                yield name, lines


def _home() -> str:
    return str(home(os.environ) / ".pypirc")


def _read(path: str, name: str) -> str:
    """Return the text of a file as it is in it."""
    text = (read_bytes(path, name) or b"").decode(errors="surrogateescape")
    if any(len(line) > _MAX_LINE for line in text.splitlines()):
        raise PolicyError(f"{name} has a line of more than {_MAX_LINE} characters: shorten it.")
    return text


def _parse(text: str) -> dict[str, dict[str, str]]:
    """Return each section's own options: [DEFAULT] is a section like others here."""
    parser = configparser.RawConfigParser(default_section="")
    parser.read_file(io.StringIO(text.removeprefix("\ufeff"), newline=None))
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _without_password(text: str, section: str) -> str | None:
    """Return the text without the lines of a section's password; None if the parser sees any other difference."""
    expected = _parse(text)
    first_line, *further = expected[section].pop("password", "").split("\n")
    lines = list(io.StringIO(text, newline=""))
    for first, line in enumerate(lines):
        if (match := _PASSWORD.match(line)) is None or line[match.end() :].strip() != first_line:
            continue
        for last in range(first + 1, first + 2 + len(further) + _MAX_COMMENTS):
            rest = "".join(lines[:first] + lines[last:])
            with contextlib.suppress(configparser.Error):
                if _parse(rest) == expected:
                    return rest
    return None


def _lines(text: str) -> str:
    """Return which lines of a text show a token, such as `line 2, 7`; an empty text if none does."""
    numbers = [str(at) for at, line in enumerate(io.StringIO(text, newline=None), 1) if MasterToken(line).is_token()]
    return f"line {', '.join(numbers)}" if numbers else ""
