"""README.md is true: its commands run, its policies are policies, its links lead somewhere, and PyPI can show it."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from distributions import make_wheel
from environments import REQUIREMENTS, Environments
from make_docs import anchors
from sandbox import ROOT, STORES, new_master, write_program

from keyring_pypitoken.cli.main import build_parser
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.policy.parser import parse_policy

if TYPE_CHECKING:
    from loopback_index import IndexProcess
    from sandbox import Run, WritePolicy

README = (ROOT / "README.md").read_text(encoding="utf-8")
REPOSITORY = "https://github.com/keyring-pypitoken/keyring-pypitoken"
RAW = "https://raw.githubusercontent.com/keyring-pypitoken/keyring-pypitoken/main/"
# A project that builds itself, so that `python -m build` fetches nothing.
BACKEND = """\
import pathlib, tarfile, zipfile
META = "Metadata-Version: 2.1\\nName: my-project\\nVersion: 1.0\\n"
def build_sdist(directory, settings=None):
    with tarfile.open(pathlib.Path(directory, "my_project-1.0.tar.gz"), "w:gz") as archive:
        pathlib.Path("PKG-INFO").write_text(META)
        for name in ("PKG-INFO", "pyproject.toml", "backend.py"):
            archive.add(name, f"my_project-1.0/{name}")
    return "my_project-1.0.tar.gz"
def build_wheel(directory, settings=None, metadata=None):
    with zipfile.ZipFile(pathlib.Path(directory, "my_project-1.0-py3-none-any.whl"), "w") as archive:
        archive.writestr("my_project-1.0.dist-info/METADATA", META)
        archive.writestr("my_project-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        archive.writestr("my_project-1.0.dist-info/RECORD", "")
    return "my_project-1.0-py3-none-any.whl"
"""
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "my-project"
version = "1.0"
"""


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    """Return the text below a heading."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0].strip()


def typed() -> list[str]:
    """Return the commands that begin with a dollar."""
    return [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]


def inline_commands(program: str) -> list[str]:
    """Return the commands of a program that are within the text."""
    joined = re.sub(r"\s+", " ", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
    return [code for code in re.findall(r"`([^`]+)`", joined) if code.split()[0] == program and " " in code]


def test_it_is_short_and_in_order() -> None:
    assert len(README.split()) <= 1200
    assert re.findall(r"^## (.*)$", README, re.MULTILINE) == [
        "Try it",
        "Alternatives",
        "Works with",
        "The policy",
        "What it protects against, and what not",
        "A token leaked: what now?",
        "Questions",
        "Run the tests",
    ]
    introduction = README.partition("\n## ")[0]
    assert [name for _, name in re.findall(rf"!\[([^]]+)\]\({re.escape(RAW)}([^)]+)\)", introduction)] == [
        ".github/images/terminal.svg",
        ".github/images/tokens.svg",
    ]
    assert introduction.index("terminal.svg") < introduction.index("pip install") < introduction.index("tokens.svg")


@pytest.mark.parametrize("title", ["Try it", "Run the tests"])
def test_two_sections_start_with_one_command(title: str) -> None:
    assert re.match(r"```console\n[^\n$]+\n```\n", section(title))


def test_the_commands_are_those_that_ci_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for title, begin, end in (
        ("Try it", "python3 examples/try_it.py", "try_it.py"),
        ("Run the tests", "python3 -m venv .venv && ", "pytest"),
    ):
        command = section(title).splitlines()[1]
        assert command.startswith(begin)
        assert command.endswith(end)
        assert f'readme_command "{title}"' in script


def test_the_demonstration_is_where_it_is_said_to_be() -> None:
    assert (ROOT / section("Try it").splitlines()[1].split()[1]).is_file()


LINES = [line for block in blocks("console") for line in block.splitlines()]
INSTALLS = [typed()[0], *(line for line in LINES if line.split()[0] in ("pipx", "uv"))]


@pytest.mark.uploaders
def test_each_line_to_install_leads_to_a_restricted_token(
    tmp_path: Path, home: Path, index: IndexProcess, user_policy: WritePolicy, pytestconfig: pytest.Config
) -> None:
    """Each is typed as it stands, with this package's wheel; what it needs is fetched before, into a directory."""
    pytest.importorskip("pip")
    user_policy(f'[repository.local]\nurl = "{index.upload_url}"\ndomain = "pypi.org"\n')
    packages = tmp_path / "packages"
    wheel = Environments(pytestconfig.cache.mkdir("uploaders"), os.environ).wheel()
    fetch = ["download", "--quiet", "--dest", str(packages), str(wheel), *REQUIREMENTS["twine"]]
    subprocess.run([sys.executable, "-m", "pip", *fetch], check=True)
    shutil.copy(wheel, packages)
    master = index.create_master("installer")
    for number, command in enumerate(INSTALLS):
        words, tools = command.split(), home / f"tools {number}"
        environment = tools / "environment"
        bin_ = tools / "bin" if words[0] != "pip" else environment / ("Scripts" if os.name == "nt" else "bin")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))} | {
            "PATH": os.pathsep.join([str(bin_), sysconfig.get_path("scripts"), os.environ["PATH"]]),
            "PYTHONPATH": str(STORES),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": packages.as_uri(),  # pip splits at spaces
            "PIP_CONFIG_FILE": os.devnull,
            "UV_NO_INDEX": "1",
            "UV_FIND_LINKS": str(packages),
            "UV_OFFLINE": "1",
            "UV_NO_CONFIG": "1",
            "UV_CACHE_DIR": str(tools / "cache"),
            "UV_PYTHON": sys.executable,
            "UV_TOOL_BIN_DIR": str(bin_),
            "UV_TOOL_DIR": str(tools / "uv"),
            "PIPX_HOME": str(tools / "pipx"),
            "PIPX_BIN_DIR": str(bin_),
        }
        run = functools.partial(run_program, environ)
        if words[0] == "pip":
            venv.create(environment, with_pip=True)
            run("pip", "install", "twine")
        elif words[0] == "pipx":
            run("pipx", "install", "twine")
        run(*words)
        run("keyring-pypitoken", "login", "-r", "local", stdin=master)
        if (twine := shutil.which("twine", path=str(bin_))) is None:
            assert words[-1] == "keyring"  # for uv, which runs that
            assert run("keyring", "get", f"{index.upload_url}?installed-demo", "__token__").startswith("pypi-")
            continue
        file = make_wheel(tmp_path / "dist", "installed-demo", f"1.{number}")
        run(twine, "upload", "--non-interactive", "--repository-url", index.upload_url, str(file))
        sent = index.uploads()[-1]
        assert (sent.project, sent.is_master, len(sent.restrictions)) == ("installed-demo", False, 2)


def run_program(environ: dict[str, str], name: str, *words: str, stdin: str = "") -> str:
    program = shutil.which(name, path=environ["PATH"])
    assert program is not None, name
    done = subprocess.run([program, *words], env=environ, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_three_tools_to_install_with_are_shown() -> None:
    assert [line.split()[0] for line in INSTALLS] == ["pip", "pipx", "uv", "uv"]


@pytest.mark.skipif(os.name != "posix", reason="the lines are typed into a POSIX shell")
def test_the_session_runs_as_shown(index: IndexProcess, work: Path, home: Path, user_policy: WritePolicy) -> None:
    """Each line is typed as it stands, but for the installation. twine is pointed at loopback by its own variable."""
    user_policy(f'[repository.local]\nurl = "{index.upload_url}"\ndomain = "pypi.org"\n')
    (work / "pyproject.toml").write_text(PROJECT)
    (work / "backend.py").write_text(BACKEND)
    programs = home / "programs"
    programs.mkdir()
    scripts = Path(sysconfig.get_path("scripts"))
    for program in ("keyring-pypitoken", "twine"):
        (programs / program).symlink_to(scripts / program)
    write_program(programs / "python", sys.executable)
    write_program(
        programs / "make",
        *("sh", "-c", 'test -n "$TWINE_PASSWORD$MATURIN_PYPI_TOKEN" && test "$1" = upload && echo uploaded', "make"),
    )
    environ = os.environ | {"PATH": f"{programs}:/usr/bin:/bin", "PYTHONPATH": str(STORES), "COLUMNS": "1000"}

    def shell(command: str, **more: str) -> str:
        stdin = index.create_master("reader") if "login" in command else ""
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=work, env=environ | more, input=stdin, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    pip, login, build, upload, status, explain = typed()
    assert (pip.split()[0], upload) == ("pip", "twine upload dist/*")
    assert shell(login) == "Stored for pypi in file_keyring.FileKeyring.\nNext: twine upload dist/*\n"
    shell(f"{login} --repository local")  # the index on loopback stands for PyPI
    shell(build)
    shown = shell(upload, TWINE_REPOSITORY_URL=index.upload_url)
    assert "keyring-pypitoken: derived a token for my-project on local, valid until " in shown
    sent = [upload for upload in index.uploads() if upload.filename.startswith("my_project-1.0")]
    assert [(upload.status, upload.is_master) for upload in sent] == [(200, False), (200, False)]
    assert "ok twine     restricted token for my-project on pypi as default\n" in shell(status)
    assert shell(explain).startswith("An upload to pypi would get a token for my-project, for 5 minutes.\n")
    (exec_,) = [command for command in inline_commands("keyring-pypitoken") if " exec " in command]
    assert "uploaded" in shell(exec_)


def test_each_command_in_the_text_is_one() -> None:
    parser = build_parser()
    commands = inline_commands("keyring-pypitoken")
    assert len(commands) > 4
    for command in commands:
        words = shlex.split(command)[1:]
        if words[0] != "exec":  # which the session runs
            assert parser.parse_args(words).run


def test_a_second_account_is_stored_under_its_label(run: Run) -> None:
    (command,) = inline_commands("keyring")
    words = shlex.split(command)
    assert run(*words, stdin=new_master()).returncode == 0
    derived = run("keyring_pypitoken", "token", "--account", "work", "--project", "demo")
    assert derived.stdout.startswith("pypi-")


def test_the_variables_of_uploaders_are_theirs() -> None:
    table = section("Works with")
    tested = {requirements[0].replace("==", " ") for requirements in REQUIREMENTS.values()}
    assert set(re.findall(r"\b[a-z-]+ [0-9]+\.[0-9.]+", table)) == tested
    known = (ROOT / "keyring_pypitoken" / "uploaders").glob("*.py")
    sources = "".join(path.read_text(encoding="utf-8") for path in known)
    for variable in re.findall(r"`([A-Z_]+)=", table):
        assert f'"{variable}"' in sources


def test_the_policies_can_be_followed() -> None:
    project, own = blocks("toml")
    policy = parse_policy(project, layer="project", name="README.md")
    assert policy is not None
    assert policy.tables(PYPI)[0].valid_for is not None
    followed = parse_policy(own, layer="user", name="README.md")
    assert followed is not None
    assert followed.store.command is not None


def test_the_kernels_size_is_what_is_said() -> None:
    held = (ROOT / "tests" / "system" / "test_kernel.py").read_text(encoding="utf-8")
    (said,) = re.findall(r"Five modules, at most ([0-9]+) lines", README)
    assert f"MAX_LINES = {said}\n" in held


def test_links_lead_somewhere() -> None:
    """PyPI shows the file without the repository, so that links are absolute; those into it lead to files."""
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert [link for link in links if not link.startswith("https://")] == []
    own = [link for link in links if "keyring-pypitoken/keyring-pypitoken/" in link]
    paths = [re.sub(rf"^({re.escape(RAW)}|{REPOSITORY}/(blob|tree)/main/)", "", link) for link in own]
    assert len(paths) > 8
    for path, _, anchor in (path.partition("#") for path in paths):
        if path != f"{REPOSITORY}/security/advisories/new":
            assert (ROOT / path).exists()
            assert not anchor or anchor in anchors((ROOT / path).read_text(encoding="utf-8"))


def test_the_picture_shows_the_four_commands() -> None:
    picture = (ROOT / ".github" / "images" / "terminal.svg").read_text(encoding="utf-8")
    shown = re.findall("<text.*>(.+)</text>", picture)
    assert [line.removeprefix("$ ") for line in shown if line.startswith("$ ")] == typed()[:4]
    assert "\n".join(shown) in picture, "its description has the same lines"


@pytest.mark.skipif(sys.platform == "win32", reason="what PyPI shows it with has no wheel for Windows")
def test_pypi_can_show_it() -> None:
    from readme_renderer import markdown

    shown = markdown.render(README)
    assert shown is not None
    assert shown.count("<img ") == 2
    assert shown.count("<table>") == 2
    assert "<pre" in shown
