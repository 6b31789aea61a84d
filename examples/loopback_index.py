"""A package index on loopback that takes uploads and judges their tokens as PyPI does.

In this process::

    with LoopbackIndex() as index:
        token = index.create_master("alice")
        ...  # upload to index.upload_url as user __token__ with that token
        print(index.uploads)

In a process of its own: ``python loopback_index.py``, or ``IndexProcess`` from Python.
It needs pymacaroons: ``pip install pymacaroons``, or the environment of keyring-pypitoken.
It listens on 127.0.0.1 only, writes no file and no log, and forgets all when it ends.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import datetime
import hashlib
import json
import os
import re
import secrets
import socketserver
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

try:
    import pymacaroons.exceptions
except ImportError:
    if __name__ != "__main__":
        raise
    sys.exit("loopback_index.py needs pymacaroons: pip install pymacaroons")

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

# What follows each caveat's tag; PyPI ignores what stands behind that.
FIELDS: dict[object, tuple[type, ...]]
FIELDS = {0: (int, int), 1: (list,), 2: (list,), 3: (str,), 4: (str,)}


@dataclass(frozen=True)
class Context:
    """What a caveat is held against; judge explains the fields."""

    project: str | None
    project_id: str | None
    user_id: str | None
    now: float


def judge(  # everything that PyPI's verdict depends on
    token: str, key: bytes, *, project: str | None, project_id: str | None, user_id: str | None, now: float
) -> tuple[bool, str]:
    """Return whether PyPI allows an upload with a token, and its reason.

    Args:
        token: the ``pypi-...`` text.
        key: the root key that its master was minted with.
        project: the project's name as its owner spells it; None outside a project.
        project_id: the project's UUID.
        user_id: the UUID of the token's user; None if it has none.
        now: Unix seconds.
    """
    macaroon = read_macaroon(token)
    if macaroon is None:
        return False, "malformed macaroon"
    context = Context(project, project_id, user_id, now)
    reasons = []

    def is_met(caveat: str) -> bool:
        reason = refusal(json.loads(caveat), context)
        if reason:
            reasons.append(reason)
        return not reason

    verifier = pymacaroons.Verifier()
    verifier.satisfy_general(is_met)
    try:
        verifier.verify(macaroon, key)
    except Exception as error:  # noqa: BLE001  # an odd caveat raises anything
        # An unmet caveat breaks the chain of signatures too: its reason goes first.
        if reasons:
            return False, ", ".join(reasons)
        wrong_signature = pymacaroons.exceptions.MacaroonInvalidSignatureException
        if isinstance(error, wrong_signature):
            return False, "signatures do not match"
        return False, "unknown error"
    return True, "signature and caveats OK"


def refusal(caveat: Any, context: Context) -> str:  # any JSON
    """Return why PyPI holds a caveat not to be met, or "" if it is met."""
    caveat = without_legacy(caveat, context)
    if not isinstance(caveat, list):
        return "caveat must be an array"
    if not caveat:
        return "caveat array cannot be empty"
    tag, *values = caveat
    if tag not in FIELDS:
        return f"caveat has unknown tag: {tag}"
    if len(values) < len(FIELDS[tag]):
        return "Not enough values"
    if not all(map(fits, values, FIELDS[tag])):
        return "invalid values for fields"
    return unmet(tag, values, context)


def unmet(tag: int, values: list[Any], context: Context) -> str:
    """Return why a well-formed caveat is not met, or ""."""
    met, project = False, context.project
    match tag:
        case 0:
            met = values[1] <= int(context.now) < values[0]
            reason = "token is expired"
        case 1 | 2 if project is None:
            reason = "project-scoped token used outside of a project context"
        case 1 | 2:
            mine = normalize(project or "") if tag == 1 else context.project_id
            met = mine in values[0]
            reason = f"project-scoped token is not valid for project: {project!r}"
        case 3 if context.user_id is None:
            reason = "token with user restriction without a user"
        case 3:
            met = values[0] == context.user_id
            reason = "current user does not match user restriction in token"
        case _:  # 4, Trusted Publishing, which this index doesn't offer
            reason = "OIDC scoped token used outside of an OIDC identified request"
    return "" if met else reason


def without_legacy(caveat: Any, context: Context) -> Any:  # any JSON
    """Return today's array for one of the mappings that PyPI once wrote."""
    match caveat:
        case {"version": 1, "permissions": "user"} if context.user_id is not None:
            return [3, context.user_id]
        case {"version": 1, "permissions": {"projects": names}}:
            return [1, names]
        case {"version": 1}:
            return caveat
        case {"nbf": not_before, "exp": not_after}:
            return [0, not_after, not_before]
        case {"project_ids": ids}:
            return [2, ids]
    return caveat


def fits(value: Any, kind: type) -> bool:  # any JSON
    """Return True if a value is of a kind: a list holds strings, a bool is no int."""
    if isinstance(value, list):
        return kind is list and all(isinstance(item, str) for item in value)
    return type(value) is kind


def normalize(name: str) -> str:
    """Return a project's name in its PEP 503 form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def moment(seconds: float) -> str:
    """Return Unix seconds as PyPI writes them."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_id() -> str:
    """Return a random UUID."""
    return str(uuid.uuid4())


def read_macaroon(token: str) -> Any:  # pymacaroons has no types
    """Return the macaroon in a token's text, or None if there is none."""
    prefix, _, text = token.partition("-")
    try:
        return pymacaroons.Macaroon.deserialize(text) if prefix == "pypi" else None
    except Exception:  # noqa: BLE001  # pymacaroons lets errors of any type through
        return None


def read_token(authorization: str) -> str | None:
    """Return the token in a Basic authorization header, or None if there is none."""
    scheme, _, credentials = authorization.partition(" ")
    try:
        user, _, token = base64.b64decode(credentials).decode().partition(":")
    except ValueError:
        return None
    return token.strip() if (scheme.lower(), user) == ("basic", "__token__") else None


def read_json(text: str) -> Any:  # any JSON
    """Return what a JSON text holds, or the text itself if it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@dataclass(frozen=True)
class Form:
    """The fields of an upload request."""

    fields: dict[str, str]
    filename: str
    content: bytes

    @classmethod
    def parse(cls, content_type: str, body: bytes) -> Self:
        """Read a multipart/form-data body; any other body gives an empty form."""
        header = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
        fields, filename, content = {}, "", b""
        for part in BytesParser().parsebytes(header + body).walk():
            name = part.get_param("name", header="Content-Disposition")
            data = part.get_payload(decode=True)
            if name == "content" and isinstance(data, bytes):
                filename, content = part.get_filename(""), data
            elif isinstance(name, str) and isinstance(data, bytes):
                fields[name] = data.decode(errors="replace")
        return cls(fields, filename, content)

    def check(self) -> None:
        """Refuse a form that is no upload of a project's file."""
        name, digest = self.fields.get("name", ""), self.fields.get("sha256_digest")
        if self.fields.get(":action") != "file_upload":
            raise RefusedError(400, "Unknown action.")
        if not re.fullmatch(r"(?i)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", name):
            raise RefusedError(400, "Invalid value for name.")
        if not self.filename:
            raise RefusedError(400, "Upload payload does not have a file.")
        if digest not in (None, hashlib.sha256(self.content).hexdigest()):
            raise RefusedError(400, "The digest supplied does not match the file.")


class RefusedError(Exception):
    """An upload is refused; the arguments are an HTTP status and the reason."""


@dataclass(frozen=True)
class Upload:
    """An upload request, accepted or refused, and the token that came with it."""

    filename: str
    project: str
    version: str
    status: int
    reason: str
    restrictions: list[Any]
    identifier: str
    is_master: bool
    received_at: float
    size: int = 0


@dataclass(frozen=True)
class Master:
    """What the index stores of a token that it minted."""

    user: str
    key: bytes = field(repr=False)
    caveats: list[str]


class LoopbackIndex:
    """The index: it is bound to a loopback port at once, and serves while entered.

    Attributes:
        clock_offset: seconds by which the index's clock is ahead of real time.
        uploads: every upload request, oldest first, refused ones included.
        projects: the owners of each project, by normalized name.
        project_ids: the UUID of each project, by normalized name.
        user_ids: the UUID of each user.
        provenance: the URL of each file's attestations, by its name, as a trusted publisher's upload has them.
        control_key: what the control endpoints want in the header X-Control.
        upload_url: the address that uploaders are given.
        simple_url: the address below which each project's files are listed, in JSON only.
        control_url: the address below which another process steers the index.
    """

    def __init__(self, domain: str = "pypi.org", port: int = 0) -> None:
        """Bind the index of a domain to a port; 0 takes a free one."""
        self.domain = domain
        self.clock_offset = 0.0
        self.uploads: list[Upload] = []
        self.projects: dict[str, set[str]] = {}
        self.project_ids: dict[str, str] = {}
        self.user_ids = defaultdict[str, str](new_id)
        self.provenance: dict[str, str] = {}
        self.control_key = secrets.token_urlsafe()
        self._spellings: dict[str, str] = {}
        self._masters: dict[str, Master] = {}
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", port), Handler)
        self._server.index = self
        self._url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.upload_url = f"{self._url}/legacy/"
        self.simple_url = f"{self._url}/simple/"
        self.control_url = f"{self._url}/control/"

    def __enter__(self) -> Self:
        """Start to serve."""
        # The argument is how often, in seconds, the server looks whether it is to stop.
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to serve and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def now(self) -> float:
        """Return the index's time in Unix seconds."""
        return time.time() + self.clock_offset

    def create_master(self, user: str = "alice", caveats: Sequence[str] = ()) -> str:
        """Mint a token; without caveats it is good for the user's whole account."""
        identifier, master = new_id(), Master(user, secrets.token_bytes(32), [*caveats])
        macaroon = pymacaroons.Macaroon(self.domain, identifier, master.key, version=pymacaroons.MACAROON_V2)
        for caveat in caveats:
            macaroon.add_first_party_caveat(caveat)
        self._masters[identifier] = master
        return f"pypi-{macaroon.serialize()}"

    def receive(self, authorization: str, form: Form) -> Upload:
        """Accept or refuse an upload request that has arrived, and record it."""
        token = read_token(authorization)
        macaroon = read_macaroon(token or "")
        identifier, caveats = "", []
        if macaroon is not None:
            identifier = macaroon.identifier_bytes.decode(errors="replace")
            texts = (caveat.caveat_id_bytes for caveat in macaroon.caveats)
            caveats = [text.decode(errors="replace") for text in texts]
        master = self._masters.get(identifier)
        with self._lock:
            status, reason = 200, "OK"
            try:
                self._accept(token, master, form)
            except RefusedError as refused:
                status, reason = refused.args
            upload = Upload(
                filename=form.filename,
                project=normalize(form.fields.get("name", "")),
                version=form.fields.get("version", ""),
                status=status,
                reason=reason,
                restrictions=[read_json(caveat) for caveat in caveats],
                identifier=identifier,
                is_master=master is not None and caveats == master.caveats,
                received_at=self.now(),
                size=len(form.content),
            )
            self.uploads.append(upload)
        return upload

    def list_files(self, project: str) -> dict[str, object] | None:
        """Return what PyPI's JSON says about a project's files (PEP 691, 700, 740); None if there is no project."""
        accepted = [upload for upload in self.uploads if (upload.project, upload.status) == (project, 200)]
        if not accepted:
            return None
        files: list[dict[str, object]] = [
            {
                "filename": upload.filename,
                "url": f"{self._url}/files/{upload.filename}",
                "hashes": {},
                "size": upload.size,
                "upload-time": moment(upload.received_at),
                "provenance": self.provenance.get(upload.filename),
            }
            for upload in accepted
        ]
        versions = sorted({upload.version for upload in accepted})
        return {"meta": {"api-version": "1.3"}, "name": project, "versions": versions, "files": files}

    def _accept(self, token: str | None, master: Master | None, form: Form) -> None:
        """Refuse an upload, or store it."""
        if token and read_macaroon(token) is None:
            raise RefusedError(403, "Invalid API Token: malformed macaroon")
        if not token or master is None:
            reason = (
                "Invalid or non-existent authentication information. "
                f"See {self._url}/help/#invalid-auth for more information."
            )
            raise RefusedError(403, reason)
        form.check()
        project = normalize(form.fields["name"])
        # PyPI creates a missing project before it judges the token, and takes that back
        # if it refuses. Here too the judge sees the project, but it is stored last.
        spelling = self._spellings.get(project, form.fields["name"])
        project_id = self.project_ids.get(project, new_id())
        owners = self.projects.get(project, {master.user})
        allowed, reason = judge(
            token,
            master.key,
            project=spelling,
            project_id=project_id,
            user_id=self.user_ids[master.user],
            now=self.now(),
        )
        if not allowed:
            raise RefusedError(403, f"Invalid API Token: {reason}")
        if master.user not in owners:
            reason = f"isn't allowed to upload to project '{spelling}'."
            raise RefusedError(403, f"The user '{master.user}' {reason}")
        if any((u.filename, u.status) == (form.filename, 200) for u in self.uploads):
            raise RefusedError(400, "File already exists")
        self._spellings[project] = spelling
        self.project_ids[project] = project_id
        self.projects[project] = owners


class Server(ThreadingHTTPServer):
    """The HTTP server of one index."""

    index: LoopbackIndex

    def server_bind(self) -> None:
        """Bind, but not as HTTPServer does, which asks a name server for the host."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, *_: object) -> None:
        """Print nothing if a client hangs up."""


class Handler(BaseHTTPRequestHandler):
    """The HTTP side of an index: reads a whole request, then answers it."""

    server: Server
    protocol_version = "HTTP/1.1"  # with it the base class answers Expect: 100-continue

    def respond(self) -> None:
        """Answer a request."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.close_connection = True
            self.answer(411, "Length Required")
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):  # the client hung up
            self.close_connection = True
            return
        path = urlsplit(self.path).path
        if path.startswith("/control/"):
            self.control(path.removeprefix("/control/"), body)
        elif (self.command, path) == ("POST", "/legacy/"):
            form = Form.parse(self.headers.get("Content-Type", ""), body)
            authorization = self.headers.get("Authorization", "")
            upload = self.server.index.receive(authorization, form)
            self.answer(upload.status, upload.reason)
        elif self.command == "GET" and (match := re.fullmatch("/simple/([^/]+)/", path)) is not None:
            files = self.server.index.list_files(match[1])
            self.answer(*((404, "Not Found") if files is None else (200, "OK", json.dumps(files))))
        else:
            self.answer(404, "Not Found")

    do_GET = do_POST = respond  # noqa: N815  # the base class looks for these names

    def control(self, name: str, body: bytes) -> None:
        """Answer a request of the process that steers the index."""
        index = self.server.index
        key = self.headers.get("X-Control", "")
        if not secrets.compare_digest(key.encode(), index.control_key.encode()):
            self.answer(403, "Forbidden")
            return
        document: object = None
        match self.command, name:
            case "POST", "master":
                document = {"token": index.create_master(**json.loads(body))}
            case "POST", "clock":
                index.clock_offset = float(json.loads(body)["offset"])
            case "GET", "uploads":
                document = [asdict(upload) for upload in index.uploads]
            case "GET", "projects":
                owners = index.projects.copy()
                document = {name: sorted(users) for name, users in owners.items()}
            case _:
                self.answer(404, "Not Found")
                return
        self.answer(200, "OK", json.dumps(document))

    def answer(self, status: int, reason: str, document: str = "") -> None:
        """Send an answer with the reason in its status line, where twine reads it."""
        # A reason may quote the request: it must not end the status line.
        phrase = " ".join(reason.encode("ascii", "backslashreplace").decode().split())
        body = (document or f"{status} {phrase}\n").encode()
        self.send_response(status, phrase)
        # PEP 691's type, without which uv reads no list of files.
        kind = "application/vnd.pypi.simple.v1+json" if document else "text/plain"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class IndexProcess:
    """An index in a process of its own, which runs while this is entered."""

    def __init__(self, domain: str = "pypi.org") -> None:
        """Prepare the index of a domain."""
        self.domain = domain
        self.upload_url = ""
        self._ready: dict[str, str] = {}
        self._opener = build_opener(ProxyHandler({}))  # loopback is never proxied

    def __enter__(self) -> Self:
        """Start the process and wait until it serves."""
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--domain", self.domain],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self._ready = json.loads(next(iter(self._process.stdout or ()), ""))
        except ValueError:
            self.__exit__()
            message = f"the index did not start: exit code {self._process.returncode}"
            raise RuntimeError(message) from None
        self.upload_url = self._ready["upload_url"]
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the process by closing its input, and wait until it is gone."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def create_master(self, user: str = "alice", caveats: Sequence[str] = ()) -> str:
        """Mint a token; without caveats it is good for the user's whole account."""
        return str(self._call("master", user=user, caveats=[*caveats])["token"])

    def set_clock_offset(self, seconds: float) -> None:
        """Set by how many seconds the index's clock is ahead of real time."""
        self._call("clock", offset=seconds)

    def uploads(self) -> list[Upload]:
        """Return every upload request, oldest first, refused ones included."""
        return [Upload(**upload) for upload in self._call("uploads")]

    def projects(self) -> dict[str, set[str]]:
        """Return the owners of each project, by normalized name."""
        return {name: set(users) for name, users in self._call("projects").items()}

    def _call(self, name: str, **arguments: object) -> Any:  # any JSON
        """Ask a control endpoint: by POST if there are arguments, else by GET."""
        request = Request(  # noqa: S310  # http, to our own process
            self._ready["control_url"] + name,
            data=json.dumps(arguments).encode() if arguments else None,
            headers={"X-Control": self._ready["control_key"]},
        )
        with self._opener.open(request, timeout=10) as answer:
            return json.load(answer)


def main() -> None:
    """Serve until the input ends, the time is over, or the user interrupts."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog="It needs pymacaroons: pip install pymacaroons."
    )
    parser.add_argument("--domain", default="pypi.org", help="location of the tokens")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--minutes", type=float, default=60, help="how long to serve")
    arguments = parser.parse_args()
    ended = threading.Event()

    def await_end_of_input() -> None:
        # sys.stdin.read() would hold a lock that the interpreter needs to exit.
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        ended.set()

    with LoopbackIndex(arguments.domain, arguments.port) as index:
        names = ("upload_url", "control_url", "control_key")
        print(json.dumps({name: getattr(index, name) for name in names}), flush=True)
        threading.Thread(target=await_end_of_input, daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            ended.wait(arguments.minutes * 60)


if __name__ == "__main__":
    main()
