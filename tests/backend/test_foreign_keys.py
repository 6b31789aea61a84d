"""Foreign keys are answered as if this plugin were not installed: real keyring, with and without its entry point.

Both run against the same directory of links to what is installed; in one of them this distribution is missing.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from sandbox import STORES, WritePolicy, new_master

from keyring_pypitoken import paths

pytest_plugins = ["site_directories"]

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"

# Every call, on each key: before, while and after something is stored there.
ASK = """
import json, os, sys, warnings
import keyring
warnings.simplefilter("ignore")
def tried(call, *arguments):
    try:
        found = call(*arguments)
    except Exception as error:
        return [type(error).__module__, type(error).__qualname__, str(error)]
    return [found.username, found.password] if hasattr(found, "password") else found
def asked(service, username):
    return [
        tried(keyring.get_password, service, username),
        tried(keyring.get_credential, service, username),
        tried(keyring.get_credential, service, None),
    ]
told = []
for service, username in json.loads(sys.argv[1]):
    told.append(asked(service, username))
    told.append(tried(keyring.delete_password, service, username))
    told.append(tried(keyring.set_password, service, username, "secret"))
    told.append(asked(service, username))
    told.append(tried(keyring.delete_password, service, username))
    told.append(asked(service, username))
names = [f"{type(found).__module__}" for found in keyring.backend.get_all_keyring()]
print(json.dumps([told, "keyring_pypitoken.backend" in names, type(keyring.get_keyring()).__module__]))
"""
FOREIGN = [
    ("mail", "joe"),
    (PYPI, "joe"),
    ("https://upload.pypi.org.evil.com/legacy/", TOKEN),
    ("https://index.example/simple/", TOKEN),
    ("https://index.example/simple/", ""),
    ("poetry-repository-other", "joe"),
    ("python-poetry-check", "python-poetry"),
]


def ask(site: Path, keys: list[tuple[str, str]], directory: Path, **environ: str) -> tuple[object, bool, str]:
    """Ask keyring in a fresh process; return its answers, whether we are among its backends, and which one it uses."""
    directory.mkdir()
    done = subprocess.run(
        [sys.executable, "-S", "-c", ASK, json.dumps(keys)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join((str(site), str(STORES))), "TEST_KEYRING_DIRECTORY": str(directory)}
        | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
    told, ours, module = json.loads(done.stdout)
    return told, ours, module


@pytest.mark.parametrize(
    "policy", ["", '[repository.mine]\nurl = "https://mine.example/"\n'], ids=["", "with a policy"]
)
@pytest.mark.parametrize(
    ("keyrings", "module"),
    [
        ("", "keyring.backends.fail"),
        ("first", "file_keyring"),
        ("first,second", "keyring.backends.chainer"),
        ("url,first", "keyring.backends.chainer"),
    ],
    ids=["alone", "with one backend", "with two", "with a plugin"],
)
def test_all_four_calls_answer_as_without_us(
    keyrings: str, module: str, policy: str, sites: dict[bool, Path], tmp_path: Path, user_policy: WritePolicy
) -> None:
    user_policy(policy)
    with_us, ours, _ = ask(sites[True], FOREIGN, tmp_path / "with", TEST_KEYRINGS=keyrings)
    without, others, used = ask(sites[False], FOREIGN, tmp_path / "without", TEST_KEYRINGS=keyrings)
    assert (ours, others, used) == (True, False, module)
    assert with_us == without


def test_pinned_as_the_only_keyring_foreign_keys_are_answered_as_without_us(
    sites: dict[bool, Path], tmp_path: Path
) -> None:
    pinned = {"PYTHON_KEYRING_BACKEND": "keyring_pypitoken.backend.PyPITokenKeyring", "TEST_KEYRINGS": "first"}
    keys = FOREIGN[:5]
    with_us, _, used = ask(sites[True], keys, tmp_path / "with", **pinned)
    without, _, _ = ask(sites[False], keys, tmp_path / "without", TEST_KEYRINGS="first")
    assert (with_us, used) == (without, "keyring_pypitoken.backend")


def test_poetry_finds_its_master_where_we_are_alone(
    sites: dict[bool, Path], tmp_path: Path, work: Path, home: Path, user_policy: WritePolicy
) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    identity = pyrage.x25519.Identity.generate()
    (home / "identity").write_text(str(identity))
    user_policy('[store]\nidentity = "~/identity"\n')
    age = Path(paths.age_file())
    age.parent.mkdir(parents=True)
    content = {"version": 1, "masters": {f"keyring-pypitoken:{PYPI}": {"default": new_master()}}}
    age.write_bytes(pyrage.encrypt(json.dumps(content).encode(), [identity.to_public()]))
    keys = [
        ("python-poetry-check", "python-poetry"),
        ("poetry-repository-other", "joe"),
        ("poetry-repository-pypi", TOKEN),
    ]
    told, _, used = ask(sites[True], keys, tmp_path / "keyrings", TEST_KEYRINGS="")
    assert isinstance(told, list)
    assert used == "keyring_pypitoken.backend"
    steps = len(told) // len(keys)
    for foreign in (told[:steps], told[steps : 2 * steps]):
        assert foreign[0] == foreign[3] == foreign[5] == [None, None, None]
        assert foreign[1][:2] == foreign[2][:2] == ["keyring.errors", "NoKeyringError"]
    assert told[2 * steps][0].startswith("pypi-")


def test_the_distribution_is_found_by_its_entry_point() -> None:
    points = importlib.metadata.distribution("keyring-pypitoken").entry_points
    assert [point.value for point in points.select(group="keyring.backends")] == ["keyring_pypitoken.backend"]
