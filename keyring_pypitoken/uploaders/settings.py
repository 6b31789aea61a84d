"""Settings: of options, variables and files, in the order in which they count; and the files that uploaders share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.files import display_name, read_text, status
from keyring_pypitoken.text import printable, quoted
from keyring_pypitoken.toml import entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyring_pypitoken.uploaders.options import Parsed

_MAX_LINE = 4096  # characters; configparser takes quadratic time for a line of many spaces

Table = tuple[object, str]  # the content of a settings file, or a part of it, and what messages call the file


class Setting(NamedTuple):
    """A value, and what sets it, for people: `--repository`, `TWINE_REPOSITORY`, `~/.pypirc`; None if nothing does."""

    value: str | None
    origin: str


class Sources(NamedTuple):
    """What the settings of a run come from: its command line, its environment, its files; the first that has one."""

    options: Parsed
    environ: Mapping[str, str]
    files: tuple[Table, ...] = ()

    def find(self, option: str = "", variable: str = "", *keys: str) -> Setting:
        """Return what an option says, else its variable, else a key of the files."""
        if (value := self.options.last(option)) is not None:
            return Setting(value, option)
        if variable in self.environ:
            return Setting(self.environ[variable], variable)
        found = first(self.files, *keys)
        return found if found.value is None else Setting(found.value, f"{'.'.join(keys)} in {found.origin}")


def first(tables: Iterable[Table], *keys: str) -> Setting:
    """Return the text at a key of the first table that has one there."""
    found = ((entry(table, *keys), file) for table, file in tables)
    return next((Setting(value, file) for value, file in found if isinstance(value, str)), Setting(None, ""))


def read_ini(path: Path, name: str) -> Mapping[str, Mapping[str, str]]:
    """Return the sections of an INI file, such as .pypirc or setup.cfg; nothing if it is absent.

    Raises:
        PolicyError: it cannot be read, or is not an INI file.
    """
    text = read_text(path, name)
    if text is None:
        return {}
    import configparser

    parser = configparser.RawConfigParser()
    if any(len(line) > _MAX_LINE for line in text.splitlines()):
        raise PolicyError(f"{printable(name)} has a line of more than {_MAX_LINE} characters: shorten it.")
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise PolicyError(f"{printable(name)} is not a valid INI file ({type(error).__name__}): correct it.") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def read_pypirc(
    environ: Mapping[str, str], directory: Path, path: str | None = None
) -> Mapping[str, Mapping[str, str]]:
    """Return the sections of ~/.pypirc, or of the file that an option names; nothing if ~/.pypirc is absent.

    Args:
        environ: the environment, which names the home directory.
        directory: what a relative path starts from.
        path: the option's value; a `~/` that the shell left is the home directory.

    Raises:
        PolicyError: it cannot be read, or an option names a file that is not there.
    """
    if path is None:
        return read_ini(home(environ) / ".pypirc", "~/.pypirc")
    file = home(environ) / path[2:] if path.startswith("~/") else directory / path
    if status(file, path) is None:
        raise PolicyError(f"{quoted(path)} does not exist: correct the option that names it.")
    return read_ini(file, path)


def find_netrc(environ: Mapping[str, str], host: str, username: str | None = None) -> Path | None:
    """Return the netrc file that holds a password for a host, or one for every host; None if there is none.

    With a user name only a password of that user counts. `NETRC` names the file if that exists, else it is `.netrc`
    or `_netrc` in the home directory, as uv has it. An unreadable one counts as one that has none, as for its readers.
    """
    import netrc

    named = os.path.expanduser(environ.get("NETRC", ""))
    for file in [*([Path(named)] if named else []), home(environ) / ".netrc", home(environ) / "_netrc"]:
        try:
            if read_text(file, display_name(file, home(environ))) is not None:
                found = netrc.netrc(file).authenticators(host)
                return file if found is not None and username in (None, found[0]) else None
        except (PolicyError, OSError, netrc.NetrcParseError, UnicodeDecodeError):
            return None
    return None


def read_toml(path: Path, name: str) -> dict[str, Any]:
    """Return the content of a TOML file; nothing if it is absent.

    Raises:
        PolicyError: it cannot be read, or is not TOML.
    """
    from keyring_pypitoken.toml import load_toml

    text = read_text(path, name)
    return {} if text is None else load_toml(text, name)


def read_table(file: Path, directory: Path) -> Table:
    """Return the content of a TOML file as `read_toml`, and what messages call the file, seen from a directory."""
    name = display_name(file, directory)
    return read_toml(file, name), name


def user_config(program: str, *, roaming: bool = False) -> Path:
    """Return the directory that a program keeps its user's configuration in, as platformdirs has it."""
    import platformdirs

    return Path(platformdirs.user_config_dir(program, appauthor=False, roaming=roaming))


def home(environ: Mapping[str, str], platform: str = os.name) -> Path:
    """Return the home directory of an environment."""
    named = environ.get("USERPROFILE" if platform == "nt" else "HOME")
    return Path(named) if named else Path(os.path.expanduser("~"))


def checked_url(url: str | None, origin: str) -> str:
    """Return a URL; raise Refusal if it is not one of http or https that names a host."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url or "")
        if url and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return url
    except ValueError:
        pass
    raise Refusal(f"the repository URL of {origin} is not one of http or https: correct it.")


def unknown_repository(file: str, name: str) -> Refusal:
    """Return the refusal of a name that .pypirc does not define."""
    return Refusal(f"{file} does not define the repository {quoted(name)}: correct the name, or add it.")


def read_json(path: Path, name: str) -> object:
    """Return the content of a JSON file; nothing if it is absent or empty.

    Raises:
        PolicyError: it cannot be read, or is not JSON.
    """
    import json

    text = read_text(path, name)
    try:
        return json.loads(text) if text else {}
    except (ValueError, RecursionError):
        raise PolicyError(f"{printable(name)} is not valid JSON: delete it.") from None
