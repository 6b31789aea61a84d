"""A token in words: what each of its caveats demands, and what that means at a moment.

Anybody may have written a token: control characters in it are shown escaped. Its signature, the one secret in it, is
never shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from keyring_pypitoken.names import normalize
from keyring_pypitoken.text import in_words, join_quoted, printable, quoted, utc
from keyring_pypitoken.tokens import restrictions as kinds
from keyring_pypitoken.tokens.token import Token

if TYPE_CHECKING:
    from keyring_pypitoken.tokens.restrictions import Restriction, UnknownCaveat

HIDDEN_RESTRICTIONS = "PyPI may apply further restrictions that are not visible in the token."

# A class that is not among them fails, rather than being described as another one.
_KINDS: dict[type[Restriction | UnknownCaveat], str] = {
    kinds.DateRestriction: "date",
    kinds.LegacyDateRestriction: "legacy_date",
    kinds.ProjectNamesRestriction: "project_names",
    kinds.LegacyProjectNamesRestriction: "legacy_project_names",
    kinds.ProjectIDsRestriction: "project_ids",
    kinds.LegacyProjectIDsRestriction: "legacy_project_ids",
    kinds.UserIDRestriction: "user_id",
    kinds.OIDCPublisherRestriction: "oidc_publisher",
    kinds.LegacyNoopRestriction: "legacy_noop",
    kinds.UnknownCaveat: "unknown",
}


class CaveatDescription(NamedTuple):
    """What one caveat demands, in words and values; fields about time are None if it is about something else."""

    kind: str  # one of _KINDS
    meaning: str
    values: tuple[str, ...] = ()  # the names or ids that it lists, as they are in it
    not_before: int | None = None  # first Unix second at which it is met
    not_after: int | None = None  # first Unix second at which it no longer is
    standing: str | None = None  # `not yet valid`, `valid`, `expired` or `never valid`
    state: str | None = None  # the standing in words, such as `valid for another 4 minutes`
    raw: str = ""  # its text, or its bytes as Python writes them if a terminal should not show the text


class Description(NamedTuple):
    """A token, for people and programs; its window is the time in which all caveats are met, or None."""

    location: str  # the index that it is for, as it says
    identifier: str  # what the index finds it by, which every token derived from one master shares
    format: int  # the version of its binary format, 1 or 2
    not_before: int | None
    not_after: int | None
    standing: str | None
    state: str | None
    caveats: tuple[CaveatDescription, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        caveats = [{**caveat._asdict(), "values": [*caveat.values]} for caveat in self.caveats]
        return {**self._asdict(), "caveats": caveats, "note": HIDDEN_RESTRICTIONS}


def describe(token: Token | str, now: int) -> Description:
    """Describe what can be seen in a token, or in its text, at a moment in Unix seconds.

    Only PyPI knows whether it is valid. A text that is not a token of PyPI's is a LoaderError.
    """
    try:
        loaded = Token.load(token) if isinstance(token, str) else token
    finally:
        del token  # nothing secret stays among the locals of a frame that raises
    found = loaded.caveats
    # All apply, so that the last beginning and the first end count.
    dates = [caveat for caveat in found if isinstance(caveat, kinds.Dates)]
    begin = max((caveat.not_before for caveat in dates), default=None)
    end = min((caveat.not_after for caveat in dates), default=None)
    standing, state = (None, None) if begin is None or end is None else _standing(begin, end, now)
    pairs = zip(loaded.raw_caveats, found, strict=True)
    caveats = tuple(_describe_caveat(caveat, now)._replace(raw=_shown(raw)) for raw, caveat in pairs)
    location, identifier = printable(loaded.domain), printable(loaded.identifier)
    return Description(location, identifier, loaded.version, begin, end, standing, state, caveats)


def _describe_caveat(caveat: Restriction | UnknownCaveat, now: int) -> CaveatDescription:
    kind = _KINDS[type(caveat)]
    match caveat:
        case kinds.Dates(begin, end):
            meaning = f"only from {utc(begin)} until {utc(end)}"
            if end <= begin:
                meaning = f"never: it would begin at {utc(begin)} and end at {utc(end)}"
            return CaveatDescription(kind, meaning, (), begin, end, *_standing(begin, end, now))
        case kinds.Names(names):
            return CaveatDescription(kind, _meaning_of_names(names), tuple(names))
        case kinds.IDs(ids):
            meaning = f"only the project{_plural(ids)} with the id{_plural(ids)} {join_quoted(ids)}"
            meaning = meaning if ids else "no project at all: its list of ids is empty"
            return CaveatDescription(kind, meaning, tuple(ids))
        case kinds.UserIDRestriction(user_id):
            return CaveatDescription(kind, f"only for the user with the id {quoted(user_id)}", (user_id,))
        case kinds.OIDCPublisherRestriction(publisher_id):
            meaning = f"issued by Trusted Publishing, to the publisher with the id {quoted(publisher_id)}"
            return CaveatDescription(kind, meaning, (publisher_id,))
        case kinds.UnknownCaveat():
            return CaveatDescription(kind, f"unknown: PyPI would deny it ({caveat.problem})")
    return CaveatDescription(kind, "no restriction: all that its user may do")


def _standing(begin: int, end: int, now: int) -> tuple[str, str]:
    if end <= begin:
        return "never valid", "never valid"
    if now < begin:
        return "not yet valid", f"begins in {in_words(begin - now)}"
    if now < end:
        return "valid", f"valid for another {in_words(end - now)}"
    return "expired", f"expired {in_words(now - end)} ago" if now > end else "expired just now"


def _meaning_of_names(names: list[str]) -> str:
    if not names:
        return "no upload at all: its list of projects is empty"
    meaning = f"only uploads of the project{_plural(names)} {join_quoted(names)}"
    strange = [name for name in names if name != normalize(name)]
    if not strange:
        return meaning
    verb = "is" if len(strange) == 1 else "are"
    return f"{meaning}; PyPI compares normalized names, which {join_quoted(strange)} {verb} not"


def _plural(values: list[str]) -> str:
    return "" if len(values) == 1 else "s"


def _shown(raw: bytes) -> str:
    text = raw.decode(errors="replace")
    return text if raw and text.isprintable() and text.encode() == raw else repr(raw)[2:-1]
