"""Hand a derived token out: GitHub's mask first, then the notice, then the history."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from keyring_pypitoken import notices

if TYPE_CHECKING:
    from keyring_pypitoken.issue import Issued
    from keyring_pypitoken.policy.model import Grant


def hand_out(issued: Issued, program: str = "", note: str | None = None) -> str:
    """Return a token's text, and say so: the mask for GitHub's logs first, then the notice, then the history."""
    grant = issued.grant
    if os.environ.get("GITHUB_ACTIONS") == "true":
        notices.mask(issued.token)
    if issued.is_new and grant.notice:
        projects = grant.projects.value if grant.projects else None
        policies = ", ".join(grant.policies)
        line = notices.derived_line(projects, grant.repository.name, grant.account.value, issued.not_after, policies)
        for sentence in (line, *grant.warnings, *_warn_of_age(grant)):
            notices.notify(sentence)
        if "ACTIONS_ID_TOKEN_REQUEST_URL" in os.environ:
            notices.notify(
                "this run could use Trusted Publishing, with no stored token: https://docs.pypi.org/trusted-publishers/"
            )
    if issued.is_new and grant.history:
        from keyring_pypitoken import history

        history.record(history.entry_of(grant, issued.not_after, program or _program(), note))
    return issued.token.unwrap()


def _warn_of_age(grant: Grant) -> tuple[str, ...]:
    limit, sentence = grant.max_master_age, ""
    if limit is not None:
        from keyring_pypitoken.vault import accounts

        with contextlib.suppress(Exception):  # an old master still serves, and so does one whose note is damaged
            sentence = accounts.warn_of_age(grant.repository, grant.account.value, limit)
    return (sentence,) if sentence else ()


def _program() -> str:
    from keyring_pypitoken.uploaders.process import asker

    process = asker()
    if not process.is_parent:
        return process.program
    return f"keyring for {process.program}" if process.program else "keyring"
