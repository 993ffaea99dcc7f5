"""Which rows of a new table a stored version has already: keys, their hashes, and where to cut new rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds
from blake3 import blake3

from . import values
from .identity import mixed
from .values import Numbers, Texts, Values

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

AVERAGE, LEAST, MOST = 65_536, 16_384, 131_072  # rows of a strip
_STRIP_BYTES = 64 << 20
_SAMPLE = 4_096
_UNIQUE = 0.9
_MOST_KEYS = 4
_LONG = 1_024  # bytes of a text
_AT_ONCE = 16_384  # rows that fit into the processor's cache


def choose_key(columns: Mapping[str, Values]) -> tuple[str, ...]:
    """The columns that tell rows apart: the first one without repetition, else a few together.

    Floats come last: they are what changes. Lists, structs and the like are never part of a key.
    """
    rows = min((len(v) for v in columns.values()), default=0)
    places = np.unique(np.r_[: min(rows, _SAMPLE), 0 : rows : max(1, rows // _SAMPLE)]).astype(np.int64)
    simple = {name: found for name, found in columns.items() if isinstance(found, Numbers | Texts)}
    sample = {n: hashes({n: found.at(places)}, (n,), len(places)) for n, found in simple.items()}
    order = sorted(sample, key=lambda n: (kinds.is_floating(columns[n].kind), list(columns).index(n)))
    share = {name: len(np.unique(sample[name])) / max(len(places), 1) for name in order}
    alone = next((name for name in order if share[name] > _UNIQUE), None)
    if alone is not None:
        return (alone,)
    chosen: list[str] = []
    together = np.zeros(len(places), np.uint64)
    for name in sorted(order, key=lambda n: (kinds.is_floating(columns[n].kind), -share[n])):
        chosen.append(name)
        together = mixed(together ^ sample[name])
        if len(np.unique(together)) > _UNIQUE * len(places) or len(chosen) == _MOST_KEYS:
            break
    return tuple(chosen)


def hashes(columns: Mapping[str, Values], key: Sequence[str], count: int) -> Hashes:
    """64 bits per row over the key's columns. Only to find rows again: what is found is compared in full.
    Without a key all are alike."""
    total = np.full(count, 2**64 - 1, np.uint64)
    for start in range(0, count, _AT_ONCE):
        part = total[start : start + _AT_ONCE]
        for name in key:
            column = columns[name].cut(start, min(start + _AT_ONCE, count))
            part[:] = mixed(part ^ (_of_text(column) if isinstance(column, Texts) else _of_numbers(column)))
    return total


def _of_numbers(column: Values) -> Hashes:
    if not isinstance(column, Numbers):
        raise TypeError(f"{column.kind} is never part of a key")
    return mixed(column.words.astype(np.uint64, copy=False))


def found(new: Hashes, old: Hashes) -> Places:
    """For each new row the number of the old row with the same hash, or -1; no old row twice, equal hashes in
    order of appearance."""
    places = np.full(len(new), -1, np.int64)
    least = min(len(new), len(old))
    before = _same(new[:least], old[:least])
    rest = least - before
    after = _same(new[len(new) - rest :][::-1], old[len(old) - rest :][::-1]) if rest else 0
    places[:before] = np.arange(before)
    places[len(new) - after :] = np.arange(len(old) - after, len(old))
    middle_new, middle_old = new[before : len(new) - after], old[before : len(old) - after]
    if len(middle_new) and len(middle_old):
        matched = _matched(middle_new, middle_old)
        places[before : len(new) - after] = np.where(matched < 0, -1, matched + before)
    return places


def longest(row_bytes: float, size: int = MOST) -> int:
    """How many rows a strip may have; fewer where they are very wide."""
    return max(1, size // max(1, int(np.ceil(AVERAGE * row_bytes / _STRIP_BYTES))))


def cuts(marks: Hashes, row_bytes: float = 0.0) -> list[int]:
    """Where strips of new rows end (row numbers), by what the rows are and not where they stand, so that
    the same rows are cut alike wherever they come. ``row_bytes``: the width of a row, to keep strips of very
    wide rows small."""
    average, least, most = (longest(row_bytes, size) for size in (AVERAGE, LEAST, MOST))
    ends: list[int] = []
    last = 0
    for at in np.flatnonzero(marks < np.uint64(2**64 // (average + 1))).tolist():
        while at + 1 - last > most:
            last += most
            ends.append(last)
        if at + 1 - last >= least:
            last = at + 1
            ends.append(last)
    while len(marks) - last > most:
        last += most
        ends.append(last)
    if last < len(marks):
        ends.append(len(marks))
    return ends


def _same(left: Hashes, right: Hashes) -> int:
    """How many of the first elements are equal."""
    different = left != right
    return int(np.argmax(different)) if different.any() else len(left)


def _matched(new: Hashes, old: Hashes) -> Places:
    """The number of an old row for each new one. Most rows follow the row that they followed before, so they
    are looked for beside it; what is left is looked for everywhere."""
    places = _beside(new, old)
    rest_new = np.flatnonzero(places < 0)
    taken = np.zeros(len(old), bool)
    taken[places[places >= 0]] = True
    rest_old = np.flatnonzero(~taken)
    if len(rest_new) and len(rest_old):
        found = _anywhere(new[rest_new], old[rest_old])
        places[rest_new] = np.where(found < 0, -1, rest_old[found])
    return places


def _beside(new: Hashes, old: Hashes) -> Places:
    """Every 32nd row or so is looked for everywhere, as an anchor; the rows between two anchors where they
    would be if none had come or gone since the one, or until the other."""
    places = np.full(len(new), -1, np.int64)
    few = np.uint64(2**64 // 32)
    anchors, there = np.flatnonzero(new < few), np.flatnonzero(old < few)
    if not len(anchors) or not len(there):
        return places
    found = _first_match(new[anchors], old[there])
    anchors, there = anchors[found >= 0], there[found[found >= 0]]
    if not len(anchors):
        return places
    shifts = there - anchors
    spans = np.diff(np.r_[0, anchors, len(new)])
    for shift in (np.r_[shifts[:1], shifts], np.r_[shifts, shifts[-1:]]):
        missing = np.flatnonzero(places < 0)
        guess = missing + np.repeat(shift, spans)[missing]
        inside = (guess >= 0) & (guess < len(old))
        missing, guess = missing[inside], guess[inside]
        same = new[missing] == old[guess]
        places[missing[same]] = guess[same]
    return _once(places, len(old))


def _once(places: Places, count: int) -> Places:
    """No old row twice: all but the first new row that has it lose it."""
    known = np.flatnonzero(places >= 0)
    if len(known) and np.bincount(places[known], minlength=count).max() > 1:
        _, first = np.unique(places[known], return_index=True)
        kept = np.full(len(places), -1, np.int64)
        kept[known[first]] = places[known[first]]
        return kept
    return places


def _anywhere(new: Hashes, old: Hashes) -> Places:
    places = _first_match(new, old)
    taken = np.bincount(places[places >= 0], minlength=len(old))
    if len(taken) and taken.max() > 1:
        places = _first_match(_numbered(new), _numbered(old))
    return places


def _first_match(new: Hashes, old: Hashes) -> Places:
    return np.asarray(pc.index_in(pa.array(new), value_set=pa.array(old)).fill_null(-1).cast(pa.int64()))


def _numbered(marks: Hashes) -> Hashes:
    """Equal hashes told apart by how often each came before."""
    order = np.argsort(marks, kind="stable")
    ordered = marks[order]
    fresh = np.r_[True, ordered[1:] != ordered[:-1]]
    begin = np.maximum.accumulate(np.where(fresh, np.arange(len(marks)), 0))
    times = np.empty(len(marks), np.uint64)
    times[order] = (np.arange(len(marks)) - begin).astype(np.uint64)
    return mixed(marks + times * np.uint64(0x9E3779B97F4A7C15))


def _of_text(column: Texts) -> Hashes:
    """Text by its 8-byte words, mixed one after the other; of long ones the BLAKE3 as well."""
    ends, text = values.text_of(column.array)
    data = np.frombuffer(text, np.uint8) if text.size else np.empty(0, np.uint8)
    lengths = np.diff(ends)
    long = np.flatnonzero(lengths > _LONG)
    first, taken, shown = ends[:-1], lengths, data
    if len(long):
        taken = np.minimum(lengths, _LONG)
        cut = zip(first.tolist(), (first + taken).tolist(), strict=True)
        shown = np.concatenate([data[begin:end] for begin, end in cut])
        first = np.cumsum(taken) - taken
    wide = (taken + 7) // 8
    begins = np.cumsum(wide) - wide
    padded = np.zeros(int(wide.sum()) * 8, np.uint8)
    padded[np.arange(len(shown)) + np.repeat(begins * 8 - first, taken)] = shown
    words = padded.view(np.uint64)
    hashed = lengths.astype(np.uint64)
    for step in range(int(wide.max(initial=0))):
        here = np.flatnonzero(wide > step)
        hashed[here] = mixed(hashed[here] ^ words[begins[here] + step])
    for row in long.tolist():
        hashed[row] ^= np.frombuffer(blake3(data[ends[row] : ends[row + 1]]).digest(8), np.uint64)[0]
    return mixed(hashed)
