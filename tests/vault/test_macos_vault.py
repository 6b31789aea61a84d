"""What only macOS' keychain does: its backend deletes before it adds, and an empty user name is any."""

from __future__ import annotations

import signal
from typing import Any

import keyring
import pytest
from fake_keychain import AUTH_FAILED, DENIED, DUPLICATE, NO_INTERACTION, Keychain
from sandbox import new_master

from keyring_pypitoken import Token, memory
from keyring_pypitoken.backend import RefusedDeleteError, RefusedError, RefusedSetError

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"
BACKEND = "the keyring backend keyring.backends.macOS.Keyring"
LOST = "; what was stored for pypi (account 'default') before cannot be read now, and may be lost: store it again."
GONE = (
    "no keyring that can be asked now holds the master that was stored for pypi (account 'default'): start or "
    "unlock the keyring that does, or, if it is gone for good, forget it with "
    f'`keyring del "{PYPI}?default" __token__`.'
)

pytestmark = pytest.mark.filterwarnings("ignore:Empty usernames:DeprecationWarning")


@pytest.fixture
def keychain(monkeypatch: pytest.MonkeyPatch) -> Keychain:
    """Return an empty keychain, below keyring's own backend in keyring's chain."""
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    return Keychain(monkeypatch)


def master(name: str) -> str:
    return new_master(identifier=name)


def store(name: str) -> None:
    keyring.set_password(PYPI, TOKEN, master(name))


def served() -> str | None:
    """Return the name of the master that a restricted token was derived from; None if declined."""
    memory.forget()
    found = keyring.get_password(PYPI, TOKEN)
    return None if found is None else Token.load(found).identifier


def refused(kind: type[Exception], name: str = "") -> str:
    with pytest.raises(kind) as error:
        store(name) if name else served()
    return str(error.value)


def fail_adding(keychain: Keychain, status: int, times: int) -> None:
    """Let the next calls that add an item fail."""
    left = times

    def before(name: str) -> None:
        nonlocal left
        keychain.failures = {name: status} if name == "SecItemAdd" and left > 0 else {}
        left -= name == "SecItemAdd"

    keychain.before = before


@pytest.mark.parametrize(
    ("status", "exception"),
    [(DENIED, "KeyringLocked"), (AUTH_FAILED, "PasswordSetError"), (-34018, "PasswordSetError")],
)
def test_after_a_failed_add_the_old_master_is_back(status: int, exception: str, keychain: Keychain) -> None:
    store("one")
    before = keychain.entries()
    fail_adding(keychain, status, times=1)
    assert refused(RefusedSetError, "two") == (
        f"{BACKEND} could not store the master ({exception}): unlock or repair it, and try again."
    )
    assert keychain.entries() == before
    assert served() == "one"


def test_if_it_cannot_be_put_back_the_person_is_told_and_lookups_are_refused(keychain: Keychain) -> None:
    store("one")
    fail_adding(keychain, DENIED, times=2)
    assert refused(RefusedSetError, "two") == (
        f"{BACKEND} could not store the master (KeyringLocked): unlock or repair it, and try again{LOST}"
    )
    assert keychain.entries() == {}
    assert refused(RefusedError) == GONE
    store("two")
    assert served() == "two"


def test_an_old_master_without_a_note_is_noted_when_it_is_lost(keychain: Keychain) -> None:
    keychain.content[PRIVATE, "default"] = master("one")
    fail_adding(keychain, AUTH_FAILED, times=2)
    assert refused(RefusedSetError, "two").endswith(LOST)
    assert refused(RefusedError) == GONE


def test_without_an_old_master_a_failed_add_leaves_nothing(keychain: Keychain) -> None:
    fail_adding(keychain, DENIED, times=1)
    assert refused(RefusedSetError, "one") == (
        f"{BACKEND} could not store the master (KeyringLocked): unlock or repair it, and try again."
    )
    assert keychain.entries() == {}
    assert served() is None


def test_what_another_program_adds_meanwhile_stays(keychain: Keychain) -> None:
    store("one")

    def before(name: str) -> None:
        if name == "SecItemAdd":
            keychain.content[PRIVATE, "default"] = master("another")

    keychain.before = before
    assert DUPLICATE == -25299
    assert refused(RefusedSetError, "two") == (
        f"{BACKEND} could not store the master (PasswordSetError): unlock or repair it, and try again."
    )
    assert served() == "another"


def test_ctrl_c_between_deleting_and_adding_loses_nothing(keychain: Keychain) -> None:
    store("one")
    before = keychain.entries()

    def stop(name: str) -> None:
        if name == "SecItemAdd":
            keychain.before = lambda _name: None
            raise KeyboardInterrupt

    keychain.before = stop
    with pytest.raises(KeyboardInterrupt):
        store("two")
    assert keychain.entries() == before


def test_ctrl_c_pressed_again_and_again_loses_nothing(keychain: Keychain) -> None:
    store("one")
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
            store("two")
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(pressed) > 1
    assert keychain.entries() == kept


def test_ctrl_c_that_loses_a_master_is_told(keychain: Keychain) -> None:
    store("one")

    def stop(name: str) -> None:
        if name == "SecItemAdd":
            keychain.before = lambda name: keychain.failures.update({name: DENIED} if name == "SecItemAdd" else {})
            raise KeyboardInterrupt

    keychain.before = stop
    assert refused(RefusedSetError, "two") == f"storing the master was stopped{LOST}"


@pytest.mark.parametrize("username", ["", None])
def test_the_private_name_is_refused_without_a_user_name(username: Any, keychain: Keychain) -> None:
    store("one")
    store("two")
    assert keyring.get_keyring().backends[-1].get_password(PRIVATE, "") == master("two")  # type: ignore[attr-defined]
    for ask in (keyring.get_password, keyring.get_credential):
        with pytest.raises(RefusedError):
            ask(PRIVATE, username)
    with pytest.raises(RefusedDeleteError):  # it would delete those of all accounts
        keyring.delete_password(PRIVATE, username)
    assert keychain.entries() == {(PRIVATE, "default"): master("two")}


@pytest.mark.parametrize("username", ["", None])
@pytest.mark.parametrize("stored", [TOKEN, "me"])
@pytest.mark.parametrize("service", [PYPI, "upload.pypi.org", "poetry-repository-pypi", "main", "test"])
def test_a_raw_token_is_derived_from_without_a_user_name(
    service: str, stored: str, username: Any, keychain: Keychain
) -> None:
    keychain.content[service, stored] = master("raw")
    found = keyring.get_password(service, username)
    assert found is not None
    assert Token.load(found).raw_caveats[1:] == [b'[1, ["demo"]]']


def test_locked_while_it_is_read_again_is_told(keychain: Keychain) -> None:
    store("one")

    def before(name: str) -> None:
        if name == "SecItemAdd":
            keychain.failures = dict.fromkeys(("SecItemCopyMatching", "SecItemAdd", "SecItemDelete"), NO_INTERACTION)

    keychain.before = before
    told = refused(RefusedSetError, "two")
    assert told.startswith(
        f"{BACKEND} could not store the master without a desktop session (error -25308, as over ssh)"
    )
    assert told.endswith(LOST)
