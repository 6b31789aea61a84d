"""flit: builds, and uploads what it built; it asks keyring before it builds; argparse reads its command line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.text import in_shell, printable
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import (
    DEFAULT,
    Setting,
    Source,
    Sources,
    checked_url,
    first,
    read_pypirc,
    read_table,
)
from keyring_pypitoken.uploaders.uploader import SETUP, Address, Problem, Target, Uploader

if TYPE_CHECKING:
    from keyring_pypitoken.uploaders.uploader import Process

_TO_HTTPS = ("http://pypi.python.org/", "http://testpypi.python.org/", "http://upload.pypi.org/")
_NAMES = (("project", "name"), ("tool", "flit", "metadata", "dist-name"), ("tool", "flit", "metadata", "module"))
_NO_USER = Problem(
    "flit has no user name, and asks for one before it asks keyring", in_shell("FLIT_USERNAME", TOKEN_USERNAME), SETUP
)


class Flit(Uploader):
    """No file of the project chooses anything: the address comes from the user's .pypirc, options and variables."""

    name = "flit"
    typical = ("publish",)
    module = "flit"
    token_variables = {"FLIT_USERNAME": TOKEN_USERNAME, "FLIT_PASSWORD": "{token}"}
    address_variables = {"FLIT_INDEX_URL": "{url}"}
    options = Grammar("-f/--ini-file --repository", "-V/--version --debug --logo -h/--help", abbreviations=True)
    commands = {
        "publish": Grammar("--format --pypirc --repository", "--use-vcs --no-use-vcs -h/--help", abbreviations=True)
    }

    upload_functions = {"flit.upload.main": None}  # it asks before it builds

    def find_project(self, process: Process) -> Path:
        return _ini_file(process).parent

    def target(self, process: Process) -> Target:
        command = process.command
        pypirc = read_pypirc(process.environ, process.directory, command.after.last("--pypirc"))
        sources = Sources(command.after, process.environ)
        option = command.after.last("--repository") or command.before.last("--repository")
        listed = pypirc.listed("pypi")
        if option is not None and option not in listed:
            raise pypirc.unknown(option)
        url = sources.find("", "FLIT_INDEX_URL")
        if url.value is not None and option is not None:
            remedy = f"run {in_shell('FLIT_INDEX_URL')}, or omit the option"
            raise Refusal(f"flit takes FLIT_INDEX_URL or --repository, not both: {remedy}.")
        name = (option or "pypi") if url.value is None else ""
        section = name if name in listed else ""
        # Without a URL it is PyPI, whatever its name.
        default = Setting(PYPI.url, DEFAULT if option is None else Source("option", "--repository"))
        url = url.otherwise(pypirc.find(section, "repository")).otherwise(default)
        address = checked_url(url.value, url.source)
        if address.startswith(_TO_HTTPS):
            address = "https" + address[len("http") :]
        target = Target(Address(address, name, url.source), section=section, takes_address=option is None)
        username, password = (
            sources.find("", f"FLIT_{key.upper()}").otherwise(pypirc.find(section, key))
            for key in ("username", "password")
        )
        if not username.value:
            return target._replace(password=password, problems=(_NO_USER,))
        if password.value:  # an empty one is none
            return target._replace(username=username, password=password)
        # If keyring answers for the project, the user name is replaced.
        user = f"pypi_token:project:{_find_name(process)}"
        return target._replace(username=Setting(TOKEN_USERNAME), lookup=(address, user))


def _ini_file(process: Process) -> Path:
    named = process.command.before.last("--ini-file") or "pyproject.toml"
    return Path(os.path.normpath(process.directory / named))


def _find_name(process: Process) -> str:
    """Return the normalized name of the project."""
    file = _ini_file(process)
    table = read_table(file, process.directory)
    name = next((name for keys in _NAMES if (name := first([table], *keys).value)), None)
    if name is None:
        raise Refusal(f"{printable(table.name)} does not name the project: add `name` to `[project]`.")
    return re.sub(r"[-_.]+", "-", name).lower()


UPLOADER = Flit()
