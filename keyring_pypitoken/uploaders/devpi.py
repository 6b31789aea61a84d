"""What is known about devpi-client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.text import printable
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import Setting, checked_url, read_pypirc, unknown_repository
from keyring_pypitoken.uploaders.uploader import Address, Credentials, Uploader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyring_pypitoken.uploaders.uploader import Lookups, Process

_TARGET = "pypi:"


class Devpi(Uploader):
    """Has its server upload a release, with the credentials of a section of .pypirc."""

    name = "devpi"
    observed = "7.3.0"
    source = "devpi/main.py, devpi/push.py, devpi/pypirc.py, keyring/devpi_client.py"
    module = "devpi"
    asks_for = ("{url} for the user name in .pypirc",)
    before_keyring = (".pypirc",)
    options = Grammar("--clientdir", "--version --debug -y -v/--verbose -h/--help", abbreviations=True)
    commands = {  # noqa: RUF012 - never changed
        "push": Grammar(
            "--index --pypirc --clientdir",
            "--no-docs --only-docs --register-project --debug -y -v/--verbose -h/--help",
            abbreviations=True,
        )
    }

    def is_uploading(self, process: Process) -> bool:
        return super().is_uploading(process) and self._words(process)[1].startswith(_TARGET)

    def find_projects(self, process: Process) -> tuple[str, ...]:
        """Return the project of the release: `name==version`, or the old `name-version`."""
        release = self._words(process)[0]
        name = _project_of(release) if "==" in release else _project_of_old(release)
        return (name,) if name else ()

    def find_address(self, process: Process) -> Address:
        file, name, section = self._read(process)
        url = checked_url(section.get("repository", PYPI.url), f"[{printable(name)}] in {file}")
        return Address(url, name, file if "repository" in section else "default")

    def find_lookups(self, process: Process, address: Address) -> Lookups:
        section = self._read(process)[2]
        return () if "password" in section else ((address.url, section["username"]),)

    def find_credentials(self, process: Process, address: Address) -> Credentials:  # noqa: ARG002 - all in .pypirc
        file, name, section = self._read(process)
        return Credentials(Setting(section["username"], file), Setting(section.get("password"), file), name)

    def _words(self, process: Process) -> tuple[str, ...]:
        """Return the release and the target, either empty if it is not given."""
        return (*self.parse(process).after.positional_args, "", "")

    def _read(self, process: Process) -> tuple[str, str, Mapping[str, str]]:
        """Return what messages call .pypirc, and the section that the target names, with its name."""
        target = self._words(process)[1]
        if not target.startswith(_TARGET):
            raise Refusal(
                "devpi uploads to an index outside its server only with `push NAME==VERSION pypi:SECTION`: add it."
            )
        path = self.parse(process).after.last("--pypirc")
        file, name = printable(path or "~/.pypirc"), target[len(_TARGET) :]
        section = read_pypirc(process.environ, process.directory, path).get(name)
        if section is None:
            raise unknown_repository(file, name)
        if "username" not in section:
            raise Refusal(
                f"{file} has no `username` in [{printable(name)}], which devpi needs: add `username = __token__`."
            )
        return file, name, section


def _project_of(release: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        found = Requirement(release)
    except InvalidRequirement:
        return ""
    return found.name if [one.operator for one in found.specifier] == ["=="] else ""


def _project_of_old(release: str) -> str:
    """Return what comes before the first hyphen after which only a version follows."""
    from packaging.version import InvalidVersion, Version

    parts = release.split("-")
    for at in range(1, len(parts)):
        try:
            Version("-".join(parts[at:]))
        except InvalidVersion:
            continue
        return "-".join(parts[:at])
    return "-".join(parts[:-1])


UPLOADER = Devpi()
