"""Command lines, read by pdm itself and by its uploader: same upload, files, URL, project and lookup."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from comparison import find_differences
from distributions import make_sdist, make_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from environments import Environments

pytestmark = pytest.mark.uploaders

# Run by pdm's own interpreter. Only the build, the network, the keyring and the prompts are replaced.
SCRIPT = r"""
import keyring
import pdm.models.auth
from pdm import termui
from pdm.cli.commands.build import Command as Build
from pdm.cli.commands.publish import Command as Publish
from pdm.cli.commands.publish import repository
from pdm.cli.options import project_option
from pdm.core import Core
from pdm.project.config import Config

result = {}

class Response:
    status_code, reason_phrase, text, url, is_error = 200, "OK", "", "", False
    def raise_for_status(self):
        pass

class Repository(repository.Repository):
    def __init__(self, project, config):
        result.update(url=config.url, project=str(project.root), files=result.get("files") or [])
        super().__init__(project, config)
    def upload(self, package):
        result["files"].append(package.filename)
        return Response()
    def _get_pypi_token_via_oidc(self):
        return None

def note(service, user):
    result.setdefault("lookups", []).append([service, user])

def build(project, dest, hooks):
    result["built"] = directory = os.path.join(project.root, dest)
    os.makedirs(directory, exist_ok=True)

repository.Repository = Repository
Build.do_build = build
keyring.get_credential = keyring.get_password = note
termui.is_interactive = lambda console=None: True
termui.ask = lambda *arguments, **options: "typed"
termui.confirm = lambda *arguments, **options: False

def read(arguments):
    result.clear()
    project_option.kwargs["default"] = os.getenv("PDM_PROJECT")  # which pdm reads when it is imported
    Config.site = None
    pdm.models.auth.keyring.enabled = True
    pdm.models.auth.Keyring.get_auth_info.cache_clear()
    try:
        core = Core()
        with core.exit_stack:
            core.main(list(arguments))
    except SystemExit as end:
        if end.code == 2:
            return {"uploading": "usage"}
    except Exception:
        pass
    built = result.pop("built", None)
    if built and not os.listdir(built):
        os.removedirs(built)
    if "url" not in result:
        return {"uploading": "nothing"}
    result.update(built=bool(built), files=None if built else result["files"])
    return {"uploading": True, "lookups": [], **result}
"""

# {work} is the project's directory.
LINES = r"""
publish
publish --no-build
publish --no-buil
publish --no-b
publish --no
publish --no-build -d dist
publish --no-build -ddist
publish --no-build -d=dist
publish --no-build --dest other/dist
publish --no-build --dest=other/dist
publish --no-build --de other/dist
publish --no-build --dest {work}/other/dist
publish --no-build --dest missing
publish --no-build --dest mixed
publish --no-build --dest empty
publish --no-build --dest ''
publish --dest other/dist
publish -d other/dist --no-build -d dist
publish --no-build -r testpypi
publish --no-build -rtestpypi
publish --no-build -r=testpypi
publish --no-build --repository testpypi
publish --no-build --repo=testpypi
publish --no-build -r testpypi -r pypi
publish --no-build -r ''
PDM_PUBLISH_REPO=testpypi publish --no-build -r ''
PDM_PUBLISH_REPO=testpypi publish --no-build
PDM_PUBLISH_REPO='' publish --no-build
PDM_PUBLISH_REPO=testpypi publish --no-build -r pypi
publish --no-build -r https://upload.pypi.org/legacy/
publish --no-build -r https://test.pypi.org/legacy/
publish --no-build -r http://127.0.0.1:9/legacy/
PDM_PUBLISH_REPO=http://127.0.0.1:9/legacy/ publish --no-build
publish --no-build -r http://user:word@127.0.0.1:9/legacy/
publish --no-build -r http://user@127.0.0.1:9/legacy/
publish --no-build -r private
publish --no-build -r http://127.0.0.1:9/private/
publish --no-build -r named
publish --no-build -r http://127.0.0.1:9/named/
publish --no-build -r site
publish --no-build -r shadowed
publish --no-build -r local
publish --no-build -r http://127.0.0.1:9/local/
publish --no-build -r half
publish --no-build -r nowhere
publish --no-build -r unknown
publish --no-build -u __token__
publish --no-build -u alice
publish --no-build -ualice
publish --no-build -P word
publish --no-build -u alice -P word
PDM_PUBLISH_USERNAME=bob publish --no-build
PDM_PUBLISH_PASSWORD=word publish --no-build
PDM_PUBLISH_USERNAME=__token__ PDM_PUBLISH_PASSWORD=word publish --no-build
PDM_PUBLISH_USERNAME=bob publish --no-build -u ''
PDM_PUBLISH_USERNAME='' publish --no-build
PDM_PUBLISH_PASSWORD='' publish --no-build -r private
publish --no-build -r private -u __token__
publish -p other --no-build
publish --no-build -pother
publish --no-build --project other
publish --no-build --proj=other
publish --no-build -p sub/deep
publish --no-build -p missing
PDM_PROJECT=other publish --no-build
PDM_PROJECT=other publish --no-build -p .
PDM_PROJECT=other publish --no-build -p ''
publish -p injected
publish -p injected -r testpypi
publish -p injected -d other
-p other publish --no-build
-v publish --no-build
-vv publish --no-build -q
publish --no-build -vv
publish --no-build -vr testpypi
-c second.toml publish --no-build -r private
-csecond.toml publish --no-build -r private
--config=second.toml publish --no-build -r private
--config second.toml publish --no-build
publish --no-build -c second.toml -r private
PDM_CONFIG_FILE=second.toml publish --no-build -r private
-n publish --no-build
--no-cache publish --no-build
publish --no-build -S --help
publish -h
-h publish
-V publish
--pep582 publish
config publish
build --help
publish --no-build -k :all
publish --no-build --skip publish --skip-existing
publish --no-build --no-verify-ssl
publish --no-build --ca-certs dist -d other/dist
publish --no-build --ca dist
publish --no-build -i me -c 'a comment' -r testpypi
publish --no-build --comment=-r
publish --no-build extra
publish --no-build --unknown
publish --no-build -x testpypi
publish --no-build --
""".strip().splitlines()
# What pdm fails at after it asked for the token.
STOPPED_AT = (", which pdm refuses to upload: ",)
USER = """
[repository.private]
url = "http://127.0.0.1:9/private/"
username = "carol"
password = "word"
[repository.named]
url = "http://127.0.0.1:9/named/"
username = "__token__"
[repository.shadowed]
url = "http://127.0.0.1:9/user/"
[repository.half]
username = "dave"
"""
SITE = """
[repository.site]
url = "http://127.0.0.1:9/site/"
[repository.shadowed]
url = "http://127.0.0.1:9/old/"
username = "erin"
"""
PROJECT = """
[repository.local]
url = "http://127.0.0.1:9/local/"
[repository.half]
url = "http://127.0.0.1:9/half/"
[repository.nowhere]
username = "frank"
"""
SECOND = (
    '[repository.private]\nurl = "http://127.0.0.1:9/second/"\n[repository.pypi]\nurl = "http://127.0.0.1:9/pypi/"\n'
)
INJECTED = '[tool.pdm.options]\npublish = ["--no-build", "-r", "http://127.0.0.1:9/injected/", "-p", "other"]\n'


@pytest.fixture
def project(work: Path, home: Path) -> Path:
    """Write projects and settings as a machine may hold them."""
    for directory, name in ((work, "demo"), (work / "other", "other"), (work / "injected", "injected")):
        make_wheel(directory / "dist", name, "1.0")
        make_sdist(directory / "dist", name, "1.0")
        added = INJECTED if name == "injected" else ""
        (directory / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1.0"\n{added}')
    (work / "dist" / "demo-1.0.tar.gz.asc").write_text("none")
    make_wheel(work / "mixed", "demo", "1.0")
    (work / "mixed" / "notes.txt").write_text("none")
    (work / "empty").mkdir()
    (work / "sub" / "deep").mkdir(parents=True)
    (work / "sub" / "deep" / "notes.txt").write_text("none")
    make_wheel(home / "elsewhere" / "dist", "elsewhere", "1.0")
    settings = {
        home / "config" / "pdm" / "config.toml": USER,
        home / "site" / "pdm" / "config.toml": SITE,
        work / "pdm.toml": PROJECT,
        work / "second.toml": SECOND,
    }
    for file, text in settings.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return work


def test_command_lines_are_read_as_pdm_does(
    environments: Environments, project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PDM_CHECK_UPDATE", "false")
    monkeypatch.setenv("PDM_USE_VENV", "false")
    directories = [project, project / "sub/deep", home / "elsewhere"]
    assert find_differences("pdm", environments, SCRIPT, LINES, directories, STOPPED_AT) == []
