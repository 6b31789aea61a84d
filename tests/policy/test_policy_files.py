"""Policies are found where DESIGN says, in real files, and read only where they can be trusted."""

from __future__ import annotations

import ntpath
import os
import shlex
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Protocol

import pytest

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.files import display_name, read_text
from keyring_pypitoken.policy import discovery
from keyring_pypitoken.policy.discovery import POLICY_VARIABLE, project_directories, project_policy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import WritePolicy

    from keyring_pypitoken.policy.model import PolicyFile

POSIX = pytest.mark.skipif(os.name != "posix", reason="files have no POSIX modes and owners here")
NOT_ROOT = pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read every file")
ROOT = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may give files away")
LINKS = pytest.mark.skipif(os.name != "posix", reason="links need a privilege here")
SOMEBODY = 65_534  # a user that is neither root nor the one who tests


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
    """Return a pypitoken.toml that can be told from others by its account."""
    return f'account = "{account}"\n'


def table_of(account: str) -> str:
    """Return a pyproject.toml with a policy."""
    return f'[project]\nname = "demo"\n[tool.keyring-pypitoken]\naccount = "{account}"\n'


def account(policy: PolicyFile | None) -> tuple[str, str] | None:
    """Return the account that a policy names, and where."""
    found = policy.settings.account if policy else None
    return (found.value, found.origin) if found else None


def refused(ask: Callable[[], object]) -> str:
    """Return why a policy is refused, whole."""
    with pytest.raises(Refusal) as caught:
        ask()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def writable(path: Path) -> str:
    """Return the sentence about a path that others may write."""
    return f"{path} can be written by others, who could loosen the policy: run `chmod go-w {shlex.quote(str(path))}`."


def foreign(path: Path) -> str:
    """Return the sentence about a path that belongs to somebody else."""
    return f"{path} belongs to another user, who could loosen the policy: run `chown $USER {shlex.quote(str(path))}`."


# The project's policy


def test_no_file_is_no_policy(work: Path, write: Write) -> None:
    """It works with no setup, beside files that are somebody else's."""
    write("pyproject.toml", '[project]\nname = "demo"\n')
    write("policy.toml", policy_of("wrong"))
    assert project_policy(work, {}) is None


FOUND: dict[str, tuple[dict[str, str], tuple[str, str] | None]] = {
    "a file": ({"pypitoken.toml": policy_of("a")}, ("a", "{0}pypitoken.toml:1")),
    "a table": ({"pyproject.toml": table_of("a")}, ("a", "{0}pyproject.toml:4")),
    "the nearest file": (
        {"pypitoken.toml": policy_of("far"), "x/pypitoken.toml": policy_of("near")},
        ("near", "{1}pypitoken.toml:1"),
    ),
    "the nearest table": (
        {"pyproject.toml": table_of("far"), "x/pyproject.toml": table_of("near")},
        ("near", "{1}pyproject.toml:4"),
    ),
    "the file of the directory itself": (
        {"x/pypitoken.toml": policy_of("near"), "x/y/pypitoken.toml": policy_of("own")},
        ("own", "{2}pypitoken.toml:1"),
    ),
    "a table above a pyproject.toml without one": (
        {"pyproject.toml": table_of("far"), "x/pyproject.toml": '[project]\nname = "demo"\n'},
        ("far", "{0}pyproject.toml:4"),
    ),
    "a file above a nearer table": (
        {"pypitoken.toml": policy_of("far"), "x/pyproject.toml": table_of("near")},
        ("far", "{0}pypitoken.toml:1"),
    ),
    "a file above a nearer and below a further table": (
        {"pyproject.toml": table_of("far"), "x/pypitoken.toml": policy_of("mid"), "x/y/pyproject.toml": table_of("n")},
        ("mid", "{1}pypitoken.toml:1"),
    ),
    "a file beside a pyproject.toml without a table": (
        {"pypitoken.toml": policy_of("a"), "pyproject.toml": '[project]\nname = "demo"\n'},
        ("a", "{0}pypitoken.toml:1"),
    ),
    "none in a directory beside": ({"z/pypitoken.toml": policy_of("beside")}, None),
    "none in a directory below": ({"x/y/z/pypitoken.toml": policy_of("below")}, None),
}


@pytest.mark.parametrize(("files", "expected"), FOUND.values(), ids=FOUND)
def test_finds_the_nearest_policy(
    work: Path, write: Write, files: dict[str, str], expected: tuple[str, str] | None
) -> None:
    """The nearest pypitoken.toml, else the nearest table, as seen from a directory two levels down."""
    directory = work / "x" / "y"
    directory.mkdir(parents=True)
    for path, text in files.items():
        write(path, text)
    up = (os.path.join("..", "..", ""), os.path.join("..", ""), "")
    expected = expected and (expected[0], expected[1].format(*up))
    assert account(project_policy(directory, {})) == expected


def test_refuses_two_policies_in_one_directory(work: Path, write: Write) -> None:
    """Nobody could tell which of them holds."""
    write("pypitoken.toml", policy_of("a"))
    write("pyproject.toml", table_of("a"))
    directory = work / "x"
    directory.mkdir()
    file, table = os.path.join("..", "pypitoken.toml"), os.path.join("..", "pyproject.toml")
    assert refused(lambda: project_policy(directory, {})) == (
        f"two policies lie in one directory, {file} and [tool.keyring-pypitoken] of {table}: keep one of them."
    )


@pytest.mark.parametrize("mark", [".git", ".hg", ".svn", ".bzr", "_darcs", ".jj"])
def test_the_walk_ends_at_the_root_of_a_repository(work: Path, write: Write, mark: str) -> None:
    """What lies above a checkout is not its policy; what lies in its root is."""
    write("pypitoken.toml", policy_of("outside"))
    directory = work / "x" / "y"
    directory.mkdir(parents=True)
    (work / "x" / mark).mkdir()
    assert project_policy(directory, {}) is None
    write("x/pypitoken.toml", policy_of("inside"))
    assert account(project_policy(directory, {})) == ("inside", os.path.join("..", "pypitoken.toml:1"))


def test_the_walk_ends_at_a_git_file(work: Path, write: Write) -> None:
    """A worktree and a submodule have a file of that name."""
    write("pypitoken.toml", policy_of("outside"))
    write("x/.git", "gitdir: elsewhere\n")
    assert project_policy(work / "x", {}) is None


@LINKS
def test_the_walk_ends_at_a_link_that_leads_nowhere(work: Path, write: Write) -> None:
    """A checkout whose store is not mounted is a checkout."""
    write("pypitoken.toml", policy_of("outside"))
    (work / "x").mkdir()
    (work / "x" / ".git").symlink_to("nowhere")
    assert project_policy(work / "x", {}) is None


def test_the_walk_ends_at_the_home_directory(home: Path, work: Path) -> None:
    """The home directory may hold a policy, and what lies above it is not the user's."""
    (home.parent / "pypitoken.toml").write_text(policy_of("outside"), "utf-8")
    assert project_policy(work, {}) is None
    (home / "pypitoken.toml").write_text(policy_of("home"), "utf-8")
    assert account(project_policy(work, {})) == ("home", os.path.join("..", "pypitoken.toml:1"))


@LINKS
def test_the_walk_ends_at_a_home_directory_that_is_linked(
    home: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HOME may be a link, which the current directory tells resolved."""
    (tmp_path / "link").symlink_to(home)
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    (home.parent / "pypitoken.toml").write_text(policy_of("outside"), "utf-8")
    assert project_policy(work, {}) is None
    assert list(project_directories(tmp_path / "link" / "work")) == [tmp_path / "link" / "work", tmp_path / "link"]


def test_the_walk_ends_at_the_root_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of the home directory and of every repository there is nothing else to end at."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    directory = Path(tmp_path.anchor) / "no-such-directory" / "x"
    assert list(project_directories(directory)) == [directory, directory.parent, Path(tmp_path.anchor)]


def test_walks_up_from_the_deepest_directory_there_can_be(home: Path) -> None:
    """Linux takes paths of 4,096 bytes, so of some 2,000 directories; they need not exist."""
    directory = home.joinpath(*("x" * 2_000))
    assert sum(1 for _ in project_directories(directory)) == 2_001


@pytest.mark.parametrize("text", ["[tool.other]\n", "[[[ no TOML\n", "[tool.other\n", "\u00e4\n"])
def test_a_pyproject_of_somebody_else_is_not_even_parsed(work: Path, write: Write, text: str) -> None:
    """A broken file that never speaks of us is its own tool's problem."""
    write("pyproject.toml", text)
    assert project_policy(work, {}) is None


def test_refuses_a_broken_pyproject_that_speaks_of_us(work: Path, write: Write) -> None:
    """What is meant for us cannot be passed over."""
    text = "[tool.keyring-pypitoken]\nprojects\n"
    write("pyproject.toml", text)
    with pytest.raises(tomllib.TOMLDecodeError) as told:
        tomllib.loads(text)
    words = str(told.value)
    assert refused(lambda: project_policy(work, {})) == (
        f"pyproject.toml is not valid TOML: {words[0].lower()}{words[1:]}; correct it there."
    )


def test_refuses_a_broken_policy_wherever_it_lies(work: Path, write: Write) -> None:
    """Its name leads there from the current directory."""
    write("pypitoken.toml", "\nvalid-for = 0\n")
    (work / "x").mkdir()
    where = os.path.join("..", "pypitoken.toml")
    assert refused(lambda: project_policy(work / "x", {})) == (
        f"the policy cannot be followed: valid-for is 0, expected at least one second ({where}:2)."
    )


@pytest.mark.parametrize(
    ("name", "environ"),
    [
        ("pypitoken.toml", {}),
        ("pyproject.toml", {}),
        ("named.toml", {POLICY_VARIABLE: "named.toml"}),
    ],
)
def test_a_projects_policy_is_a_projects(work: Path, write: Write, name: str, environ: dict[str, str]) -> None:
    """However it is found, it may say less than its user's."""
    write(name, ("[tool.keyring-pypitoken]" if name == "pyproject.toml" else "") + '\nunscoped = "allow"\n')
    assert refused(lambda: project_policy(work, environ)) == (
        f"the policy cannot be followed: unscoped is for your own policy.toml only, a project cannot set it ({name}:2)."
    )


# The variable


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("other.toml", "other.toml"),
        ("x/other.toml", os.path.join("x", "other.toml")),
        ("x/../other.toml", "other.toml"),
        ("../work/other.toml", "other.toml"),
    ],
)
def test_the_variable_names_the_policy(work: Path, write: Write, path: str, shown: str) -> None:
    """A relative path begins at the current directory, and the nearest files are not even read."""
    write("pypitoken.toml", "[[[")
    (work / "x").mkdir()
    write(path, policy_of("named"))
    assert account(project_policy(work, {POLICY_VARIABLE: path})) == ("named", f"{shown}:1")


def test_the_variable_names_the_policy_by_its_whole_path(home: Path, work: Path) -> None:
    """It may lie anywhere."""
    file = home / "other.toml"
    file.write_text(policy_of("named"), "utf-8")
    where = os.path.join("..", "other.toml:1")
    assert account(project_policy(work, {POLICY_VARIABLE: str(file)})) == ("named", where)


def test_the_variable_names_a_pyproject(work: Path, write: Write) -> None:
    """Its table is read."""
    write("x/pyproject.toml", table_of("named"))
    where = os.path.join("x", "pyproject.toml:4")
    assert account(project_policy(work, {POLICY_VARIABLE: "x/pyproject.toml"})) == ("named", where)


def test_an_empty_variable_names_nothing(work: Path, write: Write) -> None:
    """Whoever empties a variable means to unset it."""
    write("pypitoken.toml", policy_of("nearest"))
    assert account(project_policy(work, {POLICY_VARIABLE: ""})) == ("nearest", "pypitoken.toml:1")


@pytest.mark.parametrize(
    ("named", "missing"),
    [
        ("none.toml", "such file"),
        ("none/none.toml", "such file"),
        ("pypitoken.toml/none.toml", "such file"),
        ("none/pyproject.toml", "such file"),
        ("pyproject.toml", "[tool.keyring-pypitoken] in it"),
    ],
)
def test_refuses_a_variable_that_names_no_policy(work: Path, write: Write, named: str, missing: str) -> None:
    """An explicit policy that is silently missing would be no policy at all."""
    write("pypitoken.toml", policy_of("nearest"))
    write("pyproject.toml", '[project]\nname = "demo"\n')
    shown = os.path.normpath(named)
    assert refused(lambda: project_policy(work, {POLICY_VARIABLE: named})) == (
        f"KEYRING_PYPITOKEN_POLICY names {shown}, and there is no {missing}: correct it, or unset it."
    )


# Files that cannot be read


def test_refuses_a_directory_in_a_policys_place(work: Path) -> None:
    """What is there and cannot be read might hold a limit."""
    (work / "pypitoken.toml").mkdir()
    kind = "IsADirectoryError" if os.name == "posix" else "PermissionError"
    assert refused(lambda: project_policy(work, {})) == (
        f"pypitoken.toml cannot be read ({kind}): make it a readable file."
    )


@NOT_ROOT
def test_refuses_a_policy_that_may_not_be_read(work: Path, write: Write) -> None:
    """A forbidden file might hold a limit too."""
    write("pypitoken.toml", policy_of("a")).chmod(0)
    assert refused(lambda: project_policy(work, {})) == (
        "pypitoken.toml cannot be read (PermissionError): make it a readable file."
    )


@LINKS
@pytest.mark.parametrize("name", ["pypitoken.toml", "pyproject.toml"])
def test_refuses_a_policy_that_links_nowhere(work: Path, name: str) -> None:
    """A limit that cannot be read is not a limit that was lifted."""
    (work / name).symlink_to("nowhere.toml")
    assert refused(lambda: project_policy(work, {})) == (
        f"{name} is a link to a file that is not there: restore the file, or remove the link."
    )


@LINKS
def test_refuses_a_policy_that_links_to_itself(work: Path) -> None:
    """The system tells that there is no end to it."""
    (work / "pypitoken.toml").symlink_to("pypitoken.toml")
    assert refused(lambda: project_policy(work, {})) == (
        "pypitoken.toml cannot be read (OSError): make it a readable file."
    )


@pytest.mark.parametrize("data", [b"# \xff\n", "account = 'a'\n".encode("utf-16")], ids=["Latin-1", "UTF-16"])
def test_refuses_a_policy_that_is_no_utf_8(work: Path, write: Write, data: bytes) -> None:
    """TOML is UTF-8, always."""
    write("pypitoken.toml", data)
    assert refused(lambda: project_policy(work, {})) == "pypitoken.toml is not UTF-8 text: save it as UTF-8."


def test_reads_a_policy_that_a_windows_editor_saved(work: Path, write: Write) -> None:
    """The mark at the beginning and the ends of lines are theirs."""
    write("pypitoken.toml", b"\xef\xbb\xbf# ours\r\naccount = 'work'\r\n")
    assert account(project_policy(work, {})) == ("work", "pypitoken.toml:2")


def test_refuses_a_policy_that_is_too_long(work: Path, write: Write) -> None:
    """Ten million bytes are read, and one more is refused before it is parsed."""
    file = write("pypitoken.toml", b"#" * 10_000_000)
    assert len(read_text(file, "x") or "") == 10_000_000
    write("pypitoken.toml", b"#" * 10_000_001)
    assert refused(lambda: project_policy(work, {})) == "pypitoken.toml is longer than 10000000 bytes: shorten it."


def test_reads_a_text(write: Write) -> None:
    """What is there comes back as it is, and what is not as nothing."""
    file = write("x.txt", "\u00e4\r\n")
    assert (read_text(file, "x"), read_text(file.parent / "none", "x"), read_text(file / "none", "x")) == (
        "\u00e4\r\n",
        None,
        None,
    )


# How messages call files


@pytest.mark.parametrize(
    ("path", "directory", "name"),
    [
        ("/a/b/pypitoken.toml", "/a/b", "pypitoken.toml"),
        ("/a/pypitoken.toml", "/a/b", "../pypitoken.toml"),
        ("/a/pypitoken.toml", "/b/c/d/e/f", "/a/pypitoken.toml"),
        ("/a/b", "/a", "b"),
    ],
)
@POSIX
def test_calls_a_file_by_its_shorter_path(path: str, directory: str, name: str) -> None:
    """People read it, and may paste it."""
    assert display_name(Path(path), Path(directory)) == name


def test_calls_a_file_on_another_drive_by_its_whole_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows knows no relative path from one drive to another."""
    monkeypatch.setattr(os, "path", ntpath)  # which computes on every system what Windows does
    named = display_name(PureWindowsPath(r"D:\x\policy.toml"), PureWindowsPath(r"C:\work"))  # type: ignore[arg-type] # a Path on Windows
    assert named == r"D:\x\policy.toml"


# The user's and the machine's policy


class Own(Protocol):
    """Reads the user's or the machine's policy."""

    def __call__(self) -> PolicyFile | None: ...


@pytest.fixture(params=["user", "site"])
def layer(request: pytest.FixtureRequest) -> str:
    """Run the test for the user's policy and for the machine's."""
    return str(request.param)


@pytest.fixture
def own(layer: str) -> Own:
    """Return the function that reads the layer's policy."""
    return discovery.user_policy if layer == "user" else discovery.site_policy


@pytest.fixture
def write_own(layer: str, user_policy: WritePolicy, site_policy: WritePolicy) -> WritePolicy:
    """Return the function that writes the layer's policy."""
    return user_policy if layer == "user" else site_policy


@pytest.fixture
def own_path(layer: str, home: Path) -> Path:  # noqa: ARG001 - the directory must be known first
    """Return where the layer's policy lies; its directory is there."""
    path = Path(paths.user_policy() if layer == "user" else paths.site_policies()[0])
    path.parent.mkdir(parents=True, mode=0o700)
    return path


def test_there_need_be_no_policy_of_ones_own(own: Own) -> None:
    """It works with no setup."""
    assert own() is None


def test_reads_the_policy_of_the_user_or_the_machine(own: Own, write_own: WritePolicy, layer: str) -> None:
    """Each in its own directory, with its own rights, and called by its whole path."""
    path = write_own('unscoped = "allow"\naccount = "work"\n')
    found = own()
    assert found is not None
    assert (found.layer, found.origin, account(found)) == (layer, str(path), ("work", f"{path}:2"))


def test_refuses_a_broken_policy_of_ones_own(own: Own, write_own: WritePolicy) -> None:
    """The whole path leads there."""
    path = write_own("notice = 1\n")
    assert refused(own) == f"the policy cannot be followed: notice is 1, expected true or false ({path}:1)."


def test_refuses_a_directory_in_the_place_of_ones_own_policy(own: Own, own_path: Path) -> None:
    """It is not passed over."""
    own_path.mkdir(mode=0o700)
    kind = "IsADirectoryError" if os.name == "posix" else "PermissionError"
    assert refused(own) == f"{own_path} cannot be read ({kind}): make it a readable file."


@LINKS
def test_follows_a_link_to_ones_own_policy(own: Own, own_path: Path, home: Path) -> None:
    """Many keep their settings in a repository of their own."""
    (home / "settings").mkdir(mode=0o700)
    target = home / "settings" / "policy.toml"
    target.write_text('account = "work"\n', "utf-8")
    target.chmod(0o600)
    own_path.symlink_to(target)
    assert account(own()) == ("work", f"{own_path}:1")


@LINKS
def test_refuses_a_link_that_leads_nowhere(own: Own, own_path: Path) -> None:
    """A ceiling that is gone is not a ceiling that was lifted."""
    own_path.symlink_to("nowhere.toml")
    assert refused(own) == (f"{own_path} is a link to a file that is not there: restore the file, or remove the link.")


@LINKS
def test_refuses_a_link_to_itself(own: Own, own_path: Path) -> None:
    """There is no end to it."""
    own_path.symlink_to(own_path.name)
    assert refused(own) == f"{own_path} cannot be read (OSError): make it a readable file."


@POSIX
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o660])
def test_refuses_a_policy_that_others_may_write(own: Own, write_own: WritePolicy, mode: int) -> None:
    """Group or everybody: as ssh does, with the command that repairs it."""
    path = write_own("", mode)
    assert refused(own) == writable(path)


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444, 0o755])
def test_reads_a_policy_that_others_may_only_read(own: Own, write_own: WritePolicy, mode: int) -> None:
    """Nothing in it is secret."""
    write_own("", mode)
    assert own() is not None


@POSIX
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o1777])
def test_refuses_a_policy_in_a_directory_that_others_may_write(own: Own, write_own: WritePolicy, mode: int) -> None:
    """Who may write the directory may replace the file."""
    directory = write_own("").parent
    directory.chmod(mode)
    assert refused(own) == writable(directory)


@POSIX
def test_refuses_a_link_to_a_file_that_others_may_write(own: Own, own_path: Path, home: Path) -> None:
    """The file that counts is the one at the end of the link."""
    (home / "policy.toml").write_text("", "utf-8")
    (home / "policy.toml").chmod(0o666)
    own_path.symlink_to(home / "policy.toml")
    assert refused(own) == writable(own_path)


@POSIX
def test_refuses_a_link_into_a_directory_that_others_may_write(own: Own, own_path: Path, home: Path) -> None:
    """The file at the end of the link may be replaced there."""
    directory = home / "shared"
    directory.mkdir()
    (directory / "policy.toml").write_text("", "utf-8")
    (directory / "policy.toml").chmod(0o600)
    directory.chmod(0o770)
    own_path.symlink_to(directory / "policy.toml")
    assert refused(own) == writable(directory)


@POSIX
def test_the_command_that_repairs_it_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It works in a shell where the path has a space in it, as macOS's has."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "it's my config"))
    path = Path(paths.user_policy())
    path.parent.mkdir(parents=True, mode=0o700)
    path.touch()
    path.chmod(0o666)
    command = refused(discovery.user_policy).split("`")[1]
    assert command.startswith("chmod go-w ")
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert discovery.user_policy() is not None


@ROOT
def test_refuses_a_policy_that_belongs_to_somebody_else(own: Own, write_own: WritePolicy) -> None:
    """Its owner may write it whatever its mode."""
    path = write_own("")
    os.chown(path, SOMEBODY, -1)
    assert refused(own) == foreign(path)


@ROOT
def test_refuses_a_policy_in_a_directory_of_somebody_else(own: Own, write_own: WritePolicy) -> None:
    """And so may the directory's."""
    directory = write_own("").parent
    os.chown(directory, SOMEBODY, -1)
    assert refused(own) == foreign(directory)


def test_windows_has_no_modes(own: Own, write_own: WritePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a profile is private by its access lists, and the mode that Python tells says nothing."""
    write_own("", 0o666)
    monkeypatch.setattr(sys, "platform", "win32")
    assert own() is not None


def test_a_policy_error_is_a_refusal() -> None:
    """Whoever handles refusals handles these."""
    assert issubclass(PolicyError, Refusal)
