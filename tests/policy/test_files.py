"""What others wrote is read through one door: absent is only what the system says is, and nothing waits."""

from __future__ import annotations

import codecs
import errno
import ntpath
import os
import re
import stat
import sys
import time
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

import pytest
from sandbox import make_pipe

from keyring_pypitoken import files
from keyring_pypitoken.exceptions import PolicyError, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

POSIX = pytest.mark.skipif(os.name != "posix", reason="no links, pipes and devices as on POSIX here")
NOTHING: frozenset[str] = frozenset()
READERS: list[Callable[[Path, str], object]] = [
    files.status,
    files.read_bytes,
    files.read_text,
    files.is_directory,
    files.list_directory,
]
# What each returns for an absent path.
ABSENT: list[object] = [None, None, None, False, []]


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(PolicyError) as caught:
        ask()
    assert caught.value.__cause__ is None
    return str(caught.value)


def fail_with(monkeypatch: pytest.MonkeyPatch, name: str, code: int, path: Path) -> None:
    """Let a function of the system fail for a path as it does on a broken disk, or without permission."""
    real = getattr(os, name)

    def broken(asked: object, *arguments: object, **options: object) -> object:
        if str(asked) == str(path):
            raise OSError(code, os.strerror(code), str(path))
        return real(asked, *arguments, **options)

    monkeypatch.setattr(os, name, broken)


# Absence


@pytest.mark.parametrize(("read", "nothing"), list(zip(READERS, ABSENT, strict=True)))
@pytest.mark.parametrize("path", ["gone", "gone/gone", "file/gone"])
def test_what_does_not_exist_is_absent(
    read: Callable[[Path, str], object], nothing: object, path: str, work: Path
) -> None:
    (work / "file").touch()
    assert read(work / path, "it") == nothing


@POSIX
@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("path", ["link", "link/file", "directory/link", "directory/link/deep/file", "chain"])
def test_a_link_that_leads_nowhere_is_not_absence(read: Callable[[Path, str], object], path: str, work: Path) -> None:
    (work / "directory").mkdir()
    for name in ("link", "directory/link"):
        (work / name).symlink_to("unmounted")
    (work / "chain").symlink_to("link")
    link = work / re.sub("(link).*", r"\1", path)
    assert refused(lambda: read(work / path, "it")) == (
        f"it cannot be found, because the link {link} leads nowhere: restore what it leads to, or remove the link."
    )


@POSIX
def test_a_file_beside_a_good_link_is_absent(work: Path) -> None:
    (work / "directory").mkdir()
    (work / "link").symlink_to("directory")
    assert files.status(work / "link" / "gone", "it") is None


@POSIX
@pytest.mark.parametrize("read", READERS)
def test_refuses_a_loop_of_links(read: Callable[[Path, str], object], work: Path) -> None:
    (work / "a").symlink_to("b")
    (work / "b").symlink_to("a")
    reason = os.strerror(errno.ELOOP).lower()
    assert refused(lambda: read(work / "a", "it")) == (f"it cannot be read ({reason}): repair it or its directory.")


@pytest.mark.parametrize("read", READERS[:4])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_an_error_is_not_absence(
    read: Callable[[Path, str], object], code: int, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, "stat", code, work / "file")
    assert refused(lambda: read(work / "file", "it")) == (
        f"it cannot be read ({os.strerror(code).lower()}): repair it or its directory."
    )


def test_an_error_while_links_are_looked_for_is_not_absence(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, "lstat", errno.EIO, work / "gone")
    assert refused(lambda: files.status(work / "gone", "it")) == (
        f"{work / 'gone'} cannot be read ({os.strerror(errno.EIO).lower()}): repair it or its directory."
    )


def test_a_path_with_a_nul_is_refused() -> None:
    assert refused(lambda: files.status("a\0b", "a\0b")) == (
        r"a\x00b cannot be read (valueerror): repair it or its directory."
    )


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may search every directory")
def test_a_directory_that_may_not_be_searched_is_refused(work: Path) -> None:
    (work / "closed").mkdir(mode=0)
    assert refused(lambda: files.read_bytes(work / "closed" / "file", "it")) == (
        "it cannot be read (permission denied): repair it or its directory."
    )


def test_what_cannot_be_said_may_be_present(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "file").touch()
    gone, broken = work / "gone", work / "broken"
    assert files.any_present([str(gone), str(work / "file")])
    assert not files.any_present([str(gone)])
    fail_with(monkeypatch, "stat", errno.EACCES, broken)
    assert files.any_present([str(gone), str(broken)])


# Content


def test_reads_a_file_as_it_is(work: Path) -> None:
    (work / "file").write_bytes(b"\xef\xbb\xbf\xc3\xa4\r\n")
    assert files.read_bytes(work / "file", "it") == b"\xef\xbb\xbf\xc3\xa4\r\n"
    assert files.read_text(work / "file", "it") == "\u00e4\r\n"


@POSIX
def test_follows_links_to_regular_files(work: Path) -> None:
    (work / "file").write_bytes(b"x")
    (work / "a").symlink_to("b")
    (work / "b").symlink_to("file")
    assert files.read_bytes(work / "a", "it") == b"x"


def test_refuses_what_is_too_long(work: Path) -> None:
    (work / "file").write_bytes(b"x" * files.MAX_BYTES)
    assert len(files.read_text(work / "file", "it") or "") == 1024 * 1024
    (work / "file").write_bytes(b"x" * (files.MAX_BYTES + 1))
    assert refused(lambda: files.read_text(work / "file", "it")) == "it is longer than 1048576 bytes: shorten it."
    assert refused(lambda: files.read_bytes(work / "file", "it", max_bytes=5)) == (
        "it is longer than 5 bytes: shorten it."
    )
    (work / "file").write_bytes(b"12345")
    assert files.read_bytes(work / "file", "it", max_bytes=5) == b"12345"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        *[(codecs.BOM_UTF16_LE + b"a\0", "UTF-16"), (codecs.BOM_UTF16_BE + b"\0a", "UTF-16")],
        *[(b"a\0=\0", "UTF-16"), (b"\0a\0=", "UTF-16"), (b"# \xff", "not UTF-8"), (b"\xc3", "not UTF-8")],
    ],
)
def test_refuses_text_that_is_not_utf_8(data: bytes, kind: str, work: Path) -> None:
    (work / "file").write_bytes(data)
    assert refused(lambda: files.read_text(work / "file", "it")) == f"it is {kind} text: save it as UTF-8."


def test_an_error_of_the_disk_is_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "file").touch()
    fail_with(monkeypatch, "open", errno.EIO, work / "file")
    assert refused(lambda: files.read_bytes(work / "file", "it")) == (
        f"it cannot be read ({os.strerror(errno.EIO).lower()}): repair it or its directory."
    )


@pytest.mark.parametrize("step", ["stat", "open"])
def test_what_windows_denies_for_a_moment_is_read_again(step: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "file").write_bytes(b"x")
    real, denials = getattr(os, step), iter(range(10))

    def denied(*arguments: object, **options: object) -> object:
        if next(denials, None) is not None:
            raise PermissionError(errno.EACCES, "Access is denied")
        return real(*arguments, **options)

    monkeypatch.setattr(files, "_MAX_DENIALS", 10)
    monkeypatch.setattr(files, "_PAUSE", 0)
    monkeypatch.setattr(os, step, denied)
    assert files.read_bytes(work / "file", "it") == b"x"


def test_a_path_on_a_drive_that_is_gone_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def missing(*_arguments: object) -> None:
        raise gone

    monkeypatch.setattr(os, "lstat", missing)
    monkeypatch.setattr(os, "stat", missing)
    root = os.path.abspath(os.sep)
    assert refused(lambda: files.status(os.path.join(root, "a", "b"), "it")) == (
        f"it cannot be found, because {root} is not there: connect it."
    )


def test_a_name_is_shown_escaped(work: Path) -> None:
    (work / "file").mkdir()
    assert refused(lambda: files.read_bytes(work / "file", "a\x1b[2J\n::stop")) == (
        r"a\x1b[2J\n::stop is not a regular file: replace it with one."
    )


# Nothing waits


@POSIX
@pytest.mark.parametrize("target", ["pipe", "/dev/tty", "/dev/zero", "/dev/null", "socket", "directory"])
@pytest.mark.parametrize("link", [True, False])
def test_refuses_what_is_not_a_regular_file_unopened(
    target: str, link: bool, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    if sys.platform == "win32":
        pytest.skip("Windows has no such files")
    monkeypatch.chdir(work)
    make_pipe("pipe")
    (work / "directory").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        (work / "link").symlink_to(target)
        monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
        path = work / "link" if link else work / target
        assert refused(lambda: files.read_bytes(path, "it")) == "it is not a regular file: replace it with one."


@POSIX
def test_does_not_wait_for_a_pipe_that_replaces_a_file(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "file").touch()
    regular = os.stat(work / "file")
    make_pipe(work / "pipe")
    monkeypatch.setattr(files, "status", lambda *_: regular)
    assert refused(lambda: files.read_bytes(work / "pipe", "it")) == "it is not a regular file: replace it with one."


# Directories


def test_tells_directories_from_files(work: Path) -> None:
    (work / "file").touch()
    assert (files.is_directory(work, "it"), files.is_directory(work / "file", "it")) == (True, False)


def test_lists_a_directory_sorted(work: Path) -> None:
    for name in ("b", "a", ".c"):
        (work / name).touch()
    assert files.list_directory(work, "it") == [".c", "a", "b"]


def test_refuses_a_directory_that_cannot_be_listed(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, "listdir", errno.EACCES, work)
    assert refused(lambda: files.list_directory(work, "it")) == (
        f"it cannot be read ({os.strerror(errno.EACCES).lower()}): repair it or its directory."
    )


def test_refuses_a_current_directory_that_is_gone(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.current_directory() == Path(os.getcwd()) == work

    def gone() -> str:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "getcwd", gone)
    with pytest.raises(Refusal) as caught:
        files.current_directory()
    assert str(caught.value) == "the current directory does not exist any more: change to one that does."


@POSIX
def test_a_directory_that_cannot_be_listed_is_not_taken_for_empty(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, "scandir", errno.EACCES, work)
    assert refused(lambda: files.is_empty(work, "work")) == (
        "work cannot be read (permission denied): repair it or its directory."
    )


# Climbing


def test_climbs_to_the_root_and_finds_names(work: Path) -> None:
    (work / "x" / "y").mkdir(parents=True)
    (work / "x" / "a").touch()
    (work / "b").mkdir()
    steps = list(files.climb(work / "x" / "y", ("a", "b")))
    assert steps[:3] == [(work / "x" / "y", NOTHING), (work / "x", frozenset("a")), (work, frozenset("b"))]
    assert [directory for directory, _ in steps] == [work / "x" / "y", *(work / "x" / "y").parents]


@pytest.mark.parametrize(
    "step",
    [
        lambda: files.is_present("\0"),
        lambda: files.status("\0", "\0"),
        lambda: files.list_directory("\0", "\0"),
        lambda: list(files.climb(Path("\0"), ())),
    ],
)
def test_a_name_that_no_file_can_have_is_refused(step: Callable[[], object]) -> None:
    assert re.search(r"\\x00 cannot be read \((valueerror|oserror)\): repair it or its directory\.$", refused(step))


@POSIX
def test_a_link_counts_as_present_wherever_it_leads(work: Path) -> None:
    (work / "a").symlink_to("nowhere")
    (work / "b").symlink_to("b")
    (work / "start").symlink_to(work)
    assert next(iter(files.climb(work / "start", ("a", "b", "c")))) == (work, frozenset("ab"))


def test_climbs_from_what_does_not_exist(work: Path) -> None:
    (work / "a").touch()
    names = dict(files.climb(work / "gone" / "gone", ("a",)))
    assert (names[work / "gone" / "gone"], names[work / "gone"], names[work]) == (NOTHING, NOTHING, frozenset("a"))


@POSIX
def test_climbing_is_refused_if_the_system_cannot_say(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, "lstat", errno.EACCES, work / "broken")
    assert refused(lambda: list(files.climb(work, ("broken",)))) == (
        f"{work / 'broken'} cannot be read (permission denied): repair it or its directory."
    )


@POSIX
def test_climbing_is_refused_if_the_start_cannot_be_resolved(work: Path) -> None:
    (work / "loop").symlink_to("loop")
    reason = os.strerror(errno.ELOOP).lower()
    assert refused(lambda: list(files.climb(work / "loop", ("a",)))) == (
        f"{work / 'loop'} cannot be read ({reason}): repair it or its directory."
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the lengths are those that Linux allows")
def test_climbing_is_refused_if_a_link_leads_to_a_path_that_is_too_long(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = "x" * 200
    for depth in range(25):
        os.mkdir(part)
        monkeypatch.chdir(part)
        if depth == 12:
            (work / "link").symlink_to(os.getcwd())
    monkeypatch.chdir(work)
    start = (work / "link").joinpath(*[part] * 12)
    assert start.is_dir()
    reason = os.strerror(errno.ENAMETOOLONG).lower()
    assert refused(lambda: list(files.climb(start, ("a",)))) == (
        f"{start} cannot be read ({reason}): repair it or its directory."
    )


# Programs


def program(path: Path, mode: int = 0o755) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


@POSIX
def test_finds_programs_in_absolute_entries_of_path_only(work: Path) -> None:
    program(work / "tool")
    tool = program(work / "bin" / "tool")
    program(work / "later" / "tool")
    entries = ["", ".", "bin", str(work / "gone"), str(work / "bin"), str(work / "later")]
    assert files.find_program("tool", {"PATH": os.pathsep.join(entries)}) == tool
    assert files.find_program("tool", {"PATH": os.pathsep.join(entries[:4])}) is None
    assert files.find_program("tool", {}) is None


@POSIX
def test_a_program_is_a_regular_file_that_may_be_run(work: Path) -> None:
    program(work / "a" / "tool", 0o644)
    (work / "b" / "tool").mkdir(parents=True)
    make_pipe(work / "pipe")
    entries = {"PATH": os.pathsep.join(str(work / name) for name in "ab")}
    assert files.find_program("tool", entries) is None
    assert files.find_program(program(work / "c" / "tool"), {}) == str(work / "c" / "tool")
    assert files.find_program(str(work / "pipe"), {}) is None
    assert files.find_program("to\0ol", entries) is None


@pytest.mark.parametrize("name", ["", "x/tool", "./tool"])
def test_a_name_with_a_directory_is_not_looked_for(name: str, work: Path) -> None:
    program(work / "x" / "tool")
    program(work / "tool")
    assert files.find_program(name, {"PATH": str(work)}) is None


@POSIX
@pytest.mark.parametrize("name", ["tool.bat", "tool.cmd", "tool.com", "tool.EXE.bat", "tool"])
def test_only_exe_files_count_on_windows(name: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHEXT", ".COM;.EXE;.BAT;.CMD")
    program(work / name)
    environ = {"PATH": str(work)}
    assert files.find_program("tool", environ, platform="nt") is None
    assert files.find_program("tool.bat", environ, platform="nt") is None
    tool = program(work / "tool.exe")
    assert files.find_program("tool", environ, platform="nt") == tool
    assert files.find_program("tool.EXE", environ, platform="nt") is None
    assert files.find_program("tool.exe", environ, platform="nt") == tool


@POSIX
@pytest.mark.parametrize("platform", ["nt", "posix"])
def test_the_current_directory_is_never_searched(platform: str, work: Path) -> None:
    for name in ("twine", "twine.exe", "twine.bat"):
        program(work / name)
    for path in ("", ".", f"{os.pathsep}bin"):
        assert files.find_program("twine", {"PATH": path}, platform=platform) is None


# Names


@POSIX
@pytest.mark.parametrize(
    ("path", "directory", "name"),
    [
        ("/a/b/pypitoken.toml", "/a/b", "pypitoken.toml"),
        ("/a/pypitoken.toml", "/a/b", "../pypitoken.toml"),
        ("/a/pypitoken.toml", "/b/c/d/e/f", "/a/pypitoken.toml"),
        ("/a/\x1b[2J\n", "/a", r"\x1b[2J\n"),
        ("/a/\udcff", "/a", r"\udcff"),
    ],
)
def test_calls_a_file_by_its_shorter_path(path: str, directory: str, name: str) -> None:
    assert files.display_name(Path(path), Path(directory)) == name


def test_calls_a_file_on_another_drive_by_its_whole_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "path", ntpath)  # which computes on every system what Windows does
    named = files.display_name(PureWindowsPath(r"D:\x\policy.toml"), PureWindowsPath(r"C:\work"))  # type: ignore[arg-type] # a Path on Windows
    assert named == r"D:\x\policy.toml"


@POSIX
def test_names_that_are_not_utf_8_are_read_and_shown(work: Path) -> None:
    path = work / os.fsdecode(b"\xff.toml")
    try:
        path.write_bytes(b"x")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    assert files.read_bytes(path, str(path)) == b"x"
    assert stat.S_ISREG(os.stat(path).st_mode)
    assert refused(lambda: files.read_bytes(path, str(path), max_bytes=0)).isprintable()


@pytest.mark.skipif(os.name != "posix", reason="Windows denies for a moment what another process opens")
def test_what_posix_denies_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied() -> None:
        raise PermissionError(13, "Permission denied")

    def pause(_seconds: float) -> None:
        pytest.fail("nobody waits for it")

    monkeypatch.setattr(time, "sleep", pause)
    with pytest.raises(PermissionError):
        files.insist(denied)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems open terminals as files")
def test_a_file_that_becomes_a_terminal_is_opened_without_waiting_and_not_taken(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "x").touch()
    if sys.platform == "win32":
        pytest.skip("Windows has no such files")
    seen: list[int] = []
    real = os.open

    def watched(path: str, flags: int) -> int:
        seen.append(flags)
        return real(path, flags)

    monkeypatch.setattr(os, "open", watched)
    assert files.read_bytes(work / "x", "x") == b""
    assert [flags & (os.O_NONBLOCK | os.O_NOCTTY) for flags in seen] == [os.O_NONBLOCK | os.O_NOCTTY]
