"""The command `keyring-pypitoken`: for people, and for tools that know no keyring."""
