"""The keyring backend: keyring's calling rules, and nothing else.

keyring imports this module in every process that uses it for anything, so everything heavier is imported when a lookup
is likely to be ours. Rules that shape it (keyring 25.7, `backends/chainer.py`):

- None hands the question to the next backend, which may hold the master raw: so None is returned only if no master
  exists, and everything else raises;
- only NotImplementedError passes a `set` or a `delete` on;
- without a chain neither has a meaning: if this is the only backend, foreign keys get keyring's own answer;
- every backend gets attributes from `KEYRING_PROPERTY_*`: so no decision is kept in one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NoReturn

from keyring import core
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.credentials import SimpleCredential
from keyring.errors import NoKeyringError, PasswordDeleteError, PasswordSetError

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import BUILT_IN, TOKEN_USERNAME, Key, is_private, is_probe, match

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from keyring.credentials import Credential

    from keyring_pypitoken.secret import MasterToken

    T = TypeVar("T")

_PRIVATE = "this name belongs to keyring-pypitoken, which never hands out what is stored there: ask for the upload URL."
# What is printed for an uploader that would go on to other credentials, so that the index refuses it.
REFUSED = "refused-by-keyring-pypitoken"


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
        """Return a derived token; None if the lookup is not ours, or if no master is stored.

        Raises:
            RefusedError: the lookup is ours and must not be answered.
        """
        ours, found = _guarded(lambda: _ask(service, username), RefusedError)
        nobody = None if ours else _nobody(service)
        if nobody is not None:
            return nobody.get_password(service, username)
        return None if found is None else found.password

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        """Return a derived token with its user name, like `get_password`; the user name may be None or empty.

        Raises:
            RefusedError: the lookup is ours and must not be answered.
        """
        ours, found = _guarded(lambda: _ask(service, username), RefusedError)
        nobody = None if ours else _nobody(service)
        return found if nobody is None else nobody.get_credential(service, username)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Check a master and store it.

        Raises:
            NotImplementedError: the key is not ours; the next backend is asked.
            RefusedSetError: the key is ours, and what was given is not stored.
        """
        try:
            from keyring_pypitoken.secret import MasterToken

            text = MasterToken(password)
        finally:
            del password  # whatever interrupts what follows, no local of ours holds it
        if not _guarded(lambda: _set(service, username, text), RefusedSetError):
            _pass_on("set", service, username)

    def delete_password(self, service: str, username: str) -> None:
        """Delete a stored master.

        Raises:
            NotImplementedError: the key is not ours; the next backend is asked.
            PasswordDeleteError: the key is ours, and nothing is stored under it or nothing can be deleted.
        """
        if not _guarded(lambda: _delete(service, username), RefusedDeleteError):
            _pass_on("delete", service, username)


def _guarded(step: Callable[[], T], kind: type[RefusedError]) -> T:
    """Run a step; raise what fails in it as a refusal, without a trace of the frames that it ran in."""
    try:
        return step()
    except RefusedError as refusal:
        problem: BaseException = refusal
    except Exception as error:  # noqa: BLE001 - None and a foreign error let an uploader go on
        message = str(error) if isinstance(error, Refusal) else _internal(error)
        problem = _refusal(message, kind)
    except BaseException as signal:  # noqa: BLE001 - Ctrl-C and the like go on
        problem = signal
    problem.__cause__ = problem.__context__ = None
    raise problem.with_traceback(None)


def _refusal(message: str, kind: type[RefusedError]) -> BaseException:
    """Return what `_refuse` raises; if it fails itself, what it should have raised."""
    try:
        return _refuse(message, kind)
    except (RefusedError, SystemExit) as refusal:
        return refusal
    except Exception:  # noqa: BLE001 - not even a line could be printed
        return kind(message)


def _internal(error: Exception) -> str:
    return f"internal error ({type(error).__name__}), and nothing was handed out: please report it."


def _ask(service: str, username: str | None) -> tuple[bool, SimpleCredential | None]:
    """Return whether the key is ours, and what answers it: never text, which a traceback would show."""
    if is_private(service):
        return True, SimpleCredential(TOKEN_USERNAME, _refuse_get(_PRIVATE))
    key = _parse(service, username)
    if key is None:
        return False, None
    from keyring_pypitoken import issue

    try:
        issued = issue.answer(key)
    except Refusal as refusal:
        message = str(refusal)
    else:
        if issued is not None:
            from keyring_pypitoken.handout import hand_out

            return True, SimpleCredential(TOKEN_USERNAME, hand_out(issued, _program()))
        found = match(key, BUILT_IN)
        return found is not None and found.kind == "endpoint", None
    return True, SimpleCredential(TOKEN_USERNAME, _refuse_get(message))


def _set(service: str, username: str, text: MasterToken) -> bool:
    """Store a master; return False if the key is not ours."""
    if is_private(service):
        _refuse(_PRIVATE, RefusedSetError)
    key = _parse(service, username)
    if key is None:
        return False
    from keyring_pypitoken import issue

    saved = issue.save(key, text)
    if saved is not None and saved.replaced:
        _notify(
            f"replaced the master for {saved.repository.name} (account {saved.account!r}) in {saved.store}; if you "
            f"no longer need the previous one, revoke it on {saved.repository.domain}"
        )
    return saved is not None


def _delete(service: str, username: str) -> bool:
    """Delete a master; return False if the key is not ours."""
    if is_private(service):
        _refuse(_PRIVATE, RefusedDeleteError)
    key = _parse(service, username)
    if key is None:
        return False
    from keyring_pypitoken import issue

    deleted = issue.delete(key)
    if deleted is False:
        _refuse("no master is stored under this key, so there is nothing to delete.", RefusedDeleteError)
    return deleted is not None


def _program() -> str:
    from keyring_pypitoken.uploaders.process import this_process

    process = this_process()
    return f"keyring for {process.program}" if process.is_parent else process.program


def _parse(service: object, username: object) -> Key | None:
    """Sort out, at little cost, what cannot be ours; `issue` decides on the rest."""
    key = Key.parse(service, username)
    if key is None or match(key, BUILT_IN) is not None:
        return key
    from keyring_pypitoken import files, paths

    return key if files.any_present((paths.user_policy(), *paths.site_policies())) else None


def _nobody(service: object) -> KeyringBackend | None:
    """Return what answers a foreign key if this is the only backend, else None.

    Without this package keyring would then have no backend at all, so the one that it falls back to answers. If a chain
    asks us, or nobody asked keyring for its backend, foreign keys are the next one's. An uploader's probe of whether
    there is a keyring is declined, because it would give keyring up.
    """
    if not _is_alone() or (is_probe(service) and _has_store()):
        return None
    return fail.Keyring()  # type: ignore[no-untyped-call]  # keyring's constructor


def _is_alone() -> bool:
    return isinstance(core._keyring_backend, PyPITokenKeyring)  # noqa: SLF001 - get_keyring would load all backends


def _has_store() -> bool:
    from keyring_pypitoken.policy.discovery import load_config
    from keyring_pypitoken.vault.backends import readable

    try:
        return bool(readable(load_config().store))
    except Refusal:
        return True  # there is one that cannot be asked now


def _pass_on(what: str, service: str, username: str) -> NoReturn:
    nobody: KeyringBackend | None = fail.Keyring() if _is_alone() else None  # type: ignore[no-untyped-call]  # keyring's
    if nobody and what == "set":
        nobody.set_password(service, username, "")  # which raises, and must not hold the secret
    if nobody:
        nobody.delete_password(service, username)
    raise NotImplementedError


def _refuse_get(message: str) -> str:
    """Refuse a lookup, so that the uploader takes no other credential.

    In its own process it is ended: most would go on and ask for a password, and what a person types then is the master.
    One that started the `keyring` command and would go on gets a text that is not a token, which the index refuses.
    """
    if _goes_on():
        _notify_refusal(message)
        return REFUSED
    return _refuse(message, RefusedError)


def _refuse(message: str, kind: type[RefusedError]) -> NoReturn:
    """Print the refusal on stderr, the one channel that nearly every uploader shows, and end what must not go on."""
    _notify_refusal(message)
    if _must_end(kind):
        raise SystemExit(1)
    raise kind(message)


def _goes_on() -> bool:
    """Return True if an uploader that is uploading started the `keyring` command, and would try other credentials."""
    from keyring_pypitoken.uploaders.process import parent_process

    with contextlib.suppress(Exception):  # who asks is not known
        process = parent_process()
        uploader = process.uploader if process else None
        return process is not None and uploader is not None and uploader.goes_on and uploader.is_uploading(process)
    return False


def _must_end(kind: type[RefusedError]) -> bool:
    # Of its own, so that no frame of the refusal holds the environment, in which a passphrase may be.
    from keyring_pypitoken.uploaders.process import is_keyring_command, this_process

    with contextlib.suppress(Exception):  # who asks is not known: it gets the exception
        if is_keyring_command():
            return True  # the sentence is on the screen; keyring would bury it in a traceback
        process = this_process()
        if (uploader := process.uploader) is not None and kind is RefusedError:
            return uploader.is_uploading(process)
        return uploader is not None and kind is RefusedSetError and uploader.is_saving(process)
    return False


def _notify(line: str) -> None:
    from keyring_pypitoken import notices

    with contextlib.suppress(Exception):  # a line that cannot be printed changes no answer
        notices.notify(line)


def _notify_refusal(message: str) -> None:
    from keyring_pypitoken import notices

    _notify(message)
    notices.name_page()
