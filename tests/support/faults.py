"""Let one outgoing call of the package fail, each in turn, and judge what comes out.

The package is loaded from its own source with a probe around every call, every import and every loop: each is a site.
Calls of the package's own functions are passed over, since what they call is probed itself. A second layer probes the
system calls that other libraries make for the package. A case lets one occurrence of one site fail in one way.

Run as a program, in a process of its own: `faults.py STORE OPERATION SEED COUNT`; it prints a report as JSON. It
takes as many cases, chosen by the seed; with 0 every case.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import errno
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from exposure import PACKAGE, WINDOW, everything_about

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType, ModuleType

PYPI = "https://upload.pypi.org/legacy/"
PRIVATE = f"keyring-pypitoken:{PYPI}"
TOKEN = "__token__"
OCCURRENCES = (1, 2, 5)  # of a site in one operation: the first, and later ones
OPERATIONS = ("get", "credential", "set", "delete")
STORES = ("plain", "age", "raw")
_SYSTEM_CALLS = (
    *("open", "stat", "lstat", "fstat", "read", "write", "listdir", "scandir", "mkdir", "replace", "rename", "unlink"),
    *("remove", "rmdir", "chmod", "getcwd", "readlink", "link", "fsync", "close", "access", "fdopen", "urandom"),
)
# The store of the tests and keyring's chain may fail too, but not lie: what they call is not the package's.
_OTHERS = ("file_keyring", "keyring.backends.chainer", "keyring.core")


_BUILT_IN = (str, bytes, list, tuple, dict, set, frozenset)


class Signal(BaseException):
    """An exception that nobody expects."""


class Fault(NamedTuple):
    """How a call fails."""

    name: str
    make: Callable[[], BaseException] | None  # None: it returns a value of a wrong type


FAULTS = (
    Fault("EIO", lambda: OSError(errno.EIO, os.strerror(errno.EIO))),
    Fault("EACCES", lambda: PermissionError(errno.EACCES, os.strerror(errno.EACCES))),
    Fault("ENOSPC", lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
    Fault("MemoryError", MemoryError),
    Fault("KeyboardInterrupt", KeyboardInterrupt),
    Fault("Signal", Signal),
    Fault("wrong type", None),
)


class Case(NamedTuple):
    """One occurrence of one site, and how it fails."""

    site: str
    occurrence: int
    fault: Fault


class Probe:
    """Counts the calls of an operation, and lets one of them fail."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self.is_active = False
        self.counts: Counter[str] = Counter()
        self.case: Case | None = None
        self.injected: BaseException | None = None
        self.fired = 0
        self.honest: set[str] = set()  # sites at which only the interpreter is called, which lies about no type

    def start(self, case: Case | None) -> None:
        """Begin an operation."""
        self.counts.clear()
        self.case, self.injected, self.fired, self.is_active = case, None, 0, True

    def is_due(self, site: str) -> bool:
        """Count an occurrence; return True if it is the one that fails."""
        if not self.is_active:
            return False
        self.counts[site] += 1
        case = self.case
        if case is None or case.site != site or case.occurrence != self.counts[site]:
            return False
        self.fired += 1
        return True

    def fail(self, function: Callable[..., object] = object, *args: object, **kwargs: object) -> Any:
        """Fail in the way of the case: raise, or do what is asked for and return a value of a wrong type."""
        assert self.case is not None
        if self.case.fault.make is None:
            function(*args, **kwargs)
            return object()
        self.injected = self.case.fault.make()
        raise self.injected

    def call(self, site: str, function: Any) -> Any:
        """Return what a call site calls: the function, or a failure."""
        if not self.is_active or str(getattr(function, "__module__", "")).startswith(PACKAGE):
            return function
        owner = getattr(function, "__self__", None)
        interpreter = isinstance(function, type) or owner is builtins or function is importlib.import_module
        # What the keyring behind us answers is handed back, whatever it is.
        if interpreter or type(owner) in _BUILT_IN or site.endswith("getattr(behind, self.function)"):
            self.honest.add(site)
        return functools.partial(self.fail, function) if self.is_due(site) else function

    def loop(self, site: str, items: Any) -> Any:
        """Return what a loop goes over: the items, or a failure at the first."""
        if isinstance(items, (tuple, list, dict, str, set, frozenset)):
            return items
        return self._failing() if self.is_due(site) else items

    def _failing(self) -> Iterator[Any]:
        yield self.fail()


PROBE = Probe()


class _Transformer(ast.NodeTransformer):
    def __init__(self, module: str) -> None:
        self._module = module

    def visit_Call(self, node: ast.Call) -> ast.AST:
        site = f"{self._module}:{node.lineno}:{node.col_offset} {ast.unparse(node.func)[:60]}"
        self.generic_visit(node)
        node.func = self._probe("__probe_call__", site, node.func)
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = self._probe("__probe_loop__", f"{self._module}:{node.lineno} for", node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        site = f"{self._module}:{node.iter.lineno}:{node.iter.col_offset} for"
        self.generic_visit(node)
        node.iter = self._probe("__probe_loop__", site, node.iter)
        return node

    @staticmethod
    def _probe(name: str, site: str, node: ast.expr) -> ast.expr:
        probe = ast.Call(ast.Name(name, ast.Load()), [ast.Constant(site), node], [])
        return ast.fix_missing_locations(ast.copy_location(probe, node))


class _Loader(importlib.machinery.SourceFileLoader):
    codes: dict[str, CodeType] = {}  # noqa: RUF012 - of all loaders

    def get_code(self, fullname: str) -> CodeType:
        if fullname not in self.codes:
            tree = ast.parse(Path(self.path).read_text(encoding="utf-8"), self.path)
            name = fullname.partition(".")[2]
            self.codes[fullname] = compile(_Transformer(name).visit(tree), self.path, "exec", dont_inherit=True)
        return self.codes[fullname]


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] != PACKAGE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin:
            spec.loader = _Loader(name, spec.origin)
        return spec


def install() -> None:
    """Probe the package, which must not be loaded yet, its imports, and the system calls made for it."""
    loaded = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    assert not loaded, loaded
    vars(builtins).update(__probe_call__=PROBE.call, __probe_loop__=PROBE.loop)
    sys.meta_path.insert(0, _Finder())
    original = builtins.__import__

    def probed(name: str, globals: Any = None, *args: Any, **kwargs: Any) -> Any:  # noqa: A002 - the name it is called by
        if PROBE.is_active and globals and str(globals.get("__name__")).startswith(PACKAGE):
            module = str(globals["__name__"]).partition(".")[2]
            line = sys._getframe(1).f_lineno
            if not name.startswith(PACKAGE) and PROBE.is_due(f"{module}:{line} import {name}"):
                return PROBE.fail()
        return original(name, globals, *args, **kwargs)

    builtins.__import__ = probed
    for name in _SYSTEM_CALLS:
        if hasattr(os, name):
            setattr(os, name, _probe_system_call(name, getattr(os, name)))


def _probe_system_call(name: str, original: Any) -> Any:
    def probed(*args: Any, **kwargs: Any) -> Any:
        if PROBE.is_active:
            frame = sys._getframe(1)
            user = _user(frame)
            caller = frame.f_globals.get("__name__")
            if user is not None and PROBE.is_due(f"{user} -> {caller}:{frame.f_lineno} os.{name}"):
                return PROBE.fail(original, *args, **kwargs)
        return original(*args, **kwargs)

    for supported in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
        if original in supported:
            supported.add(probed)
    return probed


def _user(frame: FrameType) -> str | None:
    """Return the line of the package that a system call is made for by others; None if there is none."""
    if str(frame.f_globals.get("__name__")).startswith(PACKAGE):
        return None  # a site of its own
    caller: FrameType | None = frame
    while caller is not None:
        name = str(caller.f_globals.get("__name__"))
        if name in _OTHERS or name.startswith("importlib"):
            return None
        if name.startswith(PACKAGE):
            return f"{name.partition('.')[2]}:{caller.f_lineno}"
        caller = caller.f_back
    return None


class Attack:
    """Runs one operation again and again in a home directory of its own, with and without a fault."""

    def __init__(self, home: Path, store: str, operation: str) -> None:
        """Prepare a project, its policy, a store and a master."""
        import file_keyring
        import keyring
        from pymacaroons import MACAROON_V2, Macaroon

        self.keyring, self.home, self.store, self.operation = keyring, home, store, operation
        self.work = home / "work"
        self.old, self.new = (
            f"pypi-{Macaroon('pypi.org', identifier, b'a key', version=MACAROON_V2).serialize()}"
            for identifier in ("0fd630f1-f29d-4da9-953f-48f1a09f76b5", "7e1c3b1a-0000-4da9-953f-48f1a09f76b5")
        )
        self.secrets = [self.old, self.new]
        self.work.mkdir(parents=True)
        os.chdir(self.work)
        (self.work / ".git").mkdir()
        (self.work / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        (self.work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
        (self.work / "pypitoken.toml").write_text('projects = ["demo", "other"]\nvalid-for = "5m"\n')
        (home / "keyrings").mkdir()
        if store == "raw":  # and an uploader that names files, in a directory with a policy of its own
            import twine  # noqa: F401 - a program of its name counts only if it is loaded

            built = home / "built"
            built.mkdir()
            (built / "demo-1.0.tar.gz").write_bytes(b"")
            (built / "pypitoken.toml").write_text('projects = ["demo", "third"]\nvalid-for = "5m"\n')
            (self.work / "pypitoken.toml").write_text('projects = ["demo", "other"]\n')
            (self.work / "dist").symlink_to(built)
            sys.argv = ["twine", "upload", "dist/*.tar.gz"]
        config = home / "config" / "keyring-pypitoken"
        config.mkdir(parents=True)
        policy = 'max-valid-for = "10m"\n[store]\nbackend = "file_keyring.FileKeyring"\n'
        if store == "age":
            import pyrage

            identity = pyrage.x25519.Identity.generate()
            (home / "identity").write_text(f"{identity}\n")
            self.secrets.append(str(identity).removeprefix("AGE-SECRET-KEY-1"))
            document = json.dumps({"version": 1, "masters": {PRIVATE: {"default": self.old}}}).encode()
            self.age = pyrage.encrypt(document, [identity.to_public()])
            policy = f'max-valid-for = "10m"\n[store]\nbackend = "age"\nidentity = "{home / "identity"}"\n'
        (config / "policy.toml").write_text(policy)
        os.chmod(config / "policy.toml", 0o600)
        self.stored = file_keyring.FileKeyring()
        import keyring_pypitoken.memory

        self.forget = keyring_pypitoken.memory.forget
        self.traces = [
            secret[at : at + WINDOW] for secret in self.secrets for at in range(len(secret) // 2, len(secret) - WINDOW)
        ]

    def prepare(self) -> None:
        """Set the stores and the memory back to how an operation finds them."""
        key = {"plain": (PRIVATE, "default"), "raw": (PYPI, TOKEN)}.get(self.store)
        content = {json.dumps(key): self.old} if key else {}
        (self.home / "keyrings" / "first.json").write_text(json.dumps(content))
        for name in ("data", "state", "cache"):
            shutil.rmtree(self.home / name, ignore_errors=True)
        if self.store == "age":
            directory = self.home / "data" / "keyring-pypitoken"
            directory.mkdir(parents=True, mode=0o700)
            (directory / "masters.age").write_bytes(self.age)
        self.forget()

    def act(self) -> str | None:
        """Do the operation through keyring; return the token that comes out."""
        if self.operation == "get":
            return self.keyring.get_password(PYPI, TOKEN)
        if self.operation == "credential":
            credential = self.keyring.get_credential(PYPI, None)
            return None if credential is None else credential.password
        if self.operation == "set":
            self.keyring.set_password(PYPI, TOKEN, self.new)
        else:
            self.keyring.delete_password(PYPI, TOKEN)
        return "done"

    def run(self, case: Case | None) -> str:
        """Run a case; return its outcome, which begins with `BAD` if it must not be."""
        self.prepare()
        stderr, error, result = io.StringIO(), None, None
        with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(stderr):
            PROBE.start(case)
            try:
                result = self.act()
            except BaseException as caught:  # noqa: BLE001 - whatever comes out is judged
                error = caught
            finally:
                PROBE.is_active = False
        outcome = self._judge(result, error)
        shown = stderr.getvalue() + ("" if error is None else everything_about(error))
        if result in self.secrets or any(trace in shown for trace in self.traces):
            at = next((line for line in shown.splitlines() if any(trace in line for trace in self.traces)), "")
            return f"BAD: secret text shown: {at[:80]}"
        return outcome if outcome.startswith("BAD") else self._judge_after(outcome)

    def _judge(self, result: str | None, error: BaseException | None) -> str:
        if error is None:
            if self.operation in ("set", "delete"):
                return "done"
            return _judge_token(result)
        if error is PROBE.injected and not isinstance(error, Exception):
            return "signal"
        if isinstance(error, SystemExit) and error.code == 1 and self.store == "raw":
            return "refused"  # an uploader is ended
        if type(error).__module__.startswith(PACKAGE) and type(error).__name__.startswith("Refused"):
            if error.__cause__ is not None or error.__context__ is not None:
                return "BAD: a refusal with a cause or a context"
            return "refused"
        if error is PROBE.injected:
            return "BAD: the error itself got out"
        return f"BAD: {type(error).__name__} got out"

    def _judge_after(self, outcome: str) -> str:
        """Look what the stores hold, and ask once more without a fault: nothing is lost, raw or None."""
        raw = [key for key in self.stored.passwords() if key[0] != PRIVATE]
        if raw and self.store != "raw":
            return "BAD: a raw master is stored"
        self.forget()
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr):
            try:
                result = self.keyring.get_password(PYPI, TOKEN)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a refusal is one
                if self.operation != "delete":
                    return f"BAD: refused afterwards: {error}"
                return outcome
        if result is None and self.operation == "delete" and not self._holds_master():
            return outcome
        verdict = _judge_token(result)
        return outcome if verdict == "derived" else f"{verdict} afterwards ({outcome})"

    def _holds_master(self) -> bool:
        return bool(self.stored.passwords()) or (self.home / "data" / "keyring-pypitoken" / "masters.age").exists()


def _judge_token(text: object) -> str:
    if text is None:
        return "BAD: None"
    if not isinstance(text, str):
        return "BAD: not a text"
    from pymacaroons import Macaroon

    caveats = [json.loads(caveat.caveat_id) for caveat in Macaroon.deserialize(text.partition("-")[2]).caveats]
    if not caveats:
        return "BAD: raw"
    now = time.time()
    date, *names = caveats
    if names != [[1, ["demo"]]]:
        return f"BAD: wider: {names}"
    if date[0] != 0 or not now - 70 < date[2] <= now - 50 or not 290 < date[1] - now <= 300:
        return f"BAD: wider: {date[1] - now:.0f} s, {now - date[2]:.0f} s"
    return "derived"


def main(store: str, operation: str, seed: int, count: int) -> dict[str, Any]:
    """Attack one operation with one store; return a report."""
    attack = Attack(Path(os.environ["HOME"]), store, operation)
    attack.run(None)  # loads what is loaded late
    control = attack.run(None)
    calls = dict(PROBE.counts)
    cases = [
        Case(site, occurrence, fault)
        for site, last in calls.items()
        for occurrence in sorted({*(n for n in OCCURRENCES if n < last), last})
        for fault in FAULTS
        if fault.make is not None or site not in PROBE.honest
    ]
    random.Random(seed).shuffle(cases)  # noqa: S311 - a sample of tests, printed with its seed
    outcomes: Counter[str] = Counter()
    bad: dict[str, list[str]] = {}
    silent: list[str] = []
    chosen = cases[: count or None]
    for case in chosen:
        outcome = attack.run(case)
        where = f"{case.site} #{case.occurrence} {case.fault.name}"
        if not PROBE.fired:
            silent.append(where)
        outcomes[outcome.partition(":")[0]] += 1
        if outcome.startswith("BAD"):
            bad.setdefault(outcome, []).append(where)
    ended = attack.run(None)
    return {
        "store": store,
        "operation": operation,
        "control": [control, ended],
        "sites": len(calls),
        "cases": len(cases),
        "ran": len(chosen),
        "silent": silent,
        "outcomes": dict(outcomes),
        "bad": bad,
    }


if __name__ == "__main__":
    install()
    sys.argv[0], arguments = "uploader", sys.argv[1:]
    print(json.dumps(main(arguments[0], arguments[1], int(arguments[2]), int(arguments[3]))))  # noqa: T201 - its result
