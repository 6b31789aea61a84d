"""The pages in `.github/docs` are true: links lead somewhere, commands parse and run, made parts are up to date."""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from distributions import make_wheel
from environments import REQUIREMENTS
from layers import LAYERS, PACKAGE
from make_docs import DOCS, anchors, render
from sandbox import ROOT, STORES, Command, Run, WritePolicy, new_master, write_program

from keyring_pypitoken import ProjectNamesRestriction, Token, notices
from keyring_pypitoken.cli import main as cli
from keyring_pypitoken.names import InvalidNameError, normalize_valid
from keyring_pypitoken.policy import decision
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.uploaders.uploader import all_uploaders

if TYPE_CHECKING:
    from keyring_pypitoken.policy.model import Layer

CONTRIBUTING = (DOCS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
POSIX = pytest.mark.skipif(os.name != "posix", reason="the lines are typed into a POSIX shell")


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[str]:
    """Return the lines that begin with a dollar."""
    return [line[2:] for block in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]


def inline(page: str) -> list[str]:
    """Return the code in the sentences of a page."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", PAGES[page], flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_made_parts_are_those_of_a_fresh_run(page: str) -> None:
    assert PAGES[page] == render(PAGES[page]), "run `python tests/support/make_docs.py`"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_begins_with_what_it_is_for(page: str) -> None:
    assert re.match(r"# \w[^\n]+\n\n[A-Z][^#`]*?\.", PAGES[page])


def test_the_index_lists_every_page() -> None:
    assert set(re.findall(r"^\| \[(\S+\.md)\]", PAGES["README.md"], re.MULTILINE)) == PAGES.keys() - {"README.md"}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[page]):
        name, _, anchor = link.partition("#")
        target = DOCS / (name or page)
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_lines_to_install_are_those_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [
        line for page in PAGES for line in commands(page) if re.search(r"\b(install|inject)\b.*keyring-pypi", line)
    ]
    assert len(lines) > 3
    assert [line for line in lines if line not in readme] == []


def test_every_uploader_has_its_section_and_its_version() -> None:
    page = PAGES["uploaders.md"]
    sections = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert {uploader.name for uploader in all_uploaders()} <= set(sections)
    for uploader in all_uploaders():
        assert f"\n| [{uploader.name}](#{uploader.name}) | {REQUIREMENTS[uploader.name][0].partition('==')[2]}" in page


@pytest.mark.parametrize("page", PAGES)
def test_each_command_is_one_that_the_parser_takes(page: str) -> None:
    lines = [*commands(page), *(code for code in inline(page) if re.match("keyring-pypitoken [a-z]", code))]
    for line in lines:
        words = shlex.split(line.replace("$(", " ").replace(")", " "))
        installs = {"install", "inject"} & {*words}
        for at in [at for at, word in enumerate(words) if word == "keyring-pypitoken" and not installs]:
            rest = words[at + 1 :]
            ours = rest[: rest.index("|")] if "|" in rest else rest
            assert cli._parse(["exec", "--", "maturin", "publish"] if ours == ["exec"] else ours), line


@pytest.mark.parametrize("page", PAGES)
def test_names_of_options_variables_and_subcommands_exist(page: str) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    names = set(re.findall(r"KEYRING_PYPITOKEN_\w+", PAGES[page]))
    names |= {code for code in inline(page) if re.fullmatch(r"pypitoken\.[a-z.]+|masters\.age|--master-stdin", code)}
    schemas = {path.name for path in PACKAGE.rglob("*.json")}
    assert [name for name in names if name not in source and name not in schemas] == []


@pytest.mark.parametrize("page", PAGES)
def test_each_policy_can_be_followed(page: str) -> None:
    texts = [code for code in inline(page) if re.match("(?!username|command)[a-z-]+ = ", code)]
    for text in [*blocks(page, "toml"), *texts]:
        is_project = text in blocks("policy.md", "toml") and text.startswith("projects = ")
        layer: Layer = "project" if is_project else "user"
        assert parse_policy(text, layer=layer, name=page) is not None, text


def test_the_parts_of_auto_are_the_programs() -> None:
    assert decision._AUTO_FACTOR == 4
    assert (
        '`"auto"` is four times what the files take at 5 Mbit/s, '
        f"plus {decision._AUTO_PER_FILE} seconds a file and {decision._AUTO_RESERVE // 60} minutes: "
        f"at least {decision._AUTO_MINIMUM // 60} minutes, at most `max-valid-for`, "
        f"and {decision.DEFAULT_VALID_FOR // 60} minutes if the files are not known."
    ) in " ".join(PAGES["policy.md"].split())


def test_the_library_works_as_shown() -> None:
    code = "".join(blocks("library.md", "python"))
    test = doctest.DocTestParser().get_doctest(code, {}, "library.md", None, None)
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS)
    assert runner.run(test).failed == 0
    assert runner.tries > 8


def test_documents_have_the_keys_that_are_listed(run: Run, work: Path) -> None:
    section = PAGES["command.md"].split("## JSON\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `([a-z -]+)` \| (.*) \|$", section, re.MULTILINE))
    shown = re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", PAGES["command.md"], re.DOTALL | re.MULTILINE)
    assert rows.keys() == {name for name, text in shown if "`--json`" in text}
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    assert run("keyring_pypitoken", "login", stdin=new_master()).returncode == 0
    assert run("keyring_pypitoken", "token").returncode == 0
    for command, listed in rows.items():
        document = json.loads(run("keyring_pypitoken", command, "--json", stdin=new_master()).stdout)
        keys = set(document[0] if isinstance(document, list) else document)
        assert keys == set(re.findall("`([a-z_]+)`", listed)) - ({"refusal"} if command == "explain" else set())


# What we refuse, and where that is explained


def sentences(node: ast.AST) -> str:
    """Return a text of the source as it is read, with braces for what is put in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(sentences, node.values))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "{}"


def test_each_refusal_that_is_explained_is_in_the_source() -> None:
    nodes = (node for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    source = "\n".join(map(sentences, nodes))
    rows = re.findall(r"^\| (`.*?) \| ", PAGES["troubleshooting.md"].split("## What PyPI answers")[0], re.MULTILINE)
    phrases = [phrase.strip("` ") for row in rows for phrase in row.split("<br>")]
    assert len(phrases) > 100
    assert [phrase for phrase in phrases if phrase not in source] == []


def test_only_a_terminal_is_shown_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stderr in (None, io.StringIO(), screen := Screen()):
        monkeypatch.setattr(sys, "stderr", stderr)
        notices.name_page()
        assert stderr is None or stderr is screen or stderr.getvalue() == ""
    assert screen.getvalue() == f"keyring-pypitoken: see\n{notices.DOCS}troubleshooting.md\n"


def test_keyring_lists_this_package_as_shown(run: Run) -> None:
    (line,) = re.findall(r"^\$ keyring --list-backends\n(.*)", PAGES["troubleshooting.md"], re.MULTILINE)
    assert f"{line}\n" in run("keyring", "--list-backends").stdout


def test_the_help_and_a_status_with_problems_name_the_documentation(command: Command) -> None:
    assert notices.DOCS.rstrip("/").replace("/blob/", "/tree/") in cli.build_parser().format_help()
    assert command("status")[1].splitlines()[-1] == f"More: {notices.DOCS}troubleshooting.md"


@POSIX
@pytest.mark.parametrize(
    "words", [["keyring_pypitoken", "token"], ["keyring", "get", "https://upload.pypi.org/legacy/", "__token__"]]
)
def test_a_refusal_on_a_terminal_names_its_page(words: list[str], run: Run, work: Path) -> None:
    import pexpect

    assert run("keyring_pypitoken", "login", stdin=new_master()).returncode == 0
    (work / "pypitoken.toml").write_text("valid-for = 0\n")
    environ = {**os.environ, "PYTHONPATH": str(STORES), "TERM": "xterm", "COLUMNS": "1000"}
    child = pexpect.spawn(
        sys.executable, ["-m", *words], cwd=work, env=environ, encoding="utf-8", dimensions=(24, 1000)
    )
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, (child.before or "").splitlines()) == (
        1,
        [
            (
                "keyring-pypitoken: the policy cannot be followed: pypitoken.toml:1: valid-for is 0, expected at "
                "least one second; correct it there."
            ),
            f"keyring-pypitoken: see {notices.DOCS}troubleshooting.md",
        ],
    )


# Who carries it on


def test_contributing_lists_every_part_and_none_is_larger_than_it_says() -> None:
    rows = re.findall(r"^\| (`.+`) \| ([0-9,]+) \|", CONTRIBUTING, re.MULTILINE)
    listed = [name for names, _ in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(listed) == sorted({"__init__", "__main__"}.union(*LAYERS))
    for names, most in rows:
        parts = [PACKAGE / name for name in re.findall(r"`(\w+)`", names)]
        files = [
            file for part in parts for file in ([*part.glob("*.py")] if part.is_dir() else [part.with_suffix(".py")])
        ]
        assert sum(len(file.read_bytes().splitlines()) for file in files) <= int(most.replace(",", "")), names


def test_contributing_names_files_and_names_that_exist() -> None:
    text = CONTRIBUTING.partition("## The package")[2].partition("## Read these")[0].replace("NAME", "twine")
    for path in re.findall(r"`([\w./-]+(?:/|\.(?:py|md|json|toml)))`", text):
        assert any((base / path).exists() for base in (PACKAGE, ROOT, DOCS.parent, ROOT / "tests" / "uploaders")), path
    for name, path in re.findall(r"`([A-Z_]{4,})`[^.;]*? (?:of|in) `([\w./]+\.py)`", text):
        base = PACKAGE if (PACKAGE / path).exists() else ROOT if (ROOT / path).exists() else ROOT / "tests/uploaders"
        assert re.search(rf"^{name}\b", (base / path).read_text(encoding="utf-8"), re.MULTILINE), name


# Lines that are run


@pytest.fixture
def shell(run: Run, work: Path, home: Path, user_policy: WritePolicy) -> dict[str, str]:
    """Return the environment of a shell with the command, and with programs that write down what they are given."""
    (work / "pyproject.toml").write_text('[project]\nname = "my-project"\n')
    make_wheel(work / "dist", "my-project", "1.0")
    user_policy('max-token-valid-for = "7d"\n')
    assert run("keyring_pypitoken", "login", stdin=new_master()).returncode == 0
    programs = home / "programs"
    programs.mkdir()
    write_program(programs / "keyring-pypitoken", sys.executable, "-m", "keyring_pypitoken")
    write_program(programs / "glab", "sh", "-c", 'echo "$*" > glab; cat > given', "glab")
    write_program(programs / "twine", "sh", "-c", 'env > environment; printf %s "$TWINE_PASSWORD" > given', "twine")
    return {**os.environ, "PATH": f"{programs}:/usr/bin:/bin", "PYTHONPATH": str(STORES)}


def typed(line: str, environ: dict[str, str], work: Path) -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=work, env=environ, input="", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def days(token: str) -> tuple[list[str], int]:
    """Return the projects of a token, and for how many days it was made; its clock skew is a minute."""
    dates, names = (restriction.dump() for restriction in Token.load(token).restrictions)
    return names[1], (dates[1] - dates[2] - decision.DEFAULT_CLOCK_SKEW) // 86_400  # type: ignore[index]  # lists


@POSIX
def test_a_ci_gets_a_token_for_one_project_and_seven_days(shell: dict[str, str], work: Path) -> None:
    make, to_gitlab, *_ = commands("ci.md")
    assert days(typed(make, shell, work).strip()) == (["my-project"], 7)
    typed(to_gitlab, shell, work)
    assert (work / "glab").read_text() == "variable set PYPI_TOKEN --masked --protected --scope release\n"
    assert days((work / "given").read_text()) == (["my-project"], 7)  # in one line, which GitLab wants to mask it
    history = json.loads(typed("keyring-pypitoken history --json", shell, work))
    assert [entry["note"] for entry in history] == ["GitLab, release 1.4", "GitLab"]


@POSIX
def test_a_master_from_a_variable_does_not_reach_the_uploader(shell: dict[str, str], work: Path) -> None:
    run_twine, hand_on = commands("ci.md")[2:]
    master = new_master()
    typed(run_twine, shell | {"PYPI_MASTER": master}, work)
    assert days((work / "given").read_text())[0] == ["my-project"]
    assert master not in (work / "environment").read_text()
    assert days(typed(hand_on, shell | {"PYPI_MASTER": master}, work).strip()) == (["my-project"], 0)


@POSIX
def test_jobs_hand_their_secret_to_twine(shell: dict[str, str], work: Path) -> None:
    (yaml,), (groovy,) = blocks("ci.md", "yaml"), blocks("ci.md", "groovy")
    in_gitlab = re.search(r"- (TWINE.*)", yaml)
    in_jenkins = re.search(r"sh '(.*)'", groovy)
    assert in_gitlab is not None
    assert in_jenkins is not None
    for line in (in_gitlab[1], in_jenkins[1]):
        typed(line, shell | {"PYPI_TOKEN": "pypi-given", "TWINE_PASSWORD": "pypi-given"}, work)
        assert (work / "given").read_text() == "pypi-given"
        assert "TWINE_USERNAME=__token__\n" in (work / "environment").read_text()


@POSIX
@pytest.mark.skipif(shutil.which("jq") is None, reason="the recipe needs jq")
def test_a_docker_helper_answers(
    command: Command, work: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "my-project"\n')
    (recipe,) = [text for text in blocks("stores.md", "toml") if "docker-credential-" in text]
    user_policy(recipe)
    answer = json.dumps(
        {"ServerURL": "https://upload.pypi.org/legacy/", "Username": "__token__", "Secret": new_master()}
    )
    helper = (
        f'test "$(cat)" = https://upload.pypi.org/legacy/ && test "$1" = get && printf \'%s\\n\' {shlex.quote(answer)}'
    )
    programs = Path(os.environ["TEST_KEYRING_DIRECTORY"])  # where a master may be in a file

    write_program(programs / "docker-credential-secretservice", "sh", "-c", helper, "helper")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    code, out, _ = command("token")
    assert (code, days(out.strip())[0]) == (0, ["my-project"])


@POSIX
def test_another_machine_makes_the_token(
    shell: dict[str, str], work: Path, home: Path, tmp_path: Path, user_policy: WritePolicy
) -> None:
    """In place of ssh: the words are joined, and a shell reads them in another environment, as sshd does it."""
    (recipe,) = [text for text in blocks("stores.md", "toml") if '"ssh"' in text]
    laptop = tmp_path / "laptop"
    (store := home / "keyrings" / "laptop").mkdir()  # where a master may be in a file
    laptop.mkdir()
    there = {name: shell[name] for name in ("PATH", "PYTHONPATH")}
    there |= {"HOME": str(laptop), "TEST_KEYRING_DIRECTORY": str(store)}
    typed(f"echo {new_master()} | keyring-pypitoken login", there, laptop)
    variables = [f"{name}={value}" for name, value in there.items()]
    write_program(home / "programs" / "ssh", "env", "-i", *variables, "sh", "-c", 'shift; exec sh -c "$*"', "ssh")
    user_policy(recipe)
    token = Token.load(typed("keyring-pypitoken token --project One.Project,two", shell, work))
    assert token.restrictions[1::2] == [ProjectNamesRestriction(["one-project", "two"])] * 2
    for environ, directory in ((shell, work), (there, laptop)):
        (entry,) = json.loads(typed("keyring-pypitoken history --json", environ, directory))
        assert entry["projects"] == ["one-project", "two"]
    (work / "pyproject.toml").write_text('[project]\nname = "a;touch x"\n')
    make_wheel(work, "a$(touch x)", "1.0")
    for words in ("", "--project 'a;touch x'", "--project 'a,b\ntouch x'", "*.whl"):
        line = f"! keyring-pypitoken token {words} && ! KEYRING_PYPITOKEN_PROJECT='a;touch x' keyring-pypitoken token"
        assert typed(line, shell, work) == ""
    assert list(tmp_path.rglob("x")) == []


def test_no_project_name_is_more_than_a_word_to_a_shell() -> None:
    for character in map(chr, range(0x500)):
        for name in (f"a{character}b", f"a{character}", f"{character}a"):
            with contextlib.suppress(InvalidNameError):
                assert re.fullmatch("[a-z0-9][a-z0-9-]*", normalize_valid(name))


@POSIX
def test_a_container_gets_a_token(shell: dict[str, str], work: Path, home: Path) -> None:
    (line,) = [line for line in commands("stores.md") if "docker" in line]
    write_program(home / "programs" / "docker", "sh", "-c", 'printf %s "$TWINE_PASSWORD" > given; echo "$*"', "docker")
    words = typed(line, shell, work)
    assert words.startswith("run --rm -e TWINE_USERNAME -e TWINE_PASSWORD -v ")
    assert "pypi-" not in words
    assert days((work / "given").read_text()) == (["my-project"], 0)


def test_the_recipe_for_pass_is_the_one_that_is_tried_with_pass() -> None:
    (recipe,) = re.findall(r'^command = \[("pass".*)\]$', PAGES["stores.md"], re.MULTILINE)
    tried = (ROOT / "tests" / "vault" / "test_command_store.py").read_text(encoding="utf-8")
    assert f"CommandStore(({recipe})" in tried


@POSIX
def test_explain_prints_what_is_shown(shell: dict[str, str], work: Path, home: Path) -> None:
    shutil.rmtree(home / "config")  # no policy
    (shown,) = [block for block in blocks("command.md", "console") if "An upload to pypi" in block]
    line, _, output = shown.removeprefix("$ ").partition("\n")
    expected, printed = (
        re.sub(r"from \S+ \S+ \S+ until \S+ \S+ \S+", "now", text) for text in (output, typed(line, shell, work))
    )
    assert expected.strip() == printed.strip()
