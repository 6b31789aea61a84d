"""uv's files: its settings, those of a workspace, the user's and the machine's, and the store of `uv auth login`.

Read from uv 0.13.8: uv/src/lib.rs, uv-settings/src/lib.rs, uv-workspace/src/workspace.rs, uv-dirs/src/lib.rs,
uv-auth/src/store.rs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.files import climb, display_name, status
from keyring_pypitoken.text import printable
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.rust_glob import fits
from keyring_pypitoken.uploaders.settings import home, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyring_pypitoken.uploaders.options import Parsed

_TRUE = ("1", "true", "t", "yes", "y", "on")


def find_settings(
    arguments: Parsed, environ: Mapping[str, str], directory: Path, project: Path
) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return the settings that apply, each with its file's name for people, the most important first.

    Args:
        arguments: uv's command line.
        environ: its environment.
        directory: the one it runs in.
        project: the one it was pointed at.

    Raises:
        Refusal: one of the files cannot be read.
    """
    named = arguments.last("--config-file") or environ.get("UV_CONFIG_FILE")
    if named:
        return ((printable(named), read_toml(directory / named, printable(named))),)
    if arguments.has("--no-config") or arguments.has("--isolated") or _is_true(environ, "UV_NO_CONFIG"):
        return ()
    user = _base(environ, "XDG_CONFIG_HOME", ".config") / "uv" / "uv.toml"
    files = [user, *([] if _is_true(environ, "UV_NO_SYSTEM_CONFIG") else _system_files(environ))]
    names = [display_name(file, home(environ)) for file in files]
    return (
        *_project_settings(project, directory),
        *((name, read_toml(file, name)) for file, name in zip(files, names, strict=True)),
    )


def credentials_file(environ: Mapping[str, str]) -> Path:
    """Return the file that `uv auth login` keeps credentials in."""
    if named := environ.get("UV_CREDENTIALS_DIR"):
        return Path(named) / "credentials.toml"
    before = home(environ) / "Library" / "Application Support" / "uv"  # macOS, if an older uv made it
    data = before if status(before, str(before)) else _base(environ, "XDG_DATA_HOME", ".local/share") / "uv"
    return data / "credentials" / "credentials.toml"


def _is_true(environ: Mapping[str, str], variable: str) -> bool:
    return environ.get(variable, "").lower() in _TRUE


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    """Return a base directory of the user's files, as the crate etcetera has it."""
    if os.name == "nt":
        return Path(environ.get("APPDATA") or home(environ) / "AppData" / "Roaming")  # pragma: no cover - Windows
    named = environ.get(variable, "")
    return Path(named) if os.path.isabs(named) else home(environ) / default


def _system_files(environ: Mapping[str, str]) -> list[Path]:
    """Return the machine's settings file: the first that exists."""
    if os.name == "nt":
        directories = [f"{environ.get('SYSTEMDRIVE', 'C:')}\\ProgramData"]  # pragma: no cover - Windows
    else:
        named = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
        directories = [*filter(None, named.split(":")), "/etc"]
    files = [Path(directory) / "uv" / "uv.toml" for directory in directories]
    return [file for file in files if status(file, str(file)) is not None][:1]


def _project_settings(project: Path, directory: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the settings nearest to the root of the project's workspace: uv.toml, or else [tool.uv]."""
    for found, present in climb(_find_workspace(project, directory), ("uv.toml", "pyproject.toml")):
        for name in ("uv.toml", "pyproject.toml"):
            if name in present:
                shown = display_name(found / name, directory)
                content = read_toml(found / name, shown)
                settings = content if name == "uv.toml" else entry(content, "tool", "uv")
                if isinstance(settings, dict):
                    return [(shown, settings)]
    return []


def _find_workspace(project: Path, directory: Path) -> Path:
    """Return the root of the workspace that a project belongs to; if there is none, the project's own directory."""
    nearest: Path | None = None
    for found, present in climb(project, ("pyproject.toml",)):
        if not present:
            continue
        content = read_toml(found / "pyproject.toml", display_name(found / "pyproject.toml", directory))
        workspace = entry(content, "tool", "uv", "workspace")
        if nearest is not None:
            return found if _is_member(nearest.relative_to(found).parts, workspace) else nearest
        if entry(content, "tool", "uv", "managed") is False or ("project" not in content and workspace is None):
            return project
        nearest = found
        if workspace is not None:
            return found
    return nearest or project


def _is_member(parts: tuple[str, ...], workspace: object) -> bool:
    def has(key: str) -> bool:
        patterns = entry(workspace, key)
        texts = patterns if isinstance(patterns, list) else []
        return any(fits(parts, pattern) for pattern in texts if isinstance(pattern, str))

    return has("members") and not has("exclude")
