"""How long models take for one row, as they would be served: compiled, or by the original. Without the server
around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from everloop.core.clock import Clock
from everloop.core.runs import Run
from everloop.core.serving import Form
from everloop.deployment.constraints import Timing, timed
from everloop.training import fitting

from . import artifacts, compiling
from .material import Material

ROWS = 100
_LEAST_ROWS = 10
_RUNS = 5
_LONGEST = 5.0  # seconds for all, about
Ask = Callable[[int], object]


def time_models(
    material: Material, models: Sequence[tuple[Run, Form | None]], rows: pa.Table
) -> list[Timing]:
    """Of each model the 95% quantile of the seconds of single rows, the median of five runs over up to a
    hundred of ``rows``. The models take turns row by row: what else the machine does meets all alike."""
    rows = rows.slice(0, ROWS)
    asked = [_asker(material, run, form, rows) for run, form in models]
    runs = measure(material.project.clock, [ask for ask, _ in asked], rows.num_rows)
    return [timed(of, compiled=compiled) for of, (_, compiled) in zip(runs, asked, strict=True)]


def measure(clock: Clock, asks: Sequence[Ask], rows: int) -> list[list[np.ndarray]]:
    """Per model and run the seconds of each row (rows,). Slow models are asked fewer rows."""
    for ask in asks:
        ask(0)  # the first answer also sets things up
    once = sum(_seconds(clock, ask, 0) for ask in asks)
    if once > 0:
        rows = min(rows, max(_LEAST_ROWS, int(_LONGEST / (_RUNS * once))))
    runs = [
        np.array([[_seconds(clock, ask, at) for ask in asks] for at in range(rows)]) for _ in range(_RUNS)
    ]
    return [[run[:, model] for run in runs] for model in range(len(asks))]


def _seconds(clock: Clock, ask: Ask, row: int) -> float:
    begun = clock.monotonic()
    ask(row)
    return clock.monotonic() - begun


def _asker(material: Material, run: Run, form: Form | None, rows: pa.Table) -> tuple[Ask, bool]:
    """What asks the model of a run a row by its number, and whether that is the compiled form."""
    pipeline = material.pipeline(run)
    if form is None or form.route != "onnx":
        single = [rows.slice(at, 1) for at in range(rows.num_rows)]
        return lambda at: fitting.predict(pipeline, single[at], run.features, run.task), False
    _, open_session = material.project.open_compiler()
    session = open_session(artifacts.fetch(material.project, form.artifact))
    X = compiling.matrix(session, pipeline, run, rows)
    return partial(_ask_compiled, session, X), True


def _ask_compiled(session: compiling.Session, X: np.ndarray, at: int) -> np.ndarray:
    return session.run_matrix(X[at : at + 1])
