"""What is known about hatch.

With each upload it also sends the token to the index's simple page of the project, to see which files are there.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, display_name, is_directory, list_directory, status
from keyring_pypitoken.lookup import PYPI, TESTPYPI, TOKEN_USERNAME
from keyring_pypitoken.text import in_shell, quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.legacy import Address, Credentials, Setting, Sources, Uploader, first
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import home, read_ini, read_json, read_toml, user_config
from keyring_pypitoken.uploaders.uploader import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from keyring_pypitoken.uploaders.legacy import Table
    from keyring_pypitoken.uploaders.uploader import Lookups, Process

_REPOSITORIES = {"main": PYPI.url, "test": TESTPYPI.url}
_PROJECT_FILES = ("pyproject.toml", "setup.py")
_DISTRIBUTIONS = (".whl", ".tar.gz")  # it passes over all other files


class Hatch(Uploader):
    """hatch: asks in its own process; click reads its command line."""

    name = "hatch"
    typical = ("publish",)
    observed = "1.18.2"
    source = "hatch/cli/__init__.py, cli/publish/__init__.py, publish/index.py, publish/auth.py, project/core.py"
    module = "hatch"
    saves = "the upload URL and the user name (before 1.16.3: `main` or `test`)"
    asks_for = ("{url}",)
    kept_services = ("main", "test")
    before_keyring = (
        "-a, HATCH_INDEX_AUTH, `auth` in its config.toml",
        "a password in ~/.pypirc, unless an option, a variable or its config.toml names the user",
    )
    token_variables = {"HATCH_INDEX_USER": TOKEN_USERNAME, "HATCH_INDEX_AUTH": "{token}"}  # noqa: RUF012
    address_variables = {"HATCH_INDEX_REPO": "{url}"}  # noqa: RUF012
    rival_variables = ("HATCH_PUBLISHER", "HATCH_PUBLISHER_OPTIONS")
    options = Grammar(
        "-e/--env -p/--project --data-dir --cache-dir --config",
        "-v/--verbose -q/--quiet --color --no-color --interactive --no-interactive --version -h/--help",
        equals=False,
    )
    commands = {  # noqa: RUF012 - never changed
        "publish": Grammar(
            "-r/--repo -u/--user -a/--auth --ca-cert --client-cert --client-key -p/--publisher -o/--option",
            "-n/--no-prompt --initialize-auth -y/--yes -h/--help",
            equals=False,
        )
    }

    upload_functions = {  # noqa: RUF012 - never changed
        "hatch.publish.index.IndexPublisher.publish": lambda variables: _distributions(
            Path(variables["self"].root), variables["artifacts"], Path.cwd()
        )
    }

    def is_saving(self, process: Process) -> bool:
        return self.is_uploading(process)

    def find_project(self, process: Process) -> Path:
        run = _Run(process)
        here = _find_root(process.directory)
        named, origin = run.before.find("--project", "HATCH_PROJECT")
        if named:
            root = _find_root(run.find_named(named))
            if root is None:
                raise Refusal(f"hatch cannot find the project {quoted(named)} that {origin} names: correct the name.")
            return root
        wanted, mode = run.config.get("project"), run.config.get("mode")
        if isinstance(wanted, str) and (mode == "project" or (mode == "aware" and here is None)):
            found = run.find_named(wanted)
            here = _find_root(found) or found or here
        return here or process.directory

    def find_files(self, process: Process) -> tuple[Path, ...]:
        arguments = process.command.after.positional_args
        return _distributions(self.find_project(process), arguments, process.directory)

    def find_address(self, process: Process) -> Address:
        run = _Run(process)
        publisher, origin = run.after.find("--publisher", "HATCH_PUBLISHER")
        if publisher not in (None, "", "index"):
            raise Refusal(f"{origin} names the plugin {quoted(publisher)} of hatch, which is unknown: use `index`.")
        repo, origin = run.after.find("--repo", "HATCH_INDEX_REPO")
        if not repo:
            repo, origin = first(run.tables, "publish", "index", "repo")
        if not repo:
            repo, origin = "main", "default"
        table = entry(run.config, "publish", "index", "repos", repo)
        url = _REPOSITORIES.get(repo) or (table if isinstance(table, str) else first([(table, "")], "url").value)
        if not url and "://" not in repo:
            raise Refusal(
                f"{origin} names the repository {quoted(repo)}, which hatch does not know: use `main`, `test`, a URL, "
                f"or a name in `publish.index.repos` of {run.file_name}."
            )
        return Address(url or repo, repo if url else "", origin)

    def find_credentials(self, process: Process, address: Address) -> Credentials:
        return _Run(process).find_credentials(address)

    def find_lookups(self, process: Process, address: Address) -> Lookups:
        try:
            found = self.find_credentials(process, address)
        except Refusal:
            return ()  # it stops before it asks
        return () if found.password.value is not None else ((address.url, found.username.value or TOKEN_USERNAME),)

    def _problems(self, process: Process, address: Address) -> Iterator[Problem]:
        yield from super()._problems(process, address)
        user = self.find_credentials(process, address).username.value
        if not user and process.command.after.has("--no-prompt"):
            problem = "hatch has no user name, and --no-prompt keeps it from asking for one"
            yield Problem(problem, in_shell("HATCH_INDEX_USER", TOKEN_USERNAME))


class _Run:
    """One run: its options before and after the subcommand with their variables, and its config.toml."""

    def __init__(self, process: Process) -> None:
        command = process.command
        self.directory = process.directory
        self.before = Sources(command.before, process.environ)
        self.after = Sources(command.after, process.environ)
        named = self.before.find("--config", "HATCH_CONFIG").value
        self._file = self.directory / named if named else user_config("hatch") / "config.toml"
        self._named = named
        self.file_name = display_name(self._file, self.directory)

    @cached_property
    def config(self) -> dict[str, Any]:
        if self._named and status(self._file, self._named) is None:
            raise Refusal(f"{quoted(self._named)} does not exist: name hatch's settings file.")
        return read_toml(self._file, self.file_name)

    @property
    def tables(self) -> list[Table]:
        return [(self.config, self.file_name)]

    def find_named(self, name: str) -> Path | None:
        """Return the directory that the settings have for a project."""
        project = entry(self.config, "projects", name)
        if project is not None:
            location = project if isinstance(project, str) else first([(project, "")], "location").value
            return Path(os.path.realpath(self.directory / location)) if location else None
        directories = entry(self.config, "dirs", "project")
        for directory in directories if isinstance(directories, list) else ():
            path = self.directory / str(directory) / name
            if name and directory and is_directory(path, str(path)):
                return Path(os.path.realpath(path))
        return None

    def find_credentials(self, address: Address) -> Credentials:
        index = entry(self.config, "publish", "index")
        # What is set for all repositories counts for those that have a name, but not for a URL.
        tables = [(table, self.file_name) for table in (entry(index, "repos", address.name), index) if address.name]
        key = address.name or address.url
        auth = self.after.find("--auth", "HATCH_INDEX_AUTH")
        if not auth.value:
            auth = first(tables, "auth")  # an empty one counts here
        user, origin = self.after.find("--user", "HATCH_INDEX_USER")
        if not user:
            user, origin = first(tables, "user")
        if not user:
            sections, origin = read_ini(home(self.after.environ) / ".pypirc", "~/.pypirc"), "~/.pypirc"
            same_url = [section for section in sections.values() if section.get("repository") == address.url]
            section = sections.get(key) or (same_url or [{}])[0]
            user = section.get("username")
            if "password" in section:  # it wins even over --auth
                auth = Setting(section["password"], origin)
        if not user:
            origin = str(self._cache_directory() / "publish" / "index" / "previous_working_users.json")
            user = first([(read_json(Path(origin), origin), origin)], key).value
        return Credentials(Setting(user or None, origin), auth)

    def _cache_directory(self) -> Path:
        directory = (
            self.before.find("--cache-dir", "HATCH_CACHE_DIR").value or first(self.tables, "dirs", "cache").value
        )
        if directory:
            return self.directory / os.path.expanduser(os.path.expandvars(directory))
        import platformdirs

        return Path(platformdirs.user_cache_dir("hatch", appauthor=False))


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
            raise Refusal(f"{name} does not exist: name files and directories from the root of hatch's project.")
        files.update((file, None) for file in inside if file.name.endswith(_DISTRIBUTIONS))
    return tuple(files)


def _find_root(directory: Path | None) -> Path | None:
    return directory and next((found for found, names in climb(directory, _PROJECT_FILES) if names), None)


UPLOADER = Hatch()
