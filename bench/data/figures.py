"""The rows of the table "Figures to reach", from what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.figures import Figure

from .measure import Cost, middle

WIDTH = 58  # of the names of figures


@dataclass
class Found:
    """What one history showed. Bytes; costs in seconds; ``steps`` names the versions."""

    name: str
    steps: list[str] = field(default_factory=list)
    registers: list[Cost] = field(default_factory=list)
    writes: list[Cost] = field(default_factory=list)
    hashes: list[Cost] = field(default_factory=list)
    added: list[int] = field(default_factory=list)
    stored: int = 0
    database: int = 0
    floor: int = 0
    copies: int = 0
    first_copy: int = 0
    snappy: int = 0
    loads: dict[str, Cost] = field(default_factory=dict)
    checks: dict[str, Cost] = field(default_factory=dict)
    rollback: list[Cost] = field(default_factory=list)
    dvc: dict[str, Any] | None = None
    lance: dict[str, Any] | None = None
    faults: dict[str, int] | None = None
    peak: int = 0


def figures(found: Found, flights: Found | None) -> list[Figure]:
    """Of the main history, with the row that the flights have."""
    return [*_bytes(found, flights), *_registering(found), *_loading(found), *_safety(found)]


def _bytes(found: Found, flights: Found | None) -> Iterator[Figure]:
    both = found.stored + found.database
    sizes = f"{_mb(found.stored)} / {_mb(found.floor)}"
    yield Figure("bytes after 20 versions / floor", found.stored / found.floor, 1.20, 1.15, sizes)
    more = f"{_mb(found.database)} more"
    yield Figure("the same with the database's growth", both / found.floor, 1.20, 1.15, more)
    if found.lance:
        told = found.lance["bytes"]
        reach, best = (1.05, 0.95) if found.name.startswith("flights") else (0.85, 0.80)
        yield Figure("bytes / Lance told each change", found.stored / told, reach, best, _mb(told))
    if flights and flights.lance:
        told = flights.lance["bytes"]
        sizes = f"{_mb(flights.stored)} / {_mb(told)}"
        yield Figure("the same, flights", flights.stored / told, 1.05, 0.95, sizes)
    cache = _mb(found.snappy)
    if found.dvc:
        cache += f"; its own after {found.dvc['versions']}: {_mb(found.dvc['cache'])}"
    yield Figure("bytes / DVC's cache (snappy)", found.stored / found.snappy, 1 / 15, 1 / 18, cache, "share")


def _registering(found: Found) -> Iterator[Figure]:
    later, plain = middle(found.registers[1:]), middle(found.writes[1:])
    first, written = found.registers[0], found.writes[0]
    change, whole = "register a change (median v2-20)", "zstd write"
    yield Figure(f"{change} / {whole}", later.wall / plain.wall, 0.30, 0.15, _seconds(later.wall, plain.wall))
    yield Figure("the same, CPU", later.cpu / plain.cpu, 0.30, 0.15, _seconds(later.cpu, plain.cpu))
    if found.dvc:
        theirs = middle(Cost(**each) for each in found.dvc["registers"][1:]).wall
        of = f"{_seconds(later.wall, theirs)}, {found.dvc['versions']} versions"
        yield Figure("the same / dvc add + commit + push", later.wall / theirs, 1 / 10, 1 / 20, of, "share")
    if found.lance:
        told = middle(Cost(*each) for each in found.lance["registered"][1:]).wall
        yield Figure("the same / Lance told it", later.wall / told, 0.7, 0.4, _seconds(later.wall, told))
    of = _seconds(first.cpu, written.cpu)
    yield Figure(f"first registration / {whole}, CPU", first.cpu / written.cpu, 1.6, 1.2, of)
    of = _seconds(first.wall, written.wall)
    yield Figure("the same, wall", first.wall / written.wall, 1.6, 1.2, of)


def _loading(found: Found) -> Iterator[Figure]:
    for name, key, reach, best in (
        ("load the 20th version, checked / pq.read_table", "v20", 1.6, 1.25),
        ("load the first / the same", "v1", 1.1, 1.0),
        ("load two columns of the 20th / the same", "v20 pair", 1.3, 1.0),
        ("load the 20th to pandas / the same", "v20 pandas", 1.6, 1.25),
    ):
        ours, plain = found.loads[key], found.loads[f"{key} plain"]
        of = f"{_seconds(ours.wall, plain.wall)}; CPU {ours.cpu / plain.cpu:.2f}"
        yield Figure(name, ours.wall / plain.wall, reach, best, of)


def _safety(found: Found) -> Iterator[Figure]:
    checks = found.checks
    fast = checks["fast"].wall / checks["blake3"].wall if "fast" in checks else None
    of = ", ".join(f"{name} {each.wall:.3f} s" for name, each in checks.items())
    yield Figure("fast verify / blake3 of the store's bytes", fast, 2.0, 1.2, of)
    back = middle(found.rollback).wall if found.rollback else None
    yield Figure("roll back", back, 0.010, 0.0035, "", "ms")
    if found.faults:
        tried = found.faults["tried"]
        wrong, missed = float(found.faults["wrong"]), float(found.faults["missed"])
        of = f"of {tried} loads; {found.faults['whole']} did not need the damaged bytes"
        yield Figure("flipped or cut objects returned as data", wrong, 0, 0, of, "count")
        yield Figure("flipped or cut objects that verify misses", missed, 0, 0, f"of {tried}", "count")


def show(found: Found) -> str:
    """Each version: seconds of ours and of the plain write, and what it added."""
    lines = [
        f"{found.name}: peak {_mb(found.peak)}, {_mb(found.copies)} as copies, one {_mb(found.first_copy)}"
    ]
    told = found.lance["registered"] if found.lance else [None] * 20
    for number, (name, ours_, plain, added, lance) in enumerate(
        zip(found.steps, found.registers, found.writes, found.added, told, strict=True), start=1
    ):
        lines.append(
            f"  v{number:<3} {name:40} {ours_.wall:7.3f} s, CPU {ours_.cpu:6.3f}; plain {plain.wall:6.3f} s, "
            f"CPU {plain.cpu:6.3f}; {f'Lance {lance[0]:6.3f} s; ' if lance else ''}{added / 1e6:8.3f} MB"
        )
    return "\n".join(lines)


def _seconds(ours: float, theirs: float) -> str:
    return f"{ours:.3f} / {theirs:.3f} s"


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f} MB"
