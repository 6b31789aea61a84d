"""Command lines of uploaders, and a tree of projects in which they are typed: `test_parsers_*` has the options.

`@DIRECTORY` begins a line that is typed there; `$` one whose patterns the shell expands; `!` one that the plugin must
refuse although the uploader would upload. `{elsewhere}` and `{forbidding}` are other repositories, with their own
policies.
"""

from __future__ import annotations

import glob
import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

from distributions import make_sdist, make_wheel

if TYPE_CHECKING:
    from pathlib import Path

_ONE = "packages/one/dist/pkg_one-1.0"
_ROOT = "dist/mono_root-1.0"

LINES = {
    "twine": (
        "twine upload dist/*",
        "$twine upload dist/*",
        f"twine upload {_ROOT}.tar.gz",
        f"twine upload {_ROOT}.tar.gz {_ROOT}.tar.gz",
        "twine upload packages/one/dist/*",
        "twine upload packages/*/dist/*",
        "$twine upload packages/one/dist/* packages/two/dist/*",
        "twine upload {elsewhere}/dist/*",
        "twine upload dist/* {elsewhere}/dist/*",
        "!twine upload {forbidding}/dist/*",
        "!twine upload dist/* {forbidding}/dist/*",
        "twine upload mixed/*",
        "twine upload hidden/*",
        "@packages/one twine upload '../*/dist/*'",
        "$twine upload {{elsewhere,dist}}/*.whl dist/*",
        "twine upload odd/legacy_demo-1.0.zip odd/legacy_demo-1.0.zip.asc",
        "twine upload odd/*",
        "twine upload odd/Old.Name-1.0.tar.gz",
        "twine upload odd/legacy_demo-1.0.zip.asc",
        "twine upload linked/*",
        "!twine upload linked-forbidding/*",
        "twine upload 'my dir/*'",
        "twine upload nothing/*",
        "twine upload",
        f"twine upload -c {_ONE}.tar.gz {_ROOT}.tar.gz",
        "@packages/one twine upload dist/*",
        "@packages/one twine upload ../two/dist/* dist/*",
        "python -m twine upload dist/*",
        "env NAME=1 twine upload dist/*",
        "env -u NAME nice -n 1 twine upload packages/two/dist/*",
        "timeout 100 twine upload dist/*",
        "sh -c 'twine upload dist/*'",
        "uv run --no-project --offline twine upload packages/one/dist/*",
        "uv run --no-project --directory packages/one twine upload dist/*",
        "UV_WORKING_DIR=packages/one uv run --no-project twine upload dist/*",
        "env UV_WORKING_DIRECTORY=packages/one uv run --no-project twine upload dist/*",
        "uv --directory packages/one run --no-project twine upload dist/*",
        "uv run --no-project --isolated -q twine upload packages/two/dist/*",
        "uv run --no-project -m twine upload packages/two/dist/*",
        "env -C packages/one twine upload dist/*",
        "env --chdir=packages/one twine upload dist/*",
        "env -S 'twine upload dist/*'",
        "bash -ec 'cd packages/one && exec twine upload dist/*'",
        "nohup twine upload dist/*",
        "xargs twine upload dist/mono_root-1.0.tar.gz",
        "uv run --no-project --offline python -m twine upload packages/one/dist/*",
    ),
    "uv": (
        "uv publish",
        "uv publish dist/*",
        f"uv publish {_ROOT}.tar.gz",
        "uv publish packages/one/dist/* packages/two/dist/*",
        "uv publish 'packages/*/dist/*'",
        "uv publish 'packages/**/dist/*'",
        "!uv publish '**/*.whl'",
        "uv publish '**'",
        "uv publish packages/one",
        "uv publish dist",
        "uv publish mixed/*",
        "uv publish hidden/*",
        "@packages/one uv publish '../*/dist/*'",
        "uv --directory packages/one --project ../two publish",
        "timeout 100 uv --directory packages/one publish",
        "sh -c 'uv publish packages/one/dist/*'",
        "bash -ec 'cd packages/one; exec uv publish'",
        "uv publish odd/*",
        "uv publish odd/Old.Name-1.0.tar.gz",
        "uv publish linked/*",
        "!uv publish linked-forbidding/*",
        "uv publish '**/*.zip'",
        "uv publish 'my dir/*'",
        "uv publish {elsewhere}/dist/*",
        "!uv publish {forbidding}/dist/*",
        "!uv publish dist/* {forbidding}/dist/*",
        "uv publish nothing/*",
        "uv -v publish --no-attestations mixed/*",
        "uv --directory packages/one publish",
        "uv publish --directory packages/one",
        "uv publish --directory=packages/one '../two/dist/*'",
        "uv --project packages/one publish",
        "UV_WORKING_DIR=packages/one uv publish",
        "UV_WORKING_DIRECTORY=packages/two uv publish",
        "uv --directory {elsewhere} publish",
        "!uv --directory {forbidding} publish",
        "@packages/one uv publish",
        "@packages uv publish",
        "nice uv publish",
        "env uv publish dist/*",
        "python -m uv publish",
    ),
    "hatch": (
        "hatch publish",
        "hatch publish dist",
        "$hatch publish dist/*",
        "hatch publish dist/*",
        f"hatch publish {_ROOT}.tar.gz",
        f"hatch publish {_ROOT}.tar.gz {_ONE}.tar.gz",
        "hatch publish packages/one/dist",
        "hatch publish packages/one/dist packages/two/dist",
        "hatch publish packages",
        "hatch publish mixed",
        "hatch publish hidden",
        "sh -c 'hatch publish packages/one/dist'",
        "env -C packages/one hatch publish",
        "hatch publish odd",
        "hatch publish odd/legacy_demo-1.0.zip dist",
        "hatch publish linked",
        "!hatch publish linked-forbidding",
        "hatch publish 'my dir'",
        "hatch publish nothing",
        "hatch publish dist nothing",
        "hatch publish -o x=y packages/one/dist",
        "hatch publish {elsewhere}/dist",
        "!hatch publish {forbidding}/dist",
        "!hatch publish dist {forbidding}/dist",
        "@packages/one hatch publish",
        "@packages/one hatch publish ../two/dist dist",
        "@packages hatch publish",
        "@packages hatch publish one/dist",
        "@packages/one/dist hatch publish",
        "hatch -p one publish",
        "hatch -pone publish dist ../two/dist",
        "HATCH_PROJECT=one hatch publish",
        "@packages/two hatch --project one publish",
        "!hatch -p forbidding publish",
        "python -m hatch publish",
    ),
    "poetry": (
        "poetry publish -r local",
        "poetry publish -r local --dry-run",
        "poetry publish -r local --dist-dir mixed",
        "poetry publish -r local --dist-dir packages/one/dist",
        "poetry publish -r local --dist-dir nothing",
        "poetry -C packages/one publish -r local",
        "poetry publish -r local -C packages/two",
        "poetry -P packages/one publish -r local",
        "poetry -P packages/one publish -r local --dist-dir dist",
        "poetry -C packages -P one publish -r local",
        "poetry -C packages/one publish -r local --dist-dir ../../mixed",
        "sh -c 'poetry -C packages/one publish -r local'",
        "env -C packages/one poetry publish -r local",
        "poetry -C {elsewhere} publish -r local",
        "!poetry -C {forbidding} publish -r local",
        "!poetry -P {forbidding} publish -r local",
        "@packages/one poetry publish -r local",
        "@packages/one/dist poetry publish -r local",
        "@packages poetry publish -r local",
        "python -m poetry publish -r local",
        "nice poetry -C packages/one publish -r local",
    ),
    "pdm": (
        "pdm publish --no-build",
        "pdm publish --no-build -d mixed",
        "pdm publish --no-build -d packages/one/dist -d mixed",
        "pdm publish --no-build -d odd",
        "pdm publish --no-build -d hidden",
        "sh -c 'pdm publish --no-build -d packages/one/dist'",
        "env -C packages/one pdm publish --no-build",
        "pdm publish --no-build -d nothing",
        "pdm publish --no-build -d linked",
        "!pdm publish --no-build -d linked-forbidding",
        "pdm publish --no-build -d 'my dir'",
        "pdm publish --no-build -d {elsewhere}/dist",
        "!pdm publish --no-build -d {forbidding}/dist",
        "pdm publish --no-build -p packages/one",
        "pdm publish --no-build -p packages/one -d ../two/dist",
        "PDM_PROJECT=packages/one pdm publish --no-build",
        "pdm publish --no-build -p {elsewhere}",
        "!pdm publish --no-build -p {forbidding}",
        f"pdm publish --no-build -c {_ONE}.tar.gz",
        f"pdm publish --no-build {_ONE}.tar.gz",
        "@packages/one pdm publish --no-build",
        "@packages/one pdm publish --no-build -d ../two/dist",
        "@packages/one/dist pdm publish --no-build",
        "@packages pdm publish --no-build",
        "@packages/two pdm publish",
        "pdm publish -p packages/two",
        "python -m pdm publish --no-build",
    ),
    "pdm alone": (
        "pdm publish --no-build",
        "pdm publish --no-build -d mixed",
        "pdm publish --no-build -p packages/one",
        "pdm publish --no-build -p packages/one -d ../two/dist",
        "@packages/one pdm publish --no-build",
        "!pdm publish --no-build -p {forbidding}",
        "@packages/two pdm publish",
    ),
    "flit": (
        "flit publish --no-use-vcs",
        "flit publish --no-use-vcs --format wheel",
        "flit -f packages/one/pyproject.toml publish --no-use-vcs",
        "flit -f {elsewhere}/pyproject.toml publish --no-use-vcs",
        "!flit -f {forbidding}/pyproject.toml publish --no-use-vcs",
        "flit -f nothing.toml publish --no-use-vcs",
        "@packages/one flit publish --no-use-vcs",
        "@packages/one flit -f ../two/pyproject.toml publish --no-use-vcs",
        "@packages flit publish --no-use-vcs",
        "@packages flit -f one/pyproject.toml publish --no-use-vcs --format wheel",
        "python -m flit publish --no-use-vcs",
        "nice flit publish --no-use-vcs",
    ),
    "maturin": (
        f"maturin upload {_ROOT}.tar.gz",
        f"maturin upload {_ROOT}.tar.gz {_ROOT}-py3-none-any.whl",
        f"maturin upload {_ROOT}.tar.gz {_ONE}-py3-none-any.whl",
        f"maturin -v upload -- {_ONE}.tar.gz",
        "$maturin upload dist/*",
        "$maturin upload packages/*/dist/*",
        "maturin upload dist/*",
        "$maturin upload {elsewhere}/dist/*",
        "!$maturin upload {forbidding}/dist/*",
        "@packages/one maturin upload dist/pkg_one-1.0.tar.gz",
    ),
}


class Line(NamedTuple):
    """A command line: its words, its directory, its variables, and whether the plugin must refuse it."""

    words: list[str]
    directory: Path
    environ: dict[str, str]
    is_forbidden: bool

    @classmethod
    def parse(cls, text: str, work: Path) -> Line:
        """Read a line of the table, typed in a tree."""
        rest = text.removeprefix("!")
        is_expanded = rest.startswith("$")
        words = shlex.split(rest.removeprefix("$"))
        others = {name: str(work.parent / name) for name in ("elsewhere", "forbidding")}
        words = [word.format(**others) for word in words]
        directory = work / words.pop(0)[1:] if words[0].startswith("@") else work
        environ: dict[str, str] = {}
        while "=" in words[0]:
            name, _, environ[name] = words.pop(0).partition("=")
        if is_expanded:
            words = [name for word in words for name in sorted(glob.glob(word, root_dir=directory)) or [word]]
        return cls(words, directory, environ, text.startswith("!"))


def write_projects(work: Path) -> None:
    """Write a repository of three projects, and two other repositories beside it."""
    for directory, name in (
        (work, "mono.Root"),
        (work / "packages" / "one", "Pkg.One"),
        (work / "packages" / "two", "pkg-two"),
        (work.parent / "elsewhere", "Else_where"),
        (work.parent / "forbidding", "forbidden"),
    ):
        _write_project(directory, name)
    for repository, projects in (
        (work, ""),
        (work.parent / "elsewhere", "else-where"),
        (work.parent / "forbidding", "x"),
    ):
        (repository / ".git").mkdir()
        (repository / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        if projects:
            (repository / "pypitoken.toml").write_text(f'projects = ["{projects}"]\n')
    with (work / "packages" / "two" / "pyproject.toml").open("a") as file:
        file.write('[tool.pdm.options]\npublish = ["--no-build"]\n')
    for name, version in (("Pkg.One", "0.9"), ("Pkg.One", "1.0"), ("pkg-two", "1.0"), ("mono.Root", "0.9")):
        make_wheel(work / "mixed", name, version)
        make_sdist(work / "mixed", name, version)
    make_wheel(work / "hidden", "pkg-two", "1.0")
    make_sdist(work / "hidden", "hidden", "1.0").rename(work / "hidden" / ".hidden-1.0.tar.gz")
    make_sdist(work / "my dir", "mono.Root", "1.0")
    _write_odd(work / "odd")
    (work / "linked").symlink_to(work.parent / "elsewhere" / "dist")
    (work / "linked-forbidding").symlink_to(work.parent / "forbidding" / "dist")
    config = work.parent / "config" / "hatch" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"[projects]\none = '{work / 'packages' / 'one'}'\nforbidding = '{work.parent / 'forbidding'}'\n")


def _write_project(directory: Path, name: str) -> None:
    module = name.lower().replace(".", "_").replace("-", "_")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["flit_core>=3.9"]\nbuild-backend = "flit_core.buildapi"\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\ndescription = "A project."\nrequires-python = ">=3.9"\n'
        f'[tool.flit.module]\nname = "{module}"\n'
    )
    (directory / f"{module}.py").write_text('"""A project."""\n')
    make_wheel(directory / "dist", name, "1.0")
    make_sdist(directory / "dist", name, "1.0")


def _write_odd(directory: Path) -> None:
    """Write what uploaders skip or attach, an old name, and a sdist that is a zip."""
    import zipfile

    from distributions import metadata

    make_sdist(directory, "Old.Name", "1.0").rename(directory / "Old.Name-1.0.tar.gz")
    with zipfile.ZipFile(directory / "legacy_demo-1.0.zip", "w") as archive:
        archive.writestr("legacy_demo-1.0/PKG-INFO", metadata("legacy-demo", "1.0"))
        archive.writestr("legacy_demo-1.0/setup.py", "")
    for ending in (".asc", ".publish.attestation"):
        (directory / f"legacy_demo-1.0.zip{ending}").write_text("{}")
    os.utime(directory)
