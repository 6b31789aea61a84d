"""What is known about flit."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.text import printable, quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import is_web_url, read_pypirc, read_toml
from keyring_pypitoken.uploaders.uploader import Address, Problem, Uploader, pypirc_taken_first, variable_taken_first

if TYPE_CHECKING:
    from keyring_pypitoken.uploaders.options import Parsed
    from keyring_pypitoken.uploaders.process import Process

_MAIN = Grammar("-f/--ini-file --repository", "-V/--version --debug --logo -h/--help", abbreviations=True)
_PUBLISH = Grammar("--format --pypirc --repository", "--use-vcs --no-use-vcs -h/--help", abbreviations=True)
_TO_HTTPS = ("http://pypi.python.org/", "http://testpypi.python.org/", "http://upload.pypi.org/")
_STOPPING = ("--version", "--logo", "--help")


class _Settings(NamedTuple):
    """The repository of a run, and what its settings say beside the URL."""

    address: Address
    username: str
    password: str
    file: str
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
    asks_for = (
        "{url} for pypi_token:project:NAME",
        "{url} for pypi_token:user:USER",
        "{url} for the user name",
    )
    before_keyring = ("FLIT_PASSWORD", ".pypirc")
    token_variables = {"FLIT_USERNAME": TOKEN_USERNAME, "FLIT_PASSWORD": "{token}"}  # noqa: RUF012 - never changed
    address_variables = {"FLIT_INDEX_URL": "{url}"}  # noqa: RUF012 - never changed

    def is_uploading(self, process: Process) -> bool:
        """Return True for `publish`."""
        main, publish = _parse(process)
        stops = publish.has("--help") or any(main.has(option) for option in _STOPPING)
        return main.positional_args == ("publish",) and not stops

    def is_saving(self, process: Process) -> bool:
        """Return True for `publish`, which stores what was typed."""
        return self.is_uploading(process)

    def find_project(self, process: Process) -> Path:
        """Return the directory of the file that `--ini-file` names."""
        return _ini_file(process).parent

    def find_address(self, process: Process) -> Address:
        """Return where this run uploads to: a repository of .pypirc by option, the variable, `pypi` in .pypirc."""
        return _read(process).address

    def find_lookups(self, process: Process, address: Address) -> tuple[tuple[str, str | None], ...]:
        """Return what it asks for: the project's token, the user's, the password.

        Raises:
            Refusal: pyproject.toml cannot be read, which names the project.
        """
        settings = _read(process)
        if settings.password or not settings.username:
            return ()
        project = re.sub(r"[-_.]+", "-", _project_name(process)).lower()
        users = (f"pypi_token:project:{project}", f"pypi_token:user:{settings.username}", settings.username)
        return tuple((address.url, user) for user in users)

    def find_problems(self, process: Process, address: Address) -> list[Problem]:  # noqa: ARG002 - it is in the settings
        """Return what it takes before keyring, and a missing user name."""
        environ = process.environ
        found = [variable_taken_first(self.name, "FLIT_PASSWORD")] if environ.get("FLIT_PASSWORD") else []
        try:
            settings = _read(process)
        except Refusal as refusal:
            return [*found, Problem.of_refusal(refusal)]
        if settings.password and "FLIT_PASSWORD" not in environ:
            found.append(pypirc_taken_first(self.name, settings.file, settings.section))
        if not settings.username:
            found.append(
                Problem(
                    "flit has no user name, and asks for one before it asks keyring", "`export FLIT_USERNAME=__token__`"
                )
            )
        return found

    def names_repository(self, process: Process) -> bool:
        """Return True if `--repository` is given, beside which flit refuses FLIT_INDEX_URL."""
        return _repository(process) is not None


def _parse(process: Process) -> tuple[Parsed, Parsed]:
    """Return the options before the subcommand, and those after it if it is `publish`."""
    main = _MAIN.parse(process.arguments, stop=True)
    return main, _PUBLISH.parse(main.rest if main.positional_args == ("publish",) else ())


def _repository(process: Process) -> str | None:
    main, publish = _parse(process)
    return publish.last("--repository") or main.last("--repository")


def _ini_file(process: Process) -> Path:
    named = _parse(process)[0].last("--ini-file") or "pyproject.toml"
    return Path(os.path.normpath(process.directory / named))


def _project_name(process: Process) -> str:
    file = _ini_file(process)
    content = read_toml(file, str(file))
    metadata = ("tool", "flit", "metadata")
    names = (entry(content, *path) for path in (("project", "name"), (*metadata, "dist-name"), (*metadata, "module")))
    name = next(filter(None, names), None)
    if not isinstance(name, str):
        raise Refusal(f"{printable(str(file))} does not name the project: add `name` to `[project]`.")
    return name


def _read(process: Process) -> _Settings:
    environ = process.environ
    path = _parse(process)[1].last("--pypirc")
    file = printable(path or "~/.pypirc")
    sections = read_pypirc(environ, process.directory, path)
    names = sections.get("distutils", {}).get("index-servers", "pypi").split()
    option, variable = _repository(process), environ.get("FLIT_INDEX_URL")
    name = "pypi" if option is None else option
    # A repository without a URL is PyPI, whatever its name.
    section = sections.get(name, {}) if name in names else {}
    url, origin = section.get("repository", PYPI.url), "default" if option is None else "--repository"
    if option is not None and option not in names:
        raise Refusal(f"{file} does not define the repository {quoted(option)}: correct the name, or add it.")
    if option is not None and variable is not None:
        raise Refusal("flit takes FLIT_INDEX_URL or --repository, not both: unset the variable, or omit the option.")
    if variable is not None:
        url, origin, name, section = variable, "FLIT_INDEX_URL", "", {}
    elif "repository" in section:
        origin = file
    if not is_web_url(url):
        raise Refusal(f"the repository URL of {origin} is not one of http or https: correct it.")
    if url.startswith(_TO_HTTPS):
        url = "https" + url[len("http") :]
    username = environ.get("FLIT_USERNAME", section.get("username", ""))
    password = environ.get("FLIT_PASSWORD", section.get("password", ""))
    return _Settings(Address(url, name, origin), username, password, file, name)


ROOM = Flit()
