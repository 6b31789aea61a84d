"""Every test gets a home of its own, and keyring's real chain with real backends that live there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import keyring.backend
import keyring.core
import pytest
from loopback_index import IndexProcess

from keyring_pypitoken import Token, age_file, locations, passphrase, pipeline, process, told

if TYPE_CHECKING:
    from collections.abc import Iterator

STORES = Path(__file__).parent / "stores"
_FOREIGN = (
    *("KEYRING_", "PYTHON_KEYRING", "GITHUB_", "ACTIONS_", "DBUS_", "XDG_", "PIP_"),
    *("TWINE_", "UV_PUBLISH_", "UV_KEYRING_", "FLIT_", "HATCH_", "POETRY_", "PDM_"),
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a home folder and an environment in which nothing of the developer's is found."""
    home = tmp_path / "home"
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        # pip's own settings stay: a test that builds a package installs its build tools.
        if not name.startswith("PIP_"):
            monkeypatch.delenv(name)
    for name, folder in {
        "HOME": home,
        "USERPROFILE": home,
        "APPDATA": home / "roaming",
        "LOCALAPPDATA": home / "local",
        "XDG_CONFIG_HOME": home / "config",
        "XDG_CONFIG_DIRS": home / "site",
        "XDG_DATA_HOME": home / "data",
        "XDG_STATE_HOME": home / "state",
        "XDG_CACHE_HOME": home / "cache",
        "XDG_RUNTIME_DIR": home / "runtime",
        "TEST_KEYRING_FOLDER": home / "keyrings",
    }.items():
        monkeypatch.setenv(name, str(folder))
    (home / "keyrings").mkdir(parents=True, mode=0o700)
    work = home / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "argv", ["uploader"])
    monkeypatch.setattr(passphrase, "has_terminal", lambda: False)  # no test asks the developer
    forget()
    yield home
    forget()


def forget() -> None:
    """Forget what this process remembers: paths, tokens, lines told, and keyring's backends."""
    for path in (
        locations.user_policy,
        locations.site_policy,
        locations.accounts_folder,
        locations.told_folder,
        locations.history_folder,
        locations.age_file,
    ):
        path.cache_clear()
    pipeline._memory.clear()
    told._told.clear()
    process._parents_command_line.cache_clear()
    age_file._opened.clear()
    passphrase._known.clear()
    vars(keyring.backend.get_all_keyring).pop("saved_result", None)
    keyring.core._keyring_backend = None


@pytest.fixture
def work(home: Path) -> Path:
    """Return the current folder: an empty one below the home folder."""
    return home / "work"


class WritePolicy(Protocol):
    """Writes a policy file and returns its path."""

    def __call__(self, text: str, mode: int = 0o600) -> Path:  # noqa: D102 - the class says it
        ...


def _writer(path: str) -> WritePolicy:
    def write(text: str, mode: int = 0o600) -> Path:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
        return file

    return write


@pytest.fixture
def user_policy(home: Path) -> WritePolicy:  # noqa: ARG001 - the folder must be known first
    """Return a function that writes the user's policy."""
    return _writer(locations.user_policy())


@pytest.fixture
def site_policy(home: Path) -> WritePolicy:  # noqa: ARG001 - the folder must be known first
    """Return a function that writes the machine's policy."""
    return _writer(locations.site_policy())


def new_master(domain: str = "pypi.org", identifier: str = "0fd630f1-f29d-4da9-953f-48f1a09f76b5") -> str:
    """Make a master as PyPI does; no server knows its key."""
    return Token.create(domain, identifier, b"a key of thirty-two bytes, no more").dump()


class Run(Protocol):
    """Runs a program in a process of its own."""

    def __call__(  # noqa: D102 - the class says it
        self, *arguments: str, stdin: str = "", cwd: Path | None = None, **environ: str
    ) -> Result: ...


class Result(subprocess.CompletedProcess[str]):
    """What a program printed, and its exit code."""


class MatrixRow(NamedTuple):
    """What an uploader did in a test, for the table that ends the run."""

    uploader: str
    what: str
    shown: str
    received: list[str]


_MATRIX: list[MatrixRow] = []


@pytest.fixture(scope="session")
def matrix() -> list[MatrixRow]:
    """Return the table; by a fixture, since pytest loads this file as another module than tests import."""
    return _MATRIX


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each uploader showed, and what the index received of it."""
    if _MATRIX:
        terminalreporter.section("uploaders")
    for row in _MATRIX:
        for line in (*row.received, *([row.shown] if row.shown else [])):
            terminalreporter.line(f"{row.uploader:<34} {row.what:<8} {line}")


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
