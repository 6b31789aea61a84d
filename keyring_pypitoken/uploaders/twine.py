"""twine: uploads the files that its command line names; argparse reads it."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI, TOKEN_USERNAME
from keyring_pypitoken.text import in_shell
from keyring_pypitoken.uploaders.options import Grammar, named_files
from keyring_pypitoken.uploaders.settings import URLS, Setting, Source, Sources, checked_url, read_pypirc
from keyring_pypitoken.uploaders.uploader import Address, Target, Uploader

if TYPE_CHECKING:
    from pathlib import Path

    from keyring_pypitoken.uploaders.uploader import Process

_UPLOAD = Grammar(
    "-r/--repository --repository-url --sign-with -i/--identity -u/--username -p/--password -c/--comment --config-file "
    "--cert --client-cert",
    "--attestations -s/--sign --non-interactive --skip-existing --verbose --disable-progress-bar -h/--help",
    abbreviations=True,
)
_ATTACHED = ("*.asc", "*.*.attestation")
_TO_HTTPS = ("pypi.python.org", "testpypi.python.org", "upload.pypi.org", "test.pypi.org")


class Twine(Uploader):
    """No file of the project chooses anything: `--config-file` is typed, all else comes from the user."""

    name = "twine"
    typical = ("upload", "dist/*")
    naming_files = "twine upload dist/*"
    module = "twine"
    resume = "--skip-existing"
    token_variables = {"TWINE_USERNAME": TOKEN_USERNAME, "TWINE_PASSWORD": "{token}"}
    address_variables = {"TWINE_REPOSITORY_URL": "{url}"}
    rival_addresses = ("TWINE_REPOSITORY",)
    options = Grammar("", "--version --no-color -h/--help", abbreviations=True)
    commands = {"upload": _UPLOAD, "register": _UPLOAD}
    upload_functions = {
        "twine.commands.upload.upload": lambda variables: variables["uploads"],
        "twine.auth.Resolver.username": None,  # of a script that sends the files itself
        "twine.auth.Resolver.password": None,
    }

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        """Return the files, wheels first; signatures and attestations are attached to those."""
        names = process.command.after.positional_args
        files = sorted(named_files(names, process.directory), key=lambda file: not file.name.endswith(".whl"))
        if not names:
            return None
        # Only a plain yes lets a file be passed over: of fewer files a token would be valid for longer than it may.
        return tuple(file for file in files if not any(fnmatch(file.name, one) is True for one in _ATTACHED))

    def target(self, process: Process) -> Target:
        sources = Sources(process.command.after, process.environ)
        target = _find_repository(sources, process)
        url, user = target.address.url, target.username
        given = sources.find("--username", "TWINE_USERNAME")
        is_pypi = url.startswith((PYPI.url, TESTPYPI.url))
        user = Setting(TOKEN_USERNAME) if is_pypi and not given.value else given.otherwise(user)
        password = sources.find("--password", "TWINE_PASSWORD")  # an empty one counts, too
        if password.value is not None:
            target = target._replace(password=password, section="")
        asks = user.value is None or target.password.value is None
        return target._replace(username=user, lookup=(url, user.value) if asks else None)


def _find_repository(sources: Sources, process: Process) -> Target:
    """Return the address, and what the URL or a section of .pypirc has as user name and password."""
    url = sources.find("--repository-url", "TWINE_REPOSITORY_URL")
    if url.value:
        # Here it takes no `HTTPS:`.
        parts = urlsplit(_checked(url.value if url.value.startswith("http") else "", url.source))
        address = Address(parts.geturl(), "", url.source)
        if not parts.username:
            return Target(address)
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        inside = url.source._replace(kind="url")
        user, password = Setting(parts.username, inside), Setting(parts.password, inside)
        return Target(address._replace(url=_checked(plain, url.source)), user, password)
    named = sources.find("--repository", "TWINE_REPOSITORY")
    if named.value == "" and named.source.kind == "variable":
        raise Refusal(f"TWINE_REPOSITORY is empty, at which twine stops: {in_shell('TWINE_REPOSITORY')}.")
    name = "pypi" if named.value is None else named.value
    pypirc = read_pypirc(process.environ, process.directory, sources.options.last("--config-file"))
    is_listed = name in pypirc.listed("pypi testpypi")
    section = name if is_listed else ""
    known = URLS.get(name) if is_listed or name == "pypi" else None
    url = pypirc.find(section, "repository").otherwise(Setting(known, named.source))
    if not url.value:
        raise pypirc.unknown(name)
    address = Address(_checked(url.value, url.source), name, url.source)
    # The old section holds what the others lack.
    user, password = (
        pypirc.find(section, key).otherwise(pypirc.find("server-login", key)) for key in ("username", "password")
    )
    has_password = pypirc.find(section, "password").value is not None
    return Target(address, user, password, section=section if has_password else "server-login")


def _checked(url: str, source: Source) -> str:
    """Return a URL as twine writes it: with https to PyPI."""
    parts = urlsplit(checked_url(url, source))
    return urlunsplit(parts._replace(scheme="https") if parts.netloc in _TO_HTTPS else parts)


UPLOADER = Twine()
