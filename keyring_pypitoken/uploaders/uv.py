"""uv: uploads the files that patterns find, and asks through the `keyring` command; clap reads its command line."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import climb, find_program, follow, is_directory, status
from keyring_pypitoken.lookup import PYPI, TOKEN_USERNAME
from keyring_pypitoken.text import in_shell, printable, quoted
from keyring_pypitoken.toml import entry
from keyring_pypitoken.uploaders.options import Grammar, expand, fits
from keyring_pypitoken.uploaders.settings import (
    Setting,
    Source,
    Sources,
    Table,
    checked_url,
    first,
    home,
    listed,
    read_table,
)
from keyring_pypitoken.uploaders.uploader import SETUP, STOP, Address, Problem, Target, Uploader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from urllib.parse import SplitResult

    from keyring_pypitoken.uploaders.uploader import Process

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
_TRUE = ("1", "true", "t", "yes", "y", "on")


class Uv(Uploader):
    """Its options may stand before and behind the subcommand."""

    name = "uv"
    typical = ("publish",)
    naming_files = "uv publish dist/*"
    uses_command = True
    resume = "--check-url https://{domain}/simple/"
    # UV_PUBLISH_TOKEN would be refused beside `--username __token__`, which is what uv's users of keyring write.
    token_variables = {"UV_PUBLISH_USERNAME": TOKEN_USERNAME, "UV_PUBLISH_PASSWORD": "{token}"}
    address_variables = {"UV_PUBLISH_URL": "{url}"}
    rival_variables = ("UV_PUBLISH_TOKEN",)
    rival_addresses = ("UV_PUBLISH_INDEX",)
    options = _GRAMMAR
    commands = {"publish": _GRAMMAR}
    subcommands = (
        "auth run init add remove version sync lock export tree format check audit tool python pip venv build publish "
        "workspace cache self generate-shell-completion help"
    )

    def find_project(self, process: Process) -> Path:
        directory = _directory(process)
        named = process.command.after.last("--project") or process.environ.get("UV_PROJECT")
        path = Path(os.path.normpath(directory / named)) if named else directory
        return path.parent if path.name == "pyproject.toml" and not is_directory(path, str(path)) else path

    def find_files(self, process: Process) -> tuple[Path, ...]:
        """Return the distributions that its patterns find; what is not one by its name is passed over."""
        files: set[str] = set()
        for pattern in process.command.after.positional_args or ("dist/*",):
            paths = expand(_directory(process), pattern, as_rust=True)
            if not paths and not re.search(r"[*?\[]", pattern):
                raise Refusal(f"{quoted(pattern)} does not exist: build it, or correct its name.")
            files.update(filter(_is_distribution, paths))
        if not files:
            raise Refusal("uv finds no distributions to publish: build them, or name them.")
        return tuple(sorted({Path(os.path.normpath(path)) for path in files}))

    def target(self, process: Process) -> Target:
        directory, project = _directory(process), self.find_project(process)
        tables = _find_settings(process, directory, project)
        sources = Sources(process.command.after, process.environ, tables)
        url, check_url, name = _find_urls(sources, project)
        address, user, password = _split(url)
        given = sources.find("--username", "UV_PUBLISH_USERNAME")
        token = sources.find("--token", "UV_PUBLISH_TOKEN")
        if token.value is not None:
            if given.value is not None:
                raise Refusal(f"uv takes {token.source} or {given.source}, not both: leave one out.")
            given = Setting(TOKEN_USERNAME, token.source)
        username = user if user.value else given
        typed = token.otherwise(sources.find("--password", "UV_PUBLISH_PASSWORD"))
        password = typed if typed.value else password  # an empty one is none
        provider = sources.find("--keyring-provider", "UV_KEYRING_PROVIDER", "keyring-provider")
        asks = password.value is None and username.value is not None and provider.value == "subprocess"
        return Target(
            Address(address, name, url.source),
            username,
            password,
            (address, username.value) if asks else None,
            problems=tuple(_problems(sources, username, provider)),
            checkout=tuple(_choices(tables, urlsplit(address), check_url)),
            takes_address=not process.command.after.has("--index"),  # uv refuses a URL beside an index
        )


def _directory(process: Process) -> Path:
    """Return the directory that uv changes into; the `keyring` command that it started is in it already."""
    environ = process.environ
    named = process.command.after.last("--directory") or environ.get("UV_WORKING_DIR")
    named = named or environ.get("UV_WORKING_DIRECTORY")
    if process.is_parent or not named:
        return process.directory
    return Path(os.path.normpath(process.directory / named))


def _is_distribution(path: str) -> bool:
    """Return True if uv uploads this: a file whose name has a valid, normalized project and version."""
    from packaging.utils import parse_sdist_filename, parse_wheel_filename

    state, name = follow(path, path), os.path.basename(path)
    if state is None or not stat.S_ISREG(state.st_mode):
        return False
    is_wheel = name.endswith(".whl")
    try:
        project, version, *_ = (parse_wheel_filename if is_wheel else parse_sdist_filename)(name)
    except ValueError:
        return False
    return name.startswith(f"{project.replace('-', '_')}-{version}{'-' if is_wheel else '.'}")


def _find_urls(sources: Sources, project: Path) -> tuple[Setting, Setting, str]:
    """Return the upload URL, the URL by which it checks what is uploaded, and the name of the index that has both."""
    index = sources.find("--index", "UV_PUBLISH_INDEX")
    if index.value is None:
        url = sources.find("--publish-url", "UV_PUBLISH_URL", "publish-url").otherwise(Setting(PYPI.url))
        return url, sources.find("--check-url", "UV_PUBLISH_CHECK_URL", "check-url"), ""
    for table in sources.tables:
        for content in _indexes(table.content, index.value):
            urls = [first([table._replace(content=content)], key) for key in ("publish-url", "url")]
            if urls[0].value is None:
                raise Refusal(f"the index {quoted(index.value)} in {table.name} has no publish-url: add it there.")
            return urls[0], urls[1], index.value
    member = read_table(project / "pyproject.toml", project)
    if list(_indexes(entry(member.content, "tool", "uv"), index.value)):
        raise Refusal(
            f"the index {quoted(index.value)} is defined in {member.name} of a workspace member, where uv does not "
            "look: move it to the pyproject.toml of the workspace's root."
        )
    raise Refusal(f"uv has no index {quoted(index.value)}, which {index.source} names: define it, or correct its name.")


def _indexes(content: object, name: str) -> Iterator[object]:
    yield from (table for table in listed(content, "index") if entry(table, "name") == name)


def _split(url: Setting) -> tuple[str, Setting, Setting]:
    """Return a URL as uv writes it, and the user name and password that were in it."""
    parts = urlsplit(checked_url((url.value or "").strip(), url.source))
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = parts.port if parts.port != _DEFAULT_PORTS.get(parts.scheme) else None
    plain = parts._replace(netloc=host if port is None else f"{host}:{port}", path=parts.path or "/").geturl()
    inside = url.source._replace(kind="url")
    user = unquote(parts.username) if parts.username else None
    return plain, Setting(user, inside), Setting(parts.password or None, inside)


def _problems(sources: Sources, username: Setting, provider: Setting) -> Iterator[Problem]:
    ignores_files = _is_true(sources.environ, "UV_NO_CONFIG")  # and with them what `setup` wrote
    remedy = in_shell("UV_NO_CONFIG") if ignores_files else "run `keyring-pypitoken setup uv`"
    if username.value is None:
        yield Problem("uv has no user name, and asks keyring only with one", remedy, SETUP)
    trusted = sources.find("--trusted-publishing", "", "trusted-publishing")
    if trusted.value == "always":
        yield Problem(f"{trusted.source} is always, and uv then refuses to ask keyring", "set it to automatic", STOP)
    if provider.value and provider.value != "subprocess":
        source = provider.source
        remedy = in_shell(source.name) if source.kind == "variable" else "set it to `subprocess`"
        yield Problem(f"{source} is {quoted(provider.value)}, so uv does not ask keyring", remedy, SETUP)
    elif not provider.value:
        yield Problem("uv does not ask keyring without a setting", remedy, SETUP)
    elif find_program("keyring", sources.environ) is None:
        problem = "the `keyring` command, by which uv asks, is not on PATH"
        yield Problem(problem, "`uv tool install keyring-pypitoken --with-executables-from keyring`")


def _choices(tables: tuple[Table, ...], url: SplitResult, check_url: Setting) -> Iterator[Setting]:
    """Yield what a checkout sets: a proxy, no check of this host's certificate, the token sent in plain text."""
    for table in tables:
        proxy = first([table], f"{url.scheme}-proxy")
        if table.in_checkout and proxy.value is not None:
            yield proxy
        for host in listed(table.content, "allow-insecure-host") if table.in_checkout else []:
            scheme, _, name = str(host).rpartition("://")
            if name.split("/")[0] in ("*", url.netloc, re.sub(r":\d+$", "", url.netloc)) and scheme in ("", url.scheme):
                yield Setting(str(host), Source("file", table.name, "allow-insecure-host", in_checkout=True))
    if check_url.value is not None and check_url.source.in_checkout:
        # It asks keyring for the host of this URL, too, and sends the answer there.
        check = urlsplit(checked_url(check_url.value.strip(), check_url.source))
        if check.hostname == url.hostname and check.scheme != url.scheme:
            yield check_url


def _find_settings(process: Process, directory: Path, project: Path) -> tuple[Table, ...]:
    """Return the settings that apply, the most important first."""
    environ = process.environ
    named = process.command.after.last("--config-file") or environ.get("UV_CONFIG_FILE")
    if named:
        return (read_table(directory / named, directory)._replace(name=printable(named)),)
    if process.command.after.has("--no-config", "--isolated") or _is_true(environ, "UV_NO_CONFIG"):
        return ()
    user = _base(environ) / "uv" / "uv.toml"
    files = [user, *([] if _is_true(environ, "UV_NO_SYSTEM_CONFIG") else _system_files(environ))]
    return (*_project_settings(project, directory), *(read_table(file, home(environ)) for file in files))


def _is_true(environ: Mapping[str, str], variable: str) -> bool:
    return environ.get(variable, "").lower() in _TRUE


def _base(environ: Mapping[str, str], platform: str = os.name) -> Path:
    """Return the directory of the user's settings, as the crate etcetera has it."""
    if platform == "nt":
        return Path(environ.get("APPDATA") or home(environ, platform) / "AppData" / "Roaming")
    named = environ.get("XDG_CONFIG_HOME", "")
    return Path(named) if os.path.isabs(named) else home(environ) / ".config"


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
    for current, present in climb(_find_workspace(project, directory), ("uv.toml", "pyproject.toml")):
        for name in sorted(present, reverse=True):
            table = read_table(current / name, directory, in_checkout=True)
            settings = table.content if name == "uv.toml" else entry(table.content, "tool", "uv")
            if isinstance(settings, dict):
                return [table._replace(content=settings)]
    return []


def _find_workspace(project: Path, directory: Path) -> Path:
    """Return the root of the workspace that a project belongs to; if there is none, the project's own directory."""
    nearest: Path | None = None
    for current, present in climb(project, ("pyproject.toml",)):
        if not present:
            continue
        content = read_table(current / "pyproject.toml", directory).content
        workspace = entry(content, "tool", "uv", "workspace")
        if nearest is not None:
            parts = nearest.relative_to(current).parts
            is_member = _is_listed(parts, workspace, "members") and not _is_listed(parts, workspace, "exclude")
            return current if is_member else nearest
        if entry(content, "tool", "uv", "managed") is False or (
            workspace is None and entry(content, "project") is None
        ):
            return project
        nearest = current
        if workspace is not None:
            return current
    return nearest or project


def _is_listed(path: tuple[str, ...], workspace: object, key: str) -> bool:
    """Return True if one of a workspace's patterns describes a path below it."""
    return any(fits(path, str(pattern)) for pattern in listed(workspace, key))


UPLOADER = Uv()
