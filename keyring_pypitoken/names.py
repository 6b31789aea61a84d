"""Project names: validity (PEP 508) and the one spelling that PyPI compares (PEP 503).

`packaging.utils.canonicalize_name` does the same, and tests compare the two. Importing it takes longer than the rest
of a lookup that names no file.
"""

from __future__ import annotations

import re

VALID_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VALID = re.compile(VALID_NAME)
_LABEL = re.compile("[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
LABEL_RULE = "up to 64 letters, digits or any of . _ @ + -, beginning with a letter or digit"
_SEPARATORS = re.compile(r"[-_.]+")


class InvalidNameError(ValueError):
    """The name is not a valid project name."""


def normalize(name: str) -> str:
    """Return the normalized spelling of a name, valid or not."""
    return _SEPARATORS.sub("-", name).lower()


def normalize_valid(name: str) -> str:
    """Return the normalized spelling of a project name.

    Raises:
        InvalidNameError: the name is not valid.
    """
    if not _VALID.fullmatch(name):
        raise InvalidNameError
    return normalize(name)


def valid_label(label: str) -> bool:
    """Return True if a text can be the label of an account or the name of a repository."""
    return _LABEL.fullmatch(label) is not None
