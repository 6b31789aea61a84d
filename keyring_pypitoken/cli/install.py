"""The command that installs this package where an uploader asks it, by the kind of the uploader's environment."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def install_line(environment: Path) -> str:
    """Return what to type so that the environment of an uploader or of `keyring` has this package."""
    name = environment.name
    if (environment / "pipx_metadata.json").exists():
        return f"pipx inject --include-apps {name} keyring-pypitoken"
    if (environment / "uv-receipt.toml").exists():
        return f"uv tool install {name} --with-executables-from keyring-pypitoken --with keyring-pypitoken"
    python = str(environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    shown = python if os.name == "nt" else shlex.quote(python)
    if any(environment.glob("lib/python*/site-packages/pip")) or (environment / "Lib/site-packages/pip").exists():
        return f"{shown} -m pip install keyring-pypitoken"
    return f"uv pip install --python {shown} keyring-pypitoken"
