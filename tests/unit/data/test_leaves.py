"""Digests of columns are put together from leaves of the version before; the id must not show it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.data.memory_store import MemoryStore

from everloop.data import identity
from everloop.data.identity import LEAF, version_id
from everloop.data.survey import survey


@pytest.mark.parametrize("change", ["more", "fewer", "cut at a block", "cell", "front", "gone", "order"])
def test_leaves_that_are_known_are_not_told_wrongly(change: str) -> None:
    """Digests are put together from leaves of the version before; the id must not show it."""
    count = 3 * LEAF + 1_000
    numbers = np.arange(count, dtype=np.int64)
    levels = pa.DictionaryArray.from_arrays(
        pa.array(numbers % 3, pa.int8()), pa.array(["lo", "mid", "hi"]), ordered=True
    )
    first = pa.table(
        {"id": numbers, "x": numbers % 1_000 / 8, "s": [f"{n % 77}" for n in numbers], "o": levels}
    )
    before = MemoryStore().revise(first).manifest
    cell = first.column("x").to_numpy().copy()
    cell[LEAF + 5] = -1
    changed = {
        "more": pa.concat_tables([first, first.slice(0, 500)]),
        "fewer": first.slice(0, 2 * LEAF + 7),
        "cut at a block": first.slice(0, before.blocks[1]),
        "cell": first.set_column(1, "x", pa.array(cell)),
        "front": pa.concat_tables([first.slice(5, 1), first]),
        "gone": pa.concat_tables([first.slice(0, LEAF), first.slice(LEAF + 1)]),
        "order": first.set_column(
            3, "o", pa.DictionaryArray.from_arrays(levels.indices, ["mid", "lo", "hi"], ordered=True)
        ),
    }[change]
    assert survey(changed, "sha256", before).version_id == version_id(changed)
    after = MemoryStore().revise(changed).manifest
    assert survey(first, "sha256", after).version_id == version_id(first)


def test_a_text_that_becomes_an_ordered_category_is_another_content() -> None:
    """Whatever was there before: the values are the same, the order of the levels is not."""
    plain = pa.table({"c": ["lo", "hi", "mid"]})
    before = MemoryStore().revise(plain).manifest

    def ordered(*levels: str) -> pa.Table:
        codes = [levels.index(value) for value in plain["c"].to_pylist()]
        return pa.table({"c": pa.DictionaryArray.from_arrays(pa.array(codes), list(levels), ordered=True)})

    found = [
        survey(ordered(*levels), "sha256", before) for levels in (("lo", "mid", "hi"), ("hi", "mid", "lo"))
    ]
    assert len({version_id(plain), *(each.version_id for each in found)}) == 3
    assert found[0].version_id == version_id(ordered("lo", "mid", "hi"))


def test_leaves_that_did_not_change_are_not_hashed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = pa.table({"id": np.arange(5 * LEAF), "x": np.arange(5 * LEAF) / 8})
    before = MemoryStore().revise(first).manifest
    hashed: list[int] = []
    real = identity.leaf
    monkeypatch.setattr(identity, "leaf", lambda array, how: hashed.append(len(array)) or real(array, how))
    survey(pa.concat_tables([first, first.slice(0, 9)]), "sha256", before)
    assert len(hashed) <= 6  # of twelve: each column's last block may reach back into two more leaves
