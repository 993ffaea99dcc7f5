"""What loads the servers, wrk, and what one run of it showed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .calls import Call
from .models import Model
from .processes import Processes, busy, clock, own_cpu

SCRIPT = Path(__file__).with_name("post.lua")
MANY = 32


@dataclass(frozen=True)
class Point:
    """How many connections ask for how many rows at once."""

    connections: int
    rows: int = 1

    @property
    def name(self) -> str:
        return f"c={self.connections}" + (f", {self.rows} rows" if self.rows > 1 else "")


POINTS = (Point(1), Point(16), Point(64), Point(16, MANY))


@dataclass(frozen=True)
class Load:
    """``rate`` in requests a second; ``cpu`` is microseconds of all of the server's processes for a request,
    ``cores`` how many cores they kept busy, ``other`` how many were busy with neither them nor wrk.
    ``failed`` counts answers that are no 2xx or 3xx, broken connections and time-outs. ``by_process`` is the
    seconds of CPU of each process."""

    rate: float
    p50: float
    p99: float
    cpu: float
    cores: float
    other: float
    failed: int
    by_process: dict[int, float]


def middle(loads: Sequence[Load]) -> Load:
    """The median of each figure; failures add up. Of processes, the last run's."""
    return Load(
        rate=median(each.rate for each in loads),
        p50=median(each.p50 for each in loads),
        p99=median(each.p99 for each in loads),
        cpu=median(each.cpu for each in loads),
        cores=median(each.cores for each in loads),
        other=median(each.other for each in loads),
        failed=sum(each.failed for each in loads),
        by_process=loads[-1].by_process,
    )


def wrk() -> str:
    found = shutil.which("wrk")
    if not found:
        raise SystemExit("wrk is not there. Install it: apt-get install wrk (or brew install wrk).")
    return found


def write_bodies(folder: Path, model: Model, call: Call, row: str) -> dict[int, Path]:
    """Files with one body a line: each row by itself, and the same rows in groups of ``MANY``."""
    found = {}
    for size in (1, MANY):
        path = folder / f"{row.replace(' ', '').replace('/', '-')}-{size}.jsonl"
        groups = [
            [model.rows[(at + i) % len(model.rows)] for i in range(size)] for at in range(len(model.rows))
        ]
        path.write_text("".join(json.dumps(call.body(model, group)) + "\n" for group in groups))
        found[size] = path
    return found


def run(url: str, bodies: Path, point: Point, seconds: float, server: Processes) -> Load:
    """Raises CalledProcessError."""
    command = [wrk(), "-t1", f"-c{point.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "20s"]
    used, all_used, ours_used, begun = server.cpu(), busy(), own_cpu(), clock()
    done = subprocess.run(
        [*command, "-s", str(SCRIPT), url, "--", str(bodies)], check=True, capture_output=True, text=True
    )
    wall, ours_used, all_used = clock() - begun, own_cpu() - ours_used, busy() - all_used
    by_process = {pid: now - used.get(pid, 0.0) for pid, now in server.cpu().items()}
    cpu = sum(by_process.values())
    told = json.loads(done.stdout.splitlines()[-1])
    requests = told["requests"]
    return Load(
        rate=requests / told["seconds"],
        p50=told["p50_ms"],
        p99=told["p99_ms"],
        cpu=cpu / max(requests, 1) * 1e6,
        cores=cpu / wall,
        other=max(0.0, (all_used - ours_used - cpu) / wall),
        failed=told["refused"] + told["broken"],
        by_process=by_process,
    )
