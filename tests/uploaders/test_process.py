"""Which program asks: its name, its arguments, what it is doing; or the same of its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keyring
import pytest
from sandbox import Run, new_master

from keyring_pypitoken.backend import REFUSED, RefusedDeleteError, RefusedError, RefusedSetError
from keyring_pypitoken.uploaders import process, windows
from keyring_pypitoken.uploaders.parent import READERS
from keyring_pypitoken.uploaders.process import parent_process, read_command_line, this_process
from keyring_pypitoken.uploaders.uploader import Process

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
HTTP = "http://upload.pypi.org/legacy/"


@pytest.mark.parametrize(
    ("words", "program", "arguments"),
    [
        ("/usr/bin/uv publish", "uv", "publish"),
        ("uv.exe publish", "uv", "publish"),
        ("/v/bin/python /v/bin/pdm publish -p x", "pdm", "publish -p x"),
        ("/v/bin/python3.11 -I -X dev -Wd /v/bin/pdm publish", "pdm", "publish"),
        ("python3 -W error -m pdm publish", "pdm", "publish"),
        ("pypy3.10 -m hatch", "hatch", ""),
        ("pythonw.exe pdm-script.py publish", "pdm", "publish"),
        ("python /lib/pdm/__main__.py publish", "pdm", "publish"),
        ("Python -m pdm publish", "pdm", "publish"),
        ("python -c code demo-1.0.zip", "", ""),
        ("python - demo-1.0.zip", "", ""),
        ("python", "", ""),
        ("python -I", "", ""),
        ("-bash", "-bash", ""),
        ("evil\x1b[2J publish", "", "publish"),
        ("nice -n 5 /v/bin/twine upload a", "twine", "upload a"),
        ("nice -5 twine upload a", "", ""),
        ("nohup time -p stdbuf -oL setsid -w twine upload", "twine", "upload"),
        ("timeout -k 5 30 uv publish", "uv", "publish"),
        ("timeout 30", "", ""),
        ("uvx twine@6.1.0 upload a", "twine", "upload a"),
        ("uvx --from twine==6.1.0 twine upload a", "twine", "upload a"),
        ("uv tool run -q twine==6 upload", "twine", "upload"),
        ("uv run --with twine -- twine upload", "twine", "upload"),
        ("uv run --frozen python -m twine upload", "twine", "upload"),
        ("uv run --new-option twine upload", "", ""),
        ("uv run --offline --no-project -m twine upload", "twine", "upload"),
        ("uv run --directory elsewhere twine upload", "", ""),
        ("env UV_WORKING_DIR= uv run twine upload", "twine", "upload"),
        ("pipx run --spec twine==6.1.0 twine upload", "twine", "upload"),
        ("env -S twine upload", "", ""),
        ("env -- twine upload", "twine", "upload"),
        ("env A=1", "", ""),
        ("sh -c twine", "sh", "-c twine"),
        ("", "", ""),
    ],
)
def test_reads_a_command_line(words: str, program: str, arguments: str) -> None:
    found = read_command_line(words.split(" ") if words else [], Path("/d"), {"A": "1"})
    assert (found.program, found.arguments, found.directory) == (program, tuple(arguments.split()), Path("/d"))
    assert {name: value for name, value in found.environ.items() if value} == {"A": "1"}
    assert not found.is_parent


def test_reads_what_env_changes() -> None:
    words = ["env", "-u", "A", "--unset", "gone", "B=2", "C=x=y", "python", "-m", "twine", "upload"]
    found = read_command_line(words, Path("/d"), {"A": "1", "Z": "9"})
    assert (found.program, found.arguments, found.environ) == ("twine", ("upload",), {"B": "2", "C": "x=y", "Z": "9"})


@pytest.mark.parametrize("variable", ["UV_WORKING_DIR", "UV_WORKING_DIRECTORY"])
@pytest.mark.parametrize(
    "words", ["uv run twine upload", "uvx twine upload", "env {}=elsewhere uv tool run twine upload"]
)
def test_no_evidence_comes_from_a_launcher_that_changes_the_directory(variable: str, words: str) -> None:
    environ = {} if "{}" in words else {variable: "elsewhere"}
    found = read_command_line(words.format(variable).split(), Path("/d"), environ)
    assert (found.program, found.arguments) == ("", ())


@pytest.mark.parametrize(
    ("argument", "loaded", "expected"),
    [
        ("/usr/bin/keyring", True, True),
        ("keyring.exe", True, True),
        ("keyring-script.py", True, True),
        (os.path.join("site-packages", "keyring", "__main__.py"), True, True),
        ("/usr/bin/twine", True, False),
        ("keyring", False, False),
        ("my-keyring", True, False),
        (None, True, False),
    ],
)
def test_recognizes_the_keyring_command(
    argument: str | None, loaded: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keyring.cli  # noqa: F401 - it is what the command loads

    monkeypatch.setattr(sys, "argv", [] if argument is None else [argument, "get"])
    if not loaded:
        monkeypatch.delitem(sys.modules, "keyring.cli")
    assert process.is_keyring_command() is expected


def test_describes_this_process(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "twine", sys)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/twine", "upload", "dist/*"])
    found = this_process()
    assert (found.program, found.arguments, found.directory) == ("twine", ("upload", "dist/*"), work)
    assert found.environ is os.environ
    assert not found.is_parent


def test_a_program_that_only_bears_an_uploaders_name_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/flit", "publish", "dist/*"])
    monkeypatch.delitem(sys.modules, "flit", raising=False)
    assert this_process().program == ""


def test_a_release_tool_that_runs_twine_is_described_as_twine(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = SimpleNamespace(command="upload", args=["demo-1.0.tar.gz"])
    monkeypatch.setitem(sys.modules, "twine", sys)
    monkeypatch.setitem(sys.modules, "twine.cli", SimpleNamespace(args=parsed))
    monkeypatch.setattr(sys, "argv", ["/usr/bin/fullrelease", "--no-input"])
    assert this_process() == Process("twine", ("upload", "demo-1.0.tar.gz"), work, os.environ)


@pytest.mark.parametrize("platform", READERS)
@pytest.mark.parametrize("parent", [0, 1])
def test_the_process_that_adopts_orphans_is_not_a_parent(
    parent: int, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keyring.cli  # noqa: F401 - it is what the command loads

    monkeypatch.setattr(sys, "argv", ["keyring", "get", PYPI, TOKEN])
    monkeypatch.setattr(os, "getppid", lambda: parent)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setitem(READERS, platform, lambda _pid: ["uv", "publish", "demo-1.0.zip"])
    found = this_process()
    assert (found.program, found.arguments, found.is_parent) == ("", (), True)


PROGRAMS = [
    (["uv", "publish"], True),
    (["uv", "pip", "install", "x"], False),
    (["/v/bin/python", "/v/bin/pdm", "publish"], True),
    (["pdm", "install"], False),
    (["bash"], False),
    (["twine", "upload"], False),
]


@pytest.mark.parametrize("gone", [False, True], ids=["", "in a directory that is gone"])
@pytest.mark.parametrize(
    ("parent", "printed"), PROGRAMS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_constant_text_is_printed_only_for_an_uploader_that_would_go_on(
    parent: list[str], printed: bool, gone: bool, monkeypatch: pytest.MonkeyPatch, work: Path
) -> None:
    import keyring.cli

    monkeypatch.setattr(sys, "argv", ["keyring", "get", HTTP, TOKEN])
    monkeypatch.setattr(process, "_parents_command_line", lambda: parent)
    if gone:
        if os.name == "nt":
            pytest.skip("Windows does not remove a directory in which a process is")
        if not printed and parent[0] in ("uv", "pdm"):
            pytest.skip("what it does cannot be told then: the text is printed")
        work.rmdir()
    if printed:
        credential = keyring.get_credential(HTTP, None)
        assert credential is not None
        assert keyring.get_password(HTTP, TOKEN) == credential.password == REFUSED
        return
    for ask in (lambda: keyring.get_password(HTTP, TOKEN), lambda: keyring.get_credential(HTTP, None)):
        with pytest.raises(SystemExit) as ended:
            ask()
        assert ended.value.code == 1


def test_a_program_without_a_name_is_described_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    found = this_process()
    assert (found.program, found.arguments) == ("", ())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc itself, to compare")
def test_the_keyring_command_stands_for_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring.cli  # noqa: F401 - it is what the command loads

    monkeypatch.setattr(sys, "argv", ["keyring", "get", PYPI, TOKEN])
    found = this_process()
    assert found.is_parent
    with open(f"/proc/{os.getppid()}/cmdline", "rb") as file:
        words = os.fsdecode(file.read()).rstrip("\0").split("\0")
    expected = read_command_line(words, Path.cwd(), {})
    assert (found.program, found.arguments) == (expected.program, expected.arguments)


@pytest.mark.skipif(sys.platform not in READERS, reason="Windows has a test of its own")
def test_reads_the_arguments_of_another_process() -> None:
    words = [sys.executable, "-c", "print(flush=True);input()", "my dist/demo-1.0.zip", ""]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        found = READERS[sys.platform](waiting.pid)
        waiting.communicate(b"\n")
    assert found == words


@pytest.mark.parametrize("platform", ["win32", "linux", "darwin", "freebsd14"])
def test_if_the_parent_is_not_known_there_is_no_evidence(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring.cli  # noqa: F401 - it is what the command loads

    def gone(pid: int) -> list[str]:
        raise ProcessLookupError(pid)

    monkeypatch.setattr(sys, "argv", ["keyring", "get", PYPI, TOKEN])
    for known in ("linux", "darwin"):
        monkeypatch.setitem(READERS, known, gone)
    monkeypatch.setattr(windows, "look", gone)
    monkeypatch.setattr(sys, "platform", platform)
    found = this_process()
    assert (found.program, found.arguments, found.is_parent) == ("", (), True)
    assert parent_process() == found


def test_another_program_than_the_keyring_command_has_no_parent_of_interest() -> None:
    assert parent_process() is None


# When a refusal ends the program

UPLOADERS = {
    "twine": ["upload"],
    "flit": ["publish"],
    "hatch": ["publish"],
    "poetry": ["publish", "-r", "pypi"],
    "pdm": ["publish"],
    "devpi": ["push", "demo==1.0", "pypi:main"],
}


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let this process be another program: its module is loaded, its name stands first."""
    for name in UPLOADERS:
        monkeypatch.setitem(sys.modules, name, sys)
    return monkeypatch


@pytest.mark.parametrize("name", UPLOADERS)
def test_a_refusal_ends_an_uploader(name: str, program: pytest.MonkeyPatch) -> None:
    program.setattr(sys, "argv", [f"/usr/bin/{name}", *UPLOADERS[name]])
    for ask in (lambda: keyring.get_password(HTTP, TOKEN), lambda: keyring.get_credential(HTTP, None)):
        with pytest.raises(SystemExit) as ended:
            ask()
        assert ended.value.code == 1


@pytest.mark.parametrize(
    "arguments", [["/usr/bin/poetry", "install"], ["/usr/bin/pdm", "config"], ["/usr/bin/release", "publish"], []]
)
def test_a_refusal_ends_nothing_else(arguments: list[str], program: pytest.MonkeyPatch) -> None:
    program.setattr(sys, "argv", arguments)
    with pytest.raises(RefusedError):
        keyring.get_password(HTTP, TOKEN)


@pytest.mark.parametrize(
    ("arguments", "ends"),
    [
        (["flit", "publish"], True),
        (["hatch", "publish"], True),
        (["poetry", "config", "pypi-token.pypi", "hunter2"], True),
        (["pdm", "config", "repository.pypi.password"], True),
        (["pdm", "publish"], False),  # another file is yet to be uploaded
        (["twine", "upload"], False),
        (["release"], False),
    ],
)
def test_what_cannot_be_stored_ends_some(arguments: list[str], ends: bool, program: pytest.MonkeyPatch) -> None:
    program.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit if ends else RefusedSetError):
        keyring.set_password(PYPI, TOKEN, "hunter2")


@pytest.mark.parametrize("arguments", [["poetry", "config", "pypi-token.pypi", "--unset"], ["pdm", "config"]])
def test_what_cannot_be_deleted_ends_no_uploader(arguments: list[str], program: pytest.MonkeyPatch) -> None:
    program.setattr(sys, "argv", arguments)
    with pytest.raises(RefusedDeleteError):
        keyring.delete_password(PYPI, TOKEN)


def test_the_keyring_command_ends_with_the_sentence(run: Run) -> None:
    assert run("keyring", "set", PYPI, TOKEN, stdin=new_master()).returncode == 0
    for words in (("get", HTTP), ("del", HTTP), ("get", PYPI)):
        done = run("keyring", *words, TOKEN)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("keyring-pypitoken: ")
        assert done.stderr.count("\n") == 1
