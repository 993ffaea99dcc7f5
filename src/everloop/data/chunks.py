"""Bytes -> chunks cut where the content says so, so that an insertion moves only the cuts around it.

After 32 bytes whose hash is small a chunk may end; it does at the first such place after ``LEAST`` bytes.
Where there is none before ``MOST`` bytes (long repetitions) it ends at the place with the smallest hash of
those that were looked at. Only windows whose first 4 bytes pass a cheap test are hashed at all, which numpy
finds at the speed of memory. The same bytes must be cut alike for ever, or nothing is recognised any more;
ids do not depend on it. A golden test pins it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from .identity import mixed

LEAST, AVERAGE, MOST = 16_384, 65_536, 262_144  # bytes
BLOCK = 4 << 20
_WINDOW = 32
_PASSING = np.uint32(2**32 // 128)  # of the cheap hash
_SPREAD = np.uint32(0x9E3779B1)
_ENDING = np.uint64(2**64 // (AVERAGE - LEAST) * 128)  # of the full hash, of those that pass
_STEP = 1 << 18

Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


def chunks(read: Callable[[int], bytes]) -> Iterator[list[memoryview]]:
    """The chunks of what ``read(size)`` gives until it gives nothing, a list for each block that was read."""
    rest = b""
    while block := read(BLOCK):
        data = rest + block if rest else block
        ends = cuts(data, last=False)
        if ends:
            yield _pieces(data, ends)
        rest = data[ends[-1] :] if ends else data
    if rest:
        yield _pieces(rest, cuts(rest, last=True))


def cuts(data: bytes, *, last: bool) -> list[int]:
    """Where the chunks end that can be told from these bytes, the first one beginning at 0. ``last``: nothing
    follows, so that all of them can."""
    ends: list[int] = []
    if len(data) <= LEAST:
        return [len(data)] if last and data else ends
    places, hashes = _places(data)
    good = places[hashes < _ENDING]
    begin = 0
    while begin < len(data):
        following = int(np.searchsorted(good, begin + LEAST))
        stop = begin + MOST
        if following < len(good) and good[following] <= stop:
            begin = int(good[following])
        elif stop <= len(data) - (0 if last else _WINDOW):
            begin = _smallest(places, hashes, begin + LEAST, stop)
        else:
            break
        ends.append(begin)
    if last and begin < len(data):
        ends.append(len(data))
    return ends


def _pieces(data: bytes, ends: list[int]) -> list[memoryview]:
    view = memoryview(data)
    return [view[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _smallest(places: Places, hashes: Hashes, least: int, most: int) -> int:
    first, last = np.searchsorted(places, [least, most + 1])
    return int(places[first + np.argmin(hashes[first:last])]) if first < last else most


def _places(data: bytes) -> tuple[Places, Hashes]:
    """The ends of the windows that pass the cheap test, ascending, and their hashes."""
    found = []
    some, passing = np.empty(_STEP // 4 + 1, np.uint32), np.empty(_STEP // 4 + 1, bool)
    for start in range(0, len(data), _STEP):
        for shift in range(4):
            count = min(_STEP, len(data) - start - shift) // 4
            if count > 0:
                words = np.frombuffer(data, "<u4", count, start + shift)
                np.multiply(words, _SPREAD, out=some[:count])
                np.less(some[:count] - np.uint32(1), _PASSING, out=passing[:count])  # zeros do not pass
                found.append(np.flatnonzero(passing[:count]) * 4 + (start + shift))
    places = np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)
    places = places[places <= len(data) - _WINDOW]
    if len(places) > 1:  # of a run of one and the same byte only the first
        places = places[np.r_[True, np.diff(places) > 1]]
    words = np.ndarray((max(len(data) - 7, 0),), "<u8", data, 0, (1,))
    hashes = np.zeros(len(places), np.uint64)
    for step in range(0, _WINDOW, 8):
        hashes = mixed(hashes ^ words[places + step])
    return places + _WINDOW, hashes
