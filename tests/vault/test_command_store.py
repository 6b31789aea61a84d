"""The store that runs a program: real programs that answer, ask, fail, wait, chatter and call back."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import keyring
import pytest
from sandbox import Command, Run, WritePolicy, new_master, write_program

from keyring_pypitoken import Token, lookup, memory, paths
from keyring_pypitoken.backend import RefusedError, RefusedSetError
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.text import quoted
from keyring_pypitoken.vault import command
from keyring_pypitoken.vault.accounts import note_account
from keyring_pypitoken.vault.command import GUARD, CommandStore, refuse_recursion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs are scripts, which Windows does not run")
MASTER = new_master()


def script(text: str) -> str:
    """Write a shell script and return its path."""
    path = Path(os.environ["TEST_KEYRING_DIRECTORY"], "helper")  # where a master may be in a file
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def store(text: str, *arguments: str) -> CommandStore:
    return CommandStore((script(text), *arguments), "pypi", "work")


def read(found: CommandStore) -> str:
    return found.read_master().reveal()


def refused(found: CommandStore) -> str:
    """Return the rest of the sentence that refuses."""
    with pytest.raises(Refusal) as error:
        found.read_master()
    everything = traceback.TracebackException.from_exception(error.value, capture_locals=True)
    assert MASTER not in "".join(everything.format())
    start = f"the program {quoted(found.command[0])}, which [store] names as `command`, "
    assert str(error.value).startswith(start)
    return str(error.value).removeprefix(start)


def test_the_line_that_is_printed_is_the_master() -> None:
    assert read(store(f"printf '  {MASTER}\\r\\n'")) == MASTER


def test_repository_and_account_are_replaced_inside_arguments_without_a_shell() -> None:
    found = store('printf "%s;" "$@"', "op://{repository}/{account}", "$(id)", "a b", "{other}")
    assert read(found) == "op://pypi/work;$(id);a b;{other};"


def test_a_program_is_found_in_absolute_entries_of_path_only(monkeypatch: pytest.MonkeyPatch) -> None:
    script(f"echo {MASTER}")
    found = CommandStore(("helper",), "pypi", "default")
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", "/nowhere"]))
    assert refused(found) == (
        "is not found: install it in an absolute directory of PATH, or name it by its absolute path."
    )
    memory.forget()
    monkeypatch.setenv("PATH", os.environ["TEST_KEYRING_DIRECTORY"] + os.pathsep + "/bin")
    assert read(found) == MASTER


def test_it_runs_once_per_process_even_if_it_fails() -> None:
    found = store('echo run >> runs; [ "$1" = good ] && echo token', "good")
    assert [read(found), read(found)] == ["token", "token"]
    assert Path("runs").read_text() == "run\n"
    failing = found._replace(command=(found.command[0], "bad"))
    assert refused(failing) == refused(failing)
    assert Path("runs").read_text() == "run\nrun\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"echo {MASTER}; exit 3", "failed (exit code 3): run it by hand to see why."),
        (f"echo {MASTER}; kill -TERM $$", "failed (SIGTERM): run it by hand to see why."),
        ("kill -40 $$", "failed (signal 40): run it by hand to see why."),
        ("true", "printed nothing: see whether it holds the token."),
        ("echo; echo ' '", "printed nothing: see whether it holds the token."),
        (f"echo {MASTER}; echo user: me", "printed 2 lines: let it print the token only."),
        (f"while :; do echo {MASTER}; done", "printed more than 64 KiB: let it print the token only."),
    ],
    ids=["failing", "killed", "real-time signal", "silent", "blank", "chatty", "endless"],
)
def test_a_program_that_does_not_print_one_line_is_refused(
    text: str, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refused(store(text)) == expected
    assert MASTER not in "".join(capfd.readouterr())


def test_a_program_that_cannot_be_started_is_refused() -> None:
    found = store("")
    Path(found.command[0]).write_text("#!/nowhere/interpreter\n")
    assert refused(found) == "cannot be started (No such file or directory): repair it."


def test_what_it_prints_on_stderr_passes_through(capfd: pytest.CaptureFixture[str]) -> None:
    assert read(store(f"echo touch the key >&2; echo {MASTER}")) == MASTER
    assert capfd.readouterr() == ("", "touch the key\n")


def test_it_reads_our_stdin() -> None:
    found = store("read line; echo got $line")
    code = (
        "from keyring_pypitoken.vault.command import CommandStore\n"
        f"print(CommandStore({found.command!r}, 'pypi', 'default').read_master().reveal())"
    )
    done = subprocess.run([sys.executable, "-c", code], input=b"a\n", stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"got a\n"


def test_after_a_while_a_line_says_that_it_waits(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_NOTICE_SECONDS", 0.1)
    found = store(f"sleep 1; echo {MASTER}")
    assert read(found) == MASTER
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (
        f"keyring-pypitoken: waiting for the program {quoted(found.command[0])} to print the master, for at most 120 "
        "seconds\n"
    )


def test_a_program_that_does_not_end_is_killed_with_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_NOTICE_SECONDS", 0.1)
    monkeypatch.setattr(command, "_LIMIT_SECONDS", 1)
    text = f"echo {MASTER}; sleep 1000 & echo $! > child; wait"
    assert refused(store(text)) == "did not end within 1 seconds: see what it waits for."
    child = int(Path("child").read_text())
    for _ in range(100):
        status = Path(f"/proc/{child}/stat")
        if not status.exists() or " Z " in status.read_text():  # dead, or dead and not yet waited for
            return
        time.sleep(0.1)
    pytest.fail("the child still runs")


@pytest.mark.parametrize("is_absolute", [True, False])
def test_on_windows_its_own_program_kills_and_never_one_of_a_checkout(
    is_absolute: bool, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "System32").mkdir()
    write_program(work / "System32" / "taskkill.exe", "/bin/sh", "-c", 'echo "$@" > killed', "taskkill")
    monkeypatch.setenv("SYSTEMROOT", str(work) if is_absolute else "")
    with subprocess.Popen([shutil.which("sleep") or "", "1000"]) as process:
        command._kill(process, "win32")
        assert process.wait(10) == -9
    killed = work / "killed"
    assert (killed.read_text() if killed.exists() else "") == (f"/F /T /PID {process.pid}\n" if is_absolute else "")


def test_a_program_that_leaves_another_behind_is_not_believed_before_that_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "_NOTICE_SECONDS", 0.1)
    monkeypatch.setattr(command, "_LIMIT_SECONDS", 1)
    assert refused(store(f"sleep 1000 & echo {MASTER}")) == "did not end within 1 seconds: see what it waits for."


def test_a_look_up_that_the_program_makes_is_refused() -> None:
    code = (
        "import os\n"
        "from keyring_pypitoken.exceptions import Refusal\n"
        "from keyring_pypitoken.vault.command import CommandStore\n"
        "try: CommandStore(('echo',), 'pypi', 'default').read_master()\n"
        "except Refusal as refusal: print(refusal)"
    )
    Path("recursive.py").write_text(code)
    assert read(store(f"{shlex.quote(sys.executable)} recursive.py")) == (
        "the program that [store] names as `command` asks keyring for the same token, which would never end: "
        "name one that reads the master from elsewhere."
    )
    assert GUARD not in os.environ
    refuse_recursion(os.environ)
    with pytest.raises(Refusal, match="asks keyring for the same token"):
        refuse_recursion({GUARD: "1"})


ASK = """
import os, signal, sys
from keyring_pypitoken.vault.command import CommandStore
try:
    print("answer:", CommandStore(({path!r},), "pypi", "default").read_master().reveal())
except KeyboardInterrupt:
    print("interrupted")
print("foreground:", os.tcgetpgrp(0) == os.getpgrp())
"""


def in_terminal(path: str, typed: bytes) -> str:
    """Run a program that uses the store, in a terminal of its own; return what is on the screen."""
    import pty

    if sys.platform == "win32":
        pytest.skip("only POSIX has pseudo-terminals and process groups")
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - another process
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a test run in the background ignores
        os.execv(sys.executable, [sys.executable, "-c", ASK.format(path=path)])  # noqa: S606 - the forked one
    screen = b""
    try:
        while select.select([terminal], [], [], 60)[0] and (data := os.read(terminal, 1000)):
            screen += data
            if data.endswith(b"PIN? "):
                os.write(terminal, typed)
    except OSError:  # how Linux says that the program has ended
        pass
    os.close(terminal)
    os.waitpid(pid, 0)
    return screen.decode()


def test_the_program_may_ask_on_the_terminal() -> None:
    path = script("printf 'PIN? ' > /dev/tty; read pin < /dev/tty; echo $pin")
    screen = in_terminal(path, b"1234\n").splitlines()
    assert screen[-2:] == ["answer: 1234", "foreground: True"]


@pytest.mark.parametrize(("ci", "answer"), [("", "got a"), ("true", "got nothing")])
def test_on_a_terminal_that_nobody_sees_the_program_reads_nothing(
    ci: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    path = script("printf 'PIN? ' > /dev/tty; read line || line=nothing; echo got $line")
    # What is typed is echoed before the prompt or behind it, or by nobody.
    assert in_terminal(path, b"a\n").splitlines()[-2].endswith(f"answer: {answer}")


def test_closed_streams_are_not_what_the_program_opens_next() -> None:
    found = store("[ -e /dev/fd/0 ] && [ -e /dev/fd/2 ] && echo open")
    code = f"from keyring_pypitoken.vault.command import *; print({found!r}.read_master().reveal())"
    line = shlex.join([sys.executable, "-c", code])
    done = subprocess.run(f"{line} <&- 2>&-", shell=True, stdout=subprocess.PIPE, check=True)  # noqa: S602 - closes them
    assert done.stdout == b"open\n"


def test_ctrl_c_ends_the_program_and_interrupts() -> None:
    path = script("printf 'PIN? ' > /dev/tty; read pin < /dev/tty; echo $pin")
    assert in_terminal(path, b"\x03").splitlines()[-2:] == ["PIN? ^Cinterrupted", "foreground: True"]


def test_a_program_that_was_interrupted_interrupts() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test run in the background ignores
    try:
        with pytest.raises(KeyboardInterrupt):
            store("kill -INT $$").read_master()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("in_front", [True, False])
def test_the_terminal_is_lent_and_taken_back_unless_we_are_in_the_background(
    in_front: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pty

    if sys.platform == "win32":
        pytest.skip("only POSIX has pseudo-terminals and process groups")
    asked, terminal = pty.openpty()
    front = [os.getpgrp() if in_front else 1]
    monkeypatch.setattr(command, "_TERMINAL", os.ttyname(terminal))
    monkeypatch.setattr(os, "tcgetpgrp", lambda _handle: front[-1])
    monkeypatch.setattr(os, "tcsetpgrp", lambda _handle, group: front.append(group))
    group = int(read(store("echo $$")))
    assert front == ([os.getpgrp(), group, os.getpgrp()] if in_front else [1])
    os.close(asked)
    os.close(terminal)


def test_an_interrupt_kills_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_NOTICE_SECONDS", 0.1)
    monkeypatch.setattr(command, "notify", interrupt)
    found = store("echo $$ > pid; exec sleep 1000")
    with pytest.raises(KeyboardInterrupt):
        found.read_master()
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)


def test_an_interrupt_while_the_program_starts_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("only POSIX has pseudo-terminals and process groups")
    real = command._start
    started: list[subprocess.Popen[bytes]] = []

    def interrupted(arguments: list[str]) -> subprocess.Popen[bytes]:
        started.append(real(arguments))
        signal.raise_signal(signal.SIGINT)
        return started[0]

    monkeypatch.setattr(command, "_start", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test run in the background ignores
    try:
        with pytest.raises(KeyboardInterrupt):
            store("exec sleep 1000").read_master()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert started[0].poll() == -signal.SIGKILL


def test_an_interrupt_before_the_program_has_the_terminal_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def interrupt(group: int) -> NoReturn:
        started.append(group)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_terminal_lent_to", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store("exec sleep 1000").read_master()
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_a_program_whose_output_cannot_be_read_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = command._start
    started: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(command, "_start", lambda arguments: started.append(real(arguments)) or started[0])  # type: ignore[func-returns-value]  # append returns None

    if sys.platform == "win32":
        pytest.skip("only POSIX has pseudo-terminals and process groups")

    def fail(_thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError):
        store("exec sleep 1000").read_master()
    with started[0]:
        try:
            assert started[0].wait(10) == -signal.SIGKILL
        finally:
            started[0].kill()


def test_the_program_may_be_started_from_a_thread() -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(read(store("echo " + MASTER))))
    thread.start()
    thread.join(30)
    assert found == [MASTER]


# Which accounts are passed on

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
REFUSED = (
    "the account 'work' is named by {} only, and is not passed to the program that [store] names: set it in your own "
    "policy.toml, or with --account."
)


@pytest.fixture
def project(work: Path, user_policy: WritePolicy) -> Path:
    """Make the current directory a project's; masters come from a program that notes the account it is asked for."""
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    user_policy(f'[store]\ncommand = ["{script(f"echo $1 >> asked; echo {MASTER}")}", "{{account}}"]\n')
    return work


def asked(project: Path) -> str:
    return (project / "asked").read_text() if (project / "asked").exists() else ""


def test_a_token_is_derived_from_what_the_program_prints(project: Path) -> None:
    found = keyring.get_password(PYPI, TOKEN)
    assert found is not None
    assert Token.load(found).raw_caveats[1:] == [b'[1, ["demo"]]']
    assert asked(project) == "default\n"


def test_an_account_of_the_users_own_policy_is_passed_on(project: Path) -> None:
    policy = Path(paths.user_policy())
    policy.write_text('account = "work"\n' + policy.read_text())
    assert keyring.get_password(PYPI, TOKEN) is not None
    assert asked(project) == "work\n"


def test_an_account_that_a_person_names_is_passed_on(project: Path, command: Command) -> None:
    assert command("token", "--account", "work")[0] == 0
    assert asked(project) == "work\n"


def test_an_account_that_only_a_lookup_names_is_not_passed_on(project: Path) -> None:
    note_account(lookup.PYPI, "work")
    with pytest.raises(RefusedError) as error:
        keyring.get_password(f"{PYPI}?work", TOKEN)
    assert str(error.value) == REFUSED.format("the lookup")
    assert asked(project) == ""


@pytest.mark.parametrize("directory", ["", "--account"])
def test_an_account_that_only_a_project_names_is_not_passed_on(directory: str, project: Path, command: Command) -> None:
    policy = Path(directory, "pypitoken.toml")
    (project / directory).mkdir(exist_ok=True)
    (project / policy).write_text('account = "work"\n')
    (project / directory / "demo-1.0.tar.gz").touch()
    file = f".{os.sep}{Path(directory, 'demo-1.0.tar.gz')}"
    assert command.refused("token", file) == REFUSED.format(f"{policy}:1")
    assert asked(project) == ""


def test_nothing_is_stored_through_a_program(project: Path, command: Command) -> None:
    sentence = command.refused("login", stdin=MASTER)
    with pytest.raises(RefusedSetError, match="cannot be stored through it") as error:
        keyring.set_password(PYPI, TOKEN, MASTER)
    program = project.parent / "keyrings" / "helper"
    assert sentence == str(error.value)
    assert sentence == (
        f"masters are read from the program '{program}' ({paths.user_policy()}:2), and cannot be stored through it: "
        "store the token with that program."
    )
    assert asked(project) == ""


@pytest.mark.parametrize(
    "service",
    ["poetry-repository-other", "pdm-repository-pypi", "main", "https://upload.pypi.org./legacy/", f"{PYPI}#x"],
)
def test_a_key_that_is_ours_only_if_a_token_is_there_does_not_start_it(service: str, project: Path) -> None:
    assert keyring.get_password(service, TOKEN) is None
    assert asked(project) == ""


def test_a_label_that_may_be_an_account_is_not_looked_for_in_it(project: Path) -> None:
    found = keyring.get_password(f"{PYPI}?other", TOKEN)
    assert found is not None
    assert Token.load(found).raw_caveats[1:] == [b'[1, ["other"]]']
    assert asked(project) == "default\n"


def test_what_is_refused_and_what_only_explains_does_not_start_it(project: Path, command: Command) -> None:
    assert command("explain")[0] == 0
    code, out, _ = command("status")
    assert code == 0
    assert out.startswith("Ready. Uploads use restricted tokens; nothing bypasses them.\n")
    assert "  masters   read from the program when a token is derived\n" in out
    assert f"  kept in   {project.parent / 'keyrings' / 'helper'}, a program\n" in out
    (project / "pypitoken.toml").write_text('projects = ["another"]\n')
    assert "project 'demo' is not allowed here" in command.refused("token")
    assert asked(project) == ""


def test_keyring_itself_as_the_program_is_refused(project: Path, run: Run, user_policy: WritePolicy) -> None:
    write_program(project / "keyring", sys.executable, "-m", "keyring")
    user_policy(f'[store]\ncommand = ["{project / "keyring"}", "get", "{PYPI}", "{TOKEN}"]\n')
    done = run("keyring", "get", PYPI, TOKEN)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        (
            "keyring-pypitoken: the program that [store] names as `command` asks keyring for the same token, which "
            "would never end: name one that reads the master from elsewhere."
        ),
        (
            f"keyring-pypitoken: the program '{project / 'keyring'}', which [store] names as `command`, failed "
            "(exit code 1): run it by hand to see why."
        ),
    ]


@pytest.fixture
def password_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make a password store of `pass` with a throwaway key; return the path of the program."""
    program, gpg, gpgconf = (shutil.which(name) for name in ("pass", "gpg", "gpgconf"))
    if program is None or gpg is None or gpgconf is None:
        pytest.skip("pass and gpg are not installed here")
    with tempfile.TemporaryDirectory(dir="/tmp") as home:  # the paths of sockets must be short
        monkeypatch.setenv("GNUPGHOME", home)
        monkeypatch.setenv("PASSWORD_STORE_DIR", os.path.join(home, "store"))
        new_key = [gpg, "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "throwaway@example.org"]
        for arguments in (new_key, [program, "init", "throwaway@example.org"]):
            subprocess.run(arguments, check=True, capture_output=True)
        yield program
        subprocess.run([gpgconf, "--kill", "all"], check=False)


def test_pass_answers_and_what_it_lacks_is_refused(password_store: str) -> None:
    for name, content in (("pypi/work", MASTER), ("testpypi/work", f"{MASTER}\nuser: me")):
        subprocess.run(
            [password_store, "insert", "-m", name], input=content, text=True, check=True, capture_output=True
        )
    found = CommandStore(("pass", "show", "{repository}/{account}"), "pypi", "work")
    assert read(found) == MASTER
    assert refused(found._replace(repository_name="testpypi")) == "printed 2 lines: let it print the token only."
    assert refused(found._replace(account="other")) == "failed (exit code 1): run it by hand to see why."
