"""The threat model: each promise names tests that exist."""

from __future__ import annotations

import re

from sandbox import ROOT

TEXT = (ROOT / ".github" / "SECURITY.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", TEXT)))
ATTACKERS = ("repository", "another user", "uploader", "index and the network", "another backend", "environment")


def test_every_test_that_is_named_exists() -> None:
    for file, name in NAMED:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), (file, name)


def test_every_promise_names_a_test() -> None:
    promises = TEXT.partition("\n## Who attacks from where")[2].partition("\n## ")[0]
    items = re.split(r"\n(?=- )", re.sub(r"\n\n?### .*\n", "\n", promises))[1:]
    assert len(items) > 20
    assert [item for item in items if "`tests/" not in item] == []


def test_every_attacker_has_promises() -> None:
    sections = re.split(r"\n### ", TEXT.partition("\n## What is out of scope")[0])[1:]
    assert len(sections) == len(ATTACKERS)
    for section, attacker in zip(sections, ATTACKERS, strict=True):
        assert attacker in section.partition("\n")[0].lower()
        assert "\n- " in section


def test_it_can_be_read_in_one_sitting() -> None:
    assert len(TEXT.splitlines()) <= 180
