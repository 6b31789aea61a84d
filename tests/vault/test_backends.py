"""Which stores are asked and which are written to, in which order, over keyring's real chain."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import pytest
from file_keyring import FileKeyring, PlaintextFileKeyring, SecondKeyring, URLPlugin
from keyring.backends import SecretService, Windows, kwallet, libsecret, macOS
from sandbox import make_link, new_master

from keyring_pypitoken import lookup, paths, rest
from keyring_pypitoken.backend import RefusedSetError
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.policy.model import Origin, StoreSettings, WithOrigin
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.vault import backends, changes, masters
from keyring_pypitoken.vault.accounts import note_account
from keyring_pypitoken.vault.age import AgeFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox import Command, WritePolicy

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
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    path.touch()


@pytest.mark.parametrize(
    ("settings", "has_file", "read", "written"),
    [
        # keyring's own, for which the two stand, come first; nothing else is written to unless it is named.
        (StoreSettings(), False, [FileKeyring, SecondKeyring, *CHAIN[:2]], FileKeyring),
        (StoreSettings(), True, [FileKeyring, SecondKeyring, *CHAIN[:2], AgeFile], FileKeyring),
        (named("age"), False, CHAIN, AgeFile),
        (named("age"), True, [AgeFile, *CHAIN], AgeFile),
        (named("file_keyring.SecondKeyring"), False, [SecondKeyring, *CHAIN[:3]], SecondKeyring),
        (named("file_keyring.SecondKeyring"), True, [SecondKeyring, *CHAIN[:3], AgeFile], SecondKeyring),
        (
            named("file_keyring.PlaintextFileKeyring"),
            True,
            [PlaintextFileKeyring, URLPlugin, FileKeyring, SecondKeyring, AgeFile],
            PlaintextFileKeyring,
        ),
        (
            StoreSettings(command=WithOrigin(("op",), NAMED)),
            True,
            [FileKeyring, SecondKeyring, *CHAIN[:2], AgeFile],
            type(None),
        ),
    ],
)
def test_a_named_store_goes_before_the_chain_and_the_chain_before_the_age_file(
    settings: StoreSettings, has_file: bool, read: list[type], written: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", ALL)
    if has_file:
        make_age_file()
    assert kinds(backends.readable(settings)) == read
    assert type(backends.writable(settings)) is written


def test_a_priority_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "plaintext,url")
    monkeypatch.setattr(PlaintextFileKeyring, "rank", 20.0)
    assert type(backends.writable(StoreSettings())) is AgeFile
    with pytest.raises(RefusedSetError) as refused:
        keyring.set_password("https://upload.pypi.org/legacy/", "__token__", new_master())
    choose = (
        'choose another store with the lines `[store]` and `backend = "file_keyring.PlaintextFileKeyring"` in '
        f"{paths.user_policy()}."
    )
    assert str(refused.value).endswith(f" Or {choose}")
    monkeypatch.setattr(backends, "has_pyrage", lambda: False)
    assert backends.writable(StoreSettings()) is None
    with pytest.raises(Refusal) as nothing:
        backends.refuse_unusable(StoreSettings(), to_store=True)
    assert str(nothing.value) == (
        "no keyring of a desktop (Secret Service, KWallet, macOS, Windows) can keep the master here: unlock or start "
        "it, or install `keyring-pypitoken[age]` for an encrypted file, or choose file_keyring.PlaintextFileKeyring "
        'with the lines `[store]` and `backend = "file_keyring.PlaintextFileKeyring"` in '
        f"{paths.user_policy()}."
    )
    with pytest.raises(Refusal, match="no keyring of a desktop"):
        changes.find_store(StoreSettings())
    make_age_file()
    assert type(backends.writable(StoreSettings())) is AgeFile


def test_what_is_noted_and_in_no_store_is_said_and_can_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = StoreSettings(command=WithOrigin(("no-such-program",), NAMED))
    note_account(lookup.PYPI, "work")
    assert masters.why_unreachable(lookup.PYPI, "work", StoreSettings()) == "", "only opening a store would show it"
    assert masters.why_unreachable(lookup.PYPI, "work", settings) == "", "only starting it would show it"
    with pytest.raises(Refusal, match="is not found: install it"):
        backends.refuse_unusable(settings, to_store=False)
    with pytest.raises(Refusal, match="so only the note of it was deleted"):
        changes.delete_master(lookup.PYPI, "work", lookup.Key.of(lookup.PYPI, "work"), StoreSettings())
    monkeypatch.setattr(rest, "members", list)
    assert masters.why_unreachable(lookup.PYPI, "work", StoreSettings()) == (
        "no keyring that can be asked now holds it: start or unlock the keyring that does"
    )


def test_stores_are_called_by_their_module_and_class_or_path() -> None:
    assert backends.name_of(FileKeyring()) == "file_keyring.FileKeyring"
    assert backends.name_of(AgeFile(None)) == paths.age_file()


def test_the_program_of_the_policy_is_listed_first_and_keeps_nothing() -> None:
    program, *others = backends.list_stores(StoreSettings(command=WithOrigin(("/usr/bin/op", "read"), NAMED)))
    assert program == backends.KnownStore("/usr/bin/op", "a program", keeps=False)
    assert not any(store.keeps for store in others)


def test_the_desktops_keyrings_are_called_by_what_people_know() -> None:
    own = (SecretService.Keyring, libsecret.Keyring, kwallet.DBusKeyring, macOS.Keyring, Windows.WinVaultKeyring)
    assert [backends.kind_of(backend()) for backend in own] == [
        *("Secret Service, such as GNOME Keyring", "libsecret", "KWallet", "macOS Keychain"),
        "Windows Credential Manager",
    ]


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

    monkeypatch.setattr(rest, "_is_store", stopped)
    with pytest.raises(Refusal) as refused:
        backends.readable(StoreSettings())
    assert str(refused.value) == (
        "a keyring backend stopped responding (ConnectionError): start its keyring, and try again."
    )


def test_an_age_file_that_the_system_cannot_find_out_about_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(paths.age_file())
    path.parent.mkdir(parents=True)
    make_link(path, "unmounted")
    monkeypatch.setenv("TEST_KEYRINGS", "")
    for step in (backends.readable, backends.writable):
        with pytest.raises(Refusal, match=r"masters\.age cannot be found, because the link .* leads nowhere: "):
            step(StoreSettings())


# Stores that return one entry for several names


def fold(service: str, username: str) -> str:
    return f"{service}\n{username}".casefold()


def join_path(service: str, username: str) -> str:
    return os.path.normpath(f"/root/{os.path.normpath(service)}/{username}")


def join_colon(service: str, username: str) -> str:
    return f"{service}:{username}"


def join_at_last(service: str, username: str) -> str:
    return f"{username}-{service}"


def cut(service: str, username: str) -> str:
    return f"{service[:32]}\n{username}"


def no_user(service: str, _username: str) -> str:
    return service


def as_file_name(service: str, username: str) -> str:
    return re.sub(r"\W", "_", service) + f"\n{username}"


def without_colons(service: str, username: str) -> str:
    return service.replace(":", "-") + f"\n{username}"


def exact(service: str, username: str) -> str:
    return f"{service}\n{username}"


LOOSE = (fold, join_path, join_colon, join_at_last, cut, no_user, as_file_name, without_colons)


@pytest.mark.parametrize("name", [*LOOSE, exact])
def test_a_store_that_returns_the_master_for_other_names_is_refused(
    name: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for label, has_master in (("default", False), ("default", True), ("work.2", False), ("42", False)):
        entries: dict[str, str] = {}

        def get(_store: object, *key: str, entries: dict[str, str] = entries) -> str | None:
            return entries.get(name(*key))

        def put(_store: object, service: str, user: str, password: str, entries: dict[str, str] = entries) -> None:
            entries[name(service, user)] = password

        def delete(_store: object, *key: str, entries: dict[str, str] = entries) -> None:
            del entries[name(*key)]

        monkeypatch.setattr(FileKeyring, "get_password", get)
        monkeypatch.setattr(FileKeyring, "set_password", put)
        monkeypatch.setattr(FileKeyring, "delete_password", delete)
        key = (lookup.PYPI.private_service(label), label)
        if has_master:
            entries[name(*key)] = new_master()
        before, another = dict(entries), MasterToken(new_master(identifier="another"))
        settings = named("file_keyring.FileKeyring")
        if name is exact:
            assert changes.save_master(lookup.PYPI, label, another, settings)[1] is has_master
            continue
        with pytest.raises(Refusal) as refused:
            changes.save_master(lookup.PYPI, label, another, settings)
        start = "the keyring backend file_keyring.FileKeyring returns the master for another name, too (service "
        assert str(refused.value).startswith(start)
        assert 'backend with the lines `[store]` and `backend = "age"` in ' in str(refused.value)
        assert entries == before


def test_a_failure_while_other_names_are_tried_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = FileKeyring.get_password

    def get(store: FileKeyring, service: str, username: str) -> str | None:
        if service.startswith("KEYRING"):
            raise OSError
        return real(store, service, username)

    monkeypatch.setattr(FileKeyring, "get_password", get)
    with pytest.raises(Refusal, match=r"could not be read \(OSError\)"):
        changes.save_master(lookup.PYPI, "default", MasterToken(new_master()), StoreSettings())
    assert FileKeyring().passwords() == {}


def test_a_store_that_takes_long_is_named_once_by_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slow(_store: object, _service: str, _username: str) -> None:
        time.sleep(0.3)

    monkeypatch.setattr(masters, "_PATIENCE", 60)
    monkeypatch.setattr(FileKeyring, "get_password", slow)
    assert masters.find_master(lookup.PYPI, "default", StoreSettings()) is None
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(masters, "_PATIENCE", 0)
    for _ in range(2):
        assert masters.find_master(lookup.PYPI, "default", StoreSettings()) is None
    line = (
        "keyring-pypitoken: waiting for the keyring backend file_keyring.FileKeyring (another keyring backend): unlock "
        "or repair it"
    )
    assert capsys.readouterr().err.splitlines().count(line) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a session bus")
def test_tox_and_sudo_are_asked_to_pass_the_session_on(
    stored: str, command: Command, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stored
    monkeypatch.setenv("TEST_KEYRINGS", "")
    for variable in ("TOX_ENV_NAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "release")
        refusal = command.refused("token", "--project", "demo")
        assert refusal.endswith(
            "pass the variable DBUS_SESSION_BUS_ADDRESS on (in tox: `pass_env = DBUS_SESSION_BUS_ADDRESS`), or start "
            "or unlock the keyring that does."
        )
        monkeypatch.delenv(variable)
    monkeypatch.setenv("TOX_ENV_NAME", "release")
    user_policy('[store]\nbackend = "no.such.Backend"\n')
    assert ": pass the variable DBUS_SESSION_BUS_ADDRESS on" in command.refused("token", "--project", "demo")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    assert "DBUS" not in command.refused("token", "--project", "demo")
