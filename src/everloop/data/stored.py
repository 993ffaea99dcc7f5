"""A stored version of a table, read back: all of it, or the columns and rows that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from everloop.core.errors import Corrupt, UnknownColumn, nearest

from . import decoding, numbers, parts, types, values
from .identity import row_hashes
from .manifest import Manifest
from .packs import Ref
from .summaries import Summary, decode
from .values import Values
from .workers import workers

Places = npt.NDArray[np.int64]
Fetch = Callable[[Sequence[Ref]], list[memoryview]]
_FEW_RUNS = 64


@dataclass(frozen=True)
class Runs:
    """The rows of a version as runs of stored rows, in the version's order."""

    starts: Places
    lengths: Places

    @property
    def rows(self) -> int:
        return int(self.lengths.sum())

    def places(self) -> Places:
        """The stored row of each row."""
        if len(self.starts) == 1:
            return np.arange(self.starts[0], self.starts[0] + self.lengths[0], dtype=np.int64)
        ends = np.cumsum(self.lengths)
        places: Places = np.arange(self.rows, dtype=np.int64)
        places += np.repeat(self.starts - (ends - self.lengths), self.lengths)
        return places

    def between(self, start: int, stop: int) -> Runs:
        """The runs of some of the rows."""
        ends = np.cumsum(self.lengths)
        begins = ends - self.lengths
        left, right = np.maximum(begins, start), np.minimum(ends, stop)
        kept = left < right
        return Runs((self.starts + left - begins)[kept], (right - left)[kept])


def runs_of(places: Places) -> Runs:
    """Rows, each by the number of its stored row, as runs."""
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    begins = np.r_[0, breaks].astype(np.int64) if len(places) else np.empty(0, np.int64)
    return Runs(places[begins], np.diff(np.r_[begins, len(places)]))


def encode_runs(runs: Runs) -> bytes:
    return parts.join(
        [numbers.encode(a.view(np.uint64), floating=False) for a in (runs.starts, runs.lengths)]
    )


def encode_patch(places: Places, changed: Values) -> bytes:
    """Values by the stored row they belong to."""
    return parts.join([numbers.encode(places.view(np.uint64), floating=False), changed.encode()])


class Stored:
    """A manifest and a way to get segments, each checked against its hash."""

    def __init__(self, manifest: Manifest, fetch: Fetch) -> None:
        self.manifest = manifest
        self._fetch = fetch
        # the first stored row of each strip, and the end
        self.begins = np.r_[0, np.cumsum(manifest.strips)].astype(np.int64)

    @cached_property
    def runs(self) -> Runs:
        if self.manifest.order is None:
            some = [self.manifest.rows] if self.manifest.rows else []
            return Runs(np.zeros(len(some), np.int64), np.array(some, np.int64))
        inner = parts.split(self._fetch([self.manifest.order])[0])
        return Runs(*(numbers.decode(part).view(np.int64) for part in inner))

    def table(
        self,
        names: Sequence[str] | None = None,
        start: int = 0,
        stop: int | None = None,
        *,
        rows: Places | None = None,
    ) -> pa.Table:
        """The rows from ``start`` to before ``stop``, or those in ``rows``; all columns, or those in
        ``names``, in that order.

        Raises UnknownColumn, and Corrupt from the way to get segments.
        """
        schema = self.manifest.schema
        if names is not None:
            for name in names:
                if name not in schema.names:
                    raise UnknownColumn(
                        f"The table has no column '{name}'.", remedy=nearest(name, schema.names)
                    )
            schema = pa.schema([schema.field(name) for name in names], metadata=schema.metadata)
        if rows is None:
            count = self.manifest.rows
            runs = self.runs.between(max(start, 0), count if stop is None else min(stop, count))
        else:
            runs = runs_of(self.runs.places()[rows])
        strips = self.strips_of(runs)
        local = Runs(self._local(runs.starts, strips), runs.lengths)
        places = local.places() if len(local.starts) > _FEW_RUNS else None
        with workers() as pool:
            columns = list(pool.map(lambda name: self._column(name, strips, local, places), schema.names))
        if not columns:
            bare = pa.schema([("", pa.null())], metadata=schema.metadata)
            return pa.Table.from_arrays([pa.nulls(runs.rows)], schema=bare).select([])
        return pa.Table.from_arrays(columns, schema=schema)

    def values(self, name: str, strips: Sequence[int]) -> Values:
        """A column's values in the stored rows of some strips (ascending), later changes included."""
        return decoding.decode(*self._parts(name, strips))

    def at(self, name: str, places: Places) -> Values:
        """A column's values in some stored rows."""
        strips, local = self.lying(places)
        return self.values(name, strips).at(local)

    def lying(self, places: Places) -> tuple[list[int], Places]:
        """The strips in which stored rows lie, and the rows as rows of these strips laid side by side."""
        runs = runs_of(places)
        strips = self.strips_of(runs)
        return strips, Runs(self._local(runs.starts, strips), runs.lengths).places()

    def patched_rows(self, name: str) -> Places:
        """The stored rows that a column's patches touch."""
        found = [numbers.decode(parts.split(p)[0]) for p in self._fetch(self.manifest.column(name).patches)]
        return np.unique(np.concatenate(found)).view(np.int64) if found else np.empty(0, np.int64)

    def summaries(self, refs: Sequence[Ref]) -> list[Summary]:
        """Summaries of blocks."""
        return [decode(segment) for segment in self._fetch(refs)]

    def strips_at(self, places: Places) -> Places:
        """The strip of each stored row."""
        return np.asarray(np.searchsorted(self.begins, places, "right") - 1)

    def _column(self, name: str, strips: Sequence[int], runs: Runs, places: Places | None) -> pa.Array:
        segments, kind, patches = self._parts(name, strips)
        if places is not None and values.text_kind(kind) is not None:
            pool = decoding.TextPool(segments, kind)
            for there, changed in patches:
                pool.change(there, changed)
            found: Values = pool.texts(places)
        else:
            found = decoding.decode(segments, kind, patches)
            found = _arranged(found, runs) if places is None else found.at(places)
        own = self.manifest.schema.field(name).type
        return restored(found, own, lambda kind: self._levels(name, kind))

    def _parts(
        self, name: str, strips: Sequence[int]
    ) -> tuple[list[memoryview], pa.DataType, list[decoding.Patch]]:
        """The segments of a column in some strips, the type that is stored, and the patches that touch them,
        by row of these strips."""
        column = self.manifest.column(name)
        kind = values.stored_kind(self.manifest.schema.field(name).type)
        wanted = [column.segments[strip] for strip in strips]
        refs = [ref for ref in wanted if ref is not None]
        if len(refs) < len(wanted):
            raise Corrupt(f"The manifest of {self.manifest.version_id[:12]} lacks a segment of '{name}'.")
        found = self._fetch([*refs, *column.patches])
        patches = []
        for data in found[len(refs) :]:
            stored, inner = parts.split(data)
            places = self._local(numbers.decode(stored).view(np.int64), strips)
            changed = decoding.decode([inner], kind)
            inside = np.flatnonzero(places >= 0)
            if len(inside) < len(places):
                places, changed = places[inside], changed.at(inside)
            patches.append((places, changed))
        return found[: len(refs)], kind, patches

    def _levels(self, name: str, kind: pa.DataType) -> Values:
        return decoding.decode(self._fetch(self.manifest.column(name).levels or ()), values.stored_kind(kind))

    def strips_of(self, runs: Runs) -> list[int]:
        """The strips in which runs lie, ascending."""
        if not len(runs.starts):
            return []
        touched = np.zeros(len(self.begins), np.int64)
        first, last = self.strips_at(runs.starts), self.strips_at(runs.starts + runs.lengths - 1)
        np.add.at(touched, first, 1)
        np.add.at(touched, last + 1, -1)
        return [int(strip) for strip in np.flatnonzero(np.cumsum(touched)[:-1] > 0)]

    def _local(self, places: Places, strips: Sequence[int]) -> Places:
        """Stored rows as rows of some strips laid side by side; -1 outside of them."""
        sizes = np.diff(self.begins)[list(strips)]
        shift = np.full(len(self.begins), -1, np.int64)
        shift[list(strips)] = np.cumsum(sizes) - sizes
        strip = self.strips_at(places)
        return np.where(shift[strip] < 0, -1, shift[strip] + places - self.begins[strip])


def _arranged(found: Values, runs: Runs) -> Values:
    """A few runs of values, one after the other."""
    if not len(runs.starts):
        return found
    spans = zip(runs.starts.tolist(), (runs.starts + runs.lengths).tolist(), strict=True)
    pieces = [found if (start, stop) == (0, len(found)) else found.cut(start, stop) for start, stop in spans]
    return values.joined(pieces)


def restored(found: Values, kind: pa.DataType, levels: Callable[[pa.DataType], Values]) -> pa.Array:
    """Stored values as an array of a column's own type."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, restored(found, kind.storage_type, levels))
    if kinds.is_dictionary(kind):
        dictionary = restored(levels(kind), kind.value_type, levels)
        plain = restored(found, kind.value_type, levels)
        codes = _codes(plain, dictionary).cast(kind.index_type)
        return pa.DictionaryArray.from_arrays(codes, dictionary, ordered=kind.ordered)
    if kinds.is_run_end_encoded(kind):
        return pc.run_end_encode(restored(found, kind.value_type, levels), kind.run_end_type)
    array = found.to_arrow()
    return array if array.type == kind else array.cast(kind)


def _codes(plain: pa.Array, dictionary: pa.Array) -> pa.Array:
    """For each value its place in a dictionary; null where it is missing."""
    if not types.is_delicate(plain.type) and not kinds.is_float16(plain.type):
        return pc.index_in(plain, value_set=dictionary, skip_nulls=True)
    # Arrow finds numbers and texts only; the rest is found by a hash, and proved before it is stored
    marks, levels = (pa.array(row_hashes(pa.table({"": a}))) for a in (plain, dictionary))
    return pc.if_else(plain.is_null(), None, pc.index_in(marks, value_set=levels))
