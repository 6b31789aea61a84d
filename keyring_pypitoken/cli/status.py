"""status: what an upload from here would do with each uploader, and where masters are kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from keyring_pypitoken.cli import pypirc
from keyring_pypitoken.cli.grants import find_repository_at
from keyring_pypitoken.cli.output import dump, items, say, table
from keyring_pypitoken.cli.surroundings import find_keyring_problems, find_programs, lacks_plugin
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import current_directory, find_program, list_directory
from keyring_pypitoken.lookup import DEFAULT_ACCOUNT, PYPI, TESTPYPI, TOKEN_USERNAME, Key, match, raw_keys
from keyring_pypitoken.notices import DOCS
from keyring_pypitoken.plan import Request, plan
from keyring_pypitoken.policy.decision import least_of
from keyring_pypitoken.policy.discovery import find_search_path, load_config
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.text import join_names, printable, quoted
from keyring_pypitoken.uploaders.uploader import BYPASS, Problem, Process
from keyring_pypitoken.vault import accounts, unprotected
from keyring_pypitoken.vault.backends import list_stores, refuse_unusable

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Config
    from keyring_pypitoken.uploaders.uploader import Uploader
    from keyring_pypitoken.vault.backends import KnownStore

_RESTRICTED, _REFUSED, _BYPASS, _OTHER = "restricted", "refused", "bypass", "other"
_PYPIS = ("pypi.org", "pypi.python.org")
_LACKING = "no master is stored"


class Report(NamedTuple):
    """What an upload with one uploader would do.

    Attributes:
        uploader: its name.
        program: the path of its program.
        verdict: `restricted`, `refused`, `bypass` (it sends something else than our answer), or `other` (it does not
            upload to a repository that is known here, or never asks keyring).
        text: the same in words.
        problems: what is wrong, each with its remedy.
    """

    uploader: str
    program: str
    verdict: str
    text: str
    problems: tuple[Problem, ...] = ()


def welcome(_options: argparse.Namespace) -> int:
    """Show what is there and the next step; no store is asked, since a desktop's keyring may open a dialog."""
    config = load_config()
    step = "keyring-pypitoken status"
    uploaders = ", ".join(uploader.name for uploader, _ in find_programs(os.environ))
    if not uploaders:
        uploaders, step = "none", "pip install twine"
    try:
        kept = [f"{found.name} ({label})" for found in config.repositories for label in accounts.noted_accounts(found)]
        master = ", ".join(kept)
    except Refusal:
        master = "cannot be found"
    if config.store.command is not None:
        master = f"printed by {printable(config.store.command.value[0])}"
    if not master:
        master, step = "none stored by keyring-pypitoken yet", "keyring-pypitoken login"
    policy = ", ".join(_policies(config)) or "the defaults; `keyring-pypitoken init` writes one for a project"
    if _config_problems(config) or _search_path_problems():
        policy = "has a mistake"
    say("Uploads get restricted, short-lived tokens, derived from one PyPI token.")
    table([("master", master), ("uploader", uploaders), ("policy", policy)])
    say(f"Next: {step} (all commands: keyring-pypitoken --help)")
    return 0


def status(options: argparse.Namespace) -> int:
    """Show what would happen, and what is wrong; nothing is changed, started or unlocked."""
    config = load_config()
    pinned = find_keyring_problems(os.environ)
    problems = [*pinned, *_config_problems(config), *_search_path_problems()]
    reports = [_simulate(uploader, program, config, pinned) for uploader, program in find_programs(os.environ)]
    known = _find_accounts(config, problems)
    stores: list[KnownStore] = []
    try:
        stores = list_stores(config.store)
        refuse_unusable(config.store, to_store=not known)
    except Refusal as refusal:
        problems.append(Problem.of_refusal(refusal))
    problems += _raw_problems(config)
    unknown_ages = _judge_ages(config, problems)
    general = {problem.problem for problem in problems}
    for report in reports:
        prefix = _would_be_refused(report.uploader)
        problems += [found for found in report.problems if found.problem.removeprefix(prefix) not in general]
    if not known and config.store.command is None and not any(_LACKING in found.problem for found in problems):
        problems.append(Problem(_LACKING, "`keyring-pypitoken login`"))
    every = list(dict.fromkeys(problems))
    if options.json:
        dump(
            {
                "ready": not every,
                "problems": [_as_dict(problem) for problem in every],
                "uploaders": [
                    report._asdict() | {"problems": [_as_dict(p) for p in report.problems]} for report in reports
                ],
                "accounts": known,
                "stores": [store._asdict() for store in stores],
                "policies": _policies(config),
                "keyring": find_program("keyring", os.environ),
            }
        )
        return 1 if every else 0
    _print_verdict(every, reports, known)
    command, see_above = config.store.command, "nothing: see above"
    none = "none" if command is None else "read from the program when a token is derived"
    table(
        [
            *((report.uploader, report.text) for report in reports),
            ("masters", ", ".join(f"{a['repository']} ({a['account']})" for a in known) or none),
            (
                "kept in" if known or command else "goes to",
                next((f"{store.name}, {store.kind}" for store in stores if store.keeps or command), see_above),
            ),
            ("policies", ", ".join(_policies(config)) or "the defaults"),
        ]
    )
    if unknown_ages:
        say(f"Cannot check the age of the master for {join_names(unknown_ages)}: when it was stored is not recorded.")
    if every:
        say(f"More: {DOCS}troubleshooting.md")
    return 1 if every else 0


def _print_verdict(problems: list[Problem], reports: list[Report], known: list[dict[str, Any]]) -> None:
    if problems:
        say(f"Not ready: {len(problems)} problem{'' if len(problems) == 1 else 's'}.", "bad")
        items(f"{found.problem}: {found.remedy}." for found in problems)
        return
    names = " and ".join(sorted({account["repository"] for account in known}))
    where = f" to {names}" if names else ""  # a program does not say what it has
    say(f"Ready. Uploads{where} use restricted tokens; nothing bypasses them.", "good")
    if not reports:
        say("No uploader was found on PATH: install one, such as `pip install twine`.")


def _simulate(uploader: Uploader, program: str, config: Config, pinned: list[Problem]) -> Report:
    """Find out what an upload from here would do, without starting it."""
    process = Process(uploader.name, _arguments(uploader), current_directory(), os.environ)
    try:
        address = process.target.address
    except Refusal as refusal:
        return _report(uploader, program, _REFUSED, Problem.of_refusal(refusal))
    repository = find_repository_at(address, config)
    if repository is None:
        if (urlsplit(address.url).hostname or "").strip(".").endswith(_PYPIS):
            problem = f"{address.source} names {quoted(address.shown)}, which is not an upload address of PyPI's"
            return _report(uploader, program, _REFUSED, Problem(problem, f"use {PYPI.url} or {TESTPYPI.url} there"))
        text = f"uploads to {printable(address.shown)} ({address.source}), which keyring-pypitoken does not serve"
        return Report(uploader.name, program, _OTHER, text)
    lookups = process.target.lookups
    problems = uploader.find_problems(process)
    if not uploader.lookups_per_upload and len(problems) == 1:  # that it never asks; its other credentials are problems
        return Report(uploader.name, program, _OTHER, f"{problems[0].problem}: {problems[0].remedy}")
    lacking = lacks_plugin(uploader, program, os.environ)
    problems = [*([lacking] if lacking else []), *pinned, *problems]
    if problems:
        bypass = next((problem for problem in problems if problem.effect == BYPASS), None)
        report = _report(uploader, program, _BYPASS if bypass else _REFUSED, bypass or problems[0])
        return report._replace(problems=tuple(problems))
    return _judge(uploader, program, process, repository, lookups, config)


def _judge(
    uploader: Uploader,
    program: str,
    process: Process,
    repository: Repository,
    lookups: tuple[tuple[str, str | None], ...],
    config: Config,
) -> Report:
    """Run the one path, up to the store, for the first lookup that is ours; without a master the verdict is given."""
    keys = [key for key in (Key.parse(*lookup) for lookup in lookups) if key is not None]
    fits = [(key, match(key, config.repositories)) for key in keys]
    key = next((key for key, fit in fits if fit is not None and fit.kind == "url"), None)
    if key is None:
        problem = Problem(
            f"{uploader.name} asks keyring only for users that keyring-pypitoken does not answer",
            "set its user name to `__token__`",
        )
        return _report(uploader, program, _BYPASS, problem)
    noted = {label.casefold(): label for label in accounts.noted_accounts(repository)}
    account = None
    if key.label is not None and key.label.casefold() in noted:
        account = WithOrigin(noted[key.label.casefold()], Origin("the lookup"))
    project = key.project or (key.label if account is None else None)
    try:
        evidence = process if _is_built() else process._replace(program="")  # what is missing will be built first
        grant = plan(Request(repository, evidence, config, key, account, project))
        found = _has_master(repository, grant.account.value, config, key)
    except Refusal as refusal:
        problem = Problem.of_refusal(refusal)
        sentence = f"{_would_be_refused(uploader.name)}{problem.problem}"
        return _report(uploader, program, _REFUSED, problem._replace(problem=sentence))
    if not found:
        suffix = "" if grant.account.value == DEFAULT_ACCOUNT else f" --account {grant.account.value}"
        option = "" if repository.name == "pypi" else f" -r {repository.name}"
        shown = f"{_LACKING} for {repository.name}" + (
            f" (account {grant.account.value!r}: {grant.account.origin})" if suffix or noted else ""
        )
        return _report(uploader, program, _REFUSED, Problem(shown, f"`keyring-pypitoken login{option}{suffix}`"))
    names = join_names(grant.projects.value) if grant.projects else "any project"
    return Report(
        uploader.name, program, _RESTRICTED, f"would send a restricted token for {names} to {repository.name}"
    )


def _has_master(repository: Repository, account: str, config: Config, key: Key) -> bool:
    """Return True if a master is stored, as far as can be seen without a passphrase, a touch or a program."""
    if config.store.command is not None or account in accounts.noted_accounts(repository):
        return True
    if unprotected.find_in_keyrings(repository, account, config.store) is not None:
        return True
    pairs = [(key.service, key.username or TOKEN_USERNAME)]
    return account == DEFAULT_ACCOUNT and bool(unprotected.find_unprotected(pairs, config.store))


def _arguments(uploader: Uploader) -> tuple[str, ...]:
    """Return what people type: the files in dist, if there are any."""
    typed = uploader.typical
    return typed[:-1] if typed[-1:] == ("dist/*",) and not _is_built() else typed


def _is_built() -> bool:
    return bool(list_directory(current_directory() / "dist", "dist"))


def _report(uploader: Uploader, program: str, verdict: str, problem: Problem) -> Report:
    text = f"would bypass keyring-pypitoken: {problem.problem}"
    if verdict == _REFUSED:
        text = f"would be refused: {problem.problem.removeprefix(_would_be_refused(uploader.name))}"
    return Report(uploader.name, program, verdict, text, (problem,))


def _would_be_refused(uploader: str) -> str:
    return f"{uploader} would be refused: "


def _as_dict(problem: Problem) -> dict[str, str]:
    return {"problem": problem.problem, "remedy": problem.remedy}


def _find_accounts(config: Config, problems: list[Problem]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    try:
        for repository in config.repositories:
            noted = accounts.noted_accounts(repository)
            labels = [*noted]
            if DEFAULT_ACCOUNT not in labels and unprotected.find_in_keyrings(
                repository, DEFAULT_ACCOUNT, config.store
            ):
                labels.append(DEFAULT_ACCOUNT)
            found += [
                {
                    "repository": repository.name,
                    "account": label,
                    "stored": noted[label].stored if label in noted else None,
                }
                for label in sorted(labels)
            ]
    except Refusal as refusal:
        problems.append(Problem.of_refusal(refusal))
        return found
    return found


def _judge_ages(config: Config, problems: list[Problem]) -> list[str]:
    """Find masters that are older than max-master-age; return the repositories with one whose age is not known."""
    unknown = []
    try:
        for repository in config.repositories:
            limit = least_of(config.configured, repository, lambda table: table.max_master_age)
            if limit is None:
                continue
            noted = accounts.noted_accounts(repository) if config.store.command is None else {}
            sentences = [accounts.warn_of_age(repository, label, limit) for label in noted]
            problems += [Problem.of_refusal(Refusal(sentence)) for sentence in sentences if sentence]
            default = DEFAULT_ACCOUNT
            if default not in noted and _has_master(repository, default, config, Key.of(repository)):
                unknown.append(repository.name)
    except Refusal as refusal:
        problems.append(Problem.of_refusal(refusal))
    return unknown


def _policy_problem(refusal: Refusal) -> Problem:
    return Problem.of_refusal(refusal)._replace(remedy="`keyring-pypitoken check` shows all of it")


def _config_problems(config: Config) -> list[Problem]:
    return [] if config.problem is None else [_policy_problem(config.problem)]


def _search_path_problems() -> list[Problem]:
    here = current_directory()
    try:
        way = find_search_path(here, here, os.environ)
    except Refusal as refusal:
        return [_policy_problem(refusal)]
    return [
        Problem(f"{name} looks like a policy, but is not read as one", "rename it to pypitoken.toml")
        for name in way.misnamed
    ]


def _raw_problems(config: Config) -> list[Problem]:
    """Find tokens under names that uploaders ask for: without this package they would be sent as they are."""
    problems: list[Problem] = []
    try:
        for repository in config.repositories:
            labels = [f"{repository.url}?{label}" for label in accounts.noted_accounts(repository)]
            pairs = [*raw_keys(repository), *((service, "__token__") for service in labels)]
            problems += [
                Problem(
                    f"an unprotected token is stored in {store} under {service!r}, where uploaders find it if this "
                    "package is not asked",
                    "`keyring-pypitoken adopt` moves it",
                )
                for store, service in unprotected.find_unprotected(pairs, config.store)
            ]
        # What a plain upload sends from [pypi] is a problem of each uploader.
        places = [f"[{token.section}] of {pypirc.NAME}" for token in pypirc.read_home()[0] if token.section != "pypi"]
        places += [f"{name} ({lines})" for name, lines in pypirc.find_in_checkout(current_directory())]
        problems += [
            Problem(f"{printable(place)} holds a token, which uploaders send as it is", "`keyring-pypitoken adopt`")
            for place in places
        ]
    except Refusal as refusal:
        problems.append(Problem.of_refusal(refusal))
    return problems


def _policies(config: Config) -> list[str]:
    here = current_directory()
    try:
        own = [policy.origin for policy in find_search_path(here, here, os.environ).policies]
    except Refusal:
        own = []  # it is among the problems
    return [*own, *(policy.origin for policy in config.configured)]
