"""The module of maturin against maturin: where real runs try to upload to, through a proxy on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from comparison import find_differences, write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from environments import Environments

pytestmark = pytest.mark.uploaders

# Runs maturin with a proxy that notes where it would connect to. Every upload fails with the status 500, after which
# maturin neither stores a password in its keyring nor deletes one there.
SCRIPT = """
import http.server, re, subprocess, threading

class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_CONNECT(self):
        self.host, _, port = self.path.partition(":")
        if port == "443":
            seen["url"] = f"https://{self.host}/legacy/"  # which it is for both hosts of the command lines
            return self.send_error(500)
        self.send_response(200)
        self.end_headers()
    def do_POST(self):
        seen["url"] = self.path if "://" in self.path else f"http://{self.host}{self.path}"
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        while self.headers["transfer-encoding"] == "chunked" and (size := int(self.rfile.readline(), 16)):
            body += self.rfile.read(size)
            self.rfile.readline()
        seen["first file"] = re.search(rb'filename="([^"]*)"', body)[1].decode()
        self.close_connection = True
        self.send_error(500)
    def log_message(self, *_): pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
threading.Thread(target=server.serve_forever, daemon=True).start()
proxy = f"http://127.0.0.1:{server.server_port}"
maturin = os.path.join(os.path.dirname(sys.executable), "maturin")

def read(arguments):
    global seen
    seen = {}
    variables = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "ALL_PROXY": proxy, "MATURIN_PYPI_TOKEN": "not-a-token"}
    done = subprocess.run([maturin, *arguments], env={**os.environ, **variables}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, start_new_session=True)
    error = done.stderr
    if "url" in seen:
        seen["uploading"] = True
        named = [word for word in arguments if os.path.basename(word) == seen.get("first file")]
        if "first file" in seen:
            seen["first file"] = os.path.normpath(os.path.join(os.getcwd(), named[0]))
    elif done.returncode == 0:
        seen["uploading"] = False
    elif "cannot be used with '--repository" in error or "Failed to get registry" in error or "Http error" in error:
        seen.update(uploading="settings", url=None)
    elif "failed to open file" in error or "IO Error" in error:
        seen.update({"uploading": True, "first file": None})
    elif done.returncode == 1 and "publish" in arguments:
        seen["uploading"] = True  # it cannot build here
    else:
        seen["uploading"] = "usage"
    return seen
"""

PYPIRCS = {
    "full": """[distutils]
index-servers = local
[Local]
repository = http://local.example/legacy/
username = bob
password = hunter2
[note]
repository = http://note.example/simple ; a note
[hash]
repository = http://hash.example/x#y
[user]
username = bob
[testpypi]
username = __token__
[moved]
repository: https://test.pypi.org/legacy/
"""
}
_FILE = "dist/demo-1.0.tar.gz"

LINES = f"""
upload {_FILE}
upload dist/demo-1.0-py3-none-any.whl {_FILE}
upload -r testpypi {_FILE}
upload -rtestpypi {_FILE}
upload -r=testpypi {_FILE}
upload --repository testpypi {_FILE}
upload --repository=testpypi {_FILE}
upload --repo testpypi {_FILE}
upload -r local {_FILE}
upload -r Local {_FILE}
upload -r LOCAL {_FILE}
upload -r note {_FILE}
upload -r hash {_FILE}
upload -r user {_FILE}
upload -r moved {_FILE}
upload -r nowhere {_FILE}
upload -r PyPI {_FILE}
upload -r '' {_FILE}
upload -r distutils {_FILE}
upload -r local -r local {_FILE}
upload --repository-url http://a.example/x {_FILE}
upload --repository-url=http://a.example/x/ {_FILE}
upload --repository-url http://a.example/x//// {_FILE}
upload --repository-url http://a.example/?q=1 {_FILE}
upload --repository-url https://test.pypi.org/legacy {_FILE}
upload --repository-url https://test.pypi.org/legacy/// {_FILE}
upload --repository-url https://upload.pypi.org/legacy/ {_FILE}
upload --repository-url http://a.example/x -r local {_FILE}
upload --repository-url http://a.example/x -r nowhere {_FILE}
upload -r local --repository-url http://a.example/x {_FILE}
upload -r nowhere --repository-url http://a.example/x {_FILE}
upload --repository-url http://a.example/x --repository-url http://b.example/x {_FILE}
upload --repository-url a.example {_FILE}
upload --repository-url '' {_FILE}
MATURIN_REPOSITORY=testpypi upload {_FILE}
MATURIN_REPOSITORY=local upload {_FILE}
MATURIN_REPOSITORY=nowhere upload {_FILE}
MATURIN_REPOSITORY=nowhere upload -r local {_FILE}
MATURIN_REPOSITORY= upload {_FILE}
MATURIN_REPOSITORY_URL=http://a.example/x upload {_FILE}
MATURIN_REPOSITORY_URL=http://a.example/x upload --repository-url http://b.example/x {_FILE}
MATURIN_REPOSITORY_URL= upload {_FILE}
MATURIN_REPOSITORY=nowhere MATURIN_USERNAME=bob MATURIN_PASSWORD=pw upload -r local {_FILE}
upload -u bob -p pw -r local {_FILE}
upload -ubob -ppw -rlocal {_FILE}
upload -vrlocal {_FILE}
upload -vvr local {_FILE}
upload -rlocal --skip-existing --non-interactive {_FILE}
upload {_FILE} -r local
upload {_FILE} -r local dist/demo-1.0-py3-none-any.whl
upload -r local -- {_FILE}
upload -r local -- -x.whl
upload -r local missing.whl
upload -r local 'dist/*'
upload -r local dist//demo-1.0.tar.gz
upload -r local sub/../{_FILE}
upload -r local
upload
upload -h
upload -r local -h {_FILE}
upload --help {_FILE}
-v upload -r local {_FILE}
-vv upload -r local {_FILE}
--verbose upload -r local {_FILE}
-V upload {_FILE}
--version
-h upload
-r local upload {_FILE}
-- upload {_FILE}
help upload
list-python
sdist -m sub/missing
publish -r local
publish -m sub/missing.toml -r local
publish -i python3 -r local
publish -i -r local
publish --help
publish -r local -h
publish -r local --interpreter a b --compatibility x --repository-url http://a.example/
""".strip().splitlines()


def test_command_lines_are_read_as_maturin_does(environments: Environments, work: Path, home: Path) -> None:
    write_tree(work, home, PYPIRCS)
    assert find_differences("maturin", environments, SCRIPT, LINES, [work]) == []
