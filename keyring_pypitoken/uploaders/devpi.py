"""devpi-client: has its server upload a release, with the credentials of a section of .pypirc; argparse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.text import printable, quoted
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import Setting, checked_url, read_pypirc
from keyring_pypitoken.uploaders.uploader import Address, Target, Uploader

if TYPE_CHECKING:
    from keyring_pypitoken.uploaders.uploader import Process

_TARGET = "pypi:"


class Devpi(Uploader):
    """No file of the project chooses anything: the address comes from the user's .pypirc."""

    name = "devpi"
    module = "devpi"
    options = Grammar("--clientdir", "--version --debug -y -v/--verbose -h/--help", abbreviations=True)
    commands = {
        "push": Grammar(
            "--index --pypirc --clientdir",
            "--no-docs --only-docs --register-project --debug -y -v/--verbose -h/--help",
            abbreviations=True,
        )
    }

    def is_uploading(self, process: Process) -> bool:
        return super().is_uploading(process) and _words(process)[1].startswith(_TARGET)

    def find_projects(self, process: Process) -> tuple[str, ...]:
        release = _words(process)[0]
        if "==" not in release:
            raise Refusal(f"{quoted(release)} may name several projects: write NAME==VERSION.")
        return (release.partition("==")[0].partition("[")[0].strip(),)

    def target(self, process: Process) -> Target:
        target = _words(process)[1]
        if not target.startswith(_TARGET):
            raise Refusal(
                "devpi uploads to an index outside its server only with `push NAME==VERSION pypi:SECTION`: add it."
            )
        path, name = process.command.after.last("--pypirc"), target[len(_TARGET) :]
        pypirc = read_pypirc(process.environ, process.directory, path, as_python=False)
        if name not in pypirc.sections:
            raise pypirc.unknown(name)
        user, password = pypirc.find(name, "username"), pypirc.find(name, "password")
        if user.value is None:
            raise Refusal(
                f"{pypirc.source} has no `username` in [{printable(name)}], which devpi needs: add "
                "`username = __token__`."
            )
        url = pypirc.find(name, "repository").otherwise(Setting(PYPI.url))
        address = Address(checked_url(url.value, url.source), name, url.source)
        return Target(address, user, password, (address.url, user.value) if password.value is None else None, name)


def _words(process: Process) -> tuple[str, ...]:
    """Return the release and the target, either empty if it is not given."""
    return (*process.command.after.positional_args, "", "")


UPLOADER = Devpi()
