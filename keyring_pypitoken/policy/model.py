"""What policies say, what an upload shows, and what it is granted; each value with its origin.

Every `keyring get` loads this: no dataclasses, which cost most of a millisecond each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, NewType, TypeVar

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import BUILT_IN
from keyring_pypitoken.text import in_words, utc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from keyring_pypitoken.lookup import Repository

T_co = TypeVar("T_co", covariant=True)

# Where a value comes from, for people: `pypitoken.toml:7`, `the arguments`, `default`...
Origin = NewType("Origin", str)
DEFAULT = Origin("default")
PYPROJECT_TABLE = ("tool", "keyring-pypitoken")
AGE = "age"  # the store that a policy names like this is the age file
Layer = Literal["project", "user", "site"]


# Not a NamedTuple: Python 3.10 has no generic ones.
class WithOrigin(Generic[T_co]):
    """A value, where it comes from, and how it was written there if that is known (`"2h"` for 7200 seconds)."""

    __slots__ = ("origin", "spelling", "value")

    def __init__(self, value: T_co, origin: Origin, spelling: str = "") -> None:
        self.value = value
        self.origin = origin
        self.spelling = spelling

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WithOrigin) and (self.value, self.origin) == (other.value, other.origin)

    def __hash__(self) -> int:
        return hash((self.value, self.origin))

    def __repr__(self) -> str:
        return f"WithOrigin({self.value!r}, {self.origin!r})"


def duration_text(duration: WithOrigin[int]) -> str:
    """Write a length of time as its author wrote it, or in words."""
    return duration.spelling or in_words(duration.value)


class Settings(NamedTuple):
    """What one table of a policy says; None for each key that is not in it.

    Durations are seconds, `uplink` is bits per second, `not_before` and `not_after` are Unix seconds. `projects` are
    normalized names; in a user's or site's policy each may end in `*`.
    """

    projects: WithOrigin[frozenset[str]] | None = None
    valid_for: WithOrigin[int | Literal["auto"]] | None = None
    max_valid_for: WithOrigin[int] | None = None
    max_token_valid_for: WithOrigin[int] | None = None
    uplink: WithOrigin[int] | None = None
    clock_skew: WithOrigin[int] | None = None
    not_before: WithOrigin[int] | None = None
    not_after: WithOrigin[int] | None = None
    account: WithOrigin[str] | None = None
    max_master_age: WithOrigin[int] | None = None
    require_policy: WithOrigin[bool] | None = None
    unscoped: WithOrigin[str] | None = None
    notice: WithOrigin[bool] | None = None
    history: WithOrigin[bool] | None = None


class StoreSettings(NamedTuple):
    """What `[store]` says about where masters are kept; None for each key that is not in it.

    Attributes:
        backend: the `module.Class` of a keyring backend, or `age` for the age file.
        identity: the path of the identity file that opens the age file; it implies the backend `age`.
        command: a program and its arguments, which print the master.
    """

    backend: WithOrigin[str] | None = None
    identity: WithOrigin[str] | None = None
    command: WithOrigin[tuple[str, ...]] | None = None


class PolicyFile(NamedTuple):
    """One policy file.

    Attributes:
        layer: whose file it is.
        origin: how messages call it.
        settings: its top table.
        repositories: its `[repository.NAME]` tables.
        endpoints: the repositories that it adds or extends.
        store: its `[store]`.
        trusted: whether its owner may express wishes; limits count in any case.
    """

    layer: Layer
    origin: Origin
    settings: Settings
    repositories: Mapping[str, Settings]
    endpoints: tuple[Repository, ...]
    store: StoreSettings
    trusted: bool = True

    def tables(self, repository: Repository) -> tuple[Settings, ...]:
        """Return the tables about a repository, the most specific first."""
        own = self.repositories.get(repository.name)
        return (self.settings,) if own is None else (own, self.settings)


class Way(NamedTuple):
    """The directories from where an upload starts up to where the project ends, and the policies in them.

    Attributes:
        start: the first directory.
        policies: those found, nearest first; or the one that KEYRING_PYPITOKEN_POLICY names.
        directories: those visited, nearest first.
        end: why the way ends at the last of them.
        misnamed: display names of files and tables that look like a policy and are not read as one.
    """

    start: Path
    policies: tuple[PolicyFile, ...] = ()
    directories: tuple[Path, ...] = ()
    end: str = ""
    misnamed: tuple[str, ...] = ()


class Policies(NamedTuple):
    """All policies that an upload is judged by.

    Attributes:
        here: the way of the current directory, or of the project that the uploader was pointed at.
        files: the way of each directory of named files, with the normalized names of the projects in it.
        user: the user's policy.
        sites: the machine's policies, the most important first.
    """

    here: Way
    files: tuple[tuple[Way, frozenset[str]], ...] = ()
    user: PolicyFile | None = None
    sites: tuple[PolicyFile, ...] = ()

    @property
    def ways(self) -> tuple[Way, ...]:
        """Every way, that of the current directory first."""
        return (self.here, *(way for way, _ in self.files))

    @property
    def own(self) -> tuple[PolicyFile, ...]:
        """The user's policy and the machine's, as opposed to the projects'."""
        return self.sites if self.user is None else (self.user, *self.sites)


class Config(NamedTuple):
    """What the user and the machine say, as opposed to the project.

    Attributes:
        user: the user's policy.
        sites: the machine's policies, the most important first.
        problem: why one of them cannot be followed or trusted: nothing may then be granted.
    """

    user: PolicyFile | None = None
    sites: tuple[PolicyFile, ...] = ()
    problem: Refusal | None = None

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """The known endpoints: PyPI's, and those that the policies add."""
        known = {repository.name: repository for repository in BUILT_IN}
        for policy in reversed(self._policies):
            for endpoint in policy.endpoints:
                known[endpoint.name] = endpoint
        return tuple(known.values())

    @property
    def store(self) -> StoreSettings:
        """Where masters are kept: the user's word, completed by the machine's."""
        found = StoreSettings()
        for policy in self._policies:
            if policy.store.command is None:
                found = StoreSettings(found.backend or policy.store.backend, found.identity or policy.store.identity)
            elif found == StoreSettings():
                return policy.store
        return found

    def policies(self, here: Way, files: tuple[tuple[Way, frozenset[str]], ...] = ()) -> Policies:
        """Return these policies together with those of projects.

        Raises:
            Refusal: one of these cannot be followed or trusted.
        """
        if self.problem is not None:
            raise self.problem
        return Policies(here, files, self.user, self.sites)

    @property
    def _policies(self) -> tuple[PolicyFile, ...]:
        return self.sites if self.user is None else (self.user, *self.sites)


class NamedFile(NamedTuple):
    """A distribution file that will be uploaded: its path, its normalized project name, its size in bytes."""

    path: Path
    project: str
    size: int


class Evidence(NamedTuple):
    """What shows which projects an upload is for.

    Attributes:
        projects: sorted normalized names; None if nothing names one.
        directory: the project that the uploader was pointed at.
        files: what will be uploaded; None if that is not known (yet).
    """

    projects: WithOrigin[tuple[str, ...]] | None
    directory: Path
    files: tuple[NamedFile, ...] | None = None


class Grant(NamedTuple):
    """What will be derived: everything that `derive` needs but the master and the clock.

    Attributes:
        repository: the endpoint that the token is for.
        account: which of the repository's masters.
        projects: sorted normalized names; None if the policies allow a token for any project.
        valid_for: how far the window reaches into the future, in seconds.
        clock_skew: how far it reaches into the past, in seconds.
        start: the latest not-before of all policies, in Unix seconds.
        end: the earliest not-after of all policies, in Unix seconds.
        policies: the project policies that were followed.
        warnings: sentences for the notice, such as that the upload will not finish in time.
        notice: whether to print a line about the derivation.
        history: whether to record it in the history.
        max_master_age: the age in seconds above which a master should be replaced.
    """

    repository: Repository
    account: WithOrigin[str]
    projects: WithOrigin[tuple[str, ...]] | None
    valid_for: WithOrigin[int]
    clock_skew: WithOrigin[int]
    start: WithOrigin[int] | None = None
    end: WithOrigin[int] | None = None
    policies: tuple[Origin, ...] = ()
    warnings: tuple[str, ...] = ()
    notice: bool = True
    history: bool = True
    max_master_age: WithOrigin[int] | None = None

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
        )
