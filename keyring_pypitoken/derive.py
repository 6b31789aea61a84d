"""Derive: from a master and a grant to a token that can do just that. Pure.

One of the modules that handle a plaintext master. What comes out is read again and compared with the master before
it may leave, so that a mistake here ends in a refusal.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import InvalidRestriction, LoaderError, Refusal
from keyring_pypitoken.lookup import BUILT_IN, PYPI
from keyring_pypitoken.names import normalize
from keyring_pypitoken.secret import DerivedToken, MasterToken
from keyring_pypitoken.text import join_quoted, quoted, utc
from keyring_pypitoken.tokens.macaroon import Macaroon, read_text, write_text

if TYPE_CHECKING:
    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Grant

_PREFIX = "pypi"
# How a macaroon of version 2 or 1 begins in base64, behind the prefix or where somebody left that out.
_TOKEN_START = re.compile("(pypi-)?(?:AgE|MDA)[A-Za-z0-9_-]{4}")
_TOKEN = re.compile("[A-Za-z0-9_=-]+")
_NAMED = re.compile(r"(?:export |set |\$env:)?[\w.-]+ ?[=:]")
_QUOTES = "'\"`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_NO_PREFIX = "the token lacks `pypi-` at its beginning: copy all of it."


def check_master(text: MasterToken, repository: Repository, *, may_expire: bool = False) -> MasterToken:
    """Check a token that somebody gives as a master; return it without white space around it.

    Raises:
        Refusal: it is not a token, is for another repository, or expires.
    """
    stripped = MasterToken(text.reveal().strip())
    problem = _problem_of(stripped, repository, may_expire=may_expire)
    if problem:
        raise Refusal(problem)
    return stripped


def _problem_of(master: MasterToken, repository: Repository, *, may_expire: bool) -> str:
    """Return why a text cannot be stored as a master; an empty text if it can. What it is read into stays in here."""
    create = f"create an API token on {repository.domain} and store that."
    if not master.reveal():
        return f"no token given: {create}"
    parsed = read_text(master.reveal())
    if isinstance(parsed, LoaderError) or parsed[0] != _PREFIX:
        no_token = f"this is not a PyPI API token, and a password cannot be restricted: {create}"
        return _wrong_paste(master) or no_token
    macaroon = parsed[1]
    if macaroon.location != repository.domain:
        known = next((known for known in BUILT_IN if known.domain == macaroon.location), None)
        remedy = f"store it with `keyring-pypitoken login -r {known.name}`, or " if known else ""
        return (
            f"this token is for {quoted(macaroon.location)}, but {repository.name} needs one for {repository.domain}: "
            f"{remedy}{create}"
        )
    expires = not may_expire and any(isinstance(_read_caveat(caveat), tuple) for caveat in macaroon.caveats)
    return f"this token expires: it is a derived token, not a master: {create}" if expires else ""


def _wrong_paste(master: MasterToken) -> str:
    """Return what is wrong with a text that has a token or a part of one in it; an empty text if it has none."""
    text = master.reveal()
    start = _TOKEN_START.search("".join(character for character in text if character.isprintable()))
    if start is None:
        return ""
    hidden = next((character for character in text if not character.isprintable()), None)
    if hidden is not None:
        what = "is broken into lines" if hidden in "\r\n" else f"has a hidden character (U+{ord(hidden):04X}) in it"
        return f"the token {what}: copy it again, without that."
    if _NAMED.match(text):
        return "`NAME=` is before the token: give only what follows it."
    if any(quote in text for quote in _QUOTES):
        return "the token is in quotes: leave them out."
    if _TOKEN.fullmatch(text) is None:
        return "there is other text around the token: leave it out."
    return "the token is cut short or was changed: copy all of it." if start[1] else _NO_PREFIX


def derive(master: MasterToken, grant: Grant, *, now: int) -> tuple[DerivedToken, Grant, int]:
    """Derive the token that a grant allows, at a time in Unix seconds; return it, its grant, and when it ends.

    Raises:
        Refusal: the master cannot be read, is for another repository, or visibly cannot serve.
    """
    original = _load(master, grant.repository)
    not_before, not_after = grant.window(now)
    ends = _check_can_serve(original, grant, now)
    caveats = [json.dumps([0, not_after, not_before]).encode()]
    if grant.projects is not None:
        caveats += [json.dumps([1, sorted(map(normalize, grant.projects.value))]).encode()]
    macaroon = _load(master, grant.repository)
    try:
        macaroon.append(*caveats)
    except InvalidRestriction as error:
        raise Refusal(f"the stored master for {grant.repository.name} cannot be restricted so: {error}") from None
    derived = DerivedToken(write_text(_PREFIX, macaroon))
    again = read_text(derived.unwrap())
    if isinstance(again, LoaderError) or again[0] != _PREFIX or _parts(again[1]) != _parts(original, *caveats):
        raise Refusal("internal error: the derived token does not match the grant; please report it.")
    return derived, grant, min([not_after, *ends])


def domain_of(master: MasterToken) -> str:
    """Return the location in a token; PyPI's if it looks like a token and cannot be read."""
    parsed = read_text(master.reveal().strip())
    return PYPI.domain if isinstance(parsed, LoaderError) else parsed[1].location


def is_same_token(one: MasterToken, other: MasterToken) -> bool:
    """Return True if two tokens have the identifier by which the index finds and deletes them."""
    first, second = read_text(one.reveal().strip()), read_text(other.reveal().strip())
    if isinstance(first, LoaderError) or isinstance(second, LoaderError):
        return one.equals(other)
    return first[1].identifier == second[1].identifier


def visible_projects(master: MasterToken) -> tuple[str, ...]:
    """Return the normalized names of the projects that a token visibly is for; none if it shows no such limit."""
    parsed = read_text(master.reveal().strip())
    caveats = [] if isinstance(parsed, LoaderError) else parsed[1].caveats
    lists = [read for read in map(_read_caveat, caveats) if isinstance(read, list)]
    return tuple(sorted(set.intersection(*({*map(normalize, names)} for names in lists)))) if lists else ()


def _parts(macaroon: Macaroon, *further: bytes) -> tuple[str, str, list[bytes]]:
    return macaroon.location, macaroon.identifier, [*macaroon.caveats, *further]


def _load(master: MasterToken, repository: Repository) -> Macaroon:
    """Read the stored token, which another program may have stored without our checks."""
    again = f"store a new one with `keyring-pypitoken login -r {repository.name}`."
    parsed = read_text(master.reveal())
    if isinstance(parsed, LoaderError):
        raise Refusal(f"the stored master for {repository.name} cannot be read ({parsed}): {again}")
    prefix, macaroon = parsed
    if prefix != _PREFIX:
        raise Refusal(f"the stored master for {repository.name} does not begin with 'pypi-': {again}")
    if macaroon.location != repository.domain:
        raise Refusal(
            f"the stored master for {repository.name} is a token for {quoted(macaroon.location)}, "
            f"not for {repository.domain!r}: {again}"
        )
    return macaroon


def _read_caveat(caveat: bytes) -> tuple[int, int] | list[str] | None:
    """Return a window, or the names that a caveat allows; None if it is about something else."""
    from keyring_pypitoken.tokens import restrictions  # most masters show no caveat, and need none of this

    try:
        restriction = restrictions.Restriction.load_json(caveat)
    except LoaderError:
        return None
    if isinstance(restriction, (restrictions.DateRestriction, restrictions.LegacyDateRestriction)):
        return restriction.not_before, restriction.not_after
    if isinstance(restriction, (restrictions.ProjectNamesRestriction, restrictions.LegacyProjectNamesRestriction)):
        return list(restriction.project_names)
    return None


def _check_can_serve(master: Macaroon, grant: Grant, now: int) -> list[int]:
    """Refuse what PyPI would refuse for restrictions that can be read; return when they end the master."""
    name, ends = grant.repository.name, []
    for limit in map(_read_caveat, master.caveats):
        if isinstance(limit, tuple):
            not_before, not_after = limit
            if now >= not_after:
                raise Refusal(
                    f"the stored master for {name} expired on {utc(not_after)}: "
                    f"store a new one with `keyring-pypitoken login -r {name}`."
                )
            if now < not_before:
                raise Refusal(
                    f"the stored master for {name} works only from {utc(not_before)} on: "
                    "wait, or correct this machine's clock."
                )
            ends.append(not_after)
        elif limit is not None and grant.projects and (outside := {*grant.projects.value}.difference(limit)):
            raise Refusal(
                f"the stored master for {name} is restricted to {join_quoted(limit) or 'no project'} and cannot "
                f"upload {join_quoted(outside)}: store one that can, or store this one under another account."
            )
    return ends
