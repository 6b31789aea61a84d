"""Whatever the key, the call and the store: nothing raw comes out or goes in, and no foreign call reaches a master.

The stores read names in the ways that real ones do. Each case asks a fresh backend with one of them behind it.
"""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import random
from typing import TYPE_CHECKING, ClassVar

import keyring.errors
import pytest
from keyring.backend import KeyringBackend
from keyring.credentials import SimpleCredential
from sandbox import new_master

from keyring_pypitoken import Token, memory, rest
from keyring_pypitoken.backend import PyPITokenKeyring
from keyring_pypitoken.lookup import BUILT_IN, Key, match
from keyring_pypitoken.vault import accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PYPI, TEST, TOKEN = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"
MASTER, OTHER = new_master(identifier="a master"), new_master("test.pypi.org", "another master")
RAW = [new_master(identifier=f"raw {number}") for number in range(3)] + [new_master("test.pypi.org", "raw of another")]
PASSWORDS = ["secret", "pypi-reader", "pypi-AgE", "x" * 300]


class Store(KeyringBackend):
    """A store of exact names."""

    priority: ClassVar[float] = 5

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring's has no types
        self.content: dict[tuple[str, str], str] = {}
        self.stored_for: list[tuple[str, str, str]] = []

    def entry(self, service: str, username: str) -> tuple[str, str]:
        """Return the name of the entry that a key leads to."""
        return service, username

    def get_password(self, service: str, username: str | None) -> str | None:
        return self.content.get(self.entry(service, username or ""))

    def get_credential(self, service: str, username: str | None) -> SimpleCredential | None:
        if username is None:
            users = [user for of, user in self.content if of == service]
            username = users[0] if users else ""
        password = self.get_password(service, username)
        return None if password is None else SimpleCredential(username, password)

    def set_password(self, service: str, username: str | None, password: str) -> None:
        self.stored_for.append((service, username or "", password))
        self.content[self.entry(service, username or "")] = password

    def delete_password(self, service: str, username: str | None) -> None:
        if self.content.pop(self.entry(service, username or ""), None) is None:
            raise keyring.errors.PasswordDeleteError("no such password")


class Joining(Store):
    """A store of paths, as keyring-pass is; an entry without a user shows what is in it as a user."""

    def entry(self, service: str, username: str) -> tuple[str, str]:
        path = posixpath.join("/keyring", posixpath.normpath(service))
        return posixpath.normpath(posixpath.join(path, username) if username else path), ""

    def get_credential(self, service: str, username: str | None) -> SimpleCredential | None:
        if username:
            return super().get_credential(service, username)
        shown = self.content.get(self.entry(service, ""))
        return SimpleCredential(shown, None) if shown else None  # type: ignore[arg-type]  # as keyring-pass has it


class Gluing(Store):
    """A store that joins the two by a character, or by none."""

    glue = ""

    def entry(self, service: str, username: str) -> tuple[str, str]:
        return f"{service}{self.glue}{username}", ""


class GluingByDash(Gluing):
    """The same, by a dash."""

    glue = "-"


class GluingByColon(Gluing):
    """The same, by a colon."""

    glue = ":"


class Folding(Store):
    """A store that folds case."""

    def entry(self, service: str, username: str) -> tuple[str, str]:
        return service.casefold(), username.casefold()


class Compound(Store):
    """keyring's Windows backend: one user under the service, further ones under `user@service`, any for no user."""

    def entry(self, service: str, username: str) -> tuple[str, str]:
        held = next((user for of, user in self.content if of.casefold() == service.casefold()), None)
        if held is None or not username or held.casefold() == username.casefold():
            return service.casefold(), (held or username).casefold()
        return f"{username}@{service}".casefold(), username.casefold()


class OneCall(Store):
    """A store that answers get_password only."""

    def get_credential(self, service: str, username: str | None) -> None:
        del service, username


class OtherCall(Store):
    """A store that answers get_credential only, for any user."""

    def get_password(self, service: str, username: str | None) -> str | None:
        # What we store must be found again: only our own name is answered here.
        return super().get_password(service, username) if service.startswith("keyring-pypitoken:") else None

    def get_credential(self, service: str, username: str | None) -> SimpleCredential | None:
        del username
        entry = next(((user, text) for (of, user), text in self.content.items() if of == service), None)
        return SimpleCredential(*entry) if entry else None


class Searching(Store):
    """A store that takes the first entry in which the service is."""

    def entry(self, service: str, username: str) -> tuple[str, str]:
        if (service, username) in self.content:
            return service, username
        return next((key for key in self.content if service and service in key[0]), (service, username))


class EmptyUser(Store):
    """A store whose entries without a user are anybody's."""

    def entry(self, service: str, username: str) -> tuple[str, str]:
        return (service, "") if (service, "") in self.content else (service, username)


STORES = (
    Store, Joining, Gluing, GluingByDash, GluingByColon, Folding, Compound, OneCall, OtherCall, Searching, EmptyUser,
)  # fmt: skip
for kind in STORES:
    KeyringBackend._classes.discard(kind)  # or keyring would use them

SERVICES = (
    PYPI, PYPI[:-1], "https://UPLOAD.pypi.org/legacy/", f"{PYPI}?work", "upload.pypi.org", TEST, "test.pypi.org",
    "https://upload.pypi.org\\@evil.example/legacy/", "https://evil.example\\@upload.pypi.org/legacy/", "https://pypi.org/",
    "http://upload.pypi.org/legacy/", "https://upload.pypi.org:8443/legacy/", "poetry-repository-pypi", "main", "test",
    "poetry-repository-mine", "pdm-repository-testpypi", "pypi", "mail", ".", "..", "/", "", "https://evil.example/simple/",
    "keyring", "upload", "keyring-pypi", "//", "https:", PRIVATE, f"{PRIVATE}?work", f"default@{PRIVATE}", "legacy",
)  # fmt: skip
USERNAMES = (
    TOKEN, None, "", "joe", "default", "work", "pypi_token:project:demo", "pypi_token:user:joe", "__TOKEN__", "..", "/",
    PRIVATE,
    f"/keyring/{PRIVATE.replace('//', '/')}default", f"../{PRIVATE.replace('//', '/')}default",
)  # fmt: skip


def _key(pick: random.Random) -> tuple[str, str | None]:
    """Return any key: of the lists, or pieces of our private name in either part."""
    if pick.random() < 0.7:
        return pick.choice(SERVICES), pick.choice(USERNAMES)
    name = pick.choice(
        (PRIVATE, f"{PRIVATE}default", f"{PRIVATE}:default", f"{PRIVATE}-default", f"{PRIVATE}?workwork")
    )
    at = pick.randrange(len(name) + 1)
    parts = [name[:at], name[at + pick.randrange(2) :]]
    if pick.random() < 0.2:
        parts.reverse()
    change = pick.choice((str, str, str.upper, str.swapcase, lambda text: text.replace(":", "%3A")))
    return change(parts[0]), change(parts[1])


def _plant(store: Store, pick: random.Random) -> None:
    """Put masters under our names, and raw tokens and passwords under any."""
    for name, master in ((("default", PRIVATE), MASTER), (("work", f"{PRIVATE}?work"), OTHER)):
        if pick.random() < 0.6:
            store.set_password(name[1], name[0], master if name[0] == "default" else new_master(identifier="at work"))
    for _ in range(pick.randrange(4)):
        service, username = _key(pick)
        if store.entry(service, username or "") not in store.content:
            store.set_password(service, username, pick.choice((*RAW, *PASSWORDS)))
    store.stored_for.clear()


def _is_raw(text: object) -> bool:
    if not isinstance(text, str) or "pypi-Ag" not in text:
        return False
    with contextlib.suppress(Exception):
        return len(Token.load(text).raw_caveats) < 2  # a derived one has both
    return text not in PASSWORDS


def _masters(store: Store) -> list[str | None]:
    return [store.get_password(PRIVATE, "default"), store.get_password(f"{PRIVATE}?work", "work")]


def _attack(backend: PyPITokenKeyring, store: Store, pick: random.Random) -> str:
    """Make one call; return what it came to."""
    service, username = _key(pick)
    call = pick.choice(("get_password", "get_credential", "set_password", "delete_password"))
    token = pick.choice((*RAW, *PASSWORDS))
    before = _masters(store)
    key = Key.parse(service, username)
    named = match(key, BUILT_IN) if key else None
    answer, outcome = None, "answered"
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            if call == "set_password":
                backend.set_password(service, username, token)  # type: ignore[arg-type]  # None is asked, too
            else:
                answer = getattr(backend, call)(service, username)
    except Exception as error:  # noqa: BLE001 - a refusal, or the store's own error
        outcome = type(error).__name__
    texts = [answer, getattr(answer, "password", None), getattr(answer, "username", None)]
    case = (type(store).__name__, call, service, username, token if call == "set_password" else "", outcome)
    assert not any(map(_is_raw, texts)), case
    for stored_service, _, text in store.stored_for:
        assert not _is_raw(text) or stored_service.startswith("keyring-pypitoken:"), case
    if call in ("set_password", "delete_password") and (named is None or named.kind == "misspelled"):
        lost = [
            master for master, left in zip(before, _masters(store), strict=True) if _is_raw(master) and left != master
        ]
        assert not lost, case
    return f"{call} {outcome}"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Store], PyPITokenKeyring]]:
    """Return a function that makes a backend with a store behind it."""
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")

    def make(store: Store) -> PyPITokenKeyring:
        memory.forget()
        monkeypatch.setattr(rest, "members", lambda: [store])
        # Storing a master notes its account; the default one needs no note.
        notes = [(PYPI, "work", accounts.Noted(0))] if _masters(store)[1] else []
        monkeypatch.setattr(accounts, "_notes", lambda: iter(notes))
        backend = PyPITokenKeyring()  # type: ignore[no-untyped-call]  # keyring's constructor
        vars(backend)["rest"] = store
        return backend

    yield make
    memory.forget()


@pytest.mark.filterwarnings("ignore:Empty usernames:DeprecationWarning")
@pytest.mark.parametrize("count", [1500, pytest.param(100_000, marks=pytest.mark.attack)], ids=["sample", "whole"])
def test_nothing_raw_passes_in_either_direction(
    count: int, asked: Callable[[Store], PyPITokenKeyring], record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("TEST_SEED") or random.randrange(10**9))  # noqa: S311 - not for secrets
    outcomes: dict[str, int] = {}
    for number in range(count):
        pick = random.Random(seed + number)  # noqa: S311 - not for secrets
        store = pick.choice(STORES)()
        _plant(store, pick)
        try:
            outcome = _attack(asked(store), store, pick)
        except AssertionError as error:
            raise AssertionError(f"TEST_SEED={seed + number}: {error}") from None
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    record_property("attack", f"by value: {count} calls from seed {seed}: {dict(sorted(outcomes.items()))}")
    assert outcomes["get_password answered"] > 100


def test_what_is_not_a_token_passes_unchanged(asked: Callable[[Store], PyPITokenKeyring]) -> None:
    for kind in (Store, Joining, Folding, Compound):
        for text in PASSWORDS:
            store = kind()
            backend = asked(store)
            backend.set_password("mail", "joe", text)
            assert backend.get_password("mail", "joe") == text
            backend.delete_password("mail", "joe")
            assert store.content == {}
