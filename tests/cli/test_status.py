"""`status`: its verdict and what it lists; what it foretells is in `test_situations.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import pytest
from file_keyring import FileKeyring, SecondKeyring
from situations import SECRET, Place, Situation, install

from keyring_pypitoken import paths
from keyring_pypitoken.cli import surroundings
from keyring_pypitoken.uploaders.uploader import Problem, all_uploaders

if TYPE_CHECKING:
    from typing import Any

    from sandbox import Command, WritePolicy

PYPI, TEST, TOKEN = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/", "__token__"


@pytest.fixture(autouse=True)
def no_uploaders(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    """Let none of the developer's programs be found, nor what is installed beside this package."""
    import importlib.util

    monkeypatch.setenv("PATH", str(work))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


@pytest.fixture
def place(home: Path, work: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(home, work, user_policy, monkeypatch)


def problems(command: Command) -> list[tuple[str, str]]:
    """Return the problems and remedies that are found; check that the words hold them, and no secret."""
    found: dict[str, Any] = command.json("status", code=1)
    code, out, err = command("status")
    assert (code, err) == (1, "")
    listed = [(entry["problem"], entry["remedy"]) for entry in found["problems"]]
    assert out.startswith(f"Not ready: {len(listed)} problem{'' if len(listed) == 1 else 's'}.\n")
    assert all(f"- {problem}: {remedy}.\n" in out for problem, remedy in listed)
    assert all(problem and remedy for problem, remedy in listed)
    assert not [at for at in range(len(SECRET) - 12) if SECRET[at : at + 12] in out + str(found)]
    assert found["ready"] is False
    return listed


@pytest.mark.parametrize("name", ["status", "doctor"])
@pytest.mark.usefixtures("stored")
def test_the_first_line_is_the_verdict(name: str, command: Command) -> None:
    code, out, err = command(name)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Ready. Uploads to pypi use restricted tokens; nothing bypasses them.",
        "No uploader was found on PATH: install one, such as `pip install twine`.",
        "  masters   pypi (default)",
        "  kept in   file_keyring.FileKeyring, another keyring backend",
        "  policies  the defaults",
    ]


@pytest.mark.usefixtures("stored", "project")
def test_each_uploader_has_a_line(command: Command, place: Place) -> None:
    install(place, Situation("", "poetry", "restricted"))
    line = "\n  poetry    would send a restricted token for demo to pypi\n"
    assert line in command("status")[1]
    place.set(POETRY_PYPI_TOKEN_PYPI=SECRET)
    assert problems(command)
    assert "\n  poetry    would bypass keyring-pypitoken: the variable POETRY_PYPI_TOKEN_PYPI" in command("status")[1]


@pytest.mark.usefixtures("project")
def test_a_refusal_is_a_line_too(command: Command, place: Place) -> None:
    install(place, Situation("", "poetry", "refused"))
    assert "\n  poetry    would be refused: no master is stored for pypi\n" in command("status")[1]


@pytest.mark.usefixtures("stored")
def test_an_index_of_its_own_is_not_ours(command: Command, place: Place) -> None:
    install(place, Situation("", "twine", "other"))
    place.set(TWINE_REPOSITORY_URL="https://index.example/up")
    code, out, _ = command("status")
    assert code == 0
    assert (
        "\n  twine     uploads to https://index.example/up (TWINE_REPOSITORY_URL), which keyring-pypitoken does not "
        "serve\n"
    ) in out


@pytest.mark.usefixtures("stored")
def test_flits_users_that_cannot_be_ours_are_a_bypass(command: Command, place: Place) -> None:
    install(place, Situation("", "flit", "bypass"))
    place.write("work/pyproject.toml", '[project]\nname = "demo\\u0007"\n')
    place.set(FLIT_USERNAME="me\t")
    problem = "flit asks keyring only for users that keyring-pypitoken does not answer"
    assert problems(command) == [(problem, "set its user name to `__token__`")]
    assert f"\n  flit      would bypass keyring-pypitoken: {problem}\n" in command("status")[1]
    place.set(FLIT_USERNAME=TOKEN)
    assert problem not in command("status")[1]


@pytest.mark.usefixtures("project")
def test_a_label_in_the_url_is_the_account(command: Command, place: Place) -> None:
    install(place, Situation("", "twine", "restricted"))
    place.store("work")
    place.set(TWINE_REPOSITORY_URL=f"{PYPI}?WORK")
    code, out, err = command("status")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Ready. Uploads to pypi use restricted tokens; nothing bypasses them.",
        "  twine     would send a restricted token for demo to pypi",
        "  masters   pypi (work)",
        "  kept in   file_keyring.FileKeyring, another keyring backend",
        "  policies  the defaults",
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
    found = command.json("status")
    assert found["ready"] is True
    assert [(account["repository"], account["account"]) for account in found["accounts"]] == [
        ("pypi", "default"),
        ("pypi", "work"),
        ("testpypi", "default"),
    ]
    assert found["policies"] == ["pypitoken.toml", paths.user_policy(), paths.site_policies()[0]]
    assert [store["name"] for store in found["stores"] if store["keeps"]] == ["file_keyring.FileKeyring"]
    assert found["keyring"] is None
    assert command("status")[1].startswith("Ready. Uploads to pypi and testpypi use restricted tokens;")


def test_a_master_that_no_note_knows_counts(stored: str, command: Command) -> None:
    from keyring_pypitoken.lookup import PYPI as REPOSITORY
    from keyring_pypitoken.vault.accounts import forget_account

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
        "no keyring of a desktop (Secret Service, KWallet, macOS, Windows) can keep the master here: "
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
                "the identity /nowhere/identity.txt ({policy}:3) does not exist: copy it from the machine that has it, "
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
    names = {"policy": paths.user_policy(), "age_file": paths.age_file()}
    assert problems(command)[0] == (problem.format(**names), remedy.format(**names))


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
        "`keyring-pypitoken login`",
    ]


@pytest.mark.usefixtures("stored")
def test_policies_that_cannot_be_followed_are_problems(command: Command, work: Path, user_policy: WritePolicy) -> None:
    user_policy("x = 1\n")
    (work / "pypitoken.toml").write_text("y = 1\n")
    found = problems(command)
    assert [remedy for _, remedy in found] == ["`keyring-pypitoken check` shows all of it"] * 2
    assert [name in problem for name, (problem, _) in zip(("'x'", "'y'"), found, strict=True)] == [True, True]


@pytest.mark.usefixtures("stored")
def test_finds_another_keyring_that_was_chosen(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyring.util import platform_

    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    assert problems(command) == [
        (
            (
                "the variable PYTHON_KEYRING_BACKEND names keyring.backends.null.Keyring alone, so keyring does not "
                "ask this package"
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
def test_uv_needs_the_keyring_command(command: Command, place: Place) -> None:
    install(place, Situation("", "uv", "bypass"))
    place.set(UV_KEYRING_PROVIDER="subprocess", UV_PUBLISH_USERNAME=TOKEN)
    (place.home / "environment" / "bin" / "keyring").unlink()
    assert problems(command) == [
        (
            "the `keyring` command, by which uv asks, is not on PATH",
            "`uv tool install keyring-pypitoken --with-executables-from keyring`",
        )
    ]


def test_an_uploader_beside_this_package_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util
    import sys

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "twine" or None)
    assert [(uploader.name, program) for uploader, program in surroundings.find_programs({})] == [
        ("twine", sys.executable)
    ]
    (uploader,) = (uploader for uploader, _ in surroundings.find_programs({}))
    assert surroundings.lacks_plugin(uploader, sys.executable, {}) is None


@pytest.mark.parametrize("file", ["lib", "lib64", "lib/python3.12/site-packages", "Lib/site-packages"])
def test_library_directories_that_cannot_be_read_are_passed_over(file: str, place: Place) -> None:
    (uploader,) = (uploader for uploader in all_uploaders() if uploader.name == "twine")
    environment = place.home / "environment"
    program = environment / "bin" / "twine"
    place.write(f"environment/{file}", "not a directory")
    place.write("environment/bin/twine", "")
    assert surroundings.lacks_plugin(uploader, str(program), {}) == Problem(
        f"{program} belongs to an environment without this package, so twine does not ask it",
        f"`uv pip install --python {environment / 'bin' / 'python'} keyring-pypitoken`",
    )
    other = "lib64" if file == "lib" else "lib"
    for name in ("python3.13/site-packages/keyring_pypitoken-9.0.0.dist-info", "systemd"):
        (environment / other / name).mkdir(parents=True)
    assert surroundings.lacks_plugin(uploader, str(program), {}) is None


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
        (
            "program uploader",
            "printed by op",
            "twine",
            "OWN",
            "keyring-pypitoken status",
        ),
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
                place.write("data/keyring-pypitoken/accounts/mistaken.json", "{}")
    lines = [
        "Uploads get restricted, short-lived tokens, derived from one PyPI token.",
        f"  master    {master}",
        f"  uploader  {uploader}",
        f"  policy    {policy.replace('OWN', paths.user_policy())}",
        f"Next: {step} (all commands: keyring-pypitoken --help)",
    ]
    code, out, err = command()
    assert (code, out.splitlines(), err) == (0, lines, "")


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
    for file in (".pypirc (line 2)", "[demo] of ~/.pypirc"):
        sent = {
            "problem": f"{file} holds a token, which uploaders send as it is",
            "remedy": "`keyring-pypitoken adopt`",
        }
        assert sent in problems
    for directory in (place.home, place.work):
        (directory / ".pypirc").unlink()  # no master may be left in the clear
