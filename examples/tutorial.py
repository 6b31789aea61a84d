"""Restrict a PyPI token to one project: the token on standard input, the restricted one on standard output.

$ echo $TOKEN | python tutorial.py my-project
"""

from __future__ import annotations

import sys

from keyring_pypitoken import LoaderError, Token


def add_restriction(raw_token: str, project: str) -> str:
    """Return a token that can do what the given one can, for one project only."""
    token = Token.load(raw_token)
    print("Original restrictions:", token.restrictions, file=sys.stderr)
    token.restrict(project_names=[project])
    print("New restrictions:", token.restrictions, file=sys.stderr)
    return token.dump()


def main() -> None:
    """Read the token and the project, print the restricted token."""
    raw_token = sys.stdin.read().strip()
    try:
        project = sys.argv[1]
    except IndexError:
        sys.exit(f"Usage: {sys.argv[0]} {{project_name}} < token")
    try:
        print(add_restriction(raw_token=raw_token, project=project))
    except LoaderError as error:
        sys.exit(f"{error}.")


if __name__ == "__main__":
    main()
