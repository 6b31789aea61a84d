"""`valid-for = "auto"` and real twine, on a slow line: what fits into the window arrives, and what does not resumes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import keyring
import pytest
from sandbox import STORES, Result, Run, WritePolicy
from slow_index import MBIT, SlowIndex, make_sparse_wheels
from wire import OFFLINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.uploaders
MIB = 1024 * 1024
EXPIRED = "Invalid API Token: token is expired"
# twine skips what PyPI has already, and asks PyPI for that: here the index is PyPI.
CUSTOMIZE = """
import os, twine.repository
twine.repository.WAREHOUSE = os.environ["TEST_INDEX"]
twine.repository.LEGACY_PYPI = os.environ["TEST_INDEX"] + "json/"
"""


@pytest.fixture
def index(user_policy: WritePolicy, work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowIndex]:
    """Serve an index, with a master stored for it, at the end of a line that is slower than the window assumes."""
    (work / "sitecustomize.py").write_text(CUSTOMIZE)
    with SlowIndex(0.4 * MBIT, seconds=12) as index:
        user_policy(f'[repository.local]\nurl = "{index.upload_url}"\ndomain = "pypi.org"\n')
        keyring.set_password(index.upload_url, "__token__", index.create_master())
        for name, value in {**OFFLINE, "TEST_INDEX": index.upload_url.removesuffix("legacy/")}.items():
            monkeypatch.setenv(name, value)
        yield index


def upload(run: Run, index: SlowIndex, *options: str) -> Result:
    """Upload dist/* with twine. When that begins, the index's clock is right."""
    index.clock_offset = 0
    index.received.clear()
    words = ("twine", "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", index.upload_url)
    return run(*words, *options, "dist/*", PYTHONPATH=os.pathsep.join([str(STORES), "."]))


def test_many_files_that_fifteen_minutes_would_not_cover_arrive(run: Run, index: SlowIndex, work: Path) -> None:
    make_sparse_wheels(work / "dist", "demo", *[MIB] * 30)
    done = upload(run, index)
    assert done.returncode == 0, done.stdout + done.stderr
    assert index.received == [200] * 30
    assert index.clock_offset > 15 * 60
    assert "need longer" not in done.stderr
    index.uploads.clear()
    (work / "pypitoken.toml").write_text('valid-for = "15m"\n')
    assert EXPIRED in upload(run, index).stdout
    *arrived, last = index.received
    assert (set(arrived), last) == ({200}, 403)


def test_an_upload_that_is_warned_of_fails_and_is_resumed(
    run: Run, index: SlowIndex, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sparse_wheels(work / "dist", "demo", *[40 * MIB] * 4)
    index.speed = 2.5 * MBIT
    monkeypatch.setenv("KEYRING_PYPITOKEN_VALID_FOR", "6m")
    failed = upload(run, index)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[1] == (
        "keyring-pypitoken: 4 files, 160.0 MiB may need longer than 6 minutes; if the token expires before "
        "they are sent, run the same command again with `--skip-existing`"
    )
    assert EXPIRED in failed.stdout
    assert index.received == [200, 200, 403]
    resumed = upload(run, index, "--skip-existing")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert resumed.stdout.count("Skipping demo-1.0-") == 2
    assert index.received == [200, 200]
