"""Masters in a file of age's, for machines where no keyring keeps them.

The file is plain age, encrypted to a passphrase or to the identities that a policy names, and holds a small JSON
document: `{"version": 1, "masters": {SERVICE: {ACCOUNT: TOKEN}}}`. Without that file, nothing here costs anything.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.vault.identities import AgeKey, IdentityKey, PassphraseKey
from keyring_pypitoken.vault.passphrase import known_passphrase, new_passphrase
from keyring_pypitoken.vault.private_file import locked, read_private, remove_private, replace_private

if TYPE_CHECKING:
    from keyring_pypitoken.policy.model import WithOrigin

_VERSION = 1
_BEGIN = b"age-encryption.org/v1\n"
_PASSPHRASE_BEGIN = _BEGIN + b"-> scrypt "  # such a file has no other stanza, as age's specification demands

_Masters = dict[tuple[str, str], MasterToken]

# The file as this process last opened it: to open it once more would cost a second, or a touch.
_opened: dict[str, tuple[bytes, _Masters]] = {}


@dataclasses.dataclass(frozen=True)
class AgeFile:
    """The file, as a store of masters.

    It has the methods of a keyring backend and is none: keyring would put it into its chain.

    Attributes:
        identity: the identity file that shall open it, and which policy names that; None for a passphrase.
    """

    identity: WithOrigin[str] | None = None

    @property
    def path(self) -> str:
        """Where the file lies."""
        return paths.age_file()

    @property
    def needs_identity(self) -> bool:
        """Whether an identity opens the file; where there is none yet, whether one will."""
        try:
            data = read_private(self.path)
        except Refusal:
            data = None
        return self.identity is not None if data is None else not data.startswith(_PASSPHRASE_BEGIN)

    def __str__(self) -> str:
        if not self.needs_identity:
            return "age file, passphrase"
        return f"age file, identity {_below_home(self.identity.value) if self.identity else 'that no policy names'}"

    def get_password(self, service: str, username: str) -> str | None:
        """Return the master of an account.

        Raises:
            Refusal: the file cannot be opened.
        """
        master = self._open().get((service, username))
        return None if master is None else master.reveal_to_derive_or_store()

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep the master of an account, beside those that the file holds.

        Raises:
            Refusal: the file cannot be opened or written, and is as it was.
        """
        new = MasterToken(password)
        del password
        key = self._key_to_write()  # asks, if it must, before others have to wait
        with locked(self.path):
            self._write({**self._open(), (service, username): new}, key)

    def delete_password(self, service: str, username: str) -> None:
        """Forget the master of an account; with the last one goes the file, and with that the question what opens it.

        Raises:
            Refusal: the file cannot be opened or written, and is as it was.
        """
        key = self._key_to_write()
        with locked(self.path):
            rest = {name: master for name, master in self._open().items() if name != (service, username)}
            if rest:
                self._write(rest, key)
            else:
                remove_private(self.path)

    def _open(self) -> _Masters:
        data = read_private(self.path)
        if data is None:
            return {}
        known = _opened.get(self.path)
        if known is not None and known[0] == data:
            return known[1]
        masters = _decrypted(data, self._key_of(data), self.path)
        if isinstance(masters, Refusal):
            raise masters
        _opened[self.path] = (data, masters)
        return masters

    def _write(self, masters: _Masters, key: AgeKey) -> None:
        data = _encrypted(masters, key, self.path)
        if isinstance(data, Refusal):
            raise data
        replace_private(self.path, data)
        _opened[self.path] = (data, masters)

    def _key_of(self, data: bytes) -> AgeKey:
        """Return what opens the file, which is told by its first lines and not by what a policy says today."""
        if data.startswith(_PASSPHRASE_BEGIN):
            return PassphraseKey(self.path, known_passphrase(self.path))
        if not data.startswith(_BEGIN):
            raise Refusal(f"{self.path} is no file of age's, so it was changed or damaged: restore it from a backup.")
        if self.identity is None:
            raise Refusal(
                f"{self.path} is encrypted to an identity, and no policy names one: "
                f"name it as `identity` in [store] of {paths.user_policy()}."
            )
        return IdentityKey(self.path, self.identity)

    def _key_to_write(self) -> AgeKey:
        if self.identity is not None:
            return IdentityKey(self.path, self.identity)
        data = read_private(self.path)
        return PassphraseKey(self.path, new_passphrase(self.path)) if data is None else self._key_of(data)


def _below_home(path: str) -> str:
    home = os.path.expanduser("~")
    return f"~{path[len(home) :]}" if path.startswith(os.path.join(home, "")) else path


def _decrypted(data: bytes, key: AgeKey, path: str) -> _Masters | Refusal:
    plain = key.decrypt(data)
    return plain if isinstance(plain, Refusal) else parse_document(plain, path)


def _encrypted(masters: _Masters, key: AgeKey, path: str) -> bytes | Refusal:
    """Encrypt masters, and see that they can be had back before anything takes the old file's place."""
    document: dict[str, dict[str, str]] = {}
    for (service, account), master in masters.items():
        document.setdefault(service, {})[account] = master.reveal_to_derive_or_store()
    plain = json.dumps({"version": _VERSION, "masters": document}).encode()
    data = key.encrypt(plain)
    if isinstance(data, Refusal):
        return data
    if key.decrypt(data) != plain:
        return Refusal(
            f"what {path} would hold could not be opened again, so nothing was stored: "
            "see whether the identity and its plugin fit, and try again."
        )
    return data


def parse_document(plain: bytes, path: str) -> _Masters | Refusal:
    """Read the decrypted document.

    Args:
        plain: the document; it is not trusted, since anybody can encrypt to an identity's public half.
        path: the file that it comes from, for the messages.

    Returns:
        The masters by service and account; or a refusal, which is returned since the frames here hold the document.
    """
    damaged = Refusal(f"{path} holds no masters in a form that is known: restore it from a backup.")
    try:
        content = json.loads(plain)
    except (ValueError, RecursionError):  # which tells the whole text
        return damaged
    version = content.get("version") if isinstance(content, dict) else None
    if type(version) is not int or version < _VERSION:
        return damaged
    if version > _VERSION:
        return Refusal(f"{path} was written by a newer version of keyring-pypitoken: upgrade this one.")
    services = content.get("masters")
    if not isinstance(services, dict):
        return damaged
    masters: _Masters = {}
    for service, accounts in services.items():
        if not isinstance(accounts, dict):
            return damaged
        for account, token in accounts.items():
            if not isinstance(token, str):
                return damaged
            masters[service, account] = MasterToken(token)
    return masters
