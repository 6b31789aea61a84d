"""The macaroon in a token's text: read it, append a caveat, write it.

Version 2 of the format, which PyPI issues, is handled here; pymacaroons mints, and handles version 1. Importing it
loads libsodium, which takes a tenth of a whole `keyring get`; its reader copies the rest of the token for every packet,
takes minutes for 1 MB of noise, and ignores what follows the signature.

Format: https://github.com/rescrv/libmacaroons/blob/master/doc/format.txt
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import InvalidRestriction, LoaderError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    import pymacaroons

    PyMacaroon: TypeAlias = pymacaroons.Macaroon

V1, V2 = 1, 2
V1_PACKET_LIMIT = 0xFFFF  # bytes: a length has four hexadecimal digits
_V1_MAX_CAVEAT = V1_PACKET_LIMIT - len("ffffcid \n")
_END, _LOCATION, _IDENTIFIER, _SIGNATURE = 0, 1, 2, 6
# A location and an identifier, any number of first-party caveats, a signature: all that PyPI ever issues.
_GRAMMAR = re.compile(rb"\x01\x02\x00(?:\x02\x00)*\x00\x06")
_LENGTH = re.compile(rb"[\x80-\xff]{0,3}[\x00-\x7f]")  # seven bits a byte, the lowest first
_SIGNATURE_BYTES = 32  # HMAC-SHA256


class Macaroon:
    """A macaroon with first-party caveats only: their bytes, in order.

    The `location` is the domain of the index that minted it, the `identifier` what that index finds it by,
    the `signature` its one secret.
    """

    __slots__ = ("caveats", "identifier", "location", "signature", "version")

    def __init__(self, version: int, location: str, identifier: str, caveats: list[bytes], signature: bytes) -> None:
        if len(signature) != _SIGNATURE_BYTES:
            raise LoaderError(f"the token's signature has {len(signature)} bytes, expected {_SIGNATURE_BYTES}")
        self.version = version
        self.location = location
        self.identifier = identifier
        self.caveats = caveats
        self.signature = signature

    def append(self, *caveats: bytes) -> None:
        """Add caveats, all or none; raise InvalidRestriction if version 1 cannot hold one of them."""
        import hmac  # loads OpenSSL, which reading a token does not need

        if self.version == V1 and any(len(caveat) > _V1_MAX_CAVEAT for caveat in caveats):
            raise InvalidRestriction(
                "the restriction is longer than version 1 of the format can hold (64 KiB): name fewer projects."
            )
        for caveat in caveats:
            self.caveats.append(caveat)
            # The old signature is the key of the new one and cannot be found from it: no caveat can be taken away.
            self.signature = hmac.digest(self.signature, caveat, "sha256")

    def write(self) -> bytes:
        """Return the binary form."""
        if self.version == V1:
            from pymacaroons.serializers.binary_serializer import BinarySerializer

            data: bytes = BinarySerializer().serialize_raw(self.to_pymacaroons())
            return data
        parts = [bytes([V2]), _packet(_LOCATION, self.location.encode())]
        parts += [_packet(_IDENTIFIER, self.identifier.encode()), bytes([_END])]
        for caveat in self.caveats:
            parts += [_packet(_IDENTIFIER, caveat), bytes([_END])]
        parts += [bytes([_END]), _packet(_SIGNATURE, self.signature)]
        return b"".join(parts)

    def to_pymacaroons(self) -> PyMacaroon:
        """Return a copy as `pymacaroons.Macaroon`."""
        from pymacaroons import Caveat
        from pymacaroons import Macaroon as PyMacaroon

        caveats = [Caveat(caveat_id=caveat, version=self.version) for caveat in self.caveats]
        return PyMacaroon(self.location, self.identifier, None, caveats, self.signature.hex(), self.version)

    @classmethod
    def from_pymacaroons(cls, macaroon: PyMacaroon) -> Macaroon:
        """Copy a `pymacaroons.Macaroon`; raise LoaderError if PyPI issues no such macaroon."""
        if any(caveat.third_party() or caveat.location is not None for caveat in macaroon.caveats):
            raise LoaderError("the token has caveats of third parties")
        caveats = [caveat.caveat_id_bytes for caveat in macaroon.caveats]
        identifier = macaroon.identifier_bytes.decode()
        return cls(macaroon.version, macaroon.location, identifier, caveats, bytes.fromhex(macaroon.signature))


def mint(domain: str, identifier: str, key: str | bytes, version: int) -> Macaroon:
    """Make a macaroon without caveats."""
    from pymacaroons import Macaroon as PyMacaroon

    return Macaroon.from_pymacaroons(PyMacaroon(domain, identifier, key, version=version))


def read_text(text: object) -> tuple[str, Macaroon] | LoaderError:
    """Read a token's text into what precedes its first dash, and its macaroon.

    A problem is returned, not raised, and as a new exception: no traceback holds the text.
    """
    try:
        return _read(text)
    except LoaderError as error:
        problem = LoaderError(str(error))
        problem.__cause__ = error.__cause__
        return problem


def write_text(prefix: str, macaroon: Macaroon) -> str:
    """Return a token's text, as `read_text` reads it."""
    return f"{prefix}-{base64.urlsafe_b64encode(macaroon.write()).decode().rstrip('=')}"


def _read(text: object) -> tuple[str, Macaroon]:
    if not isinstance(text, str):
        raise LoaderError(f"the token is a value of type {type(text).__name__}, expected a string")
    text = text.strip()
    if not text:
        raise LoaderError("the token is empty")
    if not text.isascii():
        raise LoaderError("the token has characters that are not ASCII")
    prefix, dash, payload = text.partition("-")
    if not prefix or not dash:
        raise LoaderError("the token has no prefix: PyPI's tokens begin with 'pypi-'")
    try:
        data = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    except ValueError as error:
        raise LoaderError("the token is incomplete or was changed") from ValueError(type(error).__name__)
    macaroon = _read_v2(data) if data[:1] == bytes([V2]) else _read_v1(data)
    # Python's base64 skips foreign characters, lengths can be padded, pymacaroons is lenient: one spelling is accepted.
    if write_text(prefix, macaroon) != text:
        raise LoaderError("the token is incomplete or was changed")
    return prefix, macaroon


def _read_v2(data: bytes) -> Macaroon:
    packets = list(_packets(data))
    if not _GRAMMAR.fullmatch(bytes(kind for kind, _ in packets)):
        raise LoaderError("the token's parts are not those of a PyPI token")
    try:
        location, identifier = packets[0][1].decode(), packets[1][1].decode()
    except UnicodeDecodeError:
        raise LoaderError("the token's location or identifier is not UTF-8") from None
    return Macaroon(V2, location, identifier, [value for _, value in packets[3:-2:2]], packets[-1][1])


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the (type, value) packets that follow the version byte."""
    at = 1
    while at < len(data):
        kind, value = data[at], b""
        at += 1
        if kind != _END:
            length = _LENGTH.match(data, at)
            if length is None:
                raise LoaderError("a length in the token is wrong")
            size = length[0]
            at = length.end() + (size[0] if len(size) == 1 else sum((b & 0x7F) << 7 * i for i, b in enumerate(size)))
            if at > len(data):
                raise LoaderError("the token is cut short")
            value = data[length.end() : at]
        yield kind, value


def _packet(kind: int, value: bytes) -> bytes:
    head, length = bytearray([kind]), len(value)
    while length > 0x7F:  # noqa: PLR2004 - the eighth bit says that more follow
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*head, length]) + value


def _read_v1(data: bytes) -> Macaroon:
    from pymacaroons.serializers.binary_serializer import BinarySerializer

    try:
        return Macaroon.from_pymacaroons(BinarySerializer().deserialize_raw(data))
    except LoaderError:
        raise
    # pymacaroons lets through whatever its reader runs into: https://github.com/ecordell/pymacaroons/issues/50
    except Exception as error:  # noqa: BLE001 - the reason stands above
        cause = ValueError(type(error).__name__)
    raise LoaderError("the token's parts are not those of a PyPI token") from cause
