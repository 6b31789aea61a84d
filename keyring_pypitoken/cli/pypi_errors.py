"""What PyPI's answers and our refusals mean (`explain --error`), and which local settings caused an answer.

The answers are in `pypi_errors.toml`, the refusals in `manual.toml`.
"""

from __future__ import annotations

import re
import time
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.cli.output import dump, items, say
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.history import Entry, read_history
from keyring_pypitoken.manual import DOCS, find_entry
from keyring_pypitoken.text import in_words, join_names, quoted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from keyring_pypitoken.policy.model import Grant

ANSWERS = Path(__file__).with_suffix(".toml")


def explain_error(text: str, planned: Callable[[], Grant], options: argparse.Namespace) -> int:
    """Explain an answer from PyPI or a refusal, the local settings it depends on, and where to read more."""
    found = find_answer(text)
    if found is None:
        raise Refusal(
            "unknown error message: run `keyring-pypitoken status`, and look at the whole answer with "
            "`twine upload --verbose`; if it is about a token, report it."
        )
    page = DOCS + found.get("page", "troubleshooting.md#what-pypi-answers")
    facts = _facts(found.get("about"), unescape(text), planned, options.repository or "pypi")
    if options.json:
        dump(
            {
                "error": found["name"],
                "meaning": found["meaning"],
                "here": facts,
                "remedies": found["remedies"],
                "page": page,
            }
        )
        return 0
    say(found["meaning"])
    if facts:
        say("Here:")
        items(facts)
    say("What to do:")
    items(found["remedies"])
    say(f"More: {page}")
    return 0


def find_answer(text: str) -> dict[str, Any] | None:
    """Return the entry for a text, PyPI's answer or our refusal; None if it is unknown."""
    return find_entry(text, ANSWERS) or find_entry(text)


def _facts(about: str | None, text: str, planned: Callable[[], Grant], repository: str) -> list[str]:
    """Return the policy lines and the last token that the answer depends on."""
    if about is None:
        return []
    last = next((entry for entry in reversed(read_history()) if entry.repository == repository), None)
    try:
        grant, refusal = planned(), ""
    except Refusal as error:
        grant, refusal = None, str(error)
    return _window_facts(grant, last) if about == "window" else _project_facts(text, grant, refusal, last)


def _window_facts(grant: Grant | None, last: Entry | None) -> list[str]:
    facts: list[str] = []
    if grant is not None:
        length, skew = in_words(grant.valid_for.value), in_words(grant.clock_skew.value)
        facts.append(
            f"a token works for {length} (valid-for: {grant.valid_for.origin}), and from {skew} before it is derived "
            f"on (clock-skew: {grant.clock_skew.origin})"
        )
        facts.append(
            f"so this machine's clock may be at most {length} behind PyPI's, the time of the upload included, and at "
            f"most {skew} ahead of it"
        )
        facts += [f"{bound.origin} cuts the window" for bound in (grant.start, grant.end) if bound is not None]
    if last is not None:
        now = int(time.time())
        distance = in_words(abs(now - last.not_after))
        state = f"ended {distance} ago" if now >= last.not_after else f"lasts {distance} more"
        facts.append(
            f"the last token, for {join_names(last.projects)}, was derived {in_words(max(0, now - last.time))} ago by "
            f"this machine's clock, and its window {state}"
        )
    return facts


def _project_facts(text: str, grant: Grant | None, refusal: str, last: Entry | None) -> list[str]:
    facts: list[str] = []
    wanted = re.search(r"project:\s*'([^']*)'", text)
    if wanted:
        facts.append(f"the file was one of {quoted(wanted[1])}")
    if last is not None:
        facts.append(f"the last token, for {last.program}, was for {join_names(last.projects)}")
    if grant is None:
        facts.append(f"an upload from here would be refused: {refusal}")
    elif grant.projects:
        facts.append(f"an upload from here would be for {join_names(grant.projects.value)} ({grant.projects.origin})")
    return facts
