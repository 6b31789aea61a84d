"""`audit`: uploads outside every known window are an alarm, and what cannot be read is never taken for none."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import keyring
import pytest
from distributions import make_sdist, make_wheel
from loopback_index import LoopbackIndex, moment
from sandbox import Command, WritePolicy, new_master
from wire import open_environments, run_offline

from keyring_pypitoken import history, index, paths
from keyring_pypitoken.cli import audit
from keyring_pypitoken.history import Entry, record
from keyring_pypitoken.text import local_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from environments import Environments

NOW = int(time.time())
BEGIN = NOW - 100_000
REMEDY = (
    "If they are not yours, somebody else can upload: revoke your tokens on pypi.org, look at the security history of "
    "demo there, yank the files, and store a new token with `keyring-pypitoken login`. If they are, from another "
    "machine: run `keyring-pypitoken history --json -n 0 > FILE` there, and add --history FILE here."
)
NOT_SHOWN = (
    "This cannot show who uploaded within a window, which files were deleted since, or what happened before. An "
    "upload from another machine, by a trusted publisher without provenance, or under `history = false` looks foreign."
)


class Served(http.server.ThreadingHTTPServer):
    """A server on loopback that answers every request alike, and notes the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.headers: dict[str, str] = {}
        self.location = ""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/simple/"
        self.drips: list[bytes] = []  # pieces that are sent again and again
        self.ended = threading.Event()

    def serve(self, *files: dict[str, object], project: str = "demo", **other: object) -> None:
        """Serve the files of a project."""
        document = {"meta": {"api-version": "1.3"}, "name": project, "files": [*files]} | other
        self.answers[f"/simple/{project}/"] = 200, json.dumps(document).encode()

    def handle_error(self, *_: object) -> None:
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for a server."""

    server: Served

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if self.server.drips:
            first, *rest = self.server.drips
            self.wfile.write(first)
            while rest and not self.server.ended.wait(0.05):
                self.wfile.write(rest[0])
            return
        status, body = self.server.answers.get(self.path, (404, b""))
        self.send_response(status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def hosts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let nothing but loopback be reached; return every host that is looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **settings: Any) -> Any:
        asked.append(host)
        if host != "127.0.0.1":
            raise socket.gaierror
        return real(host, *arguments, **settings)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return asked


def derived(at: int, *projects: str, repository: str = "pypi", **other: Any) -> Entry:
    """Return the entry of a token for a quarter of an hour."""
    entry = Entry(at, projects or None, repository, "default", at - 60, at + 900, "twine", None)
    return entry._replace(**other)


def uploaded(filename: str, at: int, **other: object) -> dict[str, object]:
    """Return what the index says about a file."""
    return {"filename": filename, "url": "", "hashes": {}, "upload-time": moment(at), **other}


def found(command: Command, served: Served, *arguments: str, code: int = 0) -> dict[str, Any]:
    document: dict[str, Any] = command.json("audit", "--index-url", served.url, *arguments, code=code)
    assert document["ok"] is (code == 0)
    return document


def names(files: list[dict[str, Any]]) -> list[str]:
    return [file["filename"] for file in files]


def test_uploads_within_windows_are_no_alarm(command: Command, served: Served) -> None:
    record(derived(BEGIN, "demo"))
    record(derived(NOW - 500, "demo", "other"))
    served.serve(
        uploaded("demo-0.tar.gz", BEGIN - 1000), uploaded("demo-1.tar.gz", BEGIN + 5), uploaded("demo-2.tar.gz", NOW)
    )
    served.serve(project="other")
    code, out, err = command("audit", "--index-url", served.url)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"No foreign upload to pypi since {local_time(BEGIN)}.",
        f"  projects  demo, other, at {served.url}",
        f"  known     since {local_time(BEGIN)}, by this machine",
        "  uploads   0 foreign, 2 in windows of derived tokens, 0 by trusted publishers, 1 older than the history",
        NOT_SHOWN,
    ]


def test_an_upload_outside_every_window_is_an_alarm(command: Command, served: Served) -> None:
    record(derived(BEGIN, "demo"))
    served.serve(
        uploaded("demo-1.tar.gz", BEGIN + 5),
        uploaded("demo-2.tar.gz", BEGIN + 5000),
        uploaded("demo-3.tar.gz", BEGIN + 6000, provenance="https://pypi.org/integrity/demo/3/x/provenance"),
    )
    code, out, err = command("audit", "--index-url", served.url)
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "Alarm: 1 upload to pypi is outside the windows of all tokens in the history.",
        f"- 'demo-2.tar.gz' of demo, {local_time(BEGIN + 5000)}",
        REMEDY,
        "By a trusted publisher, with provenance; check that it is yours:",
        f"- 'demo-3.tar.gz' of demo, {local_time(BEGIN + 6000)}",
        f"  projects  demo, at {served.url}",
        f"  known     since {local_time(BEGIN)}, by this machine",
        "  uploads   1 foreign, 1 in windows of derived tokens, 1 by trusted publishers, 0 older than the history",
        NOT_SHOWN,
    ]
    document = found(command, served, code=1)
    expected = {"project": "demo", "filename": "demo-2.tar.gz", "uploaded": BEGIN + 5000, "has_provenance": False}
    assert document["foreign"] == [expected]
    assert (names(document["trusted_publisher"]), names(document["in_windows"])) == (
        ["demo-3.tar.gz"],
        ["demo-1.tar.gz"],
    )
    assert (document["before"], document["since"], document["histories"]) == (0, BEGIN, {"this machine": BEGIN})
    assert (document["repository"], document["index"], document["projects"]) == ("pypi", served.url, ["demo"])
    assert document["problems"] == []


def test_many_foreign_uploads_are_shown_in_part(command: Command, served: Served) -> None:
    record(derived(BEGIN, "demo"))
    served.serve(*(uploaded(f"demo-{number}.tar.gz", NOW) for number in range(22)))
    out = command("audit", "--index-url", served.url)[1]
    assert out.startswith("Alarm: 22 uploads to pypi are outside the windows of all tokens in the history.\n")
    assert "- 'demo-19.tar.gz' of demo, " in out
    assert "'demo-20.tar.gz'" not in out
    assert "\n- and 2 more, which --json shows\n" in out
    assert len(found(command, served, code=1)["foreign"]) == 22


@pytest.mark.parametrize(
    ("policy", "at", "is_foreign"),
    [
        ("", -121, True),
        ("", -120, False),
        ("", 959, False),
        ("", 960, True),
        ('clock-skew = "5m"', 1199, False),
        ('clock-skew = "0s"', -60, False),
        ('clock-skew = "0s"', -61, True),
        ('clock-skew = "0s"', 900, True),
        ('[repository.testpypi]\nclock-skew = "5m"', 960, True),
    ],
)
def test_clocks_may_differ_by_the_clock_skew(
    policy: str, at: int, is_foreign: bool, command: Command, served: Served, user_policy: WritePolicy
) -> None:
    user_policy(policy)
    record(derived(BEGIN, "other"))
    record(derived(NOW - 5000, "demo"))
    served.serve(uploaded("demo-1.tar.gz", NOW - 5000 + at))
    assert names(found(command, served, "demo", code=int(is_foreign))["foreign"]) == ["demo-1.tar.gz"] * is_foreign


@pytest.mark.parametrize(
    ("entry", "is_foreign"),
    [
        (derived(NOW - 50, "demo"), False),
        (derived(NOW - 50), False),
        (derived(NOW - 50, "other"), True),
        (derived(NOW - 50, "demo", repository="testpypi"), True),
        (derived(NOW - 50, *(f"p{number}" for number in range(501))), False),
    ],
    ids=["its project", "any project", "another project", "another repository", "more projects than an entry lists"],
)
def test_a_window_counts_for_the_projects_of_its_token(
    entry: Entry, is_foreign: bool, command: Command, served: Served
) -> None:
    record(derived(BEGIN, "demo"))
    record(entry)
    served.serve(uploaded("demo-1.tar.gz", NOW))
    found(command, served, "Demo", code=int(is_foreign))


def test_the_projects_are_those_of_the_history_for_the_repository(command: Command, served: Served) -> None:
    record(derived(BEGIN, "b", "a"))
    record(derived(BEGIN, "test", repository="testpypi"))
    record(derived(BEGIN))
    for project in ("a", "b", "test"):
        served.serve(project=project)
    assert found(command, served)["projects"] == ["a", "b"]
    assert found(command, served, "-r", "testpypi")["projects"] == ["test"]
    assert [path for path, _ in served.asked] == ["/simple/a/", "/simple/b/", "/simple/test/"]


def test_a_history_that_begins_in_the_future_judges_nothing(command: Command, served: Served) -> None:
    record(derived(NOW + 90_000, "demo"))
    served.serve(uploaded("demo-1.tar.gz", NOW))
    assert command.refused("audit", "--index-url", served.url) == (
        f"the history begins in the future, at {local_time(NOW + 90_000)}: set the clock, or delete the history of a "
        "clock that was wrong."
    )


def test_provenance_of_another_index_than_pypi_is_no_evidence(
    command: Command, served: Served, user_policy: WritePolicy
) -> None:
    user_policy('[repository.company]\nurl = "https://index.example/up/"\n')
    record(derived(BEGIN, "demo", repository="company"))
    served.serve(uploaded("demo-1.tar.gz", NOW, provenance="https://index.example/provenance"))
    assert names(found(command, served, "-r", "company", code=1)["foreign"]) == ["demo-1.tar.gz"]


# The histories of other machines


@pytest.fixture
def exported(command: Command, work: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return what writes the history of another machine, as that exports it, and returns the file's name."""

    def export(*entries: Entry, name: str = "laptop.json") -> str:
        with monkeypatch.context() as there:
            there.setattr(paths, "history_directory", lambda: str(work / f"of {name}"))
            for entry in entries:
                record(entry)
            (work / name).write_text(command("history", "--json", "-n", "0")[1])
        return name

    return export


def test_other_machines_explain_uploads(command: Command, served: Served, exported: Callable[..., str]) -> None:
    record(derived(BEGIN, "demo"))
    laptop = exported(derived(BEGIN - 100, "demo"), *(derived(NOW - at, "demo") for at in range(30)))
    server = exported(derived(NOW - 5000, "demo"), name="server.json")
    served.serve(
        *(uploaded("demo-1.tar.gz", NOW), uploaded("demo-2.tar.gz", NOW - 5000), uploaded("demo-3.tar.gz", NOW - 9000))
    )
    assert len(found(command, served, code=1)["foreign"]) == 3
    document = found(command, served, "--history", laptop, "--history", server, code=1)
    assert names(document["foreign"]) == ["demo-3.tar.gz"]
    assert document["histories"] == {"this machine": BEGIN, "laptop.json": BEGIN - 100, "server.json": NOW - 5000}
    assert document["since"] == BEGIN
    out = command("audit", "--index-url", served.url, "--history", laptop)[1]
    assert f"\n  known     since {local_time(BEGIN - 100)}, by laptop.json\n" in out


def test_without_a_history_of_its_own_a_machine_judges_by_the_others(
    command: Command, served: Served, exported: Callable[..., str]
) -> None:
    files = [exported(derived(NOW - at, "demo"), name=f"{at}.json") for at in (100, 5000, 10)]
    served.serve(uploaded("demo-1.tar.gz", NOW - 5001), uploaded("demo-2.tar.gz", NOW))
    document = found(command, served, *(word for file in files for word in ("--history", file)))
    assert (document["since"], document["before"], len(document["in_windows"])) == (NOW - 5000, 1, 1)


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "5", '"text"', "[5]", "[null]", '[{"time": 5}]', '{"time": 5}', "[" * 100_000],
    ids=["empty", "cut", "null", "number", "text", "list of numbers", "list of null", "short", "object", "deep"],
)
def test_a_file_that_is_not_a_history_is_refused(text: str, command: Command, work: Path) -> None:
    (work / "x.json").write_text(text)
    assert command.refused("audit", "--history", "x.json") == (
        "x.json is not the history of another machine: write it there with "
        "`keyring-pypitoken history --json -n 0 > FILE`."
    )


def test_a_history_that_cannot_be_read_is_refused(command: Command, work: Path) -> None:
    assert command.refused("audit", "--history", "none.json").startswith("none.json is not the history of another ")
    (work / "x.json").write_bytes("[]".encode("utf-16"))
    assert command.refused("audit", "--history", "x.json") == "x.json is UTF-16 text: save it as UTF-8."
    (work / "x.json").write_bytes(b" " * (history._MAX_EXPORTED + 1))
    assert command.refused("audit", "--history", "x.json").startswith("x.json is longer than ")


def test_what_is_no_project_in_another_history_is_not_asked_for(
    command: Command, served: Served, exported: Callable[..., str]
) -> None:
    laptop = exported(derived(BEGIN, "../../admin", "Demo", "a b"))
    served.serve()
    assert found(command, served, "--history", laptop)["projects"] == ["demo"]
    assert [path for path, _ in served.asked] == ["/simple/demo/"]


# What is refused before anybody is asked


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-r", "company"], "cannot tell the URL of the simple API of company: name it with --index-url."),
        (["de mo"], "'de mo' is not a valid project name: correct it."),
        (["-r", "testpypi"],
         "the history names no project of testpypi: name one, as in `keyring-pypitoken audit my-project`."),
        *(
            (["--index-url", url],
             ("--index-url expects an https URL (http for a loopback address only), without user, query or fragment: "
              "correct it."))
            for url in ("http://pypi.org/simple/", "https://joe:secret@pypi.org/simple/", "https://pypi.org/?x", "pypi",
                        "file:///etc/passwd", "ftp://127.0.0.1/", "")
        ),
    ],
)  # fmt: skip
def test_refuses_what_makes_no_sense(
    arguments: list[str], sentence: str, command: Command, user_policy: WritePolicy, hosts: list[str]
) -> None:
    user_policy('[repository.company]\nurl = "https://index.example/up/"\n')
    record(derived(BEGIN, "demo"))
    assert command.refused("audit", *arguments) == sentence
    assert hosts == []


def test_refuses_without_any_history(command: Command, hosts: list[str]) -> None:
    assert command.refused("audit", "demo") == (
        "no token has been derived on this machine yet, so there is nothing to compare with: give the history of the "
        "machine that uploads, with --history."
    )
    assert hosts == []


def test_refuses_a_broken_policy(command: Command, user_policy: WritePolicy) -> None:
    user_policy("x")
    assert "policy.toml:1" in command("audit")[2]


def test_the_number_of_requests_is_bounded(command: Command, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_MAX_PROJECTS", 2)
    record(derived(BEGIN, "a", "b", "c"))
    assert command.refused("audit", "--index-url", served.url) == (
        "3 projects are above the limit of 2: name some of them."
    )
    assert served.asked == []


# The network


@pytest.mark.parametrize(("repository", "host"), [("pypi", "pypi.org"), ("testpypi", "test.pypi.org")])
def test_the_index_of_a_repository_is_known(repository: str, host: str, command: Command, hosts: list[str]) -> None:
    record(derived(BEGIN, "demo", repository=repository))
    document = command.json("audit", "-r", repository, code=1)
    assert (document["index"], document["problems"]) == (
        f"https://{host}/simple/",
        [f"https://{host}/simple/demo/ cannot be read (gaierror): check the network, or correct --index-url."],
    )
    assert set(hosts) == {host}


def test_nobody_but_the_index_is_asked_and_nothing_secret_is_sent(
    command: Command, served: Served, hosts: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login joe password hunter2\ndefault login joe password hunter2\n")
    (home / ".netrc").chmod(0o600)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://joe:hunter2@proxy.example:9")
    record(derived(BEGIN, "demo"))
    served.serve(uploaded("demo-1.tar.gz", BEGIN, url="http://files.example/demo-1.tar.gz",
                          provenance="http://provenance.example/"))  # fmt: skip
    found(command, served)
    assert set(hosts) == {"127.0.0.1"}
    ((path, headers),) = served.asked
    assert path == "/simple/demo/"
    assert headers == {
        "accept": "application/vnd.pypi.simple.v1+json",
        "accept-encoding": "identity",
        "connection": "close",
        "host": f"127.0.0.1:{served.server_port}",
        "user-agent": "keyring-pypitoken",
    }


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://elsewhere.example/", "/simple/other/", "file:///etc/passwd", "//["])
def test_no_redirect_is_followed(
    status: int, location: str, command: Command, served: Served, hosts: list[str]
) -> None:
    record(derived(BEGIN, "demo"))
    served.location = location
    served.answers["/simple/demo/"] = status, b""
    (problem,) = found(command, served, code=1)["problems"]
    assert problem == f"{served.url}demo/ answered {status}: try again later, or correct --index-url."
    assert set(hosts) == {"127.0.0.1"}
    assert len(served.asked) == 1


@pytest.mark.parametrize("status", [204, 400, 401, 403, 429, 500, 503])
def test_an_error_of_the_index_is_a_problem(status: int, command: Command, served: Served) -> None:
    record(derived(BEGIN, "demo", "other"))
    served.serve(uploaded("demo-1.tar.gz", BEGIN))
    served.answers["/simple/other/"] = status, b""
    code, out, err = command("audit", "--index-url", served.url)
    assert (code, err) == (1, "")
    reason = (
        f"the answer from {served.url}other/ is not JSON with the upload time of every file (PEP 691, PEP 700): name "
        "an index that has them with --index-url."
        if status == 204
        else f"{served.url}other/ answered {status}: try again later, or correct --index-url."
    )
    assert out.startswith(f"Incomplete: some projects could not be judged.\n- {reason}\n  projects  demo, other, ")
    assert "0 foreign, 1 in windows of derived tokens" in out


def test_a_project_that_the_index_does_not_have_is_a_problem(command: Command, served: Served) -> None:
    record(derived(BEGIN, "demo"))
    assert found(command, served, code=1)["problems"] == [
        f"{served.url}demo/ does not exist: if the project was deleted or never uploaded, name the others."
    ]


GOOD: dict[str, object] = {"filename": "demo-1.tar.gz", "upload-time": moment(BEGIN)}
ANSWERS: dict[str, object] = {
    "nothing": b"",
    "HTML": b"<!DOCTYPE html><html></html>",
    "cut": b'{"name": "demo", "files": [',
    "not UTF-8": b'{"name": "\xff"}',
    "deep": b"[" * 200_000,
    "a long number": b"1" * 10_000,
    "null": None,
    "a list": [],
    "no name": {"files": []},
    "another project": {"name": "other", "files": []},
    "name: number": {"name": 5, "files": []},
    "no files": {"name": "demo"},
    "files: null": {"name": "demo", "files": None},
    "files: text": {"name": "demo", "files": ""},
    "files: object": {"name": "demo", "files": {}},
    "file: null": {"name": "demo", "files": [None]},
    "file: list": {"name": "demo", "files": [[]]},
    "file: text": {"name": "demo", "files": ["demo-1.tar.gz"]},
    **{f"no {key}": {"name": "demo", "files": [{name: GOOD[name] for name in GOOD if name != key}]} for key in GOOD},
    **{f"{key}: null": {"name": "demo", "files": [GOOD | {key: None}]} for key in GOOD},
    **{f"{key}: 5": {"name": "demo", "files": [GOOD | {key: 5}]} for key in (*GOOD, "provenance")},
    **{
        f"time: {text}": {"name": "demo", "files": [GOOD | {"upload-time": text}]}
        for text in ("", "today", "2026-01-31", "2026-02-31T00:00:00Z", "2026-01-31T00:00:00+01:00",
                     "2026-01-31T00:00:00", "0000-01-01T00:00:00Z", "2026-01-31T00:00:00.1234567Z", "1795193283")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_cannot_be_understood_is_a_problem(name: str, command: Command, served: Served) -> None:
    record(derived(BEGIN, "demo"))
    answer = ANSWERS[name]
    served.answers["/simple/demo/"] = 200, answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    (problem,) = found(command, served, code=1)["problems"]
    assert problem == (
        f"the answer from {served.url}demo/ is not JSON with the upload time of every file (PEP 691, PEP 700): name "
        "an index that has them with --index-url."
    )


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.1Z", "2026-01-31T12:00:00.999999Z"])
def test_times_are_read_as_pep_700_writes_them(text: str, served: Served) -> None:
    served.serve(GOOD | {"upload-time": text, "provenance": ""})
    assert index.list_files(served.url, "demo") == [
        index.UploadedFile("demo", "demo-1.tar.gz", 1769860800, has_provenance=False)
    ]


def test_what_the_index_says_is_escaped(command: Command, served: Served) -> None:
    record(derived(BEGIN, "demo"))
    served.serve(uploaded("\x1b[2Jdemo\n\u202e.tar.gz", NOW), uploaded(new_master(), NOW), uploaded("x" * 500, NOW))
    out = command("audit", "--index-url", served.url)[1]
    assert "\n- '\\x1b[2Jdemo\\n\\u202e.tar.gz' of demo, " in out
    assert "\n- a text that looks like a token of demo, " in out
    assert "\n- a text of 500 characters of demo, " in out


def test_an_answer_that_is_too_long_is_a_problem(
    command: Command, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_MAX_BYTES", 1000)
    record(derived(BEGIN, "demo"))
    served.drips = [b"HTTP/1.0 200 OK\r\n\r\n", b"[" * 100]
    assert found(command, served, code=1)["problems"] == [
        f"the answer from {served.url}demo/ is longer than 1000 bytes: name the other projects."
    ]


@pytest.mark.parametrize(
    "drips",
    [[b"", b"H"], [b"HTTP/1.0 200 OK\r\n", b"X: y\r\n"], [b"HTTP/1.0 200 OK\r\n\r\n", b" "]],
    ids=["a status line", "headers", "a body"],
)
def test_a_server_that_never_ends_is_refused(
    drips: list[bytes], command: Command, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_SECONDS", 0.5)
    record(derived(BEGIN, "demo"))
    served.drips = drips
    assert found(command, served, code=1)["problems"] == [
        f"{served.url}demo/ did not answer within 0.5 seconds: try again later."
    ]


@pytest.mark.parametrize(
    ("answer", "name"), [(b"", "RemoteDisconnected"), (b"hello\r\n\r\n", "BadStatusLine")], ids=["nothing", "no HTTP"]
)
def test_what_is_not_http_is_refused(answer: bytes, name: str, command: Command, served: Served) -> None:
    record(derived(BEGIN, "demo"))
    served.drips = [answer]
    assert found(command, served, code=1)["problems"] == [
        f"{served.url}demo/ cannot be read ({name}): check the network, or correct --index-url."
    ]


@pytest.mark.parametrize("path", ["", "\xe9"])
def test_an_index_that_is_not_there_is_a_problem(path: str, command: Command) -> None:
    record(derived(BEGIN, "demo"))
    name = "UnicodeEncodeError" if path else "ConnectionRefusedError"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/{path}"
        assert command.json("audit", "--index-url", url, code=1)["problems"] == [
            f"{url}{'/' if path else ''}demo/ cannot be read ({name}): check the network, or correct --index-url."
        ]


def test_an_alarm_is_not_lost_if_the_index_goes_away(
    command: Command, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = index._get
    record(derived(BEGIN, "a", "b", "c", "d"))
    served.serve(uploaded("a-1.tar.gz", NOW), project="a")

    def get(url: str) -> bytes:
        if url.endswith("/b/"):
            raise ConnectionResetError
        return real(url)

    monkeypatch.setattr(index, "_get", get)
    document = found(command, served, code=1)
    assert names(document["foreign"]) == ["a-1.tar.gz"]
    assert document["problems"] == [
        f"{served.url}b/ cannot be read (ConnectionResetError): check the network, or correct --index-url.",
        "after that, the index was not asked about c, d: try again later.",
    ]
    assert len(served.asked) == 1


# For real


@pytest.fixture(scope="module")
def environments(pytestconfig: pytest.Config) -> Iterator[Environments]:
    yield from open_environments(pytestconfig)


@pytest.mark.uploaders
def test_an_upload_of_a_thief_is_found(
    environments: Environments,
    command: Command,
    work: Path,
    user_policy: WritePolicy,
    record_property: Callable[[str, object], None],
) -> None:
    """twine uploads with a derived token; two hours later somebody does who has the master."""
    twine = str(environments.scripts("twine") / "twine")
    with LoopbackIndex() as pypi:
        user_policy(f'[repository.local]\nurl = "{pypi.upload_url}"\ndomain = "pypi.org"\n')
        master = pypi.create_master("alice")
        keyring.set_password(pypi.upload_url, "__token__", master)
        keys = {"TWINE_REPOSITORY_URL": pypi.upload_url, "TWINE_USERNAME": "__token__", "TWINE_NON_INTERACTIVE": "1"}

        def upload(version: str, **environ: str) -> None:
            files = [make_wheel(work / "dist", "demo", version), make_sdist(work / "dist", "demo", version)]
            words = [twine, "upload", "--disable-progress-bar", *map(str, files)]
            done = run_offline(words, work, {**os.environ, **keys, **environ})
            assert done.returncode == 0, done.stdout + done.stderr

        upload("1.0")
        arguments = ["audit", "-r", "local", "--index-url", pypi.simple_url]
        code, quiet, err = command(*arguments)
        assert (code, err) == (0, "")
        assert quiet.startswith("No foreign upload to local since ")
        assert "\n  uploads   0 foreign, 2 in windows of derived tokens, " in quiet

        pypi.clock_offset = 7200
        upload("2.0", TWINE_PASSWORD=master, PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
        pypi.provenance["demo-2.0.tar.gz"] = f"{pypi.simple_url}provenance"  # as if a trusted publisher had sent it
        assert [sent.is_master for sent in pypi.uploads] == [False, False, True, True]
        code, alarm, err = command(*arguments)
        assert (code, err) == (1, "")
        first, second, _, _, published, *_ = alarm.splitlines()
        assert first == "Alarm: 1 upload to local is outside the windows of all tokens in the history."
        assert second.startswith("- 'demo-2.0-py3-none-any.whl' of demo, ")
        assert published.startswith("- 'demo-2.0.tar.gz' of demo, ")
    for what, screen in (("quiet", quiet), ("alarm", alarm)):
        record_property("uploader", ("audit", what, "", screen.splitlines()))
