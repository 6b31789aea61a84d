"""What holds for every policy, every command line and every combination of layers, searched by hypothesis."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from policy_cases import (
    ANY_LAYER,
    ANY_VALUES,
    ARGUMENTS,
    CFG,
    EVIDENCE,
    NOW,
    OUR_NAMES,
    POLICIES,
    PROGRAMS,
    PROJECT,
    TABLES,
    TEXT,
    check_evidence,
    files,
    granted,
    limits,
    path_of,
    refusal_of,
    search,
    toml_text,
)

from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.names import normalize_valid
from keyring_pypitoken.policy.model import Policies
from keyring_pypitoken.policy.values import WrongValueError, parse_duration
from keyring_pypitoken.toml import find_lines, load_toml
from keyring_pypitoken.uploaders.evidence import projects_of_file
from keyring_pypitoken.uploaders.uploader import Process

if TYPE_CHECKING:
    from keyring_pypitoken.policy.model import Layer, PolicyFile, WithOrigin


# Policies


@search
@given(
    TEXT | st.lists(st.sampled_from([*OUR_NAMES, *'=[]{}".,\n# 1-:', "'''", '"""', "tool."])).map("".join), ANY_LAYER
)
def test_any_text_is_a_policy_or_is_refused(text: str, layer: Layer) -> None:
    """Nothing but a `PolicyError`, which shows nothing that a terminal would obey."""
    refusal = refusal_of(text, layer, ())
    assert refusal is None or refusal.isprintable()


@search
@given(POLICIES, ANY_LAYER, TABLES)
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
@given(ANY_VALUES | st.text("0123456789dhms \n\u0661") | st.none() | st.binary() | st.complex_numbers())
def test_any_value_is_a_length_of_time_or_is_refused(value: object) -> None:
    """Nothing but a `WrongValueError`, and no more than ten years."""
    with contextlib.suppress(WrongValueError):
        assert 0 <= parse_duration(value) <= 3650 * 86_400


# Lines


@search
@given(st.text() | st.lists(st.sampled_from([*"[]\"'.= \t\r\n#ab", "\u2028"])).map("".join))
def test_every_line_is_one_of_the_text(text: str) -> None:
    for path, line in find_lines(text).items():
        assert path[-1] in text.split("\n")[line - 1]


# Evidence


@search
@given(st.text(), st.sampled_from(["", ".whl", "-1.0.whl", "-1.0-py3-none-any.whl", ".tar.gz", "-1.0.tar.gz", ".zip"]))
def test_any_file_name_tells_a_normalized_project_or_none(stem: str, end: str) -> None:
    """Whoever made the file."""
    for project in projects_of_file(stem + end):
        assert project == normalize_valid(project)


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


@search
@given(st.binary() | TEXT.map(str.encode) | CFG.map(lambda parts: "".join(parts).encode()), st.booleans())
def test_any_metadata_tells_a_project_or_is_refused(data: bytes, pyproject: bool) -> None:
    """Nothing but a `Refusal`, whatever the files hold."""
    Path("pyproject.toml").write_bytes(data if pyproject else b"")
    Path("setup.cfg").write_bytes(data)
    check_evidence(Process("", (), Path.cwd(), {}), None)


# Layers


@search
@given(PROJECT, files("user", limits(whole=True)), files("site", limits(whole=True)), EVIDENCE)
def test_another_layer_never_widens_a_grant(
    project: PolicyFile | None, user: PolicyFile, site: PolicyFile, evidence: WithOrigin[tuple[str, ...]] | None
) -> None:
    """What two layers allow together, each of them allows alone: no longer window, and no further project."""
    granted_by_both = granted(Policies(path_of(project), (), (user, site)), evidence)
    if granted_by_both is None:
        return
    both, not_before, not_after = granted_by_both
    for alone in (Policies(path_of(project), (), (user,)), Policies(path_of(project), (), (site,))):
        granted_by_one = granted(alone, evidence)
        assert granted_by_one is not None
        one, earliest, latest = granted_by_one
        assert earliest <= not_before <= NOW < not_after <= latest
        assert one.projects is None or (both.projects is not None and {*both.projects.value} <= {*one.projects.value})


@search
@given(PROJECT, files("user", limits(whole=True)), files("site", limits(whole=True)), EVIDENCE)
def test_a_grant_keeps_every_limit_of_every_table(
    project: PolicyFile | None, user: PolicyFile, site: PolicyFile, evidence: WithOrigin[tuple[str, ...]] | None
) -> None:
    """Each table's limits hold for what is granted, seen one by one."""
    policies = Policies(path_of(project), (), (user, site))
    granted_window = granted(policies, evidence)
    if granted_window is None:
        return
    found, not_before, not_after = granted_window
    for table in [table for file in (*policies.here.policies, *policies.configured) for table in file.tables(PYPI)]:
        assert table.projects is None or (
            found.projects is not None and {*found.projects.value} <= table.projects.value
        )
        assert table.not_before is None or table.not_before.value <= not_before
        assert table.not_after is None or not_after <= table.not_after.value
        assert table.max_valid_for is None or not_after - NOW <= table.max_valid_for.value
        assert table.unscoped is None or table.unscoped.value == "allow" or found.projects is not None
        assert table.require_policy is None or not table.require_policy.value or project is not None
