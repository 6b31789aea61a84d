"""What the uploader of maturin says about command lines, variables and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI
from keyring_pypitoken.uploaders.maturin import UPLOADER
from keyring_pypitoken.uploaders.uploader import Problem, Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., Process]

PYPIRC = """[Local]
repository = http://a.example/x ; note
username = __token__
password = hunter2
[testpypi]
username = bob
[odd]
repository = a.example
"""


@pytest.fixture
def make(home: Path, work: Path) -> Make:
    (home / ".pypirc").write_text(PYPIRC, encoding="utf-8")

    def make(line: str, /, **environ: str) -> Process:
        return Process("maturin", tuple(line.split()), work, {"HOME": str(home), "USERPROFILE": str(home), **environ})

    return make


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("upload x.whl", True),
        ("-v upload -r local x.whl", True),
        ("publish", True),
        ("upload", False),
        ("upload -r x.whl", False),
        ("build", False),
        ("", False),
        ("-V upload x.whl", False),
        ("--help publish", False),
        ("publish -vh", False),
    ],
)
def test_publish_and_upload_with_files_upload(make: Make, line: str, *, expected: bool) -> None:
    assert UPLOADER.is_uploading(make(line)) is expected


def test_the_project_is_where_the_manifest_is(make: Make, work: Path) -> None:
    assert UPLOADER.find_project(make("publish -m a/b/../Cargo.toml")) == work / "a"
    assert UPLOADER.find_project(make("publish")) == work
    assert UPLOADER.find_project(make("upload x.whl")) == work


def test_files_are_those_of_the_command_line_in_their_order(make: Make, work: Path) -> None:
    for name in ("b.whl", "a.tar.gz"):
        (work / name).touch()
    assert UPLOADER.find_files(make("upload -u me a.tar.gz b.whl")) == (work / "a.tar.gz", work / "b.whl")
    assert UPLOADER.find_files(make("upload")) is None
    assert UPLOADER.find_files(make("publish b.whl")) is None


@pytest.mark.parametrize("name", ["missing.whl", "*.whl"])
def test_a_file_that_is_not_there_is_refused(make: Make, name: str) -> None:
    with pytest.raises(Refusal) as refusal:
        UPLOADER.find_files(make(f"upload {name}"))
    assert str(refusal.value) == f"'{name}' is not a file: correct the name."


URL = "http://b.example/"


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("publish", {}, (PYPI.url, "pypi", "default")),
        ("upload -r testpypi x", {}, (TESTPYPI.url, "testpypi", "--repository")),
        ("upload -r LOCAL x", {}, ("http://a.example/x", "LOCAL", "~/.pypirc")),
        ("publish -i -r local", {}, ("http://a.example/x", "local", "~/.pypirc")),
        ("publish", {"MATURIN_REPOSITORY": "testpypi"}, (TESTPYPI.url, "testpypi", "MATURIN_REPOSITORY")),
        ("publish", {"MATURIN_REPOSITORY_URL": URL}, (URL, "", "MATURIN_REPOSITORY_URL")),
        ("publish -r testpypi", {"MATURIN_REPOSITORY": "x"}, (TESTPYPI.url, "testpypi", "--repository")),
        (f"publish -r x --repository-url {URL}", {}, (URL, "", "--repository-url")),
        (f"publish --repository-url {URL} -r testpypi", {}, (TESTPYPI.url, "testpypi", "--repository")),
        ("publish --repository-url https://upload.pypi.org/legacy", {}, (PYPI.url, "pypi", "--repository-url")),
    ],
)
def test_the_address_is_that_of_maturin(
    make: Make, line: str, environ: dict[str, str], expected: tuple[str, str, str]
) -> None:
    address = UPLOADER.target(make(line, **environ)).address
    assert (address.url, address.name, str(address.source)) == expected


_BYPASS = Problem(
    "maturin does not ask Python's keyring, so it would not get a restricted token",
    "run `maturin build`, then upload the files with uv or twine",
)


@pytest.mark.parametrize(
    ("line", "environ", "message"),
    [
        (
            "publish -r no",
            {},
            "~/.pypirc does not define the repository 'no': correct the name, or add it.",
        ),
        ("publish -r odd", {}, "the repository URL of ~/.pypirc is not one of http or https: correct it."),
        (
            "publish --repository-url",
            {},
            "the repository URL of --repository-url is not one of http or https: correct it.",
        ),
        (
            "publish -r local",
            {"MATURIN_REPOSITORY_URL": ""},
            "maturin takes --repository or MATURIN_REPOSITORY_URL, not both: leave one out.",
        ),
        (
            f"publish --repository-url {URL}",
            {"MATURIN_REPOSITORY": "local"},
            "maturin takes --repository-url or MATURIN_REPOSITORY, not both: leave one out.",
        ),
        (
            "publish",
            {"MATURIN_REPOSITORY_URL": URL, "MATURIN_REPOSITORY": "local"},
            "maturin takes MATURIN_REPOSITORY or MATURIN_REPOSITORY_URL, not both: leave one out.",
        ),
    ],
)
def test_settings_at_fault_are_refused_and_reported(
    make: Make, line: str, environ: dict[str, str], message: str
) -> None:
    process = make(line, **environ)
    with pytest.raises(Refusal) as refusal:
        UPLOADER.target(process)
    assert str(refusal.value) == message
    reason, _, fix = message.rpartition(": ")
    assert UPLOADER.find_problems(process) == [Problem(reason, fix[:-1])]


def test_it_never_asks_this_package(make: Make) -> None:
    assert UPLOADER.target(make("publish")).lookups == ()
    assert UPLOADER.find_problems(make("publish -r testpypi")) == [_BYPASS]


def test_passwords_that_it_takes_are_reported_too(make: Make) -> None:
    process = make("publish -r local", MATURIN_PYPI_TOKEN="x", MATURIN_PASSWORD="")
    assert UPLOADER.find_problems(process) == [
        Problem(
            "the variable MATURIN_PYPI_TOKEN is set, and maturin takes it before it asks keyring",
            "`unset MATURIN_PYPI_TOKEN`",
        ),
        _BYPASS,
    ]


def test_its_variables_are_taken_by_itself_unless_an_option_names_the_repository(make: Make) -> None:
    variables = UPLOADER.variables("the-token", TESTPYPI)
    assert variables == {"MATURIN_PYPI_TOKEN": "the-token", "MATURIN_REPOSITORY_URL": TESTPYPI.url}
    assert UPLOADER.target(make("publish", **variables)).address.url == TESTPYPI.url
    assert UPLOADER.target(make("publish")).takes_address
    assert not UPLOADER.target(make("publish -r local")).takes_address
    assert not UPLOADER.target(make("publish --repository-url http://a.example/")).takes_address
