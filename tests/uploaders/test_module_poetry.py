"""What poetry's uploader says."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.uploaders import uploader
from keyring_pypitoken.uploaders.legacy import Address
from keyring_pypitoken.uploaders.poetry import UPLOADER
from keyring_pypitoken.uploaders.settings import DEFAULT
from keyring_pypitoken.uploaders.uploader import Problem, Process, Target, find_uploader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

URL = "https://upload.pypi.org/legacy/"
CHECK = ("python-poetry-check", "python-poetry")
EMPTY = "__poetry_source_empty_username__"


@pytest.fixture(autouse=True)
def project(work: Path) -> None:
    """Make a project."""
    (work / "pyproject.toml").write_text(
        '[project]\nname = "My.Pkg"\n[[tool.poetry.source]]\nname = "s"\nurl = "https://s/"\n'
    )


def poetry(line: str, work: Path, environ: Mapping[str, str]) -> Process:
    return Process("poetry", tuple(line.split()), work, {**os.environ, **environ})


def refusal(ask: Callable[[Process], object], line: str, work: Path) -> str:
    with pytest.raises(Refusal) as refused:
        ask(poetry(line, work, {}))
    return str(refused.value)


def test_is_found_by_its_program() -> None:
    assert find_uploader("poetry") is UPLOADER


@pytest.mark.parametrize(
    ("line", "uploads", "saves"),
    [
        ("publish", True, False),
        ("publish --help", False, False),
        ("build", False, False),
        ("config pypi-token.pypi x", False, True),
        ("config http-basic.pypi x", False, True),
        ("config pypi-token.pypi --unset", False, False),
        ("config keyring.enabled true", False, False),
        ("", False, False),
    ],
)
def test_what_it_does(line: str, uploads: bool, saves: bool, work: Path) -> None:
    assert (UPLOADER.is_uploading(poetry(line, work, {})), UPLOADER.is_saving(poetry(line, work, {}))) == (
        uploads,
        saves,
    )


def test_its_own_process_is_in_its_directory_already(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "a").mkdir()
    (work / "a/pyproject.toml").touch()
    assert UPLOADER.find_project(poetry("-C a publish", work, {})) == work / "a"
    monkeypatch.setitem(sys.modules, "poetry", sys)
    assert UPLOADER.find_project(poetry("-C a publish", work, {})) == work


def test_files_are_those_of_the_latest_version(work: Path) -> None:
    (work / "dist").mkdir()
    for name in ("my_pkg-1.0.tar.gz", "my_pkg-10-py3-none-any.whl", "my_pkg-10.tar.gz", "other-11.tar.gz"):
        (work / "dist" / name).touch()
    found = UPLOADER.find_files(poetry("publish", work, {})) or ()
    assert [file.name for file in found] == ["my_pkg-10.tar.gz", "my_pkg-10-py3-none-any.whl"]
    (work / "one").mkdir()
    (work / "one/my_pkg-1.0.tar.gz").touch()
    assert UPLOADER.find_files(poetry("publish --dist-dir one", work, {})) == (work / "one/my_pkg-1.0.tar.gz",)
    assert UPLOADER.find_files(poetry("publish --build", work, {})) is None
    (work / "dist/my_pkg-first.tar.gz").touch()
    assert refusal(UPLOADER.find_files, "publish", work) == (
        "the versions of the files in dist cannot be compared ('1.0', '10', 'first'): remove those that are not to be "
        "published."
    )


def test_files_that_are_not_there_are_refused(work: Path) -> None:
    message = "poetry finds no files to publish in dist: build them, or name their directory."
    assert refusal(UPLOADER.find_files, "publish", work) == message
    (work / "pyproject.toml").write_text("")
    assert (
        refusal(UPLOADER.find_files, "publish", work) == "poetry finds no project name in pyproject.toml: add it there."
    )


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("publish", {}, Address(URL, "pypi", "default")),
        ("publish -r x", {}, Address("https://x/legacy/", "x", "repositories.x.url in poetry.toml")),
        ("publish -r s", {}, Address("https://s/", "s", "tool.poetry.source in pyproject.toml")),
        (
            "publish -r x",
            {"POETRY_REPOSITORIES_X_URL": "https://y/"},
            Address("https://y/", "x", "POETRY_REPOSITORIES_X_URL"),
        ),
    ],
)
def test_address(line: str, environ: dict[str, str], expected: Address, work: Path) -> None:
    (work / "poetry.toml").write_text('[repositories.x]\nurl = "https://x/legacy"\n[repositories.bad]\nurl = "x"\n')
    assert UPLOADER.find_address(poetry(line, work, environ)) == expected
    assert refusal(UPLOADER.find_address, "publish -r bad", work) == (
        "the repository URL of repositories.bad.url in poetry.toml is not one of http or https: correct it."
    )
    assert refusal(UPLOADER.find_address, "publish -r none", work) == (
        "poetry has no repository 'none': define it with `poetry config repositories.NAME URL`, or correct its name."
    )


SERVICE = "poetry-repository-pypi"
TOKEN = "pypi-token.pypi in poetry.toml holds a password, and poetry takes it before it asks keyring"
OFF = "`poetry config keyring.enabled true`"


@pytest.mark.parametrize(
    ("line", "environ", "settings", "lookups", "expected"),
    [
        ("publish", {}, "", [(SERVICE, EMPTY), (URL, None), ("upload.pypi.org", None)], []),
        ("publish", {}, "[http-basic.pypi]\nusername = 'u'\npassword = 'p'\n", [], []),
        (
            "publish -u x -p y", {}, "", None,
            [Problem("the option --password is given, and poetry takes it before it asks keyring",
                     "leave out `--password`"),
             Problem("--username names the user 'x', and poetry asks keyring for that user, who has no token",
                     "set the user name in --username to `__token__`")],
        ),
        (
            "publish", {"POETRY_PYPI_TOKEN_PYPI": "x"}, "", None,
            [Problem("the variable POETRY_PYPI_TOKEN_PYPI is set, and poetry takes it before it asks keyring",
                     "`unset POETRY_PYPI_TOKEN_PYPI`")],
        ),
        (
            "publish", {}, "[pypi-token]\npypi = 'x'\n", None,
            [Problem(TOKEN, "store that token with `keyring-pypitoken login`, then delete it there")],
        ),
        (
            "publish", {}, "[keyring]\nenabled = false\n", None,
            [Problem("keyring.enabled in poetry.toml is false, so poetry does not ask keyring", OFF)],
        ),
        (
            "publish", {"POETRY_KEYRING_ENABLED": "no"}, "", None,
            [Problem("POETRY_KEYRING_ENABLED is false, so poetry does not ask keyring", OFF)],
        ),
    ],
)  # fmt: skip
def test_lookups_and_problems(
    line: str,
    environ: dict[str, str],
    settings: str,
    lookups: list[tuple[str, str | None]] | None,
    expected: list[Problem],
    work: Path,
) -> None:
    (work / "poetry.toml").write_text(settings)
    process = poetry(line, work, environ)
    address = UPLOADER.find_address(process)
    wanted = () if lookups is None else (CHECK, (SERVICE, "__token__"), *lookups)
    assert UPLOADER.find_lookups(process, address) == wanted
    assert UPLOADER.find_problems(process) == expected


def test_a_password_for_another_repository_comes_before_its_url(work: Path) -> None:
    (work / "poetry.toml").write_text("[repositories.x]\nurl = 'https://x/'\n[http-basic.x]\npassword = 'p'\n")
    process = poetry("publish -r x", work, {})
    assert UPLOADER.find_problems(process) == [
        Problem(
            "http-basic.x.password in poetry.toml is set, and poetry takes it before it asks keyring for the URL",
            "remove it there",
        )
    ]


def test_settings_that_cannot_be_read(work: Path) -> None:
    (work / "own").mkdir()
    (work / "own/auth.toml").mkdir()
    process = poetry("publish", work, {"POETRY_CONFIG_DIR": "own"})
    with pytest.raises(Refusal):
        UPLOADER.find_address(process)
    (found,) = UPLOADER.find_problems(process)
    assert found == Problem("work/own/auth.toml is not a regular file", "replace it with one")


def test_variables() -> None:
    assert UPLOADER.variables("t", PYPI) == {"POETRY_PYPI_TOKEN_PYPI": "t"}
    assert UPLOADER.variables("t", PYPI, Target(uploader.Address(PYPI.url, "my-own", DEFAULT))) == {
        "POETRY_PYPI_TOKEN_MY_OWN": "t",
        "POETRY_REPOSITORIES_MY_OWN_URL": PYPI.url,
    }
