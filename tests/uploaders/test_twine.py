"""Real `twine upload`s, in processes of their own, to the loopback index in another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest
import twine.settings
from distributions import make_sdist, make_wheel
from file_keyring import FileKeyring
from sandbox import STORES, Run, WritePolicy, new_master

from keyring_pypitoken import Token

if TYPE_CHECKING:
    from pathlib import Path

    from loopback_index import IndexProcess, Upload
    from sandbox import Result

TWINE = ("twine", "upload", "--non-interactive", "--disable-progress-bar")


@pytest.fixture
def local(index: IndexProcess, user_policy: WritePolicy, run: Run) -> IndexProcess:
    """Make the index a repository of the user's policy, and store a master for it with the real `keyring set`."""
    user_policy(f'[repository.local]\nurl = "{index.upload_url}"\ndomain = "pypi.org"\n')
    done = run("keyring", "set", index.upload_url, "__token__", stdin=index.create_master("alice"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return index


@pytest.fixture
def dist(work: Path) -> Path:
    """Return an empty directory dist/ in the current one."""
    directory = work / "dist"
    directory.mkdir()
    return directory


def arrived(index: IndexProcess, *filenames: str) -> list[Upload]:
    """Return what the index received of some files."""
    return [upload for upload in index.uploads() if upload.filename in filenames]


def names(upload: Upload) -> object:
    """Return the project names that the token of an upload was restricted to, after checking its window."""
    window, projects = upload.restrictions
    assert window[0] == 0
    assert window[1] - window[2] == 5 * 60 + 60
    assert window[2] <= upload.received_at < window[1]
    assert not upload.is_master
    assert projects[0] == 1
    return projects[1]


def test_uploads_the_wheel_and_the_sdist_of_one_project(run: Run, local: IndexProcess, dist: Path) -> None:
    """The files in the arguments tell the project, and one token serves them all."""
    files = [make_wheel(dist, "One.Project", "1.0").name, make_sdist(dist, "One.Project", "1.0").name]
    done = run(*TWINE, "--repository-url", local.upload_url, *(f"dist/{file}" for file in files))
    assert done.returncode == 0, done.stdout + done.stderr
    uploads = arrived(local, *files)
    assert [(upload.status, names(upload)) for upload in uploads] == [(200, ["one-project"])] * 2
    assert uploads[0].restrictions == uploads[1].restrictions
    assert "keyring-pypitoken: derived a token for one-project on local, valid until " in done.stderr


def test_uploads_a_monorepo_with_a_policy_of_two(run: Run, local: IndexProcess, dist: Path, work: Path) -> None:
    """Two projects of one repository, allowed by its policy, go up with one token for both."""
    (work / "pypitoken.toml").write_text('projects = ["mono-a", "mono-b", "mono-c"]\n')
    files = [make_wheel(dist, "mono-b", "1.0").name, make_sdist(dist, "mono_a", "1.0").name]
    done = run(*TWINE, "--repository-url", local.upload_url, "dist/*")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [names(upload) for upload in arrived(local, *files)] == [["mono-a", "mono-b"]] * 2


def test_a_monorepo_with_a_project_too_many_uploads_nothing(
    run: Run, local: IndexProcess, dist: Path, work: Path
) -> None:
    """One file outside of the policy stops the whole run, with one sentence, and nothing is sent."""
    (work / "pypitoken.toml").write_text('projects = ["many-a"]\n')
    files = [make_wheel(dist, "many-a", "1.0").name, make_sdist(dist, "many_b", "1.0").name]
    done = run(*TWINE, "--repository-url", local.upload_url, "-u", "__token__", "dist/*")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        (
            "keyring-pypitoken: project 'many-b' is not allowed here: pypitoken.toml:1 allows only 'many-a'; "
            "upload it from its own repository, or add it there (it was named by the files in dist)."
        )
    ]
    assert done.stdout == f"Uploading distributions to {local.upload_url}\n"
    assert arrived(local, *files) == []


def test_works_as_the_twine_script_and_with_a_pypirc(local: IndexProcess, dist: Path, home: Path, work: Path) -> None:
    """The script that pip installs asks as `python -m twine` does; `.pypirc` may name the repository."""
    (home / ".pypirc").write_text(f"[distutils]\nindex-servers = local\n[local]\nrepository = {local.upload_url}\n")
    file = make_wheel(dist, "scripted", "1.0").name
    script = shutil.which("twine", path=sysconfig.get_path("scripts"))
    assert script is not None
    done = subprocess.run(
        [script, *TWINE[1:], "-r", "local", f"dist/{file}"],
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(STORES), "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [names(upload) for upload in arrived(local, file)] == [["scripted"]]


def test_a_derived_token_is_good_for_nothing_else(run: Run, local: IndexProcess, dist: Path, work: Path) -> None:
    """Overheard, it uploads no other project, and none at all when its window is over: the index says why."""
    (work / "pyproject.toml").write_text('[project]\nname = "overheard"\n')
    token = run("keyring", "get", local.upload_url, "__token__").stdout.strip()
    upload = (*TWINE, "--repository-url", local.upload_url, "-u", "__token__")
    file = make_wheel(dist, "somebody-elses", "1.0").name
    other = run(*upload, f"dist/{file}", TWINE_PASSWORD=token)
    assert other.returncode == 1
    assert "Invalid API Token: project-scoped token is not valid for project: 'somebody-elses'" in other.stdout
    file = make_wheel(dist, "overheard", "1.0").name
    for offset, reason in ((16 * 60, "token is expired"), (-120, "token is expired")):
        local.set_clock_offset(offset)
        try:
            late = run(*upload, f"dist/{file}", TWINE_PASSWORD=token)
        finally:
            local.set_clock_offset(0)
        assert late.returncode == 1
        assert f"Invalid API Token: {reason}" in late.stdout
    assert run(*upload, f"dist/{file}", TWINE_PASSWORD=token).returncode == 0


def test_with_raw_masters_only_a_derived_token_is_sent(run: Run, local: IndexProcess, dist: Path) -> None:
    """What plain `keyring set` left under the upload URL, before this plugin was installed, is derived from."""
    stored = FileKeyring()
    stored.delete_password(f"keyring-pypitoken:{local.upload_url}", "default")
    stored.plant(local.upload_url, "__token__", local.create_master("bob"))
    file = make_wheel(dist, "raw-before", "1.0").name
    done = run(*TWINE, "--repository-url", local.upload_url, f"dist/{file}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [names(upload) for upload in arrived(local, file)] == [["raw-before"]]


def test_without_a_master_twine_behaves_as_ever(run: Run, local: IndexProcess, dist: Path) -> None:
    """If nothing is stored, twine says that it has no password, and we say what it would send then."""
    assert run("keyring", "del", local.upload_url, "__token__").returncode == 0
    file = make_wheel(dist, "nothing-stored", "1.0").name
    done = run(*TWINE, "--repository-url", local.upload_url, "-u", "__token__", f"dist/{file}")
    assert done.returncode == 1
    assert done.stderr == (
        "keyring-pypitoken: no master is stored for local: run `keyring-pypitoken login -r local`; a token that you "
        "type now is sent as it is\n"
    )
    assert "Credential not found for password." in done.stdout
    assert arrived(local, file) == []


@pytest.mark.parametrize(("repository", "domain"), [("pypi", "pypi.org"), ("testpypi", "test.pypi.org")])
def test_twine_gets_a_derived_token_for_the_real_urls(
    repository: str, domain: str, run: Run, dist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked by twine's own code in this process, for PyPI's own URL: a token for the files. Nothing is sent."""
    url = f"https://{'upload' if repository == 'pypi' else 'test'}.pypi.org/legacy/"
    stored: Result = run("keyring", "set", url, "__token__", stdin=new_master(domain))
    assert stored.returncode == 0
    make_wheel(dist, "for-real", "1.0")
    monkeypatch.setitem(sys.modules, "twine", twine)
    monkeypatch.setattr(sys, "argv", ["twine", "upload", "-r", repository, "dist/*"])
    settings = twine.settings.Settings(repository_name=repository, non_interactive=True)
    assert settings.username == "__token__"
    assert settings.password is not None
    token = Token.load(settings.password)
    assert (token.domain, token.raw_caveats[1]) == (domain, b'[1, ["for-real"]]')


RELEASE = """
import getpass, sys
import twine.cli, twine.commands.upload as command, twine.settings
getpass.getpass = lambda *_: print("PROMPTED") or "typed"
how, url, file = sys.argv[1:]
options = ["--repository-url", url, "--username", "__token__", file]
if how == "main":
    command.main(options)
elif how == "dispatch":
    twine.cli.dispatch(["upload", *options])
elif how == "upload":
    command.upload(twine.settings.Settings(repository_url=url, username="__token__"), [file])
else:
    print(twine.settings.Settings(repository_url=url, username="__token__").password)
"""


@pytest.mark.parametrize("how", ["main", "dispatch", "upload"])
def test_a_script_that_calls_twine_gets_a_token_for_its_files(
    how: str, run: Run, local: IndexProcess, work: Path
) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "tools"\n')
    (work / "release.py").write_text(RELEASE)
    package = work / "packages" / "part"
    package.mkdir(parents=True)
    file = make_wheel(package, f"part-{how}", "1.0").name
    done = run("release", how, local.upload_url, f"packages/part/{file}")
    assert done.returncode == 0, done.stdout + done.stderr
    (upload,) = arrived(local, file)
    assert names(upload) == [f"part-{how}"]


@pytest.mark.parametrize("how", ["main", "dispatch", "upload", "password"])
def test_a_refusal_ends_a_script_that_calls_twine(
    how: str, run: Run, local: IndexProcess, work: Path, user_policy: WritePolicy
) -> None:
    url = local.upload_url
    user_policy(f'[repository.local]\nurl = "{url}"\ndomain = "pypi.org"\nprojects = ["other"]\n')
    (work / "pyproject.toml").write_text('[project]\nname = "tools"\n')
    (work / "release.py").write_text(RELEASE)
    file = make_wheel(work, f"refused-{how}", "1.0").name
    done = run("release", how, url, file)
    assert done.returncode == 1
    assert "PROMPTED" not in done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.count("keyring-pypitoken: ") == 1
    assert arrived(local, file) == []
