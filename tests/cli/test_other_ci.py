"""Other CIs, as their recipes have it: the lines of a maintainer, of a GitLab job and of a Jenkins pipeline."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import keyring
import pytest
from distributions import make_wheel
from loopback_index import IndexProcess
from sandbox import STORES, WritePolicy, write_program

from keyring_pypitoken.history import read_history

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the lines are a POSIX shell's")

# Once a week, on the machine that has the master in its keyring.
MAINTAINER = 'keyring-pypitoken token --project demo --valid-for 7d --note "GitLab: demo"'
# The job has what that printed, as the masked variable PYPI_TOKEN, and nothing of this package.
GITLAB = 'TWINE_USERNAME=__token__ TWINE_PASSWORD="$PYPI_TOKEN" twine upload --non-interactive dist/*'
# The step has the master in a variable, of withCredentials; twine has no such variable.
JENKINS = "printenv PYPI_MASTER | keyring-pypitoken exec --master-stdin --project demo -- twine upload dist/*"


@pytest.fixture
def index() -> Iterator[IndexProcess]:
    """Serve an index of its own: which of its uploads is meant is clear."""
    with IndexProcess() as index:
        yield index


@pytest.fixture
def job(work: Path, home: Path, index: IndexProcess) -> dict[str, str]:
    """Return the environment of a job that has built demo: no home directory, no keyring; the index is PyPI's."""
    make_wheel(work / "dist", "demo", "1.0")
    programs = home / "programs"
    programs.mkdir()
    write_program(programs / "twine", sys.executable, "-m", "twine")
    write_program(programs / "keyring-pypitoken", sys.executable, "-m", "keyring_pypitoken")
    site = home / "site" / "keyring-pypitoken"
    site.mkdir(parents=True)
    (site / "policy.toml").write_text(f'[repository.local]\nurl = "{index.upload_url}"\ndomain = "pypi.org"\n')
    return {
        "PATH": os.pathsep.join([str(programs), str(home / "keyrings"), os.defpath]),
        "HOME": "/dev/null/home",
        "XDG_CONFIG_DIRS": str(home / "site"),
        "TWINE_REPOSITORY_URL": index.upload_url,
        "COLUMNS": "1000",
    }


def shell(lines: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run lines as a CI does: without a terminal, and without input."""
    return subprocess.run(
        ["/bin/sh", "-ec", lines],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        start_new_session=True,
    )


def restrictions(index: IndexProcess) -> tuple[int, list[object]]:
    """Return the length of the window of the one token that arrived, in seconds, and the other restrictions."""
    (upload,) = index.uploads()
    assert (upload.status, upload.filename) == (200, "demo-1.0-py3-none-any.whl")
    (_, not_after, not_before), *others = upload.restrictions
    return not_after - not_before - 60, others


def test_a_gitlab_job_uploads_with_a_token_for_one_project_and_seven_days(
    index: IndexProcess, job: dict[str, str], user_policy: WritePolicy
) -> None:
    user_policy('max-token-valid-for = "7d"\n')
    keyring.set_password("https://upload.pypi.org/legacy/", "__token__", index.create_master())
    made = shell(MAINTAINER, {**os.environ, "PATH": job["PATH"], "PYTHONPATH": str(STORES)})
    assert made.stderr.startswith("keyring-pypitoken: derived a token for demo on pypi, valid until 20")
    (entry,) = read_history()
    assert (entry.note, entry.projects) == ("GitLab: demo", ("demo",))
    done = shell(GITLAB, {**job, "PYPI_TOKEN": made.stdout.strip()})
    assert done.returncode == 0, done.stdout + done.stderr
    assert made.stdout.strip() not in done.stdout + done.stderr
    assert restrictions(index) == (7 * 86_400, [[1, ["demo"]]])


def test_a_jenkins_step_gives_twine_a_token_for_one_project_and_some_minutes(
    index: IndexProcess, job: dict[str, str]
) -> None:
    master = index.create_master()
    done = shell(JENKINS, {**job, "PYPI_MASTER": master})
    assert done.returncode == 0, done.stdout + done.stderr
    assert master not in done.stdout + done.stderr
    assert restrictions(index) == (300, [[1, ["demo"]]])


@pytest.mark.usefixtures("index")
def test_a_job_without_the_master_uploads_nothing(job: dict[str, str]) -> None:
    done = shell(JENKINS, job)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "keyring-pypitoken: no token given: paste it at the prompt, or send it to standard input"
    )
    assert "it is likely not set here" in done.stderr
