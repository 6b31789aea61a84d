"""How the command ends: without input, without a reader, on a full disk, in a poor locale, on a narrow screen."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from age_writer import encrypt_cheaply
from sandbox import STORES, new_master, write_program

from keyring_pypitoken import paths
from keyring_pypitoken.cli.main import build_parser, main
from keyring_pypitoken.vault import terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox import Command, Run, WritePolicy

NO_TOKEN = "no token given: paste it at the prompt, or send it to standard input."
POSIX = pytest.mark.skipif(os.name != "posix", reason="shells and devices are POSIX's")


def shell(line: str, work: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, in which `$K` is the command."""
    env = os.environ | {"PYTHONPATH": str(STORES)} | environ
    line = line.replace("$K", shlex.join([sys.executable, "-m", "keyring_pypitoken"]))
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=work, env=env, capture_output=True, text=True, timeout=60, check=False
    )


@POSIX
@pytest.mark.parametrize("words", ["login", "inspect", "restrict --project x --valid-for 1h"])
@pytest.mark.parametrize("redirection", ["</dev/null", "<&-"], ids=["empty input", "closed input"])
@pytest.mark.usefixtures("project")
def test_without_input_one_sentence_is_shown(words: str, redirection: str, work: Path) -> None:
    done = shell(f"$K {words} {redirection}", work)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"keyring-pypitoken: {NO_TOKEN}\n")


def test_ctrl_d_at_the_prompt_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import getpass

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def ended(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    monkeypatch.setattr(getpass, "getpass", ended)
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert main(["login"]) == 1
    assert capsys.readouterr() == ("", f"keyring-pypitoken: {NO_TOKEN}\n")


@POSIX
@pytest.mark.parametrize(
    ("words", "code"), [("explain", 0), ("token", 0), ("login </dev/null", 1), ("token --account no", 1), ("bogus", 2)]
)
@pytest.mark.usefixtures("project", "stored")
def test_closed_outputs_change_neither_the_exit_code_nor_the_other_output(words: str, code: int, work: Path) -> None:
    both = shell(f"$K {words}", work)
    without_stderr, without_stdout = shell(f"$K {words} 2>&-", work), shell(f"$K {words} >&-", work)
    assert [done.returncode for done in (both, without_stderr, without_stdout)] == [code] * 3
    assert (without_stderr.stderr, without_stdout.stdout) == ("", "")
    assert bool(without_stderr.stdout) is (code == 0), "no refusal where a token is expected"
    if code:
        assert without_stdout.stderr == both.stderr


@POSIX
@pytest.mark.usefixtures("project", "stored")
def test_a_reader_that_went_away_is_no_error_message(work: Path) -> None:
    done = shell("{ $K explain; echo $? >&2; } | true", work)
    assert done.stderr in ("1\n", "0\n")
    done = shell("{ sleep 1; $K explain; echo $? >&2; } | true", work)
    assert done.stderr == "1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a full device")
@pytest.mark.parametrize("words", ["explain", "status", "token", "history", "check --json"])
@pytest.mark.usefixtures("project", "stored")
def test_a_full_disk_is_one_sentence(words: str, work: Path) -> None:
    done = shell(f"$K {words} >/dev/full", work)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "keyring-pypitoken: the output cannot be written (No space left on device): free space there, or write "
        "elsewhere."
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_user_without_a_home_is_asked_to_set_one(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run as a user whom the system does not know."""
    import platformdirs

    class Homeless:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __getattr__(self, _name: str) -> str:
            raise RuntimeError

    monkeypatch.setattr(platformdirs, "PlatformDirs", Homeless)
    assert command.refused("token") == ("this user has no home directory: set one, as in `export HOME=/tmp/home`.")


def without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def not_writable() -> int:
    return os.open(os.devnull, os.O_RDONLY)


@POSIX
@pytest.mark.parametrize(
    ("output", "message"),
    [
        (without_reader, ""),
        (not_writable, "the output cannot be written (Bad file descriptor): free space there, or write elsewhere."),
    ],
)
def test_output_that_cannot_be_written_is_dropped(
    output: Callable[[], int], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(output(), "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "__stdout__", stream)
        assert main(["explain"]) == 1
        with sys.stdout as dropped:
            assert dropped.name == os.devnull
        with contextlib.suppress(OSError):
            stream.close()
    assert capsys.readouterr().err == (message and f"keyring-pypitoken: {message}\n")


@POSIX
def test_a_locale_of_ascii_shows_escapes(work: Path) -> None:
    (work / "übung").mkdir()
    (work / "übung" / "pypitoken.toml").write_text("x = 1\n")
    done = shell("$K check $(echo *)/pypitoken.toml", work, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 1
    assert "bung/pypitoken.toml:1: unknown key 'x'" in done.stdout
    assert done.stderr == ""


@POSIX
@pytest.mark.usefixtures("project", "stored")
def test_forty_columns_are_enough(work: Path) -> None:
    import pexpect

    environ = os.environ | {"PYTHONPATH": str(STORES), "TERM": "xterm"}
    environ.pop("COLUMNS", None)
    for words in ([], ["explain"], ["status"], ["history"]):
        child = pexpect.spawn(
            sys.executable, ["-m", "keyring_pypitoken", *words], cwd=work, env=environ, encoding="utf-8",
            timeout=60, dimensions=(40, 40),
        )  # fmt: skip
        child.expect(pexpect.EOF)
        child.close()
        shown = (child.before or "").replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "")
        long = [line for line in shown.replace("\r", "").splitlines() if len(line) > 40]
        assert [line for line in long if " " in line.strip()[:40].removeprefix("- ").strip()] == [], words


# Each option of each subcommand, and a command line on which it changes what happens.
EFFECTS: dict[str, dict[str, tuple[str, ...]]] = {
    "login": {
        "repository": ("-r", "testpypi"),
        "account": ("--account", "work"),
        "project": ("--project", "other"),
        "replace": ("--replace",),
    },
    "logout": {"repository": ("-r", "testpypi"), "account": ("--account", "work"), "project": ("--project", "other")},
    "init": {"from_dist": ("--from-dist", "dist"), "force": ("--force",)},
    "explain": {
        "repository": ("-r", "testpypi"),
        "account": ("--account", "work"),
        "project": ("--project", "other"),
        "files": ("dist/other-1.0.zip",),
        "json": ("--json",),
    },
    "status": {"json": ("--json",)},
    "setup": {},  # in `test_setup.py`
    "adopt": {"entry": ("a", "b"), "dry_run": ("--dry-run",), "json": ("--json",)},
    "rekey": {},  # its option needs an age file: below
    "token": {
        "repository": ("-r", "testpypi"),
        "account": ("--account", "work"),
        "project": ("--project", "other"),
        "valid_for": ("--valid-for", "1s"),
        "master_stdin": ("--master-stdin",),
        "note": ("--note", "mine"),
        "files": ("dist/other-1.0.zip",),
    },
    "exec": {},  # it takes what token takes, and `test_exec.py` has the rest
    "restrict": {
        "project": ("--project", "a"),
        "project_id": ("--project-id", "00000000-0000-0000-0000-00000000000a"),
        "user_id": ("--user-id", "00000000-0000-0000-0000-00000000000b"),
        "not_before": ("--not-before", "1"),
        "not_after": ("--not-after", "9"),
        "valid_for": ("--valid-for", "1h"),
    },
    "inspect": {"json": ("--json",)},
    "check": {"files": ("pypitoken.toml",), "json": ("--json",)},
    "history": {"number": ("-n", "1"), "json": ("--json",)},
}


def subcommands() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    choices: dict[str, Any] = dict(commands.choices)
    return {name: parser for name, parser in choices.items() if name != "doctor"}


def test_every_option_is_in_the_table_of_effects() -> None:
    options = {name: {action.dest for action in parser._actions} - {"help"} for name, parser in subcommands().items()}
    assert options.pop("exec") == options["token"]
    assert options.pop("rekey") == {"identity"}
    assert options.pop("setup") == {"uploader", "yes"}
    assert options == {name: set(effects) for name, effects in EFFECTS.items() if effects}


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name, effects in EFFECTS.items() for option in effects]
)
def test_every_option_has_an_effect(
    name: str, option: str, command: Command, project: Path, stored: str, user_policy: WritePolicy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import time

    from file_keyring import FileKeyring

    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    user_policy("[repository.pypi]\nnotice = true\n")
    (project / "dist").mkdir()
    (project / "dist" / "other-1.0.zip").touch()
    (project / "pypitoken.toml").write_text('projects = ["demo", "other"]\n')
    if name == "adopt":
        FileKeyring().plant("upload.pypi.org", "__token__", stored)
    if name == "history":
        for _ in range(2):
            assert command("token")[0] == 0
    stdin = new_master(identifier="given") if name in ("login", "token", "restrict", "inspect") else ""

    def observe(*options: str) -> tuple[object, ...]:
        before = command.json("history")
        printed = command(name, *options, stdin=stdin)
        return printed, command.json("history")[len(before) :]

    words: tuple[str, ...] = EFFECTS[name][option]
    others: tuple[str, ...] = ("--not-after", "9") if option == "not_before" else ()
    others = ("--force",) if option == "from_dist" else others
    if name == "check":
        (project / "other.toml").touch()
        words = ("other.toml",) if option == "files" else words
    assert observe(*others) != observe(*others, *words)


@POSIX
def test_bash_completes_commands_options_and_files(run: Run, work: Path) -> None:
    script = run("keyring_pypitoken", "--print-completion", "bash").stdout
    (work / "dist").mkdir()
    (work / "dist" / "demo-1.0.zip").touch()
    (work / "bin").mkdir()
    write_program(work / "bin" / "keyring-pypitoken", sys.executable, "-m", "keyring_pypitoken")
    for typed, wanted in (
        ("expl", "explain"),
        ("login --acc", "--account"),
        ("explain dist/demo", "dist/demo-1.0.zip"),
    ):
        words = ["keyring-pypitoken", *typed.split()]
        code = (
            f"{script}\nCOMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}\n"
            f"_shtab_keyring_pypitoken keyring-pypitoken {words[-1]} {words[-2]}\n"
            "printf '%s\\n' \"${COMPREPLY[@]}\"\n"
        )
        path = f"{work / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/bash", "-c", code], cwd=work, env=os.environ | {"PATH": path, "PYTHONPATH": str(STORES)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert wanted in done.stdout.split(), (typed, done)


def test_rekey_needs_an_age_file(command: Command) -> None:
    assert command.refused("rekey") == (
        f"{paths.age_file()} does not exist, so there is nothing to encrypt anew: "
        "`keyring-pypitoken login` stores a master."
    )


def test_rekey_gives_the_age_file_to_an_identity(
    command: Command, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    pyrage = pytest.importorskip("pyrage")
    user_policy('[store]\nbackend = "age"\n')
    monkeypatch.setattr(pyrage.passphrase, "encrypt", encrypt_cheaply)
    monkeypatch.setenv("KEYRING_PYPITOKEN_PASSPHRASE", "a long passphrase of mine")
    assert command("login", stdin=new_master(identifier="in age"))[0] == 0
    identity = home / "identity.txt"
    identity.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    identity.chmod(0o600)
    code, out, err = command("rekey", "--identity", str(identity))
    assert (code, err) == (0, "")
    assert out.startswith(f"The identity {identity} opens {paths.age_file()}: keep a copy of it. Written into ")
    monkeypatch.delenv("KEYRING_PYPITOKEN_PASSPHRASE")
    assert command("token", "--project", "demo")[0] == 0
    user_policy("x = 1\n")
    assert "unknown key 'x'" in command("rekey")[2]
