"""The tests write nothing of the developer's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import watcher

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_is_written_among_the_developers_files_is_noticed(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(watcher, "own", [str(home / "developer")])
    monkeypatch.setattr(watcher, "allowed", [str(home / "developer" / "allowed")])
    for name in ("allowed", "other"):
        directory = home / "developer" / name
        directory.mkdir(parents=True)
        (directory / "file").write_text("x")
        (directory / "file").read_text()
        os.replace(directory / "file", directory / "moved")
    noticed = [line.replace(str(home), "").replace(os.sep, "/") for line in watcher.written]
    watcher.written.clear()
    assert [line for line in noticed if "other" in line] == [
        "os.mkdir /developer/other",
        "open /developer/other/file",
        "os.rename /developer/other/file",
    ]
    assert len(noticed) == 4  # and the directory above
