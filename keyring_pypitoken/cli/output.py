"""Writing for people, as wide as their terminal, and for programs."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.text import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable

_COLOURS = {"good": "\x1b[32m", "bad": "\x1b[31m"}
_PLAIN = "\x1b[0m"


def say(text: str, tone: str = "") -> None:
    """Write a paragraph; a tone colours it on a terminal that shows colours."""
    paragraph = wrapped(text, sys.stdout)
    colour = _COLOURS.get(tone) if shows_colours() else None
    print(f"{colour}{paragraph}{_PLAIN}" if colour else paragraph)


def shows_colours(platform: str = sys.platform) -> bool:
    """Return True if stdout is a terminal that supports colour sequences, unless NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return platform != "win32" or "WT_SESSION" in os.environ  # the old console prints the sequences as they are


def table(rows: Iterable[tuple[str, str]], indent: str = "  ") -> None:
    """Write rows of a name and a text, the texts below each other."""
    listed = list(rows)
    width = max((len(name) for name, _ in listed), default=0)
    for name, text in listed:
        print(wrapped(text, sys.stdout, f"{indent}{name:<{width}}  ", indent + " " * (width + 2)))


def items(texts: Iterable[str]) -> None:
    """Write a list."""
    for text in texts:
        print(wrapped(text, sys.stdout, "- ", "  "))


def dump(document: object) -> None:
    """Write JSON."""
    print(json.dumps(document, indent=2))


def read_secret(prompt: str) -> str:
    """Read a secret: from the terminal without showing it, else all of standard input; no text is a Refusal."""
    try:
        if sys.stdin is not None and sys.stdin.isatty():
            from keyring_pypitoken.vault.terminal import ask_terminal, has_terminal

            if not has_terminal():
                raise Refusal(
                    "the token is not asked for, because the variable CI is set or nobody sees this terminal: send it "
                    "to standard input."
                )
            text = ask_terminal(f"{prompt}: ")
        else:
            text = sys.stdin.read() if sys.stdin is not None else ""
    except (OSError, ValueError):  # a closed input, bytes that are not text
        text = ""
    if not text.strip():
        raise Refusal("no token given: paste it at the prompt, or send it to standard input.")
    return text


def read_length(text: str) -> int:
    """Return the seconds that a person types for `--valid-for`; what is not a length of time is a Refusal."""
    from keyring_pypitoken.policy.values import WrongValueError, read_positive_duration

    try:
        return read_positive_duration(text)
    except WrongValueError as error:
        raise Refusal(f"--valid-for {error}.") from None


def can_ask() -> bool:
    """Return True if a person is at the terminal of standard input."""
    from keyring_pypitoken.vault.terminal import has_terminal

    return sys.stdin is not None and sys.stdin.isatty() and has_terminal()


def confirm(question: str, otherwise: str) -> bool:
    """Ask a question on the terminal; return True for a yes. If nobody can be asked, `otherwise` is a Refusal."""
    if not can_ask():
        raise Refusal(otherwise)
    print(wrapped(f"{question} [y/N]", sys.stdout), end=" ", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
