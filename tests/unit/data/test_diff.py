"""What lies between two versions."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.data import DatasetDiff, DatasetVersion
from everloop.data.diff import diff
from everloop.data.identity import row_hashes, version_id
from everloop.data.statistics import describe, schema


def _version(table: pa.Table) -> DatasetVersion:
    return DatasetVersion(
        dataset="d",
        version_id=version_id(table),
        sequence=1,
        rows=table.num_rows,
        columns=schema(table),
        statistics=describe(table),
        hash_algorithm="sha256",
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        created_by="me",
        source="memory",
    )


def _diff(before: pa.Table, after: pa.Table) -> DatasetDiff:
    shared = [name for name in before.column_names if name in after.column_names]
    return diff(_version(before), row_hashes(before, shared), _version(after), row_hashes(after, shared))


def test_rows_are_compared_whole_with_duplicates_counted() -> None:
    before = pa.table({"a": [1, 1, 1, 2, 3], "b": ["x", "x", "x", None, "z"]})
    after = pa.table({"a": [3, 1, 1, 2, 4, 4], "b": ["z", "x", "x", "y", "w", "w"]})
    found = _diff(before, after)
    assert (found.rows_kept, found.rows_removed, found.rows_added) == (3, 2, 3)
    assert (found.before, found.after) == (version_id(before), version_id(after))


def test_rows_in_another_order_are_the_same_rows_but_another_version() -> None:
    before, after = pa.table({"a": [1, 2, 3]}), pa.table({"a": [3, 1, 2]})
    found = _diff(before, after)
    assert (found.rows_kept, found.rows_removed, found.rows_added, found.changes) == (3, 0, 0, ())
    assert found.before != found.after


def test_columns_that_came_went_and_changed_their_type_are_named() -> None:
    before = pa.table({"same": [1, 2], "gone": [1, 2], "retyped": [1, 2], "moved": [1, 2]})
    after = pa.table({"new": ["a", "b"], "moved": [1, 5], "retyped": [1.0, 2.0], "same": [1, 2]})
    found = _diff(before, after)
    assert found.columns_added == ("new",)
    assert found.columns_removed == ("gone",)
    assert found.columns_retyped == ("retyped",)
    assert [change.name for change in found.changes] == ["new", "moved", "gone"]
    new, moved, gone = found.changes
    assert new.before is None
    assert gone.after is None
    assert (moved.before.mean, moved.after.mean) == (1.5, 3.0)


@given(st.lists(st.integers(0, 4), min_size=1), st.lists(st.integers(0, 4), min_size=1))
def test_rows_are_counted_as_a_multiset(before: list[int], after: list[int]) -> None:
    found = _diff(pa.table({"a": before}), pa.table({"a": after}))
    assert found.rows_kept == (Counter(before) & Counter(after)).total()
    assert found.rows_removed == (Counter(before) - Counter(after)).total()
    assert found.rows_added == (Counter(after) - Counter(before)).total()
