"""The command line: its subcommands and options, and how it ends.

Exit codes: 0; 1 if something is refused or a problem was found; 2 if the command line is wrong; 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from keyring_pypitoken.exceptions import PyPITokenException, Refusal
from keyring_pypitoken.text import looks_like_token, nearest, printable, quoted, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    _Option: TypeAlias = Callable[[Any], None]  # adds it to a parser

_PROGRAM = "keyring-pypitoken"
_DESCRIPTION = "Restricted, short-lived PyPI tokens for uploads, derived from one stored master."
_EPILOG = """\
examples:
  keyring-pypitoken login                   store the token that PyPI showed you
  keyring-pypitoken init                    write a policy for this repository
  keyring-pypitoken explain dist/*          show which token an upload gets
  keyring-pypitoken status                  show what each uploader would do
  keyring-pypitoken exec -- maturin publish for tools that never ask keyring

An uploader that asks keyring (twine, uv, flit, hatch, poetry, pdm) needs none
of these.

Documentation:
https://github.com/keyring-pypitoken/keyring-pypitoken/tree/main/.github/docs
"""


# What completes file names in each shell that shtab writes for.
_FILE_COMPLETION = {"bash": "_shtab_compgen_files", "zsh": "_files", "fish": "(__fish_complete_path)"}


def _option(flags: str, metavar: str, text: str, **settings: Any) -> _Option:
    """Return what adds an option to a parser; one without a `metavar` is a switch."""
    settings |= {"help": text, "metavar": metavar} if metavar else {"help": text, "action": "store_true"}

    def add(parser: Any) -> None:
        action = parser.add_argument(*flags.split(), **settings)
        if metavar == "FILE":
            action.complete = _FILE_COMPLETION

    return add


_REPOSITORY = _option("-r --repository", "NAME", "pypi (the default), testpypi, a name in your policy.toml, or a URL")
_ACCOUNT = _option("--account", "LABEL", "which of several masters (default: what the policies say)")
_STORED_FOR = _option("--project", "NAME", "for the uploads of this project (default: what the token shows)")
_STORED_AS = _option("--account", "LABEL", "under this label (default: the project, or `default` for all)")
_REPLACE = _option("--replace", "", "replace another token of that account without asking")
_DELETED_FOR = _option("--project", "NAME", "that of this project's uploads")
_DELETED = _option("--account", "LABEL", "that of this account (default: `default`)")
_JSON = _option("--json", "", "print JSON, for programs")
_FILES = _option("files", "FILE", "distribution files, as for an uploader", nargs="*")
_POLICIES = _option("files", "FILE", "policy files (default: those in force here)", nargs="*")
_FROM_DIST = _option("--from-dist", "DIRECTORY", "list the projects of the files in dist/", nargs="?", const="dist")
_FORCE = _option("--force", "", "replace the policy that is there")
_UPLOADER = _option("uploader", "UPLOADER", "such as uv, hatch or flit")
_YES = _option("--yes", "", "do not ask before writing")
_ENTRY = _option("entry", "NAME", "one entry: its service and user name (default: all known)", nargs="*")
_DRY_RUN = _option("--dry-run", "", "only show what would be moved")
_IDENTITY = _option("--identity", "FILE", "the age or SSH key that will open it (default: ask for a new passphrase)")
_NUMBER = _option("-n --number", "N", "how many of the latest (default: 20; 0 for all)", type=int, default=20)
_LIMITS = (
    _option("--project", "NAME", "a project to upload, or several with commas; may be repeated", action="append"),
    _option("--valid-for", "DURATION", "how long the token works: 90s, 15m, 1h30m, 7d"),
    _option("--master-stdin", "", "read the master from standard input, store nothing"),
    _option("--note", "TEXT", "a note for the history"),
)
_RESTRICTIONS = (
    _option("--project", "NAME", "only uploads of this project; may be repeated", action="append"),
    _option("--project-id", "UUID", "only the project with this id; may be repeated", action="append"),
    _option("--user-id", "ID", "only for the user with this id"),
    _option("--not-before", "TIME", "not valid before this time: 2026-01-31T18:00:00Z, or Unix seconds"),
    _option("--not-after", "TIME", "not valid from this time on"),
    _option("--valid-for", "DURATION", "for this long from now on: 90s, 15m, 1h30m, 2d"),
)
# The module and function that run each subcommand, what it does, its options.
_SUBCOMMANDS: dict[str, tuple[str, str, tuple[_Option, ...]]] = {
    "login": (
        "masters:login",
        "store a master: the token that PyPI showed you",
        (_REPOSITORY, _STORED_FOR, _STORED_AS, _REPLACE),
    ),
    "logout": ("masters:logout", "delete a stored master", (_REPOSITORY, _DELETED_FOR, _DELETED)),
    "init": ("policies:init", "write a commented pypitoken.toml for this repository", (_FROM_DIST, _FORCE)),
    "explain": (
        "grants:explain",
        "show what token an upload would get, and where each of its limits comes from",
        (_REPOSITORY, _ACCOUNT, _LIMITS[0], _FILES, _JSON),
    ),
    "status": (
        "status:status",
        "show what an upload from here would do with each uploader, and what is wrong",
        (_JSON,),
    ),
    "setup": ("setup:setup", "write the settings that an uploader needs to ask keyring", (_UPLOADER, _YES)),
    "adopt": ("adopt:adopt", "move unprotected tokens out of uploaders' reach", (_ENTRY, _DRY_RUN, _JSON)),
    "rekey": ("masters:rekey", "change the passphrase or the identity that opens the age file", (_IDENTITY,)),
    "token": (
        "grants:token",
        "print a restricted token, for tools that do not use keyring",
        (_REPOSITORY, _ACCOUNT, *_LIMITS, _FILES),
    ),
    "exec": (
        "grants:execute",
        "run a command with a restricted token in the variables of its uploader",
        (_REPOSITORY, _ACCOUNT, *_LIMITS, _FILES),
    ),
    "restrict": ("tokens:restrict", "restrict the token on standard input, print the new one", _RESTRICTIONS),
    "inspect": ("tokens:inspect", "show what the token on standard input can do", (_JSON,)),
    "check": ("policies:check", "find all mistakes in policy files", (_POLICIES, _JSON)),
    "history": ("history:history", "show which tokens were derived, when, and for what", (_NUMBER, _JSON)),
}
_STATUS_ALIAS = "doctor"
# Each belongs to the subcommand that it shows.
_EXAMPLES = """\
  keyring-pypitoken login
  keyring-pypitoken login --project my-project
  keyring-pypitoken login -r testpypi --account work
  pass show pypi | keyring-pypitoken login
  keyring-pypitoken logout --account work
  keyring-pypitoken init
  keyring-pypitoken explain -r testpypi dist/*
  keyring-pypitoken status
  keyring-pypitoken setup uv
  keyring-pypitoken adopt
  keyring-pypitoken rekey --identity ~/.ssh/id_ed25519
  MATURIN_PYPI_TOKEN=$(keyring-pypitoken token) maturin publish
  keyring-pypitoken token --project my-project --valid-for 7d --note "GitLab"
  keyring-pypitoken exec -- maturin publish
  keyring-pypitoken exec -r testpypi dist/* -- make release
  echo "$TOKEN" | keyring-pypitoken restrict --project my-project --valid-for 1h
  echo "$TOKEN" | keyring-pypitoken inspect
  keyring-pypitoken check
  keyring-pypitoken history -n 5
  keyring-pypitoken history -n 0 --json
""".splitlines()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from importlib.metadata import version

    parser = argparse.ArgumentParser(
        _PROGRAM, description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {version(_PROGRAM)}")
    parser.add_argument("--print-completion", action=_PrintCompletion, metavar="SHELL", help=argparse.SUPPRESS)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (run, text, options) in _SUBCOMMANDS.items():
        added = subparsers.add_parser(
            name,
            aliases=[_STATUS_ALIAS] if name == "status" else [],
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog="\n".join(["examples:", *(line for line in _EXAMPLES if f"{_PROGRAM} {name}" in line)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for add_option in options:
            add_option(added)
        added.set_defaults(run=run, name=name, command=[], parser=added)
        if name == "exec":
            added.usage = f"{_PROGRAM} exec [-h] [-r NAME] [...] [FILE ...] -- COMMAND [ARGUMENT ...]"
    return parser


class _PrintCompletion(argparse.Action):
    """Print the script that completes the command in a shell, and end."""

    def __call__(self, parser: argparse.ArgumentParser, _options: object, shell: Any, _name: object = None) -> None:
        try:
            import shtab
        except ImportError:
            raise Refusal(
                'completion needs shtab: `pip install "keyring-pypitoken[completion]"`, and run this again.'
            ) from None
        if shell not in shtab.SUPPORTED_SHELLS:
            parser.error(f"completion is for {', '.join(shtab.SUPPORTED_SHELLS)}")
        print(shtab.complete(parser, shell), flush=True)
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments`, by default this process's, and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # If stderr is closed or absent (pythonw), print would write to stdout, which is for the token alone.
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may have letters that the locale lacks
    try:
        options = _parse(words)
        module, _, function = options.run.partition(":")
        code = int(getattr(importlib.import_module(f"keyring_pypitoken.cli.{module}"), function)(options))
        sys.stdout.flush()
    except Refusal as refusal:
        return _fail(str(refusal))
    except PyPITokenException as error:
        return _fail(f"{error}.")
    except KeyboardInterrupt:
        return 130  # what shells expect of an interrupted program
    except BrokenPipeError:
        _drop_output()  # the reader went away, so nobody would see a message
        return 1
    except OSError as error:
        _drop_output()
        return _fail(f"the output cannot be written ({error.strerror}): free space there, or write elsewhere.")
    except Exception as error:  # noqa: BLE001 - its own words, and a traceback, may hold what was read or typed
        return _fail(f"internal error ({type(error).__name__}): please report it.")
    return code


def _parse(words: list[str]) -> argparse.Namespace:
    """Return the options, with what runs them; end if the command line is wrong."""
    if not words:
        return argparse.Namespace(run="status:welcome")
    parser = build_parser()
    command: list[str] = []
    if words[0] == "exec" and "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    # Better sentences than argparse's, which would repeat a token that was pasted as an argument.
    if any(looks_like_token(part) for word in words for part in word.split("=")):
        message = (
            f"{_PROGRAM}: never pass a token as an argument, because shells and logs keep arguments: revoke it on the "
            "index, and store a new one with `keyring-pypitoken login`."
        )
        parser.exit(2, f"{wrapped(message, sys.stderr)}\n")
    known = [*_SUBCOMMANDS, _STATUS_ALIAS]
    if not words[0].startswith("-") and words[0] not in known:
        likely = nearest(words[0], known)
        hint = f"did you mean {likely!r}?" if likely else f"known are {', '.join(known)}."
        message = f"{_PROGRAM}: unknown command {quoted(words[0])}; {hint}"
        parser.exit(2, f"{wrapped(message, sys.stderr)}\n")
    options, unknown = parser.parse_known_args(words)
    if unknown:  # argparse would show the usage of the whole command
        options.parser.error(f"unrecognized arguments: {' '.join(map(printable, unknown))}")
    if options.name == "exec" and not command:
        options.parser.error("exec needs a command after two dashes: keyring-pypitoken exec -- twine upload dist/*")
    options.command = command
    return options


def _drop_output() -> None:
    """Let Python flush the rest of the output into nothing when it ends, instead of failing once more."""
    if sys.stdout is sys.__stdout__:
        sys.stdout = _nowhere()


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # until the process ends


def _fail(message: str) -> int:
    from keyring_pypitoken.notices import name_page

    print(wrapped(f"{_PROGRAM}: {message}", sys.stderr), file=sys.stderr)
    name_page()
    return 1
