"""A refusal is final: the real uv and pdm send no other credential and ask nobody for one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attacked import PYTHON, TOKEN, plant
from distributions import make_wheel
from environments import Environments
from sandbox import STORES, new_master
from wire import NO_TOKEN, DenyingIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.uploaders,
    pytest.mark.skipif(os.name != "posix", reason="the `keyring` command is a script, and a terminal is needed"),
]
OTHER = "the-password-of-netrc"


@pytest.fixture
def index() -> Iterator[DenyingIndex]:
    with DenyingIndex() as index:
        yield index


@pytest.fixture
def project(work: Path, home: Path, index: DenyingIndex) -> Path:
    """A project, a master for the index, a policy that does not allow the upload, and rival credentials."""
    (work / "pyproject.toml").write_text(
        '[project]\nname = "demo"\nversion = "1.0"\n[tool.pdm.options]\npublish = ["--no-build"]\n'
    )
    (work / "pypitoken.toml").write_text('projects = ["another"]\n')
    make_wheel(work / "dist", "demo", "1.0")
    plant(home, f"keyring-pypitoken:{index.url}", "default", new_master())
    policy = home / "config/keyring-pypitoken/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text(f'[repository.local]\nurl = "{index.url}"\ndomain = "pypi.org"\n')
    netrc = home / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {TOKEN} password {OTHER}\n")
    for file in (policy, netrc):
        file.chmod(0o600)
    keyring = home / "bin/keyring"
    keyring.parent.mkdir()
    keyring.write_text(f'#!/bin/sh\nPYTHONPATH={STORES} exec {PYTHON} -m keyring "$@"\n')
    keyring.chmod(0o755)
    return work


@pytest.mark.parametrize("has_terminal", [False, True], ids=["", "terminal"])
@pytest.mark.parametrize("uploader", ["uv", "pdm"])
def test_nothing_else_is_sent_after_a_refusal(
    uploader: str, has_terminal: bool, project: Path, home: Path, index: DenyingIndex, pytestconfig: pytest.Config
) -> None:
    if uploader == "uv":
        command = [str(Path(sys.executable).parent / "uv"), "publish", "--publish-url", index.url]
        command += ["--keyring-provider", "subprocess", "--username", TOKEN, "--trusted-publishing", "never"]
    else:
        assert pytestconfig.cache is not None
        scripts = Environments(pytestconfig.cache.mkdir("uploaders"), os.environ).scripts("pdm alone")
        command = [str(scripts / "pdm"), "publish", "-r", index.url]
    environ = {
        **os.environ,
        "PATH": f"{home / 'bin'}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "UV_NO_CONFIG": "1",
        "NO_COLOR": "1",
        "PDM_CHECK_UPDATE": "false",
        "PDM_USE_VENV": "false",
    }
    screen = run(command, project, environ, has_terminal=has_terminal)
    assert [sent for _, _, sent in index.received if sent] == [f"{TOKEN}:{NO_TOKEN}"]
    assert "Username" not in screen
    assert "project 'demo' is not allowed here" in screen or not has_terminal


def run(command: list[str], directory: Path, environ: dict[str, str], *, has_terminal: bool) -> str:
    """Run a program until it ends or asks for something; return what it showed."""
    if not has_terminal:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            start_new_session=True,
        )
        return done.stdout + done.stderr
    import pexpect

    environ |= {"TERM": "xterm"}
    child = pexpect.spawn(
        command[0], command[1:], cwd=str(directory), env=environ, encoding="utf-8", timeout=120, dimensions=(60, 500)
    )
    asked = ["Username", "Enter password", "[Pp]assword for", pexpect.EOF]
    at = child.expect(asked)
    child.close(force=True)
    screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", child.before or "")
    return screen + ("" if asked[at] is pexpect.EOF else str(asked[at]))
