"""What a look-up would be granted, and where every part of that comes from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Generic, NamedTuple, NewType, TypeVar

if TYPE_CHECKING:
    from .repository import Repository

T_co = TypeVar("T_co", covariant=True)

# Where a value comes from, for people: `pypitoken.toml:7`, `the arguments`, `default`...
Origin = NewType("Origin", str)
DEFAULT = Origin("default")


@dataclasses.dataclass(frozen=True)
class Sourced(Generic[T_co]):
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
    account: Sourced[str]
    projects: Sourced[tuple[str, ...]] | None
    not_before: int
    not_after: int
    valid_for: Sourced[int]
    clock_skew: Sourced[int]
    bounds: tuple[Sourced[int], ...]
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
