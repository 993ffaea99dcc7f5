"""Cuts: by content, the same for ever, whatever the blocks in which the bytes come."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as some

from everloop.data import chunks
from everloop.data.chunks import BLOCK, LEAST, MOST


def noise(size: int, seed: int = 1) -> bytes:
    return np.random.Generator(np.random.PCG64(seed)).bytes(size)


class Stream(BytesIO):
    """A stream that gives as much as it likes at a time."""

    def __init__(self, data: bytes, reads: list[int]) -> None:
        super().__init__(data)
        self.reads, self.turn = reads, 0

    def readinto(self, into: Any) -> int:
        self.turn += 1
        return super().readinto(memoryview(into)[: self.reads[self.turn % len(self.reads)]])


def pieces(data: bytes) -> list[bytes]:
    return [piece for block in chunks.chunks(BytesIO(data)) for piece in block]


def cuts(stream: BytesIO) -> list[int]:
    return np.cumsum([len(piece) for block in chunks.chunks(stream) for piece in block], dtype=int).tolist()


def test_cuts_are_pinned() -> None:
    """What is stored is recognised by its chunks: other cuts would store everything again."""
    assert cuts(BytesIO(noise(400_000))) == [51630, 98261, 169601, 216442, 295917, 363320, 389444, 400000]
    text = b"".join(b"%d;%d;row of text\n" % (n, n * n % 97) for n in range(20_000))
    assert cuts(BytesIO(text)) == [66765, 242637, 317015, 405794]


@pytest.mark.parametrize("size", [0, 1, LEAST, LEAST + 1, MOST, MOST + 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77])
def test_chunks_are_the_whole_and_within_bounds(size: int) -> None:
    data = noise(size)
    found = pieces(data)
    assert b"".join(found) == data
    assert all(len(piece) <= MOST for piece in found)
    assert all(len(piece) >= LEAST for piece in found[:-1])


def test_the_average_is_as_said() -> None:
    assert 64_000 < (10 << 20) / len(pieces(noise(10 << 20))) < 96_000


@pytest.mark.parametrize("change", ["insert", "delete", "replace", "append", "prepend"])
def test_a_small_change_makes_one_or_two_new_chunks(change: str) -> None:
    data = noise(10 << 20)
    half = len(data) // 2
    changed = {
        "insert": data[:half] + b"hello" + data[half:],
        "delete": data[:half] + data[half + 5 :],
        "replace": data[:half] + b"hello" + data[half + 5 :],
        "append": data + b"hello",
        "prepend": b"hello" + data,
    }[change]
    marks = {blake3(piece).digest() for piece in pieces(data)}
    assert 1 <= sum(blake3(piece).digest() not in marks for piece in pieces(changed)) <= 4


@settings(max_examples=25, deadline=None)
@given(
    seed=some.integers(0, 2**32),
    levels=some.sampled_from([1, 2, 3, 16, 256]),
    size=some.integers(0, 900_000),
    reads=some.lists(some.integers(1, 300_000), min_size=1, max_size=6),
)
def test_cuts_do_not_depend_on_the_blocks(seed: int, levels: int, size: int, reads: list[int]) -> None:
    data = np.random.default_rng(seed).integers(0, levels, size, np.uint8).tobytes()
    assert cuts(Stream(data, reads)) == cuts(BytesIO(data))
