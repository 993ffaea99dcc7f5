"""A table looked over before it is stored: its values, its id, and fingerprints of blocks of its rows.

Blocks are cut by what the rows are (``rows.cuts``), so most blocks of a table that changed a little are
blocks of the version before. Where a block's fingerprint in a column is known, its values need not be looked
at again.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

from . import identity, rows, values
from .identity import LEAF
from .manifest import Manifest
from .rows import Hashes
from .values import Column, Others, Values
from .workers import workers

Marks = tuple[bytes, ...]
MARK = 24  # bytes of a block's fingerprint that are kept


@dataclass(frozen=True)
class Survey:
    """``hashes``: of each row's key; ``ends``: where blocks end; ``pieces`` and their ``marks``: of each
    column, by block."""

    table: pa.Table
    algorithm: str
    version_id: str
    columns: dict[str, Values | Column]
    digests: dict[str, str]
    key: tuple[str, ...]
    hashes: Hashes
    ends: tuple[int, ...]
    pieces: dict[str, tuple[Values, ...]]
    marks: dict[str, Marks]
    leaves: dict[str, tuple[bytes, ...]]

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First row and end of each block."""
        return list(pairwise((0, *self.ends)))

    def key_marks(self) -> list[tuple[bytes, ...]]:
        """The fingerprints of each block's key."""
        return list(zip(*(self.marks[name] for name in self.key), strict=True))


def survey(table: pa.Table, algorithm: str, before: Manifest | None = None) -> Survey:
    """Look over ``table``, as a successor of ``before``.

    Raises InvalidSettings for an unknown algorithm, WrongType for what cannot be versioned.
    """
    identity.check(table.schema, algorithm)
    if before is not None and before.algorithm != algorithm:
        before = None  # the digests are of another kind
    with workers() as pool:
        key = before.key if before and set(before.key) <= set(table.column_names) else ()
        first = {name: values.of(table[name]) for name in key}
        if not key or not all(map(_tells_rows, first.values())):
            first = dict(zip(table.column_names, pool.map(values.of, table.columns), strict=True))
            key = rows.choose_key(first)
        hashes = rows.hashes(first, key, table.num_rows)
        ends = tuple(rows.cuts(hashes, table.nbytes / max(table.num_rows, 1)))
        blocks = list(pairwise((0, *ends)))
        pairs = _in_place(before, blocks) if before else {}

        def looked_at(name: str) -> tuple[Values | Column, tuple[Values, ...], Marks, tuple[bytes, ...], str]:
            found = first[name] if name in first else values.parted(table[name])
            pieces = tuple(found.cut(*block) for block in blocks)
            marks = tuple(piece.fingerprint[:MARK] for piece in pieces)
            known: dict[int, bytes] = {}
            if before is not None and name in before.schema.names:
                there = before.column(name)
                same = [blocks[at] for at, then in pairs.items() if there.marks[then] == marks[at]]
                known = _known(there.leaves, before.rows, same, len(found))
            numbers = range(-(-len(found) // LEAF))
            leaves = tuple(known.get(at) or _leaf(found, at, algorithm) for at in numbers)
            levels = identity.levels_of(table[name], algorithm)
            return found, pieces, marks, leaves, identity.root(len(found), leaves, algorithm, levels)

        every = list(pool.map(looked_at, table.column_names))
    parts = zip(*every, strict=True) if every else [()] * 5
    columns, pieces, marks, leaves, digests = (
        dict(zip(table.column_names, part, strict=True)) for part in parts
    )
    version_id = identity.assemble(table.schema, table.num_rows, list(digests.values()), algorithm)
    return Survey(table, algorithm, version_id, columns, digests, key, hashes, ends, pieces, marks, leaves)


def _tells_rows(found: Values) -> bool:
    """Whether a column can be part of a key."""
    return not isinstance(found, Others)


def _in_place(before: Manifest, blocks: list[tuple[int, int]]) -> dict[int, int]:
    """The blocks that begin and end where a block of the version before does, and which one."""
    then = {span: at for at, span in enumerate(pairwise((0, *before.blocks)))}
    return {at: then[span] for at, span in enumerate(blocks) if span in then}


def _known(leaves: tuple[bytes, ...], count: int, same: list[tuple[int, int]], now: int) -> dict[int, bytes]:
    """Which leaves of a column with ``count`` values are leaves of one with ``now``: those whose values are
    all in blocks that are the ``same``."""
    runs: list[tuple[int, int]] = []
    for start, stop in same:
        runs[-1:] = [(runs[-1][0], stop)] if runs and runs[-1][1] == start else [*runs[-1:], (start, stop)]
    known = {}
    for at, leaf in enumerate(leaves):
        begin, end = at * LEAF, min(at * LEAF + LEAF, count)
        run = bisect_right(runs, begin, key=lambda run: run[0]) - 1
        if run >= 0 and end <= runs[run][1] and end == min(at * LEAF + LEAF, now):
            known[at] = leaf
    return known


def _leaf(found: Values | Column, number: int, algorithm: str) -> bytes:
    some = found.cut(number * LEAF, min(number * LEAF + LEAF, len(found)))
    return identity.leaf(values.plain(some), algorithm)
