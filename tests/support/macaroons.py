"""Tokens with any caveats, made by pymacaroons alone."""

from __future__ import annotations

from binascii import unhexlify

import pymacaroons
import pymacaroons.utils
from canary import watch

KEY = b"a key that no server knows"
IDENTIFIER = "0fd630f1-f29d-4da9-953f-48f1a09f76b5"


def mint(*caveats: str | bytes, domain: str = "pypi.org", version: int = 2) -> str:
    """Return a master's text with any caveats, made by pymacaroons alone."""
    macaroon = pymacaroons.Macaroon(domain, IDENTIFIER, KEY, version=version)
    for caveat in caveats:
        added = pymacaroons.Caveat(caveat_id=caveat, version=version)
        macaroon.caveats.append(added)
        # Not add_first_party_caveat, which takes UTF-8 only.
        signature = unhexlify(macaroon.signature_bytes)
        macaroon.signature = pymacaroons.utils.sign_first_party_caveat(signature, added.caveat_id_bytes)
    return watch(f"pypi-{macaroon.serialize()}")
