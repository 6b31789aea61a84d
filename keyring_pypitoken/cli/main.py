"""The command line: its subcommands and options, and how it ends.

Exit codes: 0; 1 if something is refused or a problem was found; 2 if the command line is wrong; 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.cli.completion import add_completion, complete_files, complete_names
from keyring_pypitoken.exceptions import PyPITokenException, Refusal
from keyring_pypitoken.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PROGRAM = "keyring-pypitoken"
_DESCRIPTION = "Restricted, short-lived PyPI tokens for uploads, derived from one stored master."
_EPILOG = """\
examples:
  keyring-pypitoken login                            store the token that PyPI showed you
  keyring-pypitoken init                             write a policy for this repository
  keyring-pypitoken explain dist/*                   show what an upload would be granted, and why
  keyring-pypitoken status                           show what each uploader would do
  keyring-pypitoken exec -- maturin publish          upload with a tool that does not use keyring

An uploader that asks keyring (twine, uv, flit, hatch, poetry, pdm) needs none of these.
"""


class _Subcommand(NamedTuple):
    """A subcommand: the module and function that run it, what it does, how it is called."""

    run: str
    help: str
    examples: str
    options: tuple[Callable[[argparse.ArgumentParser], object], ...] = ()


def _repository(parser: argparse.ArgumentParser) -> None:
    repository = parser.add_argument(
        "-r", "--repository", metavar="NAME", help="pypi (the default), testpypi, one of your policy.toml, or a URL"
    )
    complete_names(repository, "repositories")


def _account(parser: argparse.ArgumentParser) -> None:
    account = parser.add_argument(
        "--account", metavar="LABEL", help="which of several masters (default: what the policies say)"
    )
    complete_names(account, "accounts")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def _files(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument("files", nargs="*", metavar="FILE", help="distribution files, as for an uploader")
    complete_files(files)


def _policies(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument("files", nargs="*", metavar="FILE", help="policy files (default: those in force here)")
    complete_files(files)


def _limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", action="append", metavar="NAME", help="a project to upload; may be repeated")
    parser.add_argument("--valid-for", metavar="DURATION", help="how long the token works: 90s, 15m, 1h30m, 7d")
    parser.add_argument(
        "--master-stdin", action="store_true", help="read the master from standard input, store nothing"
    )
    parser.add_argument("--note", metavar="TEXT", help="a note for the history")


def _error(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--error", metavar="TEXT", help="explain what PyPI answered, such as '403 Invalid API Token: ...'"
    )


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from-dist", nargs="?", const="dist", metavar="DIRECTORY", help="list the projects of the files in dist/"
    )
    parser.add_argument("--force", action="store_true", help="replace the policy that is there")


def _dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only show what would be moved")


def _identity(parser: argparse.ArgumentParser) -> None:
    identity = parser.add_argument(
        "--identity", metavar="FILE", help="the age or SSH key that will open it (default: ask for a new passphrase)"
    )
    complete_files(identity)


def _number(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", "--number", type=int, default=20, metavar="N", help="how many of the latest (default: 20)"
    )


def _restrictions(parser: argparse.ArgumentParser) -> None:
    names = parser.add_argument_group("restrictions, each of which narrows the token further")
    names.add_argument(
        "--project", action="append", metavar="NAME", help="only uploads of this project; may be repeated"
    )
    names.add_argument(
        "--project-id", action="append", metavar="UUID", help="only the project with this id; may be repeated"
    )
    names.add_argument("--user-id", metavar="ID", help="only for the user with this id")
    names.add_argument("--not-before", metavar="TIME", help="from then on: 2026-01-31T18:00:00Z, or Unix seconds")
    names.add_argument("--not-after", metavar="TIME", help="until then")
    names.add_argument("--valid-for", metavar="DURATION", help="for this long from now on: 90s, 15m, 1h30m, 2d")
    legacy = parser.add_argument_group("restrictions as PyPI wrote them until 2022")
    legacy.add_argument("--legacy-project", action="append", metavar="NAME", help="only uploads of this project")
    legacy.add_argument("--legacy-not-before", metavar="TIME", help="from then on")
    legacy.add_argument("--legacy-not-after", metavar="TIME", help="until then")
    legacy.add_argument("--legacy-noop", action="store_true", help="no restriction, written down")


_SUBCOMMANDS = {
    "login": _Subcommand(
        "masters:login",
        "store a master: the token that PyPI showed you",
        "keyring-pypitoken login\nkeyring-pypitoken login -r testpypi --account work\n"
        "pass show pypi | keyring-pypitoken login",
        (_repository, _account),
    ),
    "logout": _Subcommand(
        "masters:logout", "delete a stored master", "keyring-pypitoken logout --account work", (_repository, _account)
    ),
    "init": _Subcommand(
        "policies:init",
        "write a commented pypitoken.toml for this repository",
        "keyring-pypitoken init\nkeyring-pypitoken init --from-dist",
        (_init,),
    ),
    "explain": _Subcommand(
        "grants:explain",
        "show what an upload would be granted, and where every part of that comes from",
        "keyring-pypitoken explain\nkeyring-pypitoken explain -r testpypi dist/*\n"
        "keyring-pypitoken explain --error '403 Invalid API Token: token is expired'",
        (_repository, _account, _files, _error, _json),
    ),
    "status": _Subcommand(
        "status:status",
        "show what an upload from here would do with each uploader, and what is wrong",
        "keyring-pypitoken status\nkeyring-pypitoken status --json",
        (_json,),
    ),
    "adopt": _Subcommand(
        "masters:adopt",
        "move unprotected tokens out of uploaders' reach",
        "keyring-pypitoken adopt --dry-run\nkeyring-pypitoken adopt",
        (_dry_run, _json),
    ),
    "rekey": _Subcommand(
        "masters:rekey",
        "change the passphrase or the identity that opens the age file",
        "keyring-pypitoken rekey\nkeyring-pypitoken rekey --identity ~/.ssh/id_ed25519",
        (_identity,),
    ),
    "token": _Subcommand(
        "grants:token",
        "print a restricted token, for tools that do not use keyring",
        "MATURIN_PYPI_TOKEN=$(keyring-pypitoken token) maturin publish\n"
        "keyring-pypitoken token --project my-project --valid-for 7d --note 'GitLab'",
        (_repository, _account, _limits, _files),
    ),
    "exec": _Subcommand(
        "grants:execute",
        "run a command with a restricted token in the variables of its uploader",
        "keyring-pypitoken exec -- maturin publish\nkeyring-pypitoken exec -r testpypi dist/* -- make release",
        (_repository, _account, _limits, _files),
    ),
    "restrict": _Subcommand(
        "tokens:restrict",
        "restrict the token on standard input, print the new one",
        'echo "$TOKEN" | keyring-pypitoken restrict --project my-project --valid-for 1h',
        (_restrictions,),
    ),
    "inspect": _Subcommand(
        "tokens:inspect",
        "show what the token on standard input can do",
        'echo "$TOKEN" | keyring-pypitoken inspect',
        (_json,),
    ),
    "check": _Subcommand(
        "policies:check",
        "find all mistakes in policy files",
        "keyring-pypitoken check\nkeyring-pypitoken check pypitoken.toml",
        (_policies, _json),
    ),
    "history": _Subcommand(
        "history:history",
        "show which tokens were derived, when, and for what",
        "keyring-pypitoken history -n 5",
        (_number, _json),
    ),
}
_ALIASES = {"status": ["doctor"]}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        _PROGRAM, description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {_version()}")
    add_completion(parser)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, subcommand in _SUBCOMMANDS.items():
        added = subparsers.add_parser(
            name,
            aliases=_ALIASES.get(name, []),
            help=subcommand.help,
            description=f"{subcommand.help[0].upper()}{subcommand.help[1:]}.",
            epilog="examples:\n" + "\n".join(f"  {line}" for line in subcommand.examples.splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for add_options in subcommand.options:
            add_options(added)
        added.set_defaults(run=subcommand.run, name=name, command=[])
        if name == "exec":
            added.usage = f"{_PROGRAM} exec [-h] [-r NAME] [--account LABEL] [...] [FILE ...] -- COMMAND [ARGUMENT ...]"
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line without the program; this process's if it is left out.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may have letters that the locale lacks
    return _finish(lambda: _run(_parse(words)))


def _parse(words: list[str]) -> argparse.Namespace:
    """Return the options, with what runs them; end if the command line is wrong."""
    if not words:
        return argparse.Namespace(run="status:welcome")
    parser = build_parser()
    command: list[str] = []
    if "exec" in words[:1] and "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    _check_words(parser, words)
    options = parser.parse_args(words)
    if options.name == "exec" and not command:
        parser.error("exec needs a command behind two dashes: keyring-pypitoken exec -- twine upload dist/*")
    options.command = command
    return options


def _run(options: argparse.Namespace) -> int:
    module, _, function = options.run.partition(":")
    code = int(getattr(importlib.import_module(f"keyring_pypitoken.cli.{module}"), function)(options))
    sys.stdout.flush()
    return code


def _finish(step: Callable[[], int]) -> int:
    """Run a step; turn what it fails with into one sentence and an exit code."""
    try:
        return step()
    except Refusal as refusal:
        return _fail(str(refusal))
    except PyPITokenException as error:
        return _fail(f"{error}.")
    except KeyboardInterrupt:
        return 130  # as shells count a program that was interrupted
    except BrokenPipeError:
        _drop_output()  # the reader went away, and nobody is left to read of it
        return 1
    except OSError as error:
        _drop_output()
        return _fail(f"the output cannot be written ({error.strerror}): free space there, or write elsewhere.")
    except Exception as error:  # noqa: BLE001 - its own words, and a traceback, may hold what was read or typed
        return _fail(f"internal error ({type(error).__name__}): please report it.")


def _drop_output() -> None:
    """Let Python flush the rest of the output into nothing when it ends, instead of failing once more."""
    if sys.stdout is sys.__stdout__:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends


def _check_words(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """End with a better sentence than argparse's, which would repeat a token that was pasted as an argument."""
    from keyring_pypitoken.text import looks_like_token

    if any(looks_like_token(part) for word in words for part in word.split("=")):
        parser.exit(
            2,
            f"{_PROGRAM}: a token is never an argument, because shells and logs keep those: revoke it on the "
            "index, and store a new one with `keyring-pypitoken login`.\n",
        )
    known = [*_SUBCOMMANDS, *(alias for aliases in _ALIASES.values() for alias in aliases)]
    if words and not words[0].startswith("-") and words[0] not in known:
        import difflib

        nearest = difflib.get_close_matches(words[0], known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}."
        parser.exit(2, f"{_PROGRAM}: unknown command {quoted(words[0])}; {hint}\n")


def _fail(message: str) -> int:
    print(f"{_PROGRAM}: {message}", file=sys.stderr)
    return 1


def _version() -> str:
    from importlib.metadata import version

    return version(_PROGRAM)
