"""The projects in the token are those that arrive: command lines of the real uploaders, on the real wire.

Each runs with a password of no worth, which shows what it uploads; then with the plugin asked through keyring; then
through `exec`. The token's projects must be those that arrived the first time, or nothing is sent.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

import keyring
import pytest
from command_lines import LINES, Line, write_projects
from wire import NO_TOKEN, NotingIndex, Sent, open_environments, run_offline

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
WORTHLESS = "a-password-of-no-worth"
# Some lines a test, so that processes share the work.
PARTS = {
    f"{environment} {start // 12 + 1}": (environment, lines[start : start + 12])
    for environment, lines in LINES.items()
    for start in range(0, len(lines), 12)
}


@pytest.fixture(scope="module")
def environments(pytestconfig: pytest.Config) -> Iterator[Environments]:
    yield from open_environments(pytestconfig)


@pytest.fixture
def index(user_policy: WritePolicy) -> Iterator[NotingIndex]:
    """Serve an index that takes every file, as a repository of the user's policy that has a master."""
    with NotingIndex(accepts_all=True) as index:
        user_policy(f'[repository.local]\nurl = "{index.upload_url}"\ndomain = "pypi.org"\n')
        keyring.set_password(index.upload_url, "__token__", index.create_master("alice"))
        yield index


def judge(truth: list[Sent], sent: list[Sent], *, is_forbidden: bool) -> str:
    """Return `equal`, `refused`, `nothing` if nothing is uploaded anyway, or what is wrong."""
    if any(upload.kind not in ("derived", "constant", "empty") for upload in sent):
        return f"WRONG: {[upload.kind for upload in sent]} was sent"
    derived = [upload for upload in sent if upload.kind == "derived"]
    projects = {upload.project for upload in truth}
    if not derived:
        return "refused" if truth else "nothing"
    if is_forbidden:
        return "WRONG: it is not refused"
    if sorted(upload.filename for upload in derived) != sorted(upload.filename for upload in truth):
        return f"WRONG: {sorted(upload.filename for upload in derived)} arrived"
    named = {name for upload in derived for name in upload.projects}
    return "equal" if named == projects else f"WRONG: the token is for {sorted(named)}"


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
    variables = uploader.variables(WORTHLESS, repository, Target(Address(index.upload_url, "local", DEFAULT)))
    address = {name: value for name, value in variables.items() if value == index.upload_url}
    paths = [environments.scripts(name) for name in dict.fromkeys((environment, "twine", "uv"))]
    path = os.pathsep.join(map(str, (*paths, "/usr/bin", "/bin")))
    through = [sys.executable, "-m", "keyring_pypitoken", "exec", "--"]
    counts: Counter[str] = Counter()
    rows: list[str] = []
    for text in lines:
        line = Line.parse(text, work)
        environ = {**os.environ, "PATH": path, **line.environ}

        def run(words: list[str], environ: dict[str, str], directory: Path = line.directory) -> tuple[list[Sent], str]:
            index.sent.clear()
            done = run_offline(words, directory, environ)
            return index.sent.copy(), done.stdout + done.stderr

        truth, _ = run(line.words, environ | variables | {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"})
        assert {upload.password for upload in truth} <= {WORTHLESS}
        arrived = ", ".join(sorted({upload.project for upload in truth})) or "-"
        modes = {"keyring": (line.words, ASKING.get(uploader.name, {})), "exec": ([*through, *line.words], {})}
        for mode, (words, asking) in modes.items():
            if mode == "keyring" and not uploader.lookups_per_upload:
                continue
            sent, shown = run(words, environ | address | asking)
            outcome = judge(truth, sent, is_forbidden=line.is_forbidden)
            counts[outcome.split(":")[0]] += 1
            said = [part for part in shown.splitlines() if part.startswith("keyring-pypitoken: ")][-1:]
            if outcome == "refused" and not said and not any(upload.password == NO_TOKEN for upload in sent):
                outcome = "refused without a sentence"
            reason = said[0][len("keyring-pypitoken: ") :] if said and outcome != "equal" else ""
            rows.append(f"{mode:<8} {text} -> {arrived}: {outcome}{reason and f' ({reason})'}")
    summary = ", ".join(f"{counts[name]} {name}" for name in ("equal", "refused", "nothing", "WRONG"))
    record_property("uploader", (part, "projects", summary, rows))
    assert counts["WRONG"] == 0, "\n".join(row for row in rows if "WRONG" in row)
