"""What opens the age file: a passphrase, or an identity file with age's own keys, plugins' keys, or an SSH key.

What fails is returned as a `Refusal` and not raised, like in the pipeline: the frames here hold secrets in clear.
pyrage is imported where something is encrypted or decrypted, and its exceptions end here, chained to nothing.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import stat
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.vault.passphrase import ask_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring_pypitoken.policy.model import WithOrigin
    from keyring_pypitoken.secret import Passphrase

T = TypeVar("T")

_MAX_BYTES = 1_000_000  # of an identity file: one key is some kilobytes at most
_SSH_BEGIN, _SSH_END = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----END OPENSSH PRIVATE KEY-----"
_SSH_MAGIC = b"openssh-key-v1\0"  # PROTOCOL.key of OpenSSH
_SSH_TYPES = (b"ssh-ed25519", b"ssh-rsa")  # those that age can encrypt to
_EXPECTED = (
    "expected lines such as AGE-SECRET-KEY-1... or AGE-PLUGIN-NAME-1..., or an OpenSSH private key of the type "
    "ed25519 or RSA without a passphrase"
)


class AgeKey(Protocol):
    """Encrypts and decrypts."""

    def encrypt(self, plain: bytes) -> bytes | Refusal:
        """Encrypt, so that this key opens it."""

    def decrypt(self, data: bytes) -> bytes | Refusal:
        """Decrypt what this key opens."""


@dataclasses.dataclass(frozen=True)
class PassphraseKey:
    """A passphrase; `path` is the file that it opens, for the messages."""

    path: str
    passphrase: Passphrase

    def encrypt(self, plain: bytes) -> bytes | Refusal:
        """Encrypt; scrypt takes about a second, which is its purpose."""
        return _with_pyrage(
            lambda pyrage: pyrage.passphrase.encrypt(plain, self.passphrase.reveal_to_age()),
            f"{self.path} cannot be encrypted to this passphrase: choose one of plain text.",
        )

    def decrypt(self, data: bytes) -> bytes | Refusal:
        """Decrypt; scrypt takes about a second, which is its purpose."""
        return _with_pyrage(
            lambda pyrage: pyrage.passphrase.decrypt(data, self.passphrase.reveal_to_age()),
            f"{self.path} cannot be opened, since the passphrase is wrong or the file was changed or damaged: "
            "try again with the right one, or restore the file from a backup.",
        )


@dataclasses.dataclass(frozen=True)
class IdentityKey:
    """The identities of a file, each of which opens what is encrypted to all of them.

    Attributes:
        path: the file that they open, for the messages.
        identity: the identity file, and which policy names it.
    """

    path: str
    identity: WithOrigin[str]

    def encrypt(self, plain: bytes) -> bytes | Refusal:
        """Encrypt to every identity; a plugin's program is run."""
        return self._use(
            lambda pyrage, found: pyrage.encrypt(plain, found.recipients),
            f"{self.path} cannot be encrypted to the identity {self.identity.value}: see what its plugin needs.",
        )

    def decrypt(self, data: bytes) -> bytes | Refusal:
        """Decrypt with any of the identities; a plugin's program is run, and may wait for a touch."""
        return self._use(
            lambda pyrage, found: pyrage.decrypt(data, found.identities),
            f"{self.path} cannot be opened with the identity {self.identity.value}, since it was encrypted to another, "
            "was changed or damaged, or the identity's plugin refused: name the right identity, or restore the file "
            "from a backup.",
        )

    def _use(self, step: Callable[[Any, _Identities], bytes], failure: str) -> bytes | Refusal:
        found = self._load()
        return found if isinstance(found, Refusal) else _with_pyrage(lambda pyrage: step(pyrage, found), failure)

    def _load(self) -> _Identities | Refusal:
        text = _read_identity(self.identity)
        if isinstance(text, Refusal):
            return text
        subject = f"the identity {self.identity.value} ({self.identity.origin})"
        found = _with_pyrage(
            lambda pyrage: _parse(pyrage, text), f"{subject} is not understood by age's library: name another."
        )
        return Refusal(f"{subject} {found}.") if isinstance(found, str) else found


class _Identities:
    """What pyrage makes of an identity file; their own repr shows nothing, but their str would."""

    def __init__(self) -> None:
        self.identities: list[Any] = []
        self.recipients: list[Any] = []

    def add(self, identity: object, recipient: object) -> None:
        self.identities.append(identity)
        self.recipients.append(recipient)


class _Plugged:
    """What a plugin may ask or tell; whatever is raised in here, pyrage would print."""

    def display_message(self, message: str) -> None:
        """Show that a key waits to be touched, say; stderr is the one channel that nearly every uploader shows."""
        try:
            sys.stderr.write(f"keyring-pypitoken: {message if message.isprintable() else ascii(message)}\n")
        except (AttributeError, OSError, ValueError):
            return  # closed, or none: there is nobody to tell

    def confirm(self, _message: str, _yes: str, _no: str | None) -> None:
        """Confirm nothing: nobody may be there."""

    def request_public_string(self, _description: str) -> None:
        """Tell nothing."""

    def request_passphrase(self, description: str) -> str | None:
        """Ask for the PIN of a key."""
        try:
            told = ask_terminal(f"{description}: ")
        except KeyboardInterrupt:
            return None
        return None if told is None else told.reveal_to_age()


def _with_pyrage(step: Callable[[Any], T], failure: str) -> T | Refusal:
    """Do something with pyrage; what it raises is dropped, since it may tell what it was given."""
    try:
        import pyrage
    except ImportError:
        return Refusal("masters in a file need pyrage, which is not installed: install `keyring-pypitoken[age]`.")
    try:
        return step(pyrage)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - a panic of pyrage's is no Exception
        return Refusal(failure)


def _read_identity(identity: WithOrigin[str]) -> bytes | Refusal:
    try:
        if stat.S_ISREG(os.stat(identity.value).st_mode):  # a pipe would be waited for
            with open(identity.value, "rb") as file:
                return file.read(_MAX_BYTES)
        problem = "which is no file"
    except FileNotFoundError:
        problem = "and there is no such file"
    except OSError as error:
        problem = f"which cannot be read ({error.strerror or type(error).__name__})"
    return Refusal(f"[store] names the identity {identity.value}, {problem} ({identity.origin}): correct it.")


def _parse(pyrage: Any, text: bytes) -> _Identities | str:
    """Read an identity file; return what is wrong with it as the rest of a sentence."""
    found = _Identities()
    if text.lstrip().startswith(b"-----BEGIN"):
        recipient = _ssh_recipient(text.strip())
        if recipient is None:
            return f"is no key that age takes: {_EXPECTED}"
        if not recipient:
            return "is an SSH key with a passphrase of its own, which age's library does not open: name one without"
        found.add(pyrage.ssh.Identity.from_buffer(text), pyrage.ssh.Recipient.from_str(recipient))
        return found
    for number, line in enumerate(text.decode("utf-8-sig", "replace").splitlines(), 1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        problem = _add(pyrage, found, word)
        if problem is not None:
            return f"{problem.format(number=number)}"
    return found if found.identities else f"holds no identity: {_EXPECTED}"


def _add(pyrage: Any, found: _Identities, word: str) -> str | None:
    """Read a line of an identity file; return what is wrong with it."""
    if not word.upper().startswith("AGE-PLUGIN-"):
        try:
            identity = pyrage.x25519.Identity.from_str(word)
        except pyrage.IdentityError:
            return "holds no identity in line {number}: " + _EXPECTED
        found.add(identity, identity.to_public())
        return None
    try:
        identity = pyrage.plugin.Identity.from_str(word)
    except pyrage.IdentityError:
        return "holds no identity in line {number}: " + _EXPECTED
    name = identity.plugin()
    try:
        found.add(
            pyrage.plugin.IdentityPluginV1(name, [identity], _Plugged()),
            pyrage.plugin.RecipientPluginV1(name, [], [identity], _Plugged()),
        )
    except (pyrage.DecryptError, pyrage.EncryptError):
        return f"needs the program age-plugin-{name}, which is not on PATH: install it"
    return None


def _ssh_recipient(text: bytes) -> str | None:
    """Return the public half of an OpenSSH private key, which stands in it unencrypted.

    A `.pub` beside it may be missing, or another's: what is encrypted to that one could never be opened.

    Args:
        text: the file.

    Returns:
        The recipient; an empty text where the key is encrypted; None where it is no key that age takes.
    """
    if not (text.startswith(_SSH_BEGIN) and text.endswith(_SSH_END)):
        return None
    try:
        data = base64.b64decode(b"".join(text[len(_SSH_BEGIN) : -len(_SSH_END)].split()), validate=True)
        cipher, rest = _ssh_field(data[len(_SSH_MAGIC) :])
        _kdf, rest = _ssh_field(rest)
        _options, rest = _ssh_field(rest)
        public, _ = _ssh_field(rest[4:])  # behind the number of keys, which is always 1
        kind, _ = _ssh_field(public)
    except ValueError:
        return None
    if not data.startswith(_SSH_MAGIC) or kind not in _SSH_TYPES:
        return None
    if cipher != b"none":
        return ""
    return f"{kind.decode()} {base64.b64encode(public).decode()}"


def _ssh_field(data: bytes) -> tuple[bytes, bytes]:
    """Split off a field: four bytes of length, then the content (RFC 4251, section 5)."""
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < end:
        raise ValueError
    return data[4:end], data[end:]
