"""Which lookups name a repository: one table, asked of the pure matcher and of the real keyring."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import keyring
import pytest
from file_keyring import FileKeyring
from sandbox import WritePolicy, forget, new_master

from keyring_pypitoken import Token, memory, paths
from keyring_pypitoken.backend import RefusedError, RefusedSetError
from keyring_pypitoken.lookup import BUILT_IN, Key, Repository, is_private, match, misspelling, repository_at

if TYPE_CHECKING:
    from collections.abc import Callable

PYPI, TEST = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/"
TOKEN, FLIT = "__token__", "pypi_token:project:demo"
LOCAL = Repository("local", "http://127.0.0.1:8080/legacy/", "local.example", ("my-index",))
COMPANY = Repository("company", "https://index.example:8443/up/load", "index.example", ())
SIX = Repository("six", "http://[::1]:8081/up/", "six.example", ())
KNOWN = (*BUILT_IN, LOCAL, COMPANY, SIX)
CONFIGURATION = """
[repository.local]
url = "http://127.0.0.1:8080/legacy/"
domain = "local.example"
services = ["my-index"]
[repository.company]
url = "https://index.example:8443/up/load"
[repository.six]
url = "http://[::1]:8081/up/"
domain = "six.example"
"""
NAMES = tuple(repository.name for repository in KNOWN)
DOMAINS = {repository.name: repository.domain for repository in KNOWN}


class Case(NamedTuple):
    """A lookup, and what it is: the name of a repository, another kind, or None if it is foreign."""

    service: str
    username: str
    expected: str | None
    label: str | None = None
    project: str | None = None


CASES = [
    # The upload URLs, in every spelling that reaches the same endpoint.
    Case(PYPI, TOKEN, "pypi"),
    Case("https://upload.pypi.org/legacy", TOKEN, "pypi"),
    Case("https://UPLOAD.PYPI.ORG/legacy/", TOKEN, "pypi"),
    Case("HTTPS://Upload.PyPI.org/legacy", TOKEN, "pypi"),
    Case("https://upload.pypi.org:443/legacy/", TOKEN, "pypi"),
    Case("https://upload.pypi.org:/legacy/", TOKEN, "pypi"),
    Case("https://__token__@upload.pypi.org/legacy/", TOKEN, "pypi"),
    Case("https://user:word@upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://evil.com@upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/legacy/?", TOKEN, "pypi"),
    Case("https://upload.pypi.org/legacy/?demo", TOKEN, "pypi", "demo"),
    Case("https://upload.pypi.org/legacy?demo", TOKEN, "pypi", "demo"),
    Case("https://upload.pypi.org/legacy/?de%6do", TOKEN, "pypi", "demo"),
    Case("https://upload.pypi.org/legacy/?demo#top", TOKEN, "misspelled"),
    Case(TEST, TOKEN, "testpypi"),
    Case("https://test.pypi.org/legacy", TOKEN, "testpypi"),
    Case("https://TEST.pypi.org:443/legacy/", TOKEN, "testpypi"),
    Case("https://test.pypi.org/legacy/?demo", TOKEN, "testpypi", "demo"),
    # The other names that uploaders have for them.
    Case("upload.pypi.org", TOKEN, "pypi"),
    Case("Upload.PyPI.org", TOKEN, "pypi"),
    Case("test.pypi.org", TOKEN, "testpypi"),
    Case("poetry-repository-pypi", TOKEN, "pypi"),
    Case(PYPI, "pypi_token:user:alice", "pypi"),
    Case("poetry-repository-testpypi", TOKEN, "testpypi"),
    Case(PYPI, FLIT, "pypi", None, "demo"),
    Case(TEST, FLIT, "testpypi", None, "demo"),
    Case("upload.pypi.org", FLIT, "pypi", None, "demo"),
    # Repositories of the user's policy.
    Case("http://127.0.0.1:8080/legacy/", TOKEN, "local"),
    Case("http://127.0.0.1:8080/legacy", TOKEN, "local"),
    Case("http://127.0.0.1:8080/legacy/?demo", TOKEN, "local", "demo"),
    Case("my-index", TOKEN, "local"),
    Case("https://index.example:8443/up/load", TOKEN, "company"),
    Case("https://Index.Example:8443/up/load/", TOKEN, "company"),
    # Plain http would show the token to everybody on the network.
    Case("http://upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("http://UPLOAD.pypi.org:80/legacy", TOKEN, "misspelled"),
    Case("http://upload.pypi.org:443/legacy/", TOKEN, "misspelled"),
    Case("http://test.pypi.org/legacy/?demo", TOKEN, "misspelled"),
    Case("http://upload.pypi.org/legacy/", FLIT, "misspelled"),
    Case("http://index.example:8443/up/load", TOKEN, "misspelled"),
    # Hosts that look alike.
    Case("https://upload.pypi.org.evil.com/legacy/", TOKEN, "misspelled"),
    Case("https://evil-upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org@evil.com/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org:443@evil.com/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org%2f@evil.com/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org\\@evil.com/legacy/", TOKEN, "misspelled"),
    Case("https://evil.com/https://upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://evil.com/legacy/?https://upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://evil.com/legacy/#@upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://xn--upload-pypi-org/legacy/", TOKEN, None),
    Case("https://uploаd.pypi.org/legacy/", TOKEN, "misspelled"),  # noqa: RUF001 - a Cyrillic letter is the point
    Case("https://pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://files.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org./legacy/", TOKEN, "misspelled"),
    Case("https://[upload.pypi.org]/legacy/", TOKEN, "misspelled"),
    Case("https://[::1]/legacy/", TOKEN, "misspelled"),
    Case("http://127.0.0.1:8081/legacy/", TOKEN, "misspelled"),
    Case("http://127.0.0.2:8080/legacy/", TOKEN, None),
    Case("https://127.0.0.1:8080/legacy/", TOKEN, "misspelled"),
    # Other ports, paths, schemes and spellings of the right hosts.
    Case("https://upload.pypi.org:8443/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org:0x1bb/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/legacy//", TOKEN, "misspelled"),
    Case("https://upload.pypi.org//legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/Legacy/", TOKEN, "pypi"),
    Case("https://upload.pypi.org/legacy/simple/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/legacy%2f", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/legacy/#demo", TOKEN, "misspelled"),
    Case("ftp://upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("//upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("upload.pypi.org:443", TOKEN, "pypi"),
    Case("http://upload.pypi.org/simple/", TOKEN, "misspelled"),
    Case("index.example", TOKEN, "misspelled"),
    # Services of other kinds.
    Case("", TOKEN, None),
    Case("system", TOKEN, None),
    Case("python-poetry-check", "python-poetry", None),
    Case("poetry-repository-other", TOKEN, "name"),
    Case("pdm-repository-other", TOKEN, "name"),
    Case("pdm-repository-__unknown__", TOKEN, "name"),
    Case("pdm-pypi-pypi", TOKEN, None),
    Case("https://index.example/simple/", TOKEN, "misspelled"),
    Case(" https://upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/legacy/ ", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/legacy/\n", TOKEN, "misspelled"),
    Case("https://upload.pypi.org\t/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/legacy/\x00", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/le\u2028gacy/", TOKEN, "misspelled"),
    # Other users.
    Case(PYPI, "alice", None),
    Case(PYPI, "__TOKEN__", "pypi"),
    Case(PYPI, "__token__ ", None),
    Case(PYPI, "pypi_token:users:alice", None),
    Case(PYPI, "pypi_token:user:alice\n", None),
    Case(PYPI, "pypi_token:project:demo\n", None),
    Case("upload.pypi.org", "alice", None),
    Case("my-index", "alice", None),
    # Without case, as Windows compares.
    Case("POETRY-repository-PyPI", TOKEN, "pypi"),
    Case("MY-index", TOKEN, "local"),
    Case("https://upload.pypi.org/legacy/?Demo", TOKEN, "pypi", "Demo"),
    Case(PYPI, "PyPI_Token:Project:demo", "pypi", None, "demo"),
    Case("Main", TOKEN, "generic"),
    Case("TEST", TOKEN, "generic"),
    Case("main", TOKEN, "generic"),
    Case("Pdm-Repository-mine", TOKEN, "name"),
    Case("POETRY-REPOSITORY-mine", TOKEN, "name"),
    Case("maintest", TOKEN, None),
    Case("main?demo", TOKEN, None),
    Case("my-index?demo", TOKEN, None),
    Case("main2", TOKEN, None),
    # Bare hosts of configured repositories, and an IPv6 address.
    Case("127.0.0.1:8080", TOKEN, "local"),
    Case("127.0.0.1", TOKEN, "misspelled"),
    Case("index.example:8443", TOKEN, "company"),
    Case("INDEX.example:8443", TOKEN, "company"),
    Case("http://[::1]:8081/up/", TOKEN, "six"),
    Case("http://[0:0:0:0:0:0:0:1]:8081/up/", TOKEN, None),
    Case("[::1]:8081", TOKEN, "six"),
    Case("::1", TOKEN, None),
    # Quotes, which cmd.exe passes on.
    Case(f"'{PYPI}'", TOKEN, "misspelled"),
    Case(f'"{PYPI}"', TOKEN, "misspelled"),
    Case("'upload.pypi.org'", TOKEN, "misspelled"),
    Case("'http://upload.pypi.org/legacy/'", TOKEN, "misspelled"),
    Case(f"'{PYPI}", TOKEN, "misspelled"),
    Case("'", TOKEN, None),
    # The right host, which only looks like the endpoint.
    Case("https:\\\\upload.pypi.org\\legacy\\", TOKEN, "misspelled"),
    Case("https:/upload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/%6cegacy/", TOKEN, "misspelled"),
    Case("https://%75pload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://\uff55pload.pypi.org/legacy/", TOKEN, "misspelled"),
    Case("https://upload\u3002pypi\uff0eorg/legacy/", TOKEN, "misspelled"),
    Case("https://test.pypi.org/simple/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org/legacy/../legacy/", TOKEN, "misspelled"),
    Case("https://user@upload.pypi.org./legacy/", TOKEN, "misspelled"),
    Case("upload.pypi.org.", TOKEN, "misspelled"),
    # What no name of a host can hold ends it for a reader.
    Case("https://upload.pypi.org;x", TOKEN, "misspelled"),
    Case("https://upload.pypi.org,x/legacy/", TOKEN, "misspelled"),
    Case("https://user:wo;rd@upload.pypi.org&/legacy/", TOKEN, "misspelled"),
    Case("upload.pypi.org legacy", TOKEN, "misspelled"),
    Case("https://upload.pypi.org;x@evil.com/legacy/", TOKEN, "misspelled"),
    Case("https://upload.pypi.org-x/legacy/", TOKEN, "misspelled"),
]

# Spelt alike for every reader, these are the addresses that an uploader may send to.


def test_the_matcher() -> None:
    for case in CASES:
        key = Key.parse(case.service, case.username)
        named = match(key, KNOWN) if key else None
        if key is None or named is None:
            assert case.expected is None, case
        elif case.expected in NAMES:
            assert named.repository is not None
            assert (named.repository.name, key.label, key.project) == case[2:], case
            assert named.kind in ("url", "host", "name")
        else:
            assert named.kind == case.expected, case


def test_an_address_is_known_only_in_its_strict_form() -> None:
    for case in [case for case in CASES if case.username == TOKEN]:
        at = repository_at(case.service, KNOWN)
        assert at is None or (at.name == case.expected and "://" in case.service), case


@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        (
            "http://upload.pypi.org/legacy/",
            "http would send the token unencrypted, so that anyone on the network can read it: use {}.",
        ),
        ("https://upload.pypi.org./legacy/", "the service is a misspelt address of pypi: use {}."),
    ],
)
def test_a_misspelling_names_the_right_spelling(service: str, sentence: str) -> None:
    key = Key.parse(service, TOKEN)
    assert key is not None
    assert str(misspelling(key, BUILT_IN[0])) == sentence.format(PYPI)


def test_what_is_not_text_names_nothing() -> None:
    for service in (None, 3, b"https://upload.pypi.org/legacy/", ""):
        assert Key.parse(service, TOKEN) is None
        assert not is_private(service, TOKEN)
    assert Key.parse(PYPI, 3) is None
    assert not is_private(PYPI, 3)


PRIVATE = f"keyring-pypitoken:{PYPI}"


@pytest.mark.parametrize(
    ("service", "username"),
    [
        (PRIVATE, "default"),
        ("default", PRIVATE),
        (PRIVATE.upper(), ""),
        (f"default@{PRIVATE}", "x"),
        (f"../{PRIVATE}", None),
        ("keyring%2Dpypitoken%3Ahttps", "default"),
        ("keyring%252Dpypitoken%253Ahttps", "default"),
        ("\uff4beyring-pypitoken:https", "default"),
        ("keyring", "pypitoken:https"),
        ("pypitoken:https", "keyring"),
        ("keyring-pypi", "token:https"),
    ],
)
def test_the_private_name_is_recognized_however_a_store_joins_or_folds_it(service: str, username: str | None) -> None:
    assert is_private(service, username)


# Asked of keyring, with a store behind us


@pytest.fixture
def below(user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> FileKeyring:
    """Return the store behind us; the environment names the project."""
    user_policy(CONFIGURATION)
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    return FileKeyring()


def _empty(below: FileKeyring) -> None:
    for service, username in below.passwords():
        below.delete_password(service, username)
    memory.forget()


def _password(service: str, username: str | None) -> str | None:
    return keyring.get_password(service, username)  # type: ignore[arg-type]  # None is asked, too


def _credential(service: str, username: str | None) -> str | None:
    credential = keyring.get_credential(service, username)
    return None if credential is None else credential.password


ASK: tuple[Callable[[str, str | None], str | None], ...] = (_password, _credential)


def _is_derived(text: str | None) -> bool:
    return text is not None and Token.load(text).raw_caveats[1:] == [b'[1, ["demo"]]']


def test_no_raw_token_is_handed_out_under_any_key(below: FileKeyring) -> None:
    for case in CASES:
        _empty(below)
        below.plant(case.service, case.username, new_master(DOMAINS.get(case.expected or "", "pypi.org")))
        for ask in ASK:
            if case.expected in (*NAMES, "name"):
                assert _is_derived(ask(case.service, case.username)), case
            else:
                with pytest.raises(RefusedError):
                    ask(case.service, case.username)


def test_without_a_user_name_no_raw_token_gets_out(below: FileKeyring) -> None:
    for case in [case for case in CASES if case.username == TOKEN and case.service]:
        for stored in (TOKEN, "", "me"):
            for username in (None, ""):
                _empty(below)
                below.plant(case.service, stored, new_master(DOMAINS.get(case.expected or "", "pypi.org")))
                for ask in ASK:
                    try:
                        answer = ask(case.service, username)
                    except (RefusedError, AttributeError):  # a store below has its own error for no user name
                        continue
                    assert answer is None or (_is_derived(answer) and case.expected in (*NAMES, "name")), case


def test_passwords_are_passed_on_under_every_key(below: FileKeyring) -> None:
    for case in CASES:
        _empty(below)
        assert _password(case.service, case.username) is None
        below.plant(case.service, case.username, "a password")
        assert [ask(case.service, case.username) for ask in ASK] == ["a password"] * 2, case
        if case.expected not in NAMES:
            keyring.set_password(case.service, case.username, "another")
            assert below.passwords() == {(case.service, case.username): "another"}
            keyring.delete_password(case.service, case.username)
            assert below.passwords() == {}


def test_a_token_is_stored_for_a_repository_only_and_under_our_name(below: FileKeyring) -> None:
    for case in [case for case in CASES if not case.label]:
        _empty(below)
        repository = next((known for known in KNOWN if known.name == case.expected), BUILT_IN[1])
        master = new_master(repository.domain)
        if case.expected not in (*NAMES, "name"):
            with pytest.raises(RefusedSetError):
                keyring.set_password(case.service, case.username, master)
            assert below.passwords() == {}
            continue
        keyring.set_password(case.service, case.username, master)
        account = case.project or "default"
        assert below.passwords() == {(repository.private_service(account), account): master}, case
        if case.expected in NAMES:
            keyring.delete_password(case.service, case.username)
            assert below.passwords() == {}


@pytest.mark.parametrize("service", ["PDM-repository-mine", "poetry-repository-mine"])
def test_a_token_of_an_index_that_is_not_known_is_passed_on(service: str, below: FileKeyring) -> None:
    password = new_master("elsewhere.example")
    keyring.set_password(service, TOKEN, password)
    assert below.passwords() == {(service, TOKEN): password}
    assert keyring.get_password(service, TOKEN) == password


@pytest.mark.parametrize("domain", ["pypi.org", "elsewhere.example"])
def test_with_a_broken_policy_a_token_of_any_index_is_refused(
    domain: str, below: FileKeyring, user_policy: WritePolicy
) -> None:
    """The policy may name the index."""
    below.plant("pdm-repository-mine", TOKEN, new_master(domain))
    user_policy("projcts = 1\n")
    forget()
    with pytest.raises(RefusedError):
        keyring.get_password("pdm-repository-mine", TOKEN)
    with pytest.raises(RefusedSetError, match=r"^the policy cannot be followed: "):
        keyring.set_password("main", TOKEN, new_master(domain))


# A policy that cannot be read may name any repository


def _dangling(path: Path) -> None:
    path.symlink_to(path.parent / "unmounted" / "policy.toml")


def _looping(path: Path) -> None:
    path.symlink_to(path)


def _in_a_dangling_directory(path: Path) -> None:
    path.parent.rmdir()
    path.parent.symlink_to(path.parent.parent / "unmounted")


def _directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere not everybody may make links")
@pytest.mark.parametrize("spoil", [_dangling, _looping, _in_a_dangling_directory, _directory])
@pytest.mark.parametrize("which", ["user", "site"])
def test_if_a_policy_cannot_be_read_only_tokens_are_refused(
    which: str, spoil: Callable[[Path], None], below: FileKeyring
) -> None:
    Path(paths.user_policy()).unlink()
    path = Path(paths.user_policy() if which == "user" else paths.site_policies()[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    spoil(path)
    url = "https://unknown.example/legacy/"
    for service in (url, "unknown.example", "some-service"):
        assert keyring.get_password(service, TOKEN) is None
        below.plant(service, TOKEN, "a password")
        assert keyring.get_password(service, TOKEN) == "a password"
        below.plant(service, TOKEN, new_master("unknown.example"))
        for username in (TOKEN, None):
            with pytest.raises(RefusedError):
                keyring.get_credential(service, username)
    assert keyring.get_password("mail", "joe") is None


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="root may search every directory")
def test_a_home_that_cannot_be_searched_breaks_no_unrelated_lookup(
    below: FileKeyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # pragma: no cover - not as root
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    forget()
    keyring.get_keyring()  # which reads a file of its own there
    monkeypatch.setenv("XDG_CONFIG_HOME", str(closed / "config"))
    below.plant("https://pip.example/simple/", "joe", "hers")
    assert keyring.get_password("https://pip.example/simple/", TOKEN) is None
    assert keyring.get_password("https://pip.example/simple/", "joe") == "hers"


@pytest.mark.parametrize(("dirs", "count"), [("", 1), (":/site", 2), ("relative:/site", 2), ("/one:/two:/one", 3)])
@pytest.mark.skipif(sys.platform != "linux", reason="XDG variables are for POSIX systems")
def test_only_absolute_site_directories_count(dirs: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative one would take a file of somebody's checkout for the machine's."""
    monkeypatch.setenv("XDG_CONFIG_DIRS", dirs)
    forget()
    assert len(paths.site_policies()) == count
    assert all(os.path.isabs(path) for path in paths.site_policies())


@pytest.mark.parametrize(
    ("kind", "directory"),
    [
        ("user_config", "~/Library/Application Support/keyring-pypitoken"),
        ("site_config", "/Library/Application Support/keyring-pypitoken"),
        ("user_data", "~/Library/Application Support/keyring-pypitoken"),
        ("user_state", "~/Library/Application Support/keyring-pypitoken"),
    ],
)
def test_on_macos_files_are_in_apples_directories_whatever_else_is_there(
    kind: str, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever XDG variables say, Homebrew's Python is, and the installed platformdirs makes of both."""
    for name in ("CONFIG_HOME", "CONFIG_DIRS", "DATA_HOME", "DATA_DIRS", "STATE_HOME", "CACHE_HOME"):
        monkeypatch.setenv(f"XDG_{name}", "/elsewhere")
    monkeypatch.setattr(sys, "prefix", "/opt/homebrew/opt/python")
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    directories = paths.find_directories(kind, "darwin")
    assert tuple(map(Path, directories)) == (Path(directory).expanduser(),)
