"""`login` and `logout`."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import keyring
import pytest
from file_keyring import FileKeyring
from sandbox import EXE, Command, Terminal, WritePolicy, forget, new_master, write_program

from keyring_pypitoken import Token
from keyring_pypitoken.cli.main import main
from keyring_pypitoken.lookup import PYPI as REPOSITORY
from keyring_pypitoken.names import LABEL_RULE
from keyring_pypitoken.vault import accounts, terminal

if TYPE_CHECKING:
    from pathlib import Path

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"


@pytest.mark.parametrize("words", [("login",), ("logout",), ("login", "--account", "home")])
def test_a_label_in_the_url_is_not_passed_over(words: tuple[str, ...], command: Command) -> None:
    master = new_master()
    keyring.set_password(PYPI, TOKEN, master)
    assert command.refused(*words, "-r", f"{PYPI}?work", stdin=new_master(identifier="of work")) == (
        f"'{PYPI}?work' has a label, which is for lookups in keyring only: leave it out, and name the account with "
        "--account."
    )
    assert FileKeyring().passwords() == {(PRIVATE, "default"): master}


@pytest.fixture
def only_twine(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let twine be the only uploader, and the machine have no settings."""
    monkeypatch.setenv("PATH", str(work))
    monkeypatch.setattr(importlib.util, "find_spec", {"twine": SimpleNamespace(origin="here")}.get)


STORED = "Stored for {} in file_keyring.FileKeyring.{}\nNext: {}\n"


@pytest.mark.usefixtures("only_twine")
def test_login_ends_with_the_next_command(command: Command, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    master = new_master()
    shown = STORED.format("pypi", "", "twine upload dist/*")
    assert command("login", stdin=f"  {master}\n") == (0, shown, "")
    assert FileKeyring().passwords() == {(PRIVATE, "default"): master}
    shown = STORED.format("testpypi (account work)", "", "keyring-pypitoken explain -r testpypi")
    test = new_master("test.pypi.org")
    assert command("login", "-r", "testpypi", "--account", "work", stdin=test) == (0, shown, "")
    write_program(work / "uv", "true")
    assert command("login", stdin=master)[1].splitlines()[1:] == [
        "If you use uv: keyring-pypitoken setup uv",
        "Next: twine upload dist/*, or uv publish",
    ]
    (work / f"uv{EXE}").unlink()
    program = work / f"twine{EXE}"
    program.write_text(f"#!{sys.executable} -S\n")  # as of an environment without any packages
    program.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(work))
    (work / "twine.py").touch()
    first, _, last = command("login", stdin=master)[1].splitlines()
    without = f"{program} belongs to an environment without this package, so twine does not ask it: `"
    assert (first[: len(without)], last) == (without, "Next: keyring-pypitoken status")


@pytest.mark.usefixtures("only_twine")
def test_another_token_is_replaced_only_if_that_is_asked_for(
    command: Command, stored: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = new_master(identifier="another")
    advice = (
        "the account 'default' of pypi holds another token: store this one beside it with `--project NAME` or "
        "`--account LABEL`, or replace that one with --replace."
    )
    assert command.refused("login", stdin=other) == advice
    assert FileKeyring().passwords() == {(PRIVATE, "default"): stored}
    narrower = Token.load(stored).restrict(project_names=["a", "b"]).dump()
    assert command("login", stdin=narrower)[1] == STORED.format("pypi", "", "twine upload dist/*")
    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    monkeypatch.setattr(terminal, "ask_terminal", lambda _question: other)
    for answer, code in (("\n", 1), ("y\n", 0)):
        forget()
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert main(["login"]) == code
        assert capsys.readouterr().out.startswith(
            "The account 'default' of pypi holds another token. Replace it? [y/N] "
        )
        assert FileKeyring().passwords() == {(PRIVATE, "default"): other if answer == "y\n" else narrower}
    replaced = " It replaces another one; if you no longer need that, revoke it on pypi.org."
    shown = STORED.format("pypi", replaced, "twine upload dist/*")
    assert command("login", "--replace", stdin=stored) == (0, shown, "")


def test_each_project_has_its_own_account(command: Command) -> None:
    """Whether its token shows the project or not."""
    tokens = {name: new_master(identifier=f"of {name}") for name in ("proja", "projb", "all")}
    tokens["projc"] = Token.load(new_master(identifier="of projc")).restrict(project_names=["projc"]).dump()
    assert command("login", stdin=tokens["all"])[0] == 0
    assert command("login", "--project", "ProjA", stdin=tokens["proja"])[0] == 0
    assert command("login", "--project", "projb", "--account", "work", stdin=tokens["projb"])[0] == 0
    assert command("login", stdin=tokens["projc"])[0] == 0
    assert FileKeyring().passwords() == {
        (PRIVATE, "default"): tokens["all"],
        (f"{PRIVATE}?proja", "proja"): tokens["proja"],
        (f"{PRIVATE}?work", "work"): tokens["projb"],
        (f"{PRIVATE}?projc", "projc"): tokens["projc"],
    }
    noted = {label: note.projects for label, note in accounts.noted_accounts(REPOSITORY).items()}
    assert noted == {"default": (), "proja": ("proja",), "work": ("projb",), "projc": ("projc",)}
    newer = new_master(identifier="of projb, newer")
    assert command("login", "--project", "projb", "--replace", stdin=newer)[0] == 0
    assert FileKeyring().passwords()[f"{PRIVATE}?work", "work"] == newer
    assert command.refused("login", "--project", "other", stdin=tokens["projc"]) == (
        "this token is for 'projc' only: leave --project out."
    )
    assert command.refused("login", "--project", "..", stdin=newer) == "'..' is not a valid project name: correct it."
    assert command("logout", "--project", "projb")[1] == "Deleted the master for pypi (account 'work').\n"
    assert command("logout")[0] == 0
    assert command.refused("logout") == (
        "no master is stored for pypi (account 'default'): name one of 'proja', 'projc' with --account."
    )


def test_the_tokens_of_a_pypirc_are_offered(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    master, pasted = new_master(), new_master(identifier="pasted")
    (home / ".pypirc").write_text(f"[pypi]\npassword = {master}\n")
    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    monkeypatch.setattr(terminal, "ask_terminal", lambda _question: pasted)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert main(["login", "--account", "b"]) == 0
    question = "~/.pypirc holds a token in [pypi]. Move what is there instead? [y/N] "
    assert capsys.readouterr().out.startswith(f"{question}Stored for pypi (account b) in ")
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert main(["login"]) == 0
    assert capsys.readouterr().out.startswith(f"{question}- '[pypi]' (user '__token__') in ~/.pypirc: it was moved")
    assert FileKeyring().passwords() == {(PRIVATE, "default"): master, (f"{PRIVATE}?b", "b"): pasted}


def test_login_finds_a_store_before_it_reads_a_token(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "plaintext")
    monkeypatch.setitem(sys.modules, "pyrage", None)
    assert command.refused("login", stdin="").startswith("no keyring of a desktop (Secret Service, ")


def test_login_follows_no_broken_policy(command: Command, user_policy: WritePolicy) -> None:
    user_policy("x = 1\n")
    assert command.refused("login", stdin=new_master()).startswith("the policy cannot be followed: ")


@pytest.mark.usefixtures("only_twine")
def test_login_offers_the_settings_that_an_uploader_lacks(
    home: Path, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("uv", "flit", "maturin"):
        write_program(work / name, "true")
    (home / ".pypirc").write_text(f"[pypi]\npassword = {new_master()}\n[pypi]\n")  # which nothing can read
    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    monkeypatch.setattr(terminal, "ask_terminal", lambda _question: new_master())
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert main(["login"]) == 0
    assert "Write that? [y/N] uv is set up. To undo it, delete these lines there.\n" in capsys.readouterr().out
    (home / ".pypirc").unlink()  # no master may be left in the clear


def test_login_says_before_it_stores_that_keyring_would_not_ask_this_package(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    _, out, _ = command("login", stdin="no token")
    assert out.startswith("the variable PYTHON_KEYRING_BACKEND turns keyring off (keyring.backends.null.Keyring)")


@pytest.mark.parametrize(
    ("options", "domain", "key"),
    [
        (["--account", "work"], "pypi.org", (f"{PRIVATE}?work", "work")),
        (["-r", "testpypi"], "test.pypi.org", ("keyring-pypitoken:https://test.pypi.org/legacy/", "default")),
        (["-r", "https://test.pypi.org/legacy"], "test.pypi.org",
         ("keyring-pypitoken:https://test.pypi.org/legacy/", "default")),
        (["--repository", "company", "--account", "a@b"], "index.example",
         ("keyring-pypitoken:https://index.example/up/?a@b", "a@b")),
    ],
)  # fmt: skip
def test_login_and_logout_know_repositories_and_accounts(
    options: list[str], domain: str, key: tuple[str, str], command: Command, user_policy: WritePolicy
) -> None:
    user_policy('[repository.company]\nurl = "https://index.example/up/"\n')
    master = new_master(domain)
    assert command("login", *options, stdin=master)[0] == 0
    assert FileKeyring().passwords() == {key: master}
    name = {"pypi.org": "pypi", "test.pypi.org": "testpypi"}.get(domain, "company")
    deleted = f"Deleted the master for {name} (account {key[1]!r}).\n"
    assert command("logout", *options) == (0, deleted, "")
    assert FileKeyring().passwords() == {}
    assert command.refused("logout", *options) == (
        f"no master is stored for {name} (account {key[1]!r}): there is nothing to delete."
    )


@pytest.mark.parametrize(
    ("options", "given", "sentence"),
    [
        (
            [],
            "hunter2",
            (
                "this is not a PyPI API token, and a password cannot be restricted: create an API token on pypi.org "
                "and store that."
            ),
        ),
        ([], "", "no token given: paste it at the prompt, or send it to standard input."),
        (
            ["-r", "nowhere"],
            "x",
            (
                "'nowhere' is not a known repository; known are 'pypi', 'testpypi': correct the name, or add a "
                "[repository.NAME] with its url to your own policy.toml."
            ),
        ),
        (["--account", "a b"], "pypi-x", f"'a b' is not a valid account label: use {LABEL_RULE}."),
    ],
)
def test_login_refuses_what_is_not_a_master(
    options: list[str], given: str, sentence: str, command: Command, stored: str
) -> None:
    assert command.refused("login", *options, stdin=given) == sentence
    assert FileKeyring().passwords() == {(PRIVATE, "default"): stored}


@pytest.mark.usefixtures("stored")
def test_logout_refuses_if_the_store_does(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "first:delete")
    assert command.refused("logout") == (
        "the keyring backend file_keyring.FileKeyring could not delete the master (KeyringLocked): unlock or repair "
        "it, and try again."
    )


def test_a_slip_in_the_name_of_a_repository_gets_a_hint(command: Command) -> None:
    reason = "keyring-pypitoken: 'pipy' is not a known repository: did you mean 'pypi'?\n"
    assert command("login", "-r", "pipy", stdin="x") == (1, "", reason)


@pytest.mark.usefixtures("project")
def test_a_slip_in_the_name_of_an_account_gets_a_hint(command: Command, user_policy: WritePolicy) -> None:
    assert command("login", "--account", "work", stdin=new_master())[0] == 0
    policy = user_policy('account = "wrok"\n')
    assert command.refused("token") == (
        f"no master is stored for the account 'wrok' of pypi ({policy}:1): did you mean 'work'? If not, run "
        "`keyring-pypitoken login -r pypi --account wrok`, or name another account."
    )


def test_flits_names_of_projects_are_accounts_of_their_own(command: Command) -> None:
    user = "pypi_token:project:{}"
    tokens = {name: new_master(identifier=name) for name in ("foo", "bar")}
    for name, token in tokens.items():
        keyring.set_password(PYPI, user.format(name.title()), token)
    assert FileKeyring().passwords() == {(f"{PRIVATE}?{name}", name): token for name, token in tokens.items()}
    for name, token in tokens.items():
        answer = keyring.get_password(PYPI, user.format(name))
        assert answer is not None
        assert Token.load(answer).identifier == Token.load(token).identifier
    keyring.delete_password(PYPI, user.format("foo"))
    assert FileKeyring().passwords() == {(f"{PRIVATE}?bar", "bar"): tokens["bar"]}
    with pytest.raises(RuntimeError, match="'/' is not a valid project name"):
        keyring.set_password(PYPI, user.format("/"), tokens["foo"])
    assert command("logout", "--project", "bar")[0] == 0
