"""What is known about maturin, which asks a keyring of its own, never Python's: only variables can restrict it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import status
from keyring_pypitoken.lookup import PYPI, TESTPYPI
from keyring_pypitoken.text import quoted
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import is_web_url, read_pypirc
from keyring_pypitoken.uploaders.uploader import Address, Problem, Uploader, pypirc_taken_first, variable_taken_first

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyring_pypitoken.uploaders.options import Parsed
    from keyring_pypitoken.uploaders.process import Process

_MAIN = Grammar("", "-v/--verbose -h/--help -V/--version")
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
_BUILT_IN = {"pypi": PYPI.url, "testpypi": TESTPYPI.url}


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

    def is_uploading(self, process: Process) -> bool:
        """Return True for `publish`, and for `upload` with files."""
        main, command = _parse(process)
        if main.has("--help") or main.has("--version") or command.has("--help"):
            return False
        return main.positional_args == ("publish",) or (
            main.positional_args == ("upload",) and bool(command.positional_args)
        )

    def find_project(self, process: Process) -> Path:
        """Return the directory of the file that `publish --manifest-path` names."""
        named = _parse(process)[1].last("--manifest-path")
        return Path(os.path.normpath(process.directory / named)).parent if named else process.directory

    def find_files(self, process: Process) -> tuple[Path, ...] | None:
        """Return the files of `upload`; None for `publish`, which builds them.

        Raises:
            Refusal: a file is not there.
        """
        main, command = _parse(process)
        if main.positional_args != ("upload",) or not command.positional_args:
            return None
        files = [(name, process.directory / name) for name in command.positional_args]
        for name, file in files:
            if status(file, name) is None:
                raise Refusal(f"{quoted(name)} is not a file: correct the name.")
        return tuple(file for _, file in files)

    def find_address(self, process: Process) -> Address:
        """Return where this run uploads to: the last option, a variable, then what .pypirc says about that name."""
        return _read(process)[0]

    def find_lookups(self, process: Process, address: Address) -> tuple[tuple[str, str | None], ...]:  # noqa: ARG002
        """Return nothing: it asks a keyring of its own."""
        return ()

    def find_problems(self, process: Process, address: Address) -> list[Problem]:  # noqa: ARG002 - it is in the settings
        """Return that it never asks this package, and where it finds a credential."""
        found = [
            variable_taken_first(self.name, name)
            for name in ("MATURIN_PYPI_TOKEN", "MATURIN_PASSWORD")
            if name in process.environ
        ]
        try:
            _, section, values = _read(process)
        except Refusal as refusal:
            found.append(Problem.of_refusal(refusal))
        else:
            if "username" in values and "password" in values:
                found.append(pypirc_taken_first(self.name, "~/.pypirc", section))
        words = " ".join(["maturin", *process.arguments[:1]])
        remedy = f"`keyring-pypitoken exec -- {words} ...`"
        return [
            *found,
            Problem("maturin does not ask Python's keyring, so it would not get a restricted token", remedy),
        ]

    def names_repository(self, process: Process) -> bool:
        """Return True if an option names the repository, beside which maturin refuses the other one's variable."""
        return _parse(process)[1].has("--repository") or _parse(process)[1].has("--repository-url")


def _parse(process: Process) -> tuple[Parsed, Parsed]:
    """Return the options before the subcommand, and the arguments after it if it uploads."""
    main = _MAIN.parse(process.arguments, stop=True)
    grammar = _PUBLISH if main.positional_args == ("publish",) else _UPLOAD
    return main, grammar.parse(main.rest if main.positional_args in (("upload",), ("publish",)) else ())


def _choose(process: Process) -> tuple[str, str]:
    """Return what names the repository, and its value: the last option, a variable, or the default."""
    options = {"--repository": "MATURIN_REPOSITORY", "--repository-url": "MATURIN_REPOSITORY_URL"}
    given = [(name, value or "") for name, value in _parse(process)[1].options if name in options]
    named = given[-1:] + [
        (variable, process.environ[variable])
        for option, variable in options.items()
        if variable in process.environ and not (given and option == given[-1][0])
    ]
    if len(named) > 1:
        raise Refusal(f"maturin takes {named[0][0]} or {named[1][0]}, not both: leave one out.")
    return named[0] if named else ("default", "pypi")


def _read(process: Process) -> tuple[Address, str, Mapping[str, str]]:
    """Return the address; and the name and the content of the section of .pypirc that counts."""
    origin, value = _choose(process)
    sections = {name.lower(): section for name, section in read_pypirc(process.environ, process.directory).items()}
    name, url = value, _BUILT_IN.get(value)
    if origin in ("--repository-url", "MATURIN_REPOSITORY_URL"):
        found = [known for known, built_in in _BUILT_IN.items() if value.rstrip("/") == built_in.rstrip("/")]
        name, url = (found[0], _BUILT_IN[found[0]]) if found else ("", value)
    elif "repository" in sections.get(value.lower(), {}):
        # The reader of INI files in maturin ends a value at a comment.
        url, origin = re.split("[;#]", sections[value.lower()]["repository"])[0].strip(), "~/.pypirc"
    if url is None:
        raise Refusal(f"~/.pypirc does not define the repository {quoted(value)}: correct the name, or add it.")
    if not is_web_url(url):
        raise Refusal(f"the repository URL of {origin} is not one of http or https: correct it.")
    return Address(url, name, origin), name, sections.get(name.lower(), {}) if name else {}


ROOM = Maturin()
