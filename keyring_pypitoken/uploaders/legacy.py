"""The interface that uploaders had before `target`; each module leaves it when it is converted."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.record import Record
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders import settings, uploader
from keyring_pypitoken.uploaders.settings import Source
from keyring_pypitoken.uploaders.uploader import Lookups, Problem, Process, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from keyring_pypitoken.uploaders.options import Parsed

Table = tuple[object, str]


class Setting(NamedTuple):
    """A value, and what sets it, for people; None if nothing does."""

    value: str | None
    origin: str


class Address(Record):
    """Where a run uploads to."""

    url: str
    name: str
    origin: str


class Credentials(Record):
    """What a run sends without asking keyring; a value is None if it asks."""

    username: Setting
    password: Setting
    section: str = ""
    in_url: bool = False


class Sources(NamedTuple):
    """What the settings of a run come from."""

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


def read_table(file: Path, directory: Path) -> Table:
    """Return the content of a TOML file, and what messages call the file."""
    table = settings.read_table(file, directory)
    return table.content, table.name


class Uploader(uploader.Uploader):
    """An uploader with a method for each question."""

    def target(self, process: Process) -> Target:
        """Return the answers of the methods."""
        address = self.find_address(process)
        found = self.find_credentials(process, address)
        username, password = (_converted(setting) for setting in (found.username, found.password))
        if found.in_url:
            password = password._replace(source=password.source._replace(kind="url"))
        where = uploader.Address(address.url, address.name, _source(address.origin))
        lookups = self.find_lookups(process, address)
        problems = tuple(self._problems(process, address))
        takes = address.origin != "--index"
        return Target(where, username, password, lookups, found.section, problems, takes_address=takes)

    @abstractmethod
    def find_address(self, process: Process) -> Address:
        """Return where this run uploads to."""

    @abstractmethod
    def find_lookups(self, process: Process, address: Address) -> Lookups:
        """Return the (service, username) pairs that this run asks keyring for."""

    @abstractmethod
    def find_credentials(self, process: Process, address: Address) -> Credentials:
        """Return what this run sends without asking keyring."""

    def _problems(self, process: Process, address: Address) -> Iterator[Problem]:  # noqa: ARG002 - most have none
        """Yield what does not follow from the credentials."""
        yield from ()


def _converted(setting: Setting) -> settings.Setting:
    return settings.Setting(setting.value, _source(setting.origin))


def _source(origin: str) -> Source:
    if origin.startswith("-"):
        return Source("option", origin)
    if origin.isupper():
        return Source("variable", origin)
    return settings.DEFAULT if origin in ("", "default") else Source("file", origin)
