"""setup: write the settings without which an uploader does not ask keyring, in the user's own files only."""

from __future__ import annotations

import configparser
import contextlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.cli.output import can_ask, confirm, say
from keyring_pypitoken.cli.pypirc import rewrite
from keyring_pypitoken.cli.surroundings import find_programs, lacks_plugin
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.files import read_text
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import in_shell, join_names, join_quoted, nearest, quoted
from keyring_pypitoken.toml import load_toml
from keyring_pypitoken.uploaders.settings import home, user_config
from keyring_pypitoken.uploaders.uploader import all_uploaders

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_PUBLISH_URL = PYPI.url.replace("https://", f"https://{TOKEN_USERNAME}@")


class _Wanted(Record):
    """What an uploader's settings file must say.

    Attributes:
        path: the user's own file.
        table: the table or section that has the settings; empty above the first one.
        settings: the keys and their values.
        ignored_with: variables with which the uploader does not read that file.
    """

    path: Path
    table: str
    settings: tuple[tuple[str, str], ...]
    ignored_with: tuple[str, ...] = ()

    @property
    def is_toml(self) -> bool:
        """True for TOML, False for an INI file."""
        return self.path.suffix == ".toml"

    def line(self, key: str, value: str) -> str:
        """Return the line that sets a key."""
        return f'{key} = "{value}"' if self.is_toml else f"{key} = {value}"


def _wanted(environ: Mapping[str, str]) -> dict[str, _Wanted]:
    """Return what the uploaders need that do not ask keyring by themselves."""
    xdg = environ.get("XDG_CONFIG_HOME", "")
    config = Path(xdg) if os.path.isabs(xdg) else home(environ) / ".config"
    if os.name == "nt":  # pragma: no cover - one system takes this branch
        config = Path(environ.get("APPDATA") or home(environ) / "AppData" / "Roaming")
    uv = (("publish-url", _PUBLISH_URL), ("keyring-provider", "subprocess"))
    hatch = environ.get("HATCH_CONFIG") or user_config("hatch") / "config.toml"
    return {
        "uv": _Wanted(config / "uv" / "uv.toml", "", uv, ("UV_CONFIG_FILE", "UV_NO_CONFIG")),
        "hatch": _Wanted(Path(hatch), "publish.index", (("user", TOKEN_USERNAME),)),
        "flit": _Wanted(home(environ) / ".pypirc", "pypi", (("username", TOKEN_USERNAME),)),
    }


def setup(options: argparse.Namespace) -> int:
    """Write the settings that an uploader needs."""
    name, environ = options.uploader.lower(), os.environ
    known = {uploader.name: uploader for uploader in all_uploaders()}
    if name not in known:
        likely = nearest(name, [*known])
        hint = f"did you mean {likely!r}?" if likely else f"known are {join_quoted(known)}."
        raise Refusal(f"{quoted(name)} is not a known uploader: {hint}")
    if not known[name].lookups_per_upload:
        raise Refusal(f"{name} never asks keyring: give it a token with `keyring-pypitoken exec -- {name} ...`.")
    wanted = _wanted(environ).get(name)
    if wanted is None:
        say(f"{name} needs no settings: it asks keyring by itself.", "good")
    elif not write_settings(name, wanted, environ, is_agreed=options.yes):
        return 1
    for uploader, program in find_programs(environ):
        problem = lacks_plugin(uploader, program, environ) if uploader.name == name else None
        if problem is not None:
            say(f"{problem.problem}: {problem.remedy}.", "bad")
            return 1
    return 0


def offer(name: str, environ: Mapping[str, str]) -> None:
    """Offer to write what an uploader lacks, or name the command that does it."""
    wanted = _wanted(environ).get(name)
    if wanted is None:
        return
    with contextlib.suppress(Refusal):  # `status` names what is wrong with the file
        table = _table(_parse(read_text(wanted.path, str(wanted.path)) or "", wanted), wanted)
        if all(key in table for key, _ in wanted.settings):
            return
        if can_ask():
            write_settings(name, wanted, environ, is_agreed=False)
        else:
            say(f"If you use {name}: keyring-pypitoken setup {name}")


def write_settings(name: str, wanted: _Wanted, environ: Mapping[str, str], *, is_agreed: bool) -> bool:
    """Write what is missing if a person agrees; return True if all is there then."""
    for variable in wanted.ignored_with:
        if environ.get(variable):
            raise Refusal(
                f"{name} does not read {wanted.path} while {variable} is set: run {in_shell(variable)} first."
            )
    path = os.path.realpath(wanted.path)  # a link to a managed file stays a link
    text = read_text(path, str(wanted.path)) or ""
    content = _parse(text, wanted)
    table = _table(content, wanted)
    missing = [(key, value) for key, value in wanted.settings if key not in table]
    for key, value in wanted.settings:
        if table.get(key, value) != value:
            raise Refusal(
                f"{wanted.path} sets {key} to something else, which stays as it is: if you do not need that, change it "
                f"to `{wanted.line(key, value)}`."
            )
    if not missing:
        say(f"{name} is set up already: {wanted.path} has what it needs.", "good")
        return True
    lines = [wanted.line(key, value) for key, value in missing]
    changed, expected = _insert(text, wanted.table, lines), _parse(text, wanted)
    _table(expected, wanted).update(missing)
    is_right = False
    with contextlib.suppress(PolicyError):
        is_right = _parse(changed, wanted) == expected
    place = f"[{wanted.table}] of {wanted.path}" if wanted.table else str(wanted.path)
    if not is_right:
        shown = " and ".join(f"`{line}`" for line in lines)
        raise Refusal(f"{wanted.path} is not written as this can change it: add {shown} to {place}.")
    say(f"{place} gets:")
    print("".join(f"  {line}\n" for line in lines), end="", flush=True)
    if not is_agreed and not confirm("Write that?", "nobody can be asked whether to write that: add --yes."):
        return False
    os.makedirs(os.path.dirname(path), exist_ok=True)
    rewrite(path, changed.encode())
    say(f"{name} is set up. To undo it, delete {join_names([key for key, _ in missing])} from that file.", "good")
    return True


def _parse(text: str, wanted: _Wanted) -> dict[str, Any]:
    """Return the content of a file, as its reader has it."""
    if wanted.is_toml:
        return load_toml(text, str(wanted.path))
    parser = configparser.RawConfigParser()
    try:
        parser.read_file(io.StringIO(text))
    except configparser.Error as error:
        raise PolicyError(f"{wanted.path} is not a valid INI file ({type(error).__name__}): correct it.") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _table(content: dict[str, Any], wanted: _Wanted) -> dict[str, Any]:
    """Return the table of a file's content, which is made if it is absent."""
    for name in wanted.table.split(".") if wanted.table else ():
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise Refusal(f"{wanted.path} has {name} that is not a table: correct it.")
    return content


def _insert(text: str, table: str, lines: list[str]) -> str:
    """Return a text with lines at its top, or below the header of a table, which is added if it is absent."""
    added = "".join(f"{line}\n" for line in lines)
    text = text if text.endswith("\n") else f"{text}\n".lstrip()
    if not table:
        return added + text
    header = re.search(rf"^[ \t]*\[{re.escape(table)}\][^\n]*\n", text, re.MULTILINE)
    if header is not None:
        return text[: header.end()] + added + text[header.end() :]
    return f"{text}\n[{table}]\n{added}".lstrip("\n")
