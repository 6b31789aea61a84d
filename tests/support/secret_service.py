"""A Secret Service that is the tests' own: gnome-keyring-daemon on a D-Bus session that nobody else is on.

Nothing of the user's session is reached: the bus has an address of its own and starts no services, and the daemon
keeps its files where `HOME` and the XDG variables say, which the caller points at a temporary directory.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from secretstorage import Collection

_BUS_DAEMON, _KEYRING_DAEMON = "dbus-daemon", "gnome-keyring-daemon"
_PASSWORD = "the login password of nobody"
_PATIENCE = 60.0  # seconds; far more than any machine needs, since a hang must end some time
# What would lead to the user's own daemon, or to a prompt on the user's screen.
_USERS_OWN = ("DBUS_SESSION_BUS_ADDRESS", "GNOME_KEYRING_CONTROL", "SSH_AUTH_SOCK", "DISPLAY", "WAYLAND_DISPLAY")
# As a desktop's session bus is, but without directories of services: nothing is started because somebody asks for it.
_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def missing() -> list[str]:
    """List what a Secret Service needs and this machine lacks."""
    absent = [program for program in (_BUS_DAEMON, _KEYRING_DAEMON) if shutil.which(program) is None]
    return absent if importlib.util.find_spec("secretstorage") else [*absent, "the Python package secretstorage"]


class SecretService:
    """A running Secret Service; as a context manager it ends whatever it started."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Prepare the service.

        Args:
            environ: the environment to run in; its home and its XDG directories must be temporary ones.
        """
        self._files = contextlib.ExitStack()
        # The path of a socket has some hundred characters at most, and those of pytest's directories may be longer.
        self._directory = Path(self._files.enter_context(tempfile.TemporaryDirectory()))
        kept = {name: value for name, value in environ.items() if name not in _USERS_OWN}
        self._environ = kept | {"XDG_RUNTIME_DIR": str(self._directory)}
        self._bus: subprocess.Popen[str] | None = None
        self._daemon: subprocess.Popen[str] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which programs find this service, and none but this."""
        return dict(self._environ)

    @property
    def pid(self) -> int:
        """The process of the daemon."""
        assert self._daemon is not None
        return self._daemon.pid

    def __enter__(self) -> SecretService:  # noqa: PYI034 - typing.Self came with Python 3.11
        try:
            self._start_bus()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._daemon, self._bus):
            if process is not None:
                _end(process)
        self._files.close()

    def _start_bus(self) -> None:
        settings = self._directory / "bus.conf"
        settings.write_text(_BUS.format(socket=quote(str(self._directory / "bus"))), encoding="utf-8")
        self._bus = subprocess.Popen(
            [_BUS_DAEMON, f"--config-file={settings}", "--nofork", "--nopidfile", "--print-address"],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log("bus"),
            text=True,
        )
        assert self._bus.stdout is not None
        address = self._bus.stdout.readline().strip()  # told once it listens
        assert address, f"dbus-daemon did not start: {self._told('bus')}"
        self._environ["DBUS_SESSION_BUS_ADDRESS"] = address

    def start(self, *, with_login: bool = True) -> None:
        """Start the daemon, and wait until it serves.

        Args:
            with_login: whether somebody has logged in, whose password opens the default collection; otherwise
                there is no collection at all.
        """
        self._daemon = subprocess.Popen(
            [_KEYRING_DAEMON, "--foreground", "--components=secrets", *(["--unlock"] if with_login else [])],
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._log("daemon"),
            text=True,
        )
        assert self._daemon.stdin is not None
        with self._daemon.stdin as stdin:
            stdin.write(_PASSWORD if with_login else "")
        self._wait(self._is_open if with_login else self._is_served)

    def lock(self) -> None:
        """Lock the default collection, as a desktop does when its user leaves."""
        with self._collection() as collection:
            collection.lock()
            assert collection.is_locked()

    def stop(self) -> None:
        """Kill the daemon, and wait until the bus knows."""
        assert self._daemon is not None
        _end(self._daemon)
        self._wait(lambda: not self._is_served(), running=False)

    def restart(self) -> None:
        """Kill the daemon and start it again: the collection is read from its file, and open."""
        self.stop()
        self.start()

    def stop_bus(self) -> None:
        """Kill the bus."""
        assert self._bus is not None
        _end(self._bus)

    def passwords(self) -> dict[tuple[str, str], str]:
        """Return all that is stored, by service and user name, as the daemon itself tells it."""
        passwords = {}
        with self._collection() as collection:
            for item in collection.get_all_items():
                attributes = item.get_attributes()
                passwords[attributes["service"], attributes["username"]] = item.get_secret().decode()
        return passwords

    def plant(self, service: str, username: str, password: str) -> None:
        """Store a password as keyring does, without keyring."""
        attributes = {"application": "Python keyring library", "service": service, "username": username}
        with self._collection() as collection:
            collection.create_item(f"Password for '{username}' on '{service}'", attributes, password.encode())

    @contextlib.contextmanager
    def _collection(self) -> Iterator[Collection]:
        import secretstorage
        from jeepney.io.blocking import open_dbus_connection

        with contextlib.closing(open_dbus_connection(self._environ["DBUS_SESSION_BUS_ADDRESS"])) as connection:
            yield secretstorage.get_collection_by_alias(connection, "default")

    def _is_open(self) -> bool:
        from secretstorage import ItemNotFoundException

        if not self._is_served():
            return False
        try:
            with self._collection() as collection:
                return not collection.is_locked()
        except ItemNotFoundException:
            return False

    def _is_served(self) -> bool:
        import secretstorage
        from jeepney.io.blocking import open_dbus_connection

        with contextlib.closing(open_dbus_connection(self._environ["DBUS_SESSION_BUS_ADDRESS"])) as connection:
            return secretstorage.check_service_availability(connection)

    def _wait(self, condition: Callable[[], bool], *, running: bool = True) -> None:
        assert self._daemon is not None
        end = time.monotonic() + _PATIENCE
        while not condition():
            assert not running or self._daemon.poll() is None, f"gnome-keyring-daemon ended: {self._told('daemon')}"
            assert time.monotonic() < end, f"gnome-keyring-daemon did not get there: {self._told('daemon')}"
            time.sleep(0.02)

    def _log(self, name: str) -> int:
        descriptor = os.open(self._directory / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._files.callback(os.close, descriptor)
        return descriptor

    def _told(self, name: str) -> str:
        return (self._directory / f"{name}.log").read_text(encoding="utf-8", errors="replace")


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process that this module started, and wait for its end."""
    process.kill()
    process.wait(_PATIENCE)
    if process.stdout is not None:
        process.stdout.close()
