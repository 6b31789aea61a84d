"""Upload 12 releases to a slow index, and print which window each got, and whether that was enough.

Real twine sends every byte over loopback; the index throws them away, and its clock goes on as on a line of the stated
speed. It takes some minutes and no space on the disk: `PYTHONPATH=examples:tests/support python
tests/benchmarks/windows.py`, where the package is installed with its extra `test`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from slow_index import MBIT, SlowIndex, make_sparse_wheels
from wire import OFFLINE

from keyring_pypitoken import memory, paths

MIB = 1024 * 1024
SECONDS = 3  # that the index takes for each file


class Release(NamedTuple):
    """How many files of how many bytes go to an index; the line's speed in Mbit/s; the user's policy, if any."""

    files: int
    size: int
    line: float = 5
    policy: str = ""


RELEASES = (
    Release(1, 10_000),
    Release(2, 300_000),
    Release(10, 50_000),
    Release(100, 20_000),
    Release(1, 25 * MIB),
    Release(1, 100 * MIB),
    Release(1, 100 * MIB, 1),
    Release(100, 5 * MIB),
    Release(24, 81 * MIB, 4),
    Release(1, 1024 * MIB),
    Release(1, 1024 * MIB, 2, 'max-valid-for = "3h"'),
)


def main() -> None:
    """Print the table, and beneath it the warnings."""
    warnings = []
    print(f"{'files':>15} {'line':>8} {'needed':>8} {'window':>8}  {'outcome':<29} policy")
    for number, release in enumerate(RELEASES, 1):
        with tempfile.TemporaryDirectory() as home, SlowIndex(release.line * MBIT, SECONDS) as index:
            window, outcome, lines = upload(release, index, Path(home).resolve())
        needed = 8 * release.files * release.size / (release.line * MBIT) + SECONDS * release.files
        size = f"{release.size / MIB:.0f} MiB" if release.size >= MIB else f"{release.size // 1000} KB"
        print(
            f"{f'{release.files} x {size}':>15} {release.line:>2} Mbit/s {needed:>6.0f} s {window:>6} s  {outcome:<29} "
            f"{release.policy.replace(chr(10), ', ') or '-'}",
            flush=True,
        )
        warnings += [f"{number}: {line}" for line in lines if "need longer" in line]
    print(*warnings, sep="\n")


def upload(release: Release, index: SlowIndex, home: Path) -> tuple[int, str, list[str]]:
    """Upload a release; return the window in seconds, the outcome, and what was written to stderr."""
    names = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    os.environ.update(dict.fromkeys((*names, "TEST_KEYRING_DIRECTORY"), str(home)), **OFFLINE)
    memory.forget()  # where the last home was
    policy = Path(paths.user_policy())
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text(f'{release.policy}\n[repository.local]\nurl = "{index.upload_url}"\ndomain = "pypi.org"\n')
    run(home, "keyring", "set", index.upload_url, "__token__", given=index.create_master())
    make_sparse_wheels(home / "dist", "demo", *[release.size] * release.files)
    words = ("twine", "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", index.upload_url)
    done = run(home, *words, "dist/*")
    _, not_after, not_before = index.uploads[0].restrictions[0]
    outcome = f"all arrived after {index.clock_offset:.0f} s"
    if index.received[-1] != 200:
        assert "token is expired" in done.stdout
        outcome = f"{len(index.received) - 1} arrived, then expired"
    return not_after - not_before - 60, outcome, done.stderr.splitlines()


def run(directory: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a module's command."""
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=directory, input=given, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    main()
