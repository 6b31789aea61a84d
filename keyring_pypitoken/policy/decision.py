"""From policies and evidence to a grant or a refusal. Pure: the moment is a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.policy.model import DEFAULT, Grant, Origin, WithOrigin
from keyring_pypitoken.text import join_quoted, utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import PolicyFile, Settings

T = TypeVar("T")

DEFAULT_VALID_FOR = 15 * 60  # seconds, as long as PyPI's own Trusted Publishing tokens live
DEFAULT_MAX_VALID_FOR = 60 * 60  # seconds
DEFAULT_CLOCK_SKEW = 60  # seconds

_NO_PROJECT = (
    "nothing tells which project this upload is for: pass the distribution files (`twine upload dist/*`), run "
    "it in the project's directory, list `projects` in its pypitoken.toml, or set KEYRING_PYPITOKEN_PROJECT."
)


class Policies(NamedTuple):
    """The policy files in force, each None where there is no such file."""

    project: PolicyFile | None = None
    user: PolicyFile | None = None
    site: PolicyFile | None = None

    def tables(self, repository: Repository) -> list[Settings]:
        """Return every table that speaks about a repository, the most specific first."""
        files = (self.project, self.user, self.site)
        return [table for file in files if file is not None for table in file.tables(repository)]


def check_repository_names(policies: Policies, known: Iterable[Repository]) -> None:
    """Check that the project policy speaks about known repositories only.

    Raises:
        Refusal: it names another, so that its limits would silently never apply.
    """
    if policies.project is None:
        return
    names = [repository.name for repository in known]
    strange = [name for name in policies.project.repositories if name not in names]
    if strange:
        raise Refusal(
            f"{policies.project.origin} speaks about the unknown repository {join_quoted(strange)}, known are "
            f"{join_quoted(names)}: correct the name, or add its url to your own policy.toml."
        )


def find_contradictions(policies: Policies, repositories: Iterable[Repository]) -> Iterator[str]:
    """Tell what policies say that no upload could ever meet, whatever is uploaded and whenever.

    Args:
        policies: the policy files in force.
        repositories: the endpoints that are known.

    Yields:
        Sentences, none twice.
    """
    told: set[str] = set()
    for repository in repositories:
        tables = policies.tables(repository)
        problems = []
        try:
            _decide_valid_for(tables, None)
        except Refusal as refusal:
            problems.append(str(refusal))
        start, end = _bounds(tables)
        if start is not None and end is not None and start.value >= end.value:
            problems.append(
                f"not-before ({start.origin}) is not before not-after ({end.origin}), so that no moment is allowed: "
                "change one of them."
            )
        if any(t.projects is not None and not t.projects.value for t in tables):
            empty = next(t.projects for t in tables if t.projects is not None and not t.projects.value)
            problems.append(
                f"projects is empty ({empty.origin}), so that nothing is allowed: list one, or leave it out."
            )
        yield from (problem for problem in problems if problem not in told)
        told.update(problems)


def decide(
    repository: Repository,
    policies: Policies,
    evidence: WithOrigin[tuple[str, ...]] | None,
    *,
    now: int,
    shorter: WithOrigin[int] | None = None,
    account: WithOrigin[str] | None = None,
) -> Grant:
    """Decide what a lookup is granted.

    Wishes (`valid-for`, `clock-skew`, `account`, `notice`,
    `history`) come from the most specific table that speaks; limits
    (`projects`, `max-valid-for`, `not-before`, `not-after`, `require-policy`, `unscoped`) from all of them, the
    stricter winning.

    Args:
        repository: the endpoint.
        policies: the policy files in force.
        evidence: the projects of this upload and what tells them; None where nothing does.
        now: Unix seconds.
        shorter: a wish of the environment in seconds, which may only shorten the window.
        account: the account that the lookup itself named.

    Returns:
        The grant.

    Raises:
        Refusal: the policies do not allow the upload.
    """
    tables = policies.tables(repository)
    if policies.project is None and any(t.require_policy.value for t in tables if t.require_policy):
        strict = next(t.require_policy for t in tables if t.require_policy and t.require_policy.value)
        raise Refusal(
            f"no project policy was found, and {strict.origin} requires one: "
            "add a pypitoken.toml that lists the project."
        )
    valid_for = _decide_valid_for(tables, shorter)
    clock_skew = _first(t.clock_skew for t in tables) or WithOrigin(DEFAULT_CLOCK_SKEW, DEFAULT)
    not_before, not_after, bounds = _decide_window(tables, now, valid_for.value, clock_skew.value)
    notice = _first(t.notice for t in tables)
    history = _first(t.history for t in tables)
    return Grant(
        repository=repository,
        account=account or _first(t.account for t in tables) or WithOrigin("default", DEFAULT),
        projects=_decide_projects(repository, policies, tables, evidence),
        not_before=not_before,
        not_after=not_after,
        valid_for=valid_for,
        clock_skew=clock_skew,
        bounds=bounds,
        policy=policies.project.origin if policies.project else None,
        notice=notice is None or notice.value,
        history=history is None or history.value,
    )


def _first(values: Iterable[WithOrigin[T] | None]) -> WithOrigin[T] | None:
    return next((value for value in values if value is not None), None)


def _decide_valid_for(tables: list[Settings], shorter: WithOrigin[int] | None) -> WithOrigin[int]:
    ceilings = [t.max_valid_for for t in tables if t.max_valid_for is not None]
    ceiling = min(ceilings, key=lambda c: c.value, default=WithOrigin(DEFAULT_MAX_VALID_FOR, DEFAULT))
    wish = _first(t.valid_for for t in tables)
    if wish is None:
        # Nobody wished for the default, so a lower ceiling cuts it quietly.
        wish = WithOrigin(DEFAULT_VALID_FOR, DEFAULT)
        if ceiling.value < DEFAULT_VALID_FOR:
            wish = WithOrigin(ceiling.value, Origin(f"ceiling of {ceiling.origin}"))
    elif wish.value > ceiling.value:
        where = "its default" if ceiling.origin is DEFAULT else f"that of {ceiling.origin}"
        raise Refusal(
            f"valid-for is {wish.value} seconds ({wish.origin}), above max-valid-for, which is {ceiling.value} "
            f"seconds ({where}): shorten the one, or raise the other in your own policy.toml."
        )
    if shorter is None:
        return wish
    if shorter.value > wish.value:
        raise Refusal(
            f"{shorter.origin} asks for {shorter.value} seconds, and it may only shorten the {wish.value} seconds "
            f"of valid-for ({wish.origin}): set it to less, or unset it."
        )
    return shorter


def _decide_window(
    tables: list[Settings], now: int, valid_for: int, clock_skew: int
) -> tuple[int, int, tuple[WithOrigin[int], ...]]:
    start, end = _bounds(tables)
    if start is not None and now < start.value:
        raise Refusal(
            f"not-before allows uploads only from {utc(start.value)} on ({start.origin}): wait, or change it there."
        )
    if end is not None and now >= end.value:
        raise Refusal(
            f"not-after allowed uploads only until {utc(end.value)} ({end.origin}): change it there if that is wrong."
        )
    not_before = now - clock_skew if start is None else max(now - clock_skew, start.value)
    not_after = now + valid_for if end is None else min(now + valid_for, end.value)
    return (
        not_before,
        not_after,
        tuple(bound for bound in (start, end) if bound is not None),
    )


def _bounds(tables: list[Settings]) -> tuple[WithOrigin[int] | None, WithOrigin[int] | None]:
    """Return the latest not-before and the earliest not-after."""
    starts = [t.not_before for t in tables if t.not_before is not None]
    ends = [t.not_after for t in tables if t.not_after is not None]
    return max(starts, key=lambda s: s.value, default=None), min(ends, key=lambda e: e.value, default=None)


def _decide_projects(
    repository: Repository,
    policies: Policies,
    tables: list[Settings],
    evidence: WithOrigin[tuple[str, ...]] | None,
) -> WithOrigin[tuple[str, ...]] | None:
    if evidence is None and policies.project is not None:
        own = [t.projects for t in policies.project.tables(repository) if t.projects is not None]
        if own:
            names = frozenset.intersection(*(projects.value for projects in own))
            evidence = WithOrigin(tuple(sorted(names)), own[0].origin)
    limits = [t.projects for t in tables if t.projects is not None]
    if not evidence or not evidence.value:
        allowed = [t.unscoped.value for t in tables if t.unscoped is not None]
        # A token for any project would go beyond every list of them.
        if not limits and "allow" in allowed and "refuse" not in allowed:
            return None
        raise Refusal(_NO_PROJECT)
    for limit in limits:
        outside = [name for name in evidence.value if name not in limit.value]
        if outside:
            raise Refusal(_outside(outside, evidence.origin, limit))
    return evidence


def _outside(outside: list[str], evidence: Origin, limit: WithOrigin[frozenset[str]]) -> str:
    what = f"project {join_quoted(outside)} is" if len(outside) == 1 else f"projects {join_quoted(outside)} are"
    allowed = f"only {join_quoted(limit.value)}" if limit.value else "no project"
    return (
        f"{what} not allowed here: {limit.origin} allows {allowed}; "
        f"upload it from its own repository, or add it there (it was named by {evidence})."
    )
