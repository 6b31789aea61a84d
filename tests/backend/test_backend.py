"""The backend under keyring's own rules: in its chain, alone, and above other backends."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest
from file_keyring import FileKeyring, PlaintextFileKeyring, SecondKeyring
from sandbox import Run, WritePolicy, forget, new_master

from keyring_pypitoken import DateRestriction, ProjectNamesRestriction, Token, derive, issue, paths
from keyring_pypitoken.backend import PyPITokenKeyring, RefusedDeleteError, RefusedError, RefusedSetError
from keyring_pypitoken.exceptions import Refusal, sealed
from keyring_pypitoken.lookup import Key
from keyring_pypitoken.names import LABEL_RULE

PYPI, TEST = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/"
PRIVATE = f"keyring-pypitoken:{PYPI}"
TOKEN = "__token__"


@pytest.fixture(autouse=True)
def project(work: Path) -> None:
    """Make the current directory a project's."""
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')


def get(service: str = PYPI, username: str = TOKEN) -> Token:
    """Ask keyring's chain, which must answer."""
    password = keyring.get_password(service, username)
    assert password is not None
    return Token.load(password)


def passwords(store: type[FileKeyring] = FileKeyring) -> dict[tuple[str, str], str]:
    """Return what a store holds."""
    return store().passwords()


def alone() -> PyPITokenKeyring:
    """Return the backend by itself, outside of keyring's chain."""
    return PyPITokenKeyring()  # type: ignore[no-untyped-call]  # the constructor is keyring's, which has no types


# The main job.


def test_set_stores_the_master_under_a_name_that_no_uploader_asks_for() -> None:
    master = new_master()
    keyring.set_password(PYPI, TOKEN, f" {master}\n")
    assert passwords() == {(PRIVATE, "default"): master}


def test_get_hands_out_a_derived_token() -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    before = int(time.time())
    token = get()
    window, names = token.restrictions
    assert isinstance(window, DateRestriction)
    assert before - 60 <= window.not_before <= int(time.time()) - 60
    assert window.not_after - window.not_before == 15 * 60 + 60
    assert names == ProjectNamesRestriction(["demo"])
    assert (token.domain, token.identifier) == ("pypi.org", "0fd630f1-f29d-4da9-953f-48f1a09f76b5")


def test_get_credential_names_the_user() -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    for username in (None, "", TOKEN, "pypi_token:project:demo"):
        credential = keyring.get_credential(PYPI, username)
        assert credential is not None
        assert credential.username == TOKEN
        assert len(Token.load(credential.password).restrictions) == 2


def test_delete_forgets_the_master(capsys: pytest.CaptureFixture[str]) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    assert get()
    keyring.delete_password(PYPI, TOKEN)
    assert passwords() == {}
    assert keyring.get_password(PYPI, TOKEN) is None
    with pytest.raises(keyring.errors.PasswordDeleteError, match="there is nothing to delete") as nothing:
        keyring.delete_password(PYPI, TOKEN)
    assert isinstance(nothing.value, RefusedDeleteError)
    assert capsys.readouterr().err.endswith(
        "keyring-pypitoken: no master is stored under this key, so there is nothing to delete.\n"
    )


def test_delete_also_forgets_a_raw_token_under_the_same_key() -> None:
    os.environ["TEST_KEYRINGS"] = "first,second"
    try:
        SecondKeyring().plant(PYPI, TOKEN, new_master())
        keyring.set_password(PYPI, TOKEN, new_master())
        keyring.delete_password(PYPI, TOKEN)
        assert passwords() == passwords(SecondKeyring) == {}
    finally:
        del os.environ["TEST_KEYRINGS"]


@pytest.mark.parametrize("username", ["pypi_token:project:demo", "pypi_token:user:alice", TOKEN, "", None])
def test_delete_forgets_a_raw_token_of_the_very_user_that_is_named(username: str | None) -> None:
    """flit stores a typed token under a user name of its own; nobody's name stands for PyPI's."""
    FileKeyring().plant(PYPI, username or TOKEN, new_master())
    FileKeyring().plant(PYPI, "pypi_token:project:other", new_master())
    keyring.delete_password(PYPI, username)  # type: ignore[arg-type]  # nobody's name, too
    assert passwords() == {(PYPI, "pypi_token:project:other"): new_master()}


def test_testpypi_has_a_master_of_its_own() -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    assert keyring.get_password(TEST, TOKEN) is None
    keyring.set_password(TEST, TOKEN, new_master("test.pypi.org"))
    assert (get().domain, get(TEST).domain) == ("pypi.org", "test.pypi.org")


def test_replacing_a_master_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    keyring.set_password(PYPI, TOKEN, new_master())
    assert capsys.readouterr().err == ""
    keyring.set_password(PYPI, TOKEN, new_master(identifier="another"))
    assert capsys.readouterr().err == (
        "keyring-pypitoken: replaced the master for pypi (account 'default') in file_keyring.FileKeyring; if you no "
        "longer need the previous one, revoke it on pypi.org\n"
    )
    assert get().identifier == "another"


# Whose lookup it is.


def test_alone_without_a_master_every_lookup_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "")
    _leave_alone(monkeypatch)
    assert isinstance(keyring.get_keyring(), PyPITokenKeyring)
    with pytest.raises(keyring.errors.NoKeyringError, match="No recommended backend"):
        keyring.get_password(PYPI, TOKEN)
    assert keyring.get_credential(PYPI, None) is None
    with pytest.raises(RefusedSetError, match=r"need a passphrase, which cannot be asked for without a terminal"):
        keyring.set_password(PYPI, TOKEN, new_master())
    with pytest.raises(RefusedDeleteError):
        keyring.delete_password(PYPI, TOKEN)


def test_alone_poetrys_probe_fails_only_without_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "")
    _leave_alone(monkeypatch)
    for service in ("python-poetry-check", "poetry-repository-other"):
        with pytest.raises(keyring.errors.NoKeyringError, match="No recommended backend"):
            keyring.get_password(service, "python-poetry")
        assert keyring.get_credential(service, None) is None
    age = Path(paths.age_file())
    age.parent.mkdir(parents=True)
    age.touch()
    for service in ("python-poetry-check", "poetry-repository-other"):
        assert keyring.get_password(service, "python-poetry") is None
        assert keyring.get_credential(service, "python-poetry") is None


def test_alone_poetrys_probe_is_declined_if_the_store_cannot_be_asked(
    user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "")
    user_policy('[store]\nbackend = "no_such_module.Keyring"\n')
    _leave_alone(monkeypatch)
    assert isinstance(keyring.get_keyring(), PyPITokenKeyring)
    assert keyring.get_password("python-poetry-check", "python-poetry") is None
    assert keyring.get_credential("python-poetry-check", "python-poetry") is None


def test_pinned_as_the_only_keyring_it_still_finds_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring_pypitoken.backend.PyPITokenKeyring")
    keyring.set_password(PYPI, TOKEN, new_master())
    assert isinstance(keyring.get_keyring(), PyPITokenKeyring)
    assert get().restrictions[1] == ProjectNamesRestriction(["demo"])


def test_without_a_master_a_broken_policy_is_nobodys_problem(work: Path, user_policy: WritePolicy) -> None:
    (work / "pypitoken.toml").write_text("broken = [")
    assert keyring.get_password(PYPI, TOKEN) is None
    user_policy("broken = [")
    assert keyring.get_password(PYPI, TOKEN) is None
    assert keyring.get_password("https://index.example/simple/", TOKEN) is None


def test_with_a_broken_user_policy_the_notes_tell_what_is_stored(user_policy: WritePolicy) -> None:
    keyring.core.init_backend(limit=lambda backend: not isinstance(backend, FileKeyring))
    try:
        user_policy('[store]\nbackend = "file_keyring.FileKeyring"\n')
        keyring.set_password(PYPI, TOKEN, new_master())
        user_policy("broken")
        with pytest.raises(RefusedError, match="is not valid TOML"):
            keyring.get_password(PYPI, TOKEN)
        assert keyring.get_password(TEST, TOKEN) is None
    finally:
        keyring.backend._limit = None


@pytest.mark.filterwarnings("ignore:Empty usernames:DeprecationWarning")
@pytest.mark.parametrize("username", ["", None])
def test_without_a_user_name_all_four_calls_are_answered_by_us(username: str | None) -> None:
    backend = alone()
    backend.set_password(PYPI, username, new_master())  # type: ignore[arg-type]  # that is the point
    assert passwords() == {(PRIVATE, "default"): new_master()}
    password = backend.get_password(PYPI, username)  # type: ignore[arg-type]  # that is the point
    credential = backend.get_credential(PYPI, username)
    assert credential is not None
    assert password == credential.password
    assert len(Token.load(credential.password).restrictions) == 2
    backend.delete_password(PYPI, username)  # type: ignore[arg-type]  # that is the point
    assert passwords() == {}


# Raw masters, which other programs stored where uploaders ask.


@pytest.mark.parametrize(
    "key",
    [
        (PYPI, TOKEN),
        ("https://upload.pypi.org/legacy", TOKEN),
        ("upload.pypi.org", TOKEN),
        ("poetry-repository-pypi", TOKEN),
    ],
)
def test_a_raw_master_under_an_uploaders_key_serves_as_master(
    key: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first,second")
    SecondKeyring().plant(*key, new_master())
    assert get(key[0]).restrictions[1:] == [ProjectNamesRestriction(["demo"])]


@pytest.mark.parametrize("service", ["poetry-repository-mirror", "pdm-repository-Mirror"])
def test_a_token_under_the_name_of_a_configured_repository_is_for_that(
    service: str, user_policy: WritePolicy, capsys: pytest.CaptureFixture[str]
) -> None:
    user_policy('[repository.mirror]\nurl = "https://mirror.example/legacy/"\ndomain = "pypi.org"\n')
    FileKeyring().plant(service, TOKEN, new_master())
    assert get(service).restrictions[1:] == [ProjectNamesRestriction(["demo"])]
    assert "keyring-pypitoken: derived a token for demo on mirror, valid until" in capsys.readouterr().err


def test_the_private_master_goes_before_a_raw_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first,second")
    FileKeyring().plant(PYPI, TOKEN, new_master(identifier="raw"))
    SecondKeyring().plant(PRIVATE, "default", new_master(identifier="private"))
    assert get().identifier == "private"


def test_raw_masters_are_found_in_the_order_of_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first,second")
    SecondKeyring().plant(PYPI, TOKEN, new_master(identifier="second"))
    assert get().identifier == "second"
    FileKeyring().plant(PYPI, TOKEN, new_master(identifier="first"))
    assert get().identifier == "first"


def test_a_raw_master_serves_no_account_that_a_policy_names(work: Path) -> None:
    FileKeyring().plant(PYPI, TOKEN, new_master())
    (work / "pypitoken.toml").write_text('account = "work"\n')
    with pytest.raises(RefusedError, match=r"^no master is stored for the account 'work' of pypi "):
        keyring.get_password(PYPI, TOKEN)


def test_a_password_of_another_user_is_not_ours() -> None:
    FileKeyring().plant(PYPI, "me", "hunter2")
    credential = keyring.get_credential(PYPI, None)
    assert credential is not None
    assert (credential.username, credential.password) == ("me", "hunter2")


def test_a_broken_backend_below_is_a_refusal_unless_a_master_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first,second")
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "second:get")
    with pytest.raises(RefusedError, match="SecondKeyring could not be read"):
        keyring.get_password(PYPI, TOKEN)
    FileKeyring().plant(PRIVATE, "default", new_master())
    assert get()


# Accounts and labels.


def test_a_label_stores_and_finds_an_account(work: Path) -> None:
    keyring.set_password(PYPI, TOKEN, new_master(identifier="mine"))
    keyring.set_password(f"{PYPI}?work", TOKEN, new_master(identifier="work"))
    assert passwords().keys() == {(PRIVATE, "default"), (f"{PRIVATE}?work", "work")}
    assert get().identifier == "mine"
    assert get(f"{PYPI}?work").identifier == "work"
    assert get(f"{PYPI}?work").restrictions[1] == ProjectNamesRestriction(["demo"])
    (work / "pypitoken.toml").write_text('account = "work"\n')
    assert get().identifier == "work"
    keyring.delete_password(f"{PYPI}?work", TOKEN)
    assert passwords().keys() == {(PRIVATE, "default")}


def test_an_account_whose_note_is_lost_is_found_in_its_store() -> None:
    keyring.set_password(f"{PYPI}?work", TOKEN, new_master(identifier="at work"))
    for note in Path(paths.accounts_directory()).iterdir():
        note.unlink()
    assert get(f"{PYPI}?work").identifier == "at work"


def test_an_account_that_is_noted_is_no_project_even_if_its_master_is_gone() -> None:
    keyring.set_password(f"{PYPI}?work", TOKEN, new_master())
    keyring.set_password(PYPI, TOKEN, new_master())
    FileKeyring().delete_password(f"{PRIVATE}?work", "work")
    with pytest.raises(RefusedError, match=r"^no master is stored for the account 'work' of pypi \(the lookup\): "):
        keyring.get_password(f"{PYPI}?work", TOKEN)


def test_a_label_that_is_no_account_is_a_project() -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    assert get(f"{PYPI}?Other.Project").restrictions[1] == ProjectNamesRestriction(["other-project"])


def test_a_label_that_is_neither_is_refused() -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    with pytest.raises(RefusedError) as refused:
        keyring.get_password(f"{PYPI}?a=b", TOKEN)
    assert "'a=b'" in str(refused.value)
    with pytest.raises(RefusedSetError) as put:
        keyring.set_password(f"{PYPI}?a=b", TOKEN, new_master())
    assert str(put.value) == (f"invalid account label after '?': use {LABEL_RULE}")


def test_flits_user_name_tells_the_project() -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    assert get(PYPI, "pypi_token:project:other").restrictions[1] == ProjectNamesRestriction(["other"])
    keyring.set_password(PYPI, "pypi_token:project:other", new_master(identifier="typed into flit"))
    typed = new_master(identifier="typed into flit")
    assert passwords() == {(PRIVATE, "default"): new_master(), (f"{PRIVATE}?other", "other"): typed}
    assert get(PYPI, "pypi_token:project:other").identifier == "typed into flit"


def test_stored_accounts_are_noted_without_a_secret() -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    keyring.set_password(f"{TEST}?work", TOKEN, new_master("test.pypi.org"))
    notes = [json.loads(path.read_text()) for path in Path(paths.accounts_directory()).glob("*.json")]
    assert sorted((note["repository"], note["account"]) for note in notes) == [(TEST, "work"), (PYPI, "default")]
    assert all(note.keys() == {"repository", "account", "stored", "projects"} for note in notes)
    keyring.delete_password(PYPI, TOKEN)
    assert len(list(Path(paths.accounts_directory()).iterdir())) == 1


def test_a_damaged_note_is_a_refusal() -> None:
    """Which accounts are stored is unknown then."""
    keyring.set_password(f"{PYPI}?work", TOKEN, new_master())
    path = Path(paths.accounts_directory()) / "broken.json"
    path.write_text("{")
    for service in (PYPI, TEST):
        with pytest.raises(RefusedError) as refused:
            keyring.get_password(service, TOKEN)
        assert str(refused.value) == (
            f"{path} is not a note of a stored account: delete it, and store the masters whose accounts are missing in "
            "`keyring-pypitoken status` again."
        )


def test_a_master_is_not_stored_without_a_place_for_the_lock_and_the_notes() -> None:
    place = Path(paths.accounts_directory()).parent
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a file where a directory should be")
    with pytest.raises(
        RefusedSetError, match=r"accounts cannot be locked \(.*\): make .* a directory that you can write"
    ):
        keyring.set_password(PYPI, TOKEN, new_master())
    assert FileKeyring().passwords() == {}


def test_a_master_whose_account_cannot_be_noted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_place: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RefusedSetError, match=r"^the account 'default' of pypi is stored, and cannot be noted: "):
        keyring.set_password(PYPI, TOKEN, new_master())
    assert get(), "it is stored all the same, and is used"


@pytest.mark.parametrize("kept", [True, False], ids=["with a master", "without one"])
def test_a_token_in_the_place_of_a_label_is_refused_and_not_shown(
    kept: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if kept:
        keyring.set_password(PYPI, TOKEN, new_master())
    service = f"{PYPI}?pypi-AgEIcHlwaS5vcmc{'x' * 90}"
    sentence = (
        "a token follows the question mark of the URL, where a label belongs: revoke that token, because it is in "
        "your shell's history now, and store a new one with `keyring-pypitoken login`."
    )
    with pytest.raises(RefusedError) as got:
        keyring.get_password(service, TOKEN)
    with pytest.raises(RefusedSetError) as put:
        keyring.set_password(service, TOKEN, new_master())
    with pytest.raises(RefusedDeleteError) as deleted:
        keyring.delete_password(service, TOKEN)
    assert {str(refused.value) for refused in (got, put, deleted)} == {sentence}
    assert set(capsys.readouterr().err.splitlines()) == {f"keyring-pypitoken: {sentence}"}


# Stores.


def test_the_policy_may_name_the_store(user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first,second")
    user_policy('[store]\nbackend = "file_keyring.SecondKeyring"\n')
    keyring.set_password(PYPI, TOKEN, new_master())
    assert passwords() == {}
    assert passwords(SecondKeyring).keys() == {(PRIVATE, "default")}
    assert get()


def test_a_named_store_outside_the_chain_is_loaded(user_policy: WritePolicy) -> None:
    keyring.core.init_backend(limit=lambda backend: not isinstance(backend, FileKeyring))
    user_policy('[store]\nbackend = "file_keyring.FileKeyring"\n')
    try:
        keyring.set_password(PYPI, TOKEN, new_master())
        assert passwords().keys() == {(PRIVATE, "default")}
        assert get()
    finally:
        keyring.backend._limit = None


def test_plaintext_stores_and_url_plugins_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first,second,plaintext,url")
    keyring.set_password(PYPI, TOKEN, new_master())
    assert passwords(PlaintextFileKeyring) == passwords(SecondKeyring) == {}
    assert passwords().keys() == {(PRIVATE, "default")}
    assert get()
    assert keyring.get_password("https://plugin.example/simple/", "anybody") == "secret of its own"


def test_a_store_that_cannot_delete_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "first:delete")
    with pytest.raises(RefusedDeleteError) as refused:
        keyring.delete_password(PYPI, TOKEN)
    assert str(refused.value) == (
        "the keyring backend file_keyring.FileKeyring could not delete the master (KeyringLocked): "
        "unlock or repair it, and try again."
    )
    assert get()


# Repositories of the user's policy, and a policy that cannot be followed.

LOCAL = '[repository.local]\nurl = "https://index.example/legacy/"\nservices = ["my-index"]\n'


def test_a_configured_repository_has_masters_of_its_own(user_policy: WritePolicy, site_policy: WritePolicy) -> None:
    user_policy(LOCAL)
    site_policy('[repository.site]\nurl = "https://site.example/legacy/"\n')
    keyring.set_password("my-index", TOKEN, new_master("index.example"))
    assert passwords().keys() == {("keyring-pypitoken:https://index.example/legacy/", "default")}
    assert get("https://index.example/legacy").domain == "index.example"
    assert keyring.get_password("https://site.example/legacy/", TOKEN) is None
    assert keyring.get_password("https://x.example/", TOKEN) is None
    with pytest.raises(RefusedSetError):
        keyring.set_password("https://site.example/legacy/", TOKEN, new_master())


def test_built_in_repositories_can_have_further_names(user_policy: WritePolicy) -> None:
    user_policy('[repository.pypi]\nservices = ["pdm-repository-pypi"]\n')
    keyring.set_password("pdm-repository-pypi", TOKEN, new_master())
    assert get().domain == get("upload.pypi.org").domain == "pypi.org"


def test_with_a_broken_user_policy_no_raw_token_gets_out(user_policy: WritePolicy) -> None:
    user_policy(LOCAL + "broken = 1\n")
    FileKeyring().plant("https://index.example/legacy/", TOKEN, new_master("index.example"))
    with pytest.raises(RefusedError, match=r"^the policy cannot be followed"):
        keyring.get_password("https://index.example/legacy/", TOKEN)
    with pytest.raises(RefusedError, match=r"^the policy cannot be followed"):
        keyring.get_credential("https://index.example/legacy/", None)
    assert keyring.get_password("https://elsewhere.example/", TOKEN) is None
    with pytest.raises(RefusedSetError, match=r"^the policy cannot be followed"):
        keyring.set_password("https://index.example/legacy/", TOKEN, new_master("index.example"))
    keyring.set_password("https://elsewhere.example/", TOKEN, "a password of theirs")
    assert passwords()["https://elsewhere.example/", TOKEN] == "a password of theirs"
    with pytest.raises(RefusedDeleteError, match=r"^the policy cannot be followed"):
        keyring.delete_password(PYPI, TOKEN)
    keyring.delete_password("https://elsewhere.example/", TOKEN)


# What is told, and where.


def test_a_derivation_is_reported_in_one_line(
    work: Path, capsys: pytest.CaptureFixture[str], user_policy: WritePolicy
) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    window = get().restrictions[0]
    assert isinstance(window, DateRestriction)
    until = time.strftime("%H:%M:%S", time.localtime(window.not_after))
    day = time.strftime("%Y-%m-%d ", time.localtime(window.not_after))
    line = "keyring-pypitoken: derived a token for {} on pypi, valid until {} (policy: {})\n"
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err in {line.format("demo", u, "none for this project") for u in (until, day + until)}
    (work / "pypitoken.toml").write_text('projects = ["b", "a"]\nvalid-for = "1h"\n')
    (work / "pyproject.toml").unlink()
    user_policy("max-valid-for = '60d'\nvalid-for = '30d'\n")
    assert get().restrictions[1] == ProjectNamesRestriction(["a", "b"])
    assert "for a, b on pypi" in capsys.readouterr().err
    (work / "pypitoken.toml").write_text('projects = ["b", "a"]\n')
    window = get().restrictions[0]
    assert isinstance(window, DateRestriction)
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(window.not_after))
    assert capsys.readouterr().err == line.format("a, b", until, "pypitoken.toml")
    user_policy("notice = false\nvalid-for = '10m'\n")
    assert get()
    assert capsys.readouterr().err == ""


def test_an_unscoped_token_says_so(work: Path, user_policy: WritePolicy, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "pyproject.toml").unlink()
    user_policy('unscoped = "allow"\n')
    keyring.set_password(PYPI, TOKEN, new_master())
    assert len(get().restrictions) == 1
    assert "derived a token for any project on pypi" in capsys.readouterr().err


def test_github_actions_are_told_to_mask_the_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://actions.example/")
    keyring.set_password(PYPI, TOKEN, new_master())
    token = get()
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert printed.out == ""
    assert lines[:1] + lines[2:] == [
        f"::add-mask::{token.dump()}",
        (
            "keyring-pypitoken: this run could use Trusted Publishing, with no stored token: "
            "https://docs.pypi.org/trusted-publishers/"
        ),
    ]


@pytest.mark.parametrize("value", ["false", "", "1", "True", None])
def test_outside_of_github_actions_no_token_is_printed_to_mask_it(
    value: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if value is not None:
        monkeypatch.setenv("GITHUB_ACTIONS", value)
    keyring.set_password(PYPI, TOKEN, new_master())
    token = get().dump()
    printed = "".join(capsys.readouterr())
    assert "add-mask" not in printed
    assert token not in printed


def test_asked_twice_the_store_is_asked_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    first = get().dump()
    FileKeyring().delete_password(PRIVATE, "default")
    assert get().dump() == first
    (work / "pypitoken.toml").write_text('valid-for = "5m"\n')
    gone = "^no keyring that can be asked now holds the master"
    with pytest.raises(RefusedError, match=gone):  # another grant is another derivation
        keyring.get_password(PYPI, TOKEN)
    (work / "pypitoken.toml").unlink()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 60)
    with pytest.raises(RefusedError, match=gone):  # half of the time is over
        keyring.get_password(PYPI, TOKEN)


def test_what_is_remembered_for_one_service_answers_no_other() -> None:
    FileKeyring().plant(PYPI, TOKEN, new_master(identifier="under the URL"))
    FileKeyring().plant("upload.pypi.org", TOKEN, new_master(identifier="under the host"))
    identifiers = [get(service).identifier for service in (PYPI, "upload.pypi.org", PYPI)]
    assert identifiers == ["under the URL", "under the host", "under the URL"]


# Whatever fails.


def test_what_fails_unexpectedly_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())

    def fail_with_the_secret(*_arguments: object, **_named: object) -> None:
        raise LookupError(new_master())

    for name in ("match", "load_config", "plan", "asker"):
        with monkeypatch.context() as broken:
            broken.setattr(issue, name, fail_with_the_secret)
            forget()
            with pytest.raises(RefusedError) as refused:
                keyring.get_password(PYPI, TOKEN)
            assert str(refused.value) == ("internal error (LookupError), and nothing was handed out: please report it.")
            assert refused.value.__context__ is None


def test_a_directory_that_is_gone_is_a_refusal(work: Path) -> None:
    if os.name == "nt":
        pytest.skip("Windows does not remove a directory in which a process stands")
    keyring.set_password(PYPI, TOKEN, new_master())
    (work / "pyproject.toml").unlink()
    work.rmdir()
    with pytest.raises(RefusedError) as refused:
        keyring.get_password(PYPI, TOKEN)
    assert str(refused.value) == "the current directory does not exist any more: change to one that does."


def test_without_a_master_a_directory_that_is_gone_is_nobodys_problem(work: Path) -> None:
    if os.name == "nt":
        pytest.skip("Windows does not remove a directory in which a process is")
    (work / "pyproject.toml").unlink()
    work.rmdir()
    assert keyring.get_password(PYPI, TOKEN) is None
    assert keyring.get_credential(PYPI, None) is None


def test_a_refusal_is_raised_even_if_what_ends_an_uploader_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    monkeypatch.setitem(sys.modules, "keyring_pypitoken.uploaders.process", None)
    with pytest.raises(RefusedSetError) as not_stored:
        keyring.set_password(PYPI, TOKEN, "")
    assert str(not_stored.value) == "no token given: create an API token on pypi.org and store that."
    with pytest.raises(RefusedError) as refused:
        keyring.get_password(PYPI, TOKEN)
    assert str(refused.value) == ("internal error (ModuleNotFoundError), and nothing was handed out: please report it.")
    for error in (not_stored.value, refused.value):
        assert (error.__context__, error.__cause__) == (None, None)


def test_a_refusal_brings_no_frame_of_the_steps() -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    Path("pyproject.toml").unlink()
    key = Key.parse(PYPI, TOKEN)
    assert key is not None
    with pytest.raises(Refusal) as refused:
        sealed(issue.answer)(key, lambda: None)
    assert (refused.value.__context__, refused.value.__cause__) == (None, None)
    # The test, and `sealed`: no frame that held a secret.
    assert [entry.name for entry in refused.traceback][1:] == ["run"]


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_goes_on_without_the_frames_it_stopped(
    signal: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())

    def interrupt(*_arguments: object, **_named: object) -> None:
        try:
            raise LookupError(new_master())
        finally:
            raise signal

    monkeypatch.setattr(derive, "derive", interrupt)
    key = Key.parse(PYPI, TOKEN)
    assert key is not None
    with pytest.raises(signal) as stopped:
        sealed(issue.answer)(key, lambda: None)
    assert (stopped.value.__context__, stopped.value.__cause__) == (None, None)
    assert [entry.name for entry in stopped.traceback][1:] == ["run"]
    with pytest.raises(signal):
        keyring.get_password(PYPI, TOKEN)


def _leave_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the last backends of the test environment out of the registry."""
    keyring.backend.get_all_keyring()  # which loads them
    classes = keyring.backend.KeyringBackend._classes
    monkeypatch.setattr(
        keyring.backend.KeyringBackend,
        "_classes",
        {kind for kind in classes if not kind.__module__.startswith("keyrings.alt")},
    )
    forget()


def test_what_the_policy_refuses_opens_no_store(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    (work / "pypitoken.toml").write_text('projects = ["other"]\n')
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "first:get")
    with pytest.raises(RefusedError, match=r"^project 'demo' is not allowed here: "):
        keyring.get_password(PYPI, TOKEN)


# What another process, or a person, changes meanwhile.


def test_a_repository_whose_policy_is_gone_is_refused_as_long_as_an_account_is_noted(user_policy: WritePolicy) -> None:
    user_policy(LOCAL)
    url = "https://index.example/legacy/"
    keyring.set_password(url, TOKEN, new_master("index.example"))
    Path(paths.user_policy()).unlink()
    forget()
    for spelling in (url, url.upper().replace("HTTPS", "https")):
        with pytest.raises(RefusedError, match=r"and no policy has this repository any more: "):
            keyring.get_password(spelling, TOKEN)
    assert keyring.get_password("https://other.example/legacy/", TOKEN) is None
    for note in Path(paths.accounts_directory()).iterdir():
        note.unlink()
    assert keyring.get_password(url, TOKEN) is None


def test_a_remembered_token_is_not_handed_out_when_its_master_was_deleted_by_another_process(run: Run) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    assert get().identifier
    assert run("keyring", "del", PYPI, TOKEN).returncode == 0
    assert keyring.get_password(PYPI, TOKEN) is None
    keyring.set_password(PYPI, TOKEN, new_master(identifier="another"))
    assert get().identifier == "another"


def test_a_remembered_token_is_handed_out_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    first = keyring.get_password(PYPI, TOKEN)
    now = time.time()
    for later, is_same in ((59, True), (62, False)):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        assert (keyring.get_password(PYPI, TOKEN) == first) == is_same
