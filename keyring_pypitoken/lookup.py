"""Which lookups are ours: the only parser of keyring's keys. Pure.

Every process that uses keyring runs this for every lookup, so it is plain string work that loads nothing. Names are
compared without case on every system, because Windows' credential manager does so.
"""

from __future__ import annotations

import functools
from typing import Literal
from urllib.parse import unquote, urlsplit

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.record import Record

TOKEN_USERNAME = "__token__"  # noqa: S105 - PyPI's user name for every token, no secret
DEFAULT_ACCOUNT = "default"
_PRIVATE_PREFIX = "keyring-pypitoken:"
# What stands for any user: nothing, and what poetry writes instead of nothing.
_SOURCE_USERNAME = "__poetry_source_empty_username__"
_TOKEN_USERNAMES = ("", TOKEN_USERNAME, _SOURCE_USERNAME)
# What flit asks for first: the token of one project, then that of one user (flit, `upload.py`).
_FLIT_PROJECT = "pypi_token:project:"
_FLIT_USER = "pypi_token:user:"
# Where uploaders keep the tokens of any repository; a test compares this with their uploaders.
KEPT_SERVICES = ("poetry-repository-", "pdm-repository-", "main", "test")
# What poetry asks for before anything else, to see whether there is a keyring (poetry 2, `utils/password_manager.py`).
_PROBES = ("python-poetry-check",)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NO_HOST = str.maketrans(dict.fromkeys(" !\"$%&'()*+,;<=>^`{|}~", ":"))  # what ends a host for a reader, as a port does

Endpoint = tuple[str, str, int, str]  # scheme, host, port, path without its last slash; all without case


class Repository(Record):
    """An upload endpoint.

    Attributes:
        name: what policies call it, such as `pypi`.
        url: its upload URL, which is part of the name that its masters are stored under.
        domain: the location in its tokens.
        services: further names under which uploaders ask keyring for it.
    """

    name: str
    url: str
    domain: str
    services: tuple[str, ...] = ()

    def private_service(self, account: str) -> str:
        """Return the service under which an account's master is stored: a name that no uploader asks for."""
        # One for each account: keyring's Windows backend moves what two users have under one service.
        return _PRIVATE_PREFIX + (self.url if account == DEFAULT_ACCOUNT else f"{self.url}?{account}")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The bare names of its host that uploaders ask for: with the port, and without if it is the default one."""
        return _hosts(self.url)


PYPI = Repository("pypi", "https://upload.pypi.org/legacy/", "pypi.org", ("poetry-repository-pypi",))
TESTPYPI = Repository("testpypi", "https://test.pypi.org/legacy/", "test.pypi.org", ("poetry-repository-testpypi",))
BUILT_IN = (PYPI, TESTPYPI)


class Key(Record):
    """What keyring was asked for, parsed.

    Attributes:
        service: the service as it was asked for.
        username: the user name as it was asked for.
        name: the service without case, user, query and quotes: what is compared.
        endpoint: the parts of a URL; None if the service is not a URL.
        label: what follows the URL's question mark: an account, or a project.
        project: the project that the user name names (flit), not yet normalized.
        is_quoted: whether the service is in quotes, which a Windows shell passes on.
    """

    service: str
    username: str | None
    name: str
    endpoint: Endpoint | None = None
    label: str | None = None
    project: str | None = None
    is_quoted: bool = False

    @classmethod
    def of(cls, repository: Repository, account: str | None = None) -> Key:
        """Return the key of a repository's upload URL, for an account if one is given."""
        return cls(repository.url, TOKEN_USERNAME, repository.url.casefold(), split_url(repository.url), account)

    @classmethod
    def parse(cls, service: object, username: object) -> Key | None:
        """Parse a lookup; return None if it cannot be ours, whatever the repositories."""
        project = None
        if isinstance(username, str) and username != TOKEN_USERNAME and username.lower() not in _TOKEN_USERNAMES:
            if not (username.lower().startswith((_FLIT_PROJECT, _FLIT_USER)) and username.isprintable()):
                return None
            project = username[len(_FLIT_PROJECT) :] if username.lower().startswith(_FLIT_PROJECT) else None
        if not isinstance(service, str) or not (username is None or isinstance(username, str)):
            return None
        if not service.isprintable() or not service:
            return None
        inside = service[1:-1] if service[0] in "'\"" and service[-1] == service[0] else service
        address, mark, query = inside.partition("?")
        # With spaces around it, it is another key for keyring, and a look-alike for us.
        endpoint = split_url(address) if "://" in address and inside == inside.strip() else None
        label = unquote(query.partition("#")[0]) if mark and endpoint else None
        name = inside.casefold() if endpoint is None else address.casefold()
        return cls(service, username, name, endpoint, label or None, project, inside is not service)


class Match(Record):
    """How a key fits a repository.

    Attributes:
        kind: `endpoint`: it is ours. `host`: the bare host of a configured repository, or a source of poetry; `kept`:
            a name under which an uploader keeps tokens of any repository; both are ours if a token is there.
            `look-alike`: a wrong spelling of an endpoint, `http`: one without encryption, `quoted`: one in quotes.
        repository: the endpoint; None if only the token that is kept there can say.
    """

    kind: Literal["endpoint", "host", "kept", "look-alike", "http", "quoted"]
    repository: Repository | None


def is_private(service: object) -> bool:
    """Return True if the service is one of the names that only this package may ask a backend for."""
    # Anywhere in it: Windows prefixes the names of some credentials with the user's.
    return isinstance(service, str) and _PRIVATE_PREFIX in service.casefold()


def is_probe(service: object) -> bool:
    """Return True if an uploader asks for the service to see whether there is a keyring, or on its way to a master."""
    return isinstance(service, str) and service.startswith((*_PROBES, *KEPT_SERVICES[:1]))


def match(key: Key, repositories: tuple[Repository, ...]) -> Match | None:
    """Return how a key fits the first of the repositories that it fits; None if it is not ours."""
    for repository in repositories:
        kind = _fit(key, repository)
        if kind is not None:
            return Match("quoted" if key.is_quoted else kind, repository)
    if key.name.startswith(KEPT_SERVICES[:2]) or key.name in KEPT_SERVICES[2:]:
        return Match("kept", None)
    hosts = _written_hosts(key.name)
    found = next((repository for repository in repositories if not hosts.isdisjoint(repository.hosts)), None)
    return None if found is None else Match("look-alike", found)


def named_by(key: Key, repositories: tuple[Repository, ...]) -> Repository | None:
    """Return the repository whose name is in a kept key, such as `poetry-repository-pypi`; None if there is none."""
    names = [key.name.removeprefix(prefix) for prefix in KEPT_SERVICES]
    return next((repository for repository in repositories if repository.name in names), None)


def check_kind(found: Match) -> None:
    """Refuse what could only be answered under another spelling.

    Raises:
        Refusal: the key is in quotes, is not encrypted, or is a look-alike.
    """
    url = found.repository.url if found.repository else ""
    if found.kind == "http":
        raise Refusal(f"http would send the token unencrypted, so that anyone on the way can read it: use {url}.")
    if found.kind == "quoted":
        raise Refusal(
            f"the service is in quotes, which belong to the name then: use {url} without them "
            "(in cmd.exe only double quotes are removed)."
        )
    if found.kind == "look-alike":
        raise Refusal(
            f"the service is a misspelt address of {found.repository.name if found.repository else ''}: "
            f"use {url}, and delete what is stored under the misspelt one."
        )


def raw_keys(repository: Repository, key: Key | None = None) -> tuple[tuple[str, str], ...]:
    """List the (service, username) pairs under which other programs may have stored a raw master.

    The pair that was asked for comes first, since the chain would hand out what is there if we declined.
    """
    services = dict.fromkeys(
        (
            *((key.service,) if key else ()),
            repository.url,
            repository.url.removesuffix("/"),
            *repository.hosts[:1],
            *repository.services,
            *(f"{prefix}{repository.name}" for prefix in KEPT_SERVICES[:2]),
        )
    )
    pairs = [(service, TOKEN_USERNAME) for service in services]
    if key is not None and key.username and key.username != TOKEN_USERNAME:
        pairs.insert(0, (key.service, key.username))
    return tuple(pairs)


@functools.lru_cache(maxsize=64)
def split_url(url: str) -> Endpoint | None:
    """Return what two spellings of one upload URL have in common; None if the text is not a URL with a host."""
    try:
        parts = urlsplit(url)
        port = parts.port  # parsed only when it is asked for, and refused there
    except ValueError:
        return None
    host = parts.hostname or ""
    # Brackets are for IPv6 addresses; Python 3.10 takes any text between them for a host.
    if not host or parts.fragment or ("[" in parts.netloc and ":" not in host):
        return None
    return parts.scheme, host, port or _DEFAULT_PORTS.get(parts.scheme, 0), parts.path.removesuffix("/").casefold()


@functools.lru_cache(maxsize=64)
def _hosts(url: str) -> tuple[str, ...]:
    scheme, host, port, _ = split_url(url) or ("", "", 0, "")
    host = f"[{host}]" if ":" in host else host
    return (host, f"{host}:{port}") if port == _DEFAULT_PORTS.get(scheme) else (f"{host}:{port}",)


def _fit(key: Key, repository: Repository) -> Literal["endpoint", "host", "http"] | None:
    known = split_url(repository.url)
    if key.endpoint is not None and known is not None and key.endpoint[1] == known[1] and key.endpoint[3] == known[3]:
        if key.endpoint == known:
            return "endpoint"
        if key.endpoint[0] == "http" and known[0] == "https":
            return "http"
    if key.name in repository.hosts:
        return "endpoint" if repository in BUILT_IN or key.username else "host"
    if not any(key.name == service.casefold() for service in repository.services):
        return None
    # poetry asks so for the sources of a checkout, which may be anywhere.
    return "host" if key.username and key.username.lower() == _SOURCE_USERNAME else "endpoint"


@functools.lru_cache(maxsize=64)
def _written_hosts(name: str) -> frozenset[str]:
    """Return what a reader may take for the host in a service, however it is spelled: behind a scheme, or without."""
    text = unquote(name)
    if not text.isascii():
        import unicodedata

        text = unicodedata.normalize("NFKC", text)
    text = text.casefold().replace("\\", "/").replace("\u3002", ".").replace("#", "/").replace("?", "/")
    authorities = [part.lstrip("/ ").partition("/")[0].rpartition("@")[2] for part in (text, text.partition(":")[2])]
    return frozenset(authority.translate(_NO_HOST).partition(":")[0].strip(". []") for authority in authorities)
