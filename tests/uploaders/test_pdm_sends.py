"""What the real pdm sends of what the `keyring` command prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from distributions import make_wheel
from wire import NO_TOKEN, DenyingIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from environments import Environments

pytestmark = pytest.mark.uploaders
Received = list[tuple[str, str, str]]


@pytest.fixture
def index() -> Iterator[DenyingIndex]:
    with DenyingIndex() as index:
        yield index


@pytest.fixture
def project(work: Path) -> Path:
    (work / "pyproject.toml").write_text(
        '[project]\nname = "demo"\nversion = "1.0"\n[tool.pdm.options]\npublish = ["--no-build"]\n'
    )
    make_wheel(work / "dist", "demo", "1.0")
    return work


def environ_with_keyring(home: Path, script: str) -> dict[str, str]:
    """Return an environment with a `keyring` command, of which pdm knows nothing but what it prints."""
    command = home / "bin" / "keyring"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(home / "asked"))}\n{script}\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(command.parent), "/usr/bin", "/bin"])
    return {**os.environ, "PATH": path, "PDM_CHECK_UPDATE": "false", "PDM_USE_VENV": "false", "LANG": "C.UTF-8"}


PRINTS_TWO_LINES = f"""
case "$1" in --mode=creds) echo __token__; esac
echo {NO_TOKEN}"""


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("has_terminal", [False, True])
@pytest.mark.parametrize(
    ("script", "received", "asked", "ends_with"),
    [
        # The user name and a text: pdm sends that, once, and asks nothing and nobody else.
        (
            PRINTS_TWO_LINES,
            [("POST", "/legacy/", f"__token__:{NO_TOKEN}")],
            1,
            ("Client error '403 Forbidden'", "Client error '403 Forbidden'"),
        ),
        # A single line makes it give up keyring, ask for Trusted Publishing and prompt.
        (f"echo {NO_TOKEN}", [("GET", "/_/oidc/audience", "")], 1, ("Username and password are required", "Username")),
        # So does a failure, after it asked for all keys.
        ("exit 1", [("GET", "/_/oidc/audience", "")], 4, ("Username and password are required", "Username")),
    ],
    ids=["two lines", "one line", "failure"],
)
def test_pdm_looks_no_further_than_two_lines(
    script: str,
    received: Received,
    asked: int,
    ends_with: tuple[str, str],
    has_terminal: bool,
    environments: Environments,
    index: DenyingIndex,
    project: Path,
    home: Path,
) -> None:
    environ = environ_with_keyring(home, script)
    command = [str(environments.scripts("pdm alone") / "pdm"), "publish", "-r", index.url]
    screen = in_terminal(command, project, environ) if has_terminal else without_terminal(command, project, environ)
    assert ends_with[has_terminal] in screen
    assert index.received == received
    # With a terminal it asks for the host, too, before it prompts.
    assert len((home / "asked").read_text().splitlines()) == asked + (2 if has_terminal and asked > 1 else 0)


def without_terminal(command: list[str], directory: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=directory, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def in_terminal(command: list[str], directory: Path, environ: dict[str, str]) -> str:
    """Run a program in a terminal until it ends or prompts for a user name, and return its screen without colours."""
    import pexpect

    environ |= {"TERM": "xterm"}
    child = pexpect.spawn(
        command[0], command[1:], cwd=directory, env=environ, encoding="utf-8", timeout=120, dimensions=(60, 500)
    )
    prompts = child.expect(["Username", pexpect.EOF]) == 0
    child.close(force=True)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", (child.before or "") + ("Username" if prompts else ""))
