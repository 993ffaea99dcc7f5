"""Lance, told each change: run by ``peers.py`` with another interpreter, one that has ``pylance``.

    python lance_told.py FOLDER

FOLDER holds ``steps.json`` and one Arrow file per change. Prints one JSON document: seconds and CPU of each
version, bytes of the store, seconds of loads. Lance keeps no order of rows: a ``move`` is nothing to it.
"""

import json
import resource
import shutil
import sys
import time
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.compute as pc

KEY = "rid"


def main(folder):
    steps = json.loads((folder / "steps.json").read_text())
    place = str(folder / "told.lance")
    shutil.rmtree(place, ignore_errors=True)
    registered = []
    for step in steps:
        with pa.memory_map(str(folder / step["file"])) as source:
            change = pa.ipc.open_file(source).read_all()
        begun, used = time.perf_counter(), cpu()
        tell(place, step["kind"], change)
        registered.append([time.perf_counter() - begun, cpu() - used])
    dataset = lance.dataset(place)
    pair = steps[-1]["pair"]
    print(
        json.dumps(
            {
                "version": lance.__version__,
                "registered": registered,
                "bytes": sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file()),
                "rows": dataset.count_rows(),
                "load": best(lambda: lance.dataset(place).to_table()),
                "load_first": best(lambda: lance.dataset(place, version=1).to_table()),
                "load_pair": best(lambda: lance.dataset(place).to_table(columns=pair)),
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


def tell(place, kind, change):
    if kind == "first":
        lance.write_dataset(change, place, mode="create")
    elif kind in ("append", "insert"):
        lance.write_dataset(change, place, mode="append")
    elif kind in ("update", "edit"):
        lance.dataset(place).merge_insert(KEY).when_matched_update_all().execute(change)
    elif kind == "delete":
        lance.dataset(place).delete(which(change.column(KEY)))
    elif kind == "column":
        lance.dataset(place).merge(change, KEY)


def which(keys):
    """A range where the keys are all of one, else a list."""
    lowest, highest = pc.min(keys).as_py(), pc.max(keys).as_py()
    if highest - lowest + 1 == len(keys):
        return f"{KEY} >= {lowest} AND {KEY} <= {highest}"
    return f"{KEY} IN ({', '.join(map(str, keys.to_pylist()))})"


def best(work):
    costs = []
    for _ in range(3):
        begun, used = time.perf_counter(), cpu()
        work()
        costs.append((time.perf_counter() - begun, cpu() - used))
    return [min(wall for wall, _ in costs), min(used for _, used in costs)]


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(Path(sys.argv[1]))
