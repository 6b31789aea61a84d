"""Directories of links to all that is installed, with this package and without it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import pytest

import keyring_pypitoken

if TYPE_CHECKING:
    from collections.abc import Iterator


def site_directory(directory: Path, *, ours: bool) -> Path:
    """Make a directory of links to all that is installed but keyrings.alt, and this package where it is not wanted."""
    directory.mkdir()
    installed = Path(keyring.__file__).parent.parent
    try:
        for entry in installed.iterdir():
            if not entry.name.startswith(("keyring_pypitoken", "keyrings")):
                (directory / entry.name).symlink_to(entry)
        if ours:
            package = Path(keyring_pypitoken.__file__).parent
            (directory / package.name).symlink_to(package)
            (entry,) = installed.glob("keyring_pypitoken-*.dist-info")
            (directory / entry.name).symlink_to(entry)
    except OSError:
        pytest.skip("this system lets nobody make links")
    return directory


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Path]]:
    """Make the directories with this package and without it."""
    directory = tmp_path_factory.mktemp("sites")
    yield {ours: site_directory(directory / str(ours), ours=ours) for ours in (True, False)}
    shutil.rmtree(directory)  # pytest keeps what the workers of a parallel run leave
