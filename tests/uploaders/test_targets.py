"""Where a command line uploads to, whom it asks keyring for, and what is said of it: twine, flit, devpi, maturin.

That this is what the uploaders do is shown by `test_parsers_*`, with their own parsers.
"""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI
from keyring_pypitoken.uploaders.evidence import find_evidence
from keyring_pypitoken.uploaders.settings import Setting, Source
from keyring_pypitoken.uploaders.uploader import (
    BYPASS,
    SETUP,
    STOP,
    Address,
    Problem,
    Process,
    Target,
    Uploader,
    check_checkout,
    find_uploader,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[[str], Process]

PYPIRC = """[distutils]
index-servers = pypi testpypi local secret bare old odd
[pypi]
username = __token__
[server-login]
username = login
[local]
repository = http://upload.pypi.org/legacy/
username = me
[secret]
repository = https://b.example/
username = __token__
password = hunter2
[bare]
password = x
[old]
repository = https://pypi.python.org/pypi
[odd]
repository = https://[
username = x
[note]
repository = http://a.example/x ; note
"""
LOGIN = "[server-login]\npassword = x\n"


@pytest.fixture
def make(home: Path, work: Path) -> Make:
    (home / ".pypirc").write_text(PYPIRC, encoding="utf-8")
    for name in ("login", "RC", "-rc"):
        (work / name).write_text(LOGIN, encoding="utf-8")
    (work / "pyproject.toml").write_text('[project]\nname = "My_Demo.x"\n', encoding="utf-8")

    def make(line: str) -> Process:
        words = shlex.split(line)
        environ = {"HOME": str(home), "USERPROFILE": str(home)}
        while "=" in words[0]:
            name, _, environ[name] = words.pop(0).partition("=")
        return Process(words[0], tuple(words[1:]), work, environ)

    return make


def uploader(name: str) -> Uploader:
    found = find_uploader(name)
    assert found is not None
    return found


UPLOADING = (
    *("twine upload x", "twine --no-color upload x", "twine register x", "flit publish", "flit --debug -fx publish"),
    *("devpi push a==1 pypi:pypi", "devpi -v push --index x a==1 pypi:pypi"),
    *("maturin upload x.whl", "maturin -v upload -r local x.whl", "maturin publish"),
)
OTHERS = (
    *("twine check x", "twine upload -h", "twine upload -sh x", "twine --version upload x", "twine", "make upload x"),
    *("flit build", "flit --logo publish", "flit -V publish", "flit publish -h", "flit"),
    *("devpi push a==1 root/dev", "devpi push a==1", "devpi upload a==1 pypi:pypi", "devpi -h push a==1 pypi:pypi"),
    *("maturin upload", "maturin upload -r x.whl", "maturin build", "maturin --help publish", "maturin publish -vh"),
)


def test_which_command_lines_upload(make: Make) -> None:
    for line, expected in [*((line, True) for line in UPLOADING), *((line, False) for line in OTHERS)]:
        process = make(line)
        assert (process.uploader is not None and process.uploader.is_uploading(process)) is expected, line


_NOT_DEFINED = "~/.pypirc does not define the repository '{}': correct the name, or add it."
_NO_URL = "the repository URL of {} is not one of http or https: correct it."
_DEVPI = "devpi uploads to an index outside its server only with `push NAME==VERSION pypi:SECTION`: add it."
REFUSED = {
    "twine upload -r nowhere f": _NOT_DEFINED.format("nowhere"),
    "twine upload -r bare f": _NOT_DEFINED.format("bare"),
    "twine upload -r odd f": _NO_URL.format("~/.pypirc"),
    "twine upload --repository-url HTTPS://a.example f": _NO_URL.format("--repository-url"),
    "twine upload --config-file no f": "'no' does not exist: correct the option that names it.",
    "TWINE_REPOSITORY= twine upload f": "TWINE_REPOSITORY is empty, at which twine stops: `unset TWINE_REPOSITORY`.",
    "flit publish --repository note": _NOT_DEFINED.format("note"),
    "FLIT_INDEX_URL= flit publish --repository local": (
        "flit takes FLIT_INDEX_URL or --repository, not both: run `unset FLIT_INDEX_URL`, or omit the option."
    ),
    "FLIT_INDEX_URL= flit publish": _NO_URL.format("FLIT_INDEX_URL"),
    "devpi push": _DEVPI,
    "devpi push a==1 root/dev": _DEVPI,
    "devpi push a==1 pypi:no": _NOT_DEFINED.format("no"),
    "devpi push a==1 pypi:bare": (
        "~/.pypirc has no `username` in [bare], which devpi needs: add `username = __token__`."
    ),
    "devpi push a==1 pypi:odd": _NO_URL.format("~/.pypirc"),
    "maturin publish -r no": _NOT_DEFINED.format("no"),
    "maturin publish --repository-url": _NO_URL.format("--repository-url"),
}


def test_settings_at_fault_are_refused_and_reported(make: Make) -> None:
    for line, sentence in REFUSED.items():
        process = make(line)
        with pytest.raises(Refusal) as refusal:
            process.target  # noqa: B018 - it is read for its refusal
        assert str(refusal.value) == sentence, line
        reason, _, fix = sentence.rpartition(": ")
        assert uploader(process.program).find_problems(process) == [Problem(reason, fix[:-1])]


@pytest.mark.parametrize("metadata", ["", "[project]\nname = 1\n"])
def test_flit_stops_at_a_project_without_a_name(make: Make, work: Path, metadata: str) -> None:
    (work / "pyproject.toml").write_text(metadata, encoding="utf-8")
    with pytest.raises(Refusal) as refusal:
        make("flit publish").target  # noqa: B018 - it is read for its refusal
    assert str(refusal.value) == "pyproject.toml does not name the project: add `name` to `[project]`."


_ADOPT = "run `keyring-pypitoken adopt`, or delete the line `password` there"
_MATURIN = (
    "maturin does not ask Python's keyring, so it would not get a restricted token: run `maturin build`, then upload "
    "the files with uv or twine"
)
_USER = (
    "{0} names the user '{1}', and twine asks keyring for that user, who has no token: set the user name in {0} to "
    "`__token__`"
)
PROBLEMS = {
    "twine upload f": [],
    "twine upload --repository-url https://a.example/ f": [],
    "TWINE_PASSWORD=y twine upload -p x f": [
        "the option --password is given, and twine takes it before it asks keyring: leave out `--password`"
    ],
    # twine sends it, and asks nobody.
    "TWINE_PASSWORD= twine upload f": [
        "the variable TWINE_PASSWORD is set, and twine takes it before it asks keyring: `unset TWINE_PASSWORD`"
    ],
    "twine upload -r secret f": [
        f"~/.pypirc holds a password for [secret], and twine takes it before it asks keyring: {_ADOPT}"
    ],
    "twine upload --config-file login f": [
        f"login holds a password for [server-login], and twine takes it before it asks keyring: {_ADOPT}"
    ],
    # Names of files that look like a variable and an option.
    "twine upload --config-file RC f": [
        f"RC holds a password for [server-login], and twine takes it before it asks keyring: {_ADOPT}"
    ],
    "twine upload --config-file=-rc f": [
        f"-rc holds a password for [server-login], and twine takes it before it asks keyring: {_ADOPT}"
    ],
    "twine upload --repository-url https://__token__:pw@a.example/ f": [
        "the URL in --repository-url holds a password, and twine takes it before it asks keyring: delete it there"
    ],
    "TWINE_USERNAME=bob twine upload f": [_USER.format("TWINE_USERNAME", "bob")],
    "twine upload -u= --repository-url https://a.example/ f": [_USER.format("--username", "")],
    "twine upload -r old f": [_USER.format("~/.pypirc", "login")],
    "flit publish --repository local": [],
    "FLIT_PASSWORD= flit publish --repository secret": [],
    "FLIT_PASSWORD=x flit publish --repository secret": [
        "the variable FLIT_PASSWORD is set, and flit takes it before it asks keyring: `unset FLIT_PASSWORD`"
    ],
    "flit publish --repository testpypi": [
        "flit has no user name, and asks for one before it asks keyring: `export FLIT_USERNAME=__token__`"
    ],
    "devpi push a==1 pypi:pypi": [],
    "devpi push a==1 pypi:secret": [
        f"~/.pypirc holds a password for [secret], and devpi takes it before it asks keyring: {_ADOPT}"
    ],
    "maturin publish -r testpypi": [_MATURIN],
    "MATURIN_PYPI_TOKEN=x MATURIN_PASSWORD= maturin publish -r secret": [
        (
            "the variable MATURIN_PYPI_TOKEN is set, and maturin takes it before it asks keyring: "
            "`unset MATURIN_PYPI_TOKEN`"
        ),
        _MATURIN,
    ],
    "maturin publish -r secret": [
        f"~/.pypirc holds a password for [secret], and maturin takes it before it asks keyring: {_ADOPT}",
        _MATURIN,
    ],
}


def test_what_keeps_a_restricted_token_from_being_sent_is_reported(make: Make) -> None:
    for line, expected in PROBLEMS.items():
        process = make(line)
        problems = uploader(process.program).find_problems(process)
        assert [f"{one.problem}: {one.remedy}" for one in problems] == expected, line
        stopping = [one for one in problems if one.effect == SETUP]
        assert len(stopping) == (line == "flit publish --repository testpypi")


def test_variables_hand_a_token_over_unless_an_option_names_the_repository(make: Make) -> None:
    variables = {
        "twine upload x": "TWINE_USERNAME=__token__ TWINE_PASSWORD=T TWINE_REPOSITORY_URL={url}",
        "flit publish": "FLIT_USERNAME=__token__ FLIT_PASSWORD=T FLIT_INDEX_URL={url}",
        "flit publish --repository local": "FLIT_USERNAME=__token__ FLIT_PASSWORD=T",
        "devpi push a==1 pypi:pypi": "",
        "maturin publish": "MATURIN_PYPI_TOKEN=T MATURIN_REPOSITORY_URL={url}",
        "maturin publish -r local": "MATURIN_PYPI_TOKEN=T",
        "maturin publish --repository-url http://b.example/": "MATURIN_PYPI_TOKEN=T",
    }
    for line, expected in variables.items():
        process = make(line)
        handed = uploader(process.program).variables("T", TESTPYPI, process.target)
        assert " ".join(f"{name}={value}" for name, value in handed.items()) == expected.format(url=TESTPYPI.url)
        if "{url}" in expected:
            process = process._replace(environ={**process.environ, **handed})
            assert process.target.address.url == TESTPYPI.url
            uploader(process.program).check_sends(process, "T")
    assert "FLIT_INDEX_URL" not in uploader("flit").variables("T", PYPI)


_INSTEAD = "and twine would send that instead of the restricted token"
WINNING = {
    "TWINE_PASSWORD=T twine upload -u bob f": (
        f"--username names the user 'bob', {_INSTEAD}: set the user name in --username to `__token__`."
    ),
    "TWINE_PASSWORD=T twine upload -p x f": f"the option --password is given, {_INSTEAD}: leave out `--password`.",
    "devpi push a==1 pypi:pypi": "devpi takes no token from a variable: run it without `exec`, and it asks keyring.",
}


def test_what_would_win_over_the_variables_is_refused(make: Make) -> None:
    for line, sentence in WINNING.items():
        process = make(line)
        with pytest.raises(Refusal) as refusal:
            uploader(process.program).check_sends(process, "T")
        assert str(refusal.value) == sentence


def test_a_file_of_the_project_does_not_choose_who_reads_the_upload() -> None:
    class Other(Uploader):
        name = "other"

        def target(self, process: Process) -> Target:  # noqa: ARG002 - as if it had read them
            address = Address(PYPI.url, "pypi", Source("default", "default"))
            proxy = Setting("http://me:pw@proxy/", Source("file", "uv.toml", "https-proxy", in_checkout=True))
            return Target(address, checkout=(proxy,))

    process = SimpleNamespace(target=Other().target(SimpleNamespace()))  # type: ignore[arg-type]  # it reads nothing
    clause = "https-proxy in uv.toml, a file of this project, chooses who can read what is uploaded"
    with pytest.raises(Refusal) as refusal:
        check_checkout(process.target)
    assert str(refusal.value) == f"{clause}: delete that line, or set it in your own settings."
    (problem,) = Other().find_problems(process)  # type: ignore[arg-type]  # all that it asks for
    assert problem == Problem(clause, "delete that line, or set it in your own settings", STOP) != BYPASS


def test_a_process_is_parsed_and_its_settings_are_read_once(make: Make, home: Path) -> None:
    process = make("twine upload -r secret x")
    assert process.target is process.target
    assert process.command is process.command
    (home / ".pypirc").unlink()
    assert uploader("twine").find_problems(process) != []


def test_no_password_is_in_a_repr(make: Make) -> None:
    for line in ("twine upload -p hunter2 f", "TWINE_PASSWORD=hunter2 twine upload f", "twine upload -r secret f"):
        process = make(line)
        assert "hunter2" not in repr((process, process.command, process.target)), line
    assert repr(Address("https://me:hunter2@a.example/", "", Source("option", "-r"))).startswith(
        "Address('https://***@a.example/', '', Source("
    )


def test_a_program_that_is_no_uploader_has_no_target(work: Path) -> None:
    process = Process("make", ("upload",), work, {})
    assert process.command.name == ""
    with pytest.raises(TypeError, match=r"^'make' is not an uploader$"):
        process.target  # noqa: B018 - it is read for its error


def test_files_of_twine_come_wheels_first_without_what_is_attached(make: Make, work: Path) -> None:
    for name in ("a-1.tar.gz", "a-1.tar.gz.asc", "a-1.tar.gz.publish.attestation", "b.whl", "c.whl"):
        (work / name).touch()
    twine = uploader("twine")
    files = twine.find_files(make("twine upload -c note a-1* c.whl b.whl c.whl"))
    assert files == tuple(work / name for name in ("c.whl", "b.whl", "c.whl", "a-1.tar.gz"))
    for line in ("twine upload", "twine check a.whl", "twine upload -r a.whl"):
        assert twine.find_files(make(line)) is None
    for name in ("missing-1.0.tar.gz", "dist/*", ""):
        with pytest.raises(Refusal) as refusal:
            twine.find_files(make(f"twine upload '{name}'"))
        assert str(refusal.value) == f"'{name}' matches no file: build first, or correct the name."


def test_files_of_maturin_are_named_one_by_one(make: Make, work: Path) -> None:
    maturin = uploader("maturin")
    (work / "b.whl").touch()
    assert maturin.find_files(make("maturin upload -u me b.whl")) == (work / "b.whl",)
    assert maturin.find_files(make("maturin upload")) is maturin.find_files(make("maturin publish b.whl")) is None
    with pytest.raises(Refusal) as refusal:
        maturin.find_files(make("maturin upload *.whl"))
    assert str(refusal.value) == "'*.whl' is not a file: correct the name."
    assert uploader("flit").find_files(make("flit publish")) is None


def test_the_project_that_an_uploader_is_pointed_at(make: Make, work: Path) -> None:
    projects = {
        "twine upload /elsewhere/dist/*": ".",
        "flit publish": ".",
        "flit -f sub/x.toml publish": "sub",
        "flit --ini=../y/x.toml publish": "../y",
        "maturin publish": ".",
        "maturin publish -m a/b/../Cargo.toml": "a",
    }
    for line, directory in projects.items():
        process = make(line)
        assert uploader(process.program).find_project(process) == (work / directory).resolve(), line


def test_what_is_advised_fits_the_program(make: Make, work: Path) -> None:
    (work / "pyproject.toml").unlink()
    hints = {
        "make": "name the distribution files, ",
        "twine upload": "name the files (`twine upload dist/*`), ",
        "maturin publish": "name the files (`keyring-pypitoken exec -- maturin upload target/wheels/*`), ",
        "flit publish": "",
    }
    for line, hint in hints.items():
        assert find_evidence(make(line)).hint == f"{hint}run it in the project's directory", line
    (work / "setup.py").touch()
    build = "build it, since `setup.py` does not show its name before"
    for line, hint in hints.items():
        assert find_evidence(make(line)).hint == f"{build}, {hint}name it with `--project`", line


def test_a_release_names_the_project_for_devpi(make: Make) -> None:
    projects = {"My_Demo==1.0": ("My_Demo",), "demo[x]==1.0": ("demo",), "'demo == 1.0'": ("demo",)}
    for release, expected in projects.items():
        assert uploader("devpi").find_projects(make(f"devpi push {release} pypi:pypi")) == expected, release
    with pytest.raises(Refusal) as refusal:
        uploader("devpi").find_projects(make("devpi push my-demo-1.0 pypi:pypi"))
    assert str(refusal.value) == "'my-demo-1.0' may name several projects: write NAME==VERSION."
    assert uploader("twine").find_projects(make("twine upload demo==1.0")) == ()
