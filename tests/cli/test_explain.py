"""`explain`, and what PyPI answers (`explain --error`)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import keyring
import pytest
from sandbox import DATA, Command, WritePolicy, new_master

from keyring_pypitoken import paths

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
    found = command.json("explain", "dist/other-1.0.tar.gz")
    assert found["granted"] is True
    assert found["repository"] == {"name": "pypi", "url": PYPI, "origin": "default"}
    assert command.json("explain", "-r", PYPI, "dist/other-1.0.tar.gz")["repository"]["origin"] == "--repository"
    assert found["account"] == {"value": "work", "origin": "pypitoken.toml:5"}
    assert found["projects"] == {"value": ["other"], "origin": "the arguments"}
    assert found["valid_for"] == {"value": 240, "origin": cut}
    assert found["clock_skew"] == {"value": 120, "origin": "pypitoken.toml:2"}
    assert found["not_after"] - found["not_before"] == 360
    assert [bound["origin"] for bound in found["bounds"]] == ["pypitoken.toml:6", "pypitoken.toml:3"]
    assert found["policies"] == ["pypitoken.toml"]


def test_explain_shows_a_token_for_any_project(command: Command, user_policy: WritePolicy) -> None:
    user_policy('unscoped = "allow"\n')
    code, out, _ = command("explain")
    assert code == 0
    assert "An upload to pypi would get a token for any project, for 15 minutes.\n" in out
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
    assert command.json("explain", code=1) == {"granted": False, "refusal": sentence}
    (work / "pypitoken.toml").write_text("projcts = 1\n")
    assert command.json("explain", code=1)["refusal"].startswith(
        "the policy cannot be followed: pypitoken.toml:1: unknown key 'projcts'; did you mean 'projects'?"
    )
    assert command.json("explain", "-r", "nowhere", code=1)["refusal"].startswith("'nowhere' is not a known repository")


ERRORS = {
    "403 Invalid API Token: token is expired": "expired",
    "HTTPError: 403 Forbidden\nInvalid API Token: project-scoped token is not valid for project: 'demo-x'": "project",
    "403 Invalid API Token: caveat has unknown tag: 7": "unreadable caveat",
    "403 Invalid API Token: signatures do not match": "signature",
    "403 Invalid API Token: malformed macaroon": "credentials",
    "403 Invalid or non-existent authentication information. See https://pypi.org/help/#invalid-auth": "credentials",
    "403 The user 'joe' isn't allowed to upload to project 'demo'.": "permission",
    "400 File already exists ('demo-1.0.tar.gz')": "exists",
}


@pytest.mark.parametrize(("text", "name"), ERRORS.items(), ids=ERRORS.values())
@pytest.mark.usefixtures("project")
def test_explains_what_pypi_answers(text: str, name: str, command: Command) -> None:
    found = command.json("explain", "--error", text)
    assert found["error"] == name
    assert found["meaning"].endswith(".")
    assert found["remedies"]
    code, out, err = command("explain", "--error", text)
    assert (code, err) == (0, "")
    assert out.startswith(f"{found['meaning']}\n")
    assert all(f"- {remedy}\n" in out for remedy in found["remedies"])


def test_every_answer_of_the_oracle_is_explained(command: Command) -> None:
    verdicts = json.loads((DATA / "pypi_verdicts.json").read_text("utf-8"))
    reasons = {str(found.get("reason")) for found in _dicts(verdicts) if found.get("reason")} - {"OK", "None"}
    known = [reason for reason in reasons if command("explain", "--error", reason)[0] == 0]
    unknown = reasons - set(known)
    assert len(known) > 3
    assert not [reason for reason in unknown if reason.startswith(("token is", "project-scoped token is not"))]


def _dicts(found: object) -> list[dict[str, object]]:
    if isinstance(found, dict):
        return [found, *(inner for value in found.values() for inner in _dicts(value))]
    return [inner for value in found for inner in _dicts(value)] if isinstance(found, list) else []


@pytest.mark.usefixtures("stored")
def test_an_expired_token_is_explained_by_the_policy_the_clock_and_the_last_one(
    command: Command, project: Path
) -> None:
    (project / "pypitoken.toml").write_text('valid-for = "10m"\nclock-skew = 30\nnot-after = 2100-01-01T00:00:00Z\n')
    text = "403 Invalid API Token: token is expired"
    facts = [
        (
            "a token works for 10 minutes (valid-for: pypitoken.toml:1), and from 30 seconds before it is derived on "
            "(clock-skew: pypitoken.toml:2)"
        ),
        (
            "so this machine's clock may be at most 10 minutes behind PyPI's, the time of the upload included, and at "
            "most 30 seconds ahead of it"
        ),
        "pypitoken.toml:3 cuts the window",
    ]
    assert command.json("explain", "--error", text)["here"] == facts
    assert command("token")[0] == 0
    *same, last = command.json("explain", "--error", text)["here"]
    assert same == facts
    assert last.startswith("the last token, for demo, was derived ")
    assert "its window lasts 9 minutes 5" in last or "its window lasts 10 minutes more" in last
    (project / "pypitoken.toml").write_text("x = 1\n")
    assert len(command.json("explain", "--error", text)["here"]) == 1


@pytest.mark.usefixtures("stored")
def test_a_window_that_is_over_is_named(command: Command, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "pypitoken.toml").write_text("valid-for = 1\n")
    assert command("token")[0] == 0
    later = time.time() + 120
    monkeypatch.setattr(time, "time", lambda: later)
    last = command.json("explain", "--error", "token is expired")["here"][-1]
    assert "was derived 2 minutes" in last
    assert "its window ended 1 minute 59 seconds ago" in last or "its window ended 1 minute 58 seconds ago" in last


@pytest.mark.usefixtures("stored", "project")
def test_a_wrong_project_is_explained_by_the_evidence_and_the_last_token(
    command: Command, user_policy: WritePolicy, work: Path
) -> None:
    text = "project-scoped token is not valid for project: 'other'"
    assert command("token")[0] == 0
    assert command.json("explain", "--error", text)["here"] == [
        "the file was one of 'other'",
        "the last token, for keyring-pypitoken token, was for demo",
        "an upload from here would be for demo (pyproject.toml)",
    ]
    (work / "pyproject.toml").unlink()
    refused = command.json("explain", "--error", "project-scoped token is not valid for project")["here"]
    assert refused[-1].startswith("an upload from here would be refused: the project of this upload is unknown")
    user_policy('unscoped = "allow"\n')
    assert command("token")[0] == 0
    assert command.json("explain", "--error", text)["here"][1:] == [
        "the last token, for keyring-pypitoken token, was for any project"
    ]


def test_another_answer_is_not_guessed_at(command: Command) -> None:
    assert command.refused("explain", "--error", "500 Internal Server Error") == (
        "unknown error message: run `keyring-pypitoken status`, and look at the whole answer with `twine upload "
        "--verbose`; if it is about a token, report it."
    )
