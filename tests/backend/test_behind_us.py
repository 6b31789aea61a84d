"""What keyring would use without this package is behind it, for whatever is not ours."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import keyring
import pytest
from file_keyring import FileKeyring
from sandbox import new_master

from keyring_pypitoken import issue, lookup, rest
from keyring_pypitoken.backend import PyPITokenKeyring, RefusedDeleteError, RefusedError, RefusedSetError
from keyring_pypitoken.exceptions import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
pytestmark = pytest.mark.usefixtures("project")


def ours() -> PyPITokenKeyring:
    """Return the backend that keyring uses."""
    backend = keyring.get_keyring()
    assert isinstance(backend, PyPITokenKeyring)
    return backend


def test_attributes_and_properties_are_those_of_the_rest() -> None:
    ours().color = "green"
    assert ours().color == "green"
    assert vars(ours()) == {}
    assert (ours().with_properties(color="blue").color, ours().color) == ("blue", "green")
    for name in ("size", "__size__"):
        assert not hasattr(copy.copy(ours()), name)


@pytest.fixture
def wrapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store ask keyring itself, as a backend that wraps others does."""
    for name in ("get_password", "get_credential", "set_password", "delete_password"):

        def ask(_self: object, *arguments: str, name: str = name) -> object:
            return getattr(keyring, name)(*arguments)

        monkeypatch.setattr(FileKeyring, name, ask)
    monkeypatch.setattr(rest, "find", FileKeyring)


@pytest.mark.usefixtures("wrapping")
def test_a_backend_that_wraps_others_is_not_asked_by_itself() -> None:
    assert keyring.get_password("mail", "joe") is None
    assert keyring.get_credential("mail", "joe") is None
    with pytest.raises(NotImplementedError):
        keyring.set_password("mail", "joe", "x")
    with pytest.raises(NotImplementedError):
        keyring.delete_password("mail", "joe")


def test_a_lookup_passes_only_if_it_is_known_to_be_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    FileKeyring().plant("mail", "joe", "a password")
    keyring.set_password(PYPI, TOKEN, new_master())

    def fail(*_key: object) -> bool:
        raise ArithmeticError

    monkeypatch.setattr(lookup, "is_ours", fail)
    assert keyring.get_password("mail", "joe") == "a password"
    assert keyring.get_password(PYPI, TOKEN) != FileKeyring().passwords()[f"keyring-pypitoken:{PYPI}", "default"]


def test_an_asker_that_cannot_be_read_matters_only_if_there_is_a_master(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> None:
        raise Refusal("what asks cannot be read.")

    monkeypatch.setattr(issue, "asker", unreadable)
    assert keyring.get_password(PYPI, TOKEN) is None
    keyring.set_password(PYPI, TOKEN, new_master())
    with pytest.raises(RefusedError, match=r"^what asks cannot be read\.$"):
        keyring.get_password(PYPI, TOKEN)


CHANGES: list[tuple[Callable[[], object], type[RefusedError]]] = [
    (lambda: keyring.set_password("mail", "joe", "x"), RefusedSetError),
    (lambda: keyring.delete_password("mail", "joe"), RefusedDeleteError),
]


@pytest.mark.parametrize(("change", "error"), CHANGES)
def test_what_is_stored_as_a_master_too_is_not_lost(change: Callable[[], object], error: type[RefusedError]) -> None:
    master = new_master()
    keyring.set_password(PYPI, TOKEN, master)
    FileKeyring().plant("mail", "joe", master)
    with pytest.raises(error, match=r"keyring-pypitoken logout -r pypi --account default"):
        change()
    assert FileKeyring().passwords()["mail", "joe"] == master
    for other in (new_master(identifier="another one"), new_master("pypi.example")):
        FileKeyring().plant("mail", "joe", other)
        change()
        assert FileKeyring().passwords().get(("mail", "joe")) in ("x", None)
