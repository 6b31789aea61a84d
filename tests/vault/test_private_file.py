"""The private file: whole or not there, one writer at a time, and nobody else's."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.vault import private_file
from keyring_pypitoken.vault.private_file import locked, read_private, remove_private, replace_private

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = b"old " * 1000, b"new " * 2000
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has other calls, and no modes")

# Every call that changes something, in the order in which one writer makes them; the first four are the lock's.
CALLS = (
    *("mkdir", "chmod", "open", "flock"),
    *("unlink", "open", "write", "fsync", "close", "replace"),
    *("open", "fsync", "close"),
    "close",
)

WRITER = """
import fcntl, os, signal, sys
from keyring_pypitoken.vault.private_file import locked, replace_private
path, stop, moment = sys.argv[1], int(sys.argv[2]), sys.argv[3]
made = []
def watched(name, call):
    def watch(*arguments, **named):
        made.append(name)
        last = len(made) == stop + 1
        if last and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if last and moment == "half" and name == "write":
            call(arguments[0], arguments[1][: len(arguments[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return call(*arguments, **named)
        finally:
            if last and moment == "after":
                os.kill(os.getpid(), signal.SIGKILL)
    return watch
for module, names in ((os, "mkdir chmod open unlink write fsync close replace"), (fcntl, "flock")):
    for name in names.split():
        setattr(module, name, watched(name, getattr(module, name)))
with locked(path):
    replace_private(path, b"new " * 2000)
print(*made)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file lies: in a directory that is not there yet."""
    return tmp_path / "data" / "masters.age"


def write(path: Path, data: bytes) -> None:
    """Write as the store does."""
    with locked(str(path)):
        replace_private(str(path), data)


def stopped_writer(path: Path, step: int, moment: str) -> subprocess.CompletedProcess[str]:
    """Write the new content in a process that kills itself around one of its calls; -1 for none of them."""
    command = [sys.executable, "-c", WRITER, str(path), str(step), moment]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def refused(path: Path) -> str:
    """Return why the file cannot be read."""
    with pytest.raises(Refusal) as error:
        read_private(str(path))
    assert error.value.__cause__ is error.value.__context__ is None
    return str(error.value)


def refused_write(path: Path) -> str:
    """Return why the file cannot be written."""
    with pytest.raises(Refusal) as error:
        write(path, NEW)
    assert error.value.__cause__ is error.value.__context__ is None
    return str(error.value)


def test_reads_what_was_written(path: Path) -> None:
    """The directory is made, and what was there is replaced."""
    assert read_private(str(path)) is None
    for data in (OLD, b"", NEW):
        write(path, data)
        assert read_private(str(path)) == data
    assert sorted(os.listdir(path.parent)) == ["masters.age", "masters.age.lock"]


@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_it(path: Path, umask: int) -> None:
    """The directory is 0700 and the file 0600, whatever the umask, even if the directory was made before."""
    path.parent.mkdir(mode=0o755)
    before = os.umask(umask)
    try:
        write(path, OLD)
        write(path, NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


@POSIX
def test_a_writer_makes_these_calls(path: Path) -> None:
    """The table holds every step that a writer can be stopped at."""
    done = stopped_writer(path, -1, "never")
    assert (done.stdout.split(), done.stderr) == ([*CALLS], "")


@POSIX
@pytest.mark.parametrize("old", [OLD, None], ids=["replacing", "making"])
@pytest.mark.parametrize(
    ("step", "moment"),
    [
        *itertools.product(range(len(CALLS)), ("before", "after")),
        (CALLS.index("write"), "half"),
    ],
)
def test_a_killed_writer_leaves_the_old_file_or_the_new_one(
    path: Path, step: int, moment: str, old: bytes | None
) -> None:
    """Killed at any step: never a part, never nothing where something was, and the next writer is not held up."""
    if old is not None:
        write(path, old)
    assert stopped_writer(path, step, moment).returncode == -9
    replaced = step > CALLS.index("replace") or (CALLS[step] == "replace" and moment == "after")
    assert read_private(str(path)) == (NEW if replaced else old)
    write(path, b"next")
    assert read_private(str(path)) == b"next"
    assert sorted(os.listdir(path.parent)) == ["masters.age", "masters.age.lock"]


def test_what_a_stopped_writer_left_is_not_written_into(path: Path) -> None:
    """A link that somebody put there is removed, and not followed."""
    write(path, OLD)
    victim = path.parent / "victim"
    victim.write_bytes(b"precious")
    try:
        path.with_name("masters.age.new").symlink_to(victim)
    except OSError:
        pytest.skip("this system lets nobody make links")
    write(path, NEW)
    assert (victim.read_bytes(), path.read_bytes()) == (b"precious", NEW)


def test_what_was_written_can_be_removed(path: Path) -> None:
    """And what is not there, or is no file, cannot."""
    write(path, OLD)
    remove_private(str(path))
    assert read_private(str(path)) is None
    with pytest.raises(FileNotFoundError) as missing:
        path.unlink()
    with pytest.raises(Refusal) as error:
        remove_private(str(path))
    assert str(error.value) == f"{path} cannot be removed ({missing.value.strerror}): remove it by hand."
    assert error.value.__context__ is None


def test_short_writes_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system may take less than it is given."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
    write(path, OLD)
    assert path.read_bytes() == OLD


def test_a_full_disk_is_told_and_the_old_file_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun is removed."""
    write(path, OLD)

    def full(_handle: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert refused_write(path) == (
        f"{path} cannot be written (No space left on device), and what it held is still there: "
        "make it writable, and try again."
    )
    assert read_private(str(path)) == OLD
    assert sorted(os.listdir(path.parent)) == ["masters.age", "masters.age.lock"]


def test_a_directory_that_cannot_be_synced_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new content is in place by then."""
    real = os.open

    def no_directories(name: str, flags: int, mode: int = 0o777) -> int:
        if os.path.isdir(name):
            raise OSError(22, "Invalid argument")
        return real(name, flags, mode)

    monkeypatch.setattr(os, "open", no_directories)
    write(path, NEW)
    assert path.read_bytes() == NEW


def test_windows_opens_no_directories(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the rename is all that can be had."""
    write(path, OLD)
    with locked(str(path)):
        monkeypatch.setattr(sys, "platform", "win32")
        replace_private(str(path), NEW)
        monkeypatch.undo()
    assert path.read_bytes() == NEW


def test_what_is_denied_for_a_moment_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows denies a file that another process has open."""
    write(path, OLD)
    real, denials = os.replace, iter(range(3))

    def denied(old: str, new: str) -> None:
        if next(denials, None) is not None:
            raise PermissionError(13, "Access is denied")
        real(old, new)

    monkeypatch.setattr(private_file, "_PAUSE", 0)
    monkeypatch.setattr(os, "replace", denied)
    write(path, NEW)
    assert path.read_bytes() == NEW


def test_what_is_denied_for_good_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may belong to somebody else."""
    write(path, OLD)

    def denied(_path: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(private_file, "_PAUSE", 0)
    monkeypatch.setattr(private_file, "_read", denied)
    assert refused(path) == (
        f"{path} cannot be read (Permission denied): make it readable, or restore it from a backup."
    )


def test_what_is_no_file_is_told(path: Path) -> None:
    """A directory in its place is not removed."""
    path.mkdir(parents=True)
    assert refused(path) == f"{path} is no file, and masters are kept in a file only: move it away."


@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_a_link_is_told(path: Path, target: str) -> None:
    """A rename would replace the link and leave the file that it leads to as it was."""
    path.parent.mkdir()
    (path.parent / "elsewhere").write_bytes(OLD)
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("this system lets nobody make links")
    assert refused(path) == f"{path} is a link, and masters are kept in a file only: put the file itself there."


def test_what_is_too_long_is_told(path: Path) -> None:
    """It is not read into memory."""
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(10_000_001)
    assert refused(path) == (
        f"{path} cannot be read (it is longer than 10000000 bytes): make it readable, or restore it from a backup."
    )


def test_below_a_file_there_is_none(tmp_path: Path) -> None:
    """Where the directory should be, lies a file: then nothing is stored, and nothing can be."""
    (tmp_path / "data").write_text("")
    path = tmp_path / "data" / "masters.age"
    if os.name == "posix":
        assert read_private(str(path)) is None
    told = refused_write(path)
    assert told.startswith(f"{path} cannot be locked (")
    assert told.endswith(f"): make {path.parent} a directory of yours that can be written.")


def test_writers_wait_for_each_other(path: Path) -> None:
    """The second one begins where the first one ends."""
    order: list[str] = []

    def second() -> None:
        with locked(str(path)):
            order.append("second")

    with locked(str(path)):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_nobody_waits_forever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that hangs holds up the others for a while only."""
    monkeypatch.setattr(private_file, "MOST_SECONDS", 0.1)
    with locked(str(path)):
        assert refused_write(path) == (
            f"another process has kept {path} locked for 0.1 seconds: wait until it ends, or end it, and try again."
        )
    write(path, NEW)


@POSIX
def test_a_file_system_without_locks_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting would not help."""
    import fcntl

    def unknown(_handle: int, _how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    assert refused_write(path) == (
        f"{path} cannot be locked (No locks available): make {path.parent} a directory of yours that can be written."
    )
