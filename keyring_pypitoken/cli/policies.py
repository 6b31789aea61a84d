"""init, check: policy files."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from keyring_pypitoken import files
from keyring_pypitoken.cli.output import dump, items, say
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.policy import discovery
from keyring_pypitoken.policy.decision import check_repository_names, find_contradictions, misnamed_problem
from keyring_pypitoken.policy.model import PYPROJECT_TABLE, Config, SearchPath
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.text import printable, quoted
from keyring_pypitoken.uploaders.evidence import find_workspace, projects_of_file, read_file

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from keyring_pypitoken.policy.model import Layer, PolicyFile

T = TypeVar("T")
_TEMPLATE = Path(__file__).with_name("policy_template.toml")  # without projects


class _Checked(NamedTuple):
    """A policy file and all that is wrong in it."""

    file: str
    problems: tuple[str, ...]


def init(options: argparse.Namespace) -> int:
    """Write a policy that lists the projects of this repository."""
    here = files.current_directory()
    if options.from_dist is None:
        directory, names = find_workspace(here, here)
    else:
        directory = next((found for found in discovery.project_directories(here) if _is_root(found)), here)
        names = _in_distributions(here / options.from_dist)
    if not names:
        raise Refusal(
            "no project was found here: go to a directory whose pyproject.toml or setup.cfg names one, or build "
            "first and use --from-dist."
        )
    shared = directory / discovery.PYPROJECT
    text = files.read_text(shared, discovery.PYPROJECT) or ""
    if parse_policy(text, layer="project", name=discovery.PYPROJECT, table=PYPROJECT_TABLE) is not None:
        raise Refusal(
            f"pyproject.toml has a [{'.'.join(PYPROJECT_TABLE)}] already, and one policy is enough: edit it there."
        )
    path = directory / discovery.POLICY_NAME
    shown = files.display_name(path, here)
    content = _TEMPLATE.read_text("utf-8").replace("projects = []", f"projects = {json.dumps(names)}")
    _write(path, shown, content, replace=options.force)
    say(f"Wrote {shown}: only {', '.join(names)} can be uploaded from here. Commit it.", "good")
    above = [
        policy.origin for policy in discovery.find_search_path(directory, here, {}).policies if policy.origin != shown
    ]
    if above:
        say(f"The policies above it apply as well: {', '.join(above)}.")
    return 0


def _write(path: Path, shown: str, content: str, *, replace: bool) -> None:
    """Write a new file, never through a link that somebody may have planted."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        if replace:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        with open(os.open(path, flags, 0o666), "w", encoding="utf-8", newline="\n") as file:
            file.write(content)
    except FileExistsError:
        raise Refusal(f"{shown} is there already: edit it, or replace it with --force.") from None
    except OSError as error:
        raise Refusal(f"{shown} cannot be written ({type(error).__name__}): make the directory writable.") from None


def check(options: argparse.Namespace) -> int:
    """Find all mistakes in the files that are named, else in those in force here."""
    checked = [_check_file(Path(name)) for name in options.files] if options.files else _check_all()
    problems = [problem for found in checked for problem in found.problems]
    if options.json:
        dump({"ok": not problems, "files": [found._asdict() for found in checked]})
    elif problems:
        items(problems)
    elif checked:
        say(f"No mistakes found in {', '.join(found.file for found in checked)}.", "good")
    else:
        say("No policy applies here, so the defaults do.", "good")
    return 1 if problems else 0


def _check_file(path: Path) -> _Checked:
    """Check one file, whose name decides whose it is."""
    shown = printable(str(path))
    table = PYPROJECT_TABLE if path.name == discovery.PYPROJECT else ()
    layer: Layer = "user" if path.name == "policy.toml" else "project"
    text, problems = _problems_of(lambda: files.read_text(path, shown), None)
    if text is not None:
        _, problems = _problems_of(lambda: parse_policy(text, layer=layer, name=shown, table=table), None)
    elif not problems:
        problems = (f"{shown} does not exist: correct its name.",)
    alike = (misnamed_problem(shown),) if path.name in discovery.MISNAMED and layer == "project" else ()
    return _Checked(shown, (*alike, *problems))


def _check_all() -> list[_Checked]:
    """Check the files that are in force, each by itself and then together."""
    here = files.current_directory()
    own = [_check_own(path, layer) for path, layer in discovery.configured_paths()]
    way, problems = _problems_of(lambda: discovery.find_search_path(here, here, os.environ), SearchPath(here))
    checked = [_Checked(policy.origin, ()) for policy in way.policies]
    checked += [_Checked("the project's policy", problems)] if problems else []
    checked += [_Checked(name, (misnamed_problem(name),)) for name in way.misnamed]
    checked += [found for _, found in own if found is not None]
    if not any(found.problems for found in checked):
        config = Config(tuple(policy for policy, _ in own if policy is not None))
        together = [*config.conflicts, *find_contradictions(config.policies(way), config.repositories)]
        _, strange = _problems_of(lambda: check_repository_names(config.policies(way), config.repositories), None)
        if together or strange:
            checked.append(_Checked("together", (*together, *strange)))
    return checked


def _check_own(path: str, layer: Layer) -> tuple[PolicyFile | None, _Checked | None]:
    policy, problems = _problems_of(lambda: discovery.read_configured(path, layer), None)
    return policy, _Checked(path, problems) if policy or problems else None


def _problems_of(read: Callable[[], T], otherwise: T) -> tuple[T, tuple[str, ...]]:
    try:
        return read(), ()
    except PolicyError as error:
        return otherwise, error.problems
    except Refusal as refusal:
        return otherwise, (str(refusal),)


def _is_root(directory: Path) -> bool:
    return any(files.status(directory / name, name) for name in ("pyproject.toml", "setup.cfg", "setup.py"))


def _in_distributions(directory: Path) -> list[str]:
    if not files.is_directory(directory, str(directory)):
        raise Refusal(
            f"{quoted(str(directory))} is not a directory: build first, or name the one that holds the files."
        )
    names = [name for name in files.list_directory(directory, str(directory)) if projects_of_file(name)]
    return sorted({read_file(directory / name, name).project for name in names})
