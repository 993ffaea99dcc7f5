"""What lies between two versions of a dataset."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from everloop.core.data import ColumnChange, DatasetDiff, DatasetVersion

Hashes = npt.NDArray[np.uint64]


def diff(
    before: DatasetVersion, before_rows: Hashes, after: DatasetVersion, after_rows: Hashes
) -> DatasetDiff:
    """Rows compared as a multiset of their hashes, and the columns whose statistics moved.

    A row that was changed counts as one removed and one added. If the two have different columns, give the
    hashes over the columns that both have (``identity.row_hashes(table, shared)``).
    """
    kept = _in_both(before_rows, after_rows)
    old = {column.name: column.type for column in before.columns}
    new = {column.name: column.type for column in after.columns}
    names = [*new, *(name for name in old if name not in new)]
    changes = (ColumnChange(n, before.statistics.get(n), after.statistics.get(n)) for n in names)
    return DatasetDiff(
        before=before.version_id,
        after=after.version_id,
        rows_added=len(after_rows) - kept,
        rows_removed=len(before_rows) - kept,
        rows_kept=kept,
        columns_added=tuple(name for name in new if name not in old),
        columns_removed=tuple(name for name in old if name not in new),
        columns_retyped=tuple(name for name in new if name in old and old[name] != new[name]),
        changes=tuple(change for change in changes if change.before != change.after),
    )


def _in_both(before: Hashes, after: Hashes) -> int:
    """How many rows can be paired, each with one equal row of the other side."""
    old, old_counts = np.unique(before, return_counts=True)
    new, new_counts = np.unique(after, return_counts=True)
    _, in_old, in_new = np.intersect1d(old, new, assume_unique=True, return_indices=True)
    return int(np.minimum(old_counts[in_old], new_counts[in_new]).sum())
