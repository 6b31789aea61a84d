"""Leave out what takes minutes, unless it is asked for: `pytest -m attack`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "attack: takes minutes, and runs only with `-m attack`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that are marked, unless the expression of `-m` names the marker."""
    if "attack" in str(config.getoption("markexpr")):
        return
    left_out = [item for item in items if item.get_closest_marker("attack")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the attacks counted."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    lines = [line for report in reports for name, line in report.user_properties if name == "attack"]
    if lines:
        terminalreporter.section("attacks")
    for line in sorted(lines):
        terminalreporter.line(line)
