"""`status`: its verdict and what it lists; what it foretells is in `test_situations.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import keyring
import pytest
from file_keyring import FileKeyring, SecondKeyring
from sandbox import EXE, STORES, write_program
from situations import SECRET, Place, Situation, install

from keyring_pypitoken import paths
from keyring_pypitoken.cli import surroundings
from keyring_pypitoken.cli.surroundings import install_line
from keyring_pypitoken.lookup import PYPI as REPOSITORY
from keyring_pypitoken.vault import masters
from keyring_pypitoken.vault.accounts import forget_account, note_account

if TYPE_CHECKING:
    from typing import Any

    from sandbox import Command, WritePolicy

POSIX = pytest.mark.skipif(os.name != "posix", reason="programs are scripts here, which need POSIX")
PYPI, TEST, TOKEN = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/", "__token__"


@pytest.fixture(autouse=True)
def no_uploaders(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    """Let none of the developer's programs be found, nor what is installed beside this package."""
    import importlib.util

    monkeypatch.setenv("PATH", str(work))
    monkeypatch.setenv("PYTHONPATH", str(STORES))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


@pytest.fixture
def place(home: Path, work: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(home, work, user_policy, monkeypatch)


def problems(command: Command) -> list[tuple[str, str]]:
    """Return the problems and remedies that are found; check that the words hold them, and no secret."""
    document: dict[str, Any] = command.json("status", code=1)
    code, out, err = command("status")
    assert (code, err) == (1, "")
    listed = [(entry["problem"], entry["remedy"]) for entry in document["problems"]]
    assert all(out.count(f"{problem}: {remedy}") == 1 for problem, remedy in listed)
    assert all(problem and remedy for problem, remedy in listed)
    assert not [at for at in range(len(SECRET) - 12) if SECRET[at : at + 12] in out + str(document)]
    assert document["ready"] is False
    return listed


@pytest.mark.parametrize("name", ["status", "doctor"])
@pytest.mark.usefixtures("stored")
def test_what_is_there_is_listed(name: str, command: Command) -> None:
    code, out, err = command(name)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "-  masters   pypi (default)",
        "-  kept in   file_keyring.FileKeyring, another keyring backend",
        "-  policies  the defaults",
        "No uploader was found on PATH: install one, such as `pip install twine`.",
    ]


@pytest.mark.usefixtures("stored", "project")
def test_each_uploader_has_a_line(command: Command, place: Place) -> None:
    install(place, Situation("", "poetry", "restricted"))
    line = "ok poetry    restricted token for demo on pypi as default\n"
    assert command("status")[1].startswith(line)
    place.set(POETRY_PYPI_TOKEN_PYPI=SECRET)
    assert problems(command)
    line = "!  poetry    would send something else: the variable POETRY_PYPI_TOKEN_PYPI"
    assert command("status")[1].startswith(line)


@pytest.mark.usefixtures("project")
def test_a_refusal_is_a_line_too(command: Command, place: Place) -> None:
    install(place, Situation("", "poetry", "refused"))
    assert command("status")[1].startswith(
        "!  poetry    no master is stored for pypi, so poetry would ask you for a token and send it as it is: run "
        "`keyring-pypitoken login`\n"
    )
    place.store("work")
    place.write("work/pypitoken.toml", 'account = "wrok"\n')
    assert command("status")[1].startswith(
        "!  poetry    would be refused: no master is stored for pypi (account 'wrok': pypitoken.toml:1): did you mean "
        "'work'? If not, run `keyring-pypitoken login --account wrok`\n"
    )


@pytest.mark.usefixtures("stored")
def test_an_index_of_its_own_is_not_ours(command: Command, place: Place) -> None:
    install(place, Situation("", "twine", "other"))
    place.set(TWINE_REPOSITORY_URL="https://index.example/up")
    code, out, _ = command("status")
    assert code == 0
    assert (
        "-  twine     it uploads to https://index.example/up (TWINE_REPOSITORY_URL): add it to your own "
        "policy.toml if its tokens can be restricted\n"
    ) in out
    for url, verdict in (("https://pypi.org/legacy/", "refused"), ("https://pypi.org/simple", "bypass")):
        place.set(TWINE_REPOSITORY_URL=url)  # at the second twine asks for a password
        assert standings(command)["twine"][0] == verdict


@pytest.mark.usefixtures("stored")
def test_flits_users_that_cannot_be_ours_are_a_bypass(command: Command, place: Place) -> None:
    install(place, Situation("", "flit", "bypass"))
    place.write("work/pyproject.toml", '[project]\nname = "demo\\u0007"\n')
    place.set(FLIT_USERNAME="me\t")
    problem = "flit asks keyring only for users that keyring-pypitoken does not answer"
    assert problems(command) == [(problem, "set its user name to `__token__`")]
    assert f"!  flit      would send something else: {problem}: " in command("status")[1]


@pytest.mark.usefixtures("project")
def test_a_label_in_the_url_is_the_account(command: Command, place: Place) -> None:
    install(place, Situation("", "twine", "restricted"))
    place.store("work")
    place.set(TWINE_REPOSITORY_URL=f"{PYPI}?WORK")
    code, out, err = command("status")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "ok twine     restricted token for demo on pypi as work",
        "-  masters   pypi (work)",
        "-  kept in   file_keyring.FileKeyring, another keyring backend",
        "-  policies  the defaults",
    ]


@pytest.mark.usefixtures("stored")
def test_an_uploader_whose_settings_cannot_be_read_would_be_refused(command: Command, place: Place) -> None:
    install(place, Situation("", "twine", "refused"))
    place.set(TWINE_REPOSITORY="nowhere")
    assert problems(command) == [("~/.pypirc does not define the repository 'nowhere'", "correct the name, or add it")]


def test_lists_every_account_and_every_policy(
    stored: str, command: Command, work: Path, user_policy: WritePolicy, site_policy: WritePolicy
) -> None:
    from sandbox import new_master

    keyring.set_password(f"{PYPI}?work", TOKEN, stored)
    keyring.set_password(TEST, TOKEN, new_master("test.pypi.org"))
    (work / "pypitoken.toml").touch()
    user_policy("notice = false\n")
    site_policy("")
    document = command.json("status")
    assert document["ready"] is True
    assert [(account["repository"], account["account"]) for account in document["accounts"]] == [
        ("pypi", "default"),
        ("pypi", "work"),
        ("testpypi", "default"),
    ]
    assert document["policies"] == ["pypitoken.toml", paths.user_policy(), paths.site_policies()[0]]
    assert [store["name"] for store in document["stores"] if store["keeps"]] == ["file_keyring.FileKeyring"]
    assert document["keyring"] is None


def test_a_master_that_no_note_knows_counts(stored: str, command: Command) -> None:
    assert stored
    forget_account(REPOSITORY, "default")
    assert command.json("status")["accounts"] == [{"repository": "pypi", "account": "default", "stored": None}]


def test_without_a_master_nothing_is_ready(command: Command) -> None:
    assert problems(command) == [("no master is stored", "`keyring-pypitoken login`")]


def test_the_program_of_a_policy_is_not_started(command: Command, user_policy: WritePolicy, work: Path) -> None:
    program = work / "print-master"
    program.write_text(f"#!/bin/sh\ntouch {work / 'started'}\n")
    program.chmod(0o755)
    user_policy(f'[store]\ncommand = ["{program.as_posix()}"]\n')
    assert command("status")[0] == 0
    assert not (work / "started").exists()


def test_finds_unprotected_tokens_in_every_backend(
    stored: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first,second")
    FileKeyring().plant(PYPI, TOKEN, stored)
    SecondKeyring().plant("pdm-repository-testpypi", TOKEN, SECRET)
    assert problems(command) == [
        (
            (
                f"an unprotected token is stored in file_keyring.{backend} under {service!r}, where uploaders "
                "find it if this package is not asked"
            ),
            "`keyring-pypitoken adopt` moves it",
        )
        for backend, service in (("FileKeyring", PYPI), ("SecondKeyring", "pdm-repository-testpypi"))
    ]


@pytest.mark.usefixtures("stored")
def test_a_store_that_cannot_be_asked_is_a_problem(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "first:get")
    assert problems(command) == [
        (
            "the keyring backend file_keyring.FileKeyring could not be read (KeyringLocked)",
            "unlock or repair it, and try again",
        )
    ]


def test_a_store_that_is_missing_is_a_problem(command: Command, user_policy: WritePolicy) -> None:
    user_policy('[store]\nbackend = "no.such.Backend"\n')
    assert "[store] names the backend 'no.such.Backend', which cannot be loaded" in problems(command)[0][0]


def test_a_machine_without_a_store_is_told_before_the_login(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "")
    (store, _), nothing = problems(command)
    assert store.startswith(
        "no keyring of a desktop (Secret Service, KWallet, macOS, Windows) can keep the master here"
    )
    assert nothing == ("no master is stored", "`keyring-pypitoken login`")


@pytest.mark.parametrize(
    ("store", "problem", "remedy"),
    [
        (
            'command = ["no-such-program", "read"]',
            "the program 'no-such-program', which [store] names as `command`, is not found",
            "install it in an absolute directory of PATH, or name it by its absolute path",
        ),
        (
            'backend = "age"\nidentity = "/nowhere/identity.txt"',
            (
                "the identity {identity} ({policy}:3) does not exist: copy it from the machine that has it, "
                "or name another"
            ),
            "if it is lost, delete {age_file} and store a new token with `keyring-pypitoken login`",
        ),
    ],
)
def test_a_store_that_lacks_what_it_needs_is_a_problem(
    store: str, problem: str, remedy: str, command: Command, user_policy: WritePolicy
) -> None:
    user_policy(f"[store]\n{store}\n")
    identity = os.path.abspath("/nowhere/identity.txt")
    names = {"policy": paths.user_policy(), "age_file": paths.age_file(), "identity": identity}
    assert problems(command)[0] == (problem.format(**names), remedy.format(**names))
    assert command("explain")[0] == 1


def test_a_missing_library_of_the_age_file_is_a_problem(
    command: Command, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_policy('[store]\nbackend = "age"\n')
    assert problems(command) == [("no master is stored", "`keyring-pypitoken login`")]
    monkeypatch.setitem(sys.modules, "pyrage", None)
    assert problems(command)[0] == (
        "masters in a file need pyrage, which is not installed",
        "install `keyring-pypitoken[age]`",
    )


def test_what_keeps_every_uploader_is_one_problem_beside_the_missing_master(
    command: Command, work: Path, place: Place
) -> None:
    install(place, Situation("", "twine", "refused"))
    (work / "pypitoken.toml").write_text("y = 1\n")
    assert [remedy for _, remedy in problems(command)] == [
        "`keyring-pypitoken check` shows all of it",
        "run `keyring-pypitoken login`",
    ]


@pytest.mark.usefixtures("stored")
def test_policies_that_cannot_be_followed_are_problems(command: Command, work: Path, user_policy: WritePolicy) -> None:
    user_policy("x = 1\n")
    (work / "pypitoken.toml").write_text("y = 1\n")
    pairs = problems(command)
    assert [remedy for _, remedy in pairs] == ["`keyring-pypitoken check` shows all of it"] * 2
    assert [name in problem for name, (problem, _) in zip(("'x'", "'y'"), pairs, strict=True)] == [True, True]


@pytest.mark.usefixtures("stored")
def test_finds_another_keyring_that_was_chosen(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyring.util import platform_

    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "file_keyring.FileKeyring")
    assert problems(command) == [
        (
            (
                "the variable PYTHON_KEYRING_BACKEND names file_keyring.FileKeyring alone, so keyring does not ask "
                "this package"
            ),
            "`unset PYTHON_KEYRING_BACKEND`",
        )
    ]
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    file = Path(platform_.config_root()) / "keyringrc.cfg"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[backend]\ndefault-keyring = file_keyring.FileKeyring\n")
    assert problems(command) == [
        (
            f"{file} names file_keyring.FileKeyring alone, so keyring does not ask this package",
            f"delete `default-keyring` from {file}, or that file",
        )
    ]
    for backend in ("keyring_pypitoken.backend.PyPITokenKeyring", "keyring.backends.chainer.ChainerBackend"):
        file.write_text(f"[backend]\ndefault-keyring = {backend}\n")
        assert command("status")[0] == 0


@pytest.mark.usefixtures("stored", "project")
def test_uv_needs_the_keyring_command(command: Command, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    install(place, Situation("", "uv", "bypass"))
    place.set(UV_KEYRING_PROVIDER="disabled", UV_PUBLISH_USERNAME=TOKEN)  # `setup uv` would find nothing to do
    assert standings(command)["uv"][1].endswith("so uv does not ask keyring: `unset UV_KEYRING_PROVIDER`")
    place.set(UV_KEYRING_PROVIDER="", UV_NO_CONFIG="1")
    assert standings(command)["uv"][1].endswith("without a setting: `unset UV_NO_CONFIG`")
    monkeypatch.delenv("UV_NO_CONFIG")
    place.set(UV_KEYRING_PROVIDER="subprocess", UV_PUBLISH_USERNAME=TOKEN)
    (place.home / "environment" / "bin" / f"keyring{EXE}").unlink()
    assert problems(command) == [
        (
            "the `keyring` command, by which uv asks, is not on PATH",
            "`uv tool install keyring-pypitoken --with-executables-from keyring`",
        )
    ]


def standings(command: Command) -> dict[str, tuple[str, str]]:
    """Return the verdict and the text of each uploader."""
    code = command("status")[0]
    return {one["uploader"]: (one["verdict"], one["text"]) for one in command.json("status", code=code)["uploaders"]}


@pytest.mark.usefixtures("stored", "project")
def test_an_uploader_beside_this_package_counts(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = {"twine": SimpleNamespace(origin="here"), "hatch": SimpleNamespace(origin=None)}.get  # a directory has none
    monkeypatch.setattr(importlib.util, "find_spec", find)
    assert standings(command) == {"twine": READY}


READY = ("restricted", "restricted token for demo on pypi as default")
OUTRANKING = """
import keyring.backend

class Keyring(keyring.backend.KeyringBackend):
    priority = float("inf")

    def get_password(self, service, username):
        return None

    def set_password(self, service, username, password):
        pass
"""
METADATA = "Metadata-Version: 2.1\nName: a\nVersion: 1\n"


@POSIX
@pytest.mark.usefixtures("stored", "project")
def test_keyring_is_asked_which_backend_it_uses_there(
    command: Command, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(place, Situation("", "twine", ""))
    program = place.home / "environment" / "bin" / "twine"
    assert standings(command)["twine"] == READY

    # Another backend that is in front, alone or as the first of a chain.
    modules = "environment/modules"
    place.write(f"{modules}/outranking.py", OUTRANKING)
    place.write(f"{modules}/a-1.dist-info/METADATA", METADATA)
    place.write(f"{modules}/a-1.dist-info/entry_points.txt", "[keyring.backends]\n0 = outranking\n")
    chain, ours = "keyring.backends.chainer.ChainerBackend", "keyring_pypitoken.backend.PyPITokenKeyring"
    for environ in ({}, {"PYTHON_KEYRING_BACKEND": chain}):
        place.set(**environ)
        assert standings(command)["twine"] == (
            "bypass",
            (
                f"would send something else: {program} asks the keyring backend outranking.Keyring before this "
                f"package: `export PYTHON_KEYRING_BACKEND={ours}`"
            ),
        )
    place.set(PYTHON_KEYRING_BACKEND=ours)
    assert standings(command)["twine"] == READY

    # What cannot be asked is unknown, which is no problem.
    python = sys.executable
    for script in (
        f"#!{python} -c 1/0",
        "#!/bin/sh",
        "\0" * 2_000_000,
        "#!/nowhere/python",
        "#!/bin/sh\n'''exec' '",
        "#!",
    ):
        program.write_text(f"{script}\n")
        assert standings(command)["twine"][0] == "unknown", script
    program.write_text(f"#!{python}\n")
    monkeypatch.setattr(surroundings, "_PATIENCE", 0.001)
    assert standings(command)["twine"][0] == "unknown"


@POSIX
@pytest.mark.usefixtures("stored", "project")
def test_a_package_that_is_broken_there_or_has_no_store_is_a_bypass(command: Command, place: Place) -> None:
    install(place, Situation("", "twine", ""))
    program = place.home / "environment" / "bin" / "twine"
    place.write("environment/modules/keyring_pypitoken/__init__.py", "1 / 0\n")
    assert standings(command)["twine"] == (
        "bypass",
        (
            f"would send something else: {program} cannot import this package (ZeroDivisionError), so twine does not "
            f"ask it: `{install_line(Path(sys.prefix))}`"
        ),
    )
    place.write("environment/modules/keyring_pypitoken/__init__.py", "")
    backend = "from keyring.backend import KeyringBackend\nclass PyPITokenKeyring(KeyringBackend):\n    viable = {}\n"
    for viable, what in ((False, "has no keyring that can keep a master"), (True, "without this package")):
        place.write("environment/modules/keyring_pypitoken/backend.py", backend.format(viable))
        assert what in standings(command)["twine"][1]


@POSIX
@pytest.mark.usefixtures("project")
def test_an_environment_without_a_store_matters_only_if_a_master_is_stored(command: Command, place: Place) -> None:
    install(place, Situation("", "twine", ""))
    backend = (
        "from keyring.backend import KeyringBackend\nclass PyPITokenKeyring(KeyringBackend):\n    viable = False\n"
    )
    place.write("environment/modules/keyring_pypitoken/__init__.py", "")
    place.write("environment/modules/keyring_pypitoken/backend.py", backend)
    assert standings(command)["twine"][0] == "asks"


@POSIX
@pytest.mark.usefixtures("stored", "project")
def test_nothing_of_a_checkout_runs_while_keyring_is_asked(command: Command, place: Place) -> None:
    install(place, Situation("", "twine", ""))
    for name in ("keyring", "json", "sitecustomize", "keyring_pypitoken"):
        place.write(f"work/{name}.py", "import pathlib\npathlib.Path(__file__ + '.ran').touch()\n")
    for path in ("", "."):
        place.set(PYTHONPATH=os.pathsep.join([path, str(place.home / "environment" / "modules"), str(STORES)]))
        assert standings(command)["twine"] == READY
    assert list(place.work.glob("*.ran")) == []


@POSIX
@pytest.mark.parametrize(
    "launcher",
    [
        "#!{python}\n",
        "#!/usr/bin/env {name}\n",
        "#!/usr/bin/env -S {name} -s\n",
        "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n",
        'MZ\0PE#!C:\\not\\this.exe\r\n\0#!"{python}"\r\nPK\3\4',
    ],
)
@pytest.mark.usefixtures("stored", "project")
def test_the_environment_is_that_of_the_launcher(launcher: str, command: Command, place: Place) -> None:
    install(place, Situation("", "twine", ""))
    programs = place.home / "environment" / "bin"
    python = programs / ("python.exe" if launcher.startswith("MZ") else "python3")
    write_program(python, sys.executable)
    place.write("environment/bin/twine", launcher.format(python=python, name=python.name))
    (programs / "twine").chmod(0o755)
    assert standings(command)["twine"] == READY


@POSIX
@pytest.mark.usefixtures("stored", "project")
def test_a_program_or_directory_of_an_uploaders_name_is_none(command: Command, place: Place) -> None:
    install(place, Situation("", "poetry", ""))
    (place.home / "environment" / "modules" / "poetry.py").unlink()
    (place.home / "environment" / "bin" / "hatch").mkdir()
    assert [(name, verdict) for name, (verdict, _) in standings(command).items()] == [("poetry", "unknown")]


@POSIX
@pytest.mark.usefixtures("project")
def test_what_only_a_store_or_a_build_can_show_is_unknown(command: Command, place: Place) -> None:
    install(place, Situation("", "twine", ""))
    place.store()
    (place.work / "pyproject.toml").unlink()
    place.write("work/setup.py", "")
    code, out, _ = command("status")
    assert (code, out[:20]) == (0, "?  twine     unknown"), out
    assert "build it, since `setup.py` does not show its name before" in out
    forget_account(REPOSITORY, "default")
    FileKeyring().delete_password("keyring-pypitoken:" + PYPI, "default")
    place.write("data/keyring-pypitoken/masters.age", "age")
    assert standings(command)["twine"] == (
        "unknown",
        "unknown: whether a master is stored shows only when the age file is opened: run `keyring-pypitoken login`",
    )


@POSIX
@pytest.mark.usefixtures("project")
def test_a_raw_token_serves_and_is_named_and_a_setting_that_stops_uv_is_too(command: Command, place: Place) -> None:
    install(place, Situation("", "twine", ""))
    FileKeyring().plant(PYPI, TOKEN, place.master("pypi.org"))
    assert standings(command)["twine"] == READY
    place.set(UV_KEYRING_PROVIDER="subprocess", UV_PUBLISH_USERNAME=TOKEN)
    place.write("config/uv/uv.toml", 'trusted-publishing = "always"\n')
    (place.home / "environment" / "bin" / "twine").rename(place.home / "environment" / "bin" / "uv")
    verdict, text = standings(command)["uv"]
    assert (verdict, "is always, and uv then refuses to ask keyring" in text) == ("refused", True)
    place.write(f"{paths.accounts_directory()}/mistaken.json", "{}")
    place.user_policy('max-master-age = "1d"\n')
    assert [problem for problem, _ in problems(command) if "mistaken.json is not a note" in problem]


def test_masters_that_cannot_be_reached_or_have_an_old_name_are_named(
    stored: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    FileKeyring().plant("keyring-pypitoken:" + PYPI, "work", stored)
    note_account(REPOSITORY, "work")
    store = "file_keyring.FileKeyring has a master under 'keyring-pypitoken:https://upload.pypi.org/legacy/', a name of"
    assert [problem.startswith(store) for problem, _ in problems(command)] == [True]
    monkeypatch.setattr(masters, "why_unreachable", lambda *_: "the keyring is locked (Secret Service): unlock it")
    assert [problem for problem, _ in problems(command)][:2] == [
        f"the master for pypi (account {label!r}) cannot be read now: the keyring is locked (Secret Service)"
        for label in ("default", "work")
    ]


NO_MASTER, NO_UPLOADER = "none stored by keyring-pypitoken yet", "none"
NO_POLICY = "the defaults; `keyring-pypitoken init` writes one for a project"


@pytest.mark.parametrize(
    ("there", "master", "uploader", "policy", "step"),
    [
        ("", NO_MASTER, NO_UPLOADER, NO_POLICY, "keyring-pypitoken login"),
        ("uploader", NO_MASTER, "twine", NO_POLICY, "keyring-pypitoken login"),
        ("master", "pypi (default)", NO_UPLOADER, NO_POLICY, "pip install twine"),
        ("master uploader", "pypi (default)", "twine", NO_POLICY, "keyring-pypitoken status"),
        ("master uploader policy", "pypi (default)", "twine", "pypitoken.toml", "keyring-pypitoken status"),
        ("master uploader mistake", "pypi (default)", "twine", "has a mistake", "keyring-pypitoken status"),
        ("program uploader", "printed by op", "twine", "OWN", "keyring-pypitoken status"),
        ("mistaken-note uploader", "cannot be found", "twine", NO_POLICY, "keyring-pypitoken status"),
    ],
)
def test_the_command_alone_says_in_five_lines_what_is_there_and_the_next_step(
    there: str, master: str, uploader: str, policy: str, step: str, command: Command, place: Place
) -> None:
    for word in there.split():
        match word:
            case "master":
                place.store()
            case "uploader":
                install(place, Situation("", "twine", "restricted"))
            case "policy" | "mistake":
                place.write("work/pypitoken.toml", "valid-for = 0" if word == "mistake" else "")
            case "program":
                place.user_policy('[store]\ncommand = ["op", "read"]\n')
            case _:
                place.write(f"{paths.accounts_directory()}/mistaken.json", "{}")
    lines = [
        "Uploads get restricted, short-lived tokens, derived from one PyPI token.",
        f"  master    {master}",
        f"  uploader  {uploader}",
        f"  policy    {policy.replace('OWN', paths.user_policy())}",
        f"Next: {step} (all commands: keyring-pypitoken --help)",
    ]
    if uploader == "twine":
        ((verdict, text),) = standings(command).values()
        lines[2] = f"{ {'restricted': 'ok', 'unknown': '?'}.get(verdict, '!') } twine {text}"
    code, out, err = command()
    assert (code, [line.split() for line in out.splitlines()], err) == (0, [line.split() for line in lines], "")


@pytest.mark.usefixtures("stored")
def test_the_command_alone_asks_no_store(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A desktop's keyring may open a dialog if it is asked."""
    asked: list[str] = []
    monkeypatch.setattr(FileKeyring, "get_password", lambda _self, service, _username: asked.append(service))
    assert command()[0] == 0
    assert asked == []


def test_tokens_in_any_pypirc_are_problems(place: Place, command: Command) -> None:
    (place.home / ".pypirc").write_text(
        f"[demo]\nrepository = https://x.example/\npassword = {place.master('pypi.org')}\n"
    )
    (place.work / ".pypirc").write_text(f"[pypi]\npassword = {place.master('pypi.org')}\n")
    problems = command.json("status", code=1)["problems"]
    by_hand = "store it with `keyring-pypitoken login`, and delete it there"
    for file, remedy in ((".pypirc (line 2)", by_hand), ("[demo] of ~/.pypirc", "`keyring-pypitoken adopt`")):
        sent = {"problem": f"{file} holds a token, which uploaders send as it is", "remedy": remedy}
        assert sent in problems
    for directory in (place.home, place.work):
        (directory / ".pypirc").unlink()  # no master may be left in the clear
