"""The keyring behind us: what keyring would use if this package were not installed, by keyring's own rules.

It is a plain object, because keyring's metaclass registers every subclass of its `KeyringBackend`, and keyring's own
chain would hold our backend, too. Sources: keyring 25.7, `core.py` and `backends/chainer.py`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeAlias

from keyring import backend
from keyring.backends import chainer, fail, null

from keyring_pypitoken.memory import recall

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_CHAIN_PRIORITY, _EMPTY_CHAIN_PRIORITY = 10, -1
_thread = threading.local()


class Chain:
    """The chain of the other backends; keyring's own functions run it, over what it finds for each call."""

    @property
    def backends(self) -> list[KeyringBackend]:
        """The backends in the order of their priorities."""
        allowed = (one for one in _candidates() if one.priority > 0 and not isinstance(one, chainer.ChainerBackend))
        return sorted(allowed, key=backend.by_priority, reverse=True)

    get_password: Any = chainer.ChainerBackend.get_password
    get_credential: Any = chainer.ChainerBackend.get_credential
    set_password: Any = chainer.ChainerBackend.set_password
    delete_password: Any = chainer.ChainerBackend.delete_password
    with_properties: Any = chainer.ChainerBackend.with_properties

    def _validate_username(self, username: str) -> None:
        """Warn of nothing: keyring does so around our own function."""


Rest: TypeAlias = "KeyringBackend | Chain"


def find() -> Rest:
    """Return what keyring would use without us, computed once for each limit that a program sets."""
    return recall(("rest", backend._limit), _find)  # noqa: SLF001 - keyring's chain looks at it, too


def members() -> list[KeyringBackend]:
    """Return all backends that may hold something: those of the rest first."""
    rest, others = find(), [one for one in _candidates() if _is_store(one)]
    first = rest.backends if isinstance(rest, Chain) else [rest] if _is_store(rest) else []
    if len(others) > len(first):
        others.sort(key=backend.by_priority, reverse=True)
    return [*(one for one in first if _is_store(one)), *(one for one in others if one not in first)]


def is_missing(rest: Rest) -> bool:
    """Return True if there is no backend behind us."""
    return isinstance(rest, fail.Keyring)


def is_viable() -> bool:
    """Return True if a further backend is viable; keyring's list of backends need not be complete yet."""
    return any(
        kind.viable
        for kind in tuple(backend.KeyringBackend._classes)  # noqa: SLF001 - as keyring does
        if not _is_ours(kind) and not issubclass(kind, (chainer.ChainerBackend, fail.Keyring, null.Keyring))
    )


class asking:  # noqa: N801 - it reads like a function: `with asking():`
    """Mark that this thread asks the rest; give True if it does so already: then a backend that wraps others asks."""

    __slots__ = ("_is_nested",)

    def __enter__(self) -> bool:
        self._is_nested = getattr(_thread, "asks", False)
        _thread.asks = True
        return self._is_nested

    def __exit__(self, *_error: object) -> None:
        _thread.asks = self._is_nested


def _find() -> Rest:
    candidates = _candidates()
    stores = [one for one in candidates if _is_store(one)]
    if len(stores) < 2:  # noqa: PLR2004 - a choice needs two; without one no priority is asked
        return stores[0] if stores else fail.Keyring()  # type: ignore[no-untyped-call]  # keyring's constructor
    chain = Chain()
    chained = len(chain.backends) > 1
    best, highest = None, float("-inf")
    for one in candidates:
        is_chain = isinstance(one, chainer.ChainerBackend)
        priority = (_CHAIN_PRIORITY if chained else _EMPTY_CHAIN_PRIORITY) if is_chain else one.priority
        if priority > highest:
            best, highest = (chain if is_chain else one), priority
    assert best is not None  # noqa: S101 - for the type checker: there are two stores
    return best


def _candidates() -> list[KeyringBackend]:
    """Return keyring's backends without ours, as far as the program's limit lets them be."""
    return [one for one in filter(backend._limit, backend.get_all_keyring()) if not _is_ours(type(one))]  # noqa: SLF001


def _is_store(one: Rest) -> bool:
    return not isinstance(one, (Chain, chainer.ChainerBackend, fail.Keyring, null.Keyring))


def _is_ours(kind: type[KeyringBackend]) -> bool:
    return kind.__module__.partition(".")[0] == __package__
