"""Columns that are read part by part, and rows that stand where they stood: the same as by the long way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.data.families import FAMILIES
from tests.unit.data.memory_store import MemoryStore

from everloop.data import planning, rows, values
from everloop.data.survey import survey

COLUMNS = {
    f"{family}/{name}": table[name] for family, table in FAMILIES.items() for name in table.column_names
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("chunks", [1, 3])
def test_a_part_of_a_column_is_the_part_of_the_whole(name: str, chunks: int) -> None:
    column = pa.chunked_array([*COLUMNS[name].chunks] * 2 * chunks)
    if chunks == 1:
        column = pa.chunked_array([column.combine_chunks()])
    whole, parted = values.of(column), values.parted(column)
    assert len(parted) == len(column)
    for cut in pairwise((0, 0, *range(1, len(column) + 1))):
        part = parted.cut(*cut)
        assert part.fingerprint == whole.cut(*cut).fingerprint
        assert part.encode() == whole.cut(*cut).encode()
        assert str(part.to_arrow().to_pylist()) == str(whole.cut(*cut).to_arrow().to_pylist())
    some = np.array([len(column) - 1, 0][: len(column)], np.int64)
    assert parted.at(some).fingerprint == whole.at(some).fingerprint


def test_texts_are_widened_within_a_slice_and_where_there_is_no_text() -> None:
    for texts in (["é", "", None, "long " * 9], ["", ""], [None, None], []):
        for kind in (pa.string(), pa.binary()):
            array = pa.array(texts, kind)
            for start in range(len(texts) + 1):
                some = values.of(pa.chunked_array([array.slice(start)], kind))
                assert some.to_arrow().to_pylist() == array.slice(start).to_pylist()
                some.array.validate(full=True)  # type: ignore[union-attr]


@pytest.fixture
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("AVERAGE", 64), ("LEAST", 16), ("MOST", 128)):
        monkeypatch.setattr(rows, name, size)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("added", [0, 70])
@pytest.mark.parametrize("removed", [0, 30])
@pytest.mark.parametrize("moved", [0, 10])
def test_rows_that_stayed_are_found_where_they_lie(added: int, removed: int, moved: int) -> None:
    store = MemoryStore()
    first = pa.table({"key": range(1_000), "value": np.arange(1_000) % 7})
    before = store.open(store.keep(first))
    more = pa.table({"key": np.arange(5_000, 5_000 + added), "value": np.zeros(added, int)})
    kept = first.slice(0, 1_000 - removed)
    turned = pa.concat_tables([kept.slice(moved), kept.slice(0, moved)])
    new = survey(pa.concat_tables([turned, more]), "sha256", before.manifest)
    plan = planning.plan(new, before)
    assert len(before.manifest.strips) > 3
    keys = new.table["key"].to_numpy()
    for asked in ({0}, {1, 2}, {0, 2}, {len(new.ends) - 1}, set(range(len(new.ends)))):
        but = tuple(len(asked) % 2 == number % 2 for number in range(len(plan.inner)))
        out = {
            row for inner, left in zip(plan.inner, but, strict=True) if left for row in inner.rows.tolist()
        }
        stayed = plan.stayed(before, new.ends, tuple(at in asked for at in range(len(new.ends))), but)
        among = np.concatenate([np.arange(*new.blocks[at]) for at in sorted(asked)])
        old = int(plan.begins[len(plan.alive)])
        assert stayed.rows.tolist() == [r for r in among if plan.places[r] < old and r not in out]
        assert stayed.there.tolist() == plan.places[stayed.rows].tolist()
        assert before.at("key", stayed.there).to_arrow().to_pylist() == keys[stayed.rows].tolist()
        there = before.values("key", stayed.strips).at(stayed.local)
        assert there.to_arrow().to_pylist() == keys[stayed.rows].tolist()
        for span, each in ((stayed.span, stayed.rows), (stayed.local_span, stayed.local)):
            if span is not None:
                assert each.tolist() == list(range(*span))


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("change", ["appended", "inserted", "inserted twice", "removed", "cut", "turned"])
def test_blocks_whose_rows_are_all_there_are_known(change: str) -> None:
    store = MemoryStore()
    first = pa.table({"key": range(1_000), "value": np.arange(1_000) % 7})
    before = store.open(store.keep(first))
    more = pa.table({"key": np.arange(5_000, 5_070), "value": np.zeros(70, int)})
    made = {
        "appended": [first, more],
        "inserted": [first.slice(0, 500), more, first.slice(500)],
        "inserted twice": [
            first.slice(0, 3),
            more.slice(0, 9),
            first.slice(3, 600),
            more.slice(9),
            first.slice(603),
        ],
        "removed": [first.slice(0, 500), first.slice(501)],
        "cut": [first.slice(0, 990)],
        "turned": [first.slice(400), first.slice(0, 400)],
    }
    new = survey(pa.concat_tables(made[change]), "sha256", before.manifest)
    plan = planning.plan(new, before)
    keys = new.table["key"].to_pylist()
    expected = {}
    for block, (start, stop) in enumerate(pairwise((0, *before.manifest.blocks))):
        at = [keys.index(key) if key in keys else -1 for key in range(start, stop)]
        if block not in plan.blocks and -1 not in at and at == sorted(at):
            expected[block] = at
    assert {inner.block: inner.rows.tolist() for inner in plan.inner} == expected
    assert expected or change in ("removed", "cut")
    for inner in plan.inner:
        assert inner.span is None or inner.rows.tolist() == list(range(*inner.span))


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("column", ["number", "text", "list"])
@pytest.mark.parametrize("at", [995, 498, 502])
def test_what_changed_within_such_a_block_is_found(column: str, at: int) -> None:
    """Rows are added at the end and at 500, and a value before them is another one, or missing."""
    store = MemoryStore()
    values_of = {
        "number": [row / 8 for row in range(1_000)],
        "text": [f"text {row}" for row in range(1_000)],
        "list": [[row] for row in range(1_000)],
    }
    first = pa.table({"key": range(1_000)} | values_of)
    more = pa.table(
        {"key": range(5_000, 5_006), "number": [0.5] * 6, "text": ["more"] * 6, "list": [[1]] * 6}
    )
    told = store.keep(first)
    for new in (values_of[column][0], None):
        changed = {**values_of, column: [*values_of[column][:at], new, *values_of[column][at + 1 :]]}
        then = pa.table({"key": range(1_000)} | changed, first.schema)
        after = pa.concat_tables([then.slice(0, 500), more.slice(0, 3), then.slice(500), more.slice(3)])
        assert store.open(store.keep(after, told)).table().equals(after)
