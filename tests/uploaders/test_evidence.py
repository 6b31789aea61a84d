"""Which projects an upload is for: the first source that speaks wins, and what it says is understood or refused."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from distributions import make_sdist, make_wheel

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.uploaders.evidence import (
    find_evidence,
    find_workspace,
    projects_of_file,
    read_file,
    read_override,
)
from keyring_pypitoken.uploaders.options import named_files
from keyring_pypitoken.uploaders.uploader import Process

VARIABLE = "KEYRING_PYPITOKEN_PROJECT"
FILES = "the files in ."


def find(
    *arguments: str, hint: str | None = None, variable: str | None = None, directory: Path | None = None
) -> WithOrigin[tuple[str, ...]] | None:
    """Find evidence in a run of twine in the current directory."""
    environ = {} if variable is None else {VARIABLE: variable}
    process = Process("twine", ("upload", *arguments), directory or Path.cwd(), environ)
    return find_evidence(process, hint).projects


def refused(
    *arguments: str, hint: str | None = None, variable: str | None = None, directory: Path | None = None
) -> str:
    """Return why evidence is refused, whole."""
    with pytest.raises(Refusal) as caught:
        find(*arguments, hint=hint, variable=variable, directory=directory)
    assert caught.value.__cause__ is None
    return str(caught.value)


def shown(origin: str, *projects: str) -> WithOrigin[tuple[str, ...]]:
    """Return evidence."""
    return WithOrigin(projects, Origin(origin))


# Their order


def test_nothing_is_no_evidence() -> None:
    assert find() is None


def test_the_first_source_that_answers_wins(work: Path) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "by-directory"\n', "utf-8")
    file = "by_argument-1.0.tar.gz"
    (work / file).touch()
    assert [
        find(file, hint="by-hint", variable="by-variable, by-argument"),
        find(file, hint="by-argument"),
        find(file),
        find(),
    ] == [
        shown(VARIABLE, "by-argument", "by-variable"),
        shown("the lookup", "by-argument"),
        shown(FILES, "by-argument"),
        shown("pyproject.toml", "by-directory"),
    ]


def test_files_of_several_directories_are_those_of_the_program(work: Path) -> None:
    for name in ("a", "b"):
        (work / name).mkdir()
        (work / name / f"{name}-1.0.zip").touch()
    assert find("*/*.zip") == shown("the files of twine", "a", "b")
    checked = Process("twine", ("check", "*/*.zip"), work, {})  # which uploads none of them
    assert find_evidence(checked).files is None


def test_refuses_files_of_another_project_than_the_one_that_is_named(work: Path) -> None:
    (work / "b-1.0.zip").touch()
    assert [refused("b-1.0.zip", variable="a, c"), refused("b-1.0.zip", hint="a")] == [
        f"'b-1.0.zip' is a file of b, but {VARIABLE} names a, c: leave the file out, or correct the name.",
        "'b-1.0.zip' is a file of b, but the lookup names a: leave the file out, or correct the name.",
    ]


def test_what_is_not_asked_is_not_read(work: Path) -> None:
    (work / "pyproject.toml").write_text("[[[", "utf-8")
    (work / "a-1.0.zip").touch()
    assert [find(variable="a"), find(hint="a"), find("a-1.0.zip")] == [
        shown(VARIABLE, "a"),
        shown("the lookup", "a"),
        shown(FILES, "a"),
    ]


@pytest.mark.parametrize("file", ["gone-1.0.zip", "notes.txt"])
def test_files_that_are_refused_do_not_matter_if_the_project_is_named(work: Path, file: str) -> None:
    (work / "notes.txt").touch()
    assert [find(file, variable="a"), find(file, hint="a")] == [shown(VARIABLE, "a"), shown("the lookup", "a")]
    assert refused(file)


# The upload that runs


def test_the_files_of_the_running_upload_count_and_not_the_command_line(work: Path) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "a"\n', "utf-8")
    for name in ("b-1.0.zip", "c-1.0.zip"):
        (work / name).touch()
    process = Process("twine", ("upload", "c-1.0.zip"), work, {}, files=(work / "b-1.0.zip",))
    assert find_evidence(process).projects == shown(FILES, "b")
    process = Process("twine", (), work, {}, files=())
    with pytest.raises(Refusal) as caught:
        find_evidence(process)
    assert str(caught.value) == (
        "twine does not show which files it uploads: build them, or name the project in KEYRING_PYPITOKEN_PROJECT."
    )
    assert find_evidence(process._replace(environ={VARIABLE: "a"})).projects == shown(VARIABLE, "a")


def test_more_files_than_an_upload_has_are_refused_by_their_number(work: Path) -> None:
    files = (work / "a-1.0.zip",) * 20_001
    with pytest.raises(Refusal) as caught:
        find_evidence(Process("twine", (), work, {}, files=files))
    assert str(caught.value) == "20001 files are too many for one upload: name fewer."


# Files


def test_refuses_a_file_that_shows_no_project(work: Path) -> None:
    (work / "notes.txt").touch()
    assert refused("notes.txt") == (
        "'notes.txt' is not named like a wheel or an sdist, so its project is unknown: leave it out, as in `dist/*.whl "
        "dist/*.tar.gz`."
    )
    with pytest.raises(Refusal) as caught:  # it vanished meanwhile
        read_file(work / "demo-1.0.zip", "demo-1.0.zip")
    assert str(caught.value) == "the file 'demo-1.0.zip' does not exist: build it, or correct its name."


def test_what_arguments_name_is_found_in_their_directory_wherever_this_process_is(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("demo-1.0[1].zip", "demo-1.01.zip"):
        (work / name).touch()
    monkeypatch.chdir(tmp_path)
    assert named_files(["demo-1.0[1].zip"], work) == [work / "demo-1.0[1].zip"]
    assert named_files(["demo-1.0?.zip"], work) == [work / "demo-1.01.zip"]


def test_a_workspace_ends_at_the_nearest_metadata_wherever_this_process_is(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "outer"\n')
    (work / "inner").mkdir()
    (work / "inner" / "setup.cfg").write_text("[metadata]\n")
    monkeypatch.chdir(tmp_path)
    assert find_workspace(work / "inner", tmp_path) == (work / "inner", [])


def test_refuses_a_pattern_of_the_command_that_finds_nothing(work: Path) -> None:
    for pattern in ("demo-1.0.zip", "dist/*"):
        with pytest.raises(Refusal) as caught:
            find_evidence(Process("keyring-pypitoken", (), work, {}), patterns=(pattern,))
        assert str(caught.value) == f"'{pattern}' matches no file: build first, or correct the name."


# The variable and the lookup


def test_the_variable_and_the_lookup_name_projects() -> None:
    for variable, *projects in (
        ("demo", "demo"),
        (" \tDemo.Pkg\n", "demo-pkg"),
        ("b, a ,c", "a", "b", "c"),
        (",a,, ,b,", "a", "b"),
        ("a_b,A-B,a.b", "a-b"),
    ):
        assert find(variable=variable) == shown(VARIABLE, *projects)
    for variable in ("", " ", ",", " , ,"):
        assert find(variable=variable, hint="My_Demo.Pkg") == shown("the lookup", "my-demo-pkg")


def test_refuses_an_invalid_name() -> None:
    for variable, text in (
        ("../x", "'../x'"),
        ("demo, -demo", "'-demo'"),
        ("a b", "'a b'"),
        ("dem\u00f6", "'dem\u00f6'"),
        ("a\x1b[2J", r"'a\x1b[2J'"),
        ("*" * 101, "a text of 101 characters"),
    ):
        assert refused(variable=variable, hint="next") == (
            f"{text} is not a valid project name, but KEYRING_PYPITOKEN_PROJECT contains it: correct it there."
        )
    assert refused(hint="a/b") == "'a/b' is not a valid project name, but the lookup contains it: correct it there."


# Distribution files

NAMES = {
    "demo-1.0-py3-none-any.whl": "demo",
    "Demo_Pkg-1.0-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl": "demo-pkg",
    "demo-1.0.tar.gz": "demo",
    "demo_pkg-1!2.0rc1.post2.dev3+local.1.tar.gz": "demo-pkg",
    "my-old-name-1.0.tar.gz": "my-old-name",
    "demo-1.0-a1.zip": "demo",  # one split is valid
    "Zope.Interface-5.0.zip": "zope-interface",
}
NO_NAMES = (
    # Neither a wheel nor an sdist
    *("", "demo", "dist/", "demo-1.0.tar.gz/", "demo-1.0.tar.gz.asc", "demo-1.0-py3-none-any.whl.asc"),
    *("demo-1.0.tar.gz.publish.attestation", "demo-1.0.tar.bz2", "demo-1.0.tgz", "demo-1.0.egg", "demo-1.0-py3.11.exe"),
    *("demo-1.0.TAR.GZ", "metadata.json"),
    # Neither a name nor a version can be read from these.
    *(".whl", ".tar.gz", "demo.whl", "demo-1.0.whl", "demo-1.0-any.whl", "demo-one-py3-none-any.whl"),
    *("demo-1.0-x-py3-none-any.whl", "demo__pkg-1.0-py3-none-any.whl", "dem\u00f6-1.0-py3-none-any.whl"),
    *("-1.0-py3-none-any.whl", "demo.tar.gz", "demo-stale.tar.gz", "demo-1.0-copy.tar.gz", "demo-.zip", "-1.0.zip"),
    *("_-1.0.zip", "dem\u00f6-1.0.zip", "a b-1.0.zip"),
)


def test_reads_the_project_from_the_name_of_a_distribution(tmp_path: Path) -> None:
    for file, project in NAMES.items():
        assert projects_of_file(file) == (project,)
    for file in NO_NAMES:
        assert projects_of_file(file) == (), file
    for make in (make_wheel, make_sdist):
        assert projects_of_file(make(tmp_path, "Demo.Pkg", "1.0").name) == ("demo-pkg",)


def archive(path: Path, *members: tuple[str, str], kind: bytes = tarfile.REGTYPE) -> None:
    """Write a .tar.gz."""
    with tarfile.open(path, "w:gz") as file:
        for name, text in members:
            member = tarfile.TarInfo(name)
            member.size, member.type, member.mtime = len(text), kind, 1.5  # with a header of its own for that
            file.addfile(member, io.BytesIO(text.encode()))


TOP = "leo-6.7.8-9"


@pytest.mark.parametrize(
    ("members", "project"),
    [
        ([(f"{TOP}/PKG-INFO", "Name: Leo\n")], "leo"),
        (
            [(f"{TOP}/leo.egg-info/PKG-INFO", "Name: x\n"), (f"{TOP}/PKG-INFO", "Name: leo-6.7.8\n\nName: x")],
            "leo-6-7-8",
        ),
        ([(f"{TOP}/PKG-INFO", "Name: other\n")], None),
        ([(f"{TOP}/PKG-INFO", "Name: a/b\n")], None),
        ([(f"{TOP}/PKG-INFO", "Version: 1\n")], None),
        ([(f"{TOP}/PKG-INFO", "Name: leo\n")] * 2, None),
        ([("leo/PKG-INFO", "Name: leo\n"), ("PKG-INFO", "Name: leo\n")], None),
        ([(f"{TOP}/PKG-INFO", "Name: leo\n" + " " * 1024 * 1024)], None),
        ([(f"{TOP}/x", "x" * 64 * 1024 * 1024), (f"{TOP}/PKG-INFO", "Name: leo\n")], None),
        ([], None),
    ],
)
def test_an_sdist_whose_name_splits_in_two_ways_is_opened(
    members: list[tuple[str, str]], project: str | None, work: Path
) -> None:
    archive(work / f"{TOP}.tar.gz", *members)
    if project is not None:
        assert find(f"{TOP}.tar.gz") == shown(FILES, project)
        return
    assert refused(f"{TOP}.tar.gz") == (
        "'leo-6.7.8-9.tar.gz' may be of the project leo, leo-6-7-8, and its metadata does not show which: rebuild it, "
        "or name the project in KEYRING_PYPITOKEN_PROJECT."
    )


def test_an_sdist_that_cannot_be_read_shows_no_project(work: Path) -> None:
    path = work / f"{TOP}.tar.gz"
    header = f"{TOP}/PKG-INFO".encode().ljust(124, b"\0")
    block = gzip.compress((header + b"-0000000512\0").ljust(512, b"\0"))
    for content in (b"", b"no archive", gzip.compress(b"x" * 512)[:-9], gzip.compress(b"x" * 512), block):
        path.write_bytes(content)
        assert refused(path.name).startswith("'leo-6.7.8-9.tar.gz' may be of")
    archive(path, (f"{TOP}/PKG-INFO", ""), kind=tarfile.SYMTYPE)
    assert refused(path.name).startswith("'leo-6.7.8-9.tar.gz' may be of")
    (work / f"{TOP}.zip").touch()  # a form that is not opened
    assert refused(f"{TOP}.zip").startswith("'leo-6.7.8-9.zip' may be of")


def test_only_a_few_sdists_are_opened(work: Path) -> None:
    names = [f"leo-6.7.{number}-9.tar.gz" for number in range(5)]
    for name in names:
        archive(work / name, (f"{name.removesuffix('.tar.gz')}/PKG-INFO", "Name: leo\n"))
    assert find(*names[1:]) == shown(FILES, "leo")
    assert refused(*names) == "5 files are too many for one upload: name fewer."


# The directory

PYPROJECTS: dict[str, tuple[str, str | None]] = {
    "project": ('[project]\nname = "Demo.Pkg"\n', "demo-pkg"),
    "poetry": ('[tool.poetry]\nname = "Demo_Pkg"\n', "demo-pkg"),
    "flit, by its name": ('[tool.flit.metadata]\nmodule = "x"\ndist-name = "Demo-Pkg"\n', "demo-pkg"),
    "flit, by its module": ('[tool.flit.metadata]\nmodule = "demo_pkg"\n', "demo-pkg"),
    "project before poetry": ('[project]\nname = "a"\n[tool.poetry]\nname = "b"\n', "a"),
    "poetry before flit": ('[tool.poetry]\nname = "a"\n[tool.flit.metadata]\nmodule = "b"\n', "a"),
    "an empty name is none": ('[project]\nname = ""\n[tool.poetry]\nname = "b"\n', "b"),
    "no name": ('[project]\nversion = "1.0"\n[tool.poetry]\n[tool.flit]\n', None),
    "no tables": ('project = "a"\ntool = ["b"]\n', None),
    "tables of another kind": ('[tool]\npoetry = 1\nflit = {metadata = "x"}\n', None),
    "empty": ("", None),
}


def test_reads_the_name_from_a_pyproject(work: Path) -> None:
    for what, (text, project) in PYPROJECTS.items():
        (work / "pyproject.toml").write_text(text, "utf-8")
        assert find() == (None if project is None else shown("pyproject.toml", project)), what


def test_reads_the_name_from_a_setup_cfg(work: Path) -> None:
    for text, project in (
        ("[metadata]\nname = Demo.Pkg\n", "demo-pkg"),
        ("[flake8]\nname = x\n[metadata]\nversion = 1\nName: demo\n", "demo"),
        ("[metadata]\nname = demo\nlong_description = 100%(x)s\n", "demo"),
        ("[metadata]\nversion = 1\n", None),
        ("[metadata]\nname =\n", None),
        ("[flake8]\nname = x\n", None),
        ("", None),
    ):
        (work / "setup.cfg").write_text(text, "utf-8")
        (work / "pyproject.toml").unlink(missing_ok=True)
        alone = find()
        (work / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools"]\n', "utf-8")
        assert alone == find() == (None if project is None else shown("setup.cfg", project))


def test_a_pyproject_comes_before_a_setup_cfg(work: Path) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n', "utf-8")
    (work / "setup.cfg").write_text("no section\n", "utf-8")
    assert find() == shown("pyproject.toml", "demo")


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.cfg"])
def test_finds_the_nearest_project(work: Path, name: str) -> None:
    (work / name).write_text({"p": '[project]\nname = "demo"', "s": "[metadata]\nname = demo"}[name[0]], "utf-8")
    directory = work / "src" / "demo"
    directory.mkdir(parents=True)
    assert find(directory=directory) == shown(os.path.join("..", "..", name), "demo")


@pytest.mark.parametrize(
    ("nearer", "text"), [("pyproject.toml", "[build-system]\n"), ("setup.cfg", "[flake8]\n"), ("setup.py", "")]
)
def test_the_nearest_project_counts_even_without_a_name(work: Path, nearer: str, text: str) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "outer"\n', "utf-8")
    (work / "inner").mkdir()
    (work / "inner" / nearer).write_text(text, "utf-8")
    assert find(directory=work / "inner") is None
    (work / "inner" / "Cargo.toml").write_text('[package]\nname = "inner"\n', "utf-8")
    assert find(directory=work / "inner") is None


def test_cargo_names_the_project_for_maturin(work: Path) -> None:
    (work / "Cargo.toml").write_text('[package]\nname = "My_Crate"\n', "utf-8")
    maturin = Process("maturin", ("publish",), work, {})
    assert find_evidence(maturin).projects == shown("Cargo.toml", "my-crate")
    assert find() is None
    (work / "pyproject.toml").write_text('[build-system]\nbuild-backend = "maturin"\n', "utf-8")
    assert find() == find_evidence(maturin).projects == shown("Cargo.toml", "my-crate")
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n', "utf-8")
    assert find() == find_evidence(maturin).projects == shown("pyproject.toml", "demo")


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such owners there")
@pytest.mark.parametrize("name", ["pyproject.toml", "setup.cfg", "setup.py"])
def test_a_strangers_metadata_in_a_shared_directory_names_nothing(
    name: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "mine"\n', "utf-8")
    mine = work / "shared" / "mine"
    mine.mkdir(parents=True)
    strange = work / "shared" / name
    strange.write_text({"p": '[project]\nname = "victim"', "s": "[metadata]\nname = victim"}[name[0]], "utf-8")
    nearest = os.path.join("..", name)
    assert find(directory=mine) == (None if name == "setup.py" else shown(nearest, "victim"))

    stat = os.stat

    def owned(path: os.PathLike[str], **options: Any) -> os.stat_result:
        result = stat(path, **options)
        return os.stat_result((*result[:4], 1234, *result[5:])) if path == strange else result

    monkeypatch.setattr(os, "stat", owned)
    assert find(directory=mine) == shown(os.path.join("..", "..", "pyproject.toml"), "mine")


def test_looks_for_no_project_outside_of_a_repository(work: Path) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "outer"\n', "utf-8")
    (work / "inner" / ".git").mkdir(parents=True)
    (work / "inner" / ".git" / "HEAD").touch()
    assert find(directory=work / "inner") is None


def test_refuses_a_pyproject_that_is_not_toml(work: Path) -> None:
    """The project could not be built, so that nothing of it can be uploaded."""
    (work / "pyproject.toml").write_text("[project\n", "utf-8")
    assert refused() == (
        "pyproject.toml:1 is not valid TOML: expected ']' at the end of a table declaration; correct it there."
    )


def test_refuses_a_name_that_is_no_text(work: Path) -> None:
    for key in ("project.name", "tool.poetry.name", "tool.flit.metadata.dist-name", "tool.flit.metadata.module"):
        for name in ("3", "true", '["demo"]', "{x = 1}", "2026-01-31"):
            (work / "pyproject.toml").write_text(f"{key} = {name}\n", "utf-8")
            assert refused() == "the project's name in pyproject.toml is not text: write it in quotes."


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("pyproject.toml", "[tool.poetry]\nname = '.demo'\n", "'.demo' is not a valid project name, but "),
        ("setup.cfg", "[metadata]\nname = attr: demo.__name__\n", "'attr: demo.__name__' is not a valid project name"),
        ("setup.cfg", "name = demo\n", "setup.cfg is not a valid INI file (MissingSectionHeaderError): correct it."),
        ("setup.cfg", "[metadata]\nname = a\nname = b\n", "setup.cfg is not a valid INI file (DuplicateOptionError)"),
        ("setup.cfg", "\0\0", "setup.cfg is UTF-16 text: save it as UTF-8."),
    ],
)
def test_refuses_metadata_that_names_no_project(work: Path, file: str, text: str, sentence: str) -> None:
    (work / file).write_text(text, "utf-8")
    assert refused().startswith(sentence)


def test_the_environment_shortens_the_window() -> None:
    name = "KEYRING_PYPITOKEN_VALID_FOR"
    for text, seconds in (("90", 90), ("90s", 90), ("2m", 120)):
        assert read_override({name: text}) == WithOrigin(seconds, Origin(name))
    assert read_override({name: ""}) is None
    for text in ("0", "9" * 4000, "-1", "soon"):
        with pytest.raises(Refusal):
            read_override({name: text})
