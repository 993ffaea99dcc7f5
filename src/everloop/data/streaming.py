"""Tables larger than memory, a strip at a time: cut as they come, and named by what was stored of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from . import canonical, identity, rows, values
from .manifest import Manifest


class Cutter:
    """Cuts a stream of batches into strips, where ``rows.cuts`` would cut the whole table."""

    def __init__(self, before: Manifest | None) -> None:
        self._before = before
        self._waiting: list[pa.Table] = []
        self._count = 0
        self._width = 0.0
        self.key: tuple[str, ...] | None = None

    def feed(self, batch: pa.Table) -> Iterator[pa.Table]:
        """The strips that are complete with a further batch."""
        self._width = self._width or batch.nbytes / max(batch.num_rows, 1)
        self._waiting.append(batch)
        self._count += batch.num_rows
        if self._count > rows.longest(self._width):
            yield from self._cut(last=False)

    def finish(self) -> Iterator[pa.Table]:
        """The strips of what is left."""
        if self._count:
            yield from self._cut(last=True)

    def _cut(self, *, last: bool) -> Iterator[pa.Table]:
        table = pa.concat_tables(self._waiting, promote_options="permissive")
        if self.key is None:
            self._choose(table)
        key = self.key or ()
        marks = rows.hashes({name: values.of(table[name]) for name in key}, key, table.num_rows)
        ends = rows.cuts(marks, self._width)
        begin = 0
        for end in ends if last else ends[:-1]:  # the last one may only be where the rows end so far
            yield table.slice(begin, end - begin)
            begin = end
        rest = table.slice(begin)
        self._waiting, self._count = ([rest], rest.num_rows) if rest.num_rows else ([], 0)

    def _choose(self, table: pa.Table) -> None:
        known = self._before.key if self._before else ()
        columns = {name: values.of(table[name]) for name in table.column_names}
        self.key = known if known and set(known) <= set(columns) else rows.choose_key(columns)


def column_digest(
    arrays: Callable[[], Iterable[pa.Array]],
    kind: pa.DataType,
    algorithm: str,
    levels: pa.Array | None = None,
) -> str:
    """What ``identity.column_digest`` gives for a column of which ``arrays()`` gives the pieces, again each
    time it is called. ``levels``: of an ordered dictionary.

    What is hashed is one kind of thing after the other (where values are missing, how long they are, what
    they are), so the pieces are gone through once for each.
    """
    hasher = identity.new_hasher(algorithm)
    if levels is not None:
        for piece in canonical.pieces(levels):
            identity.add_part(hasher, piece)
    totals = _totals(canonical.parts_of(pa.array([], kind)), [])
    for array in arrays():
        totals = _totals(canonical.parts_of(array), totals)
    for number, (what, total) in enumerate(totals):
        if what == canonical.COUNT:
            identity.add_part(hasher, total.to_bytes(8, "little"))
            continue
        hasher.update(total.to_bytes(8, "little"))
        if not total:
            continue
        gone = 0
        for array in arrays():
            every = list(canonical.parts_of(array))
            data = every[number][1]
            if what == canonical.PLACES:
                hasher.update(np.ascontiguousarray(data + gone).data)
                gone += every[number - 1][1]
            elif memoryview(data).nbytes:
                hasher.update(memoryview(data).cast("B"))
    return hasher.hexdigest()


def _totals(parts: Iterable[tuple[str, Any]], before: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Rows or bytes of each kind of thing, so far."""
    sizes = [(what, data if what == canonical.COUNT else memoryview(data).nbytes) for what, data in parts]
    if not before:
        return sizes
    return [(what, size + more) for (what, size), (_, more) in zip(sizes, before, strict=True)]
