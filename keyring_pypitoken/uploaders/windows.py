"""Processes on Windows, as far as any user may see them: command line, parent, time of start.

A launcher there is a process of its own: keyring.exe starts the python.exe of its environment, and that one another
python.exe. None of them ends before what it started.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_ANCESTORS = 16
_LIMITED = 0x1000  # PROCESS_QUERY_LIMITED_INFORMATION
_BASIC, _COMMAND_LINE = 0, 60  # classes of NtQueryInformationProcess, the latter since Windows 8.1
_MAX_BYTES = 66_000  # of a UNICODE_STRING and its text
_PROGRAM = re.compile(r'(?:"[^"]*"?|[^ \t"])*')
_PIECE = re.compile(r'(\\*)("+)|([ \t]+)|([^ \t"\\]+|\\+)')


class Running(NamedTuple):
    """A process."""

    line: str  # its command line
    parent: int  # the number of the process that started it, which may have ended
    started: int  # when, in units of 100 ns


def ancestors(pid: int, look: Callable[[int], Running]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and command line of a process, of what started it, and so on, as far as that still runs.

    Raises:
        OSError: the next one cannot be read.
    """
    latest = None
    for _ in range(_MAX_ANCESTORS):
        found = look(pid)
        if latest is not None and found.started > latest:
            return  # the parent has ended, and another process has its number
        yield pid, split(found.line)
        pid, latest = found.parent, found.started


def look(pid: int) -> Running:
    """Return a running process; raise an OSError if there is none, or access is denied."""
    import ctypes

    system: Any = ctypes  # WinDLL exists on Windows only
    kernel, native = system.WinDLL("kernel32"), system.WinDLL("ntdll")
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(kernel.OpenProcess(_LIMITED, 0, pid))
    if not handle:
        raise ProcessLookupError(pid)
    basic = (ctypes.c_size_t * 6)()  # the last is the parent
    text = ctypes.create_string_buffer(_MAX_BYTES)
    times = [ctypes.c_uint64() for _ in range(4)]  # the first is that of the start
    try:
        is_read = kernel.GetProcessTimes(handle, *map(ctypes.byref, times)) and not any(
            native.NtQueryInformationProcess(handle, kind, buffer, ctypes.sizeof(buffer), None)
            for kind, buffer in ((_BASIC, basic), (_COMMAND_LINE, text))
        )
    finally:
        kernel.CloseHandle(handle)
    length = ctypes.c_ushort.from_buffer(text).value  # of the text in bytes; then comes its address
    address = ctypes.c_void_p.from_buffer(text, ctypes.sizeof(ctypes.c_void_p)).value or 0
    start = address - ctypes.addressof(text)
    if not is_read or not 0 < start <= _MAX_BYTES - length:
        raise ProcessLookupError(pid)
    return Running(text.raw[start : start + length].decode("utf-16-le", "surrogatepass"), basic[5], times[0].value)


def split(line: str) -> list[str]:
    """Split a command line into arguments, as programs of Microsoft's C library, Python's and Rust's do.

    https://learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments
    """
    program = _PROGRAM.match(line)
    end = program.end() if program else 0
    words, word, is_quoted = [line[:end].replace('"', "")], "", False
    is_open = False  # whether an argument has begun, which may be empty
    for slashes, quotes, blank, plain in _PIECE.findall(line[end:]):
        if blank and not is_quoted:
            words += [word] if is_open else []
            word, is_open = "", False
            continue
        is_open = True
        word += blank + plain + "\\" * (len(slashes) // 2)
        literal = len(slashes) % 2  # a quote behind an odd number of backslashes
        left = len(quotes) - literal
        if left and not is_quoted:
            is_quoted, left = True, left - 1
        word += '"' * (literal + left // 2)  # two within quotes stand for one
        is_quoted ^= left % 2 == 1
    return [*words, word] if is_open else words
