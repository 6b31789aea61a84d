"""Odd values in all that a lookup depends on: what is stored, users, labels, threads, the clock, the environment."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from types import ModuleType
from typing import TYPE_CHECKING

import keyring
import keyring.errors
import pytest
from file_keyring import FileKeyring
from sandbox import Run, WritePolicy, forget, new_master

from keyring_pypitoken import Token, memory, paths
from keyring_pypitoken.backend import RefusedError, RefusedSetError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("project")

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
OURS = "keyring_pypitoken.backend.PyPITokenKeyring"
# How people paste tokens.
WRITTEN = ['"{}"', "'{}'", "token {}", "Bearer {}", "{}\n{}", "password = {}", "\ufeff{}", "\u200b{}"]
SERVICES = [PYPI, "https://upload.pypi.org//legacy/", "upload.pypi.org.", "main", "pdm-repository-mine"]


def is_derived(text: str | None, project: str = "demo") -> bool:
    return text is not None and Token.load(text).raw_caveats[1:] == [f'[1, ["{project}"]]'.encode()]


def test_a_token_within_other_text_is_neither_handed_out_nor_stored() -> None:
    for version in (1, 2):
        token = Token.create("pypi.org", "an identifier", b"a key of thirty-two bytes, no more", version=version).dump()
        texts = [written.format(token, token) for written in WRITTEN]
        if version == 2:  # the definition has no version 1 without its prefix
            texts += [token.replace("pypi", "PYPI"), token.removeprefix("pypi-"), "\n".join(token)]
        for service in SERVICES:
            for text in texts:
                with pytest.raises(RefusedSetError):
                    keyring.set_password(service, TOKEN, text)
                assert FileKeyring().passwords() == {}
                FileKeyring().plant(service, TOKEN, text)
                with pytest.raises(RefusedError):
                    keyring.get_password(service, TOKEN)
                for username in (TOKEN, None):
                    with pytest.raises(RefusedError):
                        keyring.get_credential(service, username)
                FileKeyring().delete_password(service, TOKEN)


def test_what_only_looks_like_a_token_is_passed_on() -> None:
    elsewhere = new_master("warehouse.example")
    for text in ("pypi-reader", "pypi-attestations " * 20, f"pypi-AgE{'a' * 30}", elsewhere):
        keyring.set_password("mail", "joe", text)
        assert keyring.get_password("mail", "joe") == text


@pytest.mark.parametrize(
    "label",
    [
        *("..", "__token__", "keyring-pypitoken:x", "a&b", "%00", "%0a", "?demo", "de%mo", "%FF"),
        *("pypi-AgEIcHlwaS5vcmc", "%70ypi-AgEIcHlwaS5vcmcCJ"),
    ],
)
def test_a_label_that_is_neither_an_account_nor_a_project_is_refused(label: str, stored: str) -> None:
    with pytest.raises(RefusedError) as refused:
        keyring.get_password(f"{PYPI}?{label}", TOKEN)
    assert "internal" not in str(refused.value)
    assert stored not in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.usefixtures("stored")
def test_a_very_long_project_makes_a_short_notice(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a" * 100_000
    assert is_derived(keyring.get_password(f"{PYPI}?{name}", TOKEN), name)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keyring-pypitoken: derived a token for a name of 100000 characters on pypi, valid until ")


@pytest.mark.parametrize(
    ("before", "arguments", "is_answered"),
    [
        (("--mode", "creds"), (PYPI,), True),
        (("--mode", "creds"), (PYPI, ""), True),
        (("--mode", "creds", "--output", "json"), (PYPI, TOKEN), True),
        (("-b", OURS), (PYPI, TOKEN), True),
        (("-b", OURS, "--mode", "creds"), (PYPI,), True),
        (("-b", "keyring.backends.chainer.ChainerBackend"), (PYPI, ""), True),
        ((), (f"keyring-pypitoken:{PYPI}", "default"), False),
        ((), (f"x@KEYRING-pypitoken:{PYPI}", ""), False),
        (("-b", OURS), (f"keyring-pypitoken:{PYPI}", "default"), False),
        (("--mode", "creds"), (f"keyring-pypitoken:{PYPI}",), False),
    ],
)
def test_every_way_to_ask_the_keyring_command_is_answered_by_us(
    before: tuple[str, ...], arguments: tuple[str, ...], is_answered: bool, stored: str, run: Run
) -> None:
    done = run("keyring", *before, "get", *arguments)
    assert stored[-40:] not in done.stdout + done.stderr
    assert done.returncode == (0 if is_answered else 1)
    assert ("pypi-" in done.stdout) is is_answered


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("named", [".", "/dev/stdin", "/dev/null", "missing", " ", "~"])
def test_a_named_policy_that_is_not_a_file_lifts_no_limit(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYRING_PYPITOKEN_POLICY", named)
    with pytest.raises(RefusedError):
        keyring.get_password(PYPI, TOKEN)


@pytest.mark.skipif(os.name != "posix", reason="Windows asks the system, not HOME")
@pytest.mark.parametrize("relative", [".", "checkout", "../checkout"])
@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_a_relative_home_makes_no_file_of_a_checkout_the_users_own(
    platform: str, relative: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", relative)
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.delenv(f"XDG_{name}_HOME")
    for kind in ("user_config", "user_data", "user_state"):
        (directory,) = paths.find_directories(kind, platform)
        assert os.path.isabs(directory)
        assert not directory.startswith(str(work.parent))


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("seconds", [0, -5, 2**31, 2**63, 1e300, float("inf"), float("nan")])
def test_whatever_the_clock_says_no_token_is_longer_than_granted(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: seconds)
    try:
        token = keyring.get_password(PYPI, TOKEN)
    except RefusedError:
        return
    assert token is not None
    (end, start) = Token.load(token).raw_caveats[0].decode().strip("[]").split(", ")[1:]
    assert int(end) - int(start) == 16 * 60


# coverage traces each thread, and two that start at once make Python fail in installing that.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("stored")
def test_threads_that_ask_and_forget_all_get_derived_tokens() -> None:
    outcomes: list[object] = []

    def ask() -> None:
        for _ in range(20):
            memory.forget()
            outcomes.append(is_derived(keyring.get_password(PYPI, TOKEN)))

    keyring.get_keyring()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert outcomes == [True] * 120


def test_what_is_forgotten_meanwhile_is_returned_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(dict[object, object]):
        def __setitem__(self, key: object, value: object) -> None:
            """Forget it at once, as another thread may."""

    monkeypatch.setattr(memory, "_values", Forgetful())
    assert memory.recall("key", lambda: "value") == "value"


@pytest.mark.usefixtures("stored")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX systems fork")
def test_a_forked_process_is_answered_alike() -> None:
    if sys.platform == "win32":
        pytest.skip("only POSIX systems fork")
    first = keyring.get_password(PYPI, TOKEN)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        os._exit(0 if keyring.get_password(PYPI, TOKEN) == first else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.usefixtures("stored")
def test_properties_for_every_backend_let_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """keyring sets them on each backend, whatever they are called."""
    for name in ("PRIORITY", "NAME", "VIABLE", "GET_PASSWORD", "GET_CREDENTIAL", "BACKENDS", "__CLASS__", "LABEL"):
        monkeypatch.setenv(f"KEYRING_PROPERTY_{name}", "first")
        forget()
        with contextlib.suppress(Exception):  # whatever keyring makes of it
            assert is_derived(keyring.get_password(PYPI, TOKEN)), name
        monkeypatch.delenv(f"KEYRING_PROPERTY_{name}")


@pytest.mark.usefixtures("stored")
def test_a_store_that_asks_keyring_again_is_refused_and_not_asked_forever(
    user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that wraps keyring's own functions, as caches do."""
    asked: list[str] = []

    def get_password(_self: object, service: str, username: str) -> str | None:
        asked.append(service)
        return keyring.get_password(service, username)

    user_policy("")
    monkeypatch.setattr(FileKeyring, "get_password", get_password)
    with pytest.raises((RefusedError, SystemExit)):
        keyring.get_password(PYPI, TOKEN)
    assert len(asked) < 10


def test_a_second_chain_below_us_hands_out_nothing_raw(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from keyring.backends.chainer import ChainerBackend

    class SecondChain(ChainerBackend):
        priority = 3

        def get_password(self, service: str, username: str) -> str | None:
            return FileKeyring().get_password(service, username) or stored

    monkeypatch.setattr(ChainerBackend, "_classes", {*ChainerBackend._classes, SecondChain}, raising=False)
    forget()
    assert SecondChain in ChainerBackend._classes
    assert is_derived(keyring.get_password(PYPI, TOKEN))
    assert is_derived(keyring.get_password("upload.pypi.org", ""))


def test_a_store_may_answer_with_any_type(monkeypatch: pytest.MonkeyPatch) -> None:
    master = new_master()
    for answer in (master.encode(), [master], {"password": master}, 3, True):

        def get_password(_self: object, _service: str, _username: str, answer: object = answer) -> object:
            return answer

        forget()
        monkeypatch.setattr(FileKeyring, "get_password", get_password)
        with pytest.raises(RefusedError) as refused:
            keyring.get_password(PYPI, TOKEN)
        assert master[-40:] not in str(refused.value)


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="elsewhere every path is text")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("keyring", "get", PYPI, TOKEN), 0),
        *(((("keyring_pypitoken", *words.split())), 0) for words in ("check", "explain", "status", "token", "history")),
        *((("keyring_pypitoken", words, "--json"), 0) for words in ("check", "explain", "status", "history")),
        (("keyring_pypitoken", "check", "no\udcff.toml"), 1),
        (("keyring_pypitoken", "explain", "no-1.0\udcff.tar.gz"), 1),
        (("keyring_pypitoken", "explain", "*\udcff.whl"), 1),
    ],
    ids=ascii,
)
@pytest.mark.usefixtures("stored")
def test_paths_that_are_not_utf_8_break_no_command(arguments: tuple[str, ...], code: int, work: Path, run: Run) -> None:
    directory = work / os.fsdecode(b"a\xff\x1b[31m")
    directory.mkdir()
    (directory / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    (directory / "pypitoken.toml").write_text('projects = ["demo"]\n')
    done = run(*arguments, cwd=directory, PYTHONIOENCODING="ascii", PATH=str(work))  # with no uploader on it
    assert done.returncode == code, done.stderr
    assert "Error" not in done.stderr
    assert "internal" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


# What is asked for goes where the uploader's settings say, and a checkout may hold some of them.

EVIL, HTTP = "https://evil.example/legacy/", "http://upload.pypi.org/legacy/"
PDM = '[repository.{name}]\nurl = "{url}"\n'
POETRY = '[repositories.{name}]\nurl = "{url}"\n'


@pytest.mark.parametrize("username", ["__token__", None])
@pytest.mark.parametrize(
    ("program", "service", "file", "content", "domain"),
    [
        ("pdm publish", "pdm-repository-pypi", "pdm.toml", PDM.format(name="pypi", url=EVIL), "pypi.org"),
        ("pdm publish -r testpypi", "pdm-repository-testpypi", "pdm.toml", PDM.format(name="testpypi", url=EVIL), "t"),
        ("pdm publish -r mine", "pdm-repository-mine", "pdm.toml", PDM.format(name="mine", url=EVIL), "pypi.org"),
        (
            "pdm publish",
            "upload.pypi.org",
            "pdm.toml",
            PDM.format(name="pypi", url="http://upload.pypi.org/legacy/"),
            "",
        ),
        ("poetry publish -r pypi", "poetry-repository-pypi", "poetry.toml", POETRY.format(name="pypi", url=EVIL), ""),
        ("poetry publish -r mine", "poetry-repository-mine", "poetry.toml", POETRY.format(name="mine", url=EVIL), ""),
    ],
)
def test_a_checkout_cannot_choose_where_a_token_goes_that_is_asked_for_by_name(
    program: str,
    service: str,
    file: str,
    content: str,
    domain: str,
    username: str | None,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, *_ = program.split()
    (work / "dist").mkdir()
    (work / "dist" / "demo-1.0.tar.gz").touch()
    (work / file).write_text(content)
    monkeypatch.setattr(sys, "argv", program.split())
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    domain = "test.pypi.org" if domain == "t" else "pypi.org"
    FileKeyring().plant(service, "__token__", new_master(domain))
    with pytest.raises(SystemExit):
        keyring.get_credential(service, username)
    said = capsys.readouterr().err
    assert ("which it asked for: " in said) or ("which names no upload address here" in said)
    (work / file).unlink()
    if name == "pdm" and "mine" not in program:  # whose own address that is
        credential = keyring.get_credential(service, username)
        assert credential is not None
        assert Token.load(credential.password).domain == domain


def test_what_poetry_asks_for_a_source_of_a_checkout_gets_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """`poetry install` asks so for every `[[tool.poetry.source]]`, and sends the answer to its URL."""
    monkeypatch.setattr(sys, "argv", ["poetry", "install"])
    monkeypatch.setitem(sys.modules, "poetry", ModuleType("poetry"))
    keyring.set_password(PYPI, TOKEN, new_master())
    for service in ("poetry-repository-pypi", "poetry-repository-mine", "upload.pypi.org", PYPI):
        for username in (TOKEN, "__poetry_source_empty_username__", None):
            assert keyring.get_credential(service, username) is None
        FileKeyring().plant(service, "__poetry_source_empty_username__", new_master())
        with pytest.raises(RefusedError):
            keyring.get_password(service, "__poetry_source_empty_username__")
