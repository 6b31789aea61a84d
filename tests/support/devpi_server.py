"""The part of a devpi server that `devpi push` talks to: it uploads a file it has, with the credentials it is given."""

from __future__ import annotations

import base64
import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Self


class DevpiServer(ThreadingHTTPServer):
    """Serves one index of one user; it runs while it is entered."""

    def __init__(self, directory: Path) -> None:
        """Prepare to upload the distributions in a directory."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.directory = directory
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        """Start to serve."""
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to serve."""
        self.shutdown()
        self.server_close()

    def push(self, wanted: dict[str, Any]) -> list[list[object]]:
        """Upload the files of a project, and tell what the index answered to each."""
        stem = f"{wanted['name'].lower().replace('-', '_')}-{wanted['version']}"
        return [
            [_upload(file.name, file.read_bytes(), wanted), "upload", file.name]
            for file in sorted(self.directory.glob(f"{stem}*"))
        ]


class _Handler(BaseHTTPRequestHandler):
    server: DevpiServer

    def respond(self) -> None:
        """Answer a request: what the index is called, or what became of a push."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        wanted = json.loads(body) if body.startswith(b"{") else {}
        index = f"{self.server.url}/user/dev"
        answer: dict[str, object] = {
            "status": 200,
            "type": "apiconfig",
            "result": {
                "index": index,
                "login": f"{self.server.url}/+login",
                "pypisubmit": f"{index}/",
                "simpleindex": f"{index}/+simple/",
                "authstatus": ["noauth", "", []],
                "features": ["push-no-docs"],
            },
        }
        if self.path.startswith("/user/dev?"):
            answer = {"status": 200, "type": "indexconfig", "result": {"type": "stage", "projects": []}}
        if "posturl" in wanted:
            answer = {"status": 200, "type": "actionlog", "result": self.server.push(wanted)}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUSH = respond  # noqa: N815 - the base class looks for these names

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _upload(name: str, content: bytes, wanted: dict[str, Any]) -> int:
    """Upload a file as twine does; return the status."""
    fields = {":action": "file_upload", "name": wanted["name"], "version": wanted["version"]}
    parts = [f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode() for key, value in fields.items()]
    parts.append(
        f'Content-Disposition: form-data; name="content"; filename="{name}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
    )
    body = b"".join(b"--of-a-test\r\n" + part + b"\r\n" for part in parts) + b"--of-a-test--\r\n"
    credentials = base64.b64encode(f"{wanted['username']}:{wanted['password']}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - http, to our own index
        wanted["posturl"],
        body,
        {"Content-Type": "multipart/form-data; boundary=of-a-test", "Authorization": f"Basic {credentials}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
