"""`explain`: what a token would be granted, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keyring
import pytest
from sandbox import Command, WritePolicy, new_master

from keyring_pypitoken import Token, paths

if TYPE_CHECKING:
    from pathlib import Path

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"


def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store a master for the account work; from then on the store cannot be asked."""
    keyring.set_password(f"{PYPI}?work", TOKEN, new_master())
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "first:get,first:set")


def test_explain_shows_every_part_and_where_it_comes_from(
    command: Command, project: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pypitoken.toml").write_text(
        'projects = ["demo", "other"]\nclock-skew = "2m"\nnot-after = 2100-01-01T00:00:00Z\n[repository.pypi]\n'
        'account = "work"\nnot-before = 2020-01-01T00:00:00Z\n'
    )
    user_policy("max-valid-for = 240\n")
    (project / "dist").mkdir()
    (project / "dist" / "other-1.0.tar.gz").touch()
    noted(monkeypatch)
    code, out, err = command("explain", "dist/other-1.0.tar.gz")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    cut = f"auto: 1 file, 0.0 MiB at 5 Mbit/s; cut to max-valid-for ({paths.user_policy()}:1)"
    assert lines[0] == "An upload to pypi would get a token for other, for 4 minutes."
    assert [line.split(None, 2)[:2] for line in lines[1:3]] == [["repository", "pypi,"], ["account", "work"]]
    assert lines[2].endswith("work (pypitoken.toml:5)")
    assert lines[3].endswith("projects    other (the arguments)")
    assert lines[4].endswith(f"valid for   4 minutes ({cut})")
    assert lines[5].endswith("clock skew  from 2 minutes ago on (pypitoken.toml:2)")
    assert lines[6].startswith("  not before  2020-01-01 ")
    assert lines[6].endswith("(pypitoken.toml:6)")
    assert lines[7].endswith("(pypitoken.toml:3)")
    assert lines[8].startswith("  window      from ")
    assert lines[9] == "  policy      pypitoken.toml"
    document = command.json("explain", "dist/other-1.0.tar.gz")
    assert document["granted"] is True
    assert document["repository"] == {"name": "pypi", "url": PYPI, "origin": "default"}
    assert command.json("explain", "-r", PYPI, "dist/other-1.0.tar.gz")["repository"]["origin"] == "--repository"
    assert document["account"] == {"value": "work", "origin": "pypitoken.toml:5"}
    assert document["projects"] == {"value": ["other"], "origin": "the arguments"}
    assert document["valid_for"] == {"value": 240, "origin": cut}
    assert document["clock_skew"] == {"value": 120, "origin": "pypitoken.toml:2"}
    assert document["not_after"] - document["not_before"] == 360
    assert [bound["origin"] for bound in document["bounds"]] == ["pypitoken.toml:6", "pypitoken.toml:3"]
    assert document["policies"] == ["pypitoken.toml"]


def test_explain_shows_a_token_for_any_project(command: Command, user_policy: WritePolicy) -> None:
    user_policy('unscoped = "allow"\n')
    code, out, _ = command("explain")
    assert code == 0
    assert "would get a token for any project, for 15 minutes, if a master were stored.\n" in out
    document = command.json("explain")
    lack = "no master is stored for pypi: run `keyring-pypitoken login`."
    assert (document["projects"], document["missing"]) == (None, lack)
    assert f"But {lack}" in out
    assert "  projects    any project (unscoped)\n" in out
    assert command.json("explain")["projects"] is None


@pytest.mark.usefixtures("stored")
def test_explain_shows_how_the_length_for_a_large_file_came_about(command: Command, work: Path) -> None:
    with (work / "demo-1.0.tar.gz").open("wb") as file:
        file.truncate(1024**3)  # a hole
    _, out, _ = command("explain", "demo-1.0.tar.gz")
    assert out.startswith("An upload to pypi would get a token for demo, for 1 hour.\n")
    assert "  valid for   1 hour (auto: 1 file, 1024.0 MiB at 5 Mbit/s; cut to max-valid-for (default))\n" in out
    with (work / "demo-1.0.tar.gz").open("wb") as file:
        file.truncate(3 * 1024**3)
    warning = (
        "1 file, 3072.0 MiB may need longer than 1 hour; if the token expires before they are sent, raise "
        "max-valid-for, or valid-for if a policy sets it"
    )
    assert command("explain", "demo-1.0.tar.gz")[1].endswith(f"\n{warning}\n")
    assert command.json("explain", "demo-1.0.tar.gz")["warnings"] == [warning]


@pytest.mark.usefixtures("project")
def test_explain_shows_the_refusal_that_an_upload_would_get(command: Command, work: Path) -> None:
    (work / "pypitoken.toml").write_text('projects = ["other"]\n')
    sentence = (
        "project 'demo' is not allowed here: pypitoken.toml:1 allows only 'other'; upload it from its own repository, "
        "or add it there (it was named by pyproject.toml)."
    )
    assert command("explain") == (1, f"Refused: {sentence}\n", "")
    assert command("explain", "--project", "other")[0] == 0
    assert command.json("explain", code=1) == {"granted": False, "refusal": sentence}
    (work / "pypitoken.toml").write_text("projcts = 1\n")
    assert command.json("explain", code=1)["refusal"].startswith(
        "the policy cannot be followed: pypitoken.toml:1: unknown key 'projcts'; did you mean 'projects'?"
    )
    assert command.json("explain", "-r", "nowhere", code=1)["refusal"].startswith("'nowhere' is not a known repository")


@pytest.mark.usefixtures("project")
def test_explain_names_what_keeps_keyring_from_asking_this_package(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    code, out, _ = command("explain")
    assert code == 0
    assert out.splitlines()[-1].startswith(
        "But twine would send something else: the variable PYTHON_KEYRING_BACKEND turns keyring off"
    )


@pytest.mark.usefixtures("project")
def test_explain_and_get_agree_on_labels_and_accounts(
    command: Command, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("Work", "other"):
        keyring.set_password(f"{PYPI}?{label}", TOKEN, new_master(identifier=label))
    for label in ("work", "Work"):
        shown = command.json("explain", "-r", f"{PYPI}?{label}")
        assert (shown["account"]["value"], shown["projects"]["value"]) == ("Work", ["demo"])
    for label in ("work", "Work"):
        derived = keyring.get_password(f"{PYPI}?{label}", TOKEN)
        assert derived is not None
        assert Token.load(derived).identifier == "Work"
    capsys.readouterr()
    (work / "pypitoken.toml").write_text('account = "work"\n')
    refusal = command.json("explain", code=1)["refusal"]
    assert refusal.startswith("no master is stored for pypi (account 'work': pypitoken.toml:1): did you mean 'Work'?")
    assert command.refused("token").startswith("no master is stored for the account 'work' of pypi")
