"""Notes of stored accounts: what they say, and that nothing unreadable passes for nothing stored."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sandbox import make_pipe

from keyring_pypitoken import files, paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI
from keyring_pypitoken.vault.accounts import (
    Noted,
    account_of_project,
    forget_account,
    note_account,
    noted_accounts,
    refuse_similar,
)

if TYPE_CHECKING:
    from collections.abc import Callable

POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")
AS_USER = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")


def notes() -> Path:
    return Path(paths.accounts_directory())


def refused(step: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(Refusal) as error:
        step(*arguments)
    return str(error.value)


def plant(content: object) -> Path:
    """Write a note as nobody did."""
    notes().mkdir(parents=True, exist_ok=True)
    path = notes() / "planted.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_labels_are_listed_in_order_with_the_time_they_were_stored_at() -> None:
    assert noted_accounts(PYPI) == {}
    before = int(time.time())
    for label in ("work", "default"):
        note_account(PYPI, label)
    note_account(TESTPYPI, "other")
    accounts = noted_accounts(PYPI)
    assert list(accounts) == ["default", "work"]
    assert all(before <= noted.stored <= time.time() for noted in accounts.values())
    assert list(noted_accounts(TESTPYPI)) == ["other"]


def test_storing_again_renews_the_time() -> None:
    plant({"repository": PYPI.url, "account": "old", "stored": "2024-02-29T12:00:00+00:00"})
    assert noted_accounts(PYPI) == {"old": Noted(1709208000)}
    note_account(PYPI, "new")
    (path,) = [path for path in notes().iterdir() if path.name != "planted.json"]
    path.write_text(path.read_text().replace("20", "19", 1))
    first = noted_accounts(PYPI)["new"].stored
    note_account(PYPI, "new")
    assert noted_accounts(PYPI)["new"].stored > first


def test_an_account_is_noted_as_that_of_projects_until_others_are_given() -> None:
    note_account(PYPI, "work", ["B.two", "a_one", "b-two"])
    note_account(PYPI, "work")
    assert noted_accounts(PYPI)["work"].projects == ("a-one", "b-two")
    assert account_of_project(PYPI, "b-two") == "work"
    assert account_of_project(TESTPYPI, "b-two") is None
    plant({"repository": PYPI.url, "account": "old", "stored": "2024-02-29T12:00:00+00:00", "projects": ["a-one"]})
    assert account_of_project(PYPI, "a-one") == "work", "the one that was stored last"
    note_account(PYPI, "work", ["c"])
    assert account_of_project(PYPI, "a-one") == "old"
    assert account_of_project(PYPI, "b-two") is None
    note_account(PYPI, "demo")
    assert account_of_project(PYPI, "demo") is None, "a label is no note of a project"


def test_a_deleted_account_is_not_listed() -> None:
    forget_account(PYPI, "work")
    note_account(PYPI, "work")
    forget_account(PYPI, "work")
    assert noted_accounts(PYPI) == {}
    assert list(notes().iterdir()) == []


def test_other_files_are_passed_over() -> None:
    note_account(PYPI, "work")
    (notes() / "unfinished.tmp").write_text("{")
    assert list(noted_accounts(PYPI)) == ["work"]


def test_labels_that_differ_in_case_only_are_refused() -> None:
    note_account(PYPI, "Work")
    note_account(PYPI, "Work")
    note_account(TESTPYPI, "work")
    for step in (refuse_similar, note_account):
        assert refused(step, PYPI, "work") == (
            "a master for pypi is stored for the account 'Work', which differs from 'work' in case only: "
            "use that label or quite another one."
        )
    assert list(noted_accounts(PYPI)) == ["Work"]


GOOD: dict[str, Any] = {"repository": PYPI.url, "account": "a", "stored": "2024-02-29T12:00:00+00:00"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\0",
        "[" * 9000,
        [],
        "text",
        *({**GOOD, key: None} for key in GOOD),
        *({**GOOD, key: []} for key in GOOD),
        *({key: value for key, value in GOOD.items() if key != missing} for missing in GOOD),
        {**GOOD, "projects": 1},
        {**GOOD, "projects": [1]},
        {**GOOD, "stored": "yesterday"},
        {**GOOD, "stored": "3001-01-01T00:00:00"},  # without an offset: Windows converts no such local time
    ],
)
def test_a_damaged_note_is_refused(content: object) -> None:
    path = plant(content)
    assert refused(noted_accounts, TESTPYPI) == (
        f"{path} is not a note of a stored account: delete it, and store the masters whose accounts are missing in "
        "`keyring-pypitoken status` again."
    )


def test_a_note_that_is_too_long_is_refused() -> None:
    path = plant(" " * 10_001)
    assert refused(noted_accounts, PYPI) == f"{path} is longer than 10000 bytes: shorten it."


@POSIX
def test_a_note_that_is_not_a_file_is_refused_and_not_waited_for() -> None:
    note_account(PYPI, "work")
    path = notes() / "pipe.json"
    make_pipe(path)
    assert refused(noted_accounts, PYPI) == f"{path} is not a regular file: replace it with one."


@POSIX
@pytest.mark.parametrize("target", ["missing", "accounts"], ids=["dangling", "a loop"])
def test_a_directory_of_notes_that_cannot_be_read_is_refused(target: str) -> None:
    notes().parent.mkdir(parents=True)
    notes().symlink_to(target)
    assert str(notes()) in refused(noted_accounts, PYPI)


@AS_USER
def test_notes_without_permission_are_refused() -> None:
    note_account(PYPI, "work")
    (path,) = notes().iterdir()
    path.chmod(0)
    assert refused(noted_accounts, PYPI).startswith(f"{path} cannot be read (permission denied)")
    notes().chmod(0)
    assert refused(noted_accounts, PYPI).startswith(f"{notes()} cannot be read (permission denied)")
    notes().chmod(0o700)


def test_what_cannot_be_noted_is_refused() -> None:
    notes().parent.mkdir(parents=True)
    notes().write_text("")
    assert refused(note_account, PYPI, "work").startswith(f"{notes()} is not a directory")


@pytest.mark.parametrize("denials", [3, 99])
def test_a_note_that_a_scanner_holds_is_replaced_and_removed_soon(
    denials: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_account(PYPI, "work")
    (path,) = notes().iterdir()
    for name, step in (("replace", note_account), ("unlink", forget_account)):
        left, real = [denials], getattr(os, name)

        def denied(*names: str, left: list[int] = left, real: Callable[..., None] = real) -> None:
            if str(path) in names and left[0] > 0:
                left[0] -= 1
                raise PermissionError(13, "The process cannot access the file")
            real(*names)

        with monkeypatch.context() as patch:
            patch.setattr(files, "_MAX_DENIALS", 3)
            patch.setattr(files, "_PAUSE", 0)
            patch.setattr(os, name, denied)
            if denials == 3:
                step(PYPI, "work")
            else:
                assert f"{path} cannot be " in refused(step, PYPI, "work")
    assert path.exists() is (denials == 99)
