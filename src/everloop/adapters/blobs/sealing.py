"""One object, encrypted: AES-256-GCM in frames of 64 KiB, so that parts can be read without the whole.

    header   64 bytes: magic (8) · format (1) · id of the key (8) · log2 of the frame's size (1)
             · size of the plain bytes (8) · salt (32) · zeros (6)
    frames   of 65536 bytes (the last one shorter) and 16 of tag each; an empty object has one empty frame

Each object has a key of its own: HKDF-SHA256 of the ring's key with the object's 256-bit random salt. So the
nonce may be the frame's number and whether it is the last one (the STREAM construction), and never repeats
under one key. The header and the object's name are authenticated with each frame. A frame that was changed,
moved, left out, cut off, or taken from another object or name does not open.

Sources: NIST SP 800-38D (GCM); RFC 5869 (HKDF); Hoang, Reyhanitabar, Rogaway, Vizár, "Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015 (STREAM).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from everloop.core.ids import random_bytes

from .keys import Key
from .names import SEAL

FORMAT = 1
HEADER = 64
_FRAME_BITS = 16
FRAME = 1 << _FRAME_BITS
_TAG = 16
SEALED = FRAME + _TAG
_LAYOUT = struct.Struct("!8sB8sBQ32s6x")


class Broken(Exception):
    """What was read is not what was sealed. The text says how."""


@dataclass(frozen=True)
class Header:
    """What an object says of itself; believed once a frame has opened with it."""

    raw: bytes
    format: int
    key_id: str
    size: int
    salt: bytes

    @property
    def frames(self) -> int:
        return frames_of(self.size)


def read_header(raw: bytes) -> Header | None:
    """None where the bytes are those of no sealed object. Raises Broken for one of another format."""
    if not raw.startswith(SEAL):
        return None
    if len(raw) < HEADER:
        raise Broken("it is cut short")
    _, number, key_id, bits, size, salt = _LAYOUT.unpack(raw[:HEADER])
    if number != FORMAT or bits != _FRAME_BITS:
        raise Broken(f"its encryption has format {number}, and this release reads {FORMAT}")
    return Header(raw[:HEADER], number, key_id.decode("ascii", "replace"), size, salt)


def seal(key: Key, name: str, data: bytes) -> bytes:
    salt = random_bytes(32)
    raw = _LAYOUT.pack(SEAL, FORMAT, key.id.encode(), _FRAME_BITS, len(data), salt)
    header = Header(raw, FORMAT, key.id, len(data), salt)
    cipher, bound, view = _cipher(key, salt), _bound(header, name), memoryview(data)
    frames = [
        cipher.encrypt(_nonce(header, index), view[index * FRAME : (index + 1) * FRAME], bound)
        for index in range(header.frames)
    ]
    return b"".join([raw, *frames])


class Opener:
    """Opens the frames of one object."""

    def __init__(self, header: Header, key: Key, name: str) -> None:
        self._header = header
        self._cipher = _cipher(key, header.salt)
        self._bound = _bound(header, name)

    def open(self, first: int, sealed: bytes | memoryview) -> list[bytes]:
        """The plain bytes of the frames that ``sealed`` holds, the first of which is number ``first``; frames
        beyond the object's end are left out. Raises Broken."""
        view = memoryview(sealed)
        opened = []
        for index in range(first, min(first + -(-len(view) // SEALED), self._header.frames)):
            part = view[(index - first) * SEALED : (index - first + 1) * SEALED]
            try:
                opened.append(self._cipher.decrypt(_nonce(self._header, index), part, self._bound))
            except (InvalidTag, ValueError) as error:
                raise Broken(f"the bytes from {index * FRAME:,} on are not what was stored") from error
        return opened


def frames_of(size: int) -> int:
    return max(1, -(-size // FRAME))


def sealed_size(size: int) -> int:
    return HEADER + size + _TAG * frames_of(size)


def plain_size(stored: int) -> int:
    """Of the plain bytes, from the size of the sealed object. Raises Broken for one that none can have."""
    body = stored - HEADER
    size = body - _TAG * max(1, -(-body // SEALED))
    if size < 0 or sealed_size(size) != stored:
        raise Broken("it is cut short")
    return size


def _cipher(key: Key, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, b"everloop object").derive(key.secret))


def _bound(header: Header, name: str) -> bytes:
    return header.raw + name.encode()


def _nonce(header: Header, index: int) -> bytes:
    return struct.pack("!QI", index, index == header.frames - 1)
