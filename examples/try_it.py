"""Try keyring-pypitoken: one real upload, from storing a master to what the index saw.

    python3 examples/try_it.py

It works in a temporary directory that it removes again, installs this clone there, serves an index on loopback that
judges tokens as PyPI does, and touches neither your keyring nor your settings nor PyPI.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CLONE = Path(__file__).resolve().parent.parent
NEEDED = ("build", "flit_core", "twine")
MODULE = {
    "pyproject.toml": '[build-system]\nrequires = ["flit_core>=3.9"]\nbuild-backend = "flit_core.buildapi"\n\n'
    '[project]\nname = "{name}"\nversion = "1.0"\ndescription = "A project to try things with."\n',
    "{module}.py": '"""A project to try things with."""\n',
}
POLICY = """\
# An encrypted file, opened by an identity made for this demonstration; on a desktop its keyring needs no setting.
[store]
identity = "identity.txt"

[repository.local]
url = "{url}"
domain = "pypi.org"
"""


def main() -> None:
    """Install what is needed into a temporary environment, and show the demonstration there."""
    if sys.argv[1:] == ["--here"]:  # the tests, in an environment that has everything
        with tempfile.TemporaryDirectory(prefix="keyring-pypitoken-") as directory:
            demonstrate(Path(directory).resolve())
        return
    with tempfile.TemporaryDirectory(prefix="keyring-pypitoken-") as directory:
        say("Installing this clone, twine and build into a temporary directory, for half a minute or so ...")
        environment = Path(directory) / "environment"
        python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        pip = [str(python), "-m", "pip"]
        if subprocess.run([sys.executable, "-m", "venv", environment], capture_output=True, check=False).returncode:
            # On Debian ensurepip is in another package: use the pip outside.
            subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", environment], check=True)
            pip = [sys.executable, "-m", "pip", "--python", str(python)]
        quiet = ("--quiet", "--disable-pip-version-check")
        subprocess.run([*pip, "install", *quiet, f"{CLONE}[age]", *NEEDED], check=True)
        raise SystemExit(subprocess.run([python, __file__, "--here"], check=False).returncode)


def demonstrate(directory: Path) -> None:
    """Store a master, upload with twine, and look at what the index received."""
    from loopback_index import LoopbackIndex, read_token

    class Overhearing(LoopbackIndex):
        """An index that remembers the token of the last upload, as somebody who reads the traffic could."""

        overheard = ""

        def receive(self, authorization: str, form: Any) -> Any:
            """Take an upload."""
            self.overheard = read_token(authorization) or ""
            return super().receive(authorization, form)

    with Overhearing() as index:
        environ = prepare(directory, index.upload_url) | {"TWINE_REPOSITORY_URL": index.upload_url}
        master = index.create_master("you")

        step("Store a master token once")
        login = ["keyring-pypitoken", "login", "-r", "local"]
        show(login, directory, environ, stdin=master, remark="the master is pasted")

        step("Build a project, and upload it with twine as ever")
        project = make_project(directory, "try-it-demo")
        show(["python", "-m", "build", "--no-isolation"], project, environ, quiet=True)
        twine = ["twine", "upload", "dist/*"]
        show(twine, project, environ, remark="TWINE_REPOSITORY_URL is the index on loopback")

        step("What arrived: a token for this project and some minutes, not the master")
        for upload in index.uploads:
            print(f"    {upload.filename}: {upload.status} {upload.reason}, the master itself: {yes(upload.is_master)}")
        explain(index.uploads[0].restrictions)

        step("Somebody who overheard it cannot upload another project with it ...")
        other = make_project(directory, "another-project")
        show(["python", "-m", "build", "--no-isolation", "--wheel"], other, environ, quiet=True)
        stolen = environ | {"TWINE_USERNAME": "__token__", "TWINE_PASSWORD": index.overheard}
        show(twine, other, stolen, fails=True, remark="TWINE_PASSWORD is the token overheard")

        step("... and no project at all once its window is over (the index's clock moves by 20 minutes)")
        index.clock_offset = 20 * 60
        shutil.rmtree(project / "dist")
        (project / "pyproject.toml").write_text((project / "pyproject.toml").read_text().replace('"1.0"', '"1.1"'))
        show(["python", "-m", "build", "--no-isolation", "--wheel"], project, environ, quiet=True)
        show(twine, project, stolen, fails=True, remark="TWINE_PASSWORD is the token overheard")

        step("The master never left the store")
        used = [upload.filename for upload in index.uploads if upload.is_master]
        print(f"    uploads that came with the master: {len(used)} of {len(index.uploads)}")
        print(f"    files in which it can be read: {', '.join(holding(master, directory)) or 'none'}")
        succeeded = [upload.status for upload in index.uploads] == [200, 200, 403, 403]
    say("\nDone: everything above is removed again." if succeeded and not used else "\nThis did not go as it should.")
    if used or not succeeded:
        raise SystemExit(1)


def prepare(directory: Path, url: str) -> dict[str, str]:
    """Give the programs a home, settings and a store within the directory, and nothing of the user's."""
    from pyrage import x25519

    home = directory / "home"
    home.mkdir()
    foreign = ("KEYRING_", "PYTHON_KEYRING", "TWINE_", "XDG_", "DBUS_", "GITHUB_", "ACTIONS_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environ |= {name: str(home) for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")}
    environ |= {
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "200",
    }
    code = "from keyring_pypitoken.paths import user_policy; print(user_policy())"
    policy = Path(
        subprocess.run([sys.executable, "-c", code], env=environ, stdout=-1, check=True, text=True).stdout[:-1]
    )
    policy.parent.mkdir(parents=True, mode=0o700)
    policy.write_text(POLICY.format(url=url))
    policy.chmod(0o600)
    identity = policy.with_name("identity.txt")
    identity.touch(mode=0o600)
    identity.write_text(f"{x25519.Identity.generate()}\n")
    return environ


def make_project(directory: Path, name: str) -> Path:
    """Write a project of one module."""
    project = directory / name
    project.mkdir()
    for file, text in MODULE.items():
        module = name.replace("-", "_")
        (project / file.format(module=module)).write_text(text.format(name=name))
    return project


def show(
    command: list[str],
    directory: Path,
    environ: Mapping[str, str],
    *,
    stdin: str = "",
    quiet: bool = False,
    fails: bool = False,
    remark: str = "",
) -> None:
    """Run a command and show it as a terminal would: with both outputs, but no colours or progress bars."""
    print(f"    $ {' '.join(command)}{remark and f'   # {remark}'}", flush=True)
    program = shutil.which(command[0], path=environ["PATH"])
    if command[0] == "python" or program is None:
        program = sys.executable
    plain = ["--disable-progress-bar"] if command[0] == "twine" else []
    done = subprocess.run(
        [program, *command[1:], *plain],
        cwd=directory,
        env=environ,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if not quiet or done.returncode:
        for line in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines():
            print(f"    {line.rstrip()}" if line.strip() else "")
    if (done.returncode != 0) is not fails:
        sys.exit(f"{command[0]} ended with {done.returncode}")


def explain(restrictions: list[Any]) -> None:
    """Print in words what the caveats of a token demand."""
    for tag, *fields in restrictions:
        if tag == 0:
            not_after, not_before = (time.strftime("%H:%M:%S", time.localtime(second)) for second in fields)
            print(f"    restricted to the time from {not_before} until {not_after}")
        else:
            print(f"    restricted to uploads of {', '.join(fields[0])}")


def holding(master: str, directory: Path) -> list[str]:
    """Return the names of the files that hold the master, as it is or encoded."""
    import base64

    spellings = {master.encode(), base64.b64encode(master.encode())[:60]}
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path.name for path in files if any(text in path.read_bytes() for text in spellings)]


def step(title: str) -> None:
    """Begin a step."""
    say(f"\n{title}")


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def yes(answer: bool) -> str:  # noqa: FBT001 - it is the value, not a switch
    """Answer in a word."""
    return "yes" if answer else "no"


if __name__ == "__main__":
    main()
