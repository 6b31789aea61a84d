"""Real keyring backends for the tests: a plugin that keyring finds by its entry point, in any process.

`TEST_KEYRINGS` names the backends that are viable, `first` by default; each keeps its passwords in a JSON file
in the directory `TEST_KEYRING_DIRECTORY`. `TEST_KEYRING_BROKEN` names methods that raise, as a locked keyring does, and
`TEST_MISSING` modules that shall seem not to be installed. `TEST_CHEAP_PASSPHRASES` saves
scrypt's second.
Loading this module also takes the desktop's own keyrings out of keyring's registry, so that no test can reach
a developer's passwords.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from pathlib import Path

from keyring import backend, credentials, errors
from keyring.compat import properties


class FileKeyring(backend.KeyringBackend):
    """A store like the desktop's."""

    label = "first"
    rank = 5.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring's has no types

    @properties.classproperty
    def priority(cls) -> float:  # noqa: N805 - a class property, as keyring's own backends write it
        """Be viable where the test says so."""
        if cls.label not in os.environ.get("TEST_KEYRINGS", "first").split(","):
            raise RuntimeError("not part of this test")
        return cls.rank

    def get_password(self, service: str, username: str) -> str | None:
        """Read a password."""
        self._break("get")
        return self._load().get(json.dumps([service, username]))

    def get_credential(self, service: str, username: str | None) -> credentials.Credential | None:
        """Find a password of any user, as the Secret Service does."""
        self._break("get")
        for key, password in self._load().items():
            stored_service, stored_username = json.loads(key)
            if stored_service == service and username in (None, stored_username):
                return credentials.SimpleCredential(stored_username, password)
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a password."""
        self._break("set", password)
        if f"{self.label}:unsupported" in os.environ.get("TEST_KEYRING_BROKEN", ""):
            raise NotImplementedError
        if "forget" not in os.environ.get("TEST_KEYRING_BROKEN", ""):
            self.plant(service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        """Forget a password."""
        self._break("delete")
        content = self._load()
        if content.pop(json.dumps([service, username]), None) is None:
            raise errors.PasswordDeleteError("no such password")
        self._save(content)

    def plant(self, service: str, username: str, password: str) -> None:
        """Put a password into the file, as another program may have."""
        self._save(self._load() | {json.dumps([service, username]): password})

    def passwords(self) -> dict[tuple[str, str], str]:
        """Return all that is stored."""
        return {tuple(json.loads(key)): password for key, password in self._load().items()}

    def _file(self) -> Path:
        return Path(os.environ["TEST_KEYRING_DIRECTORY"]) / f"{self.label}.json"

    def _load(self) -> dict[str, str]:
        file = self._file()
        content: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        return content

    def _save(self, content: dict[str, str]) -> None:
        self._file().write_text(json.dumps(content))

    def _break(self, method: str, secret: str = "") -> None:
        if f"{self.label}:{method}" in os.environ.get("TEST_KEYRING_BROKEN", "").split(","):
            # As bad as a backend can be: what it was given stands in its message.
            raise errors.KeyringLocked(f"the keyring is locked {secret}")


class SecondKeyring(FileKeyring):
    """A second store, below the first."""

    label = "second"
    rank = 2.0


class PlaintextFileKeyring(FileKeyring):
    """A store that calls itself plaintext, above the others."""

    label = "plaintext"
    rank = 8.0


class URLPlugin(FileKeyring):
    """A plugin that answers for services of its own and stores nothing."""

    label = "url"
    rank = 9.5

    def get_password(self, service: str, username: str) -> str | None:  # noqa: ARG002 - any user
        """Answer for one URL."""
        return "secret of its own" if service == "https://plugin.example/simple/" else None

    def get_credential(self, service: str, username: str | None) -> credentials.Credential | None:
        """Answer for one URL."""
        password = self.get_password(service, username or "")
        return None if password is None else credentials.SimpleCredential("plugin", password)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store nothing."""
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        """Store nothing."""
        raise NotImplementedError


def _take_out_the_desktop() -> None:
    classes = backend.KeyringBackend._classes  # keyring's registry has no other door
    desktop = ("keyring.backends.SecretService", "keyring.backends.libsecret", "keyring.backends.kwallet")
    others = ("keyring.backends.macOS", "keyring.backends.Windows", "keyrings.alt.Windows", "keyrings.alt.Gnome")
    for module in desktop + others:
        with contextlib.suppress(ImportError):  # what keyring loads later would register itself again
            importlib.import_module(module)
    for kind in [kind for kind in classes if kind.__module__ in desktop + others]:
        classes.discard(kind)


def _stand_for_the_desktop() -> None:
    """Let two of these take new masters unasked, which only keyring's own backends do."""
    with contextlib.suppress(ImportError):  # keyring is compared with and without us
        from keyring_pypitoken.vault.backends import DESKTOPS

        for kind in (FileKeyring, SecondKeyring):
            DESKTOPS[f"{__name__}.{kind.__name__}"] = ("another keyring backend", "unlock or repair it")


def _encrypt_cheaply() -> None:
    """Let no test depend on how fast a loaded machine computes scrypt."""
    sys.path.append(str(Path(__file__).parents[1]))
    import age_writer
    import pyrage

    pyrage.passphrase.encrypt = age_writer.encrypt_cheaply


_take_out_the_desktop()
_stand_for_the_desktop()
sys.modules.update(dict.fromkeys(os.environ.get("TEST_MISSING", "").split()))  # type: ignore[arg-type]  # not installed
if os.environ.get("TEST_CHEAP_PASSPHRASES"):
    _encrypt_cheaply()
