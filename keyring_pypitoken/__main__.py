"""`python -m keyring_pypitoken` is the command."""

import sys

from keyring_pypitoken.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
