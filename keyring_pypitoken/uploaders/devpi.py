"""What is known about devpi-client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.text import printable, quoted
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import is_web_url, read_pypirc
from keyring_pypitoken.uploaders.uploader import Address, Problem, Uploader, other_user, pypirc_taken_first

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyring_pypitoken.uploaders.options import Parsed
    from keyring_pypitoken.uploaders.process import Process

_MAIN = Grammar("--clientdir", "--version --debug -y -v/--verbose -h/--help", abbreviations=True)
_PUSH = Grammar(
    "--index --pypirc --clientdir",
    "--no-docs --only-docs --register-project --debug -y -v/--verbose -h/--help",
    abbreviations=True,
)
_TARGET = "pypi:"


class Devpi(Uploader):
    """Has its server upload a release, with the credentials of a section of .pypirc."""

    name = "devpi"
    observed = "7.3.0"
    source = "devpi/main.py, devpi/push.py, devpi/pypirc.py, keyring/devpi_client.py"
    module = "devpi"
    asks_for = ("{url} for the user name in .pypirc",)
    before_keyring = (".pypirc",)

    def is_uploading(self, process: Process) -> bool:
        """Return True for `push RELEASE pypi:SECTION`."""
        main, push = _parse(process)
        stops = main.has("--version") or main.has("--help") or push.has("--help")
        return not stops and len(push.positional_args) > 1 and push.positional_args[1].startswith(_TARGET)

    def find_projects(self, process: Process) -> tuple[str, ...]:
        """Return the project of the release: `name==version`, or the old `name-version`."""
        release = next(iter(_parse(process)[1].positional_args), "")
        name = _project_of_old(release) if "==" not in release else _project_of(release)
        return (name,) if name else ()

    def find_address(self, process: Process) -> Address:
        """Return the URL of the section of .pypirc that the target names; PyPI if it has none."""
        file, name, section = _read(process)
        url = section.get("repository", PYPI.url)
        if not is_web_url(url):
            raise Refusal(
                f"the repository URL of [{printable(name)}] in {file} is not one of http or https: correct it."
            )
        return Address(url, name, file if "repository" in section else "default")

    def find_lookups(self, process: Process, address: Address) -> tuple[tuple[str, str | None], ...]:
        """Return what it asks for: the password of the section's user, unless the section holds it."""
        _, _, section = _read(process)
        return () if "password" in section else ((address.url, section["username"]),)

    def find_problems(self, process: Process, address: Address) -> list[Problem]:  # noqa: ARG002 - it is in the settings
        """Return a password in .pypirc, and a user name other than `__token__`."""
        try:
            file, name, section = _read(process)
        except Refusal as refusal:
            return [Problem.of_refusal(refusal)]
        found = [pypirc_taken_first(self.name, file, name)] if "password" in section else []
        if section["username"] != TOKEN_USERNAME:
            found.append(other_user(self.name, section["username"], file))
        return found


def _parse(process: Process) -> tuple[Parsed, Parsed]:
    """Return the options before the subcommand, and the arguments after it if it is `push`."""
    main = _MAIN.parse(process.arguments, stop=True)
    return main, _PUSH.parse(main.rest if main.positional_args == ("push",) else ())


def _read(process: Process) -> tuple[str, str, Mapping[str, str]]:
    """Return what messages call .pypirc, and the section that the target names, with its name."""
    push = _parse(process)[1]
    target = push.positional_args[1] if len(push.positional_args) > 1 else ""
    if not target.startswith(_TARGET):
        raise Refusal(
            "devpi uploads to an index outside its server only with `push NAME==VERSION pypi:SECTION`: add it."
        )
    path = push.last("--pypirc")
    file, name = printable(path or "~/.pypirc"), target[len(_TARGET) :]
    section = read_pypirc(process.environ, process.directory, path).get(name)
    if section is None:
        raise Refusal(f"{file} does not define the repository {quoted(name)}: correct the name, or add it.")
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


ROOM = Devpi()
