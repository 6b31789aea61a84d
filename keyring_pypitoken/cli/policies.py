"""init, check: policy files."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

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
    from collections.abc import Iterator

    from keyring_pypitoken.policy.model import Layer

_TEMPLATE = Path(__file__).with_name("policy_template.toml")  # without projects


def init(options: argparse.Namespace) -> int:
    """Write a policy that lists the projects of this repository."""
    here = files.current_directory()
    if options.from_dist is None:
        directory, names = find_workspace(here, here)
    else:
        directory = next((path for path in discovery.project_directories(here) if _is_root(path)), here)
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
    checked = dict(map(_check_file, map(Path, options.files))) if options.files else _check_all()
    problems = [problem for listed in checked.values() for problem in listed]
    if options.json:
        files_shown = [{"file": file, "problems": listed} for file, listed in checked.items()]
        dump({"ok": not problems, "files": files_shown})
    elif problems:
        items(problems)
    elif checked:
        say(f"No mistakes found in {', '.join(checked)}.", "good")
    else:
        say("No policy applies here, so the defaults do.", "good")
    return 1 if problems else 0


def _check_file(path: Path) -> tuple[str, list[str]]:
    """Return what messages call a file, and all mistakes in it; its name decides whose it is."""
    shown = printable(str(path))
    table = PYPROJECT_TABLE if path.name == discovery.PYPROJECT else ()
    layer: Layer = "user" if path.name == "policy.toml" else "project"
    problems = [misnamed_problem(shown)] if path.name in discovery.MISNAMED and layer == "project" else []
    with _noting(problems):
        text = files.read_text(path, shown)
        if text is None:
            raise Refusal(f"{shown} does not exist: correct its name.")
        parse_policy(text, layer=layer, name=shown, table=table)
    return shown, problems


def _check_all() -> dict[str, list[str]]:
    """Return the mistakes in each file that is in force, then those of all together."""
    here = files.current_directory()
    search_path, configured = SearchPath(), []
    checked: dict[str, list[str]] = {}
    problems: list[str] = []
    with _noting(problems):
        search_path = discovery.find_search_path(here, here, os.environ)
    checked |= {policy.origin: [] for policy in search_path.policies}
    checked |= {"the project's policy": problems} if problems else {}
    checked |= {name: [misnamed_problem(name)] for name in search_path.misnamed}
    for path in discovery.configured_paths():
        with _noting(problems := []):
            policy = discovery.read_configured(path)
            configured += [policy] if policy else []
        if problems or policy:
            checked[path] = problems
    if not any(checked.values()):
        config = Config(tuple(configured))
        policies = config.policies(search_path)
        together = [*config.conflicts, *find_contradictions(policies, config.repositories)]
        with _noting(together):
            check_repository_names(policies, config.repositories)
        checked |= {"together": together} if together else {}
    return checked


@contextlib.contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    """Add what a step refuses to a list."""
    try:
        yield
    except PolicyError as error:
        problems += error.problems
    except Refusal as refusal:
        problems.append(str(refusal))


def _is_root(directory: Path) -> bool:
    return any(files.status(directory / name, name) for name in ("pyproject.toml", "setup.cfg", "setup.py"))


def _in_distributions(directory: Path) -> list[str]:
    if not files.is_directory(directory, str(directory)):
        raise Refusal(
            f"{quoted(str(directory))} is not a directory: build first, or name the one that holds the files."
        )
    names = [name for name in files.list_directory(directory, str(directory)) if projects_of_file(name)]
    return sorted({read_file(directory / name, name).project for name in names})
