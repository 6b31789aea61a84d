"""A person's yes, which `confirm` demands before a master is read."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import keyring
import pytest
from sandbox import WritePolicy, write_program

from keyring_pypitoken import Token
from keyring_pypitoken.backend import RefusedError
from keyring_pypitoken.vault import consent, terminal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.usefixtures("project"),
    pytest.mark.skipif(os.name != "posix", reason="the programs are shell scripts"),
]

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
NO = "nobody said yes to this upload, which `confirm` demands ("


@pytest.fixture
def program(home: Path, user_policy: WritePolicy) -> Path:
    """Let a program be asked."""
    path = home / "askpass"
    user_policy(f'confirm = ["{path}", "--title"]\n')
    return path


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.usefixtures("stored")
def test_a_program_is_asked_as_ssh_add_asks_it(program: Path, home: Path, work: Path) -> None:
    (work / "dist").mkdir()
    script(program, f'printf "%s\\n" "$SSH_ASKPASS_PROMPT" "$@" > {home}/asked')
    token = keyring.get_password(PYPI, TOKEN)
    assert token is not None
    assert len(Token.load(token).restrictions) == 2
    assert (home / "asked").read_text().splitlines() == [
        "confirm",
        "--title",
        "Upload demo to pypi (account default), asked by uploader?",
    ]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("text", ["exit 1", "echo yes; exit 3", "kill -9 $$"])
def test_anything_but_exit_code_0_is_a_no(program: Path, text: str) -> None:
    script(program, text)
    with pytest.raises(RefusedError) as refused:
        keyring.get_password(PYPI, TOKEN)
    assert str(refused.value).startswith(NO)


@pytest.mark.usefixtures("stored")
def test_no_answer_is_a_refusal(program: Path, monkeypatch: pytest.MonkeyPatch, user_policy: WritePolicy) -> None:
    with pytest.raises(RefusedError, match=r"is no program: correct its path\.$"):
        keyring.get_password(PYPI, TOKEN)
    script(program, "sleep 60")
    monkeypatch.setattr(consent, "_SECONDS", 0.2)
    with pytest.raises(RefusedError, match=r"gave no answer \(TimeoutExpired\)"):
        keyring.get_password(PYPI, TOKEN)
    user_policy("confirm = true\n")
    with pytest.raises(RefusedError, match=r"there is no terminal to ask on"):
        keyring.get_password(PYPI, TOKEN)


@pytest.mark.usefixtures("stored")
def test_a_terminal_is_asked_once_in_a_process(user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    user_policy("confirm = true\n")
    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    answers, asked = ["n", "", " Yes "], []

    def answer(question: str) -> str:
        asked.append(question)
        return answers.pop(0)

    monkeypatch.setattr(terminal, "ask_terminal", answer)
    for _ in range(2):
        with pytest.raises(RefusedError):
            keyring.get_password(PYPI, TOKEN)
    assert keyring.get_password(PYPI, TOKEN) == keyring.get_password(PYPI, TOKEN)
    assert asked == ["Upload demo to pypi (account default), asked by uploader? [y/N] "] * 3


@pytest.mark.usefixtures("stored")
def test_names_that_others_chose_are_escaped(program: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(program, f'for last; do :; done; printf "%s" "$last" > {home}/asked')
    monkeypatch.setattr(sys, "argv", ["a\x1b[2Jname"])
    assert keyring.get_password(PYPI, TOKEN)
    assert "\x1b" not in (home / "asked").read_text()


def test_without_a_master_nobody_is_asked(program: Path) -> None:
    write_program(program, "false")
    assert keyring.get_password(PYPI, TOKEN) is None


@pytest.mark.usefixtures("stored")
def test_a_checkout_cannot_choose_the_program(program: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(program, "exit 1")
    script(work / "askpass", "exit 0")
    for name in ("SSH_ASKPASS", "KEYRING_PYPITOKEN_CONFIRM", "PATH"):
        monkeypatch.setenv(name, str(work))
    (work / "pypitoken.toml").write_text("confirm = false\n")
    with pytest.raises(RefusedError):
        keyring.get_password(PYPI, TOKEN)


@pytest.mark.usefixtures("stored")
def test_a_policy_may_say_that_nobody_is_asked(user_policy: WritePolicy) -> None:
    user_policy("confirm = false\n")
    assert keyring.get_password(PYPI, TOKEN)
