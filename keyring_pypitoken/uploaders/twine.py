"""What is known about twine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import status
from keyring_pypitoken.lookup import PYPI, TESTPYPI, TOKEN_USERNAME
from keyring_pypitoken.text import printable, quoted
from keyring_pypitoken.uploaders.options import Grammar, expand
from keyring_pypitoken.uploaders.settings import is_web_url, read_pypirc
from keyring_pypitoken.uploaders.uploader import (
    Address,
    Problem,
    Uploader,
    other_user,
    pypirc_taken_first,
    taken_first,
    variable_taken_first,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyring_pypitoken.uploaders.options import Parsed
    from keyring_pypitoken.uploaders.uploader import Process

_MAIN = Grammar("", "--version --no-color -h/--help", abbreviations=True)
_UPLOAD = Grammar(
    "-r/--repository --repository-url --sign-with -i/--identity -u/--username -p/--password -c/--comment --config-file "
    "--cert --client-cert",
    "--attestations -s/--sign --non-interactive --skip-existing --verbose --disable-progress-bar -h/--help",
    abbreviations=True,
)
_OLD_URLS = ("https://pypi.python.org/", "https://testpypi.python.org/")  # which twine refuses
_COMMANDS = (("upload",), ("register",))
_TO_HTTPS = ("pypi.python.org", "testpypi.python.org", "upload.pypi.org", "test.pypi.org")


class _Settings(NamedTuple):
    """The repository of a run, and what its settings say beside the URL; file is empty if none was read."""

    address: Address
    username: str | None
    password: str | None
    file: str = ""
    section: str = ""


class Twine(Uploader):
    """Uploads the files that its command line names."""

    name = "twine"
    typical = ("upload", "dist/*")
    observed = "7.0.0"
    source = "twine/settings.py, utils.py, auth.py, commands/__init__.py, commands/upload.py"
    module = "twine"
    lookups_per_upload = 2
    asks_for = ("{url} for any user, if the URL is not PyPI's and no user name is given", "{url} for the user name")
    before_keyring = ("--password", "TWINE_PASSWORD", "the repository URL", ".pypirc")
    token_variables = {"TWINE_USERNAME": TOKEN_USERNAME, "TWINE_PASSWORD": "{token}"}  # noqa: RUF012 - never changed
    address_variables = {"TWINE_REPOSITORY_URL": "{url}"}  # noqa: RUF012 - never changed
    rival_variables = ("TWINE_REPOSITORY",)

    def find_inside(self) -> tuple[str, ...] | None:
        """Return the command line of a release tool that calls twine, as zest.releaser does (`twine.cli.dispatch`)."""
        parsed = getattr(sys.modules.get("twine.cli"), "args", None)
        command, words = getattr(parsed, "command", None), getattr(parsed, "args", None)
        return (command, *map(str, words)) if isinstance(command, str) and isinstance(words, list) else None

    def is_uploading(self, process: Process) -> bool:
        """Return True for `upload` and `register`, which ask alike."""
        main = _MAIN.parse(process.arguments, stop=True)
        stops = main.has("--version") or main.has("--help") or _parse(process).has("--help")
        return main.positional_args in _COMMANDS and not stops

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        """Return the files, wheels first; signatures and attestations are attached to those.

        Raises:
            Refusal: a name is not that of a file, nor a pattern that finds one.
        """
        names = _parse(process).positional_args
        found: list[str] = []
        for name in names:
            path = os.path.join(process.directory, name)
            files = [path] if name and status(path, name) is not None else expand(process.directory, name)
            if not files:
                raise Refusal(f"{quoted(name)} is not a file, nor a pattern that finds one: correct the name.")
            found += files
        found.sort(key=lambda path: not path.endswith(".whl"))
        return tuple(Path(path) for path in found if not _is_attached(path)) if names else None

    def find_address(self, process: Process) -> Address:
        """Return where this run uploads to: the URL option or variable, else the named repository in .pypirc."""
        return _read(process).address

    def find_lookups(self, process: Process, address: Address) -> tuple[tuple[str, str | None], ...]:
        """Return what it asks for: a user name unless it has one, then the password unless it has one."""
        settings = _read(process)
        username, _ = _username(process, settings)
        first: tuple[tuple[str, str | None], ...] = ((address.url, None),) if username is None else ()
        password, _ = _option_or_variable(process, "--password", "TWINE_PASSWORD")
        if password is not None or settings.password is not None:
            return first
        return (*first, (address.url, TOKEN_USERNAME if username is None else username))

    def find_problems(self, process: Process, address: Address) -> list[Problem]:
        """Return what it takes before keyring, and user names and URLs that PyPI refuses."""
        found: list[Problem] = []
        if _parse(process).has("--password"):
            found.append(taken_first(self.name, "the option --password is given", "leave out `--password`"))
        elif "TWINE_PASSWORD" in process.environ:
            found.append(variable_taken_first(self.name, "TWINE_PASSWORD"))
        try:
            settings = _read(process)
        except Refusal as refusal:
            return [*found, Problem.of_refusal(refusal)]
        if settings.password is not None:
            if settings.file:
                found.append(pypirc_taken_first(self.name, settings.file, settings.section))
            else:
                what = f"{address.origin} holds a password in its URL"
                found.append(taken_first(self.name, what, "leave out the user name and the password there"))
        username, origin = _username(process, settings)
        if username not in (None, TOKEN_USERNAME):
            found.append(other_user(self.name, username or "", origin))
        if address.url.startswith(_OLD_URLS):
            found.append(
                Problem(f"{address.origin} names PyPI's old address, which twine refuses", f"use {PYPI.url} there")
            )
        return found


def _parse(process: Process) -> Parsed:
    """Return the arguments of the subcommand; none if it is another one, or another program runs twine in itself."""
    main = _MAIN.parse(process.arguments, stop=True)
    return _UPLOAD.parse(main.rest if process.program == "twine" and main.positional_args in _COMMANDS else ())


def _option_or_variable(process: Process, option: str, variable: str) -> tuple[str | None, str]:
    """Return the value of an option, else of its variable, and which of them gave it."""
    given = _parse(process).last(option)
    return (process.environ.get(variable), variable) if given is None else (given, option)


def _read(process: Process) -> _Settings:
    url, origin = _option_or_variable(process, "--repository-url", "TWINE_REPOSITORY_URL")
    if url:
        return _from_url(url, origin)
    name, origin = _option_or_variable(process, "--repository", "TWINE_REPOSITORY")
    path = _parse(process).last("--config-file")
    sections = read_pypirc(process.environ, process.directory, path)
    return _from_pypirc(sections, *(("pypi", "default") if name is None else (name, origin)), path or "~/.pypirc")


def _from_url(url: str, origin: str) -> _Settings:
    parts = urlsplit(_checked(url if url.startswith("http") else "", origin))  # here it takes no `HTTPS:`
    if not parts.username:
        return _Settings(Address(parts.geturl(), "", origin), None, None)
    without = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return _Settings(Address(_checked(without, origin), "", origin), parts.username, parts.password)


def _from_pypirc(sections: Mapping[str, Mapping[str, str]], name: str, origin: str, file: str) -> _Settings:
    names = sections.get("distutils", {}).get("index-servers", "pypi testpypi").split()
    known = {"pypi": PYPI.url} | ({"testpypi": TESTPYPI.url} if "testpypi" in names else {})
    section = sections.get(name, {}) if name in names else {}
    url = section.get("repository", known.get(name))
    if not url:
        raise Refusal(f"{printable(file)} does not define the repository {quoted(name)}: correct the name, or add it.")
    origin = printable(file) if "repository" in section else origin
    login = "server-login" if "password" not in section else name  # the old section holds what the others lack
    both = {**sections.get("server-login", {}), **section}
    return _Settings(
        Address(_checked(url, origin), name, origin), both.get("username"), both.get("password"), file, login
    )


def _checked(url: str, origin: str) -> str:
    """Return a URL as twine writes it: with https to PyPI."""
    if not is_web_url(url):
        raise Refusal(f"the repository URL of {origin} is not one of http or https: correct it.")
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme="https") if parts.netloc in _TO_HTTPS else parts)


def _username(process: Process, settings: _Settings) -> tuple[str | None, str]:
    """Return the user name, None if keyring is asked for it, and what says so."""
    given, origin = _option_or_variable(process, "--username", "TWINE_USERNAME")
    if not given and settings.address.url.startswith((PYPI.url, TESTPYPI.url)):
        return TOKEN_USERNAME, "default"
    return (given, origin) if given is not None else (settings.username, settings.file or settings.address.origin)


def _is_attached(path: str) -> bool:
    """Return True for the patterns `*.asc` and `*.*.attestation`."""
    path = os.path.normcase(path)
    return path.endswith(".asc") or (path.endswith(".attestation") and "." in path.removesuffix(".attestation"))


ROOM = Twine()
