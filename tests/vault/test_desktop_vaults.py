"""Masters in the vaults of Windows and macOS: keyring's real backends over the system's calls in memory."""

from __future__ import annotations

import itertools
import shutil
import signal
from typing import TYPE_CHECKING

import keyring
import pytest
from fake_keychain import AUTH_FAILED, DENIED, DUPLICATE, Keychain
from fake_vault import FakeVault, TwoWriters, calls_of
from fake_win32cred import ACCESS_DENIED, CredentialManager
from keyring.backends import Windows, macOS
from refusal_cases import IDENTITY
from sandbox import WritePolicy, new_master

from keyring_pypitoken import Token, lookup, memory, paths
from keyring_pypitoken.backend import RefusedDeleteError, RefusedError, RefusedSetError
from keyring_pypitoken.policy.model import StoreSettings
from keyring_pypitoken.vault import backends, changes, unprotected
from keyring_pypitoken.vault.accounts import noted_accounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"
BACKENDS = {"Windows": "keyring.backends.Windows.WinVaultKeyring", "macOS": "keyring.backends.macOS.Keyring"}
LOST = "; what was stored for pypi (account 'default') before cannot be read now, and may be lost: store it again."
GONE = (
    "no keyring that can be asked now holds the master that was stored for pypi (account 'default'): start or "
    "unlock the keyring that does, or, if it is gone for good, forget it with "
    "`keyring-pypitoken logout -r pypi`."
)


@pytest.fixture(params=[CredentialManager, Keychain], ids=["Windows", "macOS"])
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Return an empty vault, below keyring's own backend."""
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    vault: FakeVault = request.param(monkeypatch)
    return vault


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> CredentialManager:
    """Return an empty credential manager of Windows'."""
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    return CredentialManager(monkeypatch)


@pytest.fixture
def keychain(monkeypatch: pytest.MonkeyPatch) -> Keychain:
    """Return an empty keychain of macOS'."""
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    return Keychain(monkeypatch)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for no neighbours of the private name, where calls are counted."""
    monkeypatch.setattr(changes, "_neighbours", lambda *_names, **_kind: iter(()))


def master(name: str) -> str:
    return new_master(identifier=name)


def url(label: str | None = None) -> str:
    return PYPI if label is None else f"{PYPI}?{label}"


def private(label: str | None = None) -> tuple[str, str]:
    return (PRIVATE, "default") if label is None else (f"{PRIVATE}?{label}", label)


def store(label: str | None, name: str) -> None:
    keyring.set_password(url(label), TOKEN, master(name))


def served(service: str = PYPI) -> str | None:
    """Return the name of the master that a restricted token was derived from, or that it is refused."""
    memory.forget()
    try:
        token = keyring.get_password(service, TOKEN)
    except RefusedError:
        return "refused"
    return None if token is None else Token.load(token).identifier


def in_store(vault: FakeVault) -> dict[str, str]:
    """Return the names of the masters by account; each must be there once only, under its own name."""
    masters = {user: Token.load(password).identifier for (_, user), password in vault.entries().items()}
    assert {name for name, _ in vault.entries()} == {
        private(None if user == "default" else user)[0] for user in masters
    }
    assert len(masters) == len(vault.entries())
    return masters


def message(kind: type[Exception], step: Callable[[], object]) -> str:
    memory.forget()
    with pytest.raises(kind) as error:
        step()
    return str(error.value)


def failed(vault: FakeVault, what: str, exception: str, remedy: str) -> str:
    return f"the keyring backend {BACKENDS[vault.name]} could not {what} ({exception}): {remedy}, and try again."


# Each account has a service of its own, and nothing of a replaced or deleted master stays


def test_masters_are_stored_replaced_and_deleted_without_a_copy(vault: FakeVault) -> None:
    assert served() is None
    for default, work in (("one", "two"), ("one", "three"), ("four", "three")):
        store(None, default)
        store("work", work)
        assert vault.entries() == {private(): master(default), private("work"): master(work)}
        assert (served(), served(url("work"))) == (default, work)
    for label in ("work", None):
        keyring.delete_password(url(label), TOKEN)
        assert private(label) not in vault.entries()
    assert vault.entries() == {}
    assert served() is None
    with pytest.raises(RefusedDeleteError):
        keyring.delete_password(PYPI, TOKEN)


def test_labels_that_differ_in_case_name_the_same_master(vault: FakeVault) -> None:
    store("work", "one")
    expected = (
        "a master for pypi is stored for the account 'work', which differs from 'Work' in case only: "
        "use that label or quite another one."
    )
    assert message(RefusedSetError, lambda: store("Work", "two")) == expected
    assert message(RefusedDeleteError, lambda: keyring.delete_password(url("Work"), TOKEN)) == expected
    assert in_store(vault) == {"work": "one"}
    assert served(url("WORK")) == "one"


def test_windows_does_not_replicate_masters_unless_the_user_says_how(
    manager: CredentialManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(None, "one")
    assert manager.persisted() == {2}, "CRED_PERSIST_LOCAL_MACHINE"
    keyring.set_password("mail", "joe", "a password")
    assert manager.persisted() == {2, 3}, "other passwords are stored as before"
    manager.content.clear()
    (backend,) = backends.keyring_backends(StoreSettings())
    monkeypatch.setattr(backend, "persist", "session")  # as KEYRING_PROPERTY_PERSIST does
    store(None, "two")
    assert manager.persisted() == {1}


def test_what_keyring_leaves_under_second_names_on_windows_is_found(manager: CredentialManager) -> None:
    store(None, "one")
    store("work", "two")
    assert unprotected.find_left(lookup.PYPI, StoreSettings()) == []
    below = Windows.WinVaultKeyring()  # type: ignore[no-untyped-call]  # keyring's constructor
    below.set_password(PRIVATE, "work", master("old"))  # type: ignore[no-untyped-call]  # keyring's; it moves the default account's
    assert unprotected.find_left(lookup.PYPI, StoreSettings()) == [
        (BACKENDS["Windows"], PRIVATE),
        (BACKENDS["Windows"], f"default@{PRIVATE}"),
    ]
    manager.content.clear()
    assert unprotected.find_left(lookup.PYPI, StoreSettings()) == []


# Locked, denied, no session


@pytest.mark.parametrize("how", ["locked", "denied"])
def test_what_cannot_be_read_is_refused(how: str, vault: FakeVault) -> None:
    store(None, "one")
    vault.failures = getattr(vault, how)
    assert [served(url(label)) for label in (None, "work", "default")] == ["refused"] * 3


def test_without_a_desktop_session_the_age_file_is_named(vault: FakeVault) -> None:
    def expected(what: str) -> str:
        return (
            f"the keyring backend {BACKENDS[vault.name]} could not {what} without a desktop session (error "
            f"{next(iter(vault.locked.values()))}, as over ssh): use it from the desktop; or keep the master in an "
            "encrypted file: install `keyring-pypitoken[age]`, and choose it with the lines `[store]` and `backend = "
            f'"age"` in {paths.user_policy()}.'
        )

    store(None, "one")
    before = vault.entries()
    vault.failures = {**vault.locked}
    assert message(RefusedError, lambda: keyring.get_password(PYPI, TOKEN)) == expected("be read")
    assert message(RefusedSetError, lambda: store(None, "two")) == expected("be read")
    vault.failures = {name: code for name, code in vault.locked.items() if name in ("CredDelete", "SecItemDelete")}
    assert message(RefusedDeleteError, lambda: keyring.delete_password(PYPI, TOKEN)) == expected("delete the master")
    assert vault.entries() == before
    vault.failures = {}
    assert served() == "one"


def test_the_age_file_serves_without_a_desktop_session(vault: FakeVault, home: Path, user_policy: WritePolicy) -> None:
    (home / "identity").write_text(IDENTITY)
    user_policy('[store]\nbackend = "age"\nidentity = "~/identity"\n')
    vault.failures = {**vault.locked}
    store(None, "one")
    assert served() == "one"
    assert vault.entries() == {}


def test_other_failures_say_how_to_unlock(vault: FakeVault) -> None:
    store(None, "one")
    exception, remedy = {
        "Windows": ("error", "log in to the desktop"),
        "macOS": ("KeyringLocked", "unlock it with `security unlock-keychain`"),
    }[vault.name]
    vault.failures = {**vault.denied}
    assert message(RefusedError, lambda: keyring.get_password(PYPI, TOKEN)) == failed(
        vault, "be read", exception, remedy
    )


# No master is lost


def begin(vault: FakeVault) -> None:
    vault.before, vault.failures = (lambda _name: None), {}
    vault.content.clear()
    shutil.rmtree(paths.accounts_directory(), ignore_errors=True)
    memory.forget()
    for label, name in ((None, "one"), ("work", "two")):
        store(label, name)


def failing(vault: FakeVault, first: int, last: float, how: int | BaseException) -> Callable[[str], None]:
    """Return what lets the calls from the first to the last one fail, counted from 0."""
    count = itertools.count()

    def before(name: str) -> None:
        vault.failures = {}
        if first <= next(count) <= last:
            if isinstance(how, BaseException):
                raise how
            vault.failures = {name: how}

    return before


@pytest.mark.usefixtures("exact")
def test_whatever_call_fails_no_master_is_lost_without_a_word(vault: FakeVault) -> None:
    begin(vault)
    calls = len(calls_of(vault, lambda: store(None, "three")))
    for first, is_lasting, how in itertools.product(range(calls), (False, True), ("locked", "Ctrl-C")):
        begin(vault)
        failure = KeyboardInterrupt() if how == "Ctrl-C" else next(iter(getattr(vault, how).values()))
        vault.before = failing(vault, first, 99 if is_lasting else first, failure)
        reason, names = "", {"three"}
        try:
            store(None, "three")
        except (RefusedSetError, KeyboardInterrupt) as problem:
            reason, names = str(problem), {"one", "three"}
        vault.before, vault.failures = (lambda _name: None), {}
        is_said = "may be lost" in reason or (how == "Ctrl-C" and is_lasting)  # who stops the putting back, too
        assert served() in names | ({"refused"} if is_said else set())
        assert served(url("work")) == "two"


@pytest.mark.usefixtures("exact")
def test_two_writers_lose_nothing_in_any_order(vault: FakeVault, monkeypatch: pytest.MonkeyPatch) -> None:
    def delete() -> None:
        keyring.delete_password(PYPI, TOKEN)

    def replace(name: str) -> Callable[[], None]:
        return lambda: store(None, name)

    kept = [{"default": name, "work": "two"} for name in ("three", "four")]
    for first, second, expected in (
        (replace("three"), replace("four"), kept),
        (delete, lambda: store("work", "four"), [{"work": "four"}]),
    ):
        begin(vault)
        lengths = []
        for step in (first, second):
            lengths.append(len(calls_of(vault, step)))
            begin(vault)
        for order in itertools.product(*(range(length + 1) for length in lengths)):
            begin(vault)
            with monkeypatch.context() as patch:
                writers = TwoWriters(vault, (order[0], order[1]), patch)
                writers.run(first, second)
            assert writers.refused == []
            assert in_store(vault) in expected
            assert set(noted_accounts(lookup.PYPI)) == in_store(vault).keys()


def test_a_master_that_is_too_long_for_windows_replaces_nothing(manager: CredentialManager) -> None:
    store(None, "one")
    too_long = "x" * 1000  # 2,560 bytes of UTF-16 are the limit
    assert message(RefusedSetError, lambda: store(None, too_long)) == failed(
        manager, "store the master", "error", "log in to the desktop"
    )
    assert (served(), in_store(manager)) == ("one", {"default": "one"})


def test_a_replaced_master_that_windows_does_not_delete_is_not_replaced(manager: CredentialManager) -> None:
    store(None, "one")
    manager.failures = {"CredDelete": ACCESS_DENIED}
    assert "could not delete the master" in message(RefusedSetError, lambda: store(None, "two"))
    assert in_store(manager) == {"default": "one"}


@pytest.mark.parametrize(
    ("status", "exception"),
    [(DENIED, "KeyringLocked"), (AUTH_FAILED, "PasswordSetError"), (-34018, "PasswordSetError")],
)
def test_after_macos_failed_to_add_the_old_master_is_back(status: int, exception: str, keychain: Keychain) -> None:
    remedy = "unlock it with `security unlock-keychain`"
    expected = failed(keychain, "store the master", exception, remedy)
    fail_adding(keychain, status, times=1)
    assert message(RefusedSetError, lambda: store(None, "one")) == expected
    assert (keychain.entries(), served()) == ({}, None)
    store(None, "one")
    before = keychain.entries()
    fail_adding(keychain, status, times=1)
    assert message(RefusedSetError, lambda: store(None, "two")) == expected
    assert (keychain.entries(), served()) == (before, "one")


def fail_adding(keychain: Keychain, status: int, times: int) -> None:
    left = times

    def before(name: str) -> None:
        nonlocal left
        keychain.failures = {name: status} if name == "SecItemAdd" and left > 0 else {}
        left -= name == "SecItemAdd"

    keychain.before = before


@pytest.mark.parametrize("is_noted", [True, False])
def test_if_it_cannot_be_put_back_that_is_said_and_lookups_are_refused(is_noted: bool, keychain: Keychain) -> None:
    if is_noted:
        store(None, "one")
    keychain.content[private()] = master("one")
    fail_adding(keychain, DENIED, times=9)
    reason = message(RefusedSetError, lambda: store(None, "two"))
    assert reason.startswith("the keyring backend keyring.backends.macOS.Keyring could not store the master")
    assert reason.endswith(LOST)
    assert keychain.entries() == {}
    assert message(RefusedError, lambda: keyring.get_password(PYPI, TOKEN)) == GONE
    keychain.before = lambda _name: None
    store(None, "two")
    assert served() == "two"


def test_what_another_program_adds_meanwhile_stays(keychain: Keychain) -> None:
    store(None, "one")

    def before(name: str) -> None:
        if name == "SecItemAdd":
            keychain.content[private()] = master("another")

    keychain.before = before
    assert DUPLICATE == -25299
    assert "could not store the master (PasswordSetError)" in message(RefusedSetError, lambda: store(None, "two"))
    assert served() == "another"


def test_ctrl_c_pressed_again_and_again_loses_nothing(keychain: Keychain) -> None:
    store(None, "one")
    kept = keychain.entries()
    pressed: list[str] = []

    def press(name: str) -> None:
        if pressed or name == "SecItemAdd":
            pressed.append(name)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test run in the background ignores
    keychain.before = press
    try:
        with pytest.raises(KeyboardInterrupt):
            store(None, "two")
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(pressed) > 1
    assert keychain.entries() == kept


def test_ctrl_c_that_loses_a_master_is_said(keychain: Keychain) -> None:
    store(None, "one")

    def stop(name: str) -> None:
        if name == "SecItemAdd":
            keychain.before = lambda name: keychain.failures.update({name: DENIED} if name == "SecItemAdd" else {})
            raise KeyboardInterrupt

    keychain.before = stop
    assert message(RefusedSetError, lambda: store(None, "two")) == f"storing the master was stopped{LOST}"


def test_keyrings_own_backends_are_below(vault: FakeVault) -> None:
    kind = {"Windows": Windows.WinVaultKeyring, "macOS": macOS.Keyring}[vault.name]
    assert [type(backend) for backend in backends.keyring_backends(StoreSettings())] == [kind]


def test_ctrl_c_that_a_program_handles_itself_is_handed_to_it() -> None:
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        for times in (0, 2):
            with changes._interrupt_held():
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
                assert pressed == []
        assert pressed == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)
