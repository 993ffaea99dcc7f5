"""The table "Figures to reach": twenty versions registered by Everloop and its peers, side by side.

    make bench-data                            the whole of it (1M x 20, flights, Lance, DVC): minutes
    make bench-data ARGS="--quick"             100,000 rows, three versions for DVC
    make bench-data ARGS="--json out.json --only made --without dvc,lance"
    make bench-data ARGS="--page bench/data/RESULTS.md"

Ratios within one run are what counts: the machine is noisy, CPU seconds are the steadier figure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.figures import show_figures
from everloop.core.data import DatasetVersion
from everloop.flows import data
from everloop.flows.project import Project

from . import faults, ours
from .figures import WIDTH, Found, figures, show
from .measure import (
    Cost,
    best,
    parquet_bytes,
    peak_memory,
    quiet_cost,
    same,
    side_by_side,
)
from .peers import Copies, Dvc, Lance, blake3_of
from .workload import Source, Step, flown, history, made

FIRST_TIMES = 3
PAGE = """# What versioning data costs

One run of `make bench-data ARGS="--page bench/data/RESULTS.md"` on two cores: twenty versions of a made
table and of the flights of 2013, beside one zstd Parquet file per version ("plain"), DVC and Lance. The floor
is the first version and each change, as zstd Parquet. Ratios count: seconds vary by a third between runs, CPU
seconds less. "NOT" is a goal that was missed.
"""


def measure(source: Source, folder: Path, *, dvc_versions: int, with_lance: bool, flips: int) -> Found:
    found = Found(source.name)
    _warm_up(source, folder / "warm")
    project = ours.open_in(folder / "ours")
    before = ours.database_bytes(project)
    copies = Copies(folder, kept=(1, 20))
    dvc = Dvc.begin(folder) if dvc_versions else None
    lance = Lance(folder) if with_lance else None
    versions: dict[int, DatasetVersion] = {}
    for step in history(source):
        found.steps.append(step.name)
        found.registers.append(_register(project, step, folder, versions))
        found.added.append(ours.stored_bytes(project) - sum(found.added))
        copies.take(step, times=FIRST_TIMES if step.number == 1 else 1)
        found.snappy += parquet_bytes(step.table, "snappy")
        if dvc and step.number <= dvc_versions:
            dvc.take(step)
        if lance:
            lance.take(step, source.pair)
        _say(f"{source.name}: v{step.number} of 20, {found.registers[-1].wall:.3f} s")
    found.peak = peak_memory()
    found.stored, found.database = ours.stored_bytes(project), ours.database_bytes(project) - before
    found.writes, found.hashes = copies.writes, copies.hashes
    found.copies, found.floor = sum(copies.sizes), copies.told
    found.first_copy = copies.sizes[0]
    for version, table in ((versions[1], source.first), (versions[20], step.table)):
        if not same(data.load(project, version), table):
            raise AssertionError(f"{version.dataset}@{version.short} came back changed")
    found.loads = _loads(project, versions, copies, source.pair)
    found.checks = _checks(project)
    found.rollback = ours.rollbacks(project, versions)
    if dvc:
        kept = [asdict(each) for each in dvc.registers]
        sizes = {"cache": dvc.cache, "files": sum(dvc.sizes)}
        writes = [asdict(each) for each in dvc.writes]
        found.dvc = {"versions": len(kept), "registers": kept, "writes": writes, **sizes}
    if lance:
        found.lance = _run_lance(lance)
    if flips:
        _say(f"{source.name}: {flips} bytes flipped, one at a time")
        found.faults = faults.count(project, versions, flips)
    project.close()
    return found


def _warm_up(source: Source, folder: Path) -> None:
    """Libraries load and threads start at the first use of a process, whatever the table."""
    project = ours.open_in(folder)
    version = ours.register(project, source.first.slice(0, 1000))
    data.load(project, version)
    project.close()


def _register(project: Project, step: Step, folder: Path, versions: dict[int, DatasetVersion]) -> Cost:
    """The first is registered in projects of its own too: the best of several, as for the plain write."""
    costs = []
    for turn in range(FIRST_TIMES - 1 if step.number == 1 else 0):
        other = ours.open_in(folder / f"first{turn}")
        costs.append(quiet_cost(lambda other=other: ours.register(other, step.table)))
        other.close()

    def register() -> None:
        versions[step.number] = ours.register(project, step.table)

    return best([*costs, quiet_cost(register)])


def _loads(
    project: Project, versions: dict[int, DatasetVersion], copies: Copies, pair: tuple[str, str]
) -> dict[str, Cost]:
    first, last = versions[1], versions[20]
    two = list(pair)
    works = {
        "v20": lambda: data.load(project, last),
        "v20 plain": lambda: pq.read_table(copies.path(20)),
        "v1": lambda: data.load(project, first),
        "v1 plain": lambda: pq.read_table(copies.path(1)),
        "v20 pair": lambda: data.load(project, last, two),
        "v20 pair plain": lambda: pq.read_table(copies.path(20), columns=two),
        "v20 pandas": lambda: data.load(project, last).to_pandas(),
        "v20 pandas plain": lambda: pq.read_table(copies.path(20)).to_pandas(),
    }
    return side_by_side(works)


def _checks(project: Project) -> dict[str, Cost]:
    return {"blake3": blake3_of(ours.stored_files(project)), **ours.checks(project)}


def _run_lance(lance: Lance) -> dict[str, Any] | None:
    try:
        return lance.run()
    except (subprocess.CalledProcessError, OSError) as error:
        reason = getattr(error, "stderr", None) or error
        _say(f"Lance is left out: {str(reason).strip().splitlines()[-1]}")
        return None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100,000 rows, three versions for DVC")
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--only", choices=("made", "flights"))
    parser.add_argument("--without", default="", help="peers to leave out: dvc,lance")
    parser.add_argument("--dvc-versions", type=int, default=None)
    parser.add_argument("--flips", type=int, default=30)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="a page with the figures, as RESULTS.md")
    given = parser.parse_args()
    left_out = set(given.without.split(","))
    rows = given.rows or (100_000 if given.quick else 1_000_000)
    versions = 0 if "dvc" in left_out else given.dvc_versions or (3 if given.quick else 7)
    all_found: dict[str, Found] = {}
    for name in ("made", "flights"):
        if given.only in (None, name):
            source = made(rows) if name == "made" else flown(rows if given.quick else None)
            with tempfile.TemporaryDirectory(prefix="everloop-bench-") as folder:
                all_found[name] = measure(
                    source,
                    Path(folder),
                    dvc_versions=versions if name == given.only or name == "made" else 0,
                    with_lance="lance" not in left_out,
                    flips=given.flips if name == given.only or name == "made" else 0,
                )
    chief = all_found.get("made") or all_found["flights"]
    rows_found = figures(chief, all_found.get("flights"))
    parts = [*map(show, all_found.values()), show_figures(rows_found, WIDTH)]
    if "flights" in all_found and chief.name != all_found["flights"].name:
        parts += [f"{all_found['flights'].name}\n{show_figures(figures(all_found['flights'], None), WIDTH)}"]
    text = "\n\n".join(parts)
    print(text)
    if given.page:
        given.page.write_text(f"{PAGE}\n```text\n{text}\n```\n", encoding="utf-8")
    if given.json:
        document = {
            "pyarrow": pa.__version__,
            "cpus": os.cpu_count(),
            "histories": {name: asdict(found) for name, found in all_found.items()},
            "figures": [{**asdict(each), "verdict": each.verdict} for each in rows_found],
        }
        given.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
