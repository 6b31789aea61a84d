"""The `Token` API of pypitoken: create, load, restrict, check and dump a PyPI token."""

from __future__ import annotations

import base64
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.exceptions import (
    InvalidRestriction,
    LoaderError,
    MissingContextError,
    PyPITokenException,
    ValidationError,
)
from keyring_pypitoken.tokens import macaroon as _macaroons
from keyring_pypitoken.tokens.macaroon import V1, V1_PACKET_LIMIT, V2, Macaroon, MalformedError
from keyring_pypitoken.tokens.parameters import from_parameters, to_timestamp
from keyring_pypitoken.tokens.restrictions import Context, Restriction, UnknownCaveat

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable

    from keyring_pypitoken.tokens.macaroon import PyMacaroon

PREFIX = "pypi"
# The first caveat's packet of version 1: its length, `cid `, and a line feed.
_V1_MAX_CAVEAT = V1_PACKET_LIMIT - len("ffffcid \n")


class Token:
    """A PyPI token: a macaroon and the prefix before it.

    Attributes:
        prefix: `pypi` for PyPI's tokens.
    """

    def __init__(self, prefix: str, macaroon: Macaroon | PyMacaroon) -> None:
        """Wrap a macaroon; `load` and `create` are the usual ways to a token.

        Args:
            prefix: the text before the dash.
            macaroon: what the token consists of; a `pymacaroons.Macaroon` is copied.

        Raises:
            LoaderError: PyPI issues no macaroon like it.
        """
        self.prefix = prefix
        self._own = macaroon if isinstance(macaroon, Macaroon) else _copied(macaroon)

    @property
    def _macaroon(self) -> PyMacaroon:
        """A copy as `pymacaroons.Macaroon`, for a look at its parts."""
        return self._own.to_pymacaroons()

    @property
    def domain(self) -> str:
        """The location of the macaroon, usually `pypi.org` or `test.pypi.org`."""
        return self._own.location

    @property
    def identifier(self) -> str:
        """What PyPI finds the token by: a UUID, shared by every token derived from one master."""
        return self._own.identifier

    @property
    def version(self) -> int:
        """The version of the macaroon's binary format, 1 or 2."""
        return self._own.version

    @classmethod
    def load(cls, raw: str) -> Token:
        """Read a token; its validity is not checked, since only PyPI has the key.

        Args:
            raw: the token's text, prefix included; white space around it is stripped, as PyPI does.

        Returns:
            The token.

        Raises:
            LoaderError: the text is no token. Its cause names the original exception, if there was one, but
                is not that exception itself, which could hold bytes of the token.
        """
        found = _read(raw)
        del raw  # nothing secret stays among the locals of a frame that raises
        if isinstance(found, _Unreadable):
            raise LoaderError(found.reason) from (ValueError(found.cause) if found.cause else None)
        return cls(*found)

    @classmethod
    def create(
        cls,
        domain: str,
        identifier: str,
        key: str | bytes,
        prefix: str = PREFIX,
        version: int = V2,
    ) -> Token:
        """Mint a token without restrictions, as PyPI does.

        Args:
            domain: the location, usually `pypi.org` or `test.pypi.org`.
            identifier: what the token is found by in the database of whoever mints it.
            key: the secret that `check` will need; whoever has it can lift every restriction.
            prefix: the text before the dash.
            version: the version of the binary format, 1 or 2.

        Returns:
            The token.

        Raises:
            PyPITokenException: a parameter cannot be part of a token.
        """
        problem = _creation_problem(domain, identifier, key, prefix, version)
        if problem is not None:
            del key
            raise PyPITokenException(problem)
        return cls(prefix, _macaroons.mint(domain, identifier, key, version))

    def restrict(
        self,
        not_before: int | datetime.datetime | None = None,
        not_after: int | datetime.datetime | None = None,
        project_names: Iterable[str] | None = None,
        project_ids: Iterable[str] | None = None,
        user_id: str | None = None,
        legacy_project_names: Iterable[str] | None = None,
        legacy_not_before: int | datetime.datetime | None = None,
        legacy_not_after: int | datetime.datetime | None = None,
        legacy_noop: bool | None = None,  # noqa: FBT001 - the parameter is the API's (pypitoken)
    ) -> Token:
        """Add restrictions to this token: a token only ever gets narrower.

        Two restrictions of a kind both apply. Where a parameter is wrong, nothing is added.

        Args:
            not_before: first moment at which the token works: Unix seconds, or a date-time with a time zone.
                Goes with `not_after`.
            not_after: first moment at which it no longer works. Goes with `not_before`.
            project_names: the projects it works for; names are normalized (PEP 503), since PyPI compares with
                normalized ones only.
            project_ids: the ids of the projects it works for.
            user_id: the id of the user it works for.
            legacy_project_names: `project_names` in the format of PyPI's first tokens.
            legacy_not_before: `not_before` likewise. Goes with `legacy_not_after`.
            legacy_not_after: `not_after` likewise. Goes with `legacy_not_before`.
            legacy_noop: True adds a caveat that restricts nothing.

        Returns:
            This token, so that calls can be chained.

        Raises:
            InvalidRestriction: the parameters describe no restriction.
        """
        added = [
            restriction.dump_json().encode()
            for restriction in from_parameters(
                not_before=not_before,
                not_after=not_after,
                project_names=project_names,
                project_ids=project_ids,
                user_id=user_id,
                legacy_project_names=legacy_project_names,
                legacy_not_before=legacy_not_before,
                legacy_not_after=legacy_not_after,
                legacy_noop=legacy_noop,
            )
        ]
        if self._own.version == V1 and any(len(caveat) > _V1_MAX_CAVEAT for caveat in added):
            raise InvalidRestriction(
                "the restriction is longer than version 1 of the format can hold (64 KiB): name fewer projects."
            )
        for caveat in added:
            self._own.append(caveat)
        return self

    def dump(self) -> str:
        """Return the token's text."""
        return f"{self.prefix}-{_encode(self._own.write())}"

    def check(
        self,
        key: str | bytes,
        project_name: str | None = None,
        project_id: str | None = None,
        user_id: str | None = None,
        now: int | datetime.datetime | None = None,
    ) -> None:
        """Check the token as PyPI would, for one use. A restriction whose context is not given is not met.

        Args:
            key: the secret that the token was created with.
            project_name: the project uploaded to, in any spelling.
            project_id: its id.
            user_id: the id of the user who uploads.
            now: the moment of the upload, as Unix seconds or a date-time with a time zone; default: now.

        Raises:
            MissingContextError: every restriction that is not met lacks only its context.
            ValidationError: the token is not valid for this use; the message tells each reason. The cause is
                the exception of the first restriction that is not met.
        """
        signed = self._own.is_signed_with(key)
        del key
        if not signed:
            raise ValidationError("the token is not valid: its signature does not match the key")
        try:
            moment = int(time.time()) if now is None else to_timestamp("now", now)
        except InvalidRestriction as error:
            raise ValidationError(f"the token cannot be checked: {error}") from error
        context = Context(project_name, project_id, user_id, moment)
        problems: list[PyPITokenException] = []
        for caveat in self.raw_caveats:
            try:
                Restriction.load_json(caveat).check(context)
            except PyPITokenException as error:
                problems.append(error)
        if problems:
            lacking = all(isinstance(problem, MissingContextError) for problem in problems)
            kind = MissingContextError if lacking else ValidationError
            raise kind(f"the token is not valid: {', and '.join(map(str, problems))}") from problems[0]

    @property
    def restrictions(self) -> list[Restriction]:
        """The restrictions that the token carries, in order. PyPI may hold further ones in its database.

        Raises:
            LoaderError: one of them cannot be read; `caveats` lists them all nevertheless.
        """
        return [Restriction.load_json(caveat) for caveat in self.raw_caveats]

    @property
    def raw_caveats(self) -> list[bytes]:
        """The bytes of every caveat, in order."""
        return list(self._own.caveats)

    @property
    def caveats(self) -> list[Restriction | UnknownCaveat]:
        """Every caveat in order, those that cannot be read as raw `UnknownCaveat`s; raises nothing."""
        found: list[Restriction | UnknownCaveat] = []
        for caveat in self.raw_caveats:
            try:
                found.append(Restriction.load_json(caveat))
            except LoaderError as error:
                found.append(UnknownCaveat(caveat, str(error)))
        return found

    def __repr__(self) -> str:
        return f"Token(domain={self.domain!r}, identifier={self.identifier!r}, restrictions={self.caveats!r})"


class _Unreadable(NamedTuple):
    reason: str
    cause: str | None = None


def _copied(macaroon: PyMacaroon) -> Macaroon:
    try:
        return Macaroon.from_pymacaroons(macaroon)
    except (MalformedError, ValueError) as error:
        reason = error.reason if isinstance(error, MalformedError) else "its text is not UTF-8"
    raise LoaderError(f"the macaroon cannot be a PyPI token's: {reason}")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _read(raw: object) -> tuple[str, Macaroon] | _Unreadable:
    """Read a token's text; return problems instead of raising, so that no traceback holds the text."""
    if not isinstance(raw, str):
        return _Unreadable(f"the token is a value of type {type(raw).__name__}, expected a string")
    text = raw.strip()
    if not text:
        return _Unreadable("the token is empty")
    if not text.isascii():
        return _Unreadable("the token holds characters outside of ASCII, which no token does")
    prefix, dash, payload = text.partition("-")
    if not dash or not prefix:
        return _Unreadable("the token has no prefix: PyPI's tokens begin with 'pypi-'")
    try:
        data = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    except ValueError as error:
        return _Unreadable("the token is malformed: not whole, or not URL-safe base64", type(error).__name__)
    # Python's decoder skips characters outside the alphabet and spare bits: only one spelling is right.
    if not data or _encode(data) != payload:
        return _Unreadable("the token is malformed: not whole, or not URL-safe base64")
    try:
        return prefix, _macaroons.read(data)
    except MalformedError as error:
        return _Unreadable(f"the token is malformed: {error.reason}", error.cause)


def _creation_problem(domain: object, identifier: object, key: object, prefix: object, version: object) -> str | None:
    if not isinstance(prefix, str) or not re.fullmatch(r"[!-,.-~]+", prefix):
        return "the prefix must be visible ASCII text without a dash"
    if version not in (V1, V2):
        return f"the version is {version!r}, expected {V1} or {V2}"
    if not isinstance(key, (str, bytes)) or not key:
        return "the key must be text or bytes, and not empty"
    if isinstance(key, str) and not _is_encodable(key, "utf-8"):
        return "the key holds characters that cannot be encoded"
    # pymacaroons counts the characters of version 1's packets, not their bytes.
    encoding = "ascii" if version == V1 else "utf-8"
    for name, value in (("domain", domain), ("identifier", identifier)):
        if not isinstance(value, str) or len(value) > V1_PACKET_LIMIT // 8:
            return f"the {name} must be text of at most {V1_PACKET_LIMIT // 8} characters"
        if not _is_encodable(value, encoding):
            return f"the {name} holds characters that cannot be encoded"
    return None


def _is_encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
