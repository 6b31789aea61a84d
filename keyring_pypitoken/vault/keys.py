"""What opens the age file: a passphrase, or an identity file with age's own keys, plugins' keys, or an SSH key.

Clear text passes through here in calls only, never in a variable that a traceback could show. pyrage is imported only
to encrypt or decrypt, and its exceptions end here, since they may hold what it was given.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from keyring_pypitoken import files, notices
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.memory import forget, recall
from keyring_pypitoken.secret import Passphrase
from keyring_pypitoken.text import printable
from keyring_pypitoken.vault import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyring_pypitoken.policy.model import WithOrigin

T = TypeVar("T")
_Pair = tuple[Any, Callable[[], Any]]  # an identity of pyrage's, and what makes its recipient

VARIABLE = "KEYRING_PYPITOKEN_PASSPHRASE"
_TRIES = 3
_KIB, _MIB = 1024, 1024 * 1024
# Scrypt takes 2**WORK KiB (RFC 7914, with the block size 8 of age). The library chooses WORK by the speed of the
# machine that encrypts, commonly 20 in 2026 (pyrage 1.2.1 to 1.4.0); the file names it to whoever decrypts.
_USUAL_WORK = 20
_HEADER = re.compile(rb"age-encryption\.org/v1\n-> scrypt [^ \n]+ ([0-9]{1,2})\n")
# A container's limits, by the versions 2 and 1 of Linux' control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_EXPECTED = (
    "expected lines such as AGE-SECRET-KEY-1... or AGE-PLUGIN-NAME-1..., or an OpenSSH private key of the type "
    "ed25519 or RSA without a passphrase"
)


def passphrases(path: str) -> Iterator[Passphrase]:
    """Yield what may open a file: the variable's value; else what was typed before, then up to three answers."""
    given = _given()
    if given is not None:
        yield given
        if os.environ.get(VARIABLE) or not terminal.has_terminal():
            return
    question = f"Passphrase of {path}: "
    for _ in range(_TRIES):
        yield _ask(question, path)
        question = "This passphrase does not open it. Try again: "


def passphrase_to_store(path: str) -> Passphrase:
    """Return the passphrase for a file that may not exist yet; if it is not known, ask as `new_passphrase` does."""
    given = _given()
    if given is None:
        remember(given := new_passphrase(path))
    return given


def new_passphrase(path: str) -> Passphrase:
    """Ask on the terminal for a passphrase, and again to be sure; three slips, or no answer, are a Refusal."""
    question = f"New passphrase for {path}: "
    for _ in range(_TRIES):
        first = _ask(question, path)
        if first.reveal_to_age() == _ask("Repeat passphrase: ", path).reveal_to_age():
            return first
        question = "The two differ. New passphrase: "
    raise Refusal("the two passphrases differed each time, so nothing was stored: try again.")


def remember(passphrase: Passphrase) -> None:
    """Remember what opened or will open the file, so that this process asks once."""
    forget("passphrase")
    recall("passphrase", lambda: passphrase)


def _given() -> Passphrase | None:
    text = os.environ.get(VARIABLE)
    return Passphrase(text) if text else recall("passphrase", lambda: None)


def _ask(question: str, path: str) -> Passphrase:
    """Ask on the terminal; if nobody can be asked, or nothing is typed, that is a Refusal."""
    if not terminal.has_terminal():
        without, place = "cannot be asked for without a terminal", "a terminal"
        if terminal.is_ci():
            without, place = "is not asked for if the variable CI is set", "a terminal without CI"
        raise Refusal(
            f"the masters in {path} need a passphrase, which {without}: set {VARIABLE}, or run this in {place}."
        )
    passphrase = Passphrase(terminal.ask_terminal(question))
    if not passphrase.reveal_to_age():
        raise Refusal(f"no passphrase given for the masters in {path}: try again, or set {VARIABLE}.")
    return passphrase


class PassphraseKey(NamedTuple):
    """A passphrase. Scrypt takes about a second either way."""

    path: str  # the file that it opens, for the messages
    passphrase: Passphrase

    def encrypt(self, make: Callable[[], bytes]) -> bytes:
        """Encrypt what a function makes; too little memory, or a passphrase that is not text, is a Refusal."""
        self._refuse_without_memory(_USUAL_WORK)
        data: bytes = with_pyrage(
            lambda pyrage: pyrage.passphrase.encrypt(make(), self.passphrase.reveal_to_age()),
            f"{self.path} cannot be encrypted to this passphrase: choose one of plain text.",
        )
        return data

    def decrypt(self, data: bytes, read: Callable[[bytes], T]) -> T:
        """Decrypt, and return what a function makes of that; little memory, or data it cannot open, is a Refusal."""
        self.refuse_unopenable(data)

        def step(pyrage: Any) -> T:
            try:
                return read(pyrage.passphrase.decrypt(data, self.passphrase.reveal_to_age()))
            except pyrage.DecryptError as error:
                if not str(error).startswith("Excessive work"):  # more than 16 seconds
                    raise
            raise Refusal(
                f"{self.path} takes too long to open on this machine: open it on a faster one, and run "
                "`keyring-pypitoken rekey` there to encrypt it to an identity."
            )

        return with_pyrage(
            step,
            f"{self.path} cannot be opened, because the passphrase is wrong or the file is damaged: try again, or "
            "restore the file from a backup; if the passphrase is lost, delete the file and store a new token with "
            "`keyring-pypitoken login`.",
        )

    def refuse_unopenable(self, data: bytes) -> None:
        """Refuse (raise a Refusal) to decrypt a file that takes more memory than there is."""
        header = _HEADER.match(data)
        if header is not None:  # else the library finds what is wrong with it
            self._refuse_without_memory(int(header[1]))

    def _refuse_without_memory(self, work: int) -> None:
        # The library aborts the process that lacks it.
        needed, free = _KIB * 2**work, free_memory()
        if free is not None and free < needed:
            there_is = f"{free // _MIB} MiB are free"
        elif not _can_be_had(needed):
            there_is = "this process cannot have as much"
        else:
            return
        raise Refusal(
            f"a passphrase for {self.path} takes {needed // _MIB} MiB of memory, and {there_is}: free some; or run "
            "`keyring-pypitoken rekey --identity FILE` on a larger machine: an identity takes none."
        )


class IdentityKey(NamedTuple):
    """The identities of a file, each of which opens what is encrypted to all of them."""

    path: str  # the file that they open, for the messages
    identity: WithOrigin[str]  # the identity file, and what names it

    def encrypt(self, make: Callable[[], bytes]) -> bytes:
        """Encrypt what a function makes to every identity; a file or plugin that cannot be used is a Refusal."""
        pairs = self.read()
        data: bytes = with_pyrage(
            lambda pyrage: pyrage.encrypt(make(), [recipient() for _, recipient in pairs]),
            f"{self.path} cannot be encrypted to the identity {self._name}: see what it or its plugin needs.",
        )
        return data

    def decrypt(self, data: bytes, read: Callable[[bytes], T]) -> T:
        """Decrypt with any of the identities, as `PassphraseKey`; a plugin's program may wait for a touch."""
        pairs = self.read()
        return with_pyrage(
            lambda pyrage: read(pyrage.decrypt(data, [identity for identity, _ in pairs])),
            f"{self.path} cannot be opened with the identity {self._name}, because it was encrypted to another, is "
            "damaged, or the identity's plugin refused: name the right identity, or restore the file from a backup.",
        )

    @property
    def _name(self) -> str:
        return printable(self.identity.value)

    def read(self) -> list[_Pair]:
        """Read the identity file; a file or plugin that cannot be used is a Refusal."""
        subject = f"the identity {self._name} ({self.identity.origin})"
        if sys.platform == "win32" and not re.match(r"[A-Za-z]:[\\/]", self.identity.value):
            # Windows would show the user's credentials to whichever computer a path such as \\host\share names.
            raise Refusal(f"{subject} is not on a drive of this machine: copy it there, and name it by its drive.")

        def parse(pyrage: Any) -> list[_Pair]:
            text = files.read_text(self.identity.value, subject)
            if text is None:
                raise Refusal(
                    f"{subject} does not exist: copy it from the machine that has it, or name another; if it is lost, "
                    f"delete {self.path} and store a new token with `keyring-pypitoken login`."
                )
            ssh = text.lstrip().startswith("-----BEGIN")
            return _parse_ssh_key(pyrage, text.encode(), subject) if ssh else _parse(pyrage, text, subject)

        return with_pyrage(parse, "")


class _Plugged:
    """What a plugin may ask for; pyrage would print whatever is raised in here."""

    def display_message(self, message: str) -> None:
        """Show that a key waits to be touched, say; stderr is the one channel that nearly every uploader shows."""
        notices.write(f"keyring-pypitoken: {printable(message)}")

    def confirm(self, _message: str, _yes: str, _no: str | None) -> None:
        """Confirm nothing: nobody may be there."""

    def request_public_string(self, _description: str) -> None:
        """Answer nothing."""

    def request_passphrase(self, description: str) -> str | None:
        """Ask for the PIN of a key."""
        try:
            return terminal.ask_terminal(f"{printable(description)}: ") or None
        except KeyboardInterrupt:
            return None


def with_pyrage(step: Callable[[Any], T], failure: str) -> T:
    """Do something with pyrage. What it raises is dropped: the Refusal is the step's own, or has the `failure`."""
    try:
        import pyrage

        return step(pyrage)
    except (KeyboardInterrupt, SystemExit):
        raise
    except Refusal as refusal:
        failure = str(refusal)
    except ImportError as error:
        failure = f"masters in a file need {error.name}, which is not installed: install `keyring-pypitoken[age]`."
    except BaseException:  # noqa: BLE001, S110 - a panic of pyrage's is not an Exception
        pass
    raise Refusal(failure)


def _parse(pyrage: Any, text: str, subject: str) -> list[_Pair]:
    pairs: list[_Pair] = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        try:
            if word.upper().startswith("AGE-PLUGIN-"):
                identity = pyrage.plugin.Identity.from_str(word)
                about = (identity.plugin(), [identity], _Plugged())
                recipient = functools.partial(_plug, pyrage.plugin.RecipientPluginV1, about[0], [], *about[1:])
                pairs.append((_plug(pyrage.plugin.IdentityPluginV1, *about), recipient))
            else:
                identity = pyrage.x25519.Identity.from_str(word)
                pairs.append((identity, identity.to_public))
        except pyrage.IdentityError:
            is_new = word.upper().startswith("AGE-SECRET-KEY-PQ-")
            what = "a post-quantum identity (`age-keygen -pq`)" if is_new else "no identity"
            raise Refusal(f"{subject} has {what} in line {number}: {_EXPECTED}.") from None
        except pyrage.DecryptError:
            program = f"age-plugin-{identity.plugin()}"
            raise Refusal(f"{subject} needs the program {program}, which is not on PATH: install it.") from None
    if not pairs:
        raise Refusal(f"{subject} has no identity: {_EXPECTED}.")
    return pairs


def _plug(make: Callable[..., Any], *about: object) -> Any:
    """Let pyrage find a plugin's program in absolute entries of PATH only: others may be somebody's checkout."""
    path = os.environ.get("PATH", os.defpath)
    entries = [entry for entry in path.split(os.pathsep) if os.path.isabs(entry)]
    os.environ["PATH"] = os.pathsep.join(entries) or os.devnull
    try:
        return make(*about)
    finally:
        os.environ["PATH"] = path


def _parse_ssh_key(pyrage: Any, text: bytes, subject: str) -> list[_Pair]:
    def recipient() -> Any:
        # From the key itself: a `.pub` file beside it may be missing, or that of another key.
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

        public = load_ssh_private_key(text, None).public_key()
        return pyrage.ssh.Recipient.from_str(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())

    try:
        if text.lstrip().startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----"):
            return [(pyrage.ssh.Identity.from_buffer(text), recipient)]
    except pyrage.IdentityError as error:
        if "must be decrypted" in str(error):
            raise Refusal(
                f"{subject} is an SSH key with a passphrase of its own, which age's library does not open: name one "
                "without."
            ) from None
    raise Refusal(f"{subject} is not a key that age takes: {_EXPECTED}.")


def free_memory() -> int | None:
    """Return how many bytes this process may take; None if the system does not report it."""
    limits: list[int] = []
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, LookupError), open("/proc/meminfo", encoding="ascii") as file:
            kib = {line.split(":")[0]: int(line.split()[1]) for line in file}
            limits.append((kib["MemAvailable"] + kib["SwapFree"]) * _KIB)
        for path in _LIMITS:
            with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
                limits.append(int(file.read()))  # "max" is not a number
    return min(limits, default=None)


def _can_be_had(size: int) -> bool:
    """Try it: nothing is used, but the limits of this process and Windows' commit limit count."""
    import mmap

    try:
        mmap.mmap(-1, size).close()
    except (OSError, OverflowError):
        return False
    return True
