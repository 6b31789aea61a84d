"""explain, token, exec: what an upload would be granted, and the token itself."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from keyring_pypitoken import issue
from keyring_pypitoken.cli.output import dump, say, table
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import TOKEN_USERNAME, Lookup
from keyring_pypitoken.policy.model import Grant, Origin, WithOrigin
from keyring_pypitoken.text import in_words
from keyring_pypitoken.uploaders.process import Process, read_command_line, this_process

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.secret import DerivedToken

_STATED = Origin("--account")
# What each tool that knows no keyring, or need not be asked to use it, reads a token from; {token} and {url} vary.
_VARIABLES = {
    "TWINE_USERNAME": TOKEN_USERNAME,
    "TWINE_PASSWORD": "{token}",
    "UV_PUBLISH_TOKEN": "{token}",
    "FLIT_USERNAME": TOKEN_USERNAME,
    "FLIT_PASSWORD": "{token}",
    "HATCH_INDEX_USER": TOKEN_USERNAME,
    "HATCH_INDEX_AUTH": "{token}",
    "PDM_PUBLISH_USERNAME": TOKEN_USERNAME,
    "PDM_PUBLISH_PASSWORD": "{token}",
    "MATURIN_PYPI_TOKEN": "{token}",
}
# Where they send it: to PyPI where these are not set.
_URL_VARIABLES = (
    *("TWINE_REPOSITORY_URL", "UV_PUBLISH_URL", "FLIT_INDEX_URL", "HATCH_INDEX_REPO", "PDM_PUBLISH_REPO"),
    "MATURIN_REPOSITORY_URL",
)
# With one of these, a tool would send the token elsewhere, take something else, or complain.
_RIVALS = (*_URL_VARIABLES, "TWINE_REPOSITORY", "MATURIN_REPOSITORY", "UV_PUBLISH_USERNAME", "UV_PUBLISH_PASSWORD")


def explain(options: argparse.Namespace) -> int:
    """Tell what an upload would be granted, without touching the store."""
    found = _plan(options)
    if options.error is not None:
        from keyring_pypitoken.cli.pypi_errors import explain_error

        return explain_error(options.error, found, options)
    origin = "default" if options.repository is None else "--repository"
    if options.json:
        dump(_as_dict(found, origin))
    elif isinstance(found, Refusal):
        say(f"Refused: {found}", "bad")
    else:
        _tell(found, origin)
    return 1 if isinstance(found, Refusal) else 0


def token(options: argparse.Namespace) -> int:
    """Print a derived token."""
    process = this_process()
    derived = _derive(options, Process(process.program, tuple(options.files), process.directory, process.environ))
    sys.stdout.write(f"{derived.unwrap()}\n")
    return 0


def execute(options: argparse.Namespace) -> int:
    """Run a command with a derived token in the uploaders' variables."""
    import shutil

    program = shutil.which(options.command[0])
    if program is None:
        raise Refusal(f"there is no program {options.command[0]!r} on PATH: install it, or correct its name.")
    process = this_process()
    name, arguments = read_command_line(options.command)
    if options.files:
        name, arguments = "", tuple(options.files)
    derived = _derive(options, Process(name, arguments, process.directory, process.environ))
    repository = issue.find_repository(options.repository or "pypi", issue.read_config())
    environ = {name: value for name, value in os.environ.items() if name not in _RIVALS}
    environ |= {name: value.format(token=derived.unwrap()) for name, value in _VARIABLES.items()}
    # Poetry's variable holds the name that poetry knows the repository by.
    environ[f"POETRY_PYPI_TOKEN_{repository.name.upper().replace('-', '_')}"] = derived.unwrap()
    if repository.name != "pypi":
        environ |= dict.fromkeys(_URL_VARIABLES, repository.url)
    return _run(program, options.command, environ)


def _run(program: str, command: list[str], environ: dict[str, str]) -> int:
    """Become the command, so that its signals and its exit code are its own; where that cannot be, wait for it."""
    sys.stdout.flush()
    if os.name == "posix":  # pragma: no branch - each kind of system takes one way
        os.execve(program, command, environ)  # noqa: S606 - it is what the user typed
    import subprocess

    with subprocess.Popen([program, *command[1:]], env=environ) as child:  # noqa: S603 - it is what the user typed
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the terminal sent it to the command as well, which decides what to do
                continue


def _derive(options: argparse.Namespace, process: Process) -> DerivedToken:
    """Derive a token for the files that a process uploads, and tell of it on stderr."""
    from keyring_pypitoken import notices

    repository = issue.find_repository(options.repository or "pypi", issue.read_config())
    answer = issue.answer(repository.url, TOKEN_USERNAME, process, _account(options))
    if isinstance(answer, Refusal):
        raise answer
    if answer is None or answer.token is None:
        raise Refusal(
            f"no master is stored for {repository.name}: store one with `keyring-pypitoken login -r {repository.name}`."
        )
    for line in answer.notice:
        notices.notify(line)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        notices.write(f"::add-mask::{answer.token.unwrap()}")
    return answer.token


def _account(options: argparse.Namespace) -> WithOrigin[str] | None:
    return None if options.account is None else WithOrigin(options.account, _STATED)


def _plan(options: argparse.Namespace) -> Grant | Refusal:
    """Plan as the backend does for an uploader with these files."""
    try:
        own = issue.read_config()
        repository = issue.find_repository(options.repository or "pypi", own)
        process = this_process()
        uploader = Process("", tuple(options.files), process.directory, process.environ)
        lookup = Lookup(repository, repository.url, TOKEN_USERNAME)
        return issue.plan(lookup, own, uploader, now=int(time.time()), account=_account(options))
    except Refusal as refusal:
        return refusal


def _tell(grant: Grant, origin: str) -> None:
    projects = ", ".join(grant.projects.value) if grant.projects else "any project"
    now = int(time.time())
    not_before, not_after = grant.window(now)
    length = in_words(not_after - now)
    say(f"An upload to {grant.repository.name} would get a token for {projects}, for {length}.", "good")
    table(
        [
            ("repository", f"{grant.repository.name}, {grant.repository.url} ({origin})"),
            ("account", _with_origin(grant.account)),
            ("projects", f"{projects} ({grant.projects.origin if grant.projects else 'unscoped'})"),
            ("valid for", f"{in_words(grant.valid_for.value)} ({grant.valid_for.origin})"),
            ("clock skew", f"from {in_words(grant.clock_skew.value)} ago on ({grant.clock_skew.origin})"),
            *(("not before", f"{_local(bound.value)} ({bound.origin})") for bound in (grant.start,) if bound),
            *(("not after", f"{_local(bound.value)} ({bound.origin})") for bound in (grant.end,) if bound),
            ("window", f"from {_local(not_before)} until {_local(not_after)}"),
            ("policy", ", ".join(grant.policies) or "none, the defaults"),
        ]
    )


def _with_origin(found: WithOrigin[Any]) -> str:
    return f"{found.value} ({found.origin})"


def _local(timestamp: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(timestamp))


def _as_dict(found: Grant | Refusal, origin: str) -> dict[str, object]:
    if isinstance(found, Refusal):
        return {"granted": False, "refusal": str(found)}
    return {
        "granted": True,
        "repository": {"name": found.repository.name, "url": found.repository.url, "origin": origin},
        "account": _sourced(found.account),
        "projects": _sourced(found.projects),
        "valid_for": _sourced(found.valid_for),
        "clock_skew": _sourced(found.clock_skew),
        "not_before": found.window(int(time.time()))[0],
        "not_after": found.window(int(time.time()))[1],
        "bounds": [_sourced(bound) for bound in (found.start, found.end) if bound],
        "policy": found.policies[0] if found.policies else None,
    }


def _sourced(found: WithOrigin[Any] | None) -> dict[str, object] | None:
    return None if found is None else {"value": found.value, "origin": found.origin}
