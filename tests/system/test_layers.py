"""Imports go down only, heavy modules are loaded late, and one module imports pymacaroons."""

from __future__ import annotations

import graphlib
import re
import subprocess
import sys

import pytest
from layers import LAYERS, MODULES, PACKAGE, imports, package

# No files, environment or clock. `tokens.values` reads the clock if a `Context` is given no time.
PURE = (
    "lookup",
    "derive",
    "policy.decision",
    "policy.model",
    "policy.parser",
    "policy.values",
    "tokens.describe",
    "tokens.macaroon",
    "tokens.restrictions",
    "tokens.token",
)
IMPURE = {"os", "sys", "pathlib", "time", "io", "glob", "shutil", "tempfile", "subprocess", "socket", "platformdirs"}
HEAVY = ("pymacaroons", "nacl", "tomllib", "tomli", "packaging", "platformdirs", "argparse", "json.decoder", "hmac")


def layer(module: str) -> int:
    (number,) = [number for number, packages in enumerate(LAYERS) if package(module) in packages]
    return number


def test_every_module_is_in_a_layer() -> None:
    assert {package(module) for module in MODULES} == set().union(*LAYERS)


def test_imports_go_down_only() -> None:
    upward = [
        f"{module} -> {name}"
        for module in MODULES
        for name in imports(module)[0]
        if package(name) != package(module) and name[0].islower() and layer(name) > layer(module)
    ]
    assert upward == []


def test_no_module_is_imported_in_a_circle() -> None:
    graph = {module: imports(module)[0].intersection(MODULES) for module in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_the_init_files_of_the_packages_are_empty() -> None:
    assert [path.read_bytes() for path in PACKAGE.glob("*/__init__.py")] == [b""] * 5


def test_pure_modules_see_no_files_environment_or_clock() -> None:
    impure = {module: imports(module)[1] & IMPURE for module in PURE}
    assert impure.pop("policy.model") <= {"pathlib"}  # it has paths in its types and touches no file
    assert not any(impure.values()), impure


def test_one_module_imports_pymacaroons() -> None:
    assert [module for module in MODULES if "pymacaroons" in imports(module)[1]] == ["tokens.macaroon"]


def test_no_module_uses_the_network() -> None:
    names = re.compile(r"^ *(from|import) (http|socket|ssl|urllib import|urllib\.(request|error))\b", re.MULTILINE)
    texts = {module: PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8") for module in MODULES}
    assert not [module for module, text in texts.items() if names.search(text)]


def test_only_edges_import_keyring() -> None:
    importing = [module for module in MODULES if "keyring" in imports(module)[1]]
    assert set(importing) == {"backend", "rest", "vault.backends", "vault.masters"}


def loaded_by(code: str) -> set[str]:
    """Return the modules that a fresh interpreter loads for a piece of code, beyond keyring.backend."""
    script = f"import sys, keyring.backend\nbefore = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_backend_loads_nothing_of_ours_and_nothing_heavy() -> None:
    """It happens in every process that uses keyring for anything, and goes on if the package is broken."""
    loaded = loaded_by("import keyring_pypitoken.backend")
    assert not loaded.intersection(HEAVY)
    assert {name for name in loaded if name.startswith("keyring_pypitoken.")} == {"keyring_pypitoken.backend"}


@pytest.mark.parametrize("lookup", ['"system", "joe"', '"https://evil.example/legacy/", "__token__"'])
def test_a_lookup_that_is_not_ours_loads_nothing_heavy(lookup: str) -> None:
    code = (
        "import keyring_pypitoken.backend\n"
        "ours = keyring_pypitoken.backend.PyPITokenKeyring()\n"
        "import keyring.backends.null\n"
        "vars(ours)['rest'] = keyring.backends.null.Keyring()\n"
        f"ours.get_password({lookup})"
    )
    assert not loaded_by(code).intersection({*HEAVY} - {"platformdirs"})


def test_the_tests_run_against_what_is_installed() -> None:
    """keyring finds the plugin by the installed distribution, whose module this is."""
    from importlib.metadata import distribution

    installed = distribution("keyring-pypitoken")
    (entry_point,) = installed.entry_points.select(group="keyring.backends")
    assert entry_point.value == "keyring_pypitoken.backend"
    assert entry_point.load().PyPITokenKeyring.priority == float("inf")
    assert (PACKAGE / "py.typed").exists()
