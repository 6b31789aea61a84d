"""PyPI's caveats: the wire format, read, written and checked in this one place.

A caveat is a JSON array `[tag, *fields]`. Facts: warehouse `macaroons/caveats`, whose verdicts the tests hold.
NOTE: neither the tags nor the order of the fields may ever change; a token is signed over these bytes.
"""

from __future__ import annotations

import dataclasses
import json
import reprlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from keyring_pypitoken.exceptions import LoaderError, MissingContextError, ValidationError
from keyring_pypitoken.names import normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Context(NamedTuple):
    """How a bearer is about to use a token.

    Attributes:
        project_name: the project uploaded to, in any spelling; None outside a project.
        project_id: its id, a lower-case UUID.
        user_id: the id of the user who uploads, a lower-case UUID.
        now: the moment of the upload, in Unix seconds.
    """

    project_name: str | None = None
    project_id: str | None = None
    user_id: str | None = None
    now: int | None = None


class Restriction(ABC):
    """What one caveat demands, in typed form."""

    @classmethod
    def load(cls, caveat: object) -> Restriction:
        """Read a caveat from its JSON value.

        Args:
            caveat: what the JSON text of the caveat decodes to.

        Returns:
            The restriction of the class that fits. Trailing fields and extra keys are ignored, as PyPI does.

        Raises:
            LoaderError: PyPI would not accept the value as a caveat.
        """
        if isinstance(caveat, dict):
            return _load_legacy(caveat)
        if not isinstance(caveat, list):
            raise LoaderError(f"the caveat is {kind_of(caveat)}, expected an array")
        if not caveat:
            raise LoaderError("the caveat is an empty array, expected a tag and its fields")
        try:
            # PyPI looks the tag up in a mapping, so that `true` and `1.0` stand for 1.
            from_fields = _BY_TAG.get(caveat[0])
        except TypeError:  # an array or an object, which no mapping holds
            from_fields = None
        if from_fields is None:
            raise LoaderError(f"the caveat has the unknown tag {reprlib.repr(caveat[0])}")
        return from_fields(caveat[1:])

    @classmethod
    def load_json(cls, caveat: str | bytes) -> Restriction:
        """Read a caveat from its JSON text.

        Args:
            caveat: the text, as it stands in the macaroon.

        Returns:
            The restriction of the class that fits.

        Raises:
            LoaderError: the text is no JSON, or no caveat that PyPI would accept.
        """
        try:
            # json.loads would guess the encoding of bytes; PyPI reads UTF-8, without a byte order mark.
            value = json.loads(caveat if isinstance(caveat, str) else str(caveat, "utf-8"))
        # RecursionError: nested too deeply. UnicodeDecodeError and over-long integers are ValueErrors.
        except (ValueError, TypeError, RecursionError) as error:
            raise LoaderError(f"the caveat is not JSON ({type(error).__name__})") from error
        return cls.load(value)

    @abstractmethod
    def dump(self) -> list[Any] | dict[str, Any]:
        """Return the JSON value of the caveat."""

    def dump_json(self) -> str:
        """Return the JSON text of the caveat, byte for byte as pypitoken writes it."""
        return json.dumps(self.dump())

    @abstractmethod
    def check(self, context: Context) -> None:
        """Check that the use described by the context is within this restriction.

        Args:
            context: how the bearer is about to use the token.

        Raises:
            MissingContextError: the context lacks what this restriction needs.
            ValidationError: the use is not allowed.
        """


# Few classes are decorated, since each costs keyring half a millisecond; the others inherit what they need.
@dataclasses.dataclass(frozen=True)
class _Dates(Restriction):
    not_before: int
    not_after: int

    def check(self, context: Context) -> None:
        now = _needed(context.now, "now")
        if not self.not_before <= now < self.not_after:
            raise ValidationError(
                f"the token is valid from {self.not_before} until before {self.not_after} (Unix seconds), "
                f"and it was used at {now}"
            )


@dataclasses.dataclass(frozen=True)
class _Names(Restriction):
    project_names: list[str]

    def check(self, context: Context) -> None:
        name = normalize(_needed(context.project_name, "project_name"))
        if name not in self.project_names:
            raise ValidationError(
                f"the token is for the projects {_listed(self.project_names)}, and it was used for {name!r}"
            )


@dataclasses.dataclass(frozen=True)
class _IDs(Restriction):
    project_ids: list[str]

    def check(self, context: Context) -> None:
        project_id = _needed(context.project_id, "project_id")
        if project_id not in self.project_ids:
            raise ValidationError(
                f"the token is for the project ids {_listed(self.project_ids)}, and it was used for {project_id!r}"
            )


class DateRestriction(_Dates):
    """The token works in one window of time only.

    Attributes:
        not_before: first Unix second at which it works.
        not_after: first Unix second at which it no longer works.
    """

    tag: ClassVar[int] = 0

    @classmethod
    def _from_fields(cls, fields: list[object]) -> DateRestriction:
        # On the wire the end comes first.
        return cls(
            not_before=_integer(fields, 1, "not_before"),
            not_after=_integer(fields, 0, "not_after"),
        )

    def dump(self) -> list[Any]:
        """Return the JSON value of the caveat."""
        return [self.tag, self.not_after, self.not_before]


class ProjectNamesRestriction(_Names):
    """The token works for the projects of these names only.

    Attributes:
        project_names: normalized names (PEP 503); an empty list allows none.
    """

    tag: ClassVar[int] = 1

    @classmethod
    def _from_fields(cls, fields: list[object]) -> ProjectNamesRestriction:
        return cls(_strings(_field(fields, 0, "project names"), "project names"))

    def dump(self) -> list[Any]:
        """Return the JSON value of the caveat."""
        return [self.tag, self.project_names]


class ProjectIDsRestriction(_IDs):
    """The token works for the projects of these ids only.

    Attributes:
        project_ids: lower-case UUIDs; an empty list allows none.
    """

    tag: ClassVar[int] = 2

    @classmethod
    def _from_fields(cls, fields: list[object]) -> ProjectIDsRestriction:
        return cls(_strings(_field(fields, 0, "project ids"), "project ids"))

    def dump(self) -> list[Any]:
        """Return the JSON value of the caveat."""
        return [self.tag, self.project_ids]


@dataclasses.dataclass(frozen=True)
class UserIDRestriction(Restriction):
    """The token works for the user of this id only.

    Attributes:
        user_id: a lower-case UUID.
    """

    user_id: str
    tag: ClassVar[int] = 3

    @classmethod
    def _from_fields(cls, fields: list[object]) -> UserIDRestriction:
        return cls(_string(fields, 0, "user id"))

    def dump(self) -> list[Any]:
        """Return the JSON value of the caveat."""
        return [self.tag, self.user_id]

    def check(self, context: Context) -> None:
        """Check that the user is the one named; see `Restriction.check`."""
        user_id = _needed(context.user_id, "user_id")
        if user_id != self.user_id:
            raise ValidationError(f"the token is for the user id {self.user_id!r}, and it was used by {user_id!r}")


@dataclasses.dataclass(frozen=True)
class OIDCPublisherRestriction(Restriction):
    """The token works within Trusted Publishing only: it was minted for a CI run.

    Attributes:
        publisher_id: PyPI's id of the publisher.
        claims: what the CI claimed of itself, or None.
    """

    publisher_id: str
    claims: dict[str, Any] | None = None
    tag: ClassVar[int] = 4

    @classmethod
    def _from_fields(cls, fields: list[object]) -> OIDCPublisherRestriction:
        claims = fields[1] if len(fields) > 1 else None
        if claims is not None and not isinstance(claims, dict):
            raise LoaderError(f"the caveat's claims are {kind_of(claims)}, expected an object")
        return cls(_string(fields, 0, "publisher id"), claims)

    def dump(self) -> list[Any]:
        """Return the JSON value of the caveat."""
        return [self.tag, self.publisher_id] + ([] if self.claims is None else [self.claims])

    def check(self, context: Context) -> None:  # noqa: ARG002 - no context can meet it
        """Raise ValidationError: only PyPI can tell that a request comes from the publisher's CI."""
        raise ValidationError("the token works within Trusted Publishing only")


@dataclasses.dataclass(frozen=True)
class LegacyNoopRestriction(Restriction):
    """A caveat of PyPI's first tokens that restricts nothing: the token stands for its user."""

    def dump(self) -> dict[str, Any]:
        """Return the JSON value of the caveat."""
        return {"version": 1, "permissions": "user"}

    def check(self, context: Context) -> None:
        """Accept every use."""


class LegacyProjectNamesRestriction(_Names):
    """`ProjectNamesRestriction` as PyPI's first tokens wrote it.

    Attributes:
        project_names: normalized names (PEP 503); an empty list allows none.
    """

    def dump(self) -> dict[str, Any]:
        """Return the JSON value of the caveat."""
        return {"version": 1, "permissions": {"projects": self.project_names}}


class LegacyProjectIDsRestriction(_IDs):
    """`ProjectIDsRestriction` as an object: PyPI reads it still.

    Attributes:
        project_ids: lower-case UUIDs; an empty list allows none.
    """

    def dump(self) -> dict[str, Any]:
        """Return the JSON value of the caveat."""
        return {"project_ids": self.project_ids}


class LegacyDateRestriction(_Dates):
    """`DateRestriction` as an object: PyPI reads it still.

    Attributes:
        not_before: first Unix second at which the token works.
        not_after: first Unix second at which it no longer works.
    """

    def dump(self) -> dict[str, Any]:
        """Return the JSON value of the caveat."""
        return {"nbf": self.not_before, "exp": self.not_after}


class UnknownCaveat(NamedTuple):
    """A caveat that this version cannot read; PyPI may know it.

    Attributes:
        caveat_id: its bytes, as they stand in the macaroon.
        problem: why it cannot be read.
    """

    caveat_id: bytes
    problem: str


_BY_TAG: Mapping[object, Callable[[list[object]], Restriction]] = {
    found.tag: found._from_fields  # noqa: SLF001 - a class of this module
    for found in (
        DateRestriction,
        ProjectNamesRestriction,
        ProjectIDsRestriction,
        UserIDRestriction,
        OIDCPublisherRestriction,
    )
}


def _load_legacy(caveat: dict[str, Any]) -> Restriction:
    """Read the objects that stood for caveats before tags did, in the order in which PyPI tries them."""
    if caveat.get("version") == 1:
        permissions = caveat.get("permissions")
        if permissions == "user":
            return LegacyNoopRestriction()
        if isinstance(permissions, dict) and "projects" in permissions:
            return LegacyProjectNamesRestriction(_strings(permissions["projects"], "project names"))
    elif "nbf" in caveat and "exp" in caveat:
        ends: list[object] = [caveat["nbf"], caveat["exp"]]
        return LegacyDateRestriction(_integer(ends, 0, "not_before"), _integer(ends, 1, "not_after"))
    elif "project_ids" in caveat:
        return LegacyProjectIDsRestriction(_strings(caveat["project_ids"], "project ids"))
    raise LoaderError("the caveat is an object of unknown keys, expected an array")


def _field(fields: list[object], index: int, what: str) -> object:
    if len(fields) <= index:
        raise LoaderError(f"the caveat lacks its {what}")
    return fields[index]


def _integer(fields: list[object], index: int, what: str) -> int:
    value = _field(fields, index, what)
    # PyPI reads strictly: `true` is no integer here, and neither is 1.0.
    if not isinstance(value, int) or isinstance(value, bool):
        raise LoaderError(f"the caveat's {what} is {kind_of(value)}, expected an integer")
    return value


def _string(fields: list[object], index: int, what: str) -> str:
    value = _field(fields, index, what)
    if not isinstance(value, str):
        raise LoaderError(f"the caveat's {what} is {kind_of(value)}, expected a string")
    return value


def _strings(value: object, what: str) -> list[str]:
    if not isinstance(value, list):
        raise LoaderError(f"the caveat's {what} are {kind_of(value)}, expected an array of strings")
    for item in value:
        if not isinstance(item, str):
            raise LoaderError(f"the caveat's {what} hold {kind_of(item)}, expected strings only")
    return value


def _needed(value: Any, what: str) -> Any:
    if value is None:
        raise MissingContextError(f"the token's restrictions cannot be checked without {what}")
    return value


def _listed(values: list[str]) -> str:
    return reprlib.repr(values)


def kind_of(value: object) -> str:
    """Name a value's type as a reader of JSON or Python knows it."""
    return "null" if value is None else f"a value of type {type(value).__name__}"
