"""What lies between two versions of a dataset: schema, rows, cells, statistics.

Columns are looked at one after the other, so no more than one of either table is in memory. Of two
versions of one content no row is read, but for the columns of a key that is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from everloop.core.data import Cell, DatasetDiff, DatasetVersion, RowChange, RowExamples
from everloop.core.errors import Invalid, UnknownColumn, WrongType, nearest

from . import cells, shifts
from .cells import Mask, Places, Words
from .identity import mixed
from .pairing import Pairs, pair

_KEYS = ("int", "uint", "string", "binary", "timestamp", "date", "extension<arrow.uuid")
_NAMED = ("id", "key", "uuid", "guid", "rid", "index")

Load = Callable[[str], pa.ChunkedArray]


@dataclass(frozen=True)
class Side:
    """One of the two versions, and how to get a column of it."""

    version: DatasetVersion
    column: Load

    @property
    def kinds(self) -> dict[str, str]:
        return {column.name: column.type for column in self.version.columns}


@dataclass
class _Found:
    """What comparing the columns of paired rows has found so far."""

    changed: Mask
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[int, dict[str, tuple[Cell, Cell]]] = field(default_factory=dict)
    incomparable: list[str] = field(default_factory=list)


def diff(before: Side, after: Side, *, key: Sequence[str] | None = None, examples: int = 20) -> DatasetDiff:
    """Compare two versions; rows by ``key``: columns of both. None: a column that is unique in both, if there
    is one; empty: whole rows, as a multiset. Raises UnknownColumn, WrongType for a key of lists or structs.
    """
    old, new = before.kinds, after.kinds
    shared = [name for name in new if name in old]
    rows = (before.version.rows, after.version.rows)
    alike = _same(before.version, after.version)
    if alike and not key:
        return _unchanged(before.version, after.version)
    chosen = tuple(key) if key is not None else guess(before.version, after.version)
    pairs, keyless = (
        _by_key(before, after, chosen, rows) if chosen else (_by_rows(before, after, shared, rows), (0, 0))
    )
    if key is None and chosen and any(pairs.repeated):
        return diff(
            before, after, key=(), examples=examples
        )  # the statistics were mistaken: it is not unique
    unequal = [] if alike else [name for name in shared if name not in chosen]
    found = _compare(before, after, unequal, pairs, examples)
    changed = int(found.changed.sum())
    loose = 0 if chosen else changed  # rows whose hashes were the same and whose values are not
    return DatasetDiff(
        before=before.version.version_id,
        after=after.version.version_id,
        rows_added=len(pairs.added) + loose,
        rows_removed=len(pairs.removed) + loose,
        rows_changed=changed - loose,
        rows_kept=len(pairs.before) - changed,
        columns_added=tuple(name for name in new if name not in old),
        columns_removed=tuple(name for name in old if name not in new),
        columns_retyped={name: (old[name], new[name]) for name in shared if old[name] != new[name]},
        columns_reordered=_moved([name for name in old if name in new], shared),
        columns_not_compared=tuple(found.incomparable),
        key=chosen,
        key_from="none" if not chosen else "guessed" if key is None else "asked",
        repeated=pairs.repeated if chosen else (0, 0),
        keyless=keyless,
        rows_reordered=pairs.reordered,
        compared=tuple(name for name in shared if name not in found.incomparable),
        cells_changed=found.counts if chosen else {},
        examples=RowExamples(
            changed=_changed_rows(after, chosen, pairs, found, examples) if chosen else (),
            added=_rows(after, pairs.added[:examples]),
            removed=_rows(before, pairs.removed[:examples]),
        ),
        changes=shifts.changes(before.version.statistics, after.version.statistics),
    )


def _same(before: DatasetVersion, after: DatasetVersion) -> bool:
    return (before.version_id, before.hash_algorithm) == (after.version_id, after.hash_algorithm)


def _unchanged(before: DatasetVersion, after: DatasetVersion) -> DatasetDiff:
    """Of two versions of one content: all rows kept, compared whole."""
    return DatasetDiff(
        before=before.version_id,
        after=after.version_id,
        rows_added=0,
        rows_removed=0,
        rows_changed=0,
        rows_kept=after.rows,
        columns_added=(),
        columns_removed=(),
        columns_retyped={},
        columns_reordered=(),
        columns_not_compared=(),
        key=(),
        key_from="none",
        repeated=(0, 0),
        keyless=(0, 0),
        rows_reordered=False,
        compared=tuple(column.name for column in after.columns),
        cells_changed={},
        examples=RowExamples(),
        changes=shifts.changes(before.statistics, after.statistics),
    )


def guess(before: DatasetVersion, after: DatasetVersion) -> tuple[str, ...]:
    """A column that tells rows apart in both versions, by its statistics; one that is named like a key first.
    Never floats: they are what changes."""
    old = {column.name: column.type for column in before.columns}
    fit = [
        column.name
        for column in after.columns
        if old.get(column.name) == column.type
        and column.type.startswith(_KEYS)
        and all(_is_unique(version, column.name) for version in (before, after))
    ]
    named = [
        name for name in fit if any(part in _NAMED for part in name.lower().replace("-", "_").split("_"))
    ]
    return tuple((named or fit)[:1])


def _is_unique(version: DatasetVersion, name: str) -> bool:
    known = version.statistics.get(name)
    return known is not None and known.distinct == version.rows > 0 and not known.missing


def _by_key(
    before: Side, after: Side, key: Sequence[str], rows: tuple[int, int]
) -> tuple[Pairs, tuple[int, int]]:
    """Rows paired by key, and how many on either side have a missing value in it."""
    parts: list[tuple[Words, Words]] = []
    gaps = [np.zeros(count, bool) for count in rows]
    for name in dict.fromkeys(key):
        for side in (before, after):
            if name not in side.kinds:
                raise UnknownColumn(
                    f"{side.version.dataset}@{side.version.short} has no column '{name}' to be the key.",
                    remedy=nearest(name, side.kinds),
                )
        arrays = cells.aligned(before.column(name), after.column(name))
        if arrays is None:
            raise Invalid(
                f"The key '{name}' was {before.kinds[name]} and became {after.kinds[name]}.",
                remedy="No two values are equal: take another key.",
            )
        if pa.types.is_nested(arrays[0].type):
            raise WrongType(
                f"'{name}' is {after.kinds[name]}, which cannot be a key.", remedy="Take simple columns."
            )
        parts += cells.words(*arrays)
        for gap, array in zip(gaps, arrays, strict=True):
            gap |= array.is_null().to_numpy(zero_copy_only=False)
    return pair(parts, rows), (int(gaps[0].sum()), int(gaps[1].sum()))


def _by_rows(before: Side, after: Side, shared: Sequence[str], rows: tuple[int, int]) -> Pairs:
    """Rows paired whole: by a hash of what both have. Values are compared afterwards. Where no column of one
    can be compared with one of the other, no row is paired."""
    totals = [np.zeros(count, np.uint64) for count in rows]
    comparable = False
    for at, name in enumerate(shared):
        arrays = cells.aligned(before.column(name), after.column(name))
        comparable |= arrays is not None
        for words in cells.words(*arrays) if arrays else ():
            salt = mixed(np.array([at + 1], np.uint64))
            for total, word in zip(totals, words, strict=True):
                total[:] = mixed(total ^ mixed(word + salt))
    if not comparable and (before.kinds or after.kinds):
        none = np.empty(0, np.int64)
        return Pairs(none, none, np.arange(rows[0]), np.arange(rows[1]), (0, 0))
    return pair([(totals[0], totals[1])], rows)


def _compare(before: Side, after: Side, names: Sequence[str], pairs: Pairs, examples: int) -> _Found:
    found = _Found(np.zeros(len(pairs.before), bool))
    for name in names:
        arrays = cells.aligned(before.column(name), after.column(name))
        if arrays is None:
            found.incomparable.append(name)
            continue
        old, new = _taken(arrays[0], pairs.before), _taken(arrays[1], pairs.after)
        different = cells.differ(old, new)
        places = np.flatnonzero(different)
        if len(places):
            found.changed |= different
            found.counts[name] = len(places)
            first = places[:examples]
            values = zip(first.tolist(), cells.shown(old, first), cells.shown(new, first), strict=True)
            for place, then, now in values:
                found.examples.setdefault(place, {})[name] = (then, now)
    found.counts = dict(sorted(found.counts.items(), key=lambda item: -item[1]))
    return found


def _taken(array: pa.Array, places: Places) -> pa.Array:
    if len(places) == len(array) and (not len(places) or (np.diff(places) == 1).all()):
        return array
    return array.take(pa.array(places))


def _changed_rows(
    after: Side, key: Sequence[str], pairs: Pairs, found: _Found, examples: int
) -> tuple[RowChange, ...]:
    places = sorted(found.examples)[:examples]
    keys = _rows(after, pairs.after[places], key) if places else ()
    return tuple(RowChange(of, found.examples[at]) for of, at in zip(keys, places, strict=True))


def _rows(side: Side, places: Places, names: Sequence[str] | None = None) -> tuple[dict[str, Cell], ...]:
    rows: list[dict[str, Cell]] = [{} for _ in places]
    if rows:
        for name in side.kinds if names is None else names:
            values = cells.shown(side.column(name).take(pa.array(places)).combine_chunks(), range(len(rows)))
            for row, value in zip(rows, values, strict=True):
                row[name] = value
    return tuple(rows)


def _moved(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """The fewest names that must be moved to make one order of the other: all but a longest common one."""
    place = {name: at for at, name in enumerate(before)}
    ends: list[int] = []  # the smallest end of an ascending run of each length
    chains: list[list[str]] = []
    for name in after:
        at = bisect_left(ends, place[name])
        chain = [*(chains[at - 1] if at else []), name]
        ends[at:], chains[at:] = [place[name], *ends[at + 1 :]], [chain, *chains[at + 1 :]]
    stay = set(chains[-1]) if chains else set()
    return tuple(name for name in after if name not in stay)
