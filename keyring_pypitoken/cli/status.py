"""status: whether uploads get restricted tokens, and what stands in the way."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from keyring_pypitoken import issue
from keyring_pypitoken.cli.bypasses import Problem, find_bypasses
from keyring_pypitoken.cli.output import dump, items, say, table
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import BUILT_IN
from keyring_pypitoken.policy import discovery
from keyring_pypitoken.policy.model import Config
from keyring_pypitoken.uploaders.process import this_process
from keyring_pypitoken.vault import masters
from keyring_pypitoken.vault.accounts import noted_accounts
from keyring_pypitoken.vault.backends import list_stores

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.vault.backends import KnownStore


def status(options: argparse.Namespace) -> int:
    """Tell what is, and what is wrong; nothing is changed."""
    problems: list[Problem] = []
    try:
        own = issue.read_config()
    except Refusal as refusal:
        problems.append(Problem(str(refusal), "`keyring-pypitoken check` tells all of it"))
        own = Config()
    repositories = BUILT_IN if problems else own.repositories
    accounts = _accounts(own, repositories, problems)
    problems += find_bypasses(os.environ, repositories)
    stores = _stores(own)
    project = _project_policy(problems)
    if options.json:
        dump(
            {
                "ready": not problems,
                "problems": [problem._asdict() for problem in problems],
                "accounts": accounts,
                "stores": [known._asdict() for known in stores],
                "policies": {
                    "project": project,
                    "user": own.user.origin if own.user else None,
                    "site": own.sites[0].origin if own.sites else None,
                },
                "command": shutil.which("keyring"),
            }
        )
        return 1 if problems else 0
    _tell_verdict(problems, accounts)
    rows = [
        ("masters", ", ".join(f"{a['repository']} ({a['account']})" for a in accounts) or "none"),
        ("kept in", next((f"{known.name}, {known.kind}" for known in stores if known.keeps), "nothing: see below")),
        ("policies", ", ".join(_policies(own, project)) or "none, the defaults"),
        ("keyring", shutil.which("keyring") or "no such command on PATH; uv needs one"),
    ]
    table(rows)
    return 1 if problems else 0


def _tell_verdict(problems: list[Problem], accounts: list[dict[str, str]]) -> None:
    if problems:
        say(f"Not ready, {len(problems)} problem{'' if len(problems) == 1 else 's'}:", "bad")
        items(f"{found.problem}: {found.remedy}." for found in problems)
        return
    names = sorted({account["repository"] for account in accounts})
    say(f"Ready: uploads to {' and '.join(names)} get restricted tokens, and nothing goes before them.", "good")


def _accounts(own: Config, repositories: tuple[Repository, ...], problems: list[Problem]) -> list[dict[str, str]]:
    """Find the stored masters, and those that lie raw."""
    accounts: list[dict[str, str]] = []
    raw = 0
    try:
        for repository in repositories:
            labels = sorted({"default", *noted_accounts(repository)})
            accounts += [
                {"repository": repository.name, "account": label}
                for label in labels
                if masters.find_master(repository, label, own.store) is not None
            ]
            for found in masters.raw_masters(repository, own.store):
                raw += 1
                problems.append(
                    Problem(
                        f"a token lies raw in {found.store} under {found.service!r}, where uploaders find it if this "
                        "package is not asked",
                        "`keyring-pypitoken adopt` moves it",
                    )
                )
    except Refusal as refusal:
        problems.append(Problem(str(refusal).rstrip("."), "until then every upload is refused"))
    else:
        if not accounts and not raw:
            problems.append(Problem("no master is stored", "`keyring-pypitoken login` stores one"))
    return accounts


def _stores(own: Config) -> list[KnownStore]:
    try:
        return list_stores(own.store)
    except Refusal:
        return []  # told with the accounts, which it keeps from being found


def _project_policy(problems: list[Problem]) -> str | None:
    try:
        process = this_process()
        way = discovery.find_way(process.directory, process.directory, process.environ)
    except Refusal as refusal:
        problems.append(Problem(str(refusal).rstrip("."), "`keyring-pypitoken check` tells all of it"))
        return None
    return way.policies[0].origin if way.policies else None


def _policies(own: Config, project: str | None) -> list[str]:
    return [*([project] if project else []), *(policy.origin for policy in (own.user, *own.sites) if policy)]
