"""init, check: policy files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken import files, issue, paths
from keyring_pypitoken.cli.output import dump, items, say
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.policy import discovery
from keyring_pypitoken.policy.decision import Policies, check_repository_names, find_contradictions
from keyring_pypitoken.policy.parser import PYPROJECT_TABLE, parse_policy
from keyring_pypitoken.uploaders.process import this_process
from keyring_pypitoken.uploaders.projects import project_of_file, projects_in_directory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from keyring_pypitoken.policy.model import Layer, PolicyFile

_NAME = "pypitoken.toml"
_TEMPLATE = """\
# What may be uploaded from this repository, and with what kind of token. keyring-pypitoken reads it at every upload;
# `keyring-pypitoken explain` tells what follows from it, `keyring-pypitoken check` whether it is right.

# Nothing else can be uploaded from here.
projects = {projects}

# How long a token works. It must outlast the upload of all files. Your own policy.toml sets the most that is allowed.
# valid-for = "15m"

# How far before now a token begins to work, for clocks that differ; at most "10m".
# clock-skew = "60s"

# Which of several stored masters is used.
# account = "default"

# No uploads before, or from then on.
# not-before = 2030-01-31T18:00:00Z
# not-after = 2030-12-31T18:00:00Z

# The same keys for one repository alone go before those above.
# [repository.testpypi]
# valid-for = "5m"
"""


class _Checked(NamedTuple):
    """A policy file and all that is wrong in it."""

    file: str
    problems: tuple[str, ...]


def init(options: argparse.Namespace) -> int:
    """Write a policy that lists the projects of this repository."""
    here = this_process().directory
    if options.from_dist is None:
        directory, names = projects_in_directory(here)
    else:
        directory = next((found for found in discovery.project_directories(here) if _is_root(found)), here)
        names = _in_distributions(here / options.from_dist)
    if not names:
        raise Refusal(
            "no project was found here: go to a directory whose pyproject.toml or setup.cfg names one, or build "
            "first and use --from-dist."
        )
    path = directory / _NAME
    shared = directory / "pyproject.toml"
    text = files.read_text(shared, "pyproject.toml") or ""
    if parse_policy(text, layer="project", name="pyproject.toml", table=PYPROJECT_TABLE) is not None:
        raise Refusal(
            f"pyproject.toml has a [{'.'.join(PYPROJECT_TABLE)}] already, and one policy is enough: edit it there."
        )
    shown = files.display_name(path, here)
    content = _TEMPLATE.format(projects=json.dumps(names))
    try:
        with path.open("w" if options.force else "x", encoding="utf-8", newline="\n") as file:
            file.write(content)
    except FileExistsError:
        raise Refusal(f"{shown} is there already: edit it, or replace it with --force.") from None
    except OSError as error:
        raise Refusal(f"{shown} cannot be written ({type(error).__name__}): make the directory writable.") from None
    say(f"Wrote {shown}: uploads from here are for {', '.join(names)} alone. Commit it.", "good")
    return 0


def check(options: argparse.Namespace) -> int:
    """Find all mistakes in the files that are named, else in those in force here."""
    checked = [_check_file(Path(name)) for name in options.files] if options.files else _check_all()
    problems = [problem for found in checked for problem in found.problems]
    if options.json:
        dump({"ok": not problems, "files": [found._asdict() for found in checked]})
    elif problems:
        items(problems)
    elif checked:
        say(f"Right: {', '.join(found.file for found in checked)}.", "good")
    else:
        say("No policy is in force here: the defaults are.", "good")
    return 1 if problems else 0


def _check_file(path: Path) -> _Checked:
    """Check one file, whose name tells whose it is."""
    table = PYPROJECT_TABLE if path.name == "pyproject.toml" else ()
    layer: Layer = "user" if path.name == os.path.basename(paths.user_policy()) else "project"

    def read() -> PolicyFile | None:
        text = files.read_text(path, str(path))
        if text is None:
            raise PolicyError(f"{path} is not there: correct its name.")
        return parse_policy(text, layer=layer, name=str(path), table=table)

    return _Checked(str(path), _problems_of(read)[1])


def _check_all() -> list[_Checked]:
    """Check the files that are in force, each by itself and then together."""
    process = this_process()
    readers: tuple[tuple[str, Callable[[], PolicyFile | None]], ...] = (
        ("the project's policy", lambda: discovery.project_policy(process.directory, process.environ)),
        (paths.user_policy(), discovery.user_policy),
        (paths.site_policies()[0], discovery.site_policy),
    )
    checked: list[_Checked] = []
    found: list[PolicyFile | None] = []
    for name, read in readers:
        policy, problems = _problems_of(read)
        found.append(policy)
        if policy is not None or problems:
            checked.append(_Checked(policy.origin if policy else name, problems))
    if not any(entry.problems for entry in checked):
        policies = Policies(*found)
        repositories = issue.Config(policies.user, policies.site).repositories
        contradictions = list(find_contradictions(policies, repositories))
        try:
            check_repository_names(policies, repositories)
        except Refusal as refusal:
            contradictions.append(str(refusal))
        if contradictions:
            checked.append(_Checked("together", tuple(contradictions)))
    return checked


def _problems_of(read: Callable[[], PolicyFile | None]) -> tuple[PolicyFile | None, tuple[str, ...]]:
    try:
        return read(), ()
    except PolicyError as error:
        return None, error.problems
    except Refusal as refusal:
        return None, (str(refusal),)


def _is_root(directory: Path) -> bool:
    return any((directory / name).is_file() for name in ("pyproject.toml", "setup.cfg", "setup.py"))


def _in_distributions(directory: Path) -> list[str]:
    try:
        files = os.listdir(directory)
    except OSError as error:
        raise Refusal(
            f"{directory} cannot be read ({type(error).__name__}): "
            "build first, or name the directory that holds the files."
        ) from None
    return sorted({name for file in files if (name := project_of_file(file)) is not None})
