"""From policies and evidence to a grant or a refusal. Pure: no files, no environment, no clock.

Limits of every file intersect, whoever wrote it. Preferences come from the nearest file whose preferences count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

from keyring_pypitoken.exceptions import Refusal, UnknownProjectError
from keyring_pypitoken.policy.model import DEFAULT, Grant, Origin, Settings, WithOrigin
from keyring_pypitoken.text import in_shell, in_words, join_quoted, nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Evidence, NamedFile, Policies, PolicyFile

T = TypeVar("T")

DEFAULT_VALID_FOR = 15 * 60  # seconds if the files are unknown: as long as PyPI's Trusted Publishing tokens live
DEFAULT_CLOCK_SKEW = 60  # seconds
_MAX_VALID_FOR = WithOrigin(60 * 60, DEFAULT)  # seconds
_UPLINK = 5_000_000  # bits per second: an upload from an ordinary home
_AUTO: WithOrigin[int | Literal["auto"]] = WithOrigin("auto", DEFAULT)
# The parts of `auto`, in seconds: an upload rarely has the whole line, and PyPI takes a while to answer for each file.
_AUTO_MINIMUM, _AUTO_RESERVE, _AUTO_PER_FILE, _AUTO_FACTOR = 5 * 60, 3 * 60, 30, 4
_MAX_MISNAMED = 5  # more lines help nobody


def decide(
    repository: Repository,
    policies: Policies,
    evidence: Evidence,
    *,
    account: WithOrigin[str] | None = None,
    shorter: WithOrigin[int] | None = None,
    typed_valid_for: WithOrigin[int] | None = None,
) -> Grant:
    """Decide what an upload is granted; what the policies do not allow is a Refusal.

    The lookup or a person named the `account`. In seconds, `shorter` may only shorten the window
    (KEYRING_PYPITOKEN_VALID_FOR), and a person typed `typed_valid_for` (`--valid-for`).
    """
    configured = _tables(policies.configured, repository)
    tables = [*_tables(_project_files(policies), repository), *configured]
    required = next((t.require_policy for t in configured if t.require_policy and t.require_policy.value), None)
    if required and not any(policy.trusted for policy in _project_files(policies)):
        raise Refusal(
            f"no project policy was found, and {required.origin} requires one: "
            "add a pypitoken.toml that lists the project."
        )
    valid_for = _decide_valid_for(policies, repository, evidence.files, typed_valid_for)
    if shorter is not None and shorter.value > valid_for.value:
        raise Refusal(
            f"{shorter.origin} asks for {in_words(shorter.value)}, and it may only shorten valid-for, which is "
            f"{in_words(valid_for.value)} ({valid_for.origin}): set it to less, or run {in_shell(str(shorter.origin))}."
        )
    valid_for = shorter or valid_for
    start, end = _bounds(tables)
    misnamed = list(dict.fromkeys(misnamed_problem(name) for path in policies.search_paths for name in path.misnamed))
    notice, history = _first(t.notice for t in configured), _first(t.history for t in configured)
    return Grant(
        repository=repository,
        account=account or _decide_account(_preferences(policies, repository, lambda t: t.account)),
        projects=_decide_projects(repository, policies, evidence, tables),
        valid_for=valid_for,
        clock_skew=_least(_preferences(policies, repository, lambda t: t.clock_skew))
        or WithOrigin(DEFAULT_CLOCK_SKEW, DEFAULT),
        start=start,
        end=end,
        policies=tuple(dict.fromkeys(policy.origin for policy in _project_files(policies))),
        files=evidence.files,
        warnings=(*misnamed[:_MAX_MISNAMED], *_warn_of_speed(evidence, repository, valid_for)),
        notice=notice is None or notice.value,
        history=history is None or history.value,
        max_master_age=_least(t.max_master_age for t in configured),
        confirm=_decide_confirm(policies, repository),
    )


def misnamed_problem(name: str) -> str:
    """Return what is wrong with a file or table that looks like a policy and is not read as one."""
    return f"{name} is not read as a policy: rename it to pypitoken.toml or [tool.keyring-pypitoken]"


def least_of(
    files: Iterable[PolicyFile], repository: Repository, read: Callable[[Settings], WithOrigin[int] | None]
) -> WithOrigin[int] | None:
    """Return the least value that policies have for a repository; None if they have none."""
    return _least(map(read, _tables(files, repository)))


def check_repository_names(policies: Policies, known: Iterable[Repository]) -> None:
    """Refuse a project policy that mentions an unknown repository: its limits would silently never apply."""
    names = [repository.name for repository in known]
    for policy in _project_files(policies):
        for name, table in policy.repositories.items():
            if name not in names:
                likely = nearest(name, names, cutoff=0.5)
                hint = f"did you mean {quoted(likely)}?" if likely else f"known are {join_quoted(names)}:"
                settings = (value for value in table._asdict().values() if isinstance(value, WithOrigin))
                place = next((setting.origin for setting in settings), policy.origin)
                raise Refusal(
                    f"{place} mentions an unknown repository {quoted(name)}; "
                    f"{hint} correct the name, or add its url to your own policy.toml."
                )


def find_contradictions(policies: Policies, repositories: Iterable[Repository]) -> list[str]:
    """List what no upload could ever meet, whatever is uploaded and whenever; no sentence twice."""
    problems = []
    for repository in repositories:
        tables = _tables((*_project_files(policies), *policies.configured), repository)
        try:
            _decide_valid_for(policies, repository, None, None)
        except Refusal as refusal:
            problems.append(str(refusal))
        start, end = _bounds(tables)
        if start is not None and end is not None and start.value >= end.value:
            problems.append(
                f"not-before ({start.origin}) is not before not-after ({end.origin}), so no moment is allowed: "
                "change one of them."
            )
        empty = next((t.projects for t in tables if t.projects is not None and not t.projects.value), None)
        if empty is not None:
            problems.append(f"projects is empty ({empty.origin}), so nothing is allowed: list one, or leave it out.")
    return list(dict.fromkeys(problems))


def _project_files(policies: Policies) -> list[PolicyFile]:
    return [policy for path in policies.search_paths for policy in path.policies]


def _tables(files: Iterable[PolicyFile], repository: Repository) -> list[Settings]:
    return [table for file in files for table in file.tables(repository)]


def _first(values: Iterable[WithOrigin[T] | None]) -> WithOrigin[T] | None:
    return next((value for value in values if value is not None), None)


def _least(values: Iterable[WithOrigin[int] | None]) -> WithOrigin[int] | None:
    return min((value for value in values if value is not None), key=lambda value: value.value, default=None)


def _preferences(
    policies: Policies, repository: Repository, read: Callable[[Settings], WithOrigin[T] | None]
) -> list[WithOrigin[T]]:
    """Return the preference of each search path; that of the user or the machine only if no project has one."""
    trusted = [[file for file in path.policies if file.trusted] for path in policies.search_paths]
    stated = [value for files in trusted if (value := _first(map(read, _tables(files, repository))))]
    configured = _first(map(read, _tables(policies.configured, repository)))
    return stated or ([configured] if configured else [])


def _decide_confirm(policies: Policies, repository: Repository) -> WithOrigin[bool | tuple[str, ...]] | None:
    """Return how a person is asked: a yes of the machine's policy holds, whatever the user's says."""
    answers = [_first(table.confirm for table in file.tables(repository)) for file in reversed(policies.configured)]
    return next((answer for answer in answers if answer and answer.value), None)


def _decide_account(accounts: list[WithOrigin[str]]) -> WithOrigin[str]:
    for other in accounts:
        if other.value != accounts[0].value:
            raise Refusal(
                f"the files are under policies for two accounts, {quoted(accounts[0].value)} ({accounts[0].origin}) "
                f"and {quoted(other.value)} ({other.origin}): upload them separately."
            )
    return accounts[0] if accounts else WithOrigin("default", DEFAULT)


def _decide_valid_for(
    policies: Policies, repository: Repository, files: tuple[NamedFile, ...] | None, typed: WithOrigin[int] | None
) -> WithOrigin[int]:
    configured = _tables(policies.configured, repository)
    ceiling = _least(t.max_valid_for for t in configured) or _MAX_VALID_FOR
    if typed is not None:
        typed_limit = _least(t.max_token_valid_for for t in configured)
        name, limit = ("max-token-valid-for", typed_limit) if typed_limit else ("max-valid-for", ceiling)
        if typed.value > limit.value:
            raise Refusal(
                f"{typed.origin} is {in_words(typed.value)}, above {name}, which is {_ceiling_text(limit)}: "
                "shorten it, or raise max-token-valid-for in your own policy.toml."
            )
        return typed
    lengths = []
    for preference in _preferences(policies, repository, lambda t: t.valid_for) or [_AUTO]:
        if isinstance(preference.value, str):
            length = _auto(files, ceiling, preference.origin)
        else:
            length = WithOrigin(preference.value, preference.origin)
        if length.value > ceiling.value:
            raise Refusal(
                f"valid-for is {in_words(length.value)} ({length.origin}), above max-valid-for, which is "
                f"{_ceiling_text(ceiling)}: shorten valid-for, or raise max-valid-for in your own policy.toml."
            )
        lengths.append(length)
    return min(lengths, key=lambda length: length.value)


def _ceiling_text(limit: WithOrigin[int]) -> str:
    return f"{in_words(limit.value)} ({'its default' if limit.origin == DEFAULT else limit.origin})"


def _auto(files: tuple[NamedFile, ...] | None, ceiling: WithOrigin[int], stated: Origin) -> WithOrigin[int]:
    seconds, reason = DEFAULT_VALID_FOR, "files not known"
    if files:
        transfer = -(-_AUTO_FACTOR * _bits(files) // _UPLINK)
        seconds = max(_AUTO_MINIMUM, transfer + _AUTO_PER_FILE * len(files) + _AUTO_RESERVE)
        reason = f"{_amount(files)} at 5 Mbit/s"
    origin = f"auto: {reason}" if stated == DEFAULT else f"auto ({stated}): {reason}"
    if seconds > ceiling.value:
        return WithOrigin(ceiling.value, Origin(f"{origin}; cut to max-valid-for ({ceiling.origin})"))
    return WithOrigin(seconds, Origin(origin))


def _warn_of_speed(evidence: Evidence, repository: Repository, valid_for: WithOrigin[int]) -> tuple[str, ...]:
    """Warn if the upload cannot be expected to finish while the token works."""
    files = evidence.files or ()
    if not files or _bits(files) <= _UPLINK * (valid_for.value - _AUTO_PER_FILE * len(files)):
        return ()
    fix = "raise max-valid-for, or valid-for if a policy sets it"
    if evidence.resume and len(files) > 1:  # a file is sent whole
        # Without what named the repository, a command would upload to PyPI.
        fix = f"run the same command again with `{evidence.resume.format(domain=repository.domain)}`"
    length = in_words(valid_for.value)
    return (f"{_amount(files)} may need longer than {length}; if the token expires before they are sent, {fix}",)


def _bits(files: tuple[NamedFile, ...]) -> int:
    return 8 * sum(file.size for file in files)


def _amount(files: tuple[NamedFile, ...]) -> str:
    size = sum(file.size for file in files) / 1024**2
    return f"{len(files)} file{'' if len(files) == 1 else 's'}, {size:.1f} MiB"


def _bounds(tables: list[Settings]) -> tuple[WithOrigin[int] | None, WithOrigin[int] | None]:
    """Return the latest not-before and the earliest not-after."""
    starts = [t.not_before for t in tables if t.not_before is not None]
    return max(starts, key=lambda start: start.value, default=None), _least(t.not_after for t in tables)


def _decide_projects(
    repository: Repository, policies: Policies, evidence: Evidence, tables: list[Settings]
) -> WithOrigin[tuple[str, ...]] | None:
    projects = evidence.projects or _listed_projects(policies, repository)
    if not projects or not projects.value:
        unscoped = [t.unscoped.value for t in tables if t.unscoped is not None]
        # A token for any project would exceed every list of them.
        if "allow" in unscoped and "refuse" not in unscoped and not any(t.projects for t in tables):
            return None
        raise UnknownProjectError(
            f"the project of this upload is unknown: {evidence.hint}, or run "
            f"{in_shell('KEYRING_PYPITOKEN_PROJECT', 'NAME')}."
        )
    _judge(projects.value, projects.origin, _tables((*policies.here.policies, *policies.configured), repository))
    # What no file accounts for is judged by every search path.
    elsewhere = set(projects.value).difference(*(names for _, names in policies.files))
    for path, names in policies.files:
        judged = [name for name in projects.value if name in names or name in elsewhere]
        _judge(judged, projects.origin, _tables(path.policies, repository))
    return projects


def _listed_projects(policies: Policies, repository: Repository) -> WithOrigin[tuple[str, ...]] | None:
    """Return what the nearest trusted policy lists: the only projects that can be meant from here."""
    for policy in policies.here.policies:
        lists = [t.projects for t in policy.tables(repository) if t.projects is not None]
        if lists and policy.trusted:
            names = frozenset.intersection(*(projects.value for projects in lists))
            return WithOrigin(tuple(sorted(names)), lists[0].origin)
    return None


def _judge(names: Collection[str], named_by: Origin, tables: list[Settings]) -> None:
    for limit in (t.projects for t in tables if t.projects is not None):
        prefixes = tuple(name[:-1] for name in limit.value if name.endswith("*"))
        outside = [name for name in names if name not in limit.value and not name.startswith(prefixes)]
        if outside:
            what = f"project {join_quoted(outside)} is" if len(outside) == 1 else f"projects {join_quoted(outside)} are"
            allowed = f"only {join_quoted(limit.value)}" if limit.value else "no project"
            raise Refusal(
                f"{what} not allowed here: {limit.origin} allows {allowed}; upload it from its own repository, or add "
                f"it there (it was named by {named_by})."
            )
