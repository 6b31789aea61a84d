"""The kernel: few lines decide over a master in clear, and nothing else ever has its text."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import pytest
from layers import GUARDS
from sandbox import ROOT, forget, new_master

import keyring_pypitoken

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PACKAGE = Path(keyring_pypitoken.__file__).parent
# Python 3.13.0 crashes if the locals of a generator outlive it (python/cpython#125723).
IS_FRAGILE = sys.version_info[:3] == (3, 13, 0)
MAX_LINES = 975
# What else touches the text of a master, and why.
CARRIERS = {
    "backend.py": "keyring hands it the password that is to be stored, and takes the derived token",
    "vault/age.py": "writes masters into the encrypted file, and reads them from it",
    "vault/command.py": "reads what the program of [store] prints",
    "cli/masters.py": "reads a master from the prompt or from standard input",
    "cli/grants.py": "reads a master from standard input",
    "cli/pypirc.py": "reads a password from .pypirc, to move it into the store",
}


TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}


def using(name: str) -> set[str]:
    """Return the modules that have a name as an attribute, as a variable or in quotes; a definition is no use."""
    return {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if name in (getattr(node, "attr", ""), getattr(node, "id", ""), getattr(node, "value", ""))
    }


def calling(name: str) -> set[str]:
    """Return the modules that call a function or a class by its bare name."""
    return {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    }


def test_the_kernel_is_small_enough_to_be_read() -> None:
    lines = sum(len((PACKAGE / module).read_text("utf-8").splitlines()) for module in GUARDS)
    assert lines <= MAX_LINES


def test_nothing_outside_the_kernel_and_the_carriers_reveals_or_makes_a_master() -> None:
    assert (using("reveal") | calling("MasterToken")).difference(GUARDS) == CARRIERS.keys()
    assert using("_reveal") == {"secret.py"}
    assert using("_Secret__text") == set()


def test_one_module_reveals_a_passphrase() -> None:
    assert using("reveal_to_age") == {"vault/keys.py"}


def test_contributing_lists_the_kernel_and_the_carriers() -> None:
    text = " ".join((ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8").split())
    for module in GUARDS:
        assert f"`{module}`" in text
    for module, reason in CARRIERS.items():
        assert f"`{module}` {reason}" in text


def test_a_derived_token_is_made_in_one_module() -> None:
    assert calling("DerivedToken") == {"derive.py"}


CALLS: dict[str, Callable[[], object]] = {
    "get": lambda: keyring.get_password(PYPI, TOKEN),
    "credential": lambda: keyring.get_credential(PYPI, None),
    "set": lambda: keyring.set_password(PYPI, TOKEN, new_master()),
    "delete": lambda: keyring.delete_password(PYPI, TOKEN),
}


@pytest.mark.parametrize("call", CALLS)
def test_no_other_frame_of_the_package_has_a_master_in_a_local(call: str, work: Path) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    keyring.set_password(PYPI, TOKEN, new_master())
    forget()
    master, seen, frames = new_master(), set[str](), 0

    def trace(frame: FrameType, _event: str, _argument: object) -> object:
        nonlocal frames
        name = frame.f_code.co_filename
        if not name.startswith(str(PACKAGE)) or (IS_FRAGILE and frame.f_code.co_flags & inspect.CO_GENERATOR):
            return None
        module = Path(name).relative_to(PACKAGE).as_posix()
        if module in GUARDS:
            return None
        frames += 1
        for local, value in list(frame.f_locals.items()):
            if isinstance(value, (str, bytes, tuple, list, dict)) and master in repr(value):
                seen.add(f"{module}:{frame.f_code.co_name}:{local}")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]  # it returns itself
    try:
        CALLS[call]()
    finally:
        sys.settrace(before)
    assert frames > 50
    assert seen == ({"backend.py:set_password:password"} if call == "set" else set())
