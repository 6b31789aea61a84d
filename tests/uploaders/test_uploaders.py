"""Every uploader that asks keyring, run for real: what it sends, what it shows when refused, what it saves.

Each runs in a virtual environment of its own, against the loopback index in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from devpi_server import DevpiServer
from distributions import make_sdist, make_wheel
from file_keyring import FileKeyring
from sandbox import STORES, Result, WritePolicy, new_master

from keyring_pypitoken import Token, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from environments import Environments
    from loopback_index import IndexProcess, Upload

pytestmark = [
    pytest.mark.uploaders,
    pytest.mark.skipif(os.name != "posix", reason="the uploaders are typed to on a pseudo-terminal, which POSIX has"),
]

PYPI = "https://upload.pypi.org/legacy/"


@dataclass(frozen=True)
class Case:
    """How an uploader is called; `{url}` stands for the index."""

    command: str
    named_by: str
    environment: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    # The way its users store a master: keyring's own command, or the uploader's prompts and what is typed there.
    prompts: Sequence[tuple[str, str]] = ()
    saving: str = ""


CASES = {
    "twine": Case(
        "twine upload --non-interactive --disable-progress-bar --repository-url {url} dist/*", "the files in dist"
    ),
    "uv": Case(
        "uv publish --publish-url {url} --username __token__ --keyring-provider subprocess", "the files in dist"
    ),
    "flit": Case(
        "flit publish --no-use-vcs",
        "the lookup",
        environ={"FLIT_INDEX_URL": "{url}", "FLIT_USERNAME": "__token__"},
        prompts=[("Password: ", "{token}")],
        saving="flit publish --no-use-vcs",
    ),
    "hatch": Case(
        "hatch publish -r {url} -u __token__ --no-prompt",
        "the files in dist",
        prompts=[("Password / Token", "{token}")],
        saving="hatch publish -r {url} -u __token__",
    ),
    "poetry": Case("poetry publish --no-interaction -r local", "the files in dist"),
    "pdm": Case(
        "pdm publish --no-build -r {url}",
        "the files in dist",
        prompts=[("Username", "__token__"), ("Password", "{token}"), ("Save credentials", "y")],
        saving="pdm publish --no-build -r {url}",
    ),
    "devpi": Case("devpi push {project}==1.0 pypi:local", "the arguments of devpi"),
    "pdm, the keyring command": Case("pdm publish --no-build -r {url}", "the files in dist", environment="pdm alone"),
}
TYPED = [name for name, case in CASES.items() if case.saving]


@dataclass(frozen=True)
class Uploader:
    """An uploader in its environment."""

    name: str
    version: str
    scripts: Path
    keyring: Path
    index: IndexProcess
    work: Path
    environ: Mapping[str, str]
    record: Callable[[str, object], None]

    @property
    def case(self) -> Case:
        """Return how it is called."""
        return CASES[self.name]

    def run(self, command: str, stdin: str = "", /, **environ: str) -> Result:
        """Run a command of its environment, without a terminal."""
        done = subprocess.run(
            self._words(command),
            input=stdin,
            cwd=self.work,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
            start_new_session=True,  # so that it has no terminal at all, not even that of the developer
        )
        return Result(done.args, done.returncode, done.stdout, done.stderr)

    def type(self, command: str, answers: Sequence[tuple[str, str]] = (), **environ: str) -> tuple[str, int | None]:
        """Run a command in a terminal, answer its prompts; return what the screen showed and the exit code."""
        import pexpect

        program, *arguments = self._words(command)
        screen: list[str] = []
        child = pexpect.spawn(
            program, arguments, cwd=self.work, env={**self.environ, **environ}, encoding="utf-8", timeout=60,
            dimensions=(60, 1000),
        )  # fmt: skip
        for prompt, answer in answers:
            child.expect_exact(prompt)
            screen += [child.before or "", prompt]
            if "Password" in prompt:  # the terminal would show what comes before the program turns that off
                child.waitnoecho(20)
            child.sendline(answer)
        child.expect(pexpect.EOF)
        screen.append(child.before or "")
        child.close()
        return "".join(screen), child.exitstatus

    def upload(self, **environ: str) -> Result:
        """Upload with the command of the case."""
        project = "" if self.name != "devpi" else project_named_in(self.work)
        return self.run(self.case.command.replace("{project}", project), **environ)

    def store(self, token: str, service: str | None = None) -> None:
        """Store a master as a person does, with keyring's own command."""
        done = self.run(f"{self.keyring} set {service or self.index.upload_url} __token__", token)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def arrived(self, project: str) -> list[Upload]:
        """Return what the index received of a project."""
        return [upload for upload in self.index.uploads() if upload.project == project]

    def note(self, what: str, shown: str, project: str) -> None:
        """Record what was seen, for the table that ends the run."""
        received = [
            f"{upload.filename}: {upload.status}, "
            + ("the master" if upload.is_master else f"restricted to {upload.restrictions[1:]}"
               if upload.restrictions else "no token")
            for upload in self.arrived(project)
        ]  # fmt: skip
        self.record("uploader", (f"{self.name} {self.version}", what, shown, received))

    def _words(self, command: str) -> list[str]:
        program, *arguments = [word.format(url=self.index.upload_url) for word in command.split()]
        path = shutil.which(program, path=self.environ["PATH"])
        assert path is not None, program
        return [path, *arguments]


@pytest.fixture
def make(
    environments: Environments,
    index: IndexProcess,
    work: Path,
    user_policy: WritePolicy,
    record_property: Callable[[str, object], None],
) -> Iterator[Callable[[str], Uploader]]:
    """Return a function that makes an uploader ready, with the index as a repository of the user's policy."""
    host = index.upload_url.split("/")[2]
    user_policy(f'[repository.local]\nurl = "{index.upload_url}"\ndomain = "pypi.org"\nservices = ["{host}"]\n')

    def make(name: str) -> Uploader:
        case = CASES[name]
        environment = case.environment or name
        scripts = environments.scripts(environment)
        other = environments.scripts("twine")
        keyring = scripts / "keyring" if (scripts / "keyring").exists() else other / "keyring"
        environ = {
            **os.environ,
            "PATH": os.pathsep.join([str(scripts), str(other), "/usr/bin", "/bin"]),
            "PYTHONPATH": str(STORES),
            "COLUMNS": "1000",
            "LANG": "C.UTF-8",
            # Nothing but loopback can be reached.
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            "PDM_CHECK_UPDATE": "false",
            "PDM_USE_VENV": "false",
            **{variable: value.format(url=index.upload_url) for variable, value in case.environ.items()},
        }
        version = environments.version(environment)
        uploader = Uploader(name, version, scripts, keyring, index, work, environ, record_property)
        if name == "poetry":
            assert uploader.run("poetry config repositories.local {url}").returncode == 0
        if name == "devpi":
            (work.parent / ".pypirc").write_text(
                f"[distutils]\nindex-servers = local\n[local]\nrepository = {index.upload_url}\nusername = __token__\n"
            )
            assert uploader.run(f"devpi use {server.url}/user/dev").returncode == 0
        return uploader

    with DevpiServer(work / "dist") as server:
        yield make


@pytest.fixture(params=CASES)
def uploader(request: pytest.FixtureRequest, make: Callable[[str], Uploader]) -> Uploader:
    """Return each uploader in turn."""
    return make(request.param)


def project_named_in(directory: Path) -> str:
    """Return the name of the project in a directory, as it stands there."""
    return (directory / "pyproject.toml").read_text().partition('name = "')[2].partition('"')[0]


def make_project(directory: Path, name: str, version: str = "1.0") -> str:
    """Write a project that flit can build, and its distributions; return its normalized name."""
    module = name.lower().replace("-", "_")
    directory.mkdir(exist_ok=True)
    (directory / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["flit_core>=3.9"]\nbuild-backend = "flit_core.buildapi"\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\ndescription = "A project."\nrequires-python = ">=3.9"\n'
        f'[tool.flit.module]\nname = "{module}"\n'
    )
    (directory / f"{module}.py").write_text('"""A project."""\n')
    shutil.rmtree(directory / "dist", ignore_errors=True)
    make_wheel(directory / "dist", name, version)
    make_sdist(directory / "dist", name, version)
    return name.lower().replace("_", "-")


def project_of(name: str) -> str:
    """Return a project's name that is a test's own, as no two tests share the index's projects."""
    return f"Of_{name}".replace(", ", "-").replace(" ", "-")


def shown(done: Result) -> str:
    """Return all that a person sees."""
    return done.stdout + done.stderr


def names(upload: Upload) -> object:
    """Return the projects that the token was restricted to, beside a window of 5 minutes, or 15 for unknown files."""
    window, projects = upload.restrictions
    assert (window[0], window[1] - window[2]) in ((0, 5 * 60 + 60), (0, 15 * 60 + 60))
    assert not upload.is_master
    assert projects[0] == 1
    return projects[1]


def test_sends_a_derived_token(uploader: Uploader, work: Path) -> None:
    """A good upload: both files with one token for this project, said in one line."""
    project = make_project(work, project_of(uploader.name))
    uploader.store(uploader.index.create_master("alice"))
    done = uploader.upload()
    assert done.returncode == 0, shown(done)
    uploads = uploader.arrived(project)
    assert [(upload.status, names(upload)) for upload in uploads] == [(200, [project])] * 2
    assert uploads[0].restrictions == uploads[1].restrictions
    if uploader.name != "pdm, the keyring command":  # which captures what the command says: see below
        assert shown(done).count(f"keyring-pypitoken: derived a token for {project} on local, valid until ") == 1
    assert "pypi-" not in shown(done).replace("pypi-token", "")
    uploader.note("upload", "", project)


def test_shows_a_refusal_in_one_sentence(uploader: Uploader, work: Path) -> None:
    """A project outside of the policy: one sentence, once, nothing else that frightens, and no master goes out."""
    project = make_project(work, "refused-" + project_of(uploader.name))
    (work / "pypitoken.toml").write_text('projects = ["other"]\n')
    uploader.store(uploader.index.create_master("alice"))
    if uploader.name == "pdm, the keyring command":
        screen, code = uploader.type(uploader.case.command)  # the sentence goes to the terminal; nothing is asked there
        assert "Username" not in screen
    else:
        done = uploader.upload()
        screen, code = shown(done), done.returncode
    sentence = (
        f"keyring-pypitoken: project '{project}' is not allowed here: pypitoken.toml:1 allows only 'other'; upload it "
        f"from its own repository, or add it there (it was named by {uploader.case.named_by})."
    )
    assert screen.count("keyring-pypitoken") == screen.count(sentence) == 1, screen
    assert code not in (0, None)
    assert "Traceback" not in screen
    # uv and pdm send a text that is not a token, which the index refuses.
    assert [upload.status for upload in uploader.arrived(project) if upload.restrictions or upload.is_master] == []
    uploader.note("refusal", sentence, project)


@pytest.mark.parametrize("name", TYPED)
def test_what_is_typed_is_saved_as_a_master(name: str, make: Callable[[str], Uploader], work: Path) -> None:
    """What the uploader asks for and saves lands under our own name, and the next upload is derived from it."""
    uploader = make(name)
    project = make_project(work, "saved-" + project_of(name))
    master = uploader.index.create_master("alice")
    answers = [(prompt, text.format(token=master)) for prompt, text in uploader.case.prompts]
    screen, code = uploader.type(uploader.case.saving, answers)
    assert code == 0, screen
    assert master not in screen
    assert FileKeyring().passwords() == {(f"keyring-pypitoken:{uploader.index.upload_url}", "default"): master}
    make_project(work, "saved-" + project_of(name), "2.0")
    done = uploader.upload()
    assert done.returncode == 0, shown(done)
    assert [names(upload) for upload in uploader.arrived(project) if upload.version == "2.0"] == [[project]] * 2
    uploader.note("save", "", project)


@pytest.mark.parametrize("name", TYPED)
def test_a_derived_token_that_is_typed_is_not_saved(name: str, make: Callable[[str], Uploader], work: Path) -> None:
    """It would be a master that ends in minutes: one sentence says so, and nothing is stored."""
    uploader = make(name)
    project = make_project(work, "derived-" + project_of(name))
    token = Token.load(uploader.index.create_master("alice"))
    token.restrict(project_names=[project], not_before=0, not_after=4_000_000_000)
    answers = [(prompt, text.format(token=token.dump())) for prompt, text in uploader.case.prompts]
    screen, code = uploader.type(uploader.case.saving, answers)
    sentence = "keyring-pypitoken: this token expires: it is a derived token, not a master: "
    assert screen.count(sentence) == 1, screen
    # Before it, that no master is stored; below it, the page that helps, which follows every refusal on a terminal.
    assert (screen.count("keyring-pypitoken: "), screen.count("keyring-pypitoken: see https://")) == (3, 1), screen
    assert "Traceback" not in screen
    assert FileKeyring().passwords() == {}
    # flit stores before it uploads. hatch and pdm store what worked: both files are there, and pdm is content.
    uploads = [upload.status for upload in uploader.arrived(project)]
    assert (uploads, code) == {"flit": ([], 1), "hatch": ([200, 200], 1), "pdm": ([200, 200], 0)}[name]


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("poetry config pypi-token.pypi {token}", "poetry-repository-pypi"),
        ("poetry config http-basic.pypi __token__ {token}", "poetry-repository-pypi"),
        ("poetry config pypi-token.testpypi {test}", "poetry-repository-testpypi"),
    ],
)
def test_what_poetry_stores_is_a_master(setting: str, key: str, make: Callable[[str], Uploader]) -> None:
    """`poetry config` stores under our own name, and `--unset` deletes it there."""
    uploader = make("poetry")
    tokens = {"token": new_master(), "test": new_master("test.pypi.org")}
    done = uploader.run(setting.format(**tokens))
    assert (done.returncode, shown(done).strip()) == (0, "")
    host, token = ("test", tokens["test"]) if "test" in key else ("upload", tokens["token"])
    private = f"keyring-pypitoken:https://{host}.pypi.org/legacy/"
    assert FileKeyring().passwords() == {(private, "default"): token}
    uploader.note("save", f"`{setting.partition(' {')[0]}` stored a master under {private}", "")
    *_, name = setting.split()[2].split(".")
    done = uploader.run(f"poetry config pypi-token.{name} --unset")
    assert (done.returncode, shown(done).strip()) == (0, "")
    assert FileKeyring().passwords() == {}


def test_poetry_says_why_a_token_is_not_stored(make: Callable[[str], Uploader]) -> None:
    """One sentence, and poetry's own words do not repeat it; nothing lands in its settings in clear either."""
    uploader = make("poetry")
    done = uploader.run("poetry config pypi-token.pypi hunter2-of-mine")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "keyring-pypitoken: this is not a PyPI API token, and a password cannot be restricted: create an API token on "
        "pypi.org and store that.\n"
    )
    assert FileKeyring().passwords() == {}
    assert "hunter2" not in "".join(path.read_text("utf-8") for path in uploader.work.parent.rglob("*.toml"))


def test_what_pdm_stores_in_its_settings_is_a_master(make: Callable[[str], Uploader]) -> None:
    """`pdm config` stores under our own name; its own key stays empty, which it asks for whatever it does."""
    uploader = make("pdm")
    token = new_master()
    for setting in ("username __token__", f"password {token}"):
        done = uploader.run(f"pdm config repository.pypi.{setting}")
        assert (done.returncode, shown(done)) == (0, "")
    private = f"keyring-pypitoken:{PYPI}"
    assert FileKeyring().passwords() == {(private, "default"): token}
    uploader.note("save", f"`pdm config repository.pypi.password` stored a master under {private}", "")
    done = uploader.run("pdm config")
    assert done.returncode == 0
    assert "keyring-pypitoken" not in shown(done)
    assert token not in "".join(path.read_text("utf-8") for path in uploader.work.parent.rglob("*.toml"))
    assert uploader.run("pdm config --delete repository.pypi.password").returncode == 0
    assert FileKeyring().passwords() == {}


# Raw masters under the uploaders' own keys

RAW = {
    "flit": ["{url} pypi_token:project:{project}", "{url} pypi_token:user:__token__", "{url} __token__"],
    "poetry": ["poetry-repository-local __token__", "{host} __token__"],
    "pdm": ["{url} __token__"],
    "hatch": ["{url} __token__"],
    "uv": ["{url} __token__", "{host} __token__"],
    "twine": ["{url} __token__"],
    "devpi": ["{url} __token__"],
}


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in RAW.items() for key in keys])
def test_a_raw_master_is_derived_from(name: str, key: str, make: Callable[[str], Uploader], work: Path) -> None:
    """What the uploader stored before this package was installed is never sent as it is."""
    uploader = make(name)
    project = make_project(work, f"raw-{RAW[name].index(key)}-" + project_of(name))
    host = uploader.index.upload_url.split("/")[2]
    service, username = key.format(url=uploader.index.upload_url, host=host, project=project).split()
    FileKeyring().plant(service, username, uploader.index.create_master("alice"))
    done = uploader.upload()
    assert done.returncode == 0, shown(done)
    assert [names(upload) for upload in uploader.arrived(project)] == [[project]] * 2


def test_stale_files_do_not_widen_what_flit_gets(make: Callable[[str], Uploader], work: Path) -> None:
    """It asks before it builds: what lies in dist/ from another time is not what it uploads."""
    uploader = make("flit")
    project = make_project(work, "fresh-" + project_of("flit"))
    make_wheel(work / "dist", "stale-project", "0.1")
    uploader.store(uploader.index.create_master("alice"))
    done = uploader.upload()
    assert done.returncode == 0, shown(done)
    assert [names(upload) for upload in uploader.arrived(project)] == [[project]] * 2


def test_pdm_shows_what_the_keyring_command_says(make: Callable[[str], Uploader], work: Path) -> None:
    """It captures the command's output, so that the notice goes to the terminal."""
    uploader = make("pdm, the keyring command")
    project = make_project(work, "seen-" + project_of("pdm"))
    uploader.store(uploader.index.create_master("alice"))
    screen, code = uploader.type(uploader.case.command)
    assert code == 0, screen
    assert screen.count(f"keyring-pypitoken: derived a token for {project} on local, valid until ") == 1


@pytest.mark.parametrize("name", ["twine", "uv", "pdm", "pdm, the keyring command"])
def test_a_yes_is_asked_for_once(name: str, make: Callable[[str], Uploader], work: Path) -> None:
    """By a program, then on the terminal; uv and pdm start a `keyring` process for each question."""
    uploader = make(name)
    project = make_project(work, "yes-" + project_of(name))
    uploader.store(uploader.index.create_master("alice"))
    program, policy = work.parent / "askpass", Path(paths.user_policy())
    text = policy.read_text()
    policy.write_text(f'{text}confirm = ["{program}"]\n')
    for answer, sent in (("exit 1", []), ("exit 0", [200, 200])):
        program.write_text(f'#!/bin/sh\necho "$1" >> {work.parent}/asked\n{answer}\n')
        program.chmod(0o755)
        uploader.upload()
        assert [upload.status for upload in uploader.arrived(project) if upload.restrictions] == sent
    asked = (work.parent / "asked").read_text().splitlines()
    assert asked == [asked[0]] * 2
    assert asked[0].startswith(f"Upload {project}, 2 files (")

    policy.write_text(f"{text}confirm = true\n")
    make_project(work, "yes-" + project_of(name), "2.0")
    screen, code = uploader.type(uploader.case.command, [("[y/N] ", "y")])
    assert (code, screen.count("[y/N]")) == (0, 1), screen
