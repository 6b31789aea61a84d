"""Check that a tag, the version in pyproject.toml and the changelog agree: `check_release.py v1.2.3`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

GITHUB = Path(__file__).resolve().parent


def find_problems(tag: str, pyproject: str, changelog: str) -> list[str]:
    """Return what has to be put right before a tag is released, a sentence each."""
    problems: list[str] = []
    (version,) = re.findall(r'^version = "(.+)"$', pyproject, re.MULTILINE)
    if tag != f"v{version}":
        problems.append(f"the tag is {tag!r}, but pyproject.toml has version {version}: tag v{version}.")
    unreleased, *releases = re.split(r"^## \[(?!Unreleased\])", changelog, flags=re.MULTILINE)
    if unreleased.partition("\n## [Unreleased]\n")[2].strip():
        problems.append(f"the changelog lists changes as unreleased: move them below '## [{version}] - YYYY-MM-DD'.")
    if not releases or not re.match(re.escape(version) + r"\] - \d{4}-\d\d-\d\d\n", releases[0]):
        problems.append(f"the changelog's newest release is not '## [{version}] - YYYY-MM-DD': add that heading.")
    return problems


if __name__ == "__main__":
    files = (GITHUB.parent / "pyproject.toml", GITHUB / "CHANGELOG.md")
    sys.exit("\n".join(find_problems(sys.argv[1], *(file.read_text(encoding="utf-8") for file in files))) or None)
