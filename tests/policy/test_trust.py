"""A policy of the user or the machine counts only if nobody else can write it, or anything on the way to it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sandbox import change_owner

from keyring_pypitoken import paths
from keyring_pypitoken.policy import discovery
from keyring_pypitoken.policy.discovery import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import WritePolicy

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files have no POSIX modes and owners here")
ROOT = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root may give files away")
SOMEBODY = 65_534  # a user that is neither root nor the one who tests


@pytest.fixture(autouse=True)
def shared_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every group have other members."""
    monkeypatch.setattr(discovery, "_is_users_group", lambda _: False)


@pytest.fixture(params=["user", "site"])
def write_configured(request: pytest.FixtureRequest, user_policy: WritePolicy, site_policy: WritePolicy) -> WritePolicy:
    """Run the test for the user's policy and for the machine's."""
    return user_policy if request.param == "user" else site_policy


def problem() -> str:
    return str(load_config().problem)


def writable(path: Path) -> str:
    return f"{path} can be written by others, who could loosen the policy: run `chmod go-w {shlex.quote(str(path))}`."


def foreign(path: Path) -> str:
    return f"{path} belongs to another user, who could loosen the policy: run `chown $USER {shlex.quote(str(path))}`."


def test_refuses_a_policy_that_others_may_write(write_configured: WritePolicy) -> None:
    assert problem() == "None"
    for mode in (0o620, 0o602, 0o666, 0o660):
        assert writable(write_configured("", mode)) == problem()
    for mode in (0o600, 0o644, 0o444, 0o755):
        write_configured("", mode)
        assert problem() == "None"


def test_refuses_a_policy_below_a_directory_that_others_may_write(write_configured: WritePolicy) -> None:
    path = write_configured("")
    for directory in list(path.parents)[:3]:
        for mode in (0o770, 0o707):
            directory.chmod(mode)
            assert problem() == writable(directory)
        directory.chmod(0o700)
    path.parent.parent.chmod(0o1777)  # a sticky directory is safe
    assert problem() == "None"


def test_a_group_of_the_user_alone_is_safe_if_nobody_else_may_write(
    write_configured: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_configured("", 0o660)
    path.parent.chmod(0o770)
    monkeypatch.setattr(discovery, "_is_users_group", lambda group: group == path.stat().st_gid)
    assert problem() == "None"
    path.chmod(0o666)
    assert problem() == writable(path)


def test_follows_links_and_judges_all_they_pass(user_policy: WritePolicy, home: Path) -> None:
    path = user_policy("")
    path.unlink()
    for name in ("hop", "settings"):
        (home / name).mkdir(mode=0o700)
    target = home / "settings" / "policy.toml"
    target.touch(mode=0o600)
    (home / "hop" / "link").symlink_to(os.path.join("..", "settings", "policy.toml"))
    path.symlink_to(home / "hop" / "link")
    assert problem() == "None"
    for directory in (home / "hop", home / "hop" / ".." / "settings"):
        directory.chmod(0o777)
        assert problem() == writable(directory)
        directory.chmod(0o700)
    target.chmod(0o666)
    assert problem() == writable(path)


def test_a_link_on_the_way_is_followed_once(user_policy: WritePolicy, home: Path) -> None:
    path = user_policy("")
    (path.parent / "loop").symlink_to(".")
    path.rename(path.with_name("real.toml"))
    path.symlink_to(os.path.join("loop", "loop", "real.toml"))
    assert problem() == "None"
    assert home in path.parents


def test_what_vanishes_meanwhile_is_for_the_reader_to_report(
    user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = user_policy("")
    monkeypatch.setattr(discovery, "_passed", lambda _: [str(path), f"{path}.gone"])
    assert problem() == "None"


@ROOT
def test_refuses_what_belongs_to_somebody_else(write_configured: WritePolicy) -> None:
    path = write_configured("")
    for passed in (path, path.parent, path.parent.parent):
        change_owner(passed, SOMEBODY)
        assert problem() == foreign(passed)
        change_owner(passed, 0)
    link = path.with_name("link.toml")
    path.rename(link)
    path.symlink_to(link.name)
    assert problem() == "None"
    change_owner(path, SOMEBODY, follow_symlinks=False)
    assert problem() == foreign(path)


def test_the_command_that_mends_it_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "it's my config"))
    if sys.platform == "darwin":
        monkeypatch.setenv("HOME", str(tmp_path / "it's my home"))
    path = tmp_path.joinpath(paths.user_policy())
    path.parent.mkdir(parents=True, mode=0o700)
    path.touch()
    path.chmod(0o666)
    command = problem().split("`")[1]
    assert command.startswith("chmod go-w ")
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert problem() == "None"


# Groups


class Entry:
    """A group or a user, as the system describes it."""

    def __init__(self, **facts: object) -> None:
        self.__dict__.update(facts)


@pytest.mark.parametrize(
    ("number", "name", "members", "users", "safe"),
    [
        (7, "me", [], [("me", 7)], True),
        (7, "me", ["me", "root"], [("me", 7), ("other", 8)], True),
        (7, "me", ["me", "other"], [("me", 7)], False),
        (7, "me", [], [("me", 7), ("other", 7)], False),
        (7, "staff", [], [("me", 7)], False),  # its members may be in a directory service
        (7, "staff", ["me"], [], False),
        (0, "wheel", ["other"], [], True),  # root's: its members are made root's own by root
    ],
)
def test_a_group_is_the_users_if_it_bears_the_name_and_has_no_other_member(
    number: int,
    name: str,
    members: list[str],
    users: list[tuple[str, int]],
    safe: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import grp
    import pwd

    if sys.platform == "win32":
        pytest.skip("Windows has other groups")
    monkeypatch.undo()
    monkeypatch.setattr(pwd, "getpwuid", lambda _: Entry(pw_name="me"))
    monkeypatch.setattr(grp, "getgrgid", lambda _: Entry(gr_mem=members, gr_name=name))
    monkeypatch.setattr(pwd, "getpwall", lambda: [Entry(pw_name=user, pw_gid=group) for user, group in users])
    assert discovery._is_users_group(number) is safe


def test_a_group_or_a_user_without_a_name_is_not_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    if sys.platform == "win32":
        pytest.skip("Windows has other groups")
    monkeypatch.undo()
    assert not discovery._is_users_group(3_999_999_999)

    for error in (OSError(5, "the directory service does not answer"), KeyError("no such user")):
        monkeypatch.setattr(pwd, "getpwuid", lambda _, error=error: (_ for _ in ()).throw(error))
        assert not discovery._is_users_group(7)
