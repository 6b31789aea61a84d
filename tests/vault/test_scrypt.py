"""Memory for passphrases: asked for before it is taken, and never at the cost of the caller's process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pyrage
import pytest
from age_writer import encrypt_cheaply

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.vault import scrypt
from keyring_pypitoken.vault.scrypt import encrypt, free_memory, refuse_without_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much there is, and limits it")
MIB = 1024 * 1024


def header(work: str) -> bytes:
    """Return the beginning of a file that takes 2**work KiB."""
    return encrypt_cheaply(b"", "x").replace(b" 1\n", f" {work}\n".encode(), 1)


def refused(step: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(Refusal) as error:
        step(*arguments)
    return str(error.value)


@pytest.mark.parametrize(("work", "needed"), [("20", 1024), ("19", 512), ("63", 2**43 * MIB // 1024)])
def test_a_file_that_takes_more_memory_than_is_free_is_refused(
    work: str, needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrypt, "free_memory", lambda: 511 * MIB)
    assert refused(refuse_without_memory, header(work), "masters.age") == (
        f"opening masters.age takes {needed} MiB of memory, and 511 MiB are free: free some; or open it on a larger "
        "machine and run `keyring-pypitoken rekey` there to encrypt it to an identity, which takes none."
    )


@pytest.mark.parametrize("free", [None, 2**64])
def test_memory_that_the_process_cannot_have_is_refused(free: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrypt, "free_memory", lambda: free)
    for work in ("50", "53", "54"):
        reason = refused(refuse_without_memory, header(work), "masters.age")
        assert "of memory, and this process cannot have as much: free some; or open it on a larger" in reason


@pytest.mark.parametrize("free", [None, 64 * MIB])
def test_a_file_that_takes_less_is_not_refused(free: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrypt, "free_memory", lambda: free)
    refuse_without_memory(header("16"), "masters.age")


@pytest.mark.parametrize("data", [b"", b"age-encryption.org/v1\n-> X25519 a\n", header("100"), header("x"), header("")])
def test_what_is_not_such_a_file_is_left_to_the_library(data: bytes) -> None:
    refuse_without_memory(data, "masters.age")


def test_what_is_encrypted_opens_by_the_passphrase() -> None:
    data = encrypt(b"the masters\0\xff 1 ", "pass w\N{LATIN SMALL LETTER O WITH DIAERESIS}rd", "masters.age")
    assert pyrage.passphrase.decrypt(data, "pass w\N{LATIN SMALL LETTER O WITH DIAERESIS}rd") == b"the masters\0\xff 1 "


def too_little(free: str) -> str:
    return (
        f"masters.age could not be encrypted to a passphrase, which commonly takes 1024 MiB of memory{free}: "
        f"free some, or name an identity, which takes none, as `identity` in [store] of {paths.user_policy()}."
    )


@LINUX
def test_too_little_memory_to_encrypt_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scrypt, "free_memory", lambda: 20 * MIB)
    assert refused(encrypt, b"the masters", "x", "masters.age") == too_little(", and 20 MiB are free")
    assert capfd.readouterr() == ("", "")


@LINUX
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("encrypt(b'', 'x', 'masters.age')", "masters.age could not be encrypted to a passphrase"),
        ("refuse_without_memory(data, 'masters.age')", "opening masters.age takes 1024 MiB of memory"),
    ],
)
def test_a_process_with_little_memory_refuses_and_lives_on(step: str, expected: str) -> None:
    code = (
        "import resource, sys\n"
        "from keyring_pypitoken.exceptions import Refusal\n"
        "from keyring_pypitoken.vault.scrypt import encrypt, refuse_without_memory\n"
        f"data = {header('20')!r}\n"
        "resource.setrlimit(resource.RLIMIT_AS, (48 * 2**20, 48 * 2**20))\n"
        f"try: {step}\nexcept Refusal as refusal: print(refusal)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(expected)
    assert done.stderr == ""


@pytest.mark.parametrize("executable", [None, "", "/nowhere/python"])
def test_without_an_interpreter_encrypting_is_refused(executable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(scrypt, "free_memory", lambda: None)
    assert refused(encrypt, b"", "x", "masters.age") == too_little("")


@LINUX
def test_what_is_free_is_bounded_by_the_machine_and_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        pytest.skip("only Linux says how much memory is free")
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    machine = free_memory()
    assert machine is not None
    assert 0 < machine <= whole * 2
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(scrypt, "_LIMITS", (str(tmp_path / "missing"), str(limit)))
    limit.write_text("1048576\n")
    assert free_memory() == MIB
    limit.write_text("max\n")
    unlimited = free_memory()
    assert unlimited is not None
    assert unlimited > MIB


def test_a_system_that_does_not_say_what_is_free_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert free_memory() is None
