"""A machine policy on Windows counts only if SYSTEM, Administrators or the user own it and no one else may write it."""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.policy import trust
from keyring_pypitoken.policy.trust import REPLACE, REPLACE_OR_WRITE, windows_problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ME, STRANGER = "S-1-5-21-1-2-3-1001", "S-1-5-21-9-9-9-1002"
INSTALLER = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
NOT_OWNED = "does not belong to SYSTEM, Administrators or you"
WRITABLE = "can be written by others"
UNLISTED = "has no access list that keeps others out"
# What Windows has by default: the root of its drive, ProgramData, and a directory and a file that are made below.
ROOT = f"O:{INSTALLER}D:PAI(A;;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)"
PROGRAM_DATA = "O:SYD:PAI(A;OICIIO;GA;;;CO)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)(A;CI;DCLCRPCR;;;BU)"
DIRECTORY = (
    "O:BAD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;GA;;;CO)(A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)"
)
FILE = "O:BAD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)"


@pytest.mark.parametrize(
    ("descriptor", "problem"),
    [
        (FILE, ""),
        ("O:BAD:PAI(A;;FA;;;BA)(A;;FA;;;SY)(A;;0x1200a9;;;BU)", ""),
        ("O:BAG:SYD:PAI(A;;FA;;;BA)(A;;0x1200a9;;;AC)(A;;0x1200a9;;;S-1-15-2-2)", ""),
        ("O:SYD:(A;;FA;;;SY)", ""),
        ("O:LAD:(A;;FA;;;LA)(A;;FR;;;WD)", ""),
        (f"O:{INSTALLER}D:PAI(A;;FA;;;{INSTALLER})(A;;0x1200a9;;;BA)", ""),
        (f"O:{ME}D:(A;;FA;;;{ME})(A;ID;FR;;;WD)", ""),
        ("O:BAD:(A;;FRFXRCCCSWRPWPLOCRGRGX;;;WD)", ""),
        ("O:BAD:(A;;;;;WD)", ""),
        ("O:BAD:(A;OICIIO;GA;;;WD)(A;;FA;;;CO)(A;;FA;;;OW)", ""),  # for what will be made below
        ("O:BAD:(D;;FA;;;BU)(OD;;FA;;;BU)(A;;FR;;;BU)", ""),
        ("O:BAD:(A;;FA;;;BA)S:AI(AU;SAFA;FA;;;WD)(ML;;NW;;;LW)", ""),
        # Its owner
        ("", NOT_OWNED),
        ("O:", NOT_OWNED),
        ("O:BUD:(A;;FA;;;BU)", NOT_OWNED),
        ("O:DAD:(A;;FA;;;SY)", NOT_OWNED),
        (f"O:{STRANGER}D:(A;;FA;;;SY)", NOT_OWNED),
        (f"O:{ME}0D:(A;;FA;;;SY)", NOT_OWNED),
        ("D:(A;;FA;;;SY)", NOT_OWNED),
        # No list, or one that is not understood
        ("O:BA", UNLISTED),
        ("O:BAG:SY", UNLISTED),
        ("O:BAD:NO_ACCESS_CONTROL", UNLISTED),
        ("O:BAD:P", UNLISTED),
        ("O:BAS:(A;;FR;;;SY)", UNLISTED),
        ("O:BAD:(A;;FA;;;SY)rest", UNLISTED),
        ("O:BAD:(A;;FA;;;)", UNLISTED),
        ('O:BAD:(XA;;FX;;;WD;(@User.Title=="PM" && (@User.Division=="Finance")))', UNLISTED),
        ('O:BAD:(A;;FR;;;SY)(XA;;FA;;;WD;(WIN://SYSAPPID == "a)(b"))', UNLISTED),
        # Somebody else may write
        ("O:BAD:(A;;FA;;;BU)", WRITABLE),
        ("O:BAD:(A;;FRFW;;;WD)", WRITABLE),
        ("O:BAD:(A;;0x1301bf;;;AU)", WRITABLE),
        ("O:BAD:(A;ID;0x1301bf;;;IU)", WRITABLE),
        ("O:BAD:(A;;WD;;;AU)", WRITABLE),
        ("O:BAD:(A;;WO;;;AU)", WRITABLE),
        ("O:BAD:(A;;SD;;;AU)", WRITABLE),
        ("O:BAD:(A;;LC;;;AU)", WRITABLE),
        ("O:BAD:(A;;KW;;;AU)", WRITABLE),  # as 0x20006 is written
        ("O:BAD:(A;;KA;;;AU)", WRITABLE),
        ("O:BAD:(A;;1179817;;;AU)", WRITABLE),  # not how Windows writes it
        ("O:BAD:(A;;0x1g;;;AU)", WRITABLE),
        (f"O:BAD:(A;;GA;;;{STRANGER})", WRITABLE),
        ("O:BAD:(A;CIOI;FA;;;BU)", WRITABLE),
        ("O:BAD:(OA;;DC;00000000-0000-0000-0000-000000000000;;BU)", WRITABLE),
        ("O:BAD:(ZZ;;FA;;;BU)", WRITABLE),
        ("O:BAD:(D;;FA;;;BU)(A;;FA;;;BU)", WRITABLE),  # what was denied first may be one of several groups
    ],
)
def test_a_policy_is_the_administrators_or_the_users(descriptor: str, problem: str) -> None:
    assert windows_problem(descriptor, ME) == problem


@pytest.mark.parametrize("descriptor", [ROOT, PROGRAM_DATA, DIRECTORY])
def test_users_may_add_files_to_the_machines_directories(descriptor: str) -> None:
    assert windows_problem(descriptor, ME) == WRITABLE
    assert windows_problem(descriptor, ME, REPLACE) == ""


@pytest.mark.parametrize("right", ["DT", "SD", "WD", "WO", "GW", "GA", "FA", "KA"])
def test_users_may_not_replace_what_is_in_the_machines_directories(right: str) -> None:
    assert windows_problem(f"O:SYD:(A;;{right};;;BU)", ME, REPLACE) == WRITABLE


SAFE = ("SY", "BA", "LA", "CO", "OW", ME, INSTALLER)
NAMES = {"FA": 0x1F01FF, "FR": 0x120089, "FW": 0x120116, "FX": 0x1200A0, "CC": 0x1, "DC": 0x2, "LC": 0x4, "DT": 0x40}
NAMES |= {"SW": 0x8, "RP": 0x10, "WP": 0x20, "LO": 0x80, "CR": 0x100, "RC": 0x20000, "SD": 0x10000, "WD": 0x40000}
RIGHTS = st.lists(st.sampled_from(sorted(NAMES))).map(
    lambda names: ("".join(names), *(NAMES[name] for name in names))
) | st.integers(0, 0x1F01FF).map(lambda mask: (f"0x{mask:x}", mask))
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["A", "OA", "D", "OD"]),
        st.lists(st.sampled_from(["OI", "CI", "NP", "IO", "ID"]), unique=True),
        RIGHTS,
        st.sampled_from([*SAFE, "BU", "AU", "WD", STRANGER]),
    ),
    min_size=1,
)


@given(st.sampled_from([*SAFE, "BU", STRANGER]), ENTRIES, st.sampled_from([REPLACE, REPLACE_OR_WRITE]))
def test_whoever_may_write_is_found(owner: str, entries: list[Any], forbidden: int) -> None:
    written = [f"({kind};{''.join(flags)};{rights[0]};;;{who})" for kind, flags, rights, who in entries]
    granted = [
        mask & forbidden
        for kind, flags, (_, *masks), who in entries
        for mask in masks
        if kind.endswith("A") and "IO" not in flags and who not in SAFE
    ]
    problem = NOT_OWNED if owner not in SAFE else WRITABLE if any(granted) else ""
    assert windows_problem(f"O:{owner}D:PAI{''.join(written)}", ME, forbidden) == problem


@given(st.text() | st.text("O:BADSYU();-0x"))
def test_no_other_text_is_trusted(text: str) -> None:
    assert windows_problem(f"O:BAD:{text}", ME) in (UNLISTED, WRITABLE)
    assert windows_problem(text, ME) != ""


class Advapi:
    """Windows' descriptors of files, as its library gives them."""

    def __init__(self, descriptors: Mapping[str, str]) -> None:
        self.descriptors = descriptors
        self.asked: list[str] = []

    def GetNamedSecurityInfoW(self, path: str, *parts: Any) -> int:  # noqa: N802 - Windows' name
        assert parts[:2] == (1, 5)
        self.asked.append(path)
        return 0 if self.descriptors.get(path, FILE) else 5  # ERROR_ACCESS_DENIED

    def ConvertSecurityDescriptorToStringSecurityDescriptorW(self, *arguments: Any) -> int:  # noqa: N802
        arguments[3]._obj.value = self.descriptors.get(self.asked[-1], FILE)
        return 1

    def GetTokenInformation(self, token: Any, kind: int, *_buffer: object) -> int:  # noqa: N802
        assert (ctypes.c_ssize_t(token.value).value, kind) == (-4, 1)
        return 1

    def ConvertSidToStringSidW(self, _sid: object, text: Any) -> int:  # noqa: N802
        text._obj.value = ME
        return 1


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Return a machine policy three directories down, without links on the way."""
    directory = tmp_path.resolve() / "ProgramData" / "keyring-pypitoken"
    directory.mkdir(parents=True)
    (directory / "policy.toml").touch()
    return directory / "policy.toml"


def check(policy: Path, descriptors: dict[Path, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return whose descriptors were asked for."""
    system = Advapi({str(path): text for path, text in descriptors.items()})
    monkeypatch.setattr(ctypes, "WinDLL", lambda _: system, raising=False)
    trust.check_trusted(str(policy), "site", "win32")
    return system.asked


def test_a_policy_and_all_directories_above_it_are_asked_about(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = {policy.parents[0]: DIRECTORY, policy.parents[1]: PROGRAM_DATA, policy.parents[2]: ROOT}
    assert check(policy, usual, monkeypatch) == [str(path) for path in (policy, *policy.parents)]


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize(
    ("descriptor", "problem"),
    [
        (f"O:{STRANGER}D:(A;;FA;;;BA)", NOT_OWNED),
        ("O:BAD:(A;;FA;;;BU)", WRITABLE),
        ("O:BAD:(A;OICI;DT;;;BU)", WRITABLE),
        ("", NOT_OWNED),
    ],
)
def test_a_policy_that_another_user_may_replace_is_refused(
    level: int, descriptor: str, problem: str, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = (policy, *policy.parents)[level]
    with pytest.raises(PolicyError) as caught:
        check(policy, {path: descriptor}, monkeypatch)
    assert str(caught.value) == (
        f"{path} {problem}, so anybody may have written the policy: let Administrators own it and nobody else write it."
    )


def test_a_file_that_another_user_may_only_extend_is_refused_too(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PolicyError):
        check(policy, {policy: DIRECTORY}, monkeypatch)


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege here")
def test_where_a_link_leads_is_judged_too(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = policy.parents[2] / "elsewhere"
    elsewhere.mkdir()
    policy.rename(elsewhere / "policy.toml")
    policy.symlink_to(elsewhere / "policy.toml")
    assert check(policy, {}, monkeypatch)[-1] != str(elsewhere)
    for path in (elsewhere, elsewhere / "policy.toml"):
        with pytest.raises(PolicyError):
            check(policy, {path: "O:BAD:(A;;FA;;;BU)"}, monkeypatch)


def test_where_a_junction_leads_is_judged_too(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not a link to Python; only the real path shows where it leads."""
    real = policy.parents[2] / "elsewhere" / "policy.toml"
    monkeypatch.setattr(os.path, "realpath", lambda _: str(real))
    assert check(policy, {}, monkeypatch) == [str(path) for path in (policy, *policy.parents, real, real.parent)]
    for path, descriptor in ((policy, DIRECTORY), (real, DIRECTORY), (real.parent, "O:BAD:(A;;DT;;;BU)")):
        with pytest.raises(PolicyError):
            check(policy, {path: descriptor}, monkeypatch)


@pytest.mark.parametrize("layer", ["user", "site"])
def test_only_the_machines_policy_is_judged(layer: Any, policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = Advapi({})
    monkeypatch.setattr(ctypes, "WinDLL", lambda _: system, raising=False)
    trust.check_trusted(str(policy), layer, "win32")
    assert bool(system.asked) == (layer == "site")


@pytest.mark.skipif(sys.platform != "win32", reason="asks Windows itself")
def test_real_descriptors_are_understood(tmp_path: Path) -> None:
    user = trust._user()
    assert user.startswith("S-1-5-")
    (tmp_path / "own").touch()
    program_data = os.environ["PROGRAMDATA"]
    for path, forbidden in itertools.chain(
        [(str(tmp_path / "own"), REPLACE_OR_WRITE)],
        [(path, REPLACE) for path in (program_data, os.path.dirname(program_data))],
    ):
        assert windows_problem(trust._descriptor(path), user, forbidden) == "", trust._descriptor(path)
    assert windows_problem(trust._descriptor(program_data), user) == WRITABLE
