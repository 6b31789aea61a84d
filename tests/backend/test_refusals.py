"""Bad input: one whole sentence each, nothing handed out, nothing overwritten, no secret shown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import keyring
import keyring.errors
import pytest
from exposure import everything_about, leaks
from refusal_cases import GET, OPENERS, PRIVATE, PYPI, SET, TOKEN, Stage, content
from sandbox import Run, new_master

from keyring_pypitoken.backend import RefusedDeleteError, RefusedError, RefusedSetError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("setting", GET.values(), ids=GET)
def test_a_lookup_is_refused_in_one_sentence_that_shows_no_secret(
    setting: Callable[[Stage], str], stage: Stage, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    sentence = setting(stage)
    before = content(stage)
    for ask in (lambda: keyring.get_password(PYPI, TOKEN), lambda: keyring.get_credential(PYPI, None)):
        with pytest.raises(RefusedError) as refused:
            ask()
        assert str(refused.value) == sentence
        assert isinstance(refused.value, keyring.errors.NoKeyringError)
        assert refused.value.__cause__ is refused.value.__context__ is None
        shown = everything_about(refused.value, all_frames=True) + caplog.text
        assert not [secret for secret in (*stage.stored.passwords().values(), *OPENERS) if leaks(shown, secret)]
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", f"keyring-pypitoken: {sentence}\n")  # once
    assert content(stage) == before


@pytest.mark.parametrize("setting", SET.values(), ids=SET)
def test_a_master_is_refused_in_one_sentence_that_shows_no_secret(
    setting: Callable[[Stage], tuple[str, str]],
    stage: Stage,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    given, sentence = setting(stage)
    stage.master()
    before = content(stage)
    with pytest.raises(RefusedSetError) as refused:
        keyring.set_password(PYPI, TOKEN, given)
    assert str(refused.value) == sentence
    assert isinstance(refused.value, keyring.errors.PasswordSetError)
    assert refused.value.__cause__ is refused.value.__context__ is None
    shown = everything_about(refused.value) + caplog.text + "".join(capfd.readouterr())
    assert not [secret for secret in (given, *OPENERS) if secret and leaks(shown, secret)]
    assert content(stage) == before


def test_the_keyring_command_refuses_in_one_sentence_too(stage: Stage, run: Run) -> None:
    sentence = GET["evidence_outside_the_policy"](stage)
    secret, reason = SET["set_token_of_the_wrong_repository"](stage)
    before = content(stage)
    got = run("keyring", "get", PYPI, TOKEN)
    put = run("keyring", "set", PYPI, TOKEN, stdin=secret)
    assert (got.returncode, got.stdout, got.stderr) == (1, "", f"keyring-pypitoken: {sentence}\n")
    assert (put.returncode, put.stdout, put.stderr) == (1, "", f"keyring-pypitoken: {reason}\n")
    assert content(stage) == before


def test_what_a_lost_keyring_holds_is_not_reported_as_deleted(stage: Stage) -> None:
    stage.lost_master()
    with pytest.raises(RefusedDeleteError) as refused:
        keyring.delete_password(f"{PYPI}?default", TOKEN)
    assert str(refused.value) == (
        "no keyring that can be asked now holds this master, so only the note of it was deleted: "
        "if the keyring that holds it comes back, delete it again."
    )
    assert keyring.get_password(PYPI, TOKEN) is None


def test_a_backend_whose_service_stops_while_a_program_runs_is_a_refusal(stage: Stage) -> None:
    stage.env("PYTHON_KEYRING_BACKEND", "keyring_pypitoken.backend.PyPITokenKeyring")
    stage.master()
    assert keyring.get_password("https://test.pypi.org/legacy/", TOKEN) is None
    stage.env("TEST_KEYRINGS", "second")
    with pytest.raises(RefusedError) as refused:
        keyring.get_password(PYPI, TOKEN)
    assert str(refused.value) == (
        "a keyring backend stopped responding (RuntimeError): start its keyring, and try again."
    )


def test_plain_http_gets_no_token(stage: Stage) -> None:
    stage.master()
    before = content(stage)
    url = "http://upload.pypi.org/legacy/"
    sentence = (
        "http would send the token unencrypted, so that anyone on the network can read it: "
        "use https://upload.pypi.org/legacy/."
    )
    assert keyring.get_password(url, TOKEN) is None
    with pytest.raises(RefusedSetError) as put:
        keyring.set_password(url, TOKEN, new_master())
    with pytest.raises(keyring.errors.PasswordDeleteError):
        keyring.delete_password(url, TOKEN)
    assert content(stage) == before
    stage.stored.plant(url, TOKEN, new_master())
    with pytest.raises(RefusedError) as got:
        keyring.get_password(url, TOKEN)
    assert [str(error.value) for error in (got, put)] == [sentence] * 2


def test_the_private_name_is_refused_in_every_call(stage: Stage, run: Run) -> None:
    stage.master()
    before = content(stage)
    sentence = (
        "this name belongs to keyring-pypitoken, which never hands out what is stored there: ask for the upload URL."
    )
    for username, service in (("default", PRIVATE), (TOKEN, PRIVATE.upper()), ("anybody", f"default@{PRIVATE}")):
        with pytest.raises(RefusedError) as got:
            keyring.get_password(service, username)
        with pytest.raises(RefusedError) as credential:
            keyring.get_credential(PRIVATE, None)
        with pytest.raises(RefusedSetError) as put:
            keyring.set_password(PRIVATE, username, "x")
        with pytest.raises(RefusedDeleteError) as deleted:
            keyring.delete_password(PRIVATE, username)
        assert {str(error.value) for error in (got, credential, put, deleted)} == {sentence}
    done = run("keyring", "get", PRIVATE, "default")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"keyring-pypitoken: {sentence}\n")
    assert content(stage) == before


def test_two_projects_in_dist_one_of_them_not_allowed(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.master()
    stage.project('projects = ["demo"]\n')
    stage.monkeypatch.setattr(sys, "argv", ["twine", "upload", "dist/*"])
    stage.monkeypatch.setitem(sys.modules, "twine", sys)
    dist = stage.work / "dist"
    dist.mkdir()
    for name in ("demo-1.0-py3-none-any.whl", "other-1.0.tar.gz"):
        (dist / name).touch()
    with pytest.raises(SystemExit) as ended:
        keyring.get_password(PYPI, TOKEN)
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "keyring-pypitoken: project 'other' is not allowed here: pypitoken.toml:1 allows only 'demo'; upload it from "
        "its own repository, or add it there (it was named by the files in dist).\n"
    )
