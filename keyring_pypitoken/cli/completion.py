"""How bash, zsh and fish complete the command: its words by shtab, names and files by what is said here."""

from __future__ import annotations

import argparse

_KINDS = ("repositories", "accounts")
_LIST = "keyring-pypitoken --list {} 2>/dev/null"


def _names(kind: str) -> dict[str, str]:
    """Return what completes names in each shell: those that are known when it is typed."""
    function = f"_keyring_pypitoken_{kind}"
    return {"bash": function, "zsh": function, "fish": f"({_LIST.format(kind)})"}


REPOSITORIES, ACCOUNTS = map(_names, _KINDS)
FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "fish": "(__fish_complete_path)"}


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Offer to print a script that completes the command in bash, zsh or fish, if shtab is there."""
    parser.add_argument("--list", action=_List, choices=_KINDS, help=argparse.SUPPRESS)
    try:
        import shtab
    except ImportError:
        return
    bodies = {"bash": 'compgen -W "$({})" -- "$1"', "zsh": 'compadd -- ${{(f)"$({})"}}'}
    preamble = {
        shell: "\n".join(f"_keyring_pypitoken_{kind}() {{ {body.format(_LIST.format(kind))}; }}" for kind in _KINDS)
        for shell, body in bodies.items()
    }
    shtab.add_argument_to(parser, "--print-completion", help=argparse.SUPPRESS, preamble=preamble)  # as in the README


class _List(argparse.Action):
    """Print the names that a shell completes, one a line, and end."""

    def __call__(self, parser: argparse.ArgumentParser, _options: object, kind: object, _name: object = None) -> None:
        from keyring_pypitoken.policy.discovery import load_config
        from keyring_pypitoken.vault.accounts import noted_accounts

        repositories = load_config().repositories
        names = [known.name for known in repositories]
        if kind == "accounts":
            names = sorted({"default", *(label for known in repositories for label in noted_accounts(known))})
        print("\n".join(names), flush=True)
        parser.exit()
