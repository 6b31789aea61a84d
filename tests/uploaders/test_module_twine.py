"""What the uploader of twine says about command lines, variables and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI
from keyring_pypitoken.uploaders.twine import UPLOADER
from keyring_pypitoken.uploaders.uploader import STOP, Problem, Process, all_uploaders, find_uploader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., Process]

PYPIRC = """[distutils]
index-servers = pypi testpypi local secret bare old
[server-login]
username = login
[local]
repository = http://upload.pypi.org/legacy/
[secret]
repository = https://b.example/
username = __token__
password = hunter2
[bare]
password = x
[old]
repository = https://pypi.python.org/pypi
"""


@pytest.fixture
def make(home: Path, work: Path) -> Make:
    (home / ".pypirc").write_text(PYPIRC, encoding="utf-8")

    def make(line: str, program: str = "twine", /, **environ: str) -> Process:
        return Process(program, tuple(line.split()), work, {"HOME": str(home), "USERPROFILE": str(home), **environ})

    return make


def test_the_room_is_found_by_its_program() -> None:
    assert find_uploader("twine") is UPLOADER
    assert UPLOADER in all_uploaders()


@pytest.mark.parametrize("program", ["make", "options", "", "no-identifier", "no.such.module"])
def test_a_program_without_a_room_has_none(program: str) -> None:
    assert find_uploader(program) is None


def test_its_project_is_that_of_the_current_directory(make: Make, work: Path) -> None:
    assert UPLOADER.find_project(make("upload /elsewhere/dist/*")) == work
    assert UPLOADER.find_projects(make("upload demo==1.0")) == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("upload dist/*", True),
        ("--no-color upload dist/*", True),
        ("register x", True),
        ("check dist/*", False),
        ("upload -h", False),
        ("upload -sh x", False),
        ("--version upload x", False),
        ("--help upload x", False),
        ("", False),
    ],
)
def test_upload_and_register_ask_for_a_token(make: Make, line: str, *, expected: bool) -> None:
    assert UPLOADER.is_uploading(make(line)) is expected


def test_files_come_wheels_first_without_what_is_attached(make: Make, work: Path) -> None:
    for name in ("a-1.tar.gz", "a-1.tar.gz.asc", "a-1.tar.gz.publish.attestation", "b.whl", "c.whl"):
        (work / name).touch()
    found = UPLOADER.find_files(make("upload -c note a-1* c.whl b.whl c.whl"))
    assert found == tuple(work / name for name in ("c.whl", "b.whl", "c.whl", "a-1.tar.gz"))


@pytest.mark.parametrize("line", ["upload", "check a.whl", "upload -r a.whl"])
def test_no_files_are_known_if_the_command_line_names_none(make: Make, line: str) -> None:
    assert UPLOADER.find_files(make(line)) is None


@pytest.mark.parametrize("name", ["missing-1.0.tar.gz", "dist/*"])
def test_a_name_that_finds_no_file_is_refused(make: Make, name: str) -> None:
    with pytest.raises(Refusal) as refusal:
        UPLOADER.find_files(make(f"upload {name}"))
    assert str(refusal.value) == f"'{name}' matches no file: correct the name."


def test_an_empty_name_is_not_the_directory(make: Make) -> None:
    with pytest.raises(Refusal) as refusal:
        UPLOADER.find_files(make("upload")._replace(arguments=("upload", "")))
    assert str(refusal.value) == "'' matches no file: correct the name."


def test_another_program_that_runs_twine_names_no_files_but_an_address(make: Make) -> None:
    process = make("upload -r local x", "fullrelease", TWINE_REPOSITORY="testpypi")
    assert UPLOADER.find_files(process) is None
    assert UPLOADER.target(process).address.url == TESTPYPI.url


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("", {}, (PYPI.url, "pypi", "default")),
        ("-r testpypi", {}, (TESTPYPI.url, "testpypi", "--repository")),
        ("", {"TWINE_REPOSITORY": "testpypi"}, (TESTPYPI.url, "testpypi", "TWINE_REPOSITORY")),
        ("-r local", {"TWINE_REPOSITORY": "testpypi"}, (PYPI.url, "local", "~/.pypirc")),
        ("-r local", {"TWINE_REPOSITORY_URL": "https://a.example"}, ("https://a.example", "", "TWINE_REPOSITORY_URL")),
        ("--repository-url https://u:p@a.example:1/x?y", {}, ("https://a.example:1/x?y", "", "--repository-url")),
        ("--repository-url http://test.pypi.org/legacy/", {}, (TESTPYPI.url, "", "--repository-url")),
        ("--repository-url=", {"TWINE_REPOSITORY_URL": "https://a.example"}, (PYPI.url, "pypi", "default")),
        ("--config-file rc -r x", {}, ("https://c.example/", "x", "rc")),
    ],
)
def test_the_address_is_that_of_twine(
    make: Make, work: Path, line: str, environ: dict[str, str], expected: tuple[str, str, str]
) -> None:
    rc = "[distutils]\nindex-servers = x\n[x]\nrepository = https://c.example/\n"
    (work / "rc").write_text(rc, encoding="utf-8")
    address = UPLOADER.target(make(f"upload {line} f", **environ)).address
    assert (address.url, address.name, str(address.source)) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-r nowhere", "~/.pypirc does not define the repository 'nowhere': correct the name, or add it."),
        ("-r bare", "~/.pypirc does not define the repository 'bare': correct the name, or add it."),
        ("--config-file missing", "'missing' does not exist: correct the option that names it."),
        ("--config-file broken", "broken is not a valid INI file (MissingSectionHeaderError): correct it."),
        ("--config-file odd -r x", "the repository URL of odd is not one of http or https: correct it."),
        (
            "--repository-url a.example",
            "the repository URL of --repository-url is not one of http or https: correct it.",
        ),
        (
            "--repository-url HTTPS://a.example",
            "the repository URL of --repository-url is not one of http or https: correct it.",
        ),
    ],
)
def test_settings_at_fault_are_refused_and_reported(make: Make, work: Path, line: str, message: str) -> None:
    (work / "broken").write_text("[a\n", encoding="utf-8")
    (work / "odd").write_text("[distutils]\nindex-servers = x\n[x]\nrepository = https://[\n", encoding="utf-8")
    process = make(f"upload {line} f", TWINE_PASSWORD="x")
    with pytest.raises(Refusal) as refusal:
        UPLOADER.target(process)
    assert str(refusal.value) == message
    reason, _, fix = message.rpartition(": ")
    assert UPLOADER.find_problems(process) == [Problem(reason, fix[:-1])]


A = "https://a.example/"


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("", {}, [(PYPI.url, "__token__")]),
        ("-u bob", {}, [(PYPI.url, "bob")]),
        ("", {"TWINE_USERNAME": ""}, [(PYPI.url, "__token__")]),
        ("-p x", {}, []),
        ("", {"TWINE_PASSWORD": ""}, []),
        (f"--repository-url {A}", {}, [(A, None), (A, "__token__")]),
        (f"--repository-url {A} -p x", {}, [(A, None)]),
        (f"--repository-url {A} -u x", {"TWINE_USERNAME": "y"}, [(A, "x")]),
        ("--repository-url https://me@a.example/", {}, [(A, "me")]),
        ("--repository-url https://me:pw@a.example/", {}, []),
        ("-r secret", {}, []),
        ("-r old", {}, [("https://pypi.python.org/pypi", "login")]),
    ],
)
def test_keyring_is_asked_for_what_is_missing(
    make: Make, line: str, environ: dict[str, str], expected: list[tuple[str, str | None]]
) -> None:
    process = make(f"upload {line} f", **environ)
    assert list(UPLOADER.target(process).lookups) == expected


_STORE = "store that token with `keyring-pypitoken login`, then delete the line `password` there"


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("", {}, []),
        ("-u __token__", {}, []),
        (f"--repository-url {A}", {}, []),
        (
            "-p x",
            {"TWINE_PASSWORD": "y"},
            [("the option --password is given, and twine takes it before it asks keyring", "leave out `--password`")],
        ),
        (
            "",
            {"TWINE_PASSWORD": ""},
            [
                (
                    "the variable TWINE_PASSWORD is set, and twine takes it before it asks keyring",
                    "`unset TWINE_PASSWORD`",
                )
            ],
        ),
        (
            "-r secret",
            {},
            [("~/.pypirc holds a password for [secret], and twine takes it before it asks keyring", _STORE)],
        ),
        (
            "--config-file login",
            {},
            [("login holds a password for [server-login], and twine takes it before it asks keyring", _STORE)],
        ),
        (
            "--repository-url https://__token__:pw@a.example/",
            {},
            [
                (
                    "the URL in --repository-url holds a password, and twine takes it before it asks keyring",
                    "delete it there",
                )
            ],
        ),
        (
            "",
            {"TWINE_USERNAME": "bob"},
            [
                (
                    "TWINE_USERNAME names the user 'bob', and twine asks keyring for that user, who has no token",
                    "set the user name in TWINE_USERNAME to `__token__`",
                )
            ],
        ),
        (
            f"-u= --repository-url {A}",
            {},
            [
                (
                    "--username names the user '', and twine asks keyring for that user, who has no token",
                    "set the user name in --username to `__token__`",
                )
            ],
        ),
        (
            "-r old",
            {},
            [
                (
                    "~/.pypirc names the user 'login', and twine asks keyring for that user, who has no token",
                    "set the user name in ~/.pypirc to `__token__`",
                ),
                (
                    "~/.pypirc names PyPI's old address, which twine refuses",
                    "use https://upload.pypi.org/legacy/ there",
                    STOP,
                ),
            ],
        ),
    ],
)
def test_what_goes_before_keyring_is_reported(
    make: Make, work: Path, line: str, environ: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    (work / "login").write_text("[server-login]\npassword = x\n", encoding="utf-8")
    process = make(f"upload {line} f", **environ)
    assert UPLOADER.find_problems(process) == [Problem(*one) for one in expected]


def test_its_variables_are_taken_by_itself(make: Make) -> None:
    variables = UPLOADER.variables("the-token", TESTPYPI)
    assert variables == {
        "TWINE_USERNAME": "__token__",
        "TWINE_PASSWORD": "the-token",
        "TWINE_REPOSITORY_URL": TESTPYPI.url,
    }
    process = make("upload -r local x", **variables)
    assert UPLOADER.target(process).address.url == TESTPYPI.url
    assert UPLOADER.target(process).takes_address
    assert not UPLOADER.is_saving(process)
