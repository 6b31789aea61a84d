"""What surrounds an upload: the uploaders that are installed, their environments, and keyring's configuration.

Nothing is started: environments are read from the files in them.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.cli.install import install_line
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import find_program, list_directory
from keyring_pypitoken.text import in_shell
from keyring_pypitoken.uploaders.uploader import Problem, Uploader, all_uploaders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INSTALLED = re.compile(r"keyring[_-]pypitoken-.*\.dist-info", re.IGNORECASE)


def find_programs(environ: Mapping[str, str]) -> Iterator[tuple[Uploader, str]]:
    """Yield the uploaders on PATH and in this environment, each with its program or the interpreter that runs it."""
    import importlib.util

    for uploader in all_uploaders():
        if not uploader.typical:
            continue
        program = find_program(uploader.name, environ)
        if program is not None:
            yield uploader, program
        elif uploader.module and importlib.util.find_spec(uploader.module) is not None:
            yield uploader, sys.executable


def lacks_plugin(uploader: Uploader, program: str, environ: Mapping[str, str]) -> Problem | None:
    """Return a problem if the environment that asks keyring for this uploader does not have this package."""
    if not uploader.lookups_per_upload or (uploader.module and _has_plugin(program)):
        return None
    if uploader.uses_command:
        command = find_program("keyring", environ)
        if command is None and not uploader.module:
            return None  # its uploader reports that
        program = command or program
        if command is not None and _has_plugin(command):
            return None
    return Problem(
        f"{program} belongs to an environment without this package, so {uploader.name} does not ask it",
        f"`{install_line(Path(os.path.realpath(program)).parent.parent)}`",
    )


def find_keyring_problems(environ: Mapping[str, str]) -> list[Problem]:
    """Return why keyring would not ask this package: another backend was chosen, or its configuration is broken."""
    from keyring import core
    from keyring.backends.chainer import ChainerBackend
    from keyring.util import platform_

    from keyring_pypitoken.backend import PyPITokenKeyring

    file = os.path.join(platform_.config_root(), "keyringrc.cfg")
    named = environ.get("PYTHON_KEYRING_BACKEND")
    where, remedy = (
        ("the variable PYTHON_KEYRING_BACKEND", in_shell("PYTHON_KEYRING_BACKEND"))
        if named
        else (file, f"delete `default-keyring` from {file}, or that file")
    )
    try:
        chosen = core.load_env() if named else core.load_config()
    except Exception as error:  # noqa: BLE001 - parsing it, or importing what it names, may raise anything
        return [Problem(f"{where} names a backend that cannot be used ({type(error).__name__})", remedy)]
    if chosen is None:
        return []
    asked = chosen.backends if isinstance(chosen, ChainerBackend) else [chosen]
    if any(isinstance(backend, PyPITokenKeyring) for backend in asked):
        return []
    name = f"{type(chosen).__module__}.{type(chosen).__qualname__}"
    return [Problem(f"{where} names {name} alone, so keyring does not ask this package", remedy)]


def _has_plugin(program: str) -> bool:
    """Return True if the environment that a program belongs to has this package; a link is followed to its place."""
    if os.path.realpath(program) == os.path.realpath(sys.executable):
        return True
    environment = Path(os.path.realpath(program)).parent.parent
    libraries = [environment / "Lib" / "site-packages"]
    for name in ("lib", "lib64"):
        try:
            versions = list_directory(environment / name, str(environment / name))
        except Refusal:
            continue
        for version in versions:
            if version.startswith(("python", "pypy")):
                libraries += [environment / name / version / kind for kind in ("site-packages", "dist-packages")]
    for library in libraries:
        try:
            if any(_INSTALLED.fullmatch(name) for name in list_directory(library, str(library))):
                return True
        except Refusal:
            continue
    return False
