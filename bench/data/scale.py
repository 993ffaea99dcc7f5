"""Drills of scale: many files, more table than memory, many small appends, two writers.

    python -m bench.data.scale [files] [memory] [appends] [writers] [--quick]

Each prints what it found and ends with "ok" or "NOT".
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from everloop.flows import data, files

from . import columns, ours
from .measure import cost, parquet_bytes, same, side_by_side

TIMES_MEMORY = 5
CHUNK = 100_000


def appends(folder: Path, *, quick: bool) -> bool:
    """Registrations of a table that grows by 100 rows each: what the thousandth costs, and loading it."""
    base, count, rows = (10_000, 100, 100) if quick else (100_000, 1000, 100)
    whole = columns.rows(np.random.default_rng(3), base + count * rows, 0)
    project = ours.open_in(folder / "appends")
    seconds = []
    for turn in range(count + 1):
        table = whole.slice(0, base + turn * rows)
        begun = time.perf_counter()
        version = ours.register(project, table)
        seconds.append(time.perf_counter() - begun)
    plain = ours.open_in(folder / "at-once")
    at_once = ours.register(plain, whole)
    loads = side_by_side(
        {"grown": lambda: data.load(project, version), "at once": lambda: data.load(plain, at_once)}
    )
    alone = cost(lambda: ours.register(ours.open_in(folder / "alone"), whole)).wall
    floor = parquet_bytes(whole.slice(0, base)) + sum(
        parquet_bytes(whole.slice(base + turn * rows, rows)) for turn in range(count)
    )
    early, late = median(seconds[1:51]), median(seconds[-50:])
    slowdown = loads["grown"].wall / loads["at once"].wall
    fine = same(data.load(project, version), whole) and late <= 3 * early and slowdown <= 2
    _say(
        f"appends: {count:,} registrations of {rows} rows onto {base:,}: {_ms(early)} each at first, "
        f"{_ms(late)} at the end, slowest {_ms(max(seconds[1:]))} (the whole table new: {_ms(alone)}); "
        f"{_mb(ours.stored_bytes(project))} stored, floor {_mb(floor)}, database "
        f"{_mb(ours.database_bytes(project))}; loading it takes {_ms(loads['grown'].wall)}, "
        f"{slowdown:.2f} times what it takes registered at once",
        fine,
    )
    project.close()
    plain.close()
    return fine


def writers(folder: Path, *, quick: bool) -> bool:
    """Two processes register in one dataset; every acknowledged version must be there, whole, once."""
    count = 40 if quick else 400
    place = folder / "writers"
    ours.open_in(place).close()
    begun = time.perf_counter()
    running = [_start("writer", place, who, count) for who in range(2)]
    lines = [json.loads(line) for each in running for line in _output(each).splitlines()]
    seconds = time.perf_counter() - begun
    acknowledged = [line["registered"] for line in lines if "registered" in line]
    refused = [line["refused"] for line in lines if "refused" in line]
    project = ours.open_in(place)
    listed = data.list_versions(project, ours.DATASET)
    broken = sum(not _loads(project, version) for version in listed)
    lost = set(acknowledged) - {version.version_id for version in listed}
    numbers = sorted(version.sequence for version in listed)
    fine = not (lost or broken or refused) and numbers == list(range(1, 2 * count + 1))
    _say(
        f"writers: 2 x {count} registrations in {seconds:.1f} s: {len(acknowledged)} acknowledged, "
        f"{len(refused)} refused{f' ({refused[0]})' if refused else ''}, {len(lost)} lost, {broken} broken",
        fine,
    )
    project.close()
    return fine


def memory(folder: Path, *, quick: bool) -> bool:
    """A table of five times the memory that the process may have, registered and read through."""
    allowed = 320 if quick else 512
    path = folder / "large.parquet"
    rows, size = _write_large(path, TIMES_MEMORY * allowed << 20)
    place = folder / "memory"
    ours.open_in(place).close()
    fine = True
    for kind in ("register", "load"):
        child = _start(kind, place, path, allowed, catch=True)
        out, error = child.communicate()
        found: dict[str, Any] = json.loads(out) if child.returncode == 0 else {}
        good = found.get("rows") == rows
        said = (
            f"{found['seconds']:.1f} s, peak {found['peak'] / 1e6:.0f} MB resident"
            if found
            else (error.strip().splitlines() or [f"ended by signal {-child.returncode}"])[-1]
        )
        _say(f"memory: {kind} {size / 1e6:,.0f} MB with {allowed} MB allowed: {said}", good)
        fine = fine and good
    return fine


def many_files(folder: Path, *, quick: bool) -> bool:
    """A folder of small files, registered, registered again after one changed, listed and compared."""
    count = 10_000 if quick else 100_000
    source, project = folder / "files", ours.open_in(folder / "many")
    for number in range(count):
        if number % 1000 == 0:
            (source / f"{number // 1000:03}").mkdir(parents=True)
        (source / f"{number // 1000:03}" / f"{number}.txt").write_bytes(b"%d\n" % number * 20)

    def add() -> Any:
        return files.register_files(project, str(source), "files").version

    first, seconds = _timed(add)
    again, known = _timed(add)
    (source / "000" / "5.txt").write_text("changed")
    second, changed = _timed(add)
    listed, listing = _timed(lambda: files.list_files(project, second))
    compared, comparing = _timed(lambda: files.compare(project, first, second))
    _, restoring = _timed(lambda: files.restore(project, second, folder / "back"))
    fine = len(listed) == count and again == first and len(compared.changed) == 1
    fine = fine and (folder / "back" / "000" / "5.txt").read_text() == "changed"
    _say(
        f"files: {count:,} registered in {seconds:.1f} s, {_mb(first.bytes)}; known again in {known:.1f} s, "
        f"one changed in {changed:.1f} s, {_mb(second.bytes)}; listed in {listing:.1f} s, compared in "
        f"{comparing:.1f} s, written back in {restoring:.1f} s",
        fine,
    )
    project.close()
    return fine


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    return work(), time.perf_counter() - begun


def _write_large(path: Path, size: int) -> tuple[int, int]:
    """A Parquet file of at least ``size`` Arrow bytes; returns its rows and bytes."""
    rng = np.random.default_rng(5)
    rows = written = 0
    with pq.ParquetWriter(path, columns.rows(rng, 1, 0).schema, compression="zstd") as writer:
        while written < size:
            part = columns.rows(rng, CHUNK, rows)
            writer.write_table(part)
            rows, written = rows + CHUNK, written + part.nbytes
    return rows, written


def _loads(project: Any, version: Any) -> bool:
    return bool(data.load(project, version).num_rows == version.rows)


def _start(*arguments: object, catch: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.data.process", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if catch else None,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"},
    )


def _output(child: subprocess.Popen[str]) -> str:
    out, _ = child.communicate()
    if child.returncode:
        raise RuntimeError(f"a drill's process ended with {child.returncode}")
    return out


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _mb(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def _say(text: str, fine: bool) -> None:
    print(f"{text}: {'ok' if fine else 'NOT'}", flush=True)


DRILLS: dict[str, Callable[..., bool]] = {
    "files": many_files,
    "appends": appends,
    "writers": writers,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drills", nargs="*", metavar="|".join(DRILLS))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="everloop-bench-") as folder:
        fine = [DRILLS[name](Path(folder), quick=given.quick) for name in given.drills or DRILLS]
    sys.exit(not all(fine))


if __name__ == "__main__":
    main()
