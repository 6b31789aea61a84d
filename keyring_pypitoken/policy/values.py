"""The keys of a policy: how the value of each is read, and whose policy may have it; `keys.json` describes them."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.lookup import BUILT_IN, split_url
from keyring_pypitoken.names import LABEL_RULE, InvalidNameError, normalize, normalize_valid, valid_label
from keyring_pypitoken.text import looks_like_token, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Readers = Mapping[str, Callable[[object], object]]  # how the value of each key is read, or raises WrongValueError

_MAX_SHOWN = 10**12
_MAX_PORT = 65_535
_MAX_CLOCK_SKEW = 10 * 60  # seconds
_MAX_DURATION = 3650 * 86_400  # seconds; more is a slip of the keyboard, and no date can hold the sum
# Compiled when they are used: most policies have few of these keys.
_DURATION = "(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?"
_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*\*"
_CLASS = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+"
# One spelling of an address: no user, query, fragment or escapes, and no empty or dotted part of the path.
_URL = (
    r"[Hh][Tt][Tt][Pp][Ss]?://(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:/(?!\.{0,2}/|\.{1,2}$)[A-Za-z0-9._~@+:=,-]*)*"
)
_ABSOLUTE = r"/|[A-Za-z]:[\\/]|\\\\"
_SECRET = r"(?i)AGE-SECRET-KEY-|^AGE-PLUGIN-[^/\\]+-1[A-Z0-9]{6,}$|-----BEGIN"  # noqa: S105 - how to recognize one


class WrongValueError(ValueError):
    """A value is not what its key expects; the text is the rest of a sentence that begins with the key."""


def parse_duration(value: object) -> int:
    """Return a length of time such as `"90s"`, `"1h30m"`, `"2d"` or 900 in seconds; raise WrongValueError."""
    seconds = value if isinstance(value, int) and not isinstance(value, bool) else -1
    if isinstance(value, str) and value and (parts := re.fullmatch(_DURATION, value)):
        seconds = sum(int(part or 0) * unit for part, unit in zip(parts.groups(), (86_400, 3600, 60, 1), strict=True))
    if not 0 <= seconds <= _MAX_DURATION:
        expected = 'a length of time of at most 3650 days such as "90s", "15m", "1h30m" or "2d", or whole seconds'
        raise _wrong(value, expected)
    return seconds


def _read_texts(value: object, what: str, example: str) -> list[str]:
    """Return a list of texts, which messages call `what`."""
    if not isinstance(value, list):
        raise _wrong(value, f"a list of {what} such as {example}")
    for item in value:
        if not isinstance(item, str) or not item:
            raise WrongValueError(f"holds {shown(item)}, expected {what} in quotes")
    return value


def _wrong(value: object, expected: str) -> WrongValueError:
    return WrongValueError(f"is {shown(value)}, expected {expected}")


def _if(fits: Callable[[Any], object], expected: str) -> Callable[[object], object]:
    """Return what reads a value as it is if it fits."""

    def read(value: object) -> object:
        if not fits(value):
            raise _wrong(value, expected)
        return value

    return read


def _read_projects(value: object, *, may_end_in_star: bool = True) -> frozenset[str]:
    names = _read_texts(value, "project names", '["demo"]')
    pattern = next((name for name in names if name.endswith("*")), None)
    if pattern is not None and not may_end_in_star:
        raise WrongValueError(f"holds the pattern {quoted(pattern)}, which only a policy.toml may: list the names")
    return frozenset(map(_read_name, names))


def _read_name(name: str) -> str:
    """Normalize a name, or the beginning of names with a `*` behind it."""
    if name == "*":
        raise WrongValueError("holds '*', which allows every project: leave projects out instead")
    if name.endswith("*"):
        if not re.fullmatch(_PATTERN, name):
            raise WrongValueError(f'holds {quoted(name)}, expected the beginning of a name and one * such as "acme-*"')
        return normalize(name)
    try:
        return normalize_valid(name)
    except InvalidNameError:
        raise WrongValueError(f"holds {quoted(name)}, which is not a valid project name") from None


def read_positive_duration(value: object) -> int:
    """Return what `parse_duration` does, but at least one second; raise WrongValueError."""
    seconds = parse_duration(value)
    if not seconds:
        raise WrongValueError("is 0, expected at least one second")
    return seconds


def _read_valid_for(value: object) -> int | str:
    return "auto" if value == "auto" else read_positive_duration(value)


def _read_skew(value: object) -> int:
    seconds = parse_duration(value)
    if seconds > _MAX_CLOCK_SKEW:
        raise _wrong(value, 'at most "10m"')
    return seconds


def _read_moment(value: object) -> int:
    if isinstance(value, str) and re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise WrongValueError(f"is {quoted(value)}, which is a text: write the date-time without quotes")
    if not isinstance(value, datetime.datetime):
        raise _wrong(value, "a date-time with its offset such as 2026-01-31T18:00:00Z")
    if value.tzinfo is None:
        raise WrongValueError(f"has no time zone: write it with one, such as {value.isoformat()}Z")
    return int(value.timestamp())


def _read_identity(value: object) -> str:
    expected = "the path of an age identity file or an SSH private key"
    if not isinstance(value, str) or not value.strip():
        raise _wrong(value, expected)
    if not value.isprintable() or re.search(_SECRET, value):  # a secret in the wrong place is not shown
        raise WrongValueError(f"is a key itself or not a path, expected {expected}")
    return value


def _read_command(value: object) -> tuple[str, ...]:
    words = _read_texts(value, "a program and its arguments", '["pass", "show", "pypi"]')
    if not words:
        raise WrongValueError('is empty, expected a program and its arguments such as ["pass", "show", "pypi"]')
    if any(looks_like_token(word) or "\0" in word for word in words):
        raise WrongValueError("holds a token or a NUL, expected a program that prints the master")
    return tuple(words)


def _read_confirm(value: object) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    words = value if isinstance(value, list) else []
    if not words or not all(isinstance(word, str) and word and "\0" not in word for word in words):
        raise _wrong(value, 'true, false, or a program and its arguments such as ["/usr/bin/ksshaskpass"]')
    if not re.match(_ABSOLUTE, words[0]):
        raise WrongValueError(f'names {quoted(words[0])}, expected an absolute path such as "/usr/bin/ksshaskpass"')
    return tuple(words)


def _read_url(value: object) -> str:
    host = _endpoint_host(value)
    if host is None:
        raise _wrong(value, "an https URL (http for a loopback address only), without user, query or fragment")
    # Another spelling of their addresses would be a way around their limits.
    for known in BUILT_IN:
        if host == _endpoint_host(known.url):
            raise WrongValueError(f"is at {host}, which is {known.name}: write its keys in [repository.{known.name}]")
    return str(value)


def _endpoint_host(url: object) -> str | None:
    """Return the host of a URL that tokens may be sent to, else None."""
    parts = split_url(url) if isinstance(url, str) and re.fullmatch(_URL, url) else None
    if parts is None or parts[2] > _MAX_PORT:
        return None
    host = parts[1].strip("[]")  # of an IPv6 address
    return host if parts[0] == "https" or _is_loopback(host) else None


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_read_bool = _if(lambda value: isinstance(value, bool), "true or false")
_read_unscoped = _if(lambda value: isinstance(value, str) and value in ("refuse", "allow"), '"refuse" or "allow"')
_read_account = _if(lambda value: isinstance(value, str) and valid_label(value), LABEL_RULE)
_read_backend = _if(
    lambda value: isinstance(value, str) and (value == "age" or re.fullmatch(_CLASS, value)),
    '"module.Class" of a keyring backend, or "age"',
)
KEYS: Readers = {
    "projects": _read_projects,
    "valid-for": _read_valid_for,
    "max-valid-for": read_positive_duration,
    "max-token-valid-for": read_positive_duration,
    "clock-skew": _read_skew,
    "not-before": _read_moment,
    "not-after": _read_moment,
    "account": _read_account,
    "max-master-age": read_positive_duration,
    "require-policy": _read_bool,
    "unscoped": _read_unscoped,
    "confirm": _read_confirm,
    "notice": _read_bool,
    "history": _read_bool,
}
# Those that a project's policy may have.
PROJECT_KEYS: Readers = {
    "projects": lambda value: _read_projects(value, may_end_in_star=False),
    **{name: KEYS[name] for name in ("valid-for", "clock-skew", "not-before", "not-after", "account")},
}
STORE_KEYS: Readers = {"backend": _read_backend, "identity": _read_identity, "command": _read_command}
ENDPOINT_KEYS: Readers = {
    "url": _read_url,
    "domain": _if(lambda value: isinstance(value, str) and value, "a host name"),
    "services": lambda value: tuple(_read_texts(value, "names", '["demo"]')),
}
FIXED_ENDPOINT_KEYS = ("url", "domain")  # what a built-in repository has already


def shown(value: object) -> str:
    """Return how messages show a TOML value: by its type unless it is short and plain."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (int, float)):
        return repr(value) if abs(value) <= _MAX_SHOWN else "a number out of range"
    return "a list" if isinstance(value, list) else "a table"
