"""Imports go down only, heavy modules are loaded late, and one module knows pymacaroons."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import keyring_pypitoken

PACKAGE = Path(keyring_pypitoken.__file__).parent
# A ladder: each module may import those that stand before it.
LADDER = (
    *("exceptions", "wording", "names", "secret"),
    *("repository", "grant", "toml", "policy_values", "policy", "schema", "decision"),
    *("macaroon", "restrictions", "parameters", "token", "describe", "derive"),
    *("locations", "policy_files", "process", "uploaders", "evidence"),
    *("passphrase", "private_file", "age_keys", "age_file", "stores", "accounts", "store", "history"),
    *("pipeline", "told", "backend"),
    *("adoption", "bypasses"),
)
# The command stands on all of these. Its modules may import those that stand before them here.
COMMAND = ("output", "answers", "granting", "masters", "policies", "records", "status", "tokens", "main")
# No files, no environment and no clock; `token` alone reads the clock, where `Token.check` is given no moment.
PURE = (
    "repository",
    "grant",
    "policy_values",
    "policy",
    "decision",
    "macaroon",
    "restrictions",
    "parameters",
    "describe",
    "derive",
)
IMPURE = {"os", "sys", "pathlib", "time", "io", "glob", "shutil", "tempfile", "subprocess", "socket", "platformdirs"}
HEAVY = ("pymacaroons", "nacl", "tomllib", "tomli", "packaging", "platformdirs", "argparse", "json.decoder", "hmac")


def imports(module: str) -> tuple[set[str], set[str]]:
    """Return what a module imports, anywhere in it: our modules, and the top names of others."""
    ours: set[str] = set()
    others: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            ours.update([node.module] if node.module else [name.name for name in node.names])
        elif isinstance(node, ast.ImportFrom):
            others.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Import):
            others.update(name.name.partition(".")[0] for name in node.names)
    return ours, others


def test_the_ladder_holds_every_module() -> None:
    """No module is forgotten here."""
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*LADDER, "__init__", "__main__"}
    assert {path.stem for path in (PACKAGE / "command").glob("*.py")} == {*COMMAND, "__init__"}


@pytest.mark.parametrize("module", COMMAND)
def test_the_commands_imports_go_down_only(module: str) -> None:
    """The command knows the package, and no module of the package knows the command."""
    assert imports(f"command/{module}")[0] <= set(COMMAND[: COMMAND.index(module)])


@pytest.mark.parametrize("module", LADDER)
def test_imports_go_down_only(module: str) -> None:
    """A module knows the modules below it, and none above."""
    assert imports(module)[0] <= set(LADDER[: LADDER.index(module)])


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_see_no_files_environment_or_clock(module: str) -> None:
    """What decides depends on its arguments alone."""
    assert not imports(module)[1] & IMPURE


def test_one_module_imports_pymacaroons() -> None:
    """The macaroon's own format is known in one place."""
    assert [module for module in LADDER if "pymacaroons" in imports(module)[1]] == ["macaroon"]


def test_only_edges_know_keyring() -> None:
    """keyring's rules for backends are the backend's, its registry the store's; what goes before it is looked for."""
    knowing = [module for module in LADDER if "keyring" in imports(module)[1]]
    assert knowing == ["stores", "store", "backend", "bypasses"]


def loaded_by(code: str) -> set[str]:
    """Return the modules that a fresh interpreter loads for a piece of code, beyond keyring.backend."""
    script = f"import sys, keyring.backend\nbefore = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_backend_loads_nothing_heavy() -> None:
    """It happens in every process that uses keyring for anything."""
    loaded = loaded_by("import keyring_pypitoken.backend")
    assert not loaded.intersection(HEAVY)
    assert {name for name in loaded if name.startswith("keyring_pypitoken.")} == {
        "keyring_pypitoken.backend",
        "keyring_pypitoken.exceptions",
        "keyring_pypitoken.repository",
    }


@pytest.mark.parametrize(
    ("service", "username"),
    [
        ("system", "joe"),
        ("https://upload.pypi.org/legacy/", "joe"),
        ("python-poetry-check", "python-poetry"),
        ("https://upload.pypi.org/legacy/\n", "__token__"),
    ],
)
def test_declining_loads_nothing(service: str, username: str) -> None:
    """A look-up that nobody could mean for us costs no import."""
    asked = f"keyring_pypitoken.backend.PyPITokenKeyring().get_password({service!r}, {username!r})"
    loaded = loaded_by("import keyring_pypitoken.backend\nbefore = set(sys.modules)\n" + asked)
    assert loaded == set()


def test_declining_a_foreign_index_loads_only_what_finds_the_users_policy() -> None:
    """It could be a repository of the user's policy: whether there is such a file is all that is looked at."""
    asked = 'keyring_pypitoken.backend.PyPITokenKeyring().get_password("https://evil.example/legacy/", "__token__")'
    loaded = loaded_by(f"import keyring_pypitoken.backend\n{asked}")
    assert not loaded.intersection({*HEAVY} - {"platformdirs"})
    assert {name for name in loaded if name.startswith("keyring_pypitoken.")} == {
        "keyring_pypitoken.backend",
        "keyring_pypitoken.exceptions",
        "keyring_pypitoken.locations",
        "keyring_pypitoken.repository",
    }


def test_the_tests_run_against_what_is_installed() -> None:
    """keyring finds the plugin by the installed distribution, whose module this is."""
    from importlib.metadata import distribution

    installed = distribution("keyring-pypitoken")
    (entry_point,) = installed.entry_points.select(group="keyring.backends")
    assert entry_point.value == "keyring_pypitoken.backend"
    assert entry_point.load().PyPITokenKeyring.priority == 9.9
    assert (PACKAGE / "py.typed").exists()
