"""Values with named fields, for what every `keyring get` loads.

NamedTuples and dataclasses compile code for each class, which takes more than ten times as long as one of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_options: object) -> Any:  # noqa: D103 - known to type checkers only
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """A value that cannot be changed: its fields are the annotations of its classes, in their order."""

    _fields: ClassVar[tuple[str, ...]] = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls._fields = (*cls._fields, *cls.__annotations__)
        cls.__match_args__ = cls._fields  # type: ignore[misc]  # as a dataclass does

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the fields by position or by name; a class attribute is a default."""
        cls = type(self)
        values = self.__dict__
        values.update(zip(cls._fields, args), **kwargs)  # noqa: B905 - of another length if there are defaults
        if len(args) == len(cls._fields) and not kwargs:
            return
        unknown, missing = values.keys() - cls._fields, [name for name in cls._fields if name not in values]
        if unknown or len(values) != len(args) + len(kwargs) or not all(hasattr(cls, name) for name in missing):
            raise TypeError(f"{cls.__name__} takes the fields {', '.join(cls._fields)}")

    def __setattr__(self, name: str, value: object = None) -> NoReturn:
        """Refuse."""
        raise AttributeError(f"{type(self).__name__} cannot be changed: use _replace")

    __delattr__ = __setattr__

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name, None) for name in self._fields)  # None: a traceback shows half-made values

    def _asdict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dict(zip(self._fields, self._values(), strict=True))

    def _replace(self, **changes: Any) -> Self:
        """Return a copy with other values of some fields."""
        return type(self)(**{**self._asdict(), **changes})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({fields})"
