"""The age file as a store: through keyring's own calls, in many processes, and whatever it holds."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import pyrage
import pytest
from age_plugin import PLUGIN_IDENTITY, POSIX, install_plugin
from age_writer import encrypt_cheaply
from file_keyring import FileKeyring
from hypothesis import given
from hypothesis import strategies as st
from sandbox import STORES, Run, WritePolicy, forget, make_pipe, new_master

from keyring_pypitoken import ProjectNamesRestriction, Token, memory, paths
from keyring_pypitoken.backend import RefusedError
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.policy.discovery import load_config
from keyring_pypitoken.policy.model import Origin, StoreSettings, WithOrigin
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.toml import load_toml
from keyring_pypitoken.vault import age, backends, terminal
from keyring_pypitoken.vault.age import AgeFile, parse_document, rekey

if TYPE_CHECKING:
    from collections.abc import Callable

PYPI, TEST = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/"
PRIVATE = f"keyring-pypitoken:{PYPI}"
TOKEN = "__token__"
PASSPHRASE = "correct horse"
VARIABLE = "KEYRING_PYPITOKEN_PASSPHRASE"


@pytest.fixture(autouse=True)
def server(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a project on a machine without a keyring."""
    monkeypatch.setenv("TEST_KEYRINGS", "")
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')


@pytest.fixture
def identity(home: Path, user_policy: WritePolicy) -> pyrage.x25519.Identity:
    """Name an identity in the user's policy."""
    made = pyrage.x25519.Identity.generate()
    (home / "identity.txt").write_text(f"# mine\n{made}\n")
    user_policy('[store]\nidentity = "~/identity.txt"\n')
    return made


def path() -> Path:
    """Return where the file lies."""
    return Path(paths.age_file())


def plant(masters: object, passphrase: str = PASSPHRASE) -> None:
    """Write the file as another program could, with a cheap passphrase."""
    path().parent.mkdir(parents=True, exist_ok=True)
    path().write_bytes(encrypt_cheaply(json.dumps({"version": 1, "masters": masters}).encode(), passphrase))


def held_by(identity: pyrage.x25519.Identity) -> object:
    """Open the file as the program `age` would."""
    return json.loads(pyrage.decrypt(path().read_bytes(), [identity]))


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encrypt to passphrases without scrypt's second, where that is not what is tested."""
    monkeypatch.setattr(pyrage.passphrase, "encrypt", encrypt_cheaply)


def refused(step: Callable[[], object]) -> str:
    """Return why something is refused."""
    with pytest.raises(Refusal) as error:
        step()
    return str(error.value)


def answers(monkeypatch: pytest.MonkeyPatch, *typed: str) -> list[str]:
    """Type answers on a terminal, one after the other; return the questions, which come in later."""
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return typed[len(questions) - 1]

    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    monkeypatch.setattr(terminal, "ask_terminal", ask)
    return questions


def projects() -> object:
    """Ask keyring for a token, and return what it is restricted to."""
    text = keyring.get_password(PYPI, TOKEN)
    assert text is not None
    return Token.load(text).restrictions[1]


# What it is for.


@pytest.mark.usefixtures("cheap")  # tests/cli/test_terminal.py has it in earnest
def test_keeps_and_hands_out_by_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    keyring.set_password(PYPI, TOKEN, new_master())
    assert path().read_bytes().startswith(b"age-encryption.org/v1\n-> scrypt ")
    forget()
    assert projects() == ProjectNamesRestriction(["demo"])


def test_keeps_and_hands_out_by_identity(identity: pyrage.x25519.Identity, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = new_master(), new_master("test.pypi.org")
    keyring.set_password(PYPI, TOKEN, one)
    keyring.set_password(TEST, TOKEN, two)
    keyring.set_password(f"{PYPI}?work", TOKEN, one)
    forget()
    assert projects() == ProjectNamesRestriction(["demo"])
    assert held_by(identity) == {
        "version": 1,
        "masters": {
            PRIVATE: {"default": one},
            f"{PRIVATE}?work": {"work": one},
            f"keyring-pypitoken:{TEST}": {"default": two},
        },
    }
    capsys.readouterr()
    keyring.set_password(PYPI, TOKEN, new_master(identifier="another"))
    assert capsys.readouterr().err == (
        f"keyring-pypitoken: replaced the master for pypi (account 'default') in {path()}; if you no "
        "longer need the previous one, revoke it on pypi.org\n"
    )
    keyring.delete_password(PYPI, TOKEN)
    keyring.delete_password(f"{PYPI}?work", TOKEN)
    assert held_by(identity) == {"version": 1, "masters": {f"keyring-pypitoken:{TEST}": {"default": two}}}
    assert keyring.get_password(PYPI, TOKEN) is None
    keyring.delete_password(TEST, TOKEN)
    assert not path().exists(), "nobody shall be asked to open a file that holds nothing"
    assert keyring.get_password(TEST, TOKEN) is None


@POSIX
def test_only_its_owner_may_read_it(identity: pyrage.x25519.Identity) -> None:
    del identity
    path().parent.mkdir(parents=True, mode=0o755)
    keyring.set_password(PYPI, TOKEN, new_master())
    assert stat.S_IMODE(path().stat().st_mode) == 0o600
    assert stat.S_IMODE(path().parent.stat().st_mode) == 0o700


@POSIX
def test_a_plugin_is_asked_once_per_process(
    home: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install_plugin(home, monkeypatch)
    (home / "identity.txt").write_text(PLUGIN_IDENTITY)
    user_policy('[store]\nidentity = "~/identity.txt"\nbackend = "age"\n')
    keyring.set_password(PYPI, TOKEN, new_master())
    forget()
    capsys.readouterr()
    for service in (PYPI, f"{PYPI}?demo", "upload.pypi.org", f"{PYPI}?other"):
        assert keyring.get_password(service, TOKEN)
    assert capsys.readouterr().err.count("touch the demo key") == 1
    forget()
    monkeypatch.setenv("DEMO_PLUGIN", "refuse")
    with pytest.raises(RefusedError, match="or the identity's plugin refused"):
        keyring.get_password(PYPI, TOKEN)


@POSIX
def test_a_plugin_that_cannot_open_what_it_encrypted_replaces_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin(home, monkeypatch)
    Path("identity").write_text(PLUGIN_IDENTITY)
    store = AgeFile(WithOrigin(os.path.abspath("identity"), Origin("policy.toml:2")))
    store.set_password(PRIVATE, "default", new_master())
    before = path().read_bytes()
    monkeypatch.setenv("DEMO_PLUGIN", "refuse")
    assert refused(lambda: store.set_password(PRIVATE, "work", new_master())) == (
        f"what {path()} would hold cannot be opened again, so nothing was stored: check the identity and its plugin, "
        "and try again."
    )
    assert path().read_bytes() == before


def test_a_passphrase_gives_way_to_the_identity_that_is_named_later(
    home: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    plant({PRIVATE: {"old": new_master()}})
    made = pyrage.x25519.Identity.generate()
    (home / "identity.txt").write_text(str(made))
    user_policy(f"[store]\nidentity = '{home / 'identity.txt'}'\n")
    keyring.set_password(PYPI, TOKEN, new_master())
    content = held_by(made)
    assert isinstance(content, dict)
    assert content["masters"][PRIVATE].keys() == {"old", "default"}


@pytest.mark.usefixtures("cheap")
def test_an_existing_passphrase_is_asked_for_once_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    plant({PRIVATE: {"old": new_master()}})
    asked = answers(monkeypatch, PASSPHRASE)
    keyring.set_password(PYPI, TOKEN, new_master())
    assert asked == [f"Passphrase of {path()}: "]
    content = json.loads(pyrage.passphrase.decrypt(path().read_bytes(), PASSPHRASE))
    assert content["masters"][PRIVATE].keys() == {"old", "default"}


def test_a_wrong_passphrase_may_be_corrected_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    plant({PRIVATE: {"default": new_master()}})
    again = "This passphrase does not open it. Try again: "
    asked = answers(monkeypatch, "one", "two", PASSPHRASE)
    assert AgeFile().get_password(PRIVATE, "default") == new_master()
    assert asked == [f"Passphrase of {path()}: ", again, again]
    forget()
    asked = answers(monkeypatch, "one", "two", "three", PASSPHRASE)
    assert refused(lambda: AgeFile().get_password(PRIVATE, "default")) == (
        f"{path()} cannot be opened, because the passphrase is wrong or the file is damaged: try again, or restore the "
        "file from a backup; if the passphrase is lost, delete the file and store a new token with "
        "`keyring-pypitoken login`."
    )
    assert len(asked) == 3


def test_what_is_not_an_age_file_is_refused() -> None:
    path().parent.mkdir(parents=True)
    path().write_text("not age")
    assert refused(lambda: AgeFile().get_password(PRIVATE, "default")) == (
        f"{path()} is not an age file, so it was changed or damaged: restore it from a backup."
    )


def test_an_identity_that_no_policy_names_is_refused() -> None:
    path().parent.mkdir(parents=True)
    path().write_bytes(pyrage.encrypt(b"", [pyrage.x25519.Identity.generate().to_public()]))
    assert refused(lambda: AgeFile().get_password(PRIVATE, "default")) == (
        f"{path()} is encrypted to an identity, and no policy names one: name it as `identity` in [store] of "
        f"{paths.user_policy()}."
    )


@pytest.mark.parametrize("document", [b"[]", b'{"version": 2}'])
def test_a_document_of_another_form_is_refused_without_asking_again(
    document: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path().parent.mkdir(parents=True)
    path().write_bytes(encrypt_cheaply(document, PASSPHRASE))
    asked = answers(monkeypatch, PASSPHRASE)
    expected = DAMAGED if document == b"[]" else NEWER
    assert refused(lambda: AgeFile().get_password(PRIVATE, "default")) == f"{path()} {expected}."
    assert len(asked) == 1


@POSIX
@pytest.mark.parametrize("target", ["/dev/tty", "/dev/stdin", "pipe", "masters.age", "missing"])
def test_a_link_to_anything_but_a_file_is_refused_and_never_waited_for(target: str) -> None:
    path().parent.mkdir(parents=True)
    make_pipe(path().parent / "pipe")
    path().symlink_to(target)
    assert str(path()) in refused(lambda: AgeFile().get_password(PRIVATE, "default"))
    assert str(path()) in refused(lambda: AgeFile().set_password(PRIVATE, "default", new_master()))
    assert path().is_symlink()


def test_a_wrong_passphrase_in_the_variable_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plant({PRIVATE: {"default": new_master()}})
    asked = answers(monkeypatch, PASSPHRASE)
    monkeypatch.setenv(VARIABLE, "wrong")
    assert "the passphrase is wrong" in refused(lambda: AgeFile().get_password(PRIVATE, "default"))
    assert asked == []


def test_without_pyrage_nobody_types_a_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    asked = answers(monkeypatch, PASSPHRASE)
    missing = "masters in a file need pyrage, which is not installed: install `keyring-pypitoken[age]`."
    assert refused(lambda: AgeFile().set_password(PRIVATE, "default", "a token")) == missing
    plant({})
    assert refused(lambda: AgeFile().get_password(PRIVATE, "default")) == missing
    assert asked == []


@pytest.mark.usefixtures("cheap")
def test_a_mistyped_repetition_loses_nothing_that_was_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, "a", "b", PASSPHRASE, PASSPHRASE)
    keyring.set_password(PYPI, TOKEN, new_master())
    assert asked == [
        f"New passphrase for {path()}: ",
        "Repeat passphrase: ",
        "The two differ. New passphrase: ",
        "Repeat passphrase: ",
    ]
    assert pyrage.passphrase.decrypt(path().read_bytes(), PASSPHRASE)


# Another passphrase, or another identity.


def identity_file(name: str) -> tuple[pyrage.x25519.Identity, WithOrigin[str]]:
    """Make an identity and its file."""
    made = pyrage.x25519.Identity.generate()
    Path(name).write_text(str(made))
    return made, WithOrigin(os.path.abspath(name), Origin("the arguments"))


COPIES = "Copies of the old file still open the old way: delete them, or revoke the tokens in them."


@pytest.mark.usefixtures("cheap")
def test_rekey_changes_the_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    plant({PRIVATE: {"default": new_master()}})
    asked = answers(monkeypatch, PASSPHRASE, "new", "new")
    assert rekey(None, None) == (
        f"The new passphrase opens {path()}: set KEYRING_PYPITOKEN_PASSPHRASE to it wherever you set that variable. "
        f"{COPIES}"
    )
    assert asked == [f"Passphrase of {path()}: ", f"New passphrase for {path()}: ", "Repeat passphrase: "]
    content = json.loads(pyrage.passphrase.decrypt(path().read_bytes(), "new"))
    assert content == {"version": 1, "masters": {PRIVATE: {"default": new_master()}}}
    memory.forget(("age", str(path()), path().read_bytes()))
    assert AgeFile().get_password(PRIVATE, "default") == new_master(), "nobody is asked again"


@pytest.mark.usefixtures("cheap")
def test_rekey_changes_to_an_identity_and_to_another_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    plant({PRIVATE: {"default": new_master()}})
    (first, first_file), (second, second_file) = identity_file("first"), identity_file("second")
    assert rekey(None, first_file) == (
        f"The identity {first_file.value} opens {path()}: keep a copy of it. Written into {paths.user_policy()}: "
        f"`[store]`, `identity = {json.dumps(first_file.value)}`. {COPIES}"
    )
    assert AgeFile(load_config().store.identity).get_password(PRIVATE, "default") == new_master()
    held = {"version": 1, "masters": {PRIVATE: {"default": new_master()}}}
    assert held_by(first) == held
    rekey(first_file, second_file)
    assert held_by(second) == held
    with pytest.raises(pyrage.DecryptError):
        held_by(first)
    answers(monkeypatch, "new", "new")
    assert rekey(second_file, None) == (
        f"The new passphrase opens {path()}: set KEYRING_PYPITOKEN_PASSPHRASE to it wherever you set that variable, "
        f"and remove `identity` from [store] of {paths.user_policy()}. {COPIES}"
    )
    assert json.loads(pyrage.passphrase.decrypt(path().read_bytes(), "new")) == held


@pytest.mark.usefixtures("cheap")
def test_rekey_names_the_identity_in_the_policy_and_changes_nothing_else(
    user_policy: WritePolicy, site_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    new, new_file = identity_file("new")
    line = f"identity = {json.dumps(new_file.value)}"
    for text, is_written in (
        ("", True),
        ('account = "work"', True),
        ('valid-for = "5m"\n[store] # mine\nbackend = "age"\n[repository.pypi]\naccount = "a"\n', True),
        ('[store]\nidentity = "/old/identity" # mine\n\n[repository.pypi]\naccount = "identity"\n', True),
        ('store = { backend = "age" }\n', False),
        ('[store]\ncommand = ["op"]\n', False),
        ('store.backend = "age"\n[repository.pypi]\naccount = "a"\n', False),
    ):
        plant({PRIVATE: {"default": new_master()}})
        policy, before = user_policy(text), load_toml(text, "")
        forget()
        written = f"Written into {policy}: `[store]`, `{line}`."
        put = f"Put the lines `[store]` and `{line}` into {policy}."
        assert (written if is_written else put) in rekey(None, new_file)
        assert held_by(new) == {"version": 1, "masters": {PRIVATE: {"default": new_master()}}}
        after = load_toml(policy.read_text(), "")
        if is_written:
            assert after["store"].pop("identity") == new_file.value
            before.setdefault("store", {}).pop("identity", None)
            assert AgeFile(load_config().store.identity).get_password(PRIVATE, "default") == new_master()
        assert after == before
    site = site_policy(f"[store]\n{line}\n")
    user_policy("")
    forget()
    assert f"{site}:2 names it." in rekey(new_file, new_file)


def test_a_file_that_no_policy_can_open_is_not_usable(identity: pyrage.x25519.Identity) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    AgeFile(load_config().store.identity).refuse_unusable()
    assert f"{path()} is encrypted to an identity, and no policy names one" in refused(AgeFile().refuse_unusable)
    del identity
    path().unlink()
    AgeFile().refuse_unusable()
    missing = AgeFile(WithOrigin(str(path().with_name("identity")), Origin("policy.toml:2")))
    assert "does not exist" in refused(missing.refuse_unusable)


@pytest.mark.usefixtures("cheap")
def test_rekey_that_fails_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    plant({PRIVATE: {"default": new_master()}})
    before = path().read_bytes()
    missing = WithOrigin(str(path().with_name("identity")), Origin("the arguments"))
    assert "does not exist" in refused(lambda: rekey(None, missing))
    answers(monkeypatch, *"abcdef")
    assert refused(lambda: rekey(None, None)) == (
        "the two passphrases differed each time, so nothing was stored: try again."
    )
    assert path().read_bytes() == before


def test_rekey_without_a_file_is_refused() -> None:
    assert refused(lambda: rekey(None, None)) == (
        f"{path()} does not exist, so there is nothing to encrypt anew: `keyring-pypitoken login` stores a master."
    )


# What this process remembers, and what it loads.


def test_a_new_file_of_the_same_name_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    plant({PRIVATE: {"default": new_master()}})
    assert AgeFile().get_password(PRIVATE, "default") == new_master()
    plant({PRIVATE: {"default": "pypi-another"}})
    assert AgeFile().get_password(PRIVATE, "default") == "pypi-another"


def test_without_the_file_a_look_up_loads_nothing_of_it(run: Run) -> None:
    code = "import keyring, sys; keyring.get_password('{}', '{}'); print(*sys.modules)"
    script = Path("script.py")
    script.write_text(code.format(PYPI, TOKEN))
    done = run("runpy", str(script))
    loaded = set(done.stdout.split())
    assert "keyring_pypitoken.vault.masters" in loaded, done.stderr
    assert not [name for name in loaded if "age" in name.split(".")[-1].split("_") or name.startswith("pyrage")]


# Many processes.

EACH = """
import sys, keyring
url, master = "https://upload.pypi.org/legacy/?a" + sys.argv[1], sys.stdin.read()
keyring.set_password(url, "__token__", master)
assert keyring.get_password(url, "__token__")
"""


def test_eight_processes_at_once_lose_nothing(identity: pyrage.x25519.Identity) -> None:
    environ = os.environ | {"PYTHONPATH": str(STORES)}
    command = [sys.executable, "-c", EACH]
    running = [
        subprocess.Popen([*command, str(n)], env=environ, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for n in range(8)
    ]
    for process in running:
        _, told = process.communicate(new_master(), timeout=120)
        assert process.returncode == 0, told
    content = held_by(identity)
    assert isinstance(content, dict)
    assert content["masters"] == {f"{PRIVATE}?a{n}": {f"a{n}": new_master()} for n in range(8)}


# What the file may hold.


FORMS: tuple[object, ...] = ([], "x", {"a": 1}, {"a": {"b": 1}}, {"a": {"b": None}})


def document(version: object = 1, masters: object = None) -> bytes:
    """Write a document."""
    return json.dumps({"version": version, "masters": {} if masters is None else masters}).encode()


DAMAGED = "does not hold masters in a known form: restore it from a backup"
NEWER = "was written by a newer version of keyring-pypitoken: upgrade this one"


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        (b"", DAMAGED),
        (b"\xff", DAMAGED),
        (b"[]", DAMAGED),
        (b"{}", DAMAGED),
        (b"[" * 100_000, DAMAGED),
        (b'{"version": ' + b"9" * 5000 + b"}", DAMAGED),
        *((document(version), DAMAGED) for version in (None, True, "1", 1.0, 0, -1)),
        (document(2), NEWER),
        (b'{"version": 3}', NEWER),
        *((document(1, masters), DAMAGED) for masters in FORMS),
    ],
)
def test_a_document_of_another_form_is_refused(plain: bytes, expected: str) -> None:
    assert parse_document(plain) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
DOCUMENTS = st.fixed_dictionaries({"version": JSON | st.just(1), "masters": JSON | st.dictionaries(st.text(), JSON)})


@given(st.binary() | JSON.map(json.dumps).map(str.encode) | DOCUMENTS.map(json.dumps).map(str.encode))
def test_whatever_is_decrypted_is_masters_or_a_refusal(plain: bytes) -> None:
    content = parse_document(plain)
    if isinstance(content, str):
        assert content in (DAMAGED, NEWER)
    else:
        assert all(isinstance(part, str) for name in content for part in name)
        assert {type(master).__name__ for master in content.values()} <= {"MasterToken"}


@given(st.dictionaries(st.tuples(st.text(), st.text()), st.text()))
def test_what_is_written_is_read_again(masters: dict[tuple[str, str], str]) -> None:
    secrets = {name: MasterToken(text) for name, text in masters.items()}
    content = parse_document(age._document(secrets))
    assert not isinstance(content, str)
    assert {name: master.reveal() for name, master in content.items()} == masters


# Which stores there are, and which is used.


def settings(text: str, write: WritePolicy) -> StoreSettings:
    """Return what a user's policy says about the store."""
    write(text)
    return load_config().store


FIRST = backends.KnownStore("file_keyring.FileKeyring", "another keyring backend", keeps=False)
SECOND = backends.KnownStore("file_keyring.SecondKeyring", "another keyring backend", keeps=False)
PLAINTEXT = backends.KnownStore("file_keyring.PlaintextFileKeyring", "plaintext", keeps=False)
PLUGIN = backends.KnownStore("file_keyring.URLPlugin", "another keyring backend", keeps=False)


def listed(text: str, write: WritePolicy) -> list[backends.KnownStore]:
    """List the stores but those of keyrings.alt, which is installed for the tests."""
    return [store for store in backends.list_stores(settings(text, write)) if not store.name.startswith("keyrings.alt")]


def keeping(store: backends.KnownStore) -> backends.KnownStore:
    """Return a store as the one that `keyring set` uses."""
    return store._replace(keeps=True)


def file_store(kind: str) -> backends.KnownStore:
    """Return the age file, as it is listed."""
    return backends.KnownStore(str(path()), kind, keeps=False)


def test_exactly_the_store_that_takes_a_new_master_is_listed_as_that(
    user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first,second,plaintext,url")
    assert listed("", user_policy) == [keeping(FIRST), SECOND, PLUGIN, PLAINTEXT]
    second = '[store]\nbackend = "file_keyring.SecondKeyring"\n'
    assert listed(second, user_policy) == [keeping(SECOND), PLUGIN, PLAINTEXT, FIRST]
    plant({})
    age = keeping(file_store("age file, passphrase"))
    assert listed('[store]\nbackend = "age"\n', user_policy) == [age, PLUGIN, PLAINTEXT, FIRST, SECOND]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "age file, passphrase"),
        ('[store]\nbackend = "age"\n', "age file, passphrase"),
        ('[store]\nidentity = "~/keys/mine.txt"\n', f"age file, identity {os.path.join('~', 'keys', 'mine.txt')}"),
        ('[store]\nidentity = "/keys/mine.txt"\n', f"age file, identity {os.path.normpath('/keys/mine.txt')}"),
    ],
)
def test_the_age_file_tells_what_protects_it(text: str, kind: str, user_policy: WritePolicy) -> None:
    if os.name == "nt" and "/keys" in text:
        pytest.skip("such a path has no drive")
    assert listed(text, user_policy) == [keeping(file_store(kind))]


def test_the_age_file_tells_what_protects_it_today(user_policy: WritePolicy) -> None:
    plant({})
    named = '[store]\nidentity = "~/mine.txt"\n'
    assert listed(named, user_policy) == [keeping(file_store("age file, passphrase"))]
    path().write_bytes(pyrage.encrypt(b"", [pyrage.x25519.Identity.generate().to_public()]))
    assert listed(named, user_policy)[0].kind == f"age file, identity {os.path.join('~', 'mine.txt')}"
    assert listed("", user_policy)[0].kind == "age file, identity that no policy names"
    path().unlink()
    path().mkdir()
    assert listed("", user_policy)[0].kind == "age file, passphrase"


def test_without_pyrage_the_age_file_is_no_choice(user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    assert listed("", user_policy) == []
    plant({})
    assert listed("", user_policy) == [keeping(file_store("age file, passphrase"))]


def test_listing_opens_nothing(identity: pyrage.x25519.Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    del identity
    keyring.set_password(PYPI, TOKEN, new_master())
    forget()
    monkeypatch.setenv("TEST_KEYRINGS", "first")
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "first:get,first:set,first:delete")
    monkeypatch.setitem(sys.modules, "pyrage", None)
    assert len(backends.list_stores(load_config().store)) >= 2


@pytest.mark.parametrize("broken", [False, True], ids=["a keyring without it", "a broken keyring"])
@pytest.mark.parametrize("text", ["", '[store]\nbackend = "file_keyring.FileKeyring"\n'], ids=["chosen", "named"])
def test_a_master_in_the_file_is_found_behind_a_keyring(
    text: str, broken: bool, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first")
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "first:get" if broken else "")
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    plant({PRIVATE: {"default": new_master()}})
    user_policy(text)
    assert projects() == ProjectNamesRestriction(["demo"])


def test_a_master_in_a_keyring_is_found_behind_the_file(
    identity: pyrage.x25519.Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    del identity
    monkeypatch.setenv("TEST_KEYRINGS", "first")
    FileKeyring().plant(PRIVATE, "default", new_master())
    assert projects() == ProjectNamesRestriction(["demo"])
    forget()
    path().mkdir(parents=True)
    assert projects() == ProjectNamesRestriction(["demo"])


def test_with_a_keyring_nobody_opens_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYRINGS", "first")
    plant({PRIVATE: {"default": new_master()}})
    FileKeyring().plant(PRIVATE, "default", new_master())
    assert projects() == ProjectNamesRestriction(["demo"])


def test_with_a_broken_policy_a_file_that_is_there_counts(user_policy: WritePolicy) -> None:
    user_policy("broken")
    assert keyring.get_password(PYPI, TOKEN) is None
    plant({})
    with pytest.raises(RefusedError, match="is not valid TOML"):
        keyring.get_password(PYPI, TOKEN)
    assert keyring.get_password("https://index.example/", TOKEN) is None


def test_the_user_decides_over_the_machine(user_policy: WritePolicy, site_policy: WritePolicy, home: Path) -> None:
    site = site_policy('[store]\nidentity = "keys/site.txt"\n')
    expected = WithOrigin(str(site.parent / "keys" / "site.txt"), Origin(f"{site}:2"))
    assert load_config().store == StoreSettings(WithOrigin("age", Origin(f"{site}:2")), expected)
    user = user_policy('[store]\nbackend = "a.B"\n')
    assert load_config().store == StoreSettings(WithOrigin("a.B", Origin(f"{user}:2")), expected)
    user_policy('[store]\nidentity = "~/../mine.txt"\n')
    mine = WithOrigin(str(home.parent / "mine.txt"), Origin(f"{user}:2"))
    assert load_config().store == StoreSettings(WithOrigin("age", Origin(f"{user}:2")), mine)
