"""The loopback index answers uploads as PyPI does, so that it may judge our tokens."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pymacaroons
import pytest
from distributions import make_sdist, make_wheel
from loopback_index import IndexProcess, LoopbackIndex, judge, moment
from sandbox import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

VERDICTS = json.loads((DATA / "pypi_verdicts.json").read_text("utf-8"))["cases"]
INVALID_AUTHENTICATION = (
    "Invalid or non-existent authentication information. See {}help/#invalid-auth for more information."
)


@pytest.fixture
def index() -> Iterator[LoopbackIndex]:
    """Yield an index that serves."""
    with LoopbackIndex() as index:
        yield index


def restrict(token: str, *caveats: str) -> str:
    """Return a token with more caveats."""
    macaroon = pymacaroons.Macaroon.deserialize(token.removeprefix("pypi-"))
    for caveat in caveats:
        macaroon.add_first_party_caveat(caveat)
    return f"pypi-{macaroon.serialize()}"


def twine(directory: Path, url: str, token: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """Upload files by twine, far from the user's own settings."""
    home = directory / "home"
    home.mkdir(exist_ok=True)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TWINE_")}
    settings = {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "TWINE_PASSWORD": token,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PYTHONUTF8": "1",
        "no_proxy": "127.0.0.1",
        "COLUMNS": "1000",  # or twine breaks the sentences that we look for
    }
    options = ["--repository-url", url, "--username", "__token__"]
    options += ["--non-interactive", "--disable-progress-bar"]
    return subprocess.run(
        [sys.executable, "-m", "twine", "upload", *options, *map(str, files)],
        env=inherited | settings,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def basic(user: str, password: str) -> str:
    """Return the Authorization header of a user."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def multipart(name: str, content: bytes = b"x", **fields: str) -> dict[str, Any]:
    """Return headers and body of an upload request."""
    fields = {":action": "file_upload", "name": name, "version": "1"} | fields
    parts = [
        f'--limit\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()
    ]
    head = '--limit\r\nContent-Disposition: form-data; name="content"; filename="{}"\r\n'
    kind = "Content-Type: application/octet-stream\r\n\r\n"
    parts.append(head.format(f"{name}-1.tar.gz") + kind)
    return {
        "headers": {"Content-Type": "multipart/form-data; boundary=limit"},
        "body": "".join(parts).encode() + content + b"\r\n--limit--\r\n",
    }


def send(
    url: str, method: str = "POST", authorization: str = "", *, headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, str, str]:
    """Send one request and return status, reason and body of its answer."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    try:
        all_headers = {"Authorization": authorization} | (headers or {})
        connection.request(method, address.path, body, all_headers)
        answer = connection.getresponse()
        return answer.status, answer.reason, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("case", VERDICTS, ids=lambda case: str(case["label"]))
def test_judges_as_pypi_does(case: dict[str, Any]) -> None:
    """The verdict and its words are those of the code that runs PyPI."""
    verdict = judge(case["token"], bytes.fromhex(case["key"]), **case["context"])

    assert verdict == (case["allowed"], case["reason"])


@pytest.mark.parametrize("token", ["", "pypi-", "pypi-AgEI", "pypi-é", "other-AgEIcHlwaS5vcmc"])
def test_judges_what_is_no_token(token: str) -> None:
    verdict = judge(token, b"key", project=None, project_id=None, user_id=None, now=0.0)

    assert verdict == (False, "malformed macaroon")


def test_takes_uploads_of_twine_with_a_master(index: LoopbackIndex, tmp_path: Path) -> None:
    token = index.create_master("alice")
    files = [make_wheel(tmp_path, "Demo.Project", "1.0"), make_sdist(tmp_path, "Demo.Project", "1.0")]
    before = time.time()

    result = twine(tmp_path, index.upload_url, token, *files)

    assert result.returncode == 0, result.stdout + result.stderr
    assert [u.filename for u in index.uploads] == [file.name for file in files]
    for upload in index.uploads:
        assert (upload.project, upload.version) == ("demo-project", "1.0")
        assert (upload.status, upload.reason) == (200, "OK")
        assert (upload.is_master, upload.restrictions) == (True, [])
        assert before <= upload.received_at <= time.time()
    assert index.projects == {"demo-project": {"alice"}}


def test_takes_a_new_project_with_a_token_restricted_to_its_name(index: LoopbackIndex, tmp_path: Path) -> None:
    master = index.create_master("alice")
    now = int(time.time())
    token = restrict(master, f"[0, {now + 900}, {now - 60}]", '[1, ["demo"]]')

    result = twine(tmp_path, index.upload_url, token, make_wheel(tmp_path, "demo", "1.0"))

    assert result.returncode == 0, result.stdout + result.stderr
    [upload] = index.uploads
    assert upload.restrictions == [[0, now + 900, now - 60], [1, ["demo"]]]
    assert not upload.is_master
    assert index.projects == {"demo": {"alice"}}


def test_refuses_another_project_and_does_not_create_it(index: LoopbackIndex, tmp_path: Path) -> None:
    token = restrict(index.create_master("alice"), '[1, ["demo"]]')

    result = twine(tmp_path, index.upload_url, token, make_wheel(tmp_path, "Other", "1.0"))

    sentence = "Invalid API Token: project-scoped token is not valid for project: 'Other'"
    assert result.returncode == 1
    assert sentence in result.stdout
    [upload] = index.uploads
    assert (upload.status, upload.reason) == (403, sentence)
    assert (index.projects, index.project_ids) == ({}, {})


def test_refuses_an_expired_token(index: LoopbackIndex, tmp_path: Path) -> None:
    """Time is the index's own, which a test may move."""
    now = int(time.time())
    token = restrict(index.create_master("alice"), f"[0, {now + 900}, {now}]")
    index.clock_offset = 901

    result = twine(tmp_path, index.upload_url, token, make_wheel(tmp_path, "demo", "1.0"))

    assert result.returncode == 1
    assert "Invalid API Token: token is expired" in result.stdout


def test_refuses_a_file_name_that_is_taken(index: LoopbackIndex, tmp_path: Path) -> None:
    token = index.create_master("alice")
    wheel = make_wheel(tmp_path, "demo", "1.0")
    assert twine(tmp_path, index.upload_url, token, wheel).returncode == 0

    result = twine(tmp_path, index.upload_url, token, wheel)

    assert result.returncode == 1
    assert "File already exists" in result.stdout


def test_refuses_the_project_of_another_user(index: LoopbackIndex, tmp_path: Path) -> None:
    index.projects["demo"] = {"alice"}
    token = index.create_master("bob")

    result = twine(tmp_path, index.upload_url, token, make_wheel(tmp_path, "demo", "1.0"))

    sentence = "The user 'bob' isn't allowed to upload to project 'demo'."
    assert result.returncode == 1
    assert sentence in result.stdout
    assert index.projects == {"demo": {"alice"}}


def test_knows_a_project_and_a_user_by_their_ids(index: LoopbackIndex) -> None:
    master = index.create_master("alice")
    send(index.upload_url, "POST", basic("__token__", master), **multipart("demo"))
    ids = [f'[2, ["{index.project_ids["demo"]}"]]', f'[3, "{index.user_ids["alice"]}"]']
    token = restrict(master, *ids)

    for name in ("demo", "other"):
        body = multipart(name, filler=name)
        send(index.upload_url, "POST", basic("__token__", token), **body)

    assert [upload.reason for upload in index.uploads] == [
        "OK",
        "File already exists",
        "Invalid API Token: project-scoped token is not valid for project: 'other'",
    ]


def test_mints_masters_with_caveats(index: LoopbackIndex) -> None:
    """A token that PyPI restricted itself is a master all the same."""
    master = index.create_master("alice", ['[1, ["demo"]]', "nonsense"])
    derived = restrict(master, "[0, 1, 0]")

    for token in (master, derived):
        body = multipart("demo")
        send(index.upload_url, "POST", basic("__token__", token), **body)

    assert [upload.is_master for upload in index.uploads] == [True, False]
    assert index.uploads[0].restrictions == [[1, ["demo"]], "nonsense"]
    assert index.uploads[0].identifier == index.uploads[1].identifier


def test_mints_tokens_of_its_domain() -> None:
    with LoopbackIndex("test.pypi.org") as index:
        token = index.create_master()

    macaroon = pymacaroons.Macaroon.deserialize(token.removeprefix("pypi-"))
    assert macaroon.location == "test.pypi.org"


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic %", "Basic /w==", "Bearer x", basic("alice", "secret"), basic("__token__", "")],
)
def test_refuses_whoever_brings_no_token(index: LoopbackIndex, authorization: str) -> None:
    answer = send(index.upload_url, "POST", authorization, **multipart("demo"))

    sentence = INVALID_AUTHENTICATION.format(index.upload_url.removesuffix("legacy/"))
    assert answer == (403, sentence, f"403 {sentence}\n")


def test_refuses_a_token_of_another_index(index: LoopbackIndex) -> None:
    with LoopbackIndex() as other:
        token = other.create_master()

    answer = send(index.upload_url, "POST", basic("__token__", token), **multipart("demo"))

    sentence = INVALID_AUTHENTICATION.format(index.upload_url.removesuffix("legacy/"))
    assert answer[:2] == (403, sentence)


def test_refuses_a_malformed_token(index: LoopbackIndex) -> None:
    answer = send(index.upload_url, "POST", basic("__token__", "pypi-AgEI"), **multipart("demo"))

    assert answer[:2] == (403, "Invalid API Token: malformed macaroon")
    assert "AgEI" not in repr(index.uploads)


def test_reads_any_bytes_of_a_file(index: LoopbackIndex) -> None:
    content = bytes(range(256)) * 50 + b"\r\r\n\n\r--limi\r\n--lim" + os.urandom(9999)
    for end in (b"", b"\n", b"\r", b"\r\n", b"\r\n\r\n", b"--"):
        digest = hashlib.sha256(content + end).hexdigest()
        body = multipart("demo", content + end, sha256_digest=digest)
        authorization = basic("__token__", index.create_master())
        send(index.upload_url, "POST", authorization, **body)

    reasons = [upload.reason for upload in index.uploads]
    assert reasons == ["OK"] + ["File already exists"] * 5


def test_lists_the_files_that_it_took(index: LoopbackIndex) -> None:
    master = basic("__token__", index.create_master("alice"))
    index.clock_offset = -1000
    assert send(index.upload_url, "POST", master, **multipart("Demo"))[0] == 200
    assert send(index.upload_url, "POST", master, **multipart("Demo"))[0] == 400
    index.provenance["Demo-1.tar.gz"] = "https://attestations.example/"
    status, _, body = send(f"{index.simple_url}demo/", "GET")
    document = json.loads(body)
    (file,) = document["files"]
    assert (status, document["name"], document["versions"]) == (200, "demo", ["1"])
    assert (file["filename"], file["provenance"]) == ("Demo-1.tar.gz", "https://attestations.example/")
    assert file["upload-time"] == moment(index.uploads[0].received_at)
    assert abs(index.uploads[0].received_at + 1000 - time.time()) < 60


@pytest.mark.parametrize("key", ["", "wrong", "\xe9"])
@pytest.mark.parametrize("name", ["master", "clock", "uploads", "projects"])
def test_lets_nobody_steer_it_without_the_key(index: LoopbackIndex, name: str, key: str) -> None:
    for method in ("GET", "POST"):
        answer = send(index.control_url + name, method, headers={"X-Control": key}, body=b"{}")
        assert answer == (403, "Forbidden", "403 Forbidden\n")


def test_shows_no_secret(index: LoopbackIndex) -> None:
    """Neither a token, nor its signature, nor its key is in a record or an answer."""
    token = restrict(index.create_master(), '[1, ["demo"]]')
    signature = pymacaroons.Macaroon.deserialize(token[5:]).signature
    answers = [
        send(index.upload_url, "POST", basic("__token__", token), **multipart(name))
        for name in ("demo", "demo", "other")
    ]

    [master] = index._masters.values()  # the secret is nowhere else
    shown = repr((answers, index.uploads, master))
    assert [token[-20:] in shown, signature in shown, repr(master.key) in shown] == [False] * 3


def test_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    now = int(time.time())
    window = f"[0, {now + 900}, {now - 60}]"
    wheels = [make_wheel(tmp_path, name, "1.0") for name in ("demo", "late")]
    with IndexProcess("test.pypi.org") as index:
        master = index.create_master("bob", ['{"version": 1, "permissions": "user"}'])
        token = restrict(master, window)
        results = [twine(tmp_path, index.upload_url, token, wheels[0])]
        index.set_clock_offset(901)
        results.append(twine(tmp_path, index.upload_url, token, wheels[1]))
        uploads, projects = index.uploads(), index.projects()

    assert [result.returncode for result in results] == [0, 1]
    assert [upload.reason for upload in uploads] == ["OK", "Invalid API Token: token is expired"]
    assert uploads[0].restrictions == [{"version": 1, "permissions": "user"}, [0, now + 900, now - 60]]
    assert projects == {"demo": {"bob"}}
    with pytest.raises(OSError, match=r"refused|reset"):
        send(index.upload_url)


@pytest.mark.parametrize("options", [[], ["--minutes", "0.005"]])
def test_ends_with_its_input_or_its_time(options: list[str]) -> None:
    script = Path(sys.modules["loopback_index"].__file__ or "")
    with subprocess.Popen(
        [sys.executable, str(script), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        if options:
            process.wait(timeout=60)
        output, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (0, "")
    [line] = output.splitlines()
    assert sorted(json.loads(line)) == ["control_key", "control_url", "upload_url"]
