"""Masters in the vaults of Windows and macOS: keyring's chain and real backends, the system's calls in memory."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import keyring.errors
import pytest
from fake_keychain import Keychain
from fake_vault import FakeVault, TwoWriters, calls_of, in_reach
from fake_win32cred import CredentialManager
from refusal_cases import IDENTITY
from sandbox import WritePolicy, new_master

from keyring_pypitoken import Token, lookup, memory, paths
from keyring_pypitoken.backend import RefusedDeleteError, RefusedError, RefusedSetError
from keyring_pypitoken.vault.accounts import noted_accounts

if TYPE_CHECKING:
    from collections.abc import Callable

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"
BACKENDS = {
    "Windows": "keyring.backends.Windows.WinVaultKeyring",
    "macOS": "keyring.backends.macOS.Keyring",
}
ENDPOINTS = (
    PYPI,
    PYPI.removesuffix("/"),
    "https://UPLOAD.pypi.org:443/Legacy",
    "https://__token__@upload.pypi.org/legacy/",
    "upload.pypi.org",
    "upload.pypi.org:443",
    "Poetry-Repository-PyPI",
)
KEPT = ("pdm-repository-pypi", "PDM-Repository-other", "poetry-repository-other", "main", "TEST")
LOOK_ALIKES = ("https://upload.pypi.org//legacy/", "upload.pypi.org.", "http://upload.pypi.org/legacy/")
KEYS = (*ENDPOINTS, *KEPT, *LOOK_ALIKES)
USERS = (TOKEN, "", None, "pypi_token:project:demo", "pypi_token:user:me")

pytestmark = pytest.mark.filterwarnings("ignore:Empty usernames:DeprecationWarning")


@pytest.fixture(params=[CredentialManager, Keychain], ids=["Windows", "macOS"])
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Return an empty vault, below a real keyring backend in keyring's chain."""
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    vault: FakeVault = request.param(monkeypatch)
    return vault


@pytest.fixture
def note(vault: FakeVault, record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Return a function that adds a cell to the table of platforms."""
    return lambda what, outcome: record_property("vault", (vault.name, what, outcome))


def master(name: str) -> str:
    return new_master(identifier=name)


def url(label: str | None = None) -> str:
    return PYPI if label is None else f"{PYPI}?{label}"


def store(label: str | None, name: str) -> None:
    keyring.set_password(url(label), TOKEN, master(name))


def plant(service: str, username: str, password: str) -> None:
    """Store raw, as a program does that has no keyring-pypitoken."""
    keyring.get_keyring().backends[-1].set_password(service, username, password)  # type: ignore[attr-defined]  # chainer's


def served(service: str, username: str | None = TOKEN) -> str | None:
    """Return the name of the master that a restricted token was derived from, or what refuses; None if declined."""
    names = set[str | None]()
    for ask in (keyring.get_password, lambda *key: getattr(keyring.get_credential(*key), "password", None)):
        memory.forget()
        try:
            found = ask(service, username)  # type: ignore[arg-type]  # None is what uploaders pass
        except RefusedError:
            names.add("refused")
            continue
        token = None if found is None else Token.load(found)
        assert token is None or b'[1, ["demo"]]' in token.raw_caveats
        names.add(None if token is None else token.identifier)
    (name,) = names
    return name


def in_store(vault: FakeVault) -> dict[str, str]:
    """Return the names of the masters under the private service, by account; each may be there once only."""
    found = sorted(
        (user, Token.load(password).identifier) for (name, user), password in vault.entries().items() if PRIVATE in name
    )
    assert len(dict(found)) == len(found)
    return dict(found)


def expected(username: str | None, name: str) -> dict[str, str | None]:
    """Return what each key serves if there is a raw token under all of them."""
    there = username in (TOKEN, "", None)  # nothing is for flit's users, so that others than endpoints are declined
    return {
        **dict.fromkeys(ENDPOINTS, name),
        **dict.fromkeys(KEPT, name if there else None),
        **dict.fromkeys(LOOK_ALIKES, "refused" if there else None),
        "http://upload.pypi.org/legacy/": "refused",
    }


def message(kind: type[Exception], step: Callable[[], object]) -> str:
    memory.forget()
    with pytest.raises(kind) as error:
        step()
    return str(error.value)


def without_session(vault: FakeVault, what: str) -> str:
    return (
        f"the keyring backend {BACKENDS[vault.name]} could not {what} without a desktop session (error "
        f"{next(iter(vault.locked.values()))}, as over ssh): use it from the desktop, or keep the master in the age "
        f'file {paths.age_file()} (install `keyring-pypitoken[age]`, and set `backend = "age"` in [store] of '
        f"{paths.user_policy()})."
    )


# One account and two, beside raw entries


@pytest.mark.parametrize("username", [TOKEN, "", None])
def test_a_master_is_stored_out_of_reach_and_served_restricted(
    username: str | None, vault: FakeVault, note: Callable[[str, str], None]
) -> None:
    assert served(PYPI) is None
    keyring.set_password(PYPI, username, master("one"))  # type: ignore[arg-type]  # None is what uploaders pass
    assert vault.entries() == {(PRIVATE, "default"): master("one")}
    assert {served(key, user) for key in ENDPOINTS for user in USERS} == {"one"}
    note("set", "out of reach")
    note("get", "restricted")


def test_a_replaced_master_is_nowhere(vault: FakeVault, note: Callable[[str, str], None]) -> None:
    for name in ("one", "two", "two", "three"):
        store(None, name)
    assert vault.entries() == {(PRIVATE, "default"): master("three")}
    note("replace", "no copy left")


def test_a_deleted_master_is_nowhere(vault: FakeVault, note: Callable[[str, str], None]) -> None:
    for name in ("one", "two"):
        store(None, name)
    keyring.delete_password(PYPI, TOKEN)
    assert vault.entries() == {}
    assert served(PYPI) is None
    assert message(RefusedDeleteError, lambda: keyring.delete_password(PYPI, TOKEN)) == (
        "no master is stored under this key, so there is nothing to delete."
    )
    note("delete", "no copy left")


def test_two_accounts_live_beside_raw_entries_under_every_key(
    vault: FakeVault, note: Callable[[str, str], None]
) -> None:
    # What is found first without a user name: the last one on Windows, and here the first one on macOS.
    first, last = (TOKEN, "other") if vault.name == "macOS" else ("other", TOKEN)
    for key in KEYS:
        for username in (last, first) if key in ENDPOINTS else (first, last):
            plant(key, username, master("raw") if username == TOKEN else "a password")
    raw = in_reach(vault)
    assert len(raw) == 2 * len(KEYS)
    assert {key: served(key) for key in KEYS} == expected(TOKEN, "raw")
    for default, work in (("one", "two"), ("one", "three"), ("four", "three")):
        store(None, default)
        store("work", work)
        assert in_store(vault) == {"default": default, "work": work}
        for user in USERS:
            assert {key: served(key, user) for key in KEYS} == expected(user, default)
            assert served(url("work"), user) == work
        assert sorted(in_reach(vault)) == sorted(raw)
    assert "a password" in vault.entries().values()
    keyring.delete_password(url("work"), TOKEN)
    assert in_store(vault) == {"default": "four"}
    assert served(PYPI) == "four"
    keyring.delete_password(PYPI, TOKEN)  # and what is raw under that key, the only one
    assert in_store(vault) == {}
    assert served(PYPI) == "raw"
    note("two accounts", "both kept")


def test_keys_that_differ_in_case_name_the_same_master(vault: FakeVault) -> None:
    store("work", "one")
    expected = (
        "a master for pypi is stored for the account 'work', which differs from 'Work' in case only: "
        "use that label or quite another one."
    )
    assert message(RefusedSetError, lambda: store("Work", "two")) == expected
    store(None, "two")  # on Windows this moves the first one to another name
    assert message(RefusedSetError, lambda: store("WORK", "two")) == expected.replace("'Work'", "'WORK'")
    assert message(RefusedDeleteError, lambda: keyring.delete_password(url("Work"), TOKEN)) == expected
    assert in_store(vault) == {"default": "two", "work": "one"}
    assert served(url("WORK")) == "one"


def test_of_two_labels_that_an_earlier_version_stored_either_can_be_deleted(vault: FakeVault) -> None:
    notes = []
    for label in ("work", "Work"):
        store(label, label)
        (note,) = Path(paths.accounts_directory()).iterdir()
        notes.append((note, note.read_text()))
        note.unlink()
    for note, text in notes:
        note.write_text(text)
    assert len(in_store(vault)) == 2
    for label in ("Work", "work"):
        keyring.delete_password(url(label), TOKEN)
    assert vault.entries() == {}


@pytest.mark.parametrize("key", ["https://upload.pypi.org/Legacy/", "PDM-Repository-pypi", "Main", "UPLOAD.PYPI.ORG"])
def test_a_key_in_another_case_stores_out_of_reach(key: str, vault: FakeVault) -> None:
    keyring.set_password(key, TOKEN, master("one"))
    assert list(vault.entries()) == [(PRIVATE, "default")]


# Locked, denied, no session


@pytest.mark.parametrize("how", ["locked", "denied"])
@pytest.mark.parametrize("raw", [False, True], ids=["private", "raw"])
def test_what_cannot_be_read_is_refused(
    how: str, raw: bool, vault: FakeVault, note: Callable[[str, str], None]
) -> None:
    if raw:
        for key in KEYS:
            plant(key, TOKEN, master("raw"))
    else:
        store(None, "one")
    vault.failures = getattr(vault, how)
    assert {served(key, user) for key in (*KEYS, url("work")) for user in USERS} == {"refused"}
    note(how, "refused")


def test_without_a_desktop_session_the_age_file_is_named(vault: FakeVault) -> None:
    store(None, "one")
    before = vault.entries()
    vault.failures = {**vault.locked}
    assert message(RefusedError, lambda: keyring.get_password(PYPI, TOKEN)) == without_session(vault, "be read")
    assert message(RefusedSetError, lambda: store(None, "two")) == without_session(vault, "be read")
    assert message(RefusedDeleteError, lambda: keyring.delete_password(PYPI, TOKEN)) == without_session(
        vault, "be read"
    )
    for name, step, what in (
        ("CredWrite", lambda: store(None, "two"), "store the master"),
        ("SecItemDelete", lambda: store(None, "two"), "store the master"),
        ("CredDelete", lambda: keyring.delete_password(PYPI, TOKEN), "delete the master"),
        ("SecItemDelete", lambda: keyring.delete_password(PYPI, TOKEN), "delete the master"),
    ):
        vault.failures = {known: code for known, code in vault.locked.items() if known == name}
        if vault.failures:
            assert message(RefusedError, step) == without_session(vault, what)
    assert vault.entries() == before
    vault.failures = {}
    assert served(PYPI) == "one"


def test_the_age_file_serves_without_a_desktop_session(vault: FakeVault, home: Path, user_policy: WritePolicy) -> None:
    (home / "identity").write_text(IDENTITY)
    user_policy('[store]\nbackend = "age"\nidentity = "~/identity"\n')
    vault.failures = {**vault.locked}
    store(None, "one")
    assert served(PYPI) == "one"
    assert vault.entries() == {}


# No master is lost


def begin(vault: FakeVault, accounts: dict[str | None, str]) -> None:
    """Empty a vault and the notes, and store masters."""
    vault.before, vault.failures = (lambda _name: None), {}
    vault.content.clear()
    shutil.rmtree(paths.accounts_directory(), ignore_errors=True)
    memory.forget()
    for label, name in accounts.items():
        store(label, name)


def failing(vault: FakeVault, first: int, last: float, how: int | BaseException) -> Callable[[str], None]:
    """Return what lets the calls from the first to the last one fail, counted from 0."""
    count = itertools.count()

    def before(name: str) -> None:
        vault.failures = {}
        if first <= next(count) <= last:
            if isinstance(how, BaseException):
                raise how
            vault.failures = {name: how}

    return before


@pytest.mark.parametrize("how", ["locked", "Ctrl-C"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("label", [None, "work"])
def test_whatever_call_fails_no_master_is_lost_without_a_word(
    how: str, lasting: bool, label: str | None, vault: FakeVault
) -> None:
    accounts: dict[str | None, str] = {None: "one", "work": "two"}
    begin(vault, accounts)
    calls = len(calls_of(vault, lambda: store(label, "three")))
    for first in range(calls):
        begin(vault, accounts)
        failure = KeyboardInterrupt() if how == "Ctrl-C" else next(iter(getattr(vault, how).values()))
        vault.before = failing(vault, first, 99 if lasting else first, failure)
        told, stored = "", False
        try:
            store(label, "three")
            stored = True
        except (RefusedSetError, KeyboardInterrupt) as problem:
            told = str(problem)
        vault.before, vault.failures = (lambda _name: None), {}
        is_said = "may be lost" in told or (how == "Ctrl-C" and lasting)  # somebody who stops the putting back, too
        for account, old in accounts.items():
            kept = {"three"} if stored else {old, "three"}
            assert served(url(account)) in ({old} if account != label else kept) | ({"refused"} if is_said else set())


TWO: dict[str | None, str] = {None: "one", "work": "two"}
WRITERS: dict[str, tuple[dict[str | None, str], Callable[[], object], Callable[[], object], list[dict[str, str]]]] = {
    "two accounts": (
        {},
        lambda: store(None, "three"),
        lambda: store("work", "four"),
        [{"default": "three", "work": "four"}],
    ),
    "two accounts again": (
        TWO,
        lambda: store(None, "three"),
        lambda: store("work", "four"),
        [{"default": "three", "work": "four"}],
    ),
    "one account": (
        TWO,
        lambda: store(None, "three"),
        lambda: store(None, "four"),
        [{"default": "three", "work": "two"}, {"default": "four", "work": "two"}],
    ),
    "one is deleted": (
        TWO,
        lambda: keyring.delete_password(PYPI, TOKEN),
        lambda: store("work", "four"),
        [{"work": "four"}],
    ),
    "one is deleted later": (
        TWO,
        lambda: store("work", "four"),
        lambda: keyring.delete_password(PYPI, TOKEN),
        [{"work": "four"}],
    ),
}


@pytest.mark.parametrize("case", WRITERS)
def test_two_writers_lose_nothing_in_any_order(
    case: str, vault: FakeVault, note: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts, first, second, expected = WRITERS[case]
    begin(vault, accounts)
    lengths = [len(calls_of(vault, step)) for step in (first, second)]
    for order in itertools.product(*(range(length + 1) for length in lengths)):
        begin(vault, accounts)
        with monkeypatch.context() as patch:
            writers = TwoWriters(vault, (order[0], order[1]), patch)
            writers.run(first, second)
        assert writers.refused == []
        assert in_store(vault) in expected
        assert set(noted_accounts(lookup.PYPI)) == in_store(vault).keys()
    note("two writers", "both kept")
