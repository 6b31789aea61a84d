"""Command lines, read by hatch itself and by its uploader: same upload, files, URL, project and lookup."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from comparison import first_by_url
from distributions import make_sdist, make_wheel
from environments import Environments

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.uploaders.hatch import UPLOADER
from keyring_pypitoken.uploaders.uploader import Process

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.uploaders

# Run by hatch's own interpreter. Only the network, the keyring and the prompts are replaced.
SCRIPT = r"""
import json, os, sys
import keyring
import hatch.index.core
from hatch.cli import hatch as command
from hatch.cli.application import Application
from hatch.publish.index import IndexPublisher

result = {}

class Index(hatch.index.core.PackageIndex):
    def __init__(self, repo, **options):
        super().__init__(repo, **options)
        result.update(url=repo, user=options["user"], files=[])
    def get_simple_api(self, project):
        raise OSError
    def upload_artifact(self, artifact, data):
        result["files"].append(str(artifact))

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

cases, answers = json.load(sys.stdin), []
environ = dict(os.environ)
for arguments, variables, directory in cases:
    result.clear()
    os.environ.clear()
    os.environ.update(environ | variables)
    os.chdir(directory)
    try:
        command(arguments, prog_name="hatch", windows_expand_args=False)
    except SystemExit as end:
        result["rejected"] = end.code == 2
    except Exception as error:
        result["error"] = repr(error)
    answers.append(dict(result))
with open(sys.argv[1], "w") as file:
    json.dump(answers, file)
"""

# A command line, and the variables that are set; {work} is the project's directory.
LINES: tuple[tuple[str, dict[str, str]], ...] = (
    ("publish", {}),
    ("publish dist", {}),
    ("publish dist/", {}),
    ("publish ./dist/../dist", {}),
    ("publish {work}/dist", {}),
    ("publish dist/demo-1.0.tar.gz", {}),
    ("publish dist/demo-1.0.tar.gz dist", {}),
    ("publish dist other/dist", {}),
    ("publish dist dist", {}),
    ("publish dist/notes.txt dist/demo-1.0.tar.gz", {}),
    ("publish .", {}),
    ("publish -n", {}),
    ("publish --no-prompt", {}),
    ("publish -y dist", {}),
    ("publish -r test", {}),
    ("publish -rtest", {}),
    ("publish -r main", {}),
    ("publish -r=test", {}),
    ("publish --repo test", {}),
    ("publish --repo=test", {}),
    ("publish --rep test", {}),
    ("publish --repository test", {}),
    ("publish --repo test --repo main", {}),
    ("publish --repo ''", {"HATCH_INDEX_REPO": "test"}),
    ("publish", {"HATCH_INDEX_REPO": "test"}),
    ("publish", {"HATCH_INDEX_REPO": ""}),
    ("publish -r main", {"HATCH_INDEX_REPO": "test"}),
    ("publish -r http://127.0.0.1:9/legacy/", {}),
    ("publish -r https://upload.pypi.org/legacy/", {}),
    ("publish -r pypi", {}),
    ("publish -r private", {}),
    ("publish -r private -u __token__ other/dist", {}),
    ("publish -u __token__", {}),
    ("publish -u=__token__", {}),
    ("publish -u alice", {}),
    ("publish -ualice dist", {}),
    ("publish -nu alice dist", {}),
    ("publish -nualice dist", {}),
    ("publish -nyu __token__ dist/demo-1.0.tar.gz", {}),
    ("publish -nr test dist/demo-1.0.tar.gz", {}),
    ("publish --user __token__ --auth x", {}),
    ("publish -u __token__ -a x dist", {}),
    ("publish -a x", {}),
    ("publish", {"HATCH_INDEX_USER": "__token__"}),
    ("publish", {"HATCH_INDEX_USER": "__token__", "HATCH_INDEX_AUTH": "x"}),
    ("publish", {"HATCH_INDEX_AUTH": "x"}),
    ("publish", {"HATCH_INDEX_USER": "bob"}),
    ("publish -u ''", {"HATCH_INDEX_USER": "bob"}),
    ("publish --help", {}),
    ("publish dist -h", {}),
    ("--help publish", {}),
    ("--version publish", {}),
    ("build publish", {}),
    ("version", {}),
    ("-v publish", {}),
    ("-vq publish dist", {}),
    ("-vvv --no-color publish", {}),
    ("-e publish version", {}),
    ("-e default publish", {}),
    ("--env=default publish", {}),
    ("-p other publish", {}),
    ("-pother publish", {}),
    ("--project other publish dist", {}),
    ("--project=other publish", {}),
    ("-p nested publish", {}),
    ("-p unknown publish", {}),
    ("-p '' publish", {}),
    ("publish", {"HATCH_PROJECT": "other"}),
    ("-p nested publish", {"HATCH_PROJECT": "other"}),
    ("publish -p index", {}),
    ("publish -p index dist", {}),
    ("publish -p other", {}),
    ("publish", {"HATCH_PUBLISHER": "index"}),
    ("publish --publisher=index -r test", {"HATCH_PUBLISHER": "other"}),
    ("--config {work}/second.toml publish", {}),
    ("--config second.toml publish", {}),
    ("publish", {"HATCH_CONFIG": "second.toml"}),
    ("--config missing.toml publish", {}),
    ("--config second.toml -p other publish", {}),
    ("publish --initialize-auth", {}),
    ("publish --ca-cert dist other/dist", {}),
    ("publish --client-cert=dist other/dist", {}),
    ("publish --client-cert dist --client-key dist other/dist", {}),
    ("publish -- dist", {}),
    ("publish -n -- dist/demo-1.0.tar.gz", {}),
    ("publish -- -n", {}),
    ("publish --unknown dist", {}),
    ("publish -x dist", {}),
    ("-- publish dist", {}),
    ("--cache-dir {work}/cache publish", {}),
    ("--cache-dir {work}/cache publish -r test", {}),
    ("publish", {"HATCH_CACHE_DIR": "cache"}),
)
# What hatch passes over, or fails at after it asked for the token.
REFUSED = ("does not exist: ", "which hatch does not know: ")
DIRECTORIES = (".", "sub/deep", "../elsewhere")
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


def test_reads_command_lines_as_hatch_does(project: Path, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    assert pytestconfig.cache is not None
    python = Environments(pytestconfig.cache.mkdir("uploaders"), os.environ).scripts("hatch") / "python"
    cases = [
        (shlex.split(line.replace("{work}", project.as_posix())), variables, str((project / directory).resolve()))
        for line, variables in LINES
        for directory in DIRECTORIES
    ]
    answers = tmp_path / "answers.json"
    done = subprocess.run(
        [python, "-c", SCRIPT, answers], input=json.dumps(cases), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    different = []
    for case, result in zip(cases, json.loads(answers.read_text()), strict=True):
        arguments, variables, directory = case
        process = Process("hatch", tuple(arguments), type(project)(directory), {**os.environ, **variables})
        if result.get("rejected"):
            continue  # whatever the uploader says, nothing asks and nothing is uploaded
        expected, said = _expected(result), _ask(process)
        is_refused = isinstance(said, str) and (expected is None or any(part in said for part in REFUSED))
        if said != expected and not is_refused:
            different.append((arguments, variables, directory, said, result))
    assert not different, "\n".join(map(str, different))


def _expected(result: dict[str, Any]) -> dict[str, object] | None:
    """Return what hatch did; None if it stopped before it would have uploaded."""
    if "url" not in result:
        return None
    return {
        "url": result["url"],
        "project": result["project"],
        "files": sorted(map(os.path.normpath, result["files"])),
        "lookup": first_by_url(result["url"], result.get("lookups")),
    }


def _ask(process: Process) -> dict[str, object] | str | None:
    """Return what the uploader says; a sentence if it refuses."""
    if not UPLOADER.is_uploading(process):
        return None
    try:
        address = process.target.address
        return {
            "url": address.url,
            "project": str(UPLOADER.find_project(process)),
            "files": sorted(map(str, UPLOADER.find_files(process))),
            "lookup": process.target.lookup and list(process.target.lookup),
        }
    except Refusal as refusal:
        return str(refusal)
