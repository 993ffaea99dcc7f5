"""A table -> segments and a manifest, storing what the version before does not have already.

Rows are recognised by their key in the version before and keep their place there; rows that are new get new
strips at the end. A column whose digest did not change keeps its segments. In any other column the rows that
stayed are compared, strip by strip: where the fingerprint of a strip is the same nothing is read; elsewhere
the old values are read and what differs becomes a patch, or new segments if it is much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import blake3
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as kinds

from . import canonical, rows, values
from .manifest import Manifest, StoredColumn, refs
from .packs import Builder, Pack, Ref
from .stored import Places, Stored, encode_patch, encode_runs, runs_of
from .values import Others, Values

Slot = Ref | tuple[int, int]  # an old segment, or a place in the packs at hand
Part = Ref | tuple[bytes, bytes]  # an old segment, or a new one with its fingerprint
Known = Callable[[bytes], Ref | None]
_MOST_PATCHES = 8
_PATCH_SHARE = 0.3  # of a column's rows: beyond it, segments are written anew
_LEAST_ALIVE = 0.6  # of a strip's rows: below it, they are stored again as new rows
_LEAST_SHARED = 0.1  # of the rows: below it, the version before is of no use


@dataclass(frozen=True)
class Revision:
    """A manifest and the packs it needs that are not stored yet."""

    manifest: Manifest
    packs: tuple[tuple[Pack, bytes], ...]


@dataclass(frozen=True)
class _Plan:
    """Where the rows of the new table are. ``places``: the stored row of each; ``fresh``: the rows to be
    stored, by number; ``ends``: where their strips end; ``strips``: rows of each strip, the new ones last;
    ``alive``: which of the old strips are still needed; ``same``: rows and their order are as before."""

    places: Places
    fresh: Places
    ends: list[int]
    strips: tuple[int, ...]
    alive: tuple[bool, ...]
    same: bool

    @cached_property
    def sources(self) -> Places:
        """For each stored row the row of the new table; -1 where it has none."""
        total = sum(self.strips[: len(self.alive)])
        sources = np.full(total, -1, np.int64)
        old = self.places < total
        sources[self.places[old]] = np.flatnonzero(old)
        return sources

    @cached_property
    def kept(self) -> list[int]:
        """The old strips that are still needed."""
        return [strip for strip, alive in enumerate(self.alive) if alive]

    @cached_property
    def _begins(self) -> Places:
        return np.asarray(np.r_[0, np.cumsum(self.strips)], np.int64)

    def source(self, strip: int) -> Places:
        """The new table's row for each row of an old strip."""
        return np.asarray(self.sources[self._begins[strip] : self._begins[strip + 1]])


def revise(
    table: pa.Table,
    version_id: str,
    algorithm: str,
    digests: Sequence[str],
    before: Stored | None,
    mark_of: Callable[[Ref], bytes],
    known: Known,
) -> Revision:
    """The manifest of ``table`` as a successor of ``before`` (None: of nothing).

    ``mark_of`` gives the fingerprint of a stored segment, ``known`` the segment with a fingerprint, if any.
    """
    columns = {f.name: values.of(c) for f, c in zip(table.schema, table.columns, strict=True)}
    old = dict(zip(before.manifest.schema.names, before.manifest.columns, strict=True)) if before else {}
    key = before.manifest.key if before and set(before.manifest.key) <= set(columns) else ()
    key = key or rows.choose_key(columns)
    plan = _plan(table, columns, dict(zip(columns, digests, strict=True)), key, before)
    builder = Builder()

    def write(name: str, digest: str) -> _Draft:
        stored = old.get(name)
        kind = values.stored_kind(table.schema.field(name).type)
        draft = _Draft(name, columns[name], plan)
        if (
            before is None
            or stored is None
            or values.stored_kind(before.manifest.schema.field(name).type) != kind
        ):
            draft.write()
        elif plan.same and stored.digest == digest:
            draft.keep(stored)
        else:
            draft.change(before, mark_of)
        return draft

    with ThreadPoolExecutor() as pool:
        drafts = list(pool.map(write, columns, digests))
    slots = [draft.placed(builder, known) for draft in drafts]
    levels = [_levels(c, builder, known) for c in table.columns]
    order = _order(plan, builder, known)
    builder.seal()
    stored_columns = tuple(
        StoredColumn(
            digest,
            tuple(None if s is None else _ref(s, builder) for s in segments),
            tuple(_ref(s, builder) for s in patches),
            None if dictionary is None else tuple(_ref(s, builder) for s in dictionary),
        )
        for digest, (segments, patches), dictionary in zip(digests, slots, levels, strict=True)
    )
    ordered = None if order is None else _ref(order, builder)
    needed = {ref.pack: None for ref in refs(stored_columns, ordered)}
    packs = {pack.id: pack for pack, _ in builder.sealed}
    if before:
        packs = {**{pack.id: pack for pack in before.manifest.packs}, **packs}
    manifest = Manifest(
        version_id=version_id,
        algorithm=algorithm,
        rows=table.num_rows,
        schema=table.schema,
        columns=stored_columns,
        strips=plan.strips,
        order=ordered,
        key=key,
        packs=tuple(packs[name] for name in needed),
    )
    fresh = tuple((pack, content) for pack, content in builder.sealed if pack.id in needed)
    return Revision(manifest, fresh)


def _plan(
    table: pa.Table,
    columns: dict[str, Values],
    digests: dict[str, str],
    key: tuple[str, ...],
    before: Stored | None,
) -> _Plan:
    count = table.num_rows
    marks: npt.NDArray[np.uint64] | None = None
    places = np.full(count, -1, np.int64)
    strips: tuple[int, ...] = ()
    alive: tuple[bool, ...] = ()
    if before is not None:
        if _same_rows(before.manifest, digests, key, count):
            runs = before.runs
            used = set(before.strips_of(runs))
            kept = tuple(strip in used for strip in range(len(before.manifest.strips)))
            return _Plan(runs.places(), np.empty(0, np.int64), [], before.manifest.strips, kept, True)
        marks = rows.hashes(columns, key)
        if set(key) <= set(before.manifest.schema.names):
            earlier = rows.hashes({name: before.logical(name) for name in key}, key)
            numbers = rows.found(marks, earlier)
            places = np.where(numbers < 0, -1, before.runs.places()[numbers]) if len(earlier) else places
        if (places >= 0).sum() >= _LEAST_SHARED * max(count, 1):
            strips = before.manifest.strips
            alive = _still_alive(places, before)
            gone = ~np.array(alive, bool)[np.maximum(np.searchsorted(before.begins, places, "right") - 1, 0)]
            places = np.where((places >= 0) & gone, -1, places)
        else:
            places = np.full(count, -1, np.int64)
    fresh = np.flatnonzero(places < 0)
    if marks is None:
        marks = rows.hashes(columns, key) if key else np.zeros(count, np.uint64)
    width = table.nbytes / count if count else 0.0
    ends = rows.cuts(marks[fresh] if len(marks) else np.full(len(fresh), 2**64 - 1, np.uint64), width)
    places[fresh] = sum(strips) + np.arange(len(fresh))
    return _Plan(places, fresh, ends, (*strips, *np.diff([0, *ends]).tolist()), alive, False)


def _same_rows(before: Manifest, digests: dict[str, str], key: tuple[str, ...], count: int) -> bool:
    """Whether the rows are the ones before, in their order: the key's columns are as they were, or at least
    half of all columns are."""
    if before.rows != count:
        return False
    old = {name: column.digest for name, column in zip(before.schema.names, before.columns, strict=True)}
    if key and all(old.get(name) == digests[name] for name in key):
        return True
    shared = [name for name in digests if name in old]
    return 2 * sum(old[name] == digests[name] for name in shared) >= max(len(shared), 1) and bool(shared)


def _still_alive(places: Places, before: Stored) -> tuple[bool, ...]:
    """Which of the old strips to keep: those with most of their rows left, and at the end of the table not
    those that are small beside the rows that follow, so that many small additions do not make many strips."""
    strips = np.array(before.manifest.strips)
    used = np.bincount(
        np.searchsorted(before.begins, places[places >= 0], "right") - 1, minlength=len(strips)
    )
    kept = used >= np.maximum(_LEAST_ALIVE * strips, 1)
    added = int(len(places) - used[kept].sum())
    for strip in reversed(np.flatnonzero(kept).tolist()):
        if not added or strips[strip] > min(2 * added, rows.AVERAGE // 2):
            break
        kept[strip] = False
        added += int(used[strip])
    return tuple(bool(k) for k in kept)


class _Draft:
    """One column on its way: segments and patches to keep (Ref) and to store (bytes with fingerprint)."""

    def __init__(self, name: str, found: Values, plan: _Plan) -> None:
        self._name, self._found, self._plan = name, found, plan
        self.segments: list[Part | None] = [None] * len(plan.alive)
        self.patches: list[Part] = []

    def write(self) -> None:
        """A column that was not there before."""
        for strip in self._plan.kept:
            self.segments[strip] = _segment(self._found.at(self._plan.source(strip)))
        self._add_fresh()

    def keep(self, stored: StoredColumn) -> None:
        """A column that is as it was, in rows that are as they were."""
        self.segments, self.patches = list(stored.segments), list(stored.patches)

    def change(self, before: Stored, mark_of: Callable[[Ref], bytes]) -> None:
        """A column that was there before: what stayed is kept, strip by strip."""
        stored = before.manifest.column(self._name)
        patched = before.patched_rows(self._name)
        touched = set(before.strips_at(patched).tolist())
        self.patches = list(stored.patches)
        unlike = []
        for strip in self._plan.kept:
            ref = stored.segments[strip]
            self.segments[strip] = ref
            if ref is None or strip in touched or not self._is_like(strip, mark_of(ref)):
                unlike.append(strip)
        if unlike and isinstance(self._found, Others):
            self._rewrite([strip for strip in unlike if self._differs(before, strip)])
        elif unlike:
            self._patch(before, unlike, patched)
        self._add_fresh()

    def placed(self, builder: Builder, known: Known) -> tuple[list[Slot | None], list[Slot]]:
        """Where each segment and patch is, after those that nobody has are in the builder."""
        segments = [None if s is None else _slot(s, builder, known) for s in self.segments]
        return segments, [_slot(p, builder, known) for p in self.patches]

    def _add_fresh(self) -> None:
        begin = 0
        for end in self._plan.ends:
            self.segments.append(_segment(_rows(self._found, self._plan.fresh, begin, end)))
            begin = end

    def _is_like(self, strip: int, mark: bytes) -> bool:
        """Whether a strip is all there, in order, and holds what it held."""
        source = self._plan.source(strip)
        first = int(source[0])
        if first < 0 or int(source[-1]) != first + len(source) - 1 or (np.diff(source) != 1).any():
            return False
        return self._found.cut(first, first + len(source)).fingerprint() == mark

    def _differs(self, before: Stored, strip: int) -> bool:
        """Whether what is left of a strip is other than it was."""
        source = self._plan.source(strip)
        here = np.flatnonzero(source >= 0)
        now, then = self._found.at(source[here]), before.values(self._name, [strip]).at(here)
        return now.fingerprint() != then.fingerprint()

    def _patch(self, before: Stored, unlike: list[int], patched: Places) -> None:
        """Compare the values in strips with what they were; keep what differs as a patch."""
        old = before.values(self._name, unlike)
        stored_rows = np.concatenate([np.arange(*before.begins[[s, s + 1]]) for s in unlike])
        source = self._plan.sources[stored_rows]
        here = np.flatnonzero(source >= 0)
        now = self._found.at(source[here])
        changed = np.flatnonzero(now.differs(old.at(here)))  # type: ignore[union-attr,arg-type]  # of one kind, not Others
        if not len(changed):
            return
        places = stored_rows[here[changed]]
        if len(self.patches) >= _MOST_PATCHES:
            places = np.union1d(places, patched)
            places = places[self._plan.sources[places] >= 0]
        if len(places) > _PATCH_SHARE * len(self._found):
            self._rewrite(
                sorted({*unlike, *(set(before.strips_at(patched).tolist()) & set(self._plan.kept))})
            )
            return
        if len(self.patches) >= _MOST_PATCHES:
            self.patches = []
        patch = encode_patch(places, self._found.at(self._plan.sources[places]))
        self.patches.append((patch, blake3.blake3(patch).digest()))

    def _rewrite(self, strips: list[int]) -> None:
        """New segments for strips: all that changed or that a patch touches, so that no patch is needed."""
        for strip in strips:
            self.segments[strip] = _segment(self._found.at(self._plan.source(strip)))
        self.patches = []


def _rows(found: Values, fresh: Places, begin: int, end: int) -> Values:
    some = fresh[begin:end]
    first, last = int(some[0]), int(some[-1])
    return found.cut(first, last + 1) if last - first == len(some) - 1 else found.at(some)


def _segment(found: Values) -> tuple[bytes, bytes]:
    return found.encode(), found.fingerprint()


def _slot(part: Part, builder: Builder, known: Known) -> Slot:
    if isinstance(part, Ref):
        return part
    segment, mark = part
    return known(mark) or builder.add(segment, mark)


def _ref(slot: Slot, builder: Builder) -> Ref:
    return slot if isinstance(slot, Ref) else builder.ref(slot)


def _levels(column: pa.ChunkedArray, builder: Builder, known: Known) -> list[Slot] | None:
    """A dictionary's values, in strips of their own."""
    array = canonical.joined(column)
    while isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if not kinds.is_dictionary(array.type):
        return None
    found = values.of(pa.chunked_array([array.dictionary]))
    starts = range(0, len(found), rows.AVERAGE)
    cut = (found.cut(start, min(start + rows.AVERAGE, len(found))) for start in starts)
    return [_slot(_segment(levels), builder, known) for levels in cut]


def _order(plan: _Plan, builder: Builder, known: Known) -> Slot | None:
    runs = runs_of(plan.places)
    if len(runs.starts) == 0 or (
        len(runs.starts) == 1 and runs.starts[0] == 0 and sum(plan.strips) == runs.rows
    ):
        return None
    order = encode_runs(runs)
    return _slot((order, blake3.blake3(order).digest()), builder, known)
