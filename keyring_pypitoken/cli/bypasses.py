"""What makes uploaders send something else than a derived token: found for `keyring-pypitoken status`.

Nothing found here is shown but where it lies: no password, no token.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import read_text
from keyring_pypitoken.lookup import TOKEN_USERNAME, find_lookup
from keyring_pypitoken.toml import entry, load_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyring_pypitoken.lookup import Repository

# By the uploader that takes it before it asks keyring.
_VARIABLES = {
    "TWINE_PASSWORD": "twine",
    "UV_PUBLISH_TOKEN": "uv",
    "UV_PUBLISH_PASSWORD": "uv",
    "FLIT_PASSWORD": "flit",
    "HATCH_INDEX_AUTH": "hatch",
    "POETRY_PYPI_TOKEN_PYPI": "poetry",
    "POETRY_PYPI_TOKEN_TESTPYPI": "poetry",
    "POETRY_HTTP_BASIC_PYPI_PASSWORD": "poetry",
    "POETRY_HTTP_BASIC_TESTPYPI_PASSWORD": "poetry",
    "PDM_PUBLISH_PASSWORD": "pdm",
}


class Problem(NamedTuple):
    """What is wrong, and what to do."""

    problem: str
    remedy: str


def find_bypasses(environ: Mapping[str, str], repositories: tuple[Repository, ...]) -> list[Problem]:
    """Find what goes before keyring, in the environment and in the settings of uploaders and of keyring.

    Args:
        environ: the environment.
        repositories: the endpoints that are known.
    """
    return [
        *(
            Problem(f"the variable {name} is set, and {uploader} takes it before it asks keyring", f"`unset {name}`")
            for name, uploader in _VARIABLES.items()
            if environ.get(name)
        ),
        *_in_pypirc(repositories),
        *_in_settings(environ),
        *_other_keyring(environ),
        *_keyring_on_path(),
    ]


def _in_pypirc(repositories: tuple[Repository, ...]) -> Iterator[Problem]:
    path = Path("~/.pypirc").expanduser()
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(read_text(path, "~/.pypirc") or "")
    except (Refusal, configparser.Error) as error:
        yield Problem(f"~/.pypirc cannot be read ({type(error).__name__})", "correct it there")
        return
    urls = {repository.name: repository.url for repository in repositories}
    for section in parser.sections():
        url = parser.get(section, "repository", fallback=urls.get(section))
        if url and parser.get(section, "password", fallback="") and _is_ours(url, repositories):
            yield Problem(
                f"~/.pypirc holds a password for [{section}], which uploaders take before they ask keyring",
                "store that token with `keyring-pypitoken login`, then delete the line `password` there",
            )


def _is_ours(url: str, repositories: tuple[Repository, ...]) -> bool:
    try:
        return find_lookup(url.strip(), TOKEN_USERNAME, repositories) is not None
    except Refusal:
        return True  # ours, over plain http


def _in_settings(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Find passwords in the settings of poetry, pdm and hatch."""
    import platformdirs

    def settings(program: str, *, roaming: bool = False) -> str:
        return platformdirs.user_config_dir(program, appauthor=False, roaming=roaming)

    poetry = os.path.join(environ.get("POETRY_CONFIG_DIR") or settings("pypoetry", roaming=True), "auth.toml")
    pdm = environ.get("PDM_CONFIG_FILE") or os.path.join(settings("pdm"), "config.toml")
    hatch = environ.get("HATCH_CONFIG") or os.path.join(settings("hatch"), "config.toml")
    places = (
        *(
            ("poetry", poetry, ("pypi-token", name), f"`poetry config pypi-token.{name} --unset`")
            for name in ("pypi", "testpypi")
        ),
        ("poetry", poetry, ("http-basic", "pypi", "password"), "`poetry config http-basic.pypi --unset`"),
        *(
            ("pdm", pdm, ("repository", name, "password"), f"`pdm config --delete repository.{name}.password`")
            for name in ("pypi", "testpypi")
        ),
        ("hatch", hatch, ("publish", "index", "auth"), "delete it there"),
        *(
            ("hatch", hatch, ("publish", "index", "repos", name, "auth"), "delete it there")
            for name in ("main", "test")  # what hatch calls PyPI and TestPyPI
        ),
    )
    for uploader, file, keys, remedy in places:
        try:
            content = load_toml(read_text(Path(file), file) or "", file)
        except Refusal:
            continue  # its own program says so
        if entry(content, *keys):
            yield Problem(
                f"{file} holds {'.'.join(keys)}, and {uploader} takes it before it asks keyring",
                f"store that token with `keyring-pypitoken login`, then {remedy}",
            )


def _other_keyring(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Say where keyring does not ask this package, because another backend was chosen."""
    import keyring
    from keyring.backends.chainer import ChainerBackend
    from keyring.util import platform_

    from keyring_pypitoken.backend import PyPITokenKeyring

    chosen = keyring.get_keyring()
    asked = chosen.backends if isinstance(chosen, ChainerBackend) else [chosen]
    if any(isinstance(backend, PyPITokenKeyring) for backend in asked):
        return
    name = f"{type(chosen).__module__}.{type(chosen).__qualname__}"
    settings = os.path.join(platform_.config_root(), "keyringrc.cfg")
    if environ.get("PYTHON_KEYRING_BACKEND"):
        yield Problem(f"the variable PYTHON_KEYRING_BACKEND names {name} alone", "`unset PYTHON_KEYRING_BACKEND`")
    else:
        yield Problem(f"keyring asks {name} alone", f"delete `default-keyring` from {settings}, or that file")


def _keyring_on_path() -> Iterator[Problem]:
    """Say where the command `keyring`, which uv and pdm start, is one that does not know this package."""
    command = shutil.which("keyring")
    if command is None:
        return
    try:
        done = subprocess.run(  # noqa: S603 - it is what uv would start
            [command, "--list-backends"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        yield Problem(f"{command}, which uv would run, fails ({type(error).__name__})", "repair or remove it")
        return
    if "keyring_pypitoken.backend" not in done.stdout:
        yield Problem(
            f"{command}, which uv and pdm would run, belongs to an environment without this package",
            "install keyring-pypitoken there, or let this environment's programs come first on PATH",
        )
