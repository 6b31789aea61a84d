"""Attack the package through what everybody uses: `keyring`, the command, an uploader, each a process of its own.

`ATTACK_PYTHON` names the interpreter whose installed package is attacked, such as that of an older commit; by default
it is the one that runs the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from sandbox import STORES

from keyring_pypitoken import Token

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PYTHON = os.environ.get("ATTACK_PYTHON", sys.executable)
PYPI = "https://upload.pypi.org/legacy/"
PRIVATE = f"keyring-pypitoken:{PYPI}"
TOKEN = "__token__"
CPU_SECONDS = 5  # the most that any repository may cost
_WALL_SECONDS = 120  # after which a process that waits is taken for hanging, on a machine that does much else
# Run with a limit of the processor's time, which a busy machine does not change.
_LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_CPU, ({0}, {0})); os.execv(sys.argv[1], sys.argv[1:])"
)


class Outcome(NamedTuple):
    """What came of an attack.

    Attributes:
        kind: `derived`, `raw`, `none` (the next backend, or a prompt), `refused`, `refused text` or `hang`; `other`.
        seconds: how long a derived token works; 0 if it is none.
        projects: what it works for.
        out: what was printed on stdout.
        err: what was printed on stderr.
    """

    kind: str
    seconds: int
    projects: tuple[str, ...]
    out: str
    err: str


def plant(home: Path, service: str, username: str, password: str, label: str = "first") -> None:
    """Put a password into a store of the tests."""
    file = home / "keyrings" / f"{label}.json"
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | {json.dumps([service, username]): password}))


def start(
    *arguments: str, cwd: Path, environ: Mapping[str, str] | None = None, stdin: str | None = ""
) -> subprocess.CompletedProcess[str] | None:
    """Run `python -m ...`; None if it hangs. Without text for stdin, that stays open."""
    limited = [PYTHON, "-c", _LIMITED.format(CPU_SECONDS)] if os.name == "posix" else []
    command = [*limited, PYTHON, "-m", *arguments]
    env = os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "1000"} | dict(environ or {})
    env["PYTHONPATH"] = os.pathsep.join([*filter(None, [dict(environ or {}).get("PYTHONPATH")]), str(STORES)])
    read, write = os.pipe()
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_WALL_SECONDS,
            check=False,
            start_new_session=True,
            **({"stdin": read} if stdin is None else {"input": stdin}),
        )
    except subprocess.TimeoutExpired:
        return None
    finally:
        os.close(read)
        os.close(write)
    return None if done.returncode in (-24, -9) else done  # SIGXCPU, SIGKILL: the processor's time is up


def get(cwd: Path, service: str = PYPI, username: str = TOKEN, *, stdin: str | None = "", **environ: str) -> Outcome:
    """Ask the `keyring` command."""
    done = start("keyring", "get", service, username, cwd=cwd, environ=environ, stdin=stdin)
    return Outcome("hang", 0, (), "", "") if done is None else judge(done)


def judge(done: subprocess.CompletedProcess[str]) -> Outcome:
    """Sort what a process printed."""
    text = done.stdout.strip()
    kind, seconds, projects = "other", 0, ()
    if text.startswith("pypi-"):
        caveats = [json.loads(caveat) for caveat in Token.load(text).raw_caveats]
        kind = "derived" if caveats else "raw"
        seconds = next((caveat[1] - caveat[2] - 60 for caveat in caveats if caveat[0] == 0), 0)
        projects = next((tuple(caveat[1]) for caveat in caveats if caveat[0] == 1), ())
    elif text:
        kind = "refused text" if text.startswith("refused") else "other"
    elif "keyring-pypitoken: " in done.stderr:
        kind = "refused"
    elif done.returncode == 1:
        kind = "none"
    return Outcome(kind, seconds, projects, done.stdout, done.stderr)


def deny(home: Path, path: Path) -> dict[str, str]:
    """Let the system refuse (EACCES) to say anything of what is below a directory, as it does to all but root."""
    directory = home / "denied"
    directory.mkdir(exist_ok=True)
    (directory / "sitecustomize.py").write_text(_DENY.format(repr(str(path))))
    return {"PYTHONPATH": str(directory)}


_DENY = """
import builtins, errno, functools, io, os
denied = {}
def ask(function, path, *args, **kwargs):
    if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(denied):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
    return function(path, *args, **kwargs)
def guard(function):
    # Not a function: Python 3.10's pathlib keeps these in a class, where a function would become a method.
    guarded = functools.partial(ask, function)
    for supported in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        if function in supported:
            supported.add(guarded)
    return guarded
for name in ("stat", "lstat", "open", "listdir", "scandir", "access", "mkdir", "readlink"):
    setattr(os, name, guard(getattr(os, name)))
builtins.open = io.open = guard(io.open)
"""
