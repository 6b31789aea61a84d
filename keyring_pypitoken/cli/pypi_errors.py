"""What PyPI answers, and what caused it on this side (`explain --error`)."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.cli.output import dump, items, say
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.history import Entry, read_history
from keyring_pypitoken.text import in_words

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.policy.model import Grant


class _Known(NamedTuple):
    """A sentence of PyPI's: what it says, how it is recognized, what it means, what to do."""

    pattern: str
    meaning: str
    remedies: tuple[str, ...]


# The sentences are PyPI's own (warehouse, `macaroons/caveats` and `forklift/legacy`).
_ANSWERS = {
    "expired": _Known(
        "token is expired",
        "The upload arrived outside of the token's window. PyPI looks at the time once for each file, when that has "
        "arrived, and says the same where the window has not begun.",
        (
            "Where the upload took longer than the window: raise valid-for, or upload fewer files at a time.",
            "Where the upload was quick: set this machine's clock.",
        ),
    ),
    "project": _Known(
        "project-scoped token is not valid for project(?:: '([^']*)')?",
        "The token was derived for other projects than the file's.",
        (
            "Name the files to the uploader, run it in the project's own directory, or set KEYRING_PYPITOKEN_PROJECT.",
            "Where the master is itself restricted to other projects: store one that is not.",
        ),
    ),
    "unknown": _Known(
        "caveat has unknown tag",
        "PyPI does not know a restriction that the token carries.",
        ("Look at it with `keyring-pypitoken inspect`: this package writes tags 0 and 1 only. Store a new master.",),
    ),
    "signature": _Known(
        "signatures do not match",
        "The token is not what PyPI issued: a part of it was changed or left out.",
        ("Store the master again, with `keyring-pypitoken login`.",),
    ),
    "malformed": _Known(
        "malformed macaroon",
        "What arrived is no token.",
        ("See that the uploader sends what keyring hands out: `keyring-pypitoken status` finds what goes before.",),
    ),
    "credentials": _Known(
        "[Ii]nvalid or non-existent authentication",
        "PyPI does not know the token, or none arrived: the master was deleted there, belongs to the other index, or "
        "the uploader sent something else.",
        (
            "See which tokens exist in your account on PyPI, and store one with `keyring-pypitoken login`.",
            "`keyring-pypitoken status` finds passwords that uploaders take before they ask keyring.",
        ),
    ),
    "user": _Known(
        "isn't allowed to upload to project",
        "The owner of the master may not upload to this project, with any token.",
        ("Correct the project's name, or ask its owners to be added.",),
    ),
    "exists": _Known(
        "[Ff]ile already exists",
        "The token was right; a file of this name was uploaded before, and PyPI takes each only once.",
        ("Raise the version, or let the uploader skip what exists.",),
    ),
}


def explain_error(text: str, planned: Grant | Refusal, options: argparse.Namespace) -> int:
    """Tell what an answer of PyPI's means, and what of this side it depends on."""
    found = next(((name, known) for name, known in _ANSWERS.items() if re.search(known.pattern, text)), None)
    if found is None:
        raise Refusal(
            "this is no answer about a token that is known here: quote the line that holds PyPI's reason, such as "
            "'403 Invalid API Token: token is expired'."
        )
    name, known = found
    repository = (options.repository or "pypi") if isinstance(planned, Refusal) else planned.repository.name
    facts = _facts(name, text, planned, repository)
    if options.json:
        dump({"error": name, "meaning": known.meaning, "here": facts, "remedies": list(known.remedies)})
        return 0
    say(known.meaning)
    if facts:
        say("Here:")
        items(facts)
    say("What to do:")
    items(known.remedies)
    return 0


def _facts(name: str, text: str, planned: Grant | Refusal, repository: str) -> list[str]:
    """Tell the policy lines and the last token that the answer depends on."""
    facts: list[str] = []
    last = next((entry for entry in reversed(read_history()) if entry.repository == repository), None)
    if name == "expired":
        if not isinstance(planned, Refusal):
            length, skew = planned.valid_for, planned.clock_skew
            facts.append(
                f"a token works for {in_words(length.value)} (valid-for: {length.origin}), and from "
                f"{in_words(skew.value)} before it is derived on (clock-skew: {skew.origin})"
            )
            facts.append(
                f"so this machine's clock may be at most {in_words(length.value)} behind PyPI's, the time of the "
                f"upload included, and at most {in_words(skew.value)} ahead of it"
            )
            facts += [f"{bound.origin} cuts the window" for bound in (planned.start, planned.end) if bound]
        facts += [_last_window(last)] if last else []
    elif name == "project":
        wanted = re.search(_ANSWERS["project"].pattern, text)
        if wanted and wanted[1]:
            facts.append(f"the file was one of {wanted[1]!r}")
        if last:
            facts.append(f"the last token, for {last.program}, was for {_projects(last)}")
        if isinstance(planned, Refusal):
            facts.append(f"an upload from here would be refused: {planned}")
        elif planned.projects:
            facts.append(
                f"an upload from here would be for {', '.join(planned.projects.value)} ({planned.projects.origin})"
            )
    return facts


def _last_window(last: Entry) -> str:
    now = int(time.time())
    state = (
        f"ended {in_words(now - last.not_after)} ago"
        if now >= last.not_after
        else f"lasts for another {in_words(last.not_after - now)}"
    )
    return (
        f"the last token, for {_projects(last)}, was derived {in_words(max(0, now - last.time))} ago by this machine's "
        f"clock, and its window {state}"
    )


def _projects(entry: Entry) -> str:
    return "any project" if entry.projects is None else ", ".join(entry.projects)
