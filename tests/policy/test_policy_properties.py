"""What holds for every policy, every command line and every combination of layers, searched by hypothesis."""

from __future__ import annotations

import contextlib
import datetime
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from policy_cases import EVIDENCE, NOW, PROJECT, files, granted, limits, path_of, search

from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.policy.model import Policies
from keyring_pypitoken.policy.values import WrongValueError, parse_duration
from keyring_pypitoken.toml import find_lines

if TYPE_CHECKING:
    from keyring_pypitoken.policy.model import PolicyFile, WithOrigin


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
@given(st.text("0123456789dhms \n\u0661") | st.integers() | st.floats() | st.none() | st.binary() | st.lists(st.none()))
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


# Layers


@search
@given(PROJECT, files("user", limits(whole=True)), files("user", limits(whole=True)), EVIDENCE)
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
@given(PROJECT, files("user", limits(whole=True)), files("user", limits(whole=True)), EVIDENCE)
def test_a_grant_keeps_every_limit_of_every_table(
    project: PolicyFile | None, user: PolicyFile, site: PolicyFile, evidence: WithOrigin[tuple[str, ...]] | None
) -> None:
    """Each table's limits hold for what is granted, seen one by one."""
    policies = Policies(path_of(project), (), (user, site))
    granted_window = granted(policies, evidence)
    if granted_window is None:
        return
    grant, not_before, not_after = granted_window
    for table in [table for file in (*policies.here.policies, *policies.configured) for table in file.tables(PYPI)]:
        assert table.projects is None or (
            grant.projects is not None and {*grant.projects.value} <= table.projects.value
        )
        assert table.not_before is None or table.not_before.value <= not_before
        assert table.not_after is None or not_after <= table.not_after.value
        assert table.max_valid_for is None or not_after - NOW <= table.max_valid_for.value
        assert table.unscoped is None or table.unscoped.value == "allow" or grant.projects is not None
        assert table.require_policy is None or not table.require_policy.value or project is not None
