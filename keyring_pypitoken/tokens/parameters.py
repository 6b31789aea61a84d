"""The parameters of `Token.restrict`, turned into restrictions or refused in a sentence."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import InvalidRestriction
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.tokens.restrictions import (
    DateRestriction,
    LegacyDateRestriction,
    LegacyNoopRestriction,
    LegacyProjectNamesRestriction,
    ProjectIDsRestriction,
    ProjectNamesRestriction,
    Restriction,
    UserIDRestriction,
    kind_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_BITS = 63  # as clocks count; Python writes no integer of more than 4300 digits, and PyPI reads none


def from_parameters(
    *,
    not_before: int | datetime.datetime | None,
    not_after: int | datetime.datetime | None,
    project_names: Iterable[str] | None,
    project_ids: Iterable[str] | None,
    user_id: str | None,
    legacy_project_names: Iterable[str] | None,
    legacy_not_before: int | datetime.datetime | None,
    legacy_not_after: int | datetime.datetime | None,
    legacy_noop: bool | None,
) -> list[Restriction]:
    """Turn the parameters of `Token.restrict` into restrictions, in the order in which pypitoken adds them.

    Raises:
        InvalidRestriction: a parameter describes no restriction.
    """
    found: list[Restriction] = []
    if (dates := _date_parameters("", not_before, not_after)) is not None:
        found.append(DateRestriction(*dates))
    if project_names is not None:
        found.append(ProjectNamesRestriction(_name_parameters("project_names", project_names)))
    if project_ids is not None:
        found.append(ProjectIDsRestriction(_string_parameters("project_ids", project_ids)))
    if user_id is not None:
        if not isinstance(user_id, str):
            raise InvalidRestriction(f"user_id is {kind_of(user_id)}, expected a string: pass the user's id as text.")
        found.append(UserIDRestriction(user_id))
    if legacy_noop is True:
        found.append(LegacyNoopRestriction())
    if legacy_project_names is not None:
        found.append(LegacyProjectNamesRestriction(_name_parameters("legacy_project_names", legacy_project_names)))
    if (dates := _date_parameters("legacy_", legacy_not_before, legacy_not_after)) is not None:
        found.append(LegacyDateRestriction(*dates))
    return found


def to_timestamp(name: str, moment: int | datetime.datetime) -> int:
    """Return a moment as Unix seconds.

    Args:
        name: the parameter that holds it, for the message.
        moment: Unix seconds, or a date-time that has a time zone.

    Raises:
        InvalidRestriction: it is neither.
    """
    if isinstance(moment, int) and not isinstance(moment, bool):
        if moment.bit_length() > _MAX_BITS:
            raise InvalidRestriction(
                f"{name} is an integer of {moment.bit_length()} bits, expected Unix seconds of {_MAX_BITS} at most."
            )
        return moment
    if not isinstance(moment, datetime.datetime):
        raise InvalidRestriction(
            f"{name} is {kind_of(moment)}, expected Unix seconds as an int or a date-time with a time zone."
        )
    if moment.utcoffset() is None:
        raise InvalidRestriction(
            f"{name} is the naive date-time {moment.isoformat()}, which is a different moment in every "
            "time zone: give it one, as in datetime.now(timezone.utc), or pass Unix seconds."
        )
    return int(moment.timestamp())


def _date_parameters(
    prefix: str,
    not_before: int | datetime.datetime | None,
    not_after: int | datetime.datetime | None,
) -> tuple[int, int] | None:
    if not_before is None and not_after is None:
        return None
    before, after = f"{prefix}not_before", f"{prefix}not_after"
    if not_before is None or not_after is None:
        given, lacking = (before, after) if not_after is None else (after, before)
        raise InvalidRestriction(f"{given} was given without {lacking}: a window of time has two ends, pass both.")
    return to_timestamp(before, not_before), to_timestamp(after, not_after)


def _string_parameters(name: str, values: Iterable[str]) -> list[str]:
    if isinstance(values, (str, bytes)):
        raise InvalidRestriction(
            f"{name} is a single string, expected several: put it into a list, even where there is just one."
        )
    try:
        found = list(values)
    except TypeError:
        raise InvalidRestriction(f"{name} is {kind_of(values)}, expected a list of strings.") from None
    for value in found:
        if not isinstance(value, str):
            raise InvalidRestriction(f"{name} holds {kind_of(value)}, expected strings only.")
    return found


def _name_parameters(name: str, values: Iterable[str]) -> list[str]:
    found: list[str] = []
    for value in _string_parameters(name, values):
        try:
            found.append(normalize_valid(value))
        except InvalidNameError:
            raise InvalidRestriction(
                f"{name} holds {value!r}, which no project can be called: "
                "letters, digits, '-', '_' and '.' are allowed, the first and last being a letter or digit."
            ) from None
    return found
