"""Command lines, read by hatch itself and by its uploader: same upload, files, URL, project and lookup."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from comparison import find_differences
from distributions import make_sdist, make_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from environments import Environments

pytestmark = pytest.mark.uploaders

# Run by hatch's own interpreter. Only the network, the keyring and the prompts are replaced.
SCRIPT = r"""
import keyring
import hatch.index.core
from hatch.cli import hatch as command
from hatch.cli.application import Application
from hatch.publish.index import IndexPublisher

result = {}

class Index(hatch.index.core.PackageIndex):
    def __init__(self, repo, **options):
        super().__init__(repo, **options)
        result.update(url=repo, **{"sorted files": []})
    def get_simple_api(self, project):
        raise OSError
    def upload_artifact(self, artifact, data):
        result["sorted files"].append(os.path.normpath(artifact))

def publish(self, artifacts, options, publish=IndexPublisher.publish):
    result["project"] = str(self.root)
    publish(self, artifacts, options)

def get_password(service, user):
    result.setdefault("lookups", []).append([service, user])
    return "secret"

hatch.index.core.PackageIndex = Index
IndexPublisher.publish = publish
keyring.get_password = get_password
Application.prompt = lambda *arguments, **options: ""

def read(arguments):
    result.clear()
    try:
        command(arguments, prog_name="hatch", windows_expand_args=False)
    except SystemExit as end:
        if end.code == 2:
            return {"uploading": "usage"}
    except Exception:
        pass
    if "url" not in result:
        return {"uploading": "nothing"}
    result["sorted files"].sort()
    return {"uploading": True, "lookups": [], **result}
"""

# {work} is the project's directory.
LINES = r"""
publish
publish dist
publish dist/
publish ./dist/../dist
publish {work}/dist
publish dist/demo-1.0.tar.gz
publish dist/demo-1.0.tar.gz dist
publish dist other/dist
publish dist dist
publish dist/notes.txt dist/demo-1.0.tar.gz
publish .
publish -n
publish --no-prompt
publish -y dist
publish -r test
publish -rtest
publish -r main
publish -r=test
publish --repo test
publish --repo=test
publish --rep test
publish --repository test
publish --repo test --repo main
HATCH_INDEX_REPO=test publish --repo ''
HATCH_INDEX_REPO=test publish
HATCH_INDEX_REPO='' publish
HATCH_INDEX_REPO=test publish -r main
publish -r http://127.0.0.1:9/legacy/
publish -r https://upload.pypi.org/legacy/
publish -r pypi
publish -r private
publish -r private -u __token__ other/dist
publish -u __token__
publish -u=__token__
publish -u alice
publish -ualice dist
publish -nu alice dist
publish -nualice dist
publish -nyu __token__ dist/demo-1.0.tar.gz
publish -nr test dist/demo-1.0.tar.gz
publish --user __token__ --auth x
publish -u __token__ -a x dist
publish -a x
HATCH_INDEX_USER=__token__ publish
HATCH_INDEX_USER=__token__ HATCH_INDEX_AUTH=x publish
HATCH_INDEX_AUTH=x publish
HATCH_INDEX_USER=bob publish
HATCH_INDEX_USER=bob publish -u ''
publish --help
publish dist -h
--help publish
--version publish
build publish
version
-v publish
-vq publish dist
-vvv --no-color publish
-e publish version
-e default publish
--env=default publish
-p other publish
-pother publish
--project other publish dist
--project=other publish
-p nested publish
-p unknown publish
-p '' publish
HATCH_PROJECT=other publish
HATCH_PROJECT=other -p nested publish
publish -p index
publish -p index dist
publish -p other
HATCH_PUBLISHER=index publish
HATCH_PUBLISHER=other publish --publisher=index -r test
--config {work}/second.toml publish
--config second.toml publish
HATCH_CONFIG=second.toml publish
--config missing.toml publish
--config second.toml -p other publish
publish --initialize-auth
publish --ca-cert dist other/dist
publish --client-cert=dist other/dist
publish --client-cert dist --client-key dist other/dist
publish -- dist
publish -n -- dist/demo-1.0.tar.gz
publish -- -n
publish --unknown dist
publish -x dist
-- publish dist
--cache-dir {work}/cache publish
--cache-dir {work}/cache publish -r test
HATCH_CACHE_DIR=cache publish
""".strip().splitlines()
# What hatch passes over, or fails at after it asked for the token.
PASSED_OVER = ("does not exist: ", "which hatch does not know: ")
CONFIG = """
[dirs]
project = ["{work}/.."]
[projects]
other = "{work}/other"
[projects.nested]
location = "{work}/sub/deep"
[publish.index.repos]
private = "http://127.0.0.1:9/private/"
[publish.index.repos.user]
url = "http://127.0.0.1:9/user/"
user = "carol"
"""
SECOND = """
mode = "aware"
project = "other"
[projects]
other = "{work}/other"
[publish.index]
repo = "test"
user = "__token__"
"""


@pytest.fixture
def project(work: Path, home: Path) -> Path:
    """Write projects, settings and a cache as a machine may hold them."""
    for directory, name in ((work, "demo"), (work / "other", "other")):
        make_wheel(directory / "dist", name, "1.0")
        make_sdist(directory / "dist", name, "1.0")
        (directory / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1.0"\n')
    (work / "dist" / "notes.txt").write_text("none")
    (work / "dist" / "demo-1.0.tar.gz.asc").write_text("none")
    (work / "sub" / "deep").mkdir(parents=True)
    make_wheel(home / "elsewhere" / "dist", "elsewhere", "1.0")
    for file, text in ((home / "config/hatch/config.toml", CONFIG), (work / "second.toml", SECOND)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("{work}", work.as_posix()))
    return work


def test_command_lines_are_read_as_hatch_does(environments: Environments, project: Path, home: Path) -> None:
    directories = [project, project / "sub/deep", home / "elsewhere"]
    assert find_differences("hatch", environments, SCRIPT, LINES, directories, PASSED_OVER) == []
