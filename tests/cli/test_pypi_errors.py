"""`explain --error`: every sentence that PyPI may answer, however an uploader shows it."""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox import Command

SENTENCES = {
    "Invalid API Token: token is expired": "expired",
    "Invalid API Token: project-scoped token is not valid for project: 'demo-x'": "project",
    "Invalid API Token: project-scoped token used outside of a project context": "project",
    "Invalid API Token: caveat has unknown tag: 7": "unreadable caveat",
    "Invalid API Token: caveat must be an array": "unreadable caveat",
    "Invalid API Token: caveat array cannot be empty": "unreadable caveat",
    "Invalid API Token: Not enough values": "unreadable caveat",
    "Invalid API Token: invalid values for fields": "unreadable caveat",
    "Invalid API Token: unknown error": "unreadable caveat",
    "Invalid API Token: signatures do not match": "signature",
    "Invalid or non-existent authentication information. See https://pypi.org/help/#invalid-auth": "credentials",
    "Invalid API Token: malformed macaroon": "credentials",
    "Invalid API Token: current user does not match user restriction in token": "other user",
    "Invalid API Token: token with user restriction without a user": "other user",
    "Invalid API Token: token with user restriction without a macaroon": "other user",
    "Invalid API Token: OIDC scoped token used outside of an OIDC identified request": "trusted publishing",
    "Invalid API Token: OIDC scoped token is not valid for project 'demo'": "trusted publishing",
    "The user 'joe' isn't allowed to upload to project 'demo'. See https://pypi.org/help/ for more": "permission",
    "The given token isn't allowed to upload to project 'demo'.": "permission",
    "User 'joe', associated with the API token used, does not have two-factor authentication enabled": "two factors",
    "User 'joe' does not have a verified primary email address. Please add one": "email",
    "Username/Password authentication is no longer supported. Migrate to API Tokens": "password",
    "Read-only mode: Uploads are temporarily disabled.": "read-only",
    "New uploads are temporarily disabled. See https://pypi.org/help/": "read-only",
    "New project registration temporarily disabled. See https://pypi.org/help/": "read-only",
    "The name 'json' isn't allowed. See https://pypi.org/help/#project-name": "name",
    "The name 'demo' is too similar to an existing project. See X": "name",
    "The name 'json' isn't allowed (conflict with Python Standard Library module name). See X": "name",
    "The name 'demo' conflicts with an existing project. See X": "name",
    "Non-user identities cannot create new projects. This was probably caused by X": "new project",
    "Too many new projects created": "new project",
    "Organization account owning this project is inactive. This may be due to X": "organization",
    "API tokens are not valid for permission: manage!": "not for uploads",
    "File already exists ('demo-1.0.tar.gz', with blake2_256 hash 'abc'). See X": "exists",
    "File too large. Limit for project 'demo' is 100 MB. See X": "too large",
    "Cannot upload new files to a release that is older than 14 days.": "old release",
}


@pytest.mark.parametrize(("sentence", "name"), SENTENCES.items(), ids=SENTENCES)
@pytest.mark.usefixtures("project")
def test_every_sentence_is_known_however_it_is_shown(sentence: str, name: str, command: Command) -> None:
    wrapped = ["\n".join(textwrap.wrap(sentence, width)) for width in (20, 40, 72, 120)]
    cut = ["\n".join(sentence[at : at + 20] for at in range(0, len(sentence), 20))]
    shown = [*wrapped, *cut, html.escape(sentence), f"ERROR    HTTPError: 403 Forbidden from {name}\n {sentence}"]
    boxed = "\n".join(f"│ {line:<40} │" for line in textwrap.wrap(sentence, 40))  # as rich draws it
    for text in (*shown, boxed, sentence.upper()):
        assert command.json("explain", "--error", text)["error"] == name, text


@pytest.mark.usefixtures("project")
def test_every_width_from_20_to_120_is_read(command: Command) -> None:
    from keyring_pypitoken.cli.pypi_errors import find_answer

    for sentence, name in SENTENCES.items():
        for width in range(20, 121):
            found = find_answer("\n    ".join(textwrap.wrap(sentence, width)))
            assert found is not None
            assert found["name"] == name, (sentence, width)
    assert command.json("explain", "--error", "isn&#x27;t allowed to upload to project")["error"] == "permission"


@pytest.mark.usefixtures("project")
def test_archived_projects_and_frozen_users_are_named_as_causes(command: Command) -> None:
    assert "archived" in command.json("explain", "--error", "isn't allowed to upload to project")["meaning"]
    assert "frozen" in command.json("explain", "--error", "Invalid or non-existent authentication")["meaning"]
