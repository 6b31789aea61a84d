"""PyPI's caveats: the wire format, read, written and checked in this one place.

A caveat is a JSON array `[tag, *fields]`, or one of the objects that PyPI wrote before. Source: warehouse
`macaroons/caveats`; the tests hold verdicts of that code.
NOTE: neither the tags nor the order of the fields may ever change; a token is signed over these bytes.
"""

from __future__ import annotations

import json
import reprlib
from typing import TYPE_CHECKING, Any, NamedTuple

from keyring_pypitoken.exceptions import LoaderError, MissingContextError, ValidationError
from keyring_pypitoken.names import normalize
from keyring_pypitoken.record import Record

if TYPE_CHECKING:
    from keyring_pypitoken.tokens.values import Context


class Restriction:
    """What one caveat demands, in typed form."""

    __slots__ = ()

    @classmethod
    def load(cls, caveat: object) -> Restriction:
        """Read a caveat from its JSON value, or raise LoaderError; as PyPI, ignore trailing fields and extra keys."""
        if isinstance(caveat, list):
            return _read_array(caveat)
        if isinstance(caveat, dict):
            return _read_object(caveat)
        raise LoaderError(f"the caveat is of type {type(caveat).__name__}, expected an array")

    @classmethod
    def load_json(cls, caveat: str | bytes) -> Restriction:
        """Read a caveat from its JSON text, as it is in the macaroon; raise LoaderError as `load`."""
        try:
            # json.loads would guess the encoding of bytes; PyPI reads UTF-8, without a byte order mark.
            value = json.loads(caveat if isinstance(caveat, str) else str(caveat, "utf-8"))
        # RecursionError: nested too deeply. UnicodeDecodeError and over-long integers are ValueErrors.
        except (ValueError, TypeError, RecursionError) as error:
            raise LoaderError(f"the caveat is not JSON ({type(error).__name__})") from error
        return cls.load(value)

    def dump(self) -> list[Any] | dict[str, Any]:
        """Return the JSON value of the caveat."""
        raise NotImplementedError

    def dump_json(self) -> str:
        """Return the JSON text of the caveat, byte for byte as pypitoken writes it."""
        return json.dumps(self.dump())

    def check(self, context: Context) -> None:  # noqa: ARG002 - for the classes below
        """Raise ValidationError if a use is not allowed, MissingContextError if the context lacks what that needs."""
        # A subclass may call this, as in pypitoken; one without a check of its own must not allow everything.
        if type(self).check is Restriction.check:
            raise ValidationError(f"{type(self).__name__} has no check of its own, so it allows nothing")


class Dates(Record, Restriction):
    """A window of time, however it is written."""

    not_before: int
    not_after: int

    def check(self, context: Context) -> None:
        if not self.not_before <= context.now < self.not_after:
            raise ValidationError(
                f"the token is valid from {self.not_before} until before {self.not_after} (Unix seconds), "
                f"and it was used at {context.now}"
            )


class Names(Record, Restriction):
    """A list of names, however it is written."""

    project_names: list[str]

    def check(self, context: Context) -> None:
        _check_listed(normalize(_given(context.project_name, "project_name")), self.project_names, "projects")


class IDs(Record, Restriction):
    """A list of ids, however it is written."""

    project_ids: list[str]

    def check(self, context: Context) -> None:
        _check_listed(_given(context.project_id, "project_id"), self.project_ids, "project ids")


class DateRestriction(Dates):
    """The token works in one window of time only: from the Unix second `not_before` until before `not_after`."""

    tag = 0

    def dump(self) -> list[Any]:
        return [self.tag, self.not_after, self.not_before]  # the end comes first


class ProjectNamesRestriction(Names):
    """The token works for the `project_names` only: normalized ones (PEP 503); an empty list allows none."""

    tag = 1

    def dump(self) -> list[Any]:
        return [self.tag, self.project_names]


class ProjectIDsRestriction(IDs):
    """The token works for the projects of the `project_ids` only: lower-case UUIDs; an empty list allows none."""

    tag = 2

    def dump(self) -> list[Any]:
        return [self.tag, self.project_ids]


class UserIDRestriction(Record, Restriction):
    """The token works for the user of the `user_id`, a lower-case UUID, only."""

    user_id: str
    tag = 3

    def dump(self) -> list[Any]:
        return [self.tag, self.user_id]

    def check(self, context: Context) -> None:
        user_id = _given(context.user_id, "user_id")
        if user_id != self.user_id:
            raise ValidationError(f"the token is for the user id {self.user_id!r}, and it was used by {user_id!r}")


class OIDCPublisherRestriction(Record, Restriction):
    """The token works within Trusted Publishing only.

    Attributes:
        publisher_id: PyPI's id of the publisher that it was minted for.
        claims: what the CI run claimed of itself, or None.
    """

    publisher_id: str
    claims: dict[str, Any] | None = None
    tag = 4

    def dump(self) -> list[Any]:
        return [self.tag, self.publisher_id] + ([] if self.claims is None else [self.claims])

    def check(self, context: Context) -> None:  # noqa: ARG002 - only PyPI sees that the publisher's CI asks
        raise ValidationError("the token works within Trusted Publishing only")


class LegacyNoopRestriction(Record, Restriction):
    """A caveat of PyPI's first tokens: the token works for its own user, which restricts nothing."""

    def dump(self) -> dict[str, Any]:
        return {"version": 1, "permissions": "user"}

    def check(self, context: Context) -> None:
        _given(context.user_id, "user_id")  # as PyPI does


class LegacyProjectNamesRestriction(Names):
    """`ProjectNamesRestriction` as PyPI's first tokens wrote it; the attributes are the same."""

    def dump(self) -> dict[str, Any]:
        return {"version": 1, "permissions": {"projects": self.project_names}}


class LegacyProjectIDsRestriction(IDs):
    """`ProjectIDsRestriction` as an object, which PyPI still reads, with the same attributes."""

    def dump(self) -> dict[str, Any]:
        return {"project_ids": self.project_ids}


class LegacyDateRestriction(Dates):
    """`DateRestriction` as an object, which PyPI still reads, with the same attributes."""

    def dump(self) -> dict[str, Any]:
        return {"nbf": self.not_before, "exp": self.not_after}


class UnknownCaveat(NamedTuple):
    """A caveat that this version cannot read; PyPI may know it.

    Attributes:
        caveat_id: the bytes of the caveat in the macaroon.
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


def _typed(expected: type, value: Any, what: str) -> Any:
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


def _check_listed(used: str, allowed: list[str], what: str) -> None:
    if used not in allowed:
        raise ValidationError(f"the token is for the {what} {reprlib.repr(allowed)}, and it was used for {used!r}")
