"""Values of every policy key, right and wrong, and strategies that make policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.policy.model import (
    Evidence,
    Grant,
    Origin,
    PolicyFile,
    RepositorySettings,
    SearchPath,
    Settings,
    StoreSettings,
    WithOrigin,
)
from keyring_pypitoken.policy.parser import parse_policy

if TYPE_CHECKING:
    from keyring_pypitoken.policy.model import Layer, Policies


import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.policy.decision import decide

# The keys of a top table, by whether a project may set them.
VALUES: dict[str, tuple[bool, list[tuple[str, object]]]] = {
    "projects": (
        True,
        [
            ('["demo"]', frozenset({"demo"})),
            ('["Demo.Pkg", "demo_pkg", "other"]', frozenset({"demo-pkg", "other"})),
            ("[]", frozenset()),
        ],
    ),
    "valid-for": (True, [('"15m"', 900), ("1", 1), ('"auto"', "auto")]),
    "max-valid-for": (False, [('"2h"', 7200), ("7200", 7200)]),
    "max-token-valid-for": (False, [('"7d"', 604_800)]),
    "clock-skew": (True, [('"0s"', 0), ("0", 0), ('"10m"', 600)]),
    "not-before": (True, [("2026-01-31T18:00:00Z", 1_769_882_400), ("1970-01-01T01:00:00+01:00", 0)]),
    "not-after": (True, [("2026-01-31T20:00:00+02:00", 1_769_882_400), ("2026-01-31 12:30:00.9-05:30", 1_769_882_400)]),
    "account": (True, [('"work"', "work"), ('"Me.2_@x+y-z"', "Me.2_@x+y-z")]),
    "max-master-age": (False, [('"365d"', 31_536_000)]),
    "require-policy": (False, [("true", True), ("false", False)]),
    "unscoped": (False, [('"allow"', "allow"), ('"refuse"', "refuse")]),
    "confirm": (
        False,
        [("true", True), ("false", False), ('["/bin/a", "-x"]', ("/bin/a", "-x")), (r'["C:\\a.exe"]', (r"C:\a.exe",))],
    ),
    "notice": (False, [("true", True), ("false", False)]),
    "history": (False, [("true", True), ("false", False)]),
}
CASES = [(key, text, value) for key, (_, values) in VALUES.items() for text, value in values]
CONFIGURED_KEYS = [key for key, (project_may, _) in VALUES.items() if not project_may]
PROJECT_CASES = [case for case in CASES if case[0] not in CONFIGURED_KEYS]
LENGTH = 'expected a length of time of at most 3650 days such as "90s", "15m", "1h30m" or "2d", or whole seconds'
MOMENT = "expected a date-time with its offset such as 2026-01-31T18:00:00Z"
LABEL = "expected up to 64 letters, digits or any of . _ @ + -, beginning with a letter or digit"
NAIVE = "has no time zone: write it with one, such as 2026-01-31T18:00:00Z"
PATTERN = 'expected the beginning of a name and one * such as "acme-*"'
NO_MOMENTS = [
    ('"2026-01-31T18:00:00Z"', "is '2026-01-31T18:00:00Z', which is a text: write the date-time without quotes"),
    ("2026-01-31", f"is 2026-01-31, {MOMENT}"),
    ("18:30:00", f"is 18:30:00, {MOMENT}"),
    ("1769882400", f"is 1769882400, {MOMENT}"),
    ("2026-01-31 18:00:00", NAIVE),
]
ASKPASS = '["/usr/bin/ksshaskpass"]'
WRONG = [
    ("projects", '"demo"', """is 'demo', expected a list of project names such as ["demo"]"""),
    ("projects", "true", 'is true, expected a list of project names such as ["demo"]'),
    ("projects", "{demo = 1}", 'is a table, expected a list of project names such as ["demo"]'),
    ("projects", '["a", 3]', "holds 3, expected project names in quotes"),
    ("projects", '[["a"]]', "holds a list, expected project names in quotes"),
    ("projects", '[""]', "holds '', expected project names in quotes"),
    ("projects", '["a", "-b"]', "holds '-b', which is not a valid project name"),
    ("projects", '["dem\u00f6"]', "holds 'dem\u00f6', which is not a valid project name"),
    ("projects", r'["a\u001b[2J"]', r"holds 'a\x1b[2J', which is not a valid project name"),
    ("projects", f'["{"a" * 100}/"]', "holds a text of 101 characters, which is not a valid project name"),
    ("projects", '["*"]', "holds '*', which allows every project: leave projects out instead"),
    ("projects", '["a*b*"]', f"holds 'a*b*', {PATTERN}"),
    ("projects", '["-a*"]', f"holds '-a*', {PATTERN}"),
    ("projects", '["a*b"]', "holds 'a*b', which is not a valid project name"),
    ("valid-for", "[]", f"is a list, {LENGTH}"),
    ("valid-for", "true", f"is true, {LENGTH}"),
    ("valid-for", "1.5", f"is 1.5, {LENGTH}"),
    ("valid-for", "nan", f"is a number out of range, {LENGTH}"),
    ("valid-for", '"0s"', "is 0, expected at least one second"),
    ("valid-for", "0", "is 0, expected at least one second"),
    ("max-valid-for", "{}", f"is a table, {LENGTH}"),
    ("max-valid-for", '"0d"', "is 0, expected at least one second"),
    ("max-token-valid-for", '"auto"', f"is 'auto', {LENGTH}"),
    ("max-master-age", "0", "is 0, expected at least one second"),
    ("clock-skew", "-1", f"is -1, {LENGTH}"),
    ("clock-skew", '"soon"', f"is 'soon', {LENGTH}"),
    ("clock-skew", '"10m1s"', """is '10m1s', expected at most "10m\""""),
    ("clock-skew", "601", 'is 601, expected at most "10m"'),
    *((key, *case) for key in ("not-before", "not-after") for case in NO_MOMENTS),
    ("account", "3", f"is 3, {LABEL}"),
    ("account", '""', f"is '', {LABEL}"),
    ("account", '"my work"', f"is 'my work', {LABEL}"),
    ("account", f'"{"a" * 65}"', f"is '{'a' * 65}', {LABEL}"),
    ("require-policy", '"yes"', "is 'yes', expected true or false"),
    ("require-policy", "1", "is 1, expected true or false"),
    ("unscoped", "true", 'is true, expected "refuse" or "allow"'),
    ("unscoped", '"Allow"', """is 'Allow', expected "refuse" or "allow\""""),
    ("unscoped", "[]", 'is a list, expected "refuse" or "allow"'),
    *(
        ("confirm", text, f"is {shown}, expected true, false, or a program and its arguments such as {ASKPASS}")
        for text, shown in (
            ("1", "1"),
            ('"yes"', "'yes'"),
            ("[]", "a list"),
            ('["/x", ""]', "a list"),
            ("[3]", "a list"),
        )
    ),
    ("confirm", '["askpass"]', "names 'askpass', expected an absolute path such as \"/usr/bin/ksshaskpass\""),
    ("notice", "0", "is 0, expected true or false"),
    ("notice", "-1e13", "is a number out of range, expected true or false"),
    ("notice", "1000000000001", "is a number out of range, expected true or false"),
    ("notice", "1000000000000", "is 1000000000000, expected true or false"),
    ("history", '"on"', "is 'on', expected true or false"),
]


# How long an example takes proves nothing on a busy machine, and nothing is left behind.
search = settings(deadline=None, database=None, max_examples=200)
ANY_LAYER: st.SearchStrategy[Layer] = st.sampled_from(("project", "user"))


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


def refusal_of(text: str, layer: Layer, table: tuple[str, ...]) -> str | None:
    """Return why a policy is refused, if it is; anything but a `PolicyError` fails the test."""
    try:
        parse_policy(text, layer=layer, name="p.toml", table=table)
    except PolicyError as error:
        return str(error)
    return None


NOW = 1_000


# Lists that mostly leave something, since they meet in up to six tables.
ALLOWED = st.sampled_from(["abc", "abc", "ab", "bc", "a", ""]).map(frozenset)


def sourced(values: st.SearchStrategy[Any]) -> st.SearchStrategy[WithOrigin[Any]]:
    """Give values a place."""
    return values.map(lambda value: WithOrigin(value, Origin("p.toml:1")))


def limits(*, whole: bool) -> st.SearchStrategy[Settings]:
    """Make a table of limits; those with a default that another value may exceed only if it is `whole`."""
    return st.builds(
        lambda **said: Settings(**said),  # noqa: PLW0108 - hypothesis would fill what is left out of a NamedTuple
        projects=st.none() | sourced(ALLOWED),
        not_before=st.none() | sourced(st.integers(NOW - 200, NOW + 2)),
        not_after=st.none() | sourced(st.integers(NOW - 20, NOW + 5_000)),
        require_policy=st.none() | sourced(st.sampled_from([False, False, False, True])),
        max_valid_for=sourced(st.integers(300, 10_000)) if whole else st.none(),
        unscoped=sourced(st.sampled_from(["allow", "allow", "allow", "refuse"])) if whole else st.none(),
    )


def to_table(settings: Settings) -> RepositorySettings:
    return RepositorySettings(**settings._asdict())


def files(layer: Layer, top: st.SearchStrategy[Settings]) -> st.SearchStrategy[PolicyFile]:
    """Make a layer's policy, with or without a table for the repository."""
    nothing: dict[str, RepositorySettings] = {}
    tables = st.just(nothing) | st.fixed_dictionaries({"pypi": limits(whole=layer != "project").map(to_table)})
    return st.builds(PolicyFile, st.just(Origin("p.toml")), top, tables, st.just(StoreSettings()))


PREFERENCES = st.fixed_dictionaries(
    {}, optional={"valid_for": sourced(st.integers(1, 1_500)), "clock_skew": sourced(st.integers(0, 600))}
)
PROJECT = st.none() | files(
    "project", st.tuples(limits(whole=False), PREFERENCES).map(lambda pair: pair[0]._replace(**pair[1]))
)
EVIDENCE = st.none() | sourced(st.sampled_from([("a",), ("a",), ("b", "c")]))


def granted(policies: Policies, projects: WithOrigin[tuple[str, ...]] | None) -> tuple[Grant, int, int] | None:
    """Decide, and return the grant with its window; None stands for a refusal."""
    try:
        grant = decide(PYPI, policies, Evidence(projects, Path()))
        return (grant, *grant.window(NOW))
    except Refusal:
        return None


def path_of(*policies: PolicyFile | None) -> SearchPath:
    """Return a search path with these policies, nearest first."""
    return SearchPath(tuple(policy for policy in policies if policy is not None))
