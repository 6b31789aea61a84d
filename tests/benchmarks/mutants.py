"""Change the package at random, one place at a time, and list the changes that no fast test notices.

`python tests/benchmarks/mutants.py COUNT [SEED [MODULE...]]` copies the tree, makes an environment for the copy, finds
out which test runs which line, and runs for each mutant the tests of its line, quickest first. POSIX only: it forks.
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import traceback
import venv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

ROOT = Path(__file__).parents[2]
MODULES = (
    *("secret", "vault/masters", "derive", "tokens/macaroon", "issue"),  # the kernel
    *("lookup", "policy/decision", "uploaders/evidence", "uploaders/request", "files"),
)
QUIETLY = ("-n", "0", "-q", "-p", "no:cacheprovider")
FAST = "not uploaders and not attack and not secret_service"
SLOW = ("tests/attack/test_faults.py", "tests/system/test_readme.py")  # they run the package in other processes
STEPS = ((5.0, 40), (60.0, 400))  # seconds and tests: few tests kill most mutants, the others get many
PATIENCE = 30  # seconds that a mutant may take beyond that; then it hangs, which a test would notice
MEMORY = 4 * 1024**3

_OPPOSITES: tuple[tuple[type[ast.AST], type[ast.AST]], ...] = (
    *((ast.Eq, ast.NotEq), (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)),
    *((ast.And, ast.Or), (ast.Add, ast.Sub)),
)
_FLIPS = {**dict(_OPPOSITES), **{new: old for old, new in _OPPOSITES}, ast.Mult: ast.FloorDiv}

_OTHERS: dict[type, Callable[[Any], Any]] = {
    bool: lambda value: not value,
    int: lambda value: value + 1,
    str: lambda value: f"{value}x",
    bytes: lambda value: value + b"x",
}


class Mutant(NamedTuple):
    """One changed place: the module, its lines (from 1), what is there, and what is there instead."""

    module: str
    first: int
    last: int
    old: str
    new: str
    source: str

    def __str__(self) -> str:
        return f"{self.module}.py:{self.first}: {' '.join(self.old.split())} -> {' '.join(self.new.split())}"


class Recorder:
    """Tells coverage which test runs, and keeps how long each took that passed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        import coverage

        current = coverage.Coverage.current()
        if current is not None:
            current.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.skipped:
            self.seconds[report.nodeid] = float("inf")
        else:
            self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        passed = {name: seconds for name, seconds in self.seconds.items() if seconds != float("inf")}
        Path("durations.json").write_text(json.dumps(passed))


def pytest_configure(config: pytest.Config) -> None:
    """Record, if this module is loaded as a plugin."""
    config.pluginmanager.register(Recorder())


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of a node."""
    new = copy.deepcopy(node)
    if isinstance(new, ast.Compare):
        new.ops[0] = _FLIPS[type(new.ops[0])]()
        yield new
    elif isinstance(new, (ast.BoolOp, ast.BinOp)) and type(new.op) in _FLIPS:
        new.op = _FLIPS[type(new.op)]()
        yield new
    elif isinstance(new, ast.UnaryOp) and isinstance(new.op, ast.Not):
        yield new.operand
    elif isinstance(new, ast.Constant) and type(new.value) in _OTHERS:
        yield ast.Constant(_OTHERS[type(new.value)](new.value))
    elif isinstance(new, ast.Call) and len(new.args) > 1 and not isinstance(new.args[1], ast.Starred):
        new.args[:2] = new.args[1::-1]
        yield new
    elif isinstance(new, ast.Return) and new.value is not None and ast.unparse(new.value) != "None":
        yield ast.Return(ast.Constant(None))
    elif isinstance(new, (ast.Expr, ast.Raise, ast.AugAssign, ast.Delete, ast.Continue, ast.Break)):
        yield ast.Pass()
    if isinstance(node, (ast.If, ast.IfExp, ast.While)) and ast.unparse(node.test) != "TYPE_CHECKING":
        yield ast.UnaryOp(ast.Not(), copy.deepcopy(node.test))


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and what is in it, without annotations, docstrings, texts in braces and what type checkers read."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(node, (ast.JoinedStr, ast.ImportFrom)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        for child in value if isinstance(value, list) else [value]:
            is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not is_text:
                yield from _parts(child)


def mutants_of(module: str) -> list[Mutant]:
    """List every mutant of a module."""
    text = (ROOT / "keyring_pypitoken" / f"{module}.py").read_bytes()
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in _parts(ast.parse(text)):
        for variant in variants(node):
            # A condition is changed where it is, and leaves its branches.
            place = node.test if isinstance(node, (ast.If, ast.IfExp, ast.While)) else node
            if not isinstance(place, (ast.expr, ast.stmt)) or place.end_lineno is None or place.end_col_offset is None:
                continue
            start = starts[place.lineno - 1] + place.col_offset
            end = starts[place.end_lineno - 1] + place.end_col_offset
            new = ast.unparse(ast.fix_missing_locations(variant))
            new = f"({new})" if isinstance(place, ast.expr) else new
            source = (text[:start] + new.encode() + text[end:]).decode()
            found.append(Mutant(module, place.lineno, place.end_lineno, text[start:end].decode(), new, source))
    return found


def make_copy(directory: Path) -> tuple[Path, Path]:
    """Copy the tree and make an environment that holds the copy; return the copy and the environment's Python."""
    tree, environment = directory / "tree", directory / "environment"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".hypothesis"))
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
    # Not the path files of that other directory: they name the tree that this is a copy of.
    (site / "tree.pth").write_text(f"{tree}\n{sysconfig.get_path('purelib')}\n")
    return tree, python


def measure(tree: Path, python: Path) -> tuple[dict[str, dict[int, list[str]]], dict[str, float]]:
    """Run the fast tests; return the tests that run each line of each module, and the seconds of each test."""
    subprocess.run(
        [
            *(python, "-m", "coverage", "run", "--source", "keyring_pypitoken", "-m", "pytest", "-p", "mutants"),
            *(*QUIETLY, "-m", FAST, *(f"--ignore={file}" for file in SLOW)),
        ],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=(tree / "measured.txt").open("w"),
        check=False,  # a test that fails here kills nothing, and is left out
    )
    import coverage

    data = coverage.CoverageData(str(tree / ".coverage"))
    data.read()
    lines = {module: data.contexts_by_lineno(str(tree / "keyring_pypitoken" / f"{module}.py")) for module in MODULES}
    return lines, json.loads((tree / "durations.json").read_text())


def choose(mutant: Mutant, lines: dict[int, list[str]], seconds: dict[str, float]) -> list[list[str]]:
    """Return the tests of a mutant's lines in steps; those of its whole module if its lines run at its import."""
    numbers = range(mutant.first, mutant.last + 1)
    names = {name for number in numbers for name in lines.get(number, ())}
    if "" in names:
        names = {name for found in lines.values() for name in found}
    rest = sorted(names & seconds.keys(), key=seconds.__getitem__)
    steps: list[list[str]] = []
    for limit, most in STEPS:
        total, step = 0.0, list[str]()
        while rest and len(step) < most and total + seconds[rest[0]] <= limit:
            total += seconds[rest[0]]
            step.append(rest.pop(0))
        steps.append(step)
    return steps


def is_killed(tree: Path, tests: list[str], limit: float) -> bool:
    """Run tests in a fork of this process, which has loaded what is slow to load; return whether one failed."""
    if sys.platform == "win32":
        sys.exit("only POSIX systems fork: run this on one")
    process = os.fork()
    if process == 0:
        os.setsid()
        output = os.open(tree / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.chdir(tree)
        import pytest

        code = 1
        try:
            # Plugins that are loaded before pytest starts are not rewritten, which is as well.
            code = int(pytest.main([*QUIETLY, "-x", "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]))
        except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    deadline = time.monotonic() + limit + PATIENCE
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.02)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return True


def run(tree: Path, chosen: list[Mutant], measured: tuple[dict[str, dict[int, list[str]]], dict[str, float]]) -> None:
    """Run each mutant, in the environment of the copy, and print what survives."""
    import hypothesis.stateful
    import keyring
    import pymacaroons
    import pytest

    assert all((hypothesis.stateful, keyring, pymacaroons, pytest))  # loaded once, before the forks
    lines, seconds = measured
    control = sorted({name for mutant in chosen for name in choose(mutant, lines[mutant.module], seconds)[0]})
    if is_killed(tree, control, sum(seconds[name] for name in control)):
        sys.exit(f"without any mutant a test fails:\n{(tree / 'output.txt').read_text()[-2000:]}")
    counts: Counter[tuple[str, bool]] = Counter()
    for mutant in chosen:
        path = tree / "keyring_pypitoken" / f"{mutant.module}.py"
        original = path.read_text()
        compiled = Path(importlib.util.cache_from_source(str(path)))
        killed = False
        try:
            path.write_text(mutant.source)
            for step, (limit, _) in zip(choose(mutant, lines[mutant.module], seconds), STEPS, strict=True):
                compiled.unlink(missing_ok=True)
                killed = killed or (bool(step) and is_killed(tree, step, limit))
        finally:
            path.write_text(original)
            compiled.unlink(missing_ok=True)
        counts[mutant.module, killed] += 1
        print(f"{'killed' if killed else 'survived'}: {mutant}", flush=True)
    for module in dict.fromkeys(mutant.module for mutant in chosen):
        killed_here, survived = counts[module, True], counts[module, False]
        print(f"{module:<20} {killed_here + survived:>4} mutants, {killed_here:>4} killed")
    print(f"{len(chosen)} mutants, {sum(n for (_, killed), n in counts.items() if killed)} killed")


def main(count: int, seed: int, modules: tuple[str, ...]) -> None:
    """Choose mutants, measure, and go on in the environment of the copy."""
    with tempfile.TemporaryDirectory() as directory:
        tree, python = make_copy(Path(directory))
        measured = measure(tree, python)
        (tree / "measured.json").write_text(json.dumps(measured))
        every = [mutant for module in modules for mutant in mutants_of(module)]
        chosen = random.Random(seed).sample(every, min(count, len(every)))  # noqa: S311 - printed with its seed
        (tree / "mutants.json").write_text(json.dumps(chosen))
        passed = len(measured[1])
        print(f"seed {seed}: {len(chosen)} of {len(every)} mutants, {passed} tests that pass", flush=True)
        subprocess.run([python, __file__, "--run", tree], check=True, cwd=tree)


if __name__ == "__main__":
    if sys.argv[1] == "--run":
        there = Path(sys.argv[2])
        by_line, durations = json.loads((there / "measured.json").read_text())
        numbered = {module: {int(line): names for line, names in found.items()} for module, found in by_line.items()}
        read = [Mutant(*fields) for fields in json.loads((there / "mutants.json").read_text())]
        run(there, read, (numbered, durations))
    else:
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
        main(int(sys.argv[1]), seed, tuple(sys.argv[3:]) or MODULES)
