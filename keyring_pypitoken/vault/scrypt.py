"""Passphrases for age without more memory than there is: its library aborts the process that lacks it.

Scrypt takes 2**WORK KiB (RFC 7914, with the block size 8 of age). The library chooses WORK by the speed of the machine
that encrypts, which makes it 1 GiB on a fast one; the age file names it to whoever decrypts.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import Refusal

_KIB, _MIB = 1024, 1024 * 1024
_USUAL_MIB = 1024  # what the library takes on the machines of 2026 (pyrage 1.2.1 to 1.4.0)
_SECONDS = 300  # it takes about two
_HEADER = re.compile(rb"age-encryption\.org/v1\n-> scrypt [^ \n]+ ([0-9]{1,2})\n")
# A container's limits, by the versions 2 and 1 of Linux' control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

# What is aborted in the place of its caller. A core file would hold the passphrase.
_ENCRYPT = """
import sys
if sys.platform == "linux":
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if resource.getrlimit(resource.RLIMIT_AS)[1] == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), resource.RLIM_INFINITY))
sys.path.insert(0, sys.argv[1])
import pyrage
size, _, rest = sys.stdin.buffer.read().partition(b" ")
passphrase, plain = rest[:int(size)].decode(), rest[int(size):]
sys.stdout.buffer.write(pyrage.passphrase.encrypt(plain, passphrase))
"""


def refuse_without_memory(data: bytes, path: str) -> None:
    """Refuse (raise a Refusal) to decrypt a file that takes more memory than there is."""
    header = _HEADER.match(data)
    if header is None:
        return  # the library finds what is wrong with it
    needed, free = _KIB * 2 ** int(header[1]), free_memory()
    if free is not None and free < needed:
        there_is = f"{free // _MIB} MiB are free"
    elif not _can_be_had(needed):
        there_is = "this process cannot have as much"
    else:
        return
    raise Refusal(
        f"opening {path} takes {needed // _MIB} MiB of memory, and {there_is}: free some; or open it on a larger "
        "machine and run `keyring-pypitoken rekey` there to encrypt it to an identity, which takes none."
    )


def encrypt(plain: bytes, passphrase: str, path: str) -> bytes:
    """Encrypt in a process of its own that may be aborted; raise UnicodeEncodeError for a passphrase, or a Refusal."""
    import pyrage

    free = free_memory()
    arguments = [os.path.dirname(os.path.dirname(pyrage.__file__)), str(-1 if free is None else free)]
    given = passphrase.encode()
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(  # noqa: S603 - this interpreter
            [sys.executable or "", "-I", "-c", _ENCRYPT, *arguments],
            input=b"%d %s%s" % (len(given), given, plain),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode == 0 and done.stdout:
            return done.stdout
    there_is = "" if free is None else f", and {free // _MIB} MiB are free"
    raise Refusal(
        f"{path} could not be encrypted to a passphrase, which commonly takes {_USUAL_MIB} MiB of memory{there_is}: "
        f"free some, or name an identity, which takes none, as `identity` in [store] of {paths.user_policy()}."
    )


def free_memory() -> int | None:
    """Return how many bytes this process may take; None if the system does not say."""
    found: list[int] = []
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, LookupError), open("/proc/meminfo", encoding="ascii") as file:
            kib = {line.split(":")[0]: int(line.split()[1]) for line in file}
            found.append((kib["MemAvailable"] + kib["SwapFree"]) * _KIB)
        for path in _LIMITS:
            with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
                found.append(int(file.read()))  # "max" is not a number
    return min(found, default=None)


def _can_be_had(size: int) -> bool:
    """Try it: nothing is used, but the limits of this process and Windows' commit limit count."""
    import mmap

    try:
        mmap.mmap(-1, size).close()
    except (OSError, OverflowError):
        return False
    return True
