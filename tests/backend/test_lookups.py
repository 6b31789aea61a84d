"""Which lookups are ours: one table, asked of the pure matcher and of keyring's real chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import keyring
import pytest
from sandbox import WritePolicy, forget, new_master

from keyring_pypitoken import Token
from keyring_pypitoken.backend import RefusedError
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import BUILT_IN, Repository, asks_for_token, find_lookup

if TYPE_CHECKING:
    from file_keyring import FileKeyring

PYPI, TEST = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/"
TOKEN, FLIT = "__token__", "pypi_token:project:demo"
LOCAL = Repository("local", "http://127.0.0.1:8080/legacy/", "local.example", ("my-index",))
COMPANY = Repository("company", "https://index.example:8443/up/load", "index.example", ())
CONFIGURATION = """
[repository.local]
url = "http://127.0.0.1:8080/legacy/"
domain = "local.example"
services = ["my-index"]
[repository.company]
url = "https://index.example:8443/up/load"
"""


class Case(NamedTuple):
    """A lookup and the repository that it is for: a name, `refused`, or None where it is foreign."""

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
    Case("http://upload.pypi.org/legacy/", TOKEN, "refused"),
    Case("http://UPLOAD.pypi.org:80/legacy", TOKEN, "refused"),
    Case("http://upload.pypi.org:443/legacy/", TOKEN, "refused"),
    Case("http://test.pypi.org/legacy/?demo", TOKEN, "refused"),
    Case("http://upload.pypi.org/legacy/", FLIT, "refused"),
    Case("http://index.example:8443/up/load", TOKEN, "refused"),
    # Hosts that look alike.
    Case("https://upload.pypi.org.evil.com/legacy/", TOKEN, None),
    Case("https://evil-upload.pypi.org/legacy/", TOKEN, None),
    Case("https://upload.pypi.org@evil.com/legacy/", TOKEN, None),
    Case("https://upload.pypi.org:443@evil.com/legacy/", TOKEN, None),
    Case("https://upload.pypi.org%2f@evil.com/legacy/", TOKEN, None),
    Case("https://upload.pypi.org\\@evil.com/legacy/", TOKEN, None),
    Case("https://evil.com/https://upload.pypi.org/legacy/", TOKEN, None),
    Case("https://evil.com/legacy/?https://upload.pypi.org/legacy/", TOKEN, None),
    Case("https://evil.com/legacy/#@upload.pypi.org/legacy/", TOKEN, None),
    Case("https://xn--upload-pypi-org/legacy/", TOKEN, None),
    Case("https://uploаd.pypi.org/legacy/", TOKEN, None),  # noqa: RUF001 - a Cyrillic letter is the point
    Case("https://pypi.org/legacy/", TOKEN, None),
    Case("https://files.pypi.org/legacy/", TOKEN, None),
    Case("https://upload.pypi.org./legacy/", TOKEN, None),
    Case("https://[upload.pypi.org]/legacy/", TOKEN, None),
    Case("https://[::1]/legacy/", TOKEN, None),
    Case("http://127.0.0.1:8081/legacy/", TOKEN, None),
    Case("http://127.0.0.2:8080/legacy/", TOKEN, None),
    Case("https://127.0.0.1:8080/legacy/", TOKEN, None),
    # Other ports, paths, schemes and spellings of the right hosts.
    Case("https://upload.pypi.org:8443/legacy/", TOKEN, None),
    Case("https://upload.pypi.org:0x1bb/legacy/", TOKEN, None),
    Case("https://upload.pypi.org/", TOKEN, None),
    Case("https://upload.pypi.org/legacy//", TOKEN, None),
    Case("https://upload.pypi.org//legacy/", TOKEN, None),
    Case("https://upload.pypi.org/Legacy/", TOKEN, None),
    Case("https://upload.pypi.org/legacy/simple/", TOKEN, None),
    Case("https://upload.pypi.org/legacy%2f", TOKEN, None),
    Case("https://upload.pypi.org/legacy/#demo", TOKEN, None),
    Case("ftp://upload.pypi.org/legacy/", TOKEN, None),
    Case("//upload.pypi.org/legacy/", TOKEN, None),
    Case("upload.pypi.org/legacy/", TOKEN, None),
    Case("upload.pypi.org:443", TOKEN, None),
    Case("http://upload.pypi.org/simple/", TOKEN, None),
    Case("index.example", TOKEN, None),
    # Services of other kinds.
    Case("", TOKEN, None),
    Case("system", TOKEN, None),
    Case("python-poetry-check", "python-poetry", None),
    Case("poetry-repository-other", TOKEN, None),
    Case("pdm-repository-other", TOKEN, None),
    Case("pdm-repository-__unknown__", TOKEN, None),
    Case("pdm-pypi-pypi", TOKEN, None),
    Case("https://index.example/simple/", TOKEN, None),
    Case(" https://upload.pypi.org/legacy/", TOKEN, None),
    Case("https://upload.pypi.org/legacy/ ", TOKEN, None),
    Case("https://upload.pypi.org/legacy/\n", TOKEN, None),
    Case("https://upload.pypi.org\t/legacy/", TOKEN, None),
    Case("https://upload.pypi.org/legacy/\x00", TOKEN, None),
    Case("https://upload.pypi.org/le\u2028gacy/", TOKEN, None),
    # Other users.
    Case(PYPI, "alice", None),
    Case(PYPI, "__TOKEN__", None),
    Case(PYPI, "__token__ ", None),
    Case(PYPI, "pypi_token:users:alice", None),
    Case(PYPI, "pypi_token:user:alice\n", None),
    Case(PYPI, "pypi_token:project:demo\n", None),
    Case("upload.pypi.org", "alice", None),
    Case("my-index", "alice", None),
]


def _ids(case: Case) -> str:
    return ascii(f"{case.username} {case.service}")


def test_the_table_is_long_enough() -> None:
    assert len({(case.service, case.username) for case in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=_ids)
def test_matches_a_look_up(case: Case) -> None:
    repositories = (*BUILT_IN, LOCAL, COMPANY)
    if not asks_for_token(case.service, case.username):
        assert case.expected is None
        return
    if case.expected == "refused":
        with pytest.raises(Refusal):
            find_lookup(case.service, case.username, repositories)
        return
    found = find_lookup(case.service, case.username, repositories)
    if case.expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.repository.name, found.label, found.project) == (case.expected, case.label, case.project)


@pytest.fixture
def below(user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> FileKeyring:
    """Return the store that keyring's chain asks after us; the projects are told by the environment."""
    user_policy(CONFIGURATION)
    monkeypatch.setenv("KEYRING_PYPITOKEN_PROJECT", "demo")
    chained = keyring.get_keyring().backends  # type: ignore[attr-defined]  # the chainer's
    found: FileKeyring = chained[1]
    return found


DOMAINS = {
    "pypi": "pypi.org",
    "testpypi": "test.pypi.org",
    "local": "local.example",
    "company": "index.example",
    "refused": "pypi.org",
}


@pytest.mark.parametrize("method", ["password", "credential"])
@pytest.mark.parametrize("case", CASES, ids=_ids)
def test_keyring_never_hands_out_a_raw_token_that_is_ours(case: Case, method: str, below: FileKeyring) -> None:
    raw = new_master(DOMAINS[case.expected]) if case.expected else "foreign"
    below.plant(case.service, case.username, raw)
    if case.expected == "refused":
        with pytest.raises(RefusedError):
            _get(method, case)
        return
    found = _get(method, case)
    if case.expected is None:
        assert found == "foreign"
    else:
        assert found is not None
        assert Token.load(found).raw_caveats[1:] == [b'[1, ["demo"]]']


def _get(method: str, case: Case) -> str | None:
    if method == "password":
        return keyring.get_password(case.service, case.username)
    credential = keyring.get_credential(case.service, case.username)
    return None if credential is None else credential.password


@pytest.mark.parametrize("username", [None, ""])
@pytest.mark.parametrize("case", [c for c in CASES if c.username == TOKEN], ids=_ids)
def test_a_credential_without_a_user_is_answered_alike(case: Case, username: str | None, below: FileKeyring) -> None:
    raw = new_master(DOMAINS[case.expected]) if case.expected else "foreign"
    below.plant(case.service, TOKEN if username is None else username, raw)
    if case.expected == "refused":
        with pytest.raises(RefusedError):
            keyring.get_credential(case.service, username)
        return
    found = keyring.get_credential(case.service, username)
    if case.expected is None:
        assert found is not None
        assert found.password == "foreign"
    else:
        assert found is not None
        assert found.username == TOKEN
        assert Token.load(found.password).raw_caveats[1:] == [b'[1, ["demo"]]']


@pytest.mark.parametrize("service", [None, 3, b"https://upload.pypi.org/legacy/"])
def test_declines_services_that_are_no_text(service: object) -> None:
    assert not asks_for_token(service, TOKEN)
    assert not asks_for_token(PYPI, 3)


# What poetry and pdm keep under names that their users gave to repositories

KEPT = ["pdm-repository-pypi", "pdm-repository-testpypi", "pdm-repository-mine", "poetry-repository-mine"]


@pytest.mark.parametrize("service", KEPT)
@pytest.mark.parametrize("domain", ["pypi.org", "test.pypi.org", "index.example"])
def test_a_raw_token_that_an_uploader_keeps_is_derived_from(service: str, domain: str, below: FileKeyring) -> None:
    below.plant(service, TOKEN, new_master(domain))
    credential = keyring.get_credential(service, None)
    assert credential is not None
    for found in (keyring.get_password(service, TOKEN), credential.password):
        assert found is not None
        assert (Token.load(found).domain, Token.load(found).raw_caveats[1:]) == (domain, [b'[1, ["demo"]]'])


@pytest.mark.parametrize("service", KEPT)
@pytest.mark.parametrize("password", ["a password", "devpi-AgEI", new_master("elsewhere.example")])
def test_what_else_an_uploader_keeps_is_passed_on(service: str, password: str, below: FileKeyring) -> None:
    keyring.set_password(service, TOKEN, password)
    assert below.passwords() == {(service, TOKEN): password}
    assert keyring.get_password(service, TOKEN) == password
    keyring.set_password(service, "alice", "hers")
    assert keyring.get_password(service, "alice") == "hers"


@pytest.mark.parametrize("service", KEPT)
def test_a_token_that_an_uploader_keeps_and_nobody_can_read_is_refused(service: str, below: FileKeyring) -> None:
    below.plant(service, TOKEN, "pypi-of-another-time")
    with pytest.raises(RefusedError, match=r"^the stored master for pypi cannot be read "):
        keyring.get_password(service, TOKEN)


@pytest.mark.parametrize("service", KEPT)
def test_what_an_uploader_keeps_is_declined_where_nothing_raw_lies_under_it(service: str, below: FileKeyring) -> None:
    keyring.set_password(PYPI, TOKEN, new_master())
    assert keyring.get_password(service, TOKEN) is None
    assert keyring.get_credential(service, None) is None
    below.plant(service, "alice", "a password")
    found = keyring.get_credential(service, None)
    assert found is not None
    assert (found.username, found.password) == ("alice", "a password")


@pytest.mark.parametrize("service", KEPT)
def test_a_master_that_an_uploader_is_about_to_keep_is_ours(service: str, below: FileKeyring) -> None:
    master = new_master("test.pypi.org")
    keyring.set_password(service, TOKEN, master)
    assert below.passwords() == {(f"keyring-pypitoken:{TEST}", "default"): master}


def test_pdm_deletes_a_master_under_its_own_key(below: FileKeyring) -> None:
    keyring.set_password("pdm-repository-pypi", TOKEN, new_master())
    keyring.delete_password("pdm-repository-pypi", TOKEN)
    assert below.passwords() == {}
    with pytest.raises(keyring.errors.PasswordDeleteError, match=r"^no such password$"):
        keyring.delete_password("pdm-repository-mine", TOKEN)


def test_a_kept_token_counts_where_the_users_policy_is_broken(below: FileKeyring, user_policy: WritePolicy) -> None:
    below.plant("pdm-repository-mine", TOKEN, new_master())
    user_policy("projcts = 1\n")
    forget()
    with pytest.raises(RefusedError, match=r"^the policy cannot be followed: "):
        keyring.get_password("pdm-repository-mine", TOKEN)
