"""What every uploader must say, what the light table of keys repeats of it, and who may ask it."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from sandbox import ROOT, STORES, Run, new_master

from keyring_pypitoken import lookup
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.memory import forget
from keyring_pypitoken.uploaders.uploader import Address, Process, Uploader, all_uploaders, find_uploader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROOMS = all_uploaders()
NAMES = [uploader.name for uploader in ROOMS]
PACKAGE = ROOT / "keyring_pypitoken"
# Names of uploaders in texts for people, outside the uploaders.
SHOWN = (
    *("twine upload", "pip install twine", "maturin publish", "uv tool install keyring"),
    "(twine, uv, flit, hatch, poetry, pdm)",
)


def is_overridden(uploader: Uploader, method: str) -> str:
    return "yes" if method in vars(type(uploader)) else ""


def facts(uploader: Uploader) -> dict[str, str]:
    """Return the facts of DESIGN 4.8 as a uploader says them; what it denies is empty."""
    asks = [f"its own process ({uploader.module})"] if uploader.module else []
    asks += ["`keyring` command"] if uploader.uses_command else []
    return {
        "observed": uploader.observed,
        "source": uploader.source,
        "subcommands": ", ".join(uploader.commands),
        "status types": " ".join(uploader.typical),
        "asks in": " or ".join(asks),
        "keys asked": "; ".join(uploader.asks_for),
        "lookups": str(uploader.lookups_per_upload),
        "kept keys": ", ".join(uploader.kept_services),
        "before keyring": "; ".join(uploader.before_keyring),
        "saves": uploader.saves,
        "prompts": "yes" if uploader.prompts else "",
        "resumes": uploader.resume,
        "goes on after a refusal": "yes" if uploader.goes_on else "",
        "hides stderr": "yes" if uploader.hides_stderr else "",
        "token variables": ", ".join(uploader.token_variables),
        "address variables": ", ".join(uploader.address_variables),
        "rival variables": ", ".join(uploader.rival_variables),
        "expands files": is_overridden(uploader, "find_files"),
        "names projects": is_overridden(uploader, "find_projects"),
        "pointed at a project": is_overridden(uploader, "find_project"),
        "runs inside others": is_overridden(uploader, "find_inside"),
        "ends if it cannot save": is_overridden(uploader, "is_saving"),
    }


# Facts that every uploader must have, and the uploaders that have none, with the reason.
NEEDED = {
    "observed": {},
    "source": {},
    "asks in": {"maturin": "it asks a keyring of its own"},
    "keys asked": {"maturin": "it asks a keyring of its own"},
    "before keyring": {},
    "status types": {"devpi": "a section of .pypirc belongs to it, and nobody can guess that"},
    "token variables": {"devpi": "it takes tokens from .pypirc and keyring only"},
    "address variables": {
        "devpi": "it takes the address from .pypirc",
        "poetry": "they hold what it calls the repository: see its `variables`",
    },
    "expands files": {"devpi": "its server has the files", "flit": "it builds them itself"},
}


def test_the_rooms_are_those_of_the_design() -> None:
    assert NAMES == ["devpi", "flit", "hatch", "maturin", "pdm", "poetry", "twine", "uv"]


@pytest.mark.parametrize("uploader", ROOMS, ids=NAMES)
def test_no_fact_is_missing(uploader: Uploader, record_property: Callable[[str, object], None]) -> None:
    found = facts(uploader)
    record_property("uploader", (uploader.name, found))
    lacking = {fact for fact in NEEDED if not found[fact]}
    assert lacking == {fact for fact, without in NEEDED.items() if uploader.name in without}
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?", uploader.observed)
    assert re.search(r"\.(py|rs)\b", uploader.source)
    assert uploader.lookups_per_upload >= len(uploader.asks_for[:1])


def test_modules_that_are_not_rooms_are_the_shared_ones() -> None:
    modules = {path.stem for path in (PACKAGE / "uploaders").glob("*.py")} - {"__init__", *NAMES}
    assert modules == {"uploader", "options", "settings", "evidence", "process", "parent", "windows", "request"}


def test_the_light_table_keeps_the_services_that_rooms_keep() -> None:
    kept = {service for uploader in ROOMS for service in uploader.kept_services}
    assert sorted(lookup.KEPT_SERVICES) == sorted(kept)
    # The prefixes come first, which is what `lookup` relies on.
    assert [service.endswith("-") for service in lookup.KEPT_SERVICES] == [True, True, False, False]


def lookups(line: str, work: Path, **environ: str) -> tuple[tuple[str, str | None], ...]:
    program, *arguments = line.split()
    uploader = find_uploader(program)
    assert uploader is not None
    return uploader.find_lookups(
        Process(program, tuple(arguments), work, environ), Address(PYPI.url, "pypi", "default")
    )


def test_the_light_table_has_the_probe_and_the_empty_user_of_poetry(work: Path) -> None:
    asked = lookups("poetry publish", work)
    assert asked[0][0] in lookup._PROBES
    assert len(lookup._PROBES) == 1
    assert all(lookup.is_probe(service) for service, _ in asked[:1])
    keys = [lookup.Key.parse(*one) for one in asked[1:]]
    found = [key and lookup.match(key, lookup.BUILT_IN) for key in keys]
    kinds = ("endpoint", "host", "endpoint", "endpoint")  # its empty user is that of a checkout's sources, too
    assert [one and (one.kind, one.repository) for one in found] == [(kind, PYPI) for kind in kinds]


def test_the_light_table_has_the_user_names_of_flit(work: Path) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "Demo_x"\n', encoding="utf-8")
    project, user, plain = (name for _, name in lookups("flit publish", work, FLIT_USERNAME="me"))
    assert (project, user, plain) == (f"{lookup._FLIT_PROJECT}demo-x", f"{lookup._FLIT_USER}me", "me")
    key = lookup.Key.parse(PYPI.url, project)
    assert key is not None
    assert key.project == "demo-x"


def strings(path: Path) -> Iterator[str]:
    """Yield the texts of a module that are not docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
            yield node.value


OUTSIDE = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "uploaders" and path.stem != "lookup"]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_names_an_uploader_except_for_people(path: Path) -> None:
    named = re.compile(rf"(?<![\w.])({'|'.join(NAMES)})(?![\w.])", re.IGNORECASE)
    found = []
    for text in strings(path):
        rest = text
        for shown in SHOWN:
            rest = rest.replace(shown, "")
        if named.search(rest):
            found.append(text)
    assert found == []


def test_a_module_that_a_room_lacks_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}", name="missing")

    monkeypatch.setattr(importlib, "import_module", load)
    forget()
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'keyring_pypitoken\.uploaders\.twine'$"):
        find_uploader("twine")


def test_only_twine_is_found_inside_another_program(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    assert [uploader.find_inside() for uploader in ROOMS] == [None] * len(ROOMS)
    parsed = SimpleNamespace(command="upload", args=["demo-1.0.tar.gz"])
    monkeypatch.setitem(sys.modules, "twine.cli", SimpleNamespace(args=parsed))
    found = {uploader.name: words for uploader in ROOMS if (words := uploader.find_inside()) is not None}
    assert found == {"twine": ("upload", "demo-1.0.tar.gz")}
    assert Process("twine", found["twine"], work, {}).uploader is find_uploader("twine")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/x?y", "https://a.example/x?y"),
        ("https://me:pw@a.example/x?y", "https://***@a.example/x?y"),
        ("https://me:p@w/\n@a.example", "https://***@a.example"),
        ("me:pw@a.example/x", "***@a.example/x"),
    ],
)
def test_an_address_is_shown_without_its_user(url: str, shown: str) -> None:
    assert Address(url, "", "").shown == shown


def loaded_rooms(script: str, words: list[str], work: Path, run: Run) -> set[str]:
    """Return the uploaders that are loaded while a program of a name gets a token through keyring."""
    assert run("keyring", "set", PYPI.url, TOKEN_USERNAME, stdin=new_master()).returncode == 0
    program = work / words[0]
    program.write_text(script, encoding="utf-8")
    (work / "demo-1.0.tar.gz").touch()
    done = subprocess.run(
        [sys.executable, str(program), *words[1:]],
        env=os.environ | {"PYTHONPATH": str(STORES), "PYTHONVERBOSE": "1"},
        cwd=work,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("pypi-"), done.stderr
    return {
        name
        for name in re.findall(r"^import 'keyring_pypitoken\.uploaders\.(\w+)'", done.stderr, re.MULTILINE)
        if name in NAMES
    }


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's command line is in /proc")
def test_below_uv_only_its_room_is_loaded(work: Path, run: Run) -> None:
    script = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-m', 'keyring', 'get', {PYPI.url!r}, {TOKEN_USERNAME!r}])\n"
    )
    assert loaded_rooms(script, ["uv", "publish", "demo-1.0.tar.gz"], work, run) == {"uv"}


def test_inside_twine_only_its_room_is_loaded(work: Path, run: Run) -> None:
    script = (
        "import sys; sys.path.pop(0)\n"
        f"import keyring, twine\nprint(keyring.get_password({PYPI.url!r}, {TOKEN_USERNAME!r}))\n"
    )
    assert loaded_rooms(script, ["twine", "upload", "demo-1.0.tar.gz"], work, run) == {"twine"}
