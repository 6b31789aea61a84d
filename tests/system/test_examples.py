"""What is in examples/ works: the demonstration, the tutorial, the sample policies."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from distributions import make_wheel
from sandbox import ROOT, new_master

from keyring_pypitoken import ProjectNamesRestriction, Token
from keyring_pypitoken.lookup import PYPI, TESTPYPI
from keyring_pypitoken.policy.decision import decide
from keyring_pypitoken.policy.model import Evidence, Layer, Origin, Policies, SearchPath, WithOrigin
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.policy.values import KEYS

if TYPE_CHECKING:
    from pathlib import Path

    from loopback_index import IndexProcess
    from sandbox import Run

EXAMPLES = ROOT / "examples"
POLICIES = EXAMPLES / "policies"


def run_script(name: str, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Run a script of the examples; return its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        input=stdin,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_demonstration_works() -> None:
    code, shown, errors = run_script("try_it.py", "--here")
    assert (code, errors) == (0, "")
    lines = [line.strip() for line in shown.splitlines()]
    for line in (
        "try_it_demo-1.0-py2.py3-none-any.whl: 200 OK, the master itself: no",
        "try_it_demo-1.0.tar.gz: 200 OK, the master itself: no",
        "restricted to uploads of try-it-demo",
        "Invalid API Token: project-scoped token is not valid for project: 'another-project'",
        "Invalid API Token: token is expired",
        "uploads that came with the master: 0 of 4",
        "files in which it can be read: none",
        "Done: everything above is removed again.",
    ):
        assert line in lines
    assert "pypi-" not in shown


def test_the_tutorial_restricts_a_token(run: Run, index: IndexProcess, work: Path) -> None:
    code, restricted, errors = run_script("tutorial.py", "Tutorial_Project", stdin=f"{index.create_master('tutor')}\n")
    assert code == 0
    assert errors == (
        "Original restrictions: []\nNew restrictions: [ProjectNamesRestriction(project_names=['tutorial-project'])]\n"
    )
    assert Token.load(restricted).restrictions == [ProjectNamesRestriction(["tutorial-project"])]
    for name, code in (("tutorial-project", 0), ("some-other-project", 1)):
        file = make_wheel(work, name, "0.0.0")
        upload = ("twine", "upload", "--non-interactive", "--repository-url", index.upload_url, str(file))
        sent = run(*upload, TWINE_USERNAME="__token__", TWINE_PASSWORD=restricted.strip())
        assert sent.returncode == code, sent.stdout
    assert "project-scoped token is not valid for project: 'some-other-project'" in sent.stdout


def test_the_tutorial_names_mistakes() -> None:
    usage = f"Usage: {EXAMPLES / 'tutorial.py'} {{project_name}} < token\n"
    assert run_script("tutorial.py", stdin=new_master()) == (1, "", usage)
    reason = "the token has no prefix: PyPI's tokens begin with 'pypi-'.\n"
    assert run_script("tutorial.py", "demo", stdin="hello\n") == (1, "", reason)


@pytest.mark.parametrize("file", sorted(POLICIES.iterdir()), ids=lambda path: path.name)
def test_sample_policies_parse(file: Path) -> None:
    layer: Layer = "user" if file.name == "policy.toml" else "project"
    policy = parse_policy(file.read_text(encoding="utf-8"), layer=layer, name=file.name)
    assert policy is not None


def test_sample_policies_show_every_key() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in POLICIES.iterdir())
    assert [key for key in KEYS if f"\n{key} = " not in text] == []
    assert "[repository." in text
    assert "[store]\nbackend = " in text


def test_the_samples_do_what_they_say(work: Path) -> None:
    """The sample of two accounts, under the sample of a user's policy: each repository has its account."""
    user = parse_policy((POLICIES / "policy.toml").read_text(encoding="utf-8"), layer="user", name="policy.toml")
    text = (POLICIES / "two-accounts.toml").read_text(encoding="utf-8")
    project = parse_policy(text, layer="project", name="pypitoken.toml")
    assert user is not None
    assert project is not None
    policies = Policies(SearchPath(work, (project,)), configured=(user,))
    evidence = Evidence(WithOrigin(("company-project",), Origin("the arguments")), work)
    grants = [decide(repository, policies, evidence) for repository in (PYPI, TESTPYPI)]
    assert [grant.account.value for grant in grants] == ["work", "default"]
    assert [grant.valid_for.value for grant in grants] == [600, 600]
    released = datetime.datetime(2026, 12, 8, tzinfo=datetime.UTC)
    assert all(grant.window(int(released.timestamp())) for grant in grants)
