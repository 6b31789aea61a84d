"""Whatever call fails, a lookup is answered as granted or refused; nothing is lost, and no secret shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import faults
import pytest
from sandbox import STORES

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = 60  # of a sample, for each store and operation
SEED = int(os.environ.get("ATTACK_SEED", time.time()))
pytestmark = [
    pytest.mark.parametrize("operation", faults.OPERATIONS),
    pytest.mark.parametrize("store", faults.STORES),
    pytest.mark.skipif(os.name != "posix", reason="the home directory of the attack is POSIX's"),
]


def attack(store: str, operation: str, cases: int, home: Path, record: Callable[[str, object], None]) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(faults.__file__)), store, operation, str(SEED), str(cases)],
        env=os.environ
        | {"PYTHONPATH": str(STORES), "HOME": str(home / "attacked")}
        | {f"XDG_{name.upper()}_HOME": str(home / "attacked" / name) for name in ("config", "data", "state", "cache")}
        | {
            "XDG_CONFIG_DIRS": str(home / "attacked" / "site"),
            "TEST_KEYRING_DIRECTORY": str(home / "attacked/keyrings"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(report["outcomes"].items()))
    record("attack", f"{store:<6}{operation:<11}{report['ran']} of {report['cases']} cases (seed {SEED}): {counts}")
    control = "done" if operation in ("set", "delete") else "derived"
    assert report["control"] == [control, control]
    assert report["silent"] == []
    assert report["bad"] == {}
    assert report["ran"] > 0


def test_a_sample_of_failing_calls_lets_nothing_out(
    store: str, operation: str, home: Path, record_property: Callable[[str, object], None]
) -> None:
    attack(store, operation, CASES, home, record_property)


@pytest.mark.attack
def test_no_failing_call_lets_anything_out(
    store: str, operation: str, home: Path, record_property: Callable[[str, object], None]
) -> None:
    attack(store, operation, 0, home, record_property)
