"""JSON Schemas (draft 7) of the policy files, for editors and validate-pyproject, made from the parser's own tables.

What the parser takes the schemas take too. They take more where JSON Schema has no words for what the parser refuses:

- whole numbers that are written as floats (`900.0`);
- texts that are a length of time beyond its limit (`"4000d"`; whole seconds are limited);
- dates, times, date-times without an offset and texts in the place of a date-time, since JSON has none of them: editors
  pass a date-time on as a text, validate-pyproject as an object of Python's, and both have to pass;
- URLs with a host or port that is none, or over http to another host than a loopback address.

`python -m keyring_pypitoken.policy.schema` writes them anew into the files that the package ships.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.lookup import BUILT_IN
from keyring_pypitoken.policy.parser import ENDPOINT_KEYS, FIXED_ENDPOINT_KEYS, PYPROJECT_TABLE, STORE_KEYS
from keyring_pypitoken.policy.values import KEYS, LABEL, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyring_pypitoken.policy.model import Layer
    from keyring_pypitoken.policy.values import Shape

# By the file that each is for.
FILES: dict[str, Layer] = {"pypitoken.schema.json": "project", "policy.schema.json": "user"}


def policy_schema(layer: Layer) -> dict[str, object]:
    """Return the schema of a policy file.

    Args:
        layer: whose file it is: a `pypitoken.toml` is a project's, a `policy.toml` the user's or the site's.

    Returns:
        The schema, as JSON holds it.
    """
    if layer == "project":
        return _schema("pypitoken.toml", "The policy of a project", _project_tables())
    return _schema("policy.toml", "The policy of a user or a machine", _own_tables())


def tool_schema(tool_name: str) -> dict[str, object]:
    """Return the schema of `[tool.keyring-pypitoken]` in a `pyproject.toml`, as validate-pyproject asks for it.

    Args:
        tool_name: the name of the table, as the entry point has it.

    Returns:
        The schema, as JSON holds it.
    """
    return _schema(f"tool.{tool_name}", "The policy of a project", _project_tables())


def text_of(schema: dict[str, object]) -> str:
    """Write a schema as its file holds it."""
    return json.dumps(schema, indent=2) + "\n"


def write_files(directory: Path) -> None:
    """Write the schemas into their files in a directory."""
    for name, layer in FILES.items():
        (directory / name).write_text(text_of(policy_schema(layer)), encoding="utf-8", newline="\n")


def _schema(name: str, title: str, tables: dict[str, Shape]) -> dict[str, object]:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"urn:{PYPROJECT_TABLE[-1]}:{name}",
        "title": f"{title}, followed by {PYPROJECT_TABLE[-1]}",
        **_table(tables),
    }


def _table(keys: dict[str, Shape], required: Iterable[str] = ()) -> dict[str, object]:
    table: dict[str, object] = {"type": "object", "additionalProperties": False, "properties": keys}
    return {**table, "required": [*required]} if required else table


def _settings(layer: Layer) -> dict[str, Shape]:
    return {
        name: {"description": key.meaning, **key.shape}
        for name, key in KEYS.items()
        if key.project_may or layer != "project"
    }


def _repositories(meaning: str, table: Shape, built_in: dict[str, Shape]) -> Shape:
    return {
        "description": meaning,
        "type": "object",
        "propertyNames": {"pattern": whole(LABEL)},
        "properties": built_in,
        "additionalProperties": table,
    }


def _project_tables() -> dict[str, Shape]:
    settings = _settings("project")
    return {**settings, "repository": _repositories("the other keys for one repository", _table(settings), {})}


def _own_tables() -> dict[str, Shape]:
    settings = _settings("user")
    changeable = {name: shape for name, shape in ENDPOINT_KEYS.items() if name not in FIXED_ENDPOINT_KEYS}
    built_in: dict[str, Shape] = {repository.name: _table({**settings, **changeable}) for repository in BUILT_IN}
    further = _table({**settings, **ENDPOINT_KEYS}, required=["url"])
    meaning = f"the other keys for one repository; also {', '.join(ENDPOINT_KEYS)}"
    return {
        **settings,
        "repository": _repositories(meaning, further, built_in),
        "store": {"description": "where the masters are kept", **_table(STORE_KEYS)},
    }


if __name__ == "__main__":  # pragma: no cover - a test writes them into a directory of its own
    write_files(Path(__file__).parent)
