"""Bytes flipped and cut in the store, one at a time: what loading and verifying say of each."""

from __future__ import annotations

import random
from pathlib import Path

from everloop.core.data import DatasetVersion
from everloop.core.errors import MLOpsError
from everloop.flows import data
from everloop.flows.project import Project

from . import ours
from .measure import same


def count(project: Project, versions: dict[int, DatasetVersion], tries: int) -> dict[str, int]:
    """``refused``: loads of the 20th version that raised; ``whole``: loads whose table was right (they do not
    need the damaged byte); ``wrong``: neither; ``missed``: damages that a fast verify did not report. Every
    third damage cuts the file short, the others flip one byte. The store is put right after each."""
    rng = random.Random(7)
    files = sorted(ours.stored_files(project))
    weights = [path.stat().st_size for path in files]
    last = versions[max(versions)]
    right = data.load(project, last)
    found = {"tried": tries, "refused": 0, "whole": 0, "wrong": 0, "missed": 0}
    for turn in range(tries):
        path = rng.choices(files, weights)[0]
        before = path.read_bytes()
        _damage(path, before, rng, cut=turn % 3 == 2)
        try:
            outcome = "whole" if same(data.load(project, last), right) else "wrong"
        except MLOpsError:
            outcome = "refused"
        found[outcome] += 1
        found["missed"] += not ours.notices_damage(project)
        _write(path, before)
    return found


def _damage(path: Path, before: bytes, rng: random.Random, *, cut: bool) -> None:
    at = rng.randrange(len(before))
    if cut:
        _write(path, before[:at])
        return
    flipped = bytearray(before)
    flipped[at] ^= 1 << rng.randrange(8)
    _write(path, bytes(flipped))


def _write(path: Path, data: bytes) -> None:
    """In place, whatever its mode: a disk does not ask."""
    path.chmod(0o644)
    path.write_bytes(data)
