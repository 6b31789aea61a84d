"""audit: find uploads outside the windows of all tokens in the history."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken import history, index
from keyring_pypitoken.cli.grants import find_repository
from keyring_pypitoken.cli.output import dump, items, say, table
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import BUILT_IN
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.policy.decision import DEFAULT_CLOCK_SKEW, least_of
from keyring_pypitoken.policy.discovery import load_config
from keyring_pypitoken.policy.values import endpoint_host
from keyring_pypitoken.text import join_names, join_quoted, local_time, printable, quoted

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.history import Entry
    from keyring_pypitoken.index import UploadedFile
    from keyring_pypitoken.lookup import Repository

_MAX_PROJECTS = 500  # each is a request
_MAX_SHOWN = 20  # files of a list
_HERE = "this machine"
_NOT_SHOWN = (
    "This cannot show who uploaded within a window, which files were deleted since, or what happened before. An "
    "upload from another machine, by a trusted publisher without provenance, or under `history = false` looks foreign."
)


class Verdict(NamedTuple):
    """What the comparison found for some projects.

    Attributes:
        foreign: files that no known token can have brought.
        trusted_publisher: files with provenance, which only trusted publishers can bring to PyPI.
        in_windows: files that arrived while a known token for their project worked.
        before: files that arrived before the history begins.
        problems: why a project could not be judged.
    """

    foreign: list[UploadedFile]
    trusted_publisher: list[UploadedFile]
    in_windows: list[UploadedFile]
    before: list[UploadedFile]
    problems: list[str]

    @property
    def is_clean(self) -> bool:
        """Return True if every project was judged and no file is foreign."""
        return not self.foreign and not self.problems


def audit(options: argparse.Namespace) -> int:
    """Compare the upload times on an index with the windows of the tokens that were derived."""
    config = load_config()
    if config.problem is not None:
        raise config.problem
    repository = find_repository(options.repository, config)
    index_url = _index_url(options.index_url, repository)
    histories = [(_HERE, history.read_history())]
    histories += [(path, history.read_exported(path)) for path in options.history]
    begins = {name: entries[0].time for name, entries in histories if entries}
    if not begins:
        raise Refusal(
            "no token has been derived on this machine yet, so there is nothing to compare with: give the history of "
            "the machine that uploads, with --history."
        )
    # Uploads are judged from the start of this machine's history; only without one, from the start of the others.
    since = begins[_HERE] if _HERE in begins else min(begins.values())
    if since > time.time():
        raise Refusal(
            f"the history begins in the future, at {local_time(since)}: set the clock, or delete the history of a "
            "clock that was wrong."
        )
    known = [entry for _, entries in histories for entry in entries if entry.repository == repository.name]
    projects = _projects(options.projects, known, repository)
    skew = least_of(config.own, repository, lambda settings: settings.clock_skew)
    verdict = _judge(index_url, repository, projects, known, since, DEFAULT_CLOCK_SKEW if skew is None else skew.value)
    if options.json:
        head = {"ok": verdict.is_clean, "repository": repository.name, "index": index_url, "projects": projects}
        files = {
            "foreign": [file._asdict() for file in verdict.foreign],
            "trusted_publisher": [file._asdict() for file in verdict.trusted_publisher],
            "in_windows": [file._asdict() for file in verdict.in_windows],
            "before": len(verdict.before),
        }
        dump({**head, "since": since, "histories": begins, **files, "problems": verdict.problems})
    else:
        _print(verdict, repository, since)
        counts = [
            f"{len(verdict.foreign)} foreign",
            f"{len(verdict.in_windows)} in windows of derived tokens",
            f"{len(verdict.trusted_publisher)} by trusted publishers",
            f"{len(verdict.before)} older than the history",
        ]
        table(
            [
                ("projects", f"{join_names(projects)}, at {index_url}"),
                *(("known", f"since {local_time(begin)}, by {printable(name)}") for name, begin in begins.items()),
                ("uploads", ", ".join(counts)),
            ]
        )
        say(_NOT_SHOWN)
    return 0 if verdict.is_clean else 1


def _index_url(url: str | None, repository: Repository) -> str:
    if url is None and repository in BUILT_IN:
        return f"https://{repository.domain}/simple/"
    if url is None:
        raise Refusal(f"cannot tell the URL of the simple API of {repository.name}: name it with --index-url.")
    if endpoint_host(url) is None:
        raise Refusal(
            "--index-url expects an https URL (http for a loopback address only), without user, query or fragment: "
            "correct it."
        )
    return url


def _projects(named: list[str], known: list[Entry], repository: Repository) -> list[str]:
    """Return the projects that a person named, else those of the history, sorted and normalized."""
    names = set(named) or {name for entry in known for name in entry.projects or ()}
    valid = {name: normalized for name in names if (normalized := _normalized(name))}
    if named and len(valid) < len(names):
        raise Refusal(f"{join_quoted(names - valid.keys())} is not a valid project name: correct it.")
    if not valid:
        raise Refusal(
            f"the history names no project of {repository.name}: name one, as in `keyring-pypitoken audit my-project`."
        )
    found = sorted({*valid.values()})
    if len(found) > _MAX_PROJECTS:
        raise Refusal(f"{len(found)} projects are above the limit of {_MAX_PROJECTS}: name some of them.")
    return found


def _normalized(name: str) -> str | None:
    """Return a normalized name; None for what is not a name, such as the last entry of a list that was too long."""
    try:
        return normalize_valid(name)
    except InvalidNameError:
        return None


def _judge(
    index_url: str, repository: Repository, projects: list[str], known: list[Entry], since: int, skew: int
) -> Verdict:
    verdict = Verdict([], [], [], [], [])
    is_pypi = repository.domain in {found.domain for found in BUILT_IN}  # others may take provenance from anybody
    for at, project in enumerate(projects):
        windows = [(entry.not_before - skew, entry.not_after + skew) for entry in known if _is_for(entry, project)]
        try:
            files = index.list_files(index_url, project)
        except Refusal as problem:
            verdict.problems.append(str(problem))
            rest = projects[at + 1 :]
            if rest and isinstance(problem, index.UnreachableError):
                verdict.problems.append(
                    f"after that, the index was not asked about {join_names(rest)}: try again later."
                )
                break
            continue
        for file in files:
            if file.uploaded < since:
                verdict.before.append(file)
            elif file.has_provenance and is_pypi:
                verdict.trusted_publisher.append(file)
            elif any(start <= file.uploaded < end for start, end in windows):
                verdict.in_windows.append(file)
            else:
                verdict.foreign.append(file)
    return verdict


def _is_for(entry: Entry, project: str) -> bool:
    """Return True if a token was for a project, or if its entry does not list all of its projects."""
    return entry.projects is None or project in entry.projects or any(" " in name for name in entry.projects[-1:])


def _print(verdict: Verdict, repository: Repository, since: int) -> None:
    if verdict.foreign:
        count = len(verdict.foreign)
        what = "1 upload to {} is" if count == 1 else f"{count} uploads to {{}} are"
        say(f"Alarm: {what.format(repository.name)} outside the windows of all tokens in the history.", "bad")
        _list(verdict.foreign)
        names = join_names({file.project for file in verdict.foreign})
        say(
            f"If they are not yours, somebody else can upload: revoke your tokens on {repository.domain}, look at the "
            f"security history of {names} there, yank the files, and store a new token with `keyring-pypitoken login`. "
            "If they are, from another machine: run `keyring-pypitoken history --json -n 0 > FILE` there, and add "
            "--history FILE here."
        )
    elif verdict.problems:
        say("Incomplete: some projects could not be judged.", "bad")
    else:
        say(f"No foreign upload to {repository.name} since {local_time(since)}.", "good")
    items(verdict.problems)
    if verdict.trusted_publisher:
        say("By a trusted publisher, with provenance; check that it is yours:")
        _list(verdict.trusted_publisher)


def _list(files: list[UploadedFile]) -> None:
    items(f"{quoted(file.filename)} of {file.project}, {local_time(file.uploaded)}" for file in files[:_MAX_SHOWN])
    if len(files) > _MAX_SHOWN:
        items([f"and {len(files) - _MAX_SHOWN} more, which --json shows"])
