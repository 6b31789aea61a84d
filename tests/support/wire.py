"""What real uploaders send: indexes on loopback that note every credential, and processes that reach nothing else."""

from __future__ import annotations

import base64
import http.server
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from environments import Environments
from loopback_index import LoopbackIndex, Upload, normalize
from sandbox import STORES

from keyring_pypitoken import Token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pytest
    from loopback_index import Form

NO_TOKEN = "refused-by-keyring-pypitoken"
# Nothing but loopback can be reached.
_CLOSED = "http://127.0.0.1:9"
OFFLINE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), _CLOSED),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
    "COLUMNS": "1000",
    "LANG": "C.UTF-8",
    "PDM_CHECK_UPDATE": "false",
    "PDM_USE_VENV": "false",
    "PYTHONPATH": str(STORES),
}


class Sent(NamedTuple):
    """A file that arrived, and the credential that came with it."""

    project: str
    filename: str
    username: str
    password: str

    @property
    def kind(self) -> str:
        """What the credential is: `derived`, `master`, `constant`, `empty`, or `other`."""
        if not self.password.startswith("pypi-"):
            return {"": "empty", NO_TOKEN: "constant"}.get(self.password, "other")
        return "derived" if len(Token.load(self.password).raw_caveats) == 2 else "master"

    @property
    def projects(self) -> set[str]:
        """The projects that its token is for."""
        return set(json.loads(Token.load(self.password).raw_caveats[1])[1])

    @property
    def identifier(self) -> str:
        """Which master its token was derived from."""
        return Token.load(self.password).identifier


class NotingIndex(LoopbackIndex):
    """An index that notes what was sent; if it accepts all, then whatever the token, so that every file arrives."""

    def __init__(self, domain: str = "pypi.org", *, accepts_all: bool = False) -> None:
        super().__init__(domain)
        self.sent: list[Sent] = []
        self.host = self.upload_url.split("/")[2]
        self._accepts_all = accepts_all

    def receive(self, authorization: str, form: Form) -> Upload:
        """Note an upload, then accept or refuse it."""
        credential = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        username, _, password = credential.partition(":")
        project = normalize(form.fields.get("name", ""))
        self.sent.append(Sent(project, form.filename, username, password))
        if self._accepts_all:
            return Upload(form.filename, project, "", 200, "OK", [], "", is_master=False, received_at=time.time())
        return super().receive(authorization, form)


class DenyingIndex(http.server.ThreadingHTTPServer):
    """An index that refuses all uploads, as PyPI refuses what is not a token, and notes all requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _DenyingHandler)
        self.received: list[tuple[str, str, str]] = []  # method, path and credentials
        self.url = f"http://127.0.0.1:{self.server_port}/legacy/"

    def __enter__(self) -> Self:
        """Serve in a thread."""
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.shutdown()
        self.server_close()


class _DenyingHandler(http.server.BaseHTTPRequestHandler):
    server: DenyingIndex

    def respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        credentials = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        self.server.received.append((self.command, self.path, credentials))
        self.send_response(403 if self.command == "POST" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = respond  # noqa: N815 - the base class looks for these names

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def open_environments(config: pytest.Config) -> Iterator[Environments]:
    """Keep the uploaders' environments in pytest's cache, or for this run alone if that cannot be written."""
    with tempfile.TemporaryDirectory(prefix="uploaders-") as directory:
        try:
            cache = getattr(config, "cache", None)  # there is none with `-p no:cacheprovider`
            kept = cache.mkdir("uploaders") if cache else Path(directory)
        except OSError:
            kept = Path(directory)
        yield Environments(kept, os.environ)


def run_offline(
    words: Sequence[str], directory: Path, environ: Mapping[str, str], *, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a program that can reach nothing but loopback, without a terminal and without input."""
    return subprocess.run(
        words,
        cwd=directory,
        env={**environ, **OFFLINE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
        check=False,
        start_new_session=True,
    )
