"""What is known about hatch.

With each upload it also sends the token to the index's simple page of the project, to see which files are there.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, display_name, is_directory, list_directory, status
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.text import quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.options import Grammar
from keyring_pypitoken.uploaders.settings import home, read_ini, read_json, read_toml, user_config
from keyring_pypitoken.uploaders.uploader import Address, Problem, Uploader, other_user, password_taken_first

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyring_pypitoken.uploaders.options import Parsed
    from keyring_pypitoken.uploaders.uploader import Process

_MAIN = Grammar(
    "-e/--env -p/--project --data-dir --cache-dir --config",
    "-v/--verbose -q/--quiet --color --no-color --interactive --no-interactive --version -h/--help",
    equals=False,
)
_PUBLISH = Grammar(
    "-r/--repo -u/--user -a/--auth --ca-cert --client-cert --client-key -p/--publisher -o/--option",
    "-n/--no-prompt --initialize-auth -y/--yes -h/--help",
    equals=False,
)
_REPOSITORIES = {"main": "https://upload.pypi.org/legacy/", "test": "https://test.pypi.org/legacy/"}
_PROJECT_FILES = ("pyproject.toml", "setup.py")
_DISTRIBUTIONS = (".whl", ".tar.gz")  # it passes over all other files


class Hatch(Uploader):
    """hatch: asks in its own process; click reads its command line."""

    name = "hatch"
    typical = ("publish",)
    observed = "1.18.2"
    source = (
        "hatch 1.18.2: cli/__init__.py, cli/publish/__init__.py, publish/index.py, publish/auth.py, project/core.py"
    )
    module = "hatch"
    saves = "the upload URL and the user name (before 1.16.3: `main` or `test`)"
    asks_for = ("{url}",)
    kept_services = ("main", "test")
    before_keyring = (
        "-a, HATCH_INDEX_AUTH, `auth` in its config.toml",
        "a password in ~/.pypirc, unless an option, a variable or its config.toml names the user",
    )
    token_variables: ClassVar[Mapping[str, str]] = {"HATCH_INDEX_USER": TOKEN_USERNAME, "HATCH_INDEX_AUTH": "{token}"}
    address_variables: ClassVar[Mapping[str, str]] = {"HATCH_INDEX_REPO": "{url}"}
    rival_variables = ("HATCH_PUBLISHER", "HATCH_PUBLISHER_OPTIONS")

    def is_uploading(self, process: Process) -> bool:
        run = _Run(process)
        is_help = any(parsed.has(name) for parsed in (run.main, run.publish) for name in ("--help", "--version"))
        return run.main.positional_args == ("publish",) and not is_help

    def is_saving(self, process: Process) -> bool:
        return self.is_uploading(process)

    def find_project(self, process: Process) -> Path:
        run = _Run(process)
        here = _find_root(process.directory)
        named, origin = run.value(run.main, "--project", "HATCH_PROJECT")
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
        arguments = _Run(process).publish.positional_args
        project = self.find_project(process)
        found: dict[Path, None] = {}
        for argument in arguments or ("dist",):
            path = Path(os.path.normpath(project / argument))
            name = display_name(path, process.directory)
            inside = [path]
            if is_directory(path, name):
                inside = [path / entry for entry in list_directory(path, name)]
            elif arguments and status(path, name) is None:
                raise Refusal(f"{name} does not exist: name files and directories from the root of hatch's project.")
            found.update((file, None) for file in inside if file.name.endswith(_DISTRIBUTIONS))
        return tuple(found)

    def find_address(self, process: Process) -> Address:
        run = _Run(process)
        publisher, origin = run.value(run.publish, "--publisher", "HATCH_PUBLISHER")
        if publisher not in ("", "index"):
            raise Refusal(f"{origin} names the plugin {quoted(publisher)} of hatch, which is unknown: use `index`.")
        index = entry(run.config, "publish", "index")
        repo, origin = run.value(run.publish, "--repo", "HATCH_INDEX_REPO")
        if not repo:
            repo, origin = _first([index], "repo") or "", run.file_name
        if not repo:
            repo, origin = "main", "default"
        data = entry(index, "repos", repo)
        url = _REPOSITORIES.get(repo) or (data if isinstance(data, str) else _first([data], "url"))
        if not url and "://" not in repo:
            raise Refusal(
                f"{origin} names the repository {quoted(repo)}, which hatch does not know: use `main`, `test`, a URL, "
                f"or a name in `publish.index.repos` of {run.file_name}."
            )
        return Address(url or repo, repo if url else "", origin)

    def find_lookups(self, process: Process, address: Address) -> tuple[tuple[str, str | None], ...]:
        try:
            user, password_origin, _ = _Run(process).find_credentials(address)
        except Refusal:
            return ()  # it stops before it asks
        return () if password_origin else ((address.url, user or TOKEN_USERNAME),)

    def find_problems(self, process: Process, address: Address) -> list[Problem]:
        run = _Run(process)
        try:
            user, password_origin, user_origin = run.find_credentials(address)
        except Refusal as refusal:
            return [Problem.of_refusal(refusal)]
        found = [password_taken_first("hatch", password_origin)] if password_origin else []
        if user and user != TOKEN_USERNAME:
            found.append(other_user("hatch", user, user_origin))
        if not user and run.publish.has("--no-prompt"):
            problem = "hatch has no user name, and --no-prompt keeps it from asking for one"
            found.append(Problem(problem, "`export HATCH_INDEX_USER=__token__`"))
        return found


class _Run:
    """One run of hatch: its command line, its environment, its config.toml."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.main = _MAIN.parse(process.arguments, stop=True)
        self.publish = _PUBLISH.parse(self.main.rest)

    def value(self, parsed: Parsed, option: str, variable: str) -> tuple[str, str]:
        """Return what an option says, else its variable, and which of them."""
        value = parsed.last(option)
        return (self.process.environ.get(variable, ""), variable) if value is None else (value, option)

    @cached_property
    def file(self) -> Path:
        named, _ = self.value(self.main, "--config", "HATCH_CONFIG")
        file = self.process.directory / named if named else user_config("hatch") / "config.toml"
        if named and status(file, named) is None:
            raise Refusal(f"{quoted(named)} does not exist: name hatch's settings file.")
        return file

    @cached_property
    def file_name(self) -> str:
        return display_name(self.file, self.process.directory)

    @cached_property
    def config(self) -> dict[str, Any]:
        return read_toml(self.file, self.file_name)

    def find_named(self, name: str) -> Path | None:
        """Return the directory that the settings have for a project."""
        projects = self.config.get("projects")
        if isinstance(projects, dict) and name in projects:
            location = projects[name] if isinstance(projects[name], str) else _first([projects[name]], "location")
            return Path(os.path.realpath(self.process.directory / location)) if location else None
        directories = entry(self.config, "dirs", "project")
        for directory in directories if isinstance(directories, list) else ():
            path = self.process.directory / str(directory) / name
            if name and directory and is_directory(path, str(path)):
                return Path(os.path.realpath(path))
        return None

    def find_credentials(self, address: Address) -> tuple[str, str, str]:
        """Return the user name, what sets a password (else nothing), and what sets the user name."""
        index = entry(self.config, "publish", "index")
        # What is set for all repositories counts for those that have a name, but not for a URL.
        tables = [entry(index, "repos", address.name), index] if address.name else []
        key = address.name or address.url
        auth, auth_origin = self.value(self.publish, "--auth", "HATCH_INDEX_AUTH")
        if not auth:  # an empty one in the settings counts
            auth_origin = "" if _first(tables, "auth") is None else self.file_name
        user, origin = self.value(self.publish, "--user", "HATCH_INDEX_USER")
        if not user:
            user, origin = _first(tables, "user") or "", self.file_name
        if not user:
            sections = read_ini(home(self.process.environ) / ".pypirc", "~/.pypirc")
            same_url = [section for section in sections.values() if section.get("repository") == address.url]
            section = sections.get(key) or (same_url or [{}])[0]
            user, origin = section.get("username", ""), "~/.pypirc"
            if "password" in section:  # it wins even over --auth
                auth_origin = origin
        if not user:
            origin = str(self._cache_directory() / "publish" / "index" / "previous_working_users.json")
            user = _first([read_json(Path(origin), origin)], key) or ""
        return user, auth_origin, origin

    def _cache_directory(self) -> Path:
        named, _ = self.value(self.main, "--cache-dir", "HATCH_CACHE_DIR")
        directory = named or _first([self.config.get("dirs")], "cache")
        if directory:
            return self.process.directory / os.path.expanduser(os.path.expandvars(directory))
        import platformdirs

        return Path(platformdirs.user_cache_dir("hatch", appauthor=False))


def _find_root(directory: Path | None) -> Path | None:
    return directory and next((found for found, names in climb(directory, _PROJECT_FILES) if names), None)


def _first(tables: list[object], key: str) -> str | None:
    return next((value for table in tables if isinstance(value := entry(table, key), str)), None)


ROOM = Hatch()
