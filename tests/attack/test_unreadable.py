"""What cannot be read is not absent: limits stay, and no raw master comes out of keyring's chain."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from attacked import PRIVATE, deny, get, plant
from sandbox import new_master

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and their errors are POSIX's")
OWN = "https://index.example/legacy/"


def denied(home: Path, path: Path) -> dict[str, str]:
    """The directory may not be searched."""
    return deny(home, path.parent)


def dangling(home: Path, path: Path) -> dict[str, str]:
    """The directory is a link to something that is not mounted."""
    path.parent.rename(home / "moved")
    path.parent.symlink_to(home / "unmounted")
    return {}


def looping(home: Path, path: Path) -> dict[str, str]:
    """The directory is a link to itself."""
    path.parent.rename(home / "moved")
    path.parent.symlink_to(path.parent)
    return {}


@pytest.fixture
def project(work: Path) -> Path:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    return work


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("hide", [denied, dangling, looping])
@pytest.mark.parametrize("place", ["config", "site"])
def test_limits_that_cannot_be_read_are_not_lifted(
    place: str, hide: Callable[[Path, Path], dict[str, str]], project: Path, home: Path
) -> None:
    policy = write(home / place / "keyring-pypitoken/policy.toml", 'max-valid-for = "2m"\nvalid-for = "2m"\n')
    plant(home, PRIVATE, "default", new_master())
    assert get(project).seconds == 120
    environ = hide(home, policy)
    found = get(project, **environ)
    assert (found.kind, found.seconds) == ("refused", 0)
