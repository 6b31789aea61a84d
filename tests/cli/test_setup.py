"""`setup` writes what an uploader needs into the user's own files; the lines that install this package are right."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from distributions import make_wheel
from sandbox import Terminal, make_link, write_program
from wire import open_environments

from keyring_pypitoken.cli import setup as module
from keyring_pypitoken.cli.main import main
from keyring_pypitoken.cli.surroundings import Installed, Standing, install_line
from keyring_pypitoken.uploaders.process import read_command_line
from keyring_pypitoken.uploaders.twine import UPLOADER as TWINE
from keyring_pypitoken.uploaders.uv import UPLOADER
from keyring_pypitoken.vault import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from environments import Environments
    from sandbox import Command

UV_LINES = 'publish-url = "https://__token__@upload.pypi.org/legacy/"\nkeyring-provider = "subprocess"\n'
HATCH = '[publish.index]\nuser = "__token__"\n'


@pytest.fixture(autouse=True)
def programs(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put stand-ins on PATH, and a `keyring` of an environment that has this package."""
    directory = work / "bin"
    directory.mkdir()
    for name in ("uv", "hatch", "flit"):
        write_program(directory / name, "true")
    make_link(directory / "keyring", sys.executable)
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(module, "find_installed", lambda _environ: [])


@pytest.fixture
def uv_toml(home: Path) -> Path:
    """Return the user's uv.toml, which does not exist yet."""
    file = home / ("roaming" if os.name == "nt" else "config") / "uv" / "uv.toml"
    file.parent.mkdir(parents=True)
    return file


def read_paths(home: Path) -> dict[str, Path]:
    """Return the file of each uploader, as its own module finds it."""
    import platformdirs

    return {
        "hatch": Path(platformdirs.user_config_dir("hatch", appauthor=False)) / "config.toml",
        "flit": home / ".pypirc",
    }


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# mine\noffline = true\n\n[[index]]\nname = 'x'\nurl = 'https://x.example/simple'\n",
        'offline = true # no "\\n"',
    ],
)
def test_uv_gets_two_lines_above_the_first_table(before: str, command: Command, uv_toml: Path) -> None:
    uv_toml.write_text(before)
    uv_toml.chmod(0o640)
    gets = f"{uv_toml} gets:\n" + "".join(f"  {line}\n" for line in UV_LINES.splitlines())
    done = "uv is set up. To undo it, delete these lines there.\n"
    assert command("setup", "uv", "--yes") == (0, gets + done, "")
    assert uv_toml.read_text().removesuffix("\n") == (UV_LINES + before).removesuffix("\n")
    assert os.name != "posix" or uv_toml.stat().st_mode & 0o777 == 0o640
    after = uv_toml.read_text()
    assert command("setup", "UV") == (0, f"uv is set up already: {uv_toml} has what it needs.\n", "")
    assert uv_toml.read_text() == after


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("hatch", "", HATCH),
        ("hatch", '# a\n[publish.index]\nrepo = "main"\n\n[x]\n', f'# a\n{HATCH}repo = "main"\n\n[x]\n'),
        ("hatch", 'mode = "local"', f'mode = "local"\n\n{HATCH}'),
        ("flit", "", "[pypi]\nusername = __token__\n"),
        ("flit", "[distutils]\nindex-servers = pypi\n[pypi]\n; mine\n",
         "[distutils]\nindex-servers = pypi\n[pypi]\nusername = __token__\n; mine\n"),
    ],
)  # fmt: skip
def test_hatch_and_flit_get_their_user_name(name: str, before: str, after: str, command: Command, home: Path) -> None:
    file = read_paths(home)[name]
    file.parent.mkdir(parents=True, exist_ok=True)
    if before:
        file.write_text(before)
    assert command("setup", name, "--yes")[0] == 0
    assert file.read_text() == after
    (home / "work" / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    process = read_command_line([name, "publish"], home / "work", os.environ)
    assert process.uploader is not None
    target = process.uploader.target(process)
    assert target.lookup is not None
    assert (target.lookup[0], target.username.value) == ("https://upload.pypi.org/legacy/", "__token__")
    assert command("setup", name)[1] == f"{name} is set up already: {file} has what it needs.\n"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("uv", 'publish-url = "https://index.example/"\n', "sets publish-url to something else, which stays as it is"),
        ("flit", "[pypi]\nusername = me\n", "sets username to something else, which stays as it is"),
        ("hatch", 'publish.index.repo = "a"\n', 'is not written as this can change it: add `user = "__token__"` to'),
        ("hatch", 'publish = "x"\n', "has publish that is not a table: correct it."),
        ("flit", "[pypi]\n[pypi]\n", "is not a valid INI file (DuplicateSectionError): correct it."),
        ("uv", "publish-url = \n", "uv.toml:1"),
    ],
)  # fmt: skip
def test_what_is_there_is_never_overwritten(
    name: str, text: str, sentence: str, command: Command, home: Path, uv_toml: Path
) -> None:
    file = {**read_paths(home), "uv": uv_toml}[name]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    assert sentence in command.refused("setup", name, "--yes")
    assert file.read_text() == text


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_it_asks_before_it_writes(
    answer: str,
    code: int,
    command: Command,
    uv_toml: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    refused = command("setup", "uv")
    assert (refused[0], refused[2]) == (1, "keyring-pypitoken: nobody can be asked whether to write that: add --yes.\n")
    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["setup", "uv"]) == code
    assert "Write that? [y/N] " in capsys.readouterr().out
    assert uv_toml.exists() is (code == 0)


def test_uploaders_without_settings(command: Command) -> None:
    assert command("setup", "twine") == (0, "twine is set up already.\n", "")
    assert command.refused("setup", "maturin").startswith("maturin never asks keyring: give it a token with ")
    assert command("setup", "htach") == (
        1,
        "",
        "keyring-pypitoken: 'htach' is not a known uploader: did you mean 'hatch'?\n",
    )
    assert command.refused("setup", "qqq").startswith("'qqq' is not a known uploader: known are ")


def test_a_keyring_without_this_package_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = Installed(UPLOADER, "keyring", Standing("absent", environment="/elsewhere"))
    other = installed._replace(uploader=TWINE)
    monkeypatch.setattr(module, "find_installed", lambda _environ: [other, installed])
    code, out, _ = command("setup", "uv", "--yes")
    assert (code, out.splitlines()[-1]) == (
        1,
        (
            "keyring belongs to an environment without this package, so uv does not ask it: `uv pip install --python "
            "/elsewhere/bin/python keyring-pypitoken`."
        ),
    )


@pytest.fixture(scope="module")
def environments(request: pytest.FixtureRequest) -> Iterator[Environments]:
    """Keep the uploaders' environments for all tests here."""
    yield from open_environments(request.config)


@pytest.mark.uploaders
def test_uv_itself_reads_the_two_lines(environments: Environments, command: Command, uv_toml: Path) -> None:
    assert command("setup", "uv", "--yes")[0] == 0
    done = subprocess.run(
        [environments.scripts("uv") / "uv", "publish", "--show-settings"],
        env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    shown = " ".join(done.stdout.split())
    assert uv_toml.exists()
    assert 'username: "****", password: None, host: Some( Domain( "upload.pypi.org", ), )' in shown, done
    assert "keyring_provider: Subprocess" in shown


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("pipx_metadata.json", "pipx inject --include-apps place keyring-pypitoken"),
        ("uv-receipt.toml", "uv tool install place --with-executables-from keyring-pypitoken --with keyring-pypitoken"),
        ("lib/python3.13/site-packages/pip/__init__.py", "bin/python -m pip install keyring-pypitoken"),
        ("pyvenv.cfg", "bin/python keyring-pypitoken"),
    ],
)
def test_the_line_to_install_with_fits_the_environment(file: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "place" / file
    path.parent.mkdir(parents=True)
    path.touch()
    assert (
        install_line(tmp_path / "place").replace("\\", "/").replace("Scripts/python.exe", "bin/python").endswith(line)
    )


@pytest.mark.uploaders
@pytest.mark.parametrize("kind", ["pip", "pipx", "uv", "uv tool", "keyring"])
def test_the_line_that_installs_this_package_works_when_typed(kind: str, tmp_path: Path, home: Path) -> None:
    """The wheels come from a directory, and hold no more than names."""
    packages = tmp_path / "packages"
    packages.mkdir()
    make_wheel(packages, "keyring-pypitoken", "0.1.0", script="keyring-pypitoken")
    make_wheel(packages, "twine", "99", script="twine")
    make_wheel(packages, "keyring", "99", script="keyring")
    scripts = sysconfig.get_path("scripts")
    path = os.pathsep.join([scripts, str(Path(sys.executable).parent), os.defpath])
    environ = os.environ | {
        "PATH": path,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": packages.as_uri(),
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(packages),
        "UV_OFFLINE": "1",
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(home / "cache"),
        "UV_PYTHON": sys.executable,
        "UV_TOOL_BIN_DIR": str(home / "bin"),
        "UV_TOOL_DIR": str(home / "tools"),
        "PIPX_HOME": str(home / "tools"),
        "PIPX_BIN_DIR": str(home / "bin"),
    }

    def run(line: str) -> None:
        words = line.split()
        program = shutil.which(words[0], path=path)
        assert program is not None, line
        done = subprocess.run([program, *words[1:]], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    environment: Path | None = tmp_path / "environment"
    if kind == "pipx":
        run("pipx install twine")
        environment = home / "tools" / "venvs" / "twine"
    elif kind == "uv tool":
        run("uv tool install twine")
        environment = home / "tools" / "twine"
    elif kind == "keyring":
        environment = None
    elif kind == "pip":
        venv.create(tmp_path / "environment", with_pip=True)
    else:
        venv.create(tmp_path / "environment", with_pip=False)
    line = (
        install_line(environment)
        if environment
        else "uv tool install keyring-pypitoken --with-executables-from keyring"
    )
    run(line)
    if environment is not None:
        assert list(environment.rglob("keyring_pypitoken-0.1.0.dist-info")), line
    if kind in ("pipx", "uv tool", "keyring"):
        names = {file.stem for file in (home / "bin").iterdir()}
        assert {"keyring-pypitoken", "keyring" if kind == "keyring" else "twine"} <= names, json.dumps(sorted(names))


def test_an_environment_that_cannot_be_read_still_gets_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def denied(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if str(path).endswith(("metadata.json", "receipt.toml")):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", denied)
    assert install_line(tmp_path / "environment").startswith("uv pip install --python ")
