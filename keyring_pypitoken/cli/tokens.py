"""restrict, inspect: any token, from standard input."""

from __future__ import annotations

import datetime
import re
import sys
import time
from typing import TYPE_CHECKING

from keyring_pypitoken import Token
from keyring_pypitoken.cli.output import dump, read_length, read_secret, say, table
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.names import normalize
from keyring_pypitoken.policy.decision import DEFAULT_CLOCK_SKEW
from keyring_pypitoken.text import local_time, quoted, wrapped
from keyring_pypitoken.tokens.describe import HIDDEN_RESTRICTIONS, describe
from keyring_pypitoken.tokens.restrictions import IDs, Names, UnknownCaveat, UserIDRestriction

if TYPE_CHECKING:
    import argparse


def restrict(options: argparse.Namespace) -> int:
    """Restrict a token, and print the new one."""
    now = int(time.time())
    not_before = _moment(options.not_before, "--not-before")
    not_after = _moment(options.not_after, "--not-after")
    if options.valid_for is not None:
        if options.not_after is not None:
            raise Refusal("--valid-for and --not-after both say when the token ends: leave one of them out.")
        not_after = now + read_length(options.valid_for)
    if not_before is not None and not_after is None:
        raise Refusal("--not-before needs an end beside it: add --not-after or --valid-for.")
    if not_before is None and not_after is not None:  # PyPI knows windows with both ends only
        not_before = now - DEFAULT_CLOCK_SKEW
    token = Token.load(read_secret("token").strip())
    before = len(token.raw_caveats)
    token.restrict(
        project_names=options.project,
        project_ids=options.project_id,
        user_id=options.user_id,
        not_before=not_before,
        not_after=not_after,
    )
    if len(token.raw_caveats) == before:
        raise Refusal("no restriction was given: see `keyring-pypitoken restrict --help`.")
    for warning in _warnings(token, now):
        print(wrapped(f"keyring-pypitoken: {warning}", sys.stderr), file=sys.stderr)
    sys.stdout.write(f"{token.dump()}\n")
    return 0


def _warnings(token: Token, now: int) -> list[str]:
    """Return sentences about a token that works for ever, or never."""
    description, caveats = describe(token, now), token.caveats
    names = [caveat.project_names for caveat in caveats if isinstance(caveat, Names)]
    normalized = [{name for name in listed if name == normalize(name)} for listed in names]
    ids = [{*caveat.project_ids} for caveat in caveats if isinstance(caveat, IDs)]
    users = [{caveat.user_id} for caveat in caveats if isinstance(caveat, UserIDRestriction)]
    warnings = [
        f"this token never works, because no {what} is allowed by all of its restrictions: restrict another token."
        for what, sets in (("project", normalized), ("project id", ids), ("user", users))
        if sets and not set.intersection(*sets)
    ]
    if description["standing"] in ("never valid", "expired"):
        warnings.append(f"this token does not work, because it is {description['state']}: restrict another token.")
    if any(isinstance(caveat, UnknownCaveat) for caveat in caveats):
        warnings.append("this token never works, because PyPI denies one of its restrictions: restrict another token.")
    if description["not_after"] is None:
        warnings.append("this token never expires: add --valid-for, such as --valid-for 1h.")
    return warnings


def inspect(options: argparse.Namespace) -> int:
    """Describe a token."""
    description = describe(read_secret("token").strip(), int(time.time()))
    if options.json:
        dump(description)
        return 0
    state = description["state"]
    if state is not None:
        say(f"{state[0].upper()}{state[1:]}.", "good" if description["standing"] == "valid" else "bad")
    form = f"macaroon version {description['format']}"
    table(
        [("location", description["location"]), ("identifier", description["identifier"]), ("format", form)], indent=""
    )
    say("Restrictions:" if description["caveats"] else "No restriction can be seen in it.")
    rows: list[tuple[str, str]] = []
    for number, caveat in enumerate(description["caveats"], 1):
        rows.append((str(number), caveat["meaning"]))
        if caveat["not_before"] is not None and caveat["not_after"] is not None:
            begin, end = local_time(caveat["not_before"]), local_time(caveat["not_after"])
            rows.append(("", f"{caveat['state']}; here that is from {begin} until {end}"))
        rows.append(("", caveat["raw"]))
    table(rows)
    say(HIDDEN_RESTRICTIONS)
    return 0


def _moment(text: str | None, option: str) -> int | None:
    """Read a moment: Unix seconds, or a date and time that says its offset from UTC."""
    if text is None:
        return None
    if re.fullmatch("[0-9]{1,15}", text):
        return int(text)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Refusal(
            f"{option} is {quoted(text)}, expected a date and time with its offset, such as 2026-01-31T18:00:00Z, or "
            "Unix seconds."
        )
    return int(moment.timestamp())
