"""Which rows of a new table are stored already, where, and which of their values may have changed."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from threading import Lock

import numpy as np

from . import rows
from .manifest import Manifest
from .stored import Places, Stored
from .survey import Survey

_LEAST_ALIVE = 0.6  # of a strip's rows: below it, they are stored again as new rows
_LEAST_SHARED = 0.1  # of the rows: below it, the version before is of no use


Span = tuple[int, int]


@dataclass(frozen=True)
class Kept:
    """Rows that stayed: of the new table (``rows``), as stored rows (``there``), and as rows of some
    ``strips`` laid side by side (``local``). ``span`` and ``local_span``: where they are side by side."""

    rows: Places
    there: Places
    strips: list[int]
    local: Places
    span: Span | None
    local_span: Span | None


@dataclass(frozen=True)
class Inner:
    """A block of the version before and its rows in the new table; ``span``: where they are side by side."""

    block: int
    rows: Places
    span: Span | None


@dataclass(frozen=True)
class Plan:
    """Where the rows of the new table are.

    ``places``: the stored row of each; ``fresh``: the rows to be stored, by number; ``ends``: where their
    strips end; ``strips``: rows of each strip, new ones last; ``alive``: which of the old strips are still
    needed; ``blocks``: for each block of the new table the same block of the version before, by key, or -1;
    ``same``: rows and their order are as before; ``inner``: other blocks of the version before all of whose
    rows are there, in their order.
    """

    places: Places
    fresh: Places
    ends: list[int]
    strips: tuple[int, ...]
    alive: tuple[bool, ...]
    blocks: tuple[int, ...]
    same: bool
    inner: tuple[Inner, ...] = ()
    _asked: dict[tuple[tuple[bool, ...], ...], Kept] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _one: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    def stayed(
        self, before: Stored, ends: Sequence[int], among: tuple[bool, ...], but: tuple[bool, ...]
    ) -> Kept:
        """The rows of some blocks of the new table (which end at ``ends``) that were stored before, ``but``
        for those of some ``inner`` ones. Many columns ask for the same ones."""
        with self._one:
            if (among, but) not in self._asked:
                old = self.begins[len(self.alive)]
                spans = [span for span, asked in zip(pairwise((0, *ends)), among, strict=True) if asked]
                found = [np.flatnonzero(self.places[slice(*span)] < old) + span[0] for span in spans]
                rows = np.concatenate([np.empty(0, np.int64), *found])
                known = [inner.rows for inner, out in zip(self.inner, but, strict=True) if out]
                if known:
                    rows = np.setdiff1d(rows, np.concatenate(known), assume_unique=True)
                span = _span(rows)
                there = self.places[slice(*span)] if span else self.places[rows]
                strips, local = before.lying(there)
                self._asked[among, but] = Kept(rows, there, strips, local, span, _span(local))
            return self._asked[among, but]

    @cached_property
    def kept(self) -> list[int]:
        """The old strips that are still needed."""
        return [strip for strip, alive in enumerate(self.alive) if alive]

    @cached_property
    def sources(self) -> Places:
        """For each old stored row the row of the new table; -1 where it has none."""
        total = sum(self.strips[: len(self.alive)])
        sources = np.full(total, -1, np.int64)
        old = self.places < total
        sources[self.places[old]] = np.flatnonzero(old)
        return sources

    @cached_property
    def begins(self) -> Places:
        """The first stored row of each strip, and the end."""
        return np.asarray(np.r_[0, np.cumsum(self.strips)], np.int64)

    def source(self, strip: int) -> Places:
        """The new table's row for each row of an old strip."""
        return np.asarray(self.sources[self.begins[strip] : self.begins[strip + 1]])


def plan(new: Survey, before: Stored | None) -> Plan:
    """Where each row of a new table is, or is to be, stored."""
    count = new.table.num_rows
    blocks = [-1] * len(new.ends)
    if before is not None and _in_place(new, before.manifest):
        runs = before.runs
        used = set(before.strips_of(runs))
        alive = tuple(strip in used for strip in range(len(before.manifest.strips)))
        pairs = tuple(range(len(new.ends))) if before.manifest.blocks == new.ends else tuple(blocks)
        return Plan(runs.places(), np.empty(0, np.int64), [], before.manifest.strips, alive, pairs, True)
    places = np.full(count, -1, np.int64)
    strips: tuple[int, ...] = ()
    alive = ()
    inner: tuple[Inner, ...] = ()
    if before is not None and new.key and before.manifest.key == new.key:
        blocks = _paired(new, before.manifest)
        places, inner = _found(new, before, blocks)
        if (places >= 0).sum() >= _LEAST_SHARED * max(count, 1):
            strips = before.manifest.strips
            alive = _still_alive(places, before)
            if not all(alive):
                places[~np.array(alive)[np.maximum(before.strips_at(places), 0)]] = -1
        else:
            places[:] = -1
    fresh = np.flatnonzero(places < 0)
    ends = rows.cuts(new.hashes[fresh], new.table.nbytes / max(count, 1))
    places[fresh] = sum(strips) + np.arange(len(fresh))
    sizes = np.diff([0, *ends]).tolist()
    return Plan(places, fresh, ends, (*strips, *sizes), alive, tuple(blocks), False, inner)


def _span(rows: Places) -> Span | None:
    """Where rows begin and end that are side by side, in order."""
    if not len(rows) or rows[-1] - rows[0] != len(rows) - 1 or (np.diff(rows) != 1).any():
        return None
    return int(rows[0]), int(rows[-1]) + 1


def _in_place(new: Survey, before: Manifest) -> bool:
    """Whether the rows are the ones before, in their order: the key is as it was, or at least half of all
    columns are."""
    if before.rows != new.table.num_rows:
        return False
    old = {name: column.digest for name, column in zip(before.schema.names, before.columns, strict=True)}
    if new.key and all(old.get(name) == new.digests[name] for name in new.key):
        return True
    shared = [name for name in new.digests if name in old]
    return bool(shared) and 2 * sum(old[name] == new.digests[name] for name in shared) >= len(shared)


def _paired(new: Survey, before: Manifest) -> list[int]:
    """For each block of the new table a block of the version before with the same keys, each once; or -1."""
    waiting: dict[tuple[bytes, ...], deque[int]] = defaultdict(deque)
    for number, marks in enumerate(zip(*(before.column(name).marks for name in new.key), strict=True)):
        waiting[marks].append(number)
    return [waiting[marks].popleft() if waiting[marks] else -1 for marks in new.key_marks()]


def _found(new: Survey, before: Stored, blocks: list[int]) -> tuple[Places, tuple[Inner, ...]]:
    """The stored row of each row, or -1: block by block where they are paired, else row by row by key."""
    old = list(pairwise((0, *before.manifest.blocks)))
    then = _lying(before)
    places = np.empty(new.table.num_rows, np.int64)
    rest = []
    for (start, stop), block in zip(new.blocks, blocks, strict=True):
        if block >= 0:
            places[start:stop] = then(*old[block])
        else:
            places[start:stop] = -1
            rest.append(np.arange(start, stop))
    unpaired = sorted(set(range(len(old))) - set(blocks))
    if not rest or not unpaired:
        return places, ()
    there = np.concatenate([then(*old[block]) for block in unpaired])
    here = np.concatenate(rest)
    earlier = rows.hashes({name: before.at(name, there) for name in new.key}, new.key, len(there))
    numbers = rows.found(new.hashes[here], earlier)
    places[here] = np.where(numbers < 0, -1, there[numbers])
    inner, begin = [], 0
    for block in unpaired:
        end = begin + old[block][1] - old[block][0]
        at = np.flatnonzero((numbers >= begin) & (numbers < end))
        if len(at) == end - begin and (np.diff(numbers[at]) == 1).all():
            inner.append(Inner(block, here[at], _span(here[at])))
        begin = end
    return places, tuple(inner)


def _lying(before: Stored) -> Callable[[int, int], Places]:
    """Where some rows of a version, one after another, are stored."""
    if len(before.runs.starts) <= rows.AVERAGE:
        return lambda start, stop: before.runs.between(start, stop).places()
    places = before.runs.places()
    return lambda start, stop: places[start:stop]


def _still_alive(places: Places, before: Stored) -> tuple[bool, ...]:
    """Which of the old strips to keep: those with most of their rows left, and at the end of the table not
    those that are small beside the rows that follow, so that many small additions do not make many strips."""
    strips = np.array(before.manifest.strips)
    there = np.zeros(int(before.begins[-1]), bool)
    for start in range(0, len(places), rows.AVERAGE):
        some = places[start : start + rows.AVERAGE]
        there[some[some >= 0]] = True
    used = np.array([np.count_nonzero(there[slice(*strip)]) for strip in pairwise(before.begins)], np.int64)
    kept = used >= np.maximum(_LEAST_ALIVE * strips, 1)
    added = int(len(places) - used[kept].sum())
    for strip in reversed(np.flatnonzero(kept).tolist()):
        if not added or strips[strip] > min(2 * added, rows.AVERAGE // 2):
            break
        kept[strip] = False
        added += int(used[strip])
    return tuple(bool(k) for k in kept)
