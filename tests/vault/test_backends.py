"""Which stores are asked and which are written to, in which order, over keyring's real chain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import pytest
from file_keyring import FileKeyring, PlaintextFileKeyring, SecondKeyring, URLPlugin
from keyring.backends import SecretService, Windows, kwallet, libsecret, macOS
from sandbox import forget, make_link

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.policy.model import Origin, StoreSettings, WithOrigin
from keyring_pypitoken.vault import backends
from keyring_pypitoken.vault.age import AgeFile

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMED = Origin("policy.toml:2")
ALL = "first,second,plaintext,url"
CHAIN = [URLPlugin, PlaintextFileKeyring, FileKeyring, SecondKeyring]  # by falling priority


def named(backend: str) -> StoreSettings:
    return StoreSettings(backend=WithOrigin(backend, NAMED))


def kinds(stores: Sequence[object]) -> list[type]:
    """Return the classes of stores but those of keyrings.alt, which is installed for the tests."""
    return [type(store) for store in stores if not type(store).__module__.startswith("keyrings.alt")]


def make_age_file() -> None:
    path = Path(paths.age_file())
    path.parent.mkdir(parents=True, mode=0o700)
    path.touch()


@pytest.mark.parametrize(
    ("settings", "has_file", "read", "written"),
    [
        # The best first; a plaintext store and a plugin are written to only if they are named, and a plugin never.
        (StoreSettings(), False, CHAIN, [FileKeyring, SecondKeyring, AgeFile]),
        (StoreSettings(), True, [*CHAIN, AgeFile], [FileKeyring, SecondKeyring, AgeFile]),
        (named("age"), False, CHAIN, [AgeFile]),
        (named("age"), True, [AgeFile, *CHAIN], [AgeFile]),
        (named("file_keyring.SecondKeyring"), False, [SecondKeyring, *CHAIN[:3]], [SecondKeyring]),
        (named("file_keyring.SecondKeyring"), True, [SecondKeyring, *CHAIN[:3], AgeFile], [SecondKeyring]),
        (
            named("file_keyring.PlaintextFileKeyring"),
            True,
            [PlaintextFileKeyring, URLPlugin, FileKeyring, SecondKeyring, AgeFile],
            [PlaintextFileKeyring],
        ),
        (named("file_keyring.URLPlugin"), False, CHAIN, []),
        (StoreSettings(command=WithOrigin(("op",), NAMED)), True, [*CHAIN, AgeFile], []),
    ],
)
def test_a_named_store_goes_before_the_chain_and_the_chain_before_the_age_file(
    settings: StoreSettings, has_file: bool, read: list[type], written: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", ALL)
    if has_file:
        make_age_file()
    assert kinds(backends.readable(settings)) == read
    assert kinds(backends.writable(settings)) == written


def test_without_pyrage_an_age_file_is_written_only_if_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "")
    monkeypatch.setitem(sys.modules, "pyrage", None)
    monkeypatch.setattr(backends, "_has_pyrage", lambda: False)
    assert kinds(backends.writable(StoreSettings())) == []
    make_age_file()
    assert kinds(backends.writable(StoreSettings())) == [AgeFile]


def test_a_store_of_low_priority_is_read_and_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SecondKeyring, "rank", 0.9)
    monkeypatch.setenv("TEST_KEYRINGS", "first,second")
    assert kinds(backends.readable(StoreSettings())) == [FileKeyring, SecondKeyring]
    assert kinds(backends.writable(StoreSettings())) == [FileKeyring, AgeFile]
    monkeypatch.setattr(SecondKeyring, "rank", 1)
    forget()
    assert kinds(backends.writable(StoreSettings())) == [FileKeyring, SecondKeyring, AgeFile]


def test_stores_are_called_by_their_module_and_class_or_path() -> None:
    assert backends.name_of(FileKeyring()) == "file_keyring.FileKeyring"
    assert backends.name_of(AgeFile(None)) == paths.age_file()


def test_exactly_the_first_store_that_takes_passwords_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", ALL)
    known = {found.name: found for found in backends.list_stores(StoreSettings())}
    assert [name for name, found in known.items() if found.keeps] == ["file_keyring.FileKeyring"]
    assert known["file_keyring.URLPlugin"].kind == "a plugin that stores nothing"
    assert known["file_keyring.PlaintextFileKeyring"].kind == "plaintext"
    assert known["file_keyring.SecondKeyring"].kind == "another keyring backend"
    assert known[paths.age_file()].kind == "age file, passphrase"


def test_the_program_of_the_policy_is_listed_first_and_keeps_nothing() -> None:
    program, *others = backends.list_stores(StoreSettings(command=WithOrigin(("/usr/bin/op", "read"), NAMED)))
    assert program == backends.KnownStore("/usr/bin/op", "a program", keeps=False)
    assert not any(found.keeps for found in others)


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        (SecretService.Keyring, "the desktop's keyring (Secret Service)"),
        (libsecret.Keyring, "the desktop's keyring (libsecret)"),
        (kwallet.DBusKeyring, "the desktop's keyring (KWallet)"),
        (macOS.Keyring, "the desktop's keyring (macOS Keychain)"),
        (Windows.WinVaultKeyring, "the desktop's keyring (Windows Credential Manager)"),
    ],
)
def test_the_desktops_keyrings_are_called_by_what_people_know(backend: type, kind: str) -> None:
    assert backends._kind(backend()) == kind


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.Keyring", "which cannot be loaded (ModuleNotFoundError)"),
        ("file_keyring.Missing", "which cannot be loaded (AttributeError)"),
        ("nonsense", "which cannot be loaded (ValueError)"),
        ("keyring.backends.null.Keyring", "which holds no passwords"),
        ("keyring.backends.fail.Keyring", "which holds no passwords"),
        ("keyring.backends.chainer.ChainerBackend", "which holds no passwords"),
        ("keyring_pypitoken.backend.PyPITokenKeyring", "which holds no passwords"),
        ("json.JSONDecoder", "which cannot be loaded (AttributeError)"),
    ],
)
def test_a_named_store_that_cannot_be_used_is_refused(name: str, problem: str) -> None:
    for step in (backends.readable, backends.writable):
        with pytest.raises(Refusal) as refused:
            step(named(name))
        assert str(refused.value) == (
            f"[store] names the backend {name!r}, {problem} (policy.toml:2): correct or install it."
        )


def test_a_chain_that_cannot_say_what_is_in_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.get_keyring()

    def stopped(_backend: object) -> bool:
        raise ConnectionError

    monkeypatch.setattr(backends, "_holds_passwords", stopped)
    with pytest.raises(Refusal) as refused:
        backends.readable(StoreSettings())
    assert str(refused.value) == (
        "a keyring backend stopped responding (ConnectionError): start its keyring, and try again."
    )


def test_an_age_file_that_the_system_cannot_find_out_about_is_refused() -> None:
    path = Path(paths.age_file())
    path.parent.mkdir(parents=True)
    make_link(path, "unmounted")
    for step in (backends.readable, backends.writable):
        with pytest.raises(Refusal, match=r"masters\.age cannot be found, because the link .* leads nowhere: "):
            step(StoreSettings())
