"""`status` tells whether uploads get restricted tokens, and all that would go before them, each with its remedy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import platformdirs
import pytest
from file_keyring import FileKeyring, SecondKeyring
from sandbox import Command, WritePolicy, new_master

from keyring_pypitoken import paths
from keyring_pypitoken.cli import bypasses

if TYPE_CHECKING:
    from typing import Any


PYPI, TEST, TOKEN = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/", "__token__"
SECRET = "hunter2-of-mine-and-nobody-elses"
POSIX = pytest.mark.skipif(os.name != "posix", reason="programs are scripts here, which need POSIX")


@pytest.fixture(autouse=True)
def nothing_on_path(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    """Let no `keyring` of the developer's be found."""
    monkeypatch.setenv("PATH", str(work))


@pytest.fixture
def stored() -> str:
    """Store a master; return its text."""
    master = new_master()
    keyring.set_password(PYPI, TOKEN, master)
    return master


def problems(command: Command) -> list[tuple[str, str]]:
    """Return the problems that are found, each with its remedy; and check that the words hold them, and no secret."""
    found: dict[str, Any] = command.json("status", code=1)
    code, out, err = command("status")
    assert (code, err) == (1, "")
    told = [(entry["problem"], entry["remedy"]) for entry in found["problems"]]
    assert out.startswith(f"Not ready, {len(told)} problem{'' if len(told) == 1 else 's'}:\n")
    for problem, remedy in told:
        assert f"- {problem}: {remedy}.\n" in out
        assert problem
        assert remedy
    assert not [at for at in range(len(SECRET) - 12) if SECRET[at : at + 12] in out + str(found)]
    assert found["ready"] is False
    return told


# When all is well


@pytest.mark.parametrize("name", ["status", "doctor"])
def test_the_first_line_is_the_verdict(name: str, stored: str, command: Command) -> None:
    assert stored
    code, out, err = command(name)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Ready: uploads to pypi get restricted tokens, and nothing goes before them.",
        "  masters   pypi (default)",
        "  kept in   file_keyring.FileKeyring, another keyring backend",
        "  policies  none, the defaults",
        "  keyring   no such command on PATH; uv needs one",
    ]


def test_tells_of_every_account_and_every_policy(
    stored: str, command: Command, work: Path, user_policy: WritePolicy, site_policy: WritePolicy
) -> None:
    keyring.set_password(f"{PYPI}?work", TOKEN, stored)
    keyring.set_password(TEST, TOKEN, new_master("test.pypi.org"))
    (work / "pypitoken.toml").touch()
    user_policy("notice = false\n")
    site_policy("")
    found = command.json("status")
    assert found["ready"] is True
    assert [(account["repository"], account["account"]) for account in found["accounts"]] == [
        ("pypi", "default"),
        ("pypi", "work"),
        ("testpypi", "default"),
    ]
    assert found["policies"] == {
        "project": "pypitoken.toml",
        "user": paths.user_policy(),
        "site": paths.site_policies()[0],
    }
    assert [store["name"] for store in found["stores"] if store["keeps"]] == ["file_keyring.FileKeyring"]
    assert found["command"] is None
    assert "Ready: uploads to pypi and testpypi get restricted tokens" in command("status")[1]


# Masters


def test_without_a_master_nothing_is_ready(command: Command) -> None:
    assert problems(command) == [("no master is stored", "`keyring-pypitoken login` stores one")]


def test_finds_raw_masters(stored: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first,second")
    FileKeyring().plant(PYPI, TOKEN, stored)
    SecondKeyring().plant("pdm-repository-testpypi", TOKEN, SECRET)
    assert problems(command) == [
        (
            (
                f"a token lies raw in file_keyring.{backend} under {service!r}, where uploaders find it if this "
                "package is not asked"
            ),
            "`keyring-pypitoken adopt` moves it",
        )
        for backend, service in (("FileKeyring", PYPI), ("SecondKeyring", "pdm-repository-testpypi"))
    ]
    FileKeyring().delete_password(f"keyring-pypitoken:{PYPI}", "default")
    assert len(problems(command)) == 2


@pytest.mark.usefixtures("stored")
def test_tells_of_a_store_that_cannot_be_asked(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "first:get")
    assert problems(command) == [
        (
            (
                "the keyring backend file_keyring.FileKeyring could not be read (KeyringLocked): unlock or repair it, "
                "and try again"
            ),
            "until then every upload is refused",
        )
    ]


def test_tells_of_a_store_that_is_not_there(command: Command, user_policy: WritePolicy) -> None:
    user_policy('[store]\nbackend = "no.such.Backend"\n')
    assert "[store] names the backend 'no.such.Backend', which cannot be loaded" in problems(command)[0][0]


# Policies


@pytest.mark.usefixtures("stored")
def test_tells_of_policies_that_cannot_be_followed(command: Command, work: Path, user_policy: WritePolicy) -> None:
    user_policy("x = 1\n")
    (work / "pypitoken.toml").write_text("y = 1\n")
    found = problems(command)
    assert [remedy for _, remedy in found] == ["`keyring-pypitoken check` tells all of it"] * 2
    assert [name in problem for name, (problem, _) in zip(("'x'", "'y'"), found, strict=True)] == [True, True]


# What goes before keyring


@pytest.mark.parametrize(("name", "uploader"), bypasses._VARIABLES.items())
@pytest.mark.usefixtures("stored")
def test_finds_passwords_in_the_environment(
    name: str, uploader: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "")
    assert command("status")[0] == 0
    monkeypatch.setenv(name, SECRET)
    assert problems(command) == [
        (f"the variable {name} is set, and {uploader} takes it before it asks keyring", f"`unset {name}`")
    ]


PYPIRC = {
    f"[pypi]\nusername = __token__\npassword = {SECRET}\n": "pypi",
    f"[testpypi]\npassword = {SECRET}\n": "testpypi",
    f"[distutils]\nindex-servers = x\n[x]\nrepository: https://UPLOAD.pypi.org/legacy\npassword: {SECRET}\n": "x",
    f"[x]\nrepository = http://upload.pypi.org/legacy/\npassword = {SECRET}%(x)s\n": "x",
    f"[x]\nrepository = https://index.example/\npassword = {SECRET}\n": None,
    f"[x]\npassword = {SECRET}\n": None,
    "[pypi]\nusername = __token__\n": None,
    "[pypi]\npassword =\n": None,
    "": None,
}


@pytest.mark.parametrize(("text", "section"), PYPIRC.items())
@pytest.mark.usefixtures("stored")
def test_finds_passwords_in_a_pypirc(text: str, section: str | None, command: Command, home: Path) -> None:
    (home / ".pypirc").write_text(text)
    if section is None:
        assert command("status")[0] == 0
        return
    assert problems(command) == [
        (
            f"~/.pypirc holds a password for [{section}], which uploaders take before they ask keyring",
            "store that token with `keyring-pypitoken login`, then delete the line `password` there",
        )
    ]


@pytest.mark.parametrize(("text", "kind"), [("no section\n", "MissingSectionHeaderError"), (b"\xff", "PolicyError")])
@pytest.mark.usefixtures("stored")
def test_tells_of_a_pypirc_that_cannot_be_read(text: str | bytes, kind: str, command: Command, home: Path) -> None:
    (home / ".pypirc").write_bytes(text.encode() if isinstance(text, str) else text)
    assert problems(command) == [(f"~/.pypirc cannot be read ({kind})", "correct it there")]


def settings(program: str, *, roaming: bool = False) -> Path:
    """Return the directory of a program's settings."""
    return Path(platformdirs.user_config_dir(program, appauthor=False, roaming=roaming))


SETTINGS = [
    ("pypoetry", "auth.toml", f'[pypi-token]\npypi = "{SECRET}"\n', "pypi-token.pypi", "poetry"),
    ("pypoetry", "auth.toml", f'[pypi-token]\ntestpypi = "{SECRET}"\n', "pypi-token.testpypi", "poetry"),
    ("pypoetry", "auth.toml", f'[http-basic.pypi]\npassword = "{SECRET}"\n', "http-basic.pypi.password", "poetry"),
    ("pdm", "config.toml", f'[repository.pypi]\npassword = "{SECRET}"\n', "repository.pypi.password", "pdm"),
    ("pdm", "config.toml", f'[repository.testpypi]\npassword = "{SECRET}"\n', "repository.testpypi.password", "pdm"),
    ("hatch", "config.toml", f'[publish.index]\nauth = "{SECRET}"\n', "publish.index.auth", "hatch"),
    *(
        (
            "hatch",
            "config.toml",
            f'[publish.index.repos.{name}]\nauth = "{SECRET}"\n',
            f"publish.index.repos.{name}.auth",
            "hatch",
        )
        for name in ("main", "test")
    ),
]


@pytest.mark.parametrize(("program", "name", "text", "key", "uploader"), SETTINGS)
@pytest.mark.usefixtures("stored")
def test_finds_passwords_in_the_settings_of_uploaders(
    program: str, name: str, text: str, key: str, uploader: str, command: Command
) -> None:
    file = settings(program, roaming=program == "pypoetry") / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    ((problem, remedy),) = problems(command)
    assert problem == f"{file} holds {key}, and {uploader} takes it before it asks keyring"
    assert remedy.startswith("store that token with `keyring-pypitoken login`, then ")
    file.write_text("[broken\n")
    assert command("status")[0] == 0


@pytest.mark.parametrize(
    ("variable", "path", "text"),
    [
        ("POETRY_CONFIG_DIR", "auth.toml", SETTINGS[0][2]),
        ("PDM_CONFIG_FILE", "elsewhere.toml", SETTINGS[3][2]),
        ("HATCH_CONFIG", "elsewhere.toml", SETTINGS[5][2]),
    ],
)
@pytest.mark.usefixtures("stored")
def test_finds_settings_that_lie_elsewhere(
    variable: str, path: str, text: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / path).write_text(text)
    monkeypatch.setenv(variable, str(tmp_path if path == "auth.toml" else tmp_path / path))
    assert len(problems(command)) == 1


@pytest.mark.usefixtures("stored")
def test_finds_another_keyring_that_was_chosen(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyring.util import platform_

    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    assert problems(command) == [
        (
            "the variable PYTHON_KEYRING_BACKEND names keyring.backends.null.Keyring alone",
            "`unset PYTHON_KEYRING_BACKEND`",
        )
    ]
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    file = Path(platform_.config_root()) / "keyringrc.cfg"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[backend]\ndefault-keyring = file_keyring.FileKeyring\n")
    assert problems(command) == [
        ("keyring asks file_keyring.FileKeyring alone", f"delete `default-keyring` from {file}, or that file")
    ]
    file.write_text("[backend]\ndefault-keyring = keyring_pypitoken.backend.PyPITokenKeyring\n")
    assert command("status")[0] == 0


@POSIX
@pytest.mark.parametrize(
    ("script", "problem", "remedy"),
    [
        ("echo 'keyring_pypitoken.backend.PyPITokenKeyring (priority: 9.9)'", None, None),
        (
            "echo 'keyring.backends.SecretService.Keyring (priority: 5)'",
            "{command}, which uv and pdm would run, belongs to an environment without this package",
            "install keyring-pypitoken there, or let this environment's programs come first on PATH",
        ),
        ("exit 3", "{command}, which uv would run, fails (CalledProcessError)", "repair or remove it"),
    ],
)
@pytest.mark.usefixtures("stored")
def test_asks_the_keyring_that_uv_would_run(
    script: str, problem: str | None, remedy: str | None, command: Command, work: Path
) -> None:
    program = work / "keyring"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    if problem is None:
        assert f"\n  keyring   {program}\n" in command("status")[1]
        assert command("status")[0] == 0
    else:
        assert problems(command) == [(problem.format(command=program), remedy)]
