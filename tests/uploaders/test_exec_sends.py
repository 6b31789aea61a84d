"""`exec -- UPLOADER ...` with each real uploader: the token reaches the repository it is for, or nothing is sent."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, NamedTuple

import keyring
import pytest
from distributions import make_sdist, make_wheel
from wire import NotingIndex, run_offline

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from environments import Environments
    from sandbox import WritePolicy

pytestmark = [
    pytest.mark.uploaders,
    pytest.mark.skipif(os.name != "posix", reason="commands are written as a POSIX shell has them"),
]

# `{name}` and `{url}` stand for a repository: `other`, which has a master of its own, or one that is not known here.
WAYS = (
    "TWINE_REPOSITORY={name} twine upload dist/*",
    "TWINE_REPOSITORY_URL={url} twine upload dist/*",
    "TWINE_REPOSITORY_URL={url} twine upload -r own dist/*",
    "TWINE_REPOSITORY=own twine upload -r {name} dist/*",
    "twine upload --repository={name} dist/*",
    "twine upload --repository-url {url} dist/*",
    "TWINE_REPOSITORY_URL={own} twine upload --repository-url {url} dist/*",
    "python -m twine upload -r {name} dist/*",
    "env TWINE_REPOSITORY={name} twine upload dist/*",
    "env TWINE_REPOSITORY_URL={url} twine upload dist/*",
    "UV_PUBLISH_URL={url} uv publish",
    "uv publish --publish-url {url}",
    "UV_PUBLISH_URL={own} uv publish --publish-url={url}",
    "uv publish --index {name}",
    "UV_PUBLISH_INDEX={name} uv publish",
    "uv --config-file {name}.toml publish",
    "UV_CONFIG_FILE={name}.toml uv publish",
    "uv --directory dist publish --publish-url {url} '*'",
    "HATCH_INDEX_REPO={url} hatch publish",
    "HATCH_INDEX_REPO={name} hatch publish",
    "hatch publish -r {url}",
    "HATCH_INDEX_REPO=own hatch publish -nr {name}",
    "FLIT_INDEX_URL={url} flit publish --no-use-vcs",
    "flit publish --no-use-vcs --repository {name}",
    "flit --repository {name} publish --no-use-vcs",
    "poetry publish -r {name}",
    "POETRY_REPOSITORIES_OWN_URL={url} poetry publish -r own",
    "poetry publish --repository={name}",
    "PDM_PUBLISH_REPO={url} pdm publish --no-build",
    "PDM_PUBLISH_REPO={name} pdm publish --no-build",
    "pdm publish --no-build -r {url}",
    "PDM_PUBLISH_REPO=own pdm publish --no-build --repository {name}",
    "MATURIN_REPOSITORY={name} maturin upload dist/demo-1.0-py3-none-any.whl",
    "MATURIN_REPOSITORY_URL={url} maturin upload dist/demo-1.0-py3-none-any.whl",
    "maturin upload -r {name} dist/demo-1.0-py3-none-any.whl",
    "maturin upload --repository-url {url} dist/demo-1.0-py3-none-any.whl",
)
# Credentials that would win over the variables of `exec`, and how the refusal names them.
CREDENTIALS = {
    "twine upload -r own -u joe -p pw dist/*": "the option --password is given: leave out `--password`",
    "twine upload -r own --passw=pw dist/*": "the option --password is given: leave out `--password`",
    "twine upload -r own -u joe dist/*": "--username names the user 'joe': set the user name in --username to "
    "`__token__`",
    "env TWINE_PASSWORD=pw twine upload -r own dist/*": "the variable TWINE_PASSWORD is set: `unset TWINE_PASSWORD`",
    "uv publish --publish-url {own} -u joe -p pw": "the option --password is given: leave out `--password`",
    "uv publish --publish-url {own} -u joe": "--username names the user 'joe': set the user name in --username to "
    "`__token__`",
    "hatch publish -r own -a pw": "the option --auth is given: leave out `--auth`",
    "hatch publish -r own -u joe": "--user names the user 'joe': set the user name in --user to `__token__`",
    "poetry publish -r own -u joe -p pw": "the option --password is given: leave out `--password`",
    "pdm publish --no-build -r own -u joe -P pw": "the option --password is given: leave out `--password`",
    "uv publish --publish-url {own_with_user}": "--publish-url names the user 'joe': set the user name in "
    "--publish-url to `__token__`",
    "pdm publish --no-build -r own -u joe": "--username names the user 'joe': set the user name in --username to "
    "`__token__`",
}
# Credentials over which those variables win.
LESSER = (
    "twine upload -r secret dist/*",
    "TWINE_PASSWORD=pw TWINE_USERNAME=joe twine upload -r own dist/*",
    "twine upload --repository-url {own_with_user} dist/*",
    "UV_PUBLISH_PASSWORD=pw uv publish --publish-url {own}",
    "UV_PUBLISH_TOKEN=pw uv publish --publish-url {own}",
    "FLIT_PASSWORD=pw flit publish --no-use-vcs --repository own",
    "flit publish --no-use-vcs --repository secret",
    "HATCH_INDEX_AUTH=pw hatch publish -r own",
    "PDM_PUBLISH_PASSWORD=pw pdm publish --no-build -r own",
    "POETRY_PYPI_TOKEN_OWN=pw poetry publish -r own",
    "MATURIN_PASSWORD=pw maturin upload -r own dist/demo-1.0-py3-none-any.whl",
    "maturin upload -r own -u joe -p pw dist/demo-1.0-py3-none-any.whl",
    "maturin upload -r secret dist/demo-1.0-py3-none-any.whl",
)

# URLs with a user, which these uploaders pass on as they are: no known repository has one.
WITH_USER = (
    "FLIT_INDEX_URL={own_with_user} flit publish --no-use-vcs",
    "hatch publish -r {own_with_user}",
    "pdm publish --no-build -r {own_with_user}",
)


class Setup(NamedTuple):
    """Three indexes, two of which are known and have a master, and the uploaders' environments."""

    own: NotingIndex
    other: NotingIndex
    unknown: NotingIndex
    environments: Environments
    work: Path

    def execute(self, line: str, name: str = "other") -> subprocess.CompletedProcess[str]:
        """Run a command line through `exec`; `name` is the repository that it means."""
        words = shlex.split(line)
        environ = dict(os.environ)
        program = next(word for word in words if "=" not in word)
        uploader = "twine" if program in ("python", "env") else program
        scripts = self.environments.scripts(uploader)
        environ["PATH"] = os.pathsep.join([str(scripts), "/usr/bin", "/bin"])
        known = {
            "name": name,
            "url": getattr(self, name).upload_url,
            "own": self.own.upload_url,
            "own_with_user": self.own.upload_url.replace("//", "//joe:pw@"),
        }
        words = [word.format(**known) for word in words]
        while "=" in words[0] and words[0][0].isupper():
            variable, _, environ[variable] = words.pop(0).partition("=")
        return run_offline([sys.executable, "-m", "keyring_pypitoken", "exec", "--", *words], self.work, environ)


@pytest.fixture
def setup(home: Path, work: Path, user_policy: WritePolicy, environments: Environments) -> Iterator[Setup]:
    """Write the settings of all uploaders, with all three repositories, and store two masters."""
    with NotingIndex() as own, NotingIndex() as other, NotingIndex() as unknown:
        urls = {"own": own.upload_url, "other": other.upload_url, "unknown": unknown.upload_url}
        user_policy(
            "".join(f'[repository.{name}]\nurl = "{urls[name]}"\ndomain = "pypi.org"\n' for name in list(urls)[:2])
        )
        for index in (own, other):
            keyring.set_password(index.upload_url, "__token__", index.create_master("alice"))
        _write_settings(home, work, urls)
        yield Setup(own, other, unknown, environments, work)


def _write_settings(home: Path, work: Path, urls: dict[str, str]) -> None:
    make_wheel(work / "dist", "demo", "1.0")
    make_sdist(work / "dist", "demo", "1.0")
    (work / "demo.py").write_text('"""A demo."""\n')
    indexes = "".join(
        f'[[tool.uv.index]]\nname = "{name}"\nurl = "{url}"\npublish-url = "{url}"\n' for name, url in urls.items()
    )
    (work / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["flit_core>=3.9"]\nbuild-backend = "flit_core.buildapi"\n'
        '[project]\nname = "demo"\nversion = "1.0"\ndescription = "A demo."\n' + indexes
    )
    sections = "".join(f"[{name}]\nrepository = {url}\n" for name, url in urls.items())
    secret = f"[secret]\nrepository = {urls['own']}\nusername = joe\npassword = pw\n"
    files = {
        ".pypirc": f"[distutils]\nindex-servers =\n    own\n    other\n    unknown\n    secret\n{sections}{secret}",
        "config/hatch/config.toml": "".join(
            f'[publish.index.repos.{name}]\nurl = "{url}"\n' for name, url in urls.items()
        ),
        "config/pdm/config.toml": "".join(f'[repository.{name}]\nurl = "{url}"\n' for name, url in urls.items()),
        "config/pypoetry/config.toml": "".join(f'[repositories.{name}]\nurl = "{url}"\n' for name, url in urls.items()),
        **{f"work/{name}.toml": f'publish-url = "{url}"\n' for name, url in urls.items()},
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)


@pytest.mark.parametrize("line", WAYS)
def test_the_token_reaches_the_repository_that_was_named(line: str, setup: Setup) -> None:
    done = setup.execute(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert setup.own.sent == setup.unknown.sent == []
    assert {(sent.kind, sent.username, *sent.projects) for sent in setup.other.sent} == {
        ("derived", "__token__", "demo")
    }
    assert all(upload.status == 200 for upload in setup.other.uploads)


@pytest.mark.parametrize("line", WAYS)
def test_nothing_is_sent_to_an_address_that_is_not_known(line: str, setup: Setup) -> None:
    done = setup.execute(line, "unknown")
    assert setup.own.sent == setup.other.sent == setup.unknown.sent == []
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("keyring-pypitoken: ")
    assert f"would upload to '{setup.unknown.upload_url}'" in done.stderr
    assert done.stderr.endswith(
        ", which is not a known repository: correct it, or add a [repository.NAME] with this url to your own "
        "policy.toml.\n"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("line", CREDENTIALS)
def test_a_credential_that_would_win_is_refused(line: str, setup: Setup) -> None:
    done = setup.execute(line)
    reason, fix = CREDENTIALS[line].split(": ", 1)
    program = next(name for name in ("twine", "uv", "hatch", "poetry", "pdm") if name in line.split())
    assert setup.own.sent == setup.other.sent == []
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"keyring-pypitoken: {reason}, and {program} would send that instead of the restricted token: {fix}.\n"
    )


@pytest.mark.parametrize("line", LESSER)
def test_the_token_wins_over_other_credentials(line: str, setup: Setup) -> None:
    done = setup.execute(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {(sent.kind, sent.username) for sent in setup.own.sent} == {("derived", "__token__")}


@pytest.mark.parametrize("line", WITH_USER)
def test_a_url_with_another_user_is_refused(line: str, setup: Setup) -> None:
    done = setup.execute(line)
    assert setup.own.sent == []
    assert done.returncode == 1
    assert "would upload to 'http://***@127.0.0.1:" in done.stderr
    assert "joe" not in done.stderr
