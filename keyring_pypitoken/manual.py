"""The documentation: which of its pages helps with a sentence, by the tables that the pages are made from."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

from keyring_pypitoken.toml import load_toml

DOCS = "https://github.com/keyring-pypitoken/keyring-pypitoken/blob/main/.github/docs/"
_REFUSALS = Path(__file__).with_suffix(".toml")


def find_page(refusal: str) -> str:
    """Return the address of the section that helps with a refusal, or of the page about all of them."""
    found = find_entry(refusal)
    return DOCS + (found["page"] if found else "troubleshooting.md")


def find_entry(sentence: str, table: Path = _REFUSALS) -> dict[str, Any] | None:
    """Return the first entry with a part that is in a sentence, however that is wrapped, escaped or framed."""
    plain = _folded(unescape(sentence))
    return next(
        (entry for entry in read_entries(table) if any(_folded(part) in plain for part in entry["parts"])), None
    )


def read_entries(table: Path = _REFUSALS) -> list[dict[str, Any]]:
    """Return the entries of a table of sentences: of this package's refusals, or of PyPI's answers."""
    (found,) = load_toml(table.read_text("utf-8"), table.name).values()
    entries: list[dict[str, Any]] = found
    return entries


def _folded(text: str) -> str:
    """Remove case, white space and the lines of boxes, since uploaders wrap sentences at any place."""
    return re.sub("[\\s\u2500-\u257f]", "", text).casefold()
