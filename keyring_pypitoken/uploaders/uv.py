"""What is known about uv, which starts the `keyring` command."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, display_name, find_program, follow, is_directory, status
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.text import printable, quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.legacy import Address, Credentials, Setting, Sources, Uploader, first, read_table
from keyring_pypitoken.uploaders.options import Grammar, Parsed, expand_rust, fits_rust
from keyring_pypitoken.uploaders.settings import checked_url, find_netrc, home, read_toml
from keyring_pypitoken.uploaders.uploader import RISK, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyring_pypitoken.uploaders.legacy import Table
    from keyring_pypitoken.uploaders.uploader import Lookups, Process

_GRAMMAR = Grammar(
    "-u/--username -p/--password -t/--token --index --publish-url --check-url --keyring-provider --trusted-publishing "
    "--directory --project --config-file --cache-dir --color --trusted-host/--allow-insecure-host --python-preference "
    "--python-fetch --preview-feature/--preview-features",
    "-n/--no-cache-dir/--no-cache -q/--quiet -v/--verbose -h/--help -V/--version --dry-run --skip-existing "
    "--no-attestations --offline --no-offline --no-config --isolated --show-settings --no-progress --no-color "
    "--managed-python --no-managed-python --allow-python-downloads --no-python-downloads --native-tls --no-native-tls "
    "--system-certs --no-system-certs --preview --no-preview --no-installer-metadata",
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SDISTS = r"zip|tar|tgz|tbz|txz|tlz|tar\.(?:gz|bz2|xz|lz|lzma|zst)"
_DISTRIBUTION = re.compile(rf"([^-]+)-([^-]+)-[^-]+-[^-]+-[^-]+(?:-[^-]+){{0,2}}\.whl|(.+)-([^-]+)\.(?:{_SDISTS})")
_TRUE = ("1", "true", "t", "yes", "y", "on")


class _Run(NamedTuple):
    """One run: its settings, where it uploads to, and what it sends without asking keyring."""

    sources: Sources
    address: Address
    credentials: Credentials

    @property
    def uses_keyring(self) -> bool:
        return self.sources.find("--keyring-provider", "UV_KEYRING_PROVIDER", "keyring-provider").value == "subprocess"


class Uv(Uploader):
    """Uploads the files that patterns find."""

    name = "uv"
    typical = ("publish",)
    observed = "0.13.8"
    source = (
        "uv-publish-commands/src/lib.rs, uv-publish/src/lib.rs, uv-auth/src/keyring.rs, middleware.rs and store.rs, "
        "uv/src/lib.rs, uv-settings/src/lib.rs, uv-workspace/src/workspace.rs, uv-dirs/src/lib.rs"
    )
    uses_command = True
    lookups_per_upload = 6  # URL, host, and over http the host with `http://`; all again before it sends the first file
    goes_on = True  # to netrc and its own store, if keyring fails or prints an empty line; any other text ends it
    resume = "--check-url https://{domain}/simple/"
    prompts = False  # only without a user name, and then it never asks keyring
    asks_for = ("{url} and __token__", "{host} and __token__", "http://{host} and __token__ if the URL is http")
    before_keyring = ("UV_PUBLISH_TOKEN", "UV_PUBLISH_PASSWORD", "--token", "--password", "a password in the URL")
    # UV_PUBLISH_TOKEN would be refused beside `--username __token__`, which is what uv's users of keyring write.
    token_variables = {"UV_PUBLISH_USERNAME": TOKEN_USERNAME, "UV_PUBLISH_PASSWORD": "{token}"}  # noqa: RUF012
    address_variables = {"UV_PUBLISH_URL": "{url}"}  # noqa: RUF012
    rival_variables = ("UV_PUBLISH_TOKEN", "UV_PUBLISH_INDEX")
    options = _GRAMMAR
    subcommands = (
        "auth run init add remove version sync lock export tree format check audit tool python pip venv build publish "
        "workspace cache self generate-shell-completion help"
    )

    def is_uploading(self, process: Process) -> bool:
        arguments = self._parse(process)
        return arguments.positional_args[:1] == ("publish",) and not arguments.has("--help", "--dry-run")

    def find_project(self, process: Process) -> Path:
        directory = self._directory(process)
        named = self._parse(process).last("--project") or process.environ.get("UV_PROJECT")
        path = Path(os.path.normpath(directory / named)) if named else directory
        return path.parent if path.name == "pyproject.toml" and not is_directory(path, str(path)) else path

    def find_files(self, process: Process) -> tuple[Path, ...]:
        """Return the distributions that its patterns find; what is not one by its name is passed over."""
        patterns = self._parse(process).positional_args[1:] or ("dist/*",)
        found: set[str] = set()
        for pattern in patterns:
            paths = expand_rust(self._directory(process), pattern)
            if not paths and not re.search(r"[*?\[]", pattern):
                raise Refusal(f"{quoted(pattern)} does not exist: build it, or correct its name.")
            found.update(path for path in paths if _is_distribution(os.path.basename(path)) and _is_file(path))
        if not found:
            raise Refusal("uv finds no distributions to publish: build them, or name them.")
        return tuple(sorted(Path(os.path.normpath(path)) for path in found))

    def find_address(self, process: Process) -> Address:
        return self._read(process).address

    def find_lookups(self, process: Process, address: Address) -> Lookups:
        run = self._read(process)
        user, password = run.credentials.username, run.credentials.password
        if password.value is not None or user.value is None or not run.uses_keyring:
            return ()
        scheme, host = address.url.split("/")[:3:2]
        services = (address.url, host, *([f"{scheme}//{host}"] if scheme == "http:" else []))
        return tuple((service, user.value) for service in services)

    def find_credentials(self, process: Process, address: Address) -> Credentials:  # noqa: ARG002 - it is in the settings
        return self._read(process).credentials

    def _problems(self, process: Process, address: Address) -> Iterator[Problem]:
        run = self._read(process)
        yield from super()._problems(process, address)
        user = run.credentials.username.value
        if user is None:
            yield Problem("uv has no user name, and asks keyring only with one", "set UV_PUBLISH_USERNAME=__token__")
        trusted = run.sources.find("--trusted-publishing", "", "trusted-publishing")
        if trusted.value == "always":
            yield Problem(f"{trusted.origin} is always, and uv then refuses to ask keyring", "set it to automatic")
        if not run.uses_keyring:
            yield Problem("uv does not ask keyring without a setting", "set UV_KEYRING_PROVIDER=subprocess")
        elif find_program("keyring", process.environ) is None:
            problem = "the `keyring` command, by which uv asks, is not on PATH"
            yield Problem(problem, "install keyring-pypitoken, and put it on PATH")
        yield from _sent_instead(process.environ, address, user or TOKEN_USERNAME)

    def _parse(self, process: Process) -> Parsed:
        return _GRAMMAR.parse(process.arguments)

    def _directory(self, process: Process) -> Path:
        """Return the directory that uv changes into; the `keyring` command that it started is in it already."""
        environ = process.environ
        named = self._parse(process).last("--directory") or environ.get("UV_WORKING_DIR")
        named = named or environ.get("UV_WORKING_DIRECTORY")
        if process.is_parent or not named:
            return process.directory
        return Path(os.path.normpath(process.directory / named))

    def _read(self, process: Process) -> _Run:
        arguments, environ = self._parse(process), process.environ
        files = _find_settings(arguments, environ, self._directory(process), self.find_project(process))
        sources = Sources(arguments, environ, files)
        url, name = _find_url(sources)
        plain, own_user, own_password = _split(url)
        user = sources.find("--username", "UV_PUBLISH_USERNAME")
        password = sources.find("--password", "UV_PUBLISH_PASSWORD")
        token = sources.find("--token", "UV_PUBLISH_TOKEN")
        if token.value is not None:
            user, password = Setting(TOKEN_USERNAME, token.origin), token
        elif own_user:
            user = Setting(own_user, url.origin)
        in_url = password.value is None and bool(own_password)
        password = Setting(own_password, url.origin) if in_url else password
        return _Run(sources, Address(plain, name, url.origin), Credentials(user, password, in_url=in_url))


def _is_file(path: str) -> bool:
    found = follow(path, path)
    return found is not None and stat.S_ISREG(found.st_mode)


def _is_distribution(name: str) -> bool:
    """Return True if uv uploads a file of this name: one with a valid, normalized name and version."""
    from packaging.version import InvalidVersion, Version

    found = _DISTRIBUTION.fullmatch(name)
    if found is None:
        return False
    project, version = found[1] or found[3], found[2] or found[4]
    try:
        return re.sub(r"[-_.]+", "_", project).lower() == project and str(Version(version)) == version
    except InvalidVersion:
        return False


def _find_url(sources: Sources) -> tuple[Setting, str]:
    """Return the upload URL, and the name of the index that has it."""
    index = sources.find("--index", "UV_PUBLISH_INDEX")
    if index.value is None:
        url = sources.find("--publish-url", "UV_PUBLISH_URL", "publish-url")
        return Setting(PYPI.url, "default") if url.value is None else url, ""
    for content, file in sources.files:
        tables = entry(content, "index")
        for table in tables if isinstance(tables, list) else []:
            if entry(table, "name") == index.value and entry(table, "format") != "flat":
                if text := first([(table, file)], "publish-url").value:
                    return Setting(text, index.origin), index.value
                raise Refusal(f"the index {quoted(index.value)} in {file} has no publish-url: add it there.")
    raise Refusal(f"uv has no index {quoted(index.value)}, which {index.origin} names: define it, or correct its name.")


def _split(url: Setting) -> tuple[str, str | None, str | None]:
    """Return a URL as uv writes it, and the user name and password that were in it."""
    parts = urlsplit(checked_url((url.value or "").strip(), url.origin))
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = parts.port if parts.port != _DEFAULT_PORTS.get(parts.scheme) else None
    plain = parts._replace(netloc=host if port is None else f"{host}:{port}", path=parts.path or "/").geturl()
    return plain, unquote(parts.username) if parts.username else None, parts.password


def _sent_instead(environ: Mapping[str, str], address: Address, user: str) -> Iterator[Problem]:
    """Find what uv sends if keyring has nothing, or if it does not ask: netrc, and the store of `uv auth login`."""
    host = urlsplit(address.url).hostname or ""
    netrc = find_netrc(environ, host, user)
    if netrc is not None:
        shown = display_name(netrc, home(environ))
        yield Problem(
            f"{shown} holds a password for {host}, and uv sends that if keyring has nothing", "delete it there", RISK
        )
    content, shown = read_table(_credentials_file(environ), home(environ))
    credentials = entry(content, "credential")
    for credential in credentials if isinstance(credentials, list) else []:
        if _serves(entry(credential, "service"), address.url) and entry(credential, "username") in (user, None):
            problem = f"{shown} holds a credential for {host}, and uv sends that if keyring has nothing"
            yield Problem(problem, f"`uv auth logout {host}`", RISK)
            return


def _serves(service: object, url: str) -> bool:
    """Return True if a credential for a service would be sent to a URL: same host, and the path begins like that."""
    if not isinstance(service, str):
        return False
    wanted, asked = urlsplit(service if "://" in service else f"https://{service}"), urlsplit(url)
    same = (wanted.scheme, wanted.netloc.lower()) == (asked.scheme, asked.netloc)
    return same and asked.path.startswith(wanted.path.removesuffix("/"))


def _find_settings(arguments: Parsed, environ: Mapping[str, str], directory: Path, project: Path) -> tuple[Table, ...]:
    """Return the settings that apply, the most important first."""
    named = arguments.last("--config-file") or environ.get("UV_CONFIG_FILE")
    if named:
        return ((read_toml(directory / named, printable(named)), printable(named)),)
    if arguments.has("--no-config", "--isolated") or _is_true(environ, "UV_NO_CONFIG"):
        return ()
    user = _base(environ, "XDG_CONFIG_HOME", ".config") / "uv" / "uv.toml"
    files = [user, *([] if _is_true(environ, "UV_NO_SYSTEM_CONFIG") else _system_files(environ))]
    return (*_project_settings(project, directory), *(read_table(file, home(environ)) for file in files))


def _credentials_file(environ: Mapping[str, str]) -> Path:
    """Return the file that `uv auth login` keeps credentials in."""
    if named := environ.get("UV_CREDENTIALS_DIR"):
        return Path(named) / "credentials.toml"
    before = home(environ) / "Library" / "Application Support" / "uv"  # macOS, if an older uv made it
    data = before if status(before, str(before)) else _base(environ, "XDG_DATA_HOME", ".local/share") / "uv"
    return data / "credentials" / "credentials.toml"


def _is_true(environ: Mapping[str, str], variable: str) -> bool:
    return environ.get(variable, "").lower() in _TRUE


def _base(environ: Mapping[str, str], variable: str, default: str, platform: str = os.name) -> Path:
    """Return a base directory of the user's files, as the crate etcetera has it."""
    if platform == "nt":
        return Path(environ.get("APPDATA") or home(environ, platform) / "AppData" / "Roaming")
    named = environ.get(variable, "")
    return Path(named) if os.path.isabs(named) else home(environ) / default


def _system_files(environ: Mapping[str, str], platform: str = os.name) -> list[Path]:
    """Return the machine's settings file: the first that exists."""
    if platform == "nt":
        directories = [f"{environ.get('SYSTEMDRIVE', 'C:')}\\ProgramData"]
    else:
        directories = [*filter(None, (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")), "/etc"]
    files = [Path(directory) / "uv" / "uv.toml" for directory in directories]
    return [file for file in files if status(file, str(file)) is not None][:1]


def _project_settings(project: Path, directory: Path) -> list[Table]:
    """Return the settings nearest to the root of the project's workspace: uv.toml, or else [tool.uv]."""
    for found, present in climb(_find_workspace(project, directory), ("uv.toml", "pyproject.toml")):
        for name in sorted(present, reverse=True):
            content, shown = read_table(found / name, directory)
            settings = content if name == "uv.toml" else entry(content, "tool", "uv")
            if isinstance(settings, dict):
                return [(settings, shown)]
    return []


def _find_workspace(project: Path, directory: Path) -> Path:
    """Return the root of the workspace that a project belongs to; if there is none, the project's own directory."""
    nearest: Path | None = None
    for found, present in climb(project, ("pyproject.toml",)):
        if not present:
            continue
        content, _ = read_table(found / "pyproject.toml", directory)
        workspace = entry(content, "tool", "uv", "workspace")
        if nearest is not None:
            parts = nearest.relative_to(found).parts
            is_member = _is_listed(parts, workspace, "members") and not _is_listed(parts, workspace, "exclude")
            return found if is_member else nearest
        if entry(content, "tool", "uv", "managed") is False or (
            workspace is None and entry(content, "project") is None
        ):
            return project
        nearest = found
        if workspace is not None:
            return found
    return nearest or project


def _is_listed(path: tuple[str, ...], workspace: object, key: str) -> bool:
    """Return True if one of a workspace's patterns describes a path below it."""
    patterns = entry(workspace, key)
    texts = patterns if isinstance(patterns, list) else []
    return any(fits_rust(path, pattern) for pattern in texts if isinstance(pattern, str))


UPLOADER = Uv()
