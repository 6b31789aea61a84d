"""The module of devpi against devpi-client: command lines that both read, in devpi-client's own environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from comparison import find_differences, write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from environments import Environments

pytestmark = pytest.mark.uploaders

# Parses as `devpi.main` does, and runs `devpi.push` with a hub that records what it would do.
SCRIPT = """
import types
import devpi.main, devpi.push

class Ended(Exception):
    pass

class Hub:
    current = types.SimpleNamespace(features=set(), index="http://127.0.0.1:1/root/dev")
    def __init__(self):
        self.hook = self
    def info(self, *_): pass
    warn = line = debug = info
    def fatal(self, *_): raise Ended
    def derive_token(self, password, name):
        return password
    def devpiclient_get_password(self, url, username):
        seen["lookups"].append([url, username])
        return "typed"
    def http_api(self, method, url, kvdict, fatal):
        seen["url"] = kvdict.get("posturl")
        seen["uploading"] = seen["url"] is not None
        seen["projects"] = [kvdict["name"]]
        raise Ended

manager = devpi.main.get_pluginmanager()

def read(arguments):
    global seen
    seen = {"uploading": None, "projects": None, "url": None, "lookups": []}
    try:
        args = devpi.main.parse_args(["devpi", *arguments], manager)
        if args.command == "push":
            devpi.push.main(Hub(), args)
        else:
            seen["uploading"] = False
    except SystemExit as error:
        seen["uploading"] = False if error.code in (0, None) else "usage"
    except Ended:
        if seen["uploading"] is None:
            seen["uploading"] = "settings" if not seen["lookups"] else "usage"
    except Exception as error:  # an invalid release; or one of the settings
        seen["uploading"] = "settings" if "ini" in type(error).__module__ else "usage"
    return seen
"""

PYPIRCS = {
    "full": """[distutils]
index-servers = pypi
[pypi]
username = __token__
[testpypi]
repository = https://test.pypi.org/legacy/
username = __token__
[local]
repository: http://127.0.0.1:1/legacy/
username: bob
[secret]
repository = https://example.com/
username = __token__
password = hunter2
[nobody]
repository = https://example.com/
[With Space]
username = x
""",
    "none": "# nothing\n",
    "twice": "[a]\nusername = 1\n[a]\n",
    "broken": "[pypi\nusername = a\n",
    "mark": "\ufeff[distutils]\nindex-servers = a\n[a]\nrepository = https://a.example/\n[pypi]\nusername = x\n",
    "defaults": "[DEFAULT]\npassword = x\n[a]\nrepository = https://a.example/\nusername = x\n",
}

LINES = """
push demo==1.0 pypi:pypi
push demo==1.0 pypi:testpypi
push demo==1.0 pypi:local
push demo==1.0 pypi:secret
push demo==1.0 pypi:nobody
push demo==1.0 pypi:nowhere
push demo==1.0 pypi:
push demo==1.0 pypi:PyPI
push demo==1.0 'pypi:With Space'
push demo==1.0 pypi:distutils
push demo==1.0 root/dev
push demo==1.0 pypi
push Demo.Project_x==1.0 pypi:pypi
push demo==1.0.post1+local pypi:pypi
push demo==1!2.0rc1 pypi:pypi
push 'demo == 1.0' pypi:pypi
push 'demo[extra]==1.0' pypi:pypi
push demo pypi:pypi
push my-demo==1.0 pypi:pypi
push demo>=1.0 pypi:pypi
push demo==1.0,==2.0 pypi:pypi
push ==1.0 pypi:pypi
push --index root/dev demo==1.0 pypi:pypi
push --index=root/dev demo==1.0 pypi:pypi
push --ind root/dev demo==1.0 pypi:pypi
push demo==1.0 --index root/dev pypi:pypi
push demo==1.0 pypi:pypi --index root/dev
push --index demo==1.0 pypi:pypi
push --pypirc full demo==1.0 pypi:local
push --pypirc=full demo==1.0 pypi:local
push --pyp full demo==1.0 pypi:local
push --pypirc none demo==1.0 pypi:pypi
push --pypirc missing demo==1.0 pypi:pypi
push --pypirc twice demo==1.0 pypi:a
push --pypirc broken demo==1.0 pypi:pypi
push demo==1.0 pypi:pypi --pypirc full --pypirc none
push --no-docs demo==1.0 root/dev
push --no demo==1.0 root/dev
push -v demo==1.0 pypi:pypi
push -vv -y demo==1.0 pypi:pypi
push -vy demo==1.0 pypi:pypi
push --verb demo==1.0 pypi:pypi
push --debug demo==1.0 pypi:pypi
push --clientdir x demo==1.0 pypi:pypi
push --clientdir=x demo==1.0 pypi:pypi
-v push demo==1.0 pypi:pypi
-yv push demo==1.0 pypi:pypi
--debug push demo==1.0 pypi:pypi
--clientdir x push demo==1.0 pypi:pypi
--clientdir=push push demo==1.0 pypi:pypi
--client x push demo==1.0 pypi:pypi
push demo==1.0
push
push demo==1.0 pypi:pypi other
push -- demo==1.0 pypi:pypi
push demo==1.0 -- pypi:pypi
-- push demo==1.0 pypi:pypi
push --help demo==1.0 pypi:pypi
push -h
-h push demo==1.0 pypi:pypi
push -vh demo==1.0 pypi:pypi
upload --index root/dev
upload dist/demo-1.0.tar.gz
use pypi:pypi
list demo==1.0
install demo==1.0
push demo==1.0 pypi:pypi --pypirc mark
push demo==1.0 pypi:a --pypirc defaults
""".strip().splitlines()


def test_command_lines_are_read_as_devpi_does(environments: Environments, work: Path, home: Path) -> None:
    write_tree(work, home, PYPIRCS)
    assert find_differences("devpi", environments, SCRIPT, LINES, [work]) == []
