"""The command line as a whole: help, completion, how it ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from sandbox import new_master

from keyring_pypitoken.cli.main import build_parser, main
from keyring_pypitoken.exceptions import Refusal

if TYPE_CHECKING:
    from sandbox import Command, Run

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["explain", "--no-such"], "explain: error: unrecognized arguments: --no-such"),
        (["login", "hunter2"], "login: error: unrecognized arguments: hunter2"),
        (["exec"], "exec: error: exec needs a command after two dashes: keyring-pypitoken exec -- twine upload dist/*"),
        (["exec", "--"], "exec: error: exec needs a command after two dashes: "),
        (["history", "-n", "x"], "history: error: argument -n/--number: invalid int value: 'x'"),
    ],
)
def test_a_wrong_command_line_shows_the_usage_of_its_subcommand(
    arguments: list[str], problem: str, command: Command
) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"usage: keyring-pypitoken {arguments[0]} ")
    assert f"\nkeyring-pypitoken {problem}" in err


def test_shows_its_version(command: Command) -> None:
    from importlib.metadata import version

    assert command("--version") == (0, f"keyring-pypitoken {version('keyring-pypitoken')}\n", "")


SUBCOMMANDS = [
    *("login", "logout", "init", "explain", "status", "doctor", "setup", "adopt", "rekey"),
    *("token", "exec", "restrict", "inspect", "check", "history"),
]


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_help_with_examples(name: str, command: Command) -> None:
    code, out, err = command(name, "--help")
    assert (code, err) == (0, "")
    assert "\nexamples:\n  " in out
    assert "keyring-pypitoken " in out


def test_the_examples_can_be_typed(command: Command) -> None:
    parser = build_parser()
    examples = [
        line.strip()
        for name in SUBCOMMANDS
        for line in command(name, "--help")[1].partition("\nexamples:\n")[2].splitlines()
    ]
    assert len(examples) > 15
    for example in examples:
        words = example.replace("$(", "").partition("keyring-pypitoken ")[2].replace(")", " ").replace("'", '"')
        import shlex

        before = shlex.split(words.partition(" -- ")[0].partition(" maturin")[0])
        assert parser.parse_args(before).name in SUBCOMMANDS


def test_completion_is_printed_if_shtab_is_installed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for shell in ("bash", "zsh", "fish"):
        code, out, _ = command("--print-completion", shell)
        assert code == 0
        assert "explain" in out
    assert command("--print-completion", "cmd")[0] == 2
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert command.refused("--print-completion", "bash") == (
        'completion needs shtab: `pip install "keyring-pypitoken[completion]"`, and run this again.'
    )


def test_is_a_script_and_a_module(run: Run) -> None:
    from importlib.metadata import distribution

    (script,) = distribution("keyring-pypitoken").entry_points.select(group="console_scripts")
    assert (script.name, script.load()) == ("keyring-pypitoken", main)
    done = run("keyring_pypitoken", "history")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_module_is_the_command_when_it_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    monkeypatch.setattr(sys, "argv", ["keyring-pypitoken", "history"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("keyring_pypitoken", run_name="__main__")
    assert ended.value.code == 0
    runpy.run_module("keyring_pypitoken.__main__", run_name="imported")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 1, ""),
        (Refusal("a reason: a fix."), 1, "keyring-pypitoken: a reason: a fix.\n"),
        (ValueError("hunter2"), 1, "keyring-pypitoken: internal error (ValueError): please report it.\n"),
    ],
    ids=["interrupted", "no reader", "refused", "unexpected"],
)
def test_a_failure_is_at_most_one_sentence(
    error: BaseException, code: int, message: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keyring_pypitoken.cli import history as subcommand

    def ended(_options: object) -> int:
        raise error

    monkeypatch.setattr(subcommand, "history", ended)
    assert command("history") == (code, "", message)


@pytest.mark.parametrize(
    "words",
    [
        ["login", new_master()],
        ["token", f"--account={new_master()}"],
        ["token", "--note", f"GitLab: {new_master()}"],
        ["login", "-r", f"https://__token__:{new_master()}@upload.pypi.org/legacy/"],
    ],
)
def test_a_token_as_an_argument_is_refused_and_not_repeated(words: list[str], command: Command) -> None:
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert err == (
        "keyring-pypitoken: never pass a token as an argument, because shells and logs keep arguments: revoke it on "
        "the index, and store a new one with `keyring-pypitoken login`.\n"
    )


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("explan", "did you mean 'explain'?"),
        ("qqq", f"known are {', '.join(name for name in SUBCOMMANDS if name != 'doctor')}, doctor."),
    ],
)
def test_an_unknown_command_gets_a_hint(word: str, hint: str, command: Command) -> None:
    assert command(word) == (2, "", f"keyring-pypitoken: unknown command '{word}'; {hint}\n")
