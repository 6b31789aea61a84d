"""Settings: of options, variables and files, in the order in which they count; and the files that uploaders share."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections import ChainMap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.files import display_name, read_bytes, read_text, status
from keyring_pypitoken.lookup import BUILT_IN
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import printable, quoted
from keyring_pypitoken.toml import entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyring_pypitoken.uploaders.options import Parsed

# RFC 3986, appendix A. Programs disagree about which host is meant beside a backslash, and poetry fills placeholders.
_NOT_IN_URLS = re.compile(r"[^A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]")
URLS = {repository.name: repository.url for repository in BUILT_IN}  # by the names that most uploaders give them
_MAX_LINE = 4096  # characters; configparser takes quadratic time for a line of many spaces


class Source(Record):
    """What sets a value: data for decisions, and its text for people."""

    kind: Literal["option", "variable", "file", "url", "default"]  # `url` is the user part of an upload URL
    name: str  # the option, the variable, the file as messages call it, or what has the URL
    key: str = ""  # the key in a file; empty if the name says enough
    in_checkout: bool = False  # whether it is a file of the project, which whoever wrote the checkout chose

    def __str__(self) -> str:
        return printable(f"{self.key} in {self.name}" if self.key else self.name)


DEFAULT = Source("default", "default")


class Setting(Record):
    """A value, and what sets it; None if nothing does."""

    value: str | None = None
    source: Source = DEFAULT

    def __repr__(self) -> str:
        return f"Setting({'None' if self.value is None else '...'}, {self.source!r})"  # it may be a password

    def otherwise(self, other: Setting) -> Setting:
        """Return this, or another if it has no value."""
        return other if self.value is None else self


class Table(Record):
    """The content of a settings file or a part of it, what messages call the file, and whether it is the project's."""

    content: object
    name: str
    in_checkout: bool = False

    def __repr__(self) -> str:
        return f"Table({self.name!r})"  # its content may hold passwords


class Sources(Record):
    """What the settings of a run come from: its command line, its environment, its files; the first that has one."""

    options: Parsed
    environ: Mapping[str, str]
    tables: tuple[Table, ...] = ()

    def __repr__(self) -> str:
        return f"Sources({self.options!r}, {self.tables!r})"  # variables may hold passwords

    def find(self, option: str = "", variable: str = "", *keys: str) -> Setting:
        """Return what an option says, else its variable, else a key of the files."""
        if (value := self.options.last(option)) is not None:
            return Setting(value, Source("option", option))
        if variable in self.environ:
            return Setting(self.environ[variable], Source("variable", variable))
        return first(self.tables, *keys)


def first(tables: Iterable[Table], *keys: str) -> Setting:
    """Return the text at a key of the first table that has one there."""
    for table in tables:
        value = entry(table.content, *keys)
        if isinstance(value, str):
            return Setting(value, Source("file", table.name, ".".join(keys), table.in_checkout))
    return Setting()


def listed(content: object, *keys: str) -> list[Any]:
    """Return the array at a path of nested tables; an empty one if none is there."""
    array = entry(content, *keys)
    return array if isinstance(array, list) else []


def read_ini(path: Path, name: str, *, as_python: bool = True) -> Mapping[str, Mapping[str, str]]:
    """Return the sections of an INI file, such as .pypirc or setup.cfg; nothing if it is absent.

    Args:
        path: the file.
        name: what messages call it.
        as_python: whether it is read as Python's configparser reads it: each section has the values of `[DEFAULT]`,
            and a byte order mark is an error. Other parsers ignore the mark, and take that for a section like others.

    Raises:
        PolicyError: it cannot be read, or is not an INI file.
    """
    text = read_text(path, name)
    if text is None:
        return {}
    import configparser
    import io

    is_marked = (read_bytes(path, name) or b"").startswith(BOM_UTF8)
    name = printable(name)
    if as_python and is_marked:
        raise PolicyError(f"{name} begins with a byte order mark, at which uploaders stop: save it without one.")
    text = io.StringIO(text, newline=None).read()
    if any(len(line) > _MAX_LINE for line in text.splitlines()):
        raise PolicyError(f"{name} has a line of more than {_MAX_LINE} characters: shorten it.")
    parser = configparser.RawConfigParser(default_section="\0")  # so that it does not copy those to each section
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise PolicyError(f"{name} is not a valid INI file ({type(error).__name__}): correct it.") from None
    sections = {section: dict(parser.items(section)) for section in parser.sections()}
    defaults = sections.pop(configparser.DEFAULTSECT, {}) if as_python else {}
    return {section: ChainMap(values, defaults) for section, values in sections.items()}


class Pypirc(Record):
    """The sections of a .pypirc, and what messages call the file."""

    name: str
    sections: Mapping[str, Mapping[str, str]]

    def __repr__(self) -> str:
        return f"Pypirc({self.name!r})"  # its sections may hold passwords

    @property
    def source(self) -> Source:
        return Source("file", self.name)

    def find(self, section: str, key: str) -> Setting:
        """Return a value of a section."""
        return Setting(self.sections.get(section, {}).get(key), self.source)

    def listed(self, default: str) -> list[str]:
        """Return the names of its repositories."""
        return self.sections.get("distutils", {}).get("index-servers", default).split()

    def unknown(self, name: str) -> Refusal:
        """Return the refusal of a repository that it does not define."""
        return Refusal(f"{self.source} does not define the repository {quoted(name)}: correct the name, or add it.")


def read_pypirc(
    environ: Mapping[str, str], directory: Path, path: str | None = None, *, as_python: bool = True
) -> Pypirc:
    """Read ~/.pypirc, which may be absent, or the file that an option names.

    Args:
        environ: the environment, which names the home directory.
        directory: what a relative path starts from.
        path: the option's value; a `~/` that the shell left is the home directory.
        as_python: as in `read_ini`.

    Raises:
        PolicyError: it cannot be read, or an option names a file that is not there.
    """
    name = path or "~/.pypirc"
    file = home(environ) / name[2:] if name.startswith("~/") else directory / name
    if path is not None and status(file, name) is None:
        raise PolicyError(f"{quoted(name)} does not exist: correct the option that names it.")
    return Pypirc(name, read_ini(file, name, as_python=as_python))


def read_table(file: Path, directory: Path, *, in_checkout: bool = False) -> Table:
    """Return the content of a TOML file, nothing if it is absent; messages call it as seen from a directory.

    Raises:
        PolicyError: it cannot be read, or is not TOML.
    """
    from keyring_pypitoken.toml import load_toml

    name = display_name(file, directory)
    text = read_text(file, name)
    return Table({} if text is None else load_toml(text, name), name, in_checkout)


def user_config(program: str, *, roaming: bool = False) -> Path:
    """Return the directory that a program keeps its user's configuration in, as platformdirs has it."""
    import platformdirs

    return Path(platformdirs.user_config_dir(program, appauthor=False, roaming=roaming))


def home(environ: Mapping[str, str], platform: str = os.name) -> Path:
    """Return the home directory of an environment."""
    named = environ.get("USERPROFILE" if platform == "nt" else "HOME")
    return Path(named) if named else Path(os.path.expanduser("~"))


def checked_url(url: str | None, source: object) -> str:
    """Return a URL; raise Refusal if it is not one of http or https that names a host, or may be read in two ways."""
    from urllib.parse import urlsplit

    if strange := _NOT_IN_URLS.search(url or ""):
        raise Refusal(f"the repository URL of {source} contains {quoted(strange[0])}, which no URL may: correct it.")
    try:
        parts = urlsplit(url or "")
        if url and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return url
    except ValueError:
        pass
    raise Refusal(f"the repository URL of {source} is not one of http or https: correct it.")
