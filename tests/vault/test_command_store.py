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
    return CommandStore((script(text), *arguments), "pypi", "work", ("a-b", "c"))


def read(program: CommandStore) -> str:
    return program.read_master().reveal()


def refused(program: CommandStore) -> str:
    """Return the rest of the sentence that refuses."""
    with pytest.raises(Refusal) as error:
        program.read_master()
    everything = traceback.TracebackException.from_exception(error.value, capture_locals=True)
    assert MASTER not in "".join(everything.format())
    start = f"the program {quoted(program.command[0])}, which [store] names as `command`, "
    assert str(error.value).startswith(start)
    return str(error.value).removeprefix(start)


def test_the_line_that_is_printed_is_the_master() -> None:
    assert read(store(f"printf '  {MASTER}\\r\\n'")) == MASTER


def test_names_are_replaced_inside_arguments_without_a_shell() -> None:
    program = store(
        f'printf "%s;" "$@" > seen; echo {MASTER}', "op://{repository}/{account}", "$(id)", "a b", "{other}"
    )
    assert read(program) == MASTER
    assert Path("seen").read_text() == "op://pypi/work;$(id);a b;{other};"
    program = program._replace(command=(program.command[0], "--project={projects}"))
    assert read(program) == MASTER
    assert Path("seen").read_text() == "--project=a-b,c;"
    assert refused(program._replace(projects=())) == (
        "is given the projects of an upload, and none is known: name them with --project."
    )


def test_a_program_is_found_in_absolute_entries_of_path_only(monkeypatch: pytest.MonkeyPatch) -> None:
    script(f"echo {MASTER}")
    program = CommandStore(("helper",), "pypi", "default")
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", "/nowhere"]))
    assert refused(program) == (
        "is not found: install it in an absolute directory of PATH, or name it by its absolute path."
    )
    monkeypatch.setenv("PATH", os.environ["TEST_KEYRING_DIRECTORY"] + os.pathsep + "/bin")
    assert read(program) == MASTER


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("C:\\tool.BAT", "is a batch file, which runs its arguments as commands: name an .exe instead."),
        ("tool.cmd", "is a batch file, which runs its arguments as commands: name an .exe instead."),
        ("C:\\tool.py", 'is a Python script, which Windows does not start: name "py.exe" before it.'),
    ],
)
def test_on_windows_scripts_are_refused(name: str, reason: str) -> None:
    program = CommandStore((name, "x&ver"), "pypi", "default")
    assert "is not found" in refused(program)
    with pytest.raises(Refusal) as error:
        program.find("nt")
    assert str(error.value).endswith(f"`command`, {reason}")


def test_what_it_printed_is_remembered_for_a_minute_and_a_failure_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    program = store(f'echo run >> runs; [ "$1" = good ] && echo {MASTER}', "good")
    assert [read(program), read(program)] == [MASTER, MASTER]
    assert Path("runs").read_text() == "run\n"
    monkeypatch.setattr(command, "_REMEMBERED_SECONDS", -1)
    memory.forget()
    assert [read(program), read(program)] == [MASTER, MASTER]
    assert Path("runs").read_text() == "run\n" * 3
    failing = program._replace(command=(program.command[0], "bad"))
    assert refused(failing) == refused(failing)
    assert Path("runs").read_text() == "run\n" * 5


ONLY = "let it print the token only."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"echo {MASTER}; exit 3", "failed (exit code 3): run it by hand to see why."),
        (f"echo {MASTER}; kill -TERM $$", "failed (SIGTERM): run it by hand to see why."),
        ("kill -40 $$", "failed (signal 40): run it by hand to see why."),
        ("true", "printed nothing: see whether it holds the token."),
        ("echo; echo ' '", "printed nothing: see whether it holds the token."),
        (f"echo {MASTER}; echo user: me", f"printed 2 lines: {ONLY}"),
        (f"echo '{{'; echo '\"token\": \"{MASTER}\"}}'", f"printed JSON: {ONLY}"),
        (f"echo '[\"{MASTER}\"]'", f"printed JSON: {ONLY}"),
        (f"echo '\"{MASTER}\"'", f"printed the token in quotes: {ONLY}"),
        (f"echo TWINE_PASSWORD={MASTER}", f"printed more than the token: {ONLY}"),
        (f"echo {MASTER[:60]}", "printed a token that is cut short or damaged: store all of it there."),
        ("echo correct horse", f"printed no PyPI token: {ONLY}"),
        (f"echo {new_master('test.pypi.org')}", "printed a token for 'test.pypi.org', not for 'pypi.org': correct it."),
        (f"while :; do echo {MASTER}; done", f"printed more than 64 KiB: {ONLY}"),
    ],
)
def test_what_a_program_does_wrong_is_said_and_never_what_it_prints(
    text: str, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refused(store(text)) == expected
    assert MASTER[:60] not in "".join(capfd.readouterr())


def test_a_program_that_cannot_be_started_is_refused() -> None:
    program = store("")
    Path(program.command[0]).write_text("#!/nowhere/interpreter\n")
    assert refused(program) == "cannot be started (No such file or directory): repair it."


@pytest.mark.parametrize("step", ["decode", "append"])
def test_a_failure_in_the_thread_shows_the_master_to_nobody(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(threading, "excepthook", shown.append)

    def fail(_frame: object, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__name__", "") == step:
            raise MemoryError

    threading.setprofile(fail)
    try:
        assert refused(store(f"echo {MASTER}")) == "could not be read: try again."
    finally:
        threading.setprofile(None)
    assert shown == []


def test_stdin_and_stderr_are_ours(capfd: pytest.CaptureFixture[str]) -> None:
    program = store(f"read line; echo got $line >&2; echo {MASTER}")
    code = (
        "from keyring_pypitoken.vault.command import CommandStore\n"
        f"print(len(CommandStore({program.command!r}, 'pypi', 'default').read_master().reveal()))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=b"a\n", stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) == len(MASTER)
    assert capfd.readouterr().err == "got a\n"
    line = shlex.join([sys.executable, "-c", code])
    script(f"[ -e /dev/fd/0 ] && [ -e /dev/fd/2 ] && echo {MASTER}")
    closed = subprocess.run(f"{line} <&- 2>&-", shell=True, stdout=subprocess.PIPE, check=True)  # noqa: S602 - closes them
    assert int(closed.stdout) == len(MASTER), "what is closed is not what the program opens next"


def test_a_program_that_does_not_end_is_named_and_killed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_NOTICE_SECONDS", 0)
    monkeypatch.setattr(command, "_LIMIT_SECONDS", 1)
    program = store(f"echo {MASTER}; echo $$ > pid; exec sleep 1000")
    assert refused(program) == "did not end within 1 seconds: see what it waits for."
    assert capfd.readouterr().err == (
        f"keyring-pypitoken: waiting for the program {quoted(program.command[0])} to print the token, for at most 1 "
        "seconds\n"
    )
    for _ in range(100):
        status = Path(f"/proc/{Path('pid').read_text().strip()}/stat")
        if not status.exists() or " Z " in status.read_text():  # dead, or dead and not yet waited for
            return
        time.sleep(0.1)
    pytest.fail("the program still runs")


def test_a_program_that_leaves_another_behind_is_not_believed_before_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_LIMIT_SECONDS", 1)
    program = store(f"sleep 20 & echo {MASTER}")
    assert refused(program) == "did not end within 1 seconds: see what it waits for."


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_the_waiting_ends_the_program(
    failure: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = command._start

    def start(arguments: list[str]) -> subprocess.Popen[bytes]:
        started.append(real(arguments))
        return started[0]

    def fail(*_arguments: object, **_named: object) -> NoReturn:
        raise failure

    monkeypatch.setattr(command, "_start", start)
    # What Ctrl-C interrupts, and what a system without a further thread does.
    if failure is KeyboardInterrupt:
        monkeypatch.setattr(command.CommandStore, "_wait_for", fail)
    else:
        monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(failure):
        store("exec sleep 1000").read_master()
    with started[0]:
        assert started[0].wait(30) == -9


def test_a_look_up_that_the_program_makes_is_refused() -> None:
    code = (
        "import os\n"
        "from keyring_pypitoken.exceptions import Refusal\n"
        "from keyring_pypitoken.vault.command import CommandStore\n"
        "try: CommandStore(('echo',), 'pypi', 'default').read_master()\n"
        "except Refusal as refusal: print(refusal, file=open('asked', 'w'))\n"
        f"print({MASTER!r})"
    )
    path = Path(os.environ["TEST_KEYRING_DIRECTORY"], "recursive.py")
    path.write_text(code)
    assert read(store(shlex.join([sys.executable, str(path)]))) == MASTER
    assert Path("asked").read_text() == (
        "the program that [store] names as `command` asks keyring for the same token, which would never end: "
        "name one that reads the master from elsewhere.\n"
    )
    assert GUARD not in os.environ
    refuse_recursion(os.environ)
    with pytest.raises(Refusal, match="asks keyring for the same token"):
        refuse_recursion({GUARD: "1"})


ASK = """
from keyring_pypitoken.vault.command import CommandStore
try:
    print("answer:", len(CommandStore(({path!r},), "pypi", "default").read_master().reveal()))
except KeyboardInterrupt:
    print("interrupted")
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
            if screen.endswith(b"PIN? "):
                os.write(terminal, typed)
    except OSError:  # how Linux says that the program has ended
        pass
    os.close(terminal)
    os.waitpid(pid, 0)
    return screen.decode()


@pytest.mark.parametrize(("typed", "outcome"), [(b"1234\n", f"answer: {len(MASTER)}"), (b"\x03", "interrupted")])
def test_the_program_may_ask_on_the_terminal(typed: bytes, outcome: str) -> None:
    path = script(f"printf 'PIN? ' > /dev/tty; read pin < /dev/tty; [ $pin = 1234 ] && echo {MASTER}")
    assert in_terminal(path, typed).splitlines()[-1].endswith(outcome)


@pytest.mark.parametrize(("ci", "answer"), [("", "a"), ("true", "")])
def test_on_a_terminal_that_nobody_sees_the_program_reads_nothing(
    ci: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    path = script(f"printf 'PIN? ' > /dev/tty; read line; echo $line > typed; echo {MASTER}")
    assert "answer" in in_terminal(path, b"a\n")
    assert Path("typed").read_text().strip() == answer


def test_the_program_may_be_started_from_a_thread() -> None:
    masters: list[str] = []
    thread = threading.Thread(target=lambda: masters.append(read(store("echo " + MASTER))))
    thread.start()
    thread.join(30)
    assert masters == [MASTER]


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
    text = keyring.get_password(PYPI, TOKEN)
    assert text is not None
    assert Token.load(text).raw_caveats[1:] == [b'[1, ["demo"]]']
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
    "service", ["poetry-repository-other", "main", "https://upload.pypi.org./legacy/", f"{PYPI}#x"]
)
def test_a_key_that_is_ours_only_if_a_token_is_there_does_not_start_it(service: str, project: Path) -> None:
    assert keyring.get_password(service, TOKEN) is None
    assert asked(project) == ""


def test_a_label_that_may_be_an_account_is_not_looked_for_in_it(project: Path) -> None:
    text = keyring.get_password(f"{PYPI}?other", TOKEN)
    assert text is not None
    assert Token.load(text).raw_caveats[1:] == [b'[1, ["other"]]']
    assert asked(project) == "default\n"


def test_what_is_refused_and_what_only_explains_does_not_start_it(project: Path, command: Command) -> None:
    assert command("explain")[0] == 0
    code, out, _ = command("status")
    assert code == 0
    assert "-  masters   read from the program when a token is derived\n" in out
    assert f"-  kept in   {project.parent / 'keyrings' / 'helper'}, a program\n" in out
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
    program = CommandStore(("pass", "show", "{repository}/{account}"), "pypi", "work")
    assert read(program) == MASTER
    assert refused(program._replace(repository="testpypi")) == "printed 2 lines: let it print the token only."
    assert refused(program._replace(account="other")) == "failed (exit code 1): run it by hand to see why."
