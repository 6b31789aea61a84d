"""explain, token, exec: what an upload would be granted, and the token itself."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from keyring_pypitoken import issue
from keyring_pypitoken.cli.output import dump, read_length, read_secret, say, table
from keyring_pypitoken.cli.status import find_lack, judge_uploaders
from keyring_pypitoken.derive import check_master
from keyring_pypitoken.exceptions import Refusal, sealed
from keyring_pypitoken.files import current_directory, find_program
from keyring_pypitoken.labels import TYPED, read_label
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME, Key, Repository, repository_at
from keyring_pypitoken.notices import name_page, notify
from keyring_pypitoken.plan import Request, plan
from keyring_pypitoken.policy.discovery import load_config
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.text import in_words, join_names, join_quoted, local_time, nearest, quoted
from keyring_pypitoken.uploaders.evidence import PROJECT_VARIABLE
from keyring_pypitoken.uploaders.process import read_command_line
from keyring_pypitoken.uploaders.uploader import Process, all_uploaders
from keyring_pypitoken.vault.accounts import noted_accounts
from keyring_pypitoken.vault.keys import VARIABLE as PASSPHRASE_VARIABLE
from keyring_pypitoken.vault.unprotected import find_in_keyrings

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.issue import Issued
    from keyring_pypitoken.policy.model import Config, Grant
    from keyring_pypitoken.uploaders.uploader import Address, Uploader

_STAND_IN = "token"  # for the token, while it is checked what would become of that


def explain(options: argparse.Namespace) -> int:
    """Show what an upload would be granted, and what each uploader would do."""
    try:
        grant, config, lack = _explained(options)
    except Refusal as refusal:
        if options.json:
            dump({"granted": False, "refusal": str(refusal)})
        else:
            say(f"Refused: {refusal}", "bad")
            name_page()
        return 1
    document = _document(grant, "default" if options.repository is None else "--repository")
    document["missing"] = lack and str(lack)
    document["uploaders"] = [
        {"uploader": one.uploader, "verdict": one.verdict, "text": one.text} for one in judge_uploaders(config)
    ]
    if options.json:
        dump(document)
    else:
        _print(document)
    return 0


def token(options: argparse.Namespace) -> int:
    """Print a derived token."""
    config = load_config()
    repository = find_repository(options.repository, config)
    process = Process("", (), current_directory(), os.environ)
    issued = _issue(_request(options, repository, process, config, _read_master(options)))
    sys.stdout.write(f"{_hand_out(issued, process, options)}\n")
    return 0


def execute(options: argparse.Namespace) -> int:
    """Run a command with a derived token in the variables of its uploader."""
    program = _find_command(options.command[0])
    config, environ = load_config(), dict(os.environ)
    process = read_command_line(options.command, current_directory(), environ)
    _refuse_lost_variables(options.command, process)
    uploader = process.uploader
    master = _read_master(options)
    environ = _without_master(environ, master, options.command)
    environ.pop(PASSPHRASE_VARIABLE, None)
    if uploader is not None and not uploader.is_uploading(process):
        notify(f"this run of {uploader.name} uploads nothing, so no token was made for it")
        return _run(program, options.command, environ)
    repository = _repository_of_command(options, process, uploader, config)
    uploaders = (uploader,) if uploader else all_uploaders()
    for one in uploaders:
        for name in (*one.rival_variables, *(one.rival_addresses if uploader else ())):
            environ.pop(name, None)
    if uploader is not None:
        if options.account is None:
            _refuse_label(uploader, process.target.address)
        typed = (process.environ.get(name) != os.environ.get(name) for name in uploader.rival_addresses)
        if process.command.after.has("--repository") or any(typed):  # twine and poetry prefer the variables' address
            _check_address(uploader, process.target.address, repository, config)
        # A command may send the token elsewhere, or something else, although it has its variables.
        handed = environ | _variables(uploader, _STAND_IN, repository, process)
        equipped = read_command_line(options.command, current_directory(), handed)
        _check_address(uploader, equipped.target.address, repository, config)
        uploader.check_sends(equipped, _STAND_IN)
    request = _request(options, repository, process if uploader else process._replace(program=""), config, master)
    if uploader is None:
        _check_choice(request, options.command)
    issued = _issue(request)
    text = _hand_out(issued, process, options)
    if uploader is None:
        notify(
            f"the token for {repository.name} is in the variables of every uploader; {quoted(options.command[0])} may "
            "show it to another index, if that is where it uploads"
        )
    for one in uploaders:
        environ |= _variables(one, text, repository, process)
    return _run(program, options.command, environ)


def _check_choice(request: Request, command: list[str]) -> None:
    """Refuse a program of which nothing that a person wrote shows the projects: it may build and upload anything."""
    is_named = request.files or request.projects or request.process.environ.get(PROJECT_VARIABLE)
    if not is_named and not plan(request).policies:
        raise Refusal(
            f"nothing shows which projects {quoted(command[0])} uploads: name them, as in `keyring-pypitoken exec -r "
            f"{request.repository.name} --project NAME -- COMMAND`, name the files, or write a policy with "
            "`keyring-pypitoken init`."
        )


def _refuse_lost_variables(command: list[str], process: Process) -> None:
    """Refuse a command that starts its own ones without the variables that hold the token."""
    words = [os.path.basename(word) for word in command]
    options = [word for word in command if word.startswith("-")]
    if process.program == "tox" and not any("pass_env" in word for word in command):
        reason, remedy = "tox passes no such variables on", 'use `tox -x "testenv.pass_env+=TWINE_*"`, or the like'
    elif {process.program, words[0]} & {"sudo", "doas"} and not any(
        word.startswith(("-E", "--preserve-env")) for word in options
    ):
        reason = "sudo passes no variables on"
        remedy = "use `sudo --preserve-env=TWINE_USERNAME,TWINE_PASSWORD ...`, or the like"
    elif _empties_environment(words):
        reason, remedy = "`env -i` passes no variables on", "leave out `-i`"
    else:
        return
    raise Refusal(
        f"{reason}, so the token would not arrive: {remedy}; or run `keyring-pypitoken exec` in what it starts."
    )


def _empties_environment(words: list[str]) -> bool:
    """Return True if `env` starts the command with no variables but those that it sets."""
    for at, word in enumerate(words):
        if word != "env":
            continue
        for option in words[at + 1 :]:
            if option in ("-", "--ignore-environment") or re.fullmatch("-[0v]*i.*", option):
                return True
            if not option.startswith("-") and "=" not in option:
                break
    return False


def _read_master(options: argparse.Namespace) -> MasterToken | None:
    """Return the master on standard input, which the command then cannot read; None if none is to be read.

    Raises:
        Refusal: there is none.
    """
    if not options.master_stdin:
        return None
    try:
        master = MasterToken(read_secret("API token").strip())
    except Refusal as refusal:
        if sys.stdin is not None and sys.stdin.isatty():
            raise
        raise Refusal(
            f"{str(refusal).removesuffix('.')}; if a variable is piped there, such as PYPI_TOKEN, it is likely not set "
            "here: CI systems hide protected ones from other branches."
        ) from None
    if options.name == "exec":
        _empty_input()
    return master


def _without_master(environ: dict[str, str], master: MasterToken | None, command: list[str]) -> dict[str, str]:
    """Return the variables in which no master is: in CI it is in one, too, by itself or in a URL."""
    if master is None:
        return environ
    if any(map(master.is_in, command)):
        raise Refusal(
            "the master is among the arguments of the command, where every user of the machine can read it: leave "
            "it out, and revoke it if others use this machine."
        )
    return {name: value for name, value in environ.items() if not master.is_in(value)}


def _variables(uploader: Uploader, text: str, repository: Repository, process: Process) -> dict[str, str]:
    return uploader.variables(text, repository, process.target if uploader is process.uploader else None)


def _refuse_label(uploader: Uploader, address: Address) -> None:
    key = Key.parse(address.url, TOKEN_USERNAME)
    if key is not None and key.label is not None:
        raise Refusal(
            f"{uploader.name} would upload to {quoted(address.shown)} ({address.source}), whose label is for lookups "
            "in keyring only: leave it out, or name the account with --account."
        )


def _check_address(uploader: Uploader, address: Address, repository: Repository, config: Config) -> None:
    if repository_at(address.url, config.repositories) != repository:
        raise Refusal(
            f"{uploader.name} would upload to {quoted(address.shown)} ({address.source}), not to {repository.url}: "
            "leave out what names it, or name that repository with --repository."
        )


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
    repository = repository_at(address.url, config.repositories)
    if repository is None:
        raise Refusal(
            f"{uploader.name} would upload to {quoted(address.shown)} ({address.source}), which is not a known "
            "repository: correct it, or add a [repository.NAME] with this url to your own policy.toml."
        )
    return repository


def _find_command(name: str, platform: str = os.name) -> str:
    is_path, ending = os.path.basename(name) != name, os.path.splitext(name)[1].lower()
    if platform == "nt" and ending in (".bat", ".cmd"):
        raise Refusal(f"{quoted(name)} is a batch file, which runs its arguments as commands: name an .exe instead.")
    if platform == "nt" and ending == ".py":
        raise Refusal(f"{quoted(name)} is started by its interpreter: name that first, as in `-- python {name}`.")
    wanted = os.path.abspath(name) if is_path else name
    program = find_program(wanted, os.environ)
    if program is None and is_path and platform == "nt" and ending != ".exe":
        program = find_program(f"{wanted}.exe", os.environ)
    if program is None and is_path:
        hint = "" if platform == "nt" else ", or make it executable"
        raise Refusal(f"{quoted(name)} is not a program that can be started: correct its path{hint}.")
    if program is None:
        raise Refusal(f"the program {quoted(name)} is not on PATH: install it, or correct its name.")
    return program


def _request(
    options: argparse.Namespace,
    repository: Repository,
    process: Process,
    config: Config,
    master: MasterToken | None = None,
) -> Request:
    valid_for = getattr(options, "valid_for", None)
    projects = getattr(options, "project", None)
    return Request(
        repository,
        process,
        config,
        account=None if options.account is None else WithOrigin(options.account, TYPED),
        projects=None if not projects else _project_names(projects),
        files=tuple(options.files),
        valid_for=None if valid_for is None else WithOrigin(read_length(valid_for), Origin("--valid-for")),
        master=None if master is None else check_master(master, repository, may_expire=True),
    )


def _project_names(names: list[str]) -> WithOrigin[tuple[str, ...]]:
    from keyring_pypitoken.names import InvalidNameError, normalize_valid

    try:
        each = [name.strip() for listed in names for name in listed.split(",")]
        return WithOrigin(tuple(sorted({normalize_valid(name) for name in each if name})), Origin("--project"))
    except InvalidNameError:
        raise Refusal(f"--project {join_quoted(names)} is not a valid project name: correct it.") from None


@sealed
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
            f"the program {quoted(command[0])} cannot be started ({type(error).__name__}): "
            + ("name an .exe." if platform == "nt" else "begin it with a line such as #!/bin/sh.")
        ) from None
    with started as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the terminal sent it to the command as well, which decides what to do
                continue


def _explained(options: argparse.Namespace) -> tuple[Grant, Config, Refusal | None]:
    """Plan as an upload with these files would; return the grant, the configuration, and why there is no master."""
    config = load_config()
    named, _, label = (options.repository or "").partition("?")
    repository = find_repository(named or None, config)
    request = _request(options, repository, Process("", (), current_directory(), os.environ), config)
    key = Key.parse(f"{repository.url}?{label}" if label else repository.url, TOKEN_USERNAME) or Key.of(repository)
    account, project = read_label(key, repository, config, find_in_keyrings)
    grant = plan(request._replace(account=request.account or account, project=project))
    lack = find_lack(repository, grant.account, config, key)
    if lack is not None and noted_accounts(repository):
        raise lack
    return grant, config, lack


def _document(grant: Grant, origin: str) -> dict[str, Any]:
    not_before, not_after = grant.window(int(time.time()))
    bounds = (("not before", grant.start), ("not after", grant.end))
    return {
        "granted": True,
        "repository": {"name": grant.repository.name, "url": grant.repository.url, "origin": origin},
        "account": _with_origin(grant.account),
        "projects": _with_origin(grant.projects) or None,
        "valid_for": _with_origin(grant.valid_for),
        "clock_skew": _with_origin(grant.clock_skew),
        "not_before": not_before,
        "not_after": not_after,
        "bounds": [{"name": name, **_with_origin(bound)} for name, bound in bounds if bound is not None],
        "policies": list(grant.policies),
        "confirm": _with_origin(grant.confirm) or None,
        "warnings": list(grant.warnings),
    }


def _with_origin(setting: WithOrigin[Any] | None) -> dict[str, Any]:
    return {} if setting is None else {"value": setting.value, "origin": setting.origin}


def _print(document: dict[str, Any]) -> None:
    repository, account, skew = document["repository"], document["account"], document["clock_skew"]
    projects = document["projects"] or {"value": None, "origin": "unscoped"}
    names, length = join_names(projects["value"]), in_words(document["valid_for"]["value"])
    condition = ", if a master were stored" if document["missing"] else ""
    say(
        f"An upload to {repository['name']} would get a token for {names}, for {length}{condition}.",
        "bad" if condition else "good",
    )
    begin, end = local_time(document["not_before"]), local_time(document["not_after"])
    confirm = document["confirm"]
    table(
        [
            ("repository", f"{repository['name']}, {repository['url']} ({repository['origin']})"),
            ("account", f"{account['value']} ({account['origin']})"),
            ("projects", f"{names} ({projects['origin']})"),
            ("valid for", f"{length} ({document['valid_for']['origin']})"),
            ("clock skew", f"from {in_words(skew['value'])} ago on ({skew['origin']})"),
            *((one["name"], f"{local_time(one['value'])} ({one['origin']})") for one in document["bounds"]),
            ("window", f"from {begin} until {end}"),
            ("policy", ", ".join(document["policies"]) or "none for this project"),
            *([("confirm", f"you will be asked ({confirm['origin']})")] if confirm else []),
        ]
    )
    remarks = [f"But {document['missing']}"] if document["missing"] else []
    remarks += [
        f"But {one['uploader']} {one['text']}."
        for one in document["uploaders"]
        if one["verdict"] in ("bypass", "not set up")
    ]
    for sentence in (*document["warnings"], *remarks):
        say(sentence)
