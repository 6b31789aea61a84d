"""What this process remembers: one place, so that one call forgets all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

PARSED = "parsed TOML"  # the key for how much this lookup has parsed
_values: dict[Hashable, Any] = {}


def recall(key: Hashable, make: Callable[[], T]) -> T:
    """Return what is remembered under a key; make it first if there is nothing."""
    try:
        value: T = _values[key]
    except KeyError:  # one step each, since another thread may forget it meanwhile
        value = _values.setdefault(key, make())
    return value


def forget(key: Hashable = None) -> None:
    """Forget what is remembered under a key, or everything."""
    if key is None:
        _values.clear()
    else:
        _values.pop(key, None)
