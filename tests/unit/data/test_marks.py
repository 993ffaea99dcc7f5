"""Fingerprints are found in many packs at once, also where they begin alike."""

from __future__ import annotations

import numpy as np

from everloop.data.marks import Marks, marks_of
from everloop.data.packs import Builder, Index, read_index


def index_of(marks: list[bytes]) -> Index:
    builder = Builder()
    for mark in marks:
        builder.add(b"segment" + mark, mark)
    builder.seal()
    pack, content = builder.sealed[0]
    return read_index(pack, content[pack.index[0] : sum(pack.index)])


def test_found_by_pack_and_number() -> None:
    names = [np.random.default_rng(seed).bytes(32) for seed in range(50)]
    alike = [b"same8byt" + bytes([n]) * 24 for n in range(5)]
    marks = Marks([index_of(names[:20]), index_of([*names[20:], *alike])])
    wanted = [names[3], names[20], alike[4], alike[0], b"same8byt" + b"?" * 24, b"\xff" * 32, b"\0" * 32]
    packs, entries = marks.find(marks_of(wanted))
    assert packs.tolist() == [0, 1, 1, 1, -1, -1, -1]
    assert entries.tolist() == [3, 0, 34, 30, -1, -1, -1]


def test_of_nothing() -> None:
    packs, entries = Marks([]).find(marks_of([b"x" * 32]))
    assert (packs.tolist(), entries.tolist()) == ([-1], [-1])
    assert Marks([]).find(marks_of([]))[0].tolist() == []
