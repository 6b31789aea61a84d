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
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.text import quoted
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import URLS, Pypirc, Setting, Source, Sources, checked_url, read_pypirc
from keyring_pypitoken.uploaders.uploader import Address, Problem, Target, Uploader

if TYPE_CHECKING:
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
_OPTIONS = ("--repository-url", "--repository")
_VARIABLES = ("MATURIN_REPOSITORY_URL", "MATURIN_REPOSITORY")
_ASKS_NOT = Problem(
    "maturin does not ask Python's keyring, so it would not get a restricted token",
    "run `maturin build`, then upload the files with uv or twine",
)


class Maturin(Uploader):
    """No file of the project chooses anything: the address comes from the user's .pypirc, options and variables."""

    name = "maturin"
    reads_cargo = True
    typical = ("publish",)
    naming_files = "keyring-pypitoken exec -- maturin upload target/wheels/*"
    asks_keyring = False
    token_variables = {"MATURIN_PYPI_TOKEN": "{token}"}
    address_variables = {"MATURIN_REPOSITORY_URL": "{url}"}
    rival_variables = ("MATURIN_USERNAME", "MATURIN_PASSWORD")
    rival_addresses = ("MATURIN_REPOSITORY",)
    options = Grammar("", "-v/--verbose -h/--help -V/--version")
    commands = {"upload": _UPLOAD, "publish": _PUBLISH}

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
        pypirc = read_pypirc(process.environ, process.directory, as_python=False)
        pypirc = pypirc._replace(sections={name.lower(): section for name, section in pypirc.sections.items()})
        address = _find_address(sources, pypirc)
        section = address.name.lower()
        user, password = pypirc.find(section, "username"), pypirc.find(section, "password")
        token = sources.find("", "MATURIN_PYPI_TOKEN")
        if token.value is not None:
            user, password, section = Setting(TOKEN_USERNAME, token.source), token, ""
        elif user.value is None or password.value is None:
            # Otherwise it asks its own keyring, which nobody here can see.
            user, password = (sources.find(f"--{key}", f"MATURIN_{key.upper()}") for key in ("username", "password"))
            section = ""
        return Target(
            address, user, password, None, section, (_ASKS_NOT,), takes_address=not sources.options.has(*_OPTIONS)
        )


def _find_address(sources: Sources, pypirc: Pypirc) -> Address:
    """Return the address; maturin refuses some combinations that are not looked at here."""
    options = [
        Setting(value or "", Source("option", name)) for name, value in sources.options.options if name in _OPTIONS
    ]
    variables = [sources.find("", variable) for variable in _VARIABLES]
    named = next((setting for setting in (*options[::-1], *variables) if setting.value is not None), Setting("pypi"))
    name, source = named.value or "", named.source
    url = URLS.get(name)
    if source.name in (_OPTIONS[0], _VARIABLES[0]):
        known = {url.rstrip("/"): name for name, url in URLS.items()}
        name, url = known.get(name.rstrip("/"), ""), name
        url = URLS.get(name, url)
    elif (text := pypirc.find(name.lower(), "repository").value) is not None:
        # The reader of INI files in maturin ends a value at a comment.
        url, source = re.split("[;#]", text)[0].strip(), pypirc.source
    if url is None:
        raise pypirc.unknown(name)
    return Address(checked_url(url, source), name, source)


UPLOADER = Maturin()
