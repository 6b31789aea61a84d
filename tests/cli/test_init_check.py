"""`init` writes a policy that can be followed; `check` finds all that is wrong in policies."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from distributions import make_sdist, make_wheel
from policy_cases import LENGTH
from sandbox import ROOT, Command

from keyring_pypitoken import paths
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.names import LABEL_RULE
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.text import quoted

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import WritePolicy


def projects_of(text: str) -> list[str]:
    """Return what a policy allows."""
    policy = parse_policy(text, layer="project", name="pypitoken.toml")
    assert policy is not None
    allowed = policy.tables(PYPI)[0].projects
    assert allowed is not None
    return sorted(allowed.value)


# init


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("pyproject.toml", '[project]\nname = "My.Demo"\n', "my-demo"),
        ("pyproject.toml", '[tool.poetry]\nname = "demo"\n', "demo"),
        ("setup.cfg", "[metadata]\nname = demo\n", "demo"),
    ],
)
def test_init_writes_a_policy_for_the_project(file: str, text: str, name: str, command: Command, work: Path) -> None:
    """It can be followed as it is, and with all that is a comment in it."""
    (work / file).write_text(text)
    written = f"Wrote pypitoken.toml: only {name} can be uploaded from here. Commit it.\n"
    assert command("init") == (0, written, "")
    content = (work / "pypitoken.toml").read_text("utf-8")
    assert projects_of(content) == [name]
    uncommented = re.sub(r"^# (?=[\[a-z-]+ ?[=\].])", "", content, flags=re.MULTILINE)
    assert projects_of(uncommented) == [name]
    for key in ("valid-for", "clock-skew", "account", "not-before", "not-after", "[repository.testpypi]"):
        assert f"\n{key}" in uncommented
    assert command("check") == (0, "No mistakes found in pypitoken.toml.\n", "")


def test_init_writes_into_the_root_of_the_project(
    command: Command, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    (work / "src").mkdir()
    monkeypatch.chdir(work / "src")
    _, out, _ = command("init")
    assert out.startswith(f"Wrote {os.path.join('..', 'pypitoken.toml')}: ")
    assert (work / "pypitoken.toml").exists()


@pytest.mark.parametrize(
    ("root", "names"),
    [("", ["a", "b"]), ('[project]\nname = "root"\n', ["a", "b", "root"]), ('exclude = ["packages/b"]\n', ["a"])],
)
def test_init_lists_the_members_of_a_workspace(root: str, names: list[str], command: Command, work: Path) -> None:
    """As uv finds them: by patterns, less those that are excluded."""
    workspace = '[tool.uv.workspace]\nmembers = ["packages/*", 3]\n'
    (work / "pyproject.toml").write_text(root + workspace if root.startswith("[") else workspace + root)
    for name in ("a", "b"):
        (work / "packages" / name).mkdir(parents=True)
        (work / "packages" / name / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    (work / "packages" / "no-project").mkdir()
    assert command("init")[0] == 0
    assert projects_of((work / "pypitoken.toml").read_text("utf-8")) == names


@pytest.mark.parametrize("directory", ["dist", "out"])
def test_init_lists_the_projects_of_built_files(directory: str, command: Command, work: Path) -> None:
    make_wheel(work / directory, "Demo.One", "1.0")
    make_sdist(work / directory, "two", "1.0")
    (work / directory / "notes.txt").touch()
    assert command("init", "--from-dist", *([directory] if directory != "dist" else []))[0] == 0
    assert projects_of((work / "pypitoken.toml").read_text("utf-8")) == ["demo-one", "two"]


@pytest.mark.parametrize("content", [None, "[build-system]\n"])
def test_init_needs_a_project(content: str | None, command: Command, work: Path) -> None:
    """One sentence says how to get one."""
    if content is not None:
        (work / "pyproject.toml").write_text(content)
    (work / "dist").mkdir()
    sentence = (
        "no project was found here: go to a directory whose pyproject.toml or setup.cfg names one, or build first "
        "and use --from-dist."
    )
    assert command.refused("init") == sentence
    assert command.refused("init", "--from-dist") == sentence
    assert command.refused("init", "--from-dist", "none") == (
        f"{quoted(str(work / 'none'))} is not a directory: build first, or name the one that holds the files."
    )
    assert not (work / "pypitoken.toml").exists()


def test_init_replaces_nothing_unless_forced(command: Command, work: Path) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    (work / "pypitoken.toml").write_text("# mine\n")
    assert command.refused("init") == "pypitoken.toml is there already: edit it, or replace it with --force."
    assert (work / "pypitoken.toml").read_text() == "# mine\n"
    assert command("init", "--force")[0] == 0
    assert projects_of((work / "pypitoken.toml").read_text("utf-8")) == ["demo"]


def test_init_adds_no_second_policy(command: Command, work: Path) -> None:
    """Two in one directory would be an error at every upload."""
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n[tool.keyring-pypitoken]\nvalid-for = "5m"\n')
    assert command.refused("init") == (
        "pyproject.toml has a [tool.keyring-pypitoken] already, and one policy is enough: edit it there."
    )


def test_init_tells_where_it_cannot_write(command: Command, work: Path) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    (work / "pypitoken.toml").mkdir()
    assert command.refused("init", "--force").startswith("pypitoken.toml cannot be written (")


# check


def test_check_without_a_policy(command: Command) -> None:
    """The defaults are right."""
    assert command("check") == (0, "No policy applies here, so the defaults do.\n", "")
    assert command.json("check") == {"ok": True, "files": []}


def test_check_finds_every_mistake_of_every_file_at_once(
    command: Command, work: Path, user_policy: WritePolicy, site_policy: WritePolicy
) -> None:
    (work / "pypitoken.toml").write_text('projcts = ["demo"]\nvalid-for = "soon"\nunscoped = "allow"\n')
    user_policy("notice = 3\n")
    site_policy("[store\n")
    code, out, err = command("check")
    assert (code, err) == (1, "")
    user, site = paths.user_policy(), paths.site_policies()[0]
    assert out.split("\n")[:3] == [
        "- pypitoken.toml:1: unknown key 'projcts'; did you mean 'projects'?",
        f"- pypitoken.toml:2: valid-for is 'soon', {LENGTH}",
        "- pypitoken.toml:3: unscoped is for your own policy.toml only: a project cannot set it",
    ]
    assert f"- {user}:1: notice is 3, expected true or false\n" in out
    assert f"- {site}:1: expected ']' at the end of a table declaration\n" in out
    document = command.json("check", code=1)
    assert document["ok"] is False
    assert [len(file["problems"]) for file in document["files"]] == [3, 1, 1]


def test_check_finds_two_policies_in_one_directory(command: Command, work: Path) -> None:
    """Which no upload would be allowed under."""
    (work / "pypitoken.toml").touch()
    (work / "pyproject.toml").write_text("[tool.keyring-pypitoken]\n")
    code, out, _ = command("check")
    assert code == 1
    assert out.startswith("- two policies are in one directory, ")


CONTRADICTIONS = {
    "a ceiling": ("valid-for = 120\n", "max-valid-for = 60\n", "valid-for is 2 minutes (pypitoken.toml:1), above "),
    "no moment": (
        "not-before = 2030-01-02T00:00:00Z\n",
        "not-after = 2030-01-01T00:00:00Z\n",
        "not-before (pypitoken.toml:1) is not before not-after ({user}:1), so no moment is allowed: ",
    ),
    "no project": ("projects = []\n", "", "projects is empty (pypitoken.toml:1), so nothing is allowed: "),
    "no project behind a table without projects": (
        'valid-for = "5m"\n',
        "projects = []\n",
        "projects is empty ({user}:1), so nothing is allowed: ",
    ),
    "no such repository": ("[repository.testpipy]\n", "", "pypitoken.toml mentions an unknown repository "),
}


@pytest.mark.parametrize(("project", "own", "begins"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_check_finds_what_no_upload_could_meet(
    project: str, own: str, begins: str, command: Command, work: Path, user_policy: WritePolicy
) -> None:
    (work / "pypitoken.toml").write_text(project)
    user_policy(own)
    code, out, _ = command("check")
    assert code == 1
    (line,) = out.splitlines()
    assert line.startswith(f"- {begins.format(user=paths.user_policy())}")
    assert command.json("check", code=1)["files"][-1]["file"] == "together"


def test_check_reads_the_files_that_are_named(command: Command, work: Path) -> None:
    """As a pre-commit hook does; their names tell whose they are."""
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    (work / "policy.toml").write_text('unscoped = "allow"\n[store]\nidentity = "x"\n')
    other = work / "other" / "pypitoken.toml"
    other.parent.mkdir()
    other.write_text("account = 1\n")
    assert command("check", "pyproject.toml", "policy.toml") == (
        0,
        "No mistakes found in pyproject.toml, policy.toml.\n",
        "",
    )
    (work / "directory.toml").mkdir()
    code, out, _ = command("check", str(other), "gone.toml", "directory.toml", "pyproject.toml")
    assert code == 1
    assert out.split("\n") == [
        f"- {other}:1: account is 1, expected {LABEL_RULE}",
        "- gone.toml does not exist: correct its name.",
        "- directory.toml is not a regular file: replace it with one.",
        "",
    ]
    (work / "pyproject.toml").write_text("[tool.keyring-pypitoken]\nvalid_for = 1\n")
    (file,) = command.json("check", "pyproject.toml", code=1)["files"]
    assert file["problems"] == ["pyproject.toml:2: unknown key 'valid_for'; did you mean 'valid-for'?"]


@pytest.mark.parametrize("name", ["pypi-token.toml", ".pypitoken.toml"])
def test_check_fails_on_a_misnamed_policy(name: str, command: Command, work: Path) -> None:
    problem = f"- {name} is not read as a policy: rename it to pypitoken.toml or [tool.keyring-pypitoken]\n"
    (work / name).write_text('projects = ["demo"]\n')
    assert command("check") == (1, problem, "")
    assert command("check", name) == (1, problem, "")


def test_check_fails_on_a_misnamed_table(command: Command, work: Path) -> None:
    (work / "pyproject.toml").write_text("[tool.pypitoken]\nprojects = []\n")
    problem = "[tool.pypitoken] of pyproject.toml is not read as a policy"
    assert command("check") == (1, f"- {problem}: rename it to pypitoken.toml or [tool.keyring-pypitoken]\n", "")


def test_check_lists_every_policy_on_the_way(command: Command, work: Path, home: Path) -> None:
    (home / "pypitoken.toml").touch()
    (work / "pypitoken.toml").touch()
    assert command("check") == (
        0,
        f"No mistakes found in pypitoken.toml, {os.path.join('..', 'pypitoken.toml')}.\n",
        "",
    )


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege here")
def test_init_writes_through_no_link(command: Command, work: Path, home: Path) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    (work / "pypitoken.toml").symlink_to(home / "target")
    assert command.refused("init") == "pypitoken.toml is there already: edit it, or replace it with --force."
    assert not (home / "target").exists()
    (home / "target").write_text("precious")
    assert command("init", "--force")[0] == 0
    assert (home / "target").read_text() == "precious"
    assert not (work / "pypitoken.toml").is_symlink()


def test_init_in_a_package_mentions_the_policy_of_the_root(command: Command, work: Path, home: Path) -> None:
    (home / "pypitoken.toml").write_text('projects = ["demo"]\n')
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    above = os.path.join("..", "pypitoken.toml")
    wrote = "Wrote pypitoken.toml: only demo can be uploaded from here. Commit it.\n"
    assert command("init") == (0, f"{wrote}The policies above it apply as well: {above}.\n", "")


def test_the_hook_for_pre_commit_runs_check_on_policies() -> None:
    hook = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")
    assert "\n  entry: keyring-pypitoken check\n" in hook
    assert "\n  language: python\n" in hook
    (pattern,) = re.findall(r"^  files: '(.*)'$", hook, re.MULTILINE)
    for name, taken in (
        ("pypitoken.toml", True),
        ("a/pyproject.toml", True),
        ("pypitoken_toml", False),
        ("x.toml", False),
    ):
        assert bool(re.search(pattern, name)) is taken
