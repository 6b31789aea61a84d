"""What policies say, what an upload shows, and what it is granted; each value with its origin.

Every `keyring get` loads this: no dataclasses, which cost most of a millisecond each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, NewType, TypeVar

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import BUILT_IN, Repository, split_url
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import nearest, quoted, utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

T_co = TypeVar("T_co", covariant=True)

# Where a value comes from, for people: `pypitoken.toml:7`, `the arguments`, `default`...
Origin = NewType("Origin", str)
DEFAULT = Origin("default")
PYPROJECT_TABLE = ("tool", "keyring-pypitoken")
AGE = "age"  # the store that a policy names like this is the age file
Layer = Literal["project", "user"]  # whose policy it is: a project's, or that of the user or the machine


class WithOrigin(Record, Generic[T_co]):
    """A value, and where it comes from."""

    value: T_co
    origin: Origin


class Settings(Record):
    """What one table of a policy says; None for each key that is not in it.

    Durations are seconds, `not_before` and `not_after` are Unix seconds. `projects` are normalized names; in a user's
    or machine's policy each may end in `*`. `confirm` is true, false, or a program and its arguments.
    """

    projects: WithOrigin[frozenset[str]] | None = None
    valid_for: WithOrigin[int | Literal["auto"]] | None = None
    max_valid_for: WithOrigin[int] | None = None
    max_token_valid_for: WithOrigin[int] | None = None
    clock_skew: WithOrigin[int] | None = None
    not_before: WithOrigin[int] | None = None
    not_after: WithOrigin[int] | None = None
    account: WithOrigin[str] | None = None
    max_master_age: WithOrigin[int] | None = None
    require_policy: WithOrigin[bool] | None = None
    unscoped: WithOrigin[str] | None = None
    confirm: WithOrigin[bool | tuple[str, ...]] | None = None
    notice: WithOrigin[bool] | None = None
    history: WithOrigin[bool] | None = None


class RepositorySettings(Settings):
    """What `[repository.NAME]` says; only a user's or machine's policy says something about the repository itself."""

    origin: Origin = DEFAULT  # where the table is
    url: WithOrigin[str] | None = None
    domain: WithOrigin[str] | None = None
    services: WithOrigin[tuple[str, ...]] | None = None


class StoreSettings(Record):
    """What `[store]` says about where masters are kept; None for each key that is not in it."""

    backend: WithOrigin[str] | None = None  # the `module.Class` of a keyring backend, or `age`
    identity: WithOrigin[str] | None = None  # the path of what opens the age file; implies the backend `age`
    command: WithOrigin[tuple[str, ...]] | None = None  # a program and its arguments, which print the master


class PolicyFile(Record):
    """One policy file."""

    origin: Origin  # what messages call it
    settings: Settings  # its top table
    repositories: Mapping[str, RepositorySettings]  # its `[repository.NAME]` tables
    store: StoreSettings
    trusted: bool = True  # its preferences count; limits count in any case

    def tables(self, repository: Repository) -> tuple[Settings, ...]:
        """Return the tables about a repository, the most specific first."""
        table = self.repositories.get(repository.name)
        return (self.settings,) if table is None else (table, self.settings)


class SearchPath(Record):
    """The policies in the directories from the start of an upload to the root of its project."""

    policies: tuple[PolicyFile, ...] = ()  # nearest first; or the one that KEYRING_PYPITOKEN_POLICY names
    misnamed: tuple[str, ...] = ()  # files and tables that look like a policy and are not read as one


class Policies(Record):
    """All policies that an upload is judged by."""

    here: SearchPath  # of the current directory, or of the project that the uploader was pointed at
    files: tuple[tuple[SearchPath, frozenset[str]], ...] = ()  # of each directory of named files, with its projects
    configured: tuple[PolicyFile, ...] = ()  # the user's policy, then the machine's, the most important first

    @property
    def search_paths(self) -> tuple[SearchPath, ...]:
        """Every search path, that of the current directory first."""
        return (self.here, *(path for path, _ in self.files))


class Config(Record):
    """The policies of the user and of the machine."""

    configured: tuple[PolicyFile, ...] = ()  # the user's, then the machine's, the most important first
    problem: Refusal | None = None  # why one cannot be followed or trusted: nothing may then be granted

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """The known endpoints: PyPI's, and those of the policies, each with what all tables of its name say."""
        merged = (_merge(name, tables) for name, tables in self._endpoints().items())
        return tuple(repository for repository in merged if repository is not None)

    @property
    def conflicts(self) -> tuple[str, ...]:
        """What the policies together say wrongly about repositories, each with its place."""
        endpoints, known = self._endpoints(), {repository.name: repository for repository in self.repositories}
        problems: list[str] = []
        owners: dict[object, str] = {}  # of each address and service
        for name, tables in endpoints.items():
            if (repository := known.get(name)) is None:
                likely = nearest(name, list(known), cutoff=0.5)
                hint = f"did you mean [repository.{likely}]?" if likely else "add the address that it is uploaded to"
                problems.append(f"{tables[0].origin}: repository.{name} has no url; {hint}")
                continue
            problems += [
                f"{table.url.origin}: repository.{name} has another url already; remove one of them"
                for table in tables
                if table.url is not None and split_url(table.url.value) != split_url(repository.url)
            ]
            for text in (repository.url, *repository.services):
                owner = owners.setdefault(split_url(text) or text.casefold(), name)
                if owner != name:
                    origin = (*tables, *endpoints[owner])[0].origin
                    both = f"repository.{name} and repository.{owner}"
                    problems.append(f"{origin}: {both} are both {quoted(text)}; keep one of them")
        return tuple(problems)

    def _endpoints(self) -> dict[str, list[RepositorySettings]]:
        """Return the tables about each repository, the nearest first."""
        tables: dict[str, list[RepositorySettings]] = {known.name: [] for known in BUILT_IN}
        for policy in self.configured:
            for name, table in policy.repositories.items():
                tables.setdefault(name, []).append(table)
        return tables

    @property
    def store(self) -> StoreSettings:
        """Where masters are kept: what the user's policy says, completed by the machine's."""
        store = StoreSettings()
        for policy in self.configured:
            if policy.store.command is None:
                store = StoreSettings(store.backend or policy.store.backend, store.identity or policy.store.identity)
            elif store == StoreSettings():
                return policy.store
        return store

    def policies(self, here: SearchPath, files: tuple[tuple[SearchPath, frozenset[str]], ...] = ()) -> Policies:
        """Return these policies together with those of projects.

        Raises:
            Refusal: one of these cannot be followed or trusted.
        """
        if self.problem is not None:
            raise self.problem
        return Policies(here, files, self.configured)


def _merge(name: str, tables: list[RepositorySettings]) -> Repository | None:
    """Return the repository that tables describe, the nearest first; None if none has its URL."""
    services = tuple(service for table in tables if table.services for service in table.services.value)
    known = next((known for known in BUILT_IN if known.name == name), None)
    if known is not None:
        return known._replace(services=(*known.services, *services))
    url = next((table.url.value for table in tables if table.url), "")
    parts = split_url(url)
    if parts is None:
        return None
    domain = next((table.domain.value for table in tables if table.domain), parts[1].strip("[]"))
    return Repository(name, url, domain, services)


class NamedFile(Record):
    """A distribution file that will be uploaded: its path, its normalized project name, its size in bytes."""

    path: Path
    project: str
    size: int


class Evidence(Record):
    """What shows which projects an upload is for."""

    projects: WithOrigin[tuple[str, ...]] | None  # sorted normalized names; None if nothing names one
    directory: Path  # the project that the uploader was pointed at
    files: tuple[NamedFile, ...] | None = None  # what will be uploaded; None if that is not known (yet)
    resume: str = ""  # the option that sends only what the index lacks, if any; `{domain}` stands for the index
    hint: str = "name the distribution files, run it in the project's directory"  # what helps if no project is known


class Grant(Record):
    """What will be derived: everything that `derive` needs but the master and the clock."""

    repository: Repository
    account: WithOrigin[str]
    projects: WithOrigin[tuple[str, ...]] | None  # sorted normalized names; None allows any project
    valid_for: WithOrigin[int]  # how far the window reaches into the future, in seconds
    clock_skew: WithOrigin[int]  # how far it reaches into the past, in seconds
    start: WithOrigin[int] | None = None  # the latest not-before of all policies, in Unix seconds
    end: WithOrigin[int] | None = None  # the earliest not-after of all policies, in Unix seconds
    policies: tuple[Origin, ...] = ()  # the project policies that were followed
    files: tuple[NamedFile, ...] | None = None  # what will be uploaded; None if that is not known
    warnings: tuple[str, ...] = ()  # for the notice, such as that the upload will not finish in time
    notice: bool = True  # print a line about the derivation
    history: bool = True  # record it in the history
    max_master_age: WithOrigin[int] | None = None  # seconds, above which a master should be replaced
    confirm: WithOrigin[bool | tuple[str, ...]] | None = None  # who is asked for a yes: true is the terminal

    def window(self, now: int) -> tuple[int, int]:
        """Return not_before and not_after of a token that is derived now, in Unix seconds.

        Raises:
            Refusal: now is outside the absolute bounds of the policies.
        """
        start, end = self.start, self.end
        if start is not None and now < start.value:
            raise Refusal(
                f"not-before allows uploads only from {utc(start.value)} on ({start.origin}): wait, or change it there."
            )
        if end is not None and now >= end.value:
            raise Refusal(
                f"not-after allowed uploads only until {utc(end.value)} ({end.origin}): change it there if it is wrong."
            )
        not_before, not_after = now - self.clock_skew.value, now + self.valid_for.value
        return (
            not_before if start is None else max(not_before, start.value),
            not_after if end is None else min(not_after, end.value),
        )

    @property
    def key(self) -> tuple[object, ...]:
        """What two grants have in common if one token serves for both."""
        return (
            self.repository.url,
            self.account.value,
            self.projects and self.projects.value,
            self.valid_for.value,
            self.clock_skew.value,
            self.start and self.start.value,
            self.end and self.end.value,
            self.confirm and self.confirm.value,
        )
