"""Masters in a file of age's, for machines without a keyring.

The file is plain age, encrypted to a passphrase or to the identities that a policy names, and holds a small JSON
document: `{"version": 1, "masters": {SERVICE: {ACCOUNT: TOKEN}}}`. Without that file, nothing here costs anything.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken import files, memory, paths
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.policy.discovery import load_config
from keyring_pypitoken.secret import MasterToken, Passphrase
from keyring_pypitoken.text import printable
from keyring_pypitoken.toml import load_toml
from keyring_pypitoken.vault import accounts, keys
from keyring_pypitoken.vault.keys import IdentityKey, PassphraseKey, with_pyrage

if TYPE_CHECKING:
    from keyring_pypitoken.policy.model import WithOrigin

_VERSION = 1
_MAX_BYTES = 10_000_000  # a master has some hundred
_BEGIN = b"age-encryption.org/v1\n"
_PASSPHRASE_BEGIN = _BEGIN + b"-> scrypt "  # such a file has no other stanza, as age's specification demands

_Masters = dict[tuple[str, str], MasterToken]
_Key = IdentityKey | PassphraseKey


class AgeFile(NamedTuple):
    """The file as a store with the methods of a keyring backend; keyring would put a real one into its chain."""

    identity: WithOrigin[str] | None = None  # the identity file that opens it, and what names that; else a passphrase

    @property
    def path(self) -> str:
        """Where the file is."""
        return paths.age_file()

    def __str__(self) -> str:
        data = None
        with contextlib.suppress(Refusal):
            data = self._read()
        if self.identity is None if data is None else data.startswith(_PASSPHRASE_BEGIN):
            return "age file, passphrase"
        return f"age file, identity {_below_home(self.identity.value) if self.identity else 'that no policy names'}"

    def get_password(self, service: str, username: str) -> str | None:
        """Return the master of an account; a file that cannot be opened is a Refusal."""
        master = self._open().get((service, username))
        return None if master is None else master.reveal()

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store the master of an account beside those in the file, which stays as it was if that is a Refusal."""
        new = MasterToken(password)
        del password
        key = self._key_to_write()
        with files.locked(self.path):
            self._write({**self._open(), (service, username): new}, key)

    def delete_password(self, service: str, username: str) -> None:
        """Delete the master of an account, and with the last one the file, so that nobody is asked to open it."""
        key = self._key_to_write()
        with files.locked(self.path):
            left = {name: master for name, master in self._open().items() if name != (service, username)}
            if left:
                self._write(left, key)
            else:
                files.remove(self.path)

    def _read(self) -> bytes | None:
        return files.read_bytes(self.path, self.path, max_bytes=_MAX_BYTES)

    def _open(self) -> _Masters:
        data = self._read()
        if data is None:
            return {}
        # To open the same bytes again would cost a second, or a touch.
        return memory.recall(("age", self.path, data), lambda: self._decrypt(data))

    def refuse_unusable(self) -> None:
        """Refuse if age's library or the identity is missing; nothing is opened, and nobody is asked."""
        with_pyrage(lambda _: None, "")
        data = self._read()
        if data is not None and data.startswith(_BEGIN) and not data.startswith(_PASSPHRASE_BEGIN):
            self._identity_key().read()
        elif self.identity is not None:
            IdentityKey(self.path, self.identity).read()

    def _decrypt(self, data: bytes) -> _Masters:
        """Decrypt the file by what it was encrypted to, whatever a policy says today."""
        if data.startswith(_PASSPHRASE_BEGIN):
            return self._decrypt_by_passphrase(data)
        if not data.startswith(_BEGIN):
            raise Refusal(f"{self.path} is not an age file, so it was changed or damaged: restore it from a backup.")
        return self._checked(self._identity_key().decrypt(data, parse_document))

    def _identity_key(self) -> IdentityKey:
        if self.identity is None:
            raise Refusal(
                f"{self.path} is encrypted to an identity, and no policy names one: "
                f"name it as `identity` in [store] of {paths.user_policy()}."
            )
        return IdentityKey(self.path, self.identity)

    def _decrypt_by_passphrase(self, data: bytes) -> _Masters:
        # Before anybody types.
        with_pyrage(lambda _: PassphraseKey(self.path, Passphrase("")).refuse_unopenable(data), "")
        problem = Refusal()
        for passphrase in keys.passphrases(self.path):
            try:
                content = PassphraseKey(self.path, passphrase).decrypt(data, parse_document)
            except Refusal as refusal:
                problem = refusal
            else:
                keys.remember(passphrase)
                return self._checked(content)
        raise problem

    def _checked(self, content: _Masters | str) -> _Masters:
        if isinstance(content, str):
            raise Refusal(f"{self.path} {content}.")
        return content

    def _key_to_write(self) -> _Key:
        """Return what will open the file. Whatever must be typed or touched for it is, before others have to wait."""
        with_pyrage(lambda _: None, "")
        self._open()
        if self.identity is not None:
            return IdentityKey(self.path, self.identity)
        return PassphraseKey(self.path, keys.passphrase_to_store(self.path))

    def _write(self, masters: _Masters, key: _Key) -> None:
        data = key.encrypt(lambda: _document(masters))
        opens = False
        with contextlib.suppress(Refusal):
            opens = key.decrypt(data, lambda plain: plain == _document(masters))
        if not opens:
            raise Refusal(
                f"what {self.path} would hold cannot be opened again, so nothing was stored: check the identity and "
                "its plugin, and try again."
            )
        files.replace(self.path, data)
        memory.recall(("age", self.path, data), lambda: masters)


def rekey(opened_by: WithOrigin[str] | None, identity: WithOrigin[str] | None) -> str:
    """Encrypt the age file anew, and return what is left to do, as sentences for a person.

    `opened_by` is the identity file that opens it today, `identity` the one that will; without it a passphrase does,
    a new one asked for on the terminal. If there is a Refusal, the file is as it was.
    """
    store = AgeFile(opened_by)
    path = store.path
    if not store._open():  # noqa: SLF001 - a function of the store, but not one of a keyring backend
        raise Refusal(
            f"{path} does not exist, so there is nothing to encrypt anew: `keyring-pypitoken login` stores a master."
        )
    if identity is None:
        key: _Key = PassphraseKey(path, keys.new_passphrase(path))
        left = f"The new passphrase opens {path}: set {keys.VARIABLE} to it wherever you set that variable"
        left += "." if opened_by is None else f", and remove `identity` from [store] of {paths.user_policy()}."
    else:
        key = IdentityKey(path, identity)
        left = f"The identity {printable(identity.value)} opens {path}: keep a copy of it."
    with files.locked(path):
        store._write(store._open(), key)  # noqa: SLF001
    if isinstance(key, PassphraseKey):
        keys.remember(key.passphrase)
    if identity is not None:
        left += f" {_name_identity(identity)}"
    accounts.touch_notes()
    return f"{left} Copies of the old file still open the old way: delete them, or revoke the tokens in them."


def _name_identity(identity: WithOrigin[str]) -> str:
    """Let the user's policy name what opens the file now, if none does; return what was written, or is to be."""
    named = load_config().store.identity
    if named is not None and named.value == identity.value:
        return f"{named.origin} names it."
    path, line = paths.user_policy(), f"identity = {json.dumps(identity.value, ensure_ascii=False)}"
    with contextlib.suppress(Refusal):
        files.replace(path, _with_identity(files.read_text(path, path) or "", line, identity.value).encode())
        memory.forget()
        return f"Written into {path}: `[store]`, `{line}`."
    return f"Put the lines `[store]` and `{line}` into {path}."


def _with_identity(text: str, line: str, value: str) -> str:
    """Return the text of a policy, in which one line, new or changed, names an identity; a Refusal if no line can."""
    expected = load_toml(text, "")
    store = expected.setdefault("store", {})
    if isinstance(store, dict) and "command" not in store:
        store["identity"] = value
        lines = [*text.splitlines(keepends=True), "\n", "\n"]
        tries = [[*lines[:at], f"{line}\n", *lines[at + 1 :]] for at, old in enumerate(lines) if "identity" in old]
        tries += [[*lines[: at + 1], f"{line}\n", *lines[at + 1 :]] for at, old in enumerate(lines) if "store" in old]
        for changed in map("".join, (*tries, [*lines, f"[store]\n{line}\n"])):
            with contextlib.suppress(PolicyError):
                if load_toml(changed, "") == expected:
                    return changed
    raise Refusal


def _below_home(path: str) -> str:
    home = os.path.expanduser("~")
    return printable(f"~{path[len(home) :]}" if path.startswith(os.path.join(home, "")) else path)


def _document(masters: _Masters) -> bytes:
    document: dict[str, dict[str, str]] = {}
    for (service, account), master in masters.items():
        document.setdefault(service, {})[account] = master.reveal()
    return json.dumps({"version": _VERSION, "masters": document}).encode()


def parse_document(plain: bytes) -> _Masters | str:
    """Return the masters of a decrypted document; or what is wrong with it, as the rest of a sentence."""
    # It is not trusted: anybody can encrypt to the public half of an identity.
    damaged = "does not hold masters in a known form: restore it from a backup"
    try:
        content = json.loads(plain)
        version = content["version"]
        if type(version) is int and version > _VERSION:
            return "was written by a newer version of keyring-pypitoken: upgrade this one"
        entries = [(service, *entry) for service, held in content["masters"].items() for entry in held.items()]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return damaged
    if type(version) is not int or version < _VERSION or not all(isinstance(token, str) for _, _, token in entries):
        return damaged
    return {(service, account): MasterToken(token) for service, account, token in entries}
