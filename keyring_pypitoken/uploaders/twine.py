"""twine: uploads the files that its command line names; argparse reads it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import status
from keyring_pypitoken.lookup import PYPI, TESTPYPI, TOKEN_USERNAME
from keyring_pypitoken.text import in_shell, printable, quoted
from keyring_pypitoken.uploaders.options import Grammar, expand
from keyring_pypitoken.uploaders.settings import (
    Setting,
    Source,
    Sources,
    checked_url,
    read_pypirc,
    unknown_repository,
)
from keyring_pypitoken.uploaders.uploader import STOP, Address, Problem, Target, Uploader

if TYPE_CHECKING:
    from keyring_pypitoken.uploaders.uploader import Lookups, Process

_UPLOAD = Grammar(
    "-r/--repository --repository-url --sign-with -i/--identity -u/--username -p/--password -c/--comment --config-file "
    "--cert --client-cert",
    "--attestations -s/--sign --non-interactive --skip-existing --verbose --disable-progress-bar -h/--help",
    abbreviations=True,
)
_OLD_URLS = ("https://pypi.python.org/", "https://testpypi.python.org/")  # which twine refuses
_TO_HTTPS = ("pypi.python.org", "testpypi.python.org", "upload.pypi.org", "test.pypi.org")


class Twine(Uploader):
    """No file of the project chooses anything: `--config-file` is typed, all else comes from the user."""

    name = "twine"
    typical = ("upload", "dist/*")
    naming_files = "twine upload dist/*"
    module = "twine"
    lookups_per_upload = 2
    resume = "--skip-existing"
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
        names = process.command.after.positional_args
        paths: list[str] = []
        for name in names:
            path = os.path.join(process.directory, name)
            matches = [path] if name and status(path, name) is not None else expand(process.directory, name)
            if not matches:
                raise Refusal(f"{quoted(name)} matches no file: correct the name.")
            paths += matches
        paths.sort(key=lambda path: not path.endswith(".whl"))
        return tuple(Path(path) for path in paths if not _is_attached(path)) if names else None

    def target(self, process: Process) -> Target:
        sources = Sources(process.command.after, process.environ)
        address, username, password, section = _find_repository(sources, process)
        given = sources.find("--username", "TWINE_USERNAME")
        if not given.value and address.url.startswith((PYPI.url, TESTPYPI.url)):
            username = Setting(TOKEN_USERNAME)
        elif given.value is not None:
            username = given
        given = sources.find("--password", "TWINE_PASSWORD")  # an empty one counts, too
        if given.value is not None:
            password, section = given, ""
        lookups: Lookups = () if username.value is not None else ((address.url, None),)
        if password.value is None:
            lookups += ((address.url, TOKEN_USERNAME if username.value is None else username.value),)
        old = Problem(f"{address.source} names PyPI's old address, which twine refuses", f"use {PYPI.url} there", STOP)
        problems = (old,) if address.url.startswith(_OLD_URLS) else ()
        return Target(address, username, password, lookups, section, problems)


def _find_repository(sources: Sources, process: Process) -> tuple[Address, Setting, Setting, str]:
    """Return the address, and the user name and password beside it with the section of .pypirc that has them."""
    url = sources.find("--repository-url", "TWINE_REPOSITORY_URL")
    if url.value:
        # Here it takes no `HTTPS:`.
        parts = urlsplit(_checked(url.value if url.value.startswith("http") else "", url.source))
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]) if parts.username else parts
        inside = url.source._replace(kind="url")
        password = Setting(parts.password if parts.username else None, inside)
        address = Address(_checked(plain.geturl(), url.source), "", url.source)
        return address, Setting(parts.username or None, inside), password, ""
    named = sources.find("--repository", "TWINE_REPOSITORY")
    if named.value == "" and named.source.kind == "variable":
        raise Refusal(f"TWINE_REPOSITORY is empty, at which twine stops: {in_shell('TWINE_REPOSITORY')}.")
    name = "pypi" if named.value is None else named.value
    path = sources.options.last("--config-file")
    file, sections = path or "~/.pypirc", read_pypirc(process.environ, process.directory, path)
    names = sections.get("distutils", {}).get("index-servers", "pypi testpypi").split()
    section = sections.get(name, {}) if name in names else {}
    known = PYPI.url if name == "pypi" else TESTPYPI.url if name == "testpypi" and name in names else None
    text = section.get("repository", known)
    if not text:
        raise unknown_repository(printable(file), name)
    source = Source("file", file) if "repository" in section else named.source
    # The old section holds what the others lack.
    both = {**sections.get("server-login", {}), **section}
    username, password = (Setting(both.get(key), Source("file", file)) for key in ("username", "password"))
    holder = name if "password" in section else "server-login"
    return Address(_checked(text, source), name, source), username, password, holder


def _checked(url: str, source: Source) -> str:
    """Return a URL as twine writes it: with https to PyPI."""
    parts = urlsplit(checked_url(url, source))
    return urlunsplit(parts._replace(scheme="https") if parts.netloc in _TO_HTTPS else parts)


def _is_attached(path: str) -> bool:
    """Return True for the patterns `*.asc` and `*.*.attestation`."""
    path = os.path.normcase(path)
    return path.endswith(".asc") or (path.endswith(".attestation") and "." in path.removesuffix(".attestation"))


UPLOADER = Twine()
