"""Ask a person for a yes before a master is read, as `confirm` in the user's or the machine's policy demands."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import find_program
from keyring_pypitoken.text import join_names, printable, quoted
from keyring_pypitoken.vault import terminal

if TYPE_CHECKING:
    from keyring_pypitoken.policy.model import Grant, WithOrigin

_SECONDS = 120  # for which a program may wait for an answer


def ask(grant: Grant, confirm: WithOrigin[bool | tuple[str, ...]], program: str) -> None:
    """Return if a person says yes.

    Args:
        grant: what would be derived.
        confirm: true asks on the terminal; else the program, and its arguments, that asks.
        program: what asks for it, for the question.

    Raises:
        Refusal: the answer is no, or nobody can be asked.
    """
    who, origin, question = confirm.value, confirm.origin, _question(grant, program)
    is_yes = _ask_program(who, question, origin) if isinstance(who, tuple) else _ask_terminal(question, origin)
    if not is_yes:
        raise Refusal(f"nobody said yes to this upload, which `confirm` demands ({origin}): upload again, and answer.")


def _question(grant: Grant, program: str) -> str:
    """Return the question; names in it that others chose are escaped."""
    what = join_names(grant.projects.value) if grant.projects else "any project"
    names = [file.path.name for file in grant.files or ()]
    files = f" ({join_names(names)})" if names else ""
    count = f", {len(names)} file{'' if len(names) == 1 else 's'}" if names else ""
    asker = printable(program) or "keyring-pypitoken"
    return (
        f"Upload {what}{count}{files} to {grant.repository.name} (account {printable(grant.account.value)}), asked by "
        f"{asker}?"
    )


def _ask_terminal(question: str, origin: str) -> bool:
    if not terminal.has_terminal():
        raise Refusal(
            f"`confirm` demands a yes ({origin}), and there is no terminal to ask on: upload in a terminal, or name a "
            'program as in `confirm = ["/usr/bin/ksshaskpass"]`.'
        )
    return terminal.ask_terminal(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _ask_program(command: tuple[str, ...], question: str, origin: str) -> bool:
    """Run a program as `ssh-add -c` does: it shows the question, and exit code 0 is a yes."""
    path = find_program(command[0], os.environ)
    if path is None or not os.path.isabs(command[0]):
        raise Refusal(f"{quoted(command[0])}, which `confirm` names ({origin}), is no program: correct its path.")
    try:
        done = subprocess.run(  # noqa: S603 - the user's or the machine's policy names it
            [path, *command[1:], question],
            env=os.environ | {"SSH_ASKPASS_PROMPT": "confirm"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Refusal(
            f"{quoted(command[0])}, which `confirm` names ({origin}), gave no answer ({type(error).__name__}): start "
            "it by hand, and repair it."
        ) from None
    return done.returncode == 0
