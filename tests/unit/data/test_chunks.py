"""Cuts: by content, the same for ever, whatever the blocks in which the bytes come."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as some

from everloop.data import chunks
from everloop.data.chunks import BLOCK, LEAST, MOST, cuts


def noise(size: int, seed: int = 1) -> bytes:
    return np.random.Generator(np.random.PCG64(seed)).bytes(size)


def pieces(data: bytes, read: Callable[[int], bytes] | None = None) -> list[bytes]:
    return [bytes(piece) for block in chunks.chunks(read or BytesIO(data).read) for piece in block]


def test_cuts_are_pinned() -> None:
    """What is stored is recognised by its chunks: other cuts would store everything again."""
    assert cuts(noise(400_000), last=True) == [38640, 83399, 255329, 312552, 359891, 400000]
    text = b"".join(b"%d;%d;row of text\n" % (n, n * n % 97) for n in range(20_000))
    assert cuts(text, last=True) == [27783, 58896, 102596, 177971, 223979, 248515, 398328, 405794]


@pytest.mark.parametrize("size", [0, 1, LEAST, LEAST + 1, MOST, MOST + 1, BLOCK, BLOCK + 1, 2 * BLOCK + 77])
def test_chunks_are_the_whole_and_within_bounds(size: int) -> None:
    data = noise(size)
    found = pieces(data)
    assert b"".join(found) == data
    assert all(len(piece) <= MOST for piece in found)
    assert all(len(piece) >= LEAST for piece in found[:-1])


def test_the_average_is_as_said() -> None:
    assert 48_000 < (10 << 20) / len(pieces(noise(10 << 20))) < 80_000


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
    assert 1 <= sum(blake3(piece).digest() not in marks for piece in pieces(changed)) <= 3


def test_repetition_is_cut_where_the_content_says_so() -> None:
    """Long runs without a good place: an insertion still moves only the cuts near it."""
    page = b"".join(b"the same line again %d\n" % (n % 50) for n in range(40_000))
    half = len(page) // 2 + 7
    marks = {blake3(piece).digest() for piece in pieces(page)}
    new = [piece for piece in pieces(page[:half] + b"!" + page[half:]) if blake3(piece).digest() not in marks]
    assert len(new) <= 3
    assert len(pieces(bytes(20 * MOST))) == 20


@settings(max_examples=25, deadline=None)
@given(
    seed=some.integers(0, 2**32),
    levels=some.sampled_from([1, 2, 3, 16, 256]),
    size=some.integers(0, 900_000),
    reads=some.lists(some.integers(1, 300_000), min_size=1, max_size=6),
)
def test_cuts_do_not_depend_on_the_blocks(seed: int, levels: int, size: int, reads: list[int]) -> None:
    data = np.random.default_rng(seed).integers(0, levels, size, np.uint8).tobytes()
    stream, turn = BytesIO(data), 0

    def read(_: int) -> bytes:
        nonlocal turn
        turn += 1
        return stream.read(reads[turn % len(reads)])

    ends = cuts(data, last=True)
    assert np.cumsum([len(piece) for piece in pieces(data, read)]).tolist() == ends
