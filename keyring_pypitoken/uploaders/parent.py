"""The processes above this one: on Linux by the kernel's own files, elsewhere by psutil."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_BYTES = 10_000_000


def ancestors() -> Iterator[tuple[int, list[str]]]:
    """Yield the id and command line of what started this process, of what started that, and so on, while they run.

    On Linux it is one process, and none if this one was started from outside of its container.

    Raises:
        OSError: a command line cannot be read.
    """
    if sys.platform != "linux":
        yield from _by_psutil()
    elif pid := os.getppid():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            yield pid, _checked(os.fsdecode(file.read(_MAX_BYTES)).removesuffix("\0").split("\0"))


def _by_psutil() -> Iterator[tuple[int, list[str]]]:
    try:
        import psutil  # type: ignore[import-untyped]  # it has no types
    except ImportError:
        raise ProcessLookupError from None
    try:
        process = psutil.Process().parent()  # None if it has ended, even if another process has its id now
        while process is not None:
            yield process.pid, _checked(process.cmdline())
            process = process.parent()
    except psutil.Error:
        raise ProcessLookupError from None


def _checked(words: list[str]) -> list[str]:
    if not any(words):  # it is about to end, or hides its arguments
        raise ProcessLookupError
    return words
