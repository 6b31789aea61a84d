"""maturin: asks a keyring of its own, never Python's, so only variables can restrict it; clap reads its command line.

Its `publish` and `upload` are deprecated: `maturin build`, then uv or twine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import status
from keyring_pypitoken.lookup import BUILT_IN, TOKEN_USERNAME
from keyring_pypitoken.text import quoted
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import (
    Setting,
    Source,
    Sources,
    checked_url,
    read_pypirc,
    unknown_repository,
)
from keyring_pypitoken.uploaders.uploader import Address, Problem, Target, Uploader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyring_pypitoken.uploaders.uploader import Process

_SHARED = "-r/--repository --repository-url -u/--username -p/--password"
_FLAGS = "--skip-existing --non-interactive -v/--verbose -h/--help"
_UPLOAD = Grammar(_SHARED, _FLAGS)
_PUBLISH = Grammar(
    f"{_SHARED} -b/--bindings --auditwheel -o/--out --sbom-include --color "
    "--config -Z --compression-method --compression-level -j/--jobs --profile --target --target-dir -F/--features "
    "-m/--manifest-path",
    # Of these, two take any number of values, which then count as arguments for rustc and are not looked at.
    f"{_FLAGS} -i/--interpreter --manylinux/--compatibility --debug --no-strip --no-sdist --pgo -f/--find-interpreter "
    "--zig --include-debuginfo -q/--quiet --ignore-rust-version --future-incompat-report --generate-stubs --timings "
    "--compression-enable-large-file-support --all-features --no-default-features --frozen --locked --offline",
)
_BY_NAME = {repository.name: repository.url for repository in BUILT_IN}
_VARIABLES = {"--repository": "MATURIN_REPOSITORY", "--repository-url": "MATURIN_REPOSITORY_URL"}
_URLS = ("--repository-url", "MATURIN_REPOSITORY_URL")


_PYPIRC = Source("file", "~/.pypirc")
_ASKS_NOT = Problem(
    "maturin does not ask Python's keyring, so it would not get a restricted token",
    "run `maturin build`, then upload the files with uv or twine",
)


class Maturin(Uploader):
    """No file of the project chooses anything: the address comes from the user's .pypirc, options and variables."""

    name = "maturin"
    typical = ("publish",)
    naming_files = "twine upload target/wheels/*"
    lookups_per_upload = 0
    token_variables = {"MATURIN_PYPI_TOKEN": "{token}"}  # noqa: RUF012 - never changed
    address_variables = {"MATURIN_REPOSITORY_URL": "{url}"}  # noqa: RUF012 - never changed
    rival_variables = ("MATURIN_REPOSITORY", "MATURIN_USERNAME", "MATURIN_PASSWORD")
    options = Grammar("", "-v/--verbose -h/--help -V/--version")
    commands = {"upload": _UPLOAD, "publish": _PUBLISH}  # noqa: RUF012 - never changed

    def is_uploading(self, process: Process) -> bool:
        command = process.command
        return super().is_uploading(process) and (command.name == "publish" or bool(command.after.positional_args))

    def find_project(self, process: Process) -> Path:
        named = process.command.after.last("--manifest-path")
        return Path(os.path.normpath(process.directory / named)).parent if named else process.directory

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        """Return the files of `upload`; None for `publish`, which builds them."""
        command = process.command
        names = command.after.positional_args if command.name == "upload" else ()
        for name in names:
            if status(process.directory / name, name) is None:
                raise Refusal(f"{quoted(name)} is not a file: correct the name.")
        return tuple(process.directory / name for name in names) or None

    def target(self, process: Process) -> Target:
        sources = Sources(process.command.after, process.environ)
        address, values = _find_repository(process)
        username, section = sources.find("--username", "MATURIN_USERNAME"), ""
        password, token = sources.find("--password", "MATURIN_PASSWORD"), sources.find("", "MATURIN_PYPI_TOKEN")
        if token.value is not None:
            username, password = Setting(TOKEN_USERNAME, token.source), token
        elif "username" in values and "password" in values:  # before options
            username, password = (Setting(values[key], _PYPIRC) for key in ("username", "password"))
            section = address.name
        # What its own keyring may have, nobody here can see.
        takes_address = not process.command.after.has(*_VARIABLES)
        return Target(address, username, password, (), section, (_ASKS_NOT,), takes_address=takes_address)


def _choose(process: Process) -> Setting:
    """Return the name or URL of the repository: of the last option, a variable, or the default."""
    options = [(name, value or "") for name, value in process.command.after.options if name in _VARIABLES]
    named = [Setting(value, Source("option", name)) for name, value in options[-1:]] + [
        Setting(process.environ[variable], Source("variable", variable))
        for option, variable in _VARIABLES.items()
        if variable in process.environ and not (options and option == options[-1][0])
    ]
    if len(named) > 1:
        raise Refusal(f"maturin takes {named[0].source} or {named[1].source}, not both: leave one out.")
    return named[0] if named else Setting("pypi")


def _find_repository(process: Process) -> tuple[Address, Mapping[str, str]]:
    """Return the address, and the content of the section of .pypirc that counts."""
    chosen = _choose(process)
    value, source = chosen.value or "", chosen.source
    sections = {
        name.lower(): section
        for name, section in read_pypirc(process.environ, process.directory, as_python=False).items()
    }
    name, url = value, _BY_NAME.get(value)
    if source.name in _URLS:
        known = [(name, url) for name, url in _BY_NAME.items() if value.rstrip("/") == url.rstrip("/")]
        name, url = known[0] if known else ("", value)
    elif "repository" in sections.get(value.lower(), {}):
        # The reader of INI files in maturin ends a value at a comment.
        url, source = re.split("[;#]", sections[value.lower()]["repository"])[0].strip(), _PYPIRC
    if url is None:
        raise unknown_repository(_PYPIRC.name, value)
    return Address(checked_url(url, source), name, source), sections.get(name.lower(), {}) if name else {}


UPLOADER = Maturin()
