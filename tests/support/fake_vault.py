"""What the vaults of Windows and macOS share when they are in memory: failures, and two writers at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

import keyring.backend
from sandbox import forget

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

MAX_SECONDS = 30  # only a test with a mistake waits so long


class FakeVault:
    """A vault whose calls can be watched, and fail by their names with the system's error numbers."""

    name: str  # of the system
    locked: dict[str, int]  # what fails, and how, without a desktop session
    denied: dict[str, int]  # likewise if the person, or the system, denies access

    def __init__(self) -> None:
        """Begin empty and unlocked."""
        self.content: dict[Any, Any] = {}
        self.failures: dict[str, int] = {}
        self.before: Callable[[str], None] = lambda _name: None

    def entries(self) -> dict[tuple[str, str], str]:
        """Return all that is stored: by name and user, whatever the backend makes of them."""
        raise NotImplementedError

    def fail(self, name: str, code: int) -> NoReturn:
        """Raise what the system's call raises for an error number."""
        raise NotImplementedError

    def use(self, monkeypatch: pytest.MonkeyPatch, backend: type[keyring.backend.KeyringBackend]) -> None:
        """Make this backend the only one in keyring's chain below ours."""
        monkeypatch.setenv("TEST_KEYRINGS", "none")
        keyring.backend.get_all_keyring()  # loads keyring's plugins, which register themselves
        known = keyring.backend.KeyringBackend._classes
        system = {kind for kind in known if not kind.__module__.startswith("keyrings.alt.")}
        monkeypatch.setattr(keyring.backend.KeyringBackend, "_classes", {*system, backend})
        forget()

    def call(self, name: str) -> None:
        """Let a call begin: it is watched first, and may fail."""
        self.before(name)
        if name in self.failures:
            self.fail(name, self.failures[name])


class TwoWriters:
    """Two threads, one running at a time: the first makes some calls, then the second some, then each to its end.

    Whoever waits for the other's lock lets it go on. So every order is the same in every run.
    """

    def __init__(self, vault: FakeVault, calls: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
        """Take over a vault and `time.sleep`; `calls` are those that each writer makes in its first turn."""
        self.refused: list[Exception] = []
        self._left = [*calls]
        self._ended = [False, False]
        self._turn = 0
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._sleep = time.sleep
        monkeypatch.setattr(vault, "before", self._before)
        monkeypatch.setattr(time, "sleep", self._blocked)

    def run(self, *steps: Callable[[], object]) -> None:
        """Run both to their ends; `refused` has what they raised."""
        self._threads = [
            threading.Thread(target=self._run, args=(number, step), daemon=True) for number, step in enumerate(steps)
        ]
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join(MAX_SECONDS)
        assert self._ended == [True, True]

    def _run(self, number: int, step: Callable[[], object]) -> None:
        try:
            self._wait(number)
            step()
        except Exception as error:  # noqa: BLE001 - a test looks at it
            self.refused.append(error)
        with self._changed:
            self._ended[number], self._turn = True, 1 - number
            self._changed.notify_all()

    def _before(self, _name: str) -> None:
        number = self._threads.index(threading.current_thread())
        if self._left[number] == 0:
            self._give_way(number)
        self._left[number] -= 1

    def _blocked(self, seconds: float) -> None:
        if threading.current_thread() in self._threads:
            self._give_way(self._threads.index(threading.current_thread()))
        else:
            self._sleep(seconds)

    def _give_way(self, number: int) -> None:
        with self._changed:
            if not self._ended[1 - number]:
                self._turn = 1 - number
                self._changed.notify_all()
        self._wait(number)

    def _wait(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._turn == number, MAX_SECONDS)


def calls_of(vault: FakeVault, step: Callable[[], object]) -> list[str]:
    """Return the names of the calls that a step makes."""
    made: list[str] = []
    vault.before = made.append
    try:
        step()
    finally:
        vault.before = lambda _name: None
    return made
