"""JSON Schemas of policies, for editors: `python -m keyring_pypitoken.policy.schema [project|user]` prints one."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.lookup import BUILT_IN
from keyring_pypitoken.policy.values import FIXED_ENDPOINT_KEYS, PROJECT_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyring_pypitoken.policy.model import Layer


def describe_keys() -> Any:
    """Return what is said about each key: its meaning, its default and the values that it takes."""
    return json.loads(files(__package__).joinpath("keys.json").read_text("utf-8"))


def policy_schema(layer: Layer) -> dict[str, Any]:
    """Return the schema of the policies of a layer."""
    described = describe_keys()
    keys, endpoint, definitions = described["keys"], described["endpoint"], described["definitions"]
    store = {"store": _table(described["store"])}
    if layer == "project":
        keys = {name: keys[name] for name in PROJECT_KEYS}
        definitions["project"] = definitions["project-of-a-project"]
        endpoint, store = {}, {}
    fixed = {name: key for name, key in endpoint.items() if name not in FIXED_ENDPOINT_KEYS}
    repository = {
        "type": "object",
        "propertyNames": definitions["label"],
        "properties": {known.name: _table(keys | fixed) for known in BUILT_IN},
        "additionalProperties": _table(keys | endpoint),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"https://pypi.org/project/keyring-pypitoken/{'pypitoken' if layer == 'project' else 'policy'}.toml",
        **_table({**keys, "repository": repository, **store}),
        "definitions": definitions,
    }


def tool_schema(tool_name: str) -> dict[str, Any]:
    """Return the schema of a project's policy under the name of its table, as validate-pyproject's plugins do."""
    return {**policy_schema("project"), "$id": f"https://pypi.org/project/keyring-pypitoken/tool.{tool_name}"}


def _table(properties: Mapping[str, object]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


if __name__ == "__main__":  # pragma: no cover - a test runs it in a process of its own
    print(json.dumps(policy_schema("project" if sys.argv[1:] == ["project"] else "user"), indent=2))  # noqa: T201 - its use
