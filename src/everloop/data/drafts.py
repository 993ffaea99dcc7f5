"""One column on its way into a new version: what is kept of it, what is stored anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import blake3
import numpy as np

from .manifest import StoredColumn
from .packs import Builder, Ref
from .planning import Kept, Plan, Span
from .stored import Stored, encode_patch
from .survey import MARK, Marks
from .values import Column, Others, Values

Slot = Ref | tuple[int, int]  # an old segment, or a place in the packs at hand
Part = Ref | tuple[bytes, bytes]  # an old segment, or a new one with its fingerprint
Known = Callable[[bytes], Ref | None]
_MOST_PATCHES = 8
_PATCH_SHARE = 0.3  # of a column's rows: beyond it, segments are written anew


class Draft:
    """Segments and patches of one column, to keep and to store."""

    def __init__(self, name: str, found: Values | Column, pieces: Mapping[Span, Values], plan: Plan) -> None:
        self._name, self._found, self._pieces, self._plan = name, found, pieces, plan
        self.segments: list[Part | None] = [None] * len(plan.alive)
        self.patches: list[Part] = []

    def write(self) -> None:
        """A column that was not there before."""
        for strip in self._plan.kept:
            self.segments[strip] = encoded(self._found.at(self._plan.source(strip)))
        self._add_fresh()

    def keep(self, stored: StoredColumn) -> None:
        """A column that is as it was, in rows that are as they were."""
        self.segments, self.patches = list(stored.segments), list(stored.patches)

    def change(self, before: Stored, ends: Sequence[int], marks: Marks) -> None:
        """A column that was there before: the rows that stayed keep their segments, and what changed in them
        becomes a patch. Blocks whose fingerprint is what it was are not looked at."""
        stored = before.manifest.column(self._name)
        for strip in self._plan.kept:
            self.segments[strip] = stored.segments[strip]
        self.patches = list(stored.patches)
        pairs = zip(self._plan.blocks, marks, strict=True)
        suspect = tuple(block < 0 or stored.marks[block] != mark for block, mark in pairs)
        if any(suspect):
            stayed = self._plan.stayed(before, ends, suspect, self._unchanged(stored))
            if len(stayed.rows) and isinstance(self._found, Others):
                self._rewrite([strip for strip in stayed.strips if self._differs(before, strip)])
            elif len(stayed.rows):
                self._patch(before, stayed)
        self._add_fresh()

    def placed(self, builder: Builder, known: Known) -> tuple[list[Slot | None], list[Slot]]:
        """Where each segment and patch is, after those that nobody has are in the builder."""
        segments = [None if s is None else slot(s, builder, known) for s in self.segments]
        return segments, [slot(p, builder, known) for p in self.patches]

    def _add_fresh(self) -> None:
        begin = 0
        for end in self._plan.ends:
            some = self._plan.fresh[begin:end]
            first, last = int(some[0]), int(some[-1])
            span = (first, last + 1)
            if last - first == len(some) - 1:
                fresh = self._pieces[span] if span in self._pieces else self._found.cut(*span)
            else:
                fresh = self._found.at(some)
            self.segments.append(encoded(fresh))
            begin = end

    def _unchanged(self, stored: StoredColumn) -> tuple[bool, ...]:
        """Which of the inner blocks have the fingerprint that they had."""
        return tuple(
            (self._found.cut(*inner.span) if inner.span else self._found.at(inner.rows)).fingerprint[:MARK]
            == stored.marks[inner.block]
            for inner in self._plan.inner
        )

    def _differs(self, before: Stored, strip: int) -> bool:
        """Whether what is left of a strip is other than it was."""
        source = self._plan.source(strip)
        here = np.flatnonzero(source >= 0)
        now, then = self._found.at(source[here]), before.values(self._name, [strip]).at(here)
        return now.fingerprint != then.fingerprint

    def _patch(self, before: Stored, stayed: Kept) -> None:
        """Compare values with what they were; keep what differs as a patch, or write its strips anew."""
        stored = before.values(self._name, stayed.strips)
        then = stored.cut(*stayed.local_span) if stayed.local_span else stored.at(stayed.local)
        now = self._found.cut(*stayed.span) if stayed.span else self._found.at(stayed.rows)
        changed = np.flatnonzero(now.differs(then))  # type: ignore[union-attr,arg-type]  # of one kind, not Others
        if not len(changed):
            return
        places, at = stayed.there[changed], stayed.rows[changed]
        order = np.argsort(places)
        places, at = places[order], at[order]
        patched = before.patched_rows(self._name)
        full = len(self.patches) >= _MOST_PATCHES
        if full:  # all patches become one: the present values of every row they touch
            places = np.union1d(places, patched)
            places = places[self._plan.sources[places] >= 0]
            at = self._plan.sources[places]
        if len(places) > _PATCH_SHARE * len(self._found):
            touched = np.unique(before.strips_at(np.concatenate([places, patched]))).tolist()
            self._rewrite([strip for strip in touched if self._plan.alive[strip]])
            return
        patch = encode_patch(places, self._found.at(at))
        self.patches = [*([] if full else self.patches), (patch, blake3.blake3(patch).digest())]

    def _rewrite(self, strips: list[int]) -> None:
        """New segments for strips: all that changed or that a patch touches, so that no patch is needed."""
        for strip in strips:
            self.segments[strip] = encoded(self._found.at(self._plan.source(strip)))
        self.patches = []


def encoded(found: Values) -> tuple[bytes, bytes]:
    """A segment and its fingerprint."""
    return found.encode(), found.fingerprint


def slot(part: Part, builder: Builder, known: Known) -> Slot:
    """Where a part is, after it is in the builder if nobody has it."""
    if isinstance(part, Ref):
        return part
    segment, mark = part
    return known(mark) or builder.add(segment, mark)
