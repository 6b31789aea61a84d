"""The `Token` API: pypitoken's, byte for byte, and safe with whatever it is given."""

from __future__ import annotations

import base64
import datetime
import hashlib
import importlib
import inspect
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymacaroons
import pymacaroons.utils
import pypitoken
import pytest
from macaroons import mint

import keyring_pypitoken
from keyring_pypitoken import (
    DateRestriction,
    InvalidRestriction,
    LegacyNoopRestriction,
    LoaderError,
    MissingContextError,
    ProjectNamesRestriction,
    PyPITokenException,
    Token,
    UnknownCaveat,
    UserIDRestriction,
    ValidationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOMAIN = "pypi.org"
IDENTIFIER = "0fd630f1-f29d-4da9-953f-48f1a09f76b5"
KEY = "a key that no server knows"
NOW = 1_790_000_000
PROJECT = "11111111-1111-4111-8111-111111111111"
USER = "33333333-3333-4333-8333-333333333333"
UTC = datetime.UTC
CET = datetime.timezone(datetime.timedelta(hours=1))


def create(version: int = 2, **parameters: Any) -> Token:
    """Return a token without restrictions, or with those given."""
    return Token.create(DOMAIN, IDENTIFIER, KEY, version=version).restrict(**parameters)


def encode(data: bytes) -> str:
    """Return the text of a token that consists of any bytes."""
    return "pypi-" + base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Return the bytes that a token's text stands for."""
    return base64.urlsafe_b64decode(text.removeprefix("pypi-") + "==")


def v1(*packets: bytes) -> bytes:
    """Return packets of version 1, each behind its length."""
    return b"".join(b"%04x%s" % (len(packet) + 4, packet) for packet in packets)


def with_third_party(version: int) -> str:
    """Return a token that a third party would have to discharge."""
    macaroon = pymacaroons.Macaroon(DOMAIN, IDENTIFIER, KEY, version=version)
    macaroon.add_third_party_caveat("https://auth.example", "the key of that party", "its caveat")
    return f"pypi-{macaroon.serialize()}"


def texts_of(error: BaseException | None) -> Iterator[str]:
    """Yield all that an exception shows: itself, what led to it, and the locals of the package's frames."""
    if error is None:
        return
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    trace = error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals["__name__"]).startswith("keyring_pypitoken"):
            # No integer is secret, and Python writes none of more than 4300 digits.
            yield from (repr(value) for value in trace.tb_frame.f_locals.values() if not isinstance(value, int))
        trace = trace.tb_next
    yield from texts_of(error.__cause__)
    yield from texts_of(error.__context__)


def shown_of(secret: str, error: BaseException) -> set[str]:
    """Return every run of twelve characters of a secret text that an exception shows."""
    runs = {text[at : at + 12] for text in texts_of(error) for at in range(len(text) - 11)}
    return {run for run in runs if run in secret}


def refusal(raw: Any) -> LoaderError:
    """Return the error that loading raises, after a look at whether it shows any of what was loaded."""
    with pytest.raises(LoaderError) as caught:
        Token.load(raw)
    error = caught.value
    assert type(error.__cause__) in (type(None), ValueError)
    if isinstance(raw, str):
        assert shown_of(raw.strip(), error) == set()
        payload = raw.strip().partition("-")[2]
        if payload.isascii() and len(payload) % 4 != 1:
            data = base64.urlsafe_b64decode(payload + "===")
            assert shown_of(repr(data), error) == set()
            assert shown_of(data.hex(), error) == set()
    return error


TEXT = mint("[1, []]")
V1_TEXT = mint("[1, []]", version=1)
DATA, V1_DATA = decode(TEXT), decode(V1_TEXT)
HEAD = b"\x02\x01\x08pypi.org\x02\x0212\x00"
SIGNATURE = b"\x00\x06\x20" + b"s" * 32
V1_HEAD = (b"location pypi.org\n", b"identifier 12\n")
V1_SIGNATURE = b"signature " + b"s" * 32 + b"\n"

PARTS = "the token's parts are not those of a PyPI token"
LENGTH = "a length in the token is wrong"
CUT = "the token is cut short"
SPELLING = "the token is incomplete or was changed"
NO_PREFIX = "the token has no prefix: PyPI's tokens begin with 'pypi-'"
NOT_ASCII = "the token has characters that are not ASCII"
NO_SIGNATURE = "the token's signature has 0 bytes, expected 32"
EMPTY = "the token is empty"
SHORT = "the token's signature has 31 bytes, expected 32"
NO_UTF_8 = "the token's location or identifier is not UTF-8"
THIRD_PARTIES = "the token has caveats of third parties"
MALFORMED = "MacaroonDeserializationException"  # of pymacaroons

# By name: a text, bytes or packets of version 1; why it is refused, and the cause of that.
UNREADABLE: dict[str, tuple[str | bytes | tuple[bytes, ...], str, str | None]] = {
    "nothing": ("", EMPTY, None),
    "white space": (" \t\r\n\x0b\u00a0\u3000", EMPTY, None),
    "a password": ("hunter2 is a password", NO_PREFIX, None),
    "no prefix": (TEXT.removeprefix("pypi-").replace("-", "_"), NO_PREFIX, None),
    "an empty prefix": (TEXT.removeprefix("pypi"), NO_PREFIX, None),
    "a prefix and a dash": ("pypi-", PARTS, "IndexError"),
    "an umlaut": (TEXT[:40] + "\u00e4" + TEXT[41:], NOT_ASCII, None),
    "a lone surrogate": (TEXT + "\udc80", NOT_ASCII, None),
    "one character of base64": ("pypi-A", SPELLING, "Error"),
    "padding": (encode(HEAD + SIGNATURE) + "=", SPELLING, None),
    "spare bits": (encode(b"\x02\x01\x01a\x02\x011\x00" + SIGNATURE)[:-1] + "d", SPELLING, None),
    "white space within": (f"{TEXT[:40]}    {TEXT[40:]}", SPELLING, None),
    "a line break within": (f"{TEXT[:40]}\r\n\r\n{TEXT[40:]}", SPELLING, None),
    "a length in two bytes where one would do": (b"\x02\x01\x88\x00" + HEAD[3:] + SIGNATURE, SPELLING, None),
    "the alphabet of plain base64": (f"pypi-{base64.b64encode(b'??>' + DATA).decode()}", PARTS, MALFORMED),
    "noise": ("pypi-" + "A" * 400, PARTS, MALFORMED),
    "an unknown version": (b"\x03" + HEAD[1:] + SIGNATURE, PARTS, MALFORMED),
    "characters outside of the alphabet": (TEXT[:-4] + "!$%&", CUT, None),
    "a second token": (f"{TEXT}\t\t\t\t{TEXT}", CUT, None),
    "trailing token": (DATA + DATA, CUT, None),
    "a length that goes on behind its end": (
        b"\x02\x01\x88\x00\x01" + b"x" * (8 + (1 << 14)) + HEAD[11:] + SIGNATURE,
        CUT,
        None,
    ),
    "a length of 28 bits": (b"\x02\x01\xff\xff\xff\x7fpypi.org", CUT, None),
    "a length beyond the end": (b"\x02\x01\x09pypi.org", CUT, None),
    "the version alone": (b"\x02", PARTS, None),
    "third parties": (with_third_party(2), PARTS, None),
    "no signature": (HEAD + b"\x00", PARTS, None),
    "no location": (b"\x02\x02\x0212\x00" + SIGNATURE, PARTS, None),
    "no identifier": (b"\x02\x01\x08pypi.org\x00" + SIGNATURE, PARTS, None),
    "the identifier before the location": (b"\x02\x02\x0212\x01\x08pypi.org\x00" + SIGNATURE, PARTS, None),
    "a caveat without an end": (HEAD + b"\x02\x01a" + SIGNATURE[1:], PARTS, None),
    "an empty caveat's section": (HEAD + b"\x00" + SIGNATURE, PARTS, None),
    "an unknown field": (HEAD + b"\x03\x01a\x00" + SIGNATURE, PARTS, None),
    "a field of two bytes": (HEAD + b"\x82\x00a\x00" + SIGNATURE, PARTS, None),
    "trailing zero": (DATA + b"\x00", PARTS, None),
    "trailing packet": (DATA + b"\x02\x01a", PARTS, None),
    "a short signature": (HEAD + b"\x00\x06\x1f" + b"s" * 31, SHORT, None),
    "an empty signature": (HEAD + b"\x00\x06\x00", NO_SIGNATURE, None),
    "trailing text": (DATA + b"x", LENGTH, None),
    "a length without an end": (b"\x02\x01\x88", LENGTH, None),
    "a length of more than 28 bits": (b"\x02\x01\x88\x80\x80\x80\x01", LENGTH, None),
    "a location that is not UTF-8": (b"\x02\x01\x02\xff\xff\x02\x0212\x00" + SIGNATURE, NO_UTF_8, None),
    "an identifier that is not UTF-8": (b"\x02\x01\x08pypi.org\x02\x02\xff\xff\x00" + SIGNATURE, NO_UTF_8, None),
    "version 1: a third party's key first": ((*V1_HEAD, b"vid b\n", V1_SIGNATURE), PARTS, "IndexError"),
    "version 1: a third party's place first": ((*V1_HEAD, b"cl b\n", V1_SIGNATURE), PARTS, "IndexError"),
    "version 1: no location": ((V1_HEAD[1], V1_SIGNATURE), SPELLING, None),
    "version 1: no identifier": ((V1_HEAD[0], V1_SIGNATURE), SPELLING, None),
    "version 1: two signatures": ((*V1_HEAD, V1_SIGNATURE, V1_SIGNATURE), SPELLING, None),
    "version 1: a caveat behind the signature": ((*V1_HEAD, V1_SIGNATURE, b"cid a\n"), SPELLING, None),
    "version 1: no line feed": ((V1_HEAD[0][:-1] + b"x", V1_HEAD[1], V1_SIGNATURE), SPELLING, None),
    "version 1: lengths in capitals": (V1_DATA.replace(b"002f", b"002F"), SPELLING, None),
    "version 1: an identifier that is not ASCII": (
        (V1_HEAD[0], "identifier \u00e4\n".encode(), V1_SIGNATURE),
        SPELLING,
        None,
    ),
    "version 1: an unknown field": ((*V1_HEAD, b"key b\n", V1_SIGNATURE), PARTS, MALFORMED),
    "version 1: no length": (b"zzz pypi.org", PARTS, MALFORMED),
    "version 1: a length of zero": (b"0000location pypi.org\n", PARTS, MALFORMED),
    "version 1: a length that goes back": (v1(*V1_HEAD) + b"-00a" + V1_SIGNATURE, PARTS, MALFORMED),
    "version 1: a short signature": ((*V1_HEAD, V1_SIGNATURE[:-2] + b"\n"), SHORT, None),
    "version 1: no signature": (V1_HEAD, NO_SIGNATURE, None),
    "version 1: a third party without its place": (
        (*V1_HEAD, b"cid a\n", b"vid b\n", V1_SIGNATURE),
        THIRD_PARTIES,
        None,
    ),
    "version 1: third parties": (with_third_party(1), THIRD_PARTIES, None),
    "version 1: a third party's place alone": ((*V1_HEAD, b"cid a\n", b"cl b\n", V1_SIGNATURE), THIRD_PARTIES, None),
    "version 1: a length that is no number": (b"00zzlocation pypi.org\n", PARTS, "ValueError"),
    "version 1: a length that ends early": (b"0", PARTS, "error"),
    "version 1: a location that is not UTF-8": (
        (b"location \xff\n", V1_HEAD[1], V1_SIGNATURE),
        PARTS,
        "UnicodeDecodeError",
    ),
    "version 1: an identifier that is not UTF-8": (
        (V1_HEAD[0], b"identifier \xff\n", V1_SIGNATURE),
        PARTS,
        "UnicodeDecodeError",
    ),
}

MEGABYTE = 1_000_000
RANDOM = hashlib.shake_256(b"noise").digest(700_000)
NOISE: dict[str, tuple[Callable[[], str], str, str | None]] = {
    "ones": (lambda: encode(b"\x02" + b"\xff" * 700_000), LENGTH, None),
    "zeros": (lambda: encode(b"\x02" + b"\x00" * 700_000), PARTS, None),
    "lengths of two": (lambda: encode(b"\x02" * 700_000), CUT, None),
    "empty packets": (lambda: encode(b"\x02" + b"\x01\x00" * 350_000), PARTS, None),
    "empty caveats": (lambda: encode(HEAD + b"\x02\x00\x00" * 230_000), PARTS, None),
    "packets of one byte": (lambda: encode(b"\x02" + b"\x02\x01a" * 230_000), PARTS, None),
    "one packet": (lambda: encode(b"\x02\x01\xe0\xa7\x12" + b"a" * 300_000), PARTS, None),
    "one packet that is cut short": (lambda: encode(b"\x02\x01\xff\xff\x7f" + b"a" * 700_000), CUT, None),
    "random bytes": (lambda: encode(b"\x02" + RANDOM), CUT, None),
    "blanks": (lambda: " " * MEGABYTE, EMPTY, None),
    "line breaks in base64": (lambda: "pypi-" + "AgEI\n" * 200_000, PARTS, None),
    "padding": (lambda: "pypi-" + "=" * MEGABYTE, PARTS, "IndexError"),
    "version 1: zeros": (lambda: encode(b"0" * 700_000), PARTS, MALFORMED),
    "version 1: small packets": (lambda: encode(v1(b"cid a\n") * 70_000), NO_SIGNATURE, None),
    "version 1: long packets": (lambda: encode(b"ffffcid " + b"a" * 700_000), PARTS, MALFORMED),
    "version 1: blanks": (lambda: encode(b"ffff" + b" " * 700_000), PARTS, MALFORMED),
}

# Every group of parameters that adds one caveat, as pypitoken wants them: normalized names, and no zero.
GROUPS: tuple[dict[str, Any], ...] = (
    {"not_before": NOW - 60, "not_after": NOW + 900},
    {"project_names": ["demo", "a"]},
    {"project_ids": [PROJECT]},
    {"user_id": USER},
    {"legacy_noop": True},
    {"legacy_project_names": ["other-one", "demo"]},
    {"legacy_not_before": NOW - 61, "legacy_not_after": NOW + 901},
)
VALUES: tuple[dict[str, Any], ...] = (
    {},
    {"not_before": -1, "not_after": 1},
    {"not_before": 2**62, "not_after": -(2**62)},
    {
        "not_before": datetime.datetime(2026, 1, 1, 12, 30, 59, 999_999, tzinfo=UTC),
        "not_after": datetime.datetime(2026, 1, 1, 12, 30, 59, 999_999, tzinfo=CET),
    },
    {"not_before": datetime.datetime(1, 1, 1, tzinfo=UTC), "not_after": datetime.datetime.max.replace(tzinfo=CET)},
    {"not_before": 1, "not_after": datetime.datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)},
    {"legacy_not_before": datetime.datetime(2026, 6, 1, tzinfo=CET), "legacy_not_after": 2**62},
    {"project_names": []},
    {"project_names": ("b", "a", "b")},
    {"project_names": [f"project-{number}" for number in range(2_000)]},
    {"project_ids": []},
    {"project_ids": ["not an id", "\u00e9\ud800\0", ""]},
    {"user_id": ""},
    {"user_id": '\u00e9"\\\n'},
    {"legacy_project_names": []},
    {"legacy_noop": False},
    {"legacy_noop": None},
    {"legacy_noop": 1},
    {"project_names": None, "project_ids": None, "user_id": None, "legacy_project_names": None},
)


def joined(*groups: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of several groups."""
    return {name: value for group in groups for name, value in group.items()}


COMBINATIONS = [
    joined(*groups) for count in range(len(GROUPS) + 1) for groups in itertools.combinations(GROUPS, count)
] + list(VALUES)

WRONG_DATES: list[tuple[Any, str]] = [
    (True, "{} is of type bool, expected Unix seconds or a date-time with a time zone."),
    (1.5, "{} is of type float, expected Unix seconds or a date-time with a time zone."),
    ("2026-01-01", "{} is of type str, expected Unix seconds or a date-time with a time zone."),
    (datetime.date(2026, 1, 1), "{} is of type date, expected Unix seconds or a date-time with a time zone."),
    (
        datetime.datetime(2026, 1, 1, 12, 30),  # noqa: DTZ001 - a naive one is what is refused
        (
            "{} is 2026-01-01T12:30:00, which has no time zone: "
            "write it with one, such as datetime.now(timezone.utc), or pass Unix seconds."
        ),
    ),
    (2**63, "{} is an integer of 64 bits, expected Unix seconds."),
    (-(1 << 20_000), "{} is an integer of 20001 bits, expected Unix seconds."),
]
OTHER_END = {
    "not_before": "not_after",
    "not_after": "not_before",
    "legacy_not_before": "legacy_not_after",
    "legacy_not_after": "legacy_not_before",
}

NO_NAME = (
    "{}: {!r} is not a valid project name: "
    "use letters, digits, '-', '_' and '.', and begin and end with a letter or digit."
)
WRONG_LISTS: list[tuple[str, Any, str]] = [
    (name, value, message.replace("{}", name))
    for name in ("project_names", "project_ids", "legacy_project_names")
    for value, message in (
        ("demo", "{} is a single string, expected a list: put it into one."),
        (b"demo", "{} is a single string, expected a list: put it into one."),
        (5, "{} is of type int, expected a list of strings."),
        (True, "{} is of type bool, expected a list of strings."),
        (["a", 1], "{} has an entry of type int, expected strings only."),
        (["a", None], "{} has an entry of type NoneType, expected strings only."),
        ([b"a"], "{} has an entry of type bytes, expected strings only."),
        ([["a"]], "{} has an entry of type list, expected strings only."),
        (bytearray(b"a"), "{} has an entry of type int, expected strings only."),
        ((part for part in ("a", 1)), "{} has an entry of type int, expected strings only."),
    )
]
WRONG_NAMES = ("", " ", "-", "a-", ".a", "a b", "a/b", "demo\n", "\u00e9", "\u017f", "\u212a", "\ud800", "a\0")


@pytest.mark.parametrize(("raw", "message", "cause"), UNREADABLE.values(), ids=UNREADABLE)
def test_refuses_what_is_not_a_token(raw: str | bytes | tuple[bytes, ...], message: str, cause: str | None) -> None:
    data = v1(*raw) if isinstance(raw, tuple) else raw
    error = refusal(encode(data) if isinstance(data, bytes) else data)
    assert error.args == (message,)
    assert (error.__cause__ and str(error.__cause__)) == cause
    assert error.__context__ is None


@pytest.mark.parametrize(("make", "message", "cause"), NOISE.values(), ids=NOISE)
def test_refuses_a_megabyte_of_noise(make: Callable[[], str], message: str, cause: str | None) -> None:
    error = refusal(make())

    assert (str(error), error.__cause__ and str(error.__cause__)) == (message, cause)


@pytest.mark.parametrize("text", [mint("[1, []]", "{}"), mint("[1, []]", "{}", version=1)], ids=["v2", "v1"])
def test_refuses_a_token_that_is_cut_short(text: str) -> None:
    for length in range(len(text)):
        refusal(text[:length])


@pytest.mark.parametrize("text", [mint("[1, []]", b"\xff"), mint("[1, []]", version=1)], ids=["v2", "v1"])
def test_never_misreads_a_token_with_a_wrong_bit(text: str) -> None:
    read = unread = 0
    for at, bit in itertools.product(range(len(text)), range(8)):
        wrong = text[:at] + chr(ord(text[at]) ^ 1 << bit) + text[at + 1 :]
        try:
            token = Token.load(wrong)
        except LoaderError:
            unread += 1
        else:
            assert token.dump() == wrong.strip()
            read += 1

    assert read > 0
    assert unread > 0


LENGTHS = [(version, length) for version in (1, 2) for length in (0, 1, 127, 128, 16_383, 16_384, 65_526)]


@pytest.mark.parametrize(("version", "length"), [*LENGTHS, (2, 3_000_000)])
def test_reads_what_pymacaroons_writes(version: int, length: int) -> None:
    caveats = [b"[1, []]", b"x" * length, b"", *(b"[1, [%d]]" % number for number in range(2_000))]
    text = mint(*caveats, version=version)
    token = Token.load(text)

    assert token.dump() == text
    assert token.raw_caveats == caveats
    assert (token.prefix, token.domain, token.identifier) == ("pypi", DOMAIN, IDENTIFIER)


@pytest.mark.parametrize("before", ["", " ", "\n", "\t\r\n\u00a0"])
@pytest.mark.parametrize("after", ["", "\n", "\r\n", "  \u2028"])
def test_strips_white_space_around_a_token(before: str, after: str) -> None:
    assert Token.load(before + TEXT + after).dump() == TEXT


@pytest.mark.parametrize("prefix", ["pypi", "x", "ab cd", "!~", "a_b"])
def test_keeps_any_prefix(prefix: str) -> None:
    text = f"{prefix}-{TEXT.removeprefix('pypi-')}"
    token = Token.load(text)

    assert token.prefix == prefix
    assert token.dump() == text


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("key", [KEY, KEY.encode(), "\u00fcber", b"\xff"])
def test_mints_what_pypitoken_mints(version: int, key: str | bytes) -> None:
    ours = Token.create("test.pypi.org", "an id", key, prefix="test", version=version)
    theirs = pypitoken.Token.create("test.pypi.org", "an id", key, prefix="test", version=version)

    assert ours.dump() == theirs.dump()


def test_mints_tokens_of_version_2_for_pypi_by_default() -> None:
    token = Token.create(DOMAIN, IDENTIFIER, KEY)

    assert token.dump() == pypitoken.Token.create(DOMAIN, IDENTIFIER, KEY).dump()
    assert decode(token.dump())[0] == 2
    assert (token.prefix, token.domain, token.identifier, token.restrictions) == ("pypi", DOMAIN, IDENTIFIER, [])


@pytest.mark.parametrize(
    ("domain", "identifier", "version"),
    [("", "", 1), ("", "", 2), ("p\u00fcp\u00ef.org", "\U0001f511", 2), ("d" * 8191, "\U0001f511" * 8191, 2)],
)
def test_reads_what_it_mints(domain: str, identifier: str, version: int) -> None:
    text = Token.create(domain, identifier, KEY, version=version).restrict(project_names=["demo"]).dump()
    token = Token.load(text)

    assert (token.domain, token.identifier, token.dump()) == (domain, identifier, text)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"prefix": ""}, "the prefix must be visible ASCII text without a dash"),
        ({"prefix": "py-pi"}, "the prefix must be visible ASCII text without a dash"),
        ({"prefix": "py pi"}, "the prefix must be visible ASCII text without a dash"),
        ({"prefix": "pypi\n"}, "the prefix must be visible ASCII text without a dash"),
        ({"prefix": "p\u00ffpi"}, "the prefix must be visible ASCII text without a dash"),
        ({"prefix": None}, "the prefix must be visible ASCII text without a dash"),
        ({"version": 3}, "the version is 3, expected 1 or 2"),
        ({"version": None}, "the version is None, expected 1 or 2"),
        ({"key": ""}, "the key must be text or bytes, and not empty"),
        ({"key": b""}, "the key must be text or bytes, and not empty"),
        ({"key": None}, "the key must be text or bytes, and not empty"),
        ({"key": 5}, "the key must be text or bytes, and not empty"),
        ({"key": "a secret key \ud800"}, "the key has characters that cannot be encoded"),
        ({"domain": None}, "the domain must be text of at most 8191 characters"),
        ({"domain": b"pypi.org"}, "the domain must be text of at most 8191 characters"),
        ({"domain": "x" * 8192}, "the domain must be text of at most 8191 characters"),
        ({"domain": "\ud800"}, "the domain has characters that cannot be encoded"),
        ({"domain": "p\u00fcp\u00ef.org", "version": 1}, "the domain has characters that cannot be encoded"),
        ({"identifier": 5}, "the identifier must be text of at most 8191 characters"),
        ({"identifier": "x" * 8192}, "the identifier must be text of at most 8191 characters"),
        ({"identifier": "\udfff"}, "the identifier has characters that cannot be encoded"),
        ({"identifier": "\u00e9", "version": 1}, "the identifier has characters that cannot be encoded"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_parameters_that_cannot_be_part_of_a_token_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(PyPITokenException) as caught:
        Token.create(**{"domain": DOMAIN, "identifier": IDENTIFIER, "key": KEY} | parameters)

    assert str(caught.value) == message
    assert type(caught.value) is PyPITokenException
    assert shown_of(KEY + "a secret key \ud800 a secret key \\ud800", caught.value) == set()


@pytest.mark.parametrize("version", [1, 2])
def test_restricts_as_pypitoken_does(version: int) -> None:
    ours = [create(version, **p).dump() for p in COMBINATIONS]
    theirs = [
        pypitoken.Token.create(DOMAIN, IDENTIFIER, KEY, version=version).restrict(**p).dump() for p in COMBINATIONS
    ]

    assert ours == theirs
    assert len(set(ours)) > 128


@pytest.mark.parametrize("version", [1, 2])
def test_restricts_a_loaded_token_as_pypitoken_does(version: int) -> None:
    text = create(version, **GROUPS[0]).dump()
    ours, theirs = Token.load(text), pypitoken.Token.load(text)
    for parameters in GROUPS:
        ours.restrict(**parameters)
        theirs.restrict(**parameters)

        assert ours.dump() == theirs.dump()


def test_lists_may_be_any_iterable() -> None:
    expected = create(project_names=["b", "a"], project_ids=["d", "c"], legacy_project_names=["f", "e"])

    given = create(
        project_names=iter(("b", "a")), project_ids=(part for part in "dc"), legacy_project_names={"f": 1, "e": 2}
    )

    assert given.dump() == expected.dump()


@pytest.mark.parametrize(
    ("parameters", "caveat"),
    [
        ({"not_before": 0, "not_after": 0}, b"[0, 0, 0]"),
        ({"not_before": 0, "not_after": 5}, b"[0, 5, 0]"),
        ({"not_before": 5, "not_after": 0}, b"[0, 0, 5]"),
        ({"legacy_not_before": 0, "legacy_not_after": 0}, b'{"nbf": 0, "exp": 0}'),
    ],
)
def test_zero_is_a_moment(parameters: dict[str, Any], caveat: bytes) -> None:
    assert create(**parameters).raw_caveats == [caveat]


def test_normalizes_project_names() -> None:
    names = ["My_Proj.X", "a--_b", "B", "my-proj-x", "0"]

    token = create(project_names=names, legacy_project_names=names)

    assert token.raw_caveats == [
        b'[1, ["my-proj-x", "a-b", "b", "my-proj-x", "0"]]',
        b'{"version": 1, "permissions": {"projects": ["my-proj-x", "a-b", "b", "my-proj-x", "0"]}}',
    ]


def test_restrict_returns_the_token_itself() -> None:
    token = create()

    assert token.restrict(user_id=USER) is token
    assert token.restrict() is token
    assert len(token.raw_caveats) == 1


def refused_restriction(parameters: dict[str, Any], version: int = 2) -> str:
    """Return why restricting is refused, after a look at whether the token stayed as it was."""
    token = create(version, user_id=USER)
    text = token.dump()
    with pytest.raises(InvalidRestriction) as caught:
        token.restrict(**parameters)
    assert token.dump() == text
    assert isinstance(caught.value, ValueError)
    # A traceback shows this one exception: whoever calls is told about the parameters, not about our ways.
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


@pytest.mark.parametrize("name", OTHER_END)
@pytest.mark.parametrize(("moment", "message"), WRONG_DATES, ids=[message[:50] for _, message in WRONG_DATES])
def test_a_wrong_moment_is_refused(name: str, moment: Any, message: str) -> None:
    assert refused_restriction({name: moment, OTHER_END[name]: 5}) == message.format(name)


@pytest.mark.parametrize(("name", "other"), OTHER_END.items())
@pytest.mark.parametrize("moment", [0, 5, datetime.datetime(2026, 1, 1, tzinfo=UTC)], ids=str)
def test_refuses_a_window_with_one_end(name: str, other: str, moment: Any) -> None:
    first, second = sorted((name, other), reverse=True)
    expected = f"{first} and {second} belong together: pass both."

    assert refused_restriction({name: moment}) == expected


@pytest.mark.parametrize(
    ("name", "value", "message"), WRONG_LISTS, ids=[f"{name} {ascii(value)[:30]}" for name, value, _ in WRONG_LISTS]
)
def test_anything_but_a_list_of_strings_is_refused(name: str, value: Any, message: str) -> None:
    assert refused_restriction({name: value}) == message


@pytest.mark.parametrize("parameter", ["project_names", "legacy_project_names"])
@pytest.mark.parametrize("name", WRONG_NAMES, ids=ascii)
def test_invalid_project_names_are_refused(parameter: str, name: str) -> None:
    assert refused_restriction({parameter: ["demo", name]}) == NO_NAME.format(parameter, name)


@pytest.mark.parametrize(("user_id", "kind"), [(5, "int"), (b"u", "bytes"), ([USER], "list"), (False, "bool")])
def test_a_user_id_must_be_a_string(user_id: Any, kind: str) -> None:
    expected = f"user_id is of type {kind}, expected a string."

    assert refused_restriction({"user_id": user_id}) == expected


def test_refuses_what_version_1_cannot_hold() -> None:
    longest = "x" * (65_526 - len('[3, ""]'))
    text = create(1, user_id=longest).dump()

    assert Token.load(text).dump() == text
    assert refused_restriction({"project_names": ["a"], "user_id": longest + "x"}, version=1) == (
        "the restriction is longer than version 1 of the format can hold (64 KiB): name fewer projects."
    )
    assert create(2, user_id=longest + "x").restrictions == [UserIDRestriction(longest + "x")]


def refused_use(token: Token, key: Any = KEY, **context: Any) -> str | None:
    """Return the type and the message of what a check raises, after a look at whether the key is shown."""
    refusal = None
    try:
        token.check(key, **context)
    except ValidationError as error:
        refusal = error
    if refusal is None:
        return None
    assert shown_of(KEY, refusal) == set()
    return f"{type(refusal).__name__}: {refusal}"


WRONG_KEY = "ValidationError: the token is not valid: its signature does not match the key"


@pytest.mark.parametrize("version", [1, 2])
def test_checks_with_text_and_bytes_for_a_key(version: int) -> None:
    token = create(version, project_names=["demo"])

    assert refused_use(token, KEY, project_name="demo") is None
    assert refused_use(token, KEY.encode(), project_name="demo") is None


@pytest.mark.parametrize("key", ["another", b"another", KEY + " ", KEY.upper(), "\ud800", "", b"", None, 0, 5, [KEY]])
@pytest.mark.parametrize("version", [1, 2])
def test_refuses_another_key(version: int, key: Any) -> None:
    assert refused_use(create(version), key) == WRONG_KEY


@pytest.mark.parametrize("key", ["", b"", None])
@pytest.mark.parametrize("caveats", [(), ("[1, []]",)])
def test_refuses_tokens_that_anyone_could_mint(key: Any, caveats: tuple[str, ...]) -> None:
    macaroon = pymacaroons.Macaroon(DOMAIN, IDENTIFIER, KEY, version=2)
    macaroon.signature = pymacaroons.utils.create_initial_signature(b"", macaroon.identifier_bytes)
    for caveat in caveats:
        macaroon.add_first_party_caveat(caveat)

    assert refused_use(Token("pypi", macaroon), key, project_name="demo") == WRONG_KEY


def test_refuses_a_token_whose_caveats_were_changed() -> None:
    text = mint('[1, ["demo"]]', "[0, 9, 5]")
    forged = [
        text_of_changed(text, lambda caveats: caveats.pop()),
        text_of_changed(text, lambda caveats: caveats.pop(0)),
        text_of_changed(text, lambda caveats: caveats.reverse()),
        text_of_changed(text, lambda caveats: caveats.append(caveats[0])),
    ]

    assert refused_use(Token.load(text), project_name="demo", now=7) is None
    assert [refused_use(Token.load(raw), project_name="demo", now=7) for raw in forged] == [WRONG_KEY] * 4


def text_of_changed(text: str, change: Callable[[list[pymacaroons.Caveat]], object]) -> str:
    """Return a token with other caveats and the old signature."""
    macaroon = pymacaroons.Macaroon.deserialize(text.removeprefix("pypi-"))
    change(macaroon.caveats)
    return f"pypi-{macaroon.serialize()}"


def test_accepts_what_every_restriction_allows() -> None:
    token = create(**joined(*GROUPS))

    assert refused_use(token, project_name="De_Mo".replace("_", ""), project_id=PROJECT, user_id=USER, now=NOW) is None


def test_every_unmet_restriction_is_a_reason_and_the_first_is_the_cause() -> None:
    token = Token.load(mint('[1, ["demo"]]', "[0, 9, 5]", "[99]", b"\xff", '[3, "u"]'))

    with pytest.raises(ValidationError) as caught:
        token.check(KEY, project_name="Other", now=9)

    assert str(caught.value) == (
        "the token is not valid: the token is for the projects ['demo'], and it was used for 'other', "
        "and the token is valid from 5 until before 9 (Unix seconds), and it was used at 9, "
        "and the caveat has the unknown tag 99, "
        "and the caveat is not JSON (UnicodeDecodeError), "
        "and the token's restrictions cannot be checked without user_id"
    )
    assert type(caught.value) is ValidationError
    assert type(caught.value.__cause__) is ValidationError
    assert str(caught.value.__cause__) == "the token is for the projects ['demo'], and it was used for 'other'"


def test_only_missing_context_raises_missing_context_error() -> None:
    token = create(project_names=["demo"], project_ids=[PROJECT], user_id=USER)
    lacking = (
        "MissingContextError: the token is not valid: the token's restrictions cannot be checked without project_id, "
        "and the token's restrictions cannot be checked without user_id"
    )

    assert refused_use(token, project_name="demo") == lacking
    with pytest.raises(MissingContextError) as caught:
        token.check(KEY, project_name="demo")
    assert type(caught.value.__cause__) is MissingContextError


@pytest.mark.parametrize(("moment", "message"), WRONG_DATES, ids=[message[:50] for _, message in WRONG_DATES])
def test_a_check_at_a_wrong_moment_is_refused(moment: Any, message: str) -> None:
    expected = f"ValidationError: the token cannot be checked: {message.format('now')}"

    assert refused_use(create(), now=moment) == expected
    with pytest.raises(ValidationError) as caught:
        create().check(KEY, now=moment)
    assert type(caught.value.__cause__) is InvalidRestriction


@pytest.mark.parametrize(
    ("now", "allowed"),
    [
        (NOW - 1, False),
        (NOW, True),
        (NOW + 1, False),
        (datetime.datetime.fromtimestamp(NOW, CET), True),
        (datetime.datetime.fromtimestamp(NOW, UTC) + datetime.timedelta(microseconds=999_999), True),
        (datetime.datetime.fromtimestamp(NOW + 1, UTC), False),
        (datetime.datetime.fromtimestamp(NOW, UTC).replace(tzinfo=CET), False),
    ],
    ids=str,
)
def test_checks_at_the_moment_given(now: Any, allowed: bool) -> None:
    assert (refused_use(create(not_before=NOW, not_after=NOW + 1), now=now) is None) == allowed


def test_a_check_is_for_the_current_time_by_default() -> None:
    before = int(time.time())
    valid = refused_use(create(not_before=before, not_after=before + 600))
    expired = refused_use(create(not_before=0, not_after=5))
    after = int(time.time())

    assert valid is None
    expected = "ValidationError: the token is not valid: the token is valid from 0 until before 5 (Unix seconds), "
    assert expired in [f"{expected}and it was used at {now}" for now in range(before, after + 1)]


def test_lists_restrictions_in_order() -> None:
    token = Token.load(create(**joined(GROUPS[0], GROUPS[1], GROUPS[4])).dump())

    assert token.restrictions == [
        DateRestriction(NOW - 60, NOW + 900),
        ProjectNamesRestriction(["demo", "a"]),
        LegacyNoopRestriction(),
    ]
    assert token.caveats == token.restrictions
    assert token.raw_caveats == [
        b"[0, 1790000900, 1789999940]",
        b'[1, ["demo", "a"]]',
        b'{"version": 1, "permissions": "user"}',
    ]


def test_lists_caveats_that_it_cannot_read() -> None:
    token = Token.load(mint('[1, ["demo"]]', "[99]", b"\xff", "[" * 100_000))

    assert token.caveats == [
        ProjectNamesRestriction(["demo"]),
        UnknownCaveat(b"[99]", "the caveat has the unknown tag 99"),
        UnknownCaveat(b"\xff", "the caveat is not JSON (UnicodeDecodeError)"),
        UnknownCaveat(b"[" * 100_000, "the caveat is not JSON (RecursionError)"),
    ]
    assert token.raw_caveats == [b'[1, ["demo"]]', b"[99]", b"\xff", b"[" * 100_000]
    with pytest.raises(LoaderError) as caught:
        token.restrictions  # noqa: B018 - the property raises
    assert str(caught.value) == "the caveat has the unknown tag 99"


def test_the_lists_that_it_returns_are_copies() -> None:
    token = create(project_names=["demo"])
    text = token.dump()
    token.raw_caveats.clear()
    token.restrictions.clear()

    assert token.dump() == text


def test_the_repr_has_the_restrictions_and_nothing_secret() -> None:
    text = mint("[0, 9, 5]", b"\xff")
    token = Token.load(text)
    shown = (repr(token), str(token), f"{token}")

    expected = (
        f"Token(domain='pypi.org', identifier='{IDENTIFIER}', restrictions=["
        "DateRestriction(not_before=5, not_after=9), "
        "UnknownCaveat(caveat_id=b'\\xff', problem='the caveat is not JSON (UnicodeDecodeError)')])"
    )
    assert shown == (expected,) * 3
    assert token.dump() not in shown[0]
    assert decode(text)[-32:].hex() not in shown[0]


@pytest.mark.parametrize("version", [1, 2])
def test_shows_its_macaroon(version: int) -> None:
    token = create(version, project_names=["demo"])

    assert isinstance(token._macaroon, pymacaroons.Macaroon)
    assert token._macaroon is token._macaroon
    assert f"pypi-{token._macaroon.serialize()}" == token.dump()


@pytest.mark.parametrize("version", [1, 2])
def test_a_caveat_added_to_its_macaroon_restricts_the_token(version: int) -> None:
    ours, theirs = create(version), pypitoken.Token.load(create(version).dump())
    for token in (ours, theirs):
        token._macaroon.add_first_party_caveat('[1, ["demo"]]')

    assert ours.restrictions == [ProjectNamesRestriction(["demo"])]
    assert ours.dump() == theirs.dump()
    assert refused_use(ours, project_name="demo") is None
    assert refused_use(ours, project_name="other") == (
        "ValidationError: the token is not valid: the token is for the projects ['demo'], and it was used for 'other'"
    )


@pytest.mark.parametrize("version", [1, 2])
def test_a_caveat_added_to_the_macaroon_that_it_was_made_from_restricts_the_token(version: int) -> None:
    macaroon = pymacaroons.Macaroon(DOMAIN, IDENTIFIER, KEY, version=version)
    token = Token("other", macaroon)
    macaroon.add_first_party_caveat("[99]")
    token.restrict(project_names=["demo"])
    macaroon.add_first_party_caveat("[0, 9, 5]")

    assert token._macaroon is macaroon
    assert token.raw_caveats == [b"[99]", b'[1, ["demo"]]', b"[0, 9, 5]"]
    assert token.dump() == f"other-{macaroon.serialize()}"
    assert token.dump() == mint(*token.raw_caveats, version=version).replace("pypi-", "other-", 1)


def test_a_refused_restriction_leaves_the_macaroon_that_it_was_made_from_alone() -> None:
    macaroon = pymacaroons.Macaroon(DOMAIN, IDENTIFIER, KEY, version=1)
    token = Token("pypi", macaroon)
    with pytest.raises(InvalidRestriction):
        token.restrict(project_names=["demo"], user_id="x" * 65_536)

    assert (macaroon.caveats, token.raw_caveats) == ([], [])


def test_a_macaroon_that_pypi_would_not_issue_is_refused_from_then_on() -> None:
    token = create()
    token._macaroon.add_third_party_caveat("https://auth.example", "the key of that party", "its caveat")
    for use in (token.dump, token.restrict, lambda: token.check(KEY), lambda: token.caveats):
        with pytest.raises(LoaderError) as caught:
            use()
        assert str(caught.value) == "the token has caveats of third parties"


def with_location() -> pymacaroons.Macaroon:
    """Return a macaroon with a caveat that says where it could be discharged, and not by what key."""
    macaroon = pymacaroons.Macaroon(DOMAIN, IDENTIFIER, KEY, version=2)
    macaroon.add_first_party_caveat("[99]")
    macaroon.caveats[0].location = "https://auth.example"
    return macaroon


UNREADABLE_PARTS = "the macaroon is not a PyPI token's: its parts cannot be read ({})"


def unsigned() -> pymacaroons.Macaroon:
    """Return a macaroon that nobody signed."""
    return pymacaroons.Macaroon(DOMAIN, IDENTIFIER, version=2)


@pytest.mark.parametrize(
    ("macaroon", "reason"),
    [
        (pymacaroons.Macaroon.deserialize(with_third_party(2)[5:]), "the token has caveats of third parties"),
        (with_location(), "the token has caveats of third parties"),
        (unsigned(), NO_SIGNATURE),
        (pymacaroons.Macaroon(b"\xff", IDENTIFIER, KEY, version=2), UNREADABLE_PARTS.format("UnicodeDecodeError")),
        (pymacaroons.Macaroon(DOMAIN, b"\xff", KEY, version=2), UNREADABLE_PARTS.format("UnicodeDecodeError")),
        (None, UNREADABLE_PARTS.format("AttributeError")),
    ],
    ids=["third parties", "discharge location", "unsigned", "location", "identifier", "no macaroon"],
)
def test_a_macaroon_that_pypi_never_issues_is_refused(macaroon: pymacaroons.Macaroon, reason: str) -> None:
    with pytest.raises(LoaderError) as caught:
        Token("pypi", macaroon)

    assert str(caught.value) == reason
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize("name", keyring_pypitoken.__all__)
def test_offers_every_public_name(name: str) -> None:
    public = getattr(keyring_pypitoken, name)

    assert public.__name__ == name
    assert public is getattr(importlib.import_module(public.__module__), name)


def test_offers_the_names_of_pypitoken() -> None:
    theirs = {name for name in vars(pypitoken) if isinstance(getattr(pypitoken, name), type)}

    assert theirs - set(keyring_pypitoken.__all__) == set()
    assert len(theirs) > 10


EXCEPTIONS = "PyPITokenException, LoaderError, ValidationError, MissingContextError, InvalidRestriction"


@pytest.mark.parametrize("name", EXCEPTIONS.split(", "))
def test_exceptions_have_the_bases_of_pypitokens(name: str) -> None:
    ours, theirs = getattr(keyring_pypitoken, name), getattr(pypitoken, name)

    assert [base.__name__ for base in ours.__mro__] == [base.__name__ for base in theirs.__mro__]


@pytest.mark.parametrize("name", ["__init__", "load", "create", "restrict", "dump", "check"])
def test_methods_have_pypitokens_signatures(name: str) -> None:
    ours, theirs = (
        [(parameter.name, parameter.kind, parameter.default) for parameter in signature.parameters.values()]
        for signature in (inspect.signature(getattr(token, name)) for token in (Token, pypitoken.Token))
    )

    assert ours == theirs


def test_lists_its_public_names() -> None:
    assert dir(keyring_pypitoken) == sorted(keyring_pypitoken.__all__)


def test_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError) as caught:
        keyring_pypitoken.Tokens  # noqa: B018 - the name is what is not there

    assert str(caught.value) == "module 'keyring_pypitoken' has no attribute 'Tokens'"


def python(program: str) -> str:
    """Return what a program prints in a bare interpreter, which knows this package and the standard library alone."""
    env = os.environ | {"PYTHONPATH": str(Path(keyring_pypitoken.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-S", "-c", program], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_can_be_imported_by_star() -> None:
    program = "from keyring_pypitoken import *; print(sorted(name for name in dir() if name[0] != '_'))"

    assert python(program) == str(sorted(keyring_pypitoken.__all__))


DERIVE = f"from keyring_pypitoken import Token; Token.load({TEXT!r}).restrict(project_names=['demo']).dump()"


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import keyring_pypitoken", {"json", "dataclasses", "pymacaroons", "nacl", "packaging"}),
        (f"from keyring_pypitoken import {EXCEPTIONS}", {"json", "dataclasses", "pymacaroons", "nacl", "packaging"}),
        ("from keyring_pypitoken import Token", {"dataclasses", "inspect", "pymacaroons", "nacl", "packaging"}),
        (DERIVE, {"dataclasses", "inspect", "pymacaroons", "nacl", "packaging"}),
    ],
    ids=["package", "exceptions", "Token", "restrict"],
)
def test_importing_loads_nothing_heavy(statement: str, heavy: set[str]) -> None:
    assert python(f"import sys; {statement}; print({heavy!r} & set(sys.modules))") == "set()"
