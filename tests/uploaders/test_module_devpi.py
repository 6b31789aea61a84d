"""What the uploader of devpi says about command lines and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI
from keyring_pypitoken.uploaders.devpi import UPLOADER
from keyring_pypitoken.uploaders.uploader import Problem, Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., Process]

PYPIRC = """[pypi]
username = __token__
[test]
repository = https://test.pypi.org/legacy/
username = bob
password = hunter2
[nobody]
repository = https://a.example/
[odd]
repository = a.example
username = __token__
"""


@pytest.fixture
def make(home: Path, work: Path) -> Make:
    (home / ".pypirc").write_text(PYPIRC, encoding="utf-8")

    def make(line: str, /) -> Process:
        return Process("devpi", tuple(line.split()), work, {"HOME": str(home), "USERPROFILE": str(home)})

    return make


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("push a==1 pypi:pypi", True),
        ("-v push --index x a==1 pypi:pypi", True),
        ("push a==1 root/dev", False),
        ("push a==1", False),
        ("upload a==1 pypi:pypi", False),
        ("--version push a==1 pypi:pypi", False),
        ("-h push a==1 pypi:pypi", False),
        ("push -vh a==1 pypi:pypi", False),
        ("", False),
    ],
)
def test_push_to_a_section_of_pypirc_asks_for_a_token(make: Make, line: str, *, expected: bool) -> None:
    assert UPLOADER.is_uploading(make(line)) is expected
    assert not UPLOADER.is_saving(make(line))
    assert UPLOADER.find_files(make(line)) is None


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("My_Demo==1.0", ("My_Demo",)),
        ("demo[x]==1.0", ("demo",)),
        ("my-demo-1.0", ("my-demo",)),
        ("my-demo-x", ("my-demo",)),
        ("demo", ()),
        ("demo==1,==2", ()),
        ("demo==1,>=0", ()),
        ("==1.0", ()),
    ],
)
def test_the_release_names_the_project(make: Make, release: str, expected: tuple[str, ...]) -> None:
    assert UPLOADER.find_projects(make(f"push {release} pypi:pypi")) == expected


def test_no_release_names_no_project(make: Make) -> None:
    assert UPLOADER.find_projects(make("push")) == ()
    assert UPLOADER.find_projects(make("install demo==1.0")) == ()


@pytest.mark.parametrize(
    ("line", "expected", "username"),
    [
        ("push a==1 pypi:pypi", (PYPI.url, "pypi", "default"), "__token__"),
        ("push a==1 pypi:x --pypirc rc", (TESTPYPI.url, "x", "rc"), "me"),
    ],
)
def test_the_section_names_the_url_and_the_user(
    make: Make, work: Path, line: str, expected: tuple[str, str, str], username: str
) -> None:
    (work / "rc").write_text(f"[x]\nrepository = {TESTPYPI.url}\nusername = me\n", encoding="utf-8")
    address = UPLOADER.target(make(line)).address
    assert (address.url, address.name, str(address.source)) == expected
    assert UPLOADER.target(make(line)).lookups == ((address.url, username),)


def test_a_password_in_the_section_is_taken_first(make: Make) -> None:
    process = make("push a==1 pypi:test")
    assert UPLOADER.target(process).lookups == ()
    assert UPLOADER.find_problems(process) == [
        Problem(
            "~/.pypirc holds a password for [test], and devpi takes it before it asks keyring",
            "store that token with `keyring-pypitoken login`, then delete the line `password` there",
        ),
        Problem(
            "~/.pypirc names the user 'bob', and devpi asks keyring for that user, who has no token",
            "set the user name in ~/.pypirc to `__token__`",
        ),
    ]


def test_a_section_with_the_user_of_tokens_is_no_problem(make: Make) -> None:
    assert UPLOADER.find_problems(make("push a==1 pypi:pypi")) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "push a==1 root/dev",
            "devpi uploads to an index outside its server only with `push NAME==VERSION pypi:SECTION`: add it.",
        ),
        (
            "push",
            "devpi uploads to an index outside its server only with `push NAME==VERSION pypi:SECTION`: add it.",
        ),
        ("push a==1 pypi:no", "~/.pypirc does not define the repository 'no': correct the name, or add it."),
        (
            "push a==1 pypi:nobody",
            "~/.pypirc has no `username` in [nobody], which devpi needs: add `username = __token__`.",
        ),
        ("push a==1 pypi:x --pypirc rc", "'rc' does not exist: correct the option that names it."),
    ],
)
def test_settings_at_fault_are_refused_and_reported(make: Make, line: str, message: str) -> None:
    with pytest.raises(Refusal) as refusal:
        UPLOADER.target(make(line))
    assert str(refusal.value) == message
    reason, _, fix = message.rpartition(": ")
    assert UPLOADER.find_problems(make(line)) == [Problem(reason, fix[:-1])]


def test_a_section_whose_url_is_not_one_is_refused(make: Make) -> None:
    with pytest.raises(Refusal) as refusal:
        UPLOADER.target(make("push a==1 pypi:odd"))
    assert str(refusal.value) == ("the repository URL of [odd] in ~/.pypirc is not one of http or https: correct it.")


def test_it_takes_no_token_by_a_variable() -> None:
    assert UPLOADER.variables("the-token", PYPI) == {}
