"""Levels of a category: the most frequent by name, the rest by the remainder of a hash, so that counts add up
and take constant memory however many levels there are. Of the rest a hash of four bytes each is kept, too: so
it is known which levels are new."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np

from .columns import Coded, Floats, Ints

LISTED = 256
BUCKETS = 64
NAMED = 64  # of the levels that are not listed, as many are kept by name
_LONGEST = 64


@dataclass(frozen=True, eq=False)
class Levels:
    """``names`` are the listed levels, the most frequent first. ``counts`` has one entry for each of them,
    then ``BUCKETS`` for all others. ``others``: sorted hashes of the levels that are not listed, of which
    ``once`` came once; None in references of earlier releases. ``complete``: the reference has no others."""

    names: tuple[str, ...]
    counts: Ints
    others: Ints | None = None
    once: int = 0

    @cached_property
    def places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def total(self) -> int:
        return int(self.counts.sum())

    @cached_property
    def shares(self) -> Floats:
        return self.counts / max(self.total, 1)

    @cached_property
    def complete(self) -> bool:
        return not self.counts[len(self.names) :].any()

    @property
    def knows_new(self) -> bool:
        """Whether it can be told which levels the reference has never seen."""
        return self.others is not None or self.complete

    @cached_property
    def singles(self) -> int:
        """Levels that came once."""
        return int((self.counts[: len(self.names)] == 1).sum()) + self.once

    def is_new(self, key: str) -> bool:
        """Never seen in the reference; where that is not known, not listed."""
        return key not in self.places and _hash(key) not in self._others

    def is_other(self, key: str) -> bool:
        """Seen in the reference, but not listed; where that is not known, it may have been."""
        return key not in self.places and (not self.knows_new or _hash(key) in self._others)

    def located(self, coded: Coded) -> tuple[Ints, list[str]]:
        """For each level of the column its place in ``counts``, and its key."""
        keys = [key_of(level) for level in coded.levels]
        listed, first = self.places, len(self.names)
        places = [listed[key] if key in listed else first + _hash(key) % BUCKETS for key in keys]
        return np.asarray(places, dtype=np.int64), keys

    @cached_property
    def _others(self) -> frozenset[int]:
        return frozenset(() if self.others is None else self.others.tolist())


def levels_of(coded: Coded) -> Levels:
    rows = np.bincount(coded.codes + 1, minlength=len(coded.levels) + 1)[1:]
    ordered = sorted(range(len(coded.levels)), key=lambda place: (-rows[place], coded.levels[place]))
    present = [place for place in ordered if rows[place]]
    names = tuple(dict.fromkeys(key_of(coded.levels[place]) for place in present[:LISTED]))
    rest = present[LISTED:]
    others = np.unique([_hash(key_of(coded.levels[place])) for place in rest]).astype(np.int64)
    once = sum(int(rows[place]) == 1 for place in rest)
    empty = Levels(names, np.zeros(len(names) + BUCKETS, dtype=np.int64))
    places, _ = empty.located(coded)
    counts = np.bincount(places, weights=rows, minlength=empty.counts.size) if len(places) else empty.counts
    return Levels(names, np.asarray(counts, dtype=np.int64), others, once)


def key_of(level: str) -> str:
    """The level; a long one is cut and told apart by a hash."""
    if len(level) <= _LONGEST:
        return level
    return f"{level[:40]}…{blake2b(level.encode(errors='surrogatepass'), digest_size=8).hexdigest()}"


def _hash(key: str) -> int:
    return zlib.crc32(key.encode(errors="surrogatepass")) - 2**31  # signed: four bytes where it is stored


def kept(named: Mapping[str, int] | Iterable[tuple[str, int]]) -> dict[str, int]:
    """The ``NAMED`` levels of the smallest hash. Which are kept does not depend on what was merged first, and
    the counts of those that are kept are exact (bottom-k sampling)."""
    counts = dict(named)
    if len(counts) <= NAMED:
        return dict(sorted(counts.items()))
    chosen = sorted(counts, key=lambda key: (zlib.crc32(b"named" + key.encode(errors="surrogatepass")), key))
    return {key: counts[key] for key in sorted(chosen[:NAMED])}
