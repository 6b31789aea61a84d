"""Virtual environments of the uploaders that the tests run: made once, with the project's wheel installed anew."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent.parent
_KEYRING = "keyring==25.7.0"
# What each environment holds beside the project. The versions are those whose behaviour was observed.
REQUIREMENTS = {
    "twine": ("twine==7.0.0", _KEYRING),
    "uv": ("uv==0.13.8", _KEYRING),
    "flit": ("flit==4.2.0", _KEYRING),
    "hatch": ("hatch==1.18.2", _KEYRING),
    "poetry": ("poetry==2.5.1", _KEYRING),
    "pdm": ("pdm==2.29.3", "hishel<2", "unearth<0.19", _KEYRING),
    # Without keyring, pdm runs the program on PATH.
    "pdm alone": ("pdm==2.29.3", "hishel<2", "unearth<0.19"),
    "devpi": ("devpi-client==7.3.0", _KEYRING),
    # It never asks Python's keyring.
    "maturin": ("maturin==1.16.0",),
}


class Environments:
    """The environments, each made when it is first asked for.

    They are kept in a directory, by what was asked to be installed, so that a later run installs the project alone.
    """

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        """Keep environments in a directory; install with the settings of an environment."""
        self._directory = directory
        self._environ = dict(environ)
        self._wheel: Path | None = None
        self._ready: dict[str, Path] = {}

    def scripts(self, name: str) -> Path:
        """Return the directory of the programs of an environment."""
        if name not in self._ready:
            self._ready[name] = self._make(name)
        return self._ready[name]

    def version(self, name: str) -> str:
        """Return which version of an uploader an environment holds."""
        return REQUIREMENTS[name][0].partition("==")[2]

    def _make(self, name: str) -> Path:
        with_plugin = _KEYRING in REQUIREMENTS[name]
        wanted = [*REQUIREMENTS[name], *(_dependencies() if with_plugin else ())]
        digest = hashlib.sha256(repr((sys.version, sys.prefix, wanted)).encode()).hexdigest()
        directory = self._directory / f"{name.replace(' ', '-')}-{digest[:16]}"
        scripts = directory / ("Scripts" if os.name == "nt" else "bin")
        ready = directory / "ready"
        if not ready.exists():
            shutil.rmtree(directory, ignore_errors=True)
            self._uv("venv", "--python", sys.executable, str(directory))
            self._uv("pip", "install", "--python", str(directory), *wanted)
            ready.touch()
        if with_plugin:
            self._uv("pip", "install", "--python", str(directory), "--no-deps", "--reinstall", str(self._build()))
        return scripts

    def _build(self) -> Path:
        """Build the project's wheel, once per run."""
        if self._wheel is None:
            out = self._directory / "wheel"
            shutil.rmtree(out, ignore_errors=True)
            self._uv("build", "--wheel", "--python", sys.executable, "--out-dir", str(out), str(ROOT))
            (self._wheel,) = out.glob("*.whl")
        return self._wheel

    def _uv(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "uv", "--quiet", *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, f"uv {' '.join(arguments)}\n{done.stdout}{done.stderr}"


def _dependencies() -> list[str]:
    required = importlib.metadata.requires("keyring-pypitoken") or []
    return sorted(line for line in required if not re.search(r"extra\s*==", line))
