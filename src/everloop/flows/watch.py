"""Watch a model from outside of its turns: metrics that others measured, drift of a table, the decision."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence

from everloop.core.data import ColumnStatistics
from everloop.core.decisions import Decision, Drift, RetrainPolicy
from everloop.core.documents import dump
from everloop.core.errors import DriftDetectionError, MLOpsError, MonitoringError
from everloop.data import identity, reading, statistics
from everloop.monitoring import drift
from everloop.retraining import policy
from everloop.store import history as stored
from everloop.store import models
from everloop.store.times import to_text

from . import history
from .project import Project


def record_metrics(
    project: Project,
    model: str,
    values: Mapping[str, float],
    *,
    data_version: str | None = None,
    model_version: str | None = None,
    rows: int | None = None,
) -> None:
    """Add measured values to a model's history. Raises MonitoringError for what is no finite number, and for
    rows that are no whole one."""
    numbers = {str(name): _number(name, value) for name, value in values.items()}
    counted = None if rows is None else _count(rows)
    with project.store.writing() as tx:
        stored.add_metrics(
            tx,
            model,
            numbers,
            at=project.clock.now(),
            rows=counted,
            data_version=data_version,
            model_version=model_version,
        )
    history.write_files(project)


def set_reference(project: Project, model: str, source: object) -> str:
    """Make a table what later ones are compared with; returns its version id. Its rows are not kept."""
    table = reading.refuse_empty(reading.to_table(source))
    version_id = identity.version_id(table, project.settings.data_versioning.hash_algorithm)
    now = project.clock.now()
    with project.store.writing() as tx:
        models.set_reference(tx, model, version_id, statistics.describe(table), to_text(now))
        summary = f"reference is a table of {table.num_rows:,} rows, version {version_id[:12]}"
        details = {"data_version": version_id, "rows": table.num_rows}
        stored.append(tx, model, "referenced", summary, at=now, by=project.user, details=details)
    return version_id


def measure_drift(
    project: Project, model: str, source: object, *, features: Sequence[str] = (), min_samples: int = 50
) -> Drift:
    """How far a table lies from the reference, recorded in the drift history; see ``monitoring.drift``.

    ``features`` empty means the champion's, or all columns of the reference while there is no champion.
    Raises DriftDetectionError where that cannot be said.
    """
    known, chosen = _reference(project, model, features)
    current = statistics.describe(reading.refuse_empty(reading.to_table(source)))
    try:
        found = drift.mean_shift(known, current, chosen, min_samples=min_samples)
    except MLOpsError as error:
        raise DriftDetectionError(error.message, remedy=error.remedy) from error
    with project.store.writing() as tx:
        scores = {"drift_score": found.score}
        stored.add_metrics(tx, model, scores, at=project.clock.now(), rows=found.rows)
    history.write_files(project)
    return found


def decide(
    project: Project,
    model: str,
    rules: RetrainPolicy,
    *,
    performance: float | None,
    performance_rows: int | None = None,
    drift: Drift | None = None,
    no_model_yet: bool = False,
) -> Decision:
    """Whether to retrain, from what somebody else measured; recorded with its evidence either way."""
    if performance is not None:
        performance = _number(rules.metric, performance)
    champion = None if no_model_yet else _serving(project, model)
    decision = policy.decide(
        rules,
        champion=champion,
        rows=None,
        fresh_rows=None,
        performance=performance,
        performance_rows=performance_rows,
        drift=drift,
    )
    details = {"decision": dump(decision), "champion": champion, "drift": dump(drift) if drift else None}
    with project.store.writing() as tx:
        summary = f"{decision.action}: {decision.reason}"
        now = project.clock.now()
        stored.append(tx, model, "decided", summary, at=now, by=project.user, details=details)
    return decision


def _reference(
    project: Project, model: str, features: Sequence[str]
) -> tuple[Mapping[str, ColumnStatistics], Sequence[str]]:
    with project.store.reading() as tx:
        found = models.reference(tx, model)
        champion = models.champion(tx, model)
        trained = models.find_run(tx, champion.run_id).features if champion else ()
    if found is None:
        raise DriftDetectionError(
            f"There is no reference to measure the drift of '{model}' from.",
            remedy="Set one (ModelMonitor.set_reference), or train a model: its data become the reference.",
        )
    usual = [name for name in trained if name in found[1]] or list(found[1])
    return found[1], features or usual


def _serving(project: Project, model: str) -> str:
    """The version that serves, as far as it is known: the champion, else the one measured last."""
    with project.store.reading() as tx:
        champion = models.champion(tx, model)
        named = [row["model_version"] for row in stored.list_metrics(tx, model) if row["model_version"]]
    if champion:
        return champion.version
    return str(named[-1]) if named else "its version was not told"


def _count(rows: int) -> int:
    """A plain number: SQLite would store numpy's as bytes."""
    try:
        return operator.index(rows)
    except TypeError as error:
        raise MonitoringError(f"The number of rows is {rows!r}.", remedy="Give a whole number.") from error


def _number(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise MonitoringError(f"The metric '{name}' is {value!r}.", remedy="Give a finite number.")
    return number
