"""uv: `uv publish`, which starts the `keyring` command."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import display_name, find_program, is_directory
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.text import quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.options import Grammar, Parsed
from keyring_pypitoken.uploaders.rust_glob import expand
from keyring_pypitoken.uploaders.settings import find_netrc, home, read_toml
from keyring_pypitoken.uploaders.uploader import Address, Problem, Uploader
from keyring_pypitoken.uploaders.uv_settings import credentials_file, find_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.uploaders.process import Process

_GRAMMAR = Grammar(
    "-u/--username -p/--password -t/--token --index --publish-url --check-url --keyring-provider --trusted-publishing "
    "--directory --project --config-file --cache-dir --color --trusted-host/--allow-insecure-host --python-preference "
    "--python-fetch --preview-feature/--preview-features",
    "-n/--no-cache-dir/--no-cache -q/--quiet -v/--verbose -h/--help -V/--version --dry-run --skip-existing "
    "--no-attestations --offline --no-offline --no-config --isolated --show-settings --no-progress --no-color "
    "--managed-python --no-managed-python --allow-python-downloads --no-python-downloads --native-tls --no-native-tls "
    "--system-certs --no-system-certs --preview --no-preview --no-installer-metadata",
)
_PYPI = "https://upload.pypi.org/legacy/"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SDISTS = r"zip|tar|tgz|tbz|txz|tlz|tar\.(?:gz|bz2|xz|lz|lzma|zst)"
_DISTRIBUTION = re.compile(rf"([^-]+)-([^-]+)-[^-]+-[^-]+-[^-]+(?:-[^-]+){{0,2}}\.whl|(.+)-([^-]+)\.(?:{_SDISTS})")


class _Value(NamedTuple):
    """A value, and what says so, for people."""

    text: str
    origin: str


class _Run(NamedTuple):
    """One run: its command line and its settings, the most important file first."""

    arguments: Parsed
    environ: Mapping[str, str]
    settings: tuple[tuple[str, dict[str, Any]], ...]

    def find(self, option: str, variable: str = "", key: str = "") -> _Value | None:
        """Return what an option says, else its variable, else a key of the settings."""
        if (value := self.arguments.last(option)) is not None:
            return _Value(value, f"the option {option}")
        if variable in self.environ:
            return _Value(self.environ[variable], f"the variable {variable}")
        for name, content in self.settings:
            if isinstance(value := content.get(key), str):
                return _Value(value, f"{key} in {name}")
        return None


class Uv(Uploader):
    """uv."""

    name = "uv"
    typical = ("publish",)
    observed = "0.13.8"
    source = (
        "uv-publish-commands/src/lib.rs, uv-publish/src/lib.rs, uv-auth/src/keyring.rs, middleware.rs and store.rs, "
        "uv-settings/src/lib.rs, uv-workspace/src/workspace.rs, uv-dirs/src/lib.rs"
    )
    uses_command = True
    lookups_per_upload = 6  # URL, host, and over http the host with `http://`; all again before it sends the first file
    goes_on = True  # to netrc and its own store, if keyring fails or prints an empty line; any other text ends it
    prompts = False  # only without a user name, and then it never asks keyring
    asks_for = ("{url} and __token__", "{host} and __token__", "http://{host} and __token__ if the URL is http")
    before_keyring = ("UV_PUBLISH_TOKEN", "UV_PUBLISH_PASSWORD", "--token", "--password", "a password in the URL")
    # UV_PUBLISH_TOKEN would be refused beside `--username __token__`, which is what uv's users of keyring write.
    token_variables = {"UV_PUBLISH_USERNAME": TOKEN_USERNAME, "UV_PUBLISH_PASSWORD": "{token}"}  # noqa: RUF012
    address_variables = {"UV_PUBLISH_URL": "{url}"}  # noqa: RUF012
    rival_variables = ("UV_PUBLISH_TOKEN", "UV_PUBLISH_INDEX")

    def is_uploading(self, process: Process) -> bool:
        """Return True for `uv publish`, and for its dry run, which asks keyring too."""
        arguments = _parse(process)
        return arguments.positional_args[:1] == ("publish",) and not arguments.has("--help")

    def find_project(self, process: Process) -> Path:
        """Return the directory of `--project`, else that of `--directory`, else the current one."""
        directory = _directory(process)
        named = _parse(process).last("--project") or process.environ.get("UV_PROJECT")
        path = Path(os.path.normpath(directory / named)) if named else directory
        return path.parent if path.name == "pyproject.toml" and not is_directory(path, str(path)) else path

    def find_files(self, process: Process) -> tuple[Path, ...]:
        """Return the distributions that its patterns find; what is not one by its name is passed over."""
        patterns = _parse(process).positional_args[1:] or ("dist/*",)
        directory = _directory(process)
        found: set[Path] = set()
        for pattern in patterns:
            paths = list(expand(pattern, directory))
            if not paths and not re.search(r"[*?\[]", pattern):
                raise Refusal(f"there is no file {quoted(pattern)}: build it, or correct its name.")
            found.update(path for path in paths if _is_distribution(path.name) and os.path.isfile(path))
        if not found:
            raise Refusal("uv finds no distributions to publish: build them, or name them.")
        return tuple(sorted(Path(os.path.normpath(path)) for path in found))

    def find_address(self, process: Process) -> Address:
        """Return what `--index` or `--publish-url`, their variables or the settings say; by default PyPI."""
        url, name = _find_url(_read(self, process))
        return Address(_split(url)[0], name, url.origin)

    def find_lookups(self, process: Process, address: Address) -> tuple[tuple[str, str | None], ...]:
        """Return the URL, its host, and over http the host with its scheme: each as the argument of a `keyring get`."""
        run = _read(self, process)
        user, password = _find_credentials(run)
        if password or user is None or not _uses_keyring(run):
            return ()
        scheme, host = address.url.split("/")[:3:2]
        services = (address.url, host, *([f"{scheme}//{host}"] if scheme == "http:" else []))
        return tuple((service, user.text) for service in services)

    def find_problems(self, process: Process, address: Address) -> list[Problem]:
        """Return passwords and user names in options, variables and URLs; a provider that is off; netrc; uv's store."""
        try:
            run = _read(self, process)
            user, password = _find_credentials(run)
            return [
                *_in_options(run, user, password),
                *_in_files(run, address),
                *_keyring_missing(run),
            ]
        except Refusal as refusal:
            return [Problem.of_refusal(refusal)]

    def variables(self, token: str, repository: Repository, address: Address | None = None) -> dict[str, str]:
        """Return the variables; without the address if `--index` says it, which uv refuses beside another one."""
        found = super().variables(token, repository)
        if address is not None and address.origin == "the option --index":
            del found["UV_PUBLISH_URL"]
        return found


def _parse(process: Process) -> Parsed:
    return _GRAMMAR.parse(process.arguments)


def _directory(process: Process) -> Path:
    """Return the directory that uv changes into; the `keyring` command that it started is in it already."""
    environ = process.environ
    named = _parse(process).last("--directory") or environ.get("UV_WORKING_DIR") or environ.get("UV_WORKING_DIRECTORY")
    if process.is_parent or not named:
        return process.directory
    return Path(os.path.normpath(process.directory / named))


def _read(uploader: Uv, process: Process) -> _Run:
    arguments = _parse(process)
    found = find_settings(arguments, process.environ, _directory(process), uploader.find_project(process))
    return _Run(arguments, process.environ, found)


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


def _find_url(run: _Run) -> tuple[_Value, str]:
    """Return the upload URL, and the name of the index that has it."""
    index = run.find("--index", "UV_PUBLISH_INDEX")
    if index is None:
        return run.find("--publish-url", "UV_PUBLISH_URL", "publish-url") or _Value(_PYPI, "default"), ""
    for file, content in run.settings:
        tables = content.get("index")
        for table in tables if isinstance(tables, list) else []:
            if entry(table, "name") == index.text and entry(table, "format") != "flat":
                url = entry(table, "publish-url")
                if isinstance(url, str):
                    return _Value(url, index.origin), index.text
                raise Refusal(f"the index {quoted(index.text)} in {file} has no publish-url: add it there.")
    raise Refusal(f"uv has no index {quoted(index.text)}, which {index.origin} names: define it, or correct its name.")


def _split(url: _Value) -> tuple[str, str | None, str | None]:
    """Return a URL as uv writes it, and the user name and password that were in it."""
    try:
        parts = urlsplit(url.text.strip())
        port = parts.port if parts.port != _DEFAULT_PORTS.get(parts.scheme) else None
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise Refusal(f"the upload URL of {url.origin} is not a valid one: correct it.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    plain = parts._replace(netloc=host if port is None else f"{host}:{port}", path=parts.path or "/").geturl()
    return plain, unquote(parts.username) if parts.username else None, parts.password


def _find_credentials(run: _Run) -> tuple[_Value | None, _Value | None]:
    """Return the user name and the password that uv has before it asks keyring; the password only by its origin."""
    if token := run.find("--token", "UV_PUBLISH_TOKEN"):
        return _Value(TOKEN_USERNAME, token.origin), _Value("", token.origin)
    url, _ = _find_url(run)
    _, user, password = _split(url)
    found = run.find("--password", "UV_PUBLISH_PASSWORD")
    return (
        _Value(user, f"the upload URL of {url.origin}") if user else run.find("--username", "UV_PUBLISH_USERNAME"),
        _Value("", found.origin) if found else _Value("", f"the upload URL of {url.origin}") if password else None,
    )


def _uses_keyring(run: _Run) -> bool:
    provider = run.find("--keyring-provider", "UV_KEYRING_PROVIDER", "keyring-provider")
    return provider is not None and provider.text == "subprocess"


def _in_options(run: _Run, user: _Value | None, password: _Value | None) -> Iterator[Problem]:
    if password is not None:
        yield Problem(f"{password.origin} holds a credential, and uv takes it before it asks keyring", _undo(password))
    if user is None:
        yield Problem("uv has no user name, and asks keyring only with one", "set UV_PUBLISH_USERNAME=__token__")
    elif user.text != TOKEN_USERNAME:
        yield Problem(f"{user.origin} names the user {quoted(user.text)}", f"use {TOKEN_USERNAME} there")
    if not _uses_keyring(run):
        yield Problem("uv does not ask keyring unless told to", "set UV_KEYRING_PROVIDER=subprocess")
    trusted = run.find("--trusted-publishing", key="trusted-publishing")
    if trusted is not None and trusted.text == "always":
        yield Problem(f"{trusted.origin} is always, and uv then refuses to ask keyring", "set it to automatic")


def _undo(value: _Value) -> str:
    kind, _, name = value.origin.partition("the variable ")
    if name and not kind:
        return f"`unset {name}`"
    return "store it with `keyring-pypitoken login`, then remove it there"


def _in_files(run: _Run, address: Address) -> Iterator[Problem]:
    """Find what uv sends if keyring has nothing, or if it does not ask."""
    environ = dict(run.environ)
    named = os.path.expanduser(environ.get("NETRC", ""))
    if named and not os.path.exists(named):
        del environ["NETRC"]  # uv, other than requests, then reads ~/.netrc
    host = urlsplit(address.url).hostname or ""
    found = _find_credentials(run)[0]
    user = TOKEN_USERNAME if found is None else found.text
    netrc = find_netrc(environ, host, user)
    if netrc is not None:
        shown = display_name(netrc, home(environ))
        yield Problem(f"{shown} holds a password for {host}, and uv may send that instead", "delete it there")
    store = credentials_file(environ)
    shown = display_name(store, home(environ))
    credentials = read_toml(store, shown).get("credential")
    for credential in credentials if isinstance(credentials, list) else []:
        if _serves(entry(credential, "service"), address.url) and entry(credential, "username") in (user, None):
            yield Problem(
                f"{shown} holds a credential for {host}, and uv may send that instead", f"`uv auth logout {host}`"
            )
            return


def _serves(service: object, url: str) -> bool:
    """Return True if a credential for a service would be sent to a URL: same host, and the path begins like that."""
    if not isinstance(service, str):
        return False
    wanted, asked = urlsplit(service if "://" in service else f"https://{service}"), urlsplit(url)
    same = (wanted.scheme, wanted.netloc.lower()) == (asked.scheme, asked.netloc)
    return same and asked.path.startswith(wanted.path.removesuffix("/"))


def _keyring_missing(run: _Run) -> Iterator[Problem]:
    if _uses_keyring(run) and find_program("keyring", run.environ) is None:
        yield Problem(
            "there is no `keyring` command on PATH, which uv asks by", "install keyring-pypitoken, and put it on PATH"
        )


ROOM = Uv()
