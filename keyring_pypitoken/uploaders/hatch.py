"""hatch: asks in its own process; click reads its command line, and expands nothing in it, on Windows either.

With each upload it also sends the token to the index's simple page of the project, to see which files are there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, display_name, is_directory, list_directory, status
from keyring_pypitoken.lookup import PYPI, TESTPYPI, TOKEN_USERNAME
from keyring_pypitoken.text import in_shell, quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import (
    Setting,
    Sources,
    Table,
    checked_url,
    first,
    listed,
    read_pypirc,
    read_table,
    user_config,
)
from keyring_pypitoken.uploaders.uploader import Address, Problem, Target, Uploader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyring_pypitoken.uploaders.uploader import Process

_NO_USER = Problem(
    "hatch has no user name, and --no-prompt keeps it from asking for one", in_shell("HATCH_INDEX_USER", TOKEN_USERNAME)
)
_REPOSITORIES = {"main": PYPI.url, "test": TESTPYPI.url}
_PROJECT_FILES = ("pyproject.toml", "setup.py")
_DISTRIBUTIONS = (".whl", ".tar.gz")  # it passes over all other files


class Hatch(Uploader):
    """No file of the project chooses anything: its own settings come from the user."""

    name = "hatch"
    typical = ("publish",)
    naming_files = "hatch publish dist"
    module = "hatch"
    token_variables = {"HATCH_INDEX_USER": TOKEN_USERNAME, "HATCH_INDEX_AUTH": "{token}"}
    address_variables = {"HATCH_INDEX_REPO": "{url}"}
    rival_variables = ("HATCH_PUBLISHER", "HATCH_PUBLISHER_OPTIONS")
    options = Grammar(
        "-e/--env -p/--project --data-dir --cache-dir --config",
        "-v/--verbose -q/--quiet --color --no-color --interactive --no-interactive --version -h/--help",
        equals=False,
    )
    commands = {
        "publish": Grammar(
            "-r/--repo -u/--user -a/--auth --ca-cert --client-cert --client-key -p/--publisher -o/--option",
            "-n/--no-prompt --initialize-auth -y/--yes -h/--help",
            equals=False,
        )
    }
    upload_functions = {
        "hatch.publish.index.IndexPublisher.publish": lambda variables: _distributions(
            Path(variables["self"].root), variables["artifacts"], Path.cwd()
        )
    }

    def find_project(self, process: Process) -> Path:
        here = _find_root(process.directory)
        named = Sources(process.command.before, process.environ).find("--project", "HATCH_PROJECT")
        config = _read_config(process)
        if named.value:
            root = _find_root(_find_named(process, config, named.value))
            if root is None:
                raise Refusal(
                    f"hatch cannot find the project {quoted(named.value)} that {named.source} names: correct the name."
                )
            return root
        wanted, mode = first([config], "project").value, first([config], "mode").value
        if wanted is not None and (mode == "project" or (mode == "aware" and here is None)):
            directory = _find_named(process, config, wanted)
            here = _find_root(directory) or directory or here
        return here or process.directory

    def find_files(self, process: Process) -> tuple[Path, ...]:
        """Return the files that it is given, from the root of its project, and those in directories."""
        arguments = process.command.after.positional_args
        return _distributions(self.find_project(process), arguments, process.directory)

    def target(self, process: Process) -> Target:
        config = _read_config(process)
        sources = Sources(process.command.after, process.environ, (config,))
        publisher = sources.find("--publisher", "HATCH_PUBLISHER")
        if publisher.value not in (None, "", "index"):
            what = f"{publisher.source} names the plugin {quoted(publisher.value)} of hatch"
            raise Refusal(f"{what}, which is unknown: use `index`.")
        address = _find_address(sources)
        username, password, section = _find_credentials(process, sources, address)
        is_stuck = not username.value and process.command.after.has("--no-prompt")
        lookup = None if password.value is not None else (address.url, username.value or TOKEN_USERNAME)
        return Target(address, username, password, lookup, section, (_NO_USER,) if is_stuck else ())


def _read_config(process: Process) -> Table:
    """Return the user's config.toml; refuse a named one that does not exist."""
    named = Sources(process.command.before, process.environ).find("--config", "HATCH_CONFIG").value
    file = process.directory / named if named else user_config("hatch") / "config.toml"
    if named and status(file, named) is None:
        raise Refusal(f"{quoted(named)} does not exist: name hatch's settings file.")
    return read_table(file, process.directory)


def _find_named(process: Process, config: Table, name: str) -> Path | None:
    """Return the directory that the settings have for a project."""
    project = entry(config.content, "projects", name)
    if project is not None:
        location = project if isinstance(project, str) else entry(project, "location")
        return Path(os.path.realpath(process.directory / location)) if location and isinstance(location, str) else None
    for directory in listed(config.content, "dirs", "project"):
        path = process.directory / str(directory) / name
        if name and directory and is_directory(path, str(path)):
            return Path(os.path.realpath(path))
    return None


def _find_address(sources: Sources) -> Address:
    (config,) = sources.tables
    chosen = sources.find("--repo", "HATCH_INDEX_REPO")
    if not chosen.value:
        chosen = first([config], "publish", "index", "repo")
    repo = chosen.value or "main"
    defined = entry(config.content, "publish", "index", "repos", repo)
    url = _REPOSITORIES.get(repo) or (defined if isinstance(defined, str) else entry(defined, "url"))
    if isinstance(url, str) and url:
        return Address(checked_url(url, chosen.source), repo, chosen.source)
    if "://" not in repo:
        raise Refusal(
            f"{chosen.source} names the repository {quoted(repo)}, which hatch does not know: use `main`, `test`, a "
            f"URL, or a name in `publish.index.repos` of {config.name}."
        )
    return Address(checked_url(repo, chosen.source), "", chosen.source)


def _find_credentials(process: Process, sources: Sources, address: Address) -> tuple[Setting, Setting, str]:
    """Return the user name, the password that it has without asking keyring, and the section that has that."""
    (config,) = sources.tables
    index = entry(config.content, "publish", "index")
    # What is set for all repositories counts for those that have a name, but not for a URL.
    tables = [config._replace(content=table) for table in (entry(index, "repos", address.name), index) if address.name]
    key = address.name or address.url
    auth = sources.find("--auth", "HATCH_INDEX_AUTH")
    if not auth.value:
        auth = first(tables, "auth")  # an empty one counts here
    user = sources.find("--user", "HATCH_INDEX_USER")
    if not user.value:
        user = first(tables, "user")
    name = ""
    if not user.value:
        pypirc = read_pypirc(process.environ, process.directory)
        same_url = [name for name in pypirc.sections if pypirc.find(name, "repository").value == address.url]
        name = key if pypirc.sections.get(key) else (same_url or [""])[0]
        user, password = pypirc.find(name, "username"), pypirc.find(name, "password")
        auth = password.otherwise(auth)  # it wins even over --auth
    return user if user.value else Setting(), auth, name


def _distributions(project: Path, arguments: Iterable[str], here: Path) -> tuple[Path, ...]:
    """Return the distributions that arguments name, and those in directories that they name."""
    files: dict[Path, None] = {}
    for argument in arguments or ("dist",):
        path = Path(os.path.normpath(project / argument))
        name = display_name(path, here)
        inside = [path]
        if is_directory(path, name):
            inside = [path / entry for entry in list_directory(path, name)]
        elif arguments and status(path, name) is None:
            where = "from the root of hatch's project, without wildcards"
            raise Refusal(f"{name} does not exist: name files and directories {where}.")
        files.update((file, None) for file in inside if file.name.endswith(_DISTRIBUTIONS))
    return tuple(files)


def _find_root(directory: Path | None) -> Path | None:
    return directory and next((above for above, present in climb(directory, _PROJECT_FILES) if present), None)


UPLOADER = Hatch()
