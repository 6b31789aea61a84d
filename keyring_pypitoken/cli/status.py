"""status: what an upload from here would do with each uploader, and where masters are kept."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from keyring_pypitoken.cli import pypirc
from keyring_pypitoken.cli.output import dump, items, say, table
from keyring_pypitoken.cli.surroundings import find_installed, find_own_problem
from keyring_pypitoken.exceptions import Refusal, UnknownProjectError
from keyring_pypitoken.files import current_directory, find_program, list_directory
from keyring_pypitoken.labels import check_account, read_label
from keyring_pypitoken.lookup import (
    DEFAULT_ACCOUNT,
    PYPI,
    TESTPYPI,
    TOKEN_USERNAME,
    Key,
    match,
    raw_keys,
    repository_at,
)
from keyring_pypitoken.notices import DOCS
from keyring_pypitoken.plan import Request, plan
from keyring_pypitoken.policy.decision import least_of
from keyring_pypitoken.policy.discovery import find_search_path, load_config
from keyring_pypitoken.policy.model import DEFAULT, WithOrigin
from keyring_pypitoken.text import join_names, nearest, printable, quoted
from keyring_pypitoken.uploaders.uploader import BYPASS, SETUP, Problem, Process
from keyring_pypitoken.vault import accounts, masters, unprotected
from keyring_pypitoken.vault.backends import has_age_file, list_stores, refuse_unusable
from keyring_pypitoken.vault.command import CommandStore

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from keyring_pypitoken.cli.surroundings import Installed
    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Config
    from keyring_pypitoken.uploaders.uploader import Uploader
    from keyring_pypitoken.vault.backends import KnownStore

# What an upload would do: its mark, and what introduces the problem.
_VERDICTS = {
    "restricted": ("ok", ""),
    "asks": ("!", ""),  # a person for a token, which it sends as it is
    "refused": ("!", "would be refused: "),
    "bypass": ("!", "would send something else: "),  # than our answer
    "other": ("-", ""),  # it does not upload to a repository that is known here, or never asks keyring
    "not set up": ("-", "is not set up: "),
    "unknown": ("?", "unknown: "),
}
_PYPIS = ("pypi.org", "pypi.python.org")


class Verdict(NamedTuple):
    """What an upload with one uploader would do."""

    uploader: str  # its name
    program: str  # the path of its program
    verdict: str  # one of the above
    text: str  # the same in words, with the remedy
    problem: Problem | None = None  # what is wrong; None if an upload needs nothing to be mended


def welcome(_options: argparse.Namespace) -> int:
    """Show what is there and the next step."""
    config = load_config()
    verdicts, step = judge_uploaders(config), "keyring-pypitoken status"
    uploaders = [(f"{_VERDICTS[one.verdict][0]} {one.uploader}", one.text) for one in verdicts]
    if not uploaders:
        uploaders, step = [("uploader", "none")], "pip install twine"
    try:
        noted = [f"{one.name} ({label})" for one in config.repositories for label in accounts.noted_accounts(one)]
        master = ", ".join(noted)
    except Refusal:
        master = "cannot be found"
    if config.store.command is not None:
        master = f"printed by {printable(config.store.command.value[0])}"
    if not master:
        master, step = "none stored by keyring-pypitoken yet", "keyring-pypitoken login"
    policy = ", ".join(_policies(config)) or "the defaults; `keyring-pypitoken init` writes one for a project"
    if _policy_problems(config):
        policy = "has a mistake"
    say("Uploads get restricted, short-lived tokens, derived from one PyPI token.")
    table([("master", master), *uploaders, ("policy", policy)])
    say(f"Next: {step} (all commands: keyring-pypitoken --help)")
    return 0


def status(options: argparse.Namespace) -> int:
    """Show what would happen, and what is wrong; nothing is changed or unlocked."""
    config = load_config()
    verdicts, problems = judge_uploaders(config), _policy_problems(config)
    known: list[dict[str, Any]] = []
    unknown_ages: list[str] = []
    stores: list[KnownStore] = []
    for repository in config.repositories:
        with _collected(problems):
            known += _find_accounts(repository, config)
            problems += [*_store_problems(repository, config), *_raw_problems(repository, config)]
            if _judge_ages(repository, config, problems):
                unknown_ages.append(repository.name)
    with _collected(problems):
        stores = list_stores(config.store)
        refuse_unusable(config.store, to_store=not known)
    with _collected(problems):
        problems += _file_problems()
    if not verdicts and (own := find_own_problem(os.environ)):
        problems.append(own)
    if not known and config.store.command is None and not any(one.verdict == "asks" for one in verdicts):
        problems.append(Problem("no master is stored", "`keyring-pypitoken login`"))
    every = list(dict.fromkeys([*problems, *(one.problem for one in verdicts if one.problem)]))
    if options.json:
        dump(
            {
                "ready": not every,
                "problems": [_as_dict(problem) for problem in every],
                "uploaders": [one._asdict() | {"problem": one.problem and _as_dict(one.problem)} for one in verdicts],
                "accounts": known,
                "stores": [store._asdict() for store in stores],
                "policies": _policies(config),
                "keyring": find_program("keyring", os.environ),
            }
        )
        return 1 if every else 0
    command, see_below = config.store.command, "nothing: see below"
    none = "none" if command is None else "read from the program when a token is derived"
    rows = [
        (_VERDICTS[one.verdict][0], one.uploader, one.text if one.problem not in problems else _short(one))
        for one in verdicts
    ]
    table(
        [
            *((f"{mark:<2} {name}", text) for mark, name, text in rows),
            ("-  masters", ", ".join(f"{a['repository']} ({a['account']})" for a in known) or none),
            (
                "-  kept in" if known or command else "-  goes to",
                next((f"{store.name}, {store.kind}" for store in stores if store.keeps or command), see_below),
            ),
            ("-  policies", ", ".join(_policies(config)) or "the defaults"),
        ],
        indent="",
    )
    items(f"{problem.problem}: {problem.remedy}." for problem in dict.fromkeys(problems))
    if not verdicts:
        say("No uploader was found on PATH: install one, such as `pip install twine`.")
    if unknown_ages:
        say(f"Cannot check the age of the master for {join_names(unknown_ages)}: when it was stored is not recorded.")
    if every:
        say(f"More: {DOCS}troubleshooting.md")
    return 1 if every else 0


def _short(verdict: Verdict) -> str:
    return f"{_VERDICTS[verdict.verdict][1]}see below"


def judge_uploaders(config: Config) -> list[Verdict]:
    """Return what an upload from here would do with each uploader that is installed."""
    return [_judge(installed, config) for installed in find_installed(os.environ)]


def _judge(installed: Installed, config: Config) -> Verdict:
    """Find out what an upload from here would do, without starting it."""
    uploader = installed.uploader
    process = Process(uploader.name, _arguments(uploader), current_directory(), os.environ)
    try:
        address = process.target.address
    except Refusal as refusal:
        return _verdict(installed, "refused", Problem.of_refusal(refusal))
    repository = repository_at(address.url, config.repositories)
    problems = uploader.find_problems(process)
    asks_never = not uploader.asks_keyring and len(problems) == 1  # beside other credentials, which are problems
    worst = next((problem for problem in problems if problem.effect == BYPASS), None)
    setup = next((problem for problem in problems if problem.effect == SETUP), None)
    host = (urlsplit(address.url).hostname or "").strip(".")
    if repository is None and host.endswith(_PYPIS):
        clause = f"{address.source} names {quoted(address.shown)}, which is not an upload address of PyPI's"
        key = Key.parse(address.url, TOKEN_USERNAME)
        is_ours = key is not None and match(key, config.repositories) is not None
        verdict = "refused" if is_ours or host.endswith(_PYPIS[1]) else "bypass"  # twine itself refuses old addresses
        problem = Problem(clause, f"use {PYPI.url} or {TESTPYPI.url} there")
    elif repository is None:
        clause = f"it uploads to {printable(address.shown)} ({address.source})"
        verdict, problem = "other", Problem(clause, "add it to your own policy.toml if its tokens can be restricted")
    elif asks_never:
        verdict, problem = "other", problems[0]
    elif worst is None and setup is not None:
        verdict, problem = "not set up", setup
    elif installed.standing.state == "storeless" and worst is None and not accounts.noted_accounts(repository):
        return _foresee(installed, process, repository, config)  # nothing is stored yet: it asks its user
    elif (bypass := installed.problem or worst) is not None:
        verdict, problem = "bypass", bypass
    elif problems:
        verdict, problem = "refused", problems[0]
    elif installed.standing.state == "unknown":
        clause = f"keyring cannot be asked in the environment of {printable(installed.program)}"
        verdict, problem = "unknown", Problem(clause, f"`{uploader.name} --version` shows whether it runs")
    else:
        return _foresee(installed, process, repository, config)
    return _verdict(installed, verdict, problem)


def _foresee(installed: Installed, process: Process, repository: Repository, config: Config) -> Verdict:
    """Run the one path, up to the store, for the first lookup that is ours."""
    name = installed.uploader.name
    lookup = process.target.lookup
    key = lookup and Key.parse(*lookup)
    if key is None:
        clause = f"{name} asks keyring only for users that keyring-pypitoken does not answer"
        return _verdict(installed, "bypass", Problem(clause, "set its user name to `__token__`"))
    refusal: Refusal | None = None
    try:
        noted = accounts.noted_accounts(repository)
        account, project = read_label(key, repository, config, unprotected.find_in_keyrings)
        evidence = process if _is_built() else process._replace(program="")  # what is missing will be built first
        try:
            grant = plan(Request(repository, evidence, config, key, account, project))
            account = grant.account
        except Refusal as refused:
            refusal = refused
        lack = find_lack(repository, account or WithOrigin(DEFAULT_ACCOUNT, DEFAULT), config, key)
    except Refusal as refused:
        return _verdict(installed, "refused", Problem.of_refusal(refused))
    if lack is not None and not noted:
        problem = Problem.of_refusal(config.problem or lack)
        if has_age_file():
            clause = "whether a master is stored shows only when the age file is opened"
            return _verdict(installed, "unknown", Problem(clause, problem.remedy))
        clause = f"{problem.problem}, so {name} would ask you for a token and send it as it is"
        return _verdict(installed, "asks", problem._replace(problem=clause))
    if isinstance(refusal, UnknownProjectError) and not _is_built():
        return _verdict(installed, "unknown", Problem.of_refusal(refusal))
    if (refusal := refusal or lack) is not None:
        return _verdict(installed, "refused", Problem.of_refusal(refusal))
    names = join_names(grant.projects.value) if grant.projects else "any project"
    text = f"restricted token for {names} on {repository.name} as {grant.account.value}"
    return Verdict(name, installed.program, "restricted", text)


def find_lack(repository: Repository, account: WithOrigin[str], config: Config, key: Key) -> Refusal | None:
    """Return why an upload would find no master, as far as can be seen without opening or starting anything.

    Raises:
        Refusal: the account must not be used, or a store cannot be asked.
    """
    label, command = account.value, config.store.command
    check_account(account, repository, config)
    noted = accounts.noted_accounts(repository)
    if command is not None:
        CommandStore(command.value, repository.name, label).find()
        return None
    if label in noted:
        why = masters.why_unreachable(repository, label, config.store)
        return _unreachable(repository, label, why) if why else None
    pairs = [(key.service, key.username or TOKEN_USERNAME)] if label == DEFAULT_ACCOUNT or key.label else []
    is_there = unprotected.find_in_keyrings(repository, label, config.store) is not None
    if is_there or unprotected.find_unprotected(pairs, config.store):
        return None
    option = "" if repository.name == PYPI.name else f" -r {repository.name}"
    option += "" if label == DEFAULT_ACCOUNT else f" --account {label}"
    remedy = f"run `keyring-pypitoken login{option}`"
    if not option.endswith(label) and not noted:
        return Refusal(f"no master is stored for {repository.name}: {remedy}.")
    likely = nearest(label, [*noted])
    remedy = f"did you mean {likely!r}? If not, {remedy}" if likely else remedy
    origin = "" if account.origin == DEFAULT else f": {account.origin}"
    return Refusal(f"no master is stored for {repository.name} (account {label!r}{origin}): {remedy}.")


def _unreachable(repository: Repository, label: str, why: str) -> Refusal:
    return Refusal(f"the master for {repository.name} (account {label!r}) cannot be read now: {why}.")


def _arguments(uploader: Uploader) -> tuple[str, ...]:
    """Return what people type: the files in dist, if there are any."""
    typed = uploader.typical
    return typed[:-1] if typed[-1:] == ("dist/*",) and not _is_built() else typed


def _is_built() -> bool:
    return bool(list_directory(current_directory() / "dist", "dist"))


def _verdict(installed: Installed, verdict: str, problem: Problem) -> Verdict:
    text = f"{_VERDICTS[verdict][1]}{problem.problem}: {problem.remedy}"
    is_wrong = _VERDICTS[verdict][0] == "!"
    return Verdict(installed.uploader.name, installed.program, verdict, text, problem if is_wrong else None)


def _as_dict(problem: Problem) -> dict[str, str]:
    return {"problem": problem.problem, "remedy": problem.remedy}


@contextlib.contextmanager
def _collected(problems: list[Problem]) -> Iterator[None]:
    """Add what a step refuses to the problems."""
    try:
        yield
    except Refusal as refusal:
        problems.append(Problem.of_refusal(refusal))


def _find_accounts(repository: Repository, config: Config) -> list[dict[str, Any]]:
    noted = accounts.noted_accounts(repository)
    known: dict[str, int | None] = {label: noted[label].stored for label in noted}
    if DEFAULT_ACCOUNT not in noted and unprotected.find_in_keyrings(repository, DEFAULT_ACCOUNT, config.store):
        known[DEFAULT_ACCOUNT] = None
    return [{"repository": repository.name, "account": label, "stored": stored} for label, stored in known.items()]


def _store_problems(repository: Repository, config: Config) -> Iterator[Problem]:
    """Yield masters that cannot be read now, or are left under names that nothing reads."""
    for label in accounts.noted_accounts(repository) if config.store.command is None else ():
        if why := masters.why_unreachable(repository, label, config.store):
            yield Problem.of_refusal(_unreachable(repository, label, why))
    for store, service in unprotected.find_left(repository, config.store):
        yield Problem(
            f"{store} has a master under {quoted(service)}, a name of earlier versions that nothing reads",
            "delete it there, and store the token again with `keyring-pypitoken login`",
        )


def _judge_ages(repository: Repository, config: Config, problems: list[Problem]) -> bool:
    """Find masters that are older than max-master-age; return True if the age of one is not known."""
    limit = least_of(config.configured, repository, lambda table: table.max_master_age)
    if limit is None:
        return False
    noted = accounts.noted_accounts(repository) if config.store.command is None else {}
    sentences = [accounts.warn_of_age(repository, label, limit) for label in noted]
    problems += [Problem.of_refusal(Refusal(sentence)) for sentence in sentences if sentence]
    return DEFAULT_ACCOUNT not in noted and (
        config.store.command is not None
        or unprotected.find_in_keyrings(repository, DEFAULT_ACCOUNT, config.store) is not None
        or bool(unprotected.find_unprotected(raw_keys(repository)[:1], config.store))
    )


def _policy_problems(config: Config) -> list[Problem]:
    here, remedy = current_directory(), "`keyring-pypitoken check` shows all of it"
    problems = [] if config.problem is None else [Problem.of_refusal(config.problem)._replace(remedy=remedy)]
    try:
        misnamed = find_search_path(here, here, os.environ).misnamed
    except Refusal as refusal:
        return [*problems, Problem.of_refusal(refusal)._replace(remedy=remedy)]
    return problems + [
        Problem(f"{name} looks like a policy, but is not read as one", "rename it to pypitoken.toml")
        for name in misnamed
    ]


def _raw_problems(repository: Repository, config: Config) -> Iterator[Problem]:
    """Yield tokens under names that uploaders ask for: without this package they would be sent as they are."""
    labels = [f"{repository.url}?{label}" for label in accounts.noted_accounts(repository)]
    pairs = [*raw_keys(repository), *((service, TOKEN_USERNAME) for service in labels)]
    for store, service in unprotected.find_unprotected(pairs, config.store):
        yield Problem(
            f"an unprotected token is stored in {store} under {service!r}, where uploaders find it if this package is "
            "not asked",
            "`keyring-pypitoken adopt` moves it",
        )


def _file_problems() -> Iterator[Problem]:
    """Yield files that hold tokens."""
    # What a plain upload sends from [pypi] is a problem of each uploader.
    sections = [token.section for token in pypirc.read_home()[0] if token.section != "pypi"]
    places = [(f"[{section}] of {pypirc.NAME}", "`keyring-pypitoken adopt`") for section in sections]
    by_hand = "store it with `keyring-pypitoken login`, and delete it there"  # no file of a checkout is rewritten
    places += [(f"{name} ({lines})", by_hand) for name, lines in pypirc.find_in_checkout(current_directory())]
    for place, remedy in places:
        yield Problem(f"{printable(place)} holds a token, which uploaders send as it is", remedy)


def _policies(config: Config) -> list[str]:
    here = current_directory()
    try:
        project = [policy.origin for policy in find_search_path(here, here, os.environ).policies]
    except Refusal:
        project = []  # it is among the problems
    return [*project, *(policy.origin for policy in config.configured)]
