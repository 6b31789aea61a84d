"""The keyring backend: keyring's calling rules, and nothing else.

keyring imports this module in every process that uses it for anything: everything heavier is imported when a
lookup is likely to be ours. Rules that shape it (keyring 25.7, `backends/chainer.py`):

- None hands the question to the next backend, which may hold the master raw: so None is returned only where no
  master exists, and everything else raises;
- only NotImplementedError passes a `set` or a `delete` on;
- without a chain, none of both has a meaning: where we are all the keyring there is, foreign keys get what keyring
  answers without any;
- every backend gets attributes from `KEYRING_PROPERTY_*`: so no decision is kept in one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from keyring import core
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.credentials import SimpleCredential
from keyring.errors import NoKeyringError, PasswordDeleteError, PasswordSetError

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import (
    BUILT_IN,
    TOKEN_USERNAME,
    asks_for_token,
    find_lookup,
    is_kept_by_uploader,
    is_private,
)

if TYPE_CHECKING:
    from keyring.credentials import Credential

    from keyring_pypitoken.issue import Answer, Deleted, Saved

_PRIVATE = "this name is keyring-pypitoken's own, and what it holds is never handed out: ask for the upload URL."
# poetry asks for the first before anything else, and gives keyring up if that raises; were the others to raise, it
# would stop. So where one of our stores can hold masters, these are declined (poetry 2, `utils/password_manager.py`).
_POETRY = ("python-poetry-check", "poetry-repository-")


class RefusedError(NoKeyringError):
    """A lookup is ours, and nothing is handed out. A NoKeyringError, since twine passes over those quietly."""


class RefusedSetError(RefusedError, PasswordSetError):
    """Nothing was stored."""


class RefusedDeleteError(RefusedError, PasswordDeleteError):
    """Nothing was deleted."""


class PyPITokenKeyring(KeyringBackend):
    """Hands out tokens that are derived from a stored master, for PyPI's upload URLs."""

    # Below the chainer (10), above every backend that stores passwords.
    priority = 9.9

    def get_password(self, service: str, username: str) -> str | None:
        """Return a derived token, or None where the lookup is not ours or no master is stored.

        Raises:
            RefusedError: the lookup is ours and must not be answered.
        """
        # None is no user name, but some backends take it for any: it must not reach them.
        found = None if username == "" else _ask(service, username)
        if found is not None:
            return _hand_out(found)
        nobody = _nobody()
        return nobody.get_password(service, username) if nobody and not _is_poetrys(service) else None

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        """Return a derived token with its user name, like `get_password`; the user name may be None or empty.

        Raises:
            RefusedError: the lookup is ours and must not be answered.
        """
        found = _ask(service, username)
        if found is None:
            nobody = _nobody()
            return nobody.get_credential(service, username) if nobody and not _is_poetrys(service) else None
        token = _hand_out(found)
        return None if token is None else SimpleCredential(TOKEN_USERNAME, token)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Check a master and store it.

        Raises:
            NotImplementedError: the key is not ours; the next backend is asked.
            RefusedSetError: the key is ours, and what was given is not stored.
        """
        if is_private(service):
            del password
            _refuse(_PRIVATE, RefusedSetError)
        outcome: Saved | Refusal | None = None
        if username and _may_be_ours(service, username):
            from keyring_pypitoken import issue

            outcome = issue.save(service, username, password)
        del password
        if isinstance(outcome, Refusal):
            _refuse(str(outcome), RefusedSetError)
        if outcome is None:
            nobody = _nobody()
            if nobody:
                nobody.set_password(service, username, "")  # which tells of it, and must not hold the secret
            raise NotImplementedError
        if outcome.replaced:
            _tell(f"replaced the master for {outcome.repository.name} (account {outcome.account!r}) in {outcome.store}")

    def delete_password(self, service: str, username: str) -> None:
        """Delete a stored master.

        Raises:
            NotImplementedError: the key is not ours; the next backend is asked.
            PasswordDeleteError: the key is ours, and nothing is stored under it or nothing can be deleted.
        """
        if is_private(service):
            _refuse(_PRIVATE, RefusedDeleteError)
        outcome: Deleted | Refusal | None = None
        if username and _may_be_ours(service, username):
            from keyring_pypitoken import issue

            outcome = issue.delete(service, username)
        if isinstance(outcome, Refusal):
            _refuse(str(outcome), RefusedDeleteError)
        if outcome is None:
            nobody = _nobody()
            if nobody:
                nobody.delete_password(service, username)
            raise NotImplementedError
        if not outcome.found:
            _refuse(
                "no master is stored under this key, so there is nothing to delete.",
                RefusedDeleteError,
            )


def _ask(service: str, username: str | None) -> Answer | None:
    """Ask the pipeline; None where the lookup is not ours."""
    if is_private(service):
        _refuse(_PRIVATE, RefusedError)
    if not _may_be_ours(service, username):
        return None
    from keyring_pypitoken import issue

    found = issue.answer(service, username)
    if isinstance(found, Refusal):
        _refuse(str(found), RefusedError)
    return found


def _hand_out(answer: Answer) -> str | None:
    """Return a token: the one way by which text leaves this package, and only a `DerivedToken` has text."""
    if answer.token is None:
        return None
    for line in answer.notice:
        _tell(line)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from keyring_pypitoken import notices

        notices.write(f"::add-mask::{answer.token.unwrap()}")
    return answer.token.unwrap()


def _nobody() -> KeyringBackend | None:
    """Return what answers a foreign key where this is all the keyring there is, else None.

    Without this package keyring would then have no backend at all, so the one that it falls back to answers. Where a
    chain asks us, or nobody asked keyring for its backend, foreign keys are the next one's.
    """
    alone = isinstance(core._keyring_backend, PyPITokenKeyring)  # noqa: SLF001 - get_keyring would load all backends
    return fail.Keyring() if alone else None  # type: ignore[no-untyped-call]  # keyring's constructor


def _is_poetrys(service: object) -> bool:
    """Return True if a foreign key is one that poetry asks for on its way to a master of ours."""
    if not isinstance(service, str) or not service.startswith(_POETRY):
        return False
    from keyring_pypitoken import issue

    return issue.has_store()


def _may_be_ours(service: str, username: str | None) -> bool:
    """Sort out, at little cost, what cannot be ours; the pipeline decides on the rest."""
    if not asks_for_token(service, username):
        return False
    try:
        if find_lookup(service, username, BUILT_IN) is not None:
            return True
    except Refusal:
        return True  # told by the pipeline
    if is_kept_by_uploader(service):
        return True
    from keyring_pypitoken import files, paths

    return files.any_present((paths.user_policy(), *paths.site_policies()))


def _refuse(message: str, kind: type[RefusedError]) -> NoReturn:
    """Tell the refusal on stderr, the one channel that nearly every uploader shows, and end what must not go on."""
    _tell(message)
    from keyring_pypitoken.uploaders import process

    # The sentence is on the screen. keyring and hatch would bury it in a traceback, others repeat it; most would go
    # on and ask for a password, and what a person types then is the master.
    ends = {RefusedError: process.is_uploading, RefusedSetError: process.stores_a_token}.get(kind)
    if process.is_keyring_command() or (ends is not None and ends()):
        raise SystemExit(1)
    raise kind(message)


def _tell(line: str) -> None:
    from keyring_pypitoken import notices

    notices.notify(line)
