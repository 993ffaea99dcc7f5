"""Bytes in parts: each compressed with zstd where that gains something, else as they are."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pyarrow as pa

from everloop.core.errors import Corrupt

_CODEC = pa.Codec("zstd", 1)  # its calls hold no state and release the interpreter's lock
_PART = struct.Struct("<BQQ")  # compressed or not, length, stored length
_WORTH = 0.97
_LEAST = 512  # bytes: of fewer hardly any are gained, and each call costs as much as that of thousands


def join(parts: Sequence[bytes | memoryview]) -> bytes:
    """The parts one after the other, each with its lengths before it."""
    joined: list[bytes | memoryview] = [len(parts).to_bytes(1, "little")]
    for part in parts:
        packed = _CODEC.compress(part, asbytes=True) if len(part) > _LEAST else part
        if len(packed) <= _WORTH * len(part) and packed is not part:
            joined += [_PART.pack(1, len(part), len(packed)), packed]
        else:
            joined += [_PART.pack(0, len(part), len(part)), part]
    return b"".join(joined)


def split(data: bytes | memoryview) -> list[pa.Buffer]:
    """What ``join`` was given. Raises Corrupt if the bytes are not of that form."""
    view, at, parts = memoryview(data), 1, []
    try:
        for _ in range(view[0]):
            packed, length, stored = _PART.unpack_from(view, at)
            at += _PART.size
            part = view[at : at + stored]
            if len(part) < stored:
                raise ValueError("cut short")
            parts.append(_CODEC.decompress(part, length) if packed else pa.py_buffer(part))
            at += stored
    except (ValueError, IndexError, struct.error, pa.ArrowException) as error:
        raise Corrupt(f"A stored segment cannot be decoded: {error}") from error
    return parts
