"""An index at the end of a slow line, and files of any size for it, which cost neither the disk nor anybody's time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from distributions import make_wheel
from loopback_index import Form, Handler, LoopbackIndex

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 1024 * 1024
MBIT = 1_000_000  # bits per second


class SlowIndex(LoopbackIndex):
    """An index whose clock goes on by the time that a file takes on a line of `speed` bits per second.

    What arrives is read and thrown away. As on PyPI, the token is judged when all of a file has arrived; then it takes
    `seconds` until the index answers.
    """

    def __init__(self, speed: float, seconds: float) -> None:
        super().__init__()
        self._server.RequestHandlerClass = _SlowHandler
        self.speed = speed
        self.seconds = seconds
        self.received: list[int] = []  # the statuses that uploads were answered with


class _SlowHandler(Handler):
    def respond(self) -> None:
        """Answer an upload, or where twine looks for files that are there already; everything else as usual."""
        index = self.server.index
        if not isinstance(index, SlowIndex) or not self.path.startswith(("/legacy/", "/json/pypi/")):
            super().respond()
        elif self.command == "GET":
            releases: dict[str, list[dict[str, str]]] = {}
            for upload in index.uploads:
                if upload.status == 200 and upload.project == self.path.split("/")[3]:
                    releases.setdefault(upload.version, []).append({"filename": upload.filename})
            self.answer(200, "OK", json.dumps({"releases": releases}))
        else:
            left = size = int(self.headers["Content-Length"])
            begin = b""  # the fields, and the beginning of the file
            while left and (data := self.rfile.read(min(left, _CHUNK))):
                begin = begin or data
                left -= len(data)
            index.clock_offset += 8 * size / index.speed
            form = Form.parse(self.headers["Content-Type"], begin)
            del form.fields["sha256_digest"]  # of what is no longer there
            upload = index.receive(self.headers["Authorization"], form)
            index.clock_offset += index.seconds
            index.received.append(upload.status)
            self.answer(upload.status, upload.reason)

    do_GET = do_POST = respond  # noqa: N815 - the base class looks for these names


def make_sparse_wheels(directory: Path, name: str, *sizes: int) -> list[Path]:
    """Write wheels of one release; each begins with a hole that brings it to its size in bytes."""
    made = []
    for number, size in enumerate(sizes):
        wheel = make_wheel(directory, name, "1.0")
        content = wheel.read_bytes()
        made.append(wheel.rename(directory / wheel.name.replace("-py3-", f"-cp{number + 1}-")))
        with made[-1].open("wb") as file:
            file.seek(max(0, size - len(content)))
            file.write(content)
    return made
