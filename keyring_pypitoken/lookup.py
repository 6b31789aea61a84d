"""Which lookups are ours: keyring's service and username, matched to an upload endpoint.

Every process that uses keyring runs this for every lookup, so it is plain string work that loads nothing.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from keyring_pypitoken.exceptions import Refusal

TOKEN_USERNAME = "__token__"  # noqa: S105 - PyPI's user name for every token, no secret
PRIVATE_PREFIX = "keyring-pypitoken:"
# What flit asks for first: the token of one project, then that of one user (flit, `upload.py`).
_FLIT_PROJECT_PREFIX = "pypi_token:project:"
_FLIT_USER_PREFIX = "pypi_token:user:"
# Under these and a name, which may be of the user's choice, poetry and pdm keep the tokens of repositories. pdm also
# asks for its own without uploading (pdm, `_types.py`), and both ask for the URL next.
_POETRY_PREFIX = "poetry-repository-"
_PDM_PREFIX = "pdm-repository-"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Repository(NamedTuple):
    """An upload endpoint.

    Attributes:
        name: what policies call it, such as `pypi`.
        url: its upload URL, which names its masters in the store.
        domain: the location that its tokens carry.
        services: further names under which uploaders ask keyring for it.
    """

    name: str
    url: str
    domain: str
    services: tuple[str, ...]

    @property
    def private_service(self) -> str:
        """The service under which its masters are stored: a name that no uploader asks for."""
        return PRIVATE_PREFIX + self.url


PYPI = Repository(
    "pypi",
    "https://upload.pypi.org/legacy/",
    "pypi.org",
    ("upload.pypi.org", "poetry-repository-pypi"),
)
TESTPYPI = Repository(
    "testpypi",
    "https://test.pypi.org/legacy/",
    "test.pypi.org",
    ("test.pypi.org", "poetry-repository-testpypi"),
)
BUILT_IN = (PYPI, TESTPYPI)


class Lookup(NamedTuple):
    """What keyring was asked for, once it is known to be ours.

    Attributes:
        repository: the endpoint.
        service: the service as it was asked for.
        username: the user name as it was asked for; None or empty where any would do.
        label: the text behind the URL's question mark: an account, or a project.
        project: the project that the user name tells (flit), not yet normalized.
    """

    repository: Repository
    service: str
    username: str | None
    label: str | None = None
    project: str | None = None


def is_private(service: object) -> bool:
    """Return True if the service is one of the names that only this package may ask a store for."""
    # In any case and anywhere: Windows compares the names of credentials so, and prefixes some with the user's.
    return isinstance(service, str) and PRIVATE_PREFIX in service.casefold()


def asks_for_token(service: object, username: object) -> bool:
    """Return True if a lookup could be ours at all, whatever the repositories.

    A user name of None or an empty one stands for any: callers that need a name exclude them beforehand.
    """
    if not isinstance(service, str) or not service.isprintable() or service != service.strip():
        return False
    if username is None or username in ("", TOKEN_USERNAME):
        return True
    prefixes = (_FLIT_PROJECT_PREFIX, _FLIT_USER_PREFIX)
    return isinstance(username, str) and username.startswith(prefixes) and username.isprintable()


def find_lookup(service: str, username: str | None, repositories: tuple[Repository, ...]) -> Lookup | None:
    """Match a lookup that `asks_for_token` to one of the repositories.

    Args:
        service: keyring's service.
        username: keyring's user name, or None.
        repositories: the endpoints to compare with; the first that fits is taken.

    Returns:
        The lookup, or None where it is not ours.

    Raises:
        Refusal: the service is one of the endpoints over plain http.
    """
    project = None
    if username and username.startswith(_FLIT_PROJECT_PREFIX):
        project = username[len(_FLIT_PROJECT_PREFIX) :]
    asked = _split(service) if "://" in service else None
    for repository in repositories:
        # Hosts are known in any case, and the names of the built-in ones are all lower-case.
        if service in repository.services or service.lower() in repository.services:
            return Lookup(repository, service, username, None, project)
        if asked is not None and _same_endpoint(asked, repository):
            return Lookup(repository, service, username, unquote(asked.query) or None, project)
    return None


def is_kept_by_uploader(service: str) -> bool:
    """Return True if poetry or pdm may keep a token under a service, of whatever repository."""
    return service.startswith((_POETRY_PREFIX, _PDM_PREFIX))


def find_kept(
    service: str, username: str | None, domain: str | None, repositories: tuple[Repository, ...]
) -> Lookup | None:
    """Match a token that an uploader keeps to one of the repositories: it tells its own location.

    Args:
        service: keyring's service.
        username: keyring's user name, or None.
        domain: the location of the token, or None where only the service can tell.
        repositories: the endpoints to compare with; the first that fits is taken.

    Returns:
        The lookup, or None where it is not ours.
    """
    for repository in repositories:
        if repository.domain == domain or (domain is None and service == _PDM_PREFIX + repository.name):
            return Lookup(repository, service, username)
    return None


def raw_keys(lookup: Lookup) -> tuple[tuple[str, str], ...]:
    """List the (service, username) pairs under which other programs may have stored a raw master.

    The pair that was asked for comes first, since the chain would hand it out if we declined.
    """
    repository = lookup.repository
    services = dict.fromkeys(
        (
            lookup.service,
            repository.url,
            repository.url.removesuffix("/"),
            *repository.services,
            _PDM_PREFIX + repository.name,
        )
    )
    keys = [(service, TOKEN_USERNAME) for service in services]
    if lookup.username is not None and lookup.username != TOKEN_USERNAME:
        keys.insert(0, (lookup.service, lookup.username))
    return tuple(keys)


def _split(service: str) -> SplitResult | None:
    try:
        parts = urlsplit(service)
        _ = parts.port  # parsed only when asked for, and refused there
    except ValueError:
        return None
    # Brackets are for IPv6 addresses; Python 3.10 takes any text between them for a host.
    bracketed_name = "[" in parts.netloc and ":" not in (parts.hostname or "")
    return None if parts.fragment or bracketed_name else parts


def _port(parts: SplitResult) -> int | None:
    return parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _same_endpoint(asked: SplitResult, repository: Repository) -> bool:
    known = urlsplit(repository.url)
    if asked.hostname != known.hostname or asked.path.removesuffix("/") != known.path.removesuffix("/"):
        return False
    if asked.scheme == "http" and known.scheme == "https":
        raise Refusal(
            f"http would send the token to {known.hostname} in clear, where anyone on the way can read it: "
            f"use {repository.url}."
        )
    return asked.scheme == known.scheme and _port(asked) == _port(known)
