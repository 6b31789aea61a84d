"""Labels of accounts in lookups: which account, or which project, a key names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import DEFAULT_ACCOUNT
from keyring_pypitoken.names import LABEL_RULE, InvalidNameError, normalize_valid, valid_label
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.text import looks_like_token, quoted
from keyring_pypitoken.vault import accounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring_pypitoken.lookup import Key, Repository
    from keyring_pypitoken.policy.model import Config, StoreSettings

    FindMaster = Callable[[Repository, str, StoreSettings], object]

LOOKUP, TYPED = Origin("the lookup"), Origin("--account")


def read_label(
    key: Key, repository: Repository, config: Config, find_master: FindMaster
) -> tuple[WithOrigin[str] | None, str | None]:
    """Return the account and the project that the lookup names: a label is an account if one is stored as that."""
    if key.label is None:
        return None, key.project
    _refuse_token(key.label)
    noted = {label.casefold(): label for label in accounts.noted_accounts(repository)}
    label = noted.get(key.label.casefold(), key.label)
    is_account = label in noted.values() or (
        valid_label(label) and find_master(repository, label, config.store) is not None
    )
    return (WithOrigin(label, LOOKUP), key.project) if is_account else (None, key.project or key.label)


def _refuse_token(label: str) -> None:
    if looks_like_token(label):
        raise Refusal(
            "a token follows the question mark of the URL, where a label belongs: revoke that token, because "
            "it is in your shell's history now, and store a new one with `keyring-pypitoken login`."
        )


def account_to_store(key: Key, repository: Repository) -> str:
    """Return the account that a key stores or deletes: that of its label, else that of the project that it names."""
    if key.label is not None:
        _refuse_token(key.label)
        if not valid_label(key.label):
            raise Refusal(f"invalid account label after '?': use {LABEL_RULE}")
        return key.label
    if key.project is None:
        return DEFAULT_ACCOUNT
    try:
        project = normalize_valid(key.project)
    except InvalidNameError:
        raise Refusal(f"{quoted(key.project)} is not a valid project name: correct the user name.") from None
    return accounts.account_for(repository, (project,)) or DEFAULT_ACCOUNT


def check_account(account: WithOrigin[str], repository: Repository, config: Config) -> None:
    """Refuse to pass an account to the program of [store] that only a checkout or a lookup names."""
    own = (table.account for policy in config.configured for table in policy.tables(repository))
    if config.store.command and account.value != DEFAULT_ACCOUNT and account.origin != TYPED and account not in own:
        raise Refusal(
            f"the account {account.value!r} is named by {account.origin} only, and is not passed to the program that "
            "[store] names: set it in your own policy.toml, or with --account."
        )
