"""`token` and `exec`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import keyring
import pytest
from file_keyring import FileKeyring
from sandbox import Command, Run, Terminal, WritePolicy, make_link, new_master, write_program

from keyring_pypitoken import Token, paths
from keyring_pypitoken.cli import grants
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.history import read_history
from keyring_pypitoken.uploaders.uploader import all_uploaders
from keyring_pypitoken.vault import terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"


def restrictions_of(text: str) -> list[bytes]:
    """Return the project caveat of a derived token."""
    token = Token.load(text.strip())
    assert len(token.raw_caveats) == 2
    return token.raw_caveats[1:]


@pytest.mark.usefixtures("project", "stored")
def test_token_prints_a_derived_token_and_nothing_else(command: Command, work: Path) -> None:
    code, out, err = command("token")
    assert code == 0
    assert out.count("\n") == 1
    assert restrictions_of(out) == [b'[1, ["demo"]]']
    assert err.startswith("keyring-pypitoken: derived a token for demo on pypi, valid until ")
    assert err.count("\n") == 1
    for name in ("dist/other-1.0.tar.gz", "one-1.0-py3-none-any.whl"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).touch()
    _, out, _ = command("token", "dist/other-1.0.tar.gz", "one-1.0-py3-none-any.whl")
    assert restrictions_of(out) == [b'[1, ["one", "other"]]']
    assert [entry.program for entry in read_history()] == ["keyring-pypitoken token"] * 2


@pytest.mark.usefixtures("project", "stored")
def test_token_takes_the_account_that_is_stated(command: Command) -> None:
    assert command.refused("token", "--account", "work") == (
        "no master is stored for the account 'work' of pypi (--account): run `keyring-pypitoken login -r "
        "pypi --account work`, or name another account."
    )
    other = new_master(identifier="of work")
    assert command("login", "--account", "work", stdin=other)[0] == 0
    assert Token.load(command("token", "--account", "work")[1].strip()).identifier == "of work"


def test_token_refuses_as_the_backend_does(command: Command, project: Path, stored: str) -> None:
    (project / "pypitoken.toml").write_text('projects = ["other"]\n')
    assert command.refused("token").startswith("project 'demo' is not allowed here: ")
    assert command("logout")[0] == 0
    (project / "pypitoken.toml").unlink()
    assert command.refused("token") == ("no master is stored for pypi: run `keyring-pypitoken login`.")
    assert stored not in FileKeyring().passwords().values()


@pytest.mark.usefixtures("project", "stored")
def test_github_is_told_to_mask_the_token(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    _, out, err = command("token")
    assert err.splitlines()[0] == f"::add-mask::{out.strip()}"


POSIX = pytest.mark.skipif(os.name != "posix", reason="programs are scripts here, which need POSIX")
EXEC = ("keyring_pypitoken", "exec", "--project", "demo")
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.mark.usefixtures("stored")
def test_exec_gives_every_tool_a_derived_token(run: Run, project: Path) -> None:
    done = run(
        *("keyring_pypitoken", "exec", "-r", "pypi", "--project", "demo", "--", sys.executable, "-c", SHOW),
        UV_PUBLISH_USERNAME="joe",
        TWINE_REPOSITORY_URL="https://evil.example/",
        TWINE_PASSWORD="hunter2",
        OTHER="kept",
    )
    assert done.returncode == 0, done.stderr
    environ = json.loads(done.stdout)
    assert environ["OTHER"] == "kept"
    assert environ["UV_PUBLISH_USERNAME"] == TOKEN
    assert environ["TWINE_REPOSITORY_URL"] == "https://evil.example/"  # the recipe says where it uploads
    tokens = {
        environ[name]
        for name in (
            "TWINE_PASSWORD", "UV_PUBLISH_PASSWORD", "FLIT_PASSWORD", "HATCH_INDEX_AUTH", "PDM_PUBLISH_PASSWORD",
                     "MATURIN_PYPI_TOKEN", "POETRY_PYPI_TOKEN_PYPI")
    }  # fmt: skip
    (token,) = tokens
    assert restrictions_of(token) == [b'[1, ["demo"]]']
    users = {environ[name] for name in ("TWINE_USERNAME", "FLIT_USERNAME", "HATCH_INDEX_USER", "PDM_PUBLISH_USERNAME")}
    assert users == {TOKEN}
    assert token not in "".join(path.read_text(errors="replace") for path in project.rglob("*") if path.is_file())


def test_exec_sends_another_index_its_own_token(run: Run, project: Path) -> None:
    url = "https://test.pypi.org/legacy/"
    keyring.set_password(url, TOKEN, new_master("test.pypi.org"))
    done = run(
        "keyring_pypitoken",
        "exec",
        "-r",
        "testpypi",
        "--project",
        "demo",
        "--",
        sys.executable,
        "-c",
        SHOW,
        cwd=project,
    )
    environ = json.loads(done.stdout)
    assert {name for uploader in all_uploaders() for name in uploader.address_variables if name in environ} == set()
    assert Token.load(environ["POETRY_PYPI_TOKEN_TESTPYPI"]).domain == "test.pypi.org"


@pytest.fixture
def fake(work: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that puts a program on PATH which prints its environment."""
    programs = work / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def put(name: str) -> None:
        write_program(programs / name, sys.executable, "-c", SHOW)

    return put


def environ_of(run: Run, *words: str, **environ: Any) -> dict[str, str]:
    """Return the environment that `exec` gives its command."""
    done = run("keyring_pypitoken", "exec", *words, **environ)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    variables: dict[str, str] = json.loads(done.stdout)
    return variables


@POSIX
@pytest.mark.usefixtures("project", "stored")
def test_exec_reads_the_files_of_the_command(run: Run, work: Path, fake: Callable[[str], None]) -> None:
    fake("twine")
    for name in ("one-1.0.tar.gz", "two-1.0.zip"):
        (work / name).touch()
    (work / "pypitoken.toml").write_text('projects = ["one", "two"]\n')
    command = ("twine", "upload", "one-1.0.tar.gz")
    assert restrictions_of(environ_of(run, "--", *command)["TWINE_PASSWORD"]) == [b'[1, ["one"]]']
    assert restrictions_of(environ_of(run, "two-1.0.zip", "--", *command)["TWINE_PASSWORD"]) == [b'[1, ["two"]]']


TESTPYPI = "https://test.pypi.org/legacy/"
WHERE: list[tuple[list[str], dict[str, str], str]] = [
    (["twine", "upload", "demo-1.0.zip"], {"TWINE_REPOSITORY": "testpypi"}, "TWINE"),
    (["twine", "upload", "demo-1.0.zip"], {"TWINE_REPOSITORY_URL": TESTPYPI}, "TWINE"),
    (["twine", "upload", "-r", "testpypi", "demo-1.0.zip"], {}, "TWINE"),
    (["env", "TWINE_REPOSITORY=testpypi", "twine", "upload", "demo-1.0.zip"], {}, "TWINE"),
    (["uv", "publish"], {"UV_PUBLISH_URL": TESTPYPI}, "UV_PUBLISH"),
    (["uv", "publish", "--publish-url", TESTPYPI], {}, "UV_PUBLISH"),
    (["uv", "--directory", ".", "publish", "--publish-url", TESTPYPI], {}, "UV_PUBLISH"),
    (["hatch", "publish"], {"HATCH_INDEX_REPO": "test"}, "HATCH_INDEX"),
    (["hatch", "publish", "-r", "test"], {}, "HATCH_INDEX"),
    (["flit", "publish"], {"FLIT_INDEX_URL": TESTPYPI}, "FLIT"),
    (["pdm", "publish"], {"PDM_PUBLISH_REPO": "testpypi"}, "PDM_PUBLISH"),
    (["pdm", "publish", "-r", "testpypi"], {}, "PDM_PUBLISH"),
    (["maturin", "publish"], {"MATURIN_REPOSITORY": "testpypi"}, "MATURIN"),
    (["maturin", "publish"], {"MATURIN_REPOSITORY_URL": TESTPYPI}, "MATURIN"),
]


@POSIX
@pytest.mark.parametrize(("words", "environ", "own"), WHERE, ids=" ".join)
@pytest.mark.usefixtures("project", "stored")
def test_exec_uploads_where_the_user_said(
    words: list[str], environ: dict[str, str], own: str, run: Run, work: Path, fake: Callable[[str], None]
) -> None:
    keyring.set_password(TESTPYPI, TOKEN, new_master("test.pypi.org"))
    (work / "dist").mkdir()
    for name in ("demo-1.0.zip", "dist/demo-1.0.tar.gz"):
        (work / name).touch()
    fake(next(word for word in words if word in ("twine", "uv", "hatch", "flit", "pdm", "maturin")))
    if words[0] == "env":
        (work / "programs" / "env").symlink_to("/usr/bin/env")
    became = environ_of(run, "--", *words, KEYRING_PYPITOKEN_PASSPHRASE="hunter2", **environ)
    tokens = {name: value for name, value in became.items() if value.startswith("pypi-")}
    assert {Token.load(value).domain for value in tokens.values()} == {"test.pypi.org"}
    assert all(name.startswith(own) for name in tokens)
    assert "KEYRING_PYPITOKEN_PASSPHRASE" not in became
    others = {name for uploader in all_uploaders() for name in uploader.token_variables if not name.startswith(own)}
    assert not others & set(became)


@pytest.mark.usefixtures("project", "stored")
def test_exec_refuses_an_address_that_is_not_known(
    command: Command, fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, work: Path
) -> None:
    fake("twine")
    (work / "demo-1.0.zip").touch()
    make_link(work / "programs" / "env", "/usr/bin/env")
    monkeypatch.setenv("TWINE_REPOSITORY_URL", "https://evil.example/")
    assert command.refused("exec", "--", "twine", "upload", "demo-1.0.zip") == (
        "twine would upload to 'https://evil.example/' (TWINE_REPOSITORY_URL), which is not a known repository: "
        "correct it, or add a [repository.NAME] with this url to your own policy.toml."
    )
    words = ["twine", "upload", "--repository-url", "https://evil.example/", "demo-1.0.zip"]
    assert command.refused("exec", "-r", "pypi", "--", *words) == (
        "twine would upload to 'https://evil.example/' (--repository-url), not to https://upload.pypi.org/legacy/: "
        "leave out what names it, or name that repository with --repository."
    )
    monkeypatch.delenv("TWINE_REPOSITORY_URL")
    for named in (["twine", "upload", "-r", "testpypi"], ["env", "TWINE_REPOSITORY=testpypi", "twine", "upload"]):
        assert command.refused("exec", "-r", "pypi", "--", *named, "demo-1.0.zip").startswith(
            "twine would upload to 'https://test.pypi.org/legacy/' ("
        )
    assert read_history() == []


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the environment of the program that `exec` would become; it waits for it instead."""
    environ: dict[str, str] = {}
    monkeypatch.setattr(os, "execve", lambda _program, _arguments, given: environ.update(given), raising=False)
    return environ


@POSIX
@pytest.mark.usefixtures("stored")
def test_exec_takes_a_project_a_length_and_a_note(
    command: Command, became: dict[str, str], user_policy: WritePolicy
) -> None:
    words = ("exec", "-r", "pypi", "--project", "One", "--valid-for", "7d", "--note", "Jenkins", "--", sys.executable)
    assert command.refused(*words) == (
        "--valid-for is 7 days, above max-valid-for, which is 1 hour (its default): shorten it, or "
        "raise max-token-valid-for in your own policy.toml."
    )
    assert became == {}
    user_policy('max-token-valid-for = "7d"\n')
    command(*words)
    assert restrictions_of(became["TWINE_PASSWORD"]) == [b'[1, ["one"]]']
    (entry,) = read_history()
    assert (entry.note, entry.projects, entry.not_after - entry.not_before) == ("Jenkins", ("one",), 7 * 86_400 + 60)


@POSIX
@pytest.mark.usefixtures("project")
def test_a_variable_with_the_master_that_was_piped_does_not_reach_the_command(
    command: Command, became: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    master = new_master()
    url = f"https://__token__:{quote(master, safe='')}@upload.pypi.org/legacy/"
    for name, value in {
        "CI_SECRET": master,
        "CI_LINE": f" {master}\n",
        "CI_URL": url,
        "CI_HEADER": f"Authorization: token {master}",
        "CI_PYPIRC": f"[pypi]\nusername = __token__\npassword = {master}\n",
        "CI_NAME": "demo",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CI_BYTES", os.fsdecode(b"\xff" + master.encode()))
    command("exec", "--master-stdin", "-r", "pypi", "--project", "demo", "--", sys.executable, stdin=f"{master}\n")
    assert became["CI_NAME"] == "demo"
    assert restrictions_of(became["TWINE_PASSWORD"]) == [b'[1, ["demo"]]']
    assert [name for name, value in became.items() if master.rstrip("=") in value] == []


@POSIX
@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("word", ["{}", "TOKEN={}", "--header=Authorization: token {}"])
def test_a_command_with_the_master_that_was_piped_among_its_arguments_is_not_started(
    word: str, command: Command, became: dict[str, str]
) -> None:
    master = new_master()
    words = ("exec", "--master-stdin", "-r", "pypi", "--project", "demo", "--", sys.executable, word.format(master))
    assert command.refused(*words, stdin=master) == (
        "the master is among the arguments of the command, where every user of the machine can read it: leave it out, "
        "and revoke it if others use this machine."
    )
    assert became == {}
    assert read_history() == []


@POSIX
def test_a_command_cannot_go_back_in_the_input_that_the_master_came_from(project: Path) -> None:
    master = project / "master"  # as a shell's here-document is one, too
    master.write_text(new_master())
    again = "import os; print([os.lseek(0, 0, os.SEEK_SET), os.read(0, 9), open('/dev/stdin').read()])"
    words = [
        sys.executable,
        "-m",
        "keyring_pypitoken",
        "exec",
        "--master-stdin",
        "-r",
        "pypi",
        "--project",
        "demo",
        "--",
    ]
    with master.open() as file:
        done = subprocess.run(
            [*words, sys.executable, "-c", again], stdin=file, capture_output=True, text=True, timeout=60, check=False
        )
    master.unlink()
    assert (done.returncode, done.stdout) == (0, "[0, b'', '']\n")


@POSIX
@pytest.mark.usefixtures("project", "became")
def test_a_command_keeps_the_terminal_on_which_the_master_was_typed(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: list[int] = []
    monkeypatch.setattr(os, "isatty", lambda _handle: True)
    monkeypatch.setattr(os, "dup2", lambda _from, to: replaced.append(to))
    command("exec", "--master-stdin", "-r", "pypi", "--project", "demo", "--", sys.executable, stdin=new_master())
    assert replaced == []


@POSIX
@pytest.mark.usefixtures("project", "stored")
def test_a_label_in_the_address_of_the_command_is_not_passed_over(
    command: Command, became: dict[str, str], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("login", "--account", "work", stdin=new_master(identifier="of work"))[0] == 0
    write_program(work / "twine", sys.executable)
    monkeypatch.setenv("PATH", str(work))
    (work / "demo-1.0.tar.gz").touch()
    words = ("--", "twine", "upload", "--repository-url", f"{PYPI}?work", "demo-1.0.tar.gz")
    sentence = (
        f"twine would upload to '{PYPI}?work' (--repository-url), whose label is for lookups in keyring only: leave it "
        "out, or name the account with --account."
    )
    assert command.refused("exec", *words) == sentence
    assert command.refused("exec", "-r", "pypi", *words) == sentence
    assert became == {}
    command("exec", "--account", "work", *words)
    assert Token.load(became["TWINE_PASSWORD"]).identifier == "of work"


INSTEAD = "would send that instead of the restricted token"


@POSIX
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "twine upload -u joe -p pw x",
            f"the option --password is given, and twine {INSTEAD}: leave out `--password`.",
        ),
        (
            "twine upload -ujoe x",
            f"--username names the user 'joe', and twine {INSTEAD}: set the user name in --username to `__token__`.",
        ),
        (
            "env TWINE_PASSWORD=pw twine upload x",
            f"the variable TWINE_PASSWORD is set, and twine {INSTEAD}: `unset TWINE_PASSWORD`.",
        ),
        ("hatch publish -apw", f"the option --auth is given, and hatch {INSTEAD}: leave out `--auth`."),
        (
            "devpi push demo==1.0 pypi:main",
            "devpi takes no token from a variable: run it without `exec`, and it asks keyring.",
        ),
    ],
)
@pytest.mark.usefixtures("project", "stored")
def test_exec_refuses_a_command_that_would_send_something_else(
    words: str,
    sentence: str,
    became: dict[str, str],
    command: Command,
    fake: Callable[[str], None],
    work: Path,
    home: Path,
) -> None:
    fake(words.split(maxsplit=1)[0])
    (work / "dist").mkdir()
    for name in ("x", "dist/demo-1.0.tar.gz"):
        (work / name).touch()
    (home / ".pypirc").write_text(f"[main]\nrepository = {PYPI}\nusername = __token__\n")
    assert command.refused("exec", "--", *words.split()) == sentence
    assert became == {}
    assert read_history() == []


@pytest.mark.usefixtures("project", "stored")
def test_exec_wants_a_repository_for_a_program_that_it_does_not_know(
    command: Command, fake: Callable[[str], None]
) -> None:
    fake("make")
    assert command.refused("exec", "--", "make", "release") == (
        "cannot tell where 'make' uploads to: name the repository, as in `keyring-pypitoken exec --repository pypi -- "
        "COMMAND`."
    )


@POSIX
@pytest.mark.usefixtures("project", "stored")
def test_exec_starts_a_script_by_its_path_only(run: Run, command: Command, work: Path) -> None:
    script = work / "release.sh"
    script.write_text("#!/bin/sh\necho ran\n")
    assert command.refused("exec", "-r", "pypi", "--", "./release.sh") == (
        "'./release.sh' is not a program that can be started: correct its path, or make it executable."
    )
    script.chmod(0o755)
    script.write_text("#!/bin/sh\necho ran\n")
    assert run("keyring_pypitoken", "exec", "-r", "pypi", "--project", "demo", "--", "./release.sh").stdout == "ran\n"
    assert command.refused("exec", "-r", "pypi", "--", "release.sh") == (
        "the program 'release.sh' is not on PATH: install it, or correct its name."
    )


@POSIX
@pytest.mark.parametrize("becomes", [True, False], ids=["becomes it", "waits for it"])
@pytest.mark.usefixtures("project", "stored")
def test_a_program_that_cannot_be_started_is_refused(
    becomes: bool, command: Command, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "release.sh").write_bytes(b"\0")
    (work / "release.sh").chmod(0o755)
    if not becomes:
        monkeypatch.setattr(os, "execve", lambda *_: None)
    code, out, err = command("exec", "-r", "pypi", "--project", "demo", "--", "./release.sh")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        "keyring-pypitoken: the program './release.sh' cannot be started (OSError): begin it with a line such "
        "as #!/bin/sh."
    )


@POSIX
@pytest.mark.parametrize(
    ("words", "address"),
    [
        (["maturin", "upload", "demo-1.0.zip"], {"MATURIN_REPOSITORY_URL": PYPI}),
        (["maturin", "upload", "-r", "pypi", "demo-1.0.zip"], {}),
        (["flit", "publish"], {"FLIT_INDEX_URL": PYPI}),
        (["flit", "publish", "--repository", "pypi"], {}),
        (["twine", "upload", "-r", "pypi", "demo-1.0.zip"], {"TWINE_REPOSITORY_URL": PYPI}),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("project", "stored")
def test_exec_gives_no_address_beside_an_option_that_excludes_it(
    words: list[str], address: dict[str, str], command: Command, work: Path, fake: Callable[[str], None],
    became: dict[str, str],
) -> None:  # fmt: skip
    fake(words[0])
    (work / "demo-1.0.zip").touch()
    assert command("exec", "--", *words)[0] == 0
    names = {name for uploader in all_uploaders() for name in uploader.address_variables}
    assert {name: value for name, value in became.items() if name in names} == address
    assert [name for name, value in became.items() if value.startswith("pypi-")]


@POSIX
@pytest.mark.parametrize("words", ["twine check dist/*", "uv publish --dry-run", "hatch build", "twine upload --help"])
@pytest.mark.usefixtures("project", "stored")
def test_no_token_is_made_for_what_does_not_upload(
    words: str, command: Command, fake: Callable[[str], None], became: dict[str, str]
) -> None:
    name = words.split(maxsplit=1)[0]
    fake(name)
    code, _, err = command("exec", "-r", "pypi", "--", *words.split())
    assert (code, err) == (0, f"keyring-pypitoken: this run of {name} uploads nothing, so no token was made for it\n")
    assert "PATH" in became
    assert [value for value in became.values() if value.startswith("pypi-")] == []
    assert read_history() == []


@POSIX
@pytest.mark.usefixtures("project", "stored")
def test_what_a_program_uploads_is_named_and_where_is_its_own_choice(
    command: Command, fake: Callable[[str], None], became: dict[str, str], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("make")
    words = ("exec", "-r", "pypi", "--", "make", "release")
    refusal = (
        "nothing shows which projects 'make' uploads: name them, as in `keyring-pypitoken exec -r pypi --project NAME "
        "-- COMMAND`, name the files, or write a policy with `keyring-pypitoken init`."
    )
    assert command.refused(*words) == refusal
    notice = (
        "keyring-pypitoken: the token for pypi is in the variables of every uploader; 'make' may show it to another "
        "index, if that is where it uploads\n"
    )
    assert command("exec", "-r", "pypi", "--project", "demo", "--", "make", "release")[2].endswith(notice)
    addresses = {name for uploader in all_uploaders() for name in uploader.address_variables}
    assert not addresses & set(became)
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    assert command(*words)[0] == 0
    monkeypatch.delenv("KEYRING_PYPITOKEN_PROJECT")
    (work / "pypitoken.toml").write_text('projects = ["demo"]\n')
    assert command(*words)[0] == 0
    (work / "other-1.0.tar.gz").touch()
    mixed = command.refused("exec", "-r", "pypi", "--project", "demo", "other-1.0.tar.gz", "--", "make")
    assert "other" in mixed


@POSIX
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("tox -e release", "tox passes no such variables on"),
        ("python -m tox", "tox passes no such variables on"),
        ("sudo twine upload x", "sudo passes no variables on"),
        ("doas make", "sudo passes no variables on"),
        ("env -i twine upload x", "`env -i` passes no variables on"),
        ("timeout 9 env A=b - make", "`env -i` passes no variables on"),
        ("env --ignore-environment make", "`env -i` passes no variables on"),
        ("env -0i make", "`env -i` passes no variables on"),
        ("tox -x testenv.pass_env+=TWINE_*", ""),
        ("sudo -E make", ""),
        ("sudo --preserve-env=TWINE_PASSWORD make", ""),
        ("env -u A B=c make -i", ""),
        ("env", ""),
    ],
)
@pytest.mark.usefixtures("project", "stored")
def test_what_passes_no_variables_on_is_refused(
    words: str, reason: str, command: Command, fake: Callable[[str], None], became: dict[str, str]
) -> None:
    fake(words.split(maxsplit=1)[0])
    code, _, err = command("exec", "-r", "pypi", "--project", "demo", "--", *words.split())
    assert (code, bool(became)) == ((1, False) if reason else (0, True))
    if reason:
        assert err.startswith(f"keyring-pypitoken: {reason}, so the token would not arrive: ")
        assert err.endswith("; or run `keyring-pypitoken exec` in what it starts.\n")


@POSIX
def test_on_windows_a_program_is_an_exe(work: Path) -> None:
    write_program(work / "twine.exe", "true")
    assert grants._find_command("./twine", "nt") == grants._find_command("./twine.exe", "nt") == str(work / "twine.exe")
    for name, sentence in {
        ".\\tool.BAT": "is a batch file, which runs its arguments as commands: name an .exe instead.",
        "make.cmd": "is a batch file, which runs its arguments as commands: name an .exe instead.",
        "release.py": "is started by its interpreter: name that first, as in `-- python release.py`.",
        "./absent": "is not a program that can be started: correct its path.",
    }.items():
        with pytest.raises(Refusal) as refused:
            grants._find_command(name, "nt")
        assert str(refused.value).endswith(f" {sentence}")


@pytest.mark.usefixtures("project", "stored")
def test_token_takes_projects_a_length_and_a_note(command: Command, user_policy: WritePolicy) -> None:
    user_policy('max-token-valid-for = "7d"\n')
    _, out, _ = command(
        "token", "--project", "One", "--project", "two, three,", "--valid-for", "7d", "--note", "GitLab"
    )
    raw = Token.load(out.strip()).raw_caveats
    assert raw[1] == b'[1, ["one", "three", "two"]]'
    _, not_after, not_before = json.loads(raw[0])
    assert not_after - not_before == 7 * 86_400 + 60
    (entry,) = read_history()
    assert (entry.note, entry.projects) == ("GitLab", ("one", "three", "two"))
    assert command("history")[1].rstrip().endswith(": GitLab")
    assert command.refused("token", "--valid-for", "8d") == (
        f"--valid-for is 8 days, above max-token-valid-for, which is 7 days ({paths.user_policy()}:1): shorten it, or "
        "raise max-token-valid-for in your own policy.toml."
    )
    assert command.refused("token", "--project", "a/b") == "--project 'a/b' is not a valid project name: correct it."
    assert command.refused("token", "--valid-for", "soon").startswith(
        "--valid-for is 'soon', expected a length of time"
    )


@pytest.mark.usefixtures("project")
def test_token_derives_from_a_master_on_standard_input_and_stores_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = new_master(identifier="piped")
    code, out, _ = command("token", "--master-stdin", stdin=f"{master}\n")
    assert code == 0
    assert Token.load(out.strip()).identifier == "piped"
    assert FileKeyring().passwords() == {}
    for pasted, reason in ((f'"{master}"', "the token is in quotes"), ("[MASKED]", "this is not a PyPI API token")):
        assert reason in command("token", "--master-stdin", stdin=pasted)[2]
    assert command("token", "--master-stdin", stdin=out)[0] == 0  # a derived one is narrowed further
    assert command.refused("token", "--valid-for", "0s") == "--valid-for is 0, expected at least one second."
    monkeypatch.setattr(terminal, "has_terminal", lambda: False)
    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(Refusal, match="is not asked for, because the variable CI is set"):
        grants._read_master(argparse.Namespace(master_stdin=True))
    assert command.refused("token", "--master-stdin") == (
        "no token given: paste it at the prompt, or send it to standard input; if a variable is piped there, such as "
        "PYPI_TOKEN, it is likely not set here: CI systems hide protected ones from other branches."
    )


@pytest.mark.usefixtures("project", "stored")
def test_the_window_begins_when_the_store_has_answered(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, get = 0.0, FileKeyring.get_password
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + answered)

    def slow(store: FileKeyring, service: str, username: str) -> str | None:
        nonlocal answered
        answered = 1000.0  # a passphrase that somebody types for a quarter of an hour
        return get(store, service, username)

    monkeypatch.setattr(FileKeyring, "get_password", slow)
    _, not_after, not_before = json.loads(Token.load(command("token")[1].strip()).raw_caveats[0])
    assert (not_before, not_after) == (int(now + 1000) - 60, int(now + 1000) + 900)


@pytest.mark.usefixtures("project", "stored")
def test_exec_ends_as_its_command_does(run: Run) -> None:
    assert (
        run(
            "keyring_pypitoken",
            "exec",
            "-r",
            "pypi",
            "--project",
            "demo",
            "--",
            sys.executable,
            "-c",
            "raise SystemExit(7)",
        ).returncode
        == 7
    )
    done = run(
        "keyring_pypitoken", "exec", "-r", "testpypi", "--project", "demo", "--", sys.executable, "-c", "print('ran')"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "keyring-pypitoken: no master is stored for testpypi: run `keyring-pypitoken login -r testpypi`.\n"
    )


@POSIX
def test_on_windows_exec_starts_what_it_found_and_waits(work: Path) -> None:
    (work / "bin").mkdir()
    for program, code in ((work / "tool", 1), (work / "bin" / "tool", 7)):
        write_program(program, "/bin/sh", "-c", f"exit {code}")
    assert grants._run(str(work / "bin" / "tool"), ["tool"], {"PATH": f".{os.pathsep}{work}"}, "nt") == 7


@pytest.mark.skipif(os.name != "posix", reason="elsewhere there are no such signals")
@pytest.mark.usefixtures("project", "stored")
def test_exec_passes_signals_on(run: Run) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert run(*EXEC, "-r", "pypi", "--", sys.executable, "-c", code).returncode == -15


@pytest.mark.usefixtures("project", "stored")
def test_exec_refuses_a_program_that_is_not_on_path(command: Command) -> None:
    assert command.refused("exec", "--", "no-such-program", "x") == (
        "the program 'no-such-program' is not on PATH: install it, or correct its name."
    )
    assert read_history() == []


@pytest.mark.parametrize(
    ("options", "projects"),
    [(["-r", "pypi", "--project", "demo"], ("demo",)), (["-r", "testpypi", "one-1.0.zip"], ("one",))],
)
@pytest.mark.usefixtures("project", "stored")
def test_if_a_process_cannot_become_another_exec_waits(
    options: list[str], projects: tuple[str, ...], command: Command, monkeypatch: pytest.MonkeyPatch, work: Path
) -> None:
    import subprocess

    (work / "one-1.0.zip").touch()
    became: list[tuple[str, list[str]]] = []

    def become(program: str, arguments: list[str], environ: dict[str, str]) -> None:
        assert restrictions_of(environ["TWINE_PASSWORD"])
        became.append((program, arguments))

    monkeypatch.setattr(os, "execve", become, raising=False)
    wait = subprocess.Popen.wait
    interrupts = [KeyboardInterrupt]

    def interrupted(child: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if interrupts:
            raise interrupts.pop()
        return wait(child, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    words = [sys.executable, "-c", "raise SystemExit(3)"]
    keyring.set_password("https://test.pypi.org/legacy/", TOKEN, new_master("test.pypi.org"))
    assert command("exec", *options, "--", *words)[0] == 3
    assert became in ([], [(sys.executable, words)])
    assert interrupts == []
    assert [entry.projects for entry in read_history()] == [projects]
