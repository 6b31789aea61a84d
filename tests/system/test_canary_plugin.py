"""The plugin that fails tests in which a master is shown fails each that shows one, and no other."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from canary import traces
from loopback_index import LoopbackIndex
from macaroons import mint
from sandbox import STORES, new_master

from keyring_pypitoken import Token

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER = """
import base64, json, logging, subprocess, sys, warnings
import pytest
from keyring_pypitoken import Token
from sandbox import new_master

MASTER = new_master(identifier="of the tests' tests")
RAW = base64.urlsafe_b64decode(MASTER[5:] + "=" * (-len(MASTER[5:]) % 4))
ECHO = [sys.executable, "-c", "print(input())"]

def refuse(master, code="raise ValueError('refused')"):
    package = {"__name__": "keyring_pypitoken.made_up"}
    exec(f"def refuse(secret):\\n    {code}", package)
    package["refuse"](master)
"""
SHOWING = {
    "stdout": "print(MASTER)",
    "stderr": "print(MASTER, file=sys.stderr)",
    "its bytes": "sys.stdout.buffer.write(RAW)",
    "its bytes, as Python shows them": "print(RAW)",
    "its hexadecimal form": "print(RAW.hex())",
    "its hexadecimal form in capitals": "print(RAW.hex().upper())",
    "its signature": "sys.stdout.buffer.write(RAW[-32:])",
    "its signature in hexadecimal": "print(RAW[-32:].hex())",
    "its signature in base64": "print(base64.b64encode(RAW[-32:]).decode())",
    "the end of its text": "print(MASTER[-44:])",
    "a header": "print(base64.b64encode(f'__token__:{MASTER}'.encode()).decode())",
    "JSON": "print(json.dumps({'token': MASTER}))",
    "a new master": "print(new_master(identifier='made here'))",
    "a log": "logging.getLogger('anything').debug('it is %s', MASTER)",
    "a warning": "warnings.warn(MASTER)",
    "a program": "subprocess.run(ECHO, input=MASTER, capture_output=True, text=True)",
    "output that the test reads": "print(MASTER); capsys.readouterr()",
    "output of a descriptor that the test reads": "import os; os.write(1, MASTER.encode()); capfd.readouterr()",
    "a file": "(tmp_path / 'home').mkdir(); (tmp_path / 'home' / 'log').write_text(MASTER)",
    "a local of an expected refusal": "with pytest.raises(ValueError): refuse(MASTER)",
    "a local of the refusal before": (
        "with pytest.raises(ValueError): refuse(MASTER, 'try: 1/0\\n    except: raise ValueError')"
    ),
    "a local within another object": "with pytest.raises(ValueError): refuse([MASTER])",
    "a setup": "pass",
    "a mark without a reason": "print(MASTER)",
    "a mark that is not needed": "print('nothing')",
}
QUIET = {
    "a derived token": "print(Token.load(MASTER).restrict(project_names=['a']).dump())",
    "a store": "d = tmp_path / 'home' / 'keyrings'; d.mkdir(parents=True); (d / 'first.json').write_text(MASTER)",
    "a local of a test": "with pytest.raises(ValueError): raise ValueError('refused')",
    "its beginning": "print(MASTER[:60])",
    "a mark with a reason": "print(MASTER)",
}
MARKS = {
    "a mark without a reason": "@pytest.mark.shows_master",
    "a mark that is not needed": "@pytest.mark.shows_master('it is not')",
    "a mark with a reason": "@pytest.mark.shows_master('it prints one')",
    "a setup": "@pytest.mark.usefixtures('showing')",
}


def fixture_of(code: str) -> str:
    """Return the fixture that a sample reads output with, or any other."""
    return next((name for name in ("capsys", "capfd") if name in code), "request")


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Run all samples with the plugin, and return the line that pytest prints of each."""
    directory = tmp_path_factory.mktemp("samples")
    samples = [
        f"{MARKS.get(what, '')}\ndef test_{number}({fixture_of(code)}, tmp_path):\n    {code}\n"
        for number, (what, code) in enumerate((SHOWING | QUIET).items())
    ]
    fixture = "@pytest.fixture\ndef showing():\n    print(MASTER)\n"
    (directory / "test_samples.py").write_text("\n".join([HEADER, fixture, *samples]))
    support = [str(STORES.parent), str(STORES), str(STORES.parent.parent.parent / "examples")]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "canary", "-p", "no:cacheprovider", "-p", "no:randomly"),
            *("-rA", "--log-level=DEBUG", "--tb=line", "--basetemp", str(directory / "temporary"), "test_samples.py"),
        ],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(support)},
        capture_output=True,
        check=False,
    )
    shutil.rmtree(directory)  # pytest leaves what the workers of a parallel run wrote
    lines = done.stdout.decode(errors="replace").splitlines()
    ended = [line.split(maxsplit=3) for line in lines if line.startswith(("PASSED ", "FAILED ", "ERROR "))]
    return {words[1].partition("::test_")[2]: words[0] for words in ended}


@pytest.mark.parametrize(("number", "what"), list(enumerate(SHOWING | QUIET)), ids=[*SHOWING, *QUIET])
def test_a_shown_master_fails_the_test(number: int, what: str, outcomes: Mapping[str, str]) -> None:
    assert outcomes[str(number)] == ("PASSED" if what in QUIET else "ERROR" if what == "a setup" else "FAILED")


@pytest.mark.parametrize("version", [1, 2])
def test_the_signature_is_found_in_both_formats(version: int) -> None:
    master = mint(version=version)
    derived = Token.load(master).restrict(project_names=["demo"]).dump()
    macaroon = base64.urlsafe_b64decode(master[5:] + "=" * (-len(master[5:]) % 4))
    signature = macaroon[-33:-1] if version == 1 else macaroon[-32:]
    assert signature in traces(master)
    assert all(trace not in derived.encode() for trace in traces(master))
    with LoopbackIndex() as index:
        assert traces(index.create_master("alice")) != traces(new_master())
