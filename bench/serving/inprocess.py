"""What the parts of a request cost inside a worker, without HTTP: ``python -m bench.serving.inprocess``.

Microseconds of CPU, the median of five rounds: the original and its compiled form for 1 and 32 rows, a whole
request (read, checked, run, written, its log line) alone and sixteen at once, a limiter's look, and the
choice of a version under a release.
"""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from everloop.adapters.onnx.compile import compile_model
from everloop.adapters.onnx.session import Compiled
from everloop.api.rates import Rate, Rates
from everloop.core.releases import BUCKETS, Arm, Range, Traffic, Unit
from everloop.core.serving import Field, Form
from everloop.serving import desk
from everloop.serving.routing import Split

from .models import MODELS, Model, make

ROUNDS = 5


def cost(work: Callable[[], object], seconds: float = 0.3) -> float:
    """Microseconds of CPU of one call."""
    work()
    found = []
    for _ in range(ROUNDS):
        calls, begun = 0, time.process_time()
        while (spent := time.process_time() - begun) < seconds / ROUNDS:
            work()
            calls += 1
        found.append(spent / calls * 1e6)
    return statistics.median(found)


def of_model(model: Model) -> list[str]:
    pipeline = joblib.load(model.folder / "model.joblib")
    frame = pd.DataFrame(list(model.rows), columns=list(model.columns))
    given = frame.to_numpy() if model.matrix else frame
    data = compile_model(
        pipeline, task="classification", classes=model.classes, features=model.columns, sample=frame
    )
    compiled = Compiled(data)
    fields = tuple(
        Field(name, "category" if name in compiled.levels else "number", compiled.levels.get(name))
        for name in model.columns
    )
    form = Form("onnx", "", "classification", model.classes, fields)
    served = desk.Served(model.name, "1.0.0", "champion", form, compiled.run_matrix)
    matrix, _ = served.inputs.encode(model.rows[:32])
    assert np.allclose(compiled.run_matrix(matrix), pipeline.predict_proba(given[:32]), atol=1e-5)
    plain = json.dumps({"features": model.rows[0]}).encode()
    names = itertools.count()

    def requests(many: int) -> None:
        asks = [desk.Ask(plain, "r") for _ in range(many)]
        batch = desk.prepare(desk.Target(served), asks, 1000)
        desk.finish(batch, desk.run(batch), lambda: f"pred_{next(names):x}", "2026", 1.0)

    ones = [cost(lambda n=n: pipeline.predict_proba(given[:n])) for n in (1, 32)]
    fast = [cost(lambda n=n: compiled.run_matrix(matrix[:n])) for n in (1, 32)]
    whole = [cost(lambda: requests(1)), cost(lambda: requests(16)) / 16]
    return [f"{each:.1f}" for each in (*ones, *fast, ones[0] / fast[0], *whole)]


def limiters() -> tuple[float, float]:
    """Ours, and the library's in memory."""
    clock: Callable[[], float] = time.monotonic
    ours = Rates([Rate(10**9, 60)], clock)
    storage = import_module("limits.storage").MemoryStorage()
    theirs = import_module("limits.strategies").SlidingWindowCounterRateLimiter(storage)
    item: Any = import_module("limits").RateLimitItemPerMinute(10**9)
    return cost(lambda: ours.ask("10.0.0.1", None)), cost(lambda: theirs.hit(item, "10.0.0.1"))


def choices() -> tuple[float, float]:
    """By the request, and by an entity that the body names."""
    arms = (
        Arm("canary", "2", (Range(0, 1_000),)),
        Arm("control", "1", (Range(9_000, BUCKETS),)),
        Arm("champion", "1", (Range(1_000, 9_000),)),
    )
    form = Form("onnx", "", "classification", ("no", "yes"), ())
    served = desk.Served("m", "1", "champion", form, None)
    ask = desk.Ask(json.dumps({"features": [5.1, 3.5, 1.4, 0.2], "entity_id": "customer-7"}).encode(), "r-1")
    found = []
    units: tuple[Unit, ...] = ("request", "entity")
    for unit in units:
        at = datetime(2026, 11, 21, tzinfo=UTC)
        traffic = Traffic("m", "prod", 1, at, "shifted", "1", arms, "rel_1", salt="0123456789", unit=unit)
        target = desk.Target(served, "plain", Split(traffic, {"1", "2"}))
        found.append(cost(partial(desk.route, target, ask)))
    return found[0], found[1]


def main() -> None:
    print("| model | original, 1 row | 32 | compiled, 1 row | 32 | ratio, 1 row | a request | of sixteen |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            if name != "native":
                print("| " + " | ".join([name, *of_model(make(Path(folder), name))]) + " |", flush=True)
    ours, theirs = limiters()
    print(f"\nA look of the rate limiter: {ours:.1f} us; the library's in memory: {theirs:.1f} us.")
    by_request, by_entity = choices()
    print(f"A choice by the request: {by_request:.1f} us; by an entity in the body: {by_entity:.1f} us.")


if __name__ == "__main__":
    main()
