"""Write age files by the specification, with a cheap passphrase: a second opinion on the format, without the second.

https://github.com/C2SP/C2SP/blob/main/age.md; scrypt's work is 2**1 instead of pyrage's second.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt as seal

FILE_KEY, SALT, NONCE = b"sixteen bytes ok", b"salt of 16 bytes", b"nonce of 16 byte"


def encrypt_cheaply(plain: bytes, passphrase: str) -> bytes:
    """Encrypt less than 64 KiB to a passphrase."""
    label = b"age-encryption.org/v1/scrypt" + SALT
    wrap = hashlib.scrypt(passphrase.encode(), salt=label, n=2, r=8, p=1, dklen=32)
    body = unpadded(seal(FILE_KEY, None, bytes(12), wrap))
    header = b"age-encryption.org/v1\n-> scrypt %s 1\n%s\n---" % (unpadded(SALT), body)
    mac = unpadded(hmac.digest(derived(b"", b"header"), header, "sha256"))
    last = bytes(11) + b"\1"  # chunk 0, and the last one
    return header + b" " + mac + b"\n" + NONCE + seal(plain, None, last, derived(NONCE, b"payload"))


def derived(salt: bytes, label: bytes) -> bytes:
    """Derive 32 bytes from the file key (HKDF, RFC 5869)."""
    extracted = hmac.digest(salt or bytes(32), FILE_KEY, "sha256")
    return hmac.digest(extracted, label + b"\1", "sha256")


def unpadded(data: bytes) -> bytes:
    """Encode as age does."""
    return base64.b64encode(data).rstrip(b"=")
