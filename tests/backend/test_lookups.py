"""Which lookups are ours: one table, asked of the pure matcher and of keyring's real chain."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import keyring
import pytest
from sandbox import WritePolicy, forget, new_master

from keyring_pypitoken import Token, paths
from keyring_pypitoken.backend import RefusedError, RefusedSetError
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import BUILT_IN, Key, Repository, check_kind, is_private, match, raw_keys

if TYPE_CHECKING:
    from file_keyring import FileKeyring

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
REFUSED = ("look-alike", "http", "quoted")
NAMES = tuple(repository.name for repository in KNOWN)
DOMAINS = {repository.name: repository.domain for repository in KNOWN}


class Case(NamedTuple):
    """A lookup, and what it is: the name of a repository, a kind that is not an endpoint, or None if it is foreign."""

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
    Case("https://user:word@upload.pypi.org/legacy/", TOKEN, "pypi"),
    Case("https://evil.com@upload.pypi.org/legacy/", TOKEN, "pypi"),
    Case("https://upload.pypi.org/legacy/?", TOKEN, "pypi"),
    Case("https://upload.pypi.org/legacy/?demo", TOKEN, "pypi", "demo"),
    Case("https://upload.pypi.org/legacy?demo", TOKEN, "pypi", "demo"),
    Case("https://upload.pypi.org/legacy/?de%6do", TOKEN, "pypi", "demo"),
    Case("https://upload.pypi.org/legacy/?demo#top", TOKEN, "pypi", "demo"),
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
    # Plain http would show the token to everybody on the way.
    Case("http://upload.pypi.org/legacy/", TOKEN, "http"),
    Case("http://UPLOAD.pypi.org:80/legacy", TOKEN, "http"),
    Case("http://upload.pypi.org:443/legacy/", TOKEN, "http"),
    Case("http://test.pypi.org/legacy/?demo", TOKEN, "http"),
    Case("http://upload.pypi.org/legacy/", FLIT, "http"),
    Case("http://index.example:8443/up/load", TOKEN, "http"),
    # Hosts that look alike.
    Case("https://upload.pypi.org.evil.com/legacy/", TOKEN, None),
    Case("https://evil-upload.pypi.org/legacy/", TOKEN, None),
    Case("https://upload.pypi.org@evil.com/legacy/", TOKEN, None),
    Case("https://upload.pypi.org:443@evil.com/legacy/", TOKEN, None),
    Case("https://upload.pypi.org%2f@evil.com/legacy/", TOKEN, "look-alike"),
    Case("https://upload.pypi.org\\@evil.com/legacy/", TOKEN, "look-alike"),
    Case("https://evil.com/https://upload.pypi.org/legacy/", TOKEN, None),
    Case("https://evil.com/legacy/?https://upload.pypi.org/legacy/", TOKEN, None),
    Case("https://evil.com/legacy/#@upload.pypi.org/legacy/", TOKEN, None),
    Case("https://xn--upload-pypi-org/legacy/", TOKEN, None),
    Case("https://uploаd.pypi.org/legacy/", TOKEN, None),  # noqa: RUF001 - a Cyrillic letter is the point
    Case("https://pypi.org/legacy/", TOKEN, None),
    Case("https://files.pypi.org/legacy/", TOKEN, None),
    Case("https://upload.pypi.org./legacy/", TOKEN, "look-alike"),
    Case("https://[upload.pypi.org]/legacy/", TOKEN, "look-alike"),
    Case("https://[::1]/legacy/", TOKEN, None),
    Case("http://127.0.0.1:8081/legacy/", TOKEN, None),
    Case("http://127.0.0.2:8080/legacy/", TOKEN, None),
    Case("https://127.0.0.1:8080/legacy/", TOKEN, None),
    # Other ports, paths, schemes and spellings of the right hosts.
    Case("https://upload.pypi.org:8443/legacy/", TOKEN, "look-alike"),
    Case("https://upload.pypi.org:0x1bb/legacy/", TOKEN, "look-alike"),
    Case("https://upload.pypi.org/", TOKEN, "look-alike"),
    Case("https://upload.pypi.org/legacy//", TOKEN, "look-alike"),
    Case("https://upload.pypi.org//legacy/", TOKEN, "look-alike"),
    Case("https://upload.pypi.org/Legacy/", TOKEN, "pypi"),
    Case("https://upload.pypi.org/legacy/simple/", TOKEN, "look-alike"),
    Case("https://upload.pypi.org/legacy%2f", TOKEN, "look-alike"),
    Case("https://upload.pypi.org/legacy/#demo", TOKEN, "look-alike"),
    Case("ftp://upload.pypi.org/legacy/", TOKEN, "look-alike"),
    Case("//upload.pypi.org/legacy/", TOKEN, "look-alike"),
    Case("upload.pypi.org/legacy/", TOKEN, "look-alike"),
    Case("upload.pypi.org:443", TOKEN, "pypi"),
    Case("http://upload.pypi.org/simple/", TOKEN, "look-alike"),
    Case("index.example", TOKEN, None),
    # Services of other kinds.
    Case("", TOKEN, None),
    Case("system", TOKEN, None),
    Case("python-poetry-check", "python-poetry", None),
    Case("poetry-repository-other", TOKEN, "kept"),
    Case("pdm-repository-other", TOKEN, "kept"),
    Case("pdm-repository-__unknown__", TOKEN, "kept"),
    Case("pdm-pypi-pypi", TOKEN, None),
    Case("https://index.example/simple/", TOKEN, None),
    Case(" https://upload.pypi.org/legacy/", TOKEN, "look-alike"),
    Case("https://upload.pypi.org/legacy/ ", TOKEN, "look-alike"),
    Case("https://upload.pypi.org/legacy/\n", TOKEN, None),
    Case("https://upload.pypi.org\t/legacy/", TOKEN, None),
    Case("https://upload.pypi.org/legacy/\x00", TOKEN, None),
    Case("https://upload.pypi.org/le\u2028gacy/", TOKEN, None),
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
    Case("Main", TOKEN, "kept"),
    Case("TEST", TOKEN, "kept"),
    Case("main", TOKEN, "kept"),
    Case("Pdm-Repository-mine", TOKEN, "kept"),
    Case("POETRY-REPOSITORY-mine", TOKEN, "kept"),
    Case("maintest", TOKEN, None),
    Case("main?demo", TOKEN, None),
    Case("my-index?demo", TOKEN, None),
    Case("main2", TOKEN, None),
    # Bare hosts of configured repositories, and an IPv6 address.
    Case("127.0.0.1:8080", TOKEN, "local"),
    Case("127.0.0.1", TOKEN, None),
    Case("index.example:8443", TOKEN, "company"),
    Case("INDEX.example:8443", TOKEN, "company"),
    Case("http://[::1]:8081/up/", TOKEN, "six"),
    Case("http://[0:0:0:0:0:0:0:1]:8081/up/", TOKEN, None),
    Case("[::1]:8081", TOKEN, "six"),
    Case("::1", TOKEN, None),
    # Quotes, which cmd.exe passes on.
    Case(f"'{PYPI}'", TOKEN, "quoted"),
    Case(f'"{PYPI}"', TOKEN, "quoted"),
    Case("'upload.pypi.org'", TOKEN, "quoted"),
    Case("'http://upload.pypi.org/legacy/'", TOKEN, "quoted"),
    Case(f"'{PYPI}", TOKEN, "look-alike"),
    Case("'", TOKEN, None),
    # The right host, which only looks like the endpoint.
    Case("https:\\\\upload.pypi.org\\legacy\\", TOKEN, "look-alike"),
    Case("https:/upload.pypi.org/legacy/", TOKEN, "look-alike"),
    Case("https://upload.pypi.org/%6cegacy/", TOKEN, "look-alike"),
    Case("https://%75pload.pypi.org/legacy/", TOKEN, "look-alike"),
    Case("https://\uff55pload.pypi.org/legacy/", TOKEN, "look-alike"),
    Case("https://upload\u3002pypi\uff0eorg/legacy/", TOKEN, "look-alike"),
    Case("https://test.pypi.org/simple/", TOKEN, "look-alike"),
    Case("https://upload.pypi.org/legacy/../legacy/", TOKEN, "look-alike"),
    Case("https://user@upload.pypi.org./legacy/", TOKEN, "look-alike"),
    Case("upload.pypi.org.", TOKEN, "look-alike"),
    # What no name of a host can hold ends it for a reader.
    Case("https://upload.pypi.org;x", TOKEN, "look-alike"),
    Case("https://upload.pypi.org,x/legacy/", TOKEN, "look-alike"),
    Case("https://user:wo;rd@upload.pypi.org&/legacy/", TOKEN, "look-alike"),
    Case("upload.pypi.org legacy", TOKEN, "look-alike"),
    Case("https://upload.pypi.org;x@evil.com/legacy/", TOKEN, None),
    Case("https://upload.pypi.org-x/legacy/", TOKEN, None),
]


def _ids(case: Case) -> str:
    return ascii(f"{case.username} {case.service}")


def test_the_table_is_long_enough() -> None:
    assert len({(case.service, case.username) for case in CASES}) == len(CASES) >= 120


@pytest.mark.parametrize("case", CASES, ids=_ids)
def test_the_matcher(case: Case) -> None:
    key = Key.parse(case.service, case.username)
    found = None if key is None else match(key, KNOWN)
    if key is None or found is None or case.expected is None:
        assert (found, case.expected) == (None, None)
    elif case.expected in NAMES:
        assert found.repository is not None
        assert (found.kind, found.repository.name) == ("endpoint", case.expected)
        assert (key.label, key.project) == (case.label, case.project)
        check_kind(found)
    else:
        assert found.kind == case.expected


@pytest.fixture
def below(user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> FileKeyring:
    """Return the store that keyring's chain asks after us; the environment names the project."""
    user_policy(CONFIGURATION)
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    chained = keyring.get_keyring().backends  # type: ignore[attr-defined]  # the chainer's
    found: FileKeyring = chained[1]
    return found


def _get(method: str, case: Case, username: str | None) -> str | None:
    if method == "password":
        return keyring.get_password(case.service, username)  # type: ignore[arg-type]  # None is asked, too
    credential = keyring.get_credential(case.service, username)
    return None if credential is None else credential.password


def _is_derived(text: str | None) -> bool:
    return text is not None and Token.load(text).raw_caveats[1:] == [b'[1, ["demo"]]']


@pytest.mark.parametrize("method", ["password", "credential"])
@pytest.mark.parametrize("case", CASES, ids=_ids)
def test_keyring_never_hands_out_a_raw_token_that_is_ours(case: Case, method: str, below: FileKeyring) -> None:
    raw = new_master(DOMAINS.get(case.expected or "", "pypi.org"))
    below.plant(case.service, case.username, raw)
    if case.expected in REFUSED:
        with pytest.raises(RefusedError):
            _get(method, case, case.username)
    elif case.expected is None:
        assert _get(method, case, case.username) == raw
    else:
        assert _is_derived(_get(method, case, case.username))


@pytest.mark.parametrize("method", ["password", "credential"])
@pytest.mark.parametrize("username", [None, ""])
@pytest.mark.parametrize("stored", [TOKEN, "", "me"])
@pytest.mark.parametrize("case", [case for case in CASES if case.username == TOKEN and case.expected], ids=_ids)
def test_without_a_user_name_no_raw_token_gets_out(
    case: Case, stored: str, username: str | None, method: str, below: FileKeyring
) -> None:
    below.plant(case.service, stored, new_master(DOMAINS.get(case.expected or "", "pypi.org")))
    would_be_found = below.get_credential(case.service, username) is not None
    if case.expected in ("http", "quoted") or (case.expected in REFUSED and would_be_found):
        with pytest.raises(RefusedError):
            _get(method, case, username)
        return
    found = _get(method, case, username)
    assert _is_derived(found) or (found is None and not would_be_found)


@pytest.mark.parametrize("case", [case for case in CASES if case.expected in ("look-alike", "kept", None)], ids=_ids)
def test_what_is_ours_only_with_a_token_is_passed_on_without_one(case: Case, below: FileKeyring) -> None:
    assert _get("password", case, case.username) is None
    below.plant(case.service, case.username, "a password")
    assert [_get(method, case, case.username) for method in ("password", "credential")] == ["a password"] * 2
    keyring.set_password(case.service, case.username, "another")
    assert below.passwords() == {(case.service, case.username): "another"}
    keyring.delete_password(case.service, case.username)
    assert below.passwords() == {}


@pytest.mark.parametrize("case", [case for case in CASES if case.expected in REFUSED], ids=_ids)
def test_a_token_is_never_stored_where_it_would_be_refused(case: Case, below: FileKeyring) -> None:
    with pytest.raises(RefusedSetError):
        keyring.set_password(case.service, case.username, new_master())
    assert below.passwords() == {}


@pytest.mark.parametrize("case", [case for case in CASES if case.expected == "look-alike"], ids=_ids)
def test_a_look_alike_names_the_right_spelling_and_can_be_deleted(case: Case, below: FileKeyring) -> None:
    below.plant(case.service, case.username, new_master())
    name, url = ("testpypi", TEST) if "test.pypi" in case.service else ("pypi", PYPI)
    with pytest.raises(RefusedError) as refused:
        keyring.get_password(case.service, case.username)
    assert str(refused.value) == (
        f"the service is a misspelt address of {name}: use {url}, and delete what is stored under the misspelt one."
    )
    keyring.delete_password(case.service, case.username)
    assert below.passwords() == {}


@pytest.mark.parametrize("case", [case for case in CASES if case.expected in NAMES and not case.label], ids=_ids)
def test_a_master_can_be_stored_and_deleted_under_every_key_of_its_repository(case: Case, below: FileKeyring) -> None:
    (repository,) = [known for known in KNOWN if known.name == case.expected]
    master = new_master(repository.domain)
    keyring.set_password(case.service, case.username, master)
    assert below.passwords() == {(repository.private_service("default"), "default"): master}
    keyring.delete_password(case.service, case.username)
    assert below.passwords() == {}


@pytest.mark.parametrize("case", [case for case in CASES if case.expected == "quoted"], ids=_ids)
def test_quotes_are_refused_with_the_right_spelling(case: Case) -> None:
    key = Key.parse(case.service, case.username)
    assert key is not None
    found = match(key, KNOWN)
    assert found is not None
    with pytest.raises(Refusal) as refused:
        check_kind(found)
    assert str(refused.value) == (
        "the service is in quotes, which belong to the name then: use https://upload.pypi.org/legacy/ without them "
        "(in cmd.exe only double quotes are removed)."
    )


@pytest.mark.parametrize("service", [None, 3, b"https://upload.pypi.org/legacy/", ""])
def test_declines_services_that_are_not_text(service: object) -> None:
    assert Key.parse(service, TOKEN) is None
    assert Key.parse(PYPI, 3) is None
    assert not is_private(3)


def test_the_key_that_was_asked_for_comes_first_among_raw_ones() -> None:
    key = Key.parse("UPLOAD.pypi.org", FLIT)
    assert key is not None
    assert raw_keys(BUILT_IN[0], key) == (
        ("UPLOAD.pypi.org", FLIT),
        ("UPLOAD.pypi.org", TOKEN),
        (PYPI, TOKEN),
        (PYPI[:-1], TOKEN),
        ("upload.pypi.org", TOKEN),
        ("poetry-repository-pypi", TOKEN),
        ("pdm-repository-pypi", TOKEN),
    )
    assert raw_keys(BUILT_IN[0]) == raw_keys(BUILT_IN[0], key)[2:]


# Bare hosts of configured repositories


def test_without_a_user_name_a_bare_host_is_ours_only_with_a_token(below: FileKeyring) -> None:
    assert keyring.get_credential("index.example:8443", None) is None
    below.plant("index.example:8443", "joe", "a password")
    found = keyring.get_credential("index.example:8443", None)
    assert found is not None
    assert (found.username, found.password) == ("joe", "a password")
    below.delete_password("index.example:8443", "joe")
    below.plant("index.example:8443", "joe", new_master("index.example"))
    found = keyring.get_credential("index.example:8443", None)
    assert found is not None
    assert _is_derived(found.password)


# What uploaders keep under names that their users gave to repositories

KEPT = ["pdm-repository-pypi", "PDM-repository-mine", "poetry-repository-mine", "main", "Test"]


@pytest.mark.parametrize("has_policy", [True, False], ids=["with a policy", "without"])
@pytest.mark.parametrize("service", KEPT)
@pytest.mark.parametrize("domain", ["pypi.org", "test.pypi.org"])
def test_a_raw_token_that_an_uploader_keeps_is_derived_from(
    service: str, domain: str, has_policy: bool, below: FileKeyring
) -> None:
    if not has_policy:  # then the light rules of the backend alone say that the key may be ours
        os.unlink(paths.user_policy())
    below.plant(service, TOKEN, new_master(domain))
    credential = keyring.get_credential(service, None)
    assert credential is not None
    for found in (keyring.get_password(service, TOKEN), credential.password):
        assert found is not None
        assert (Token.load(found).domain, Token.load(found).raw_caveats[1:]) == (domain, [b'[1, ["demo"]]'])


@pytest.mark.parametrize("service", KEPT)
def test_a_token_of_an_index_that_is_not_known_is_passed_on(service: str, below: FileKeyring) -> None:
    password = new_master("elsewhere.example")
    keyring.set_password(service, TOKEN, password)
    assert below.passwords() == {(service, TOKEN): password}
    assert keyring.get_password(service, TOKEN) == password


@pytest.mark.parametrize("service", KEPT)
def test_a_kept_token_that_cannot_be_read_is_refused(service: str, below: FileKeyring) -> None:
    below.plant(service, TOKEN, "pypi-of-another-time")
    with pytest.raises(RefusedError, match=r"^the stored master for pypi cannot be read "):
        keyring.get_password(service, TOKEN)


@pytest.mark.parametrize("service", KEPT)
def test_a_master_that_an_uploader_is_about_to_keep_is_stored_under_our_name(service: str, below: FileKeyring) -> None:
    master = new_master("test.pypi.org")
    keyring.set_password(service, TOKEN, master)
    assert below.passwords() == {(f"keyring-pypitoken:{TEST}", "default"): master}


def test_pdm_deletes_a_master_under_its_own_key(below: FileKeyring) -> None:
    keyring.set_password("pdm-repository-pypi", TOKEN, new_master())
    keyring.delete_password("pdm-repository-pypi", TOKEN)
    assert below.passwords() == {}
    with pytest.raises(keyring.errors.PasswordDeleteError, match=r"^no such password$"):
        keyring.delete_password("pdm-repository-mine", TOKEN)


@pytest.mark.parametrize("domain", ["pypi.org", "elsewhere.example"])
def test_with_a_broken_policy_a_kept_token_of_any_index_is_refused(
    domain: str, below: FileKeyring, user_policy: WritePolicy
) -> None:
    """The policy may name the index."""
    below.plant("pdm-repository-mine", TOKEN, new_master(domain))
    user_policy("projcts = 1\n")
    forget()
    with pytest.raises(RefusedError, match=r"^the policy cannot be followed: "):
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
def test_if_a_policy_cannot_be_read_only_tokens_are_refused(which: str, spoil: object, below: FileKeyring) -> None:
    Path(paths.user_policy()).unlink()
    path = Path(paths.user_policy() if which == "user" else paths.site_policies()[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    assert callable(spoil)
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


@pytest.mark.parametrize(("dirs", "count"), [("", 1), (":/site", 1), ("relative:/site", 1), ("/one:/two:/one", 2)])
@pytest.mark.skipif(os.name != "posix", reason="XDG variables are for POSIX systems")
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
        ("user_cache", "~/Library/Caches/keyring-pypitoken"),
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
    found = paths.find_directories(kind, "darwin")
    assert tuple(map(Path, found)) == (Path(directory).expanduser(),)


def test_on_macos_a_relative_home_leads_into_no_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "here")
    monkeypatch.setenv("USERPROFILE", "here")
    (found,) = paths.find_directories("user_config", "darwin")
    assert Path(found) == Path(os.sep, "here", "Library", "Application Support", "keyring-pypitoken")
