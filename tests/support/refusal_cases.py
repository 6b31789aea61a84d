"""Bad input by name: what sets it up, and the whole sentence that answers it.

One case for each kind; what else a policy, a store or a master may be refused for is asserted where it is raised.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage
from age_writer import encrypt_cheaply
from sandbox import WritePolicy, new_master

from keyring_pypitoken import Token, lookup, paths
from keyring_pypitoken.vault import accounts
from keyring_pypitoken.vault.backends import lines_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest
    from file_keyring import FileKeyring

PYPI = "https://upload.pypi.org/legacy/"
PRIVATE = f"keyring-pypitoken:{PYPI}"
TOKEN = "__token__"
NEW = "create an API token on pypi.org and store that."
PASSPHRASE = "canary: correct horse battery staple"
IDENTITY = str(pyrage.x25519.Identity.generate())
OPENERS = (PASSPHRASE, IDENTITY.removeprefix("AGE-SECRET-KEY-1"))  # of the age file
RECIPIENT = pyrage.x25519.Identity.from_str(IDENTITY).to_public()
EXPECTED = (
    "expected lines such as AGE-SECRET-KEY-1... or AGE-PLUGIN-NAME-1..., or an OpenSSH private key of the type "
    "ed25519 or RSA without a passphrase"
)
AGAIN = "store a new one with `keyring-pypitoken login -r pypi`."


@dataclasses.dataclass
class Stage:
    """What a case sets up before the lookup."""

    work: Path
    user: WritePolicy
    monkeypatch: pytest.MonkeyPatch
    stored: FileKeyring

    def project(self, text: str, name: str = "pypitoken.toml") -> None:
        """Write a file into the current directory."""
        (self.work / name).write_text(text, encoding="utf-8")

    def env(self, name: str, value: str) -> None:
        """Set a variable."""
        self.monkeypatch.setenv(name, value)

    def without(self, module: str) -> None:
        """Let a module not be installed."""
        self.monkeypatch.setitem(sys.modules, module, None)
        self.env("TEST_MISSING", module)

    def age(self, plain: bytes = b"", *, passphrase: str = PASSPHRASE, identity: object = None) -> str:
        """Write an age file that holds a master, or any document, and return its path."""
        document = {"version": 1, "masters": {PRIVATE: {"default": new_master()}}}
        plain = plain or json.dumps(document).encode()
        path = Path(paths.age_file())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pyrage.encrypt(plain, [identity]) if identity else encrypt_cheaply(plain, passphrase))
        self.env("KEYRING_PYPITOKEN_PASSPHRASE", PASSPHRASE)
        return str(path)

    def identity(self, text: str | None) -> tuple[Path, Path]:
        """Name an identity file in the user's policy; return both paths."""
        path = self.work.parent / "identity"
        if text is not None:
            path.write_text(text)
        return path, self.user('[store]\nidentity = "~/identity"\n')

    def master(self, token: str | None = None, account: str = "default") -> None:
        """Store a master under its private name."""
        self.stored.plant(PRIVATE, account, token or new_master())

    def lost_master(self) -> None:
        """Store a master with its note, and take away the backend that keeps it."""
        self.master()
        accounts.note_account(lookup.PYPI, "default")
        self.env("TEST_KEYRINGS", "second")


@dataclasses.dataclass(frozen=True)
class Case:
    """A refused lookup whose master is stored: what is written before it, and the whole sentence."""

    name: str
    sentence: str  # {policy} is the path of the user's policy
    project: str = ""  # pypitoken.toml
    pyproject: str = ""
    user: str = ""
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __call__(self, stage: Stage) -> str:
        """Set the stage, and return the sentence."""
        stage.master()
        if self.project:
            stage.project(self.project)
        if self.pyproject:
            stage.project(self.pyproject, "pyproject.toml")
        for name, value in self.environ.items():
            stage.env(name, value)
        return self.sentence.replace("{policy}", str(stage.user(self.user))) if self.user else self.sentence


_CASES = (
    Case(
        "evidence_outside_the_policy",
        "project 'demo' is not allowed here: pypitoken.toml:2 allows only 'a-a', 'b'; upload it from its own "
        "repository, or add it there (it was named by pyproject.toml).",
        project='# ours\nprojects = ["b", "A.a"]\n',
    ),
    Case(
        "unknown_key",
        "the policy cannot be followed: pypitoken.toml:2: unknown key 'valid_for'; did you mean 'valid-for'?; "
        "correct it there.",
        project='projects = ["demo"]\nvalid_for = "5m"\n',
    ),
    Case(
        "broken_toml",
        "pypitoken.toml:1 is not valid TOML: the value is not closed; correct it there.",
        project="projects = [\n",
    ),
    Case(
        "broken_user_policy",
        "the policy cannot be followed: {policy}:1: unknown key 'ceiling'; known here are projects, valid-for, "
        "max-valid-for, max-token-valid-for, clock-skew, not-before, not-after, account, max-master-age, "
        "require-policy, unscoped, confirm, notice, history, repository, store; correct it there.",
        user="ceiling = 1\n",
    ),
    Case(
        "store_locked",
        "the keyring backend file_keyring.FileKeyring could not be read (KeyringLocked): "
        "unlock or repair it, and try again.",
        environ={"TEST_KEYRING_BROKEN": "first:get"},
    ),
    Case(
        "named_store_holds_nothing",
        "[store] names the backend 'keyring.backends.chainer.ChainerBackend', which holds no passwords "
        "({policy}:2): correct or install it.",
        user='[store]\nbackend = "keyring.backends.chainer.ChainerBackend"\n',
    ),
    Case(
        "account_without_a_master",
        "no master is stored for the account 'work' of pypi (pypitoken.toml:1): "
        "run `keyring-pypitoken login -r pypi --account work`, or name another account.",
        project='account = "work"\n',
    ),
    Case(
        "variable_is_no_duration",
        "KEYRING_PYPITOKEN_VALID_FOR is 'soon', expected a length of time of at most 3650 days "
        'such as "90s", "15m", "1h30m" or "2d", or whole seconds.',
        environ={"KEYRING_PYPITOKEN_VALID_FOR": "soon"},
    ),
    Case(
        "variable_is_zero",
        "KEYRING_PYPITOKEN_VALID_FOR is 0, expected at least one second.",
        environ={"KEYRING_PYPITOKEN_VALID_FOR": "0"},
    ),
)
GET: dict[str, Callable[[Stage], str]] = {case.name: case for case in _CASES}
SET: dict[str, Callable[[Stage], tuple[str, str]]] = {}


def case(setting: Callable[[Stage], str]) -> Callable[[Stage], str]:
    """Add a case to those of `get`."""
    GET[setting.__name__] = setting
    return setting


def set_case(setting: Callable[[Stage], tuple[str, str]]) -> Callable[[Stage], tuple[str, str]]:
    """Add a case to those of `set`."""
    SET[setting.__name__] = setting
    return setting


@case
def no_project_found(stage: Stage) -> str:
    """Nothing tells the project."""
    stage.master()
    (stage.work / "pyproject.toml").unlink()
    return (
        "the project of this upload is unknown: name the distribution files, run it in the project's directory, or "
        "run `export KEYRING_PYPITOKEN_PROJECT=NAME`."
    )


@case
def age_file_with_another_passphrase(stage: Stage) -> str:
    """The variable holds another passphrase."""
    path = stage.age(passphrase="another")
    return (
        f"{path} cannot be opened, because the passphrase is wrong or the file is damaged: try again, or restore the "
        "file from a backup; if the passphrase is lost, delete the file and store a new token with "
        "`keyring-pypitoken login`."
    )


@case
def age_file_without_a_passphrase(stage: Stage) -> str:
    """There is neither a variable nor a terminal."""
    path = stage.age()
    stage.env("KEYRING_PYPITOKEN_PASSPHRASE", "")
    return (
        f"the masters in {path} need a passphrase, which cannot be asked for without a terminal: "
        "set KEYRING_PYPITOKEN_PASSPHRASE, or run this in a terminal."
    )


@case
def age_file_holds_something_else(stage: Stage) -> str:
    """Somebody encrypted another document."""
    path = stage.age(b'{"version": 1, "masters": ["pypi-secret"]}')
    return f"{path} does not hold masters in a known form: restore it from a backup."


@case
def age_file_of_another_identity(stage: Stage) -> str:
    """It was encrypted to another identity."""
    identity, _ = stage.identity(IDENTITY)
    path = stage.age(identity=pyrage.x25519.Identity.generate().to_public())
    return (
        f"{path} cannot be opened with the identity {identity}, because it was encrypted to another, is "
        "damaged, or the identity's plugin refused: name the right identity, or restore the file from a backup."
    )


@case
def identity_missing(stage: Stage) -> str:
    """The policy names a file that is not there."""
    identity, policy = stage.identity(None)
    stage.age(identity=RECIPIENT)
    return (
        f"the identity {identity} ({policy}:2) does not exist: copy it from the machine that has it, or name another; "
        f"if it is lost, delete {paths.age_file()} and store a new token with `keyring-pypitoken login`."
    )


@case
def identity_unreadable(stage: Stage) -> str:
    """The identity was not copied whole."""
    identity, policy = stage.identity(f"# mine\n{IDENTITY[:-3]}\n")
    stage.age(identity=RECIPIENT)
    return f"the identity {identity} ({policy}:2) has no identity in line 2: {EXPECTED}."


@case
def identity_written_into_the_policy(stage: Stage) -> str:
    """The policy holds the key itself, where its path should stand."""
    stage.age(identity=RECIPIENT)
    policy = stage.user(f'[store]\nidentity = "{IDENTITY}"\n')
    return (
        f"the policy cannot be followed: {policy}:2: store.identity is a key itself or not a path, expected the "
        "path of an age identity file or an SSH private key; correct it there."
    )


@case
def stored_master_unreadable(stage: Stage) -> str:
    """Something else lies where the master should."""
    stage.master(new_master()[:-10])
    return f"the stored master for pypi cannot be read (the token is cut short): {AGAIN}"


@case
def stored_master_for_another_project(stage: Stage) -> str:
    """The master is visibly restricted to another project."""
    stage.master(Token.load(new_master()).restrict(project_names=["other", "another"]).dump())
    return (
        "the stored master for pypi is restricted to 'another', 'other' and cannot upload 'demo': "
        "store one that can, or store this one under another account."
    )


@case
def stored_master_for_another_repository(stage: Stage) -> str:
    """A token of TestPyPI lies under PyPI's key."""
    stage.stored.plant(PYPI, TOKEN, new_master("test.pypi.org"))
    return f"the stored master for pypi is a token for 'test.pypi.org', not for 'pypi.org': {AGAIN}"


@case
def keyring_that_held_the_master_is_gone(stage: Stage) -> str:
    """A master was stored, and the backend that took it is not there any more."""
    stage.lost_master()
    return (
        "no keyring that can be asked now holds the master that was stored for pypi (account 'default'): start or "
        "unlock the keyring that does, or, if it is gone for good, forget it with "
        "`keyring-pypitoken logout -r pypi`."
    )


@set_case
def set_token_of_the_wrong_repository(stage: Stage) -> tuple[str, str]:
    """A token of TestPyPI for PyPI."""
    del stage
    return new_master("test.pypi.org"), (
        "this token is for 'test.pypi.org', but pypi needs one for pypi.org: store it with `keyring-pypitoken login -r "
        f"testpypi`, or {NEW}"
    )


@set_case
def set_derived_token(stage: Stage) -> tuple[str, str]:
    """A token that somebody derived."""
    del stage
    derived = Token.load(new_master()).restrict(not_before=0, not_after=4_000_000_000, project_names=["demo"])
    return derived.dump(), f"this token expires: it is a derived token, not a master: {NEW}"


@set_case
def set_nothing(stage: Stage) -> tuple[str, str]:
    """An empty string."""
    del stage
    return "", f"no token given: {NEW}"


@set_case
def set_without_a_store(stage: Stage) -> tuple[str, str]:
    """No backend but one that writes plain text."""
    stage.env("TEST_KEYRINGS", "plaintext")
    stage.without("pyrage")
    return new_master(), (
        "no keyring of a desktop (Secret Service, KWallet, macOS, Windows) can keep the master here: unlock or start "
        "it, or install `keyring-pypitoken[age]` for an encrypted file, or choose file_keyring.PlaintextFileKeyring "
        f"with {lines_for('file_keyring.PlaintextFileKeyring')}."
    )


@set_case
def set_into_an_age_file_with_another_passphrase(stage: Stage) -> tuple[str, str]:
    """What it holds would be lost."""
    stage.user('[store]\nbackend = "age"\n')
    path = stage.age(passphrase="another")
    return new_master(identifier="another"), (
        f"{path} cannot be opened, because the passphrase is wrong or the file is damaged: try again, or restore the "
        "file from a backup; if the passphrase is lost, delete the file and store a new token with "
        "`keyring-pypitoken login`."
    )


@set_case
def set_into_an_age_file_with_a_key_that_age_does_not_take(stage: Stage) -> tuple[str, str]:
    """It looks like an SSH key."""
    fields = b"".join(len(field).to_bytes(4, "big") + field for field in (b"aes256-ctr", b"bcrypt", b"salt"))
    public = b"\0\0\0\x0bssh-ed25519"
    key = b"openssh-key-v1\0" + fields + b"\0\0\0\1" + len(public).to_bytes(4, "big") + public
    text = base64.b64encode(key).decode()
    path, policy = stage.identity(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}\n-----END OPENSSH PRIVATE KEY-----\n")
    return new_master(), (f"the identity {path} ({policy}:2) is not a key that age takes: {EXPECTED}.")


@set_case
def set_into_a_locked_store(stage: Stage) -> tuple[str, str]:
    """The store does not take it."""
    stage.env("TEST_KEYRING_BROKEN", "first:set")
    return new_master(), (
        "the keyring backend file_keyring.FileKeyring could not store the master (KeyringLocked): "
        "unlock or repair it, and try again."
    )


@set_case
def set_into_a_forgetful_store(stage: Stage) -> tuple[str, str]:
    """The store takes it and does not keep it."""
    stage.env("TEST_KEYRING_BROKEN", "forget")
    return new_master(identifier="another"), (
        "the keyring backend file_keyring.FileKeyring did not store the master: choose another with "
        f'the lines `[store]` and `backend = "age"` in {paths.user_policy()}.'
    )


@set_case
def set_with_a_broken_user_policy(stage: Stage) -> tuple[str, str]:
    """Nobody can tell where the user wants it."""
    path = stage.user("[store]\nbackends = 1\n")
    return new_master(), (
        f"the policy cannot be followed: {path}:2: unknown key 'backends'; did you mean 'backend'?; correct it there."
    )


def content(stage: Stage) -> dict[tuple[str, str], str]:
    """Return what the stores hold."""
    age = Path(paths.age_file())
    return stage.stored.passwords() | {("age", str(age)): age.read_bytes().hex() if age.is_file() else ""}
