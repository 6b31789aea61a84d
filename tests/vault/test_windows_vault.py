"""What only Windows' credential manager does: names without case, one account under the service, the others moved."""

from __future__ import annotations

import itertools
from typing import Any

import keyring
import pytest
from fake_vault import TwoWriters, calls_of, in_reach
from fake_win32cred import ACCESS_DENIED, CredentialManager
from keyring.backends import Windows
from sandbox import WritePolicy, new_master

from keyring_pypitoken import Token, lookup, memory
from keyring_pypitoken.backend import RefusedDeleteError, RefusedError, RefusedSetError
from keyring_pypitoken.vault.accounts import noted_accounts

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"
WORK = f"{PYPI}?work"

pytestmark = pytest.mark.filterwarnings("ignore:Empty usernames:DeprecationWarning")


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> CredentialManager:
    """Return an empty credential manager, below keyring's own backend in keyring's chain."""
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    return CredentialManager(monkeypatch)


@pytest.fixture
def below(manager: CredentialManager) -> Windows.WinVaultKeyring:  # noqa: ARG001 - it comes first
    """Return keyring's own backend, as a program uses it that has no keyring-pypitoken."""
    return Windows.WinVaultKeyring()  # type: ignore[no-untyped-call]  # keyring's constructor


def master(name: str) -> str:
    return new_master(identifier=name)


def served(service: str = PYPI, username: Any = TOKEN) -> str | None:
    """Return the name of the master that a restricted token was derived from; None if declined."""
    memory.forget()
    found = keyring.get_password(service, username)
    credential = keyring.get_credential(service, username)
    assert (credential and credential.password) == found
    if found is None:
        return None
    assert Token.load(found).raw_caveats[1:] == [b'[1, ["demo"]]']
    return Token.load(found).identifier


def refused_set(service: str, name: str) -> str:
    with pytest.raises(RefusedSetError) as refused:
        keyring.set_password(service, TOKEN, master(name))
    return str(refused.value)


@pytest.mark.parametrize("username", ["", None])
@pytest.mark.parametrize("service", [PRIVATE, PRIVATE.upper(), f"default@{PRIVATE}"])
def test_the_private_name_is_refused_in_all_four_calls(service: str, username: Any, below: Any) -> None:
    keyring.set_password(PYPI, TOKEN, master("one"))
    assert below.get_credential(PRIVATE, username).password == master("one")  # to whoever asks it, not us
    with pytest.raises(RefusedError):
        keyring.get_password(service, username)
    with pytest.raises(RefusedError):
        keyring.get_credential(service, username)
    with pytest.raises(RefusedSetError):
        keyring.set_password(service, username, "x")
    with pytest.raises(RefusedDeleteError):
        keyring.delete_password(service, username)


@pytest.mark.parametrize("username", ["", None])
@pytest.mark.parametrize("stored", [TOKEN, "me", ""])
@pytest.mark.parametrize("service", [PYPI, PYPI.upper(), "upload.pypi.org", "poetry-repository-pypi", "main", "TEST"])
def test_a_raw_token_is_derived_from_without_a_user_name(service: str, stored: str, username: Any, below: Any) -> None:
    below.set_password(service, stored, master("raw"))
    assert below.get_credential(service.lower(), username).password == master("raw")
    assert served(service, username) == "raw"


@pytest.mark.parametrize("username", [TOKEN, "__TOKEN__", "", None])
@pytest.mark.parametrize("service", ["https://upload.pypi.org//legacy/", "UPLOAD.pypi.org."])
def test_a_raw_token_under_a_look_alike_is_refused(service: str, username: Any, below: Any) -> None:
    below.set_password(service, TOKEN, master("raw"))
    below.set_password(service, "other", "a password")  # moves the token to the compound name
    below.delete_password(service, "other")
    below.set_password(service, TOKEN, master("raw"))
    with pytest.raises(RefusedError):
        keyring.get_password(service, username)


@pytest.mark.parametrize("username", [TOKEN, "", None])
@pytest.mark.parametrize(
    "key",
    [
        PYPI,
        "https://upload.pypi.org/legacy",
        "upload.pypi.org",
        *("poetry-repository-pypi", "pdm-repository-pypi", "pdm-repository-other", "main", "test"),
    ],
)
def test_a_raw_token_is_never_handed_out_in_whatever_case_it_is_asked_for(key: str, username: Any, below: Any) -> None:
    below.set_password(key, TOKEN, master("raw"))
    for other in (key.upper(), key.title(), key.swapcase(), key.replace("legacy", "Legacy"), key.capitalize()):
        assert below.get_password(other, TOKEN) == master("raw")
        assert served(other, username) == "raw"


@pytest.mark.parametrize("key", ["https://Index.example/Upload/", "INDEX.example", "work-INDEX"])
def test_keys_of_a_configured_repository_are_compared_without_case(
    key: str, manager: CredentialManager, below: Any, user_policy: WritePolicy
) -> None:
    user_policy(
        '[repository.work]\nurl = "https://index.example/upload/"\n'
        'domain = "index.example"\nservices = ["Work-Index"]\n'
    )
    below.set_password(key.swapcase(), TOKEN, new_master("index.example", "raw"))
    assert served(key) == "raw"
    keyring.set_password(key, TOKEN, new_master("index.example", "one"))
    assert list(manager.entries())[1:] == [("keyring-pypitoken:https://index.example/upload/", "default")]
    assert served(key) == "one"


@pytest.mark.parametrize("username", ["me", "pypi_token:user:me"])
def test_another_user_is_not_given_what_is_stored_for_the_token_user(username: str, below: Any) -> None:
    below.set_password("main", TOKEN, master("raw"))
    below.set_password(PYPI, TOKEN, master("raw"))
    assert keyring.get_credential("main", username) is None
    credential = keyring.get_credential(PYPI, username)
    assert credential is None or credential.password != master("raw")


def test_a_replaced_master_serves_nobody_after_its_entry_was_deleted_by_hand(manager: CredentialManager) -> None:
    for name in ("one", "two"):
        keyring.set_password(PYPI, TOKEN, master(name))
    manager.delete_by_hand(PRIVATE)
    with pytest.raises(RefusedError) as refused:
        served()
    assert str(refused.value) == (
        "no keyring that can be asked now holds the master that was stored for pypi (account 'default'): start or "
        f'unlock the keyring that does, or, if it is gone for good, forget it with `keyring del "{PYPI}?default" '
        "__token__`."
    )


def test_a_copy_that_an_earlier_version_left_goes_with_the_next_master(manager: CredentialManager, below: Any) -> None:
    for name in ("one", "two"):
        below.set_password(PRIVATE, "default", master(name))
    assert len(manager.entries()) == 2
    keyring.set_password(PYPI, TOKEN, master("three"))
    assert manager.entries() == {(PRIVATE, "default"): master("three")}


def test_a_copy_that_cannot_be_deleted_is_named(manager: CredentialManager, capsys: pytest.CaptureFixture[str]) -> None:
    keyring.set_password(PYPI, TOKEN, master("one"))
    manager.failures = {"CredDelete": ACCESS_DENIED}
    keyring.set_password(PYPI, TOKEN, master("two"))
    assert capsys.readouterr().err.splitlines()[0] == (
        "keyring-pypitoken: the replaced master is still in keyring.backends.Windows.WinVaultKeyring as "
        f"'default@{PRIVATE}': delete it there."
    )
    assert served() == "two"


def test_a_master_that_is_too_long_replaces_nothing(manager: CredentialManager) -> None:
    keyring.set_password(PYPI, TOKEN, master("one"))
    keyring.set_password(WORK, TOKEN, master("two"))
    for service in (PYPI, WORK):
        assert refused_set(service, "x" * 1000) == (
            "the keyring backend keyring.backends.Windows.WinVaultKeyring could not store the master (error): "
            "unlock or repair it, and try again."
        )
    assert (served(), served(WORK)) == ("one", "two")
    keyring.delete_password(PYPI, TOKEN)
    keyring.delete_password(WORK, TOKEN)
    assert manager.entries() == {}


def test_a_writer_without_our_lock_takes_no_master_of_ours_without_a_word(
    manager: CredentialManager, below: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def foreign() -> None:
        below.set_password(PRIVATE, "work", master("two"))

    def ours() -> None:
        keyring.set_password(PYPI, TOKEN, master("one"))

    before = len(calls_of(manager, foreign))
    manager.content.clear()
    until = len(calls_of(manager, ours))  # while we still look
    for calls in itertools.product(range(before + 1), range(until)):
        manager.content.clear()
        with monkeypatch.context() as patch:
            writers = TwoWriters(manager, (calls[0], calls[1]), patch)
            writers.run(foreign, ours)
        assert below.get_password(PRIVATE, "default") == master("one") or len(writers.refused) == 1
    assert in_reach(manager) == []


def lose_other_accounts(manager: CredentialManager, *, for_good: bool) -> None:
    """Empty the manager before the entry under the service itself is written, the second that is."""
    writes = itertools.count(1)

    def before(name: str) -> None:
        number = next(writes) if name == "CredWrite" else 0
        if number == 2:
            manager.content.clear()
        manager.failures = {"CredWrite": ACCESS_DENIED} if number > 2 and for_good else {}

    manager.before = before


def test_another_account_that_got_lost_is_stored_again(manager: CredentialManager) -> None:
    keyring.set_password(PYPI, TOKEN, master("one"))
    keyring.set_password(WORK, TOKEN, master("two"))
    lose_other_accounts(manager, for_good=False)
    keyring.set_password(PYPI, TOKEN, master("three"))
    assert (served(), served(WORK)) == ("three", "two")


def test_another_account_that_got_lost_for_good_is_named(manager: CredentialManager) -> None:
    keyring.set_password(PYPI, TOKEN, master("one"))
    keyring.set_password(WORK, TOKEN, master("two"))
    lose_other_accounts(manager, for_good=True)
    assert refused_set(PYPI, "three") == (
        "the master was stored; what was stored for pypi (account 'work') before cannot be read now, and may be "
        "lost: store it again."
    )
    assert list(noted_accounts(lookup.PYPI)) == ["default", "work"]
    assert served() == "three"
    with pytest.raises(RefusedError):
        served(WORK)
