"""PyPI's caveats: the wire format, read, written and checked in this one place.

A caveat is a JSON array `[tag, *fields]`, or one of the objects that PyPI wrote before. Source: warehouse
`macaroons/caveats`; the tests hold verdicts of that code.
NOTE: neither the tags nor the order of the fields may ever change; a token is signed over these bytes.
"""

from __future__ import annotations

import json
import reprlib
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from keyring_pypitoken.exceptions import InvalidRestriction, LoaderError, MissingContextError, ValidationError
from keyring_pypitoken.names import normalize
from keyring_pypitoken.tokens.values import Value, to_names, to_strings, to_timestamp

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable

    from keyring_pypitoken.tokens.values import Context

_T = TypeVar("_T")


class Restriction:
    """What one caveat demands, in typed form."""

    __slots__ = ()
    _legacy: ClassVar[str] = ""  # what parameters of `Token.restrict` begin with, for messages

    @classmethod
    def load(cls, caveat: object) -> Restriction:
        """Read a caveat from its JSON value, as a restriction of the class that fits.

        Trailing fields and extra keys are ignored, as PyPI does.

        Raises:
            LoaderError: PyPI would not accept the value as a caveat.
        """
        if isinstance(caveat, list):
            return _read_array(caveat)
        if isinstance(caveat, dict):
            return _read_object(caveat)
        raise LoaderError(f"the caveat is of type {type(caveat).__name__}, expected an array")

    @classmethod
    def load_json(cls, caveat: str | bytes) -> Restriction:
        """Read a caveat from its JSON text, as it is in the macaroon; see `load`.

        Raises:
            LoaderError: the text is not JSON, or not a caveat that PyPI would accept.
        """
        try:
            # json.loads would guess the encoding of bytes; PyPI reads UTF-8, without a byte order mark.
            value = json.loads(caveat if isinstance(caveat, str) else str(caveat, "utf-8"))
        # RecursionError: nested too deeply. UnicodeDecodeError and over-long integers are ValueErrors.
        except (ValueError, TypeError, RecursionError) as error:
            raise LoaderError(f"the caveat is not JSON ({type(error).__name__})") from error
        return cls.load(value)

    def dump(self) -> list[Any] | dict[str, Any]:
        """Return the JSON value of the caveat."""
        return self._json()

    def _json(self) -> list[Any] | dict[str, Any]:
        raise NotImplementedError

    def dump_json(self) -> str:
        """Return the JSON text of the caveat, byte for byte as pypitoken writes it."""
        return json.dumps(self.dump())

    def check(self, context: Context) -> None:  # noqa: ARG002 - for the classes below
        """Check that a use is within this restriction.

        Raises:
            MissingContextError: the context lacks what this restriction needs.
            ValidationError: the use is not allowed.
        """
        # A subclass may call this, as in pypitoken; one without a check of its own must not allow everything.
        if type(self).check is Restriction.check:
            raise ValidationError(f"{type(self).__name__} has no check of its own, so it allows nothing")


class _Dates(Value, Restriction):
    __slots__ = __match_args__ = ("not_before", "not_after")
    not_before: int
    not_after: int

    def __init__(self, not_before: int, not_after: int) -> None:
        self._set(not_before, not_after)

    @classmethod
    def from_parameters(
        cls, not_before: int | datetime.datetime | None, not_after: int | datetime.datetime | None
    ) -> Restriction | None:
        """Return what parameters of `Token.restrict` ask for, or None; raise InvalidRestriction."""
        if not_before is None and not_after is None:
            return None
        before, after = f"{cls._legacy}not_before", f"{cls._legacy}not_after"
        if not_before is None or not_after is None:
            raise InvalidRestriction(f"{before} and {after} belong together: pass both.")
        return cls(to_timestamp(before, not_before), to_timestamp(after, not_after))

    def check(self, context: Context) -> None:
        if not self.not_before <= context.now < self.not_after:
            raise ValidationError(
                f"the token is valid from {self.not_before} until before {self.not_after} (Unix seconds), "
                f"and it was used at {context.now}"
            )


class _Names(Value, Restriction):
    __slots__ = __match_args__ = ("project_names",)
    project_names: list[str]

    def __init__(self, project_names: list[str]) -> None:
        self._set(project_names)

    @classmethod
    def from_parameters(cls, project_names: Iterable[str] | None) -> Restriction | None:
        """Return what a parameter of `Token.restrict` asks for, or None; raise InvalidRestriction."""
        return None if project_names is None else cls(to_names(f"{cls._legacy}project_names", project_names))

    def check(self, context: Context) -> None:
        name = normalize(_given(context.project_name, "project_name"))
        if name not in self.project_names:
            shown = reprlib.repr(self.project_names)
            raise ValidationError(f"the token is for the projects {shown}, and it was used for {name!r}")


class _IDs(Value, Restriction):
    __slots__ = __match_args__ = ("project_ids",)
    project_ids: list[str]

    def __init__(self, project_ids: list[str]) -> None:
        self._set(project_ids)

    @classmethod
    def from_parameters(cls, project_ids: Iterable[str] | None) -> Restriction | None:
        """Return what a parameter of `Token.restrict` asks for, or None; raise InvalidRestriction."""
        return None if project_ids is None else cls(to_strings("project_ids", project_ids))

    def check(self, context: Context) -> None:
        project_id = _given(context.project_id, "project_id")
        if project_id not in self.project_ids:
            shown = reprlib.repr(self.project_ids)
            raise ValidationError(f"the token is for the project ids {shown}, and it was used for {project_id!r}")


class DateRestriction(_Dates):
    """The token works in one window of time only.

    Attributes:
        not_before: first Unix second at which it works.
        not_after: first Unix second at which it no longer works.
    """

    __slots__ = ()
    tag: ClassVar[int] = 0

    def _json(self) -> list[Any]:
        return [self.tag, self.not_after, self.not_before]  # the end comes first


class ProjectNamesRestriction(_Names):
    """The token works for the projects of these names only.

    Attributes:
        project_names: normalized names (PEP 503); an empty list allows none.
    """

    __slots__ = ()
    tag: ClassVar[int] = 1

    def _json(self) -> list[Any]:
        return [self.tag, self.project_names]


class ProjectIDsRestriction(_IDs):
    """The token works for the projects of these ids only.

    Attributes:
        project_ids: lower-case UUIDs; an empty list allows none.
    """

    __slots__ = ()
    tag: ClassVar[int] = 2

    def _json(self) -> list[Any]:
        return [self.tag, self.project_ids]


class UserIDRestriction(Value, Restriction):
    """The token works for the user of this id only.

    Attributes:
        user_id: a lower-case UUID.
    """

    __slots__ = __match_args__ = ("user_id",)
    user_id: str
    tag: ClassVar[int] = 3

    def __init__(self, user_id: str) -> None:
        self._set(user_id)

    @classmethod
    def from_parameters(cls, user_id: str | None) -> Restriction | None:
        """Return what a parameter of `Token.restrict` asks for, or None; raise InvalidRestriction."""
        if user_id is not None and not isinstance(user_id, str):
            raise InvalidRestriction(f"user_id is of type {type(user_id).__name__}, expected a string.")
        return None if user_id is None else cls(user_id)

    def _json(self) -> list[Any]:
        return [self.tag, self.user_id]

    def check(self, context: Context) -> None:
        """Check that the user is this one; see `Restriction.check`."""
        user_id = _given(context.user_id, "user_id")
        if user_id != self.user_id:
            raise ValidationError(f"the token is for the user id {self.user_id!r}, and it was used by {user_id!r}")


class OIDCPublisherRestriction(Value, Restriction):
    """The token works within Trusted Publishing only: it was minted for a CI run.

    Attributes:
        publisher_id: PyPI's id of the publisher.
        claims: what the CI claimed of itself, or None.
    """

    __slots__ = __match_args__ = ("publisher_id", "claims")
    publisher_id: str
    claims: dict[str, Any] | None
    tag: ClassVar[int] = 4

    def __init__(self, publisher_id: str, claims: dict[str, Any] | None = None) -> None:
        self._set(publisher_id, claims)

    def _json(self) -> list[Any]:
        return [self.tag, self.publisher_id] + ([] if self.claims is None else [self.claims])

    def check(self, context: Context) -> None:  # noqa: ARG002 - no context can meet it
        """Raise ValidationError: only PyPI can see that a request comes from the publisher's CI."""
        raise ValidationError("the token works within Trusted Publishing only")


class LegacyNoopRestriction(Value, Restriction):
    """A caveat of PyPI's first tokens: the token works for its own user, which restricts nothing."""

    __slots__ = ()

    def _json(self) -> dict[str, Any]:
        return {"version": 1, "permissions": "user"}

    def check(self, context: Context) -> None:
        """Check that there is a user, as PyPI does; see `Restriction.check`."""
        _given(context.user_id, "user_id")


class LegacyProjectNamesRestriction(_Names):
    """`ProjectNamesRestriction` as PyPI's first tokens wrote it, with the same attributes."""

    __slots__ = ()
    _legacy = "legacy_"

    def _json(self) -> dict[str, Any]:
        return {"version": 1, "permissions": {"projects": self.project_names}}


class LegacyProjectIDsRestriction(_IDs):
    """`ProjectIDsRestriction` as an object, which PyPI still reads, with the same attributes."""

    __slots__ = ()

    def _json(self) -> dict[str, Any]:
        return {"project_ids": self.project_ids}


class LegacyDateRestriction(_Dates):
    """`DateRestriction` as an object, which PyPI still reads, with the same attributes."""

    __slots__ = ()
    _legacy = "legacy_"

    def _json(self) -> dict[str, Any]:
        return {"nbf": self.not_before, "exp": self.not_after}


class UnknownCaveat(NamedTuple):
    """A caveat that this version cannot read; PyPI may know it.

    Attributes:
        caveat_id: its bytes, as they are in the macaroon.
        problem: why it cannot be read.
    """

    caveat_id: bytes
    problem: str


def _read_array(caveat: list[Any]) -> Restriction:
    match caveat:  # compares as PyPI does, which takes `true` and `1.0` for 1
        case [DateRestriction.tag, not_after, not_before, *_]:
            return DateRestriction(_typed(int, not_before, "not_before"), _typed(int, not_after, "not_after"))
        case [ProjectNamesRestriction.tag, names, *_]:
            return ProjectNamesRestriction(_strings(names, "project names"))
        case [ProjectIDsRestriction.tag, ids, *_]:
            return ProjectIDsRestriction(_strings(ids, "project ids"))
        case [UserIDRestriction.tag, user_id, *_]:
            return UserIDRestriction(_typed(str, user_id, "user id"))
        case [OIDCPublisherRestriction.tag, publisher_id, *rest]:
            claims = _typed(dict, rest[0], "claims") if rest and rest[0] is not None else None
            return OIDCPublisherRestriction(_typed(str, publisher_id, "publisher id"), claims)
        case []:
            raise LoaderError("the caveat is an empty array, expected a tag and its fields")
    problem = "too few fields for the tag" if caveat[0] in range(5) else "the unknown tag"
    raise LoaderError(f"the caveat has {problem} {reprlib.repr(caveat[0])}")


def _read_object(caveat: dict[str, Any]) -> Restriction:
    """Read an object of those before tags, in the order in which PyPI tries them."""
    match caveat:
        case {"version": 1, "permissions": "user"}:
            return LegacyNoopRestriction()
        case {"version": 1, "permissions": {"projects": names}}:
            return LegacyProjectNamesRestriction(_strings(names, "project names"))
        case {"version": 1}:
            pass
        case {"nbf": not_before, "exp": not_after}:
            return LegacyDateRestriction(_typed(int, not_before, "not_before"), _typed(int, not_after, "not_after"))
        case {"project_ids": ids}:
            return LegacyProjectIDsRestriction(_strings(ids, "project ids"))
    raise LoaderError("the caveat is an object with unknown keys, expected an array")


def _typed(expected: type[_T], value: Any, what: str) -> _T:
    # PyPI reads strictly: `true` is not an integer here, and neither is 1.0.
    if type(value) is not expected:
        raise LoaderError(f"the caveat's {what} is of type {type(value).__name__}, expected {expected.__name__}")
    return value


def _strings(values: object, what: str) -> list[str]:
    return [_typed(str, value, f"list of {what}") for value in _typed(list, values, f"list of {what}")]


def _given(value: str | None, what: str) -> str:
    if value is None:
        raise MissingContextError(f"the token's restrictions cannot be checked without {what}")
    return value
