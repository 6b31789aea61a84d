"""What is in examples/ works: the demonstration, the tutorial, the sample policies."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
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


def test_the_audit_lists_what_no_token_can_have_uploaded(run: Run, index: IndexProcess, work: Path) -> None:
    master, now = index.create_master("auditor"), int(time.time())
    names = ("known", "resized", "late", "at-any-size", "foreign")
    sizes = {}
    for name in names:
        file = make_wheel(work, f"audited-{name}", "1.0")
        sizes[name] = file.stat().st_size
        upload = ("twine", "upload", "--non-interactive", "--repository-url", index.upload_url, str(file))
        assert run(*upload, TWINE_USERNAME="__token__", TWINE_PASSWORD=master).returncode == 0

    def entry(name: str, size: int | None, begins: int = now - 60) -> dict[str, object]:
        files = [[f"audited_{name.replace('-', '_')}-1.0-py3-none-any.whl", size]] if size else None
        window = {"time": begins, "not_before": begins, "not_after": begins + 600}
        return {"repository": "pypi", "projects": [f"audited-{name}"], "files": files, **window}

    entries = [
        entry("known", sizes["known"]),
        entry("resized", sizes["resized"] + 1),
        entry("late", sizes["late"], now - 86_400),
        entry("at-any-size", None),
    ]
    url = index.upload_url.replace("/legacy/", "/simple/")
    further = ("--project", "Audited_Foreign", *(word for name in names for word in ("--project", f"audited-{name}")))
    code, shown, errors = run_script("audit.py", "-", "--index-url", url, *further, stdin=json.dumps(entries))
    assert (code, errors) == (1, "")
    explained = [line.split(":")[0] for line in shown.splitlines() if "1 of 1" in line]
    assert explained == ["audited-at-any-size", "audited-known"]
    for name in ("resized", "late", "foreign"):
        assert f"  'audited_{name}-1.0-py3-none-any.whl', {sizes[name]} bytes, 20" in shown
    good = run_script("audit.py", "-", "--index-url", url, stdin=json.dumps([entries[0], entries[3]]))
    assert (good[0], good[2]) == (0, "")
    missing = run_script("audit.py", "-", "--index-url", url, "--project", "nowhere", stdin=json.dumps(entries))
    reason = "nowhere: the index does not list its files with sizes and times (HTTPError)\n"
    assert missing == (1, reason, "")
    assert run_script("audit.py", "-", "--index-url", url, stdin="[]")[0] == 2
    assert run_script("audit.py", "-", "--index-url", url, stdin="no JSON")[0] == 2
    assert "It needs Python 3.11 and the network, and no package." in run_script("audit.py", "--help")[1]


def test_the_loopback_index_names_what_it_needs(work: Path) -> None:
    assert "pip install pymacaroons" in run_script("loopback_index.py", "--help")[1]
    done = subprocess.run(
        [sys.executable, "-I", "-S", EXAMPLES / "loopback_index.py", "--help"],
        cwd=work, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "loopback_index.py needs pymacaroons: pip install pymacaroons\n")


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
    policies = Policies(SearchPath((project,)), configured=(user,))
    evidence = Evidence(WithOrigin(("company-project",), Origin("the arguments")), work)
    grants = [decide(repository, policies, evidence) for repository in (PYPI, TESTPYPI)]
    assert [grant.account.value for grant in grants] == ["work", "default"]
    assert [grant.valid_for.value for grant in grants] == [600, 600]
    released = datetime.datetime(2026, 12, 8, tzinfo=datetime.UTC)
    assert all(grant.window(int(released.timestamp())) for grant in grants)
