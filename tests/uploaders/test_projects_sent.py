"""The projects in the token are those that arrive: command lines of the real uploaders, on the real wire.

Each runs with the plugin asked through keyring, some also through `exec`, against an index that takes every file: the
token's projects must be those that arrive, or nothing is sent.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

import keyring
import pytest
from command_lines import LINES, Line, write_projects
from wire import NO_TOKEN, NotingIndex, Sent, run_offline

from keyring_pypitoken.lookup import Repository
from keyring_pypitoken.uploaders.settings import DEFAULT
from keyring_pypitoken.uploaders.uploader import Address, Target, find_uploader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from environments import Environments
    from sandbox import WritePolicy

pytestmark = [
    pytest.mark.uploaders,
    pytest.mark.skipif(os.name != "posix", reason="command lines are written as a POSIX shell has them"),
]
# How each is made to ask keyring.
ASKING = {
    "uv": {"UV_KEYRING_PROVIDER": "subprocess", "UV_PUBLISH_USERNAME": "__token__"},
    "flit": {"FLIT_USERNAME": "__token__"},
    "hatch": {"HATCH_INDEX_USER": "__token__"},
}
EXEC_EVERY = 5  # of the lines; both read a line by the same code. An uploader that asks no keyring has `exec` alone.
# Some lines a test, so that processes share the work.
PARTS = {
    f"{environment} {start // 12 + 1}": (environment, lines[start : start + 12])
    for environment, lines in LINES.items()
    for start in range(0, len(lines), 12)
}


@pytest.fixture
def index(user_policy: WritePolicy) -> Iterator[NotingIndex]:
    """Serve an index that takes every file, as a repository of the user's policy that has a master."""
    with NotingIndex(accepts_all=True) as index:
        user_policy(f'[repository.local]\nurl = "{index.upload_url}"\ndomain = "pypi.org"\n')
        keyring.set_password(index.upload_url, "__token__", index.create_master("alice"))
        yield index


def judge(sent: list[Sent], *, is_forbidden: bool) -> str:
    """Return `equal`, `refused` if no token came, or what is wrong."""
    if any(upload.kind not in ("derived", "constant", "empty") for upload in sent):
        return f"WRONG: {[upload.kind for upload in sent]} was sent"
    derived = [upload for upload in sent if upload.kind == "derived"]
    if not derived:
        return "refused"
    if is_forbidden:
        return "WRONG: it is not refused"
    if len(derived) < len(sent):
        return "WRONG: a token for some of the files only"
    named = {name for upload in derived for name in upload.projects}
    return "equal" if named == {upload.project for upload in sent} else f"WRONG: the token is for {sorted(named)}"


@pytest.mark.parametrize("part", PARTS)
def test_the_token_is_for_the_projects_that_arrive(
    part: str,
    environments: Environments,
    index: NotingIndex,
    work: Path,
    record_property: Callable[[str, object], None],
) -> None:
    write_projects(work)
    environment, lines = PARTS[part]
    uploader = find_uploader(environment.split(maxsplit=1)[0])
    assert uploader is not None
    repository = Repository("local", index.upload_url, "pypi.org", ())
    variables = uploader.variables("a password", repository, Target(Address(index.upload_url, "local", DEFAULT)))
    address = {name: value for name, value in variables.items() if value == index.upload_url}
    paths = [environments.scripts(name) for name in dict.fromkeys((environment, "twine", "uv"))]
    path = os.pathsep.join(map(str, (*paths, "/usr/bin", "/bin")))
    through = [sys.executable, "-m", "keyring_pypitoken", "exec", "--"]
    counts: Counter[str] = Counter()
    rows: list[str] = []
    for at, text in enumerate(lines):
        line = Line.parse(text, work)
        environ = {**os.environ, "PATH": path, **line.environ}

        modes = {"keyring": (line.words, ASKING.get(uploader.name, {})), "exec": ([*through, *line.words], {})}
        if not uploader.asks_keyring:
            del modes["keyring"]
        elif at % EXEC_EVERY:
            del modes["exec"]
        for mode, (words, asking) in modes.items():
            index.sent.clear()
            done = run_offline(words, line.directory, environ | address | asking)
            sent, shown = index.sent.copy(), done.stdout + done.stderr
            outcome = judge(sent, is_forbidden=line.is_forbidden)
            counts[outcome.split(":")[0]] += 1
            said = [part for part in shown.splitlines() if part.startswith("keyring-pypitoken: ")][-1:]
            if outcome == "refused" and not said and not any(upload.password == NO_TOKEN for upload in sent):
                outcome = "refused, or nothing to upload"
            reason = said[0][len("keyring-pypitoken: ") :] if said and outcome != "equal" else ""
            arrived = ", ".join(sorted({upload.project for upload in sent})) or "-"
            rows.append(f"{mode:<8} {text} -> {arrived}: {outcome}{reason and f' ({reason})'}")
    summary = ", ".join(f"{counts[name]} {name}" for name in ("equal", "refused", "WRONG"))
    record_property("uploader", (part, "projects", summary, rows))
    assert counts["WRONG"] == 0, "\n".join(row for row in rows if "WRONG" in row)
