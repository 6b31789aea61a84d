"""The uploader of hatch: what its command line, variables and settings mean."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import TESTPYPI
from keyring_pypitoken.uploaders.hatch import UPLOADER
from keyring_pypitoken.uploaders.legacy import Address
from keyring_pypitoken.uploaders.uploader import Problem, Process, find_uploader

PYPI = "https://upload.pypi.org/legacy/"
TEST = "https://test.pypi.org/legacy/"
STORE = "store that token with `keyring-pypitoken login`, then delete it there"


def hatch(line: str = "publish", directory: Path | None = None, variables: dict[str, str] | None = None) -> Process:
    """Return a run of hatch."""
    return Process("hatch", tuple(shlex.split(line)), directory or Path.cwd(), {**os.environ, **(variables or {})})


def write(file: Path, text: str = "") -> Path:
    """Write a file and the directories above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def config(home: Path) -> Path:
    """Return the user's settings file, which is there and empty."""
    return write(home / "config" / "hatch" / "config.toml")


def test_is_found_by_its_name() -> None:
    assert find_uploader("hatch") is UPLOADER
    assert UPLOADER.kept_services == ("main", "test")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("publish", True),
        ("-v publish -n", True),
        ("-e publish version", False),
        ("build", False),
        ("", False),
        ("publish -h", False),
        ("--version publish", False),
    ],
)
def test_uploads_and_saves_with_publish_alone(line: str, expected: bool) -> None:
    assert UPLOADER.is_uploading(hatch(line)) is expected
    assert UPLOADER.is_saving(hatch(line)) is expected


@pytest.mark.parametrize(
    ("line", "variables", "expected"),
    [
        ("publish", {}, Address(PYPI, "main", "default")),
        ("publish -r test", {}, Address(TEST, "test", "--repo")),
        ("publish", {"HATCH_INDEX_REPO": "test"}, Address(TEST, "test", "HATCH_INDEX_REPO")),
        ("publish -nr main", {"HATCH_INDEX_REPO": "test"}, Address(PYPI, "main", "--repo")),
        ("publish --repo=https://a.example/", {}, Address("https://a.example/", "", "--repo")),
        ("publish -p index", {}, Address(PYPI, "main", "default")),
    ],
)
def test_address_is_that_of_options_then_variables(line: str, variables: dict[str, str], expected: Address) -> None:
    assert UPLOADER.find_address(hatch(line, variables=variables)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[publish.index]\nrepo = "test"', Address(TEST, "test", "../config/hatch/config.toml")),
        (
            '[publish.index]\nrepo = "a"\nrepos.a = "https://a.example/"',
            Address("https://a.example/", "a", "../config/hatch/config.toml"),
        ),
        (
            '[publish.index]\nrepo = "a"\nrepos.a.url = "https://a.example/"',
            Address("https://a.example/", "a", "../config/hatch/config.toml"),
        ),
        ('[publish.index.repos.main]\nurl = "https://a.example/"', Address(PYPI, "main", "default")),
        ('publish = "none"', Address(PYPI, "main", "default")),
    ],
)
def test_address_is_that_of_the_settings(config: Path, text: str, expected: Address) -> None:
    config.write_text(text)
    assert UPLOADER.find_address(hatch()) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "publish -r pypi",
            (
                "--repo names the repository 'pypi', which hatch does not know: use `main`, `test`, a URL, or a name "
                "in `publish.index.repos` of ../config/hatch/config.toml."
            ),
        ),
        ("publish -p mine", "--publisher names the plugin 'mine' of hatch, which is unknown: use `index`."),
        ("--config none.toml publish", "'none.toml' does not exist: name hatch's settings file."),
        (
            "--config broken.toml publish",
            ("broken.toml:1:8 is not valid TOML: expected '=' after a key in a key/value pair; correct it there."),
        ),
    ],
)
def test_unknown_addresses_are_refused(work: Path, line: str, expected: str) -> None:
    write(work / "broken.toml", "broken text")
    with pytest.raises(Refusal) as refused:
        UPLOADER.find_address(hatch(line))
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("line", "directory", "expected"),
    [
        ("publish", ".", "."),
        ("publish", "inside/deep", "inside"),
        ("publish", "..", ".."),
        ("-p inside publish", "..", "inside"),
        ("-p table publish", ".", "inside"),
        ("-p deep publish", ".", "inside"),
        ("-p found publish", ".", "more/found"),
    ],
)
def test_project_is_the_one_named_else_the_root_above(
    work: Path, config: Path, line: str, directory: str, expected: str
) -> None:
    for name in ("inside/pyproject.toml", "more/found/setup.py", "inside/deep/notes.txt"):
        write(work / name)
    root = work.as_posix()
    config.write_text(
        f'[dirs]\nproject = ["", "{root}", "{root}/more"]\n[projects]\ninside = "{root}/inside"\nempty = ""\n'
        f'table.location = "{root}/inside"\ndeep = "{root}/inside/deep"\n'
    )
    assert UPLOADER.find_project(hatch(line, (work / directory).resolve())) == (work / expected).resolve()


@pytest.mark.parametrize("name", ["unknown", "empty", "nowhere"])
def test_unknown_projects_are_refused(work: Path, config: Path, name: str) -> None:
    config.write_text(f'[projects]\nempty = ""\nnowhere = "{work.as_posix()}/nowhere"\n')
    for process, origin in (
        (hatch(f"-p {name} publish"), "--project"),
        (hatch(variables={"HATCH_PROJECT": name}), "HATCH_PROJECT"),
    ):
        with pytest.raises(Refusal) as refused:
            UPLOADER.find_project(process)
        expected = f"hatch cannot find the project '{name}' that {origin} names: correct the name."
        assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("mode", "project", "directory", "expected"),
    [
        ("local", "named", ".", "."),
        ("project", "named", "root", "named"),
        ("project", "plain", "root", "plain"),
        ("project", "unknown", "root", "root"),
        ("aware", "named", "root", "root"),
        ("aware", "named", ".", "named"),
        ("aware", "", ".", "."),
    ],
)
def test_mode_chooses_the_project(
    work: Path, config: Path, mode: str, project: str, directory: str, expected: str
) -> None:
    write(work / "named" / "pyproject.toml")
    write(work / "root" / "pyproject.toml")
    (work / "plain").mkdir()
    root = work.as_posix()
    config.write_text(
        f'mode = "{mode}"\nproject = "{project}"\n[projects]\nnamed = "{root}/named"\nplain = "{root}/plain"\n'
    )
    assert UPLOADER.find_project(hatch(directory=(work / directory).resolve())) == (work / expected).resolve()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("publish", ["dist/a-1.whl", "dist/a-1.tar.gz"]),
        ("publish dist more/b-1.whl dist/a-1.tar.gz", ["dist/a-1.whl", "dist/a-1.tar.gz", "more/b-1.whl"]),
        ("publish dist/notes.txt", []),
        ("publish -nu dist more", ["more/b-1.whl"]),
    ],
)
def test_files_are_those_named_from_the_root_of_the_project(work: Path, line: str, expected: list[str]) -> None:
    for name in ("dist/a-1.whl", "dist/a-1.tar.gz", "dist/a-1.tar.gz.asc", "dist/notes.txt", "more/b-1.whl"):
        write(work / name)
    write(work / "pyproject.toml")
    (work / "deep").mkdir()
    for directory in (work, work / "deep"):
        found = UPLOADER.find_files(hatch(line, directory))
        assert sorted(found) == sorted(work / name for name in expected)


def test_no_files_are_found_before_something_is_built() -> None:
    assert UPLOADER.find_files(hatch()) == ()


def test_a_named_file_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        UPLOADER.find_files(hatch("publish dist/a-1.whl"))
    expected = "dist/a-1.whl does not exist: name files and directories from the root of hatch's project."
    assert str(refused.value) == expected


def ask(process: Process) -> tuple[tuple[tuple[str, str | None], ...], list[Problem]]:
    """Return what a run asks keyring for, and its problems."""
    address = UPLOADER.find_address(process)
    return UPLOADER.find_lookups(process, address), UPLOADER.find_problems(process)


def first(what: str, remedy: str) -> Problem:
    """Return the problem of what hatch takes before it asks keyring."""
    return Problem(f"{what}, and hatch takes it before it asks keyring", remedy)


def other(user: str, where: str) -> Problem:
    """Return the problem of another user name."""
    return Problem(
        f"{where} names the user '{user}', and hatch asks keyring for that user, who has no token",
        f"set the user name in {where} to `__token__`",
    )


@pytest.mark.parametrize(
    ("line", "variables", "user", "problems"),
    [
        ("publish", {}, "__token__", []),
        ("publish -u __token__", {}, "__token__", []),
        ("publish -n -u __token__", {}, "__token__", []),
        ("publish", {"HATCH_INDEX_USER": "__token__"}, "__token__", []),
        ("publish -u bob", {}, "bob", [other("bob", "--user")]),
        ("publish", {"HATCH_INDEX_USER": "bob"}, "bob", [other("bob", "HATCH_INDEX_USER")]),
        (
            "publish",
            {"HATCH_INDEX_AUTH": "secret"},
            None,
            [first("the variable HATCH_INDEX_AUTH is set", "`unset HATCH_INDEX_AUTH`")],
        ),
        ("publish -a secret", {}, None, [first("the option --auth is given", "leave out `--auth`")]),
        (
            "publish -n",
            {},
            "__token__",
            [
                Problem(
                    "hatch has no user name, and --no-prompt keeps it from asking for one",
                    "`export HATCH_INDEX_USER=__token__`",
                )
            ],
        ),
    ],
)
def test_credentials_of_options_and_variables(
    line: str, variables: dict[str, str], user: str | None, problems: list[Problem]
) -> None:
    assert ask(hatch(line, variables=variables)) == (() if user is None else ((PYPI, user),), problems)


CONFIG = "../config/hatch/config.toml"


@pytest.mark.parametrize(
    ("text", "line", "user", "problems"),
    [
        ('user = "bob"', "publish", "bob", [other("bob", CONFIG)]),
        ('user = "bob"', "publish -u __token__", "__token__", []),
        ('user = "bob"\nrepos.main.user = "__token__"', "publish", "__token__", []),
        ('auth = "secret"', "publish", None, [first(f"{CONFIG} holds a password", STORE)]),
        ('auth = ""', "publish", None, [first(f"{CONFIG} holds a password", STORE)]),
        ('repos.main.auth = "secret"', "publish", None, [first(f"{CONFIG} holds a password", STORE)]),
        ('repos.test.auth = "secret"', "publish", "__token__", []),
    ],
)
def test_credentials_of_the_settings(
    config: Path, text: str, line: str, user: str | None, problems: list[Problem]
) -> None:
    config.write_text(f"[publish.index]\n{text}\n")
    assert ask(hatch(line)) == (() if user is None else ((PYPI, user),), problems)


def test_settings_for_all_repositories_do_not_count_for_a_url(config: Path) -> None:
    config.write_text('[publish.index]\nuser = "bob"\nauth = "secret"\n')
    assert ask(hatch("publish -r https://a.example/")) == ((("https://a.example/", "__token__"),), [])


@pytest.mark.parametrize(
    ("text", "line", "user", "problems"),
    [
        ("[main]\nusername = bob\n", "publish", "bob", [other("bob", "~/.pypirc")]),
        ("[main]\npassword = x\n", "publish", None, [first("~/.pypirc holds a password", STORE)]),
        ("[main]\npassword = x\n", "publish -u __token__", "__token__", []),
        ("[main]\npassword = x\n", "publish -a y", None, [first("~/.pypirc holds a password", STORE)]),
        (f"[mine]\nrepository = {PYPI}\nusername = bob\n", "publish", "bob", [other("bob", "~/.pypirc")]),
        ("[pypi]\nusername = bob\npassword = x\n", "publish", "__token__", []),
    ],
)
def test_credentials_of_pypirc(home: Path, text: str, line: str, user: str | None, problems: list[Problem]) -> None:
    write(home / ".pypirc", text)
    assert ask(hatch(line)) == (() if user is None else ((PYPI, user),), problems)


@pytest.mark.parametrize("place", ["option", "variable", "settings", "default"])
def test_a_user_name_that_was_typed_before_counts(
    home: Path, config: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = home / "cache" / "hatch" if place == "default" else home / "mine"
    file = write(cache / "publish" / "index" / "previous_working_users.json", '{"main": "bob"}')
    monkeypatch.setenv("MINE", str(cache))
    config.write_text('[dirs]\ncache = "$MINE"\n' if place == "settings" else "")
    line = f"--cache-dir {shlex.quote(str(cache))} publish" if place == "option" else "publish"
    process = hatch(line, variables={"HATCH_CACHE_DIR": str(cache)} if place == "variable" else {})
    shown = str(file)
    assert ask(process) == (((PYPI, "bob"),), [other("bob", shown)])


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        (".pypirc", "broken", Problem("~/.pypirc is not a valid INI file (MissingSectionHeaderError)", "correct it")),
        (
            "cache/hatch/publish/index/previous_working_users.json",
            "{",
            Problem("{home}/cache/hatch/publish/index/previous_working_users.json is not valid JSON", "delete it"),
        ),
    ],
)
def test_what_cannot_be_read_is_a_problem(home: Path, file: str, text: str, problem: Problem) -> None:
    write(home / file, text)
    expected = Problem(problem.problem.replace("{home}", str(home)), problem.remedy)
    assert ask(hatch()) == ((), [expected])


def test_an_empty_list_of_previous_users_counts_as_none(home: Path) -> None:
    write(home / "cache/hatch/publish/index/previous_working_users.json")
    assert ask(hatch()) == (((PYPI, "__token__"),), [])


def test_settings_that_cannot_be_read_are_a_problem(config: Path) -> None:
    config.write_text("broken")
    address = Address(PYPI, "main", "default")
    (problem,) = UPLOADER.find_problems(hatch())
    assert problem == Problem(
        "../config/hatch/config.toml:1:1 is not valid TOML: expected '=' after a key in a key/value pair",
        "correct it there",
    )
    process = hatch("--config none.toml publish")
    assert UPLOADER.find_lookups(process, address) == ()
    assert UPLOADER.find_problems(process) == [Problem("'none.toml' does not exist", "name hatch's settings file")]


def test_variables_hand_over_a_token_and_its_address() -> None:
    assert UPLOADER.variables("pypi-token", TESTPYPI) == {
        "HATCH_INDEX_USER": "__token__",
        "HATCH_INDEX_AUTH": "pypi-token",
        "HATCH_INDEX_REPO": TEST,
    }
