"""Bad input by name: what sets it up, and the whole sentence that answers it."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage
import pytest
from age_writer import encrypt_cheaply
from sandbox import WritePolicy, new_master

from keyring_pypitoken import Token, lookup, paths
from keyring_pypitoken.text import utc
from keyring_pypitoken.vault import accounts
from keyring_pypitoken.vault.backends import lines_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from file_keyring import FileKeyring

PYPI = "https://upload.pypi.org/legacy/"
PRIVATE = f"keyring-pypitoken:{PYPI}"
TOKEN = "__token__"
NEW = "create an API token on pypi.org and store that."
PASSPHRASE = "canary: correct horse battery staple"
IDENTITY = str(pyrage.x25519.Identity.generate())
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
        path.parent.mkdir(parents=True)
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


GET: dict[str, Callable[[Stage], str]] = {}
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
def evidence_outside_the_policy(stage: Stage) -> str:
    """The directory's project is not among the policy's."""
    stage.master()
    stage.project('# ours\nprojects = ["b", "A.a"]\n')
    return (
        "project 'demo' is not allowed here: pypitoken.toml:2 allows only 'a-a', 'b'; upload it from its own "
        "repository, or add it there (it was named by pyproject.toml)."
    )


@case
def evidence_outside_the_users_ceiling(stage: Stage) -> str:
    """The project's policy allows what the user's does not."""
    stage.master()
    stage.project('projects = ["demo"]\n')
    path = stage.user('projects = ["other"]\n')
    return (
        f"project 'demo' is not allowed here: {path}:1 allows only 'other'; upload it from its own "
        "repository, or add it there (it was named by pyproject.toml)."
    )


@case
def unknown_key(stage: Stage) -> str:
    """A slip in a key."""
    stage.master()
    stage.project('projects = ["demo"]\nvalid_for = "5m"\n')
    return (
        "the policy cannot be followed: pypitoken.toml:2: unknown key 'valid_for'; did you mean 'valid-for'?; "
        "correct it there."
    )


@case
def wrong_type(stage: Stage) -> str:
    """A value of the wrong type, in a pyproject.toml."""
    stage.master()
    stage.project('[project]\nname = "demo"\n[tool.keyring-pypitoken]\nprojects = "demo"\n', "pyproject.toml")
    return (
        "the policy cannot be followed: pyproject.toml:4: projects is 'demo', expected a list of project names "
        'such as ["demo"]; correct it there.'
    )


@case
def broken_toml(stage: Stage) -> str:
    """No TOML at all."""
    stage.master()
    stage.project("projects = [\n")
    return "pypitoken.toml:1 is not valid TOML: the value is not closed; correct it there."


@case
def bad_duration(stage: Stage) -> str:
    """A length of time in words."""
    stage.master()
    stage.project('valid-for = "15 minutes"\n')
    return (
        "the policy cannot be followed: pypitoken.toml:1: valid-for is '15 minutes', expected a length of time of "
        'at most 3650 days such as "90s", "15m", "1h30m" or "2d", or whole seconds; correct it there.'
    )


@case
def naive_date_time(stage: Stage) -> str:
    """A date-time without an offset."""
    stage.master()
    stage.project("not-after = 2026-01-31T18:00:00\n")
    return (
        "the policy cannot be followed: pypitoken.toml:1: not-after has no time zone: write it with one, such as "
        "2026-01-31T18:00:00Z; correct it there."
    )


@case
def both_policy_files_in_one_directory(stage: Stage) -> str:
    """Two policies, of which nobody could tell which one holds."""
    stage.master()
    stage.project('projects = ["demo"]\n')
    stage.project('[project]\nname = "demo"\n[tool.keyring-pypitoken]\n', "pyproject.toml")
    return (
        "two policies are in one directory, pypitoken.toml and [tool.keyring-pypitoken] of pyproject.toml: "
        "keep one of them."
    )


@case
def ceiling_exceeded(stage: Stage) -> str:
    """A longer window than the user allows."""
    stage.master()
    stage.project('valid-for = "45m"\n')
    path = stage.user('\nmax-valid-for = "30m"\n')
    return (
        f"valid-for is 45 minutes (pypitoken.toml:1), above max-valid-for, which is 30 minutes ({path}:2): "
        "shorten valid-for, or raise max-valid-for in your own policy.toml."
    )


@case
def default_ceiling_exceeded(stage: Stage) -> str:
    """A longer window than anybody allowed."""
    stage.master()
    stage.project('valid-for = "2h"\n')
    return (
        "valid-for is 2 hours (pypitoken.toml:1), above max-valid-for, which is 1 hour (its default): "
        "shorten valid-for, or raise max-valid-for in your own policy.toml."
    )


@case
def before_the_absolute_window(stage: Stage) -> str:
    """Too early."""
    stage.master()
    stage.project("not-before = 2999-01-01T00:00:00Z\n")
    return (
        "not-before allows uploads only from 2999-01-01 00:00:00 UTC on (pypitoken.toml:1): wait, or change it there."
    )


@case
def after_the_absolute_window(stage: Stage) -> str:
    """Too late."""
    stage.master()
    stage.project("not-after = 2020-01-01T02:00:00+02:00\n")
    return (
        "not-after allowed uploads only until 2020-01-01 00:00:00 UTC (pypitoken.toml:1): "
        "change it there if it is wrong."
    )


@case
def broken_user_policy(stage: Stage) -> str:
    """The user's own policy cannot be followed."""
    stage.master()
    path = stage.user("ceiling = 1\n")
    return (
        f"the policy cannot be followed: {path}:1: unknown key 'ceiling'; known here are projects, valid-for, "
        "max-valid-for, max-token-valid-for, clock-skew, not-before, not-after, account, max-master-age, "
        "require-policy, unscoped, confirm, notice, history, repository, store; correct it there."
    )


@case
def store_locked(stage: Stage) -> str:
    """The store cannot be read."""
    stage.master()
    stage.env("TEST_KEYRING_BROKEN", "first:get")
    return (
        "the keyring backend file_keyring.FileKeyring could not be read (KeyringLocked): "
        "unlock or repair it, and try again."
    )


@case
def named_store_missing(stage: Stage) -> str:
    """The policy names a backend that is not installed."""
    stage.master()
    path = stage.user('[store]\nbackend = "no_such_module.Keyring"\n')
    return (
        "[store] names the backend 'no_such_module.Keyring', which cannot be loaded (ModuleNotFoundError) "
        f"({path}:2): correct or install it."
    )


@case
def named_store_holds_nothing(stage: Stage) -> str:
    """The policy names keyring's chain, in which we stand ourselves."""
    stage.master()
    path = stage.user('[store]\nbackend = "keyring.backends.chainer.ChainerBackend"\n')
    return (
        "[store] names the backend 'keyring.backends.chainer.ChainerBackend', which holds no passwords "
        f"({path}:2): correct or install it."
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
def age_file_truncated(stage: Stage) -> str:
    """The end is missing."""
    path = stage.age()
    Path(path).write_bytes(Path(path).read_bytes()[:-1])
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
def age_file_without_pyrage(stage: Stage) -> str:
    """The extra is not installed here."""
    stage.age()
    stage.without("pyrage")
    return "masters in a file need pyrage, which is not installed: install `keyring-pypitoken[age]`."


@case
def age_file_is_none(stage: Stage) -> str:
    """Something else was written there."""
    path = stage.age()
    Path(path).write_text("not age")
    return f"{path} is not an age file, so it was changed or damaged: restore it from a backup."


@case
def age_file_is_a_directory(stage: Stage) -> str:
    """A directory lies there."""
    path = Path(stage.age())
    path.unlink()
    path.mkdir()
    return f"{path} is not a regular file: replace it with one."


@case
def age_file_of_a_newer_version(stage: Stage) -> str:
    """A newer version of this package wrote it."""
    path = stage.age(b'{"version": 2, "secrets": "of another form"}')
    return f"{path} was written by a newer version of keyring-pypitoken: upgrade this one."


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
def age_file_of_an_identity_that_nobody_names(stage: Stage) -> str:
    """No policy names the identity."""
    path = stage.age(identity=RECIPIENT)
    return (
        f"{path} is encrypted to an identity, and no policy names one: "
        f"name it as `identity` in [store] of {paths.user_policy()}."
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
def stored_master_expired(stage: Stage) -> str:
    """Another program stored a token that has expired."""
    expired = Token.load(new_master()).restrict(not_before=0, not_after=1_600_000_000)
    stage.stored.plant(PYPI, TOKEN, expired.dump())
    return f"the stored master for pypi expired on 2020-09-13 12:26:40 UTC: {AGAIN}"


@case
def stored_master_not_yet_valid(stage: Stage) -> str:
    """Another program stored a token that is for later."""
    later = int(time.time()) + 10_000
    token = Token.load(new_master()).restrict(not_before=later, not_after=later + 1)
    stage.stored.plant(PYPI, TOKEN, token.dump())
    return f"the stored master for pypi works only from {utc(later)} on: wait, or correct this machine's clock."


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
def account_without_a_master(stage: Stage) -> str:
    """The policy names an account of which nothing is stored, and the default has a master."""
    stage.master()
    stage.project('account = "work"\n')
    return (
        "no master is stored for the account 'work' of pypi (pypitoken.toml:1): "
        "run `keyring-pypitoken login -r pypi --account work`, or name another account."
    )


@case
def account_without_a_master_and_a_raw_one(stage: Stage) -> str:
    """The policy names an account of which nothing is stored, and a raw token lies under the upload key."""
    stage.stored.plant(PYPI, TOKEN, new_master())
    stage.project('account = "work"\n')
    return (
        "no master is stored for the account 'work' of pypi (pypitoken.toml:1): "
        "run `keyring-pypitoken login -r pypi --account work`, or name another account."
    )


@case
def keyring_that_held_the_master_is_gone(stage: Stage) -> str:
    """A master was stored, and the backend that took it is not there any more."""
    stage.lost_master()
    return (
        "no keyring that can be asked now holds the master that was stored for pypi (account 'default'): start or "
        "unlock the keyring that does, or, if it is gone for good, forget it with "
        f'`keyring del "{PYPI}?default" {TOKEN}`.'
    )


@case
def keyring_is_gone_and_the_policy_refuses(stage: Stage) -> str:
    """A master was stored, the backend that took it is not there any more, and the policy says no."""
    stage.lost_master()
    stage.project('projects = ["other"]\n')
    return (
        "project 'demo' is not allowed here: pypitoken.toml:1 allows only 'other'; upload it from its own "
        "repository, or add it there (it was named by pyproject.toml)."
    )


@case
def policy_required(stage: Stage) -> str:
    """The user wants a policy in every project."""
    stage.master()
    path = stage.user("require-policy = true\n")
    return f"no project policy was found, and {path}:1 requires one: add a pypitoken.toml that lists the project."


@case
def unknown_repository(stage: Stage) -> str:
    """The project speaks about a repository that nobody knows."""
    stage.master()
    stage.project('[repository.pipy]\nprojects = ["demo"]\n')
    return (
        "pypitoken.toml:2 mentions an unknown repository 'pipy'; did you mean 'pypi'? "
        "correct the name, or add its url to your own policy.toml."
    )


@case
def variable_asks_for_longer(stage: Stage) -> str:
    """The environment may only shorten."""
    stage.master()
    stage.env("KEYRING_PYPITOKEN_VALID_FOR", "20m")
    return (
        "KEYRING_PYPITOKEN_VALID_FOR asks for 20 minutes, and it may only shorten valid-for, which is 15 minutes "
        "(auto: files not known): set it to less, or run `unset KEYRING_PYPITOKEN_VALID_FOR`."
    )


@case
def variable_is_no_duration(stage: Stage) -> str:
    """The environment holds a word."""
    stage.master()
    stage.env("KEYRING_PYPITOKEN_VALID_FOR", "soon")
    return (
        "KEYRING_PYPITOKEN_VALID_FOR is 'soon', expected a length of time of at most 3650 days "
        'such as "90s", "15m", "1h30m" or "2d", or whole seconds.'
    )


@case
def variable_is_a_long_number(stage: Stage) -> str:
    """The environment holds more digits than Python reads."""
    stage.master()
    stage.env("KEYRING_PYPITOKEN_VALID_FOR", "9" * 5000)
    return (
        "KEYRING_PYPITOKEN_VALID_FOR is a text of 5000 characters, expected a length of time of at most 3650 days "
        'such as "90s", "15m", "1h30m" or "2d", or whole seconds.'
    )


@case
def variable_is_zero(stage: Stage) -> str:
    """The environment asks for no time at all."""
    stage.master()
    stage.env("KEYRING_PYPITOKEN_VALID_FOR", "0")
    return "KEYRING_PYPITOKEN_VALID_FOR is 0, expected at least one second."


@case
def named_policy_missing(stage: Stage) -> str:
    """The environment names a file that is not there."""
    stage.master()
    stage.env("KEYRING_PYPITOKEN_POLICY", "elsewhere.toml")
    return (
        "KEYRING_PYPITOKEN_POLICY names elsewhere.toml, but it does not exist: correct it, or run "
        "`unset KEYRING_PYPITOKEN_POLICY`."
    )


@case
def variable_names_no_project(stage: Stage) -> str:
    """The environment names what no project can be called."""
    stage.master()
    stage.env("KEYRING_PYPITOKEN_PROJECT", "demo, ../x")
    return "'../x' is not a valid project name, but KEYRING_PYPITOKEN_PROJECT contains it: correct it there."


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
def set_password_of_a_person(stage: Stage) -> tuple[str, str]:
    """The password of the account."""
    del stage
    return "correct horse battery staple", (f"this is not a PyPI API token, and a password cannot be restricted: {NEW}")


@set_case
def set_nothing(stage: Stage) -> tuple[str, str]:
    """An empty string."""
    del stage
    return "", f"no token given: {NEW}"


@set_case
def set_half_a_token(stage: Stage) -> tuple[str, str]:
    """A token that was not copied whole."""
    del stage
    return new_master()[:-10], "the token is cut short or was changed: copy all of it."


@set_case
def set_without_a_store(stage: Stage) -> tuple[str, str]:
    """No backend but one that writes plain text."""
    stage.env("TEST_KEYRINGS", "plaintext")
    stage.without("pyrage")
    return new_master(), (
        "no keyring of a desktop (Secret Service, KWallet, macOS, Windows) can keep the master here: unlock or start "
        "it; or install `keyring-pypitoken[age]` for an encrypted file; or choose file_keyring.PlaintextFileKeyring "
        f"with {lines_for('file_keyring.PlaintextFileKeyring')}."
    )


@set_case
def set_without_a_store_or_a_passphrase(stage: Stage) -> tuple[str, str]:
    """No backend but one that writes plain text, and nobody to ask for a passphrase."""
    stage.env("TEST_KEYRINGS", "plaintext")
    return new_master(), (
        f"the masters in {paths.age_file()} need a passphrase, which cannot be asked for without a terminal: "
        "set KEYRING_PYPITOKEN_PASSPHRASE, or run this in a terminal. Or choose another store with "
        f"{lines_for('file_keyring.PlaintextFileKeyring')}."
    )


@set_case
def set_into_an_age_file_without_pyrage(stage: Stage) -> tuple[str, str]:
    """The policy names it, and the extra is not installed."""
    stage.user('[store]\nbackend = "age"\n')
    stage.env("KEYRING_PYPITOKEN_PASSPHRASE", PASSPHRASE)
    stage.without("pyrage")
    return new_master(), "masters in a file need pyrage, which is not installed: install `keyring-pypitoken[age]`."


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
def set_into_an_age_file_of_a_newer_version(stage: Stage) -> tuple[str, str]:
    """What it holds would be lost."""
    stage.user('[store]\nbackend = "age"\n')
    path = stage.age(b'{"version": 2}')
    return new_master(), f"{path} was written by a newer version of keyring-pypitoken: upgrade this one."


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
def set_where_the_age_file_cannot_be(stage: Stage) -> tuple[str, str]:
    """A file stands where its directory should."""
    directory = Path(paths.age_file()).parent
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.write_text("")
    stage.identity(IDENTITY)
    with pytest.raises(FileExistsError) as there:
        directory.mkdir()
    return new_master(), (
        f"{paths.accounts_directory()} cannot be locked ({there.value.strerror}): "
        f"make {directory} a directory that you can write."
    )


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


def _content(stage: Stage) -> dict[tuple[str, str], str]:
    age = Path(paths.age_file())
    return stage.stored.passwords() | {("age", str(age)): age.read_bytes().hex() if age.is_file() else ""}


if os.name == "posix":  # elsewhere access lists say who may write, and no test can set them

    @case
    def user_policy_writable_by_others(stage: Stage) -> str:
        """Somebody else could loosen the user's policy."""
        stage.master()
        path = stage.user("", 0o666)
        return (
            f"{path} can be written by others, who could loosen the policy: run `chmod go-w {shlex.quote(str(path))}`."
        )
