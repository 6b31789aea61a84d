"""Masters over keyring's real backends for Windows and macOS, with their stores in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from keyring.backends import Windows, macOS
from sandbox import WritePolicy, new_master

from keyring_pypitoken import Token
from keyring_pypitoken.backend import PyPITokenKeyring, RefusedDeleteError, RefusedError, RefusedSetError
from keyring_pypitoken.vault import backends

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"


class NotFoundError(Exception):
    """What Windows reports for a target that it does not have."""

    winerror = 1168

    def __init__(self, function: str) -> None:
        super().__init__(function)
        self.funcname = function


class Credentials:
    """Windows' credential manager: target names without case."""

    CRED_TYPE_GENERIC, CRED_PERSIST_ENTERPRISE = 1, 3

    def __init__(self) -> None:
        self.content: dict[str, dict[str, Any]] = {}

    def CredRead(self, *, Type: int, TargetName: str) -> dict[str, Any]:  # noqa: ARG002, N802, N803 - Windows' names
        if TargetName.lower() not in self.content:
            raise NotFoundError("CredRead")
        found = self.content[TargetName.lower()]
        return {**found, "CredentialBlob": found["CredentialBlob"].encode("utf-16")}

    def CredWrite(self, credential: dict[str, Any], _flags: int) -> None:  # noqa: N802 - Windows' name
        self.content[credential["TargetName"].lower()] = credential

    def CredDelete(self, *, Type: int, TargetName: str) -> None:  # noqa: ARG002, N802, N803 - Windows' names
        if self.content.pop(TargetName.lower(), None) is None:
            raise NotFoundError("CredDelete")


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return keyring's own Windows backend, below ours."""
    monkeypatch.setattr(Windows, "win32cred", Credentials(), raising=False)
    monkeypatch.setattr(Windows, "missing_deps", [])
    monkeypatch.setattr(Windows, "pywintypes", SimpleNamespace(error=NotFoundError), raising=False)
    below = Windows.WinVaultKeyring()  # type: ignore[no-untyped-call]  # keyring's constructor
    monkeypatch.setattr(backends, "_chain", lambda: [below])
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    return below


def ours() -> PyPITokenKeyring:
    return PyPITokenKeyring()  # type: ignore[no-untyped-call]  # keyring's constructor


@pytest.mark.filterwarnings("ignore:Empty usernames:DeprecationWarning")
@pytest.mark.parametrize("username", ["", None])
@pytest.mark.parametrize("service", [PRIVATE, PRIVATE.upper(), f"default@{PRIVATE}"])
def test_the_private_name_is_refused_in_all_four_calls(service: str, username: Any, windows: Any) -> None:
    ours().set_password(PYPI, TOKEN, new_master())
    assert windows.get_credential(PRIVATE, username).password == new_master()  # to whoever asks it, not us
    with pytest.raises(RefusedError):
        ours().get_password(service, username)
    with pytest.raises(RefusedError):
        ours().get_credential(service, username)
    with pytest.raises(RefusedSetError):
        ours().set_password(service, username, "x")
    with pytest.raises(RefusedDeleteError):
        ours().delete_password(service, username)


@pytest.mark.filterwarnings("ignore:Empty usernames:DeprecationWarning")
@pytest.mark.parametrize("username", ["", None])
@pytest.mark.parametrize("stored", [TOKEN, "me", ""])
@pytest.mark.parametrize("service", [PYPI, PYPI.upper(), "upload.pypi.org", "poetry-repository-pypi", "main", "TEST"])
def test_a_raw_token_is_derived_from_without_a_user_name(
    service: str, stored: str, username: Any, windows: Any
) -> None:
    windows.set_password(service, stored, new_master())
    assert windows.get_credential(service.lower(), username).password == new_master()
    credential = ours().get_credential(service, username)
    assert credential is not None
    for found in (ours().get_password(service, username), credential.password):
        assert found is not None
        assert Token.load(found).raw_caveats[1:] == [b'[1, ["demo"]]']


@pytest.mark.parametrize("username", [TOKEN, "__TOKEN__", "", None])
@pytest.mark.parametrize("service", ["https://upload.pypi.org//legacy/", "UPLOAD.pypi.org."])
def test_a_raw_token_under_a_look_alike_is_refused(service: str, username: Any, windows: Any) -> None:
    windows.set_password(service, TOKEN, new_master())
    windows.set_password(service, "other", "a password")  # moves the token to the compound name
    windows.delete_password(service, "other")
    windows.set_password(service, TOKEN, new_master())
    with pytest.raises(RefusedError):
        ours().get_password(service, username)


@pytest.mark.filterwarnings("ignore:Empty usernames:DeprecationWarning")
@pytest.mark.parametrize("username", ["", None, TOKEN])
def test_set_and_delete_leave_nothing_raw(username: Any, windows: Any) -> None:
    ours().set_password(PYPI, username, new_master())
    assert list(vars(Windows)["win32cred"].content) == [PRIVATE.lower()]
    ours().delete_password(PYPI, username)
    assert vars(Windows)["win32cred"].content == {}
    assert windows.get_password(PYPI, TOKEN) is None


# macOS' backend deletes the old password before it adds the new one.


class KeychainError(Exception):
    """What the keychain reports."""


class Keychain:
    """macOS' keychain, which can be told to take the old master only."""

    Error = KeychainDenied = NotFound = KeychainError

    def __init__(self, old: str) -> None:
        self.old = old
        self.content: dict[tuple[str, str], str] = {}
        self.takes_old_only = False

    def find_generic_password(self, _keychain: None, service: str, username: str) -> str:
        if (service, username) not in self.content:
            raise KeychainError("not found")
        return self.content[service, username]

    def set_generic_password(self, _keychain: None, service: str, username: str, password: str) -> None:
        self.content.pop((service, username), None)
        if self.takes_old_only and password != self.old:
            raise KeychainError(f"cannot add {password}")
        self.content[service, username] = password


@pytest.mark.parametrize("old", [new_master(), None], ids=["with an old master", "without one"])
def test_after_a_failed_write_the_old_master_is_back(
    old: str | None, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    keychain = Keychain(new_master())
    monkeypatch.setattr(macOS, "api", keychain, raising=False)
    below = macOS.Keyring()  # type: ignore[no-untyped-call]  # keyring's constructor
    monkeypatch.setattr(backends, "_chain", lambda: [below])
    user_policy('[store]\nbackend = "keyring.backends.macOS.Keyring"\n')
    if old is not None:
        ours().set_password(PYPI, TOKEN, old)
    before = dict(keychain.content)
    keychain.takes_old_only = True
    with pytest.raises(RefusedSetError) as refused:
        ours().set_password(PYPI, TOKEN, new_master(identifier="another"))
    assert str(refused.value) == (
        "the keyring backend keyring.backends.macOS.Keyring could not store the master (KeyringLocked): "
        "unlock or repair it, and try again."
    )
    assert keychain.content == before
