"""Situations in which somebody uploads: how each is set up, what is typed, and what must come of it.

`status` must foretell the outcome, and a real upload on loopback must have it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

import keyring
from distributions import make_sdist, make_wheel
from file_keyring import FileKeyring
from sandbox import EXE, STORES, WritePolicy, new_master

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pytest

PYPI, TESTPYPI, TOKEN = "https://upload.pypi.org/legacy/", "https://test.pypi.org/legacy/", "__token__"
SECRET = "hunter2-of-mine-and-nobody-elses"


class Place(NamedTuple):
    """Where a situation is set up.

    Attributes:
        home: the home directory.
        work: the current directory, a project called demo with its two files in dist/.
        user_policy: writes the user's policy.
        monkeypatch: sets variables.
        instead: what stands for PyPI's addresses and hosts, if they are to be on loopback.
        master: makes a master for a domain.
    """

    home: Path
    work: Path
    user_policy: WritePolicy
    monkeypatch: pytest.MonkeyPatch
    instead: Mapping[str, str] = {}
    master: Callable[[str], str] = new_master

    def here(self, text: str) -> str:
        """Return a text with the addresses of this place."""
        for name, other in self.instead.items():
            text = text.replace(name, other)
        return text

    def set(self, **environ: str) -> None:
        """Set variables."""
        for name, value in environ.items():
            self.monkeypatch.setenv(self.here(name), self.here(value))

    def write(self, path: str, text: str) -> None:
        """Write a file below the home directory."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.here(text))
        file.chmod(0o600)

    def store(self, account: str = "", url: str = PYPI) -> None:
        """Store a master."""
        domain = "test.pypi.org" if url == TESTPYPI else "pypi.org"
        service = self.here(f"{url}?{account}" if account else url)
        keyring.set_password(service, TOKEN, self.master(domain))


class Situation(NamedTuple):
    """A situation.

    Attributes:
        name: what is special about it.
        uploader: the program.
        verdict: what an upload does: `restricted`, `asks`, `refused`, `bypass`, `not set up`, or `other`.
        problem: the beginning of what `status` finds; empty if it finds nothing.
        remedy: what it advises.
        prepare: sets it up; the project is there.
        words: what is typed behind the program's name.
        has_plugin: whether the uploader's environment has this package.
        only_pypi: why it cannot be run on loopback, if so.
    """

    name: str
    uploader: str
    verdict: str
    problem: str = ""
    remedy: str = ""
    prepare: Callable[[Place], object] = Place.store
    words: tuple[str, ...] = ("publish",)
    has_plugin: bool = True
    only_pypi: str = ""


_UPLOAD = ("upload", "dist/*")
_SECTION = f"[pypi]\nrepository = {PYPI}\n"
_UV = {"UV_KEYRING_PROVIDER": "subprocess", "UV_PUBLISH_USERNAME": TOKEN}


def _set(**environ: str) -> Callable[[Place], object]:
    return lambda place: (place.store(), place.set(**environ))


def _write(path: str, text: str, **environ: str) -> Callable[[Place], object]:
    return lambda place: (place.store(), place.write(path, text), place.set(**environ))


def _policy(text: str, account: str = "") -> Callable[[Place], object]:
    return lambda place: (place.store(account), place.write("work/pypitoken.toml", text))


def _unprotected(service: str) -> Callable[[Place], object]:
    def prepare(place: Place) -> None:
        place.store("work")
        place.store()
        FileKeyring().plant(place.here(service), TOKEN, place.master("pypi.org"))

    return prepare


SITUATIONS = (
    # Truly ready
    Situation("defaults", "twine", "restricted", words=_UPLOAD),
    Situation("own policy", "twine", "restricted", prepare=_policy('projects = ["demo"]\n'), words=_UPLOAD),
    Situation(
        "TestPyPI with a master there", "twine", "restricted", words=_UPLOAD,
        prepare=lambda place: (place.store(url=TESTPYPI), place.set(TWINE_REPOSITORY="testpypi")),
    ),
    Situation(
        "labelled account of the policy", "twine", "restricted", words=_UPLOAD,
        prepare=_policy('account = "work"\n', "work"),
    ),
    Situation("provider and user name", "uv", "restricted", prepare=_set(**_UV)),
    Situation("user name in a variable", "flit", "restricted", prepare=_set(FLIT_USERNAME=TOKEN)),
    Situation("user name in a variable", "hatch", "restricted", prepare=_set(HATCH_INDEX_USER=TOKEN)),
    Situation("defaults", "poetry", "restricted"),
    Situation("defaults", "pdm", "restricted"),
    # No master for the account
    Situation(
        "nothing stored", "twine", "asks", "no master is stored for pypi", "`keyring-pypitoken login`",
        lambda _place: None, _UPLOAD,
    ),
    Situation(
        "only a labelled master", "twine", "refused", "no master is stored for pypi (account 'default')",
        "`keyring-pypitoken login`", lambda place: place.store("work"), _UPLOAD,
    ),
    Situation(
        "misspelt account", "twine", "refused", "no master is stored for pypi (account 'wrok': pypitoken.toml:1)",
        "`keyring-pypitoken login --account wrok`", _policy('account = "wrok"\n', "work"), _UPLOAD,
    ),
    Situation(
        "TestPyPI without a master there", "twine", "asks", "no master is stored for testpypi",
        "`keyring-pypitoken login -r testpypi`", _set(TWINE_REPOSITORY="testpypi"), _UPLOAD,
    ),
    Situation(
        "TestPyPI without a master there", "hatch", "asks", "no master is stored for testpypi",
        "`keyring-pypitoken login -r testpypi`", _set(HATCH_INDEX_REPO=TESTPYPI, HATCH_INDEX_USER=TOKEN),
    ),
    # Policies
    Situation(
        "another project's policy", "twine", "refused", "project 'demo' is not allowed here",
        "upload it from its own repository", _policy('projects = ["other"]\n'), _UPLOAD,
    ),
    Situation(
        "another project's policy", "poetry", "refused", "project 'demo' is not allowed here",
        "upload it from its own repository", _policy('projects = ["other"]\n'),
    ),
    Situation(
        "broken policy", "pdm", "refused", "the policy cannot be followed: pypitoken.toml:1: unknown key 'x'",
        "`keyring-pypitoken check`", _policy("x = 1\n"),
    ),
    Situation(
        "misnamed policy", "twine", "restricted", "pypi-token.toml looks like a policy", "rename it to pypitoken.toml",
        _write("work/pypi-token.toml", 'projects = ["other"]\n'), _UPLOAD,
    ),
    # Another user
    Situation(
        "another user in a variable", "twine", "bypass", "TWINE_USERNAME names the user 'joe'", "to `__token__`",
        _set(TWINE_USERNAME="joe"), _UPLOAD,
    ),
    Situation(
        "another user in .pypirc", "twine", "bypass", "~/.pypirc names the user 'joe'", "to `__token__`",
        _write(".pypirc", f"[pypi]\nrepository = {PYPI[:-1]}\nusername = joe\n"), _UPLOAD,
    ),
    Situation(
        "another user in a variable", "hatch", "bypass", "HATCH_INDEX_USER names the user 'joe'", "to `__token__`",
        _set(HATCH_INDEX_USER="joe"),
    ),
    Situation(
        "another user in a variable", "pdm", "bypass", "PDM_PUBLISH_USERNAME names the user 'joe'", "to `__token__`",
        _set(PDM_PUBLISH_USERNAME="joe"),
    ),
    Situation("no user name", "flit", "not set up"),
    # Other credentials
    Situation(
        "password in a variable", "twine", "bypass", "the variable TWINE_PASSWORD is set", "`unset TWINE_PASSWORD`",
        _set(TWINE_PASSWORD=SECRET), _UPLOAD,
    ),
    Situation(
        "password in .pypirc", "twine", "bypass", "~/.pypirc holds a password for [pypi]", "`keyring-pypitoken adopt`",
        _write(".pypirc", f"{_SECTION}username = __token__\npassword = {SECRET}\n"), _UPLOAD,
    ),
    Situation(
        "old URL in .pypirc", "twine", "refused", "~/.pypirc names 'https://pypi.python.org/pypi'", f"use {PYPI}",
        _write(".pypirc", "[pypi]\nrepository = https://pypi.python.org/pypi\n"), _UPLOAD,
        only_pypi="it is about an address of PyPI's, and twine refuses that before it sends anything",
    ),
    Situation(
        "password in .pypirc", "flit", "bypass", "~/.pypirc holds a password for [pypi]", "`keyring-pypitoken adopt`",
        _write(".pypirc", f"{_SECTION}username = __token__\npassword = {SECRET}\n"),
    ),
    Situation(
        "token in a variable", "poetry", "bypass", "the variable POETRY_PYPI_TOKEN_PYPI is set",
        "`unset POETRY_PYPI_TOKEN_PYPI`", _set(POETRY_PYPI_TOKEN_PYPI=SECRET),
    ),
    Situation(
        "password in a variable", "pdm", "bypass", "the variable PDM_PUBLISH_PASSWORD is set",
        "`unset PDM_PUBLISH_PASSWORD`", _set(PDM_PUBLISH_USERNAME=TOKEN, PDM_PUBLISH_PASSWORD=SECRET),
    ),
    Situation(
        "token in a variable", "maturin", "bypass", "the variable MATURIN_PYPI_TOKEN is set",
        "`unset MATURIN_PYPI_TOKEN`", _set(MATURIN_PYPI_TOKEN=SECRET),
    ),
    Situation("never asks keyring", "maturin", "other"),
    # uv
    Situation("no keyring provider", "uv", "not set up", prepare=_set(UV_PUBLISH_USERNAME=TOKEN)),
    Situation("no user name", "uv", "not set up", prepare=_set(UV_KEYRING_PROVIDER="subprocess")),
    # keyring itself
    Situation(
        "pinned backend", "twine", "bypass", "the variable PYTHON_KEYRING_BACKEND turns keyring off",
        "`unset PYTHON_KEYRING_BACKEND`", _set(PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring"), _UPLOAD,
    ),
    Situation(
        "missing backend", "twine", "bypass", "the variable PYTHON_KEYRING_BACKEND names a backend that cannot be used",
        "`unset PYTHON_KEYRING_BACKEND`", _set(PYTHON_KEYRING_BACKEND="no.such.Keyring"), _UPLOAD,
    ),
    Situation(
        "broken keyringrc.cfg", "twine", "bypass", "", "delete `default-keyring`",
        _write("config/python_keyring/keyringrc.cfg", "broken"), _UPLOAD,
    ),
    Situation(
        "twine of another environment", "twine", "bypass", "", "keyring-pypitoken`",
        words=_UPLOAD, has_plugin=False,
    ),
    Situation(
        "keyring of another environment", "uv", "bypass", "", "keyring-pypitoken`", _set(**_UV),
        has_plugin=False,
    ),
    # Unprotected tokens: an upload is right today, and would not be without this package
    *(
        Situation(
            f"unprotected token under {service}", "twine", "restricted",
            f"an unprotected token is stored in file_keyring.FileKeyring under {service!r}",
            "`keyring-pypitoken adopt`",
            _unprotected(service), _UPLOAD,
        )
        for service in (PYPI, f"{PYPI}?work", "pdm-repository-pypi")
    ),
)  # fmt: skip


def install(place: Place, situation: Situation) -> None:
    """Put the uploader, and a `keyring`, on PATH: launchers of an environment that has this package, or lacks it."""
    programs, modules = place.home / "environment" / "bin", place.home / "environment" / "modules"
    for directory in (programs, modules):
        directory.mkdir(parents=True)
    (modules / f"{situation.uploader}.py").touch()
    python = sys.executable if situation.has_plugin else f"{sys.executable} -S"  # which has no installed packages
    for name in (situation.uploader, "keyring"):
        (programs / f"{name}{EXE}").write_text(f"#!{python}\nraise SystemExit(99)\n")  # nothing may start it
        (programs / f"{name}{EXE}").chmod(0o755)
    place.monkeypatch.setenv("PATH", str(programs))
    place.monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(modules), str(STORES)]))


def make_project(work: Path) -> None:
    """Make a project called demo, which flit can build, with two files to upload."""
    (work / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["flit_core>=3.9"]\nbuild-backend = "flit_core.buildapi"\n'
        '[project]\nname = "demo"\nversion = "1.0"\ndescription = "A demo."\n'
        '[tool.pdm.options]\npublish = ["--no-build"]\n'
    )
    (work / "demo.py").write_text('"""A demo."""\n')
    make_sdist(work / "dist", "demo", "1.0")
    make_wheel(work / "dist", "demo", "1.0")
