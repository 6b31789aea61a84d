"""No token is wider, lasts longer or goes elsewhere than the policies say."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from attacked import PRIVATE, deny, get, plant, start
from distributions import make_wheel
from sandbox import change_owner, new_master

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AUTO = 900  # seconds that a token works if no policy says anything and no files are named
STRANGER = 65534
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")


@pytest.fixture
def project(work: Path, home: Path) -> Path:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    plant(home, PRIVATE, "default", new_master())
    return work


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)
    return path


def test_a_nearer_table_counts_beside_a_file_further_up(project: Path) -> None:
    write(project / ".git/HEAD", "ref: refs/heads/main\n")
    write(project / "pypitoken.toml", 'valid-for = "10m"\n')
    near = write(
        project / "near/pyproject.toml", '[project]\nname = "demo"\n[tool.keyring-pypitoken]\nvalid-for = "2m"\n'
    ).parent
    assert get(near).seconds == 120


@posix
@as_root
def test_a_strangers_file_in_a_shared_directory_chooses_nothing(project: Path) -> None:
    shared = project / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    policy = write(shared / "pypitoken.toml", 'valid-for = "45m"\nprojects = ["demo"]\n')
    change_owner(policy, STRANGER)
    mine = write(shared / "mine/pyproject.toml", '[project]\nname = "demo"\n').parent
    outcome = get(mine)
    assert (outcome.kind, outcome.seconds) == ("derived", AUTO)


@posix
@as_root
@pytest.mark.parametrize("name", [".git", ".jj"])
def test_a_strangers_marker_in_a_shared_directory_ends_no_search(name: str, project: Path) -> None:
    write(project / ".git/HEAD", "ref: refs/heads/main\n")
    write(project / "pypitoken.toml", 'valid-for = "2m"\nprojects = ["demo"]\n')
    shared = project / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    change_owner(write(shared / name / "HEAD", "ref: x\n"), STRANGER)
    assert get(write(shared / "mine/pyproject.toml", '[project]\nname = "demo"\n').parent).seconds == 120


@posix
@pytest.mark.parametrize("directory", ["config", "config/keyring-pypitoken", "."])
def test_a_policy_that_others_could_have_written_is_not_followed(directory: str, project: Path, home: Path) -> None:
    write(home / "config/keyring-pypitoken/policy.toml", 'max-valid-for = "1d"\nvalid-for = "1d"\n').chmod(0o600)
    assert get(project).seconds == 86400
    (home / directory).chmod(0o777)
    assert get(project).kind == "refused"


@posix
@pytest.mark.parametrize(
    ("arguments", "variables", "settings"),
    [
        ([], {}, '[tool.uv]\npublish-url = "https://evil.example/legacy/"\n'),
        (["--publish-url", "https://evil.example/legacy/"], {}, ""),
        ([], {"UV_PUBLISH_URL": "https://evil.example/legacy/"}, ""),
        (
            ["--index", "evil"],
            {},
            '[[tool.uv.index]]\nname = "evil"\nurl = "https://evil.example/"\npublish-url = "https://evil.example/legacy/"\n',
        ),
    ],
    ids=["table", "option", "variable", "index"],
)
def test_exec_sends_a_token_only_where_it_is_for(
    arguments: list[str], variables: dict[str, str], settings: str, project: Path, home: Path
) -> None:
    (project / "pyproject.toml").write_text(f'[project]\nname = "demo"\n{settings}')
    make_wheel(project / "dist", "demo", "1.0")
    sent = home / "sent"
    program = write(home / "bin/uv", f"#!/bin/sh\nenv | grep -E '^(UV_PUBLISH|KEYRING_PYPITOKEN)_' > '{sent}'\n")
    program.chmod(0o755)
    environ = {"PATH": f"{program.parent}:/usr/bin:/bin", **variables}
    command = ["keyring_pypitoken", "exec", "--", "uv", "publish", *arguments]
    done = start(*command, cwd=project, environ=environ)
    assert done is not None
    seen = dict(line.partition("=")[::2] for line in sent.read_text().splitlines()) if sent.exists() else {}
    assert [name for name, value in seen.items() if value.startswith("pypi-")] == []
    assert done.returncode == 1
    assert "evil.example" in done.stderr


@posix
def test_exec_passes_on_an_address_beside_the_token_and_no_passphrase(project: Path, home: Path) -> None:
    make_wheel(project / "dist", "demo", "1.0")
    sent = home / "sent"
    program = write(home / "bin/uv", f"#!/bin/sh\nenv | grep -E '^(UV_PUBLISH|KEYRING_PYPITOKEN)_' > '{sent}'\n")
    program.chmod(0o755)
    environ = {"PATH": f"{program.parent}:/usr/bin:/bin", "KEYRING_PYPITOKEN_PASSPHRASE": "opens the age file"}
    done = start("keyring_pypitoken", "exec", "--", "uv", "publish", cwd=project, environ=environ)
    assert done is not None
    assert done.returncode == 0, done.stderr
    seen = dict(line.partition("=")[::2] for line in sent.read_text().splitlines())
    assert any(value.startswith("pypi-") for value in seen.values())
    assert "KEYRING_PYPITOKEN_PASSPHRASE" not in seen
    assert seen.get("UV_PUBLISH_URL") == "https://upload.pypi.org/legacy/"


@posix
@pytest.mark.parametrize("place", ["the name of the directory", "the name of the project"])
@pytest.mark.parametrize("in_actions", [False, True], ids=["", "Actions"])
def test_names_that_others_chose_are_escaped(place: str, in_actions: bool, project: Path) -> None:
    evil = "a\x1b]0;owned\x07\n::stop-commands::x\r\u202e"
    directory = project / (evil if place == "the name of the directory" else "plain")
    name = "demo" if place == "the name of the directory" else evil
    write(directory / "pypitoken.toml", f'valid-for = "2m"\nprojects = [{json.dumps(name)}]\n')
    write(directory / "pyproject.toml", f"[project]\nname = {json.dumps(name)}\n")
    outcome = get(directory, **({"GITHUB_ACTIONS": "true"} if in_actions else {}))
    assert outcome.kind == ("derived" if place == "the name of the directory" else "refused")
    # From above, so that the directory's name is in the line.
    above = get(project, KEYRING_PYPITOKEN_POLICY=str(directory / "pypitoken.toml"))
    for shown in (outcome.err, above.err):
        assert [line for line in shown.split("\n") if not line.isprintable()] == []
        assert [line for line in shown.split("\n") if line.startswith("::stop")] == []
    if in_actions and outcome.kind == "derived":
        assert outcome.err.startswith(f"::add-mask::{outcome.out.strip()}\n")


def test_very_many_projects_make_a_short_notice(project: Path) -> None:
    write(project / "pypitoken.toml", f"projects = {json.dumps([f'p{n}' for n in range(100_000)])}\n")
    (project / "pyproject.toml").write_text("")
    outcome = get(project)
    assert outcome.kind in ("derived", "refused")
    assert len(outcome.err) < 2000


# What cannot be read is not absent.


def denied(home: Path, path: Path) -> dict[str, str]:
    """The directory may not be searched."""
    return deny(home, path.parent)


def dangling(home: Path, path: Path) -> dict[str, str]:
    """The directory is a link to something that is not mounted."""
    path.parent.rename(home / "moved")
    path.parent.symlink_to(home / "unmounted")
    return {}


def looping(home: Path, path: Path) -> dict[str, str]:
    """The directory is a link to itself."""
    path.parent.rename(home / "moved")
    path.parent.symlink_to(path.parent)
    return {}


@posix
@pytest.mark.parametrize("hide", [denied, dangling, looping])
@pytest.mark.parametrize("place", ["config", "site"])
def test_limits_that_cannot_be_read_are_not_lifted(
    place: str, hide: Callable[[Path, Path], dict[str, str]], project: Path, home: Path
) -> None:
    policy = write(home / place / "keyring-pypitoken/policy.toml", 'max-valid-for = "2m"\nvalid-for = "2m"\n')
    policy.chmod(0o600)
    assert get(project).seconds == 120
    environ = hide(home, policy)
    outcome = get(project, **environ)
    assert (outcome.kind, outcome.seconds) == ("refused", 0)
