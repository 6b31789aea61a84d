"""How texts are written for people, and how secrets are read."""

from __future__ import annotations

import functools
import io
import sys
from typing import TYPE_CHECKING

import pytest
from sandbox import Terminal

from keyring_pypitoken.cli import output
from keyring_pypitoken.cli.main import main
from keyring_pypitoken.vault import terminal

if TYPE_CHECKING:
    from collections.abc import Callable

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
@pytest.mark.usefixtures("project", "stored")
def test_a_terminal_gets_colour_and_its_own_width(
    environ: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**environ, "COLUMNS": "60"}.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(output, "shows_colours", functools.partial(output.shows_colours, "linux"))
    assert main(["explain"]) == 0
    shown = terminal.getvalue()
    verdict = "An upload to pypi would get a token for demo, for 15\nminutes."
    assert shown.startswith(f"\x1b[32m{verdict}\x1b[0m\n" if coloured else f"{verdict}\n")
    assert shown.count("\x1b[32m") == int(coloured)
    assert all(len(line.replace("\x1b[32m", "").replace("\x1b[0m", "")) <= 60 for line in shown.splitlines())


def test_windows_own_terminal_gets_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert not output.shows_colours("win32")
    monkeypatch.setenv("WT_SESSION", "0")
    assert output.shows_colours("win32")


def test_a_paragraph_without_words_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from keyring_pypitoken.cli.output import say, table

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    say("")
    table([("name", "")])
    table([])
    assert terminal.getvalue() == "\n  name\n"


def test_a_secret_is_asked_for_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import getpass

    from keyring_pypitoken.cli.output import read_secret

    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    asked: list[str] = []
    answer: Callable[[str], str] = lambda prompt: asked.append(prompt) or "secret"  # type: ignore[func-returns-value]  # noqa: E731 - append returns None
    monkeypatch.setattr(getpass, "getpass", answer)
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert read_secret("API token") == "secret"
    assert asked == ["API token: "]


@pytest.mark.parametrize(
    "stdin",
    [None, io.TextIOWrapper(io.BytesIO(b"\xff\xfep\0"), encoding="utf-8")],
    ids=["none", "bytes that are not text"],
)
def test_an_input_without_a_token_is_one_sentence_at_once(
    stdin: io.TextIOBase | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import getpass

    monkeypatch.delattr(getpass, "getpass")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["login"]) == 1
    assert capsys.readouterr().err == (
        "keyring-pypitoken: no token given: paste it at the prompt, or send it to standard input.\n"
    )


def test_a_terminal_without_a_prompt_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert main(["login"]) == 1
    assert capsys.readouterr().err == (
        "keyring-pypitoken: the token is not asked for, because the variable CI is set or nobody sees this terminal: "
        "send it to standard input.\n"
    )
