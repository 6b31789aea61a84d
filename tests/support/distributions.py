"""Minimal distribution files that real uploaders accept."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_wheel(directory: Path, name: str, version: str, *, script: str | None = None) -> Path:
    """Write a wheel that holds nothing but its metadata and the name of a script, and return its path."""
    stem = f"{file_name_part(name)}-{version}"
    files = {
        f"{stem}.dist-info/METADATA": metadata(name, version),
        f"{stem}.dist-info/WHEEL": ("Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    }
    if script is not None:
        files[f"{stem}.dist-info/entry_points.txt"] = f"[console_scripts]\n{script} = {script.replace('-', '_')}:main\n"
    record = f"{stem}.dist-info/RECORD"
    lines = [record_line(path, text) for path, text in files.items()]
    files[record] = "".join([*lines, f"{record},,\n"])
    directory.mkdir(parents=True, exist_ok=True)
    wheel = directory / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def make_sdist(directory: Path, name: str, version: str) -> Path:
    """Write a source distribution of an empty project, and return its path."""
    stem = f"{file_name_part(name)}-{version}"
    files = {
        f"{stem}/PKG-INFO": metadata(name, version),
        f"{stem}/pyproject.toml": (f'[project]\nname = "{name}"\nversion = "{version}"\n'),
    }
    directory.mkdir(parents=True, exist_ok=True)
    sdist = directory / f"{stem}.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return sdist


def metadata(name: str, version: str) -> str:
    """Return the core metadata of a project about which nothing else is known."""
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def file_name_part(name: str) -> str:
    """Return a project's name as it stands in file names."""
    return name.lower().replace("-", "_").replace(".", "_")


def record_line(path: str, text: str) -> str:
    """Return the line of a wheel's RECORD for one of its files."""
    digest = hashlib.sha256(text.encode()).digest()
    encoded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return f"{path},sha256={encoded},{len(text.encode())}\n"
