"""What is known about flit."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.text import in_shell, printable
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import (
    Setting,
    checked_url,
    first,
    read_pypirc,
    read_toml,
    unknown_repository,
)
from keyring_pypitoken.uploaders.uploader import STOP, Address, Credentials, Problem, Uploader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyring_pypitoken.uploaders.uploader import Lookups, Process

_TO_HTTPS = ("http://pypi.python.org/", "http://testpypi.python.org/", "http://upload.pypi.org/")


class _Run(NamedTuple):
    """One run: the repository, its credentials, and the section of .pypirc that they may come from."""

    address: Address
    username: Setting
    password: Setting
    section: str


class Flit(Uploader):
    """Builds, and uploads what it built; it asks before it builds."""

    name = "flit"
    typical = ("publish",)
    observed = "4.2.0"
    source = "flit/__init__.py, flit/upload.py, flit_core/config.py"
    module = "flit"
    lookups_per_upload = 3
    saves = "{url}, for the user name"
    asks_for = ("{url} for pypi_token:project:NAME", "{url} for pypi_token:user:USER", "{url} for the user name")
    before_keyring = ("FLIT_PASSWORD", ".pypirc")
    token_variables = {"FLIT_USERNAME": TOKEN_USERNAME, "FLIT_PASSWORD": "{token}"}  # noqa: RUF012 - never changed
    address_variables = {"FLIT_INDEX_URL": "{url}"}  # noqa: RUF012 - never changed
    options = Grammar("-f/--ini-file --repository", "-V/--version --debug --logo -h/--help", abbreviations=True)
    commands = {  # noqa: RUF012 - never changed
        "publish": Grammar("--format --pypirc --repository", "--use-vcs --no-use-vcs -h/--help", abbreviations=True)
    }

    def is_uploading(self, process: Process) -> bool:
        return super().is_uploading(process) and not self.parse(process).before.has("--logo")

    def is_saving(self, process: Process) -> bool:
        return self.is_uploading(process)

    def find_project(self, process: Process) -> Path:
        return self._ini_file(process).parent

    def find_address(self, process: Process) -> Address:
        return self._read(process).address

    def find_lookups(self, process: Process, address: Address) -> Lookups:
        run = self._read(process)
        user = run.username.value
        if run.password.value or not user:
            return ()
        file = self._ini_file(process)
        content, shown = read_toml(file, str(file)), printable(str(file))
        places = (
            ("project", "name"),
            ("tool", "flit", "metadata", "dist-name"),
            ("tool", "flit", "metadata", "module"),
        )
        name = next((found for place in places if (found := first([(content, shown)], *place).value)), None)
        if name is None:
            raise Refusal(f"{shown} does not name the project: add `name` to `[project]`.")
        project = re.sub(r"[-_.]+", "-", name).lower()
        users = (f"pypi_token:project:{project}", f"pypi_token:user:{user}", user)
        return tuple((address.url, user) for user in users)

    def find_credentials(self, process: Process, address: Address) -> Credentials:  # noqa: ARG002 - it is in the settings
        run = self._read(process)
        # An empty password is none, and it asks.
        return Credentials(run.username, run.password._replace(value=run.password.value or None), run.section)

    def _problems(self, process: Process, address: Address) -> Iterator[Problem]:
        found = self.find_credentials(process, address)
        if found.password.value is not None:
            yield self._taken(found)
        if not found.username.value:  # any other is replaced if keyring answers for the project
            problem = "flit has no user name, and asks for one before it asks keyring"
            yield Problem(problem, in_shell("FLIT_USERNAME", TOKEN_USERNAME), STOP)

    def names_repository(self, process: Process) -> bool:
        """Return True if `--repository` is given, beside which flit refuses FLIT_INDEX_URL."""
        return self._repository(process) is not None

    def _repository(self, process: Process) -> str | None:
        command = self.parse(process)
        return command.after.last("--repository") or command.before.last("--repository")

    def _ini_file(self, process: Process) -> Path:
        named = self.parse(process).before.last("--ini-file") or "pyproject.toml"
        return Path(os.path.normpath(process.directory / named))

    def _read(self, process: Process) -> _Run:
        environ = process.environ
        path = self.parse(process).after.last("--pypirc")
        file = printable(path or "~/.pypirc")
        sections = read_pypirc(environ, process.directory, path)
        names = sections.get("distutils", {}).get("index-servers", "pypi").split()
        option, variable = self._repository(process), environ.get("FLIT_INDEX_URL")
        if option is not None and option not in names:
            raise unknown_repository(file, option)
        if option is not None and variable is not None:
            remedy = f"run {in_shell('FLIT_INDEX_URL')}, or omit the option"
            raise Refusal(f"flit takes FLIT_INDEX_URL or --repository, not both: {remedy}.")
        name = "pypi" if option is None else option
        section = sections.get(name, {}) if name in names else {}
        # A repository without a URL is PyPI, whatever its name.
        url, origin = section.get("repository", PYPI.url), "default" if option is None else "--repository"
        if variable is not None:
            url, origin, name, section = variable, "FLIT_INDEX_URL", "", {}
        elif "repository" in section:
            origin = file
        if checked_url(url, origin).startswith(_TO_HTTPS):
            url = "https" + url[len("http") :]
        username, password = (_choose(environ, section, file, key) for key in ("username", "password"))
        return _Run(Address(url, name, origin), username, password, name)


def _choose(environ: Mapping[str, str], section: Mapping[str, str], file: str, key: str) -> Setting:
    variable = f"FLIT_{key.upper()}"
    return Setting(environ[variable], variable) if variable in environ else Setting(section.get(key), file)


UPLOADER = Flit()
