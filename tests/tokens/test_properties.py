"""What holds for every token, caveat, grant and use, tried on random ones."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import inspect
import json
from typing import TYPE_CHECKING, Any

import packaging.utils
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from loopback_index import judge
from macaroons import IDENTIFIER, KEY, mint

from keyring_pypitoken import (
    DateRestriction,
    InvalidRestriction,
    LegacyDateRestriction,
    LegacyNoopRestriction,
    LegacyProjectIDsRestriction,
    LegacyProjectNamesRestriction,
    LoaderError,
    OIDCPublisherRestriction,
    ProjectIDsRestriction,
    ProjectNamesRestriction,
    Restriction,
    Token,
    UnknownCaveat,
    UserIDRestriction,
    ValidationError,
    names,
)
from keyring_pypitoken.derive import derive
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.policy.model import DEFAULT, Grant, WithOrigin
from keyring_pypitoken.secret import MasterToken

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

NOW = 1_790_000_000


def checked(examples: int) -> settings:
    """Return settings under which neither a slow machine nor an earlier run changes the outcome."""
    return settings(max_examples=examples, deadline=None, database=None)


@dataclasses.dataclass(frozen=True)
class Use:
    """A use of a token, on which PyPI's judge and ours are asked."""

    project: str | None
    project_id: str | None
    user_id: str | None
    now: int

    def is_allowed(self, token: str) -> bool:
        """Return the verdict of the loopback index, after a look at whether ours is the same."""
        context = dataclasses.asdict(self)
        allowed, _ = judge(token, KEY, **context)
        context["project_name"] = context.pop("project")
        try:
            Token.load(token).check(KEY, **context)
        except ValidationError:
            assert not allowed
        else:
            assert allowed
        return allowed


# A few of each, so that uses and caveats meet.
MOMENTS = st.integers(NOW - 4, NOW + 4)
NAMES = st.sampled_from(["demo", "other-one", "a"])
IDS = st.sampled_from(["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"])
USERS = st.sampled_from(["33333333-3333-4333-8333-333333333333", "44444444-4444-4444-8444-444444444444"])

SOMEBODY = USERS | st.none()
USES = st.builds(Use, st.sampled_from(["demo", "Other_One", "A", "DEMO"]), IDS, SOMEBODY, MOMENTS) | st.builds(
    Use, st.none(), st.none(), SOMEBODY, MOMENTS
)

ARRAYS = st.one_of(
    st.tuples(st.just(0), MOMENTS, MOMENTS),
    st.tuples(st.just(0), st.just(NOW + 9), st.just(NOW - 9)),
    st.tuples(st.just(1), st.lists(NAMES, max_size=3)),
    st.tuples(st.just(2), st.lists(IDS, max_size=2)),
    st.tuples(st.just(3), USERS),
    st.tuples(st.just(4), st.just("7")),
)
LEGACY: SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"nbf": MOMENTS, "exp": MOMENTS}),
    st.fixed_dictionaries({"project_ids": st.lists(IDS, max_size=2)}),
    st.fixed_dictionaries(
        {
            "version": st.just(1),
            "permissions": st.just("user") | st.fixed_dictionaries({"projects": st.lists(NAMES, max_size=3)}),
        }
    ),
)
VALID = ARRAYS | LEGACY
ATOMS: SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 5),
    MOMENTS,
    st.floats(allow_nan=False),  # not even equal to itself
    st.sampled_from([0.0, 1.0, 2.0, float(NOW)]),
    NAMES,
    IDS,
    USERS,
    st.text(max_size=3),
)
KEYS = st.sampled_from(["version", "permissions", "projects", "project_ids", "nbf", "exp", "x"])
JSON: SearchStrategy[Any] = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
ODD = st.one_of(
    JSON,
    st.tuples(st.integers(0, 4) | st.booleans() | st.floats(0, 4), JSON),
    st.tuples(st.integers(0, 4), JSON, JSON),
    st.builds(lambda array, more: [*array, *more], ARRAYS, st.lists(JSON, max_size=2)),
    st.builds(lambda legacy, more: {**more, **legacy}, LEGACY, st.dictionaries(KEYS, JSON, max_size=2)),
)
TEXTS = st.one_of(
    st.builds(json.dumps, VALID | ODD),
    st.builds(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")), VALID | ODD),
    st.text(max_size=8),
)
CAVEATS = st.one_of(
    st.builds(json.dumps, VALID).map(str.encode),
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.builds(
        lambda value, encoding: json.dumps(value).encode(encoding),
        VALID,
        st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"]),
    ),
    st.binary(max_size=8),
)
STARTS = st.none() | st.builds(WithOrigin, st.integers(NOW - 4, NOW), st.just(DEFAULT))
ENDINGS = st.none() | st.builds(WithOrigin, st.integers(NOW + 1, NOW + 4), st.just(DEFAULT))
PROJECTS = st.none() | st.sets(NAMES, min_size=1).map(lambda names: tuple(sorted(names)))


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    """Draw a grant whose window holds NOW."""
    projects = draw(PROJECTS)
    return Grant(
        repository=PYPI,
        account=WithOrigin("default", DEFAULT),
        projects=None if projects is None else WithOrigin(projects, DEFAULT),
        valid_for=WithOrigin(draw(st.integers(1, 3)), DEFAULT),
        clock_skew=WithOrigin(draw(st.integers(0, 3)), DEFAULT),
        start=draw(STARTS),
        end=draw(ENDINGS),
    )


def is_granted(grant: Grant, use: Use) -> bool:
    """Return True if a use is what a grant is for."""
    not_before, not_after = grant.window(NOW)
    if not not_before <= use.now < not_after:
        return False
    return grant.projects is None or (
        use.project is not None and packaging.utils.canonicalize_name(use.project) in grant.projects.value
    )


@checked(400)
@given(st.lists(CAVEATS, max_size=3), grants(), st.lists(USES, min_size=1, max_size=4), st.sampled_from([1, 2]))
def test_a_derived_token_allows_what_its_master_does_within_the_grant(
    caveats: list[bytes], grant: Grant, uses: list[Use], version: int
) -> None:
    master = mint(*caveats, version=version)
    try:
        token, _, _ = derive(MasterToken(master), grant, now=NOW)
    except Refusal:
        reject()

    for use in uses:
        assert use.is_allowed(token.unwrap()) == (use.is_allowed(master) and is_granted(grant, use))


@checked(300)
@given(st.lists(CAVEATS, max_size=3), grants(), IDS, USERS)
def test_refuses_only_masters_that_cannot_serve(
    caveats: list[bytes], grant: Grant, project_id: str, user_id: str
) -> None:
    master = mint(*caveats)
    projects = grant.projects.value if grant.projects else ("demo", "other-one", "a")
    try:
        derive(MasterToken(master), grant, now=NOW)
    except Refusal:
        could_serve = all(Use(project, project_id, user_id, NOW).is_allowed(master) for project in projects)
    else:
        could_serve = False

    assert not could_serve


@checked(300)
@given(st.lists(CAVEATS, max_size=3), grants(), st.sampled_from([1, 2]))
def test_deriving_only_appends(caveats: list[bytes], grant: Grant, version: int) -> None:
    text = mint(*caveats, version=version)
    master = Token.load(text)
    with contextlib.suppress(Refusal):
        token, _, not_after = derive(MasterToken(text), grant, now=NOW)
        derived = Token.load(token.unwrap())
        added = derived.raw_caveats[len(caveats) :]

        assert derived.raw_caveats[: len(caveats)] == master.raw_caveats == caveats
        assert len(added) == (1 if grant.projects is None else 2)
        assert (derived.prefix, derived.domain, derived.identifier) == ("pypi", "pypi.org", IDENTIFIER)
        assert token.unwrap() == mint(*caveats, *added, version=version)
        assert NOW < not_after <= grant.window(NOW)[1]


@checked(600)
@given(st.lists(CAVEATS, min_size=1, max_size=2), USES, st.sampled_from([1, 2]))
def test_judges_caveats_as_pypi_does(caveats: list[bytes], use: Use, version: int) -> None:
    text = mint(*caveats, version=version)
    allowed = use.is_allowed(text)

    assert not (allowed and any(isinstance(caveat, UnknownCaveat) for caveat in Token.load(text).caveats))


@checked(300)
@given(VALID, VALID, USES)
def test_judges_valid_caveats_as_pypi_does(one: object, other: object, use: Use) -> None:
    texts = [json.dumps(caveat).encode() for caveat in (one, other)]
    each = [use.is_allowed(mint(text)) for text in texts]

    assert len(Token.load(mint(*texts)).restrictions) == 2
    assert use.is_allowed(mint(*texts)) == all(each)


LENGTHS = st.builds(
    lambda *parts: b"".join(parts),
    st.sampled_from([b"", b"\x80", b"\x83\x80"]),
    st.sampled_from([b"\x00", b"\x01", b"\x02", b"\x82\x00", b"\x20"]),
)


def encode(data: bytes) -> str:
    """Return bytes in the spelling of a token."""
    return "pypi-" + base64.urlsafe_b64encode(data).decode().rstrip("=")


def packet(kind: int, value: bytes, length: bytes | None) -> bytes:
    """Return a packet of version 2, with a length that need not be the right one."""
    return bytes([kind]) + (bytes([len(value)]) if length is None else length) + value


def packet_v1(key: bytes, value: bytes, end: bytes, off: int) -> bytes:
    """Return a packet of version 1, with a length that need not be the right one."""
    return b"%04x%s %s%s" % (len(key) + len(value) + len(end) + 5 + off, key, value, end)


PACKETS = st.one_of(
    st.just(b"\x00"),
    st.builds(packet, st.sampled_from([1, 2, 4, 6]), st.binary(max_size=4), st.none()),
    st.builds(packet, st.sampled_from([1, 2, 4, 6]), st.binary(max_size=4), LENGTHS),
    st.just(b"\x06\x20" + b"s" * 32),
)
PACKETS_V1 = st.one_of(
    st.builds(
        packet_v1,
        st.sampled_from([b"location", b"identifier", b"cid", b"vid", b"cl", b"signature", b""]),
        st.binary(max_size=4),
        st.sampled_from([b"\n", b"", b" "]),
        st.sampled_from([0, 0, 0, 1, -1, -8]),
    ),
    st.just(packet_v1(b"signature", b"s" * 32, b"\n", 0)),
)
DAMAGED = st.builds(
    lambda data, at, length, value: data[: at % len(data)] + value + data[at % len(data) + length :],
    st.sampled_from([base64.urlsafe_b64decode(mint(b"[99]", version=version)[5:] + "==") for version in (1, 2)]),
    st.integers(0, 500),
    st.integers(0, 4),
    st.binary(max_size=4),
)
ANYTHING = st.one_of(
    st.text(),
    st.text("pypi-AgEI_=+/ \n"),
    st.text("ABCDwxyz0123-_").map("pypi-".__add__),
    st.binary().map(encode),
    st.lists(PACKETS).map(lambda packets: encode(b"\x02" + b"".join(packets))),
    st.lists(PACKETS, max_size=3).map(
        lambda found: encode(b"\x02\x01\x01a\x02\x01b\x00" + b"".join(found) + b"\x00\x06\x20" + b"s" * 32)
    ),
    st.lists(PACKETS_V1).map(lambda packets: encode(b"".join(packets))),
    DAMAGED.map(encode),
    st.builds(mint, st.binary(), version=st.sampled_from([1, 2])),
    st.tuples(st.text(" \n\t\u00a0\x1f"), DAMAGED.map(encode), st.text(" \n\t\u00a0\x1f")).map("".join),
)


@checked(1000)
@given(ANYTHING)
@example(encode(b"\x02\x01\x88\x00\x01" + b"x" * (8 + (1 << 14)) + b"\x02\x01a\x00\x00\x06\x20" + b"s" * 32))
def test_loads_what_it_writes_again_or_refuses(text: str) -> None:
    with contextlib.suppress(LoaderError):
        token = Token.load(text)

        assert token.dump() == text.strip()
        assert Token.load(token.dump()).raw_caveats == token.raw_caveats
        assert repr(token).startswith("Token(domain=")
        assert len(token.caveats) == len(token.raw_caveats)


@checked(300)
@given(st.none() | st.integers() | st.binary() | st.lists(st.text()) | st.floats())
def test_loads_text_only(value: Any) -> None:
    with pytest.raises(LoaderError) as caught:
        Token.load(value)

    assert str(caught.value) == f"the token is a value of type {type(value).__name__}, expected a string"


@checked(600)
@given(TEXTS | CAVEATS | st.text() | st.binary() | st.builds(json.dumps, JSON))
def test_reads_any_text_as_a_restriction_or_refuses(caveat: str | bytes) -> None:
    with contextlib.suppress(LoaderError):
        restriction = Restriction.load_json(caveat)

        assert Restriction.load(restriction.dump()) == restriction
        assert Restriction.load_json(restriction.dump_json()) == restriction


STRINGS = st.lists(st.text())
RESTRICTIONS = st.one_of(
    st.builds(DateRestriction, st.integers(), st.integers()),
    st.builds(ProjectNamesRestriction, STRINGS),
    st.builds(ProjectIDsRestriction, STRINGS),
    st.builds(UserIDRestriction, st.text()),
    st.builds(OIDCPublisherRestriction, st.text(), st.none() | st.dictionaries(st.text(), st.integers() | st.text())),
    st.builds(LegacyNoopRestriction),
    st.builds(LegacyProjectNamesRestriction, STRINGS),
    st.builds(LegacyProjectIDsRestriction, STRINGS),
    st.builds(LegacyDateRestriction, st.integers(), st.integers()),
)


@checked(300)
@given(RESTRICTIONS)
def test_reads_every_restriction_that_it_writes(restriction: Restriction) -> None:
    text = restriction.dump_json()

    assert text.isascii()
    assert Restriction.load_json(text) == Restriction.load(restriction.dump()) == restriction


ZONES = st.none() | st.builds(
    datetime.timezone, st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23))
)
ODD_PARAMETERS: SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.datetimes(timezones=ZONES),
    st.dates(),
    st.text(st.characters()),
    st.binary(),
    st.lists(st.text(st.characters()) | st.integers() | st.none(), max_size=3),
    st.dictionaries(st.text(), st.integers(), max_size=2),
    st.builds(object),
)
ENDS = st.integers(-(2**63), 2**63) | st.datetimes(timezones=ZONES)
LISTS = st.lists(st.sampled_from(["demo", "Other.One", "\ud800"]), max_size=3)
PARAMETERS = st.one_of(
    st.dictionaries(
        st.sampled_from([name for name in inspect.signature(Token.restrict).parameters if name != "self"]),
        ODD_PARAMETERS,
    ),
    st.fixed_dictionaries({"not_before": ENDS, "not_after": ENDS}, optional={"project_names": LISTS}),
    st.fixed_dictionaries({"legacy_not_before": ENDS, "legacy_not_after": ENDS}, optional={"project_ids": LISTS}),
    st.fixed_dictionaries(
        {}, optional={"legacy_project_names": LISTS, "user_id": st.text(), "legacy_noop": st.booleans()}
    ),
)


@checked(800)
@given(PARAMETERS, st.sampled_from([1, 2]))
@example({"not_before": 5, "not_after": 10**5000}, 2)
def test_restricts_by_any_parameters_or_refuses(parameters: dict[str, Any], version: int) -> None:
    text = mint(b"[99]", version=version)
    token = Token.load(text)
    try:
        token.restrict(**parameters)
    except InvalidRestriction:
        assert token.dump() == text
    else:
        again = Token.load(token.dump())
        assert token.dump() == mint(*token.raw_caveats, version=version)
        assert len([caveat for caveat in again.caveats if isinstance(caveat, UnknownCaveat)]) == 1


@checked(300)
@given(st.text() | st.text("aB0-_."))
def test_normalizes_names_as_packaging_does(name: str) -> None:
    assert names.normalize(name) == packaging.utils.canonicalize_name(name)


@checked(300)
# Before its version 26.1, packaging took a line feed at the end, and two letters outside of ASCII.
@given(st.text("aB0-_.", min_size=1) | st.text(st.characters(codec="ascii", exclude_characters="\n"), max_size=4))
@example("a")
def test_accepts_the_names_that_packaging_accepts(name: str) -> None:
    try:
        expected: str | None = packaging.utils.canonicalize_name(name, validate=True)
    except packaging.utils.InvalidName:
        expected = None
    normalized: str | None = None
    with contextlib.suppress(names.InvalidNameError):
        normalized = names.normalize_valid(name)

    assert normalized == expected
