"""`login` and `logout`."""

from __future__ import annotations

import io
import sys

import keyring
import pytest
from file_keyring import FileKeyring
from sandbox import Command, WritePolicy, new_master

from keyring_pypitoken import Token
from keyring_pypitoken.cli.main import main
from keyring_pypitoken.names import LABEL_RULE

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


def test_login_ends_with_one_line_that_names_the_next_step(command: Command) -> None:
    master = new_master()
    assert command("login", stdin=f"  {master}\n") == (0, "Stored for pypi. Next: twine upload dist/*\n", "")
    assert FileKeyring().passwords() == {(PRIVATE, "default"): master}


def test_login_takes_a_master_that_is_itself_restricted(command: Command) -> None:
    token = Token.load(new_master())
    token.restrict(project_names=["demo"])
    assert command("login", stdin=token.dump())[0] == 0
    assert FileKeyring().passwords() == {(PRIVATE, "default"): token.dump()}


def test_login_names_the_account_and_the_repository_of_the_next_step(command: Command) -> None:
    assert command("login", "-r", "testpypi", "--account", "work", stdin=new_master("test.pypi.org"))[1] == (
        "Stored for testpypi (account work). Next: twine upload -r testpypi dist/*\n"
    )


def test_login_says_that_another_master_was_replaced(command: Command, stored: str) -> None:
    assert command("login", stdin=stored)[1] == "Stored for pypi. Next: twine upload dist/*\n"
    other = new_master(identifier="another")
    assert command("login", stdin=other)[1] == (
        "Stored for pypi. It replaces the previous one; if you no longer need that, revoke it on pypi.org. "
        "Next: twine upload dist/*\n"
    )
    assert FileKeyring().passwords() == {(PRIVATE, "default"): other}


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
        f"no master is stored for {name} (account {key[1]!r}), so there is nothing to delete."
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
        (
            ["--account", "a b"],
            "pypi-x",
            f"'a b' is not a valid account label: use {LABEL_RULE}.",
        ),
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


def test_a_repository_that_leaves_the_policy_while_its_token_is_typed_gets_no_master(
    user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = user_policy('[repository.company]\nurl = "https://index.example/up/"\n')

    class Typed(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            file.write_text("")
            return super().read(size)

    monkeypatch.setattr(sys, "stdin", Typed(new_master("index.example")))
    assert main(["login", "-r", "company"]) == 1
    assert capsys.readouterr() == (
        "",
        "keyring-pypitoken: no master can be stored for company: see `keyring-pypitoken status`.\n",
    )
    assert FileKeyring().passwords() == {}
