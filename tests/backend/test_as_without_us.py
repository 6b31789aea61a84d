"""Call by call, with this package and without it: the same values, the same errors, the same calls of the stores.

Each set-up of stores runs in two fresh processes. Our own look at a key before it is overwritten or deleted, and what
names a repository, are left out.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from secret_service import SecretService, missing

pytest_plugins = ["site_directories"]

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox import WritePolicy

PLUGIN = """
import keyring.backend, keyring.errors
from keyring.credentials import SimpleCredential

LOG = []

class Recording(keyring.backend.KeyringBackend):
    answers = ("get_password", "get_credential")
    def __init__(self):
        super().__init__()
        self.content = {}
    def note(self, call, *key):
        LOG.append([type(self).__name__.rstrip("_"), call, *key])
    def get_password(self, service, username):
        self.note("get_password", service, username)
        return self.content.get((service, username)) if "get_password" in self.answers else None
    def get_credential(self, service, username):
        self.note("get_credential", service, username)
        if "get_credential" not in self.answers: return None
        for (of, user), password in self.content.items():
            if of == service and username in (None, user): return SimpleCredential(user, password)
    def set_password(self, service, username, password):
        self.note("set_password", service, username)
        self.content[service, username] = password
    def delete_password(self, service, username):
        self.note("delete_password", service, username)
        if self.content.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("no such password")

class Failing(Recording):
    def note(self, call, *key):
        super().note(call, *key)
        raise keyring.errors.KeyringLocked("locked")

class Empty(Recording):
    def set_password(self, service, username, password):
        self.note("set_password", service, username)
        raise NotImplementedError
    def delete_password(self, service, username):
        self.note("delete_password", service, username)
        raise NotImplementedError
"""
CHILD = """
import json, sys, warnings
warnings.simplefilter("ignore")
import keyring, keyring.backend, keyring.core
from recorded import LOG
exec(sys.argv[2])
told = []
def call(function, *arguments):
    del LOG[:]
    try:
        answer = getattr(keyring, function)(*arguments)
    except Exception as error:
        answer = [type(error).__module__, type(error).__qualname__, str(error)]
    else:
        answer = [answer.username, answer.password] if hasattr(answer, "password") else answer
    told.append([function, arguments, answer, list(LOG)])
for service, username in json.loads(sys.argv[1]):
    for between in ("", sys.argv[3]):
        exec(between)
        call("get_password", service, username)
        call("get_credential", service, username)
        if "pypi.org" not in service:
            call("get_credential", service, None)
        call("set_password", service, username, "secret of a person")
        call("get_password", service, username)
        call("delete_password", service, username)
ours = any(type(one).__module__ == "keyring_pypitoken.backend" for one in keyring.backend.get_all_keyring())
print(json.dumps([ours, told]))
"""
KEYS = [
    ("mail", "joe"),
    ("https://upload.pypi.org/legacy/", "joe"),
    ("https://index.example/simple/", "__token__"),
    ("poetry-repository-other", "joe"),
    ("https://upload.pypi.org.evil.com/legacy/", "__token__"),
    ("https://index.example/simple/", ""),
    ("python-poetry-check", "python-poetry"),
    ("upload.pypi.org", "alice"),
]
# The classes of the plugin, and what a program does with keyring before it asks.
ONE = "class First(Recording): priority = 5"
TWO = f"{ONE}\nclass Second(Recording): priority = 2"
SETUPS = {
    "none": ("", ""),
    "one": (ONE, ""),
    "one of low priority": ("class Low(Recording): priority = 0.5", ""),
    "two": (TWO, ""),
    "three": (f"{TWO}\nclass Third(Recording): priority = 1", ""),
    "two of one priority": (f"{ONE}\nclass First_(Recording): priority = 5", ""),
    "one above the chain": (f"{TWO}\nclass Above(Recording): priority = 20", ""),
    "one just below the chain": (f"{TWO}\nclass Below(Recording): priority = 9.95", ""),
    "one that fails": (f"{ONE}\nclass Broken(Failing): priority = 7", ""),
    "only one that fails": ("class Broken(Failing): priority = 7", ""),
    "one that stores nothing": (f"{ONE}\nclass Nothing(Empty): priority = 7", ""),
    "only those that store nothing": ("class Nothing(Empty): priority = 7\nclass No(Empty): priority = 3", ""),
    "one call only": (f"class Half(Recording):\n    priority = 7\n    answers = ('get_password',)\n{ONE}", ""),
    "the other call only": (f"class Half(Recording):\n    priority = 7\n    answers = ('get_credential',)\n{ONE}", ""),
    "not viable beside one": (f"class Gone(Recording):\n    pass\n{ONE}", ""),
    "negative beside one": (f"class Negative(Recording): priority = -3\n{ONE}", ""),
    "limited to recommended": (f"{TWO}\nclass Low(Recording): priority = 0.5",
                               "keyring.core.init_backend(keyring.core.recommended)"),
    "limited to nothing": (TWO, "keyring.core.init_backend(lambda one: False)"),
    "limited to one": (TWO, "keyring.core.init_backend(lambda one: type(one).__name__ == 'Second')"),
    "pinned to one": (TWO, "import recorded; keyring.set_keyring(recorded.Second())"),
    "disabled": (TWO, "from keyring.backends import null; keyring.set_keyring(null.Keyring())"),
    "with properties": (TWO, "keyring.set_keyring(keyring.get_keyring().with_properties(appid='x'))"),
}  # fmt: skip


def _ask(
    site: Path,
    directory: Path,
    classes: str,
    before: str,
    between: str = "",
    environ: Mapping[str, str] = MappingProxyType({}),
) -> tuple[bool, list[Any]]:
    plugin = directory / "recorded-1.dist-info"
    plugin.mkdir(parents=True)
    (directory / "recorded.py").write_text(f"{PLUGIN}\n{classes}\n")
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: recorded\nVersion: 1\n")
    (plugin / "entry_points.txt").write_text("[keyring.backends]\nrecorded = recorded\n")
    done = subprocess.run(
        [sys.executable, "-S", "-c", CHILD, json.dumps(KEYS), before, between],
        env={
            **os.environ,
            "DBUS_SESSION_BUS_ADDRESS": "unix:",
            **environ,
            "PYTHONPATH": f"{site}{os.pathsep}{directory}",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    ours, told = json.loads(done.stdout)
    return ours, told


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own keyring would be asked, too")
@pytest.mark.parametrize("name", SETUPS)
def test_every_call_is_as_without_us(name: str, sites: dict[bool, Path], tmp_path: Path) -> None:
    ours, with_us = _ask(sites[True], tmp_path / "with", *SETUPS[name])
    others, without = _ask(sites[False], tmp_path / "without", *SETUPS[name])
    assert not others
    assert ours or name == "none"  # then there is nothing to store in, and we are not there
    _leave_out_our_look(with_us)
    assert with_us == without


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own keyring would be asked, too")
def test_every_call_is_as_without_us_with_a_policy_and_if_we_are_pinned(
    sites: dict[bool, Path], tmp_path: Path, user_policy: WritePolicy
) -> None:
    user_policy('[repository.mine]\nurl = "https://mine.example/"\n')
    pinned = {"PYTHON_KEYRING_BACKEND": "keyring_pypitoken.backend.PyPITokenKeyring"}
    ours, with_us = _ask(sites[True], tmp_path / "with", *SETUPS["one"], environ=pinned)
    _, without = _ask(sites[False], tmp_path / "without", *SETUPS["one"])
    _leave_out_our_look(with_us)
    assert (ours, with_us) == (True, without)


def _leave_out_our_look(calls: list[Any]) -> None:
    """Leave out our own look at what is there, before it is overwritten or deleted."""
    for function, (service, username, *_), _, log in calls:
        if function in ("set_password", "delete_password"):
            own = [entry for entry in log if entry[1:] == ["get_password", service, username]]
            log[:] = [entry for entry in log if entry not in own]


KILL = """
import os, signal, secretstorage
from jeepney.io.blocking import open_dbus_connection
bus = open_dbus_connection("SESSION")
if secretstorage.check_service_availability(bus): os.kill({pid}, signal.SIGKILL)
while secretstorage.check_service_availability(bus): pass
bus.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="GNOME's keyring is for Linux")
@pytest.mark.parametrize(
    ("state", "seen"), [("open", "secret of a person"), ("locked", "KeyringLocked"), ("killed midway", "InitError")]
)
def test_every_call_to_gnomes_keyring_is_as_without_us(
    state: str, seen: str, sites: dict[bool, Path], tmp_path: Path
) -> None:
    if missing():
        assert not os.environ.get("TEST_SECRET_SERVICE"), f"{missing()}"
        pytest.skip(f"needs {', '.join(missing())}")
    calls = {}
    for is_with_us, site in sites.items():
        home = tmp_path / str(is_with_us)
        home.mkdir()
        with SecretService({**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home / "data")}) as service:
            service.start()
            if state == "locked":
                service.lock()
            between = KILL.format(pid=service.pid) if state == "killed midway" else ""
            ours, told = _ask(site, home / "plugin", "", "", between, service.environ)
        assert ours is is_with_us
        calls[is_with_us] = [[*call[:2], re.sub("[0-9]+", "N", json.dumps(call[2]))] for call in told]
    assert calls[True] == calls[False]
    assert any(seen in answer for _, _, answer in calls[True])
