"""A token in words says what PyPI reads in it, and shows neither its signature nor what a terminal would obey."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pymacaroons
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from macaroons import mint
from sandbox import DATA

from keyring_pypitoken import LoaderError, Token
from keyring_pypitoken.text import in_words, quoted
from keyring_pypitoken.tokens.describe import HIDDEN_RESTRICTIONS, describe

if TYPE_CHECKING:
    from types import TracebackType

VERDICTS = json.loads((DATA / "pypi_verdicts.json").read_text("utf-8"))["cases"]
NOW = 1_790_000_000  # 2026-09-21 14:13:20 UTC
IDENTIFIER = Token.load(mint()).identifier


def caveat_of(raw: str | bytes) -> dict[str, Any]:
    """Describe a token's only caveat."""
    (caveat,) = describe(mint(raw), NOW)["caveats"]
    return dict(caveat)


# Lengths of time


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (60, "1 minute"),
        (61, "1 minute 1 second"),
        (3599, "59 minutes 59 seconds"),
        (3601, "1 hour"),
        (3900, "1 hour 5 minutes"),
        (86_399, "23 hours 59 minutes"),
        (86_400 + 3599, "1 day"),
        (2 * 86_400 + 3 * 3600 + 59, "2 days 3 hours"),
        (365 * 86_400, "1 year"),
        (800 * 86_400, "2 years 70 days"),
        (1000 * 365 * 86_400 - 1, "999 years 364 days"),
        (1000 * 365 * 86_400, "1000 years or more"),
        (10**4000, "1000 years or more"),
    ],
)
def test_writes_lengths_of_time(seconds: int, words: str) -> None:
    assert in_words(seconds) == words


def test_text_that_others_wrote_is_quoted_unless_it_may_be_secret() -> None:
    assert quoted("a'\x1b") == '"a\'\\x1b"'
    assert quoted(mint()) == "a text that looks like a token"
    assert quoted("x" * 5000) == "a text of 5000 characters"


# Caveats

UUID = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
DAY = "2026-09-21"
# From when until when; how that is written, and what it means now.
WINDOWS: list[tuple[int, int, str, str]] = [
    (NOW - 60, NOW + 240, f"only from {DAY} 14:12:20 UTC until {DAY} 14:17:20 UTC", "valid for another 4 minutes"),
    (NOW, NOW + 1, f"only from {DAY} 14:13:20 UTC until {DAY} 14:13:21 UTC", "valid for another 1 second"),
    (NOW - 60, NOW, f"only from {DAY} 14:12:20 UTC until {DAY} 14:13:20 UTC", "expired just now"),
    (NOW - 240, NOW - 180, f"only from {DAY} 14:09:20 UTC until {DAY} 14:10:20 UTC", "expired 3 minutes ago"),
    (NOW + 120, NOW + 3600, f"only from {DAY} 14:15:20 UTC until {DAY} 15:13:20 UTC", "begins in 2 minutes"),
    (NOW, NOW, f"never: it would begin at {DAY} 14:13:20 UTC and end at {DAY} 14:13:20 UTC", "never valid"),
    (
        -1,
        10**20 - 1,
        "only from 1969-12-31 23:59:59 UTC until the Unix second 99999999999999999999",
        "valid for another 1000 years or more",
    ),
    (
        -62_135_596_800,
        253_402_300_799,
        "only from 0001-01-01 00:00:00 UTC until 9999-12-31 23:59:59 UTC",
        "valid for another 1000 years or more",
    ),
]
ONLY, DENIED = "only uploads of the project", "unknown: PyPI would deny it (the caveat"
NORMALIZED = "PyPI compares normalized names, which"
SEVEN = [f"p{number}" for number in range(7)]
# The text of a caveat; its kind, its meaning, the values that it lists.
CAVEATS: list[tuple[str, str, str, list[str]]] = [
    ('[1, ["b", "a"]]', "project_names", f"{ONLY}s 'a', 'b'", ["b", "a"]),
    ('[true, ["a"]]', "project_names", f"{ONLY} 'a'", ["a"]),
    ('{"version": 1, "permissions": {"projects": ["a"]}}', "legacy_project_names", f"{ONLY} 'a'", ["a"]),
    ('[1, ["A"]]', "project_names", f"{ONLY} 'A'; {NORMALIZED} 'A' is not", ["A"]),
    ('[1, ["A", "b", "_"]]', "project_names", f"{ONLY}s 'A', '_', 'b'; {NORMALIZED} 'A', '_' are not", ["A", "b", "_"]),
    (json.dumps([1, SEVEN]), "project_names", f"{ONLY}s 'p0', 'p1', 'p2', 'p3', 'p4' and 2 more", SEVEN),
    (r'[1, ["a\u001b[k"]]', "project_names", rf"{ONLY} 'a\x1b[k'", ["a\x1b[k"]),
    ("[1, []]", "project_names", "no upload at all: its list of projects is empty", []),
    (f'[2, ["{UUID}"]]', "project_ids", f"only the project with the id '{UUID}'", [UUID]),
    (
        f'[2, ["{UUID}", "{OTHER}"]]',
        "project_ids",
        f"only the projects with the ids '{UUID}', '{OTHER}'",
        [UUID, OTHER],
    ),
    (f'{{"project_ids": ["{UUID}"]}}', "legacy_project_ids", f"only the project with the id '{UUID}'", [UUID]),
    ("[2, []]", "project_ids", "no project at all: its list of ids is empty", []),
    (f'[3, "{UUID}"]', "user_id", f"only for the user with the id '{UUID}'", [UUID]),
    (
        '[4, "7", {"sha": "c0ffee", "n": NaN}]',
        "oidc_publisher",
        "issued by Trusted Publishing, to the publisher with the id '7'",
        ["7"],
    ),
    ('{"version": 1, "permissions": "user"}', "legacy_noop", "no restriction: all that its user may do", []),
    ('["\\u001b"]', "unknown", rf"{DENIED} has the unknown tag '\x1b')", []),
    ("[0, 1.5, true]", "unknown", f"{DENIED}'s not_before is of type bool, expected int)", []),
    ("", "unknown", f"{DENIED} is not JSON (JSONDecodeError))", []),
]


@pytest.mark.parametrize(("begin", "end", "meaning", "state"), WINDOWS)
def test_describes_a_window_in_words(begin: int, end: int, meaning: str, state: str) -> None:
    for raw, kind in ((f"[0, {end}, {begin}]", "date"), (f'{{"nbf": {begin}, "exp": {end}}}', "legacy_date")):
        described = caveat_of(raw)
        assert (described["raw"], described["kind"], described["values"]) == (raw, kind, [])
        assert (described["meaning"], described["state"]) == (meaning, state)


@pytest.mark.parametrize(("raw", "kind", "meaning", "values"), CAVEATS, ids=[case[0][:50] for case in CAVEATS])
def test_describes_a_caveat_in_words(raw: str, kind: str, meaning: str, values: list[str]) -> None:
    timeless = {"not_before": None, "not_after": None, "standing": None, "state": None}
    assert caveat_of(raw) == {"kind": kind, "meaning": meaning, "values": values, **timeless, "raw": raw}


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\xff\x00'\"", r"\xff\x00\'" + '"'),
        (b'[9, "\x1b[2J"]', r'[9, "\x1b[2J"]'),
        ('[9, "\u202e"]'.encode(), r'[9, "\xe2\x80\xae"]'),
        ('[9, "\u00e4"]'.encode(), '[9, "\u00e4"]'),
        (b"[1,\n[]]", r"[1,\n[]]"),
        (b"", ""),
    ],
)
def test_shows_the_text_of_a_caveat_safely(raw: bytes, shown: str) -> None:
    assert caveat_of(raw)["raw"] == shown


# Tokens


def test_a_token_and_its_text_are_described_alike() -> None:
    text = mint("[1, []]")
    assert describe(Token.load(text), NOW) == describe(f"\n{text} ", NOW)


@pytest.mark.parametrize(
    ("caveats", "standing", "state"),
    [
        (["[0, 1790000100, 0]", "[0, 1790000060, 5]"], "valid", "valid for another 1 minute"),
        (["[0, 1790000100, 0]", "[0, 1790000200, 1790000060]"], "not yet valid", "begins in 1 minute"),
        (["[0, 1789999940, 0]", "[0, 1790000200, 5]"], "expired", "expired 1 minute ago"),
        (["[0, 1789999940, 0]", "[0, 1790000200, 1790000060]"], "never valid", "never valid"),
        (['{"nbf": 0, "exp": 1790000060}', "[9]", "[0, 1790000061, 0]"], "valid", "valid for another 1 minute"),
    ],
)
def test_all_dates_apply(caveats: list[str], standing: str, state: str) -> None:
    described = describe(mint(*caveats), NOW)
    assert (described["standing"], described["state"]) == (standing, state)


@pytest.mark.parametrize("version", [1, 2])
def test_describes_a_token_with_these_keys_in_this_order(version: int) -> None:
    described = describe(mint("[0, 1790000900, 1789999940]", "[9]", version=version), NOW)
    window = {
        "not_before": 1_789_999_940,
        "not_after": 1_790_000_900,
        "standing": "valid",
        "state": "valid for another 15 minutes",
    }
    timeless = {"not_before": None, "not_after": None, "standing": None, "state": None}
    expected: dict[str, Any] = {
        "location": "pypi.org",
        "identifier": IDENTIFIER,
        "format": version,
        **window,
        "caveats": [
            {
                "kind": "date",
                "meaning": "only from 2026-09-21 14:12:20 UTC until 2026-09-21 14:28:20 UTC",
                "values": [],
                **window,
                "raw": "[0, 1790000900, 1789999940]",
            },
            {
                "kind": "unknown",
                "meaning": "unknown: PyPI would deny it (the caveat has the unknown tag 9)",
                "values": [],
                **timeless,
                "raw": "[9]",
            },
        ],
        "note": "PyPI may apply further restrictions that are not visible in the token.",
    }
    assert described == expected
    assert json.dumps(described) == json.dumps(expected)
    assert described["note"] == HIDDEN_RESTRICTIONS


def test_the_names_in_a_token_are_shown_safely() -> None:
    macaroon = pymacaroons.Macaroon("a\x1b[2J\u00e4", "b\n\u202e", "key", version=2)
    described = describe(f"pypi-{macaroon.serialize()}", NOW)
    assert (described["location"], described["identifier"]) == ("a\\x1b[2J\u00e4", "b\\n\\u202e")


def with_third_party() -> str:
    """Return a token with a caveat of a third party."""
    macaroon = pymacaroons.Macaroon("pypi.org", "id", "key", version=2)
    macaroon.add_third_party_caveat("https://example.org", "caveat key", "caveat id")
    return f"pypi-{macaroon.serialize()}"


def frames(traceback: TracebackType | None) -> list[str]:
    """Return the locals of every frame of this package."""
    described = []
    while traceback is not None:
        if "keyring_pypitoken" in traceback.tb_frame.f_code.co_filename.split("tests")[-1]:
            described.append(repr(traceback.tb_frame.f_locals))
        traceback = traceback.tb_next
    return described


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the token is empty"),
        ("a password", "the token has no prefix: PyPI's tokens begin with 'pypi-'"),
        ("pypi-secretsecret", "the token's parts are not those of a PyPI token"),
        (mint()[:-4], "the token is cut short"),
        (mint() + "=", "the token is incomplete or was changed"),
        (with_third_party(), "the token's parts are not those of a PyPI token"),
    ],
    ids=["empty", "password", "no macaroon", "cut short", "changed", "third party"],  # one is random
)
def test_a_text_that_is_not_a_token_is_refused_without_showing_it(text: str, reason: str) -> None:
    with pytest.raises(LoaderError) as caught:
        describe(text, NOW)
    assert str(caught.value) == reason
    told = frames(caught.value.__traceback__)
    assert told
    assert not text or not any(text in local for local in told)


@pytest.mark.parametrize("case", VERDICTS, ids=lambda case: case["label"][:60])
def test_describes_every_token_of_pypis_verdicts(case: dict[str, Any]) -> None:
    try:
        token = Token.load(case["token"])
    except LoaderError:
        with pytest.raises(LoaderError):
            describe(case["token"], NOW)
        return
    described = describe(token, case["context"]["now"])
    assert len(described["caveats"]) == len(token.raw_caveats)
    if case["allowed"]:
        assert "unknown" not in [caveat["kind"] for caveat in described["caveats"]]
        assert described["standing"] in (None, "valid")
    if case["reason"] == "token is expired":
        assert described["standing"] not in (None, "valid")
    shown = json.dumps(described)
    assert token._macaroon.signature not in shown
    assert case["token"][-20:] not in shown


search = settings(deadline=None, database=None, max_examples=200)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
KNOWN = st.tuples(st.integers(-1, 5)).flatmap(
    lambda tag: st.lists(JSON_VALUES, max_size=3).map(lambda rest: [*tag, *rest])
)
BYTES = st.binary(max_size=40) | (JSON_VALUES | KNOWN).map(lambda value: json.dumps(value).encode())


@search
@given(st.lists(BYTES, max_size=3), st.integers(0, 2**40), st.sampled_from([1, 2]))
def test_any_caveats_can_be_described(raws: list[bytes], now: int, version: int) -> None:
    macaroon = pymacaroons.Macaroon("pypi.org", "id", "key", version=version)
    macaroon.caveats = [pymacaroons.Caveat(caveat_id=raw, version=version) for raw in raws]
    described = describe(Token("pypi", macaroon), now)
    assert len(described["caveats"]) == len(raws)
    texts = [caveat[name] or "" for caveat in described["caveats"] for name in ("raw", "meaning", "state")]
    assert all(text.isprintable() for text in texts)
    assert json.loads(json.dumps(described, allow_nan=False)) == described
