"""Keys of the age file: what one encrypts it opens, age's own functions agree, and everything else is one sentence."""

from __future__ import annotations

import base64
import codecs
import itertools
import os
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import pyrage
import pytest
from age_plugin import PLUGIN_IDENTITY, POSIX, install_plugin
from age_writer import encrypt_cheaply
from sandbox import make_pipe, write_program

from keyring_pypitoken import files
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.secret import Passphrase
from keyring_pypitoken.vault import keys, terminal
from keyring_pypitoken.vault.keys import IdentityKey, PassphraseKey, free_memory

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


def encrypt(key: IdentityKey | PassphraseKey) -> bytes:
    return key.encrypt(lambda: PLAIN)


def decrypt(key: IdentityKey | PassphraseKey, data: bytes = b"") -> bytes:
    return key.decrypt(data, lambda plain: plain)


def refused(step: Callable[..., bytes], *arguments: object) -> str:
    """Return a refusal's sentence; neither its causes nor its frames hold clear text."""
    with pytest.raises(Refusal) as error:
        step(*arguments)
    assert error.value.__cause__ is error.value.__context__ is None
    shown = "".join(traceback.TracebackException.from_exception(error.value, capture_locals=True).format())
    assert not [secret for secret in (repr(PLAIN), "correct horse") if secret in shown]
    return str(error.value)


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


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:60],
        lambda data: data.replace(b"scrypt", b"scrapt"),
        lambda _: encrypt_cheaply(PLAIN, "battery staple"),
        lambda _: b"",
    ],
    ids=["truncated", "tampered", "half a header", "another kind", "wrong", "empty"],
)
def test_a_wrong_passphrase_and_a_damaged_file_are_told(spoil: Callable[[bytes], bytes]) -> None:
    data = encrypt_cheaply(PLAIN, "correct horse")
    key = PassphraseKey("masters.age", Passphrase("correct horse"))
    assert decrypt(key, data) == PLAIN
    assert refused(decrypt, key, spoil(data)) == (
        "masters.age cannot be opened, because the passphrase is wrong or the file is damaged: try again, or "
        "restore the file from a backup; if the passphrase is lost, delete the file and store a new token with "
        "`keyring-pypitoken login`."
    )


def test_a_file_that_takes_this_machine_too_long_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PassphraseKey, "refuse_unopenable", lambda *_: None)  # the library looks at the time, too
    slow = encrypt_cheaply(PLAIN, "correct horse").replace(b" 1\n", b" 40\n", 1)
    assert refused(decrypt, PassphraseKey("masters.age", Passphrase("correct horse")), slow) == (
        "masters.age takes too long to open on this machine: open it on a faster one, and run `keyring-pypitoken "
        "rekey` there to encrypt it to an identity."
    )


def test_a_passphrase_that_is_no_text_is_told() -> None:
    key = PassphraseKey("masters.age", Passphrase("\udcff"))
    assert refused(encrypt, key) == ("masters.age cannot be encrypted to this passphrase: choose one of plain text.")


def test_without_pyrage_the_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    assert refused(decrypt, PassphraseKey("masters.age", Passphrase("x"))) == (
        "masters in a file need pyrage, which is not installed: install `keyring-pypitoken[age]`."
    )


# Memory: the library aborts the process that lacks it.

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much there is, and limits it")
MIB = 1024 * 1024


def header(work: str) -> bytes:
    """Return the beginning of a file that takes 2**work KiB."""
    return encrypt_cheaply(b"", "x").replace(b" 1\n", f" {work}\n".encode(), 1)


def test_a_passphrase_that_takes_more_memory_than_there_is_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    key = PassphraseKey("masters.age", Passphrase("x"))
    remedy = "free some; or run `keyring-pypitoken rekey --identity FILE` on a larger machine: an identity takes none."
    monkeypatch.setattr(keys, "free_memory", lambda: 511 * MIB)
    for work, needed in (("20", 1024), ("19", 512), ("63", 2**53)):
        expected = f"a passphrase for masters.age takes {needed} MiB of memory, and 511 MiB are free: {remedy}"
        assert refused(decrypt, key, header(work)) == expected
    assert "takes 1024 MiB of memory, and 511 MiB are free" in refused(encrypt, key)
    for free, work in itertools.product((None, 2**64), ("50", "53", "54")):
        monkeypatch.setattr(keys, "free_memory", lambda free=free: free)
        assert f"of memory, and this process cannot have as much: {remedy}" in refused(decrypt, key, header(work))
    for free in (None, 64 * MIB):
        monkeypatch.setattr(keys, "free_memory", lambda free=free: free)
        for data in (
            header("16"),
            header("100"),
            header("x"),
            header(""),
            b"",
            b"age-encryption.org/v1\n-> X25519 a\n",
        ):
            key.refuse_unopenable(data)


@LINUX
def test_a_process_with_little_memory_refuses_and_lives_on() -> None:
    code = (
        "import resource\n"
        "from keyring_pypitoken.exceptions import Refusal\n"
        "from keyring_pypitoken.secret import Passphrase\n"
        "from keyring_pypitoken.vault.keys import PassphraseKey\n"
        "key = PassphraseKey('masters.age', Passphrase('x'))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (48 * 2**20, 48 * 2**20))\n"
        f"for step in (lambda: key.encrypt(lambda: b''), lambda: key.decrypt({header('20')!r}, bytes)):\n"
        "    try: step()\n    except Refusal as refusal: print(refusal)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("takes 1024 MiB of memory, and ") == 2
    assert done.stderr == ""


@LINUX
def test_what_is_free_is_bounded_by_the_machine_and_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = free_memory()
    assert machine is not None
    assert machine > 0
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(keys, "_LIMITS", (str(tmp_path / "missing"), str(limit)))
    limit.write_text("1048576\n")
    assert free_memory() == MIB
    limit.write_text("max\n")
    assert (free_memory() or 0) > MIB
    monkeypatch.setattr(sys, "platform", "win32")
    assert free_memory() is None


# Identities.


def test_an_identity_file_opens_what_is_encrypted_to_any_of_its_lines(path: Path) -> None:
    first, second = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    path.write_text(f"\ufeff# created: today\r\n# public key: age1...\r\n{first}\r\n\r\n  {second}  \r\n", "utf-8")
    data = encrypt(key_of(path))
    for identity in (first, second):
        assert pyrage.decrypt(data, [identity]) == PLAIN
        assert decrypt(key_of(path), pyrage.encrypt(PLAIN, [identity.to_public()])) == PLAIN


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_ssh_key_opens_what_is_encrypted_to_it(path: Path, kind: str) -> None:
    ssh_key(path, "-t", kind, "-N", "")
    public = pyrage.ssh.Recipient.from_str(path.with_suffix(".pub").read_text().strip())
    path.with_suffix(".pub").write_text("ssh-ed25519 AAAA another")
    data = encrypt(key_of(path))
    assert pyrage.decrypt(data, [pyrage.ssh.Identity.from_buffer(path.read_bytes())]) == PLAIN
    assert decrypt(key_of(path), pyrage.encrypt(PLAIN, [public])) == PLAIN
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert decrypt(key_of(path), data) == PLAIN


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
        (("-t", "ecdsa", "-N", ""), f"is not a key that age takes: {EXPECTED}"),
        (("-t", "rsa", "-m", "PEM", "-N", ""), f"is not a key that age takes: {EXPECTED}"),
        (("-t", "rsa", "-m", "PEM", "-N", "a passphrase"), f"is not a key that age takes: {EXPECTED}"),
    ],
)
def test_ssh_keys_that_age_does_not_take_are_told(path: Path, arguments: tuple[str, ...], problem: str) -> None:
    ssh_key(path, *arguments)
    for step in (encrypt, decrypt):
        assert refused(step, key_of(path)) == f"the identity {path} (policy.toml:2) {problem}."


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
    path.write_bytes(text)
    told = refused(encrypt, key_of(path))
    assert told == (
        f"the identity {path} (policy.toml:2) is not a key that age takes: {EXPECTED}."
        if text.startswith(b"-----BEGIN")
        else f"the identity {path} (policy.toml:2) has no identity in line 2: {EXPECTED}."
    )


def test_an_ssh_key_that_only_pyrage_finds_damaged_is_told(path: Path) -> None:
    ssh_key(path, "-t", "ed25519", "-N", "")
    begin, *lines, end = path.read_text().splitlines()
    cut = base64.b64decode("".join(lines))[:-40]
    path.write_text("\n".join([begin, base64.b64encode(cut).decode(), end]))
    assert refused(decrypt, key_of(path)) == (
        f"the identity {path} (policy.toml:2) is not a key that age takes: {EXPECTED}."
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", f"has no identity: {EXPECTED}"),
        (b"# nothing but a comment\n", f"has no identity: {EXPECTED}"),
        (b"# x\nAGE-SECRET-KEY-1SECRET\n", f"has no identity in line 2: {EXPECTED}"),
        (b"AGE-PLUGIN-DEMO-1SECRET\n", f"has no identity in line 1: {EXPECTED}"),
        ("AGE-SECRET-KEY-1SECRET".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        ("# Schl\xfcssel".encode("latin-1"), "is not UTF-8 text: save it as UTF-8"),
        (b"age-encryption.org/v1\n", f"has no identity in line 1: {EXPECTED}"),
    ],
)
def test_what_is_no_identity_is_told(path: Path, text: bytes, problem: str) -> None:
    path.write_bytes(text)
    assert refused(encrypt, key_of(path)) == f"the identity {path} (policy.toml:2) {problem}."


def test_a_missing_identity_says_where_to_get_it(path: Path) -> None:
    assert refused(decrypt, key_of(path)) == (
        f"the identity {path} (policy.toml:2) does not exist: copy it from the machine that has it, or name another; "
        "if it is lost, delete masters.age and store a new token with `keyring-pypitoken login`."
    )


def test_an_unreadable_identity_is_refused(path: Path) -> None:
    path.mkdir()
    expected = f"the identity {path} (policy.toml:2) is not a regular file: replace it with one."
    assert refused(decrypt, key_of(path)) == expected
    if sys.platform != "win32":
        path.rmdir()
        make_pipe(path)
        assert refused(encrypt, key_of(path)) == expected, "nobody waits until somebody writes into it"
        path.unlink()
        path.symlink_to("missing")
        assert "leads nowhere" in refused(decrypt, key_of(path))


def test_without_cryptography_an_ssh_key_still_opens(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh_key(path, "-t", "ed25519", "-N", "")
    data = encrypt(key_of(path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert decrypt(key_of(path), data) == PLAIN
    assert refused(encrypt, key_of(path)).startswith("masters in a file need cryptography")


def test_another_identity_does_not_open_it(path: Path) -> None:
    path.write_text(str(pyrage.x25519.Identity.generate()))
    data = pyrage.encrypt(PLAIN, [pyrage.x25519.Identity.generate().to_public()])
    assert refused(decrypt, key_of(path), data) == (
        f"masters.age cannot be opened with the identity {path}, because it was encrypted to another, is "
        "damaged, or the identity's plugin refused: name the right identity, or restore the file from a backup."
    )


@pytest.mark.parametrize(
    "name",
    [
        r"\\host\share\key.txt",
        "//host/share/key.txt",
        r"\/host\share\key.txt",
        r"\\?\UNC\host\share\key.txt",
        "//?/UNC/host/share/key.txt",
        r"\\?\C:\key.txt",
        r"\??\UNC\host\share\key.txt",
        r"\\.\pipe\key",
        r"\key.txt",
        "C:key.txt",
    ],
)
def test_an_identity_on_a_network_path_is_not_opened_on_windows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(files, "read_text", lambda *asked: opened.append(asked))
    key = IdentityKey("masters.age", WithOrigin(name, ORIGIN))
    sentence = (
        f"the identity {name} (policy.toml:2) is not on a drive of this machine: copy it there, and name it by its "
        "drive."
    )
    assert refused(encrypt, key) == refused(decrypt, key, b"") == sentence
    assert opened == []
    for local in (r"C:\key.txt", "c:/my keys/key.txt"):
        assert "does not exist" in refused(encrypt, IdentityKey("masters.age", WithOrigin(local, ORIGIN)))
    assert len(opened) == 2


# Plugins, which are programs of their own.


@POSIX
def test_a_plugin_opens_what_it_encrypted(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install_plugin(path.parent, monkeypatch)
    path.write_text(f"# a key\n{PLUGIN_IDENTITY}\n")
    data = encrypt(key_of(path))
    assert data.startswith(b"age-encryption.org/v1\n-> demo argument\n")
    assert capsys.readouterr().err == ""
    assert decrypt(key_of(path), data) == PLAIN
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "keyring-pypitoken: touch the demo key\n")


@POSIX
@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("entries", ["", ".", "bin"])
def test_a_plugin_of_a_checkout_is_never_started(
    entries: str, installed: bool, path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installed:
        install_plugin(path.parent, monkeypatch)
    (work / "bin").mkdir()
    for program in (work / "age-plugin-demo", work / "bin" / "age-plugin-demo"):
        write_program(program, "/bin/sh", "-c", f": > '{work}/started'; exit 1")
    before = os.environ["PATH"]
    monkeypatch.setenv("PATH", os.pathsep.join([entries, before if installed else ""]))
    path.write_text(PLUGIN_IDENTITY)
    if installed:
        assert decrypt(key_of(path), encrypt(key_of(path))) == PLAIN
    else:
        assert refused(encrypt, key_of(path)) == (
            f"the identity {path} (policy.toml:2) needs the program age-plugin-demo, which is not on PATH: install it."
        )
    assert not (work / "started").exists()
    assert os.environ["PATH"] == os.pathsep.join([entries, before if installed else ""])


@POSIX
@pytest.mark.parametrize("mode", ["pin", "confirm", "name", "refuse"])
def test_a_plugin_that_does_not_release_its_key_is_told(path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    install_plugin(path.parent, monkeypatch)
    path.write_text(PLUGIN_IDENTITY)
    data = encrypt(key_of(path))
    monkeypatch.setenv("DEMO_PLUGIN", mode)
    assert "or the identity's plugin refused" in refused(decrypt, key_of(path), data)


@POSIX
@pytest.mark.parametrize(("typed", "opens"), [("1234", True), ("12345", False), (KeyboardInterrupt, False)])
def test_a_plugin_may_ask_for_a_pin(
    path: Path, monkeypatch: pytest.MonkeyPatch, typed: str | type[KeyboardInterrupt], opens: bool
) -> None:
    """On the terminal; whoever interrupts the question refuses."""

    def ask(question: str) -> str:
        assert question == "PIN of the demo key: "
        if isinstance(typed, str):
            return typed
        raise typed

    install_plugin(path.parent, monkeypatch)
    path.write_text(PLUGIN_IDENTITY)
    data = encrypt(key_of(path))
    monkeypatch.setenv("DEMO_PLUGIN", "pin")
    monkeypatch.setattr(terminal, "ask_terminal", ask)
    if opens:
        assert decrypt(key_of(path), data) == PLAIN
    else:
        assert "or the identity's plugin refused" in refused(decrypt, key_of(path), data)


def test_a_plugin_that_is_not_installed_is_told(path: Path) -> None:
    path.write_text(str(pyrage.plugin.Identity.default_for_plugin("nobody-has-this")))
    assert refused(encrypt, key_of(path)) == (
        f"the identity {path} (policy.toml:2) needs the program age-plugin-nobody-has-this, "
        "which is not on PATH: install it."
    )


@POSIX
def test_a_plugin_that_fails_to_encrypt_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = path.parent / "age-plugin-demo"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent))
    path.write_text(PLUGIN_IDENTITY)
    assert refused(encrypt, key_of(path)) == (
        f"masters.age cannot be encrypted to the identity {path}: see what it or its plugin needs."
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
    data = encrypt(key_of(path))
    monkeypatch.setattr(keys._Plugged, "display_message", fail)
    assert "or the identity's plugin refused" in refused(decrypt, key_of(path), data)
    assert "panicked" in capfd.readouterr().err


def test_an_interrupt_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pyrage.passphrase, "decrypt", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decrypt(PassphraseKey("masters.age", Passphrase("x")))


def test_what_a_plugin_tells_reaches_no_terminal_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys._Plugged().display_message("touch\x1b[2J")
    assert capsys.readouterr().err == "keyring-pypitoken: touch\\x1b[2J\n"
    monkeypatch.setattr(sys, "stderr", None)
    keys._Plugged().display_message("touch")
