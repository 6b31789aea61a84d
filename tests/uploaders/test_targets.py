"""Where a command line uploads to, whom it asks keyring for, and what is said of it.

That this is what the uploaders do is shown by `test_parsers_*`, with the uploaders themselves.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from checkout_choices import CHOICES, OWN_CHOICES
from sandbox import make_link

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI
from keyring_pypitoken.uploaders import options, uv
from keyring_pypitoken.uploaders.evidence import find_evidence
from keyring_pypitoken.uploaders.settings import DEFAULT, Source
from keyring_pypitoken.uploaders.uploader import STOP, Address, Process, Target, Uploader, check_checkout, find_uploader

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Process]

URL, TEST = PYPI.url, TESTPYPI.url
TOKEN = "__token__"
PYPIRC = """[distutils]
index-servers = pypi testpypi local secret bare old odd
[pypi]
username = __token__
[server-login]
username = login
[local]
repository = http://upload.pypi.org/legacy/
username = me
[secret]
repository = https://b.example/
username = __token__
password = hunter2
[bare]
password = x
[old]
repository = https://pypi.python.org/pypi
[odd]
repository = https://[
username = x
[note]
repository = http://a.example/x ; note
"""
# What each file holds, from the user's home directory; `work` is the checkout.
FILES = {
    "work/c.toml": 'publish-url = "https://c"\n',
    "work/uv.toml": f'[[index]]\nname = "t"\npublish-url = "{TEST}"\n[[index]]\nname = "bare"\n',
    "work/poetry.toml": (
        '[repositories]\nx.url = "https://x/legacy"\nbad.url = "x"\ny.url = "https://y/"\nhole.url = "{repositories}"\n'
        "[http-basic.y]\npassword = 'p'\n"
    ),
    "work/pyproject.toml": '[project]\nname = "My.Pkg"\n[[tool.poetry.source]]\nname = "s"\nurl = "https://s/"\n',
    "config/pdm/config.toml": (
        '[repository]\na = {url = "https://a.example/", username = "bob"}\nlist = []\n'
        '[repository.site]\nusername = "carol"\n[repository.half]\npassword = "secret"\n'
    ),
    "site/pdm/config.toml": (
        '[repository.site]\nurl = "https://site.example/"\n[repository.other]\nurl = "https://other.example/"\n'
    ),
    "work/pdm.toml": '[repository.half]\nurl = "https://half.example/"\n[repository.pypi]\nusername = "__token__"\n',
    "work/other.toml": '[repository.pypi]\nurl = "https://a.example/"\n',
    "config/hatch/config.toml": (
        '[publish.index.repos]\na = "https://a.example/"\nb.url = "https://b.example/"\nmain.url = "https://b.example/"\n'
        'c = {url = "https://c.example/", user = "carol", auth = "secret"}\n'
    ),
    "work/h.toml": f'[publish.index]\nrepo = "test"\nuser = "bob"\nauth = "secret"\nrepos.test.user = "{TOKEN}"\n',
    "work/broken.toml": "broken text",
    ".pypirc": PYPIRC,
    **dict.fromkeys(("work/login", "work/RC", "work/-rc"), "[server-login]\npassword = x\n"),
}


# Where Windows has what FILES have in the directories of XDG.
WINDOWS = {
    "config/pdm": "local/pdm/pdm",
    "site/pdm": "common/pdm/pdm",
    "config/hatch": "local/hatch",
    "config/pypoetry": "roaming/pypoetry",
    "config/uv": "roaming/uv",
}


def here(text: str) -> str:
    """Return a path, or a sentence with paths, as it is on this system."""
    for directory, place in WINDOWS.items() if os.name == "nt" else ():
        text = text.replace(directory, place)
    return re.sub(r"(?:\.\./|nameless/|dist/)[\w/.*]+", lambda path: os.path.normpath(path[0]), text)


def write(file: Path, text: str = "") -> Path:
    """Write a file and the directories above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def make(home: Path, work: Path) -> Make:
    """Return a function that makes a process of a line; variables come first in it."""
    program = write(home / "bin" / ("keyring.exe" if os.name == "nt" else "keyring"))
    program.chmod(0o700)

    def make(line: str, directory: Path = work, *, is_parent: bool = False) -> Process:
        words = shlex.split(line)
        environ = {**os.environ, "PATH": str(program.parent), "UV_NO_SYSTEM_CONFIG": "1"}
        while "=" in words[0]:
            name, _, environ[name] = words.pop(0).partition("=")
        return Process(words[0], tuple(words[1:]), directory, environ, is_parent)

    return make


@pytest.fixture
def files(home: Path) -> None:
    """Write the settings of the user and of the checkout."""
    for name, text in FILES.items():
        write(home / here(name), text)


def uploader(name: str) -> Uploader:
    one = find_uploader(name)
    assert one is not None
    return one


def refusal(ask: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refused:
        ask()
    return str(refused.value)


UPLOADING = (
    *("twine upload x", "twine --no-color upload x", "twine register x", "flit publish", "flit --debug -fx publish"),
    *("devpi push a==1 pypi:pypi", "maturin upload x.whl", "maturin publish", "uv publish", "uv --directory x publish"),
    *("poetry publish", "hatch -v publish -n", "pdm publish", "pdm -c publish publish --no-build"),
)
OTHERS = (
    *("twine check x", "twine upload -sh x", "twine --version upload x", "twine", "flit --logo publish"),
    *("devpi push a==1 root/dev", "devpi push a==1", "devpi upload a==1 pypi:pypi", "maturin upload -r x.whl", "hatch"),
    *("uv publish --dry-run", "uv pip install publish", "uv", "poetry publish --dry-run", "poetry publish extra"),
    *("pdm -c publish build", "pdm --pep582 publish", "poetry config pypi-token.pypi --unset"),
)
SAVING = ("poetry config pypi-token.pypi x", "poetry config http-basic.pypi x", "pdm config repository.pypi.password x")


def test_which_command_lines_upload_and_which_store_a_token(make: Make) -> None:
    for line in (*UPLOADING, *OTHERS, *SAVING):
        process = make(line)
        assert uploader(process.program).is_uploading(process) is (line in UPLOADING), line
        is_saving = line in (SAVING if process.program in ("poetry", "pdm") else UPLOADING)
        assert uploader(process.program).is_saving(process) is is_saving, line


USED = {
    "uv publish": f"{URL} (default)",
    "uv publish --publish-url HTTPS://x:y@A.b:443": "https://a.b/ (--publish-url)",
    "UV_PUBLISH_URL=http://[::1]:8/a uv publish": "http://[::1]:8/a (UV_PUBLISH_URL)",
    "uv publish --index t": f"{TEST} t (publish-url in uv.toml)",
    "uv publish --config-file c.toml": "https://c/ (publish-url in c.toml)",
    "poetry publish": f"{URL} pypi (default)",
    "poetry publish -r x": "https://x/legacy/ x (repositories.x.url in poetry.toml)",
    "poetry publish -r s": "https://s/ s (tool.poetry.source in pyproject.toml)",
    "POETRY_REPOSITORIES_X_URL=https://y/ poetry publish -r x": "https://y/ x (POETRY_REPOSITORIES_X_URL)",
    "PDM_PUBLISH_REPO=testpypi pdm publish --repository=": f"{TEST} testpypi (PDM_PUBLISH_REPO)",
    f"pdm publish --repo {URL}": f"{URL} __unknown__ (--repository)",
    "pdm publish -r a": "https://a.example/ a (url in ../config/pdm/config.toml)",
    "pdm publish -r https://half.example/": "https://half.example/ half (--repository)",
    "pdm publish -r other": "https://other.example/ other (url in ../site/pdm/config.toml)",
    "pdm -c other.toml publish": "https://a.example/ pypi (url in other.toml)",
    "HATCH_INDEX_REPO=test hatch publish -p index": f"{TEST} test (HATCH_INDEX_REPO)",
    "hatch publish -r a": "https://a.example/ a (--repo)",
    "hatch --config h.toml publish": f"{TEST} test (publish.index.repo in h.toml)",
    "hatch publish --repo=https://a.example/": "https://a.example/ (--repo)",
    "twine upload -r local f": f"{URL} local (~/.pypirc)",
    "TWINE_REPOSITORY_URL=https://a.example/ twine upload -r local f": "https://a.example/ (TWINE_REPOSITORY_URL)",
    "flit publish": f"{URL} pypi (default)",
    "flit --repository local publish --repository secret": "https://b.example/ secret (~/.pypirc)",
    "flit publish --repository testpypi": f"{URL} testpypi (--repository)",
    "FLIT_INDEX_URL=https://a.example/ flit publish": "https://a.example/ (FLIT_INDEX_URL)",
    "maturin upload -r note f": "http://a.example/x note (~/.pypirc)",
    "MATURIN_REPOSITORY=testpypi maturin publish": f"{TEST} testpypi (MATURIN_REPOSITORY)",
    "maturin publish -r x --repository-url http://b.example/": "http://b.example/ (--repository-url)",
}


@pytest.mark.usefixtures("files")
def test_where_a_command_line_uploads_to(make: Make) -> None:
    for line, expected in USED.items():
        address = make(line).target.address
        name = f" {address.name}" if address.name else ""
        assert f"{address.url}{name} ({address.source})" == here(expected), line


_NO_URL = "the repository URL of {} is not one of http or https: correct it."
_PDM_URL = (
    "--repository names the repository '{}', which has no URL: use `pypi`, `testpypi` or a URL, or run "
    "`pdm config repository.NAME.url URL`."
)
_NOT_DEFINED = "~/.pypirc does not define the repository '{}': correct the name, or add it."
_DEVPI = "devpi uploads to an index outside its server only with `push NAME==VERSION pypi:SECTION`: add it."
REFUSED = {
    "uv publish --index no": "uv has no index 'no', which --index names: define it, or correct its name.",
    "uv publish --index bare": "the index 'bare' in uv.toml has no publish-url: add it there.",
    "uv publish --publish-url x": _NO_URL.format("--publish-url"),
    "UV_PUBLISH_TOKEN= uv publish -u x": "uv takes UV_PUBLISH_TOKEN or --username, not both: leave one out.",
    "poetry publish -r bad": _NO_URL.format("repositories.bad.url in poetry.toml"),
    "poetry publish -r hole": (
        "the repository URL of repositories.hole.url in poetry.toml contains '{', which no URL may: correct it."
    ),
    "poetry publish -r none": (
        "poetry has no repository 'none': define it with `poetry config repositories.NAME URL`, or correct its name."
    ),
    "pdm publish -r unknown": _PDM_URL.format("unknown"),
    "pdm publish -r site": _PDM_URL.format("site"),
    "hatch publish -r pypi": (
        "--repo names the repository 'pypi', which hatch does not know: use `main`, `test`, a URL, or a name in "
        "`publish.index.repos` of ../config/hatch/config.toml."
    ),
    "hatch publish -p mine": "--publisher names the plugin 'mine' of hatch, which is unknown: use `index`.",
    "hatch --config none.toml publish": "'none.toml' does not exist: name hatch's settings file.",
    "twine upload -r nowhere f": _NOT_DEFINED.format("nowhere"),
    "twine upload -r bare f": _NOT_DEFINED.format("bare"),
    "twine upload --repository-url HTTPS://a.example f": _NO_URL.format("--repository-url"),
    "twine upload --config-file no f": "'no' does not exist: correct the option that names it.",
    "TWINE_REPOSITORY= twine upload f": "TWINE_REPOSITORY is empty, at which twine stops: `unset TWINE_REPOSITORY`.",
    "flit publish --repository note": _NOT_DEFINED.format("note"),
    "FLIT_INDEX_URL= flit publish --repository local": (
        "flit takes FLIT_INDEX_URL or --repository, not both: run `unset FLIT_INDEX_URL`, or omit the option."
    ),
    "FLIT_INDEX_URL= flit publish": _NO_URL.format("FLIT_INDEX_URL"),
    "devpi push": _DEVPI,
    "devpi push a==1 pypi:no": _NOT_DEFINED.format("no"),
    "devpi push a==1 pypi:bare": (
        "~/.pypirc has no `username` in [bare], which devpi needs: add `username = __token__`."
    ),
    "devpi push a==1 pypi:odd": _NO_URL.format("~/.pypirc"),
    "maturin publish -r no": _NOT_DEFINED.format("no"),
    "maturin publish --repository-url": _NO_URL.format("--repository-url"),
}


@pytest.mark.usefixtures("files")
def test_settings_at_fault_are_refused(make: Make, work: Path) -> None:
    for line, sentence in REFUSED.items():
        process = make(line)
        assert refusal(lambda process=process: process.target) == here(sentence), line  # type: ignore[misc]  # ruff wants it bound
        (problem,) = uploader(process.program).find_problems(process)
        assert f"{problem.problem}: {problem.remedy}." == here(sentence)
    for program in ("uv --publish-url", "poetry -r x", "pdm -r", "hatch -r"):
        name, option, *rest = program.split()
        url = r"https://evil.example\@upload.pypi.org/legacy/"
        process = make(f"POETRY_REPOSITORIES_X_URL='{url}' {name} publish {option} '{(rest or [url])[0]}'")
        source = process.command.after.options[-1][0] if not rest else "POETRY_REPOSITORIES_X_URL"
        assert refusal(lambda process=process: process.target) == (  # type: ignore[misc]  # ruff wants it bound
            f"the repository URL of {source} contains '\\\\', which no URL may: correct it."
        )
    for broken in ("hatch --config broken.toml publish", "uv publish --config-file broken.toml"):
        assert "broken.toml:1" in refusal(lambda broken=broken: make(broken).target)  # type: ignore[misc]  # as above
    write(work / "pyproject.toml", "[tool.pdm.options]\npublish = [1]\n")
    assert refusal(lambda: make("pdm publish").target) == (
        "`tool.pdm.options.publish` in pyproject.toml is not an array of strings: correct it there."
    )


@pytest.mark.parametrize("metadata", ["", "[project]\nname = 1\n"])
def test_flit_stops_at_a_project_without_a_name(make: Make, work: Path, metadata: str) -> None:
    (work / "pyproject.toml").write_text(metadata, encoding="utf-8")
    sentence = "pyproject.toml does not name the project: add `name` to `[project]`."
    assert refusal(lambda: make("FLIT_USERNAME=x flit publish").target) == sentence


_SETUP = "run `keyring-pypitoken setup uv`"
_STORE = "store that token with `keyring-pypitoken login`, then delete it there"
_ADOPT = "run `keyring-pypitoken adopt`, or delete the line `password` there"
_MATURIN = (
    "maturin does not ask Python's keyring, so it would not get a restricted token: run `maturin build`, then upload "
    "the files with uv or twine"
)
_NOT_ON_PATH = (
    "the `keyring` command, by which uv asks, is not on PATH: `uv tool install keyring-pypitoken "
    "--with-executables-from keyring`"
)
_NO_PROMPT = "hatch has no user name, and --no-prompt keeps it from asking for one: `export HATCH_INDEX_USER=__token__`"


def _taken(clause: str, program: str, remedy: str) -> str:
    return f"{clause}, and {program} takes it before it asks keyring: {remedy}"


def _other(user: str, source: str, program: str) -> str:
    return (
        f"{source} names the user '{user}', and {program} asks keyring for that user, who has no token: set the user "
        f"name in {source} to `{TOKEN}`"
    )


_READY = f"UV_KEYRING_PROVIDER=subprocess UV_PUBLISH_USERNAME={TOKEN} "
PROBLEMS = {
    f"{_READY} uv publish": [],
    f"{_READY} UV_PUBLISH_PASSWORD=x uv publish": [
        _taken("the variable UV_PUBLISH_PASSWORD is set", "uv", "`unset UV_PUBLISH_PASSWORD`")
    ],
    f"{_READY} uv publish --publish-url https://{TOKEN}:y@z/": [
        _taken("the URL in --publish-url holds a password", "uv", "delete it there")
    ],
    "uv publish": [
        f"uv has no user name, and asks keyring only with one: {_SETUP}",
        f"uv does not ask keyring without a setting: {_SETUP}",
    ],
    f"{_READY} uv publish --keyring-provider disabled": [
        "--keyring-provider is 'disabled', so uv does not ask keyring: set it to `subprocess`"
    ],
    f"{_READY} uv publish --trusted-publishing always": [
        "--trusted-publishing is always, and uv then refuses to ask keyring: set it to automatic"
    ],
    f"{_READY} PATH= uv publish": [_NOT_ON_PATH],
    "UV_KEYRING_PROVIDER=subprocess uv publish --token=": [],
    "poetry publish": [],
    "POETRY_HTTP_BASIC_PYPI_PASSWORD=x poetry publish": [],  # after it asked keyring
    "poetry publish -u x -p y": [
        _taken("the option --password is given", "poetry", "leave out `--password`"),
        _other("x", "--username", "poetry"),
    ],
    "POETRY_KEYRING_ENABLED=no poetry publish": [
        "POETRY_KEYRING_ENABLED is false, so poetry does not ask keyring: `poetry config keyring.enabled true`"
    ],
    "poetry publish -r y": [
        _taken("http-basic.y.password in poetry.toml is set", "poetry", "remove it there").replace(
            "keyring:", "keyring for the URL:"
        )
    ],
    "pdm publish -r a": [_other("bob", "username in ../config/pdm/config.toml", "pdm")],
    "PDM_PUBLISH_USERNAME= pdm publish": [],
    "pdm publish -r half": [],  # without a user name keyring comes first
    "pdm publish -r half -u __token__": [
        _taken("password in ../config/pdm/config.toml holds a password", "pdm", _STORE)
    ],
    "pdm publish -u __token__ -r https://alice:secret@b.example/": [
        _taken("the URL in --repository holds a password", "pdm", "delete it there")
    ],
    "hatch publish -n -u __token__": [],
    "hatch publish -n": [_NO_PROMPT],
    "hatch publish -r c": [
        _taken("auth in ../config/hatch/config.toml holds a password", "hatch", _STORE),
        _other("carol", "user in ../config/hatch/config.toml", "hatch"),
    ],
    "twine upload f": [],
    # twine sends it, and asks nobody.
    "TWINE_PASSWORD= twine upload f": [_taken("the variable TWINE_PASSWORD is set", "twine", "`unset TWINE_PASSWORD`")],
    # Names of files that look like a variable and an option.
    "twine upload --config-file RC f": [_taken("RC holds a password for [server-login]", "twine", _ADOPT)],
    "twine upload --config-file=-rc f": [_taken("-rc holds a password for [server-login]", "twine", _ADOPT)],
    "twine upload --repository-url https://__token__:pw@a.example/ f": [
        _taken("the URL in --repository-url holds a password", "twine", "delete it there")
    ],
    "TWINE_USERNAME=bob twine upload f": [_other("bob", "TWINE_USERNAME", "twine")],
    "twine upload -r old f": [_other("login", "~/.pypirc", "twine")],
    "FLIT_PASSWORD= flit publish --repository secret": [],
    "FLIT_PASSWORD=x flit publish --repository secret": [
        _taken("the variable FLIT_PASSWORD is set", "flit", "`unset FLIT_PASSWORD`")
    ],
    "flit publish --repository testpypi": [
        "flit has no user name, and asks for one before it asks keyring: `export FLIT_USERNAME=__token__`"
    ],
    "devpi push a==1 pypi:pypi": [],
    "devpi push a==1 pypi:secret": [_taken("~/.pypirc holds a password for [secret]", "devpi", _ADOPT)],
    "maturin publish -r testpypi": [_MATURIN],
    "MATURIN_PYPI_TOKEN=x MATURIN_PASSWORD= maturin publish -r secret": [
        _taken("the variable MATURIN_PYPI_TOKEN is set", "maturin", "`unset MATURIN_PYPI_TOKEN`"),
        _MATURIN,
    ],
    "maturin publish -r secret": [_taken("~/.pypirc holds a password for [secret]", "maturin", _ADOPT), _MATURIN],
}


@pytest.mark.usefixtures("files")
def test_what_keeps_a_restricted_token_from_being_sent_is_reported(make: Make) -> None:
    for line, expected in PROBLEMS.items():
        process = make(line)
        problems = uploader(process.program).find_problems(process)
        assert [f"{one.problem}: {one.remedy}" for one in problems] == [*map(here, expected)], line


@pytest.mark.parametrize(
    ("text", "line", "user"),
    [
        ("[main]\nusername = bob\n", "", "bob"),
        ("[main]\npassword = x\n", "", None),
        ("[main]\npassword = x\n", "-u __token__", TOKEN),
        ("[main]\npassword = x\n", "-a y", None),
        (f"[mine]\nrepository = {URL}\nusername = bob\n", "", "bob"),
        ("[pypi]\nusername = bob\npassword = x\n", "", TOKEN),
    ],
)
def test_hatch_takes_what_pypirc_has(home: Path, make: Make, text: str, line: str, user: str | None) -> None:
    write(home / ".pypirc", text)
    process = make(f"hatch publish {line}")
    assert process.target.lookup == (None if user is None else (URL, user))
    if user is None:
        assert uploader("hatch").find_problems(process)[0].problem.startswith("~/.pypirc holds a password for [main], ")


UNREADABLE = {
    "work/uv.toml": "uv publish",
    "work/poetry.toml": "poetry publish",
    "work/own/auth.toml": "POETRY_CONFIG_DIR=own poetry publish",
    "work/pdm.toml": "pdm publish",
    "config/hatch/config.toml": "hatch publish",
    ".pypirc": "hatch publish",
}


def test_settings_that_cannot_be_read_are_refused(home: Path, make: Make) -> None:
    for file, line in UNREADABLE.items():
        (home / here(file)).mkdir(parents=True, exist_ok=True)
        process = make(line)
        (problem,) = uploader(process.program).find_problems(process)
        assert problem.problem.endswith(f"{Path(file).name} is not a regular file"), line
        (home / here(file)).rmdir()


def test_what_a_checkout_chooses_about_who_reads_the_upload(make: Make, work: Path, home: Path) -> None:
    write(home / here("config/pypoetry/config.toml"), f'[repositories.t]\nurl = "{TEST}"\n')
    for case, expected in (CHOICES | dict.fromkeys(OWN_CHOICES, "")).items():
        line, file, text = case.split(" | ")
        write(work / file, text)
        process = make(line)
        checkout = process.target.checkout
        assert ", ".join(str(setting.source) for setting in checkout) == expected, case
        assert all(setting.source.in_checkout for setting in checkout)
        stopping = [one for one in uploader(process.program).find_problems(process) if one.effect == STOP]
        if expected:
            clause = f"{expected}, a file of this project, chooses who can read what is uploaded"
            remedy = "delete that line, or set it in your own settings"
            assert [(one.problem, one.remedy) for one in stopping] == [(clause, remedy)]
            assert refusal(lambda process=process: check_checkout(process.target)) == f"{clause}: {remedy}."  # type: ignore[misc]  # ruff wants it bound
        else:
            assert stopping == []
            check_checkout(process.target)
        (work / file).unlink()


def test_an_address_of_the_checkout_says_so(make: Make, work: Path, home: Path) -> None:
    write(home / here("config/uv/uv.toml"), 'publish-url = "https://mine.example/"\n')
    assert not make("uv publish").target.address.source.in_checkout
    addresses = {
        "uv publish": ("uv.toml", 'publish-url = "https://evil.example/"'),
        "uv publish --index i": ("uv.toml", '[[index]]\nname = "i"\npublish-url = "https://evil.example/"'),
        "poetry publish -r i": ("poetry.toml", '[repositories.i]\nurl = "https://evil.example/"'),
        "poetry publish -r s": ("pyproject.toml", '[[tool.poetry.source]]\nname="s"\nurl="https://evil.example/"'),
        "pdm publish": ("pdm.toml", '[repository.pypi]\nurl = "https://evil.example/"'),
        "pdm -q publish": ("pyproject.toml", '[tool.pdm.options]\npublish = ["-r", "https://evil.example/"]'),
    }
    for line, (file, text) in addresses.items():
        write(work / file, text)
        address = make(line).target.address
        assert (address.url, address.source.in_checkout, file in str(address.source)) == (
            "https://evil.example/",
            True,
            True,
        )
        (work / file).unlink()


@pytest.mark.usefixtures("files")
def test_variables_hand_a_token_over_unless_an_option_names_the_repository(make: Make) -> None:
    variables = {
        "twine upload x": "TWINE_USERNAME=__token__ TWINE_PASSWORD=T TWINE_REPOSITORY_URL={url}",
        "flit publish": "FLIT_USERNAME=__token__ FLIT_PASSWORD=T FLIT_INDEX_URL={url}",
        "flit publish --repository local": "FLIT_USERNAME=__token__ FLIT_PASSWORD=T",
        "devpi push a==1 pypi:pypi": "",
        "maturin publish": "MATURIN_PYPI_TOKEN=T MATURIN_REPOSITORY_URL={url}",
        "maturin publish -r local": "MATURIN_PYPI_TOKEN=T",
        "uv publish": "UV_PUBLISH_USERNAME=__token__ UV_PUBLISH_PASSWORD=T UV_PUBLISH_URL={url}",
        "uv publish --index t": "UV_PUBLISH_USERNAME=__token__ UV_PUBLISH_PASSWORD=T",
        "poetry publish": "POETRY_PYPI_TOKEN_PYPI=T",
        "poetry publish -r x": "POETRY_PYPI_TOKEN_X=T POETRY_REPOSITORIES_X_URL={url}",
        "pdm publish": "PDM_PUBLISH_USERNAME=__token__ PDM_PUBLISH_PASSWORD=T PDM_PUBLISH_REPO={url}",
        "hatch publish": "HATCH_INDEX_USER=__token__ HATCH_INDEX_AUTH=T HATCH_INDEX_REPO={url}",
    }
    for line, expected in variables.items():
        process = make(line)
        handed = uploader(process.program).variables("T", TESTPYPI, process.target)
        assert " ".join(f"{name}={value}" for name, value in handed.items()) == expected.format(url=TEST)
        if "{url}" in expected:
            process = process._replace(environ={**process.environ, **handed})
            assert process.target.address.url == TEST
            uploader(process.program).check_sends(process, "T")
    assert "FLIT_INDEX_URL" not in uploader("flit").variables("T", PYPI)
    my_own = uploader("poetry").variables("T", PYPI, Target(Address(URL, "my-own", DEFAULT)))
    assert my_own == {"POETRY_PYPI_TOKEN_MY_OWN": "T", "POETRY_REPOSITORIES_MY_OWN_URL": URL}


_INSTEAD = "and twine would send that instead of the restricted token"
WINNING = {
    "TWINE_PASSWORD=T twine upload -u bob f": (
        f"--username names the user 'bob', {_INSTEAD}: set the user name in --username to `__token__`."
    ),
    "TWINE_PASSWORD=T twine upload -p x f": f"the option --password is given, {_INSTEAD}: leave out `--password`.",
    "devpi push a==1 pypi:pypi": "devpi takes no token from a variable: run it without `exec`, and it asks keyring.",
}


@pytest.mark.usefixtures("files")
def test_what_would_win_over_the_variables_is_refused(make: Make) -> None:
    for line, sentence in WINNING.items():
        process = make(line)
        assert refusal(lambda process=process: uploader(process.program).check_sends(process, "T")) == sentence  # type: ignore[misc]  # ruff wants it bound


@pytest.mark.usefixtures("files")
def test_a_process_is_parsed_and_its_settings_are_read_once(make: Make, home: Path) -> None:
    process = make("twine upload -r secret x")
    assert process.target is process.target
    assert process.command is process.command
    (home / ".pypirc").unlink()
    assert uploader("twine").find_problems(process) != []


@pytest.mark.usefixtures("files")
def test_no_password_is_in_a_repr(make: Make) -> None:
    for line in ("twine upload -p hunter2 f", "TWINE_PASSWORD=hunter2 twine upload f", "twine upload -r secret f"):
        process = make(line)
        assert "hunter2" not in repr((process, process.command, process.target)), line
    assert repr(Address("https://me:hunter2@a.example/", "", Source("option", "-r"))).startswith(
        "Address('https://***@a.example/', '', Source("
    )


def test_a_program_that_is_no_uploader_has_no_target(work: Path) -> None:
    process = Process("make", ("upload",), work, {})
    assert process.command.name == ""
    with pytest.raises(TypeError, match=r"^'make' is not an uploader$"):
        process.target  # noqa: B018 - it is read for its error


def test_the_project_that_an_uploader_is_pointed_at(make: Make, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("inside/pyproject.toml", "inside/deep/x", "root/setup.py", "plain/x", "more/found/setup.py"):
        write(work / name)
    base = work.as_posix()
    write(
        work / "h.toml",
        f'[dirs]\nproject = ["", "{base}", "{base}/more"]\n[projects]\nempty = ""\n'
        f'table.location = "{base}/inside"\ndeep = "{base}/inside/deep"\nnowhere = "{base}/nowhere"\n',
    )
    projects = {
        "uv publish": (".", "."),
        "uv publish --directory a --project b": (".", "a/b"),
        "uv publish --project b/pyproject.toml": (".", "b"),
        "UV_WORKING_DIR=a UV_PROJECT=b uv publish": (".", "a/b"),
        "UV_WORKING_DIRECTORY=a uv publish": (".", "a"),
        "poetry -C inside publish": (".", "inside"),
        "poetry publish -P=deep": ("inside", "inside"),
        "pdm publish": ("inside/deep", "inside"),
        "pdm publish ": ("..", ".."),
        "pdm publish --proj=inside/deep": (".", "inside/deep"),
        "PDM_PROJECT=inside/../inside pdm publish": (".", "inside"),
        "PDM_PROJECT=deep pdm publish -p inside": (".", "inside"),
        "PDM_PROJECT=inside pdm publish --project=": (".", "."),
        "hatch publish": ("inside/deep", "inside"),
        "hatch --config h.toml -p table publish": (".", "inside"),
        "hatch --config h.toml -p deep publish": (".", "inside"),
        "hatch --config h.toml -p found publish": (".", "more/found"),
        "twine upload /elsewhere/dist/*": (".", "."),
        "flit --ini=../y/x.toml publish": (".", "../y"),
        "maturin publish": (".", "."),
        "maturin publish -m a/b/../Cargo.toml": (".", "a"),
    }
    for line, (directory, expected) in projects.items():
        process = make(line, (work / directory).resolve())
        assert uploader(process.program).find_project(process) == (work / expected).resolve(), line
    for name in ("unknown", "empty", "nowhere"):
        for origin, process in (
            ("--project", make(f"hatch --config h.toml -p {name} publish")),
            ("HATCH_PROJECT", make(f"HATCH_PROJECT={name} hatch --config h.toml publish")),
        ):
            assert refusal(lambda process=process: uploader("hatch").find_project(process)) == (  # type: ignore[misc]  # ruff wants it bound
                f"hatch cannot find the project '{name}' that {origin} names: correct the name."
            )
    # The `keyring` command is in uv's directory already, and so is poetry's own process in poetry's.
    assert uploader("uv").find_project(make("uv publish --directory a", is_parent=True)) == work
    monkeypatch.setitem(sys.modules, "poetry", sys)
    assert uploader("poetry").find_project(make("poetry -C inside publish")) == work


def test_the_mode_of_hatch_chooses_the_project(make: Make, work: Path, home: Path) -> None:
    for name in ("named/pyproject.toml", "root/pyproject.toml", "plain/x"):
        write(work / name)
    base = work.as_posix()
    for mode, project, directory, expected in (
        ("local", "named", ".", "."),
        ("project", "named", "root", "named"),
        ("project", "plain", "root", "plain"),
        ("project", "unknown", "root", "root"),
        ("aware", "named", "root", "root"),
        ("aware", "named", ".", "named"),
        ("aware", "", ".", "."),
    ):
        write(
            home / here("config/hatch/config.toml"),
            f'mode = "{mode}"\nproject = "{project}"\n[projects]\nnamed = "{base}/named"\nplain = "{base}/plain"\n',
        )
        process = make("hatch publish", (work / directory).resolve())
        assert uploader("hatch").find_project(process) == (work / expected).resolve(), (mode, project, directory)


def test_which_files_are_uploaded(make: Make, work: Path) -> None:
    write(work / "pyproject.toml", '[project]\nname = "My.Pkg"\n')
    names = (
        *("a-1.0-py3-none-any.whl", "a-1.0.tar.gz", "A-1.0.zip", "a-one.tar.gz", "my_pkg-10.tar.gz", "note.txt"),
        *("sub/b-1.0-py3-none-any.whl", ".hidden/c-1.0.tar.gz", "my_pkg-10-py3-none-any.whl", "my_pkg-9.tar.gz"),
    )
    for name in names:
        write(work / "dist" / name)
    for name in ("one/my_pkg-1.0.tar.gz", "pdm/b-1.whl", "pdm/a-1.tar.gz", "pdm/a-1.tar.gz.asc", "none/x.asc"):
        write(work / name)
    sdists = "a-1.0.tar.gz my_pkg-10.tar.gz my_pkg-9.tar.gz"
    wheels = "a-1.0-py3-none-any.whl"
    expected = {
        "uv publish": f"{wheels} a-1.0.tar.gz my_pkg-10-py3-none-any.whl my_pkg-10.tar.gz my_pkg-9.tar.gz",
        "uv publish dist/a-1.0.tar.gz dist/note.txt": "a-1.0.tar.gz",
        "uv publish **/*.whl": f"{wheels} my_pkg-10-py3-none-any.whl b-1.0-py3-none-any.whl",
        "uv publish dist/[!b]*.tar.gz none/*": sdists,
        "uv publish ./*/../dist/a-1.0.tar.gz": "a-1.0.tar.gz",
        "uv publish **/c-*": "c-1.0.tar.gz",
        "poetry publish": "my_pkg-10.tar.gz my_pkg-10-py3-none-any.whl",
        "poetry publish --dist-dir one": "my_pkg-1.0.tar.gz",
        "pdm publish --no-build --dest pdm": "b-1.whl a-1.tar.gz",
        "pdm publish --no-build --dest none": "",
        "hatch publish one pdm/b-1.whl one dist/note.txt": "my_pkg-1.0.tar.gz b-1.whl",
        "twine upload -c note one/* pdm/*": "b-1.whl my_pkg-1.0.tar.gz a-1.tar.gz",
        "maturin upload -u me one/my_pkg-1.0.tar.gz": "my_pkg-1.0.tar.gz",
    }
    for line, names_of_files in expected.items():
        process = make(line)
        files = uploader(process.program).find_files(process) or ()
        assert " ".join(file.name for file in files) == names_of_files, line
        assert all(file.is_absolute() and ".." not in file.parts for file in files)
    not_known = ("twine upload -r x", "maturin upload", "maturin publish b.whl", "flit publish")
    for line in ("poetry publish --build", "pdm publish -d dist", *not_known):
        process = make(line)
        assert uploader(process.program).find_files(process) is None
    assert len(uploader("hatch").find_files(make("hatch publish")) or ()) == 6  # it looks at the endings alone


WITHOUT_FILES = {
    "uv publish x.whl": "'x.whl' does not exist: build it, or correct its name.",
    "uv publish": "uv finds no distributions to publish: build them, or name them.",
    "poetry publish": "poetry finds no files to publish in dist: build them, or name their directory.",
    "poetry publish --dist-dir first": (
        "the versions of the files in first cannot be compared ('1', 'first'): remove those that are not to be "
        "published."
    ),
    "twine upload nothing*": "'nothing*' matches no file: build first, or correct the name.",
    "twine upload ''": "'' matches no file: build first, or correct the name.",
    "maturin upload *.whl": "'*.whl' is not a file: correct the name.",
    "poetry -P nameless publish": "poetry finds no project name in nameless/pyproject.toml: add it there.",
    "pdm publish --no-build": "dist is not a directory, and pdm has nothing to upload: build there first.",
    "pdm publish --no-build -d mixed": "mixed holds 'notes.txt', which pdm refuses to upload: remove it.",
    "hatch publish dist/*": (
        "dist/* does not exist: name files and directories from the root of hatch's project, without wildcards."
    ),
}


def test_files_that_are_not_there_are_refused(make: Make, work: Path) -> None:
    for name in ("mixed/notes.txt", "nameless/pyproject.toml", "first/a-1.tar.gz", "first/a-first.tar.gz"):
        write(work / name)
    write(work / "pyproject.toml", '[project]\nname = "a"\n')
    for line, sentence in WITHOUT_FILES.items():
        process = make(line)
        assert refusal(lambda process=process: uploader(process.program).find_files(process)) == here(sentence), line  # type: ignore[misc]  # ruff wants it bound
    assert uploader("hatch").find_files(make("hatch publish")) == ()


def test_patterns_of_uv_end(make: Make, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(work / "dist/a-1.0.tar.gz")
    for name in "abcd":
        (work / name).mkdir()
        make_link(work / name / "loop", work)
    make_link(work / "nowhere", work / "none")
    process = make("uv publish **/*.tar.gz")
    assert [file.name for file in uploader("uv").find_files(process) or ()] == ["a-1.0.tar.gz"]
    monkeypatch.setattr(options, "_MAX_LOOKED_AT", 10)
    assert refusal(lambda: uploader("uv").find_files(process)) == (
        "the pattern '**/*.tar.gz' looks at too many files: name them."
    )


def test_settings_of_a_workspace_of_uv(make: Make, work: Path) -> None:
    root = '[tool.uv]\npublish-url = "https://root/"\n[tool.uv.workspace]\nmembers = ["./p/**"]\nexclude = ["p/x*"]\n'
    write(work / "pyproject.toml", root)
    index = '[[tool.uv.index]]\nname = "i"\n'
    for name in ("p/a", "p/xa", "q"):
        text = f'[project]\nname = "a"\n[tool.uv]\npublish-url = "https://{Path(name).name}/"\n{index}'
        write(work / name / "pyproject.toml", text)
    write(work / "loose/pyproject.toml", "[build-system]\n")
    write(work / "p/a/nested/uv.toml", 'publish-url = "https://nested/"\n')
    urls = {
        name: make("uv publish", work / name).target.address.url
        for name in (".", "p/a", "p/a/nested", "p/xa", "q", "loose")
    }
    assert urls == {
        ".": "https://root/",
        "p/a": "https://root/",
        "p/a/nested": "https://root/",
        "p/xa": "https://xa/",
        "q": "https://q/",
        "loose": "https://root/",
    }
    assert refusal(lambda: make("uv publish --index i", work / "p/a").target) == (
        "the index 'i' is defined in pyproject.toml of a workspace member, where uv does not look: move it to the "
        "pyproject.toml of the workspace's root."
    )


def test_settings_of_the_machine_for_uv(make: Make, home: Path) -> None:
    site = "ProgramData" if os.name == "nt" else "site"
    write(home / site / "uv" / "uv.toml", 'publish-url = "https://machine/"\n')
    assert (
        make(f"SYSTEMDRIVE={home.as_posix()} UV_NO_SYSTEM_CONFIG=false uv publish").target.address.url
        == "https://machine/"
    )


@pytest.mark.parametrize(
    ("environ", "base"),
    [
        ({"APPDATA": "/profile/Roaming", "XDG_CONFIG_HOME": "/elsewhere"}, "/profile/Roaming"),
        ({"USERPROFILE": "/profile", "HOME": "/elsewhere", "APPDATA": ""}, "/profile/AppData/Roaming"),
    ],
)
def test_on_windows_the_files_of_uv_are_in_the_roaming_profile(environ: dict[str, str], base: str) -> None:
    assert uv._base(environ, "nt") == Path(base)


@pytest.mark.skipif(os.name == "nt", reason="makes a directory that is called like a drive")
@pytest.mark.parametrize("environ", [{}, {"SYSTEMDRIVE": "C:"}])
@pytest.mark.usefixtures("work")
def test_on_windows_the_machines_settings_of_uv_are_in_programdata(environ: dict[str, str]) -> None:
    assert uv._system_files(environ, "nt") == []
    file = write(Path("C:\\ProgramData", "uv", "uv.toml"))
    assert uv._system_files(environ, "nt") == [file]
    assert uv._system_files({"SYSTEMDRIVE": "D:"}, "nt") == []


def test_on_windows_pdm_looks_below_the_name_of_an_author_too(
    make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pdm names no author, for whom platformdirs takes the program's own name then: pdm/project/config.py, core.py."""
    import platformdirs.windows

    roots = {"CSIDL_LOCAL_APPDATA": home / "Local", "CSIDL_COMMON_APPDATA": home / "ProgramData"}
    monkeypatch.setattr(platformdirs, "PlatformDirs", platformdirs.windows.Windows)
    monkeypatch.setattr(platformdirs.windows, "get_win_folder", lambda name: str(roots[name]))
    for root, name in (("Local", "a"), ("ProgramData", "b")):
        write(home / root / "pdm" / "pdm" / "config.toml", f'[repository.{name}]\nurl = "https://{name}.example/"\n')
        assert make(f"pdm publish -r {name}").target.address.url == f"https://{name}.example/"


def test_what_is_advised_fits_the_program(make: Make, work: Path) -> None:
    hints = {
        "make": "name the distribution files, ",
        "twine upload": "name the files (`twine upload dist/*`), ",
        "maturin publish": "name the files (`keyring-pypitoken exec -- maturin upload target/wheels/*`), ",
        "flit publish": "",
    }
    for line, hint in hints.items():
        assert find_evidence(make(line)).hint == f"{hint}run it in the project's directory", line
    (work / "setup.py").touch()
    build = "build it, since `setup.py` does not show its name before"
    for line, hint in hints.items():
        assert find_evidence(make(line)).hint == f"{build}, {hint}name it with `--project`", line


def test_a_release_names_the_project_for_devpi(make: Make) -> None:
    for release, expected in (("My_Demo==1.0", "My_Demo"), ("'demo[x] == 1.0'", "demo")):
        assert uploader("devpi").find_projects(make(f"devpi push {release} pypi:pypi")) == (expected,), release
    assert refusal(lambda: uploader("devpi").find_projects(make("devpi push my-demo-1.0 pypi:pypi"))) == (
        "'my-demo-1.0' may name several projects: write NAME==VERSION."
    )
    assert uploader("twine").find_projects(make("twine upload demo==1.0")) == ()
