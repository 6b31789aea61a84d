"""Whether somebody else may write a policy of the user or the machine."""

from __future__ import annotations


def check_own(name: str, layer: str) -> None:
    """Refuse a policy that somebody else may write or replace."""
