"""Numbers as few bytes: every bit comes back, whatever the numbers are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import Corrupt
from everloop.data import numbers, parts

WIDTHS = (1, 2, 4, 8)


def back(words: np.ndarray, *, floating: bool = False) -> bytes:
    encoded = numbers.encode(words, floating=floating)
    found = numbers.decode(encoded)
    assert found.dtype == words.dtype
    assert found.tolist() == words.tolist()
    return encoded


def extremes(width: int) -> list[int]:
    most = 256**width - 1
    return [0, 1, 2, most, most - 1, most // 2, most // 2 + 1, most // 2 - 1, 255, 256 % (most + 1)]


@given(st.data(), st.sampled_from(WIDTHS))
@settings(max_examples=150, deadline=None)
def test_any_words(data: st.DataObject, width: int) -> None:
    value = st.sampled_from(extremes(width)) | st.integers(0, 256**width - 1)
    back(np.array(data.draw(st.lists(value, max_size=40)), f"u{width}"))


@given(st.data(), st.sampled_from(WIDTHS), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
@settings(max_examples=150, deadline=None)
def test_steps_of_any_size_from_anywhere(data: st.DataObject, width: int, start: int, step: int) -> None:
    """Differences that wrap around, beyond 63 bits, all alike or nearly so."""
    rows = data.draw(st.integers(1, 30))
    noise = data.draw(st.lists(st.integers(0, 300), min_size=rows, max_size=rows))
    words = [(start + n * step + extra) % 256**width for n, extra in enumerate(noise)]
    back(np.array(words, f"u{width}"))


@given(st.lists(st.floats(), max_size=50), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=150, deadline=None)
def test_any_floats(listed: list[float], kind: type) -> None:
    with np.errstate(over="ignore"):
        values = np.array(listed, np.float64).astype(kind)
    back(values.view(f"u{values.itemsize}"), floating=True)


@given(
    st.lists(st.integers(-(2**55), 2**55), max_size=30),
    st.sampled_from([1, 10, 100, 1000, 10_000, 3, 7]),
    st.sampled_from([np.float32, np.float64]),
    st.lists(st.sampled_from([0.0, -0.0, float("nan"), float("inf"), 5e-324, 1.7e308]), max_size=2),
)
@settings(max_examples=150, deadline=None)
def test_decimal_fractions_and_what_looks_like_them(
    wholes: list[int], scale: int, kind: type, strange: list[float]
) -> None:
    with np.errstate(over="ignore"):
        values = np.array([*(n / scale for n in wholes), *strange], np.float64).astype(kind)
    back(values.view(f"u{values.itemsize}"), floating=True)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5), st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
def test_few_levels(levels: list[int], rows: int) -> None:
    places = np.random.default_rng(rows).integers(0, len(levels), rows)
    words = np.array(levels, np.uint64)[places]
    for floating in (False, True):
        back(words, floating=floating)


def test_every_pair_of_extremes_of_every_width() -> None:
    for width in WIDTHS:
        for first in extremes(width):
            for second in extremes(width):
                back(np.array([first, second, first, second, second], f"u{width}"))


def test_nan_payloads_stay() -> None:
    words = np.array([0x7FF8000000000001, 0xFFF0000000000001, 0x7FF0000000000000] * 9, np.uint64)
    back(words, floating=True)


def test_each_form_pays_where_it_is_meant_to() -> None:
    chance = np.random.default_rng(0)
    rows = 10_000
    raw = 8 * rows
    sizes = {
        "keys": len(back(np.arange(10**12, 10**12 + 7 * rows, 7).view(np.uint64))),
        "prices": len(back((chance.integers(0, 9999, rows) / 100).view(np.uint64), floating=True)),
        "levels": len(back(chance.choice(chance.integers(0, 2**63, 9), rows).view(np.uint64))),
        "alike": len(back(np.full(rows, 2**63, np.uint64))),
    }
    assert sizes["keys"] < raw / 400
    assert sizes["prices"] < raw / 3
    assert sizes["levels"] < raw / 10
    assert sizes["alike"] < 100
    assert len(back(chance.integers(0, 2**64 - 1, rows, np.uint64))) < raw + 100


@given(st.binary(max_size=200), st.data())
@settings(max_examples=200, deadline=None)
def test_parts_come_back_and_anything_else_is_corrupt(content: bytes, data: st.DataObject) -> None:
    joined = parts.join([content, b"", content * 9])
    assert [bytes(part) for part in parts.split(joined)] == [content, b"", content * 9]
    cut = data.draw(st.integers(0, len(joined) - 1))
    with pytest.raises(Corrupt):
        parts.split(joined[:cut])
