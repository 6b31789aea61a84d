"""What an index has of a project's files: its JSON simple API (PEP 691), with upload times (700), provenance (740).

The one module that uses the network. It sends no credentials and follows no redirects; what comes back is bounded and
checked, and whoever prints it escapes it.
"""

from __future__ import annotations

import datetime
import http.client
import json
import re
import threading
from concurrent import futures
from typing import Any, NamedTuple
from urllib import error, request

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.names import normalize

_ACCEPT = "application/vnd.pypi.simple.v1+json"
_MAX_BYTES = 32 * 1024 * 1024  # some projects have more than ten thousand files
_SECONDS = 30  # for an answer, from the connection to the last byte
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,6})?Z", re.ASCII)  # PEP 700


class UnreachableError(Refusal):
    """The index cannot be reached, or is too slow: further requests would fail, too."""


class UploadedFile(NamedTuple):
    """A file on an index.

    Attributes:
        project: the normalized name of its project.
        filename: its name, as the index writes it.
        uploaded: when it arrived, in Unix seconds.
        has_provenance: whether there are attestations. PyPI takes those from trusted publishers only.
    """

    project: str
    filename: str
    uploaded: int
    has_provenance: bool


def list_files(index_url: str, project: str) -> list[UploadedFile]:
    """Ask an index for all files of a project, given by its normalized name.

    Raises:
        UnreachableError: the index cannot be reached, or is too slow.
        Refusal: its answer cannot be used.
    """
    url = f"{index_url.removesuffix('/')}/{project}/"
    try:
        body = _get_in_time(url)
    except error.HTTPError as answer:
        answer.close()
        if answer.code == http.client.NOT_FOUND:
            raise Refusal(
                f"{url} does not exist: if the project was deleted or never uploaded, name the others."
            ) from None
        raise Refusal(f"{url} answered {answer.code}: try again later, or correct --index-url.") from None
    except (TimeoutError, futures.TimeoutError):  # another class before Python 3.11
        raise UnreachableError(f"{url} did not answer within {_SECONDS} seconds: try again later.") from None
    except (OSError, http.client.HTTPException, ValueError) as problem:
        name = type(problem.reason if isinstance(problem, error.URLError) else problem).__name__
        raise UnreachableError(f"{url} cannot be read ({name}): check the network, or correct --index-url.") from None
    if len(body) > _MAX_BYTES:
        raise Refusal(f"the answer from {url} is longer than {_MAX_BYTES} bytes: name the other projects.")
    try:
        return _parse(body, project)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        raise Refusal(
            f"the answer from {url} is not JSON with the upload time of every file (PEP 691, PEP 700): name an index "
            "that has them with --index-url."
        ) from None


def _get_in_time(url: str) -> bytes:
    """Read a URL in a thread, because a server that sends a byte now and then never exceeds a socket's timeout."""
    answer: futures.Future[bytes] = futures.Future()

    def run() -> None:
        try:
            answer.set_result(_get(url))
        except Exception as problem:  # noqa: BLE001 - raised again by the caller, which waits
            answer.set_exception(problem)

    threading.Thread(target=run, daemon=True).start()
    return answer.result(_SECONDS)


def _get(url: str) -> bytes:
    opener = request.OpenerDirector()  # with nothing that follows redirects, opens files, or logs in
    # The environment's proxies, but none for loopback, the only address that is asked over http.
    proxies: dict[str, str] | None = {} if url.lower().startswith("http:") else None
    for handler in (
        request.ProxyHandler(proxies),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    asked = request.Request(url, headers={"Accept": _ACCEPT, "User-Agent": "keyring-pypitoken"})  # noqa: S310 - checked
    with opener.open(asked, timeout=_SECONDS) as answer:
        body: bytes = answer.read(_MAX_BYTES + 1)
    return body


def _parse(body: bytes, project: str) -> list[UploadedFile]:
    document = json.loads(body)
    found = document["files"]
    if normalize(document["name"]) != project or not isinstance(found, list):
        raise ValueError
    return [_parse_file(file, project) for file in found]


def _parse_file(file: Any, project: str) -> UploadedFile:
    filename, provenance = file["filename"], file.get("provenance")
    moment = _TIME.fullmatch(file["upload-time"])
    if moment is None or not isinstance(filename, str) or not isinstance(provenance, (str, type(None))):
        raise ValueError
    uploaded = datetime.datetime.strptime(f"{moment[1]}+0000", "%Y-%m-%dT%H:%M:%S%z")
    return UploadedFile(project, filename, int(uploaded.timestamp()), bool(provenance))
