"""Rows found again by the hashes of their keys, and where tables are cut."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data import rows, values
from everloop.data.identity import mixed


def obvious(new: list[int], old: list[int]) -> set[tuple[int, int]]:
    """The equal hashes that can be paired at most: of each hash as often as both sides have it."""
    return {(h, min(new.count(h), old.count(h))) for h in set(new) & set(old)}


few = st.lists(st.integers(0, 12), max_size=40)


@given(few, few)
@settings(max_examples=400, deadline=None)
def test_found_pairs_all_that_can_be_paired_and_nothing_twice(new: list[int], old: list[int]) -> None:
    places = rows.found(np.array(new, np.uint64), np.array(old, np.uint64))
    pairs = [(n, int(o)) for n, o in enumerate(places) if o >= 0]
    assert all(new[n] == old[o] for n, o in pairs)
    assert len({o for _, o in pairs}) == len(pairs)
    paired = [new[n] for n, _ in pairs]
    assert {(h, paired.count(h)) for h in set(paired)} == obvious(new, old)


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=40), st.randoms())
@settings(max_examples=200, deadline=None)
def test_found_is_the_obvious_answer_where_no_hash_repeats(old: list[int], chance) -> None:
    new = [h for h in old if chance.random() < 0.8]
    new = new[:3] + [2**63 + n for n in range(3) if 2**63 + n not in old] + new[3:]
    if chance.random() < 0.5:
        chance.shuffle(new)
    places = rows.found(np.array(new, np.uint64), np.array(old, np.uint64))
    assert places.tolist() == [old.index(h) if h in old else -1 for h in new]


@pytest.mark.parametrize("different", [2**64 - 1, 3_000], ids=["all different", "many equal"])
def test_found_where_rows_came_went_and_moved(different: int) -> None:
    """Rows between anchors, gaps and insertions there, and equal rows that anchors send to one place."""
    chance = np.random.default_rng(4)
    old = mixed(chance.integers(0, different, 20_000, dtype=np.uint64))
    new = np.delete(old, chance.integers(0, len(old), 400))
    new = np.insert(new, chance.integers(0, len(new), 300), mixed(np.arange(300, dtype=np.uint64)))
    new = np.r_[new[-500:], new[:-500]]
    places = rows.found(new, old)
    paired = places >= 0
    assert np.array_equal(new[paired], old[places[paired]])
    assert len(np.unique(places[paired])) == paired.sum()
    assert paired.sum() == (Counter(new.tolist()) & Counter(old.tolist())).total()


def test_texts_hash_by_all_their_bytes() -> None:
    long = "x" * 5_000
    texts = [
        "",
        "a",
        "ab",
        "a\0",
        "12345678",
        "123456789",
        long,
        long + "y",
        "y" + long,
        long[:-1] + "z",
        None,
    ]
    column = {"s": values.of(pa.chunked_array([pa.array(texts)]))}
    marks = rows.hashes(column, ("s",), len(texts))
    # a missing text is hashed as an empty one: rows that are found are compared in full
    assert len(set(marks.tolist())) == len(texts) - 1
    shifted = {"s": values.of(pa.chunked_array([pa.array(["before", *texts])]))}
    assert rows.hashes(shifted, ("s",), len(texts) + 1)[1:].tolist() == marks.tolist()


@pytest.mark.parametrize("width", [8, 100_000])
def test_cuts_lie_where_the_rows_are_and_not_where_they_stand(width: int) -> None:
    marks = np.random.default_rng(3).integers(0, 2**64 - 1, 1_500_000, np.uint64)
    ends = rows.cuts(marks, width)
    sizes = np.diff([0, *ends])
    assert ends[-1] == len(marks)
    shrink = max(1, int(np.ceil(rows.AVERAGE * width / (64 << 20))))
    assert sizes.max() <= rows.MOST // shrink
    assert sizes[:-1].min() >= rows.LEAST // shrink
    moved = rows.cuts(np.r_[marks[:10], marks], width)
    assert len({end + 10 for end in ends} & set(moved)) > 0.8 * len(ends)


def test_no_rows_and_no_key() -> None:
    assert rows.cuts(np.empty(0, np.uint64)) == []
    assert rows.choose_key({}) == ()
    assert rows.found(np.empty(0, np.uint64), np.arange(3, dtype=np.uint64)).tolist() == []
    assert rows.found(np.arange(3, dtype=np.uint64), np.empty(0, np.uint64)).tolist() == [-1, -1, -1]


def test_the_key_is_what_tells_rows_apart_and_does_not_change() -> None:
    chance = np.random.default_rng(0)
    columns = {
        "score": pa.array(chance.random(1000)),
        "level": pa.array(chance.integers(0, 3, 1000)),
        "tags": pa.array([[n] for n in range(1000)]),
        "id": pa.array([f"c{n}" for n in range(1000)]),
    }
    found = {name: values.of(pa.chunked_array([column])) for name, column in columns.items()}
    assert rows.choose_key(found) == ("id",)
    del found["id"]
    assert rows.choose_key(found) == ("score",)
    assert rows.choose_key({"tags": found["tags"]}) == ()
