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
from keyring_pypitoken.uploaders.settings import Setting, Sources, checked_url, read_pypirc, unknown_repository
from keyring_pypitoken.uploaders.uploader import Address, Credentials, Problem, Uploader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyring_pypitoken.uploaders.uploader import Lookups, Process

_UPLOAD = Grammar(
    "-r/--repository --repository-url --sign-with -i/--identity -u/--username -p/--password -c/--comment --config-file "
    "--cert --client-cert",
    "--attestations -s/--sign --non-interactive --skip-existing --verbose --disable-progress-bar -h/--help",
    abbreviations=True,
)
_OLD_URLS = ("https://pypi.python.org/", "https://testpypi.python.org/")  # which twine refuses
_TO_HTTPS = ("pypi.python.org", "testpypi.python.org", "upload.pypi.org", "test.pypi.org")


class _Repository(NamedTuple):
    """A repository, and the credentials beside its URL; the file and section that hold them, if it was a .pypirc."""

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
    resume = "--skip-existing"
    asks_for = ("{url} for any user, if the URL is not PyPI's and no user name is given", "{url} for the user name")
    before_keyring = ("--password", "TWINE_PASSWORD", "the repository URL", ".pypirc")
    token_variables = {"TWINE_USERNAME": TOKEN_USERNAME, "TWINE_PASSWORD": "{token}"}  # noqa: RUF012 - never changed
    address_variables = {"TWINE_REPOSITORY_URL": "{url}"}  # noqa: RUF012 - never changed
    rival_variables = ("TWINE_REPOSITORY",)
    options = Grammar("", "--version --no-color -h/--help", abbreviations=True)
    commands = {"upload": _UPLOAD, "register": _UPLOAD}  # noqa: RUF012 - never changed

    def find_inside(self) -> tuple[str, ...] | None:
        """Return the command line of a release tool that calls twine, as zest.releaser does (`twine.cli.dispatch`)."""
        parsed = getattr(sys.modules.get("twine.cli"), "args", None)
        command, words = getattr(parsed, "command", None), getattr(parsed, "args", None)
        return (command, *map(str, words)) if isinstance(command, str) and isinstance(words, list) else None

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        """Return the files, wheels first; signatures and attestations are attached to those."""
        names = self.parse(process).after.positional_args
        found: list[str] = []
        for name in names:
            path = os.path.join(process.directory, name)
            files = [path] if name and status(path, name) is not None else expand(process.directory, name)
            if not files:
                raise Refusal(f"{quoted(name)} matches no file: correct the name.")
            found += files
        found.sort(key=lambda path: not path.endswith(".whl"))
        return tuple(Path(path) for path in found if not _is_attached(path)) if names else None

    def find_address(self, process: Process) -> Address:
        return _find_repository(self._sources(process), process).address

    def find_lookups(self, process: Process, address: Address) -> Lookups:
        sources = self._sources(process)
        repository = _find_repository(sources, process)
        name = _find_username(sources, repository).value
        first: Lookups = ((address.url, None),) if name is None else ()
        if repository.password is not None or sources.find("--password", "TWINE_PASSWORD").value is not None:
            return first
        return (*first, (address.url, TOKEN_USERNAME if name is None else name))

    def find_credentials(self, process: Process, address: Address) -> Credentials:
        sources = self._sources(process)
        found, given = _find_repository(sources, process), sources.find("--password", "TWINE_PASSWORD")
        username = _find_username(sources, found)
        if given.value is not None:
            return Credentials(username, given)
        own = Setting(found.password, found.file or address.origin)
        return Credentials(username, own, found.section, in_url=not found.file)

    def _problems(self, process: Process, address: Address) -> Iterator[Problem]:
        yield from super()._problems(process, address)
        if address.url.startswith(_OLD_URLS):
            problem = f"{address.origin} names PyPI's old address, which twine refuses"
            yield Problem(problem, f"use {PYPI.url} there")

    def _sources(self, process: Process) -> Sources:
        return Sources(self.parse(process).after, process.environ)


def _find_repository(sources: Sources, process: Process) -> _Repository:
    url, origin = sources.find("--repository-url", "TWINE_REPOSITORY_URL")
    if url:
        parts = urlsplit(_checked(url if url.startswith("http") else "", origin))  # here it takes no `HTTPS:`
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]) if parts.username else parts
        address = Address(_checked(plain.geturl(), origin), "", origin)
        return _Repository(address, parts.username or None, parts.password if parts.username else None)
    name, origin = sources.find("--repository", "TWINE_REPOSITORY")
    if name is None:
        name, origin = "pypi", "default"
    path = sources.options.last("--config-file")
    file, sections = path or "~/.pypirc", read_pypirc(process.environ, process.directory, path)
    names = sections.get("distutils", {}).get("index-servers", "pypi testpypi").split()
    section = sections.get(name, {}) if name in names else {}
    known = PYPI.url if name == "pypi" else TESTPYPI.url if name == "testpypi" and name in names else None
    url = section.get("repository", known)
    if not url:
        raise unknown_repository(printable(file), name)
    origin = printable(file) if "repository" in section else origin
    # The old section holds what the others lack.
    both = {**sections.get("server-login", {}), **section}
    holder = name if "password" in section else "server-login"
    address = Address(_checked(url, origin), name, origin)
    return _Repository(address, both.get("username"), both.get("password"), file, holder)


def _checked(url: str, origin: str) -> str:
    """Return a URL as twine writes it: with https to PyPI."""
    parts = urlsplit(checked_url(url, origin))
    return urlunsplit(parts._replace(scheme="https") if parts.netloc in _TO_HTTPS else parts)


def _find_username(sources: Sources, repository: _Repository) -> Setting:
    """Return the user name; None if keyring is asked for it."""
    given = sources.find("--username", "TWINE_USERNAME")
    if not given.value and repository.address.url.startswith((PYPI.url, TESTPYPI.url)):
        return Setting(TOKEN_USERNAME, "default")
    own = Setting(repository.username, repository.file or repository.address.origin)
    return own if given.value is None else given


def _is_attached(path: str) -> bool:
    """Return True for the patterns `*.asc` and `*.*.attestation`."""
    path = os.path.normcase(path)
    return path.endswith(".asc") or (path.endswith(".attestation") and "." in path.removesuffix(".attestation"))


UPLOADER = Twine()
