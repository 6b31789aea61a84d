"""The command: what each subcommand prints, in words and in JSON, and how it ends."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from typing import TYPE_CHECKING

import keyring
import pytest
from file_keyring import FileKeyring
from sandbox import DATA, Command, Run, WritePolicy, forget, new_master

from keyring_pypitoken import LegacyNoopRestriction, Token, paths
from keyring_pypitoken.cli import grants
from keyring_pypitoken.cli.main import build_parser, main
from keyring_pypitoken.history import read_history

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PYPI, TOKEN = "https://upload.pypi.org/legacy/", "__token__"
PRIVATE = f"keyring-pypitoken:{PYPI}"


@pytest.fixture
def project(work: Path) -> Path:
    """Make the current directory one of a project."""
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    return work


@pytest.fixture
def stored() -> str:
    """Store a master; return its text."""
    master = new_master()
    keyring.set_password(PYPI, TOKEN, master)
    return master


# The command line


def test_without_a_subcommand_it_tells_how_it_is_called(command: Command) -> None:
    """Exit code 2 is a wrong command line."""
    code, out, err = command()
    assert (code, out) == (2, "")
    assert err.startswith("usage: keyring-pypitoken ")


@pytest.mark.parametrize(
    "arguments",
    [["explode"], ["explain", "--no-such"], ["login", "pypi-token"], ["exec"], ["exec", "--"], ["history", "-n", "x"]],
)
def test_a_wrong_command_line_is_told_with_exit_code_2(arguments: list[str], command: Command) -> None:
    """A token is never an argument: a stray one is an error."""
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert "error: " in err


def test_tells_its_version(command: Command) -> None:
    """That of the distribution."""
    from importlib.metadata import version

    assert command("--version") == (0, f"keyring-pypitoken {version('keyring-pypitoken')}\n", "")


SUBCOMMANDS = [
    *("login", "logout", "init", "explain", "status", "doctor", "adopt"),
    *("token", "exec", "restrict", "inspect", "check", "history"),
]


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_help_with_examples(name: str, command: Command) -> None:
    """They show how it is meant."""
    code, out, err = command(name, "--help")
    assert (code, err) == (0, "")
    assert "\nexamples:\n  " in out
    assert "keyring-pypitoken " in out


def test_the_examples_can_be_typed(command: Command) -> None:
    """The parser takes every one of them."""
    parser = build_parser()
    examples = [
        line.strip()
        for name in SUBCOMMANDS
        for line in command(name, "--help")[1].partition("\nexamples:\n")[2].splitlines()
    ]
    assert len(examples) > 15
    for example in examples:
        words = example.replace("$(", "").partition("keyring-pypitoken ")[2].replace(")", " ").replace("'", '"')
        import shlex

        before = shlex.split(words.partition(" -- ")[0].partition(" maturin")[0])
        assert parser.parse_args(before).name in SUBCOMMANDS


def test_completion_is_printed_where_shtab_is(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As keyring does it; without shtab there is no such option."""
    code, out, _ = command("--print-completion", "bash")
    assert code == 0
    assert "_keyring_pypitoken" in out
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert command("--print-completion", "bash")[0] == 2


def test_is_a_script_and_a_module(run: Run) -> None:
    """Both are the same program."""
    from importlib.metadata import distribution

    (script,) = distribution("keyring-pypitoken").entry_points.select(group="console_scripts")
    assert (script.name, script.load()) == ("keyring-pypitoken", main)
    done = run("keyring_pypitoken", "history")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_module_is_the_command_when_it_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing happens when it is imported."""
    import runpy

    monkeypatch.setattr(sys, "argv", ["keyring-pypitoken", "history"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("keyring_pypitoken", run_name="__main__")
    assert ended.value.code == 0
    runpy.run_module("keyring_pypitoken.__main__", run_name="imported")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 1)])
def test_an_end_from_outside_is_no_traceback(
    error: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, and a reader that went away."""
    from keyring_pypitoken.cli import records

    def ended(_options: object) -> int:
        raise error

    monkeypatch.setattr(records, "history", ended)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(["history"]) == code


# login, logout


def test_login_stores_a_master_and_tells_what_becomes_of_it(command: Command) -> None:
    """What was stored where, what can be seen in it, how it will be used."""
    master = new_master()
    code, out, err = command("login", stdin=f"  {master}\n")
    assert (code, err) == (0, "")
    assert out == (
        "Stored the master for pypi (account 'default') in file_keyring.FileKeyring.\n"
        "No restriction can be seen in it. PyPI may apply further restrictions that are not visible in the token.\n"
        "Uploads to https://upload.pypi.org/legacy/ are given a token derived from it: for the projects of that upload "
        "alone, and for 15 minutes where no policy says otherwise. See `keyring-pypitoken explain`.\n"
    )
    assert FileKeyring().passwords() == {(PRIVATE, "default"): master}


def test_login_tells_the_restrictions_of_a_master(command: Command) -> None:
    """A token for one project is a master too."""
    token = Token.load(new_master())
    token.restrict(project_names=["demo"])
    code, out, _ = command("login", stdin=token.dump())
    assert code == 0
    assert "Restrictions that can be seen in it:\n- only uploads of the project 'demo'\n" in out


def test_login_tells_that_another_master_was_replaced(command: Command, stored: str) -> None:
    """The same one again replaces nothing."""
    assert "in the place" not in command("login", stdin=stored)[1]
    other = new_master(identifier="another")
    assert "file_keyring.FileKeyring, in the place of another one.\n" in command("login", stdin=other)[1]
    assert FileKeyring().passwords() == {(PRIVATE, "default"): other}


@pytest.mark.parametrize(
    ("options", "domain", "key"),
    [
        (["--account", "work"], "pypi.org", (PRIVATE, "work")),
        (["-r", "testpypi"], "test.pypi.org", ("keyring-pypitoken:https://test.pypi.org/legacy/", "default")),
        (["-r", "https://test.pypi.org/legacy"], "test.pypi.org",
         ("keyring-pypitoken:https://test.pypi.org/legacy/", "default")),
        (["--repository", "company", "--account", "a@b"], "index.example",
         ("keyring-pypitoken:https://index.example/up/", "a@b")),
    ],
)  # fmt: skip
def test_login_and_logout_know_repositories_and_accounts(
    options: list[str], domain: str, key: tuple[str, str], command: Command, user_policy: WritePolicy
) -> None:
    """By name or URL, those of the user's policy too."""
    user_policy('[repository.company]\nurl = "https://index.example/up/"\n')
    master = new_master(domain)
    assert command("login", *options, stdin=master)[0] == 0
    assert FileKeyring().passwords() == {key: master}
    name = {"pypi.org": "pypi", "test.pypi.org": "testpypi"}.get(domain, "company")
    deleted = f"Deleted the master for {name} (account {key[1]!r}).\n"
    assert command("logout", *options) == (0, deleted, "")
    assert FileKeyring().passwords() == {}
    assert command.refused("logout", *options) == (
        f"no master is stored for {name} (account {key[1]!r}), so there is nothing to delete."
    )


@pytest.mark.parametrize(
    ("options", "given", "sentence"),
    [
        (
            [],
            "hunter2",
            (
                "this is no PyPI API token (it does not begin with 'pypi-'); a password cannot be restricted: create "
                "an API token on pypi.org and store that."
            ),
        ),
        ([], "", "nothing was given to store: create an API token on pypi.org and store that."),
        (
            ["-r", "nowhere"],
            "x",
            (
                "'nowhere' is no known repository, known are 'pypi', 'testpypi': correct the name, or add a "
                "[repository.NAME] with its url to {policy}."
            ),
        ),
        (
            ["--account", "a b"],
            "pypi-x",
            (
                "what follows the question mark is no name for an account: use up to 64 letters, digits or any of "
                ". _ @ + -"
            ),
        ),
    ],
)
def test_login_refuses_what_is_no_master(
    options: list[str], given: str, sentence: str, command: Command, stored: str
) -> None:
    """With one sentence; what is stored stays."""
    code, out, err = command("login", *options, stdin=given)
    assert (code, out) == (1, "")
    assert err == f"keyring-pypitoken: {sentence.format(policy=paths.user_policy())}\n"
    assert FileKeyring().passwords() == {(PRIVATE, "default"): stored}


@pytest.mark.usefixtures("stored")
def test_logout_refuses_where_the_store_does(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said to be deleted that is there."""
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "first:delete")
    assert command.refused("logout") == (
        "the keyring backend file_keyring.FileKeyring could not delete the master (KeyringLocked): unlock or repair "
        "it, and try again."
    )


# explain


def test_explain_tells_every_part_and_where_it_comes_from(
    command: Command, project: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without touching the store."""
    monkeypatch.setenv("TEST_KEYRING_BROKEN", "first:get,first:set")
    (project / "pypitoken.toml").write_text(
        'projects = ["demo", "other"]\nclock-skew = "2m"\nnot-after = 2100-01-01T00:00:00Z\n[repository.pypi]\n'
        'account = "work"\nnot-before = 2020-01-01T00:00:00Z\n'
    )
    user_policy("max-valid-for = 300\n")
    code, out, err = command("explain", "dist/other-1.0.tar.gz")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    policy = paths.user_policy()
    assert lines[0] == "An upload to pypi would get a token for other, for 5 minutes."
    assert [line.split(None, 2)[:2] for line in lines[1:3]] == [["repository", "pypi,"], ["account", "work"]]
    assert lines[2].endswith("work (pypitoken.toml:5)")
    assert lines[3].endswith("projects    other (the arguments)")
    assert lines[4].endswith(f"valid for   5 minutes (ceiling of {policy}:1)")
    assert lines[5].endswith("clock skew  from 2 minutes ago on (pypitoken.toml:2)")
    assert lines[6].startswith("  not before  2020-01-01 ")
    assert lines[6].endswith("(pypitoken.toml:6)")
    assert lines[7].endswith("(pypitoken.toml:3)")
    assert lines[8].startswith("  window      from ")
    assert lines[9] == "  policy      pypitoken.toml"
    found = command.json("explain", "dist/other-1.0.tar.gz")
    assert found["granted"] is True
    assert found["repository"] == {"name": "pypi", "url": PYPI, "origin": "default"}
    assert command.json("explain", "-r", PYPI, "other-1.0.zip")["repository"]["origin"] == "--repository"
    assert found["account"] == {"value": "work", "origin": "pypitoken.toml:5"}
    assert found["projects"] == {"value": ["other"], "origin": "the arguments"}
    assert found["valid_for"] == {"value": 300, "origin": f"ceiling of {policy}:1"}
    assert found["clock_skew"] == {"value": 120, "origin": "pypitoken.toml:2"}
    assert found["not_after"] - found["not_before"] == 420
    assert [bound["origin"] for bound in found["bounds"]] == ["pypitoken.toml:6", "pypitoken.toml:3"]
    assert found["policy"] == "pypitoken.toml"


def test_explain_tells_of_a_token_for_any_project(command: Command, user_policy: WritePolicy) -> None:
    """Where the policy allows one."""
    user_policy('unscoped = "allow"\n')
    code, out, _ = command("explain", "--account", "work")
    assert code == 0
    assert "An upload to pypi would get a token for any project, for 15 minutes.\n" in out
    assert "  account     work (--account)\n" in out
    assert "  projects    any project (unscoped)\n" in out
    assert command.json("explain")["projects"] is None


@pytest.mark.usefixtures("project")
def test_explain_tells_the_refusal_that_an_upload_would_get(command: Command, work: Path) -> None:
    """The very sentence of the backend, and exit code 1."""
    (work / "pypitoken.toml").write_text('projects = ["other"]\n')
    sentence = (
        "project 'demo' is not allowed here: pypitoken.toml:1 allows only 'other'; upload it from its own repository, "
        "or add it there (it was named by pyproject.toml)."
    )
    assert command("explain") == (1, f"Refused: {sentence}\n", "")
    assert command.json("explain", code=1) == {"granted": False, "refusal": sentence}
    (work / "pypitoken.toml").write_text("projcts = 1\n")
    assert command.json("explain", code=1)["refusal"].startswith("the policy cannot be followed: 'projcts' is no key")
    assert command.json("explain", "-r", "nowhere", code=1)["refusal"].startswith("'nowhere' is no known repository")


ERRORS = {
    "403 Invalid API Token: token is expired": "expired",
    "HTTPError: 403 Forbidden\nInvalid API Token: project-scoped token is not valid for project: 'demo-x'": "project",
    "403 Invalid API Token: caveat has unknown tag: 7": "unknown",
    "403 Invalid API Token: signatures do not match": "signature",
    "403 Invalid API Token: malformed macaroon": "malformed",
    "403 Invalid or non-existent authentication information. See https://pypi.org/help/#invalid-auth": "credentials",
    "403 The user 'joe' isn't allowed to upload to project 'demo'.": "user",
    "400 File already exists ('demo-1.0.tar.gz')": "exists",
}


@pytest.mark.parametrize(("text", "name"), ERRORS.items(), ids=ERRORS.values())
@pytest.mark.usefixtures("project")
def test_explains_what_pypi_answers(text: str, name: str, command: Command) -> None:
    """What it means, what of this side it depends on, what to do."""
    found = command.json("explain", "--error", text)
    assert found["error"] == name
    assert found["meaning"].endswith(".")
    assert found["remedies"]
    code, out, err = command("explain", "--error", text)
    assert (code, err) == (0, "")
    assert out.startswith(f"{found['meaning']}\n")
    assert all(f"- {remedy}\n" in out for remedy in found["remedies"])


def test_every_answer_of_the_oracle_is_explained(command: Command) -> None:
    """All the reasons in PyPI's verdicts are known."""
    verdicts = json.loads((DATA / "pypi_verdicts.json").read_text("utf-8"))
    reasons = {str(found.get("reason")) for found in _dicts(verdicts) if found.get("reason")} - {"OK", "None"}
    known = [reason for reason in reasons if command("explain", "--error", reason)[0] == 0]
    unknown = reasons - set(known)
    assert len(known) > 3
    assert not [reason for reason in unknown if reason.startswith(("token is", "project-scoped token is not"))]


def _dicts(found: object) -> list[dict[str, object]]:
    if isinstance(found, dict):
        return [found, *(inner for value in found.values() for inner in _dicts(value))]
    return [inner for value in found for inner in _dicts(value)] if isinstance(found, list) else []


@pytest.mark.usefixtures("stored")
def test_an_expired_token_is_explained_by_the_policy_the_clock_and_the_last_one(
    command: Command, project: Path
) -> None:
    """Which line, which window, and by how much the clock may be off."""
    (project / "pypitoken.toml").write_text('valid-for = "10m"\nclock-skew = 30\nnot-after = 2100-01-01T00:00:00Z\n')
    text = "403 Invalid API Token: token is expired"
    facts = [
        (
            "a token works for 10 minutes (valid-for: pypitoken.toml:1), and from 30 seconds before it is derived on "
            "(clock-skew: pypitoken.toml:2)"
        ),
        (
            "so this machine's clock may be at most 10 minutes behind PyPI's, the time of the upload included, and at "
            "most 30 seconds ahead of it"
        ),
        "pypitoken.toml:3 cuts the window",
    ]
    assert command.json("explain", "--error", text)["here"] == facts
    assert command("token")[0] == 0
    *same, last = command.json("explain", "--error", text)["here"]
    assert same == facts
    assert last.startswith("the last token, for demo, was derived ")
    assert "its window lasts for another 9 minutes 5" in last or "its window lasts for another 10 minutes" in last
    (project / "pypitoken.toml").write_text("x = 1\n")
    assert len(command.json("explain", "--error", text)["here"]) == 1


@pytest.mark.usefixtures("stored")
def test_a_window_that_is_over_is_told(command: Command, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By this machine's clock."""
    (project / "pypitoken.toml").write_text("valid-for = 1\n")
    assert command("token")[0] == 0
    later = time.time() + 120
    monkeypatch.setattr(time, "time", lambda: later)
    last = command.json("explain", "--error", "token is expired")["here"][-1]
    assert "was derived 2 minutes" in last
    assert "its window ended 1 minute 59 seconds ago" in last or "its window ended 1 minute 58 seconds ago" in last


@pytest.mark.usefixtures("stored", "project")
def test_a_wrong_project_is_explained_by_the_evidence_and_the_last_token(
    command: Command, user_policy: WritePolicy, work: Path
) -> None:
    """What the file was, what the token was for, what an upload from here would be for."""
    text = "project-scoped token is not valid for project: 'other'"
    assert command("token")[0] == 0
    assert command.json("explain", "--error", text)["here"] == [
        "the file was one of 'other'",
        "the last token, for keyring-pypitoken, was for demo",
        "an upload from here would be for demo (pyproject.toml)",
    ]
    (work / "pyproject.toml").unlink()
    refused = command.json("explain", "--error", "project-scoped token is not valid for project")["here"]
    assert refused[-1].startswith("an upload from here would be refused: nothing tells which project")
    user_policy('unscoped = "allow"\n')
    assert command("token")[0] == 0
    assert command.json("explain", "--error", text)["here"][1:] == [
        "the last token, for keyring-pypitoken, was for any project"
    ]


def test_another_answer_is_not_guessed_at(command: Command) -> None:
    """One sentence says what to give."""
    assert command.refused("explain", "--error", "500 Internal Server Error") == (
        "this is no answer about a token that is known here: quote the line that holds PyPI's reason, such as '403 "
        "Invalid API Token: token is expired'."
    )


# token, exec


def restrictions_of(text: str) -> list[bytes]:
    """Return the project caveat of a derived token."""
    token = Token.load(text.strip())
    assert len(token.raw_caveats) == 2
    return token.raw_caveats[1:]


@pytest.mark.usefixtures("project", "stored")
def test_token_prints_a_derived_token_and_nothing_else(command: Command) -> None:
    """The notice is for people, on stderr."""
    code, out, err = command("token")
    assert code == 0
    assert out.count("\n") == 1
    assert restrictions_of(out) == [b'[1, ["demo"]]']
    assert err.startswith("keyring-pypitoken: derived a token for demo on pypi, valid until ")
    assert err.count("\n") == 1
    _, out, _ = command("token", "dist/other-1.0.tar.gz", "one-1.0-py3-none-any.whl")
    assert restrictions_of(out) == [b'[1, ["one", "other"]]']
    assert [entry.program for entry in read_history()] == ["keyring-pypitoken"] * 2


@pytest.mark.usefixtures("project", "stored")
def test_token_takes_the_account_that_is_stated(command: Command) -> None:
    """And refuses where that one has no master."""
    assert command.refused("token", "--account", "work") == (
        "no master is stored for the account 'work' of pypi (--account): store it with `keyring set "
        "'https://upload.pypi.org/legacy/?work' __token__`, or name another account."
    )
    other = new_master(identifier="of work")
    assert command("login", "--account", "work", stdin=other)[0] == 0
    assert Token.load(command("token", "--account", "work")[1].strip()).identifier == "of work"


def test_token_refuses_as_the_backend_does(command: Command, project: Path, stored: str) -> None:
    """The same sentence; and the one that tells to log in where nothing is stored."""
    (project / "pypitoken.toml").write_text('projects = ["other"]\n')
    assert command.refused("token").startswith("project 'demo' is not allowed here: ")
    assert command("logout")[0] == 0
    (project / "pypitoken.toml").unlink()
    assert command.refused("token") == (
        "no master is stored for pypi: store one with `keyring-pypitoken login -r pypi`."
    )
    assert stored not in FileKeyring().passwords().values()


@pytest.mark.usefixtures("project", "stored")
def test_github_is_told_to_mask_the_token(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr, as by the backend."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    _, out, err = command("token")
    assert err.splitlines()[1] == f"::add-mask::{out.strip()}"


SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.mark.usefixtures("stored")
def test_exec_gives_every_tool_a_derived_token(run: Run, project: Path) -> None:
    """In the variables that each reads; what would send it elsewhere is taken out."""
    done = run(
        *("keyring_pypitoken", "exec", "--", sys.executable, "-c", SHOW),
        UV_PUBLISH_USERNAME="joe",
        TWINE_REPOSITORY_URL="https://evil.example/",
        TWINE_PASSWORD="hunter2",
        OTHER="kept",
    )
    assert done.returncode == 0, done.stderr
    environ = json.loads(done.stdout)
    assert environ["OTHER"] == "kept"
    assert "UV_PUBLISH_USERNAME" not in environ
    assert "TWINE_REPOSITORY_URL" not in environ
    tokens = {
        environ[name]
        for name in ("TWINE_PASSWORD", "UV_PUBLISH_TOKEN", "FLIT_PASSWORD", "HATCH_INDEX_AUTH", "PDM_PUBLISH_PASSWORD",
                     "MATURIN_PYPI_TOKEN", "POETRY_PYPI_TOKEN_PYPI")
    }  # fmt: skip
    (token,) = tokens
    assert restrictions_of(token) == [b'[1, ["demo"]]']
    users = {environ[name] for name in ("TWINE_USERNAME", "FLIT_USERNAME", "HATCH_INDEX_USER", "PDM_PUBLISH_USERNAME")}
    assert users == {TOKEN}
    assert token not in "".join(path.read_text(errors="replace") for path in project.rglob("*") if path.is_file())


def test_exec_sends_another_index_its_own_token(run: Run, project: Path) -> None:
    """The tools are told the URL, since they would send it to PyPI."""
    url = "https://test.pypi.org/legacy/"
    keyring.set_password(url, TOKEN, new_master("test.pypi.org"))
    done = run("keyring_pypitoken", "exec", "-r", "testpypi", "--", sys.executable, "-c", SHOW, cwd=project)
    environ = json.loads(done.stdout)
    assert {environ[name] for name in grants._URL_VARIABLES} == {url}
    assert Token.load(environ["POETRY_PYPI_TOKEN_TESTPYPI"]).domain == "test.pypi.org"


@pytest.mark.usefixtures("project", "stored")
def test_exec_reads_the_files_of_the_command(run: Run, work: Path) -> None:
    """Unless files are named before it."""
    (work / "pypitoken.toml").write_text('projects = ["one", "two"]\n')
    show = (sys.executable, "-c", "import os; print(os.environ['TWINE_PASSWORD'])", "dist/one-1.0.tar.gz")
    done = run("keyring_pypitoken", "exec", "--", *show)
    assert restrictions_of(done.stdout) == [b'[1, ["one"]]']
    done = run("keyring_pypitoken", "exec", "dist/two-1.0.zip", "--", *show)
    assert restrictions_of(done.stdout) == [b'[1, ["two"]]']


@pytest.mark.usefixtures("project", "stored")
def test_exec_ends_as_its_command_does(run: Run) -> None:
    """The exit code is the command's; and nothing is run where there is no token."""
    assert run("keyring_pypitoken", "exec", "--", sys.executable, "-c", "raise SystemExit(7)").returncode == 7
    done = run("keyring_pypitoken", "exec", "-r", "testpypi", "--", sys.executable, "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "keyring-pypitoken: no master is stored for testpypi: store one with `keyring-pypitoken login -r testpypi`.\n"
    )


@pytest.mark.skipif(os.name != "posix", reason="elsewhere there are no such signals")
@pytest.mark.usefixtures("project", "stored")
def test_exec_passes_signals_on(run: Run) -> None:
    """It becomes the command, and so there is nothing between the two."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert run("keyring_pypitoken", "exec", "--", sys.executable, "-c", code).returncode == -15


@pytest.mark.usefixtures("project", "stored")
def test_exec_tells_that_there_is_no_such_program(command: Command) -> None:
    """One sentence, before anything is derived."""
    assert command.refused("exec", "--", "no-such-program", "x") == (
        "there is no program 'no-such-program' on PATH: install it, or correct its name."
    )
    assert read_history() == []


@pytest.mark.parametrize(("options", "projects"), [([], ("demo",)), (["-r", "testpypi", "one-1.0.zip"], ("one",))])
@pytest.mark.usefixtures("project", "stored")
def test_where_a_process_cannot_become_another_exec_waits(
    options: list[str], projects: tuple[str, ...], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where Ctrl-C reaches both, and the command decides what becomes of it."""
    import subprocess

    became: list[tuple[str, list[str]]] = []

    def become(program: str, arguments: list[str], environ: dict[str, str]) -> None:
        assert restrictions_of(environ["TWINE_PASSWORD"])
        became.append((program, arguments))

    monkeypatch.setattr(os, "execve", become, raising=False)
    wait = subprocess.Popen.wait
    interrupts = [KeyboardInterrupt]

    def interrupted(child: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if interrupts:
            raise interrupts.pop()
        return wait(child, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    words = [sys.executable, "-c", "raise SystemExit(3)"]
    keyring.set_password("https://test.pypi.org/legacy/", TOKEN, new_master("test.pypi.org"))
    assert command("exec", *options, "--", *words)[0] == 3
    assert became in ([], [(sys.executable, words)])
    assert interrupts == []
    assert [entry.projects for entry in read_history()] == [projects]


# restrict, inspect


@pytest.mark.parametrize(
    ("options", "caveats"),
    [
        (["--project", "My.Demo", "--project", "b"], [b'[1, ["b", "my-demo"]]']),
        (["--project-id", "00000000-0000-0000-0000-00000000000a"], [b'[2, ["00000000-0000-0000-0000-00000000000a"]]']),
        (["--user-id", "00000000-0000-0000-0000-00000000000b"], [b'[3, "00000000-0000-0000-0000-00000000000b"]']),
        (["--not-before", "100", "--not-after", "200"], [b"[0, 200, 100]"]),
        (["--not-before", "1970-01-01T00:01:40Z", "--not-after", "1970-01-01T01:03:20+01:00"], [b"[0, 200, 100]"]),
        (["--legacy-noop"], [LegacyNoopRestriction().dump_json().encode()]),
        (["--legacy-project", "demo"], [b'{"version": 1, "permissions": {"projects": ["demo"]}}']),
        (["--legacy-not-before", "1", "--legacy-not-after", "2"], [b'{"nbf": 1, "exp": 2}']),
    ],
)
def test_restrict_knows_every_restriction_of_the_library(
    options: list[str], caveats: list[bytes], command: Command
) -> None:
    """One line instead of the tutorial's script."""
    code, out, err = command("restrict", *options, stdin=new_master() + "\n")
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = Token.load(out.strip()).raw_caveats
    assert [sorted(caveat) for caveat in found] == [sorted(caveat) for caveat in caveats]


@pytest.mark.parametrize(
    ("options", "begins", "ends"),
    [
        (["--valid-for", "1h30m"], -60, 5400),
        (["--valid-for", "90s", "--not-before", "0"], None, 90),
        (["--not-after", "9999999999"], -60, None),
    ],
)
def test_restrict_completes_a_window(
    options: list[str], begins: int | None, ends: int | None, command: Command
) -> None:
    """PyPI knows windows with both ends only."""
    before = int(time.time())
    _, out, _ = command("restrict", *options, stdin=new_master())
    (raw,) = Token.load(out.strip()).raw_caveats
    _, not_after, not_before = json.loads(raw)
    after = int(time.time())
    assert not_before == 0 if begins is None else before + begins <= not_before <= after + begins
    assert not_after == 9_999_999_999 if ends is None else before + ends <= not_after <= after + ends


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "no restriction was given: see `keyring-pypitoken restrict --help`."),
        (["--not-before", "1"], "--not-before needs an end beside it: add --not-after or --valid-for."),
        (
            ["--valid-for", "1h", "--not-after", "9"],
            "--valid-for and --not-after both say when the token ends: leave one of them out.",
        ),
        (
            ["--valid-for", "soon"],
            (
                "--valid-for is 'soon', expected a length of time of at most 3650 days such as "
                '"90s", "15m", "1h30m" or "2d", or whole seconds.'
            ),
        ),
        *(
            (
                ["--not-after", text],
                (
                    f"--not-after is '{text}', expected a date and time with its offset, such as "
                    "2026-01-31T18:00:00Z, or Unix seconds."
                ),
            )
            for text in ("2030-01-01", "tomorrow")
        ),
    ],
)
def test_restrict_refuses_what_is_no_restriction(options: list[str], sentence: str, command: Command) -> None:
    """With one sentence, and no token on stdout."""
    assert command.refused("restrict", *options, stdin=new_master()) == sentence


def test_restrict_and_inspect_refuse_what_is_no_token(command: Command) -> None:
    """The library's sentence, without a part of what was given."""
    for words in (("restrict", "--project", "demo"), ("inspect",)):
        sentence = command.refused(*words, stdin="pypi-hunter2hunter2")
        assert "hunter2" not in sentence


@pytest.mark.parametrize(("offset", "state"), [(-1000, "Expired "), (500, "Valid for another "), (None, None)])
def test_inspect_tells_what_a_token_can_do(offset: int | None, state: str | None, command: Command) -> None:
    """Location, identifier, and every caveat with its meaning; times as they are here; what cannot be known."""
    token = Token.load(new_master())
    token.restrict(project_names=["demo"])
    if offset is not None:
        token.restrict(not_before=1, not_after=int(time.time()) + offset)
    code, out, err = command("inspect", stdin=token.dump())
    assert (code, err) == (0, "")
    lines = out.splitlines()
    if state is not None:
        assert lines.pop(0).startswith(state)
        assert any("; here that is from 1970-01-01 " in line for line in lines)
    assert lines[:5] == [
        "location    pypi.org",
        f"identifier  {token.identifier}",
        "format      macaroon version 2",
        "Restrictions:",
        "  1  only uploads of the project 'demo'",
    ]
    assert lines[-1] == "PyPI may apply further restrictions that are not visible in the token."
    assert "signature" not in out
    found = command.json("inspect", stdin=token.dump())
    assert (found["location"], found["identifier"]) == ("pypi.org", token.identifier)
    assert len(found["caveats"]) == len(token.raw_caveats)


def test_inspect_shows_years_that_no_calendar_has(command: Command) -> None:
    """As Unix seconds."""
    token = Token.load(new_master())
    token.restrict(not_before=1, not_after=10**18)
    _, out, _ = command("inspect", stdin=token.dump())
    assert out.count("until the Unix second 1000000000000000000") == 2


def test_inspect_of_a_master_says_that_nothing_can_be_seen(command: Command) -> None:
    """Which is no proof."""
    _, out, _ = command("inspect", stdin=new_master())
    assert "No restriction can be seen in it.\nPyPI may apply further restrictions" in out


# history


@pytest.mark.usefixtures("project", "stored")
def test_history_tells_what_was_derived(command: Command, work: Path) -> None:
    """The latest ones, the oldest of them first, and never a token."""
    assert command("history") == (
        0,
        "No token was derived yet on this machine, or the policies say history = false.\n",
        "",
    )
    assert command.json("history") == []
    tokens = [command("token")[1].strip()]
    (work / "pypitoken.toml").write_text('valid-for = 90\naccount = "work"\n')
    assert command("login", "--account", "work", stdin=new_master())[0] == 0
    tokens.append(command("token", "other-1.0.zip")[1].strip())
    code, out, err = command("history")
    assert (code, err) == (0, "")
    assert [line[21:] for line in out.splitlines()] == [
        "pypi: demo, for 15 minutes, by keyring-pypitoken",
        f"pypi (work): other, for 1 minute 30 seconds, by keyring-pypitoken, under {work / 'pypitoken.toml'}",
    ]
    assert len(command("history", "-n", "1")[1].splitlines()) == 1
    found = command.json("history")
    assert [(entry["projects"], entry["account"], entry["repository"]) for entry in found] == [
        (["demo"], "default", "pypi"),
        (["other"], "work", "pypi"),
    ]
    assert not [token for token in tokens if token in out + json.dumps(found)]


def test_history_tells_of_a_token_for_any_project(
    command: Command, user_policy: WritePolicy, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of a program without a name."""
    assert stored
    user_policy('unscoped = "allow"\n')
    forget()
    monkeypatch.setattr(sys, "argv", [""])
    assert keyring.get_password(PYPI, TOKEN) is not None
    assert command("history")[1].endswith("  pypi: any project, for 15 minutes, by a program without a name\n")


def test_history_wants_a_number_that_makes_sense(command: Command) -> None:
    """One at least."""
    assert command.refused("history", "-n", "0") == "--number is 0, expected at least 1."


# The screen


class Terminal(io.StringIO):
    """A stdout that is a terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
@pytest.mark.usefixtures("project")
def test_a_terminal_gets_colour_and_its_own_width(
    environ: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict alone is coloured; no line is longer than the terminal."""
    for name in ("NO_COLOR", *environ):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**environ, "COLUMNS": "60"}.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["explain"]) == 0
    shown = terminal.getvalue()
    verdict = "An upload to pypi would get a token for demo, for 15\nminutes."
    assert shown.startswith(f"\x1b[32m{verdict}\x1b[0m\n" if coloured else f"{verdict}\n")
    assert shown.count("\x1b[32m") == int(coloured)
    assert all(len(line.replace("\x1b[32m", "").replace("\x1b[0m", "")) <= 60 for line in shown.splitlines())


def test_a_paragraph_without_words_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty text ends as one empty line on a terminal."""
    from keyring_pypitoken.cli.output import say, table

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    say("")
    table([("name", "")])
    table([])
    assert terminal.getvalue() == "\n  name\n"


def test_a_secret_is_asked_for_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal."""
    import getpass

    from keyring_pypitoken.cli.output import read_secret

    asked: list[str] = []
    answer: Callable[[str], str] = lambda prompt: asked.append(prompt) or "secret"  # type: ignore[func-returns-value]  # noqa: E731 - append returns None
    monkeypatch.setattr(getpass, "getpass", answer)
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert read_secret("API token") == "secret"
    assert asked == ["API token: "]
