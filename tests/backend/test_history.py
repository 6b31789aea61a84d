"""The history records what was derived, holds no token, is bounded, loses nothing, and is never in an upload's way."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import keyring
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sandbox import Command, WritePolicy, forget, new_master

from keyring_pypitoken import DateRestriction, Token, history, paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.history import Entry, read_history, record
from keyring_pypitoken.uploaders import process

if TYPE_CHECKING:
    from collections.abc import Callable

PYPI = "https://upload.pypi.org/legacy/"
TOKEN = "__token__"
ENTRY = Entry(1_790_000_000, ("a", "b"), "pypi", "default", 1_789_999_940, 1_790_000_900, "twine", None)


def file() -> Path:
    """Return the file of the history."""
    return Path(paths.history())


@pytest.fixture
def demo(work: Path) -> Path:
    """Make a project and store a master."""
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    keyring.set_password(PYPI, TOKEN, new_master())
    return work


def upload() -> Token:
    """Derive a token, as an uploader's process does."""
    forget()
    text = keyring.get_password(PYPI, TOKEN)
    assert text is not None
    return Token.load(text)


# What is recorded


def test_records_what_was_derived(demo: Path) -> None:
    before = int(time.time())
    window = upload().restrictions[0]
    assert isinstance(window, DateRestriction)
    (entry,) = read_history()
    assert before <= entry.time <= time.time()
    assert entry == Entry(
        entry.time, ("demo",), "pypi", "default", window.not_before, window.not_after, "uploader", None
    )
    policy = demo / "pypitoken.toml"
    policy.write_text('projects = ["b", "a"]\naccount = "work"\n')
    (demo / "pyproject.toml").unlink()
    keyring.set_password(f"{PYPI}?work", TOKEN, new_master())
    upload()
    last = read_history()[-1]
    assert (last.projects, last.account, last.policy) == (("a", "b"), "work", str(policy))


def test_records_names_and_sizes_of_the_files(demo: Path, command: Command) -> None:
    (demo / "dist").mkdir()
    for name in ("demo-1.0.tar.gz", "demo-1.0-py3-none-any.whl"):
        (demo / "dist" / name).write_bytes(b"x" * len(name))
    assert command("token", "dist/*")[0] == 0
    sizes = {"demo-1.0.tar.gz": 15, "demo-1.0-py3-none-any.whl": 25}
    assert dict(read_history()[-1].files or ()) == sizes
    (entry,) = command.json("history", "-n", "1")
    assert dict(entry["files"]) == sizes


def test_too_many_files_are_not_known(demo: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.setattr(history, "_MAX_FILES", 0)
    (demo / "demo-1.0.tar.gz").touch()
    assert command("token", "demo-1.0.tar.gz")[0] == 0
    assert read_history()[-1].files is None


def test_records_a_token_for_any_project(demo: Path, user_policy: WritePolicy) -> None:
    (demo / "pyproject.toml").unlink()
    user_policy('unscoped = "allow"\n')
    upload()
    assert [entry.projects for entry in read_history()] == [None]


def test_holds_no_part_of_a_token(demo: Path) -> None:
    assert demo
    token = upload()
    text = file().read_text()
    assert "demo" in text
    for secret in (new_master(), token.dump()):
        assert not any(secret[at : at + 8] in text for at in range(len(secret) - 8))
    assert not any(part in text for part in token.identifier.split("-"))


def test_what_is_answered_from_memory_is_no_second_entry(demo: Path) -> None:
    assert demo
    upload()
    keyring.get_password(PYPI, TOKEN)
    assert len(read_history()) == 1


def test_a_refusal_is_no_entry(demo: Path) -> None:
    (demo / "pyproject.toml").unlink()
    with pytest.raises(keyring.errors.NoKeyringError):
        upload()
    assert read_history() == []
    assert list(file().parent.glob("history*")) == []


def test_can_be_switched_off(demo: Path, user_policy: WritePolicy) -> None:
    assert demo
    user_policy("history = false\n")
    upload()
    assert list(file().parent.glob("history*")) == []


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (["/usr/bin/twine", "upload", "dist/*"], "twine"),
        ([os.path.join("lib", "twine", "__main__.py"), "upload", "dist/*"], "twine"),
        (["/usr/bin/keyring", "get"], "keyring for uv"),
    ],
)
@pytest.mark.usefixtures("demo")
def test_names_the_program(argv: list[str], program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring.cli  # noqa: F401 - it is what the command loads

    Path("dist").mkdir()
    Path("dist", "demo-1.0.tar.gz").touch()
    monkeypatch.setattr(process, "ancestors", lambda: iter([(100, ["uv", "publish"])]))
    monkeypatch.setitem(sys.modules, "twine", sys)
    monkeypatch.setattr(sys, "argv", argv)
    upload()
    assert [entry.program for entry in read_history()] == [program]


@pytest.mark.usefixtures("demo")
def test_a_parent_that_cannot_be_seen_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def ancestors() -> NoReturn:
        raise PermissionError

    import keyring.cli  # noqa: F401 - it is what the command loads

    monkeypatch.setattr(process, "ancestors", ancestors)
    monkeypatch.setattr(sys, "argv", ["keyring", "get"])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)  # a person sees the answer
    upload()
    assert [entry.program for entry in read_history()] == ["keyring"]


def test_what_a_terminal_would_obey_is_replaced(work: Path) -> None:
    record(ENTRY._replace(program="a\n\x1b[2J\u202e\ud800z", policy="b\nc"))
    (entry,) = read_history()
    assert entry == ENTRY._replace(program="a??[2J??z", policy=str(work / "b?c"))


def test_what_is_too_long_is_cut() -> None:
    names = tuple(f"{number:05}{'x' * 1000}" for number in range(10_000))
    record(ENTRY._replace(projects=names, program="\U0001f600" * 5000, account="y" * 500))
    (entry,) = read_history()
    assert entry == ENTRY._replace(
        projects=(*(name[:400] for name in names[:500]), "and 9500 more"), program="\U0001f600" * 400, account="y" * 400
    )
    assert file().stat().st_size < history._MAX_BYTES / 2


# The file


@pytest.mark.skipif(os.name == "nt", reason="Windows has access lists instead of modes")
@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_only_the_user_can_read_it(umask: int) -> None:
    old = os.umask(umask)
    try:
        record(ENTRY)
    finally:
        os.umask(old)
    assert stat.S_IMODE(file().parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in file().parent.iterdir()} == {0o600}


def test_without_a_history_there_is_none() -> None:
    assert read_history() == []
    assert list(file().parent.glob("history*")) == []


def test_the_oldest_come_first() -> None:
    for moment, program in ((5, "a"), (3, "b"), (5, "c"), (4, "d")):
        record(ENTRY._replace(time=moment, program=program))
    assert "".join(entry.program for entry in read_history()) == "bdac"


def test_a_full_file_loses_its_older_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_MAX_BYTES", 4000)
    for moment in range(100):
        record(ENTRY._replace(time=moment))
        assert file().stat().st_size <= 4000
        times = [entry.time for entry in read_history()]
        assert times == list(range(times[0], moment + 1))
        assert len(times) >= min(moment + 1, 6)


def test_a_note_is_kept() -> None:
    record(ENTRY._replace(note="for the release\nof May"))
    assert [entry.note for entry in read_history()] == ["for the release?of May"]


def test_a_line_that_was_cut_short_spoils_no_other() -> None:
    record(ENTRY)
    whole = file().read_bytes()
    file().write_bytes(whole + whole[:40])
    record(ENTRY._replace(program="next"))
    assert read_history() == [ENTRY, ENTRY._replace(program="next")]


def test_an_unreadable_history_is_a_refusal() -> None:
    file().mkdir(parents=True)
    with pytest.raises(Refusal) as refused:
        read_history()
    assert str(refused.value) == (f"the history cannot be read: {file()} is not a regular file: replace it with one.")


# Several processes

WRITER = """
import sys
from keyring_pypitoken import history
history._MAX_BYTES, history._LOCK_SECONDS = int(sys.argv[2]), 60
sys.stdin.read()
for number in range(40):
    history.record(history.Entry(number, ("demo",) * 5, "pypi", sys.argv[1], 0, 1, "x" * (number % 300), None))
"""


@pytest.mark.parametrize("most", [1_000_000, 20_000])
def test_processes_that_write_at_once_lose_nothing_below_the_bound(most: int) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, f"p{number}", str(most)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(6)
    ]
    for writer in started:
        assert writer.stdin is not None
        writer.stdin.close()  # all of them begin
        writer.stdin = None
    assert "".join(writer.communicate(timeout=120)[0] for writer in started) == ""
    kept = [(entry.account, entry.time) for entry in read_history()]
    written = {(f"p{account}", number) for account in range(6) for number in range(40)}
    assert len(set(kept)) == len(kept)
    if most == 1_000_000:
        assert set(kept) == written
    else:
        assert set(kept) < written
        assert most / 4 < file().stat().st_size <= most


# Whatever fails, and whatever stands there


def occupied() -> None:
    """Put a file where the directory would be."""
    file().parent.parent.mkdir(parents=True, exist_ok=True)
    file().parent.touch()


def a_directory() -> None:
    """Put a directory where the file would be."""
    file().mkdir(parents=True)


def a_link() -> None:
    """Put somebody's link where the file would be."""
    file().parent.mkdir(parents=True, exist_ok=True)
    Path("target").touch()
    file().symlink_to(Path("target").resolve())


def a_pipe() -> None:
    """Put a pipe that nobody reads where the file would be."""
    file().parent.mkdir(parents=True, exist_ok=True)
    if sys.platform != "win32":
        os.mkfifo(file())


@pytest.mark.parametrize("obstacle", [occupied, a_directory, a_link, a_pipe])
def test_no_obstacle_is_in_an_uploads_way(
    obstacle: Callable[[], None], demo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if os.name == "nt" and obstacle in (a_link, a_pipe):
        pytest.skip("Windows has no such files for everybody")
    assert demo
    obstacle()
    assert len(upload().restrictions) == 2
    printed = capfd.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert not Path("target").exists() or Path("target").read_bytes() == b""


@pytest.mark.parametrize("step", ["files.locked", "history._plain", "history._open_to_append"])
def test_whatever_fails_the_token_is_derived(step: str, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo

    def fail(*_arguments: object) -> None:
        raise ArithmeticError

    monkeypatch.setattr(f"keyring_pypitoken.{step}", fail)
    assert len(upload().restrictions) == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_in_nobodys_way(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo
    monkeypatch.setattr(history, "_open_to_append", lambda *_: os.open("/dev/full", os.O_WRONLY))
    assert len(upload().restrictions) == 2


LINE = json.dumps(ENTRY._asdict())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "3",
        "{}",
        "{",
        LINE[:-1],
        LINE + LINE,
        "[" * 100_000,
        *(
            json.dumps(ENTRY._asdict() | {name: value})
            for name, value in (
                ("time", "1"),
                ("time", True),
                ("time", 1.0),
                ("time", -1),
                ("not_after", 253_402_300_800),
                ("not_before", None),
                ("projects", 3),
                ("projects", [3]),
                ("projects", ["a\x1b[2J"]),
                ("repository", None),
                ("account", []),
                ("program", "a\nb"),
                ("policy", 3),
                ("policy", "\u202e"),
            )
        ),
    ],
    ids=lambda line: line[:60],
)
def test_lines_that_are_no_entries_are_skipped(line: str) -> None:
    record(ENTRY)
    with file().open("a", encoding="utf-8") as stream:
        stream.write(f"\n{line}")
    record(ENTRY)
    assert read_history() == [ENTRY, ENTRY]


def test_further_fields_are_of_no_account() -> None:
    file().parent.mkdir(parents=True, exist_ok=True)
    file().write_text(json.dumps(ENTRY._asdict() | {"more": 1}), encoding="utf-8")
    assert read_history() == [ENTRY]


TEXTS = st.text(max_size=30)
MOMENTS = st.integers(0, 253_402_300_799)
ENTRIES = st.builds(
    Entry,
    MOMENTS,
    st.none() | st.lists(TEXTS, max_size=4).map(tuple),
    TEXTS,
    TEXTS,
    MOMENTS,
    MOMENTS,
    TEXTS,
    st.none() | TEXTS,
    st.none() | TEXTS,
)
search = settings(deadline=None, database=None, max_examples=200)


@search
@given(
    st.binary() | st.lists(st.sampled_from([LINE.encode(), b"\n", b"\r", b"{", b'"time"', b"\xff", b"1"])).map(b"".join)
)
@example(LINE.encode("utf-16"))
def test_any_bytes_can_be_read(data: bytes) -> None:
    file().parent.mkdir(parents=True, exist_ok=True)
    file().write_bytes(data)
    for entry in read_history():
        assert "".join([entry.repository, entry.account, entry.program, entry.policy or ""]).isprintable()


@search
@given(ENTRIES)
def test_any_entry_is_read_as_it_was_written(entry: Entry) -> None:
    file().unlink(missing_ok=True)
    record(entry)
    (kept,) = read_history()

    def shown(text: str) -> str:
        return "".join(character if character.isprintable() else "?" for character in text)

    assert kept == entry._replace(
        projects=None if entry.projects is None else tuple(map(shown, entry.projects)),
        repository=shown(entry.repository),
        account=shown(entry.account),
        program=shown(entry.program),
        policy=kept.policy if entry.policy is not None else None,
        note=None if entry.note is None else shown(entry.note),
    )
