"""What is known about maturin, which asks a keyring of its own, never Python's: only variables can restrict it."""

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
from keyring_pypitoken.uploaders.settings import Setting, Sources, checked_url, read_pypirc, unknown_repository
from keyring_pypitoken.uploaders.uploader import Address, Credentials, Problem, Uploader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyring_pypitoken.uploaders.uploader import Lookups, Process

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


class Maturin(Uploader):
    """Uploads the files that its command line names, or what it builds."""

    name = "maturin"
    typical = ("publish",)
    observed = "1.16.0"
    source = "src/main.rs, src/upload.rs, src/commands/mod.rs, src/commands/publish.rs"
    lookups_per_upload = 0
    saves = "a keyring of its own, under `maturin` and the user name, after each upload: what it sent"
    before_keyring = ("MATURIN_PYPI_TOKEN", ".pypirc", "--password", "MATURIN_PASSWORD")
    token_variables = {"MATURIN_PYPI_TOKEN": "{token}"}  # noqa: RUF012 - never changed
    address_variables = {"MATURIN_REPOSITORY_URL": "{url}"}  # noqa: RUF012 - never changed
    rival_variables = ("MATURIN_REPOSITORY", "MATURIN_USERNAME", "MATURIN_PASSWORD")
    options = Grammar("", "-v/--verbose -h/--help -V/--version")
    commands = {"upload": _UPLOAD, "publish": _PUBLISH}  # noqa: RUF012 - never changed

    def is_uploading(self, process: Process) -> bool:
        command = self.parse(process)
        return super().is_uploading(process) and (command.name == "publish" or bool(command.after.positional_args))

    def find_project(self, process: Process) -> Path:
        named = self.parse(process).after.last("--manifest-path")
        return Path(os.path.normpath(process.directory / named)).parent if named else process.directory

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        """Return the files of `upload`; None for `publish`, which builds them."""
        command = self.parse(process)
        names = command.after.positional_args if command.name == "upload" else ()
        for name in names:
            if status(process.directory / name, name) is None:
                raise Refusal(f"{quoted(name)} is not a file: correct the name.")
        return tuple(process.directory / name for name in names) or None

    def find_address(self, process: Process) -> Address:
        return self._read(process)[0]

    def find_lookups(self, process: Process, address: Address) -> Lookups:  # noqa: ARG002 - it never asks
        return ()

    def find_problems(self, process: Process, address: Address) -> list[Problem]:
        command = "publish" if self.parse(process).name == "publish" else "upload"
        remedy = f"`keyring-pypitoken exec -- maturin {command} ...`"
        bypass = Problem("maturin does not ask Python's keyring, so it would not get a restricted token", remedy)
        return [*super().find_problems(process, address), bypass]

    def _problems(self, process: Process, address: Address) -> Iterator[Problem]:  # noqa: ARG002 - it is in the settings
        yield from (self._taken(found) for found in self._credentials(process) if found.password.value is not None)

    def find_credentials(self, process: Process, address: Address) -> Credentials:  # noqa: ARG002 - it is in the settings
        """Return the first of what it takes; else what its own keyring may have, which nobody here can see."""
        return next(self._credentials(process), Credentials(Setting(None, ""), Setting(None, "")))

    def _credentials(self, process: Process) -> Iterator[Credentials]:
        """Yield what it takes, in its order."""
        sources = Sources(self.parse(process).after, process.environ)
        user = sources.find("--username", "MATURIN_USERNAME")
        for username, password in (
            (Setting(TOKEN_USERNAME, "MATURIN_PYPI_TOKEN"), sources.find("", "MATURIN_PYPI_TOKEN")),
            (user, sources.find("--password", "MATURIN_PASSWORD")),
        ):
            if password.value is not None:
                yield Credentials(username, password)
        _, section, values = self._read(process)
        if "username" in values and "password" in values:
            user, password = (Setting(values[key], "~/.pypirc") for key in ("username", "password"))
            yield Credentials(user, password, section)

    def names_repository(self, process: Process) -> bool:
        """Return True if an option names the repository, beside which maturin refuses the other one's variable."""
        return self.parse(process).after.has(*_VARIABLES)

    def _choose(self, process: Process) -> tuple[str, str]:
        """Return what names the repository, and its value: the last option, a variable, or the default."""
        given = [(name, value or "") for name, value in self.parse(process).after.options if name in _VARIABLES]
        named = given[-1:] + [
            (variable, process.environ[variable])
            for option, variable in _VARIABLES.items()
            if variable in process.environ and not (given and option == given[-1][0])
        ]
        if len(named) > 1:
            raise Refusal(f"maturin takes {named[0][0]} or {named[1][0]}, not both: leave one out.")
        return named[0] if named else ("default", "pypi")

    def _read(self, process: Process) -> tuple[Address, str, Mapping[str, str]]:
        """Return the address; and the name and the content of the section of .pypirc that counts."""
        origin, value = self._choose(process)
        sections = {name.lower(): section for name, section in read_pypirc(process.environ, process.directory).items()}
        name, url = value, _BY_NAME.get(value)
        if origin in ("--repository-url", "MATURIN_REPOSITORY_URL"):
            known = [(name, url) for name, url in _BY_NAME.items() if value.rstrip("/") == url.rstrip("/")]
            name, url = known[0] if known else ("", value)
        elif "repository" in sections.get(value.lower(), {}):
            # The reader of INI files in maturin ends a value at a comment.
            url, origin = re.split("[;#]", sections[value.lower()]["repository"])[0].strip(), "~/.pypirc"
        if url is None:
            raise unknown_repository("~/.pypirc", value)
        return Address(checked_url(url, origin), name, origin), name, sections.get(name.lower(), {}) if name else {}


UPLOADER = Maturin()
