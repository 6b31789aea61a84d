"""The module of twine against twine: command lines that both read, in twine's own environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from comparison import find_differences, write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from environments import Environments

pytestmark = pytest.mark.uploaders

# Runs `twine.cli.dispatch` up to the upload, and asks for the credentials with a keyring that has none.
SCRIPT = """
import twine.auth, twine.cli, twine.commands
import twine.commands.upload as upload, twine.commands.register as register
from twine import exceptions

class Keyring:
    asked = []
    username = "__token__"
    def get_credential(self, *key): self.asked.append(key); return self
    def get_password(self, *key): self.asked.append(key)

class Done(Exception):
    pass

def record(settings, names):
    twine.auth.Resolver.prompt = twine.auth.Private.prompt = lambda *_: "typed"
    twine.auth.Resolver.make_trusted_publishing_token = lambda self: None
    seen["url"] = settings.repository_config["repository"]
    settings.username, settings.password
    seen["lookups"] = [list(key) for key in twine.auth.keyring.asked]
    seen["uploading"] = True
    seen["files"] = None
    if isinstance(names, str):
        names = [names] if os.path.exists(names) else []
    else:
        names = twine.commands._split_inputs(twine.commands._find_dists(names)).dists
    seen["files"] = [os.path.normpath(os.path.join(os.getcwd(), name)) for name in names] or None
    raise Done

upload.upload = register.register = record

def read(arguments):
    global seen
    seen = {"uploading": None, "files": None, "url": None, "lookups": None}
    twine.auth.keyring = Keyring()
    twine.auth.keyring.asked = []
    try:
        twine.cli.dispatch(arguments)
        seen["uploading"] = False
    except SystemExit as error:
        seen["uploading"] = False if error.code in (0, None) else "usage"
    except Done:
        pass
    except exceptions.InvalidDistribution:
        pass
    except (exceptions.TwineException, KeyError):
        seen["uploading"] = "settings"
    return seen
"""

PYPIRCS = {
    "full": """[distutils]
index-servers =
    pypi
    testpypi
    local
    http
    named
    secret
    empty
    bare
[server-login]
username: old
[local]
repository = http://127.0.0.1:1/legacy/
[http]
repository = http://upload.pypi.org/legacy/
username = bob
[named]
repository = HTTPS://Example.com/simple?x=%20
username = __token__
[secret]
repository = https://user:pw@example.com/
password = hunter2
[empty]
repository = https://example.com/
password =
[bare]
username = alice
[unlisted]
repository = https://example.org/
""",
    "none": "[pypi]\nusername = __token__\n",
    "without-test": "[distutils]\nindex-servers = pypi\n[pypi]\nrepository = https://test.pypi.org/legacy/\npassword=x\n",
    "defaults": "[DEFAULT]\nusername = eve\n[distutils]\nindex-servers = a\n[a]\nrepository = https://a.example/\n",
    "broken": "[distutils\nindex-servers = a\n",
    "twice": "[a]\nx = 1\n[a]\n",
    "login": "[server-login]\nusername = old\npassword = older\n",
    "mark": "\ufeff[distutils]\nindex-servers = a\n[a]\nrepository = https://a.example/\n[pypi]\nusername = x\n",
}

LINES = """
upload dist/*
upload dist/demo-1.0.tar.gz
upload dist/*.whl dist/*.tar.gz
upload dist/demo-1.0.tar.gz dist/demo-1.0-py3-none-any.whl dist/other_name-1.0.tar.gz
upload dist/demo-1.0.tar.gz dist/demo-1.0.tar.gz.asc
upload --attestations dist/demo*
upload dist/.*.gz
upload .\x2fdist/d?mo*
upload d*/d[e]mo-1.0.tar.gz
upload d*/*/x
upload dist//demo-1.0.tar.gz
upload sub/dist[1]/*.whl
upload sub/dist[[]1]/*.whl
upload **/demo*.whl
upload */../dist/demo*.whl
upload missing-1.0.tar.gz
upload dist/nothing*
upload dist/demo-1.0.tar.gz missing*
upload ''
upload
upload -s dist/demo*.whl
upload -sc note dist/demo*.whl
upload -scnote dist/demo*.whl
upload -sc=note dist/demo*.whl
upload -si me -r local dist/demo*.whl
upload -rlocal dist/demo*.whl
upload -r=local dist/demo*.whl
upload -srlocal dist/demo*.whl
upload --repository=local dist/demo*.whl
upload --repository local --repository pypi dist/demo*.whl
upload --repo local dist/demo*.whl
upload --repository-u https://example.com/ dist/demo*.whl
upload --repository-url=https://example.com/?q#f dist/demo*.whl
upload --sign dist/demo*.whl
upload --sign-w gpg2 dist/demo*.whl
upload --si dist/demo*.whl
upload --user bob dist/demo*.whl
upload -ubob dist/demo*.whl
upload -u '' dist/demo*.whl
upload -u __token__ -r local dist/demo*.whl
upload -u '' -r local dist/demo*.whl
upload -p pw dist/demo*.whl
upload -p '' -r local dist/demo*.whl
upload -r testpypi dist/demo*.whl
upload -r http dist/demo*.whl
upload -r named dist/demo*.whl
upload -r secret dist/demo*.whl
upload -r empty dist/demo*.whl
upload -r bare dist/demo*.whl
upload -r unlisted dist/demo*.whl
upload -r nowhere dist/demo*.whl
upload -r '' dist/demo*.whl
upload --config-file none dist/demo*.whl
upload --config-file none -r testpypi dist/demo*.whl
upload --config-file without-test dist/demo*.whl
upload --config-file without-test -r testpypi dist/demo*.whl
upload --config-file defaults -r a dist/demo*.whl
upload --config-file broken dist/demo*.whl
upload --config-file twice dist/demo*.whl
upload --config-file login dist/demo*.whl
upload --config-file login -r testpypi dist/demo*.whl
upload --config-file missing dist/demo*.whl
upload --config-file ~/.pypirc -r local dist/demo*.whl
upload --config-file missing --repository-url https://example.com/ dist/demo*.whl
upload --repository-url http://upload.pypi.org/legacy/ dist/demo*.whl
upload --repository-url https://UPLOAD.pypi.org/legacy/ dist/demo*.whl
upload --repository-url HTTPS://upload.pypi.org/legacy/ dist/demo*.whl
upload --repository-url https://upload.pypi.org/legacy dist/demo*.whl
upload --repository-url https://upload.pypi.org/legacy/?label dist/demo*.whl
upload --repository-url https://bob:pw@upload.pypi.org/legacy/ dist/demo*.whl
upload --repository-url https://bob@example.com/ dist/demo*.whl
upload --repository-url https://:pw@example.com/ dist/demo*.whl
upload --repository-url https://bob:pw@example.com:8443/x dist/demo*.whl
upload --repository-url http://bob:pw@test.pypi.org/legacy/ dist/demo*.whl
upload --repository-url ftp://example.com/ dist/demo*.whl
upload --repository-url example.com dist/demo*.whl
upload --repository-url https:///legacy/ dist/demo*.whl
upload --repository-url '' -r local dist/demo*.whl
upload --repository-url https://pypi.python.org/pypi dist/demo*.whl
upload --repository-url https://example.com/ -r local dist/demo*.whl
TWINE_REPOSITORY=testpypi upload dist/demo*.whl
TWINE_REPOSITORY=testpypi upload -r local dist/demo*.whl
TWINE_REPOSITORY='' upload dist/demo*.whl
TWINE_REPOSITORY=nowhere upload dist/demo*.whl
TWINE_REPOSITORY_URL=https://example.com/ upload dist/demo*.whl
TWINE_REPOSITORY_URL=https://example.com/ upload -r testpypi dist/demo*.whl
TWINE_REPOSITORY_URL=https://example.com/ upload --repository-url https://example.org/ dist/demo*.whl
TWINE_REPOSITORY_URL=https://example.com/ upload --repository-url '' -r testpypi dist/demo*.whl
TWINE_REPOSITORY_URL='' TWINE_REPOSITORY=local upload dist/demo*.whl
TWINE_USERNAME=bob upload dist/demo*.whl
TWINE_USERNAME='' upload -r local dist/demo*.whl
TWINE_USERNAME=bob upload -u alice -r local dist/demo*.whl
TWINE_PASSWORD=pw upload dist/demo*.whl
TWINE_PASSWORD='' upload -r local dist/demo*.whl
TWINE_PASSWORD=pw TWINE_REPOSITORY_URL=https://example.com/ upload dist/demo*.whl
upload --verbose --non-interactive --disable-progress-bar --skip-existing --client-cert c --cert d dist/demo*.whl
upload dist/demo*.whl -r local
upload -- dist/demo*.whl
upload -r local -- dist/demo*.whl
upload '-x demo-1.0-py3-none-any.whl'
upload -h dist/demo*.whl
upload --help
upload -sh dist/demo*.whl
--help
--version upload dist/demo*.whl
--no-color upload dist/demo*.whl
--no upload -r local dist/demo*.whl
--no-color --vers upload dist/demo*.whl
-- upload dist/demo*.whl
check dist/demo*.whl
register dist/demo-1.0.tar.gz
register -r local dist/demo-1.0.tar.gz
register -rlocal missing
upload --config-file mark -r a dist/demo*.whl
""".strip().splitlines()


def test_command_lines_are_read_as_twine_does(environments: Environments, work: Path, home: Path) -> None:
    write_tree(work, home, PYPIRCS)
    assert find_differences("twine", environments, SCRIPT, LINES, [work]) == []
