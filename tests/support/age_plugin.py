"""An age plugin of the tests' own: a program on PATH that opens what was encrypted for it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pyrage
import pytest
from sandbox import STORES, write_program

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN_IDENTITY = str(pyrage.plugin.Identity.default_for_plugin("demo"))
POSIX = pytest.mark.skipif(os.name != "posix", reason="the plugin is a script, which Windows does not run")


def install_plugin(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the plugin of the tests on PATH."""
    write_program(directory / "age-plugin-demo", sys.executable, str(STORES.parent / "plugins" / "age_plugin_demo.py"))
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
