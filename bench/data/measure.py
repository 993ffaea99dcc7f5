"""Wall and CPU seconds (threads and children included), bytes on disk, peak memory, same or not."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Cost:
    """Seconds."""

    wall: float
    cpu: float


def cost(work: Callable[[], object]) -> Cost:
    """Of one call. What it returned is gone when the clock stops."""
    gc.collect()
    begun, used = time.perf_counter(), _cpu()
    work()
    return Cost(time.perf_counter() - begun, _cpu() - used)


def quiet_cost(work: Callable[[], object]) -> Cost:
    """As ``cost``, after what earlier work has left to write is on disk: an fsync waits for its own bytes."""
    os.sync()
    return cost(work)


def side_by_side(works: Mapping[str, Callable[[], object]], times: int = 5) -> dict[str, Cost]:
    """The best of several turns each, taken in turn: what disturbs one disturbs the others."""
    taken: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(times):
        for name, work in works.items():
            taken[name].append(cost(work))
    return {name: best(costs) for name, costs in taken.items()}


def best(costs: Iterable[Cost]) -> Cost:
    costs = list(costs)
    return Cost(min(each.wall for each in costs), min(each.cpu for each in costs))


def middle(costs: Iterable[Cost]) -> Cost:
    costs = list(costs)
    return Cost(median(each.wall for each in costs), median(each.cpu for each in costs))


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def parquet_bytes(table: pa.Table, compression: str = "zstd") -> int:
    """As one file with the writer's defaults."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression)
    return int(sink.getvalue().size)


def same(left: pa.Table, right: pa.Table) -> bool:
    """Schema, order and values to the bit, NaN included."""
    return left.schema.equals(right.schema) and all(
        _bits(left.column(name)).equals(_bits(right.column(name))) for name in left.column_names
    )


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_float64(column.type):
        return column
    return pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())


def peak_memory() -> int:
    """The most this process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _cpu() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
