"""What tests of the command share: a project to be in, and a stored master."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keyring
import pytest
from sandbox import new_master

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(work: Path) -> Path:
    """Make the current directory one of a project."""
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    return work


@pytest.fixture
def stored() -> str:
    """Store a master; return its text."""
    master = new_master()
    keyring.set_password("https://upload.pypi.org/legacy/", "__token__", master)
    return master
