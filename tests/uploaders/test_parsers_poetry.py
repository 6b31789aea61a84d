"""What poetry's own code makes of many command lines, compared with what its uploader says.

A script in poetry's environment runs all of them in one process; only the sending of a file is cut off.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from comparison import Case, ask, find_differences

from keyring_pypitoken.lookup import Repository
from keyring_pypitoken.uploaders.poetry import UPLOADER
from keyring_pypitoken.uploaders.uploader import Process

if TYPE_CHECKING:
    from pathlib import Path

    from environments import Environments

pytestmark = pytest.mark.uploaders

SCRIPT = """
from cleo.io.inputs.argv_input import ArgvInput
from cleo.io.outputs.buffered_output import BufferedOutput
from poetry.config.config import Config
from poetry.console.application import Application
from poetry.console.commands.publish import PublishCommand
from poetry.publishing.uploader import Uploader
from poetry.utils.password_manager import PasswordManager

PasswordManager.use_keyring = False
result = {}

def upload(self, url, **options):
    files = [os.path.realpath(file) for file in self.files]
    project = os.path.realpath(self._poetry.file.path.parent)
    if not options["dry_run"]:
        result.update(url=url, files=files, project=project)
        result.update({"password": self._password} if self._password == "pypi-derived" else {})

Uploader.upload = upload
PublishCommand.call = lambda self, name, args="": result.update(built=True)
PublishCommand.confirm = lambda self, *args, **options: True

def read(arguments):
    global result
    result = {}
    Config.create(reload=True)
    app = Application()
    app.auto_exits(False)
    try:
        app.run(ArgvInput(["poetry", *arguments]), BufferedOutput(), BufferedOutput())
    except (SystemExit, Exception):
        pass
    if "url" not in result:
        return {"uploading": "nothing"}
    result["files"] = None if result.setdefault("built", False) else result["files"]
    return {"uploading": True, **result}
"""

COMMANDS = """
publish
publish -n
-n publish
publish -q
publish -vvv
publish -vv -n
publish --no-interaction --ansi
--no-plugins publish --no-cache
publish --no-pl
publish --build
publish --build -r local
--build publish
publish --skip-existing
publish -r local
publish -rlocal
publish -r=local
publish --repository local
publish --repository=local
publish --repository= local
publish --repo local
publish -r local -r slashed
publish -r slashed
publish -r none
publish -r dotted.name
publish -r source
publish -r pypi
publish -r ''
publish -r in-poetry-toml
publish -r local --dist-dir other
publish --dist-dir other
publish --dist-dir=other
publish --dist-dir ./other
publish --dist-dir ../single/dist
publish --dist-dir {base}/single/dist
publish --dist-dir none
publish --dist
publish -P ../single
publish -P../single
publish -P=../single
publish --project ../single
publish --project=../single
publish --proj ../single
--project ../single publish
-P ../single publish --dist-dir dist
publish -C ../single
-C ../single publish
-C../single publish
publish --directory ../single
publish --dire=../single
-C .. publish -P single
-C .. -P single publish
-P single -C .. publish
publish -P sub
-C sub publish
-C sub publish --dist-dir dist
publish -P none
publish -u x
publish -u x -p y
publish -ux -py
publish --username=x --password=y
publish -nu x
publish -nr local
publish -qr local
publish extra
publish --unknown
publish --unknown value
publish --cert c --client-cert d
publish --cert=c -r local
publish -- -r local
-- publish
publish --help
publish -h
--help publish
--version publish
publish -V
help publish
build
config pypi-token.pypi x
-r local publish
publish -P ../broken
publish -P ../many
publish -P ../tool
publish -P ../nameless
"""
# What poetry refuses to read, or cannot find (a relative -C to below the project), whatever the uploader says.
REFUSED = """
publish --repo local
publish --dist
-C sub publish
-C sub publish --dist-dir dist
publish -P none
publish -nu x
publish -nr local
publish -qr local
publish --unknown
publish --unknown value
-r local publish
"""
ENVIRON = {
    "POETRY_REPOSITORIES_FROM_ENV_URL": "http://127.0.0.1:9/env/legacy",
    "POETRY_REPOSITORIES_LOCAL_URL": "http://127.0.0.1:9/variable/",
}
WITH_VARIABLES = """
publish -r from-env
publish -r FROM_ENV
publish -r from_env
publish -r local
publish -r source
publish -r both
"""


@pytest.fixture
def base(work: Path, home: Path) -> Path:
    """Return a directory with projects."""
    projects = {
        "project": '[project]\nname = "My.Pkg"\nversion = "1"\n[[tool.poetry.source]]\nname = "source"\n'
        'url = "http://127.0.0.1:9/source/"\n[[tool.poetry.source]]\nname = "both"\nurl = "http://127.0.0.1:9/s/"\n',
        "single": '[project]\nname = "single"\nversion = "1"\n',
        "tool": '[tool.poetry]\nname = "a-tool"\nversion = "1"\ndescription = ""\nauthors = []\n',
        "nameless": "[tool.poetry]\npackage-mode = false\n",
        "broken": "[project\n",
        "many": '[project]\nname = "many"\nversion = "1"\n',
    }
    files = {
        "project/dist": "my_pkg-1.0.tar.gz my_pkg-1.0-py3-none-any.whl my_pkg-0.9.tar.gz other-2.0.tar.gz",
        "project/other": "my_pkg-2.0.tar.gz my_pkg-10.0.tar.gz my_pkg-10.0-1-py3-none-any.whl My.Pkg-11.tar.gz",
        "project/sub/dist": "my_pkg-5.0.tar.gz",
        "single/dist": "single-1.0.tar.gz single-1.0.tar.gz.asc single-1.0.whl single_2-3.0.tar.gz",
        "tool/dist": "a_tool-1.0-py3-none-any.whl a-tool-2.0.tar.gz",
        "many/dist": "many-1.0.tar.gz many-first.tar.gz",
    }
    for name, text in projects.items():
        (work / name).mkdir()
        (work / name / "pyproject.toml").write_text(text)
    for directory, names in files.items():
        (work / directory).mkdir(parents=True)
        for name in names.split():
            (work / directory / name).touch()
    (work / "project/poetry.toml").write_text('[repositories.in-poetry-toml]\nurl = "http://127.0.0.1:9/toml/"\n')
    config = home / "config" / "pypoetry"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(
        '[repositories.local]\nurl = "http://127.0.0.1:9/local/legacy"\n'
        '[repositories.slashed]\nurl = "http://127.0.0.1:9/legacy/"\n'
        '[repositories."dotted.name"]\nurl = "http://127.0.0.1:9/dotted/"\n'
        '[repositories.both]\nurl = "http://127.0.0.1:9/b/"\n'
    )
    return work


@pytest.mark.parametrize(("commands", "environ"), [(COMMANDS, {}), (WITH_VARIABLES, ENVIRON)])
def test_command_lines_are_read_as_poetry_does(
    environments: Environments, base: Path, commands: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    lines = [line.format(base=base) for line in commands.strip().splitlines()]
    differences = find_differences("poetry", environments, SCRIPT, lines, [base / "project"])
    refused = REFUSED.splitlines()
    assert [one for one in differences if one[0] not in refused or one[2] != {"uploading": "nothing"}] == []


@pytest.mark.parametrize("words", [(), ("-r", "local"), ("-r", "dotted.name"), ("-r", "in-poetry-toml")])
def test_variables_alone_decide_where_and_with_which_token_it_uploads(
    environments: Environments, base: Path, words: tuple[str, ...]
) -> None:
    arguments, directory = ("publish", *words), base / "project"
    target = Process("poetry", arguments, directory, os.environ).target
    # Another token for the same repository is in the settings.
    (base.parent / "config/pypoetry/auth.toml").write_text(
        f'[pypi-token]\n"{target.address.name}" = "a token of the settings"\n'
    )
    repository = Repository("ours", target.address.url, "pypi.org", ())
    environ = UPLOADER.variables("pypi-derived", repository, target)
    (real,) = ask("poetry", environments, SCRIPT, [Case(arguments, environ, directory)])
    assert (real["url"], real["password"]) == (target.address.url, "pypi-derived")
