"""Which row of one table is which row of another: rows of equal key, the first with the first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .cells import Mask, Places, Words

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """``before[i]`` and ``after[i]`` are the places of one row in either table, ascending in ``before``.

    ``removed`` and ``added`` are the places of rows without a partner; ``repeated`` counts, on either side,
    rows whose key had come already.
    """

    before: Places
    after: Places
    removed: Places
    added: Places
    repeated: tuple[int, int]

    @property
    def reordered(self) -> bool:
        return bool((np.diff(self.after) < 0).any())


def pair(parts: Iterable[tuple[Words, Words]], rows: tuple[int, int]) -> Pairs:
    """Pair rows that have the same numbers throughout ``parts``. Of several the k-th goes with the k-th."""
    old, new, distinct = _codes(parts, rows)
    counts = np.bincount(old, minlength=distinct), np.bincount(new, minlength=distinct)
    both = np.minimum(*counts)
    paired_old, left_old = _first(old, counts[0], both)
    paired_new, left_new = _first(new, counts[1], both)
    order = np.argsort(paired_old, kind="stable")
    repeated = tuple(int(np.maximum(count - 1, 0).sum()) for count in counts)
    return Pairs(paired_old[order], paired_new[order], left_old, left_new, (repeated[0], repeated[1]))


def _codes(parts: Iterable[tuple[Words, Words]], rows: tuple[int, int]) -> tuple[Codes, Codes, int]:
    """One small number per row, the same for the same key, and how many there are."""
    codes, distinct = np.zeros(sum(rows), np.int64), 1
    for before, after in parts:
        joined = np.concatenate([before, after])
        if distinct > 1:
            here, several = _numbered(joined)
            joined = codes * several + here
        codes, distinct = _numbered(joined)
    return codes[: rows[0]], codes[rows[0] :], distinct


def _numbered(values: npt.NDArray[np.int64] | Words) -> tuple[Codes, int]:
    encoded = pa.array(values).dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), max(len(encoded.dictionary), 1)


def _first(codes: Codes, counts: Codes, wanted: Codes) -> tuple[Places, Places]:
    """The places of the first ``wanted`` rows of each code, by code; and of all others, ascending."""
    order = np.argsort(codes, kind="stable")
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(order)) - np.repeat(starts, counts)
    chosen: Mask = rank < np.repeat(wanted, counts)
    return order[chosen], np.sort(order[~chosen])
