"""Tables larger than memory, a strip at a time: cut as they come, and named by what was stored of them."""

from __future__ import annotations

from collections.abc import Iterator

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


class Leaves:
    """The digests of a column's leaves (``identity``), as its values come."""

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._waiting: list[pa.Array] = []
        self._count = 0
        self.digests: list[bytes] = []

    def feed(self, array: pa.Array) -> None:
        """Further values."""
        while self._count + len(array) >= identity.LEAF:
            size = identity.LEAF - self._count
            self._waiting.append(array.slice(0, size))
            array = array.slice(size)
            self.finish()
        self._waiting.append(array)
        self._count += len(array)

    def finish(self) -> None:
        """What waits is a leaf."""
        whole = canonical.joined(pa.chunked_array(self._waiting)) if self._waiting else pa.nulls(0)
        if len(whole):
            self.digests.append(identity.leaf(whole, self._algorithm))
        self._waiting, self._count = [], 0
