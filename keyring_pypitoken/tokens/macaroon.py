"""The macaroon inside a token: read, append, write.

pymacaroons mints, and handles version 1 of the format. Version 2, which PyPI issues, is read, appended to and
written here, for three reasons. Importing pymacaroons loads libsodium, for a tenth of the time that a
whole `keyring get` takes. Its reader copies the rest of the token for every packet, counts lengths without bound
(1 MB of noise keeps it busy for minutes), and ignores what follows the signature. And what is read here is all
that PyPI issues, so that anything else is refused instead of guessed at.

Format: https://github.com/rescrv/libmacaroons/blob/master/doc/format.txt
"""

from __future__ import annotations

import re
from binascii import hexlify
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    import pymacaroons

    PyMacaroon: TypeAlias = pymacaroons.Macaroon

V1, V2 = 1, 2
V1_PACKET_LIMIT = 0xFFFF  # bytes, its length being four hexadecimal digits
_END, _LOCATION, _IDENTIFIER, _SIGNATURE = 0, 1, 2, 6
# A location and an identifier, any number of first-party caveats, a signature: all that PyPI ever issues.
_GRAMMAR = re.compile(rb"\x01\x02\x00(?:\x02\x00)*\x00\x06")
_SIGNATURE_BYTES = 32  # HMAC-SHA256


class MalformedError(Exception):
    """The bytes are no macaroon of PyPI's.

    Attributes:
        reason: why, to continue a sentence with; it holds none of the bytes.
        cause: the type of what pymacaroons raised, where it did.
    """

    def __init__(self, reason: str, cause: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause


class Macaroon:
    """A macaroon with first-party caveats only.

    Attributes:
        version: of the binary format, 1 or 2.
        location: the domain of whoever minted it.
        identifier: what its minter finds it by.
        caveats: their bytes, in order.
    """

    __slots__ = ("_signature", "caveats", "identifier", "location", "version")

    def __init__(self, version: int, location: str, identifier: str, caveats: list[bytes], signature: bytes) -> None:
        self.version = version
        self.location = location
        self.identifier = identifier
        self.caveats = caveats
        self._signature = signature

    def append(self, caveat: bytes) -> None:
        """Add a caveat: the old signature is the key of the new one, so that nobody can take it away again."""
        import hmac  # loads OpenSSL, and whoever only reads tokens needs none

        self.caveats.append(caveat)
        self._signature = hmac.digest(self._signature, caveat, "sha256")

    def write(self) -> bytes:
        """Return the binary form."""
        if self.version == V1:
            from pymacaroons.serializers.binary_serializer import BinarySerializer

            data: bytes = BinarySerializer().serialize_raw(self.to_pymacaroons())
            return data
        parts = [bytes([V2])]
        parts += _packet(_LOCATION, self.location.encode())
        parts += _packet(_IDENTIFIER, self.identifier.encode())
        parts.append(bytes([_END]))
        for caveat in self.caveats:
            parts += _packet(_IDENTIFIER, caveat)
            parts.append(bytes([_END]))
        parts.append(bytes([_END]))
        parts += _packet(_SIGNATURE, self._signature)
        return b"".join(parts)

    def is_signed_with(self, key: str | bytes) -> bool:
        """Return True if the signature is that of whoever has the key. No caveat is looked at."""
        import hmac

        # pymacaroons' Verifier would fail at a caveat that is not UTF-8, and take an empty key, which anyone has.
        try:
            again = mint(self.location, self.identifier, key, self.version)
        except (MalformedError, TypeError, ValueError):  # an empty key, one of a wrong type, lone surrogates
            return False
        for caveat in self.caveats:
            again.append(caveat)
        return hmac.compare_digest(again._signature, self._signature)  # noqa: SLF001 - another of this class

    def to_pymacaroons(self) -> PyMacaroon:
        """Return a copy as `pymacaroons.Macaroon`."""
        from pymacaroons import Caveat
        from pymacaroons import Macaroon as PyMacaroon

        return PyMacaroon(
            location=self.location,
            identifier=self.identifier,
            caveats=[Caveat(caveat_id=caveat, version=self.version) for caveat in self.caveats],
            signature=hexlify(self._signature),
            version=self.version,
        )

    @classmethod
    def from_pymacaroons(cls, macaroon: PyMacaroon) -> Macaroon:
        """Copy a `pymacaroons.Macaroon`.

        Raises:
            MalformedError: PyPI issues none like it.
        """
        if macaroon.third_party_caveats():
            raise MalformedError("it has caveats of third parties")
        signature = bytes.fromhex(macaroon.signature)
        _check_signature_length(signature)
        caveats = [caveat.caveat_id_bytes for caveat in macaroon.caveats]
        return cls(macaroon.version, macaroon.location, macaroon.identifier_bytes.decode(), caveats, signature)


def mint(domain: str, identifier: str, key: str | bytes, version: int) -> Macaroon:
    """Make a macaroon without caveats."""
    from pymacaroons import Macaroon as PyMacaroon

    return Macaroon.from_pymacaroons(PyMacaroon(location=domain, identifier=identifier, key=key, version=version))


def read(data: bytes) -> Macaroon:
    """Read the binary form.

    Args:
        data: at least one byte.

    Raises:
        MalformedError: it is no macaroon of PyPI's.
    """
    return _read_v2(data) if data[0] == V2 else _read_v1(data)


def _read_v2(data: bytes) -> Macaroon:
    packets = list(_packets(data))
    if not _GRAMMAR.fullmatch(bytes(kind for kind, _ in packets)):
        raise MalformedError("its parts are not those of a PyPI token")
    signature = packets[-1][1]
    _check_signature_length(signature)
    try:
        location, identifier = packets[0][1].decode(), packets[1][1].decode()
    except UnicodeDecodeError:
        raise MalformedError("its location or identifier is not UTF-8") from None
    return Macaroon(V2, location, identifier, [value for _, value in packets[3:-2:2]], signature)


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the (type, value) packets that follow the version byte."""
    at = 1
    while at < len(data):
        kind = data[at]
        at += 1
        if kind == _END:
            yield kind, b""
            continue
        length, at = _read_length(data, at)
        if length > len(data) - at:
            raise MalformedError("it is cut short")
        yield kind, data[at : at + length]
        at += length


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """Read a length of at most 28 bits in its shortest spelling; return it and where it ends."""
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            if shift and not byte:  # it ends here, and a byte earlier would have done
                break
            return value, at
    raise MalformedError("a length in it is wrong")


def _packet(kind: int, value: bytes) -> list[bytes]:
    length = len(value)
    head = bytearray([kind])
    while length > 0x7F:  # noqa: PLR2004 - seven bits a byte, the eighth says that more follow
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return [bytes(head), value]


def _read_v1(data: bytes) -> Macaroon:
    from pymacaroons.serializers.binary_serializer import BinarySerializer

    cause = None
    try:
        macaroon = Macaroon.from_pymacaroons(BinarySerializer().deserialize_raw(data))
        # The reader is lenient: what it read must be all there was.
        if macaroon.write() == data:
            return macaroon
    except MalformedError:
        raise
    # pymacaroons lets through whatever its reader runs into: https://github.com/ecordell/pymacaroons/issues/50
    except Exception as error:  # noqa: BLE001 - the reason stands above
        cause = type(error).__name__
    raise MalformedError("its parts are not those of a PyPI token", cause)


def _check_signature_length(signature: bytes) -> None:
    if len(signature) != _SIGNATURE_BYTES:
        raise MalformedError(f"its signature has {len(signature)} bytes, expected {_SIGNATURE_BYTES}")
