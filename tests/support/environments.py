"""Virtual environments of the uploaders that the tests run: each made once, with this project's wheel installed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from filelock import FileLock
from sandbox import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEYRING = "keyring==25.7.0"
# Set by `.ci/run newest`: the newest version of everything, instead of those whose behaviour was observed.
_NEWEST = bool(os.environ.get("TEST_NEWEST"))
# What each environment holds beside the project. The versions are those whose behaviour was observed.
REQUIREMENTS = {
    "twine": ("twine==7.0.0", _KEYRING),
    "uv": ("uv==0.13.9", _KEYRING),
    "flit": ("flit==4.2.0", _KEYRING),
    "hatch": ("hatch==1.18.2", _KEYRING),
    "poetry": ("poetry==2.5.1", _KEYRING),
    "pdm": ("pdm==2.29.4", "hishel<2", "unearth>=0.19", _KEYRING),
    # Without keyring, pdm runs the program on PATH.
    "pdm alone": ("pdm==2.29.4", "hishel<2", "unearth>=0.19"),
    "devpi": ("devpi-client==7.3.0", _KEYRING),
    # Here keyring does not have the project.
    "twine alone": ("twine==7.0.0",),
    # It never asks Python's keyring.
    "maturin": ("maturin==1.16.0",),
}
_PRINT_VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
_SCRIPTS = "Scripts" if os.name == "nt" else "bin"


class Environments:
    """The environments, each made when it is first asked for.

    They are kept in a directory, by what was asked to be installed: a later run makes none, and installs the project
    again only if it has changed. Processes that share the directory wait for each other.
    """

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        """Keep environments in a directory; install with the settings of an environment."""
        self._directory = directory
        self._environ = dict(environ)
        self._project = _digest(*_project_files())
        self._ready: dict[str, Path] = {}

    def scripts(self, name: str) -> Path:
        """Return the directory of the programs of an environment."""
        if name not in self._ready:
            self._ready[name] = self._make(name)
        return self._ready[name]

    def version(self, name: str) -> str:
        """Return which version of an uploader an environment holds."""
        program = REQUIREMENTS[name][0].partition("==")[0]
        command = [str(self.scripts(name) / "python"), "-c", _PRINT_VERSION, program]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def _make(self, name: str) -> Path:
        with_plugin = _KEYRING in REQUIREMENTS[name]
        versions = [text.partition("==")[0] if _NEWEST else text for text in REQUIREMENTS[name]]
        wanted = [*versions, *(_dependencies() if with_plugin else ())]
        digest = _digest(sys.version, sys.prefix, *wanted)
        directory = self._directory / f"{name.replace(' ', '-')}-{digest}"
        installed = directory / "installed"  # the digest of the project that is installed
        with FileLock(f"{directory}.lock"):
            if not installed.exists():
                shutil.rmtree(directory, ignore_errors=True)
                self._run("venv", "--without-pip", str(directory))
                self._install(directory, *wanted)
                installed.touch()
            if with_plugin and installed.read_text() != self._project:
                self._install(directory, "--no-deps", "--force-reinstall", str(self.wheel()))
                installed.write_text(self._project)
        return directory / _SCRIPTS

    def wheel(self) -> Path:
        """Build the project's wheel, once for each state of the project."""
        wheels = self._directory / "wheel"
        with FileLock(f"{wheels}.lock"):
            if not (wheels / self._project).exists():
                shutil.rmtree(wheels, ignore_errors=True)
                if _has_pip():
                    self._run("pip", "wheel", "--no-deps", "--wheel-dir", str(wheels / self._project), str(ROOT))
                else:
                    self._run("uv", "build", "--wheel", "--out-dir", str(wheels / self._project), str(ROOT))
            (wheel,) = (wheels / self._project).glob("*.whl")
        return wheel

    def _install(self, directory: Path, *arguments: str) -> None:
        """Install as these tests were: with pip, or with uv if it made an environment without pip."""
        python = str(directory / _SCRIPTS / "python")
        if _has_pip():
            self._run("pip", "--python", python, "install", "--no-warn-script-location", *arguments)
        else:
            self._run("uv", "pip", "install", "--python", python, *arguments)

    def _run(self, module: str, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self._environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, f"{module} {' '.join(arguments)}\n{done.stdout}{done.stderr}"


def _has_pip() -> bool:
    return importlib.util.find_spec("pip") is not None


def _project_files() -> list[bytes]:
    package = [path for path in sorted((ROOT / "keyring_pypitoken").rglob("*")) if path.suffix in (".py", ".json")]
    return [path.read_bytes() for path in (ROOT / "pyproject.toml", *package)]


def _digest(*parts: str | bytes) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _dependencies() -> list[str]:
    required = importlib.metadata.requires("keyring-pypitoken") or []
    return sorted(line for line in required if not re.search(r"extra\s*==", line))
