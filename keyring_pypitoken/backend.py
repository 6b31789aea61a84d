"""The keyring backend: keyring's four functions, and how they end.

It is in front of every other backend, because keyring asks the one of the highest priority. A lookup that names a
repository gets a derived token or a refusal. Every other call goes to the rest, which is what keyring would use without
us, just as it came. What comes back is judged by what it is: a PyPI token does not pass.

keyring imports this module in every process that uses it for anything: it loads keyring and the standard library only,
so that keyring goes on without us if the package cannot be imported.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null  # noqa: F401 - keyring lists its classes while it asks for `viable`
from keyring.compat import properties
from keyring.credentials import SimpleCredential
from keyring.errors import NoKeyringError, PasswordDeleteError, PasswordSetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from keyring.credentials import Credential

    from keyring_pypitoken.lookup import Key
    from keyring_pypitoken.rest import Rest
    from keyring_pypitoken.secret import MasterToken

    T = TypeVar("T")

# What is printed for an uploader that would go on to other credentials, so that the index refuses it.
REFUSED = "refused-by-keyring-pypitoken"
_SHORTEST = 40  # characters; no token is shorter


class RefusedError(NoKeyringError):
    """A lookup is ours, and nothing is handed out. A NoKeyringError, since twine passes over those quietly."""


class RefusedSetError(RefusedError, PasswordSetError):
    """Nothing was stored."""


class RefusedDeleteError(RefusedError, PasswordDeleteError):
    """Nothing was deleted."""


class PyPITokenKeyring(KeyringBackend):
    """Hands out tokens that are derived from a stored master; everything else goes to the backends behind it."""

    priority: ClassVar[float] = float("inf")

    @properties.classproperty
    def viable(cls) -> bool:  # noqa: N805 - keyring's property of a class
        """Whether there is a master, a place for one, or a backend behind us."""
        try:
            from keyring_pypitoken import rest
            from keyring_pypitoken.vault import backends

            return backends.has_master() or backends.has_pyrage() or rest.is_viable()
        except Exception:  # noqa: BLE001 - an error must not take us out of the way of a master
            return True

    def get_password(self, service: str, username: str) -> str | None:
        """Return a derived token for a key that names a repository, else what the rest has.

        Raises:
            RefusedError: the key names a repository and must not be answered, or the rest has a PyPI token there.
        """
        answer: str | None = _get(self, "get_password", service, username)
        return answer

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        """Return a derived token with its user name, like `get_password`; the user name may be None or empty.

        Raises:
            RefusedError: as `get_password`.
        """
        answer: Credential | None = _get(self, "get_credential", service, username)
        return answer

    def set_password(self, service: str, username: str, password: str) -> None:
        """Check a master and store it; what is not a PyPI token goes to the rest.

        Raises:
            RefusedSetError: a PyPI token is not for this key or cannot be stored, or a master would be lost.
        """
        try:
            from keyring_pypitoken.secret import MasterToken

            there, text = _Call(self, "get_password", service, username), MasterToken(password)
            if not _guarded(lambda: _set(there, text), RefusedSetError):
                with _passing_on():
                    _rest(self).set_password(service, username, password)
        finally:
            del password  # whatever is raised, no local of ours holds it

    def delete_password(self, service: str, username: str) -> None:
        """Delete a stored master; every other key goes to the rest.

        Raises:
            RefusedDeleteError: no master is stored, it cannot be deleted, or another one would be.
        """
        there = _Call(self, "get_password", service, username)
        if not _guarded(lambda: _delete(there), RefusedDeleteError):
            with _passing_on():
                _rest(self).delete_password(service, username)

    def set_properties_from_env(self) -> None:
        """Take no `KEYRING_PROPERTY_*`: they are for the backends behind us, which read them, too."""

    def with_properties(self, **properties: Any) -> PyPITokenKeyring:
        """Return a copy with such a copy of the rest behind it."""
        copy = type(self)()
        vars(copy)["rest"] = _rest(self).with_properties(**properties)
        return copy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python looks for those itself, such as when it copies
            raise AttributeError(name)
        return getattr(_rest(self), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(_rest(self), name, value)


class _Call:
    """A lookup, and what the rest answers: it is asked at most once."""

    def __init__(self, keyring: PyPITokenKeyring, function: str, service: str, username: str | None) -> None:
        self.keyring, self.function, self.service, self.username = keyring, function, service, username
        self._outcome: tuple[Any, Exception | None] | None = None

    def answer(self) -> Any:
        """Return the rest's own object, or raise its own exception."""
        if self._outcome is None:
            try:
                self._outcome = self._ask(), None
            except Exception as error:  # noqa: BLE001 - raised again; it may be asked for once more
                self._outcome = None, error
        if self._outcome[1] is not None:
            raise self._outcome[1]
        return self._outcome[0]

    def _ask(self) -> Any:
        from keyring_pypitoken.rest import asking, is_missing

        with asking() as is_nested:
            if is_nested:  # a backend that wraps others is not asked by itself
                return None
            behind = _rest(self.keyring)
            if is_missing(behind):
                from keyring_pypitoken.vault.backends import has_master

                if has_master():  # an uploader whose first question fails would give keyring up
                    return None
            return getattr(behind, self.function)(self.service, self.username)

    def form(self, text: str) -> Any:
        """Return a text as this function of keyring's answers."""
        return text if self.function == "get_password" else SimpleCredential("__token__", text)

    def is_long(self) -> bool:
        """Return True if something in the answer is long enough for a token."""
        kinds = (str, bytes, bytearray)
        return any(isinstance(part, kinds) and len(part) > _SHORTEST for part in _parts(self.answer()))

    def token(self) -> MasterToken | None:
        """Return the text in the answer that holds a token, whatever its location; None if there is none."""
        from keyring_pypitoken.exceptions import Refusal
        from keyring_pypitoken.secret import MasterToken, find_locations

        try:
            parts = _parts(self.answer())
        except NoKeyringError:
            return None
        except Exception as error:  # noqa: BLE001 - backends raise what their services raise
            name = type(error).__name__
            raise Refusal(f"the keyring cannot be read ({name}): unlock or repair it, and try again.") from None
        for part in parts:
            if find_locations(part):
                return MasterToken(part if isinstance(part, str) else bytes(part).decode("latin-1"))
        return None


def _parts(answer: Any) -> tuple[Any, ...]:
    """Return what of an answer may hold a token."""
    if answer is None or isinstance(answer, (str, bytes, bytearray)):
        return (answer,)
    return getattr(answer, "password", None), getattr(answer, "username", None)


def _get(keyring: PyPITokenKeyring, function: str, service: str, username: str | None) -> Any:
    call, answer = _Call(keyring, function, service, username), None
    try:
        if _is_ours(service, username):
            answer = _guarded(lambda: _answer(call), RefusedError)
        if answer is None and call.is_long():
            answer = _guarded(lambda: _refuse_raw(call), RefusedError)
        if answer is None:
            return call.answer()  # never in a local of ours, which a traceback may show
        return call.form(REFUSED) if answer == REFUSED else answer
    finally:
        del answer


def _is_ours(service: str, username: str | None) -> bool:
    try:
        from keyring_pypitoken.lookup import is_ours

        return is_ours(service, username)
    except Exception:  # noqa: BLE001 - an error must not let a lookup pass by us
        return True


def _guarded(step: Callable[[], T], kind: type[RefusedError]) -> T | str:
    """Run a step; let what fails in it end as a refusal, because None and a foreign error let an uploader go on.

    The sentence is printed on stderr, the one channel that nearly every uploader shows.
    """
    from keyring_pypitoken.exceptions import Refusal, sealed

    try:
        return sealed(step)()
    except Refusal as refusal:
        message = str(refusal)
    ending = ""
    with contextlib.suppress(Exception):  # a line that cannot be printed changes no answer
        from keyring_pypitoken import notices

        notices.notify(message)
        notices.name_page()
    with contextlib.suppress(Exception):  # who asks is not known: it gets the exception
        ending = _ending(kind)
    if ending == REFUSED:
        return REFUSED
    raise SystemExit(1) if ending else kind(message)


def _ending(kind: type[RefusedError]) -> str:
    """Return how a refused call ends: with a text that the index refuses, the end of the process, or an exception ("").

    A lookup of an uploader in its own process ends that: most would go on and ask for a password, and what a person
    types then is the master. The `keyring` command ends, too, since keyring would bury the sentence in a traceback; but
    if the uploader that started it would go on, it gets a text that is not a token.
    """
    from keyring_pypitoken.uploaders.process import asker, is_keyring_command

    with contextlib.suppress(Exception):
        who = asker()
        uploader, is_uploading = who.uploader, who.state == "uploading"
        if uploader is None or kind is RefusedDeleteError:
            is_final = False
        elif kind is RefusedSetError:
            is_final = bool(uploader.is_saving(who))
        elif is_uploading and who.is_parent and uploader.uses_command:
            return REFUSED
        else:
            is_final = is_uploading
        if is_final:
            return "exit"
    return "exit" if is_keyring_command() else ""


def _answer(call: _Call) -> Any:
    """Return a derived token, as the call answers; None if the rest answers."""
    key = _parse(call)
    if key is None:
        return None
    from keyring_pypitoken import issue

    issued = issue.answer(key, call.token)
    if issued is None:
        return None
    from keyring_pypitoken.handout import hand_out

    return call.form(hand_out(issued))


def _refuse_raw(call: _Call) -> None:
    """Refuse an answer of the rest that is a PyPI token."""
    text = call.token()
    if text is not None:
        from keyring_pypitoken import issue
        from keyring_pypitoken.lookup import Key

        issue.refuse_raw(Key.parse(call.service, call.username), call.service, text)


def _set(there: _Call, text: MasterToken) -> bool:
    """Store a master; return False if the rest is to store the text."""
    key = _parse(there)
    if key is not None or text.is_token(None):
        from keyring_pypitoken import issue

        if issue.save(key, there.service, text):
            return True
    _refuse_loss(there)
    return False


def _delete(there: _Call) -> bool:
    """Delete a master; return False if the rest is to delete what it has."""
    key = _parse(there)
    if key is not None:
        from keyring_pypitoken import issue
        from keyring_pypitoken.exceptions import Refusal

        is_deleted = issue.delete(key)
        if is_deleted is False:
            raise Refusal("no master is stored under this key, so there is nothing to delete.")
        if is_deleted:
            return True
    _refuse_loss(there)
    return False


def _parse(call: _Call) -> Key | None:
    """Return the key of a call; None if it names no repository, which is found out at little cost."""
    from keyring_pypitoken.lookup import BUILT_IN, Key, is_private, match

    if is_private(call.service, call.username):
        from keyring_pypitoken.exceptions import Refusal

        raise Refusal(
            "this name belongs to keyring-pypitoken, which never hands out what is stored there: ask for the upload "
            "URL."
        )
    key = Key.parse(call.service, call.username)
    if key is None or match(key, BUILT_IN) is not None:
        return key
    from keyring_pypitoken import files, paths

    is_any = files.any_present((paths.user_policy(), *paths.site_policies(), paths.accounts_directory()))
    return key if is_any else None


def _refuse_loss(there: _Call) -> None:
    """Refuse a call of the rest that would overwrite or delete a master, which a store has under this key, too."""
    text = None
    with contextlib.suppress(Exception):  # then the rest fails with the same, or has nothing there
        text = there.token()
    if text is not None:
        from keyring_pypitoken import issue

        issue.refuse_loss(text)


@contextlib.contextmanager
def _passing_on() -> Iterator[None]:
    """Pass a call on, unless it comes from a backend of the rest, which wraps others."""
    from keyring_pypitoken.rest import asking

    with asking() as is_nested:
        if is_nested:
            raise NotImplementedError
        yield


def _rest(keyring: PyPITokenKeyring) -> Rest:
    from keyring_pypitoken.rest import find

    behind: Rest = vars(keyring).get("rest") or find()
    return behind
