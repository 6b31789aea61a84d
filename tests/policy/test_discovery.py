"""Policies are found where DESIGN says, in real files: each on the search path, the user's, and the machine's."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
import tomli
from sandbox import change_owner

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.lookup import BUILT_IN, PYPI
from keyring_pypitoken.policy.discovery import (
    POLICY_VARIABLE,
    find_search_path,
    find_search_paths,
    load_config,
    project_directories,
)
from keyring_pypitoken.policy.model import Config, SearchPath

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import WritePolicy

POSIX = pytest.mark.skipif(os.name != "posix", reason="files have no POSIX owners and links here")
ROOT = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root may give files away")
SOMEBODY = 65_534  # a user that is neither root nor the one who tests
UP = os.path.join("..", "")
MARKERS = (".git", ".hg", ".svn", ".bzr", "_darcs", ".jj")


class Write(Protocol):
    """Writes a file below the current directory."""

    def __call__(self, path: str, text: str | bytes = "") -> Path: ...


@pytest.fixture
def write(work: Path) -> Write:
    """Return a function that writes a file and the directories above it."""

    def write(path: str, text: str | bytes = "") -> Path:
        file = work / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    return write


def policy_of(account: str) -> str:
    return f'account = "{account}"\n'


def table_of(account: str) -> str:
    return f'[project]\nname = "demo"\n[tool.keyring-pypitoken]\naccount = "{account}"\n'


def find_path(directory: Path, **environ: str) -> SearchPath:
    return find_search_path(directory, directory, environ)


def accounts(path: SearchPath) -> list[tuple[str, str]]:
    """Return the account that each policy on a path names, and where."""
    named = [policy.settings.account for policy in path.policies]
    return [(account.value, account.origin) for account in named if account]


def refused(ask: Callable[[], object]) -> str:
    """Return why a policy is refused, whole."""
    with pytest.raises(Refusal) as caught:
        ask()
    assert caught.value.__cause__ is None
    return str(caught.value)


# The search path


def test_no_file_is_no_policy(work: Path, write: Write) -> None:
    write("pyproject.toml", '[project]\nname = "demo"\n')
    assert find_path(work) == SearchPath()
    assert list(project_directories(work)) == [work, work.parent]


def test_every_policy_on_the_path_counts_the_nearest_first(work: Path, write: Write) -> None:
    write("pypitoken.toml", policy_of("far"))
    write("x/pyproject.toml", table_of("middle"))
    write("x/y/pypitoken.toml", policy_of("near"))
    write("x/z/pypitoken.toml", policy_of("beside"))
    path = find_path(work / "x" / "y")
    assert accounts(path) == [
        ("near", "pypitoken.toml:1"),
        ("middle", f"{UP}pyproject.toml:4"),
        ("far", f"{UP}{UP}pypitoken.toml:1"),
    ]
    assert all(policy.trusted for policy in path.policies)


def test_files_are_named_from_the_current_directory(work: Path, write: Write) -> None:
    write("x/pypitoken.toml", policy_of("a"))
    assert accounts(find_search_path(work / "x", work, {POLICY_VARIABLE: ""})) == [
        ("a", os.path.join("x", "pypitoken.toml:1"))
    ]


def test_refuses_two_policies_in_one_directory(work: Path, write: Write) -> None:
    write("pypitoken.toml", policy_of("a"))
    write("pyproject.toml", table_of("a"))
    assert refused(lambda: find_path(work)) == (
        "two policies are in one directory, pypitoken.toml and [tool.keyring-pypitoken] of pyproject.toml: "
        "keep one of them."
    )


@pytest.mark.parametrize("mark", MARKERS)
def test_the_search_ends_at_the_root_of_a_repository(work: Path, write: Write, mark: str) -> None:
    write("pypitoken.toml", policy_of("outside"))
    write("x/pypitoken.toml", policy_of("inside"))
    write(f"x/{mark}/HEAD")
    (work / "x" / "y").mkdir()
    assert accounts(find_path(work / "x" / "y")) == [("inside", f"{UP}pypitoken.toml:1")]


@pytest.mark.parametrize("mark", MARKERS[1:])
@pytest.mark.parametrize("git", ["directory", "file"])
def test_no_other_marker_ends_the_search_below_a_git(work: Path, write: Write, mark: str, git: str) -> None:
    """Git can hold files named like those of other systems, wherever somebody puts them."""
    write("pypitoken.toml", policy_of("root"))
    write(*((".git/HEAD",) if git == "directory" else (".git", "gitdir: elsewhere\n")))
    for nested in (f"x/{mark}/HEAD", f"x/y/{mark}/HEAD", "x/y/.bzr/HEAD"):
        write(nested)
    assert accounts(find_path(work / "x" / "y")) == [("root", f"{UP}{UP}pypitoken.toml:1")]
    assert list(project_directories(work / "x")) == [work / "x", work]


def test_the_outermost_of_other_markers_ends_the_search(work: Path, write: Write) -> None:
    write("pypitoken.toml", policy_of("root"))
    for marker in (".hg/HEAD", "x/.svn/HEAD", "x/y/.hg/HEAD"):
        write(marker)
    assert accounts(find_path(work / "x" / "y")) == [("root", f"{UP}{UP}pypitoken.toml:1")]
    assert list(project_directories(work / "x")) == [work / "x", work]


def test_the_search_ends_at_a_git_file(work: Path, write: Write) -> None:
    write("pypitoken.toml", policy_of("outside"))
    write("x/.git", "gitdir: elsewhere\n")
    assert find_path(work / "x").policies == ()


def test_an_empty_marker_hides_no_policy(work: Path, write: Write) -> None:
    write("pypitoken.toml", policy_of("root"))
    for name in (".git", ".jj"):
        write(f"a/{name}")
    write("a/.hg", "content\n")  # only .git may be a file
    (work / "a" / ".svn").mkdir()
    assert accounts(find_path(work / "a")) == [("root", f"{UP}pypitoken.toml:1")]


@POSIX
def test_a_marker_where_everyone_can_write_hides_no_policy(work: Path, write: Write) -> None:
    write("pypitoken.toml", policy_of("root"))
    write("shared/.git/HEAD")
    (work / "shared").chmod(0o1777)
    assert accounts(find_path(work / "shared")) == [("root", f"{UP}pypitoken.toml:1")]


@POSIX
def test_refuses_a_marker_that_cannot_be_seen(work: Path) -> None:
    (work / ".git").symlink_to("unmounted")
    assert refused(lambda: find_path(work)) == (
        f"{work / '.git'} cannot be found, because the link {work / '.git'} leads nowhere: restore what it leads to, "
        "or remove the link."
    )


def test_a_marker_that_vanishes_meanwhile_ends_nothing(
    work: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(".git/HEAD")
    monkeypatch.setattr("keyring_pypitoken.policy.discovery.status", lambda *_: None)
    assert list(project_directories(work)) == [work, work.parent]


def test_the_search_ends_at_the_home_directory(home: Path, work: Path) -> None:
    (home.parent / "pypitoken.toml").write_text(policy_of("outside"), "utf-8")
    (home / "pypitoken.toml").write_text(policy_of("home"), "utf-8")
    assert accounts(find_path(work)) == [("home", f"{UP}pypitoken.toml:1")]


@POSIX
def test_the_search_ends_at_a_home_directory_that_is_linked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(home)
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    assert list(project_directories(tmp_path / "link" / "work")) == [home / "work", home]


def test_the_search_ends_at_the_root_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    directory = Path(tmp_path.anchor) / "no-such-directory" / "x"
    assert list(project_directories(directory)) == [directory, directory.parent, Path(tmp_path.anchor)]


def test_goes_up_from_the_deepest_directory_there_can_be(home: Path) -> None:
    assert sum(1 for _ in project_directories(home.joinpath(*("x" * 1_500)))) == 1_501


@pytest.mark.parametrize("text", ["[tool.other]\n", "[[[ no TOML\n", "[tool.other\n", "\u00e4\n"])
def test_a_pyproject_of_somebody_else_is_not_even_parsed(work: Path, write: Write, text: str) -> None:
    write("pyproject.toml", text)
    assert find_path(work).policies == ()


@pytest.mark.parametrize(
    "text",
    [
        '[tool."keyring\\u002dpypitoken"]\nprojects = ["demo"]\n',
        '[ "t\\u006fol" . "keyring-pypi\\U00000074oken" ]\nprojects = ["demo"]\n',
        '[tool."\\x6beyring-pypitoken"]\nprojects = ["demo"]\n',  # TOML 1.1
        'tool."keyring-pypitok\\u0065n".projects = ["demo"]\n',
        '[tool]\n"keyring-pypitok\\u0065n"  = {projects = ["demo"]}\n',
        'tool = {x = 1, "keyring\\u002dpypitoken" = {projects = ["demo"]}}\n',
        '[tool]\nx = ["\\\\"]\ny = {a = 1, "keyring\\u002dpypitoken"\t.projects = ["demo"]}\nz = 1\n',
    ],
)
def test_a_table_whose_name_is_spelled_with_escapes_is_read(work: Path, write: Write, text: str) -> None:
    write("pyproject.toml", text)
    if ".y" in text or "y = {a" in text:
        assert find_path(work).policies == ()
        write("pyproject.toml", text.replace("y = {a = 1, ", "").replace("]}", "]"))
    (policy,) = find_path(work).policies
    assert policy.settings.projects is not None
    assert policy.settings.projects.value == {"demo"}


# What a hostile checkout costs


def test_many_nested_policies_are_refused_soon(work: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / ".git").mkdir()
    (work / ".git" / "HEAD").touch()
    text = "\n".join(f"[repository.testpypi{number}]\nprojects = []" for number in range(3_000))
    starts = [write(f"{'x/' * depth}pypitoken.toml", text).parent for depth in range(1, 60)]
    parsed: list[str] = []
    loads = tomli.loads

    def count(text: str) -> object:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(tomli, "loads", count)
    assert refused(lambda: find_search_paths(starts, work, {})).endswith(
        "pypitoken.toml is too much to read, together with the other settings and policies of this upload: shorten "
        "them, or remove some."
    )
    assert sum(map(len, parsed)) <= 2 * 1024 * 1024


def test_a_policy_is_read_once_for_many_files(work: Path, write: Write) -> None:
    write("pypitoken.toml", "# " + "x" * 1_000_000 + "\n" + policy_of("a"))
    starts = [write(f"{number}/file").parent for number in range(200)]
    assert {accounts(path)[0][0] for path in find_search_paths(starts, work, {})} == {"a"}


def test_searches_only_so_many_directories(work: Path) -> None:
    starts = [work.joinpath(*"x" * 900, str(number)) for number in range(30)]
    assert refused(lambda: find_search_paths(starts, work, {})).startswith("the policies of this upload are too many")


def test_a_misnamed_file_is_seen_in_every_directory(work: Path, write: Write) -> None:
    depth = 50  # as deep as a path of Windows may be
    for above in range(depth):
        write(f"{'x/' * above}policy.toml", "projects = []")
    assert len(find_path(work.joinpath(*"x" * (depth - 1))).misnamed) == depth


def test_only_the_first_entry_of_a_marker_is_looked_at(
    work: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(".git/HEAD")
    monkeypatch.setattr(os, "listdir", lambda _: pytest.fail("the whole directory was listed"))
    assert list(project_directories(work)) == [work]


def test_refuses_a_broken_policy_with_its_place(work: Path, write: Write) -> None:
    write("pypitoken.toml", "\nvalid-for = 0\n")
    (work / "x").mkdir()
    assert refused(lambda: find_path(work / "x")) == (
        f"the policy cannot be followed: {UP}pypitoken.toml:2: valid-for is 0, expected at least one second; "
        "correct it there."
    )


@pytest.mark.parametrize("name", ["pypitoken.toml", "pyproject.toml"])
def test_refuses_what_stands_in_a_policys_place_and_cannot_be_read(work: Path, name: str) -> None:
    (work / name).mkdir()
    assert refused(lambda: find_path(work)) == f"{name} is not a regular file: replace it with one."


@pytest.mark.parametrize(
    ("name", "environ"),
    [("pypitoken.toml", {}), ("pyproject.toml", {}), ("named.toml", {POLICY_VARIABLE: "named.toml"})],
)
def test_a_projects_policy_may_not_loosen_its_users(
    work: Path, write: Write, name: str, environ: dict[str, str]
) -> None:
    write(name, ("[tool.keyring-pypitoken]" if name == "pyproject.toml" else "") + '\nunscoped = "allow"\n')
    assert refused(lambda: find_path(work, **environ)) == (
        f"the policy cannot be followed: {name}:2: unscoped is for your own policy.toml only: a project cannot set "
        "it; correct it there."
    )


# Whose policy it is


@ROOT
def test_a_strangers_policy_is_not_trusted(work: Path, write: Write) -> None:
    change_owner(write("pypitoken.toml"), SOMEBODY)
    write("x/pypitoken.toml")
    assert [policy.trusted for policy in find_path(work / "x").policies] == [True, False]


@ROOT
def test_the_owner_of_the_start_is_trusted(work: Path, write: Write) -> None:
    change_owner(write("x/pypitoken.toml"), SOMEBODY)
    change_owner(work / "x", SOMEBODY)
    assert [policy.trusted for policy in find_path(work / "x").policies] == [True]


@ROOT
def test_a_strangers_link_to_a_file_of_the_user_is_not_trusted(work: Path, write: Write) -> None:
    (work / "pypitoken.toml").symlink_to(write("elsewhere.toml"))
    assert [policy.trusted for policy in find_path(work).policies] == [True]
    change_owner(work / "pypitoken.toml", SOMEBODY, follow_symlinks=False)
    assert [policy.trusted for policy in find_path(work).policies] == [False]


@POSIX
def test_a_policy_whose_owner_is_unknown_is_refused(work: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("pypitoken.toml")
    real, asked = os.lstat, [0]

    def lstat(path: str | Path) -> os.stat_result:
        asked[0] += str(path).endswith("pypitoken.toml")
        return real(path) if asked[0] < 2 else os.stat(f"{path}.gone")  # after it was found

    monkeypatch.setattr(os, "lstat", lstat)
    with pytest.raises(PolicyError, match=r"^the owner of .*pypitoken\.toml is unknown \(.*\): repair or remove it\.$"):
        find_path(work)


def test_without_owners_every_policy_is_trusted(work: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("pypitoken.toml")
    write(".git/HEAD")
    monkeypatch.setattr("keyring_pypitoken.policy.discovery._POSIX", False)
    assert [policy.trusted for policy in find_path(work).policies] == [True]
    assert list(project_directories(work)) == [work]


# The variable


def test_the_variable_names_one_policy_instead_of_all(work: Path, write: Write) -> None:
    write("pypitoken.toml", "[[[")
    for file, shown in {
        "other.toml": "other.toml",
        "x/other.toml": os.path.join("x", "other.toml"),
        "../work/other.toml": "other.toml",
    }.items():
        write(file, policy_of("named"))
        path = find_path(work, KEYRING_PYPITOKEN_POLICY=file)
        assert accounts(path) == [("named", f"{shown}:1")]
        assert path.policies[0].trusted


def test_the_variable_names_a_pyproject_by_its_whole_path(home: Path, work: Path) -> None:
    file = home / "pyproject.toml"
    file.write_text(table_of("named"), "utf-8")
    assert accounts(find_path(work, KEYRING_PYPITOKEN_POLICY=str(file))) == [("named", f"{UP}pyproject.toml:4")]


def test_refuses_a_variable_that_names_no_policy(work: Path, write: Write) -> None:
    write("pypitoken.toml", policy_of("nearest"))
    write("pyproject.toml", '[project]\nname = "demo"\n')
    for named in ("none.toml", "none/none.toml", "pypitoken.toml/none.toml", "pyproject.toml"):
        missing = "it has no [tool.keyring-pypitoken]" if named == "pyproject.toml" else "it does not exist"
        assert refused(lambda: find_path(work, KEYRING_PYPITOKEN_POLICY=named)) == (  # noqa: B023 - called at once
            f"KEYRING_PYPITOKEN_POLICY names {os.path.normpath(named)}, but {missing}: correct it, "
            "or run `unset KEYRING_PYPITOKEN_POLICY`."
        )


# Misnamed policies


def test_finds_misnamed_files_and_tables_on_the_path(work: Path, write: Write) -> None:
    (work / "x").mkdir()
    for name in ("pypi-token.toml", "pypi_token.toml", ".pypitoken.toml", "keyring-pypitoken.toml", "policy.toml"):
        path = write(name, 'projects = ["demo"]\n')
        assert find_path(work / "x").misnamed == (f"{UP}{name}",)
        path.unlink()
    for table in ("pypitoken", "pypi-token", "keyring_pypitoken", "keyringpypitoken"):
        write("pyproject.toml", f'[project]\nname = "x"\n[tool.{table}]\nprojects = []\n' * 3)
        assert find_path(work).misnamed == (f"[tool.{table}] of pyproject.toml",)


def test_a_policy_of_another_program_is_not_misnamed(work: Path, write: Write) -> None:
    for text in ("", "[rules]\nname = 1\n", "# projects = []\n"):
        path = write("policy.toml", text)
        assert find_path(work).misnamed == ()
    path.unlink()
    path.mkdir()  # what cannot be read is not ours
    assert find_path(work).misnamed == ()


def test_the_users_own_policy_is_not_misnamed(user_policy: WritePolicy) -> None:
    path = user_policy("valid-for = 60\n")
    assert find_path(path.parent).misnamed == ()


# The policies of the user and the machine


def test_there_need_be_no_policy_of_ones_own() -> None:
    assert load_config() == Config()


def test_reads_the_policies_of_the_user_and_of_every_site(
    user_policy: WritePolicy, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = [home / name / "keyring-pypitoken" / "policy.toml" for name in ("one", "two", "three")]
    if sys.platform != "linux":
        pytest.skip("one site directory here")
    monkeypatch.setenv("XDG_CONFIG_DIRS", os.pathsep.join(str(home / name) for name in ("one", "two", "three")))
    for site in (sites[0], sites[2]):
        site.parent.mkdir(parents=True, mode=0o700)
        site.write_text(policy_of(site.parent.parent.name))
        site.chmod(0o600)
    user = user_policy("valid-for = 60\n")
    config = load_config()
    assert [policy.origin for policy in config.configured] == [str(user), str(sites[0]), str(sites[2])]
    assert config.problem is None
    assert config.policies(SearchPath()).configured == config.configured


def test_a_broken_policy_is_the_problem_of_what_is_loaded(user_policy: WritePolicy, site_policy: WritePolicy) -> None:
    site = site_policy("[repository.corp]\nurl = 'https://example.org/'\n")
    path = user_policy("notice = 1\nhistory = 2\n")
    config = load_config()
    assert [repository.name for repository in config.repositories] == ["pypi", "testpypi", "corp"]
    assert [policy.origin for policy in config.configured] == [str(site)]
    assert isinstance(config.problem, PolicyError)
    assert len(config.problem.problems) == 2
    assert refused(lambda: config.policies(SearchPath())) == (
        f"the policy cannot be followed: {path}:1: notice is 1, expected true or false; and 1 more: "
        "run `keyring-pypitoken check`."
    )


@POSIX
def test_a_policy_that_cannot_be_found_is_a_problem(home: Path) -> None:
    path = Path(paths.user_policy())
    (home / "config").symlink_to("unmounted")
    assert str(load_config().problem) == (
        f"{path} cannot be found, because the link {home / 'config'} leads nowhere: restore what it leads to, or "
        "remove the link."
    )


@POSIX
def test_a_policy_that_vanishes_while_it_is_read_is_absent(
    user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_policy("")
    monkeypatch.setattr("keyring_pypitoken.policy.discovery.read_text", lambda *_: None)
    assert load_config() == Config()


def test_an_identity_is_found_from_its_policys_directory(user_policy: WritePolicy) -> None:
    path = user_policy('[store]\nidentity = "../key.txt"\n')
    identity = load_config().store.identity
    assert identity is not None
    assert identity.value == str(path.parent.parent / "key.txt")


def test_the_users_word_about_the_store_is_completed_by_the_machines(
    user_policy: WritePolicy, site_policy: WritePolicy
) -> None:
    site_policy('[store]\ncommand = ["site"]\n')
    command = load_config().store.command
    assert command is not None
    assert command.value == ("site",)
    user_policy('[store]\nbackend = "a.B"\n')
    store = load_config().store
    assert (store.backend and store.backend.value, store.identity, store.command) == ("a.B", None, None)
    site_policy('[store]\nidentity = "/x"\n')
    store = load_config().store
    assert (store.backend and store.backend.value, store.identity and store.identity.value) == ("a.B", "/x")


def test_tables_of_the_user_and_the_machine_are_merged(user_policy: WritePolicy, site_policy: WritePolicy) -> None:
    assert Config().repositories == BUILT_IN
    site_policy("[repository.corp]\nurl = 'https://site.example/'\nservices = ['idx']\n")
    path = user_policy("[repository.corp]\nvalid-for = 60\n[repository.pypi]\nservices = ['mine']\n")
    pypi, _, corp = load_config().repositories
    assert (pypi, corp.url) == (PYPI._replace(services=(*PYPI.services, "mine")), "https://site.example/")
    assert (corp.services, load_config().problem) == (("idx",), None)
    user_policy("[repository.mine]\nurl = 'https://site.example'\n[repository.other]\n")
    assert str(load_config().problem) == (
        f"the policy cannot be followed: {path}:3: repository.other has no url; add the address that it is uploaded "
        "to; and 1 more: run `keyring-pypitoken check`."
    )


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG directories are for other systems")
def test_the_default_site_directory_counts_whatever_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "/elsewhere", "/elsewhere:/etc/xdg:relative", "relative"):
        monkeypatch.setenv("XDG_CONFIG_DIRS", value)
        directories = paths.find_directories("site_config", "linux")
        assert directories.count("/etc/xdg/keyring-pypitoken") == 1
        assert all(os.path.isabs(directory) for directory in directories)


class Registry:
    """The registry of Windows, as Python's `winreg` shows it: a 32-bit program sees another value by default."""

    KEY_READ, KEY_WOW64_64KEY, HKEY_LOCAL_MACHINE = 0x20019, 0x100, "HKLM"

    def __init__(self, *, is_broken: bool = False) -> None:
        self.is_broken = is_broken

    def OpenKey(self, root: str, path: str, _: int, access: int) -> contextlib.nullcontext[tuple[str, str, int]]:  # noqa: N802 - its name
        if self.is_broken:
            raise PermissionError(5, "Access is denied")
        return contextlib.nullcontext((root, path, access))

    def QueryValueEx(self, key: tuple[str, str, int], name: str) -> tuple[str, int]:  # noqa: N802 - its name
        assert (key[:2], name) == (("HKLM", r"SOFTWARE\Microsoft\Windows\CurrentVersion"), "ProgramFilesDir")
        return r"D:\Programs" if key[2] & self.KEY_WOW64_64KEY else r"D:\Programs (x86)", 1


def test_the_machines_policy_on_windows_is_below_the_64_bit_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ProgramData", "ALLUSERSPROFILE", "ProgramFiles", "ProgramW6432"):
        monkeypatch.setenv(name, r"C:\checkout")
    monkeypatch.setitem(sys.modules, "winreg", Registry())
    assert paths.find_directories("site_config", "win32") == (r"D:\Programs\keyring-pypitoken",)
    monkeypatch.setitem(sys.modules, "winreg", Registry(is_broken=True))
    monkeypatch.setattr(paths, "site_policies", lambda: paths.find_directories("site_config", "win32"))
    assert refused(load_config) == (
        "Windows does not say where programs are, so the machine's policy is unknown: repair it."
    )


# What keyring loads


def test_without_a_policy_no_parser_is_loaded(work: Path) -> None:
    code = (
        "import os, pathlib, sys; from keyring_pypitoken.policy import decision, discovery, model; "
        "discovery.load_config(); discovery.find_search_path(pathlib.Path.cwd(), pathlib.Path.cwd(), os.environ); "
        "print([name for name in sys.modules if name.rpartition('.')[2] in "
        "('tomllib', 'tomli', 'toml', 'parser', 'values', 'dataclasses', 'difflib')])"
    )
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
