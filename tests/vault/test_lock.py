"""Files that masters and notes are in: whole or not there, one writer at a time, and nobody else's."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from sandbox import make_link

from keyring_pypitoken import files
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import locked, read_bytes, remove, replace

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = b"old " * 1000, b"new " * 2000
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has other calls, and no modes")

WRITER = """
import builtins, io, os, signal, sys
from keyring_pypitoken.files import locked, replace
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
class Unbuffered(io.FileIO):
    write = watched("write", io.FileIO.write)
with locked(path):
    for name in "open unlink fsync replace".split():
        setattr(os, name, watched(name, getattr(os, name)))
    builtins.open = lambda handle, mode: Unbuffered(handle, mode)
    replace(path, b"new " * 2000)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file lies: in a directory that is not there yet."""
    return tmp_path / "data" / "masters.age"


def write(path: Path, data: bytes) -> None:
    """Write as the store does."""
    with locked(str(path)):
        replace(str(path), data)


def content(path: Path) -> bytes | None:
    return read_bytes(path, "the file")


def stopped_writer(path: Path, step: int, moment: str) -> subprocess.CompletedProcess[str]:
    """Write the new content in a process that kills itself around one of its calls; -1 for none of them."""
    command = [sys.executable, "-c", WRITER, str(path), str(step), moment]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def refused_write(path: Path) -> str:
    """Return why the file cannot be written."""
    with pytest.raises(Refusal) as error:
        write(path, NEW)
    return str(error.value)


def test_reads_what_was_written(path: Path) -> None:
    assert content(path) is None
    for data in (OLD, b"", NEW):
        write(path, data)
        assert content(path) == data
    assert sorted(os.listdir(path.parent)) == ["masters.age", "masters.age.lock"]


@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_it(path: Path, umask: int) -> None:
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
@pytest.mark.parametrize("old", [OLD, None], ids=["replacing", "making"])
def test_a_writer_that_is_killed_at_any_step_leaves_the_old_file_or_the_new_one(path: Path, old: bytes | None) -> None:
    outcomes: list[bytes | None] = []
    for step, moment in itertools.product(range(9), ("before", "half", "after")):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(old) if old is not None else path.unlink(missing_ok=True)
        if stopped_writer(path, step, moment).returncode == 0:
            continue
        outcomes.append(content(path))
        write(path, b"next")
        assert content(path) == b"next"
        assert sorted(os.listdir(path.parent)) == ["masters.age", "masters.age.lock"]
    assert outcomes == [old] * (len(outcomes) - 1) + [NEW]


def test_what_a_stopped_writer_left_is_not_written_into(path: Path) -> None:
    write(path, OLD)
    victim = path.parent / "victim"
    victim.write_bytes(b"precious")
    make_link(path.with_name("masters.age.new"), victim)
    write(path, NEW)
    assert (victim.read_bytes(), path.read_bytes()) == (b"precious", NEW)


def test_a_link_that_is_planted_while_it_is_written_is_not_followed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, OLD)
    victim, new = path.parent / "victim", path.with_name("masters.age.new")
    victim.write_bytes(b"precious")
    make_link(new, victim)
    real = os.unlink

    def replanted(name: str) -> None:
        real(name)
        monkeypatch.setattr(os, "unlink", real)
        new.symlink_to(victim)

    monkeypatch.setattr(os, "unlink", replanted)
    assert refused_write(path) == (
        f"{path} cannot be written (file exists) and is as it was: make it a file that you can write, and try again."
    )
    assert (victim.read_bytes(), path.read_bytes()) == (b"precious", OLD)


def test_what_was_written_can_be_removed(path: Path) -> None:
    write(path, OLD)
    remove(str(path))
    assert content(path) is None
    remove(str(path))
    path.mkdir()
    with pytest.raises(Refusal, match=r"cannot be removed \(.*\): remove it by hand\."):
        remove(str(path))


def test_a_full_disk_is_refused_and_the_old_file_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, OLD)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert refused_write(path) == (
        f"{path} cannot be written (no space left on device) and is as it was: make it a file that you can write, and "
        "try again."
    )
    assert content(path) == OLD
    assert sorted(os.listdir(path.parent)) == ["masters.age", "masters.age.lock"]


@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_a_link_is_not_replaced(path: Path, target: str) -> None:
    path.parent.mkdir()
    (path.parent / "elsewhere").write_bytes(OLD)
    make_link(path, target)
    expected = f"{path} is a link, which would be replaced instead of the file: put the file itself there."
    assert refused_write(path) == expected
    with pytest.raises(Refusal) as error:
        remove(str(path))
    assert str(error.value) == expected
    assert path.is_symlink()


def test_below_a_file_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    path = tmp_path / "data" / "masters.age"
    reason = refused_write(path)
    assert reason.startswith(f"{path} cannot be locked (")
    assert reason.endswith(f"): make {path.parent} a directory that you can write.")


def test_writers_wait_for_each_other(path: Path) -> None:
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
    monkeypatch.setattr(files, "_LOCK_SECONDS", 0.1)
    reasons: list[str] = []
    with locked(str(path)):
        thread = threading.Thread(target=lambda: reasons.append(refused_write(path)))
        thread.start()
        thread.join(10)
    assert reasons == [
        f"another process has kept {path} locked for 0.1 seconds: wait until it ends, or end it, and try again."
    ]
    write(path, NEW)


def test_on_windows_one_byte_is_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, int]] = []

    def locking(_handle: int, how: str, length: int) -> None:
        if taken:
            raise PermissionError(13, "Permission denied")  # what the C library reports for a lock of another handle
        taken.append((how, length))

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK="at once", locking=locking))
    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(files, "_LOCK_SECONDS", 0.1)
    write(path, OLD)
    assert taken == [("at once", 1)]
    assert "has kept" in refused_write(path)
    assert content(path) == OLD


@POSIX
def test_a_file_system_without_locks_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def unknown(_handle: int, _how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    assert refused_write(path) == (
        f"{path} cannot be locked (no locks available): delete {path}.lock if it is not yours, or let it be on a local "
        "disk."
    )


@POSIX
def test_what_is_in_the_place_of_the_lock_is_named(path: Path) -> None:
    lock = path.with_suffix(".age.lock")
    lock.mkdir(parents=True)
    expected = (
        f"{path} cannot be locked (is a directory): delete {lock} if it is not yours, or let it be on a local disk."
    )
    assert refused_write(path) == expected
    lock.rmdir()
    make_link(lock, path.parent / "nowhere")
    assert refused_write(path).endswith(f"): delete {lock} if it is not yours, or let it be on a local disk.")
    assert os.listdir(path.parent) == [lock.name]
