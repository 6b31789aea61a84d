"""Policy files: a text goes in; typed values with their origins, or all of its problems, come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.lookup import BUILT_IN
from keyring_pypitoken.names import LABEL_RULE, valid_label
from keyring_pypitoken.policy.model import (
    AGE,
    PYPROJECT_TABLE,
    Origin,
    PolicyFile,
    RepositorySettings,
    Settings,
    StoreSettings,
    WithOrigin,
)
from keyring_pypitoken.policy.values import (
    ENDPOINT_KEYS,
    FIXED_ENDPOINT_KEYS,
    KEYS,
    PROJECT_KEYS,
    STORE_KEYS,
    WrongValueError,
    shown,
)
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import nearest, quoted
from keyring_pypitoken.toml import Path, entry, find_lines, load_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyring_pypitoken.policy.model import Layer
    from keyring_pypitoken.policy.values import Readers

_NOT_FOR_PROJECTS = {*KEYS, *ENDPOINT_KEYS, "store"}.difference(PROJECT_KEYS)
_MAX_PROBLEMS = 100  # looking for the nearest known key takes a while


def policy_error(problems: Sequence[str]) -> PolicyError:
    """Return the refusal of policies with these problems, each with its place."""
    more = f"; and {len(problems) - 1} more: run `keyring-pypitoken check`" if problems[1:] else "; correct it there"
    return PolicyError(f"the policy cannot be followed: {problems[0]}{more}.", tuple(problems))


def parse_policy(text: str, *, layer: Layer, name: str, table: Path = ()) -> PolicyFile | None:
    """Parse the text of a file that messages call `name`; None if it has no such `table`, as a `pyproject.toml`.

    If the file cannot be followed, that is a PolicyError whose `problems` are every mistake with its line.
    """
    content = entry(load_toml(text, name), *table)
    if content is None:
        return None
    parser = _Parser(name, find_lines(text), table, layer, [])
    top = parser.read_table(content, "a table")
    keys, others = (PROJECT_KEYS, ("repository",)) if layer == "project" else (KEYS, ("repository", "store"))
    settings = Settings(**parser.read_values(top, keys, others=others))
    repositories = _read_repositories(top.get("repository", {}), parser)
    store = StoreSettings() if layer == "project" else _read_store(top.get("store", {}), parser)
    parser.refuse()
    return PolicyFile(Origin(name), settings, repositories, store)


def _read_repositories(content: object, parser: _Parser) -> dict[str, RepositorySettings]:
    repositories = {}
    keys = PROJECT_KEYS if parser.layer == "project" else {**KEYS, **ENDPOINT_KEYS}
    tables = parser.read_table(content, "tables such as [repository.testpypi]", "repository")
    for name in tables:
        path = ("repository", name)
        if not valid_label(name):
            parser.add_key(f"{quoted(name)} is not a valid name, expected {LABEL_RULE}", *path)
        table = parser.read_table(tables[name], "a table", *path)
        if parser.layer != "project" and any(known.name == name for known in BUILT_IN):
            for key in table.keys() & FIXED_ENDPOINT_KEYS:
                del table[key]
                parser.add_key(f"{key} of {name} is fixed: it cannot be set", *path, key)
        values = parser.read_values(table, keys, *path)
        repositories[name] = RepositorySettings(origin=parser.origin(path), **values)
    return repositories


def _read_store(content: object, parser: _Parser) -> StoreSettings:
    table = parser.read_table(content, "a table [store]", "store")
    values = parser.read_values(table, STORE_KEYS, "store")
    for other in ("backend", "identity"):
        if "command" in table and other in table:
            parser.add_key(f"{other} contradicts the command beside it: keep one of them", "store", other)
    if "identity" in values and "backend" not in values:
        values["backend"] = WithOrigin(AGE, values["identity"].origin)
    return StoreSettings(**values)


class _Parser(Record):
    """Reads the tables of a file, and collects all that is wrong in it, each with its line."""

    name: str
    lines: Mapping[Path, int]
    root: Path
    layer: Layer
    problems: list[tuple[int, str]]  # line, sentence

    def read_table(self, content: object, expected: str, *path: str) -> dict[str, Any]:
        """Return a table; an empty one if it is none."""
        if isinstance(content, dict):
            return content
        self._add(f"is {shown(content)}, expected {expected}", path)
        return {}

    def read_values(
        self, table: dict[str, Any], keys: Readers, *path: str, others: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Return the values of a table by field, each with its origin; the keys in `others` are read elsewhere."""
        values: dict[str, Any] = {}
        for name, value in table.items():
            here = (*path, name)
            if name in keys:
                try:
                    values[name.replace("-", "_")] = WithOrigin(keys[name](value), self.origin(here))
                except WrongValueError as error:
                    self._add(str(error), here)
            elif self.layer == "project" and name in _NOT_FOR_PROJECTS:
                self.add_key(f"{'.'.join(here)} is for your own policy.toml only: a project cannot set it", *here)
            elif name == PYPROJECT_TABLE[0] and not path:
                self.add_key("[tool.keyring-pypitoken] is for pyproject.toml: write its keys at the top here", *here)
            elif name not in others:
                known = [*keys, *others]
                likely = nearest(name.lower().replace("_", "-"), known)
                hint = f"did you mean {likely!r}?" if likely else f"known here are {', '.join(known)}"
                self.add_key(f"unknown key {quoted(name)}; {hint}", *here)
        return values

    def _add(self, problem: str, path: Path) -> None:
        """Add what is wrong with a value: the rest of a sentence that begins with its key."""
        subject = ".".join(part if valid_label(part) else quoted(part) for part in path or self.root)
        self.add_key(f"{subject} {problem}", *path)

    def add_key(self, sentence: str, *path: str) -> None:
        """Add what is wrong with a key itself."""
        self.problems.append((self._line(path), sentence))
        if len(self.problems) == _MAX_PROBLEMS:
            self.refuse()

    def origin(self, path: Path) -> Origin:
        """Return the file and line of a key."""
        return Origin(f"{self.name}:{self._line(path)}")

    def refuse(self) -> None:
        """Raise all that is wrong, if anything is."""
        if self.problems:
            raise policy_error([f"{self.name}:{line}: {sentence}" for line, sentence in sorted(self.problems)])

    def _line(self, path: Path) -> int:
        full = (*self.root, *path)
        while full and full not in self.lines:
            full = full[:-1]
        return self.lines.get(full, 1)
