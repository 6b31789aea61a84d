"""history: which tokens were derived."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from keyring_pypitoken.cli.output import dump, say, table
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.history import read_history
from keyring_pypitoken.text import in_words

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.history import Entry


def history(options: argparse.Namespace) -> int:
    """Tell of the latest derivations, the oldest first."""
    if options.number < 1:
        raise Refusal(f"--number is {options.number}, expected at least 1.")
    entries = read_history()[-options.number :]
    if options.json:
        dump([entry._asdict() for entry in entries])
        return 0
    if not entries:
        say("No token was derived yet on this machine, or the policies say history = false.")
    table(((_local(entry.time), _told(entry)) for entry in entries), indent="")
    return 0


def _told(entry: Entry) -> str:
    account = "" if entry.account == "default" else f" ({entry.account})"
    projects = "any project" if entry.projects is None else ", ".join(entry.projects)
    policy = f", under {entry.policy}" if entry.policy else ""
    return (
        f"{entry.repository}{account}: {projects}, for {in_words(max(0, entry.not_after - entry.time))}, by "
        f"{entry.program or 'a program without a name'}{policy}"
    )


def _local(timestamp: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timestamp))
