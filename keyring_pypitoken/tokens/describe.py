"""A token in words: what each of its caveats demands, and what that means at a moment.

Anybody may have written a token: control characters in it are shown escaped. Its signature, the one secret in it, is
never shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def describe(token: Token | str, now: int) -> dict[str, Any]:
    """Describe what can be seen in a token, or in its text, at a moment in Unix seconds.

    Returns:
        What `inspect --json` prints. `identifier` is what the index finds it by, which every token derived from one
        master shares; `format` is the version of its binary format, 1 or 2. Of the token and of each caveat,
        `not_before` is the first Unix second at which it is met, `not_after` the first at which it no longer is,
        `standing` one of `not yet valid`, `valid`, `expired`, `never valid`, and `state` that in words; all None if it
        has no dates. A caveat's `values` are the names or ids that it lists.

    Raises:
        LoaderError: the text is not a token of PyPI's; whether PyPI takes it, only PyPI knows.
    """
    try:
        loaded = Token.load(token) if isinstance(token, str) else token
    finally:
        del token  # nothing secret stays among the locals of a frame that raises
    # All apply, so that the last beginning and the first end count.
    dates = [caveat for caveat in loaded.caveats if isinstance(caveat, kinds.Dates)]
    begin = max((caveat.not_before for caveat in dates), default=None)
    end = min((caveat.not_after for caveat in dates), default=None)
    pairs = zip(loaded.raw_caveats, loaded.caveats, strict=True)
    return {
        "location": printable(loaded.domain),
        "identifier": printable(loaded.identifier),
        "format": loaded.version,
        **_window(begin, end, now),
        "caveats": [_describe_caveat(caveat, now) | {"raw": _shown(raw)} for raw, caveat in pairs],
        "note": HIDDEN_RESTRICTIONS,
    }


def _describe_caveat(caveat: Restriction | UnknownCaveat, now: int) -> dict[str, Any]:
    values: list[str] = []
    window = _window(None, None, now)
    match caveat:
        case kinds.Dates(begin, end):
            window = _window(begin, end, now)
            meaning = f"only from {utc(begin)} until {utc(end)}"
            if end <= begin:
                meaning = f"never: it would begin at {utc(begin)} and end at {utc(end)}"
        case kinds.Names(values):
            meaning = _meaning_of_names(values)
        case kinds.IDs(values):
            meaning = f"only the project{_plural(values)} with the id{_plural(values)} {join_quoted(values)}"
            meaning = meaning if values else "no project at all: its list of ids is empty"
        case kinds.UserIDRestriction(user_id):
            values, meaning = [user_id], f"only for the user with the id {quoted(user_id)}"
        case kinds.OIDCPublisherRestriction(publisher_id):
            values = [publisher_id]
            meaning = f"issued by Trusted Publishing, to the publisher with the id {quoted(publisher_id)}"
        case kinds.UnknownCaveat():
            meaning = f"unknown: PyPI would deny it ({caveat.problem})"
        case _:
            meaning = "no restriction: all that its user may do"
    return {"kind": _KINDS[type(caveat)], "meaning": meaning, "values": values, **window}


def _window(begin: int | None, end: int | None, now: int) -> dict[str, Any]:
    standing = state = None
    if begin is None or end is None:
        pass
    elif end <= begin:
        standing = state = "never valid"
    elif now < begin:
        standing, state = "not yet valid", f"begins in {in_words(begin - now)}"
    elif now < end:
        standing, state = "valid", f"valid for another {in_words(end - now)}"
    else:
        standing, state = "expired", f"expired {in_words(now - end)} ago" if now > end else "expired just now"
    return {"not_before": begin, "not_after": end, "standing": standing, "state": state}


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
