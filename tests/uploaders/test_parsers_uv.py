"""What uv really uploads, and where to, compared with what its module says, for many command lines."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from distributions import make_sdist, make_wheel
from loopback_index import Form
from sandbox import make_link

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.uploaders.uploader import Process
from keyring_pypitoken.uploaders.uv import UPLOADER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from environments import Environments

pytestmark = pytest.mark.uploaders

Upload = tuple[str, frozenset[str]]

# In `base/`, with the directories that `project` makes; {url} is the server. What uv refuses to do comes in LOOSE.
COMMANDS = """
publish
-v publish
--directory pkg publish
--directory=pkg publish
publish --directory pkg
publish --project pkg
--project pkg publish dist/*.whl
--project pkg/pyproject.toml publish
publish dist/*
publish 'dist/*.whl'
publish 'dist/*.tar.gz'
publish 'dist/**'
publish '**/*.whl'
publish 'pkg/**/*'
publish './dist/*'
publish '*/*'
publish 'dist/../pkg/dist/*'
publish 'dist/[ab]*'
publish 'dist/[!a]*'
publish 'dist/b[_]b-*'
publish 'dist/?-1.0.tar.gz'
publish 'dist/a-1.0*' pkg/dist/*.whl
publish dist/a-1.0.tar.gz
publish dist/a-1.0.tar.gz dist/a-1.0.tar.gz
publish dist//a-1.0.tar.gz
publish -- dist/a-1.0.tar.gz
publish -- -odd/a-2.0.tar.gz
publish dist/a-1.0.tar.gz dist
publish dist/a-1.0.tar.gz 'none/*'
publish dist/a-1.0.tar.gz dist/notes.txt
publish dist/a-1.0.tar.gz dist/a-1.0.tar.gz.publish.attestation
publish dist/a-1.0.tar.gz dist/a-1.0.tar.gz.asc
publish odd/*
publish 'link/*'
publish 'deep/**/*.tar.gz'
publish 'deep/**/**/c-1.0.tar.gz'
publish 'deep/*/*/c-1.0.tar.gz'
publish '.hidden/*'
publish '*hidden/*'
publish -u x dist/a-1.0.tar.gz
publish -ux dist/a-1.0.tar.gz
publish -u=x dist/a-1.0.tar.gz
publish --username=x dist/a-1.0.tar.gz
publish -qu x dist/a-1.0.tar.gz
publish -qnp x dist/a-1.0.tar.gz
publish dist/a-1.0.tar.gz -p x -q
publish --publish-url {url}/other/ dist/a-1.0.tar.gz
publish --publish-url={url}/other dist/a-1.0.tar.gz
publish dist/a-1.0.tar.gz --publish-url {url}/x?a=b
publish --no-attestations --no-progress --color never dist/a-1.0.tar.gz
publish --trusted-publishing never --keyring-provider disabled dist/a-1.0.tar.gz
publish --allow-insecure-host a --trusted-host b dist/a-1.0.tar.gz
publish --cache-dir c --preview-features x dist/a-1.0.tar.gz
publish --config-file other.toml dist/a-1.0.tar.gz
--config-file=other.toml publish dist/a-1.0.tar.gz
-q --no-config publish dist/a-1.0.tar.gz
--directory pkg publish --project ..
--directory pkg publish ../dist/a-1.0.tar.gz
"""
WITH_SETTINGS = """
publish
publish --index named
--directory member publish
--directory member publish --project ../alone
--project alone publish
--project member publish --index named
--project excluded publish
--project bare publish
--project unmanaged publish
--directory member/nested publish ../dist/*
"""
LOOSE = """
publish dist/none-1.0.tar.gz
publish 'dist/[a'
publish empty/*
publish 'dist/**'
publish --publish-url nonsense dist/a-1.0.tar.gz
publish --index none dist/a-1.0.tar.gz
publish --help
publish --dry-run
help publish
build
pip install publish
run publish
--help publish
publish -h
"""

# Nothing but loopback can be reached.
LOOPBACK = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}


class Server(ThreadingHTTPServer):
    """Takes every upload, anywhere."""

    received: list[tuple[str, str]]

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Notes which file came to which path."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take a file."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = Form.parse(self.headers["Content-Type"], body)
        self.server.received.append((self.server.url + self.path, form.filename))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Have no index to read."""
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server on loopback."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.received = []
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def base(work: Path, server: Server) -> Path:
    """Return a directory with projects and distributions."""
    for directory in ("dist", "pkg/dist", "member/dist", "alone/dist", "excluded/dist", "bare/dist", "unmanaged/dist"):
        make_wheel(work / directory, "a", "1.0")
        make_sdist(work / directory, "a", "1.0")
    make_sdist(work / "dist", "b-b", "1.0")
    make_sdist(work / "-odd", "a", "2.0")
    make_sdist(work / "deep/er/still", "c", "1.0")
    make_sdist(work / ".hidden", "h", "1.0")
    (work / "empty").mkdir()
    (work / "member/nested").mkdir()
    make_link(work / "link", "dist")
    for name in ("notes.txt", "a-1.0.tar.gz.asc", "B-1.0.zip", "d-1.0.0.0.post.tar.gz", "nonsense.whl", "a.tar.gz"):
        (work / "dist" / name).write_text("")
    (work / "dist/a-1.0.tar.gz.publish.attestation").write_text("{}")
    for name in ("E_e-1.0.tar.gz", "e.e-1.0.tar.gz", "e-1.0-1.tar.gz", "e-01.tar.gz"):
        make_sdist(work / "odd", "e", "1.0").rename(work / "odd" / name)
    make_sdist(work / "odd", "f", "1.0")
    (work / "pkg/pyproject.toml").write_text('[project]\nname = "a"\nversion = "1.0"\n')
    (work / "other.toml").write_text(f'publish-url = "{server.url}/other-file/"\n')
    return work


def truth(program: Path, server: Server, words: list[str], base: Path, environ: Mapping[str, str]) -> Upload | None:
    """Return what uv does: the files that arrive, and where."""
    server.received.clear()
    env = {**os.environ, **environ, **LOOPBACK, "UV_CACHE_DIR": str(base.parent / "cache")}
    subprocess.run([program, *words], cwd=base, env=env, capture_output=True, timeout=60, check=False)
    urls = {url for url, _ in server.received}
    assert len(urls) <= 1
    return (urls.pop(), frozenset(name for _, name in server.received)) if urls else None


def said(words: list[str], base: Path, environ: Mapping[str, str]) -> Upload | None:
    """Return what the uploader says."""
    process = Process("uv", tuple(words), base, {**os.environ, **environ})
    if not UPLOADER.is_uploading(process):
        return None
    try:
        files, address = UPLOADER.find_files(process), process.target.address
    except Refusal:
        return None
    assert all(file.is_file() and file.is_absolute() for file in files)
    return address.url, frozenset(file.name for file in files)


def compare(
    commands: str, environments: Environments, server: Server, base: Path, environ: Mapping[str, str]
) -> tuple[list[object], int]:
    """Run each command line; return those that differ, and how many uploaded."""
    program = environments.scripts("uv") / "uv"
    different: list[object] = []
    uploads = 0
    for line in commands.strip().splitlines():
        words = shlex.split(line.format(url=server.url))
        real = truth(program, server, words, base, environ)
        result = said(words, base, environ)
        uploads += real is not None
        if real != result:
            different.append((line, real, result))
    return different, uploads


@pytest.fixture
def environ(server: Server) -> dict[str, str]:
    """Return variables by which uv uploads to the server."""
    return {"UV_PUBLISH_USERNAME": "x", "UV_PUBLISH_PASSWORD": "x", "UV_PUBLISH_URL": f"{server.url}/legacy/"}


def test_command_lines(environments: Environments, server: Server, base: Path, environ: dict[str, str]) -> None:
    different, uploads = compare(COMMANDS, environments, server, base, environ)
    assert different == [], "\n".join(map(str, different))
    assert uploads >= 50


def test_command_lines_that_upload_nothing(
    environments: Environments, server: Server, base: Path, environ: dict[str, str]
) -> None:
    different, uploads = compare(LOOSE, environments, server, base, environ)
    assert different == [], "\n".join(map(str, different))
    assert uploads == 0


def test_settings(environments: Environments, server: Server, base: Path, environ: dict[str, str], home: Path) -> None:
    del environ["UV_PUBLISH_URL"]

    def write(directory: str, name: str, text: str) -> None:
        (base / directory / name).write_text(text.format(url=server.url))

    project = '[project]\nname = "{}"\nversion = "1"\n'
    index = '[[tool.uv.index]]\nname = "named"\nurl = "{url}/simple"\npublish-url = "{url}/named/"\n'
    workspace = (
        '[tool.uv.workspace]\nmembers = ["./m*", "**/un*", "alone", "exc*"]\n'
        'exclude = ["alone", "exclu*", "unmanaged", "empty"]\n'
    )
    write("", "pyproject.toml", '[tool.uv]\npublish-url = "{url}/root/"\n' + workspace + index)
    for name in ("member", "alone", "excluded", "unmanaged"):
        write(name, "pyproject.toml", project.format(name) + f'[tool.uv]\npublish-url = "{{url}}/{name}/"\n')
    write("unmanaged", "uv.toml", 'publish-url = "{url}/unmanaged-file/"\n')
    write("member/nested", "uv.toml", 'publish-url = "{url}/nested/"\n')
    write("bare", "pyproject.toml", "[build-system]\nrequires = []\n")
    (home / "config/uv").mkdir(parents=True)
    (home / "config/uv/uv.toml").write_text(f'publish-url = "{server.url}/user/"\n')
    different, uploads = compare(WITH_SETTINGS, environments, server, base, environ)
    assert different == [], "\n".join(map(str, different))
    assert uploads >= 9
