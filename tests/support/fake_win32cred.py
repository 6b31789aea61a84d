"""Windows' credential manager in memory, as `win32cred` and `pywintypes`, below keyring's own Windows backend.

What it does is what Windows documents for CREDENTIALW, CredReadW, CredWriteW and CredDeleteW, in the form that
pywin32-ctypes 0.2.3 gives it: names of targets without case, and at most 2,560 bytes of UTF-16, thus 1,280 characters.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from fake_vault import FakeVault
from keyring.backends import Windows

if TYPE_CHECKING:
    import pytest

NOT_FOUND, NO_SESSION, BAD_DATA, ACCESS_DENIED = 1168, 1312, 1783, 5
_TEXTS = {
    NOT_FOUND: "Element not found.",
    NO_SESSION: "A specified logon session does not exist. It may already have been terminated.",
    BAD_DATA: "The stub received bad data.",
    ACCESS_DENIED: "Access is denied.",
}
_MAX_BLOB, _MAX_USER, _MAX_TARGET = 5 * 512, 513, 32_767  # CRED_MAX_... in wincred.h


class error(Exception):  # noqa: N801, N818 - pywintypes' name
    """What pywintypes calls every error of the system."""

    def __init__(self, winerror: int, funcname: str, strerror: str) -> None:
        """Hold the number, the function and the text."""
        super().__init__(winerror, funcname, strerror)
        self.winerror, self.funcname, self.strerror = winerror, funcname, strerror


class CredentialManager(FakeVault):
    """The credentials of one user."""

    name = "Windows"
    locked = dict.fromkeys(("CredRead", "CredWrite", "CredDelete"), NO_SESSION)
    denied = dict.fromkeys(locked, ACCESS_DENIED)
    CRED_TYPE_GENERIC = 1
    CRED_PERSIST_SESSION, CRED_PERSIST_LOCAL_MACHINE, CRED_PERSIST_ENTERPRISE = 1, 2, 3
    __name__ = "win32cred"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put itself below keyring's backend, and that below ours."""
        super().__init__()
        monkeypatch.setattr(Windows, "win32cred", self, raising=False)
        monkeypatch.setattr(Windows, "pywintypes", SimpleNamespace(error=error), raising=False)
        monkeypatch.setattr(Windows, "missing_deps", None)
        self.use(monkeypatch, Windows.WinVaultKeyring)

    def entries(self) -> dict[tuple[str, str], str]:
        """Return the passwords by target and user."""
        return {
            (entry["TargetName"], entry["UserName"]): entry["CredentialBlob"].decode("utf-16-le")
            for entry in self.content.values()
        }

    def fail(self, name: str, code: int) -> NoReturn:
        """Raise as pywintypes does."""
        raise error(code, name, _TEXTS[code])

    def persisted(self) -> set[int]:
        """Return how long and where the credentials are stored: 1 is this session, 2 this machine, 3 the enterprise."""
        return {entry["Persist"] for entry in self.content.values()}

    def CredRead(self, *, Type: int, TargetName: str) -> dict[str, Any]:  # noqa: N802, N803 - Windows' names
        """Read one target."""
        self._call("CredRead", Type)
        if TargetName.lower() not in self.content:
            self.fail("CredRead", NOT_FOUND)
        return dict(self.content[TargetName.lower()])

    def CredWrite(self, credential: dict[str, Any], flags: int) -> None:  # noqa: N802 - Windows' name
        """Write or replace one target, as a whole."""
        self._call("CredWrite", credential["Type"])
        assert flags == 0
        target, user, blob = credential["TargetName"], credential["UserName"], credential["CredentialBlob"]
        data = blob.encode("utf-16-le", "surrogatepass")
        if len(data) > _MAX_BLOB or len(user or "") > _MAX_USER or len(target) > _MAX_TARGET:
            self.fail("CredWrite", BAD_DATA)
        self.content[target.lower()] = {**credential, "CredentialBlob": data}

    def CredDelete(self, *, Type: int, TargetName: str) -> None:  # noqa: N802, N803 - Windows' names
        """Delete one target."""
        self._call("CredDelete", Type)
        if self.content.pop(TargetName.lower(), None) is None:
            self.fail("CredDelete", NOT_FOUND)

    def _call(self, name: str, kind: int) -> None:
        assert kind == self.CRED_TYPE_GENERIC
        self.call(name)
