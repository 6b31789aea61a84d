"""What a person pastes works in the shell that is there: commands that set variables, and URLs with a `?`."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

import keyring
import pytest
from file_keyring import FileKeyring
from sandbox import ROOT, new_master

from keyring_pypitoken.backend import RefusedSetError
from keyring_pypitoken.cli.main import build_parser
from keyring_pypitoken.text import in_shell

POWERSHELL = {"PSModulePath": "modules"}
POSIX_WORDS = ("`unset X`", "`export X=a`")
BOTH_WORDS = ("`unset X`, or `Remove-Item Env:X` in PowerShell", '`export X=a`, or `$env:X = "a"` in PowerShell')
WINDOWS_WORDS = ("`Remove-Item Env:X`, or `set X=` in cmd.exe", '`$env:X = "a"`, or `set X=a` in cmd.exe')


@pytest.mark.parametrize(
    ("platform", "environ", "words"),
    [
        ("linux", {}, POSIX_WORDS),
        ("darwin", {}, POSIX_WORDS),
        ("linux", POWERSHELL, BOTH_WORDS),
        ("win32", POWERSHELL, WINDOWS_WORDS),
        ("win32", POWERSHELL | {"MSYSTEM": "MINGW64"}, BOTH_WORDS),
    ],
)
def test_each_shell_gets_its_own_words(platform: str, environ: dict[str, str], words: tuple[str, str]) -> None:
    shown = tuple(in_shell("X", value, environ=environ, platform=platform) for value in ("", "a"))
    assert shown == words
    assert ": " not in "".join(shown), "a refusal is split there into its reason and its remedy"


def test_the_words_of_posix_shells_work() -> None:
    line = f"{in_shell('X', 'a').strip('`')}; echo $X; {in_shell('X').strip('`')}; echo ${{X-gone}}"
    if sys.platform == "win32":
        pytest.skip("Windows has no POSIX shell of its own")
    assert subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True).stdout == b"a\ngone\n"


def test_no_message_has_a_command_of_one_kind_of_shell() -> None:
    sources = {path: path.read_text("utf-8") for path in (ROOT / "keyring_pypitoken").rglob("*.py")}
    commands_of = {
        path.name: commands
        for path, text in sources.items()
        if (commands := re.findall(r"`(?:unset|export|set|Remove-Item) |\bunset (?:it|that|the variable)\b", text))
    }
    assert commands_of.keys() == {"text.py"}, "which decides for all"


# Quotes: cmd.exe passes single ones on, and a service in quotes is another one.


def texts() -> dict[str, str]:
    """Return what people read: the sources with their messages, the documents, the samples, the help."""
    files = [path for name in ("keyring_pypitoken", "examples", ".github") for path in (ROOT / name).rglob("*.*")]
    kinds = (".py", ".md", ".toml", ".yml", ".json")
    read = {str(path): path.read_text("utf-8") for path in (ROOT / "README.md", *files) if path.suffix in kinds}
    (subparsers,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return read | {name: parser.format_help() for name, parser in subparsers.choices.items()}


def test_no_text_has_a_url_with_a_label_in_single_quotes() -> None:
    urls_of = {name: re.findall(r"'[^'\s\"]*://[^'\s\"]*\?[^'\s\"]*'", text) for name, text in texts().items()}
    assert {name: urls for name, urls in urls_of.items() if urls} == {}


def test_every_command_has_its_url_with_a_label_in_double_quotes() -> None:
    services = [
        service
        for text in texts().values()
        for service in re.findall(r"keyring (?:set|get|del) (\"[^\"]*\"|\S+)", text)
        if "?" in service
    ]
    assert len(services) >= 3
    assert [service for service in services if service[0] + service[-1] != '""'] == []


def test_no_example_of_the_help_has_single_quotes() -> None:
    (subparsers,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    examples = [parser.epilog for parser in subparsers.choices.values()]
    assert len(examples) > 10
    assert [text for text in examples if "'" in text] == []


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_master_is_not_stored_under_a_url_that_kept_its_quotes(quote: str) -> None:
    with pytest.raises(RefusedSetError) as error:
        keyring.set_password(f"{quote}https://upload.pypi.org/legacy/?work{quote}", "__token__", new_master())
    assert str(error.value) == ("the service is a misspelt address of pypi: use https://upload.pypi.org/legacy/.")
    assert FileKeyring().passwords() == {}
