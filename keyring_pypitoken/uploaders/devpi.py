"""devpi-client: has its server upload a release, with the credentials of a section of .pypirc; argparse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.text import printable
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import (
    DEFAULT,
    Setting,
    Source,
    checked_url,
    read_pypirc,
    unknown_repository,
)
from keyring_pypitoken.uploaders.uploader import Address, Target, Uploader

if TYPE_CHECKING:
    from keyring_pypitoken.uploaders.uploader import Process

_TARGET = "pypi:"


class Devpi(Uploader):
    """No file of the project chooses anything: the address comes from the user's .pypirc."""

    name = "devpi"
    naming_files = "devpi push NAME==VERSION pypi:SECTION"
    module = "devpi"
    options = Grammar("--clientdir", "--version --debug -y -v/--verbose -h/--help", abbreviations=True)
    commands = {  # noqa: RUF012 - never changed
        "push": Grammar(
            "--index --pypirc --clientdir",
            "--no-docs --only-docs --register-project --debug -y -v/--verbose -h/--help",
            abbreviations=True,
        )
    }

    def is_uploading(self, process: Process) -> bool:
        return super().is_uploading(process) and _words(process)[1].startswith(_TARGET)

    def find_projects(self, process: Process) -> tuple[str, ...]:
        """Return the project of the release: `name==version`, or the old `name-version`."""
        release = _words(process)[0]
        name = _project_of(release) if "==" in release else _project_of_old(release)
        return (name,) if name else ()

    def target(self, process: Process) -> Target:
        target = _words(process)[1]
        if not target.startswith(_TARGET):
            raise Refusal(
                "devpi uploads to an index outside its server only with `push NAME==VERSION pypi:SECTION`: add it."
            )
        path = process.command.after.last("--pypirc")
        file, name = path or "~/.pypirc", target[len(_TARGET) :]
        shown, source = printable(file), Source("file", file)
        section = read_pypirc(process.environ, process.directory, path, as_python=False).get(name)
        if section is None:
            raise unknown_repository(shown, name)
        if "username" not in section:
            raise Refusal(
                f"{shown} has no `username` in [{printable(name)}], which devpi needs: add `username = __token__`."
            )
        url = checked_url(section.get("repository", PYPI.url), f"[{printable(name)}] in {shown}")
        user = section["username"]
        return Target(
            Address(url, name, source if "repository" in section else DEFAULT),
            Setting(user, source),
            Setting(section.get("password"), source),
            () if "password" in section else ((url, user),),
            name,
        )


def _words(process: Process) -> tuple[str, ...]:
    """Return the release and the target, either empty if it is not given."""
    return (*process.command.after.positional_args, "", "")


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
