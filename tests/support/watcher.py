"""Notes what the tests' process writes among a developer's own files, by Python's audit events (PEP 578)."""

from __future__ import annotations

import os
import sys
import tempfile

from sandbox import ROOT

# Where a developer's own files are, and what is below that and written all the same, such as compiled modules.
own = [
    os.path.expanduser("~"),
    "/etc",
    *(os.environ[name] for name in ("APPDATA", "PROGRAMDATA") if name in os.environ),
]
allowed = [str(ROOT), os.path.realpath(tempfile.gettempdir()), sys.prefix, sys.base_prefix]
written: list[str] = []
_WRITING = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.link", "os.symlink")


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _WRITING or (event == "open" and not _writes(*arguments[1:3])):
        return
    path = arguments[0]
    if isinstance(path, (str, bytes, os.PathLike)):
        name = os.path.abspath(os.fsdecode(path))
        if any(map(name.startswith, own)) and not any(map(name.startswith, allowed)):
            written.append(f"{event} {name}")


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


sys.addaudithook(_note)
