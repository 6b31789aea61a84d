"""The `Token` API of pypitoken: create, load, restrict, check and dump a PyPI token."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import LoaderError, MissingContextError, PyPITokenException, ValidationError
from keyring_pypitoken.tokens import restrictions as kinds
from keyring_pypitoken.tokens.macaroon import V1, V1_PACKET_LIMIT, V2, Macaroon, mint, read_text, write_text
from keyring_pypitoken.tokens.restrictions import Restriction, UnknownCaveat
from keyring_pypitoken.tokens.values import Context, to_names, to_string, to_strings, to_window

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable

    from keyring_pypitoken.tokens.macaroon import PyMacaroon

PREFIX = "pypi"


class Token:
    """A PyPI token: a macaroon and the `prefix` before it, which is `pypi` for PyPI's."""

    def __init__(self, prefix: str, macaroon: Macaroon | PyMacaroon) -> None:
        """Wrap a macaroon; `load` and `create` are the usual ways to a token.

        What is later done to a `pymacaroons.Macaroon` is done to the token. If PyPI issues no such macaroon, or it
        becomes one later, that is a LoaderError now, or when it is needed.
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

        White space around it is stripped, as PyPI does. Otherwise only the text that `dump` writes is read: PyPI also
        takes base64 with padding or foreign characters, and bytes after the signature. The prefix may be any text, as
        in pypitoken; PyPI takes `pypi` only. Any other text raises LoaderError, whose cause names the type of the
        original exception, which itself could hold a part of the token.
        """
        parts = read_text(raw)
        del raw  # nothing secret stays among the locals of a frame that raises
        if isinstance(parts, LoaderError):
            raise parts
        return cls(*parts)

    @classmethod
    def create(cls, domain: str, identifier: str, key: str | bytes, prefix: str = PREFIX, version: int = V2) -> Token:
        """Mint a token without restrictions, as PyPI does.

        `domain` is usually `pypi.org` or `test.pypi.org`, and `identifier` what the index finds the token by. `check`
        needs the secret `key`, with which every restriction can be lifted. `version` is that of the format, 1 or 2.
        What cannot be part of a token raises PyPITokenException.
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

        It works from `not_before` until before `not_after`, each in Unix seconds or a date-time with a time zone; they
        need each other. Project names are normalized (PEP 503), since PyPI compares normalized ones only. `legacy_`
        parameters write the formats of PyPI's first tokens; `legacy_noop=True` adds a caveat that restricts nothing.
        Two restrictions of a kind both apply. A wrong parameter raises InvalidRestriction, and nothing is added.
        """
        given: list[Restriction] = []  # in the order in which pypitoken adds them
        if (window := to_window("", not_before, not_after)) is not None:
            given.append(kinds.DateRestriction(*window))
        if project_names is not None:
            given.append(kinds.ProjectNamesRestriction(to_names("project_names", project_names)))
        if project_ids is not None:
            given.append(kinds.ProjectIDsRestriction(to_strings("project_ids", project_ids)))
        if user_id is not None:
            given.append(kinds.UserIDRestriction(to_string("user_id", user_id)))
        if legacy_noop is True:
            given.append(kinds.LegacyNoopRestriction())
        if legacy_project_names is not None:
            given.append(kinds.LegacyProjectNamesRestriction(to_names("legacy_project_names", legacy_project_names)))
        if (window := to_window("legacy_", legacy_not_before, legacy_not_after)) is not None:
            given.append(kinds.LegacyDateRestriction(*window))
        added = [restriction.dump_json() for restriction in given]
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

        `key` is the secret that the token was created with; unlike at PyPI, an empty one never fits. The project may be
        in any spelling; `now` is in Unix seconds or a date-time with a time zone, by default the current time. Prefix
        and domain are not checked.

        Raises:
            MissingContextError: every restriction that is not met lacks only its context.
            ValidationError: it is not valid for this use: with each reason, and the first one's exception as cause.
        """
        signed = _is_signed_with(self._read(), key)
        del key
        if not signed:
            raise ValidationError("the token is not valid: its signature does not match the key")
        try:
            context = Context(project_name, project_id, user_id, now)
        except PyPITokenException as error:
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
        """The restrictions in the token, in order; LoaderError if one cannot be read (`caveats` lists all).

        PyPI may hold further ones in its database.
        """
        return [Restriction.load_json(caveat) for caveat in self.raw_caveats]

    @property
    def raw_caveats(self) -> list[bytes]:
        """The bytes of every caveat, in order."""
        return list(self._read().caveats)

    @property
    def caveats(self) -> list[Restriction | UnknownCaveat]:
        """Every caveat in order; those that cannot be read are `UnknownCaveat`s."""
        caveats: list[Restriction | UnknownCaveat] = []
        for caveat in self.raw_caveats:
            try:
                caveats.append(Restriction.load_json(caveat))
            except LoaderError as error:
                caveats.append(UnknownCaveat(caveat, str(error)))
        return caveats

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
    return hmac.compare_digest(again.signature, macaroon.signature)


def _creation_problem(domain: object, identifier: object, key: object, prefix: object, version: object) -> str | None:
    if not isinstance(prefix, str) or not re.fullmatch(r"[!-,.-~]+", prefix):
        return "the prefix must be visible ASCII text without a dash"
    if version not in (V1, V2):
        return f"the version is {version!r}, expected {V1} or {V2}"
    if not isinstance(key, (str, bytes)) or not key:
        return "the key must be text or bytes, and not empty"
    if isinstance(key, str) and not _can_encode(key, "utf-8"):
        return "the key has characters that cannot be encoded"
    # pymacaroons counts the characters of version 1's packets, not their bytes.
    encoding = "ascii" if version == V1 else "utf-8"
    for name, value in (("domain", domain), ("identifier", identifier)):
        if not isinstance(value, str) or len(value) > V1_PACKET_LIMIT // 8:
            return f"the {name} must be text of at most {V1_PACKET_LIMIT // 8} characters"
        if not _can_encode(value, encoding):
            return f"the {name} has characters that cannot be encoded"
    return None


def _can_encode(text: str, encoding: str) -> bool:
    return text.encode(encoding, "ignore").decode(encoding) == text
