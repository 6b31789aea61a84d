"""No file of a repository, and none of our own, makes a lookup wait or costs it more than 5 seconds."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pyrage
import pytest
from attacked import PRIVATE, PYPI, PYTHON, TOKEN, get, judge, plant, start
from sandbox import STORES, make_pipe, new_master

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes and devices in files are POSIX's")
OURS = "data/keyring-pypitoken"
# Where a file of ours may be, and what is expected of a lookup if it is not a file there.
PLACES = {
    "work/pypitoken.toml": "refused",
    "work/pyproject.toml": "refused",
    "work/setup.cfg": "refused",
    "config/keyring-pypitoken/policy.toml": "refused",
    "site/keyring-pypitoken/policy.toml": "refused",
    f"{OURS}/masters.age": "refused",
    f"{OURS}/accounts/note.json": "refused",
    f"{OURS}/accounts": "refused",
    "state/keyring-pypitoken/history/current.jsonl": "derived",
    "state/keyring-pypitoken/history": "derived",
    "cache/keyring-pypitoken/told": "derived",
    "identity": "refused",
}
# One reader reads them all; it judges by the kind, not by the place.
BLOCKED = [
    *((place, "pipe") for place in PLACES),
    *(("work/pypitoken.toml", f"/dev/{n}") for n in ("stdin", "zero", "tty")),
]


@pytest.fixture
def project(work: Path, home: Path) -> Path:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    plant(home, PRIVATE, "default", new_master())
    return work


def block(home: Path, place: str, kind: str) -> None:
    """Put something that is not a regular file at a place."""
    path = home / place
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    if place == "work/setup.cfg":
        (home / "work/pyproject.toml").unlink()
    if place == "identity":  # which opens the age file, the only store
        policy = home / "config/keyring-pypitoken/policy.toml"
        policy.parent.mkdir(parents=True)
        policy.write_text(f'[store]\nbackend = "age"\nidentity = "{path}"\n')
        policy.chmod(0o600)
        (home / "keyrings/first.json").unlink()
        file = home / OURS / "masters.age"
        file.parent.mkdir(parents=True)
        file.write_bytes(pyrage.encrypt(b"{}", [pyrage.x25519.Identity.generate().to_public()]))
    if kind == "pipe":
        make_pipe(path)
    else:
        path.symlink_to(kind)


@pytest.mark.parametrize(("place", "kind"), BLOCKED)
def test_what_is_not_a_file_makes_nobody_wait(place: str, kind: str, project: Path, home: Path) -> None:
    block(home, place, kind)
    if place.startswith(OURS):  # read only if no keyring holds a master
        (home / "keyrings/first.json").unlink()
    outcome = in_terminal(project) if kind == "/dev/tty" else get(project, stdin=None).kind
    assert outcome == PLACES[place]


def in_terminal(project: Path) -> str:
    """Ask the `keyring` command with a terminal at which nobody types; return the kind of the outcome."""
    import pexpect

    child = pexpect.spawn(
        PYTHON,
        ["-m", "keyring", "get", PYPI, TOKEN],
        cwd=str(project),
        env=os.environ | {"PYTHONPATH": str(STORES), "TERM": "dumb", "COLUMNS": "1000"},
        encoding="utf-8",
        timeout=120,
        dimensions=(60, 1000),
    )
    if child.expect([pexpect.EOF, pexpect.TIMEOUT]):
        child.close(force=True)
        return "hang"
    child.close()
    screen = child.before or ""
    if re.search("^pypi-", screen, re.MULTILINE):
        return "derived" if "derived a token" in screen else "raw"
    return "refused" if "keyring-pypitoken: " in screen else "none"


QUADRATIC = {
    "a key of 80,000 parts": ("pyproject.toml", '[project]\nname = "demo"\n' + ".".join(["a"] * 80_000) + " = 1\n"),
    "a header of 80,000 parts": ("pyproject.toml", "[" + ".".join(["a"] * 80_000) + "]\n"),
    "80,000 headers": ("pyproject.toml", "".join(f"[a.b{n}]\n" for n in range(80_000))),
    "80,000 brackets": ("pyproject.toml", "a = " + "[" * 80_000),
    "80,000 tables in each other": ("pypitoken.toml", "a = " + "{a=" * 80_000),
    "80,000 spaces": ("setup.cfg", "[metadata]\nname =" + " " * 80_000 + "demo\n x\n"),
    "80,000 lines of spaces": ("setup.cfg", "[metadata]\nname = demo\n" + " \n" * 80_000),
    "80,000 spaces before a comment": ("setup.cfg", "[metadata]\nname = demo" + " " * 80_000 + "x;\n"),
    "80,000 quotes": ("pypitoken.toml", 'projects = ["demo"]\nx = """' + '\\"' * 80_000),
    "80,000 projects that are wrong": ("pypitoken.toml", f"projects = {json.dumps(['!'] * 80_000)}\n"),
    "80,000 unknown keys": ("pypitoken.toml", "".join(f"project{n} = 1\n" for n in range(60_000))),
    "half a megabyte of digits": ("pypitoken.toml", "valid-for = " + "9" * 500_000),
    "half a megabyte of a duration": ("pypitoken.toml", f'valid-for = "{"1h" * 250_000}"'),
    "a name of half a megabyte": ("pyproject.toml", f'[project]\nname = "{"a-" * 250_000}a"\n'),
    "a mebibyte of carriage returns": ("pyproject.toml", '[project]\nname = "demo"\n' + "\r\n" * 500_000),
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_no_file_costs_more_than_5_seconds(name: str, project: Path) -> None:
    file, text = QUADRATIC[name]
    if file == "setup.cfg":
        (project / "pyproject.toml").unlink()
    (project / file).write_text(text, newline="")
    assert get(project).kind in ("derived", "refused")


PATTERNS = ["/usr/**", "**", "*/*/*/*/*/*/*/*", "../*", "../../**", "loop/**", "**/**/**/**/x"]


@pytest.mark.parametrize("command", ["init", "explain", "status"])
def test_patterns_of_a_workspace_stay_inside_it(command: str, project: Path, home: Path) -> None:
    (project / "pyproject.toml").write_text(
        f'[project]\nname = "demo"\n[tool.uv.workspace]\nmembers = {json.dumps(PATTERNS)}\n'
    )
    outside = home / "outside"
    outside.mkdir()
    (outside / "pyproject.toml").write_text('[project]\nname = "outside"\n')
    (project / "loop").symlink_to(project)
    (project / "link").symlink_to(outside)
    for number in range(30):
        (project / f"a{number}/b/c").mkdir(parents=True)
    done = start("keyring_pypitoken", command, cwd=project)
    assert done is not None, "hang"
    assert done.returncode in (0, 1)
    assert judge(done).kind != "raw"
    policy = project / "pypitoken.toml"
    assert "outside" not in (policy.read_text() if policy.exists() else "")
