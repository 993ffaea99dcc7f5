"""What is behind a finding: a broken feed, and which features move the model's answers how much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from everloop import training
from everloop.core.documents import dump, load
from everloop.core.errors import MLOpsError
from everloop.core.monitoring import Damage, Result
from everloop.flows.project import Project
from everloop.monitoring import damage, faults
from everloop.monitoring.windows import Window
from everloop.store import monitors
from everloop.store.database import Row

from . import referring
from .referring import References
from .spans import Span

RANKED = ("data", "quality", "joint", "prediction")
_NAMED = 3


def explain(
    project: Project, known: References, version: str, span: Span, window: Window, results: Sequence[Result]
) -> list[Result]:
    """Faults of the feed, looked for in every window; and, where something of its inputs or answers fired,
    one result ``damage`` that ranks the features that drifted (see ``ranking``); it never fires itself."""
    rows = _newest(project, known, version, span)
    if not rows:
        return []
    table = known.table(rows)
    times = [datetime.fromisoformat(row["at"]).timestamp() for row in rows]
    found = faults.diagnose(known.inputs, window, table, results, texture=known.texture, times=times)
    fired = [each for each in (*results, *found) if each.fired and each.family in RANKED]
    return [*found, *_ranked(project, known, table, fired)] if fired else found


def ranking(results: Sequence[Result]) -> list[Damage]:
    """As a check has kept it; empty where nothing was ranked."""
    kept = [each.details.get("ranking", ()) for each in results if each.statistic == "damage"]
    return [load(Damage, each) for each in (kept[0] if kept else ())]


def _newest(project: Project, known: References, version: str, span: Span) -> list[Row]:
    """The newest rows of a window, oldest first."""
    with project.store.snapshot() as tx:
        answers = monitors.answers(
            tx, known.run.model, version, span.since, span.until, newest=faults.MOST_ROWS
        )
        return list(answers)[::-1]


def _ranked(project: Project, known: References, table: pa.Table, fired: Sequence[Result]) -> list[Result]:
    features = damage.drifted(fired)
    if not features:
        return []
    run = known.run
    positive = run.classes.index(known.positive) if known.positive in run.classes else -1
    try:
        answers = _model(project, known)
        ranked = damage.rank(
            known.inputs, _as_trained(known, table), answers, features,
            estimator=known.estimator, positive=positive,
        )  # fmt: skip
    except MLOpsError as error:
        text = f"The model could not be asked what the drift does: {error.message}"
        return [Result("prediction", "damage", "damage", False, text, unable=True)]
    broken = any(each.statistic == "fault" for each in fired)
    return [_result(ranked, estimates=not broken)] if ranked else []


def _model(project: Project, known: References) -> Callable[[pa.Table], Any]:
    run, pipeline = known.run, referring.pipeline_of(project, known.run)
    return lambda table: training.fitting.predict(pipeline, table, run.features, run.task)


def _as_trained(known: References, table: pa.Table) -> pa.Table:
    """With all features that the model takes, and dates without a zone where it knows none."""
    here = set(table.column_names)
    for name in known.run.features:
        feature = known.inputs.features.get(name)
        if name not in here:
            texts = feature is not None and feature.kind in ("category", "text")
            table = table.append_column(
                name, pa.nulls(table.num_rows, pa.string() if texts else pa.float64())
            )
        column = table.column(name)
        if pa.types.is_timestamp(column.type) and feature is not None and "tz" not in feature.type:
            place = table.column_names.index(name)
            table = table.set_column(place, name, column.cast(pa.timestamp("us")))
    return table


def _result(ranked: Sequence[Damage], *, estimates: bool) -> Result:
    """``estimates``: of performance are told, too; they do not hold for what a broken feed says."""
    first = ", ".join(
        f"'{each.feature}' {each.effect:.3g} ({each.low:.3g} to {each.high:.3g}, {each.share:.0%})"
        for each in ranked[:_NAMED]
        if each.effect > 0
    )
    more = len([each for each in ranked if each.effect > 0]) - _NAMED
    told = f"What drift does to the answers, on average over {ranked[0].rows:,} rows: {first}"
    text = f"{told}{f' and {more} more features' if more > 0 else ''}." if first else (
        "The features that drifted do not move the answers."
    )  # fmt: skip
    harm = max(ranked, key=lambda each: each.harm or 0.0)
    if estimates and harm.harm is not None and harm.metric and harm.harm > 0 and harm.effect > 0:
        text += (
            f" Without the drift of '{harm.feature}' the {harm.metric} to expect would be "
            f"{harm.repaired:.3f} instead of {harm.performance:.3f}."
        )
    return Result(
        "prediction", "damage", "damage", False, text,
        value=float(np.max([each.effect for each in ranked])),
        details={"ranking": [dump(each) for each in ranked]},
    )  # fmt: skip
