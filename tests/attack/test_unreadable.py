"""What cannot be read is not absent: limits stay, and no raw master comes out of keyring's chain."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pyrage
import pytest
from attacked import PRIVATE, PYPI, TOKEN, deny, get, plant, start
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


Hide = pytest.mark.parametrize("hide", [denied, dangling, looping])
HIDE = "Callable[[Path, Path], dict[str, str]]"


@pytest.fixture
def project(work: Path) -> Path:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    return work


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)
    path.chmod(0o600)
    return path


@Hide
def test_a_token_of_a_repository_that_an_unreadable_policy_may_name_is_not_handed_out(
    hide: Callable[[Path, Path], dict[str, str]], project: Path, home: Path
) -> None:
    policy = write(
        home / "config/keyring-pypitoken/policy.toml", f'[repository.own]\nurl = "{OWN}"\ndomain = "pypi.org"\n'
    )
    plant(home, OWN, TOKEN, new_master())
    assert get(project, OWN).kind == "derived"
    environ = hide(home, policy)
    assert get(project, OWN, **environ).kind == "refused"


@Hide
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


@Hide
def test_an_age_file_that_cannot_be_reached_is_not_absent(
    hide: Callable[[Path, Path], dict[str, str]], project: Path, home: Path
) -> None:
    identity = pyrage.x25519.Identity.generate()
    write(home / "identity", str(identity))
    write(home / "config/keyring-pypitoken/policy.toml", f'[store]\nidentity = "{home / "identity"}"\n')
    document = f'{{"version": 1, "masters": {{"{PRIVATE}": {{"default": "{new_master()}"}}}}}}'
    file = write(home / "data/keyring-pypitoken/masters.age", "")
    file.write_bytes(pyrage.encrypt(document.encode(), [identity.to_public()]))
    assert get(project).kind == "derived"
    environ = hide(home, file)
    assert get(project, **environ).kind == "refused"


@Hide
def test_notes_of_accounts_that_cannot_be_read_are_not_absent(
    hide: Callable[[Path, Path], dict[str, str]], project: Path, home: Path
) -> None:
    done = start("keyring", "set", PYPI, TOKEN, cwd=project, stdin=new_master())
    assert done is not None
    assert done.returncode == 0
    (note,) = (home / "data/keyring-pypitoken/accounts").iterdir()
    assert get(project).kind == "derived"
    # Without the backend that holds the master, its note is all that says that there is one.
    assert get(project, TEST_KEYRINGS="second").kind == "refused"
    environ = hide(home, note)
    assert get(project, TEST_KEYRINGS="second", **environ).kind == "refused"
    shutil.rmtree(home / "moved", ignore_errors=True)
