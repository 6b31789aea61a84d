"""explain, token, exec: what an upload would be granted, and the token itself."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from keyring_pypitoken import issue
from keyring_pypitoken.cli.output import dump, read_secret, say, table
from keyring_pypitoken.cli.surroundings import find_keyring_problems
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import current_directory, find_program
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME, Key, Repository, repository_at
from keyring_pypitoken.notices import name_page
from keyring_pypitoken.plan import Request, plan
from keyring_pypitoken.policy.discovery import load_config
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.text import in_words, join_names, join_quoted, local_time, nearest, quoted
from keyring_pypitoken.uploaders.process import read_command_line
from keyring_pypitoken.uploaders.uploader import Process, all_uploaders
from keyring_pypitoken.vault import accounts
from keyring_pypitoken.vault.keys import VARIABLE as PASSPHRASE_VARIABLE

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.issue import Issued
    from keyring_pypitoken.policy.model import Config, Grant
    from keyring_pypitoken.uploaders.uploader import Address, Uploader

_STAND_IN = "token"  # for the token, while it is checked what would become of that


def explain(options: argparse.Namespace) -> int:
    """Show what an upload would be granted, without touching the stores."""
    origin = "default" if options.repository is None else "--repository"
    try:
        grant, remark = _explained(options)
    except Refusal as refusal:
        if options.json:
            dump({"granted": False, "refusal": str(refusal)})
        else:
            say(f"Refused: {refusal}", "bad")
            name_page()
        return 1
    if options.json:
        dump(_as_dict(grant, origin))
    else:
        _print(grant, origin, remark)
        for problem in find_keyring_problems(os.environ):
            say(f"But {problem.problem}: {problem.remedy}.", "bad")
    return 0


def token(options: argparse.Namespace) -> int:
    """Print a derived token."""
    config = load_config()
    repository = find_repository(options.repository, config)
    process = Process("", (), current_directory(), os.environ)
    issued = _issue(_request(options, repository, process, config))
    sys.stdout.write(f"{_hand_out(issued, process, options)}\n")
    return 0


def execute(options: argparse.Namespace) -> int:
    """Run a command with a derived token in the variables of its uploader."""
    program = _find_command(options.command[0])
    config, environ = load_config(), dict(os.environ)
    process = read_command_line(options.command, current_directory(), environ)
    uploader = process.uploader
    if uploader is not None and not uploader.is_uploading(process):
        uploader = None
    repository = _repository_of_command(options, process, uploader, config)
    uploaders = (uploader,) if uploader else all_uploaders()
    for name in (PASSPHRASE_VARIABLE, *(name for found in uploaders for name in found.rival_variables)):
        environ.pop(name, None)
    if uploader is not None:
        if options.account is None:
            _refuse_label(uploader, process.target.address)
        handed = environ | _variables(uploader, _STAND_IN, repository, process)
        _check(uploader, read_command_line(options.command, current_directory(), handed), repository, config)
    request = _request(options, repository, process if uploader else process._replace(program=""), config)
    issued, master = _issue(request), request.master
    if master is not None:  # in CI it is in a variable too, by itself or in a URL, which the command must not have
        environ = {name: value for name, value in environ.items() if not master.is_in(value)}
        if any(map(master.is_in, options.command)):
            raise Refusal(
                "the master is among the arguments of the command, where every user of the machine can read it: leave "
                "it out, and revoke it if others use this machine."
            )
        _empty_input()
    text = _hand_out(issued, process, options)
    for found in uploaders:
        environ |= _variables(found, text, repository, process)
    return _run(program, options.command, environ)


def _variables(uploader: Uploader, text: str, repository: Repository, process: Process) -> dict[str, str]:
    return uploader.variables(text, repository, process.target if uploader is process.uploader else None)


def _refuse_label(uploader: Uploader, address: Address) -> None:
    key = Key.parse(address.url, TOKEN_USERNAME)
    if key is not None and key.label is not None:
        raise Refusal(
            f"{uploader.name} would upload to {quoted(address.shown)} ({address.source}), whose label is for lookups "
            "in keyring only: leave it out, or name the account with --account."
        )


def _check(uploader: Uploader, process: Process, repository: Repository, config: Config) -> None:
    """Refuse a command that would send the token elsewhere, or something else, although it has its variables."""
    address = process.target.address
    if find_repository_at(address, config) != repository:
        raise Refusal(
            f"{uploader.name} would upload to {quoted(address.shown)} ({address.source}), not to {repository.url}: "
            "leave out what names it, or name that repository with --repository."
        )
    uploader.check_sends(process, _STAND_IN)


def find_repository(name: str | None, config: Config) -> Repository:
    """Return the endpoint of a name or a URL; PyPI's by default.

    Raises:
        Refusal: no known repository is called that, or has that URL.
    """
    if name is None:
        return PYPI
    named = next((known for known in config.repositories if known.name.lower() == name.lower()), None)
    if named is not None:
        return named
    repository = repository_at(name, config.repositories)
    if repository is None:
        if likely := nearest(name, [known.name for known in config.repositories], cutoff=0.5):
            raise Refusal(f"{quoted(name)} is not a known repository: did you mean {likely!r}?")
        raise Refusal(
            f"{quoted(name)} is not a known repository; known are "
            f"{join_quoted([known.name for known in config.repositories])}: correct the name, or add a "
            "[repository.NAME] with its url to your own policy.toml."
        )
    key = Key.parse(name, TOKEN_USERNAME)
    if key is not None and key.label is not None:  # the default account's master would be replaced, or deleted
        raise Refusal(
            f"{quoted(name)} has a label, which is for lookups in keyring only: leave it out, and name the account "
            "with --account."
        )
    return repository


def _repository_of_command(
    options: argparse.Namespace, process: Process, uploader: Uploader | None, config: Config
) -> Repository:
    if options.repository is not None:
        return find_repository(options.repository, config)
    if uploader is None:
        raise Refusal(
            f"cannot tell where {quoted(options.command[0])} uploads to: name the repository, as in "
            "`keyring-pypitoken exec --repository pypi -- COMMAND`."
        )
    address = process.target.address
    repository = find_repository_at(address, config)
    if repository is None:
        raise Refusal(
            f"{uploader.name} would upload to {quoted(address.shown)} ({address.source}), which is not a known "
            "repository: correct it, or add a [repository.NAME] with this url to your own policy.toml."
        )
    return repository


def find_repository_at(address: Address, config: Config) -> Repository | None:
    """Return the known repository that an uploader's address is; None if it is another one."""
    return repository_at(address.url, config.repositories)


def _find_command(name: str) -> str:
    is_path = os.path.basename(name) != name
    program = find_program(os.path.abspath(name) if is_path else name, os.environ)
    if program is None and is_path:
        raise Refusal(f"{quoted(name)} is not a program that can be started: correct its path, or make it executable.")
    if program is None:
        raise Refusal(f"the program {quoted(name)} is not on PATH: install it, or correct its name.")
    return program


def _request(options: argparse.Namespace, repository: Repository, process: Process, config: Config) -> Request:
    valid_for = getattr(options, "valid_for", None)
    projects = getattr(options, "project", None)
    return Request(
        repository,
        process,
        config,
        account=None if options.account is None else WithOrigin(options.account, Origin("--account")),
        projects=None if not projects else _project_names(projects),
        files=tuple(options.files),
        valid_for=None if valid_for is None else _duration(valid_for),
        master=MasterToken(read_secret("API token").strip()) if getattr(options, "master_stdin", False) else None,
    )


def _project_names(names: list[str]) -> WithOrigin[tuple[str, ...]]:
    from keyring_pypitoken.names import InvalidNameError, normalize_valid

    try:
        return WithOrigin(tuple(sorted({normalize_valid(name) for name in names})), Origin("--project"))
    except InvalidNameError:
        raise Refusal(f"--project {join_quoted(names)} is not a valid project name: correct it.") from None


def _duration(text: str) -> WithOrigin[int]:
    from keyring_pypitoken.policy.values import WrongValueError, read_positive_duration

    try:
        return WithOrigin(read_positive_duration(text), Origin("--valid-for"))
    except WrongValueError as error:
        raise Refusal(f"--valid-for {error}.") from None


def _issue(request: Request) -> Issued:
    issued = issue.issue(request)
    if issued is None:
        name = request.repository.name
        option = "" if name == PYPI.name else f" -r {name}"
        raise Refusal(f"no master is stored for {name}: run `keyring-pypitoken login{option}`.")
    return issued


def _hand_out(issued: Issued, process: Process, options: argparse.Namespace) -> str:
    from keyring_pypitoken.handout import hand_out

    return hand_out(issued, process.program or f"keyring-pypitoken {options.name}", getattr(options, "note", None))


def _empty_input() -> None:
    """Leave the command nothing to read: what was read from a file, such as a here-document, could be read again."""
    if not os.isatty(0):
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)


def _run(program: str, command: list[str], environ: dict[str, str], platform: str = os.name) -> int:
    """Become the command, so that its signals and its exit code are its own; if that cannot be, wait for it."""
    import subprocess

    sys.stdout.flush()
    try:
        if platform == "posix":
            os.execve(program, command, environ)  # noqa: S606 - it is what the user typed
        started = subprocess.Popen([program, *command[1:]], env=environ)  # noqa: S603 - it is what the user typed
    except OSError as error:
        raise Refusal(
            f"the program {quoted(command[0])} cannot be started ({type(error).__name__}): begin it with a line that "
            "names its interpreter, such as #!/bin/sh."
        ) from None
    with started as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the terminal sent it to the command as well, which decides what to do
                continue


def _explained(options: argparse.Namespace) -> tuple[Grant, str]:
    """Plan as an upload with these files would; return the grant, and a remark on its master."""
    config = load_config()
    repository = find_repository(options.repository, config)
    process = Process("", (), current_directory(), os.environ)
    grant = plan(_request(options, repository, process, config))
    label = grant.account.value
    noted = {noted.casefold() for noted in accounts.noted_accounts(repository)}
    if label.casefold() in noted or config.store.command is not None:
        return grant, ""
    option = "" if repository is PYPI else f" -r {repository.name}"
    if label != "default":
        raise Refusal(
            f"no master is stored for the account {label!r} of {repository.name} ({grant.account.origin}); stored are "
            f"{join_quoted(noted) or 'none'}: run `keyring-pypitoken login{option} --account {label}`, or correct it."
        )
    return grant, (
        f"No master is noted for {repository.name}. Another program may have stored one; if not, run "
        f"`keyring-pypitoken login{option}`."
    )


def _print(grant: Grant, origin: str, remark: str) -> None:
    projects = join_names(grant.projects.value) if grant.projects else "any project"
    not_before, not_after = grant.window(int(time.time()))
    length = in_words(grant.valid_for.value)
    say(f"An upload to {grant.repository.name} would get a token for {projects}, for {length}.", "good")
    bounds = [("not before", grant.start), ("not after", grant.end)]
    table(
        [
            ("repository", f"{grant.repository.name}, {grant.repository.url} ({origin})"),
            ("account", f"{grant.account.value} ({grant.account.origin})"),
            ("projects", f"{projects} ({grant.projects.origin if grant.projects else 'unscoped'})"),
            ("valid for", f"{length} ({grant.valid_for.origin})"),
            ("clock skew", f"from {in_words(grant.clock_skew.value)} ago on ({grant.clock_skew.origin})"),
            *((name, f"{local_time(bound.value)} ({bound.origin})") for name, bound in bounds if bound is not None),
            ("window", f"from {local_time(not_before)} until {local_time(not_after)}"),
            ("policy", ", ".join(grant.policies) or "none for this project"),
        ]
    )
    for sentence in filter(None, (*grant.warnings, remark)):
        say(sentence)


def _as_dict(grant: Grant, origin: str) -> dict[str, object]:
    not_before, not_after = grant.window(int(time.time()))
    return {
        "granted": True,
        "repository": {"name": grant.repository.name, "url": grant.repository.url, "origin": origin},
        "account": _with_origin(grant.account),
        "projects": _with_origin(grant.projects),
        "valid_for": _with_origin(grant.valid_for),
        "clock_skew": _with_origin(grant.clock_skew),
        "not_before": not_before,
        "not_after": not_after,
        "bounds": [_with_origin(bound) for bound in (grant.start, grant.end) if bound is not None],
        "policies": list(grant.policies),
        "warnings": list(grant.warnings),
    }


def _with_origin(found: WithOrigin[Any] | None) -> dict[str, object] | None:
    return None if found is None else {"value": found.value, "origin": found.origin}
