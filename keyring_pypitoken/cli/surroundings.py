"""What surrounds an upload: the uploaders that are installed, and whether keyring asks this package for each.

keyring itself is asked, in the environment of the uploader: only there it is certain which settings and plugins count.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import find_program, read_bytes
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import in_shell, printable
from keyring_pypitoken.uploaders.uploader import Problem, Uploader, all_uploaders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PATIENCE = 5  # seconds
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*w?(?:\.exe)?", re.IGNORECASE)
# pip, pipx and uv put the line of a script behind a program of their own on Windows.
_IN_EXE = re.compile(rb'#!\s*"?([^\r\n"\0]+?\.exe)"?', re.IGNORECASE)
# What the environment's own Python runs; it may be older than ours. No entry of `sys.path` may be somebody's checkout.
_QUESTION = """
import sys
sys.path = [entry for entry in sys.path if entry]
import json, os
from importlib.util import find_spec

def ask():
    if find_spec("keyring") is None:
        return ["lacking"]
    from keyring import backend, core
    from keyring.util import platform_
    variable, file = "PYTHON_KEYRING_BACKEND", os.path.join(platform_.config_root(), "keyringrc.cfg")
    place = variable if variable in os.environ else file
    try:
        chosen = core.load_env() if place == variable else core.load_config()
    except Exception as error:
        return ["unusable", place, type(error).__name__]
    ours = "keyring_pypitoken.backend.PyPITokenKeyring"
    chain = chosen.backends if type(chosen).__module__ == "keyring.backends.chainer" else []
    name_of = lambda one: type(one).__module__ + "." + type(one).__name__
    if chosen is not None and not chain:
        state = "disabled" if name_of(chosen) == "keyring.backends.null.Keyring" else "pinned"
        return ["ours"] if name_of(chosen) == ours else [state, place, name_of(chosen)]
    names = [name_of(one) for one in chain or backend.get_all_keyring() if one.priority == float("inf")]
    others = [name for name in names if name != ours]  # of equals, any may be the first
    if ours in names:
        return ["outranked", "", others[0]] if others else ["ours"]
    if find_spec("keyring_pypitoken") is None:
        return ["absent"]
    try:
        from keyring_pypitoken.backend import PyPITokenKeyring
        return ["absent" if PyPITokenKeyring.viable else "storeless"]
    except Exception as error:
        return ["broken", "", type(error).__name__]

print("\\n" + json.dumps([sys.prefix, [name for name in sys.argv[1:] if find_spec(name)], *ask()]))
sys.stdout.flush()
os._exit(0)
"""


State = Literal[
    "ours", "pinned", "disabled", "unusable", "outranked", "lacking", "absent", "broken", "storeless", "unknown"
]


class Standing(Record):
    """Which backend keyring uses in an environment, as it says itself."""

    state: State = "unknown"  # `ours`; why it is another one; or `unknown`
    place: str = ""  # the variable or file that names it
    name: str = ""  # the backend's name, or that of an exception
    environment: str = ""  # the environment's directory
    modules: tuple[str, ...] = ()  # the uploaders' modules that are there


class Installed(Record):
    """An uploader on this machine, its program, and where it stands with keyring."""

    uploader: Uploader
    program: str
    standing: Standing

    @property
    def problem(self) -> Problem | None:
        """Why keyring does not ask this package for this uploader; None if it does, or if that is unknown."""
        if self.uploader.asks_keyring:
            return problem_of(self.standing, self.program, self.uploader.name)
        return None


def find_programs(environ: Mapping[str, str]) -> Iterator[tuple[Uploader, str]]:
    """Yield the uploaders on PATH and in this environment, each with its program or the interpreter that runs it."""
    import importlib.util

    for uploader in all_uploaders():
        if not uploader.typical:
            continue
        program = find_program(uploader.name, environ)
        if program is not None:
            yield uploader, program
        elif uploader.module:
            spec = importlib.util.find_spec(uploader.module)
            if spec is not None and spec.origin is not None:  # a directory of that name has none
                yield uploader, sys.executable


def find_installed(environ: Mapping[str, str]) -> list[Installed]:
    """Find the uploaders, and ask keyring in the environment of each."""
    programs = list(find_programs(environ))
    command = find_program("keyring", environ)
    asked = ask_keyrings([program for _, program in programs] + [command or sys.executable], environ)
    installed = []
    for uploader, program in programs:
        asking, standing = program, asked[program]
        if uploader.module and standing.state != "unknown" and uploader.module not in standing.modules:
            standing = Standing()  # a program of that name, and not the uploader
        elif uploader.uses_command and command is not None and (not uploader.module or standing.state == "lacking"):
            asking, standing = command, asked[command]
        installed.append(Installed(uploader, asking, standing))
    return installed


def find_own_problem(environ: Mapping[str, str]) -> Problem | None:
    """Return why keyring does not ask this package in this environment; None if it does, or if that is unknown."""
    return problem_of(ask_keyrings([sys.executable], environ)[sys.executable], sys.executable, "keyring")


def problem_of(standing: Standing, program: str, asker: str) -> Problem | None:
    """Return what a standing means for what asks keyring; None if it is ours or unknown."""
    state, name, place = standing.state, printable(standing.name), printable(standing.place)
    if state in ("ours", "unknown"):
        return None
    variable = "PYTHON_KEYRING_BACKEND"
    if state in ("pinned", "disabled", "unusable"):
        where, remedy = f"the variable {variable}", in_shell(variable)
        if place != variable:
            where, remedy = place, f"delete `default-keyring` from {place}, or that file"
        if state == "disabled":
            return Problem(f"{where} turns keyring off ({name})", remedy)
        if state == "unusable":
            return Problem(f"{where} names a backend that cannot be used ({name})", remedy)
        return Problem(f"{where} names {name} alone, so keyring does not ask this package", remedy)
    where, line = printable(program), install_line(Path(standing.environment))
    if state == "outranked":
        ours = in_shell(variable, "keyring_pypitoken.backend.PyPITokenKeyring")
        return Problem(f"{where} asks the keyring backend {name} before this package", ours)
    if state == "broken":
        return Problem(f"{where} cannot import this package ({name}), so {asker} does not ask it", f"`{line}`")
    if state == "storeless":
        remedy = "unlock or start a keyring, or install `keyring-pypitoken[age]` there for an encrypted file"
        return Problem(f"{where} has no keyring that can keep a master, so {asker} does not ask this package", remedy)
    clause = f"{where} belongs to an environment without this package, so {asker} does not ask it"
    return Problem(clause, f"`{line}`")


def ask_keyrings(programs: Sequence[str], environ: Mapping[str, str]) -> dict[str, Standing]:
    """Ask keyring in the environment of each program, at the same time and each for a few seconds."""
    from concurrent.futures import ThreadPoolExecutor

    pythons = {program: _find_python(program, environ) for program in programs}
    with ThreadPoolExecutor(max_workers=8) as pool:
        distinct = list(dict.fromkeys(filter(None, pythons.values())))
        standings = dict(zip(distinct, pool.map(lambda python: _ask(python, environ), distinct), strict=True))
    return {program: standings[python] if python else Standing() for program, python in pythons.items()}


def _ask(python: tuple[str, ...], environ: Mapping[str, str]) -> Standing:
    modules = [uploader.module for uploader in all_uploaders() if uploader.module]
    try:
        done = subprocess.run(  # noqa: S603 - the Python of a program on PATH
            [*python, "-c", _QUESTION, *modules],
            env={**environ, "PYTHONSAFEPATH": "1"},
            cwd=os.path.dirname(python[0]),  # not where a relative entry of PYTHONPATH is somebody's checkout
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
            start_new_session=True,  # no terminal on which it could ask
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        environment, there, state, *details = json.loads(done.stdout.splitlines()[-1])
        place, name = (*details, "", "")[:2]
        return Standing(state, place, name, environment, tuple(there))
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError):
        return Standing()


def _find_python(program: str, environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the interpreter of a launcher, with its options; None if it is no Python's."""
    if _PYTHON.fullmatch(os.path.basename(program)):
        return (program,)
    try:
        data = read_bytes(os.path.realpath(program), program) or b""
    except Refusal:
        return None  # a program of more than a launcher's size
    lines = data[:4096].decode(errors="replace").splitlines() if data.startswith(b"#!") else []
    words = lines[0][2:].split() if lines else []
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if word != "-S"]
        words[:1] = [path for path in [find_program(words[0], environ)] if path] if words else []
    elif words and len(lines) > 1 and lines[1].startswith("'''exec' "):  # a path that is too long, or has spaces
        try:
            words = shlex.split(lines[1])[1:2]
        except ValueError:
            return None
    elif not words and (named := _IN_EXE.findall(data)):
        words = [os.fsdecode(named[-1])]
    if not words or not os.path.isabs(words[0]) or not _PYTHON.fullmatch(os.path.basename(words[0])):
        return None
    return tuple(words)


def install_line(environment: Path) -> str:
    """Return what to type so that the environment of an uploader or of `keyring` has this package."""
    name = environment.name
    # What cannot be read counts as absent: that only chooses which line is shown.
    if os.path.exists(environment / "pipx_metadata.json"):
        return f"pipx inject --include-apps {name} keyring-pypitoken"
    if os.path.exists(environment / "uv-receipt.toml"):
        return f"uv tool install {name} --with-executables-from keyring-pypitoken --with keyring-pypitoken"
    python = str(environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    shown = python if os.name == "nt" else shlex.quote(python)
    if any(environment.glob("lib/python*/site-packages/pip")) or os.path.exists(environment / "Lib/site-packages/pip"):
        return f"{shown} -m pip install keyring-pypitoken"
    return f"uv pip install --python {shown} keyring-pypitoken"
