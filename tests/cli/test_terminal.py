"""Every subcommand in a process of its own: on a real pseudo-terminal, and through pipes."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from sandbox import STORES, Run, new_master

from keyring_pypitoken import Token

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 72


class Step(NamedTuple):
    """A command, what is typed at its prompt, its exit code, how the first line of its output begins."""

    words: str
    typed: str
    code: int
    begins: str


MASTER = new_master()
EXPIRED = Token.load(MASTER).restrict(not_before=1, not_after=2).dump()
RUN = shlex.join([sys.executable, "-c", "print('ran')"])
SESSION = [
    Step("", "", 0, "Uploads get restricted, short-lived tokens, derived from one PyPI token."),
    Step("status", "", 1, "!  twine     no master is stored for pypi,"),
    Step("login", "hunter2", 1, "keyring-pypitoken: this is not a PyPI API token"),
    Step("login", EXPIRED, 1, "keyring-pypitoken: this token expires: it is a derived token"),
    Step("login", MASTER, 0, "Stored for pypi in file_keyring.FileKeyring."),
    Step("explain", "", 0, "An upload to pypi would get a token for demo, for 15"),
    Step("init", "", 0, "Wrote pypitoken.toml: only demo can be uploaded from here."),
    Step("init", "", 1, "keyring-pypitoken: pypitoken.toml is there already: edit it,"),
    Step("check", "", 0, "No mistakes found in pypitoken.toml."),
    Step("explain old/other-1.0.zip", "", 1, "Refused: project 'other' is not allowed here:"),
    Step("token", "", 0, "pypi-AgEIcHlwaS5vcmcC"),
    Step("token old/other-1.0.zip", "", 1, "keyring-pypitoken: project 'other' is not allowed here:"),
    Step(f"exec -r pypi --project demo -- {RUN}", "", 0, "ran"),
    Step("restrict --project demo --valid-for 1h", MASTER, 0, "pypi-AgEIcHlwaS5vcmcC"),
    Step("restrict", MASTER, 1, "keyring-pypitoken: no restriction was given:"),
    Step("inspect", EXPIRED, 0, "Expired "),
    Step("inspect", "hunter2", 1, "keyring-pypitoken: "),
    Step("history", "", 0, "20"),
    Step("history -n -1", "", 1, "keyring-pypitoken: --number is -1, expected at least 0, which"),
    Step("history -n 0", "", 0, "20"),
    Step("adopt --dry-run", "", 0, "No unprotected tokens found in your keyrings, nor in"),
    Step("doctor", "", 0, "ok twine     restricted token for demo on pypi as"),
    Step("logout", "", 0, "Deleted the master for pypi (account 'default')."),
    Step("logout", "", 1, "keyring-pypitoken: no master is stored for pypi (account"),
    Step("explode", "", 2, "keyring-pypitoken: unknown command 'explode'; known are"),
]


@pytest.fixture(autouse=True)
def project(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the current directory one of a project, in which no other `keyring` is found."""
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    (work / "old").mkdir()
    (work / "old" / "other-1.0.zip").touch()
    monkeypatch.setenv("PATH", str(work))


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
def test_a_session_on_a_terminal(work: Path) -> None:
    import pexpect

    environ = {**os.environ, "PYTHONPATH": str(STORES), "TERM": "xterm", "LANG": "C.UTF-8"}
    environ.pop("COLUMNS", None)
    for step in SESSION:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "keyring_pypitoken", *shlex.split(step.words)],
            cwd=work,
            env=environ,
            encoding="utf-8",
            timeout=60,
            dimensions=(40, WIDTH),
        )
        if step.typed:
            child.expect(r"token(/\))?: ")
            child.waitnoecho(20)
            child.sendline(step.typed)
        child.expect(pexpect.EOF)
        child.close()
        screen = re.sub(r"\x1b\[\d*m|\r", "", child.before or "").strip()
        # The notice of a token comes before it, on stderr, which a terminal shows as well.
        assert any(line.startswith(step.begins) for line in screen.splitlines()), (step, screen)
        assert child.exitstatus == step.code, (step, screen)
        assert not step.typed or step.typed not in screen
        told = [line for line in screen.splitlines() if not line.startswith(("pypi-", "usage:"))]
        assert [line for line in told if len(line) > WIDTH and " " in line.strip()] == []


def test_a_session_through_pipes(run: Run) -> None:
    for step in SESSION:
        done = run("keyring_pypitoken", *shlex.split(step.words), stdin=step.typed)
        shown = done.stdout or done.stderr
        assert shown.startswith(step.begins), (step, shown)
        assert done.returncode == step.code, (step, shown)
        assert "\x1b" not in done.stdout + done.stderr
        assert bool(done.stdout) is (step.code == 0 or step.words in ("status", "explain old/other-1.0.zip"))


def test_a_session_in_json(run: Run) -> None:
    assert run("keyring_pypitoken", "login", stdin=MASTER).returncode == 0
    assert run("keyring_pypitoken", "token").returncode == 0
    for words, code, keys in (
        ("explain", 0, {"granted", "repository", "account", "projects", "valid_for", "clock_skew", "not_before",
                        "not_after", "bounds", "policies", "confirm", "warnings", "missing", "uploaders"}),
        ("explain -r nowhere", 1, {"granted", "refusal"}),
        ("status", 0, {"ready", "problems", "uploaders", "accounts", "stores", "policies", "keyring"}),
        ("adopt --dry-run", 0, {"moved", "found"}),
        ("inspect", 0, {"location", "identifier", "format", "not_before", "not_after", "standing", "state", "caveats",
                        "note"}),
        ("check", 0, {"ok", "files"}),
        ("check nowhere.toml", 1, {"ok", "files"}),
    ):  # fmt: skip
        done = run("keyring_pypitoken", *words.split(), "--json", stdin=MASTER)
        assert done.returncode == code, (words, done)
        assert set(json.loads(done.stdout)) == keys
    (entry,) = json.loads(run("keyring_pypitoken", "history", "--json").stdout)
    assert set(entry) == {
        *("time", "projects", "repository", "account", "not_before", "not_after", "program", "policy", "note", "files")
    }  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
def test_the_passphrase_of_an_age_file_is_typed_and_changed_on_a_terminal(home: Path, work: Path) -> None:
    import pexpect
    import pyrage

    environ = {
        **os.environ,
        "PYTHONPATH": str(STORES),
        "TEST_KEYRINGS": "",
        "TEST_CHEAP_PASSPHRASES": "1",
        "COLUMNS": "1000",
    }
    identity = home / "identity.txt"
    identity.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    new, repeat, opens = "New passphrase for ", "Repeat passphrase: ", "Passphrase of "
    wrong = "This passphrase does not open it. Try again: "
    login = [
        ("API token (create one: ", MASTER),
        (new, "one"),
        (repeat, "on"),
        ("The two differ. New passphrase: ", "one"),
    ]
    sessions: list[tuple[str, list[tuple[str, str]], str]] = [
        ("login", [*login, (repeat, "one")], "Stored for pypi in "),
        ("rekey", [(opens, "two"), (wrong, "one"), (new, "three"), (repeat, "three")], "The new passphrase opens "),
        (f"rekey --identity {identity}", [(opens, "three")], f"The identity {identity} opens "),
        ("token", [], "pypi-"),
    ]
    for words, answers, ends in sessions:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "keyring_pypitoken", *shlex.split(words)],
            cwd=work,
            env=environ,
            encoding="utf-8",
            timeout=120,
        )
        for question, answer in answers:
            child.expect_exact(question)
            child.waitnoecho(20)
            child.sendline(answer)
        child.expect(pexpect.EOF)
        assert ends in (child.before or ""), words
