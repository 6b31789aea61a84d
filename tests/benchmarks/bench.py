"""Measure what the design gives budgets for, and print ratios: `python tests/benchmarks/bench.py`.

Both sides of a ratio are measured in turn, in one run, and their medians compared, since machines are noisy; no test
depends on them. Run it where the package is installed with its extra `test`, from a wheel: an editable install may have
no compiled files.
"""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pypitoken
import pyrage

from keyring_pypitoken import Token, rest
from keyring_pypitoken.backend import PyPITokenKeyring
from keyring_pypitoken.policy.discovery import find_search_path, project_directories
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.uploaders.evidence import find_evidence
from keyring_pypitoken.uploaders.uploader import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY = "the index's secret"
URL = "https://upload.pypi.org/legacy/"


def main() -> None:
    """Print a table: what, measured, budget."""
    print(f"Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as directory:
        processes(Path(directory).resolve())
    with tempfile.TemporaryDirectory() as directory:
        secret_service(Path(directory).resolve())
    library()
    with tempfile.TemporaryDirectory() as directory:
        growth(Path(directory).resolve())


def row(what: str, measured: str, budget: str) -> None:
    """Print a line of the table."""
    print(f"{what:58} {measured:>12}   budget {budget}", flush=True)


def at_home(home: Path) -> dict[str, str]:
    """Return an environment in which nothing of the user's is found."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KEYRING_", "XDG_", "DBUS_"))}
    environ |= {name: str(home) for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")}
    return environ | {"KEYRING_PYPITOKEN_PROJECT": "demo"}


def processes(home: Path) -> None:
    """Measure whole processes: imports, and `keyring get`."""
    environ = at_home(home)

    def inside(code: str) -> float:
        timed = f"import time\nstart = time.perf_counter()\n{code}\nprint(time.perf_counter() - start)"
        command = [sys.executable, "-c", timed]  # not in a checkout, which Python would import from
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, cwd=home)
        return float(done.stdout)

    late = "import keyring.backend, time\nstart = time.perf_counter()\n"
    seconds = statistics.median(inside(f"{late}import keyring_pypitoken.backend") for _ in range(25))
    row("import of the backend after keyring.backend", f"{seconds * 1000:.2f} ms", "1.0 ms")

    ours, theirs = in_turn(
        lambda: inside("from keyring_pypitoken import Token\nToken"), lambda: inside("import pypitoken"), rounds=15
    )
    row("import keyring_pypitoken; Token : import pypitoken", f"{ours / theirs:.3f}", "0.18")

    code = "from keyring_pypitoken.paths import user_policy; print(user_policy())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True, cwd=home
    )
    policy = Path(done.stdout.strip())
    policy.parent.mkdir(parents=True, mode=0o700)
    policy.write_text('[store]\nbackend = "file_keyring.FileKeyring"\n')
    policy.chmod(0o600)
    # keyrings.alt's file folds names, so that no master is stored in it.
    stores = Path(__file__).parent.parent / "support" / "stores"
    environ |= {"PYTHONPATH": str(stores), "TEST_KEYRING_DIRECTORY": str(home)}
    row("keyring get with derivation : the same store read plainly", f"{derived_to_plain(environ):.3f}", "1.06")
    age_file(environ, home, policy)


def secret_service(home: Path) -> None:
    """Measure `keyring get` above a real Secret Service, where there is one."""
    sys.path.append(str(Path(__file__).parent.parent / "support"))
    from secret_service import SecretService, missing

    measured = "not here"
    if not missing():
        with SecretService(at_home(home)) as service:
            service.start()
            measured = f"{derived_to_plain(service.environ):.3f}"
    row("the same, in a Secret Service", measured, "1.06")


def derived_to_plain(environ: Mapping[str, str]) -> float:
    """Return how much longer `keyring get` takes with a derivation than without."""
    master = Token.create("pypi.org", "0fd630f1-f29d-4da9-953f-48f1a09f76b5", KEY).dump()
    run(environ, "set", URL, "__token__", stdin=master)
    run(environ, "set", "plain", "user", stdin="a password")
    ours, theirs = in_turn(
        lambda: run(environ, "get", URL, "__token__"), lambda: run(environ, "get", "plain", "user"), rounds=25
    )
    return ours / theirs


def age_file(environ: dict[str, str], home: Path, policy: Path) -> None:
    """Measure `keyring get` from the age file: its own share, and scrypt's, whose purpose is to take a second."""
    master = Token.create("pypi.org", "0fd630f1-f29d-4da9-953f-48f1a09f76b5", KEY).dump()
    (home / "identity").write_text(str(pyrage.x25519.Identity.generate()))
    settings = {"identity": 'identity = "~/identity"', "passphrase": 'backend = "age"'}
    for kind, setting in settings.items():
        run(environ, "del", URL, "__token__")
        policy.write_text(f"[store]\n{setting}\n")
        asking = environ | {"KEYRING_PYPITOKEN_PASSPHRASE": "correct horse"}
        run(asking, "set", URL, "__token__", stdin=master)
        ours, theirs = in_turn(
            functools.partial(run, asking, "get", URL, "__token__"),
            functools.partial(run, asking, "get", "plain", "user"),
            rounds=15 if kind == "identity" else 5,
        )
        row(f"keyring get from the age file by {kind} : a plain file", f"{ours / theirs:.3f}", "none")


def run(environ: Mapping[str, str], *arguments: str, stdin: str = "") -> float:
    """Run the keyring command; return its time in seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "keyring", *arguments]
    subprocess.run(command, env=environ, input=stdin, capture_output=True, text=True, check=True, cwd=environ["HOME"])
    return time.perf_counter() - start


def library() -> None:
    """Measure the library against pypitoken, and a lookup that is not ours beside the time of what is behind us."""
    backend, behind = PyPITokenKeyring(), rest.find()  # type: ignore[no-untyped-call]  # the constructor is keyring's
    for service, username, budget in (
        ("system", "joe", "1 us"),
        ("https://pypi.example/simple/", "__token__", "10 us"),
    ):
        steps = [functools.partial(one.get_password, service, username) for one in (backend, behind)]
        with_us, without = (min(timed(step, 200) for _ in range(15)) for step in steps)
        row(f"a lookup that is not ours ({username}), added", f"{(with_us - without) * 1e6:.2f} us", budget)
    raw = (
        Token.create("pypi.org", "0fd630f1", KEY)
        .restrict(not_before=1, not_after=2_000_000_000, project_names=["demo"])
        .dump()
    )
    now = 1_790_000_000
    ratio("Token.load().restrictions", "0.005", lambda: Token.load(raw).restrictions, theirs(raw).load_restrictions)
    ours, old = Token.load(raw), pypitoken.Token.load(raw)
    ratio(
        "Token.check",
        "0.0067",
        lambda: ours.check(KEY, project_name="demo", now=now),
        lambda: old.check(KEY, project_name="demo", now=now),
    )
    ratio(
        "load + restrict + dump",
        "0.45",
        lambda: Token.load(raw).restrict(not_before=1, not_after=2, project_names=["demo"]).dump(),
        theirs(raw).load_restrict_dump,
    )


class theirs:  # noqa: N801 - reads as what it stands for
    """The same steps with pypitoken."""

    def __init__(self, raw: str) -> None:
        self.raw = raw

    def load_restrictions(self) -> object:
        """Read the restrictions."""
        return pypitoken.Token.load(self.raw).restrictions

    def load_restrict_dump(self) -> str:
        """Derive."""
        token = pypitoken.Token.load(self.raw)
        return str(token.restrict(not_before=1, not_after=2, project_names=["demo"]).dump())


def growth(directory: Path) -> None:
    """Measure how the time grows with the size: ten times as much should take about ten times as long."""
    tokens = {}
    for size in (1_000, 10_000):
        token = Token.create("pypi.org", "id", KEY)
        for _ in range(size):
            token.restrict(project_names=["demo"])
        tokens[size] = token.dump()
    grows("caveats: load, read, check", lambda size: read_and_check(tokens[size]), 1_000, 10_000)
    policies = {n: "projects = [\n" + "".join(f'"p{i}",\n' for i in range(n)) + "]\n" for n in (1_000, 10_000)}
    grows("projects in a policy", lambda n: parse_policy(policies[n], layer="project", name="p"), 1_000, 10_000)
    for at in range(10_000):
        (directory / f"p{at}-1.0-py3-none-any.whl").touch()
    files = {n: tuple(f"p{at}-1.0-py3-none-any.whl" for at in range(n)) for n in (1_000, 10_000)}
    grows(
        "files in the arguments",
        lambda n: find_evidence(Process("twine", ("upload", *files[n]), directory, {})),
        1_000,
        10_000,
    )
    # Paths end at 4096 bytes on Linux.
    deep = {0: directory}
    for depth in range(1, 1_901):
        deep[depth] = deep[depth - 1] / "d"
        deep[depth].mkdir()
    assert sum(1 for _ in project_directories(deep[1_900])) > 1_900
    # Quadratic: the system walks each whole path, of which the longest has 1,900 parts.
    seconds = timed(lambda: find_search_path(deep[1_900], directory, {}))
    row("1,900 directories up", f"{seconds * 1000:.0f} ms", "none")
    for depth in range(1_900, 0, -1):  # more than shutil.rmtree can recurse into
        deep[depth].rmdir()


def read_and_check(raw: str) -> None:
    """Do with a token what the backend and an index do."""
    token = Token.load(raw)
    assert token.restrictions
    token.check(KEY, project_name="demo", now=1)


def grows(what: str, step: Callable[[int], object], small: int, large: int) -> None:
    """Print how much longer ten times the size takes."""
    longer, shorter = in_turn(lambda: timed(lambda: step(large)), lambda: timed(lambda: step(small)), rounds=7)
    row(f"growth, {what}: {large} : {small}", f"{longer / shorter:.1f}", "linear, 10")


def in_turn(one: Callable[[], float], other: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Return the medians of two measurements that are taken in turn."""
    samples = [(one(), other()) for _ in range(rounds)]
    return statistics.median(s[0] for s in samples), statistics.median(s[1] for s in samples)


def timed(step: Callable[[], object], times: int = 1) -> float:
    """Return the seconds that a step takes."""
    start = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - start) / times


def ratio(what: str, budget: str, ours: Callable[[], object], old: Callable[[], object]) -> None:
    """Print how our step compares with pypitoken's."""
    mine, others = in_turn(lambda: timed(ours, 100), lambda: timed(old, 100), rounds=9)
    row(f"{what} : pypitoken's", f"{mine / others:.4f}", budget)


if __name__ == "__main__":
    main()
