"""The command line of another process, on Linux and macOS."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_BYTES = 10_000_000
_ARG_MAX = 1024 * 1024  # bytes of arguments and environment that macOS gives a process
_KERN, _PROCARGS2 = 1, 49  # macOS' sys/sysctl.h


def from_proc(pid: int) -> list[str]:
    """Return the command line of a process on Linux; raise an OSError if it cannot be read."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return os.fsdecode(file.read(_MAX_BYTES)).removesuffix("\0").split("\0")


def from_sysctl(pid: int) -> list[str]:
    """Return the command line of a process on macOS; raise an OSError if it cannot be read."""
    import ctypes

    library: Any = ctypes.CDLL(None)
    wanted = (ctypes.c_int * 3)(_KERN, _PROCARGS2, pid)
    buffer = ctypes.create_string_buffer(_ARG_MAX)
    size = ctypes.c_size_t(_ARG_MAX)
    if library.sysctl(wanted, 3, buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        raise ProcessLookupError(pid)
    return split_procargs(buffer.raw[: size.value])


def split_procargs(data: bytes) -> list[str]:
    """Return the arguments in what macOS keeps of a process; nothing if they are cut short.

    It is their number, the program's path, NULs up to the next machine word, the arguments, and the environment, each
    text with a NUL behind it: https://github.com/apple-oss-distributions/xnu (bsd/kern/kern_sysctl.c, kern_exec.c).
    """
    # Like `ps`, this passes over a first argument that is empty; no uploader is started that way.
    count = int.from_bytes(data[:4], "little")
    texts = data[4:].partition(b"\0")[2].lstrip(b"\0").split(b"\0", count)
    return [os.fsdecode(text) for text in texts[:count]] if count < len(texts) else []


READERS: dict[str, Callable[[int], list[str]]] = {"linux": from_proc, "darwin": from_sysctl}
