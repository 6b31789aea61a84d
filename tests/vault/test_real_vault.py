"""The machine's own vault (Credential Manager, Keychain): a made-up master of a made-up repository, deleted again.

Only `TEST_REAL_VAULT`, which names keyring's backend and which the workflow sets, lets a test touch it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from typing import TYPE_CHECKING, Any

import keyring
import pytest
from keyring.core import load_keyring
from keyring.errors import PasswordDeleteError
from sandbox import ROOT, Command, WritePolicy, new_master

from keyring_pypitoken import Token
from keyring_pypitoken.lookup import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BACKEND = os.environ.get("TEST_REAL_VAULT", "")
HOME = os.path.expanduser("~")  # in which macOS finds its keychains
TOKEN = "__token__"


def at_home(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method of the backend find the user's home directory, and nothing else."""

    @functools.wraps(method)
    def call(*arguments: object) -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", HOME)
            return method(*arguments)

    return call


@pytest.fixture
def host(user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let the vault keep the masters of a repository that only this test knows; return its host."""
    host = f"{uuid.uuid4()}.invalid"
    url = f"https://{host}/legacy/"
    user_policy(f'[repository.made-up]\nurl = "{url}"\ndomain = "{host}"\n[store]\nbackend = "{BACKEND}"\n')
    vault = load_keyring(BACKEND)
    for name in ("get_password", "set_password", "delete_password"):
        monkeypatch.setattr(type(vault), name, at_home(getattr(type(vault), name)))
    yield host
    for account in ("default", "work"):
        with contextlib.suppress(PasswordDeleteError):
            vault.delete_password(*private(url, account))


def private(url: str, account: str) -> tuple[str, str]:
    """Return the name of a master in the vault."""
    return Repository("made-up", url, "made-up").private_service(account), account


def derived_from(service: str) -> str | None:
    """Return the identifier of the master that a lookup is answered from; None if there is no answer."""
    text = keyring.get_password(service, TOKEN)
    return None if text is None else Token.load(text).identifier


@pytest.mark.real_vault
@pytest.mark.skipif(not BACKEND, reason="only TEST_REAL_VAULT=module.Class lets a test use the machine's own vault")
@pytest.mark.usefixtures("project")
def test_masters_are_kept_replaced_and_deleted(host: str, command: Command) -> None:
    url = f"https://{host}/legacy/"
    vault = load_keyring(BACKEND)
    for account, identifier in (("default", "first"), ("work", "other"), ("default", "second")):
        master = new_master(host, identifier)
        assert command("login", "-r", "made-up", "--account", account, stdin=master)[0] == 0
        assert vault.get_password(*private(url, account)) == master
    assert [derived_from(service) for service in (url, f"{url}?work")] == ["second", "other"]
    for account in ("default", "work"):
        assert command("logout", "-r", "made-up", "--account", account)[0] == 0
        assert vault.get_password(*private(url, account)) is None
    assert derived_from(url) is None


def test_the_workflow_uses_the_vaults_of_windows_and_macos() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    for name in ("keyring.backends.Windows.WinVaultKeyring", "keyring.backends.macOS.Keyring"):
        assert f"vault: {name}" in text
    keychain, variable = text.index("security default-keychain -s"), text.index("TEST_REAL_VAULT: ${{ matrix.vault }}")
    assert text.index("security create-keychain") < text.index("security unlock-keychain") < keychain < variable
