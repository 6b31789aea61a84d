"""Keys of the age file: what one encrypts it opens, age's own functions agree, and everything else is one sentence."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pyrage
import pytest
from age_plugin import PLUGIN_IDENTITY, POSIX, install_plugin
from age_writer import encrypt_cheaply

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.secret import Passphrase
from keyring_pypitoken.vault import identities
from keyring_pypitoken.vault.identities import IdentityKey, PassphraseKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLAIN = b"the masters"
ORIGIN = Origin("policy.toml:2")
EXPECTED = (
    "expected lines such as AGE-SECRET-KEY-1... or AGE-PLUGIN-NAME-1..., or an OpenSSH private key of the type "
    "ed25519 or RSA without a passphrase"
)


def key_of(path: Path) -> IdentityKey:
    """Return the key that a policy's identity file is."""
    return IdentityKey("masters.age", WithOrigin(str(path), ORIGIN))


def refused(outcome: bytes | Refusal) -> str:
    """Return a refusal's sentence; it is returned and not raised, so that it holds no frames."""
    assert isinstance(outcome, Refusal)
    assert (outcome.__cause__, outcome.__context__, outcome.__traceback__) == (None, None, None)
    return str(outcome)


def opened(outcome: bytes | Refusal) -> bytes:
    """Return what was encrypted or decrypted."""
    assert not isinstance(outcome, Refusal), str(outcome)
    return outcome


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the identity file."""
    return tmp_path / "identity"


def ssh_key(path: Path, *arguments: str) -> None:
    """Make an SSH key as people do."""
    try:
        subprocess.run(["ssh-keygen", "-q", "-f", str(path), *arguments], check=True, stdin=subprocess.DEVNULL)  # noqa: S607
    except FileNotFoundError:
        pytest.skip("ssh-keygen is not installed here")


# Passphrases.


def test_a_passphrase_opens_what_it_encrypted() -> None:
    """And pyrage's own function, which stands for the program `age`, opens it too."""
    key = PassphraseKey("masters.age", Passphrase("correct horse"))
    data = opened(key.encrypt(PLAIN))
    assert data.startswith(b"age-encryption.org/v1\n-> scrypt ")
    assert pyrage.passphrase.decrypt(data, "correct horse") == opened(key.decrypt(data)) == PLAIN


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:60],
        lambda data: data.replace(b"scrypt", b"scrapt"),
        lambda data: data.replace(b" 1\n", b" 63\n"),
        lambda _: encrypt_cheaply(PLAIN, "battery staple"),
        lambda _: b"",
    ],
    ids=["truncated", "tampered", "half a header", "another kind", "too much work", "wrong", "empty"],
)
def test_a_wrong_passphrase_and_a_damaged_file_are_told(spoil: Callable[[bytes], bytes]) -> None:
    """Which of them it is cannot be told for sure."""
    data = encrypt_cheaply(PLAIN, "correct horse")
    key = PassphraseKey("masters.age", Passphrase("correct horse"))
    assert opened(key.decrypt(data)) == PLAIN
    assert refused(key.decrypt(spoil(data))) == (
        "masters.age cannot be opened, since the passphrase is wrong or the file was changed or damaged: "
        "try again with the right one, or restore the file from a backup."
    )


def test_a_passphrase_that_is_no_text_is_told() -> None:
    """A variable may hold any bytes."""
    key = PassphraseKey("masters.age", Passphrase("\udcff"))
    assert refused(key.encrypt(PLAIN)) == (
        "masters.age cannot be encrypted to this passphrase: choose one of plain text."
    )


def test_without_pyrage_the_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no dependency of those who have a keyring."""
    monkeypatch.setitem(sys.modules, "pyrage", None)
    assert refused(PassphraseKey("masters.age", Passphrase("x")).decrypt(b"")) == (
        "masters in a file need pyrage, which is not installed: install `keyring-pypitoken[age]`."
    )


# Identities.


def test_an_identity_file_opens_what_is_encrypted_to_any_of_its_lines(path: Path) -> None:
    """Comments, empty lines and the marks of Windows' editors are passed over, and every identity opens it."""
    first, second = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    path.write_text(f"\ufeff# created: today\r\n# public key: age1...\r\n{first}\r\n\r\n  {second}  \r\n", "utf-8")
    data = opened(key_of(path).encrypt(PLAIN))
    for identity in (first, second):
        assert pyrage.decrypt(data, [identity]) == PLAIN
        assert opened(key_of(path).decrypt(pyrage.encrypt(PLAIN, [identity.to_public()]))) == PLAIN


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_ssh_key_opens_what_is_encrypted_to_it(path: Path, kind: str) -> None:
    """Its public half is read from the key itself: what lies beside it could be another's."""
    ssh_key(path, "-t", kind, "-N", "")
    public = pyrage.ssh.Recipient.from_str(path.with_suffix(".pub").read_text().strip())
    path.with_suffix(".pub").write_text("ssh-ed25519 AAAA another")
    data = opened(key_of(path).encrypt(PLAIN))
    assert pyrage.decrypt(data, [pyrage.ssh.Identity.from_buffer(path.read_bytes())]) == PLAIN
    assert opened(key_of(path).decrypt(pyrage.encrypt(PLAIN, [public]))) == PLAIN


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ("-t", "ed25519", "-N", "a passphrase"),
            "is an SSH key with a passphrase of its own, which age's library does not open: name one without",
        ),
        (
            ("-t", "rsa", "-N", "a passphrase"),
            "is an SSH key with a passphrase of its own, which age's library does not open: name one without",
        ),
        (("-t", "ecdsa", "-N", ""), f"is no key that age takes: {EXPECTED}"),
        (("-t", "rsa", "-m", "PEM", "-N", ""), f"is no key that age takes: {EXPECTED}"),
        (("-t", "rsa", "-m", "PEM", "-N", "a passphrase"), f"is no key that age takes: {EXPECTED}"),
    ],
)
def test_ssh_keys_that_age_does_not_take_are_told(path: Path, arguments: tuple[str, ...], problem: str) -> None:
    """One sentence each, for both directions."""
    ssh_key(path, *arguments)
    for step in (key_of(path).encrypt, key_of(path).decrypt):
        assert refused(step(PLAIN)) == f"the identity {path} (policy.toml:2) {problem}."


def damaged_keys() -> list[bytes]:
    """Make OpenSSH keys that end too early, or hold something else."""
    begin, end = b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"\n-----END OPENSSH PRIVATE KEY-----\n"
    fields = b"".join(len(f).to_bytes(4, "big") + f for f in (b"none", b"none", b"")) + b"\0\0\0\1"
    kind = (11).to_bytes(4, "big") + b"ssh-ed25519"
    whole = b"openssh-key-v1\0" + fields + len(kind).to_bytes(4, "big") + kind
    texts = [b"", b"!", base64.b64encode(b"openssh-key-v1\0"), base64.b64encode(b"x" + whole[1:])]
    texts += [base64.b64encode(whole[:-1]), base64.b64encode(whole[:20])]
    return [*(begin + text + end for text in texts), begin, end, b"-----BEGIN CERTIFICATE-----"]


@pytest.mark.parametrize("text", damaged_keys())
def test_damaged_ssh_keys_are_told(path: Path, text: bytes) -> None:
    """Wherever they end."""
    path.write_bytes(text)
    told = refused(key_of(path).encrypt(PLAIN))
    assert told == (
        f"the identity {path} (policy.toml:2) is no key that age takes: {EXPECTED}."
        if text.startswith(b"-----BEGIN")
        else f"the identity {path} (policy.toml:2) holds no identity in line 2: {EXPECTED}."
    )


def test_an_ssh_key_that_only_pyrage_finds_damaged_is_told(path: Path) -> None:
    """Its public half is whole, and its private one is not."""
    ssh_key(path, "-t", "ed25519", "-N", "")
    begin, *lines, end = path.read_text().splitlines()
    cut = base64.b64decode("".join(lines))[:-40]
    path.write_text("\n".join([begin, base64.b64encode(cut).decode(), end]))
    assert refused(key_of(path).decrypt(b"")) == (
        f"the identity {path} (policy.toml:2) is not understood by age's library: name another."
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", f"holds no identity: {EXPECTED}"),
        (b"# nothing but a comment\n", f"holds no identity: {EXPECTED}"),
        (b"# x\nAGE-SECRET-KEY-1SECRET\n", f"holds no identity in line 2: {EXPECTED}"),
        (b"AGE-PLUGIN-DEMO-1SECRET\n", f"holds no identity in line 1: {EXPECTED}"),
        (b"\xff\xfe\0", f"holds no identity in line 1: {EXPECTED}"),
        (b"age-encryption.org/v1\n", f"holds no identity in line 1: {EXPECTED}"),
    ],
)
def test_what_is_no_identity_is_told(path: Path, text: bytes, problem: str) -> None:
    """By its line, and never by what stands in it."""
    path.write_bytes(text)
    assert refused(key_of(path).encrypt(PLAIN)) == f"the identity {path} (policy.toml:2) {problem}."


def test_an_identity_that_is_not_there_is_told(path: Path) -> None:
    """The policy that names it is told too."""
    assert refused(key_of(path).decrypt(b"")) == (
        f"[store] names the identity {path}, and there is no such file (policy.toml:2): correct it."
    )
    path.mkdir()
    assert refused(key_of(path).decrypt(b"")) == (
        f"[store] names the identity {path}, which is no file (policy.toml:2): correct it."
    )
    path = path / ("x" * 1000)
    told = refused(key_of(path).decrypt(b""))
    assert told.startswith(f"[store] names the identity {path}, ")
    assert told.endswith(" (policy.toml:2): correct it.")


@POSIX
def test_a_pipe_in_the_place_of_an_identity_is_told(path: Path) -> None:
    """Nobody waits until somebody writes into it."""
    os.mkfifo(path)
    assert refused(key_of(path).encrypt(PLAIN)) == (
        f"[store] names the identity {path}, which is no file (policy.toml:2): correct it."
    )


def test_another_identity_does_not_open_it(path: Path) -> None:
    """Whose it is cannot be told, or whether it was changed."""
    path.write_text(str(pyrage.x25519.Identity.generate()))
    data = pyrage.encrypt(PLAIN, [pyrage.x25519.Identity.generate().to_public()])
    assert refused(key_of(path).decrypt(data)) == (
        f"masters.age cannot be opened with the identity {path}, since it was encrypted to another, was changed or "
        "damaged, or the identity's plugin refused: name the right identity, or restore the file from a backup."
    )


# Plugins, which are programs of their own.


@POSIX
def test_a_plugin_opens_what_it_encrypted(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its program is run for both, and what it tells a person is told on stderr, at the time."""
    install_plugin(path.parent, monkeypatch)
    path.write_text(f"# a key\n{PLUGIN_IDENTITY}\n")
    data = opened(key_of(path).encrypt(PLAIN))
    assert data.startswith(b"age-encryption.org/v1\n-> demo argument\n")
    assert capsys.readouterr().err == ""
    assert opened(key_of(path).decrypt(data)) == PLAIN
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "keyring-pypitoken: touch the demo key\n")


@POSIX
@pytest.mark.parametrize("mode", ["pin", "confirm", "name", "refuse"])
def test_a_plugin_that_does_not_release_its_key_is_told(path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Where nobody can be asked, nothing is confirmed and no PIN is given; what hangs nobody is waited for."""
    install_plugin(path.parent, monkeypatch)
    path.write_text(PLUGIN_IDENTITY)
    data = opened(key_of(path).encrypt(PLAIN))
    monkeypatch.setenv("DEMO_PLUGIN", mode)
    assert "or the identity's plugin refused" in refused(key_of(path).decrypt(data))


@POSIX
@pytest.mark.parametrize(("typed", "opens"), [("1234", True), ("12345", False), (KeyboardInterrupt, False)])
def test_a_plugin_may_ask_for_a_pin(
    path: Path, monkeypatch: pytest.MonkeyPatch, typed: str | type[KeyboardInterrupt], opens: bool
) -> None:
    """On the terminal; whoever interrupts the question refuses."""

    def ask(question: str) -> Passphrase:
        assert question == "PIN of the demo key: "
        if isinstance(typed, str):
            return Passphrase(typed)
        raise typed

    install_plugin(path.parent, monkeypatch)
    path.write_text(PLUGIN_IDENTITY)
    data = opened(key_of(path).encrypt(PLAIN))
    monkeypatch.setenv("DEMO_PLUGIN", "pin")
    monkeypatch.setattr(identities, "ask_terminal", ask)
    outcome = key_of(path).decrypt(data)
    assert outcome == PLAIN if opens else isinstance(outcome, Refusal)


def test_a_plugin_that_is_not_installed_is_told(path: Path) -> None:
    """Its name is."""
    path.write_text(str(pyrage.plugin.Identity.default_for_plugin("nobody-has-this")))
    assert refused(key_of(path).encrypt(PLAIN)) == (
        f"the identity {path} (policy.toml:2) needs the program age-plugin-nobody-has-this, "
        "which is not on PATH: install it."
    )


@POSIX
def test_a_plugin_that_fails_to_encrypt_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be another program of the same name."""
    program = path.parent / "age-plugin-demo"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent))
    path.write_text(PLUGIN_IDENTITY)
    assert refused(key_of(path).encrypt(PLAIN)) == (
        f"masters.age cannot be encrypted to the identity {path}: see what its plugin needs."
    )


@POSIX
def test_a_panic_of_the_library_is_a_refusal(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """pyrage panics where a callback raises, and that is no `Exception`."""

    def fail(*_arguments: object) -> None:
        raise ArithmeticError

    install_plugin(path.parent, monkeypatch)
    path.write_text(PLUGIN_IDENTITY)
    data = opened(key_of(path).encrypt(PLAIN))
    monkeypatch.setattr(identities._Plugged, "display_message", fail)
    assert "or the identity's plugin refused" in refused(key_of(path).decrypt(data))
    assert "panicked" in capfd.readouterr().err


def test_an_interrupt_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who presses Ctrl-C wants the program to end."""

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pyrage.passphrase, "decrypt", interrupt)
    with pytest.raises(KeyboardInterrupt):
        PassphraseKey("masters.age", Passphrase("x")).decrypt(b"")


def test_what_a_plugin_tells_reaches_no_terminal_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters are written out, and without a stderr nothing is."""
    identities._Plugged().display_message("touch\x1b[2J")
    assert capsys.readouterr().err == "keyring-pypitoken: 'touch\\x1b[2J'\n"
    monkeypatch.setattr(sys, "stderr", None)
    identities._Plugged().display_message("touch")
