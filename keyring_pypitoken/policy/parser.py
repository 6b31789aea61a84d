"""Policy files: a text goes in; typed values with their origins, or all of its problems, come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.lookup import BUILT_IN, Repository
from keyring_pypitoken.names import LABEL_RULE, valid_label
from keyring_pypitoken.policy.model import AGE, PYPROJECT_TABLE, Origin, PolicyFile, Settings, StoreSettings, WithOrigin
from keyring_pypitoken.policy.values import ENDPOINT_KEYS, KEYS, STORE_KEYS, WrongValueError, endpoint_host, shown
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import caret, nearest, quoted
from keyring_pypitoken.toml import Path, Place, entry, read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from keyring_pypitoken.policy.model import Layer

FIXED_ENDPOINT_KEYS = ("url", "domain")  # what a built-in one has already
_NOT_FOR_PROJECTS = {*(name for name, key in KEYS.items() if not key.project_may), *ENDPOINT_KEYS, "store"}
_START = Place(1, 1, 1)


class _Problems(Record):
    """All that is wrong in a file, each with its place."""

    name: str
    text: str
    places: Mapping[Path, Place]
    root: Path
    found: list[tuple[int, int, str]]  # line, column, sentence

    def add(self, problem: str, *path: str) -> None:
        """Add what is wrong with a value: the rest of a sentence that begins with its key."""
        place = self._place(path)
        subject = ".".join(part if valid_label(part) else quoted(part) for part in path or self.root)
        self.found.append((place.line, place.value_column, f"{subject} {problem}"))

    def add_key(self, sentence: str, *path: str) -> None:
        """Add what is wrong with a key itself."""
        place = self._place(path)
        self.found.append((place.line, place.column, sentence))

    def add_unknown(self, known: Iterable[str], *path: str) -> None:
        """Add a key that does not exist."""
        keys = list(known)
        likely = nearest(path[-1].lower().replace("_", "-"), keys)
        hint = f"did you mean {likely!r}?" if likely else f"known here are {', '.join(keys)}"
        self.add_key(f"unknown key {quoted(path[-1])}; {hint}", *path)

    def read(self, read: Callable[[object], object], value: object, *path: str) -> Any:
        """Return a value with its origin; None if it is wrong."""
        try:
            origin = Origin(f"{self.name}:{self._place(path).line}")
            return WithOrigin(read(value), origin, value if isinstance(value, str) else "")
        except WrongValueError as error:
            self.add(str(error), *path)
            return None

    def refuse(self) -> None:
        """Raise all that was found, if anything was."""
        if not self.found:
            return
        found = sorted(self.found)
        line, column, sentence = found[0]
        more = f"; and {len(found) - 1} more: run `keyring-pypitoken check`" if len(found) > 1 else "; correct it there"
        raise PolicyError(
            f"the policy cannot be followed: {self.name}:{line}:{column}: {sentence}{more}.",
            tuple(caret(self.name, self.text, *problem) for problem in found),
        )

    def _place(self, path: Path) -> Place:
        full = (*self.root, *path)
        while full and full not in self.places:
            full = full[:-1]
        return self.places.get(full, _START)


def parse_policy(text: str, *, layer: Layer, name: str, table: Path = ()) -> PolicyFile | None:
    """Parse the text of a file that messages call `name`; None if it has no such `table`, as a `pyproject.toml`.

    If the file cannot be followed, that is a PolicyError whose `problems` are every mistake with its line and a caret.
    """
    document, places = read_toml(text, name)
    content: Any = entry(document, *table) if table else document
    if content is None:
        return None
    problems = _Problems(name, text, places, table, [])
    if not isinstance(content, dict):
        problems.add(f"is {shown(content)}, expected a table")
        content = {}
    settings = _read_settings(content, layer, problems, (), ("repository", "store"))
    repositories, endpoints = _read_repositories(content.get("repository", {}), layer, problems)
    store = StoreSettings() if layer == "project" else _read_store(content.get("store", {}), problems)
    problems.refuse()
    return PolicyFile(layer, Origin(name), settings, repositories, endpoints, store)


def _read_settings(
    content: dict[str, Any], layer: Layer, problems: _Problems, path: Path, others: tuple[str, ...]
) -> Settings:
    """Read the keys of one table; those in `others` are read elsewhere."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        key = KEYS.get(name)
        if layer == "project" and name in _NOT_FOR_PROJECTS:
            problems.add_key(
                f"{'.'.join((*path, name))} is for your own policy.toml only: a project cannot set it", *path, name
            )
        elif key is not None:
            read = key.read_configured if key.read_configured and layer != "project" else key.read
            found[name.replace("-", "_")] = problems.read(read, value, *path, name)
        elif name == PYPROJECT_TABLE[0] and not path:
            problems.add_key("[tool.keyring-pypitoken] is for pyproject.toml: write its keys at the top here", name)
        elif name not in others:
            known = (key for key in (*KEYS, *others) if layer != "project" or key not in _NOT_FOR_PROJECTS)
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
            problems.add_key(f"{quoted(name)} is not a valid name, expected {LABEL_RULE}", *path)
        if not isinstance(table, dict):
            problems.add(f"is {shown(table)}, expected a table", *path)
            continue
        settings[name] = _read_settings(table, layer, problems, path, tuple(ENDPOINT_KEYS))
        if layer != "project":
            endpoints.append(_read_endpoint(name, table, problems))
    return settings, tuple(endpoints)


def _read_endpoint(name: str, table: dict[str, Any], problems: _Problems) -> Repository:
    """Read the keys that make an endpoint; the result counts only if there are no problems."""
    path = ("repository", name)
    built_in = next((known for known in BUILT_IN if known.name == name), None)
    found: dict[str, Any] = {}
    for key in ENDPOINT_KEYS.keys() & table:
        if built_in is not None and key in FIXED_ENDPOINT_KEYS:
            problems.add_key(f"{key} of {name} is fixed: it cannot be set", *path, key)
        elif (read := problems.read(ENDPOINT_KEYS[key], table[key], *path, key)) is not None:
            found[key] = read.value
    services = tuple(found.get("services", ()))
    if built_in is not None:
        return built_in._replace(services=(*built_in.services, *services))
    if "url" not in table:
        likely = nearest(name, [known.name for known in BUILT_IN], cutoff=0.5)
        hint = f"did you mean [repository.{likely}]?" if likely else "add the address that it is uploaded to"
        problems.add(f"has no url; {hint}", *path)
    url = found.get("url", "")
    return Repository(name, url, found.get("domain") or endpoint_host(url) or "unknown", services)


def _read_store(content: object, problems: _Problems) -> StoreSettings:
    if not isinstance(content, dict):
        problems.add(f"is {shown(content)}, expected a table [store]", "store")
        return StoreSettings()
    found: dict[str, Any] = {}
    for name, value in content.items():
        if name in STORE_KEYS:
            found[name] = problems.read(STORE_KEYS[name], value, "store", name)
        else:
            problems.add_unknown(STORE_KEYS, "store", name)
    for other in ("backend", "identity"):
        if "command" in found and other in found:
            problems.add_key(f"{other} contradicts the command beside it: keep one of them", "store", other)
    if found.get("identity") and "backend" not in found:
        found["backend"] = WithOrigin(AGE, found["identity"].origin)
    return StoreSettings(**found)
