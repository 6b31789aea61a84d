"""Command lines that are given to an uploader's own parser, in its environment, and to its uploader."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from distributions import make_sdist, make_wheel

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.uploaders.uploader import Process, find_uploader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from environments import Environments

# Calls `read(arguments)` of an uploader's script for each case, as if the program were started there.
_DRIVER = """
import contextlib, io, json, os, sys
cases, results, before = json.load(sys.stdin), [], dict(os.environ)
{script}
for arguments, environ, directory in cases:
    os.environ.clear()
    os.environ.update(before | environ)
    os.chdir(directory)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        results.append(read(arguments))
sys.__stdout__.write("\\n" + json.dumps(results))
"""


class Case(NamedTuple):
    """A command line without the program, the variables before it, and where it is typed."""

    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    directory: Path

    @classmethod
    def parse(cls, line: str, directory: Path) -> Case:
        """Read `NAME=VALUE ... upload ...`, as a shell has it; what a shell would expand is left as it is."""
        words = shlex.split(line)
        environ: dict[str, str] = {}
        while words and "=" in words[0] and words[0][0].isupper():
            name, _, environ[name] = words.pop(0).partition("=")
        return cls(tuple(words), environ, directory)


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
    name: str,
    environments: Environments,
    script: str,
    lines: Iterable[str],
    directories: Sequence[Path],
    stricter: tuple[str, ...] = (),
) -> list[tuple[str, Path, dict[str, Any], dict[str, Any]]]:
    """Return the command lines that an uploader's own parser and its uploader read differently, with what each read.

    Each line is read in each directory, where {work} is the first of them. The script's `read(arguments)` returns what
    its uploader would do. `uploading` is True or False; "usage" if the parser ends with an error, after which nothing
    is compared; "settings" if they are at fault, which the uploader must refuse; or "nothing" if it uploads nothing for
    any reason. A refusal of ours that has one of the texts of `stricter` is right, whatever it would do.
    """
    texts = [(line, directory) for line in lines for directory in directories]
    cases = [Case.parse(line.replace("{work}", directories[0].as_posix()), directory) for line, directory in texts]
    wrong = []
    for (line, directory), case, theirs in zip(texts, cases, ask(name, environments, script, cases), strict=True):
        if "lookups" in theirs:
            lookups = theirs.pop("lookups") or ()
            theirs["lookup"] = next((lookup for lookup in lookups if lookup[0] == theirs["url"]), None)
        ours = describe(Process(name, case.arguments, directory, {**os.environ, **case.environ}))
        refusals = ours.pop("refusals")
        uploading = theirs["uploading"]
        same = uploading == "usage" or all(ours[key] == value for key, value in theirs.items())
        same = same or any(text in refusal for text in stricter for refusal in refusals)
        if uploading is False:
            same = not ours["uploading"]
        elif uploading == "settings":
            same = ours["url"] is None
        elif uploading == "nothing":
            same = not ours["uploading"] or bool(refusals)
        if not same:
            wrong.append((line, directory, theirs, ours))
    return wrong


def describe(process: Process) -> dict[str, Any]:
    """Return what the uploader of a program says about a process; what it refuses, or does not know, is None."""
    uploader = find_uploader(process.program)
    assert uploader is not None
    refusals: list[str] = []

    def read(question: Callable[[Process], Any]) -> Any:
        try:
            return question(process)
        except Refusal as refusal:
            refusals.append(str(refusal))
            return None

    target, files, project = map(read, (uploader.target, uploader.find_files, uploader.find_project))
    names = None if files is None else [os.path.normpath(file) for file in files]
    return {
        "uploading": uploader.is_uploading(process),
        "files": names,
        "built": names is None and not refusals,
        "first file": (names or [None])[0],
        "sorted files": names and sorted(names),
        "url": target and target.address.url,
        "lookup": target and target.lookup and list(target.lookup),
        "project": project and str(project),
        "projects": list(read(uploader.find_projects) or ()) or None,
        "refusals": refusals,
    }


def ask(name: str, environments: Environments, script: str, cases: Iterable[Case]) -> list[dict[str, Any]]:
    """Return what a script, run by an uploader's own interpreter, says about each case."""
    done = subprocess.run(
        [str(environments.scripts(name) / "python"), "-I", "-c", _DRIVER.replace("{script}", script)],
        input=json.dumps([(case.arguments, case.environ, str(case.directory)) for case in cases]),
        env={**os.environ, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answers
