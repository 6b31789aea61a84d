"""What holds for every policy, every command line and every combination of layers, searched by hypothesis."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from keyring_pypitoken.decision import Policies, decide
from keyring_pypitoken.evidence import find_evidence, project_of_file
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.grant import Grant, Origin, Sourced
from keyring_pypitoken.names import normalize_valid
from keyring_pypitoken.policy import PYPROJECT_TABLE, PolicyFile, Settings, parse_policy
from keyring_pypitoken.policy_values import KEYS, WrongValueError, parse_duration
from keyring_pypitoken.process import Process
from keyring_pypitoken.repository import PYPI
from keyring_pypitoken.toml import find_lines, load_toml
from keyring_pypitoken.uploaders import project_folder

if TYPE_CHECKING:
    from keyring_pypitoken.policy import Layer

# How long an example takes proves nothing on a busy machine, and nothing is left behind.
search = settings(deadline=None, database=None, max_examples=200)

LAYERS: st.SearchStrategy[Layer] = st.sampled_from(("project", "user", "site"))
TABLES: st.SearchStrategy[tuple[str, ...]] = st.sampled_from(((), PYPROJECT_TABLE))
TEXT = st.text(st.characters(codec="utf-8"))
LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))


# Policies


def toml_value(value: object) -> str:
    """Write a value as TOML, whose texts and numbers are nearly JSON's."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_value(key)} = {toml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")
    return {"Infinity": "inf", "-Infinity": "-inf"}.get(text, text)


def toml_text(content: dict[str, Any], table: tuple[str, ...]) -> str:
    """Write a file: the keys of one table, and its own tables below it."""
    header = ".".join(table)
    lines = [f"[{header}]"] if table else []
    lines += [f"{toml_value(key)} = {toml_value(value)}" for key, value in content.items() if type(value) is not dict]
    for key, value in content.items():
        if isinstance(value, dict):
            lines.append(f"[{header}{'.' if table else ''}{toml_value(key)}]")
            lines += [f"{toml_value(inner)} = {toml_value(item)}" for inner, item in value.items()]
    return "\n".join(lines)


OUR_NAMES = [
    *KEYS,
    "repository",
    "store",
    "backend",
    "identity",
    "url",
    "domain",
    "services",
    "pypi",
    "corp",
    "valid_for",
]
NAMES = st.sampled_from(OUR_NAMES) | TEXT
MOMENTS = st.datetimes(
    timezones=st.none() | st.integers(-1439, 1439).map(lambda m: datetime.timezone(datetime.timedelta(minutes=m)))
)
OUR_VALUES = st.sampled_from(
    ["demo", "15m", "refuse", "allow", "a.B", "https://example.org/", "http://[::1]/", "https://[", ["demo"], [], {}]
)
PLAIN = st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.dates() | st.times() | MOMENTS
VALUES = st.recursive(
    OUR_VALUES | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
POLICIES = st.dictionaries(NAMES, VALUES, max_size=6) | st.fixed_dictionaries(
    {"repository": st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=3)},
    optional={"store": st.dictionaries(NAMES, VALUES, max_size=2), "projects": VALUES, "not-after": MOMENTS},
)


def refusal_of(text: str, layer: Layer, table: tuple[str, ...]) -> str | None:
    """Return why a policy is refused, if it is; anything but a `PolicyError` fails the test."""
    try:
        parse_policy(text, layer=layer, name="p.toml", table=table)
    except PolicyError as error:
        return str(error)
    return None


@search
@given(TEXT | st.lists(st.sampled_from([*OUR_NAMES, *'=[]{}".,\n# 1-:', "'''", '"""', "tool."])).map("".join), LAYERS)
def test_any_text_is_a_policy_or_is_refused(text: str, layer: Layer) -> None:
    """Nothing but a `PolicyError`, which shows nothing that a terminal would obey."""
    refusal = refusal_of(text, layer, ())
    assert refusal is None or refusal.isprintable()


@search
@given(POLICIES, LAYERS, TABLES)
def test_any_content_is_a_policy_or_is_refused(content: dict[str, Any], layer: Layer, table: tuple[str, ...]) -> None:
    """Whatever the keys and values, each problem is one of a policy, and shows nothing that a terminal would obey."""
    text = toml_text(content, table)
    loaded = load_toml(text, "p.toml")
    for part in table:
        loaded = loaded[part]
    assert loaded == content  # the text says what was meant
    refusal = refusal_of(text, layer, table)
    assert refusal is None or (refusal.startswith("the policy cannot be followed: ") and refusal.isprintable())


# Lengths of time


@search
@given(st.integers(0, 3649), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_length_of_time_is_read_as_it_was_written(days: int, hours: int, minutes: int, seconds: int) -> None:
    """Parts that are zero may be left out, and whole seconds say the same."""
    parts = {"d": days, "h": hours, "m": minutes, "s": seconds}
    whole = "".join(f"{number}{unit}" for unit, number in parts.items())
    short = "".join(f"{number}{unit}" for unit, number in parts.items() if number) or "0m"
    expected = datetime.timedelta(days, seconds, hours=hours, minutes=minutes) // datetime.timedelta(seconds=1)
    assert [parse_duration(text) for text in (whole, short, expected)] == [expected] * 3


@search
@given(VALUES | st.text("0123456789dhms \n\u0661") | st.none() | st.binary() | st.complex_numbers())
def test_any_value_is_a_length_of_time_or_is_refused(value: object) -> None:
    """Nothing but a `WrongValueError`, and no more than ten years."""
    with contextlib.suppress(WrongValueError):
        assert 0 <= parse_duration(value) <= 3650 * 86_400


# Lines


@search
@given(st.text() | st.lists(st.sampled_from([*"[]\"'.= \t\r\n#ab", "\u2028"])).map("".join))
def test_looking_for_lines_never_fails(text: str) -> None:
    """Each line that is found is one of the text."""
    assert set(find_lines(text).values()) <= set(range(1, text.count("\n") + 2))


QUOTED = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\"'\\"))
KEY_NAMES = st.from_regex(re.compile(r"[A-Za-z0-9_-]{1,8}", re.ASCII), fullmatch=True) | QUOTED
SPACES = st.sampled_from(["", " ", "\t", "  \t "])
COMMENTS = st.just("") | LINE.map(lambda text: f" # {text}")


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str, ...], int]]:
    """Write a document of tables and keys, and tell in which lines they stand."""
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for name in draw(st.lists(KEY_NAMES, unique=True, max_size=8)):
        lines += draw(st.lists(COMMENTS, max_size=2))
        bare = [name] if re.fullmatch(r"[A-Za-z0-9_-]+", name) else []
        written = draw(st.sampled_from([*bare, f'"{name}"', f"'{name}'"]))
        before, between, after, comment = draw(st.tuples(SPACES, SPACES, SPACES, COMMENTS))
        if draw(st.booleans()):
            value = draw(st.sampled_from(["1", '"[x]"', "'a = 1'", "[]", "[ # [y]\n  'b = 2',\n]"]))
            expected[(*table, name)] = 1 + sum(line.count("\n") + 1 for line in lines)
            lines.append(f"{before}{written}{between}={after}{value}{comment}")
        else:
            table = (name,)
            expected[table] = 1 + sum(line.count("\n") + 1 for line in lines)
            lines.append(f"{before}[{between}{written}{after}]{comment}")
    return "\n".join(lines), expected


@search
@given(documents(), st.sampled_from(["\n", "\r\n"]))
def test_a_key_is_found_in_the_line_that_it_was_written_in(
    document: tuple[str, dict[tuple[str, ...], int]], newline: str
) -> None:
    """However it is quoted and spaced, and whatever stands around it."""
    text, expected = document
    text = text.replace("\n", newline)
    content = load_toml(text, "p.toml")
    for path in expected:
        assert path[-1] in (content[path[0]] if path[1:] else content)  # the parser sees it there too
    assert find_lines(text) == expected


# Evidence


@search
@given(st.text(), st.sampled_from(["", ".whl", "-1.0.whl", "-1.0-py3-none-any.whl", ".tar.gz", "-1.0.tar.gz", ".zip"]))
def test_any_file_name_tells_a_normalized_project_or_none(stem: str, end: str) -> None:
    """Whoever made the file."""
    project = project_of_file(stem + end)
    assert project is None or project == normalize_valid(project)


# As a system passes them: no NUL. One slash at most, since no test shall list the whole file system.
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), max_size=20) | st.text(
    "*?[!]a-.~=", max_size=8
)
OPTIONS = st.sampled_from(["--", "-r", "--sign", "--comm", "--x=y", "-", "demo==1.0", "a-1.0.zip", "*-1.0.zip"])
ARGUMENTS = OPTIONS | WORDS | st.tuples(WORDS, WORDS).map("x/".join)


PROGRAMS = ["", "twine", "uv", "flit", "hatch", "poetry", "pdm"]


def check_evidence(process: Process, hint: str | None) -> None:
    """Check that evidence is sorted names, or none, or is refused in words that a terminal can show."""
    try:
        found = find_evidence(process, hint, project_folder(process))
    except Refusal as refusal:
        assert str(refusal).isprintable()  # noqa: PT017 - refusing is allowed and not expected
    else:
        assert found is None or found.value == tuple(sorted({normalize_valid(name) for name in found.value})) != ()


@search
@given(st.sampled_from(PROGRAMS), st.lists(ARGUMENTS, max_size=6), st.none() | st.text(), st.none() | st.text())
def test_any_command_line_tells_projects_or_is_refused(
    program: str, arguments: list[str], hint: str | None, variable: str | None
) -> None:
    """Nothing but a `Refusal`, whatever was typed and whatever the environment holds."""
    for name in ("a-1.0.zip", "[x]-1.0.zip"):
        Path(name).touch()
    environ = {} if variable is None else {"KEYRING_PYPITOKEN_PROJECT": variable}
    check_evidence(Process(program, tuple(arguments), Path.cwd(), environ), hint)


CFG = st.lists(st.sampled_from(["[metadata]", "name", "=", ":", " ", "\n", "\n ", "demo", "%(x)s", "#", ";", "]"]))


@search
@given(st.binary() | TEXT.map(str.encode) | CFG.map(lambda parts: "".join(parts).encode()), st.booleans())
def test_any_metadata_tells_a_project_or_is_refused(data: bytes, pyproject: bool) -> None:
    """Nothing but a `Refusal`, whatever the files hold."""
    Path("pyproject.toml").write_bytes(data if pyproject else b"")
    Path("setup.cfg").write_bytes(data)
    check_evidence(Process("", (), Path.cwd(), {}), None)


# Layers

NOW = 1_000
# Lists that mostly leave something, since they meet in up to six tables.
ALLOWED = st.sampled_from(["abc", "abc", "ab", "bc", "a", ""]).map(frozenset)


def sourced(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Sourced[Any]]:
    """Give values a place."""
    return values.map(lambda value: Sourced(value, Origin("p.toml:1")))


def limits(*, spoken: bool) -> st.SearchStrategy[Settings]:
    """Make a table of limits; those with a default that another value may exceed are spoken, or not at all."""
    return st.builds(
        lambda **said: Settings(**said),  # noqa: PLW0108 - hypothesis would fill what is left out of a NamedTuple
        projects=st.none() | sourced(ALLOWED),
        not_before=st.none() | sourced(st.integers(NOW - 200, NOW + 2)),
        not_after=st.none() | sourced(st.integers(NOW - 20, NOW + 5_000)),
        require_policy=st.none() | sourced(st.sampled_from([False, False, False, True])),
        max_valid_for=sourced(st.integers(300, 10_000)) if spoken else st.none(),
        unscoped=sourced(st.sampled_from(["allow", "allow", "allow", "refuse"])) if spoken else st.none(),
    )


def files(layer: Layer, top: st.SearchStrategy[Settings]) -> st.SearchStrategy[PolicyFile]:
    """Make a layer's policy, with or without a table for the repository."""
    nothing: dict[str, Settings] = {}
    tables = st.just(nothing) | st.fixed_dictionaries({"pypi": limits(spoken=layer != "project")})
    return st.builds(PolicyFile, st.just(layer), st.just(Origin("p.toml")), top, tables, st.just(()), st.none())


WISHES = st.fixed_dictionaries(
    {},
    optional={
        "valid_for": sourced(st.integers(1, 1_500)),
        "clock_skew": sourced(st.integers(0, 600)),
    },
)
PROJECT = st.none() | files(
    "project", st.tuples(limits(spoken=False), WISHES).map(lambda pair: pair[0]._replace(**pair[1]))
)
EVIDENCE = st.none() | sourced(st.sampled_from([("a",), ("a",), ("b", "c")]))


def granted(policies: Policies, evidence: Sourced[tuple[str, ...]] | None) -> Grant | None:
    """Decide; None stands for a refusal."""
    try:
        return decide(PYPI, policies, evidence, now=NOW)
    except Refusal:
        return None


@search
@given(PROJECT, files("user", limits(spoken=True)), files("site", limits(spoken=True)), EVIDENCE)
def test_another_layer_never_widens_a_grant(
    project: PolicyFile | None, user: PolicyFile, site: PolicyFile, evidence: Sourced[tuple[str, ...]] | None
) -> None:
    """What two layers allow together, each of them allows alone: no longer window, and no further project."""
    both = granted(Policies(project, user, site), evidence)
    if both is None:
        return
    for alone in (Policies(project, user, None), Policies(project, None, site)):
        one = granted(alone, evidence)
        assert one is not None
        assert one.not_before <= both.not_before <= NOW < both.not_after <= one.not_after
        assert one.projects is None or (both.projects is not None and {*both.projects.value} <= {*one.projects.value})


@search
@given(PROJECT, files("user", limits(spoken=True)), files("site", limits(spoken=True)), EVIDENCE)
def test_a_grant_keeps_every_limit_of_every_table(
    project: PolicyFile | None, user: PolicyFile, site: PolicyFile, evidence: Sourced[tuple[str, ...]] | None
) -> None:
    """Each table's limits hold for what is granted, seen one by one."""
    policies = Policies(project, user, site)
    found = granted(policies, evidence)
    if found is None:
        return
    for table in policies.tables(PYPI):
        assert table.projects is None or (
            found.projects is not None and {*found.projects.value} <= table.projects.value
        )
        assert table.not_before is None or table.not_before.value <= found.not_before
        assert table.not_after is None or found.not_after <= table.not_after.value
        assert table.max_valid_for is None or found.not_after - NOW <= table.max_valid_for.value
        assert table.unscoped is None or table.unscoped.value == "allow" or found.projects is not None
        assert table.require_policy is None or not table.require_policy.value or project is not None
