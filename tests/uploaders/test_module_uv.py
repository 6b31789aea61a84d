"""What uv's uploader says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sandbox import make_link

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.uploaders import options
from keyring_pypitoken.uploaders import uv as room_of_uv
from keyring_pypitoken.uploaders.legacy import Address
from keyring_pypitoken.uploaders.uploader import RISK, Problem, Process, find_uploader
from keyring_pypitoken.uploaders.uv import UPLOADER

if TYPE_CHECKING:
    from collections.abc import Mapping

READY = {"UV_KEYRING_PROVIDER": "subprocess", "UV_PUBLISH_USERNAME": "__token__"}
URL = "https://upload.pypi.org/legacy/"


@pytest.fixture(autouse=True)
def command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a `keyring` on PATH, and nothing else."""
    program = home / "bin" / ("keyring.exe" if os.name == "nt" else "keyring")
    program.parent.mkdir()
    program.touch(mode=0o700)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("UV_NO_SYSTEM_CONFIG", "1")


def uv(line: str, work: Path, environ: Mapping[str, str] = READY, *, is_parent: bool = False) -> Process:
    return Process("uv", tuple(line.split()), work, {**os.environ, **environ}, is_parent)


def refusal(line: str, work: Path, *, files: bool = False) -> str:
    with pytest.raises(Refusal) as refused:
        (UPLOADER.find_files if files else UPLOADER.find_address)(uv(line, work))
    return str(refused.value)


def problems(line: str, work: Path, environ: Mapping[str, str] = READY) -> list[Problem]:
    process = uv(line, work, environ)
    return UPLOADER.find_problems(process)


def test_is_found_by_its_program() -> None:
    assert find_uploader("uv") is UPLOADER


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("publish", True),
        ("--directory x publish", True),
        ("publish --dry-run", False),
        ("publish --help", False),
        ("pip install publish", False),
        ("", False),
    ],
)
def test_is_uploading(line: str, expected: bool, work: Path) -> None:
    assert UPLOADER.is_uploading(uv(line, work)) is expected


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("publish", {}, "."),
        ("publish --directory a", {}, "a"),
        ("publish --directory a --project b", {}, "a/b"),
        ("publish --project b/pyproject.toml", {}, "b"),
        ("publish", {"UV_WORKING_DIR": "a", "UV_PROJECT": "b"}, "a/b"),
        ("publish", {"UV_WORKING_DIRECTORY": "a"}, "a"),
    ],
)
def test_the_project_it_was_pointed_at(line: str, environ: dict[str, str], expected: str, work: Path) -> None:
    assert UPLOADER.find_project(uv(line, work, environ)) == work / expected


def test_the_keyring_command_is_in_its_directory_already(work: Path) -> None:
    assert UPLOADER.find_project(uv("publish --directory a", work, is_parent=True)) == work


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("publish", ["a-1.0-py3-none-any.whl", "a-1.0.tar.gz"]),
        ("publish dist/a-1.0.tar.gz dist/note.txt", ["a-1.0.tar.gz"]),
        ("publish **/*.whl", ["a-1.0-py3-none-any.whl", "b-1.0-py3-none-any.whl"]),
        ("publish dist/[!b]*.tar.gz none/*", ["a-1.0.tar.gz"]),
        ("publish ./*/../dist/a-1.0.tar.gz", ["a-1.0.tar.gz"]),
    ],
)
def test_files(line: str, expected: list[str], work: Path) -> None:
    for name in (
        "a-1.0-py3-none-any.whl",
        "a-1.0.tar.gz",
        "A-1.0.zip",
        "a-one.tar.gz",
        "note.txt",
        "sub/b-1.0-py3-none-any.whl",
    ):
        (work / "dist" / name).parent.mkdir(exist_ok=True)
        (work / "dist" / name).parent.mkdir(exist_ok=True, parents=True)
        (work / "dist" / name).touch()
    found = UPLOADER.find_files(uv(line, work))
    assert [file.name for file in found] == expected
    assert all(file.is_absolute() and ".." not in file.parts for file in found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("publish x.whl", "'x.whl' does not exist: build it, or correct its name."),
        ("publish", "uv finds no distributions to publish: build them, or name them."),
        ("publish a**", "'a**' is not a valid pattern of file names: correct it."),
        ("publish a[b*", "'a[b*' is not a valid pattern of file names: correct it."),
    ],
)
def test_files_that_are_not_there_are_refused(line: str, message: str, work: Path) -> None:
    assert refusal(line, work, files=True) == message


def test_links_in_a_circle_end(work: Path) -> None:
    (work / "dist").mkdir()
    (work / "dist/a-1.0.tar.gz").touch()
    for name in "abcd":
        (work / name).mkdir()
        make_link(work / name / "loop", work)
    make_link(work / "nowhere", work / "none")
    assert [file.name for file in UPLOADER.find_files(uv("publish **/*.tar.gz", work))] == ["a-1.0.tar.gz"]


def test_a_pattern_that_looks_at_too_much_is_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_MAX_LOOKED_AT", 10)
    for number in range(20):
        (work / f"{number}.whl").touch()
    assert refusal("publish **/*.whl", work, files=True) == (
        "the pattern '**/*.whl' looks at too many files: name a smaller directory."
    )


def test_a_directory_that_cannot_be_read_is_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    (work / "dist").mkdir()
    monkeypatch.setattr(os, "scandir", fail)  # root, as whom tests may run, could read it
    assert refusal("publish", work, files=True) == (
        "a directory that the pattern 'dist/*' looks into cannot be read (permission denied): name another one."
    )


SETTINGS = '[[index]]\nname = "t"\npublish-url = "https://test.pypi.org/legacy/"\n[[index]]\nname = "bare"\n'


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("publish", {}, Address(URL, "", "default")),
        ("publish --publish-url HTTPS://x:y@A.b:443", {}, Address("https://a.b/", "", "--publish-url")),
        (
            "publish",
            {"UV_PUBLISH_URL": "http://[::1]:8/a"},
            Address("http://[::1]:8/a", "", "UV_PUBLISH_URL"),
        ),
        ("publish --index t", {}, Address("https://test.pypi.org/legacy/", "t", "--index")),
        (
            "publish",
            {"UV_PUBLISH_INDEX": "t"},
            Address("https://test.pypi.org/legacy/", "t", "UV_PUBLISH_INDEX"),
        ),
        ("publish --config-file c.toml", {}, Address("https://c/", "", "publish-url in c.toml")),
        ("publish --no-config", {}, Address(URL, "", "default")),
        ("publish", {"UV_NO_CONFIG": "true"}, Address(URL, "", "default")),
    ],
)
def test_address(line: str, environ: dict[str, str], expected: Address, work: Path) -> None:
    (work / "uv.toml").write_text(SETTINGS)
    (work / "c.toml").write_text('publish-url = "https://c"\n')
    assert UPLOADER.find_address(uv(line, work, environ)) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("publish --index no", "uv has no index 'no', which --index names: define it, or correct its name."),
        ("publish --index bare", "the index 'bare' in uv.toml has no publish-url: add it there."),
        ("publish --publish-url x", "the repository URL of --publish-url is not one of http or https: correct it."),
        (
            "publish --publish-url http://x:y",
            "the repository URL of --publish-url is not one of http or https: correct it.",
        ),
    ],
)
def test_an_unknown_address_is_refused(line: str, message: str, work: Path) -> None:
    (work / "uv.toml").write_text(SETTINGS)
    assert refusal(line, work) == message


def test_settings_that_cannot_be_read(work: Path) -> None:
    (work / "uv.toml").mkdir()
    message = "uv.toml is not a regular file: replace it with one."
    assert refusal("publish", work) == message
    assert problems("publish", work) == [Problem("uv.toml is not a regular file", "replace it with one")]


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("publish", READY, [(URL, "__token__"), ("upload.pypi.org", "__token__")]),
        ("publish", {}, []),
        ("publish --token x", READY, []),
        ("publish --keyring-provider disabled", READY, []),
        ("publish --publish-url https://x:y@z/", READY, []),
        (
            "publish --publish-url http://__token__@127.0.0.1:8/a",
            READY,
            [
                (f"{start}127.0.0.1:8{end}", "__token__")
                for start, end in [("http://", "/a"), ("", ""), ("http://", "")]
            ],
        ),
    ],
)
def test_lookups(line: str, environ: dict[str, str], expected: list[tuple[str, str]], work: Path) -> None:
    process = uv(line, work, environ)
    assert UPLOADER.find_lookups(process, UPLOADER.find_address(process)) == tuple(expected)


def taken(origin: str, remedy: str) -> Problem:
    return Problem(f"{origin}, and uv takes it before it asks keyring", remedy)


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("publish", READY, []),
        ("publish --token x", READY, [taken("the option --token is given", "leave out `--token`")]),
        (
            "publish",
            {**READY, "UV_PUBLISH_TOKEN": "x"},
            [taken("the variable UV_PUBLISH_TOKEN is set", "`unset UV_PUBLISH_TOKEN`")],
        ),
        (
            "publish --publish-url https://__token__:y@z/",
            READY,
            [taken("the URL in --publish-url holds a password", "delete it there")],
        ),
        (
            "publish -u x",
            READY,
            [
                Problem(
                    "--username names the user 'x', and uv asks keyring for that user, who has no token",
                    "set the user name in --username to `__token__`",
                )
            ],
        ),
        (
            "publish",
            {},
            [
                Problem("uv has no user name, and asks keyring only with one", "set UV_PUBLISH_USERNAME=__token__"),
                Problem("uv does not ask keyring without a setting", "set UV_KEYRING_PROVIDER=subprocess"),
            ],
        ),
        (
            "publish --trusted-publishing always",
            READY,
            [
                Problem(
                    "--trusted-publishing is always, and uv then refuses to ask keyring",
                    "set it to automatic",
                )
            ],
        ),
        (
            "publish",
            {**READY, "PATH": ""},
            [
                Problem(
                    "the `keyring` command, by which uv asks, is not on PATH",
                    "install keyring-pypitoken, and put it on PATH",
                )
            ],
        ),
    ],
)
def test_problems(line: str, environ: dict[str, str], expected: list[Problem], work: Path) -> None:
    assert problems(line, work, environ) == expected


def sent(file: str, remedy: str) -> Problem:
    return Problem(
        f"{file} holds a credential for upload.pypi.org, and uv sends that if keyring has nothing", remedy, RISK
    )


@pytest.mark.parametrize("variable", ["", "~/nowhere"])
def test_netrc_is_a_problem_if_it_holds_a_password_of_that_user(variable: str, work: Path, home: Path) -> None:
    netrc = home / ".netrc"
    netrc.touch(mode=0o600)
    environ = {**READY, "NETRC": variable} if variable else READY
    netrc.write_text("machine upload.pypi.org login other password x\n")
    assert problems("publish", work, environ) == []
    netrc.write_text("machine upload.pypi.org login __token__ password x\n")
    assert problems("publish", work, environ) == [
        Problem(
            ".netrc holds a password for upload.pypi.org, and uv sends that if keyring has nothing",
            "delete it there",
            RISK,
        )
    ]


@pytest.mark.parametrize(
    ("service", "username", "expected"),
    [
        ('"https://upload.pypi.org"', '"__token__"', True),
        ('"upload.pypi.org/legacy/"', '"__token__"', True),
        ('"https://upload.pypi.org/other"', '"__token__"', False),
        ('"https://test.pypi.org"', '"__token__"', False),
        ('"https://upload.pypi.org"', '"other"', False),
        ("1", '"__token__"', False),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_a_credential_in_uvs_store_is_a_problem(
    service: str,
    username: str,
    expected: bool,
    own: bool,
    work: Path,
    home: Path,
) -> None:
    file = home / "mine/credentials.toml" if own else home / "data/uv/credentials/credentials.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'[[credential]]\nservice = {service}\nusername = {username}\npassword = "x"\n')
    environ = {**READY, "UV_CREDENTIALS_DIR": str(file.parent)} if own else READY
    found = [sent(str(file.relative_to(home)), "`uv auth logout upload.pypi.org`")] if expected else []
    assert problems("publish", work, environ) == found


@pytest.mark.parametrize(("line", "expected"), [("publish", True), ("publish --index x", False)])
def test_variables(line: str, work: Path, expected: bool) -> None:
    (work / "uv.toml").write_text('[[index]]\nname = "x"\nurl = "https://a/"\npublish-url = "https://a/"\n')
    variables = {"UV_PUBLISH_USERNAME": "__token__", "UV_PUBLISH_PASSWORD": "t"}
    target = uv(line, work).target
    assert UPLOADER.variables("t", PYPI, target) == variables | ({"UV_PUBLISH_URL": PYPI.url} if expected else {})


def test_settings_of_a_workspace(work: Path) -> None:
    def write(directory: str, name: str, text: str) -> None:
        (work / directory).mkdir(parents=True, exist_ok=True)
        (work / directory / name).write_text(text)

    root = '[tool.uv]\npublish-url = "https://root/"\n[tool.uv.workspace]\nmembers = ["p/**"]\nexclude = ["p/x*"]\n'
    write("", "pyproject.toml", root)
    for name in ("p/a", "p/xa", "q"):
        write(name, "pyproject.toml", f'[project]\nname = "a"\n[tool.uv]\npublish-url = "https://{Path(name).name}/"\n')
    write("loose", "pyproject.toml", "[build-system]\n")
    write("p/a/nested", "uv.toml", 'publish-url = "https://nested/"\n')
    found = {
        name: UPLOADER.find_address(uv("publish", work / name)).url
        for name in (".", "p/a", "p/a/nested", "p/xa", "q", "loose")
    }
    assert found == {
        ".": "https://root/",
        "p/a": "https://root/",
        "p/a/nested": "https://root/",
        "p/xa": "https://xa/",
        "q": "https://q/",
        "loose": "https://root/",
    }


def test_settings_of_the_machine(work: Path, home: Path) -> None:
    (home / "site/uv").mkdir(parents=True)
    (home / "site/uv/uv.toml").write_text('publish-url = "https://machine/"\n')
    process = uv("publish", work, {**READY, "UV_NO_SYSTEM_CONFIG": "false"})
    assert UPLOADER.find_address(process).url == "https://machine/"


@pytest.mark.parametrize(
    ("environ", "base"),
    [
        ({"APPDATA": "/profile/Roaming", "XDG_CONFIG_HOME": "/elsewhere"}, "/profile/Roaming"),
        ({"USERPROFILE": "/profile", "HOME": "/elsewhere", "APPDATA": ""}, "/profile/AppData/Roaming"),
    ],
)
def test_on_windows_its_files_are_in_the_roaming_profile(environ: dict[str, str], base: str) -> None:
    assert room_of_uv._base(environ, "XDG_CONFIG_HOME", ".config", "nt") == Path(base)


@pytest.mark.skipif(os.name == "nt", reason="makes a directory that is called like a drive")
@pytest.mark.parametrize("environ", [{}, {"SYSTEMDRIVE": "C:"}])
def test_on_windows_the_machines_settings_are_in_programdata(environ: dict[str, str], work: Path) -> None:
    assert work
    assert room_of_uv._system_files(environ, "nt") == []
    file = Path("C:\\ProgramData", "uv", "uv.toml")
    file.parent.mkdir(parents=True)
    file.touch()
    assert room_of_uv._system_files(environ, "nt") == [file]
    assert room_of_uv._system_files({"SYSTEMDRIVE": "D:"}, "nt") == []
