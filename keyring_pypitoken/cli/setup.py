"""setup: write the settings without which an uploader does not ask keyring, in the user's own files only."""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.cli.output import can_ask, confirm, say
from keyring_pypitoken.cli.pypirc import rewrite
from keyring_pypitoken.cli.surroundings import find_installed
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.files import read_text
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import join_quoted, nearest, quoted
from keyring_pypitoken.toml import load_toml
from keyring_pypitoken.uploaders.settings import home, user_config
from keyring_pypitoken.uploaders.uploader import all_uploaders

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


class _Wanted(Record):
    """What an uploader's settings file must have in a table or section, or above the first one."""

    path: Path  # the user's own file: TOML by its name, else an INI file
    table: str
    settings: tuple[tuple[str, str], ...]


def _wanted(name: str, environ: Mapping[str, str]) -> _Wanted | None:
    """Return what an uploader needs; None if it asks keyring without any settings."""
    xdg = environ.get("XDG_CONFIG_HOME", "")
    config = Path(xdg) if os.path.isabs(xdg) else home(environ) / ".config"
    if os.name == "nt":  # pragma: no cover - one system takes this branch
        config = Path(environ.get("APPDATA") or home(environ) / "AppData" / "Roaming")
    url = PYPI.url.replace("https://", f"https://{TOKEN_USERNAME}@")
    hatch = environ.get("HATCH_CONFIG") or user_config("hatch") / "config.toml"
    return {
        "uv": _Wanted(config / "uv" / "uv.toml", "", (("publish-url", url), ("keyring-provider", "subprocess"))),
        "hatch": _Wanted(Path(hatch), "publish.index", (("user", TOKEN_USERNAME),)),
        "flit": _Wanted(home(environ) / ".pypirc", "pypi", (("username", TOKEN_USERNAME),)),
    }.get(name)


def setup(options: argparse.Namespace) -> int:
    """Write the settings that an uploader needs."""
    name, known = options.uploader.lower(), {uploader.name: uploader for uploader in all_uploaders()}
    if name not in known:
        likely = nearest(name, [*known], cutoff=0.5)
        hint = f"did you mean {likely!r}?" if likely else f"known are {join_quoted(known)}."
        raise Refusal(f"{quoted(name)} is not a known uploader: {hint}")
    if not known[name].asks_keyring:
        raise Refusal(f"{name} never asks keyring: give it a token with `keyring-pypitoken exec -- {name} ...`.")
    wanted = _wanted(name, os.environ)
    text, lines = _plan(wanted) if wanted else ("", [])
    if wanted is None or not lines:
        say(f"{name} is set up already{f': {wanted.path} has what it needs' if wanted else ''}.", "good")
    elif not _write(name, wanted, text, lines, is_agreed=options.yes):
        return 1
    for one in find_installed(os.environ):
        if one.uploader.name == name and one.problem is not None:
            say(f"{one.problem.problem}: {one.problem.remedy}.", "bad")
            return 1
    return 0


def offer(name: str) -> None:
    """Offer to write what an uploader lacks, or name the command that does it."""
    wanted = _wanted(name, os.environ)
    try:
        text, lines = _plan(wanted) if wanted else ("", [])
    except Refusal:
        return  # `status` names what is wrong with the file
    if wanted and lines and can_ask():
        _write(name, wanted, text, lines, is_agreed=False)
    elif lines:
        say(f"If you use {name}: keyring-pypitoken setup {name}")


def _plan(wanted: _Wanted) -> tuple[str, list[str]]:
    """Return the new text of a file, and the lines that it gets; none if it has them already.

    Raises:
        Refusal: it sets something else, or is written so that lines cannot be added safely.
    """
    is_toml = wanted.path.suffix == ".toml"
    text, expected, lines = read_text(wanted.path, str(wanted.path)) or "", _parse(wanted), []
    table = expected
    for part in wanted.table.split(".") if wanted.table else ():
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise Refusal(f"{wanted.path} has {part} that is not a table: correct it.")
    for key, value in wanted.settings:
        line = f'{key} = "{value}"' if is_toml else f"{key} = {value}"
        lines += [line] if key not in table else []
        if table.setdefault(key, value) != value:
            raise Refusal(
                f"{wanted.path} sets {key} to something else, which stays as it is: if you do not need that, change it "
                f"to `{line}`."
            )
    changed = _insert(text, wanted.table, "".join(f"{line}\n" for line in lines))
    try:
        is_right = not lines or _parse(wanted, changed) == expected
    except PolicyError:
        is_right = False
    if not is_right:
        raise Refusal(
            f"{wanted.path} is not written as this can change it: add {' and '.join(f'`{line}`' for line in lines)} to "
            f"[{wanted.table}]."
        )
    return changed, lines


def _write(name: str, wanted: _Wanted, text: str, lines: list[str], *, is_agreed: bool) -> bool:
    """Show what a file gets, and write it if a person agrees."""
    say(f"{wanted.path} gets{f' in [{wanted.table}]' if wanted.table else ''}:")
    print("".join(f"  {line}\n" for line in lines), end="", flush=True)
    if not is_agreed and not confirm("Write that?", "nobody can be asked whether to write that: add --yes."):
        return False
    rewrite(os.path.realpath(wanted.path), text.encode())  # a link to a managed file stays a link
    say(f"{name} is set up. To undo it, delete {'this line' if len(lines) == 1 else 'these lines'} there.", "good")
    return True


def _parse(wanted: _Wanted, text: str | None = None) -> dict[str, Any]:
    """Return the content of a file, or of a text that it may get, as its reader has it."""
    name = str(wanted.path)
    text = read_text(wanted.path, name) or "" if text is None else text
    if wanted.path.suffix == ".toml":
        return load_toml(text, name)
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise PolicyError(f"{name} is not a valid INI file ({type(error).__name__}): correct it.") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _insert(text: str, table: str, lines: str) -> str:
    """Return a text with lines at its top, or below the header of a table, which is added if it is absent."""
    text = text if text.endswith("\n") else f"{text}\n".lstrip()
    header = re.search(rf"^[ \t]*\[{re.escape(table)}\][^\n]*\n", text, re.MULTILINE) if table else None
    at = header.end() if header else 0
    return text[:at] + lines + text[at:] if header or not table else f"{text}\n[{table}]\n{lines}".lstrip("\n")
