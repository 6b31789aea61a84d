"""README.md is true: its commands run, their output is what it shows, its table is the parser's."""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from distributions import make_wheel
from environments import REQUIREMENTS
from refusal_cases import GET, SET, Stage
from sandbox import STORES, Run, WritePolicy, new_master, write_program

from keyring_pypitoken import paths
from keyring_pypitoken.cli.main import build_parser
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.policy import decision
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.policy.values import KEYS, parse_duration

if TYPE_CHECKING:
    from loopback_index import IndexProcess


ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    """Return the text below a heading."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0].strip()


def outputs() -> dict[str, str]:
    """Map the commands that begin with a dollar to the output that stands below each."""
    found: dict[str, str] = {}
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found[command] = output
    return found


@pytest.mark.parametrize("title", ["Try it", "Run the tests"])
def test_two_sections_start_with_one_command(title: str) -> None:
    """A newcomer needs two lines, and finds them first."""
    assert re.match(r"```console\n[^\n$]+\n```\n", section(title))


def test_the_demonstration_shows_what_the_readme_shows() -> None:
    """The block below "Try it" is a part of what the demonstration prints, but for the port and the time."""
    script = ROOT / "examples" / "try_it.py"
    assert f"python3 {script.relative_to(ROOT).as_posix()}\n" in blocks("console")[0]
    environ = os.environ | {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, script, "--here"], env=environ, capture_output=True, text=True, encoding="utf-8", check=True
    )
    printed = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", done.stdout)
    printed = re.sub(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d", "HH:MM:SS", printed)
    (shown,) = blocks("text")
    assert shown in printed


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    """`.ci/run` takes the command out of this file, so that both are the same."""
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    command = blocks("console")[1]
    assert command.startswith("python3 -m venv .venv && ")
    assert command.endswith("pytest\n")


@pytest.mark.parametrize("command", blocks("console")[2].splitlines())
def test_installs_as_shown(command: str, tmp_path: Path, home: Path) -> None:
    """Each way to install is typed as it stands; the wheels come from a directory, and hold no more than names."""
    packages = tmp_path / "packages"
    packages.mkdir()
    make_wheel(packages, "keyring-pypitoken", "0.1.0")
    make_wheel(packages, "twine", "99", script="twine")
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    scripts = Path(sysconfig.get_path("scripts"))
    environ = os.environ | {
        "PATH": os.pathsep.join([str(scripts), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": packages.as_uri(),  # pip splits at spaces
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_PYTHON": str(python),
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
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL"):
        environ.pop(name, None)
    words = command.split()
    program = shutil.which(words[0], path=environ["PATH"])
    assert program is not None
    if words[0] == "pipx":  # which wants what it injects into
        environ.pop("PIP_PYTHON")
        subprocess.run([program, "install", "twine"], env=environ, check=True, capture_output=True)
    elif words[0] == "uv":
        environ.pop("PIP_PYTHON")
    done = subprocess.run([program, *words[1:]], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    where = environment if words[0] == "pip" else home / "tools"
    assert list(where.rglob("keyring_pypitoken-0.1.0.dist-info"))


def test_the_session_runs_as_shown(
    index: IndexProcess, work: Path, user_policy: WritePolicy, capfd: pytest.CaptureFixture[str]
) -> None:
    """Storing, uploading and looking at a token: each command as it stands, each output as it is shown.

    PyPI's URL is asked of keyring only. twine is pointed at the index on loopback, by its own variable.
    """
    user_policy(f'[repository.local]\nurl = "{index.upload_url}"\ndomain = "pypi.org"\n')
    (work / "dist").mkdir()
    make_wheel(work / "dist", "my-project", "1.0")
    (work / "pyproject.toml").write_text('[project]\nname = "my-project"\n')
    master = index.create_master("reader")
    shown = outputs()
    typed = [command for command in shown if command.split()[0] in ("keyring", "twine")]
    assert [command.partition(" http")[0] for command in typed] == [
        "keyring set",
        'keyring set "https://upload.pypi.org/legacy/?work" __token__',
        "twine upload dist/*",
        "keyring get",
        "keyring --list-backends",
    ]
    for command in typed:
        printed = _type(command, work, master, index)
        for line in shown[command].splitlines():
            assert line in printed
    assert capfd.readouterr() == ("", "")


def _type(command: str, work: Path, master: str, index: IndexProcess) -> list[str]:
    """Run a command of the README; return its output in the README's terms."""
    import shlex

    if command == "twine upload dist/*":
        # The master for the index on loopback is stored as the one for PyPI is.
        _type(f"keyring set {index.upload_url} __token__", work, master, index)
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(STORES), "TWINE_REPOSITORY_URL": index.upload_url, "COLUMNS": "1000"},
        input=master,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = re.sub(r"until \S+( \S+)? \(", "until 14:05:12 (", done.stderr + done.stdout)
    printed = printed.replace(" on local,", " on pypi,")
    return re.sub(r"(pypi-AgEIcHlwaS5vcmcC).*", r"\1...", printed).splitlines()


def test_the_table_of_keys_is_the_parsers() -> None:
    rows = dict(re.findall(r"^\| (`[^|]*`) \|(.*)\|$", section("The policy file"), re.MULTILINE))
    told = {name: row for names, row in rows.items() for name in re.findall(r"`([^`]+)`", names)}
    assert told.keys() - {"[repository.NAME]", "[store]"} == KEYS.keys()
    for name, key in KEYS.items():
        project, own, *_ = (cell.strip() for cell in told[name].split("|"))
        assert (project, own) == ("yes" if key.project_may else "no", "yes")
    defaults = {name: row.split("|")[2].strip(' `"') for name, row in told.items()}
    assert defaults["valid-for"] == decision._AUTO.value
    assert parse_duration(defaults["max-valid-for"]) == decision.DEFAULT_MAX_VALID_FOR
    assert parse_duration(defaults["clock-skew"]) == decision.DEFAULT_CLOCK_SKEW
    assert defaults["uplink"] == decision._UPLINK.spelling


def test_the_parts_of_auto_are_the_programs() -> None:
    shown = " ".join(section("The policy file").split())
    assert decision._AUTO_FACTOR == 4
    assert (
        '`"auto"` is four times what the files take at the speed `uplink`, '
        f"plus {decision._AUTO_PER_FILE} seconds a file and {decision._AUTO_RESERVE // 60} minutes: "
        f"at least {decision._AUTO_MINIMUM // 60} minutes, at most `max-valid-for`, "
        f"and {decision.DEFAULT_VALID_FOR // 60} minutes if the files are not known."
    ) in shown


def test_the_table_of_uploaders_is_that_of_the_tests() -> None:
    tested = {requirements[0].replace("==", " ") for requirements in REQUIREMENTS.values()}
    assert set(re.findall(r"^\| (\S+ [0-9.]+) \|", section("Works with"), re.MULTILINE)) == tested


def test_the_help_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the README is what the program prints today, but for the columns, which Pythons set apart."""
    monkeypatch.setenv("COLUMNS", "100")
    assert outputs()["keyring-pypitoken --help"].split() == build_parser().format_help().split()


def test_the_commands_documents_have_the_keys_that_are_told(run: Run, work: Path) -> None:
    rows = dict(re.findall(r"^\| `([a-z -]+)` \| (.*) \|$", section("The command"), re.MULTILINE))
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    assert run("keyring_pypitoken", "login", stdin=new_master()).returncode == 0
    assert run("keyring_pypitoken", "token").returncode == 0
    for command, told in rows.items():
        words = [*command.split(), *(["token is expired"] if command.endswith("--error") else [])]
        document = json.loads(run("keyring_pypitoken", *words, "--json", stdin=new_master()).stdout)
        keys = set(document[0] if isinstance(document, list) else document)
        assert keys == set(re.findall("`([a-z_]+)`", told)) - ({"refusal"} if command == "explain" else set())
    assert set(rows) == {"explain", "explain --error", "status", "adopt", "inspect", "check", "history"}


@pytest.mark.skipif(os.name != "posix", reason="the lines are typed into a POSIX shell")
def test_the_commands_run_as_shown(run: Run, work: Path, home: Path) -> None:
    """Each line is typed into a shell, where a maturin stands for the real one."""
    (work / "pyproject.toml").write_text('[project]\nname = "my-project"\n')
    make_wheel(work / "dist", "my-project", "1.0")
    assert run("keyring_pypitoken", "login", stdin=new_master()).returncode == 0
    programs = home / "programs"
    programs.mkdir()
    write_program(programs / "keyring-pypitoken", sys.executable, "-m", "keyring_pypitoken")
    write_program(programs / "maturin", "sh", "-c", 'test -n "$MATURIN_PYPI_TOKEN" && test "$1" = publish', "maturin")
    environ = {**os.environ, "PATH": f"{programs}:/usr/bin:/bin", "PYTHONPATH": str(STORES)}
    shown = {command: output for command, output in outputs().items() if "keyring-pypitoken " in command}
    assert len(shown) == 5
    for command, output in shown.items():
        stdin = new_master() if command.endswith(" login") else ""
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=work, env=environ, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        if not command.endswith("--help"):
            expected, printed = (re.sub(r"from \S+ \S+ \S+ until \S+ \S+ \S+", "now", o) for o in (output, done.stdout))
            assert set(expected.splitlines()) <= set(printed.splitlines())


def test_the_sample_policy_can_be_followed() -> None:
    """The TOML that stands in the README is a policy: your own, then a project's."""
    store, text = blocks("toml")
    own = parse_policy(store, layer="user", name="README.md")
    assert own is not None
    assert own.store.identity is not None
    policy = parse_policy(text, layer="project", name="README.md")
    assert policy is not None
    assert policy.tables(PYPI)[0].valid_for is not None


def test_every_sentence_of_troubleshooting_is_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    for setting in (*GET.values(), *SET.values()):
        with monkeypatch.context() as stage.monkeypatch:
            stage.project('[project]\nname = "demo"\n', "pyproject.toml")
            said = setting(stage)
            told.append(said if isinstance(said, str) else said[1])
        shutil.rmtree(Path(paths.age_file()).parent.parent, ignore_errors=True)
    ours, theirs, *_ = re.split(r"^And if PyPI", section("Troubleshooting"), flags=re.MULTILINE)
    for row in re.findall(r"^\| (`.*?) \|", ours, re.MULTILINE):
        parts = re.findall(r"`([^`]+)`", row)
        assert any(all(part in sentence for part in parts) for sentence in told), row
    verdicts = (ROOT / "tests" / "data" / "pypi_verdicts.json").read_text(encoding="utf-8")
    for reason in re.findall(r"^\| `(.*?)` \|", theirs, re.MULTILINE):
        assert reason in verdicts


def test_the_library_works_as_shown() -> None:
    (code,) = blocks("python")
    test = doctest.DocTestParser().get_doctest(code, {}, "README.md", None, None)
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS)
    assert runner.run(test).failed == 0
    assert runner.tries > 3


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
