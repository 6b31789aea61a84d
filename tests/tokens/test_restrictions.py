"""Restrictions are read, written and checked as PyPI's own code does it."""

from __future__ import annotations

import copy
import datetime
import json
import pickle
import time
from typing import TYPE_CHECKING, Any

import pytest
from sandbox import DATA

from keyring_pypitoken import (
    Context,
    DateRestriction,
    InvalidRestriction,
    LegacyDateRestriction,
    LegacyNoopRestriction,
    LegacyProjectIDsRestriction,
    LegacyProjectNamesRestriction,
    LoaderError,
    MissingContextError,
    OIDCPublisherRestriction,
    ProjectIDsRestriction,
    ProjectNamesRestriction,
    Restriction,
    Token,
    UserIDRestriction,
    ValidationError,
)

if TYPE_CHECKING:
    from keyring_pypitoken.record import Record

VERDICTS = json.loads((DATA / "pypi_verdicts.json").read_text("utf-8"))["cases"]

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
USER = "33333333-3333-4333-8333-333333333333"

# Each class as it is written today, byte for byte.
WRITTEN: list[tuple[Restriction, str]] = [
    (DateRestriction(not_before=5, not_after=9), "[0, 9, 5]"),
    (DateRestriction(not_before=-1, not_after=0), "[0, 0, -1]"),
    (ProjectNamesRestriction(["b", "a"]), '[1, ["b", "a"]]'),
    (ProjectNamesRestriction([]), "[1, []]"),
    (ProjectNamesRestriction(["dé"]), '[1, ["d\\u00e9"]]'),
    (ProjectNamesRestriction(["\ud800"]), '[1, ["\\ud800"]]'),
    (ProjectIDsRestriction([PROJECT, OTHER]), f'[2, ["{PROJECT}", "{OTHER}"]]'),
    (UserIDRestriction(USER), f'[3, "{USER}"]'),
    (OIDCPublisherRestriction("7"), '[4, "7"]'),
    (OIDCPublisherRestriction("7", {"sub": "x", "n": [1, None]}), '[4, "7", {"sub": "x", "n": [1, null]}]'),
    (OIDCPublisherRestriction("7", {}), '[4, "7", {}]'),
    (LegacyNoopRestriction(), '{"version": 1, "permissions": "user"}'),
    (LegacyProjectNamesRestriction(["b", "a"]), '{"version": 1, "permissions": {"projects": ["b", "a"]}}'),
    (LegacyProjectIDsRestriction([PROJECT]), f'{{"project_ids": ["{PROJECT}"]}}'),
    (LegacyDateRestriction(not_before=5, not_after=9), '{"nbf": 5, "exp": 9}'),
]

# What PyPI reads too, though nobody writes it so.
TOLERATED: list[tuple[str | bytes, Restriction]] = [
    ("[0, 9, 5, null]", DateRestriction(5, 9)),
    ("[0, 9, 5, 1, 2, 3]", DateRestriction(5, 9)),
    ('[1, ["a"], "more"]', ProjectNamesRestriction(["a"])),
    ('[2, ["a"], 1]', ProjectIDsRestriction(["a"])),
    ('[3, "u", []]', UserIDRestriction("u")),
    ('[4, "7", null]', OIDCPublisherRestriction("7")),
    ('[4, "7", {"a": 1}, 5]', OIDCPublisherRestriction("7", {"a": 1})),
    ("[false, 9, 5]", DateRestriction(5, 9)),
    ("[0.0, 9, 5]", DateRestriction(5, 9)),
    ("[-0.0, 9, 5]", DateRestriction(5, 9)),
    ('[true, ["a"]]', ProjectNamesRestriction(["a"])),
    ('[1.0, ["a"]]', ProjectNamesRestriction(["a"])),
    ('[2.0, ["a"]]', ProjectIDsRestriction(["a"])),
    (' [1,\n\t["a"]\r\n] ', ProjectNamesRestriction(["a"])),
    (b'[1, ["a"]]', ProjectNamesRestriction(["a"])),
    ('[1, ["d\u00e9"]]'.encode(), ProjectNamesRestriction(["dé"])),
    (f"[0, {'9' * 4000}, -{'9' * 4000}]", DateRestriction(-int("9" * 4000), int("9" * 4000))),
    ('{"version": 1, "permissions": "user", "x": 1}', LegacyNoopRestriction()),
    ('{"version": 1.0, "permissions": "user"}', LegacyNoopRestriction()),
    ('{"version": true, "permissions": "user"}', LegacyNoopRestriction()),
    ('{"version": 1, "permissions": "user", "nbf": 5, "exp": 9}', LegacyNoopRestriction()),
    ('{"version": 1, "permissions": {"x": 1, "projects": ["a"]}, "x": 1}', LegacyProjectNamesRestriction(["a"])),
    ('{"nbf": 5, "exp": 9, "x": 1}', LegacyDateRestriction(5, 9)),
    ('{"exp": 9, "nbf": 5, "project_ids": ["a"]}', LegacyDateRestriction(5, 9)),
    ('{"version": 2, "nbf": 5, "exp": 9}', LegacyDateRestriction(5, 9)),
    ('{"exp": 9, "project_ids": ["a"]}', LegacyProjectIDsRestriction(["a"])),
    ('{"nbf": 9, "project_ids": ["a"], "x": 1}', LegacyProjectIDsRestriction(["a"])),
    ('{"nbf": 1, "nbf": 5, "exp": 9}', LegacyDateRestriction(5, 9)),
]

UNKNOWN_KEYS = "the caveat is an object with unknown keys, expected an array"
# JSON that PyPI takes for no caveat: it would refuse the token.
NO_CAVEAT: list[tuple[str, str]] = [
    ("null", "the caveat is of type NoneType, expected an array"),
    ('"hello"', "the caveat is of type str, expected an array"),
    ("[]", "the caveat is an empty array, expected a tag and its fields"),
    ("[5]", "the caveat has the unknown tag 5"),
    ("[1.5, []]", "the caveat has the unknown tag 1.5"),
    ("[NaN, []]", "the caveat has the unknown tag nan"),
    ('["1", ["a"]]', "the caveat has the unknown tag '1'"),
    (f'["{"x" * 1000}"]', "the caveat has the unknown tag 'xxxxxxxxxxxx...xxxxxxxxxxxxx'"),
    (f"[{'9' * 1000}]", "the caveat has the unknown tag 999999999999999999...9999999999999999999"),
    ('[[1], ["a"]]', "the caveat has the unknown tag [1]"),
    ("[0]", "the caveat has too few fields for the tag 0"),
    ("[0, 9]", "the caveat has too few fields for the tag 0"),
    ('[0, 9, "5"]', "the caveat's not_before is of type str, expected int"),
    ("[0, 9, true]", "the caveat's not_before is of type bool, expected int"),
    ("[0, 9.0, 5]", "the caveat's not_after is of type float, expected int"),
    ("[0, 1e400, 5]", "the caveat's not_after is of type float, expected int"),
    ("[1]", "the caveat has too few fields for the tag 1"),
    ('[1, "a"]', "the caveat's list of project names is of type str, expected list"),
    ("[1, null]", "the caveat's list of project names is of type NoneType, expected list"),
    ('[1, ["a", 1]]', "the caveat's list of project names is of type int, expected str"),
    ("[2]", "the caveat has too few fields for the tag 2"),
    ('[2, "a"]', "the caveat's list of project ids is of type str, expected list"),
    ('[2, [["a"]]]', "the caveat's list of project ids is of type list, expected str"),
    ("[3]", "the caveat has too few fields for the tag 3"),
    ('[3, ["u"]]', "the caveat's user id is of type list, expected str"),
    ("[4]", "the caveat has too few fields for the tag 4"),
    ("[4, 7]", "the caveat's publisher id is of type int, expected str"),
    ('[4, "7", "sub"]', "the caveat's claims is of type str, expected dict"),
    ("{}", UNKNOWN_KEYS),
    ('{"version": 1}', UNKNOWN_KEYS),
    ('{"version": 2, "permissions": "user"}', UNKNOWN_KEYS),
    ('{"permissions": "user"}', UNKNOWN_KEYS),
    ('{"version": 1, "permissions": null}', UNKNOWN_KEYS),
    ('{"version": 1, "permissions": ["projects"]}', UNKNOWN_KEYS),
    ('{"version": 1, "nbf": 5, "exp": 9}', UNKNOWN_KEYS),
    ('{"version": 1, "project_ids": []}', UNKNOWN_KEYS),
    (
        '{"version": 1, "permissions": {"projects": "a"}}',
        "the caveat's list of project names is of type str, expected list",
    ),
    (
        '{"version": 1, "permissions": {"projects": [1]}}',
        "the caveat's list of project names is of type int, expected str",
    ),
    ('{"nbf": 5}', UNKNOWN_KEYS),
    ('{"exp": 9}', UNKNOWN_KEYS),
    ('{"nbf": true, "exp": 9}', "the caveat's not_before is of type bool, expected int"),
    ('{"nbf": 5, "exp": 9.0}', "the caveat's not_after is of type float, expected int"),
    ('{"nbf": null, "exp": 9, "project_ids": ["a"]}', "the caveat's not_before is of type NoneType, expected int"),
    ('{"project_ids": "a"}', "the caveat's list of project ids is of type str, expected list"),
    ('{"project_ids": [1]}', "the caveat's list of project ids is of type int, expected str"),
]

NO_JSON: list[tuple[Any, str]] = [
    ("", "JSONDecodeError"),
    ("hello", "JSONDecodeError"),
    ("[1,", "JSONDecodeError"),
    ('[1, ["a"]', "JSONDecodeError"),
    ('[1, ["a"]] x', "JSONDecodeError"),
    ("[1, ['a']]", "JSONDecodeError"),
    ("\ud800", "JSONDecodeError"),
    ("[0, 9, 05]", "JSONDecodeError"),
    ("[1, ['a',]]", "JSONDecodeError"),
    (f"[0, {'9' * 5000}, 5]", "ValueError"),
    ("[" * 100_000 + "]" * 100_000, "RecursionError"),
    ('{"a":' * 100_000 + "1" + "}" * 100_000, "RecursionError"),
    (b'[1, ["\xff"]]', "UnicodeDecodeError"),
    (b'[1, ["\xed\xa0\x80"]]', "UnicodeDecodeError"),
    # PyPI reads UTF-8 only; json.loads would guess what these are, and take them for caveats.
    (b'\xef\xbb\xbf[1, ["a"]]', "JSONDecodeError"),
    ('[1, ["a"]]'.encode("utf-16"), "UnicodeDecodeError"),
    ('[1, ["a"]]'.encode("utf-16-le"), "JSONDecodeError"),
    ('[1, ["a"]]'.encode("utf-32-be"), "JSONDecodeError"),
    (None, "TypeError"),
    (1, "TypeError"),
]

MANY = [f"p{number}" for number in range(10_000)]

WINDOW = "the token is valid from {} until before {} (Unix seconds), and it was used at {}"
USED = "the token is for the {} {}, and it was used for {!r}"
FIRST = "['p0', 'p1', 'p2', 'p3', 'p4', 'p5', ...]"
# A restriction, a use, and why it is refused; nothing if it is not.
USES: list[tuple[Restriction, Context, str]] = [
    (DateRestriction(5, 9), Context(now=4), WINDOW.format(5, 9, 4)),
    (DateRestriction(5, 9), Context(now=5), ""),
    (DateRestriction(5, 9), Context(now=8), ""),
    (DateRestriction(5, 9), Context(now=9), WINDOW.format(5, 9, 9)),
    (DateRestriction(9, 5), Context(now=7), WINDOW.format(9, 5, 7)),
    (LegacyDateRestriction(5, 9), Context(now=5), ""),
    (LegacyDateRestriction(5, 9), Context(now=9), WINDOW.format(5, 9, 9)),
    (ProjectNamesRestriction(["a", "my-proj-x"]), Context("My_Proj.-_X"), ""),
    (ProjectNamesRestriction(["demo"]), Context("Other_One"), USED.format("projects", ["demo"], "other-one")),
    (ProjectNamesRestriction(["Demo"]), Context("Demo"), USED.format("projects", ["Demo"], "demo")),
    (ProjectNamesRestriction([]), Context("demo"), USED.format("projects", [], "demo")),
    (ProjectNamesRestriction(["demo"]), Context(""), USED.format("projects", ["demo"], "")),
    (ProjectNamesRestriction(["demo"]), Context("\ud800"), USED.format("projects", ["demo"], "\ud800")),
    (ProjectNamesRestriction(MANY), Context("p9999"), ""),
    (ProjectNamesRestriction(MANY), Context("demo"), USED.format("projects", FIRST, "demo")),
    (LegacyProjectNamesRestriction(["demo"]), Context("Demo"), ""),
    (LegacyProjectNamesRestriction(["demo"]), Context("other"), USED.format("projects", ["demo"], "other")),
    (ProjectIDsRestriction([OTHER, PROJECT]), Context(project_id=PROJECT), ""),
    (ProjectIDsRestriction(["A", "b"]), Context(project_id="a"), USED.format("project ids", ["A", "b"], "a")),
    (LegacyProjectIDsRestriction([PROJECT]), Context(project_id=PROJECT), ""),
    (LegacyProjectIDsRestriction([]), Context(project_id="a"), USED.format("project ids", [], "a")),
    (UserIDRestriction(USER), Context(user_id=USER), ""),
    (UserIDRestriction("u"), Context(user_id="U"), "the token is for the user id 'u', and it was used by 'U'"),
    (LegacyNoopRestriction(), Context(user_id=USER), ""),
    (
        OIDCPublisherRestriction("7"),
        Context("demo", PROJECT, USER, 7),
        "the token works within Trusted Publishing only",
    ),
]

# Everything but what the restriction needs.
MISSING: list[tuple[Restriction, Context, str]] = [
    (ProjectNamesRestriction(["demo"]), Context(None, PROJECT, USER, 7), "project_name"),
    (LegacyProjectNamesRestriction(["demo"]), Context(None, PROJECT, USER, 7), "project_name"),
    (ProjectIDsRestriction([PROJECT]), Context("demo", None, USER, 7), "project_id"),
    (LegacyProjectIDsRestriction([PROJECT]), Context("demo", None, USER, 7), "project_id"),
    (UserIDRestriction(USER), Context("demo", PROJECT, None, 7), "user_id"),
    (LegacyNoopRestriction(), Context("demo", PROJECT, None, 7), "user_id"),
]


def short(value: object) -> str:
    """Name a case by the beginning of its value."""
    return ascii(value)[:60]


@pytest.mark.parametrize("case", VERDICTS, ids=lambda case: str(case["label"]))
def test_agrees_with_pypi(case: dict[str, Any]) -> None:
    context = case["context"]
    token = Token.load(case["token"])
    try:
        token.check(
            bytes.fromhex(case["key"]),
            project_name=context["project"],
            project_id=context["project_id"],
            user_id=context["user_id"],
            now=context["now"],
        )
        allowed = True
    except ValidationError:
        allowed = False

    assert allowed == case["allowed"]


@pytest.mark.parametrize(("restriction", "text"), WRITTEN, ids=short)
def test_writes_as_pypi_reads(restriction: Restriction, text: str) -> None:
    assert restriction.dump_json() == text
    assert restriction.dump() == json.loads(text)
    assert Restriction.load_json(text) == Restriction.load(restriction.dump()) == restriction


@pytest.mark.parametrize(("text", "restriction"), TOLERATED, ids=short)
def test_reads_what_pypi_tolerates(text: str | bytes, restriction: Restriction) -> None:
    assert Restriction.load_json(text) == restriction


@pytest.mark.parametrize(("text", "message"), NO_CAVEAT, ids=short)
def test_refuses_json_that_is_not_a_caveat(text: str, message: str) -> None:
    with pytest.raises(LoaderError) as caught:
        Restriction.load_json(text)

    assert str(caught.value) == message


@pytest.mark.parametrize(("text", "cause"), NO_JSON, ids=short)
def test_refuses_what_is_not_json(text: Any, cause: str) -> None:
    with pytest.raises(LoaderError) as caught:
        Restriction.load_json(text)

    assert str(caught.value) == f"the caveat is not JSON ({cause})"
    assert type(caught.value.__cause__).__name__ == cause


@pytest.mark.parametrize("cls", [Restriction, DateRestriction, LegacyNoopRestriction])
def test_loads_any_kind_from_any_class(cls: type[Restriction]) -> None:
    assert cls.load([1, ["a"]]) == ProjectNamesRestriction(["a"])


@pytest.mark.parametrize(("restriction", "context", "message"), USES, ids=short)
def test_allows_uses_within_the_restriction_only(restriction: Restriction, context: Context, message: str) -> None:
    refusal = None
    try:
        restriction.check(context)
    except ValidationError as error:
        refusal = error

    assert (type(refusal), str(refusal or "")) == (ValidationError if message else type(None), message)


@pytest.mark.parametrize(("restriction", "context", "what"), MISSING, ids=short)
def test_refuses_what_it_cannot_check(restriction: Restriction, context: Context, what: str) -> None:
    with pytest.raises(MissingContextError) as caught:
        restriction.check(context)

    assert str(caught.value) == f"the token's restrictions cannot be checked without {what}"


def test_restrictions_of_two_formats_differ() -> None:
    pairs: list[tuple[object, object]] = [
        (DateRestriction(5, 9), LegacyDateRestriction(5, 9)),
        (ProjectNamesRestriction(["a"]), LegacyProjectNamesRestriction(["a"])),
        (ProjectIDsRestriction(["a"]), LegacyProjectIDsRestriction(["a"])),
        (ProjectNamesRestriction(["a"]), ProjectIDsRestriction(["a"])),
        (OIDCPublisherRestriction("7"), OIDCPublisherRestriction("7", {})),
    ]

    assert [left == right for left, right in pairs] == [False] * len(pairs)


VALUES = [*(restriction for restriction, _ in WRITTEN), Context("demo", PROJECT, USER, 7)]


@pytest.mark.parametrize("value", VALUES, ids=short)
def test_copies_and_pickles_are_equal(value: Record) -> None:
    for again in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):  # noqa: S301 - our own
        assert again == value


def test_fields_can_be_matched_by_position() -> None:
    match DateRestriction(5, 9):
        case DateRestriction(not_before, not_after):
            assert (not_before, not_after) == (5, 9)
    assert {type(restriction): restriction.__match_args__ for restriction, _ in WRITTEN} == {  # type: ignore[attr-defined]
        DateRestriction: ("not_before", "not_after"),
        ProjectNamesRestriction: ("project_names",),
        ProjectIDsRestriction: ("project_ids",),
        UserIDRestriction: ("user_id",),
        OIDCPublisherRestriction: ("publisher_id", "claims"),
        LegacyNoopRestriction: (),
        LegacyProjectNamesRestriction: ("project_names",),
        LegacyProjectIDsRestriction: ("project_ids",),
        LegacyDateRestriction: ("not_before", "not_after"),
    }


def test_a_half_made_value_has_a_repr() -> None:
    assert repr(DateRestriction.__new__(DateRestriction)) == "DateRestriction(not_before=None, not_after=None)"


def test_a_context_is_for_the_current_time_by_default() -> None:
    before = int(time.time())
    now = Context().now

    assert before <= now <= int(time.time())
    assert Context() == Context(now=Context().now) or int(time.time()) > now
    DateRestriction(before, before + 600).check(Context())


def test_a_context_takes_a_date_time_with_a_time_zone_only() -> None:
    moment = datetime.datetime(2026, 1, 1, 0, 0, 7, 999_999, tzinfo=datetime.UTC)

    assert Context(now=moment) == Context(now=1_767_225_607)
    with pytest.raises(InvalidRestriction) as caught:
        Context(now=moment.replace(tzinfo=None))
    assert str(caught.value) == (
        "now is 2026-01-01T00:00:07.999999, which has no time zone: "
        "write it with one, such as datetime.now(timezone.utc), or pass Unix seconds."
    )


class Unchecked(Restriction):
    """A kind of somebody's own, without anything of its own."""


class Own(Restriction):
    """One that builds on the base's methods, as those of pypitoken do."""

    def dump(self) -> list[Any]:
        return [7]

    def check(self, context: Context) -> None:
        super().check(context)


def test_a_restriction_of_somebodys_own_that_checks_nothing_allows_nothing() -> None:
    with pytest.raises(ValidationError) as caught:
        Unchecked().check(Context("demo", PROJECT, USER, 7))
    assert str(caught.value) == "Unchecked has no check of its own, so it allows nothing"
    with pytest.raises(NotImplementedError):
        Unchecked().dump_json()


def test_a_restriction_of_somebodys_own_can_build_on_the_base() -> None:
    Own().check(Context())

    assert Own().dump_json() == "[7]"
