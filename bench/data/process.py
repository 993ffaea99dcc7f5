"""One process of a drill of scale; ``scale.py`` starts it. Prints one JSON document a line.

python -m bench.data.process writer FOLDER WHO COUNT
python -m bench.data.process register|load FOLDER PARQUET MEGABYTES
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from everloop.core.errors import MLOpsError
from everloop.flows import data

from . import columns, ours
from .measure import peak_memory


def writer(folder: Path, who: int, count: int) -> None:
    """Register ``count`` tables of its own; a line for each that was acknowledged."""
    project = ours.open_in(folder)
    table = columns.rows(np.random.default_rng(9), 1000, 0)
    for turn in range(count):
        marked = table.append_column("mark", pa.array(np.full(1000, who * count + turn)))
        try:
            print(json.dumps({"registered": ours.register(project, marked).version_id}), flush=True)
        except MLOpsError as error:
            print(json.dumps({"refused": error.message}), flush=True)
    project.close()


def register_within(folder: Path, parquet: Path, megabytes: int) -> None:
    project = ours.open_in(folder, {"data_versioning": {"memory": megabytes * 2**20 // 8}})
    _limit(megabytes)
    begun = time.perf_counter()
    version = data.register(project, parquet, ours.DATASET).version
    _report(begun, {"version": version.version_id, "rows": version.rows})
    project.close()


def load_within(folder: Path, parquet: Path, megabytes: int) -> None:
    """Every batch of the version, beside the same rows of the file that it came from."""
    project = ours.open_in(folder)
    _limit(megabytes)
    begun = time.perf_counter()
    rows = 0
    for batch in ours.batches(project, data.find(project, f"{ours.DATASET}@latest")):
        rows += batch.num_rows
    _report(begun, {"rows": rows})
    project.close()


def _limit(megabytes: int) -> None:
    """Of everything this process may write to: interpreter, libraries' data, heap, Arrow's pools, stacks.
    (An address space, RLIMIT_AS, also counts what is only mapped; this does not.)"""
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


def _report(begun: float, found: dict[str, object]) -> None:
    print(json.dumps({**found, "seconds": time.perf_counter() - begun, "peak": peak_memory()}))


if __name__ == "__main__":
    kind, folder, *rest = sys.argv[1:]
    if kind == "writer":
        writer(Path(folder), int(rest[0]), int(rest[1]))
    else:
        {"register": register_within, "load": load_within}[kind](Path(folder), Path(rest[0]), int(rest[1]))
