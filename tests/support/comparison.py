"""Command lines that are given to an uploader's own parser, in its environment, and to its uploader."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from distributions import make_sdist, make_wheel
from environments import Environments

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.uploaders.uploader import Process, find_uploader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pytest


class Case(NamedTuple):
    """A command line without the program, and the variables before it."""

    arguments: tuple[str, ...]
    environ: dict[str, str]

    @classmethod
    def parse(cls, line: str) -> Case:
        """Read `NAME=VALUE ... upload ...`, as a shell has it; what a shell would expand is left as it is."""
        words = shlex.split(line)
        environ: dict[str, str] = {}
        while words and "=" in words[0] and words[0][0].isupper():
            name, _, environ[name] = words.pop(0).partition("=")
        return cls(tuple(words), environ)


def write_tree(work: Path, home: Path, pypircs: dict[str, str]) -> None:
    """Write distributions, projects and settings that the command lines name; the first .pypirc is the home's."""
    for name in ("demo", "other.name"):
        make_sdist(work / "dist", name, "1.0")
        make_wheel(work / "dist", name, "1.0")
        make_wheel(work / "sub" / "dist[1]", name, "2.0")
    for name in ("demo-1.0.tar.gz.asc", "demo-1.0.tar.gz.publish.attestation", ".hidden-1.0.tar.gz"):
        (work / "dist" / name).touch()
    make_wheel(work, "my demo", "1.0").rename(work / "-x demo-1.0-py3-none-any.whl")
    for directory in (work, work / "sub"):
        (directory / "pyproject.toml").write_text(
            f'[project]\nname = "{directory.name}_Demo.x"\nversion = "1"\ndescription = "A demo."\n'
        )
    (work / "sub" / "Cargo.toml").touch()
    home.mkdir(exist_ok=True)
    for at, (name, text) in enumerate(pypircs.items()):
        (work / name).write_text(text)
        if at == 0:
            (home / ".pypirc").write_text(text)


def find_differences(
    name: str, config: pytest.Config, script: str, lines: Sequence[str], work: Path, home: Path
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return the command lines that an uploader's own parser and its uploader read differently, with what each read.

    The script reads `[[arguments, variables], ...]` and prints a list of what its uploader would do. `uploading` is
    True or False, or "usage" if the parser ends with an error, after which nothing is compared, or "settings" if the
    settings are at fault, which the uploader must refuse.
    """
    assert config.cache is not None
    python = Environments(config.cache.mkdir("uploaders"), os.environ).scripts(name) / "python"
    cases = [Case.parse(line) for line in lines]
    wrong = []
    for line, case, theirs in zip(lines, cases, _ask(python, script, cases, work, home), strict=True):
        environ = {"HOME": str(home), "USERPROFILE": str(home), **case.environ}
        ours = describe(Process(name, case.arguments, work, environ))
        if "lookups" in theirs:
            theirs["lookup"] = first_by_url(theirs["url"], theirs.pop("lookups"))
        ours = {key: value for key, value in ours.items() if key in theirs}
        uploading = theirs["uploading"]
        same = ours == theirs
        if uploading is False:
            same = ours["uploading"] is False
        elif uploading == "settings":
            same = ours["url"] is None
        if uploading != "usage" and not same:
            wrong.append((line, theirs, ours))
    return wrong


def describe(process: Process) -> dict[str, Any]:
    """Return what the uploader of a program says about a process; what it refuses is None."""
    uploader = find_uploader(process.program)
    assert uploader is not None
    read: dict[str, Any] = {"uploading": uploader.is_uploading(process)}
    try:
        read["files"] = [os.path.normpath(file) for file in uploader.find_files(process) or ()]
    except Refusal:
        read["files"] = None
    read["first file"] = (read["files"] or [None])[0]
    try:
        target = process.target
        read["url"] = target.address.url
        read["lookup"] = list(target.lookup) if target.lookup else None
    except Refusal:
        read["url"] = read["lookup"] = None
    read["project"] = str(uploader.find_project(process))
    try:
        read["projects"] = list(uploader.find_projects(process))
    except Refusal:
        read["projects"] = None
    return read


def first_by_url(url: str | None, lookups: Iterable[list[str]] | None) -> list[str] | None:
    """Return the first lookup by the upload URL; None if there is none."""
    return next((lookup for lookup in lookups or () if lookup[0] == url), None)


def _ask(python: Path, script: str, cases: Iterable[Case], work: Path, home: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [str(python), "-I", "-c", script],
        input=json.dumps([(case.arguments, case.environ) for case in cases]),
        cwd=work,
        env={"HOME": str(home), "USERPROFILE": str(home), "PATH": os.defpath, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answers
