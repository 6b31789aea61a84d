"""restrict, inspect: any token, from standard input."""

from __future__ import annotations

import datetime
import re
import sys
import time
from typing import TYPE_CHECKING

from keyring_pypitoken import Token
from keyring_pypitoken.cli.output import dump, read_secret, say, table
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.policy.decision import DEFAULT_CLOCK_SKEW
from keyring_pypitoken.policy.values import WrongValueError, read_positive_duration
from keyring_pypitoken.text import local_time, quoted
from keyring_pypitoken.tokens.describe import HIDDEN_RESTRICTIONS, describe

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
        not_after = now + _seconds(options.valid_for)
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
        legacy_project_names=options.legacy_project,
        legacy_not_before=_moment(options.legacy_not_before, "--legacy-not-before"),
        legacy_not_after=_moment(options.legacy_not_after, "--legacy-not-after"),
        legacy_noop=options.legacy_noop or None,
    )
    if len(token.raw_caveats) == before:
        raise Refusal("no restriction was given: see `keyring-pypitoken restrict --help`.")
    if describe(token.dump(), now).not_after is None:
        print("keyring-pypitoken: this token never expires: add --valid-for, such as --valid-for 1h.", file=sys.stderr)
    sys.stdout.write(f"{token.dump()}\n")
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Describe a token."""
    description = describe(read_secret("token").strip(), int(time.time()))
    if options.json:
        dump(description.as_dict())
        return 0
    state = description.state
    if state is not None:
        say(f"{state[0].upper()}{state[1:]}.", "good" if description.standing == "valid" else "bad")
    form = f"macaroon version {description.format}"
    table([("location", description.location), ("identifier", description.identifier), ("format", form)], indent="")
    say("Restrictions:" if description.caveats else "No restriction can be seen in it.")
    rows: list[tuple[str, str]] = []
    for number, caveat in enumerate(description.caveats, 1):
        rows.append((str(number), caveat.meaning))
        if caveat.not_before is not None and caveat.not_after is not None:
            begin, end = local_time(caveat.not_before), local_time(caveat.not_after)
            rows.append(("", f"{caveat.state}; here that is from {begin} until {end}"))
        rows.append(("", caveat.raw))
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
        moment = datetime.datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))  # Python 3.10 knows no Z
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Refusal(
            f"{option} is {quoted(text)}, expected a date and time with its offset, such as 2026-01-31T18:00:00Z, or "
            "Unix seconds."
        )
    return int(moment.timestamp())


def _seconds(text: str) -> int:
    try:
        return read_positive_duration(text)
    except WrongValueError as error:
        raise Refusal(f"--valid-for {error}.") from None
