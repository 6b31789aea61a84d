"""`status` foretells what the real uploaders send: its table of situations, each run as an upload to loopback."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import pytest
from sandbox import Command, WritePolicy, forget
from situations import PYPI, SECRET, SITUATIONS, TESTPYPI, Place, Situation, make_project
from wire import OFFLINE, NotingIndex, run_offline

from keyring_pypitoken.uploaders.uploader import Process, find_uploader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from environments import Environments

pytestmark = [
    pytest.mark.uploaders,
    pytest.mark.skipif(os.name != "posix", reason="the uploaders are typed to on a pseudo-terminal, which POSIX has"),
]
HARMLESS = {"constant", "empty"}  # kinds of what is sent if an upload is refused
_PROMPTS = (
    r"(?i)user ?name[^\n]*:\s*(\x1b\[[0-9;?]*[a-z])*$",
    r"(?i)(password|token)[^\n]*:\s*(\x1b\[[0-9;?]*[a-z])*$",
    r"(?i)\[y/n\][^\n]*$",
)


class Indexes(NamedTuple):
    """What stands for PyPI and for TestPyPI."""

    pypi: NotingIndex
    testpypi: NotingIndex

    def master(self, domain: str) -> str:
        """Make a master for a domain."""
        return (self.pypi if domain == "pypi.org" else self.testpypi).create_master("alice")

    def kinds(self) -> set[str]:
        """Return the kinds of all credentials that arrived since the last time."""
        kinds = {sent.kind for index in self for sent in index.sent}
        for index in self:
            index.sent.clear()
            index.uploads.clear()  # so that the same files may come again
        return kinds


@pytest.fixture
def indexes() -> Iterator[Indexes]:
    with NotingIndex() as pypi, NotingIndex("test.pypi.org") as testpypi:
        yield Indexes(pypi, testpypi)


@pytest.fixture
def place(home: Path, work: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch, indexes: Indexes) -> Place:
    """Make the project; let each uploader's PyPI and TestPyPI be on loopback."""
    make_project(work)
    pypi, testpypi = (index.upload_url for index in indexes)
    instead = {PYPI: pypi, PYPI[:-1]: pypi, TESTPYPI: testpypi, "upload.pypi.org": "127.0.0.1"}
    instead["POETRY_PYPI_TOKEN_PYPI"] = "POETRY_PYPI_TOKEN_LOCAL"
    user_policy(
        f'[repository.local]\nurl = "{pypi}"\ndomain = "pypi.org"\n'
        f'[repository.test-local]\nurl = "{testpypi}"\ndomain = "test.pypi.org"\n'
    )
    place = Place(home, work, user_policy, monkeypatch, instead, indexes.master)
    place.write(
        ".pypirc",
        "[distutils]\nindex-servers = pypi testpypi\n"
        f"[pypi]\nrepository = {PYPI}\n[testpypi]\nrepository = {TESTPYPI}\n",
    )
    place.write("config/pdm/config.toml", f'[repository.local]\nurl = "{PYPI}"\n')
    place.set(UV_PUBLISH_URL=PYPI, HATCH_INDEX_REPO=PYPI, POETRY_REPOSITORIES_LOCAL_URL=PYPI)
    # These ask by the name of the repository, and `pypi` is PyPI.
    for name in ("poetry", "pdm"):
        monkeypatch.setattr(type(find_uploader(name)), "typical", ("publish", "-r", "local"))
    return place


def type_to(words: list[str], directory: Path) -> None:
    """Run a program in a terminal and type a user name and a password wherever it asks for one."""
    import pexpect

    child = pexpect.spawn(
        words[0], words[1:], cwd=directory, env={**os.environ, **OFFLINE, "TERM": "xterm"}, encoding="utf-8",
        codec_errors="replace", timeout=60, dimensions=(60, 500),
    )  # fmt: skip
    for _ in range(4):
        prompt = child.expect([*_PROMPTS, pexpect.EOF])
        if prompt == len(_PROMPTS):
            break
        child.sendline(("joe", SECRET, "n")[prompt])
    else:
        child.expect(pexpect.EOF)
    child.close(force=True)


NAMES = [f"{situation.uploader}: {situation.name}" for situation in SITUATIONS]


@pytest.mark.parametrize("situation", SITUATIONS, ids=NAMES)
def test_a_real_upload_does_what_status_says(
    situation: Situation,
    place: Place,
    indexes: Indexes,
    environments: Environments,
    command: Command,
    record_property: Callable[[str, object], None],
) -> None:
    name = situation.uploader
    if situation.only_pypi:
        record_property("uploader", (name, situation.name, f"not run: {situation.only_pypi}", []))
        pytest.skip(situation.only_pypi)
    scripts = [environments.scripts(name)] if situation.has_plugin else []
    if not situation.has_plugin:
        scripts = [environments.scripts("twine alone"), environments.scripts(name)]
    place.monkeypatch.setenv("PATH", os.pathsep.join(map(str, (*scripts, "/usr/bin", "/bin"))))
    situation.prepare(place)
    forget()
    status = command.json("status", code=command("status")[0])
    report = next(report for report in status["uploaders"] if report["uploader"] == name)
    assert report["verdict"] == situation.verdict, report

    words = {
        **dict.fromkeys(("poetry", "pdm"), ("publish", "-r", "local")),
        "maturin": ("upload", "dist/demo-1.0-py3-none-any.whl"),
    }
    arguments = words.get(name, situation.words)
    uploader = find_uploader(name)
    assert uploader is not None
    address = Process(name, arguments, place.work, os.environ).target.address
    assert address.url in {index.upload_url for index in indexes}  # before anything real is started
    typed = [str(next(path / name for path in scripts if (path / name).exists())), *arguments]
    done = run_offline(typed, place.work, os.environ)
    alone, asked = indexes.kinds(), set[str]()
    if alone <= HARMLESS:
        type_to(typed, place.work)
        asked = indexes.kinds()
    sent, after_typing = (", ".join(sorted(kinds)) or "-" for kinds in (alone, asked))
    row = f"{situation.verdict:<10} sent: {sent}; after typing: {after_typing}"
    record_property("uploader", (name, situation.name, row, []))
    shown = f"{row}\n{report}\n{done.stdout}{done.stderr}"
    if situation.verdict == "restricted":
        assert alone == {"derived"}, shown
    elif situation.verdict in ("refused", "asks", "not set up"):
        assert alone <= HARMLESS, shown
        # Without a master, and where keyring is not asked yet, a person may type a password. Of a prompt for a user
        # name a restricted token may come.
        may_type = situation.verdict == "not set up" or "no master" in report["text"]
        assert asked <= HARMLESS | ({"other"} if may_type else set()) | {"derived"}, shown
    elif situation.verdict == "bypass":
        assert (alone | asked) & {"other", "empty"}, shown
        assert "derived" not in alone | asked, shown
    else:
        assert "derived" not in alone | asked, shown
