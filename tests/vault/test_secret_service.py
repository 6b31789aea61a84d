"""The desktop's own store: the real `keyring` command above a real Secret Service, and both when it fails.

The programs run without the tests' file keyring, so that keyring finds what it finds on a desktop.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import file_keyring
import keyring
import keyring.backend
import pytest
from keyring.backends.SecretService import Keyring as SecretServiceKeyring
from keyring.testing.backend import BackendBasicTests
from sandbox import Result, Run, forget, new_master
from secret_service import SecretService, missing

from keyring_pypitoken import DateRestriction, ProjectNamesRestriction, Token, lookup, rest
from keyring_pypitoken.backend import PyPITokenKeyring
from keyring_pypitoken.policy.model import Origin, StoreSettings, WithOrigin
from keyring_pypitoken.vault import backends, unprotected
from keyring_pypitoken.vault.masters import why_unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.secret_service,
    # The daemon itself dies now and then, in the middle of a question: then, and only then, the test is run again.
    pytest.mark.flaky(reruns=2, only_rerun=["disconnected from message bus"]),
]

PYPI = "https://upload.pypi.org/legacy/"
PRIVATE = f"keyring-pypitoken:{PYPI}"
TOKEN = "__token__"
STORE = "keyring.backends.SecretService.Keyring"
LOCKED = (
    f"keyring-pypitoken: the keyring backend {STORE} could not be read (KeyringLocked): "
    "unlock it in its own program, such as `seahorse`, and try again.\n"
)
GONE = (
    "keyring-pypitoken: no keyring that can be asked now holds the master that was stored for pypi (account {!r}): "
    "start or unlock the keyring that does, or, if it is gone for good, forget it with "
    "`keyring-pypitoken logout -r pypi{}`.\n"
)


@pytest.fixture(autouse=True)
def bus(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretService]:  # noqa: ARG001 - HOME is temporary
    """Start a D-Bus session, and make it this test's."""
    if absent := missing():
        reason = f"a real Secret Service needs {' and '.join(absent)}: install Debian's gnome-keyring and dbus"
        if os.environ.get("TEST_SECRET_SERVICE") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with SecretService(os.environ) as bus:
        for name in os.environ.keys() - bus.environ.keys():
            monkeypatch.delenv(name)
        for name, value in bus.environ.items():
            monkeypatch.setenv(name, value)
        yield bus


@pytest.fixture
def service(bus: SecretService, work: Path) -> SecretService:
    """Start a Secret Service on it, with its collection unlocked, and make the current directory a project's."""
    bus.start()
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    return bus


class Keyring:
    """The real `keyring` command, as its users have it."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, *arguments: str, stdin: str = "") -> Result:
        """Run it."""
        return self._run("keyring", *arguments, stdin=stdin, PYTHONPATH="")

    def set(self, master: str, url: str = PYPI) -> None:
        """Store a master, of which nothing is told."""
        done = self("set", url, TOKEN, stdin=master)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def get(self, url: str = PYPI) -> Token:
        """Look a token up, which must be found."""
        done = self("get", url, TOKEN)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("keyring-pypitoken: derived a token for ")
        return Token.load(done.stdout.strip())


@pytest.fixture
def command(run: Run) -> Keyring:
    """Return the real `keyring` command."""
    return Keyring(run)


def assert_derived(token: Token, identifier: str, project: str = "demo") -> None:
    """Check that a token is a master's, restricted in time and to a project."""
    assert token.identifier == identifier
    window, names = token.restrictions
    assert isinstance(window, DateRestriction)
    assert names == ProjectNamesRestriction([project])


# The main job.


@pytest.mark.usefixtures("service")
def test_keyring_finds_the_secret_service_and_none_of_the_tests_stores(command: Keyring) -> None:
    listed = command("--list-backends").stdout.splitlines()
    ranks = {name: float(rank.rstrip(")")) for name, rank in (line.split(" (priority: ") for line in listed)}
    assert {name for name, rank in ranks.items() if rank >= 1} == {
        "keyring.backends.chainer.ChainerBackend",
        "keyring_pypitoken.backend.PyPITokenKeyring",
        STORE,
    }


def test_set_get_and_del_leave_what_they_should(service: SecretService, command: Keyring) -> None:
    command.set(new_master(identifier="mine"))
    assert service.passwords() == {(PRIVATE, "default"): new_master(identifier="mine")}
    assert_derived(command.get(), "mine")
    assert service.passwords() == {(PRIVATE, "default"): new_master(identifier="mine")}
    assert command("del", PYPI, TOKEN).returncode == 0
    assert service.passwords() == {}
    done = command("get", PYPI, TOKEN)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_replacing_a_master_is_told(service: SecretService, command: Keyring) -> None:
    command.set(new_master())
    another = new_master(identifier="another")
    done = command("set", PYPI, TOKEN, stdin=another)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "",
        (
            f"keyring-pypitoken: replaced the master for pypi (account 'default') in {STORE}; if you no longer "
            "need the previous one, revoke it on pypi.org\n"
        ),
    )
    assert service.passwords() == {(PRIVATE, "default"): another}
    assert_derived(command.get(), "another")


def test_two_accounts_are_two_items(service: SecretService, command: Keyring) -> None:
    command.set(new_master(identifier="mine"))
    command.set(new_master(identifier="work"), f"{PYPI}?work")
    assert service.passwords().keys() == {(PRIVATE, "default"), (f"{PRIVATE}?work", "work")}
    assert_derived(command.get(), "mine")
    assert_derived(command.get(f"{PYPI}?work"), "work")
    assert command("del", f"{PYPI}?work", TOKEN).returncode == 0
    assert service.passwords().keys() == {(PRIVATE, "default")}
    assert_derived(command.get(), "mine")


@pytest.mark.parametrize("mode", ["password", "creds"])
def test_a_raw_master_under_the_upload_url_is_derived_from(service: SecretService, command: Keyring, mode: str) -> None:
    service.plant(PYPI, TOKEN, new_master(identifier="raw"))
    done = command("--mode", mode, "get", PYPI, TOKEN)
    *_, token = done.stdout.splitlines()
    assert_derived(Token.load(token), "raw")
    assert service.passwords() == {(PYPI, TOKEN): new_master(identifier="raw")}


def test_another_users_credential_is_not_ours(service: SecretService, command: Keyring) -> None:
    command.set(new_master())
    done = command("--mode", "creds", "get", PYPI, "joe")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    service.plant(PYPI, "joe", "hunter2")
    assert command("--mode", "creds", "get", PYPI, "joe").stdout == "joe\nhunter2\n"


def test_foreign_keys_go_to_the_secret_service_as_ever(service: SecretService, command: Keyring) -> None:
    command.set(new_master())
    assert command("set", "mail", "joe", stdin="secret").returncode == 0
    assert service.passwords() == {(PRIVATE, "default"): new_master(), ("mail", "joe"): "secret"}
    assert command("get", "mail", "joe").stdout == "secret\n"
    assert command("--mode", "creds", "get", "mail").stdout == "joe\nsecret\n"
    assert command("del", "mail", "joe").returncode == 0
    assert service.passwords() == {(PRIVATE, "default"): new_master()}


# A store that cannot be asked. Nothing may hang: the programs have a time limit, which fails the test.


@pytest.mark.parametrize(
    "arguments",
    [("get", PYPI), ("get", f"{PYPI}?work"), ("--mode", "creds", "get", PYPI), ("set", PYPI), ("del", PYPI)],
    ids=" ".join,
)
def test_a_locked_collection_is_a_refusal(service: SecretService, command: Keyring, arguments: tuple[str, ...]) -> None:
    command.set(new_master())
    service.lock()
    done = command(*arguments, TOKEN, stdin=new_master(identifier="another"))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", LOCKED)
    service.restart()
    assert service.passwords() == {(PRIVATE, "default"): new_master()}
    assert_derived(command.get(), Token.load(new_master()).identifier)


def test_a_locked_collection_may_hold_a_raw_master(service: SecretService, command: Keyring) -> None:
    service.plant(PYPI, TOKEN, new_master())
    service.lock()
    done = command("get", PYPI, TOKEN)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", LOCKED)


def test_a_service_without_a_collection_is_a_refusal(bus: SecretService, work: Path, command: Keyring) -> None:
    bus.start(with_login=False)
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    for call in ("get", "set"):
        done = command(call, PYPI, TOKEN, stdin=new_master())
        assert (done.returncode, done.stdout, done.stderr) == (1, "", LOCKED.replace("KeyringLocked", "InitError"))


@pytest.mark.parametrize("end", [SecretService.stop, SecretService.stop_bus], ids=["daemon", "bus"])
def test_a_master_in_a_service_that_is_gone_is_a_refusal(
    service: SecretService, command: Keyring, run: Run, end: Callable[[SecretService], None]
) -> None:
    command.set(new_master(), f"{PYPI}?work")
    command.set(new_master())
    end(service)
    for mode in ("password", "creds"):
        done = command("--mode", mode, "get", PYPI, TOKEN)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", GONE.format("default", ""))
    # What the sentence advises: the other account is then the next to be missed.
    done = run("keyring_pypitoken", "logout", "-r", "pypi", PYTHONPATH="")
    assert "only the note of it was deleted" in done.stderr
    assert command("get", PYPI, TOKEN).stderr == GONE.format("work", " --account work")
    assert run("keyring_pypitoken", "logout", "-r", "pypi", "--account", "work", PYTHONPATH="").returncode == 1
    done = command("get", PYPI, TOKEN)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.parametrize("end", [SecretService.stop, SecretService.stop_bus], ids=["daemon", "bus"])
def test_without_the_service_no_master_is_stored(
    home: Path, service: SecretService, command: Keyring, end: Callable[[SecretService], None]
) -> None:
    end(service)
    done = command("set", PYPI, TOKEN, stdin=new_master())
    assert (done.returncode, done.stdout) == (1, "")
    # The age file is next, which nothing opens here.
    assert done.stderr.startswith("keyring-pypitoken: the masters in ")
    assert "need a passphrase" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not any(new_master().encode() in file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_a_service_that_comes_back_serves_as_before(service: SecretService, command: Keyring) -> None:
    command.set(new_master(identifier="mine"))
    service.stop()
    assert command("get", PYPI, TOKEN).returncode == 1
    service.start()
    assert_derived(command.get(), "mine")


UPLOADER = """
import keyring
while line := input():
    try:
        print("found", keyring.get_password(line, "__token__"), flush=True)
    except Exception as error:
        print("raised", type(error).__mro__[1].__name__, error, flush=True)
"""


class Uploader:
    """A program that asks keyring more than once."""

    def __init__(self, **environ: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", UPLOADER],
            env=os.environ | {"PYTHONPATH": "", "PYTHONIOENCODING": "utf-8"} | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )

    def ask(self, url: str) -> str:
        """Let it ask, and return what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{url}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@pytest.fixture
def uploader() -> Iterator[Callable[..., Uploader]]:
    """Return a function that starts programs, which end with the test."""
    started: list[Uploader] = []

    def start(**environ: str) -> Uploader:
        started.append(Uploader(**environ))
        return started[-1]

    yield start
    for uploader in started:
        uploader._process.kill()
        uploader._process.communicate()


@pytest.mark.parametrize("end", [SecretService.stop, SecretService.stop_bus], ids=["daemon", "bus"])
def test_a_service_that_goes_while_an_uploader_runs_gives_nothing_away(
    service: SecretService, command: Keyring, uploader: Callable[..., Uploader], end: Callable[[SecretService], None]
) -> None:
    command.set(new_master(identifier="mine"))
    program = uploader(PYTHON_KEYRING_BACKEND="keyring_pypitoken.backend.PyPITokenKeyring")
    first = program.ask(PYPI)
    assert_derived(Token.load(first.removeprefix("found ")), "mine")
    end(service)
    assert program.ask(PYPI) == first
    assert program.ask(f"{PYPI}?work") == (
        "raised NoKeyringError a keyring backend stopped responding (RuntimeError): start its keyring, and try again."
    )


@pytest.mark.parametrize("end", [SecretService.lock, SecretService.stop, SecretService.stop_bus])
def test_whether_a_master_can_be_reached_is_known_without_a_dialog(
    service: SecretService, command: Keyring, end: Callable[[SecretService], None]
) -> None:
    settings = StoreSettings(backend=WithOrigin(STORE, Origin("policy.toml:1")))
    command.set(new_master())
    assert why_unreachable(lookup.PYPI, "default", settings) == ""
    assert why_unreachable(lookup.PYPI, "work", settings) == "", "it may be in a further store of the tests"
    store = SecretServiceKeyring()  # type: ignore[no-untyped-call]  # keyring's constructor
    assert backends.is_locked(store) is False
    end(service)
    assert backends.is_locked(store) is True
    if end is SecretService.lock:
        assert why_unreachable(lookup.PYPI, "default", settings) == (
            "the keyring is locked or not running (Secret Service, such as GNOME Keyring): unlock it in its own "
            "program, such as `seahorse`"
        )
        assert unprotected.find_in_keyrings(lookup.PYPI, "default", settings) is None


# The contract of keyring's backends, in keyring's own words.


class TestTheContractOfBackends(BackendBasicTests):
    """keyring's own test suite, through our backend in front of the Secret Service.

    All of it holds for keys that are not ours. For ours none of it can: what is read is never what was stored, only
    tokens can be stored, and one master serves several user names. The tests above say what holds instead.
    """

    @pytest.fixture(autouse=True)
    def _init_properties(self, service: SecretService, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Put the Secret Service back into keyring's registry, from which the tests' store took it, for this test."""
        del service
        monkeypatch.setenv("TEST_KEYRINGS", "")
        keyring.backend.KeyringBackend._classes.add(SecretServiceKeyring)
        forget()
        try:
            self.keyring = self.init_keyring()
            self.credentials_created: set[tuple[str, str]] = set()
            yield
            self.cleanup()  # type: ignore[no-untyped-call]  # keyring's has no types
        finally:
            file_keyring._take_out_the_desktop()

    def test_set_properties(self) -> None:  # type: ignore[override]  # without its fixture
        """Not ours: KEYRING_PROPERTY_* are for the backends behind us."""

    test_new_with_properties = test_set_properties

    def init_keyring(self) -> PyPITokenKeyring:
        """Return our backend, in front of the Secret Service."""
        first = keyring.get_keyring()
        assert isinstance(first, PyPITokenKeyring)
        assert type(rest.members()[0]) is SecretServiceKeyring
        return first
