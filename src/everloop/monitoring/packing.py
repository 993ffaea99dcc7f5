"""Trees of JSON values and numpy arrays as one compressed text, without loss."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

import numpy as np

from everloop.core.errors import Corrupt

_INTEGERS = ("i1", "<i2", "<i4", "<i8")


def pack(tree: Any) -> str:
    """Arrays of integers take the fewest bytes their values need; the bytes of an array are sorted by
    place, which compresses better."""
    arrays: list[bytes] = []
    plain = json.dumps(_lifted(tree, arrays), separators=(",", ":")).encode()
    body = len(plain).to_bytes(8, "little") + plain + b"".join(arrays)
    return base64.b85encode(zlib.compress(body, 6)).decode()


def unpack(text: str) -> Any:
    """Raises Corrupt for a text that ``pack`` did not write."""
    try:
        body = zlib.decompress(base64.b85decode(text))
        size = int.from_bytes(body[:8], "little")
        return _lowered(json.loads(body[8 : 8 + size]), memoryview(body)[8 + size :])
    except (ValueError, TypeError, KeyError, zlib.error, binascii.Error) as error:
        raise Corrupt(
            f"A document of monitoring is damaged: {error}.",
            remedy="Restore it from a backup: everloop backup restore.",
        ) from error


def _lifted(tree: Any, arrays: list[bytes]) -> Any:
    if isinstance(tree, np.ndarray):
        array = _narrow(tree)
        start = sum(map(len, arrays))
        arrays.append(array.view(np.uint8).reshape(-1, array.itemsize).T.tobytes() if array.size else b"")
        return {"@": array.dtype.str, "shape": list(array.shape), "from": start}
    if isinstance(tree, dict):
        return {key: _lifted(value, arrays) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_lifted(value, arrays) for value in tree]
    return tree


def _narrow(array: Any) -> Any:
    if array.dtype.kind == "i" and array.size:
        least, most = int(array.min()), int(array.max())
        for kind in _INTEGERS:
            limits = np.iinfo(kind)
            if limits.min <= least and most <= limits.max:
                return np.ascontiguousarray(array, dtype=kind).reshape(array.shape)
    return np.ascontiguousarray(array)


def _lowered(tree: Any, body: memoryview) -> Any:
    if isinstance(tree, dict) and "@" in tree:
        kind, shape, start = np.dtype(tree["@"]), tuple(tree["shape"]), tree["from"]
        size = int(np.prod(shape)) * kind.itemsize
        places = np.frombuffer(body[start : start + size], dtype=np.uint8).reshape(kind.itemsize, -1)
        array = np.ascontiguousarray(places.T).view(kind).reshape(shape)
        return array.astype(np.int64) if kind.kind == "i" else array
    if isinstance(tree, dict):
        return {key: _lowered(value, body) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_lowered(value, body) for value in tree]
    return tree
