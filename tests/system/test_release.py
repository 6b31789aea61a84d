"""A release: built alike anywhere and at any time, and published only if tag, version and changelog agree."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import textwrap
from typing import TYPE_CHECKING

import pytest
from sandbox import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the workflow runs them on Linux")
VERSION = importlib.metadata.version("keyring-pypitoken")
REPOSITORY = "https://github.com/keyring-pypitoken/keyring-pypitoken"
# A build in the current directory, by its backend's own functions, on a machine whose clock shows something else.
BUILD = """
import sys, time
time.time = lambda: float(sys.argv[2])
from hatchling.build import build_sdist, build_wheel
build_sdist(sys.argv[1])
build_wheel(sys.argv[1])
"""


def build(source: Path, target: Path, clock: int, umask: int, **environ: str) -> dict[str, str]:
    """Build the sdist and the wheel; return the digest of each."""
    subprocess.run(
        [sys.executable, "-c", BUILD, target, str(clock)], cwd=source, env=os.environ | environ, umask=umask, check=True
    )
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.iterdir()}


def test_every_build_has_the_same_bytes(tmp_path: Path) -> None:
    first = build(ROOT, tmp_path / "first", 1_000_000_000, 0o022, TZ="UTC", LC_ALL="C", PYTHONHASHSEED="1")
    # The second is built from the first, which thus holds all that a build needs.
    (sdist,) = (tmp_path / "first").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # an attribute, for Python 3.11.2 has none
        archive.extractall(tmp_path / "else where")  # noqa: S202 - this test made the archive
    (source,) = (tmp_path / "else where").iterdir()
    for number, path in enumerate(source.rglob("*")):
        path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)
        os.utime(path, (2_000_000_000 + number,) * 2)
    second = build(source, tmp_path / "second", 3_000_000_000, 0o077, TZ="Asia/Tokyo", LC_ALL="tr_TR.UTF-8")
    assert sorted(first) == [f"keyring_pypitoken-{VERSION}-py3-none-any.whl", f"keyring_pypitoken-{VERSION}.tar.gz"]
    assert second == first


def test_the_metadata_leads_to_the_repository() -> None:
    metadata = importlib.metadata.metadata("keyring-pypitoken")
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL") or [])
    assert urls.keys() == {"Homepage", "Documentation", "Changelog", "Issues", "Security", "Source"}
    assert [url for url in urls.values() if not url.startswith(REPOSITORY)] == []
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["LICENSE"]


@pytest.mark.parametrize(
    ("tag", "changelog", "refusal"),
    [
        ("v1.2.3", "## [Unreleased]\n\n## [1.2.3] - 2026-01-31\n\n- A.\n\n## [1.2.2] - 2025-01-31\n", ""),
        ("v1.2.3", "## [1.2.3] - 2026-01-31\n", ""),
        (
            "1.2.3",
            "## [Unreleased]\n\n## [1.2.3] - 2026-01-31\n",
            "the tag is '1.2.3', but pyproject.toml has version 1.2.3: tag v1.2.3.\n",
        ),
        (
            "v1.2.3",
            "## [Unreleased]\n\n- B.\n\n## [1.2.3] - 2026-01-31\n",
            "the changelog lists changes as unreleased: move them below '## [1.2.3] - YYYY-MM-DD'.\n",
        ),
        *[
            (
                "v1.2.3",
                changelog,
                "the changelog's newest release is not '## [1.2.3] - YYYY-MM-DD': add that heading.\n",
            )
            for changelog in (
                "## [Unreleased]\n",
                "## [Unreleased]\n\n## [1.2.3]\n",
                "## [Unreleased]\n\n## [1.2.2] - 2026-01-31\n\n## [1.2.3] - 2026-01-30\n",
                "## [Unreleased]\n\n## [1x2.3] - 2026-01-31\n",
            )
        ],
    ],
)
def test_a_release_needs_one_version_everywhere(tag: str, changelog: str, refusal: str, tmp_path: Path) -> None:
    (tmp_path / ".github").mkdir()
    script = shutil.copy(ROOT / ".github" / "check_release.py", tmp_path / ".github")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n\n[tool.mypy]\npython_version = "3.10"\n')
    (tmp_path / ".github" / "CHANGELOG.md").write_text(f"# Changelog\n\nText.\n\n{changelog}")
    done = subprocess.run([sys.executable, script, tag], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == (refusal, bool(refusal))


def steps(word: str) -> str:
    """Return the one script of publish.yml that has a word."""
    text = (ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8")
    (script,) = [run for run in re.findall(r"run: (?:\|\n)?(.*(?:\n {10}.*)*)", text) if word in run]
    return textwrap.dedent(script)


def bash(script: str, work: Path, **environ: str) -> int:
    command = ["bash", "-e", "-o", "pipefail", "-c", script]
    return subprocess.run(command, cwd=work, env=os.environ | environ, check=False, capture_output=True).returncode


@LINUX
def test_what_is_published_is_what_was_built(tmp_path: Path) -> None:
    dist, output = tmp_path / "dist", tmp_path / "output"
    dist.mkdir()
    for name in ("a.whl", "a.tar.gz"):
        (dist / name).write_text(name)
    assert bash(steps("GITHUB_OUTPUT"), tmp_path, GITHUB_OUTPUT=str(output)) == 0
    name, _, digests = output.read_text().strip().partition("=")
    compare = functools.partial(bash, steps("DIGESTS"), tmp_path)
    assert (name, compare(DIGESTS=digests)) == ("digests", 0)
    assert compare(DIGESTS="") == 1
    (dist / "b.whl").write_text("added")
    assert compare(DIGESTS=digests) == 1
    (dist / "b.whl").unlink()
    (dist / "a.whl").write_text("changed")
    assert compare(DIGESTS=digests) == 1


@LINUX
def test_only_a_tag_on_main_is_released(tmp_path: Path) -> None:
    git = "git -c user.name=x -c user.email=x@example.org"
    commit = f"{git} commit --quiet --allow-empty --message"
    made = f"""
        git init --quiet --initial-branch main origin && cd origin && {commit} one && {git} tag -m good v1
        {commit} two && git switch --quiet -c side && {commit} three && {git} tag -m bad v2
        cd .. && git clone --quiet origin clone
    """
    assert bash(made, tmp_path) == 0
    check = steps("merge-base")
    for tag, code in (("v1", 0), ("v2", 1)):
        assert bash(f"git checkout --quiet {tag}", tmp_path / "clone") == 0
        assert bash(check, tmp_path / "clone") == code


def test_the_changelog_has_a_heading_for_each_version() -> None:
    text = (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
    first, *others = re.findall("^## (.+)$", text, re.MULTILINE)
    assert first == "[Unreleased]"
    assert [heading for heading in others if not re.fullmatch(r"\[[0-9.]+\] - \d{4}-\d\d-\d\d", heading)] == []
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert re.findall(r"^\[(.+?)\]: " + re.escape(REPOSITORY), text, re.MULTILINE) == versions
