"""A token in words: what each of its caveats demands, and what that means at a moment. Pure: `now` is a parameter.

Anybody may have written a token, so that nothing of it is shown as it is which a terminal would obey. Its signature,
the one secret in it, is never shown.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from keyring_pypitoken.names import normalize
from keyring_pypitoken.text import in_words, join_quoted, quoted, utc
from keyring_pypitoken.tokens.restrictions import (
    DateRestriction,
    LegacyDateRestriction,
    LegacyNoopRestriction,
    LegacyProjectIDsRestriction,
    LegacyProjectNamesRestriction,
    OIDCPublisherRestriction,
    ProjectIDsRestriction,
    ProjectNamesRestriction,
    UnknownCaveat,
    UserIDRestriction,
)
from keyring_pypitoken.tokens.token import Token

if TYPE_CHECKING:
    from keyring_pypitoken.tokens.restrictions import Restriction

HIDDEN_RESTRICTIONS = "PyPI may hold further restrictions of its own that cannot be seen in the token."

# A class that is not among them fails, rather than being described as another one.
_KINDS: dict[type[Restriction | UnknownCaveat], str] = {
    DateRestriction: "date",
    LegacyDateRestriction: "legacy_date",
    ProjectNamesRestriction: "project_names",
    LegacyProjectNamesRestriction: "legacy_project_names",
    ProjectIDsRestriction: "project_ids",
    LegacyProjectIDsRestriction: "legacy_project_ids",
    UserIDRestriction: "user_id",
    OIDCPublisherRestriction: "oidc_publisher",
    LegacyNoopRestriction: "legacy_noop",
    UnknownCaveat: "unknown",
}


class Standing(enum.Enum):
    """How a window of time lies to a moment."""

    FUTURE = "not yet valid"
    VALID = "valid"
    EXPIRED = "expired"
    NEVER = "never valid"


@dataclasses.dataclass(frozen=True)
class Window:
    """The time in which a caveat, or a token, works, seen at a moment.

    Attributes:
        not_before: first Unix second of it.
        not_after: first Unix second after it.
        standing: how it lies to the moment.
        state: the same in words, such as `valid for another 4 minutes`.
    """

    not_before: int
    not_after: int
    standing: Standing
    state: str


@dataclasses.dataclass(frozen=True)
class CaveatDescription:
    """What one caveat demands.

    Attributes:
        raw: its text; of one that no terminal should show, its bytes as Python writes them.
        kind: what it restricts: `date`, `project_names`, `project_ids`, each also with `legacy_` before it,
            `user_id`, `oidc_publisher`, `legacy_noop`, or `unknown`.
        meaning: what it demands, in words.
        values: the names or ids that it lists, as they stand in it.
        window: the time in which it is met; None where it does not speak of time.
    """

    raw: str
    kind: str
    meaning: str
    values: tuple[str, ...] = ()
    window: Window | None = None

    @property
    def state(self) -> str | None:
        """What it means now, in words; None where it does not speak of time."""
        return self.window.state if self.window else None

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON holds it; moments are Unix seconds."""
        return {
            "kind": self.kind,
            "meaning": self.meaning,
            "values": [*self.values],
            **_window_as_dict(self.window),
            "raw": self.raw,
        }


@dataclasses.dataclass(frozen=True)
class Description:
    """A token, for people and programs.

    Attributes:
        location: the index that it is for, as it says.
        identifier: what the index finds it by, which every token derived from one master shares.
        format: the version of its binary format, 1 or 2.
        caveats: what each of them demands, in order.
        window: the time in which all of them are met; None where none speaks of time.
    """

    location: str
    identifier: str
    format: int
    caveats: tuple[CaveatDescription, ...]
    window: Window | None

    @property
    def state(self) -> str | None:
        """What its dates mean now, in words; None where it has none."""
        return self.window.state if self.window else None

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON holds it; moments are Unix seconds."""
        return {
            "location": self.location,
            "identifier": self.identifier,
            "format": self.format,
            **_window_as_dict(self.window),
            "caveats": [caveat.as_dict() for caveat in self.caveats],
            "note": HIDDEN_RESTRICTIONS,
        }


def describe(token: Token | str, now: int) -> Description:
    """Describe a token.

    Args:
        token: the token, or its text.
        now: the moment that it is described for, in Unix seconds.

    Returns:
        What can be seen in it; its validity is known to PyPI alone.

    Raises:
        LoaderError: the text is no token of PyPI's.
    """
    try:
        loaded = Token.load(token) if isinstance(token, str) else token
    finally:
        del token  # nothing secret stays among the locals of a frame that raises
    found = zip(loaded.raw_caveats, loaded.caveats, strict=True)
    caveats = tuple(_describe_caveat(_shown(raw), caveat, now) for raw, caveat in found)
    windows = [caveat.window for caveat in caveats if caveat.window]
    return Description(
        location=_escaped(loaded.domain),
        identifier=_escaped(loaded.identifier),
        format=loaded.version,
        caveats=caveats,
        # All apply, so that the last beginning and the first end count.
        window=_window(max(w.not_before for w in windows), min(w.not_after for w in windows), now) if windows else None,
    )


def _describe_caveat(raw: str, caveat: Restriction | UnknownCaveat, now: int) -> CaveatDescription:
    kind = _KINDS[type(caveat)]
    match caveat:
        case DateRestriction() | LegacyDateRestriction():
            window = _window(caveat.not_before, caveat.not_after, now)
            return CaveatDescription(raw, kind, _meaning_of_dates(window), window=window)
        case ProjectNamesRestriction(names) | LegacyProjectNamesRestriction(names):
            return CaveatDescription(raw, kind, _meaning_of_names(names), tuple(names))
        case ProjectIDsRestriction(ids) | LegacyProjectIDsRestriction(ids):
            return CaveatDescription(raw, kind, _meaning_of_ids(ids), tuple(ids))
        case UserIDRestriction(user_id):
            return CaveatDescription(raw, kind, f"only for the user with the id {quoted(user_id)}", (user_id,))
        case OIDCPublisherRestriction(publisher_id):
            meaning = f"issued by Trusted Publishing, to the publisher with the id {quoted(publisher_id)}"
            return CaveatDescription(raw, kind, meaning, (publisher_id,))
        case UnknownCaveat():
            return CaveatDescription(raw, kind, f"unknown: PyPI would deny it ({caveat.problem})")
    return CaveatDescription(raw, kind, "no restriction: all that its user may do")


def _window(not_before: int, not_after: int, now: int) -> Window:
    if not_after <= not_before:
        return Window(not_before, not_after, Standing.NEVER, "never valid")
    if now < not_before:
        return Window(not_before, not_after, Standing.FUTURE, f"begins in {in_words(not_before - now)}")
    if now < not_after:
        return Window(not_before, not_after, Standing.VALID, f"valid for another {in_words(not_after - now)}")
    ago = f"{in_words(now - not_after)} ago" if now > not_after else "just now"
    return Window(not_before, not_after, Standing.EXPIRED, f"expired {ago}")


def _window_as_dict(window: Window | None) -> dict[str, object]:
    if window is None:
        return dict.fromkeys(("not_before", "not_after", "standing", "state"))
    return {
        "not_before": window.not_before,
        "not_after": window.not_after,
        "standing": window.standing.value,
        "state": window.state,
    }


def _meaning_of_dates(window: Window) -> str:
    begin, end = utc(window.not_before), utc(window.not_after)
    if window.standing is Standing.NEVER:
        return f"never: it would begin at {begin} and end at {end}"
    return f"only from {begin} until {end}"


def _meaning_of_names(names: list[str]) -> str:
    if not names:
        return "no upload at all: its list of projects is empty"
    meaning = f"only uploads of the project{_plural(names)} {join_quoted(names)}"
    strange = [name for name in names if name != normalize(name)]
    if not strange:
        return meaning
    verb = "is" if len(strange) == 1 else "are"
    return f"{meaning}; PyPI compares normalized names, which {join_quoted(strange)} {verb} not"


def _meaning_of_ids(ids: list[str]) -> str:
    if not ids:
        return "no project at all: its list of ids is empty"
    return f"only the project{_plural(ids)} with the id{_plural(ids)} {join_quoted(ids)}"


def _plural(values: list[str]) -> str:
    return "" if len(values) == 1 else "s"


def _shown(raw: bytes) -> str:
    """Return a caveat's text, or its bytes as Python writes them where a terminal would obey or not know them."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    return text if text.isprintable() and text else repr(raw)[2:-1]


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
