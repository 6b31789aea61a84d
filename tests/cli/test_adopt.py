"""`adopt` moves raw masters to where only this package looks; at every moment each is in one place at least."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import keyring
import pytest
from file_keyring import FileKeyring, SecondKeyring
from sandbox import Command, WritePolicy, forget, new_master

from keyring_pypitoken import Token
from keyring_pypitoken.lookup import PYPI as REPOSITORY
from keyring_pypitoken.vault import accounts

if TYPE_CHECKING:
    from pathlib import Path


PYPI, TEST, TOKEN = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/", "__token__"
PRIVATE = (f"keyring-pypitoken:{PYPI}", "default")

KEYS = {
    PYPI: "pypi.org",
    PYPI.removesuffix("/"): "pypi.org",
    "upload.pypi.org": "pypi.org",
    "poetry-repository-pypi": "pypi.org",
    "pdm-repository-pypi": "pypi.org",
    TEST: "test.pypi.org",
    "test.pypi.org": "test.pypi.org",
    "poetry-repository-testpypi": "test.pypi.org",
}


@pytest.mark.parametrize(("service", "domain"), KEYS.items())
def test_moves_what_is_under_an_uploaders_key(service: str, domain: str, command: Command, work: Path) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    master = new_master(domain)
    FileKeyring().plant(service, TOKEN, master)
    where = f"- {service!r} (user '__token__') in file_keyring.FileKeyring: it "
    would = f"{where}would be moved to the master of the account 'default'\n"
    assert command("adopt", "--dry-run") == (0, would, "")
    assert FileKeyring().passwords() == {(service, TOKEN): master}
    assert command("adopt") == (0, f"{where}was moved to the master of the account 'default'\n", "")
    url = PYPI if domain == "pypi.org" else TEST
    assert FileKeyring().passwords() == {(f"keyring-pypitoken:{url}", "default"): master}
    forget()
    assert command("adopt") == (0, "No unprotected tokens found in your keyrings, nor in .pypirc files.\n", "")
    forget()
    text = keyring.get_password(url, TOKEN)
    assert text is not None
    assert len(Token.load(text).raw_caveats) == 2


def test_moves_between_backends_too(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first,second")
    master = new_master()
    SecondKeyring().plant("upload.pypi.org", TOKEN, master)
    entry = {
        "repository": "pypi",
        "service": "upload.pypi.org",
        "username": TOKEN,
        "store": "file_keyring.SecondKeyring",
        "outcome": "it would be moved to the master of the account 'default'",
        "problem": "",
    }
    assert command.json("adopt", "--dry-run") == {"moved": False, "found": [entry]}
    entry["outcome"] = "it was moved to the master of the account 'default'"
    assert command.json("adopt") == {"moved": True, "found": [entry]}
    assert (FileKeyring().passwords(), SecondKeyring().passwords()) == ({PRIVATE: master}, {})


def test_deletes_a_copy_of_the_stored_master(command: Command) -> None:
    master = new_master()
    keyring.set_password(PYPI, TOKEN, master)
    for service in (PYPI, "upload.pypi.org"):
        FileKeyring().plant(service, TOKEN, master)
    _, out, _ = command("adopt", "--dry-run")
    assert out.count("it is stored already, and the copy there would be deleted\n") == 2
    assert len(FileKeyring().passwords()) == 3
    code, out, _ = command("adopt")
    assert (code, out.count("it is stored already, and the copy there was deleted\n")) == (0, 2)
    assert FileKeyring().passwords() == {PRIVATE: master}


def expiring() -> str:
    """Return a derived token."""
    return Token.load(new_master()).restrict(not_before=1, not_after=2).dump()


LEFT = {
    "hunter2-of-mine": "this is not a PyPI API token, and a password cannot be restricted: ",
    expiring(): "this token expires: it is a derived token, not a master: ",
    new_master("index.example"): "this token is for 'index.example', but pypi needs one for pypi.org: ",
}


@pytest.mark.parametrize(("text", "reason"), LEFT.items(), ids=["password", "derived", "another index"])
def test_leaves_what_is_not_a_master(text: str, reason: str, command: Command) -> None:
    FileKeyring().plant(PYPI, TOKEN, text)
    code, out, err = command("adopt")
    assert (code, err) == (1, "")
    assert out.startswith(f"- '{PYPI}' (user '__token__') in file_keyring.FileKeyring: not moved, because {reason}")
    assert text not in out
    assert FileKeyring().passwords() == {(PYPI, TOKEN): text}


def test_leaves_another_master_until_it_is_stored_as_the_advice_says(command: Command, home: Path) -> None:
    master, other = new_master(), new_master(identifier="another")
    keyring.set_password(PYPI, TOKEN, master)
    FileKeyring().plant(PYPI, TOKEN, other)
    text = f"[pypi]\npassword = {other}\n"
    (home / ".pypirc").write_text(text)
    problem = (
        "another master is stored for pypi (account 'default'): store this one with `keyring-pypitoken login -r pypi "
        "--account LABEL`, and run this again."
    )
    assert [entry["problem"] for entry in command.json("adopt", code=1)["found"]] == [problem] * 2
    assert FileKeyring().passwords() == {PRIVATE: master, (PYPI, TOKEN): other}
    assert (home / ".pypirc").read_text() == text
    assert command("login", "--account", "b", stdin=other)[0] == command("adopt")[0] == 0
    assert FileKeyring().passwords() == {PRIVATE: master, (f"{PRIVATE[0]}?b", "b"): other}
    assert (home / ".pypirc").read_text() == "[pypi]\n"


@pytest.mark.parametrize(
    ("broken", "what"), [("get", "be read"), ("set", "store the master"), ("delete", "delete the master")]
)
def test_loses_nothing_if_a_store_fails(
    broken: str, what: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = new_master()
    FileKeyring().plant(PYPI, TOKEN, master)
    monkeypatch.setenv("TEST_KEYRING_BROKEN", f"first:{broken}")
    assert command.refused("adopt") == (
        f"the keyring backend file_keyring.FileKeyring could not {what} (KeyringLocked): unlock or repair it, and try "
        "again."
    )
    monkeypatch.delenv("TEST_KEYRING_BROKEN")
    kept = FileKeyring().passwords()
    assert kept == {(PYPI, TOKEN): master} | ({PRIVATE: master} if broken == "delete" else {})
    assert command("adopt")[0] == 0
    assert FileKeyring().passwords() == {PRIVATE: master}


def test_a_broken_policy_of_the_user_moves_nothing(command: Command, user_policy: WritePolicy) -> None:
    master = new_master()
    FileKeyring().plant(PYPI, TOKEN, master)
    path = user_policy("notice = 1\n")
    assert command.refused("adopt") == (
        f"the policy cannot be followed: {path}:1: notice is 1, expected true or false; correct it there."
    )
    assert FileKeyring().passwords() == {(PYPI, TOKEN): master}


def test_a_store_that_forgets_loses_nothing(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    master = new_master()
    FileKeyring().plant(PYPI, TOKEN, master)
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "forget")
    assert "did not store the master" in command.refused("adopt")
    assert FileKeyring().passwords() == {(PYPI, TOKEN): master}


PYPIRC = """\
[distutils]
index-servers =
    pypi
    company
# my notes
[pypi]\r
username = __token__
password = {master}
[company]
repository = https://index.example/
password = hunter2
[again]
repository: https://UPLOAD.pypi.org/legacy
Password:
    {master}
    ; a remark
realm = x
"""


def test_moves_the_tokens_of_a_pypirc_and_leaves_the_rest_byte_for_byte(command: Command, home: Path) -> None:
    master, file = new_master(), home / ".pypirc"
    text = PYPIRC.format(master=master)
    file.write_bytes(text.encode())
    file.chmod(0o640)
    assert command("adopt", "--dry-run") == (
        0,
        (
            "- '[pypi]' (user '__token__') in ~/.pypirc: it would be moved to the master of the account 'default'\n"
            "- '[again]' (user '__token__') in ~/.pypirc: it is stored already, and the copy there would be deleted\n"
        ),
        "",
    )
    assert file.read_bytes() == text.encode()
    code, out, _ = command("adopt")
    assert (code, out.count("it is stored already, and the copy there was deleted\n")) == (0, 1)
    assert FileKeyring().passwords() == {PRIVATE: master}
    left = text.replace(f"password = {master}\n", "").replace(f"Password:\n    {master}\n", "")
    assert file.read_bytes() == left.encode()
    assert os.name != "posix" or file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in home.glob(".pypirc*")) == [".pypirc"]
    assert master not in command("adopt")[1]


def scoped(*projects: str, domain: str = "pypi.org") -> str:
    """Return a master for some projects, with an identifier of its own."""
    return Token.load(new_master(domain, identifier=f"of {projects}")).restrict(project_names=projects).dump()


FORMS = {
    "indented": "[pypi]\n  username = __token__\n  password = {}\n  # a remark\n",
    "an indented header": " [pypi]\nusername = __token__\npassword = {}\n",
    "a byte order mark": "\ufeff[pypi]\nusername = __token__\npassword = {}\n",
    "no line end": "[pypi]\npassword: {}",
    "line ends of Windows and Macs": "[pypi]\r\npassword={}\r\nusername = x\r[a]\rb = c\r",
    "defaults": "[DEFAULT]\npassword = {}\n[pypi]\nusername = __token__\n",
    "the first format": "[server-login]\nusername: __token__\npassword: {}\n",
    "an unknown index": "[company]\nrepository = https://index.example/\npassword = {}\n",
    "no value beside the key": "[pypi]\nusername = x\nPASSWORD =\n    {}\n\n[b]\nusername = y\n",
    "bytes that are not UTF-8": "[pypi]\npassword = {}\n# caf\udce9\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_takes_a_token_out_of_a_pypirc_however_it_is_written(form: str, command: Command, home: Path) -> None:
    master, file = new_master(), home / ".pypirc"
    text = FORMS[form].format(master)
    file.write_bytes(text.encode(errors="surrogateescape"))
    dry, wet = command("adopt", "--dry-run"), command("adopt")
    assert dry == (0, wet[1].replace("was moved", "would be moved"), "")
    left = file.read_bytes()
    assert wet[0] == 0
    assert master.encode() not in left
    if form != "no value beside the key":
        lines = text.encode(errors="surrogateescape").splitlines(keepends=True)
        assert left == b"".join(line for line in lines if master.encode() not in line)


LEFT_THERE = {
    "line 1": "[pypi] ; {0}\n",
    "line 2, 9": "[pypi]\npassword = {0}\n #1\n #2\n #3\n #4\n #5\n #6\n {0}\n",
    "line 2": "[pypi]\n# password = {}\n",
    "line 3": "[pypi]\nusername = x\npasword = {}\n",
    "line 2, 4": "[DEFAULT]\na = {0}\n[pypi]\n# {0}\npassword = %(a)s\n",
}


@pytest.mark.parametrize("place", LEFT_THERE)
def test_names_a_token_that_it_does_not_take_out(place: str, command: Command, home: Path) -> None:
    master = new_master()
    text = LEFT_THERE[place].format(master)
    (home / ".pypirc").write_text(text)
    expected = (
        f"- ~/.pypirc: not moved, because a token can be read in it ({place}): store it with `keyring-pypitoken "
        "login`, delete it there, and revoke it if others can read that file.\n"
    )
    assert command("adopt", "--dry-run") == command("adopt") == (1, expected, "")
    assert (home / ".pypirc").read_text() == text
    (home / ".pypirc").unlink()  # no master may be left in the clear


def test_a_pypirc_that_uploaders_cannot_parse_is_left_alone(command: Command, home: Path) -> None:
    master = new_master()
    raw = {("upload.pypi.org", TOKEN): master}
    FileKeyring().plant("upload.pypi.org", TOKEN, master)
    (home / ".pypirc").write_text(f"[pypi]\npassword = {master}\n[pypi]\n")
    code, out, _ = command("adopt")
    assert code == 1
    assert (
        "- ~/.pypirc: not moved, because ~/.pypirc holds a token (line 2) and is not a valid INI file "
        "(DuplicateSectionError): correct it, and try again.\n"
    ) in out
    assert FileKeyring().passwords() == {PRIVATE: master} != raw, "others are moved all the same"
    (home / ".pypirc").write_text("[pypi]\n[pypi]\n")
    assert command("adopt")[0] == 0
    (home / ".pypirc").write_text("x" * 5000)
    assert "~/.pypirc has a line of more than 4096 characters: shorten it.\n" in command("adopt")[1]


def test_each_token_of_a_pypirc_goes_to_an_account_of_its_own(command: Command, home: Path) -> None:
    unscoped, test = new_master(), new_master("test.pypi.org")
    sections = {
        "pypi": unscoped,
        "testpypi": test,
        "first": scoped("proja"),
        "Proj.B": new_master(identifier="shows no project"),
        "some projects": scoped("c", "d"),
        "nothing valid!": new_master(identifier="of a section"),
    }
    text = "".join(f"[{name}]\nrepository = {PYPI}\npassword = {token}\n" for name, token in sections.items())
    (home / ".pypirc").write_text(text.replace(f"{PYPI}\npassword = {test}", f"{TEST}\npassword = {test}"))
    code, out, _ = command("adopt")
    assert (code, out.count("was moved")) == (0, 6)
    assert FileKeyring().passwords() == {
        (f"keyring-pypitoken:{url}", account): token
        for url, account, token in (
            (PYPI, "default", unscoped),
            (TEST, "default", test),
            (f"{PYPI}?proja", "proja", sections["first"]),
            (f"{PYPI}?proj-b", "proj-b", sections["Proj.B"]),
            (f"{PYPI}?some-projects", "some-projects", sections["some projects"]),
            (f"{PYPI}?nothing-valid", "nothing-valid", sections["nothing valid!"]),
        )
    }


def test_a_store_that_shows_one_entry_under_two_names_loses_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch, user_policy: WritePolicy
) -> None:
    """As keyring-pass does with a last slash: no master is stored there, and its raw ones go elsewhere."""
    monkeypatch.setenv("TEST_KEYRINGS", "first,second")
    master = new_master()
    for name in ("get", "set", "delete"):
        real = getattr(FileKeyring, f"{name}_password")

        def joined(store: FileKeyring, service: str, *rest: str, real: Any = real) -> str | None:
            is_loose = type(store) is FileKeyring
            result: str | None = real(store, service.rstrip("/") if is_loose else service, *rest)
            return result

        monkeypatch.setattr(FileKeyring, f"{name}_password", joined)
    FileKeyring().plant(PYPI.rstrip("/"), TOKEN, master)
    assert "returns the master for another name, too" in command.refused("adopt")
    assert list(FileKeyring().passwords().values()) == [master]
    user_policy('[store]\nbackend = "file_keyring.SecondKeyring"\n')
    dry, wet = command("adopt", "--dry-run"), command("adopt")
    assert (dry[0], wet[0]) == (0, 0)
    assert (FileKeyring().passwords(), list(SecondKeyring().passwords().values())) == ({}, [master])


def test_finds_what_is_stored_under_the_name_of_a_project(
    command: Command, work: Path, user_policy: WritePolicy
) -> None:
    """Of this project, of a policy, of an account, of a section of ~/.pypirc."""
    (work / "pyproject.toml").write_text('[project]\nname = "here"\n')
    user_policy('projects = ["allowed", "here"]\n')
    assert command("login", "--project", "noted", "--account", "work", stdin=new_master(identifier="old"))[0] == 0
    entries = {
        (PYPI, "pypi_token:project:here"): new_master(identifier="1"),
        (f"{PYPI}?allowed", TOKEN): scoped("allowed"),
        (f"{TEST}?noted", TOKEN): new_master("test.pypi.org", identifier="2"),
        (f"{TEST}?work", TOKEN): new_master("test.pypi.org", identifier="3"),
    }
    for (service, username), token in entries.items():
        FileKeyring().plant(service, username, token)
    code, out, _ = command("adopt")
    assert (code, out.count("was moved")) == (0, 4)
    noted = {label: entry.projects for label, entry in accounts.noted_accounts(REPOSITORY).items()}
    assert noted == {"work": ("noted",), "here": ("here",), "allowed": ("allowed",)}
    assert {user for service, user in FileKeyring().passwords() if TEST in service} == {"noted", "work"}


def test_moves_the_entry_that_a_person_names(command: Command) -> None:
    master = new_master()
    FileKeyring().plant("my release script", "me", master)
    where = "- 'my release script' (user 'me') in file_keyring.FileKeyring: it"
    moved = f"{where} was moved to the master of the account 'default'\n"
    assert command("adopt")[1] == "No unprotected tokens found in your keyrings, nor in .pypirc files.\n"
    assert command("adopt", "my release script", "me") == (0, moved, "")
    assert FileKeyring().passwords() == {PRIVATE: master}


def test_tokens_in_a_checkout_are_reported(command: Command, work: Path) -> None:
    master = new_master()
    (work / ".pypirc").write_text(f"[pypi]\npassword = {master}\n")
    (work / "ci").mkdir()
    (work / "ci" / "rc").write_text(f"[company]\npassword = {master}\n")
    (work / "Makefile").write_text("a:\n\ttwine upload --config-file ci/rc dist/*\n\ttwine --config-file=./none x\n")
    code, out, _ = command("adopt")
    assert (code, FileKeyring().passwords()) == (1, {})
    for name in (".pypirc", os.path.join("ci", "rc")):
        assert f"- {name}: not moved, because a token can be read in it (line 2): " in out
    for name in (".pypirc", "ci/rc"):
        (work / name).unlink()


def test_a_pypirc_that_is_gone_meanwhile_loses_nothing(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, keep = new_master(), FileKeyring.set_password
    (home / ".pypirc").write_text(f"[pypi]\npassword = {master}\n")

    def slow(store: FileKeyring, service: str, username: str, password: str) -> None:
        (home / ".pypirc").unlink()
        keep(store, service, username, password)

    monkeypatch.setattr(FileKeyring, "set_password", slow)
    assert command.refused("adopt") == "~/.pypirc was changed meanwhile: look into it, and try again."
    assert FileKeyring().passwords() == {PRIVATE: master}
