"""The `Token` API of pypitoken: create, load, restrict, check and dump a PyPI token."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import (
    InvalidRestriction,
    LoaderError,
    MissingContextError,
    PyPITokenException,
    ValidationError,
)
from keyring_pypitoken.tokens.macaroon import V1, V1_PACKET_LIMIT, V2, Macaroon, mint, read_text, write_text
from keyring_pypitoken.tokens.restrictions import (
    DateRestriction,
    LegacyDateRestriction,
    LegacyNoopRestriction,
    LegacyProjectNamesRestriction,
    ProjectIDsRestriction,
    ProjectNamesRestriction,
    Restriction,
    UnknownCaveat,
    UserIDRestriction,
)
from keyring_pypitoken.tokens.values import Context

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable

    from keyring_pypitoken.tokens.macaroon import PyMacaroon

PREFIX = "pypi"


class Token:
    """A PyPI token: a macaroon and the prefix before it.

    Attributes:
        prefix: `pypi` for PyPI's tokens.
    """

    def __init__(self, prefix: str, macaroon: Macaroon | PyMacaroon) -> None:
        """Wrap a macaroon; `load` and `create` are the usual ways to a token.

        Args:
            prefix: the text before the dash.
            macaroon: what the token consists of; changing a `pymacaroons.Macaroon` later changes the token.

        Raises:
            LoaderError: PyPI issues no such macaroon. If it becomes one later, whatever needs it raises this.
        """
        self.prefix = prefix
        self._own = macaroon
        self._read()

    @property
    def _macaroon(self) -> PyMacaroon:
        """The macaroon as in pypitoken: changing it changes the token."""
        if isinstance(self._own, Macaroon):
            self._own = self._own.to_pymacaroons()
        return self._own

    def _read(self) -> Macaroon:
        """Return the macaroon; one of pymacaroons, which others may have changed, is read anew each time."""
        if isinstance(self._own, Macaroon):
            return self._own
        try:
            return Macaroon.from_pymacaroons(self._own)
        except (AttributeError, TypeError, ValueError) as error:
            kind = type(error).__name__
        raise LoaderError(f"the macaroon is not a PyPI token's: its parts cannot be read ({kind})")

    @property
    def domain(self) -> str:
        """The location of the macaroon, usually `pypi.org` or `test.pypi.org`."""
        return self._read().location

    @property
    def identifier(self) -> str:
        """What PyPI finds the token by: a UUID, shared by every token derived from one master."""
        return self._read().identifier

    @property
    def version(self) -> int:
        """The version of the macaroon's binary format, 1 or 2."""
        return self._read().version

    @classmethod
    def load(cls, raw: str) -> Token:
        """Read a token; its validity is not checked, since only PyPI has the key.

        White space around it is stripped, as PyPI does. Otherwise only the text that `dump` writes is read: PyPI
        also takes base64 with padding or foreign characters, and bytes after the signature. The prefix may
        be any text, as in pypitoken; PyPI takes `pypi` only.

        Raises:
            LoaderError: the text is not a token. Its cause names the type of the original exception, if there
                was one; that exception itself could hold a part of the token.
        """
        found = read_text(raw)
        del raw  # nothing secret stays among the locals of a frame that raises
        if isinstance(found, LoaderError):
            raise found
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

        Raises:
            PyPITokenException: a parameter cannot be part of a token.
        """
        problem = _creation_problem(domain, identifier, key, prefix, version)
        if problem is not None:
            del key
            raise PyPITokenException(problem)
        return cls(prefix, mint(domain, identifier, key, version))

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
        """Add restrictions to this token, and return it. A token only ever gets narrower.

        Two restrictions of a kind both apply. If a parameter is wrong, nothing is added.

        Args:
            not_before: first moment at which the token works: Unix seconds, or a date-time with a time zone.
                Needs `not_after`.
            not_after: first moment at which it no longer works. Needs `not_before`.
            project_names: the projects it works for; names are normalized (PEP 503), since PyPI compares with
                normalized ones only.
            project_ids: the ids of the projects it works for.
            user_id: the id of the user it works for.
            legacy_project_names: `project_names` in the format of PyPI's first tokens.
            legacy_not_before: `not_before` likewise. Needs `legacy_not_after`.
            legacy_not_after: `not_after` likewise. Needs `legacy_not_before`.
            legacy_noop: True adds a caveat that restricts nothing.

        Raises:
            InvalidRestriction: the parameters describe no restriction.
        """
        given = (  # in the order in which pypitoken adds them
            DateRestriction.from_parameters(not_before, not_after),
            ProjectNamesRestriction.from_parameters(project_names),
            ProjectIDsRestriction.from_parameters(project_ids),
            UserIDRestriction.from_parameters(user_id),
            LegacyNoopRestriction() if legacy_noop is True else None,
            LegacyProjectNamesRestriction.from_parameters(legacy_project_names),
            LegacyDateRestriction.from_parameters(legacy_not_before, legacy_not_after),
        )
        added = [restriction.dump_json() for restriction in given if restriction is not None]
        self._read().append(*[caveat.encode() for caveat in added])
        if not isinstance(self._own, Macaroon):
            for caveat in added:
                self._own.add_first_party_caveat(caveat)
        return self

    def dump(self) -> str:
        """Return the token's text."""
        return write_text(self.prefix, self._read())

    def check(
        self,
        key: str | bytes,
        project_name: str | None = None,
        project_id: str | None = None,
        user_id: str | None = None,
        now: int | datetime.datetime | None = None,
    ) -> None:
        """Check the token as PyPI would, for one use. A restriction whose context is not given is not met.

        Prefix and domain are not checked. Unlike PyPI's, an empty key never fits.

        Args:
            key: the secret that the token was created with.
            project_name: the project uploaded to, in any spelling.
            project_id: its id.
            user_id: the id of the user who uploads.
            now: the moment of the upload, as Unix seconds or a date-time with a time zone; default: now.

        Raises:
            MissingContextError: every restriction that is not met lacks only its context.
            ValidationError: the token is not valid for this use; the message has each reason. The cause is
                the exception of the first restriction that is not met.
        """
        signed = _is_signed_with(self._read(), key)
        del key
        if not signed:
            raise ValidationError("the token is not valid: its signature does not match the key")
        try:
            context = Context(project_name, project_id, user_id, now)
        except InvalidRestriction as error:
            raise ValidationError(f"the token cannot be checked: {error}") from error
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
        """The restrictions in the token, in order. PyPI may hold further ones in its database.

        Raises:
            LoaderError: one of them cannot be read; `caveats` lists them all nevertheless.
        """
        return [Restriction.load_json(caveat) for caveat in self.raw_caveats]

    @property
    def raw_caveats(self) -> list[bytes]:
        """The bytes of every caveat, in order."""
        return list(self._read().caveats)

    @property
    def caveats(self) -> list[Restriction | UnknownCaveat]:
        """Every caveat in order; those that cannot be read are `UnknownCaveat`s."""
        found: list[Restriction | UnknownCaveat] = []
        for caveat in self.raw_caveats:
            try:
                found.append(Restriction.load_json(caveat))
            except LoaderError as error:
                found.append(UnknownCaveat(caveat, str(error)))
        return found

    def __repr__(self) -> str:
        return f"Token(domain={self.domain!r}, identifier={self.identifier!r}, restrictions={self.caveats!r})"


def _is_signed_with(macaroon: Macaroon, key: str | bytes) -> bool:
    import hmac

    # pymacaroons' Verifier fails at a caveat that is not UTF-8, and accepts an empty key, which anybody has.
    try:
        again = mint(macaroon.location, macaroon.identifier, key, macaroon.version)
        again.append(*macaroon.caveats)
    except (LoaderError, TypeError, ValueError):  # an empty key, one of a wrong type, lone surrogates
        return False
    return hmac.compare_digest(again.write(), macaroon.write())


def _creation_problem(domain: object, identifier: object, key: object, prefix: object, version: object) -> str | None:
    if not isinstance(prefix, str) or not re.fullmatch(r"[!-,.-~]+", prefix):
        return "the prefix must be visible ASCII text without a dash"
    if version not in (V1, V2):
        return f"the version is {version!r}, expected {V1} or {V2}"
    if not isinstance(key, (str, bytes)) or not key:
        return "the key must be text or bytes, and not empty"
    if isinstance(key, str) and not _is_encodable(key, "utf-8"):
        return "the key has characters that cannot be encoded"
    # pymacaroons counts the characters of version 1's packets, not their bytes.
    encoding = "ascii" if version == V1 else "utf-8"
    for name, value in (("domain", domain), ("identifier", identifier)):
        if not isinstance(value, str) or len(value) > V1_PACKET_LIMIT // 8:
            return f"the {name} must be text of at most {V1_PACKET_LIMIT // 8} characters"
        if not _is_encodable(value, encoding):
            return f"the {name} has characters that cannot be encoded"
    return None


def _is_encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
