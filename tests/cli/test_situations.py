"""`status` foretells what an upload does: a table of situations, each compared with what the backend then answers."""

from __future__ import annotations

import os
import sys
import types
from typing import TYPE_CHECKING

import keyring
import keyring.cli
import pytest
from sandbox import Command, WritePolicy, forget
from situations import SECRET, SITUATIONS, Place, Situation, install, make_project

from keyring_pypitoken import Token
from keyring_pypitoken.uploaders import process
from keyring_pypitoken.uploaders.uploader import BYPASS, Process, find_uploader

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="programs are scripts here, which need POSIX")


@pytest.fixture
def place(home: Path, work: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> Place:
    make_project(work)
    return Place(home, work, user_policy, monkeypatch)


def outcome(situation: Situation, place: Place) -> str:
    """Return what the uploader would get for its lookup."""
    uploader = find_uploader(situation.uploader)
    assert uploader is not None
    run = Process(situation.uploader, situation.words, place.work, os.environ)
    address, lookup = run.target.address, run.target.lookup
    if not address.url.startswith(("https://upload.pypi.org/", "https://test.pypi.org/")):
        return "nothing"
    problems = uploader.find_problems(run)
    taken = [problem for problem in problems if problem.effect == BYPASS]
    if taken[: None if uploader.asks_keyring else -1] or not situation.has_plugin:
        return "bypass"
    if uploader.asks_keyring and lookup is None:
        return "nothing"
    if uploader.uses_command:
        line = [situation.uploader, *situation.words]
        place.monkeypatch.setattr(process, "ancestors", lambda: iter([(100, line)]))
        place.monkeypatch.setattr(sys, "argv", ["keyring", "get"])
    else:
        place.monkeypatch.delitem(sys.modules, "keyring.cli")
        place.monkeypatch.setitem(sys.modules, uploader.module, types.ModuleType(uploader.module))
        place.monkeypatch.setattr(sys, "argv", [situation.uploader, *situation.words])
    forget()
    return "other" if lookup is None else _answer(*lookup)


def _answer(service: str, username: str | None) -> str:
    try:
        credential = keyring.get_credential(service, username)
    except (SystemExit, keyring.errors.KeyringError):
        return "refused"
    except Exception:  # noqa: BLE001 - keyring raises what its broken configuration does
        return "bypass"
    if credential is None:
        return "nothing"
    if not credential.password.startswith("pypi-"):
        return "refused"
    return "restricted" if len(Token.load(credential.password).raw_caveats) == 2 else "raw"


NAMES = [f"{situation.uploader}: {situation.name}" for situation in SITUATIONS]


@pytest.mark.parametrize("situation", SITUATIONS, ids=NAMES)
def test_status_foretells_what_an_upload_does(situation: Situation, place: Place, command: Command) -> None:
    situation.prepare(place)
    install(place, situation)
    code, out, err = command("status")
    assert err == ""
    assert SECRET not in out
    document = command.json("status", code=code)
    report = next(report for report in document["uploaders"] if report["uploader"] == situation.uploader)
    assert report["verdict"] == situation.verdict, report
    problems = [(problem["problem"], problem["remedy"]) for problem in document["problems"]]
    expected = bool(situation.problem or situation.remedy or situation.verdict not in READY)
    assert (bool(problems), code) == (expected, int(expected)), problems
    if expected:
        assert any(
            problem.startswith(situation.problem) and situation.remedy in remedy for problem, remedy in problems
        ), problems
    really = outcome(situation, place)
    foretold = {"asks": "nothing", "not set up": "nothing"}.get(situation.verdict, situation.verdict)
    assert really == foretold or (really, situation.verdict) in {("nothing", "refused"), ("nothing", "bypass")}


READY = ("restricted", "other", "not set up")


def test_the_table_is_large_enough() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 30
    ready = [s for s in SITUATIONS if s.verdict == "restricted" and not s.problem]
    assert len(ready) >= 8
    uploaders = [situation.uploader for situation in SITUATIONS]
    assert all(uploaders.count(name) >= 2 for name in ("twine", "uv", "flit", "hatch", "poetry", "pdm", "maturin"))
