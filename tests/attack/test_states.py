"""Whatever happens to stores, policies and directories in whatever order: no raw master, no None, nothing wider."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import hypothesis
import keyring
import keyring.errors
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sandbox import forget, new_master

from keyring_pypitoken import Token
from keyring_pypitoken.cli.main import main
from keyring_pypitoken.lookup import PYPI as PYPI_INDEX
from keyring_pypitoken.vault.accounts import noted_accounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PYPI = "https://upload.pypi.org/legacy/"
TOKEN = "__token__"
MASTERS = [new_master(identifier=f"master {number}") for number in range(4)]
IN_CAPITALS = "https://UPLOAD.PYPI.ORG/LEGACY/"
SPELLINGS = (PYPI, IN_CAPITALS, PYPI[:-1], "upload.pypi.org", "poetry-repository-pypi")
LABELS = ("", "?work", "?Other")
LEVELS = ("", "a", "a/b")
STORES = ("first", "second")
CONFIG = "local" if os.name == "nt" else "config"  # below the home directory of the tests


class Chain(RuleBasedStateMachine):
    """A project three directories deep, two stores, and all that may happen to them."""

    home: ClassVar[Path]
    asked: ClassVar[dict[str, int]]

    @initialize(master=st.sampled_from([None, *MASTERS]))
    def begin(self, master: str | None) -> None:
        os.chdir(self.home)
        for name in ("root", "moved", CONFIG, "data", "state", "cache", "keyrings", "config-moved"):
            path = self.home / name
            path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)
        (self.home / "keyrings").mkdir()
        self.root = self.home / "root"
        (self.root / "a/b").mkdir(parents=True)
        (self.root / ".git").mkdir()
        (self.root / ".git/HEAD").write_text("ref: refs/heads/main\n")
        (self.root / "a/b/pyproject.toml").write_text('[project]\nname = "demo"\n')
        self.policies: dict[str, dict[str, Any] | None] = {}
        self.ceiling = 3600
        self.user_is_broken = False
        self.viable = set(STORES)
        self.locked: set[str] = set()
        self.given_up: set[tuple[str, str]] = set()  # of masters whose notes a person deleted, while no store had them
        if master is not None:
            self.set_or_rotate("", master)

    def environ(self) -> None:
        os.environ["TEST_KEYRINGS"] = ",".join(sorted(self.viable))
        os.environ["TEST_KEYRING_BROKEN"] = ",".join(f"{name}:get" for name in sorted(self.locked))
        os.chdir(self.root / "a/b")
        forget()

    def content(self, store: str) -> dict[str, str]:
        file = self.home / "keyrings" / f"{store}.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def private_keys(self) -> set[tuple[str, str]]:
        keys = {tuple(json.loads(key)) for store in STORES for key in self.content(store)}
        return {key for key in keys if key[0].startswith("keyring-pypitoken:")}

    def quietly(self, step: Callable[[], object]) -> tuple[object, bool]:
        """Return what a step returned, and whether it was refused; whatever it printed shows no master."""
        self.environ()
        shown = io.StringIO()
        result, refused = None, False
        with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(shown):
            try:
                result = step()
            except (keyring.errors.KeyringError, SystemExit):
                refused = True
        assert not [master for master in MASTERS if master[-40:] in shown.getvalue()]
        if "only the note of it was deleted" in shown.getvalue():
            self.given_up |= self.private_keys()
        return result, refused

    @rule(label=st.sampled_from(LABELS), master=st.sampled_from(MASTERS))
    def set_or_rotate(self, label: str, master: str) -> None:
        self.quietly(lambda: keyring.set_password(PYPI + label, TOKEN, master))

    @rule(service=st.sampled_from(SPELLINGS), label=st.sampled_from(LABELS))
    def delete(self, service: str, label: str) -> None:
        self.quietly(lambda: keyring.delete_password(service + (label if "://" in service else ""), TOKEN))

    @rule(store=st.sampled_from(STORES), service=st.sampled_from(SPELLINGS), master=st.sampled_from(MASTERS))
    def another_program_stores_a_raw_one(self, store: str, service: str, master: str) -> None:
        content = self.content(store) | {json.dumps([service, TOKEN]): master}
        (self.home / "keyrings" / f"{store}.json").write_text(json.dumps(content))

    @rule(command=st.sampled_from(["adopt", "status", "explain", "logout"]))
    def command(self, command: str) -> None:
        def run() -> None:
            sys.argv, sys.stdin = ["keyring-pypitoken", command], io.StringIO("")
            try:
                main([command])
            finally:
                sys.argv, sys.stdin = ["uploader"], sys.__stdin__

        self.quietly(run)

    @rule(store=st.sampled_from(STORES))
    def lock_or_unlock(self, store: str) -> None:
        self.locked ^= {store}

    @rule(store=st.sampled_from(STORES))
    def stop_or_start(self, store: str) -> None:
        self.viable ^= {store}

    @rule(
        level=st.sampled_from(LEVELS),
        projects=st.sampled_from([None, ["demo"], ["demo", "other"], ["other"]]),
        valid_for=st.sampled_from([None, 60, 300, 1800]),
        kind=st.sampled_from(["good", "good", "good", "gone", "broken"]),
    )
    def edit(self, level: str, projects: list[str] | None, valid_for: int | None, kind: str) -> None:
        file = self.root / level / "pypitoken.toml"
        file.unlink(missing_ok=True)
        self.policies.pop(level, None)
        if kind != "gone":
            policy = {"projects": projects, "valid-for": valid_for}
            lines = [f"{key} = {json.dumps(value)}" for key, value in policy.items() if value is not None]
            file.write_text("\n".join([*lines, *(["projects ="] if kind == "broken" else [])]))
            self.policies[level] = policy if kind == "good" else None

    @rule(ceiling=st.sampled_from([60, 600, 3600]), is_broken=st.sampled_from([False, False, True]))
    def edit_own(self, ceiling: int, is_broken: bool) -> None:
        if (self.home / "config").is_symlink():
            return
        file = self.home / CONFIG / "keyring-pypitoken" / "policy.toml"
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(f"max-valid-for = {ceiling}\n{'x = [' if is_broken else ''}")
        file.chmod(0o600)
        self.ceiling, self.user_is_broken = ceiling, is_broken

    @rule()
    def rename_the_project(self) -> None:
        moved = self.home / ("moved" if self.root.name == "root" else "root")
        os.chdir(self.home)
        self.root.rename(moved)
        self.root = moved

    @precondition(lambda self: os.name == "posix" and (self.home / "config").exists())  # not everybody links elsewhere
    @rule()
    def move_the_own_policy_behind_a_link_to_nothing(self) -> None:
        config, moved = self.home / "config", self.home / "config-moved"
        if not config.is_symlink():
            config.rename(moved)
            config.symlink_to(self.home / "unmounted")

    @precondition(lambda self: (self.home / "config").is_symlink())
    @rule()
    def move_it_back(self) -> None:
        (self.home / "config").unlink()
        (self.home / "config-moved").rename(self.home / "config")

    @rule(
        service=st.sampled_from(SPELLINGS),
        label=st.sampled_from(LABELS),
        username=st.sampled_from([TOKEN, None, ""]),
        how=st.sampled_from(["password", "credential"]),
    )
    def ask(self, service: str, label: str, username: str | None, how: str) -> None:
        service += label if "://" in service else ""

        def step() -> str | None:
            if how == "password":
                return keyring.get_password(service, username or "")  # stores below us may not take None
            credential = keyring.get_credential(service, username)
            return None if credential is None else credential.password

        result, refused = self.quietly(step)
        kind = "refused" if refused else "none" if result is None else "derived"
        self.asked[kind] = self.asked.get(kind, 0) + 1
        if result is None and not refused:
            # A raw one is one only for the very key that it is under, as the store has it without us.
            keys = {tuple(json.loads(key)) for store in self.viable for key in self.content(store)}
            asked = (service, None if how == "credential" and username is None else username or "")
            held = [
                key
                for key in keys
                if (key in self.private_keys() and (key not in self.given_up or key[1] in noted_accounts(PYPI_INDEX)))
                or (key[0] == service and asked[1] in (None, key[1]))
            ]
            assert held == [], "None, while a master exists"
        elif isinstance(result, str):
            self.check(result, label.strip("?").lower() if "://" in service else "")

    @rule(master=st.sampled_from(MASTERS))
    def repair_and_upload(self, master: str) -> None:
        self.locked, self.viable = set(), set(STORES)
        for level in [level for level in LEVELS if self.policies.get(level, {}) is None]:
            self.edit(level, None, None, "gone")
        self.quietly(lambda: keyring.set_password(PYPI, TOKEN, master))
        self.ask(PYPI, "", TOKEN, "password")

    def check(self, text: str, label: str) -> None:
        assert text not in MASTERS
        date, names = (json.loads(caveat) for caveat in Token.load(text).raw_caveats)
        assert names in ([1, ["demo"]], [1, [label]])  # a label that is not an account is a project
        (project,) = names[1]
        assert None not in self.policies.values(), "derived, although a policy is broken"
        assert not self.user_is_broken
        assert not (self.home / "config").is_symlink()
        policies = [self.policies[level] for level in reversed(LEVELS) if level in self.policies]
        assert all(project in (policy["projects"] or [project]) for policy in policies if policy)
        preferences = [policy["valid-for"] for policy in policies if policy and policy["valid-for"]]
        length = date[1] - date[2] - 60
        assert length <= self.ceiling
        assert length <= (preferences[0] if preferences else 900)


@pytest.mark.parametrize(
    ("examples", "steps"), [(30, 30), pytest.param(300, 50, marks=pytest.mark.attack)], ids=["sample", "whole"]
)
def test_no_history_leads_to_a_raw_master_or_none(
    examples: int,
    steps: int,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    for name in ("TEST_KEYRINGS", "TEST_KEYRING_BROKEN"):
        monkeypatch.setenv(name, "")
    Chain.home, Chain.asked = home, {}
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],  # to shrink a history takes many times as long as to find it
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(Chain, settings=settings)
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(Chain.asked.items()))
    record_property("attack", f"states {examples} histories of up to {steps} steps: {counts}")
    assert {"derived", "refused"} <= Chain.asked.keys()
