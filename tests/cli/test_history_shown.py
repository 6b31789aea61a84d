"""`history`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import keyring
import pytest
from sandbox import Command, WritePolicy, forget, new_master

if TYPE_CHECKING:
    from pathlib import Path

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"


@pytest.mark.usefixtures("project", "stored")
def test_history_shows_what_was_derived(command: Command, work: Path) -> None:
    assert command("history") == (
        0,
        "No token has been derived on this machine yet, or the policies say history = false.\n",
        "",
    )
    assert command.json("history") == []
    tokens = [command("token")[1].strip()]
    (work / "other-1.0.zip").touch()
    (work / "pypitoken.toml").write_text('valid-for = 90\naccount = "work"\n')
    assert command("login", "--account", "work", stdin=new_master())[0] == 0
    tokens.append(command("token", "other-1.0.zip")[1].strip())
    code, out, err = command("history")
    assert (code, err) == (0, "")
    assert [line.partition("  ")[2] for line in out.splitlines()] == [
        "pypi: demo, for 15 minutes, by keyring-pypitoken token",
        f"pypi (work): other, for 1 minute 30 seconds, by keyring-pypitoken token, under {work / 'pypitoken.toml'}",
    ]
    assert len(command("history", "-n", "1")[1].splitlines()) == 1
    assert len(command("history", "-n", "0")[1].splitlines()) == 2
    entries = command.json("history", "-n", "0")
    assert [(entry["projects"], entry["account"], entry["repository"]) for entry in entries] == [
        (["demo"], "default", "pypi"),
        (["other"], "work", "pypi"),
    ]
    assert not [token for token in tokens if token in out + json.dumps(entries)]


def test_history_shows_a_token_for_any_project(
    command: Command, user_policy: WritePolicy, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stored
    user_policy('unscoped = "allow"\n')
    forget()
    monkeypatch.setattr(sys, "argv", [""])
    assert keyring.get_password(PYPI, TOKEN) is not None
    assert command("history")[1].endswith("  pypi: any project, for 15 minutes, by a program without a name\n")


def test_history_wants_a_number_that_makes_sense(command: Command) -> None:
    assert command.refused("history", "-n", "-1") == "--number is -1, expected at least 0, which is all."
