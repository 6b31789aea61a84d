"""The JSON Schema of `[tool.keyring-pypitoken]`, for validate-pyproject."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def tool_schema(tool_name: str) -> dict[str, Any]:
    """Return the schema of a project's policy under the name of its table, as validate-pyproject's plugins do."""
    text = files("keyring_pypitoken.policy").joinpath("pypitoken.schema.json").read_text("utf-8")
    return {**json.loads(text), "$id": f"https://pypi.org/project/keyring-pypitoken/tool.{tool_name}"}
