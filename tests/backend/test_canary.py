"""The canary: a marked secret appears in no output, log, cause, repr or local of a traceback, whatever fails."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keyring
import keyring.core
import pytest
from exposure import everything_about, leaks
from refusal_cases import IDENTITY, OPENERS, PRIVATE, PYPI, RECIPIENT, TOKEN, Stage
from sandbox import forget, new_master

from keyring_pypitoken import Token, derive, files, history, issue, toml
from keyring_pypitoken.backend import RefusedError, RefusedSetError
from keyring_pypitoken.policy import decision, discovery, parser, values
from keyring_pypitoken.tokens import macaroon, restrictions, token
from keyring_pypitoken.tokens import values as token_values
from keyring_pypitoken.uploaders import evidence, options, process
from keyring_pypitoken.vault import accounts, age, backends, keys, masters, terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


STEPS = (
    *(decision, derive, evidence, history, macaroon, token_values, issue, parser),
    *(discovery, values, restrictions, masters, toml, token, options, process),
    *(accounts, age, files, keys, terminal, backends),
)


@pytest.fixture(autouse=True)
def loud(caplog: pytest.LogCaptureFixture) -> None:
    """Let every log speak."""
    caplog.set_level(logging.DEBUG)


def functions(module: ModuleType) -> list[str]:
    """List the functions that a module defines."""
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    ]


# The net itself is left out: what it catches is what is tested.
NET = {(issue, "answer")}
EVERY_STEP = [(module, name) for module in STEPS for name in functions(module) if (module, name) not in NET]
AGE_STEPS = (age, files, keys)
IDENTITY_SETTING = '[store]\nidentity = "~/identity"\n'


def replace_step(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, make: Callable[[Any], Callable[..., object]]
) -> None:
    """Replace a function, wherever in the package it was imported, by what is made of it."""
    original = getattr(module, name)
    new = make(original)
    for importer in [loaded for key, loaded in sys.modules.items() if key.startswith("keyring_pypitoken.")]:
        for attribute, value in list(vars(importer).items()):
            if value is original:
                monkeypatch.setattr(importer, attribute, new)


def called_steps(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[tuple[ModuleType, str]]:
    """Return the steps that an action calls: breaking any other one would show nothing."""
    called: set[tuple[ModuleType, str]] = set()

    def watched(step: tuple[ModuleType, str]) -> Callable[[Any], Callable[..., object]]:
        def make(original: Any) -> Callable[..., object]:
            def watch(*arguments: object, **named: object) -> object:
                called.add(step)
                result: object = original(*arguments, **named)
                return result

            return watch

        return make

    act()  # loads what is loaded late
    with monkeypatch.context() as patch:
        for step in EVERY_STEP:
            replace_step(patch, *step, watched(step))
        act()
    return [step for step in EVERY_STEP if step in called]


@contextlib.contextmanager
def broken(monkeypatch: pytest.MonkeyPatch, step: tuple[ModuleType, str], error: Exception) -> Iterator[None]:
    """Let a step raise, which must be called."""
    fired = []

    def fail(*_arguments: object, **_named: object) -> object:
        fired.append(step)
        raise error

    with monkeypatch.context() as patch:
        replace_step(patch, *step, lambda _original: fail)
        yield
    assert fired, step


@pytest.mark.parametrize("where", ["keyring", "passphrase", "identity"])
def test_whatever_step_fails_nothing_gets_out(
    where: str,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    master = new_master()
    if where == "keyring":
        stage.master(master)
    elif where == "passphrase":
        stage.age()
    else:
        stage.identity(IDENTITY)
        stage.age(identity=RECIPIENT)
    stage.project('projects = ["demo"]\nvalid-for = "5m"\n')
    stage.user(f"max-valid-for = 3600\n{IDENTITY_SETTING if where == 'identity' else ''}")

    def ask() -> str | None:
        forget()
        return keyring.get_password(PYPI, TOKEN)

    steps = called_steps(monkeypatch, ask)
    assert {issue, discovery, decision, evidence, masters, backends, derive, macaroon} <= {step[0] for step in steps}
    if where != "keyring":
        assert {age, keys} <= {step[0] for step in steps}
    for step in steps:
        told = ""
        with broken(monkeypatch, step, ArithmeticError(master, *OPENERS)):
            try:
                answer = ask()
            except RefusedError as refused:
                told = everything_about(refused, all_frames=True)
            else:
                assert answer is not None, step
                assert len(Token.load(answer).raw_caveats) == 2, step
        told += caplog.text + "".join(capfd.readouterr())
        caplog.clear()
        assert not [secret for secret in (master, *OPENERS) if leaks(told, secret)], step


def test_whatever_step_fails_nothing_is_lost(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    stage.identity(IDENTITY)
    path = Path(stage.age(identity=RECIPIENT))
    before, master = path.read_bytes(), new_master(identifier="another")

    def save() -> None:
        path.write_bytes(before)
        forget()
        keyring.set_password(PYPI, TOKEN, master)

    steps = [step for step in called_steps(monkeypatch, save) if step[0] in AGE_STEPS]
    assert {step[0] for step in steps} == {age, files, keys}
    for step in steps:
        told = ""
        with broken(monkeypatch, step, ArithmeticError(master, *OPENERS)):
            try:
                save()
            except RefusedSetError as refused:
                told = everything_about(refused, all_frames=False)
                assert path.read_bytes() == before, step
        told += caplog.text + "".join(capfd.readouterr())
        caplog.clear()
        assert not [secret for secret in (master, new_master(), *OPENERS) if leaks(told, secret)], step


COMMANDS = [
    "login",
    "logout",
    "explain",
    "status",
    "adopt",
    "adopt --dry-run",
    "token",
    "inspect",
    "restrict --project a",
]


@pytest.mark.parametrize("words", COMMANDS)
def test_whatever_step_of_the_command_fails_it_shows_no_master(
    words: str,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    from keyring_pypitoken.cli import surroundings
    from keyring_pypitoken.cli.main import main

    master, raw = new_master(), new_master(identifier="of a raw one, which nothing may show either")
    # Asked again at each step, another process takes most of the time.
    monkeypatch.setattr(surroundings, "_ask", lambda *_: surroundings.Standing())

    def act() -> int:
        for key in list(stage.stored.passwords()):
            stage.stored.delete_password(*key)
        stage.master(master)
        stage.stored.plant("upload.pypi.org", TOKEN, raw)
        monkeypatch.setattr(sys, "stdin", io.StringIO(raw))
        forget()
        return main(words.split())

    steps = called_steps(monkeypatch, act)
    assert steps
    capfd.readouterr()
    for step in steps:
        with broken(monkeypatch, step, ArithmeticError(master, raw)):
            code = act()
        out, err = capfd.readouterr()
        assert code in (0, 1), step
        assert "Traceback" not in err, step
        told = out + err + caplog.text
        caplog.clear()
        restricted = [line for line in out.split() if line.startswith("pypi-")]
        assert [len(Token.load(line).raw_caveats) > 0 for line in restricted] == [True] * len(restricted), step
        for line in restricted:  # it begins as its master does, and may be shown: it is what was asked for
            told = told.replace(line, "")
        assert not leaks(told, master), step
        assert not leaks(told, raw), step


def test_the_store_still_holds_the_master(stage: Stage) -> None:
    stage.master()
    assert leaks(repr(stage.stored.passwords()), new_master())
    assert stage.stored.passwords().keys() == {(PRIVATE, "default")}
