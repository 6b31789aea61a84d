"""What asks keyring: a program's name and arguments, what it is doing, and which files its running upload has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import keyring
import psutil  # type: ignore[import-untyped]  # it has no types
import pytest
from sandbox import Run, forget, new_master

from keyring_pypitoken.backend import REFUSED, RefusedDeleteError, RefusedSetError
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.uploaders import process as process_module
from keyring_pypitoken.uploaders import twine
from keyring_pypitoken.uploaders.process import ancestors, asker, is_keyring_command, parent_process, read_command_line
from keyring_pypitoken.uploaders.uploader import Process, all_uploaders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
HTTP = "http://upload.pypi.org/legacy/"
GET = ["get", HTTP, TOKEN]


@pytest.mark.parametrize(
    ("words", "program", "arguments"),
    [
        ("/usr/bin/uv publish", "uv", "publish"),
        ("/v/bin/python /v/bin/pdm publish -p x", "pdm", "publish -p x"),
        ("/v/bin/python3.11 -I -X dev -Wd /v/bin/pdm publish", "pdm", "publish"),
        ("python3 -W error -m pdm publish", "pdm", "publish"),
        ("pypy3.10 -m hatch", "hatch", ""),
        ("pythonw.exe pdm-script.py publish", "pdm", "publish"),
        ("python /lib/pdm/__main__.py publish", "pdm", "publish"),
        ("python /lib/pip/__pip-runner__.py install", "pip", "install"),
        ("Python -m pdm publish", "pdm", "publish"),
        ("python -c code demo-1.0.zip", "", ""),
        ("python - demo-1.0.zip", "", ""),
        ("python", "", ""),
        ("-bash", "-bash", ""),
        ("evil\x1b[2J publish", "", "publish"),
        ("nohup time -p twine upload", "twine", "upload"),
        ("timeout -k 5 30 uv publish", "uv", "publish"),
        ("timeout 30", "", ""),
        ("uvx --from twine==6.1.0 twine upload a", "twine", "upload a"),
        ("uv tool run -q twine==6 upload", "twine", "upload"),
        ("uv run --with twine -- twine upload", "twine", "upload"),
        ("uv run --frozen python -m twine upload", "twine", "upload"),
        ("uv run --new-option twine upload", "", ""),
        ("uv run --directory elsewhere twine upload", "", ""),
        ("env UV_WORKING_DIR= uv run twine upload", "twine", "upload"),
        ("pipx run --spec twine==6.1.0 twine upload", "twine", "upload"),
        ("poetry run twine upload", "twine", "upload"),
        ("pdm run -p x uv publish", "uv", "publish"),
        ("hatch run test:twine upload", "twine", "upload"),
        ("env -S twine upload", "", ""),
        ("env -- twine upload", "twine", "upload"),
        ("env A=1", "", ""),
        ("sh -c twine", "sh", "-c twine"),
        ("", "", ""),
    ],
)
def test_reads_a_command_line(words: str, program: str, arguments: str) -> None:
    process = read_command_line(words.split(" ") if words else [], Path("/d"), {"A": "1"})
    assert (process.program, process.arguments, process.directory) == (program, tuple(arguments.split()), Path("/d"))
    assert {name: value for name, value in process.environ.items() if value} == {"A": "1"}
    assert not process.is_parent


def test_reads_a_command_line_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    process = read_command_line([r"C:\My Tools\TWINE.EXE", "upload", r"dist\*"], Path(), {})
    assert (process.program, process.arguments) == ("twine", ("upload", r"dist\*"))


def test_reads_what_env_changes() -> None:
    words = ["env", "-u", "A", "--unset", "gone", "B=2", "C=x=y", "python", "-m", "twine", "upload"]
    process = read_command_line(words, Path("/d"), {"A": "1", "Z": "9"})
    assert (process.program, process.arguments) == ("twine", ("upload",))
    assert process.environ == {"B": "2", "C": "x=y", "Z": "9"}


@pytest.mark.parametrize(
    "words", ["uv run twine upload", "uvx twine upload", "env {}=elsewhere uv tool run twine upload"]
)
def test_no_evidence_comes_from_a_launcher_that_changes_the_directory(words: str) -> None:
    for variable in ("UV_WORKING_DIR", "UV_WORKING_DIRECTORY"):
        environ = {} if "{}" in words else {variable: "elsewhere"}
        process = read_command_line(words.format(variable).split(), Path("/d"), environ)
        assert (process.program, process.arguments) == ("", ())


# This process


@pytest.mark.parametrize(
    ("argv", "loaded", "program", "state"),
    [
        (["/usr/bin/twine", "upload", "dist/*"], "twine", "twine", "uploading"),
        (["/lib/twine/__main__.py", "upload", "dist/*"], "twine", "twine", "uploading"),
        (["twine", "check", "dist/*"], "twine", "twine", "other"),
        (["twine", "upload", "--help"], "twine", "twine", "other"),
        (["poetry", "publish"], "poetry", "poetry", "uploading"),
        (["poetry", "publish", "--dry-run"], "poetry", "poetry", "other"),
        (["poetry", "lock"], "poetry", "poetry", "other"),
        (["hatch", "env", "create"], "hatch", "hatch", "other"),
        (["/usr/bin/pip3.12", "install", "x"], "pip", "pip3.12", "other"),
        (["/lib/pip/__main__.py", "download", "x"], "pip", "pip", "other"),
        (["pip-compile"], "pip._internal.network.auth", "pip-compile", "other"),
        (["pipenv", "lock"], "pipenv.patched.pip._internal.network.auth", "pipenv", "other"),
        (["release.py"], "json", "release", "unknown"),
        (["release.py"], "twine", "release", "uploading"),  # it may use it as a library
        # Ignore a program that has an uploader's name but not its module.
        (["/usr/bin/flit", "publish"], "json", "", "unknown"),
        ([], "json", "", "unknown"),
    ],
)
def test_finds_what_this_process_does(
    argv: list[str], loaded: str, program: str, state: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, loaded, sys)
    monkeypatch.setattr(sys, "argv", argv)
    asking = asker()
    assert (asking.program, asking.state) == (program, state)
    assert (asking.arguments, asking.directory) == (tuple(argv[1:]), work)
    assert asking.environ is os.environ
    assert not asking.is_parent
    assert asking.files is None


UPLOADS = {
    "twine.commands.upload": "def upload(settings, dists):\n uploads = ['dist/a-1.0.zip']\n return ask()",
    "pdm.cli.commands.publish": (
        "class Command:\n def handle(self, project, options):\n  package_files = ['dist/a-1.0.zip']\n  return ask()"
    ),
    "poetry.publishing.publisher": (
        "class Publisher:\n files = ['dist/a-1.0.zip']\n def publish(self, name, dry_run=False): return ask()"
    ),
    "hatch.publish.index": (
        "class IndexPublisher:\n root = '.'\n"
        " def publish(self, artifacts, options):\n  artifacts = ['dist']\n  return ask()"
    ),
}
CALLS = {
    "twine": "upload(None, ['dist/*'])",
    "pdm": "Command().handle(None, None)",
    "poetry": "Publisher().publish('pypi')",
    "hatch": "IndexPublisher().publish([], {})",
}


def call(
    module: str, code: str, expression: str, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], Any] = asker
) -> Any:
    """Run an expression in a stand-in for a module of an uploader."""
    name = module.partition(".")[0]
    monkeypatch.setitem(sys.modules, name, sys)
    inside: dict[str, Any] = {"__name__": module, "ask": ask}
    exec(code, inside)  # noqa: S102 - real uploaders are run elsewhere
    return eval(expression, inside)  # noqa: S307 - likewise


@pytest.mark.parametrize("module", UPLOADS)
def test_finds_the_upload_that_a_script_runs(module: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module.partition(".")[0]
    (work / "dist").mkdir()
    (work / "dist" / "a-1.0.tar.gz").touch()
    (work / "dist" / "notes.txt").touch()
    monkeypatch.setattr(sys, "argv", ["release.py", "publish"])
    asking = call(module, UPLOADS[module], CALLS[name], monkeypatch)
    assert (asking.state, asking.program, asking.arguments) == ("uploading", name, ())
    file = work / "dist" / ("a-1.0.tar.gz" if name == "hatch" else "a-1.0.zip")
    assert asking.files == (file,)
    # In another version of it the files are elsewhere.
    renamed = UPLOADS[module].replace("uploads", "u").replace("files", "f").replace("root", "r")
    asking = call(module, renamed, CALLS[name], monkeypatch)
    assert (asking.state, asking.files) == ("uploading", ())


def test_the_uploaders_own_command_line_counts_beside_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pdm", "publish", "-p", "x"])
    asking = call("pdm.cli.commands.publish", UPLOADS["pdm.cli.commands.publish"], CALLS["pdm"], monkeypatch)
    assert asking.arguments == ("publish", "-p", "x")


def test_a_dry_run_is_no_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "poetry.publishing.publisher"
    monkeypatch.setattr(sys, "argv", ["poetry", "publish", "--dry-run"])
    asking = call(module, UPLOADS[module], "Publisher().publish('pypi', dry_run=True)", monkeypatch)
    assert (asking.state, asking.files) == ("other", None)


def test_an_uploader_that_asks_before_it_builds_has_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["release.py"])
    asking = call("flit.upload", "def main(ini_path): return ask()", "main('x')", monkeypatch)
    assert (asking.program, asking.state, asking.files) == ("flit", "uploading", None)


def test_a_script_that_asks_twine_for_its_password_uploads(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["release.py"])
    code = "class Resolver:\n def password(self): return ask()"

    def resolve() -> Any:
        return call("twine.auth", code, "Resolver().password()", monkeypatch)

    asking = resolve()
    assert (asking.program, asking.state, asking.files) == ("twine", "uploading", None)
    module = "twine.commands.upload"
    assert call(module, UPLOADS[module], CALLS["twine"], monkeypatch, resolve).files == (work / "dist" / "a-1.0.zip",)


# What started the `keyring` command


def test_recognizes_the_keyring_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring.cli  # noqa: F401 - it is what the command loads

    for name in ("/usr/bin/keyring", "keyring.exe", "keyring-script.py", os.path.join("keyring", "__main__.py")):
        monkeypatch.setattr(sys, "argv", [name, "get"])
        assert is_keyring_command()
    for words in (["/usr/bin/twine", "get"], ["my-keyring", "get"], []):
        monkeypatch.setattr(sys, "argv", words)
        assert not is_keyring_command()
        assert parent_process() is None
    monkeypatch.setattr(sys, "argv", ["keyring", "get"])
    monkeypatch.delitem(sys.modules, "keyring.cli")
    assert not is_keyring_command()


@pytest.fixture
def started_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let this process be `keyring get`, started by command lines, the nearest first; None cannot be read."""
    import keyring.cli  # noqa: F401 - it is what the command loads

    def start(*lines: str | None) -> None:
        def ancestors() -> Iterator[tuple[int, list[str]]]:
            for number, line in enumerate(lines, 100):
                if line is None:
                    raise PermissionError
                yield number, line.split(" ")

        forget()
        monkeypatch.setattr(sys, "argv", ["keyring", *GET])
        monkeypatch.setattr(process_module, "ancestors", ancestors)

    return start


THIS = " ".join(GET)


@pytest.mark.parametrize(
    ("lines", "program", "arguments", "state"),
    [
        (["uv publish dist/*"], "uv", "publish dist/*", "uploading"),
        (["uv --directory x publish"], "uv", "--directory x publish", "uploading"),
        (["/v/bin/python /v/bin/pdm publish -p x"], "pdm", "publish -p x", "uploading"),
        # Options that are not known are passed over.
        (["uv --new publish a"], "uv", "--new publish a", "uploading"),
        (["uv --new value publish a"], "uv", "publish a", "uploading"),
        (["uv --new value lock publish"], "uv", "lock publish", "other"),
        # They upload nothing.
        (["uv publish --dry-run"], "uv", "publish --dry-run", "other"),
        (["uv lock"], "uv", "lock", "other"),
        (["uv add publish"], "uv", "add publish", "other"),
        (["uv --project publish lock"], "uv", "--project publish lock", "other"),
        (["uv brand-new"], "uv", "", "other"),
        (["uv"], "uv", "", "other"),
        (["pdm lock"], "pdm", "lock", "other"),
        (["poetry lock"], "poetry", "lock", "other"),
        (["pip install x"], "pip", "install x", "other"),
        (["python -m pip install x"], "pip", "install x", "other"),
        (["/usr/bin/python3 /lib/pip/__pip-runner__.py install x"], "pip", "install x", "other"),
        # What a launcher installs before it runs something
        (["uv run uv publish"], "uv", "publish", "other"),
        (["uv run pytest"], "pytest", "", "other"),
        (["uv run --with keyring pytest"], "pytest", "", "other"),
        ([f"uv run keyring {THIS} more"], "keyring", f"{THIS} more", "other"),
        (["uv run --new pytest"], "", "", "other"),
        (["uv --quiet run pytest"], "uv", "--quiet run pytest", "other"),
        (["uvx twine upload x"], "twine", "upload x", "other"),
        (["pipx run twine upload x"], "twine", "upload x", "other"),
        # A script, or a person, also behind what only runs this command
        (["-bash"], "-bash", "", "unknown"),
        (["uv-publish publish"], "uv-publish", "publish", "unknown"),
        (["bash -c x"], "bash", "-c x", "unknown"),
        (["python release.py"], "release", "", "unknown"),
        ([f"uv run --with keyring keyring {THIS}", "zsh"], "zsh", "", "unknown"),
        ([f"timeout 5 keyring {THIS}"], "", "", "unknown"),
        ([], "", "", "unknown"),
        # The launchers of Windows are processes of their own.
        ([rf"D:\python.exe D:\keyring.exe {THIS}", f"keyring {THIS}", "uv publish a"], "uv", "publish a", "uploading"),
        ([f"python -m keyring {THIS}", "uv.exe lock"], "uv", "lock", "other"),
        ([f"cmd /c keyring {THIS}", "uv publish"], "cmd", f"/c keyring {THIS}", "unknown"),
    ],
)
def test_finds_what_started_the_keyring_command(
    lines: list[str],
    program: str,
    arguments: str,
    state: str,
    started_by: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if any("\\" in line for line in lines):
        monkeypatch.setattr(sys, "platform", "win32")
    started_by(*lines)
    asking = asker()
    assert (asking.program, " ".join(asking.arguments), asking.state) == (program, arguments, state)
    assert asking.is_parent
    parent = parent_process()
    assert parent is not None
    assert (parent.program, parent.uploader) == (asking.program, asking.uploader)


def test_every_subcommand_of_uv_and_pdm_decides(started_by: Callable[..., None]) -> None:
    for uploader in all_uploaders():
        assert uploader.uses_command is bool(uploader.subcommands)
        for name in uploader.subcommands.split():
            started_by(f"{uploader.name} {name} publish")
            assert asker().state == ("uploading" if name == "publish" else "other"), name


def test_what_cannot_be_read_may_be_an_uploader_unless_a_person_sees_the_answer(
    started_by: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for lines in ([None], [f"keyring {THIS}", None]):
        started_by(*lines)
        with pytest.raises(Refusal) as caught:
            asker()
        assert str(caught.value) == (
            "the program that started `keyring` cannot be seen, so it is unknown whether it uploads: run "
            "`keyring-pypitoken exec -- uv publish`, or the like for your uploader."
        )
        assert parent_process() is None
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    seen = asker()
    assert (seen.program, seen.arguments, seen.is_parent, seen.state) == ("", (), True, "unknown")


def test_a_directory_that_is_gone_hides_no_uploader(started_by: Callable[..., None], work: Path) -> None:
    if os.name == "nt":
        pytest.skip("Windows does not remove a directory in which a process is")
    started_by("uv publish")
    work.rmdir()
    assert asker().state == "uploading"
    assert keyring.get_password(HTTP, TOKEN) == REFUSED


# What each system says about it

WORDS = ["uv", "publish", "my dist/*", "", "a\nb", "-"]
PRINT = "import sys, keyring_pypitoken.uploaders.process as p; {} print(list(p.ancestors()))"


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "by psutil"])
def test_reads_the_arguments_of_what_started_this_process(elsewhere: bool) -> None:
    start = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    code = PRINT.format("import psutil; sys.platform = 'darwin';" if elsewhere else "")
    words = [sys.executable, "-c", start, code, *WORDS]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    first, *others = eval(done.stdout)  # noqa: S307 - what our own code printed
    assert first[1] == words
    assert bool(others) is (elsewhere or sys.platform != "linux")


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let the system be one that psutil reads, with these command lines above this process; errors are raised."""
    lines: list[object] = []

    class Process(SimpleNamespace):
        def parent(self) -> Process | None:
            return Process(pid=self.pid + 1) if self.pid < len(lines) else None

        def cmdline(self) -> object:
            line = lines[self.pid - 1]
            if isinstance(line, Exception):
                raise line
            return line

    monkeypatch.setattr(psutil, "Process", lambda: Process(pid=0))
    monkeypatch.setattr(sys, "platform", "win32")
    return lines


def test_launchers_are_processes_of_their_own(system: list[object]) -> None:
    system += [["python.exe", "keyring.exe"], ["keyring.exe"], ["uv.exe", "publish"]]
    assert list(ancestors()) == [(1, system[0]), (2, system[1]), (3, system[2])]


@pytest.mark.parametrize("problem", [psutil.AccessDenied(1), psutil.NoSuchProcess(1), [], [""]])
def test_what_cannot_be_read_is_an_error(problem: object, system: list[object]) -> None:
    system += [["cmd.exe"], problem]
    above = ancestors()
    assert next(above) == (1, ["cmd.exe"])
    with pytest.raises(OSError):  # noqa: PT011 - of any kind
        next(above)


def test_without_psutil_nothing_can_be_read(system: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    system += [["uv", "publish"]]
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(OSError):  # noqa: PT011 - of any kind
        next(ancestors())


@pytest.mark.skipif(sys.platform != "linux", reason="only there the kernel's files are read")
def test_what_was_started_from_outside_of_a_container_has_no_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [pid for pid, _ in ancestors()] == [os.getppid()]
    monkeypatch.setattr(os, "getppid", lambda: 0)
    assert list(ancestors()) == []
    monkeypatch.setattr(os, "getppid", lambda: 2**30)
    with pytest.raises(FileNotFoundError):
        next(ancestors())


# When a refusal ends the program

UPLOADERS = {
    "twine": ["upload"],
    "flit": ["publish"],
    "hatch": ["publish"],
    "poetry": ["publish", "-r", "pypi"],
    "pdm": ["publish"],
    "devpi": ["push", "demo==1.0", "pypi:main"],
}


def test_a_constant_text_is_printed_for_an_uploader_that_would_go_on(started_by: Callable[..., None]) -> None:
    for line in ("uv publish", "/v/bin/python /v/bin/pdm publish"):
        started_by(line)
        credential = keyring.get_credential(HTTP, None)
        assert credential is not None
        assert keyring.get_password(HTTP, TOKEN) == credential.password == REFUSED
    started_by("twine upload")
    with pytest.raises(SystemExit):
        keyring.get_password(HTTP, TOKEN)
    for line in ("uv pip install x", "pdm install", "pip install x", "bash"):
        started_by(line)
        assert keyring.get_password(HTTP, TOKEN) is None


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """Return a function that lets this process be another program, with the modules of all uploaders."""
    for name in UPLOADERS:
        monkeypatch.setitem(sys.modules, name, sys)
    return lambda words: monkeypatch.setattr(sys, "argv", words)


def test_a_refusal_ends_an_uploader_that_uploads(program: Callable[[list[str]], None]) -> None:
    for name, words in UPLOADERS.items():
        program([f"/usr/bin/{name}", *words])
        for ask in (lambda: keyring.get_password(HTTP, TOKEN), lambda: keyring.get_credential(HTTP, None)):
            with pytest.raises(SystemExit) as ended:
                ask()
            assert ended.value.code == 1
    for words in (["/usr/bin/poetry", "install"], ["/usr/bin/pdm", "config"]):
        program(words)
        assert keyring.get_password(HTTP, TOKEN) is None


@pytest.mark.parametrize(
    ("words", "ends"),
    [
        ("flit publish", True),
        ("hatch publish", True),
        ("poetry config pypi-token.pypi hunter2", True),
        ("pdm config repository.pypi.password", True),
        ("pdm publish", False),  # another file is yet to be uploaded
        ("release", False),
    ],
)
def test_what_cannot_be_stored_ends_some(words: str, ends: bool, program: Callable[[list[str]], None]) -> None:
    program(words.split())
    with pytest.raises(SystemExit if ends else RefusedSetError):
        keyring.set_password(PYPI, TOKEN, "hunter2")
    with pytest.raises(RefusedDeleteError):
        keyring.delete_password(PYPI, TOKEN)


def test_the_keyring_command_ends_with_the_sentence(run: Run) -> None:
    assert run("keyring", "set", PYPI, TOKEN, stdin=new_master()).returncode == 0
    done = run("keyring", "get", PYPI, TOKEN)  # for no project
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("keyring-pypitoken: ")
    assert done.stderr.count("\n") == 1


def test_only_a_plain_answer_makes_an_asker_pip_or_passes_over_a_file(
    monkeypatch: pytest.MonkeyPatch, work: Path
) -> None:
    """A fault there would decline a lookup, or make a token valid for longer."""
    monkeypatch.setattr(process_module, "re", SimpleNamespace(fullmatch=lambda *_: {0: object()}))
    monkeypatch.setattr(twine, "fnmatch", lambda *_: object())
    assert not process_module._is_pip("make")
    (work / "demo-1.0.tar.gz").touch()
    uploading = Process("twine", ("upload", "demo-1.0.tar.gz"), work, {})
    assert twine.UPLOADER.find_files(uploading) == (work / "demo-1.0.tar.gz",)
