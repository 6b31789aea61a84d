"""What a lookup would be granted, and where every part of that comes from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, NewType, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyring_pypitoken.lookup import Repository

T_co = TypeVar("T_co", covariant=True)

# Where a value comes from, for people: `pypitoken.toml:7`, `the arguments`, `default`...
Origin = NewType("Origin", str)
DEFAULT = Origin("default")


@dataclasses.dataclass(frozen=True)
class WithOrigin(Generic[T_co]):
    """A value and where it comes from."""

    value: T_co
    origin: Origin


# No dataclass, here and wherever each `keyring get` comes by: making one costs most of a millisecond.
class Grant(NamedTuple):
    """What will be derived: everything that `derive` needs but the master.

    Attributes:
        repository: the endpoint that the token is for.
        account: which of the repository's masters.
        projects: sorted normalized names; None where the policy allows a token for any project.
        not_before: first Unix second of the window.
        not_after: first Unix second after the window.
        valid_for: how long the window reaches into the future, in seconds.
        clock_skew: how far it reaches into the past, in seconds.
        bounds: the policies' absolute bounds that cut the window, each with its origin.
        policy: the project policy that was followed, for the notice; None without one.
        notice: whether to tell of the derivation.
        history: whether to note it in the history.
    """

    repository: Repository
    account: WithOrigin[str]
    projects: WithOrigin[tuple[str, ...]] | None
    not_before: int
    not_after: int
    valid_for: WithOrigin[int]
    clock_skew: WithOrigin[int]
    bounds: tuple[WithOrigin[int], ...]
    policy: Origin | None
    notice: bool
    history: bool

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two grants the same but for the moment they are asked at."""
        projects = self.projects.value if self.projects else None
        bounds = tuple(bound.value for bound in self.bounds)
        return (
            self.repository.url,
            self.account.value,
            projects,
            self.valid_for.value,
            self.clock_skew.value,
            bounds,
        )


Layer = Literal["project", "user", "site"]


class Settings(NamedTuple):
    """What one table of a policy says; None where it does not speak.

    Durations are seconds, `not_before` and `not_after` Unix seconds, projects normalized names.
    """

    projects: WithOrigin[frozenset[str]] | None = None
    valid_for: WithOrigin[int] | None = None
    max_valid_for: WithOrigin[int] | None = None
    clock_skew: WithOrigin[int] | None = None
    not_before: WithOrigin[int] | None = None
    not_after: WithOrigin[int] | None = None
    account: WithOrigin[str] | None = None
    require_policy: WithOrigin[bool] | None = None
    unscoped: WithOrigin[str] | None = None
    notice: WithOrigin[bool] | None = None
    history: WithOrigin[bool] | None = None


class StoreSettings(NamedTuple):
    """What `[store]` says about where masters are kept; None where it does not speak.

    Attributes:
        backend: the `module.Class` of a keyring backend, or `age` for the age file.
        identity: the path of the identity file that opens the age file. It names that file as the store, too, where
            no backend is named beside it.
    """

    backend: WithOrigin[str] | None = None
    identity: WithOrigin[str] | None = None


class PolicyFile(NamedTuple):
    """One policy file.

    Attributes:
        layer: whose file it is.
        origin: how messages call it.
        settings: its top table.
        repositories: its `[repository.NAME]` tables.
        endpoints: the repositories that it makes known.
        store: where the masters shall be kept.
    """

    layer: Layer
    origin: Origin
    settings: Settings
    repositories: Mapping[str, Settings]
    endpoints: tuple[Repository, ...]
    store: StoreSettings

    def tables(self, repository: Repository) -> tuple[Settings, ...]:
        """Return the tables that speak about a repository, the most specific first."""
        own = self.repositories.get(repository.name)
        return (self.settings,) if own is None else (own, self.settings)
