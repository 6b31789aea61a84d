"""The packages and modules in their layers, what each imports, and what guards a master."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import keyring_pypitoken

PACKAGE = Path(keyring_pypitoken.__file__).parent
# The lowest layer first. A module may import those in the layers below its own, and those of its own package.
LAYERS = (
    {"exceptions", "secret", "names", "text", "paths", "record", "memory"},
    {"files", "toml"},
    {"lookup", "rest"},
    {"tokens", "policy"},
    {"uploaders"},
    {"notices"},
    {"vault"},
    {"plan", "derive", "history", "labels"},
    {"issue"},
    {"handout"},
    {"backend"},
    {"cli"},
)
GUARDS = ("secret.py", "vault/masters.py", "derive.py", "tokens/macaroon.py", "issue.py")
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)


def package(module: str) -> str:
    """Return the sub-package that a module is in, or itself."""
    return module.partition(".")[0]


@functools.cache
def imports(module: str) -> tuple[set[str], set[str]]:
    """Return what a module imports, anywhere in it: our modules, and the top names of others."""
    ours: set[str] = set()
    others: set[str] = set()
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    own = f"keyring_pypitoken.{module}".split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = own[: len(own) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source.partition(".")[0] != "keyring_pypitoken":
                others.add(source.partition(".")[0])
                continue
            for name in node.names:
                full = f"{source}.{name.name}".partition(".")[2]
                ours.add(full if full in MODULES else source.partition(".")[2] or full)
        elif isinstance(node, ast.Import):
            others.update(name.name.partition(".")[0] for name in node.names)
    return ours, others
