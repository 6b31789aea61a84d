"""What the uploaders' command lines say: the files that are uploaded, and the project pointed at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest
from distributions import make_sdist, make_wheel
from keyring_pypitoken.uploaders.command_line import positional_args, project_directory
from keyring_pypitoken.uploaders.projects import find_evidence

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.policy.discovery import project_policy
from keyring_pypitoken.uploaders.process import Process


def process(program: str, *arguments: str, **environ: str) -> Process:
    """Return an uploader in the current directory."""
    return Process(program, arguments, Path.cwd(), environ)


def evidence(found: Process) -> tuple[str, ...] | None:
    """Return the projects that an uploader's process tells."""
    told = find_evidence(found, None, project_directory(found))
    return None if told is None else told.value


@pytest.mark.parametrize(
    ("program", "arguments", "environ", "directory"),
    [
        ("flit", "-f x/pyproject.toml publish", {}, "x"),
        ("flit", "-fx/pyproject.toml publish", {}, "x"),
        ("flit", "--ini-file x/pyproject.toml publish", {}, "x"),
        ("flit", "--ini-file=x/pyproject.toml publish", {}, "x"),
        ("flit", "--ini x/pyproject.toml publish", {}, "x"),
        ("flit", "-f pyproject.toml publish", {}, ""),
        ("flit", "publish", {}, ""),
        ("pdm", "publish -p x", {}, "x"),
        ("pdm", "publish -px", {}, "x"),
        ("pdm", "publish --project x", {}, "x"),
        ("pdm", "publish --proj=x", {}, "x"),
        ("pdm", "publish -p x -p y", {}, "y"),
        ("pdm", "publish -p", {}, ""),
        ("pdm", "publish", {"PDM_PROJECT": "x"}, "x"),
        ("pdm", "publish", {"PDM_PROJECT": ""}, ""),
        ("pdm", "publish -p y", {"PDM_PROJECT": "x"}, "y"),
        ("pdm", "publish -P password", {}, ""),
        ("pdm", "run -- -p x", {}, ""),
        ("poetry", "-P x publish", {}, "x"),
        ("poetry", "publish -P=x", {}, "x"),
        ("poetry", "publish --project=x/../y", {}, "y"),
        ("poetry", "publish -p password", {}, ""),
        # In these, the same letters mean something else.
        ("twine", "upload -p x --project y", {"PDM_PROJECT": "z"}, ""),
        ("uv", "publish -p x --project y", {}, ""),
        ("", "-p x -f y", {}, ""),
    ],
)
def test_finds_the_project_pointed_at(
    program: str, arguments: str, environ: dict[str, str], directory: str, work: Path
) -> None:
    """Each by its own option, in every spelling that its parser takes, or by its variable."""
    assert project_directory(process(program, *arguments.split(), **environ)) == work / directory


@pytest.mark.parametrize("program", ["flit", "pdm", "poetry"])
def test_a_whole_path_points_too(program: str, tmp_path: Path) -> None:
    """It need not lie below the current directory."""
    option = {"flit": "-f", "pdm": "-p", "poetry": "-P"}[program]
    named = tmp_path / "x" / "pyproject.toml" if program == "flit" else tmp_path / "x"
    assert project_directory(process(program, option, str(named))) == tmp_path / "x"


def test_the_policy_and_the_name_of_the_project_pointed_at_count(work: Path) -> None:
    """And not those of the directory that the uploader runs in; messages tell the way from there."""
    for name in ("here", "there"):
        directory = work / name
        directory.mkdir()
        (directory / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
        (directory / "pypitoken.toml").write_text(f'account = "{name}"\n')
    found = Process("pdm", ("publish", "-p", "../there"), work / "here", {})
    project = project_directory(found)
    told = find_evidence(found, None, project)
    assert told is not None
    assert (told.value, told.origin) == (("there",), os.path.join("..", "there", "pyproject.toml"))
    policy = project_policy(project, {}, found.directory)
    assert policy is not None
    assert policy.origin == os.path.join("..", "there", "pypitoken.toml")


# uv


@pytest.fixture
def dist(work: Path) -> Path:
    """Return a dist/ with files of two projects."""
    make_wheel(work / "dist", "one", "1.0")
    make_sdist(work / "dist", "two", "1.0")
    return work / "dist"


@pytest.mark.parametrize(
    ("arguments", "projects"),
    [
        ("publish", ("one", "two")),
        ("publish --publish-url https://upload.pypi.org/legacy/ -u __token__", ("one", "two")),
        ("--directory . --color never publish --dry-run", ("one", "two")),
        ("publish dist/one*", ("one",)),
        ("publish dist/three*", None),
        ("build", None),
    ],
)
@pytest.mark.usefixtures("dist")
def test_uv_takes_all_of_dist_where_no_file_is_named(arguments: str, projects: tuple[str, ...] | None) -> None:
    """As it does itself, whatever options stand there."""
    assert evidence(process("uv", *arguments.split())) == projects


@pytest.mark.usefixtures("dist")
def test_no_other_uploader_takes_dist_by_itself() -> None:
    """What lies there from another time is not what they upload."""
    for program in ("twine", "flit", "hatch", "poetry", "pdm", ""):
        assert evidence(process(program, "publish")) is None


def test_knows_every_option_of_uv_that_takes_a_value() -> None:
    """uv's own help lists them: none is taken for a file."""
    shown = subprocess.run(
        [sys.executable, "-m", "uv", "publish", "--help"], capture_output=True, text=True, check=True
    ).stdout
    lines = re.findall(r"^ +((?:-\w, )?--[\w-]+) <", shown, re.MULTILINE)
    options = [option for line in lines for option in line.split(", ")]
    assert len(options) > 15
    for option in options:
        found = process("uv", "publish", option, "value-1.0.zip", "demo-1.0.zip")
        assert list(positional_args(found)) == ["publish", "demo-1.0.zip"]


# hatch


@pytest.fixture
def config(work: Path) -> Path:
    """Return hatch's own configuration file, with a project by its directory, one by a table, a directory of some."""
    file = Path(platformdirs.user_config_dir("hatch", appauthor=False)) / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(
        f"[projects]\nfirst = '{work / 'one'}'\nsecond = {{location = 'two'}}\nthird = 3\n"
        f"[dirs]\nproject = ['none', 'many']\n"
    )
    (work / "many" / "fourth").mkdir(parents=True)
    return file


@pytest.mark.parametrize(
    ("arguments", "environ", "directory"),
    [
        ("-p first publish", {}, "one"),
        ("--project second publish", {}, "two"),
        ("-p third publish", {}, ""),
        ("-p fourth publish", {}, "many/fourth"),
        ("-p fifth publish", {}, ""),
        ("publish", {"HATCH_PROJECT": "second"}, "two"),
        ("-p first publish", {"HATCH_PROJECT": "second"}, "one"),
        ("publish -p first", {}, ""),  # a plugin that publishes
        ("-e first publish", {}, ""),
        ("-p first", {}, "one"),
        ("publish", {}, ""),
    ],
)
@pytest.mark.usefixtures("config")
def test_hatch_is_pointed_at_a_project_by_its_name(
    arguments: str, environ: dict[str, str], directory: str, work: Path
) -> None:
    """Its configuration maps the names to directories."""
    assert project_directory(process("hatch", *arguments.split(), **environ)) == work / directory


@pytest.mark.parametrize(
    ("settings", "inside", "directory"),
    [
        ("mode = 'local'\nproject = 'first'", False, ""),
        ("mode = 'project'\nproject = 'first'", True, "one"),
        ("mode = 'project'", True, ""),
        ("mode = 'aware'\nproject = 'first'", True, ""),
        ("mode = 'aware'\nproject = 'first'", False, "one"),
        ("mode = 'aware'\nproject = 1", False, ""),
    ],
)
def test_hatchs_mode_may_point_it_at_a_project(
    settings: str, inside: bool, directory: str, config: Path, work: Path
) -> None:
    """Always, or where it does not run in one."""
    config.write_text(f"{settings}\n{config.read_text()}")
    if inside:
        (work / "pyproject.toml").touch()
    assert project_directory(process("hatch", "publish")) == work / directory


@pytest.mark.parametrize("how", ["--config", "--config=", "HATCH_CONFIG"])
def test_hatchs_configuration_may_lie_elsewhere(how: str, work: Path) -> None:
    """Where its option or its variable says."""
    (work / "other.toml").write_text("[projects]\nfirst = 'elsewhere'\n")
    arguments = {"--config": ["--config", "other.toml"], "--config=": ["--config=other.toml"]}.get(how, [])
    environ = {"HATCH_CONFIG": "other.toml"} if how == "HATCH_CONFIG" else {}
    found = process("hatch", *arguments, "-p", "first", "publish", **environ)
    assert project_directory(found) == work / "elsewhere"


def test_hatchs_broken_configuration_is_a_refusal(config: Path) -> None:
    """hatch could not read it either."""
    config.write_text("[projects\n")
    with pytest.raises(Refusal, match=f"^{re.escape(str(config))} is not valid TOML: "):
        project_directory(process("hatch", "publish"))


@pytest.mark.parametrize("mark", ["pyproject.toml", "setup.py"])
@pytest.mark.usefixtures("dist")
def test_hatchs_files_lie_in_the_root_of_the_project(mark: str, work: Path) -> None:
    """From a directory below, a pattern means the root's dist/."""
    (work / mark).touch()
    below = work / "src"
    below.mkdir()
    for program, projects in (("hatch", ("one", "two")), ("twine", None)):
        found = Process(program, ("publish", "dist/*"), below, {})
        told = find_evidence(found, None, project_directory(found))
        assert (None if told is None else told.value) == projects


@pytest.mark.usefixtures("dist")
def test_outside_of_a_project_hatchs_files_lie_where_it_runs() -> None:
    """There is no root then."""
    assert evidence(process("hatch", "publish", "dist/one*")) == ("one",)


def test_the_parents_arguments_are_called_so() -> None:
    """A refusal tells whose arguments named the project."""
    found = Process("uv", ("publish", "demo-1.0.zip"), Path.cwd(), {}, is_parent=True)
    told = find_evidence(found, None, Path.cwd())
    assert told is not None
    assert (told.value, told.origin) == (("demo",), "the arguments of uv")
