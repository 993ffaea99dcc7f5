"""Where the time of a turn goes, step by step, on customers and on the real flights; S2's training figures.

Ratios within one run are what counts: the machine is noisy.

    python -m bench.turn [--fast]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from everloop import wiring
from everloop.core.runs import Recipe
from everloop.data import identity
from everloop.data.examples.customers import customers
from everloop.data.examples.flights import flights
from everloop.flows import turn
from everloop.flows.turn import STEPS
from everloop.settings import load_settings
from everloop.training import fitting

MODELS = {
    "customers, 4,000 rows, logistic": ("customers", {"target": "churned"}, 4_000),
    "customers, 4,000 rows, 5 folds": (
        "customers",
        {"target": "churned", "training": {"cross_validation": 5}},
        4_000,
    ),
    "flights, 80,000 rows, hist_gradient_boosting": (
        "flights",
        {
            "target": "late",
            "time_column": "scheduled",
            "training": {"model_type": "hist_gradient_boosting", "split": "time"},
        },
        80_000,
    ),
    "flights, 336,776 rows, logistic": (
        "flights",
        {"target": "late", "time_column": "scheduled", "training": {"split": "time"}},
        None,
    ),
}


def main() -> None:
    fast = "--fast" in sys.argv
    print(f"{'seconds':>46} | " + " ".join(f"{step:>9}" for step in (*STEPS, "all")))
    for title, (source, model, rows) in MODELS.items():
        if fast and rows != 4_000:
            continue
        table = customers(rows=rows or 4_000) if source == "customers" else flights()
        first = one_turn(model, table.slice(0, rows))
        print(f"{title:>46} | " + " ".join(f"{first.get(step, 0.0):9.3f}" for step in (*STEPS, "all")))
    print()
    training()
    command_line()


def one_turn(model: dict[str, Any], table: pa.Table) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "everloop.yaml"
        config.write_text(to_yaml(model))
        project = wiring.connect(load_settings(config, variables={}))
        begun = time.perf_counter()
        summary = turn.run(project, "m", source=table)
        seconds = {**summary.steps, "all": time.perf_counter() - begun}
        project.close()
        return seconds


def to_yaml(model: dict[str, Any]) -> str:
    return json.dumps({"models": {"m": {"data": {"path": "unused.csv"}, **model}}})


def training() -> None:
    """S2's figures: 4,000 rows in well under a second, 5-fold cross-validation in under 6 s."""
    table = customers(rows=4_000)
    hashes = identity.row_hashes(table)
    for name in ("logistic", "random_forest", "hist_gradient_boosting"):
        plain = timed(lambda name=name: fitting.fit(table, Recipe("churned", estimator=name), hashes))
        folded = timed(
            lambda name=name: fitting.fit(table, Recipe("churned", estimator=name, folds=5), hashes)
        )
        print(
            f"fit on 4,000 customers, {name:24} {plain:6.2f} s; with 5-fold cross-validation {folded:6.2f} s"
        )


def command_line() -> None:
    best = min(cpu_of([sys.executable, "-m", "everloop", "--help"]) for _ in range(5))
    bare = min(cpu_of([sys.executable, "-c", "pass"]) for _ in range(5))
    print(f"everloop --help: {best * 1000:.0f} ms of CPU (a bare interpreter: {bare * 1000:.0f} ms)")


def cpu_of(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def timed(work: Callable[[], object]) -> float:
    work()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
