"""Policy files: parsed once into typed values that know the line they come from.

Pure: the text and its name go in, a `PolicyFile` or all of its problems come out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.lookup import BUILT_IN, Repository
from keyring_pypitoken.policy.model import AGE, PYPROJECT_TABLE, Layer, Origin, PolicyFile, Settings, StoreSettings, WithOrigin
from keyring_pypitoken.policy.values import KEYS, NAMES, WrongValueError, read_names, shown, valid_label, whole
from keyring_pypitoken.text import quoted
from keyring_pypitoken.toml import find_lines, load_toml

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring_pypitoken.policy.values import Shape

_PART = "[A-Za-z_][A-Za-z0-9_]*"
_MODULE_AND_CLASS = rf"{_PART}(?:\.{_PART})+"
_BACKEND = re.compile(_MODULE_AND_CLASS)
# What makes an endpoint, and what a built-in one has already. The shapes are as those of `policy_values.KEYS`.
ENDPOINT_KEYS: dict[str, Shape] = {
    "url": {
        "description": "where it is uploaded to: https, or http for a loopback address",
        "type": "string",
        "pattern": whole(r"[Hh][Tt][Tt][Pp][Ss]?://[^/?#@ ]+(?:/[^?# ]*)?\??#?"),
    },
    "domain": {"description": "the location that its tokens carry", "type": "string", "minLength": 1},
    "services": {"description": "further names under which uploaders ask keyring for it", **NAMES},
}
FIXED_ENDPOINT_KEYS = ("url", "domain")
STORE_KEYS: dict[str, Shape] = {
    "backend": {
        "description": "the keyring backend that keeps the masters, as module.Class, or age for an encrypted file",
        "type": "string",
        "pattern": whole(rf"{AGE}|{_MODULE_AND_CLASS}"),
    },
    "identity": {
        "description": "the path of the age identity or SSH key that opens the age file, instead of a passphrase",
        "type": "string",
        "minLength": 1,
    },
}
_NOT_FOR_PROJECTS = {*(name for name, key in KEYS.items() if not key.project_may), *ENDPOINT_KEYS, "store"}


class _Problems:
    """Collects all that is wrong in a file: a sentence about a table or key, and its place."""

    def __init__(self, name: str, text: str, root: tuple[str, ...]) -> None:
        self.name = name
        self.found: list[str] = []
        self._lines = find_lines(text)
        self._root = root

    def origin(self, *path: str) -> Origin:
        full = (*self._root, *path)
        while full and full not in self._lines:
            full = full[:-1]
        return Origin(f"{self.name}:{self._lines[full]}" if full else self.name)

    def add(self, problem: str, *path: str) -> None:
        subject = ".".join(part if valid_label(part) else quoted(part) for part in path or self._root)
        self.found.append(f"{subject} {problem} ({self.origin(*path)})")

    def add_unknown(self, known: list[str], *path: str) -> None:
        import difflib

        nearest = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known here are {', '.join(known)}"
        self.found.append(f"{quoted('.'.join(path))} is no key of a policy, {hint} ({self.origin(*path)})")


def parse_policy(text: str, *, layer: Layer, name: str, table: tuple[str, ...] = ()) -> PolicyFile | None:
    """Parse a policy file.

    Args:
        text: the file's text.
        layer: whose file it is; a project may say less than its user.
        name: how messages call the file.
        table: the table of the file that holds the policy, as in a `pyproject.toml`.

    Returns:
        The policy, or None where the file has no such table.

    Raises:
        PolicyError: the file cannot be followed; the message tells every problem with its line.
    """
    content: object = load_toml(text, name)
    for part in table:
        content = content.get(part) if isinstance(content, dict) else None
    if content is None:
        return None
    problems = _Problems(name, text, table)
    if not isinstance(content, dict):
        problems.add(f"is {shown(content)}, expected a table")
        content = {}
    settings = _read_settings(content, layer, problems, (), ("repository", "store"))
    repositories, endpoints = _read_repositories(content.get("repository", {}), layer, problems)
    store = StoreSettings() if layer == "project" else _read_store(content.get("store", {}), problems)
    if problems.found:
        raise PolicyError(f"the policy cannot be followed: {'; '.join(problems.found)}.", tuple(problems.found))
    return PolicyFile(layer, Origin(name), settings, repositories, endpoints, store)


def _read_settings(
    content: dict[str, Any],
    layer: Layer,
    problems: _Problems,
    path: tuple[str, ...],
    others: tuple[str, ...],
) -> Settings:
    """Read the keys of one table; those in `others` are read elsewhere."""
    found: dict[str, Any] = {}
    known = [name for name in (*KEYS, *others) if layer != "project" or name not in _NOT_FOR_PROJECTS]
    for name, value in content.items():
        if layer == "project" and name in _NOT_FOR_PROJECTS:
            problems.add("is for your own policy.toml only, a project cannot set it", *path, name)
        elif name in KEYS:
            try:
                found[name.replace("-", "_")] = WithOrigin(KEYS[name].read(value), problems.origin(*path, name))
            except WrongValueError as error:
                problems.add(str(error), *path, name)
        elif name not in others:
            problems.add_unknown(known, *path, name)
    return Settings(**found)


def _read_repositories(
    content: object, layer: Layer, problems: _Problems
) -> tuple[dict[str, Settings], tuple[Repository, ...]]:
    if not isinstance(content, dict):
        problems.add(f"is {shown(content)}, expected tables such as [repository.testpypi]", "repository")
        return {}, ()
    settings: dict[str, Settings] = {}
    endpoints: list[Repository] = []
    for name, table in content.items():
        path = ("repository", name)
        if not valid_label(name):
            problems.add("is no name, expected up to 64 letters, digits or any of . _ @ + -", *path)
        if not isinstance(table, dict):
            problems.add(f"is {shown(table)}, expected a table", *path)
            continue
        settings[name] = _read_settings(table, layer, problems, path, tuple(ENDPOINT_KEYS))
        if layer != "project":
            endpoints.append(_read_endpoint(name, table, problems))
    return settings, tuple(endpoints)


def _read_endpoint(name: str, table: dict[str, Any], problems: _Problems) -> Repository:
    """Read the keys that make an endpoint; what it returns counts only where there are no problems."""
    path = ("repository", name)
    services: list[str] = []
    try:
        services = read_names(table.get("services", []), "names")
    except WrongValueError as error:
        problems.add(str(error), *path, "services")
    built_in = next((repository for repository in BUILT_IN if repository.name == name), None)
    if built_in is not None:
        for key in FIXED_ENDPOINT_KEYS:
            if key in table:
                problems.add("is fixed, it cannot be set", *path, key)
        return built_in._replace(services=(*built_in.services, *services))
    url = table.get("url")
    host = _endpoint_host(url)
    if host is None:
        problems.add(
            f"is {'missing' if url is None else shown(url)}, expected an https URL "
            "(http for a loopback address only), without user, query or fragment",
            *path,
            "url",
        )
    domain = table.get("domain", host or "unknown")
    if not isinstance(domain, str) or not domain:
        problems.add(f"is {shown(domain)}, expected a host name", *path, "domain")
    return Repository(name, str(url), str(domain), tuple(services))


def _endpoint_host(url: object) -> str | None:
    """Return the host of a URL that tokens may be sent to, else None."""
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if not host or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return host if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)) else None


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_store(content: object, problems: _Problems) -> StoreSettings:
    if not isinstance(content, dict):
        problems.add(f"is {shown(content)}, expected a table [store]", "store")
        return StoreSettings()
    for name in content:
        if name not in _STORE_READERS:
            problems.add_unknown(list(STORE_KEYS), "store", name)
    found: dict[str, WithOrigin[str]] = {}
    for name, read in _STORE_READERS.items():
        if name in content:
            try:
                found[name] = WithOrigin(read(content[name]), problems.origin("store", name))
            except WrongValueError as error:
                problems.add(str(error), "store", name)
    if "identity" in found and "backend" not in found:
        found["backend"] = WithOrigin(AGE, found["identity"].origin)
    return StoreSettings(**found)


def _read_backend(value: object) -> str:
    if not isinstance(value, str) or not (value == AGE or _BACKEND.fullmatch(value)):
        raise WrongValueError(f'is {shown(value)}, expected "module.Class" of a keyring backend, or "age"')
    return value


def _read_identity(value: object) -> str:
    expected = "expected the path of an age identity file or an SSH private key"
    if not isinstance(value, str) or not value.strip():
        raise WrongValueError(f"is {shown(value)}, {expected}")
    key = r"AGE-SECRET-KEY-|^AGE-PLUGIN-[^/\\]+-1[A-Z0-9]{6,}$|-----BEGIN"
    if not value.isprintable() or re.search(key, value, re.IGNORECASE):  # a secret in the wrong place is not shown
        raise WrongValueError(f"is a key itself or no path, {expected}")
    return value


_STORE_READERS: dict[str, Callable[[object], str]] = {"backend": _read_backend, "identity": _read_identity}
