"""Passwords in ~/.pypirc, which `adopt` moves out; the rest of the file stays byte for byte."""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import read_bytes
from keyring_pypitoken.lookup import TOKEN_USERNAME, Key, match
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.uploaders.settings import home, read_pypirc
from keyring_pypitoken.vault.private_file import replace_private
from keyring_pypitoken.vault.unprotected import RawMaster

if TYPE_CHECKING:
    from keyring_pypitoken.lookup import Repository

_NAME = "~/.pypirc"
_SECTION = re.compile(rb"\[([^]]+)\]")
_PASSWORD = re.compile(rb"password\s*[=:]", re.IGNORECASE)


def raw_masters(repository: Repository) -> list[RawMaster]:
    """List the tokens that ~/.pypirc holds for a repository; if it cannot be read that is a Refusal."""
    path = os.path.realpath(home(os.environ) / ".pypirc")  # a link to a managed file stays a link
    found = []
    for section, settings in read_pypirc(os.environ, home(os.environ)).items():
        password = MasterToken(settings.pop("password", ""))  # type: ignore[attr-defined]  # a dict of ours
        key = Key.parse(settings.get("repository", ""), TOKEN_USERNAME)
        fit = match(key, (repository,)) if key is not None else None
        named = section == repository.name and "repository" not in settings
        if password.is_token() and (named or (fit is not None and fit.kind in ("endpoint", "http"))):
            delete = functools.partial(_remove_password, path, section.encode())
            found.append(RawMaster(_NAME, f"[{section}]", settings.get("username", TOKEN_USERNAME), password, delete))
    return found


def _remove_password(path: str, section: bytes) -> None:
    """Take the password's lines out of a section."""
    data = read_bytes(path, _NAME)
    if data is None:
        raise Refusal(f"{_NAME} was deleted meanwhile: look into it, and try again.")
    kept, inside, dropping = [], False, False
    for line in data.splitlines(keepends=True):
        header = _SECTION.match(line)
        inside = header[1] == section if header else inside
        # A value goes on in the indented lines below it.
        goes_on = dropping and line[:1] in (b" ", b"\t") and not line.lstrip().startswith((b"#", b";"))
        dropping = goes_on or (inside and _PASSWORD.match(line) is not None)
        if not dropping:
            kept.append(line)
    replace_private(path, b"".join(kept))
