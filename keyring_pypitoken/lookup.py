"""Which lookups name a repository: the only parser of keyring's keys. Pure.

Every process that uses keyring runs this for every lookup, so it is plain string work that loads nothing. What it
decides is which repository is meant, and how good a message is. That nothing comes out raw does not depend on it.
"""

from __future__ import annotations

import functools
import re
from typing import Literal, TypeGuard
from urllib.parse import unquote

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.record import Record

TOKEN_USERNAME = "__token__"  # noqa: S105 - PyPI's user name for every token, no secret
DEFAULT_ACCOUNT = "default"
_PRIVATE_PREFIX = "keyring-pypitoken:"
# What stands for any user: nothing, and what poetry writes instead of nothing.
_ANYBODY = ("", "__poetry_source_empty_username__")
_USERNAMES = (TOKEN_USERNAME, *_ANYBODY)
# What flit asks for first: the token of one project, then that of one user (flit, `upload.py`).
_FLIT_PROJECT, _FLIT_USER = "pypi_token:project:", "pypi_token:user:"
# Under which poetry and pdm store the tokens of any repository, and hatch before 1.16.3 those of PyPI and TestPyPI.
_PREFIXES, _HATCH = ("poetry-repository-", "pdm-repository-"), ("main", "test")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# A URL that every reader takes apart alike: no character that RFC 3986 does not allow there, no other user part.
_URL = re.compile(
    r"(https?)://(?:(?-i:__token__)@)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{0,5}))?"
    r"(/[a-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?([a-z0-9._~!$&'()*+,;=:@%/?-]*))?",
    re.IGNORECASE | re.ASCII,
)

Address = tuple[str, str, int, str]  # scheme, host, port, path without its last slash; all in lower case


class Repository(Record):
    """An upload endpoint."""

    name: str  # what policies call it, such as `pypi`
    url: str  # its upload URL, which is part of the name that its masters are stored under
    domain: str  # the location in its tokens
    services: tuple[str, ...] = ()  # further names under which uploaders ask keyring for it

    def private_service(self, account: str) -> str:
        """Return the service under which an account's master is stored: a name that no uploader asks for."""
        # One for each account: keyring's Windows backend moves what two users have under one service.
        return _PRIVATE_PREFIX + (self.url if account == DEFAULT_ACCOUNT else f"{self.url}?{account}")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of its host that uploaders ask for: with the port, and without if it is the default one."""
        scheme, host, port, _ = split_url(self.url) or ("", "", 0, "")
        return (host, f"{host}:{port}") if port == _DEFAULT_PORTS.get(scheme) else (f"{host}:{port}",)


PYPI = Repository("pypi", "https://upload.pypi.org/legacy/", "pypi.org")
TESTPYPI = Repository("testpypi", "https://test.pypi.org/legacy/", "test.pypi.org")
BUILT_IN = (PYPI, TESTPYPI)


class Key(Record):
    """What keyring was asked for, if its user name is one that a token has."""

    service: str  # as it was asked for
    username: str | None  # likewise
    label: str | None = None  # what follows the question mark of a URL: an account, or a project
    project: str | None = None  # the project that the user name names (flit), not yet normalized

    @classmethod
    def of(cls, repository: Repository, account: str | None = None) -> Key:
        """Return the key of a repository's upload URL, for an account if one is given."""
        return cls(repository.url, TOKEN_USERNAME, account)

    @classmethod
    def parse(cls, service: object, username: object) -> Key | None:
        """Parse a lookup; return None if it names no repository, whatever the repositories."""
        project = None
        if not isinstance(service, str) or not service or not _is_tokens(username):
            return None
        if username and username.lower().startswith(_FLIT_PROJECT):
            project = username[len(_FLIT_PROJECT) :]
        url = _URL.fullmatch(service)
        return cls(service, username, unquote(url[5]) if url and url[5] else None, project)

    @property
    def has_username(self) -> bool:
        """Return True if a token is asked for, and not anybody's password."""
        return self.username is not None and self.username.lower() not in _ANYBODY

    @property
    def is_url(self) -> bool:
        """Return True if the service is a URL in the strict form."""
        return split_url(self.service) is not None


class Match(Record):
    """How a key names a repository."""

    # By its URL; by its host or a service of the policy; by a name that an uploader gives it; by a name that hatch gave
    # it before 1.16.3, and other programs may use, too; by something else in which the host of a repository is.
    kind: Literal["url", "host", "name", "generic", "misspelled"]
    repository: Repository | None  # None if only the uploader, or the token that is stored, can show which it is


def is_private(service: object, username: object) -> bool:
    """Return True if our private name is in a key, however a store joins its two parts, decodes or folds them."""
    text = f"{service}{username or ''}{service}".lower()  # each of the two may come first
    if "pypi" not in text and "%" not in text and text.isascii():
        return False
    while "%" in text and (decoded := unquote(text)) != text:
        text = decoded
    return "keyringpypitoken" in re.sub("[^a-z0-9]", "", _fold(text))


def is_ours(service: object, username: object) -> bool:
    """Return True if a lookup may be ours: a private name, or any service for a user name that a token has."""
    return _is_tokens(username) or is_private(service, username)


def _is_tokens(username: object) -> TypeGuard[str | None]:
    """Return True for a user name that a token has, or that stands for any."""
    if not isinstance(username, str):
        return username is None
    name = username.lower()
    return name in _USERNAMES or (name.startswith((_FLIT_PROJECT, _FLIT_USER)) and name.isprintable())


def match(key: Key, repositories: tuple[Repository, ...]) -> Match | None:
    """Return how a key names the first of the repositories that it names; None if it names none."""
    if (at := repository_at(key.service, repositories)) is not None:
        return Match("url", at)
    name = key.service.casefold()
    for repository in repositories:
        if name in (*repository.hosts, *map(str.casefold, repository.services)):
            return Match("host", repository)
    if name.startswith(_PREFIXES):
        called = name.split("-repository-", 1)[1]
        return Match("name", next((one for one in repositories if one.name.casefold() == called), None))
    if name in _HATCH:
        return Match("generic", None)
    written = _fold(unquote(key.service))
    for repository in repositories:
        address = split_url(repository.url)
        if address and (address[1] in written or (repository.domain in written and "/legacy" in written)):
            return Match("misspelled", repository)
    return None


def repository_at(url: str, repositories: tuple[Repository, ...]) -> Repository | None:
    """Return the repository at a URL in the strict form, whose query is a label; None if it is not known."""
    address = split_url(url)
    return address and next((one for one in repositories if split_url(one.url) == address), None)


def misspelling(key: Key, repository: Repository) -> Refusal:
    """Return the refusal of a key that names a repository in another way than by its URL."""
    if (
        (address := split_url(key.service))
        and address[0] == "http"
        and split_url(repository.url) == _with_https(address)
    ):
        return Refusal(
            f"http would send the token unencrypted, so that anyone on the network can read it: use {repository.url}."
        )
    return Refusal(f"the service is a misspelt address of {repository.name}: use {repository.url}.")


def raw_keys(repository: Repository) -> tuple[tuple[str, str], ...]:
    """List the (service, username) pairs under which other programs store a raw master of a repository."""
    services = (
        repository.url,
        repository.url.removesuffix("/"),
        *repository.hosts[:1],
        *repository.services,
        *(f"{prefix}{repository.name}" for prefix in _PREFIXES),
    )
    return tuple((service, TOKEN_USERNAME) for service in dict.fromkeys(services))


@functools.lru_cache(maxsize=64)
def split_url(url: str) -> Address | None:
    """Return what two spellings of one URL have in common; None if it does not have the strict form."""
    parts = _URL.fullmatch(url)
    if parts is None:
        return None
    scheme, host, port, path, _ = parts.groups()
    scheme = scheme.lower()
    return scheme, host.lower(), int(port or _DEFAULT_PORTS[scheme]), (path or "/").lower().removesuffix("/")


def _with_https(address: Address) -> Address:
    port = _DEFAULT_PORTS["https"] if address[2] == _DEFAULT_PORTS["http"] else address[2]
    return "https", address[1], port, address[3]


def _fold(text: str) -> str:
    """Return a text as a reader that folds case and Unicode's compatible letters has it."""
    if not text.isascii():
        import unicodedata

        text = unicodedata.normalize("NFKC", text)
    return text.casefold().replace("\u3002", ".")
