"""What is run: by which tool, of which size. Every job is a process of its own, on one thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import environments

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / ".data"
OURS = "everloop"
SCENARIOS: dict[str, dict[str, Any]] = {
    "independent": {},
    "AR(1) .95": {"memory": 0.95},
    "seasonal": {"season": True},
    "mean of 30": {"average": 30},
}
STREAMS: dict[str, dict[str, float]] = {
    "quiet, .2": {"share": 0.2, "later": 0.2, "memory": 0.0},
    "quiet, .07": {"share": 0.07, "later": 0.07, "memory": 0.0},
    "bursty, .2": {"share": 0.2, "later": 0.2, "memory": 0.9},
    "bursty, .07": {"share": 0.07, "later": 0.07, "memory": 0.9},
    ".2 to .3": {"share": 0.2, "later": 0.3, "memory": 0.0},
    ".05 to .1": {"share": 0.05, "later": 0.1, "memory": 0.0},
    ".12 to .18": {"share": 0.12, "later": 0.18, "memory": 0.0},
    ".3 to .45": {"share": 0.3, "later": 0.45, "memory": 0.0},
}
RIVER = ("ADWIN", "PageHinkley", "DDM", "EDDM", "HDDM_A", "HDDM_W", "FHDDM", "KSWIN")
DRIFT = ("NannyML", "NannyML PCA", "alibi-detect", "whylogs", "scipy", "Evidently", "scipy, Bonferroni")
ENVIRONMENT = {name: name.split(",")[0].split(" ")[0].lower() for name in DRIFT}


@dataclass(frozen=True)
class Job:
    """``smaller``: what is run in its place when it takes too long."""

    part: str
    key: str
    tool: str
    module: str
    arguments: tuple[str, ...]
    python: str = OURS
    timeout: float = 3_600.0
    smaller: tuple[str, ...] = ()


@dataclass
class Line:
    """What came of a job; ``error`` where nothing did."""

    part: str
    key: str
    tool: str
    found: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    took: float = 0.0


def run(job: Job) -> Line:
    began = time.perf_counter()
    python = sys.executable if job.python == OURS else str(environments.python_of(job.python))
    one = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
    )
    environment = {**os.environ, **one, "PYTHONPATH": str(ROOT), "NML_DISABLE_USAGE_LOGGING": "1"}
    line = Line(job.part, job.key, job.tool)
    for arguments in filter(None, (job.arguments, job.smaller)):
        command = [python, "-m", job.module, *arguments]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=job.timeout
            )
        except subprocess.TimeoutExpired:
            line.error = f"not done after {job.timeout:.0f} s"
            continue
        if done.returncode:
            said = done.stderr.strip().splitlines()
            line.error = said[-1] if said else f"ended with {done.returncode}"
        else:
            line.found, note = json.loads(done.stdout.strip().splitlines()[-1]), line.error
            line.error = f"in a smaller size: the larger was {note}" if note else ""
        break
    line.took = time.perf_counter() - began
    return line


def everything(quick: bool) -> list[Job]:
    DATA.mkdir(exist_ok=True)
    return [
        *_speed(quick),
        *_quiet(quick),
        *_power(quick),
        *_harmless(quick),
        *_streams(quick),
        *_flights(quick),
    ]


def _ours(part: str, key: str, task: str, **options: Any) -> Job:
    return Job(part, key, OURS, "bench.drift.ours", (task, json.dumps(options)))


def _peer(part: str, key: str, tool: str, task: str, **options: Any) -> Job:
    return Job(part, key, tool, "bench.drift.peers", (tool, task, json.dumps(options)), ENVIRONMENT[tool])


def _speed(quick: bool) -> list[Job]:
    usual, rows = (20_000, 5_000) if quick else (1_000_000, 100_000)
    file = str(DATA / "reference.json")
    jobs = [
        _ours("speed", "build", "build", usual=usual, file=file),
        _ours("speed", "check", "check", rows=rows, file=file),
    ]
    for tool in DRIFT[:-1]:
        small = json.dumps({"usual": 100_000, "rows": 10_000})
        job = _peer("speed", "both", tool, "speed", usual=usual, rows=rows)
        jobs.append(Job(**{**job.__dict__, "smaller": (tool, "speed", small), "timeout": 1_200.0}))
    return jobs


def _quiet(quick: bool) -> list[Job]:
    jobs = []
    for scenario, options in SCENARIOS.items():
        worlds = 1 if quick else {"independent": 10, "mean of 30": 2}.get(scenario, 5)
        seeds = list(range(101, 101 + worlds))
        each = 3 if quick else 100
        jobs.append(
            _ours(
                "quiet",
                f"{scenario}, 1,000 rows",
                "quiet",
                scenario=scenario,
                rows=1_000,
                seeds=seeds,
                each=each,
            )
        )
        if not quick and scenario != "mean of 30":
            jobs.append(
                _ours(
                    "quiet", f"{scenario}, 10,000 rows", "quiet",
                    scenario=scenario, rows=10_000, seeds=seeds[:4], each=15,
                )
            )  # fmt: skip
        if scenario == "mean of 30":
            continue
        for tool in DRIFT:
            few, windows = {"NannyML": (4, 25), "NannyML PCA": (4, 25), "Evidently": (1, 4)}.get(
                tool, (2, 12)
            )
            if quick:
                few, windows = 1, 2
            jobs.append(
                _peer(
                    "quiet", f"{scenario}, 1,000 rows", tool, "quiet",
                    options=options, rows=1_000, seeds=seeds[:few], each=windows,
                )
            )  # fmt: skip
    return jobs


def _power(quick: bool) -> list[Job]:
    seeds, each = ([201], 1) if quick else (list(range(201, 206)), 30)
    jobs = [_ours("power", "1,000 rows", "power", rows=1_000, seeds=seeds, each=each)]
    for tool in DRIFT:
        if tool == "scipy":
            continue
        draws = {"Evidently": 1, "NannyML": 10, "NannyML PCA": 10}.get(tool, 5)
        jobs.append(
            _peer(
                "power", "1,000 rows", tool, "power",
                rows=1_000, seeds=seeds[: 1 if tool == "Evidently" else 2], each=1 if quick else draws,
            )
        )  # fmt: skip
    return jobs


def _harmless(quick: bool) -> list[Job]:
    rows = 5_000 if quick else 100_000
    seeds = [301] if quick else [301, 302, 303, 304, 305]
    jobs = [_ours("harmless", f"{rows:,} rows", "harmless", rows=rows, seeds=seeds, each=2 if quick else 4)]
    size = {"rows": rows, "seeds": seeds[:3], "each": 1 if quick else 2}
    tools = ("alibi-detect", "whylogs", "scipy, Bonferroni")
    return [*jobs, *(_peer("harmless", f"{rows:,} rows", tool, "harmless", **size) for tool in tools)]


def _streams(quick: bool) -> list[Job]:
    jobs = []
    rows = 2_000 if quick else 10_000
    for key, options in STREAMS.items():
        seeds: Sequence[int] = range(401, 403 if quick else 449)
        jobs.append(_ours("errors", key, "stream", **options, seeds=list(seeds), rows=rows))
        for tool in RIVER:
            slow = tool == "KSWIN"  # two hundred labels a second
            if slow and (quick or key not in ("quiet, .2", "quiet, .07", "bursty, .2")):
                continue
            few = list(seeds)[: 3 if slow else None]
            told = {"tool": tool, **options, "seeds": few, "rows": rows}
            jobs.append(Job("errors", key, tool, "bench.drift.rivers", (json.dumps(told),), "river"))
    return jobs


def _flights(quick: bool) -> list[Job]:
    """Ours first: it makes the weeks that the others read. Only whole: there is no smaller year."""
    if quick:
        return []
    told = json.dumps({"folder": str(DATA)})
    jobs = [Job("flights", "weeks", OURS, "bench.drift.flights", (told,))]
    inputs = ("NannyML", "NannyML PCA", "alibi-detect", "whylogs", "Evidently")
    jobs += [_peer("flights", "inputs", tool, "weekly", folder=str(DATA)) for tool in inputs]
    jobs += [
        Job("flights", "performance", tool, "bench.drift.peers", ("NannyML", task, told), "nannyml")
        for tool, task in (("NannyML CBPE", "estimated"), ("NannyML labels", "realized"))
    ]
    return [*jobs, Job("estimated", "sets", OURS, "bench.drift.estimated", ("--json",))]
