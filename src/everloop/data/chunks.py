"""Bytes -> chunks cut where the content says so (FastCDC 2020): an insertion moves only the cuts around it.

The same bytes must be cut alike for ever, or nothing is recognised any more; a golden test pins it. Ids do
not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pyfastcdc import FastCDC

LEAST, AVERAGE, MOST = 16_384, 65_536, 262_144  # bytes
BLOCK = 4 << 20


def chunks(stream: BinaryIO) -> Iterator[list[bytes]]:
    """The chunks of a stream, about ``BLOCK`` bytes of them at a time."""
    several: list[bytes] = []
    size = 0
    for chunk in FastCDC(AVERAGE, min_size=LEAST, max_size=MOST).cut_stream(stream):
        several.append(bytes(chunk.data))
        size += chunk.length
        if size >= BLOCK:
            yield several
            several, size = [], 0
    if several:
        yield several
