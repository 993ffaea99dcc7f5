"""Which of many packs holds a segment, by its fingerprint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .packs import Index

Places = npt.NDArray[np.int64]
MARK = np.dtype("V32")


class Marks:
    """The fingerprints of all segments in some packs, looked up many at once: 56 bytes of memory each."""

    def __init__(self, indexes: Sequence[Index]) -> None:
        counts = [len(index) for index in indexes]
        self._packs = np.repeat(np.arange(len(indexes)), counts)
        self._entries = np.concatenate([np.arange(count) for count in counts] or [np.empty(0, np.int64)])
        self._words = _words(np.concatenate([index.marks for index in indexes] or [np.empty(0, MARK)]))
        self._order = np.argsort(self._words[:, 0], kind="stable")
        self._sorted = self._words[self._order, 0]

    def __len__(self) -> int:
        return len(self._order)

    def find(self, wanted: npt.NDArray[np.void]) -> tuple[Places, Places]:
        """For each fingerprint the number of its pack and its number there; -1 where it is in none."""
        words = _words(wanted)
        at = np.searchsorted(self._sorted, words[:, 0])
        found = np.full(len(words), -1, np.int64)
        open_ = np.arange(len(words))
        while len(open_):
            open_ = open_[at[open_] < len(self._sorted)]
            open_ = open_[self._sorted[at[open_]] == words[open_, 0]]
            place = self._order[at[open_]]
            same = (self._words[place] == words[open_]).all(axis=1)
            found[open_[same]] = place[same]
            open_ = open_[~same]
            at[open_] += 1
        return np.r_[self._packs, -1][found], np.r_[self._entries, -1][found]


def marks_of(names: Sequence[bytes]) -> npt.NDArray[np.void]:
    """Fingerprints, 32 bytes each, as an array."""
    return np.frombuffer(b"".join(names), MARK)


def _words(marks: npt.NDArray[np.void]) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(marks).view("<u8").reshape(-1, 4)
