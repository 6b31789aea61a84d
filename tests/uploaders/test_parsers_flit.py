"""The module of flit against flit: command lines that both read, in flit's own environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from comparison import find_differences, write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from environments import Environments

pytestmark = pytest.mark.uploaders

# Runs `flit.main` up to the build, with a keyring that has nothing, and a person who types a password.
SCRIPT = """
import keyring, flit, flit.log, flit.upload as upload
from flit.config import read_flit_config

class Built(Exception):
    pass

def ask(*key):
    asked.append(list(key))

def publish(ini_path, repository, pypirc=None, formats=None, use_vcs=True):
    seen["uploading"] = True
    seen["project"] = os.path.normpath(os.path.join(os.getcwd(), ini_path.parent))
    if pypirc is not None and not os.path.isfile(pypirc):
        raise KeyError
    name = read_flit_config(ini_path).metadata["name"]
    repo = upload.get_repository(pypirc or "~/.pypirc", repository, project_name=name)
    seen["url"], seen["lookups"] = repo.url, asked
    raise Built

upload.main = publish
keyring.get_password, keyring.set_password = ask, lambda *_: None
upload.getpass.getpass = lambda *_: "typed"
flit.enable_colourful_output = lambda *_: None
# A terminal, so that passwords are asked for; no user name is typed.
sys.stdin.isatty, upload.write_pypirc = lambda: True, lambda *_: None
class Terminal(io.StringIO):
    def isatty(self): return True
sys.stdin = Terminal()
upload.input = lambda *_: "nobody-typed"

def read(arguments):
    global asked, seen
    asked = []
    seen = {"uploading": None, "project": None, "url": None, "lookups": None}
    try:
        flit.main(arguments)
        seen["uploading"] = False
    except SystemExit as error:
        seen["uploading"] = False if error.code in (0, None) else "usage"
    except Built:
        if any(key[1] == "nobody-typed" for key in asked):
            seen["lookups"] = []  # after a prompt, which the uploader reports as a problem
    except Exception:  # of the settings, or of a build
        seen["uploading"] = "settings" if seen["uploading"] else False
    return seen
"""

PYPIRCS = {
    "full": """[distutils]
index-servers =
    pypi
    testpypi
    local
    http
    old
    secret
    bare
[pypi]
username = __token__
[testpypi]
username = bob
[local]
repository = http://127.0.0.1:1/legacy
username = A%20user
[http]
repository = http://upload.pypi.org/legacy/
username = bob
[old]
repository = http://test.pypi.org/legacy/
username = bob
[secret]
repository = https://example.com/
username = __token__
password = hunter2
[unlisted]
repository = https://example.org/
""",
    "none": "[pypi]\nusername = __token__\n",
    "no-pypi": "[distutils]\nindex-servers = a\n[a]\nrepository = https://a.example/\nusername = a\n",
    "moved": "[distutils]\nindex-servers = pypi\n[pypi]\nrepository = https://test.pypi.org/legacy/\nusername = x\n",
    "defaults": "[DEFAULT]\nusername = eve\n[distutils]\nindex-servers = a\n[a]\nrepository = https://a.example/\n",
    "broken": "[distutils\nindex-servers = a\n",
    "twice": "[a]\nx = 1\n[a]\n",
    "mark": "\ufeff[distutils]\nindex-servers = a\n[a]\nrepository = https://a.example/\n[pypi]\nusername = x\n",
}

LINES = """
publish
--debug publish
publish --use-vcs
publish --no-use-vcs --format wheel
publish --format wheel --format sdist
publish --format=sdist
publish --form sdist
publish --use --repository local
publish --repository local
publish --repository=local
publish --repo local
publish --r local
--repository local publish
--repository=local publish
--repository local publish --repository testpypi
--repository local publish --repository ''
--repository '' publish
publish --repository ''
publish --repository testpypi
publish --repository http
publish --repository old
publish --repository secret
publish --repository bare
publish --repository unlisted
publish --repository nowhere
publish --repository local --repository pypi
publish --pypirc none
publish --pypirc none --repository pypi
publish --pypirc none --repository testpypi
publish --pypirc no-pypi
publish --pypirc no-pypi --repository a
publish --pypirc moved
publish --pypirc moved --repository pypi
publish --pypirc defaults --repository a
publish --pypirc broken
publish --pypirc twice
publish --pypirc missing
publish --pypirc=none
publish --pyp none
-f sub/pyproject.toml publish
-fsub/pyproject.toml publish
-f=sub/pyproject.toml publish
--ini-file sub/pyproject.toml publish
--ini-file=sub/pyproject.toml publish
--ini sub/pyproject.toml publish
-f pyproject.toml -f sub/pyproject.toml publish
-f ./sub/../sub/pyproject.toml publish
-f sub/missing.toml publish
publish -f sub/pyproject.toml
FLIT_INDEX_URL=https://test.pypi.org/legacy/ publish
FLIT_INDEX_URL=https://test.pypi.org/legacy/ FLIT_USERNAME=__token__ publish
FLIT_INDEX_URL=https://test.pypi.org/legacy FLIT_USERNAME=__token__ publish
FLIT_INDEX_URL=http://upload.pypi.org/legacy/ FLIT_USERNAME=__token__ publish
FLIT_INDEX_URL=http://127.0.0.1:1/ FLIT_USERNAME=bob publish
FLIT_INDEX_URL=https://example.com/ FLIT_USERNAME=bob publish --repository local
FLIT_INDEX_URL= FLIT_USERNAME=bob publish --repository local
FLIT_INDEX_URL=https://example.com/ FLIT_USERNAME=bob --repository local publish
FLIT_INDEX_URL=https://example.com/ FLIT_USERNAME=bob publish --pypirc broken
FLIT_USERNAME=bob publish
FLIT_USERNAME=bob publish --repository testpypi
FLIT_USERNAME= publish --repository testpypi
FLIT_PASSWORD=pw publish
FLIT_PASSWORD= publish
FLIT_PASSWORD= publish --repository secret
FLIT_PASSWORD=pw FLIT_USERNAME=__token__ FLIT_INDEX_URL=https://example.com/ publish
FLIT_INDEX_URL=https://example.com/ publish
--logo publish
--version publish
-V publish
--vers
-h publish
publish -h
publish --help --repository local
publish --no
publish dist/demo-1.0.tar.gz
build
build --format wheel
--debug --debug -f sub/pyproject.toml publish --no-use-vcs --repository local
-- publish
publish --
publish --pypirc mark --repository a
""".strip().splitlines()


def test_command_lines_are_read_as_flit_does(environments: Environments, work: Path, home: Path) -> None:
    write_tree(work, home, PYPIRCS)
    assert find_differences("flit", environments, SCRIPT, LINES, [work]) == []
