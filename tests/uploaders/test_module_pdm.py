"""The uploader of pdm: what its command line, variables and settings mean."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import TESTPYPI
from keyring_pypitoken.uploaders.legacy import Address
from keyring_pypitoken.uploaders.pdm import UPLOADER
from keyring_pypitoken.uploaders.uploader import Problem, Process, find_uploader

PYPI = "https://upload.pypi.org/legacy/"
TEST = "https://test.pypi.org/legacy/"
STORE = "store that token with `keyring-pypitoken login`, then delete it there"


def pdm(line: str = "publish", directory: Path | None = None, variables: dict[str, str] | None = None) -> Process:
    """Return a run of pdm."""
    return Process("pdm", tuple(line.split()), directory or Path.cwd(), {**os.environ, **(variables or {})})


def write(file: Path, text: str = "") -> Path:
    """Write a file and the directories above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_is_found_by_its_name() -> None:
    assert find_uploader("pdm") is UPLOADER
    assert UPLOADER.kept_services == ("pdm-repository-",)


@pytest.mark.parametrize(
    ("line", "uploads", "saves"),
    [
        ("publish", True, False),
        ("-c publish publish --no-build", True, False),
        ("-c publish build", False, False),
        ("config repository.pypi.password x", False, True),
        ("", False, False),
        ("publish -h", False, False),
        ("-V publish", False, False),
        ("--pep582 publish", False, False),
    ],
)
def test_uploads_with_publish_and_saves_with_config(line: str, uploads: bool, saves: bool) -> None:
    assert (UPLOADER.is_uploading(pdm(line)), UPLOADER.is_saving(pdm(line))) == (uploads, saves)


@pytest.mark.parametrize(
    ("line", "variables", "directory", "expected"),
    [
        ("publish", {}, ".", "."),
        ("publish", {}, "inside/deep", "inside"),
        ("publish", {}, "..", ".."),
        ("publish --proj=inside/deep", {}, ".", "inside/deep"),
        ("publish", {"PDM_PROJECT": "inside/../inside"}, ".", "inside"),
        ("publish -p inside", {"PDM_PROJECT": "deep"}, ".", "inside"),
        ("publish --project=", {"PDM_PROJECT": "inside"}, ".", "."),
    ],
)
def test_project_is_the_one_named_else_the_nearest(
    work: Path, line: str, variables: dict[str, str], directory: str, expected: str
) -> None:
    write(work / "inside" / "pyproject.toml")
    (work / "inside" / "deep").mkdir()
    found = UPLOADER.find_project(pdm(line, (work / directory).resolve(), variables=variables))
    assert found == (work / expected).resolve()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("publish", None),
        ("publish -d dist", None),
        ("publish --no-build", ["dist/b-1.whl", "dist/a-1.tar.bz2", "dist/a-1.tar.gz", "dist/a-1.zip"]),
        ("publish --no-b --dest more", ["more/a-1.whl"]),
        ("publish --no-build -d none", []),
    ],
)
def test_files_are_those_in_the_directory_unless_pdm_builds_them(
    work: Path, line: str, expected: list[str] | None
) -> None:
    write(work / "pyproject.toml")
    for name in ("a-1.tar.gz", "a-1.tar.gz.asc", "b-1.whl", "a-1.zip", "a-1.tar.bz2"):
        write(work / "dist" / name)
    write(work / "more" / "a-1.whl")
    (work / "none").mkdir()
    for directory in (work, work / "none"):
        found = UPLOADER.find_files(pdm(line, directory))
        assert found == (None if expected is None else tuple(work / name for name in expected))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("publish --no-build", "dist is not a directory, and pdm has nothing to upload: build there first."),
        ("publish --no-build -d mixed", "mixed holds 'notes.txt', which pdm refuses to upload: remove it."),
        ("publish --no-build --dest=", ". holds 'mixed', which pdm refuses to upload: remove it."),
    ],
)
def test_what_pdm_would_fail_at_is_refused(work: Path, line: str, expected: str) -> None:
    write(work / "mixed" / "notes.txt")
    with pytest.raises(Refusal) as refused:
        UPLOADER.find_files(pdm(line))
    assert str(refused.value) == expected


SETTINGS = {
    "config/pdm/config.toml": '[repository]\na = {url = "https://a.example/", username = "bob"}\nlist = []\n'
    '[repository.site]\nusername = "carol"\n[repository.half]\npassword = "secret"\n',
    "site/pdm/config.toml": '[repository.site]\nurl = "https://site.example/"\n'
    '[repository.other]\nurl = "https://other.example/"\n',
    "work/pdm.toml": '[repository.half]\nurl = "https://half.example/"\n[repository.pypi]\nusername = "__token__"\n',
}


@pytest.fixture
def settings(home: Path) -> None:
    """Write settings of the user, the site and the project."""
    for name, text in SETTINGS.items():
        write(home / name, text)


def test_on_windows_settings_are_below_the_name_of_an_author_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pdm names no author, for whom platformdirs takes the program's own name then: pdm/project/config.py, core.py."""
    import platformdirs.windows

    roots = {"CSIDL_LOCAL_APPDATA": home / "Local", "CSIDL_COMMON_APPDATA": home / "ProgramData"}
    monkeypatch.setattr(platformdirs, "PlatformDirs", platformdirs.windows.Windows)
    monkeypatch.setattr(platformdirs.windows, "get_win_folder", lambda name: str(roots[name]))
    write(home / "Local" / "pdm" / "pdm" / "config.toml", '[repository.a]\nurl = "https://a.example/"\n')
    write(home / "ProgramData" / "pdm" / "pdm" / "config.toml", '[repository.b]\nurl = "https://b.example/"\n')
    assert [UPLOADER.find_address(pdm(f"publish -r {name}")).url for name in "ab"] == [
        "https://a.example/",
        "https://b.example/",
    ]


@pytest.mark.parametrize(
    ("line", "variables", "expected"),
    [
        ("publish", {}, Address(PYPI, "pypi", "default")),
        ("publish -r testpypi", {}, Address(TEST, "testpypi", "--repository")),
        ("publish", {"PDM_PUBLISH_REPO": "testpypi"}, Address(TEST, "testpypi", "PDM_PUBLISH_REPO")),
        ("publish -vr pypi", {"PDM_PUBLISH_REPO": "testpypi"}, Address(PYPI, "pypi", "--repository")),
        ("publish --repository=", {"PDM_PUBLISH_REPO": "testpypi"}, Address(TEST, "testpypi", "PDM_PUBLISH_REPO")),
        (f"publish --repo {PYPI}", {}, Address(PYPI, "__unknown__", "--repository")),
        ("publish -r a", {}, Address("https://a.example/", "a", "--repository")),
        ("publish -r https://a.example/", {}, Address("https://a.example/", "__unknown__", "--repository")),
        ("publish -r half", {}, Address("https://half.example/", "half", "--repository")),
        ("publish -r https://half.example/", {}, Address("https://half.example/", "half", "--repository")),
        ("publish -r other", {}, Address("https://other.example/", "other", "--repository")),
    ],
)
@pytest.mark.usefixtures("settings")
def test_address_is_that_of_options_variables_and_settings(
    line: str, variables: dict[str, str], expected: Address
) -> None:
    assert UPLOADER.find_address(pdm(line, variables=variables)) == expected


@pytest.mark.parametrize("name", ["unknown", "site", "list"])
@pytest.mark.usefixtures("settings")
def test_a_repository_without_a_url_is_refused(name: str) -> None:
    with pytest.raises(Refusal) as refused:
        UPLOADER.find_address(pdm(f"publish -r {name}"))
    assert str(refused.value) == (
        f"--repository names the repository '{name}', which has no URL: use `pypi`, `testpypi` or a URL, or run "
        "`pdm config repository.NAME.url URL`."
    )


def test_another_settings_file_may_be_named(work: Path) -> None:
    write(work / "other.toml", '[repository.pypi]\nurl = "https://a.example/"\n')
    for process in (pdm("-c other.toml publish"), pdm(variables={"PDM_CONFIG_FILE": str(work / "other.toml")})):
        assert UPLOADER.find_address(process) == Address("https://a.example/", "pypi", "default")


def test_arguments_in_the_projects_settings_come_first(work: Path) -> None:
    write(work / "pyproject.toml", '[tool.pdm.options]\npublish = ["--no-build", "-r", "testpypi", "-p", "other"]\n')
    write(work / "dist" / "a-1.whl")
    assert UPLOADER.find_address(pdm()) == Address(TEST, "testpypi", "--repository")
    assert UPLOADER.find_address(pdm("publish -r pypi")) == Address(PYPI, "pypi", "--repository")
    assert UPLOADER.find_files(pdm()) == (work / "dist" / "a-1.whl",)
    assert UPLOADER.find_project(pdm()) == work


@pytest.mark.parametrize("value", ['"--no-build"', "[1]", "1"])
def test_arguments_that_are_not_strings_are_refused(work: Path, value: str) -> None:
    write(work / "pyproject.toml", f"[tool.pdm.options]\npublish = {value}\n")
    with pytest.raises(Refusal) as refused:
        UPLOADER.find_files(pdm())
    expected = "`tool.pdm.options.publish` in pyproject.toml is not an array of strings: correct it there."
    assert str(refused.value) == expected


def first(what: str, remedy: str) -> Problem:
    """Return the problem of what pdm takes before it asks keyring."""
    return Problem(f"{what}, and pdm takes it before it asks keyring", remedy)


def other(user: str, where: str) -> Problem:
    """Return the problem of another user name."""
    return Problem(
        f"{where} names the user '{user}', and pdm asks keyring for that user, who has no token",
        f"set the user name in {where} to `__token__`",
    )


def keys(user: str | None, *services: str) -> tuple[tuple[str, str | None], ...]:
    """Return the lookups for services: by the user name, then, without one, for a token."""
    users = (user,) if user is not None else (None, "__token__")
    return tuple((service, user) for service in services for user in users)


HOST = "upload.pypi.org"


@pytest.mark.parametrize(
    ("line", "variables", "lookups", "problems"),
    [
        ("publish -r testpypi", {}, keys(None, "pdm-repository-testpypi", TEST, "test.pypi.org"), []),
        ("publish", {}, keys("__token__", "pdm-repository-pypi", PYPI, HOST), []),
        (f"publish -r {PYPI}", {}, keys(None, "pdm-repository-__unknown__", PYPI, HOST), []),
        ("publish -u bob", {}, keys("bob", "pdm-repository-pypi", PYPI, HOST), [other("bob", "--username")]),
        (
            "publish -r testpypi",
            {"PDM_PUBLISH_USERNAME": "bob"},
            keys("bob", "pdm-repository-testpypi", TEST, "test.pypi.org"),
            [other("bob", "PDM_PUBLISH_USERNAME")],
        ),
        (
            "publish -r a",
            {},
            keys("bob", "pdm-repository-a", "https://a.example/", "a.example"),
            [other("bob", "../config/pdm/config.toml")],
        ),
        ("publish -u __token__ -P secret", {}, (), [first("the option --password is given", "leave out `--password`")]),
        (
            "publish -r testpypi",
            {"PDM_PUBLISH_PASSWORD": "secret"},
            keys(None, "pdm-repository-testpypi"),
            [first("the variable PDM_PUBLISH_PASSWORD is set", "`unset PDM_PUBLISH_PASSWORD`")],
        ),
        (
            "publish -r half",
            {},
            keys(None, "pdm-repository-half"),
            [first("../config/pdm/config.toml holds a password", STORE)],
        ),
        (
            "publish -r https://alice:secret@b.example/",
            {},
            keys(None, "pdm-repository-__unknown__"),
            [first("the URL in --repository holds a password", "delete it there")],
        ),
        (
            "publish",
            {"PDM_PUBLISH_USERNAME": "", "PDM_PUBLISH_REPO": "testpypi"},
            keys("", "pdm-repository-testpypi", TEST, "test.pypi.org"),
            [],
        ),
    ],
)
@pytest.mark.usefixtures("settings")
def test_credentials_of_options_variables_and_settings(
    line: str,
    variables: dict[str, str],
    lookups: tuple[tuple[str, str | None], ...],
    problems: list[Problem],
) -> None:
    process = pdm(line, variables=variables)
    address = UPLOADER.find_address(process)
    assert UPLOADER.find_lookups(process, address) == lookups
    assert UPLOADER.find_problems(process) == problems


def test_settings_that_cannot_be_read_are_a_problem(work: Path) -> None:
    (work / "pdm.toml").mkdir()
    problem = Problem("pdm.toml is not a regular file", "replace it with one")
    assert UPLOADER.find_problems(pdm()) == [problem]


def test_variables_hand_over_a_token_and_its_address() -> None:
    assert UPLOADER.variables("pypi-token", TESTPYPI) == {
        "PDM_PUBLISH_USERNAME": "__token__",
        "PDM_PUBLISH_PASSWORD": "pypi-token",
        "PDM_PUBLISH_REPO": TEST,
    }
