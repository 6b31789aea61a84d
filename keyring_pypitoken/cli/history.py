"""history: which tokens were derived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyring_pypitoken.cli.output import dump, say, table
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.history import read_history
from keyring_pypitoken.text import in_words, join_names, local_time

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.history import Entry


def history(options: argparse.Namespace) -> int:
    """Show the latest derivations, the oldest first."""
    if options.number < 0:
        raise Refusal(f"--number is {options.number}, expected at least 0, which is all.")
    entries = read_history()[-options.number :]  # from -0 on: all
    if options.json:
        dump([entry._asdict() for entry in entries])
        return 0
    if not entries:
        say("No token has been derived on this machine yet, or the policies say history = false.")
    table(((local_time(entry.time), _describe(entry)) for entry in entries), indent="")
    return 0


def _describe(entry: Entry) -> str:
    account = "" if entry.account == "default" else f" ({entry.account})"
    policy = f", under {entry.policy}" if entry.policy else ""
    note = f": {entry.note}" if entry.note else ""
    token = f"{join_names(entry.projects)}, for {in_words(max(0, entry.not_after - entry.time))}"
    program = entry.program or "a program without a name"
    return f"{entry.repository}{account}: {token}, by {program}{policy}{note}"
