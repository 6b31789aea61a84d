"""Derive: from a master and a grant to a token that can do just that. Pure.

What comes out is read again and compared with the master before it may leave, so that a mistake here, or in
pymacaroons, ends in a refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import InvalidRestriction, LoaderError, Refusal
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.secret import DerivedToken, MasterToken
from keyring_pypitoken.text import join_quoted, quoted, utc
from keyring_pypitoken.tokens.restrictions import (
    DateRestriction,
    LegacyDateRestriction,
    LegacyProjectNamesRestriction,
    ProjectNamesRestriction,
    Restriction,
)
from keyring_pypitoken.tokens.token import PREFIX, Token

if TYPE_CHECKING:
    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Grant


def read_master(text: str, repository: Repository) -> MasterToken:
    """Check a token that somebody wants to keep as a master.

    Args:
        text: what was typed or pasted.
        repository: where it shall be used.

    Returns:
        The master, white space stripped.

    Raises:
        Refusal: it is no token, another repository's, or one that expires.
    """
    problem = _problem_with_new_master(text, repository)
    if problem is not None:
        del text
        raise Refusal(problem)
    return MasterToken(text.strip())


def derive(master: MasterToken, grant: Grant, *, now: int) -> tuple[DerivedToken, int]:
    """Derive the token that a grant allows.

    Args:
        master: the stored token.
        grant: what it shall be restricted to.
        now: Unix seconds.

    Returns:
        The derived token, and the Unix second from which on it no longer works, which an end that the master
        itself carries may bring forward.

    Raises:
        Refusal: the master cannot be read, is another repository's, or visibly cannot serve.
    """
    original = _load_master(master, grant.repository)
    window = grant.window(now)
    not_after = min([window[1], *_check_master_can_serve(original, grant, now)])
    names = None if grant.projects is None else grant.projects.value
    token = Token.load(master.reveal_to_derive_or_store())
    try:
        token.restrict(not_before=window[0], not_after=window[1], project_names=names)
    except InvalidRestriction as error:
        raise Refusal(f"the stored master for {grant.repository.name} cannot be restricted so: {error}") from None
    derived = DerivedToken(token.dump())
    if not _is_sound(derived, original, grant, window):
        raise Refusal(
            "the derived token is not what was meant, which is a mistake in keyring-pypitoken: please report it."
        )
    return derived, not_after


def domain_of(master: MasterToken) -> str:
    """Return the location that a token carries: empty for what is no token, PyPI's for one that cannot be read."""
    text = master.reveal_to_derive_or_store().strip()
    try:
        return Token.load(text).domain
    except LoaderError:
        return PYPI.domain if text.startswith(f"{PREFIX}-") else ""


def _load_master(master: MasterToken, repository: Repository) -> Token:
    """Load the stored token, which may have been stored by another program, without our checks."""
    again = f"store a new one with `keyring set {repository.url} {TOKEN_USERNAME}`."
    try:
        token = Token.load(master.reveal_to_derive_or_store())
    except LoaderError as error:
        raise Refusal(f"the stored master for {repository.name} cannot be read ({error}): {again}") from None
    if token.domain != repository.domain:
        raise Refusal(
            f"the stored master for {repository.name} is a token for {quoted(token.domain)}, "
            f"not for {repository.domain!r}: {again}"
        )
    return token


def _check_master_can_serve(master: Token, grant: Grant, now: int) -> list[int]:
    """Refuse what PyPI would refuse for restrictions that can be read; return the ends it carries."""
    ends: list[int] = []
    for restriction in master.caveats:
        if isinstance(restriction, (DateRestriction, LegacyDateRestriction)):
            if now >= restriction.not_after:
                raise Refusal(
                    f"the stored master for {grant.repository.name} expired on {utc(restriction.not_after)}: store "
                    f"a new one with `keyring set {grant.repository.url} {TOKEN_USERNAME}`."
                )
            if now < restriction.not_before:
                raise Refusal(
                    f"the stored master for {grant.repository.name} works only from "
                    f"{utc(restriction.not_before)} on: wait, or correct this machine's clock."
                )
            ends.append(restriction.not_after)
        elif isinstance(restriction, (ProjectNamesRestriction, LegacyProjectNamesRestriction)):
            names = () if grant.projects is None else grant.projects.value
            outside = [name for name in names if name not in restriction.project_names]
            if outside:
                raise Refusal(
                    f"the stored master for {grant.repository.name} is restricted to "
                    f"{join_quoted(restriction.project_names) or 'no project'} and cannot upload "
                    f"{join_quoted(outside)}: "
                    "store one that can, or store this one under an account of its own."
                )
    return ends


def _is_sound(derived: DerivedToken, master: Token, grant: Grant, window: tuple[int, int]) -> bool:
    """Return True if the derived token is the master and exactly our restrictions."""
    token = Token.load(derived.unwrap())
    ours: list[Restriction] = [DateRestriction(*window)]
    if grant.projects is not None:
        ours.append(ProjectNamesRestriction(list(grant.projects.value)))
    expected = [
        *master.raw_caveats,
        *(restriction.dump_json().encode() for restriction in ours),
    ]
    return (token.prefix, token.domain, token.identifier, token.raw_caveats) == (
        master.prefix,
        master.domain,
        master.identifier,
        expected,
    )


def _problem_with_new_master(text: str, repository: Repository) -> str | None:
    """Return why a text is no master for a repository, as a whole sentence; None where it is one."""
    create = f"create an API token on {repository.domain} and store that."
    if not text.strip():
        return f"nothing was given to store: {create}"
    try:
        token = Token.load(text)
    except LoaderError as error:
        reason = str(error) if text.strip().startswith(f"{PREFIX}-") else "it does not begin with 'pypi-'"
        return f"this is no PyPI API token ({reason}); a password cannot be restricted: {create}"
    if token.prefix != PREFIX:
        return f"this is no PyPI API token (it does not begin with 'pypi-'): {create}"
    if token.domain != repository.domain:
        return (
            f"this token is for {quoted(token.domain)}, and {repository.name} takes those for {repository.domain}: "
            f"store it for its own repository, or {create}"
        )
    if any(isinstance(r, (DateRestriction, LegacyDateRestriction)) for r in token.caveats):
        return f"this token expires, so it is a derived one and no master: {create}"
    return None
