"""`max-master-age`: an old master is mentioned by the notice and by `status`, and serves all the same."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import keyring
import pytest
from file_keyring import FileKeyring
from sandbox import Command, WritePolicy, forget, new_master

from keyring_pypitoken import paths
from keyring_pypitoken.vault import accounts

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
AGED = (
    "the master for pypi (account 'default') was stored 1 year 35 days ago, and max-master-age is 1 year "
    "({policy}:1): {remedy}"
)
REMEDY = (
    "create a new token on pypi.org, store it with `keyring-pypitoken login -r pypi --account default`, and revoke the "
    "old one"
)
UNKNOWN = "Cannot check the age of the master for pypi: when it was stored is not recorded.\n"

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture(autouse=True)
def no_uploaders(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    """Let none of the developer's programs be found, nor what is installed beside this package."""
    import importlib.util

    monkeypatch.setenv("PATH", str(work))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


@pytest.fixture
def limit(user_policy: WritePolicy) -> str:
    """Let masters be a year old at most; return the path of the policy."""
    return str(user_policy('max-master-age = "365d"\n'))


@pytest.fixture
def aged(stored: str) -> str:
    """Store a master, 400 days ago."""
    (note,) = Path(paths.accounts_directory()).iterdir()
    then = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 400 * 86_400 - 60))
    note.write_text(json.dumps(json.loads(note.read_text()) | {"stored": then}))
    return stored


def upload(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Derive a token as an uploader does; return the lines that were printed, without that about the derivation."""
    forget()
    assert keyring.get_password(PYPI, TOKEN) is not None
    first, *lines = capsys.readouterr().err.splitlines()
    assert first.startswith("keyring-pypitoken: derived a token for demo on pypi")
    return lines


@pytest.mark.usefixtures("aged")
def test_the_notice_and_status_mention_an_old_master(
    limit: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = AGED.format(policy=limit, remedy=REMEDY)
    assert upload(capsys) == [f"keyring-pypitoken: {sentence}"]
    code, out, err = command("status")
    assert (code, err) == (1, "")
    assert f"\n- {sentence}.\n" in out
    problem = AGED.format(policy=limit, remedy="").removesuffix(": ")
    assert command.json("status", code=1)["problems"] == [{"problem": problem, "remedy": REMEDY}]


@pytest.mark.usefixtures("aged")
@pytest.mark.parametrize("policy", ["", 'max-master-age = "401d"\n', '[repository.testpypi]\nmax-master-age = "1d"\n'])
def test_a_master_within_its_age_is_not_mentioned(
    policy: str, user_policy: WritePolicy, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    user_policy(policy)
    assert upload(capsys) == []
    assert command("status")[0] == 0


@pytest.mark.usefixtures("aged")
def test_the_strictest_policy_counts(site_policy: WritePolicy, limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert limit
    site = site_policy('max-master-age = "30d"\n')
    assert f"and max-master-age is 30 days ({site}:1): " in upload(capsys)[0]


@pytest.mark.usefixtures("aged", "limit")
@pytest.mark.parametrize("way", ["login", "keyring set"])
def test_storing_a_new_one_resets_the_age_and_says_to_revoke_the_old_one(
    way: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    other = new_master(identifier="another")
    if way == "login":
        assert "revoke it on pypi.org" in command("login", "--replace", stdin=other)[1]
    else:
        keyring.set_password(PYPI, TOKEN, other)
        assert "revoke it on pypi.org" in capsys.readouterr().err
    assert upload(capsys) == []
    assert command("status")[0] == 0


@pytest.mark.usefixtures("aged", "limit")
def test_a_master_that_is_given_with_the_command_has_no_age(command: Command) -> None:
    code, out, err = command("token", "--master-stdin", stdin=new_master())
    assert (code, out[:5]) == (0, "pypi-")
    assert "max-master-age" not in err


@pytest.mark.usefixtures("aged", "limit")
def test_a_note_that_cannot_be_read_stops_no_upload(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged(*_: object) -> str:
        raise ValueError

    monkeypatch.setattr(accounts, "warn_of_age", damaged)
    assert upload(capsys) == []


@pytest.mark.usefixtures("limit")
def test_only_status_mentions_an_unknown_age(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    FileKeyring().set_password(PYPI, TOKEN, new_master())
    assert upload(capsys) == []
    assert UNKNOWN in command("status")[1]


@pytest.mark.skipif(os.name != "posix", reason="the program is a script, which Windows does not run")
@pytest.mark.usefixtures("aged")
def test_the_age_of_what_a_program_prints_is_not_known(
    user_policy: WritePolicy, command: Command, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = home / "keyrings" / "helper"  # where a master may be in a file
    program.write_text(f"#!/bin/sh\necho {new_master()}\n")
    program.chmod(0o755)
    user_policy(f'max-master-age = "365d"\n[store]\ncommand = ["{program}"]\n')
    assert upload(capsys) == []
    code, out, err = command("status")
    assert (code, err) == (0, "")
    assert "Cannot check the age of the master for pypi, testpypi: when it was stored is not recorded" in out
