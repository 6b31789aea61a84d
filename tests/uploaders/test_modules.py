"""Which uploaders there are, who names one, and which of their modules a lookup loads."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sandbox import ROOT, STORES, Run, new_master

from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.uploaders.settings import DEFAULT
from keyring_pypitoken.uploaders.uploader import NAMES, Address, all_uploaders, find_uploader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = ROOT / "keyring_pypitoken"


def test_each_listed_uploader_has_a_module_of_its_name() -> None:
    assert tuple(uploader.name for uploader in all_uploaders()) == NAMES
    assert find_uploader("options") is None


def strings(path: Path) -> Iterator[str]:
    """Yield the texts of a module that are not docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
            yield node.value


def test_no_other_module_decides_by_the_name_of_an_uploader() -> None:
    for path in PACKAGE.rglob("*.py"):
        # `setup` writes the settings of some.
        if path.parent.name != "uploaders" and path.stem != "setup":
            assert [text for text in strings(path) if text in NAMES] == [], path


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/x?y", "https://a.example/x?y"),
        ("https://me:pw@a.example/x?y", "https://***@a.example/x?y"),
        ("https://me:p@w/\n@a.example", "https://***@a.example"),
        ("me:pw@a.example/x", "***@a.example/x"),
    ],
)
def test_an_address_is_shown_without_its_user(url: str, shown: str) -> None:
    assert Address(url, "", DEFAULT).shown == shown


def loaded_uploaders(script: str, words: list[str], work: Path, run: Run) -> set[str]:
    """Return the uploaders that are loaded while a program of a name gets a token through keyring."""
    assert run("keyring", "set", PYPI.url, TOKEN_USERNAME, stdin=new_master()).returncode == 0
    program = work / words[0]
    program.write_text(script, encoding="utf-8")
    (work / "demo-1.0.tar.gz").touch()
    done = subprocess.run(
        [sys.executable, str(program), *words[1:]],
        env=os.environ | {"PYTHONPATH": str(STORES), "PYTHONVERBOSE": "1"},
        cwd=work,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("pypi-"), done.stderr
    return {
        name
        for name in re.findall(r"^import 'keyring_pypitoken\.uploaders\.(\w+)'", done.stderr, re.MULTILINE)
        if name in NAMES
    }


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's command line is in /proc")
def test_below_uv_only_its_module_is_loaded(work: Path, run: Run) -> None:
    script = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-m', 'keyring', 'get', {PYPI.url!r}, {TOKEN_USERNAME!r}])\n"
    )
    assert loaded_uploaders(script, ["uv", "publish", "demo-1.0.tar.gz"], work, run) == {"uv"}


def test_inside_twine_only_its_module_is_loaded(work: Path, run: Run) -> None:
    script = (
        "import sys; sys.path.pop(0)\n"
        f"import keyring, twine\nprint(keyring.get_password({PYPI.url!r}, {TOKEN_USERNAME!r}))\n"
    )
    assert loaded_uploaders(script, ["twine", "upload", "demo-1.0.tar.gz"], work, run) == {"twine"}
