"""Give every test a home of its own, and keyring's real chain with real backends in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import keyring
import pytest
import watcher
from file_keyring import FileKeyring
from loopback_index import IndexProcess
from refusal_cases import Stage
from sandbox import FOREIGN, STORES, Command, Result, Run, WritePolicy, forget, new_master

from keyring_pypitoken import paths
from keyring_pypitoken.cli import surroundings
from keyring_pypitoken.vault import masters, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["canary"]

# Neither a slow machine, nor an earlier run, nor a checkout that cannot be written changes the outcome of a test.
hypothesis.settings.register_profile("tests", database=None, deadline=None)
hypothesis.settings.load_profile("tests")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a home directory and an environment in which nothing of the developer's is found."""
    home = tmp_path / "home"
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        # pip's own settings stay: a test that builds a package installs its build tools.
        if not name.startswith("PIP_"):
            monkeypatch.delenv(name)
    for name, directory in {
        "HOME": home,
        "USERPROFILE": home,
        "APPDATA": home / "roaming",
        "LOCALAPPDATA": home / "local",
        # On Windows platformdirs asks the system, unless these name the directories.
        "WIN_PD_OVERRIDE_APPDATA": home / "roaming",
        "WIN_PD_OVERRIDE_LOCAL_APPDATA": home / "local",
        "WIN_PD_OVERRIDE_COMMON_APPDATA": home / "common",
        "XDG_CONFIG_HOME": home / "config",
        "XDG_CONFIG_DIRS": home / "site",
        "XDG_DATA_HOME": home / "data",
        "XDG_STATE_HOME": home / "state",
        "XDG_CACHE_HOME": home / "cache",
        "XDG_RUNTIME_DIR": home / "runtime",
        "TEST_KEYRING_DIRECTORY": home / "keyrings",
        "MSYSTEM": "TESTS",  # so that messages name the commands of POSIX shells on Windows, too
    }.items():
        monkeypatch.setenv(name, str(directory))
    (home / "keyrings").mkdir(parents=True, mode=0o700)
    work = home / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "argv", ["uploader"])
    monkeypatch.delitem(sys.modules, "twine", raising=False)  # as if no test had loaded it
    monkeypatch.setattr(terminal, "has_terminal", lambda: False)  # no test asks the developer
    for module in (surroundings, masters):
        monkeypatch.setattr(module, "_PATIENCE", 60)  # a busy machine changes no answer
    forget()
    watcher.written.clear()
    yield home
    forget()
    assert watcher.written == [], "a test wrote into the developer's own directories"


@pytest.fixture
def work(home: Path) -> Path:
    """Return the current directory: an empty one below the home directory."""
    return home / "work"


def _writer(path: str) -> WritePolicy:
    def write(text: str, mode: int = 0o600) -> Path:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
        return file

    return write


@pytest.fixture
def user_policy(home: Path) -> WritePolicy:  # noqa: ARG001 - the directory must be known first
    """Return a function that writes the user's policy."""
    return _writer(paths.user_policy())


@pytest.fixture
def site_policy(home: Path) -> WritePolicy:  # noqa: ARG001 - the directory must be known first
    """Return a function that writes the machine's policy."""
    if sys.platform == "win32":
        pytest.skip("on Windows it is below Program Files, which no test writes")
    return _writer(paths.site_policies()[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each uploader showed, and what the index received from it."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    rows = [row for report in reports for name, row in report.user_properties if name == "uploader"]
    if rows:
        terminalreporter.section("uploaders")
    for uploader, what, shown, received in sorted(rows):
        for line in (*received, *([shown] if shown else [])):
            terminalreporter.line(f"{uploader:<34} {what:<8} {line}")
    cells = [row for report in reports for name, row in report.user_properties if name == "vault"]
    if cells:
        terminalreporter.section("vault x step")
    for what in dict.fromkeys(what for _, what, _ in cells):
        outcomes = dict(sorted((system, outcome) for system, asked, outcome in cells if asked == what))
        terminalreporter.line(f"{what:<14} {' '.join(f'{name}: {how:<14}' for name, how in outcomes.items())}")


@pytest.fixture
def run(work: Path) -> Run:
    """Return a function that runs `python -m ...` with keyring's chain of the tests."""

    def run(*arguments: str, stdin: str = "", cwd: Path | None = None, **environ: str) -> Result:
        env = os.environ | {"PYTHONPATH": str(STORES), "PYTHONIOENCODING": "utf-8", "COLUMNS": "1000"} | environ
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            input=stdin,
            cwd=cwd or work,
            env=env,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
            start_new_session=True,  # without the developer's terminal, which could be asked for a passphrase
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        return Result(done.args, done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def index() -> Iterator[IndexProcess]:
    """Serve the loopback index in a process of its own."""
    with IndexProcess() as index:
        yield index


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return what runs the command in this process."""
    return Command(capsys, monkeypatch)


@pytest.fixture
def stage(work: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Set the stage: an empty project called demo, and no master."""
    stage = Stage(work, user_policy, monkeypatch, FileKeyring())
    stage.project('[project]\nname = "demo"\n', "pyproject.toml")
    return stage


@pytest.fixture
def project(work: Path) -> Path:
    """Make the current directory one of a project."""
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    return work


@pytest.fixture
def stored() -> str:
    """Store a master; return its text."""
    master = new_master()
    keyring.set_password("https://upload.pypi.org/legacy/", "__token__", master)
    return master
