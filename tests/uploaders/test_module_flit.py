"""What the uploader of flit says about command lines, variables and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI
from keyring_pypitoken.uploaders.flit import UPLOADER
from keyring_pypitoken.uploaders.uploader import STOP, Problem, Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., Process]

PYPIRC = """[distutils]
index-servers = pypi testpypi local secret odd
[pypi]
username = __token__
[local]
repository = http://upload.pypi.org/legacy/
username = bob
[secret]
repository = https://test.pypi.org/legacy/
username = __token__
password = hunter2
[odd]
repository = a.example
[unlisted]
repository = https://b.example/
"""


@pytest.fixture
def make(home: Path, work: Path) -> Make:
    (home / ".pypirc").write_text(PYPIRC, encoding="utf-8")
    (work / "pyproject.toml").write_text('[project]\nname = "My_Demo"\n', encoding="utf-8")

    def make(line: str, /, **environ: str) -> Process:
        return Process("flit", tuple(line.split()), work, {"HOME": str(home), "USERPROFILE": str(home), **environ})

    return make


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("publish", True),
        ("--debug -fx publish --format wheel", True),
        ("build", False),
        ("", False),
        ("--logo publish", False),
        ("-V publish", False),
        ("publish -h", False),
    ],
)
def test_publish_asks_for_a_token_and_saves_a_typed_one(make: Make, line: str, *, expected: bool) -> None:
    assert UPLOADER.is_uploading(make(line)) is expected
    assert UPLOADER.is_saving(make(line)) is expected


@pytest.mark.parametrize(
    ("line", "directory"),
    [("publish", "."), ("-f sub/x.toml publish", "sub"), ("--ini=../y/x.toml publish", "../y"), ("-f= publish", ".")],
)
def test_the_project_is_where_the_ini_file_is(make: Make, work: Path, line: str, directory: str) -> None:
    assert UPLOADER.find_project(make(line)) == (work / directory).resolve()
    assert UPLOADER.find_files(make(line)) is None
    assert UPLOADER.find_projects(make(line)) == ()


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("publish", {}, (PYPI.url, "pypi", "default")),
        ("publish --repository local", {}, (PYPI.url, "local", "~/.pypirc")),
        ("--repository local publish --repository secret", {}, (TESTPYPI.url, "secret", "~/.pypirc")),
        ("--repository secret publish", {}, (TESTPYPI.url, "secret", "~/.pypirc")),
        ("publish --repository testpypi", {}, (PYPI.url, "testpypi", "--repository")),
        ("publish", {"FLIT_INDEX_URL": TESTPYPI.url}, (TESTPYPI.url, "", "FLIT_INDEX_URL")),
        ("publish --pypirc rc", {}, ("https://c.example/", "pypi", "rc")),
    ],
)
def test_the_address_is_that_of_flit(
    make: Make, work: Path, line: str, environ: dict[str, str], expected: tuple[str, str, str]
) -> None:
    (work / "rc").write_text("[pypi]\nrepository = https://c.example/\n", encoding="utf-8")
    address = UPLOADER.target(make(line, **environ)).address
    assert (address.url, address.name, str(address.source)) == expected


@pytest.mark.parametrize(
    ("line", "environ", "message"),
    [
        (
            "publish --repository unlisted",
            {},
            "~/.pypirc does not define the repository 'unlisted': correct the name, or add it.",
        ),
        (
            "publish --repository local",
            {"FLIT_INDEX_URL": ""},
            "flit takes FLIT_INDEX_URL or --repository, not both: run `unset FLIT_INDEX_URL`, or omit the option.",
        ),
        (
            "publish",
            {"FLIT_INDEX_URL": ""},
            "the repository URL of FLIT_INDEX_URL is not one of http or https: correct it.",
        ),
        (
            "publish --repository odd",
            {},
            "the repository URL of ~/.pypirc is not one of http or https: correct it.",
        ),
        ("publish --pypirc missing", {}, "'missing' does not exist: correct the option that names it."),
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


@pytest.mark.parametrize(
    ("metadata", "project"),
    [
        ('[project]\nname = "My_Demo.x"\n', "my-demo-x"),
        ('[tool.flit.metadata]\nmodule = "my_mod"\ndist-name = "My-Dist"\n', "my-dist"),
        ('[tool.flit.metadata]\nmodule = "my_mod"\n', "my-mod"),
    ],
)
def test_it_asks_for_the_project_then_the_user_then_the_password(
    make: Make, work: Path, metadata: str, project: str
) -> None:
    (work / "pyproject.toml").write_text(metadata, encoding="utf-8")
    process = make("publish --repository local")
    assert UPLOADER.target(process).lookups == (
        (PYPI.url, f"pypi_token:project:{project}"),
        (PYPI.url, "pypi_token:user:bob"),
        (PYPI.url, "bob"),
    )


@pytest.mark.parametrize(
    ("line", "environ"),
    [
        ("publish --repository secret", {}),
        ("publish", {"FLIT_PASSWORD": "x"}),
        ("publish", {"FLIT_USERNAME": ""}),
        ("publish --repository testpypi", {}),
    ],
)
def test_it_asks_nothing_with_a_password_or_without_a_user_name(make: Make, line: str, environ: dict[str, str]) -> None:
    process = make(line, **environ)
    assert UPLOADER.target(process).lookups == ()


@pytest.mark.parametrize("metadata", ["", "[project]\nname = 1\n"])
def test_a_project_without_a_name_is_refused(make: Make, work: Path, metadata: str) -> None:
    (work / "pyproject.toml").write_text(metadata, encoding="utf-8")
    process = make("publish")
    with pytest.raises(Refusal) as refusal:
        UPLOADER.target(process)
    file = work / "pyproject.toml"
    assert str(refusal.value) == f"{file} does not name the project: add `name` to `[project]`."


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("publish", {}, []),
        ("publish --repository local", {}, []),
        ("publish --repository secret", {"FLIT_PASSWORD": ""}, []),
        (
            "publish --repository secret",
            {},
            [
                (
                    "~/.pypirc holds a password for [secret], and flit takes it before it asks keyring",
                    "store that token with `keyring-pypitoken login`, then delete the line `password` there",
                )
            ],
        ),
        (
            "publish --repository secret",
            {"FLIT_PASSWORD": "x"},
            [("the variable FLIT_PASSWORD is set, and flit takes it before it asks keyring", "`unset FLIT_PASSWORD`")],
        ),
        (
            "publish --repository testpypi",
            {},
            [
                (
                    "flit has no user name, and asks for one before it asks keyring",
                    "`export FLIT_USERNAME=__token__`",
                    STOP,
                )
            ],
        ),
    ],
)
def test_what_goes_before_keyring_is_reported(
    make: Make, line: str, environ: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    process = make(line, **environ)
    assert UPLOADER.find_problems(process) == [Problem(*one) for one in expected]


def test_its_variables_are_taken_by_itself_unless_an_option_names_the_repository(make: Make) -> None:
    variables = UPLOADER.variables("the-token", TESTPYPI)
    assert variables == {"FLIT_USERNAME": "__token__", "FLIT_PASSWORD": "the-token", "FLIT_INDEX_URL": TESTPYPI.url}
    assert UPLOADER.target(make("publish", **variables)).address.url == TESTPYPI.url
    assert UPLOADER.target(make("publish")).takes_address
    assert not UPLOADER.target(make("publish --repository local")).takes_address
