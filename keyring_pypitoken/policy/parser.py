"""Policy files: a text goes in; typed values with their origins, or all of its problems, come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.lookup import BUILT_IN
from keyring_pypitoken.names import LABEL_RULE, valid_label
from keyring_pypitoken.policy.model import (
    AGE,
    PYPROJECT_TABLE,
    EndpointSettings,
    Origin,
    PolicyFile,
    Settings,
    StoreSettings,
    WithOrigin,
)
from keyring_pypitoken.policy.values import ENDPOINT_KEYS, FIXED_ENDPOINT_KEYS, KEYS, STORE_KEYS, WrongValueError, shown
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import nearest, quoted
from keyring_pypitoken.toml import Path, entry, find_lines, load_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from keyring_pypitoken.policy.model import Layer

_NOT_FOR_PROJECTS = {*(name for name, key in KEYS.items() if not key.project_may), *ENDPOINT_KEYS, "store"}
_MAX_PROBLEMS = 100  # looking for the nearest known key takes a while


class _Problems(Record):
    """All that is wrong in a file, each with its line."""

    name: str
    lines: Mapping[Path, int]
    root: Path
    all: list[tuple[int, str]]  # line, sentence

    def add(self, problem: str, *path: str) -> None:
        """Add what is wrong with a value: the rest of a sentence that begins with its key."""
        subject = ".".join(part if valid_label(part) else quoted(part) for part in path or self.root)
        self.add_key(f"{subject} {problem}", *path)

    def add_key(self, sentence: str, *path: str) -> None:
        """Add what is wrong with a key itself."""
        self.all.append((self._line(path), sentence))
        if len(self.all) == _MAX_PROBLEMS:
            self.refuse()

    def add_unknown(self, known: Iterable[str], *path: str) -> None:
        """Add a key that does not exist."""
        keys = list(known)
        likely = nearest(path[-1].lower().replace("_", "-"), keys)
        hint = f"did you mean {likely!r}?" if likely else f"known here are {', '.join(keys)}"
        self.add_key(f"unknown key {quoted(path[-1])}; {hint}", *path)

    def read(self, read: Callable[[object], object], value: object, *path: str) -> Any:
        """Return a value with its origin; None if it is wrong."""
        try:
            return WithOrigin(read(value), self.origin(path))
        except WrongValueError as error:
            self.add(str(error), *path)
            return None

    def origin(self, path: Path) -> Origin:
        """Return the file and line of a key."""
        return Origin(f"{self.name}:{self._line(path)}")

    def refuse(self) -> None:
        """Raise all that is wrong, if anything is."""
        if self.all:
            raise policy_error([f"{self.name}:{line}: {sentence}" for line, sentence in sorted(self.all)])

    def _line(self, path: Path) -> int:
        full = (*self.root, *path)
        while full and full not in self.lines:
            full = full[:-1]
        return self.lines.get(full, 1)


def policy_error(problems: Sequence[str]) -> PolicyError:
    """Return the refusal of policies with these problems, each with its place."""
    more = f"; and {len(problems) - 1} more: run `keyring-pypitoken check`" if problems[1:] else "; correct it there"
    return PolicyError(f"the policy cannot be followed: {problems[0]}{more}.", tuple(problems))


def parse_policy(text: str, *, layer: Layer, name: str, table: Path = ()) -> PolicyFile | None:
    """Parse the text of a file that messages call `name`; None if it has no such `table`, as a `pyproject.toml`.

    If the file cannot be followed, that is a PolicyError whose `problems` are every mistake with its line.
    """
    document = load_toml(text, name)
    content: Any = entry(document, *table) if table else document
    if content is None:
        return None
    problems = _Problems(name, find_lines(text), table, [])
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
    settings: dict[str, Any] = {}
    for name, value in content.items():
        key = KEYS.get(name)
        if layer == "project" and name in _NOT_FOR_PROJECTS:
            problems.add_key(
                f"{'.'.join((*path, name))} is for your own policy.toml only: a project cannot set it", *path, name
            )
        elif key is not None:
            read = key.read_configured if key.read_configured and layer != "project" else key.read
            settings[name.replace("-", "_")] = problems.read(read, value, *path, name)
        elif name == PYPROJECT_TABLE[0] and not path:
            problems.add_key("[tool.keyring-pypitoken] is for pyproject.toml: write its keys at the top here", name)
        elif name not in others:
            known = (key for key in (*KEYS, *others) if layer != "project" or key not in _NOT_FOR_PROJECTS)
            problems.add_unknown(known, *path, name)
    return Settings(**settings)


def _read_repositories(
    content: object, layer: Layer, problems: _Problems
) -> tuple[dict[str, Settings], dict[str, EndpointSettings]]:
    if not isinstance(content, dict):
        problems.add(f"is {shown(content)}, expected tables such as [repository.testpypi]", "repository")
        return {}, {}
    settings: dict[str, Settings] = {}
    endpoints: dict[str, EndpointSettings] = {}
    for name, table in content.items():
        path = ("repository", name)
        if not valid_label(name):
            problems.add_key(f"{quoted(name)} is not a valid name, expected {LABEL_RULE}", *path)
        if not isinstance(table, dict):
            problems.add(f"is {shown(table)}, expected a table", *path)
            continue
        settings[name] = _read_settings(table, layer, problems, path, tuple(ENDPOINT_KEYS))
        if layer != "project":
            endpoints[name] = _read_endpoint(name, table, problems)
    return settings, endpoints


def _read_endpoint(name: str, table: dict[str, Any], problems: _Problems) -> EndpointSettings:
    path = ("repository", name)
    settings: dict[str, Any] = {}
    for key in ENDPOINT_KEYS.keys() & table:
        if key in FIXED_ENDPOINT_KEYS and any(known.name == name for known in BUILT_IN):
            problems.add_key(f"{key} of {name} is fixed: it cannot be set", *path, key)
        else:
            settings[key] = problems.read(ENDPOINT_KEYS[key], table[key], *path, key)
    return EndpointSettings(problems.origin(path), **settings)


def _read_store(content: object, problems: _Problems) -> StoreSettings:
    if not isinstance(content, dict):
        problems.add(f"is {shown(content)}, expected a table [store]", "store")
        return StoreSettings()
    settings: dict[str, Any] = {}
    for name, value in content.items():
        if name in STORE_KEYS:
            settings[name] = problems.read(STORE_KEYS[name], value, "store", name)
        else:
            problems.add_unknown(STORE_KEYS, "store", name)
    for other in ("backend", "identity"):
        if "command" in settings and other in settings:
            problems.add_key(f"{other} contradicts the command beside it: keep one of them", "store", other)
    if settings.get("identity") and "backend" not in settings:
        settings["backend"] = WithOrigin(AGE, settings["identity"].origin)
    return StoreSettings(**settings)
