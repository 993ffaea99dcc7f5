"""Monitoring for Python: record metrics, measure drift, ask whether to retrain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from everloop.core.decisions import Decision, Drift, RetrainPolicy
from everloop.core.errors import DriftDetectionError, InvalidSettings
from everloop.core.models import Event
from everloop.flows import history, watch
from everloop.flows.releases import memory

from .places import close_with, first_model, open_place
from .refusals import as_monitoring_errors
from .shown import shown

_USUAL_ACCURACY = 0.70
METRIC = "accuracy"


class DriftReport(TypedDict):
    """``score`` is the largest of ``shifts`` (by feature), in ``feature``; ``drifted``: on enough rows it is
    over the threshold."""

    score: float
    feature: str | None
    shifts: dict[str, float]
    rows: int
    enough: bool
    drifted: bool


class ModelMonitor:
    """The metrics of one model over time, its reference data, and the decision to retrain.

    Args:
        folder: where ``metrics_history.json`` and ``drift_history.json`` are written [the project's].
        accuracy_min_threshold: retrain when the accuracy is lower [the configuration's, else 0.70].
        drift_threshold: retrain when a feature's mean moved by more than this share [else 5.0].
        drift_min_samples: with fewer rows no drift is claimed [else 50].
        model: the model's name [the configuration's first].
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        accuracy_min_threshold: float | None = None,
        drift_threshold: float | None = None,
        drift_min_samples: int | None = None,
        *,
        model: str | None = None,
        tenant_id: str | None = None,
    ) -> None:
        self._project = open_place(folder, "monitoring", tenant_id)
        close_with(self, self._project)
        self.model = first_model(self._project, model)
        self._rules = self._combine(accuracy_min_threshold, drift_threshold, drift_min_samples)

    @as_monitoring_errors
    def record_metrics(
        self,
        metrics: float | Mapping[str, float],
        *,
        data_version: str | None = None,
        model_version: str | None = None,
        rows: int | None = None,
    ) -> None:
        """Add an accuracy, or metrics by name, to the history. Raises MonitoringError for NaN."""
        values = metrics if isinstance(metrics, Mapping) else {METRIC: metrics}
        watch.record_metrics(
            self._project,
            self.model,
            values,
            data_version=data_version,
            model_version=model_version,
            rows=rows,
        )

    @as_monitoring_errors
    def metrics_history(self, name: str | None = None) -> list[dict[str, Any]]:
        """Oldest first: name, value, at, rows, data_version, model_version, turn_id."""
        return history.metrics(self._project, self.model, name)

    @as_monitoring_errors
    def events(self, environment: str | None = None, *, limit: int | None = None) -> list[Event]:
        """Everything that happened to the model, oldest first: decisions, trainings, releases with their
        verdicts; or only its releases to an environment. ``limit``: the newest ones."""
        return memory.history(self._project, self.model, environment, limit)

    def set_reference(self, data: object) -> str:
        """Make a table what ``compute_drift`` compares with; returns its version id."""
        return watch.set_reference(self._project, self.model, data)

    def compute_drift(self, data: object, *, features: Sequence[str] = ()) -> DriftReport:
        """How far a table lies from the reference. Raises DriftDetectionError where that cannot be said."""
        least = self._rules.min_samples
        found = watch.measure_drift(self._project, self.model, data, features=features, min_samples=least)
        limit = self._rules.drift_threshold
        return shown(
            DriftReport(
                score=found.score,
                feature=found.feature,
                shifts=dict(found.shifts),
                rows=found.rows,
                enough=found.enough,
                drifted=limit is not None and found.enough and found.score > limit,
            )
        )

    def should_retrain(
        self,
        current_accuracy: float | None = None,
        no_model_yet: bool = False,
        drift: float | DriftReport | Drift | None = None,
    ) -> bool:
        """Whether to train now; ``decide`` also says why. The decision is recorded."""
        return self.decide(current_accuracy, no_model_yet, drift).retrain

    def decide(
        self,
        current_accuracy: float | None = None,
        no_model_yet: bool = False,
        drift: float | DriftReport | Drift | None = None,
    ) -> Decision:
        """The decision with its evidence, recorded in the history. What is not given is not measured."""
        return watch.decide(
            self._project,
            self.model,
            self._rules,
            performance=current_accuracy,
            drift=_as_drift(drift),
            no_model_yet=no_model_yet,
        )

    def close(self) -> None:
        self._project.close()

    def _combine(self, accuracy: float | None, drift: float | None, least: int | None) -> RetrainPolicy:
        settings = self._project.settings
        model = settings.models.get(self.model)
        known = model.monitoring if model else settings.monitoring
        usual = (
            known.performance_min if known.accuracy_min_threshold is None else known.accuracy_min_threshold
        )
        if usual is None and settings.file is None:
            usual = _USUAL_ACCURACY
        return RetrainPolicy(
            METRIC,
            usual if accuracy is None else _threshold("accuracy_min_threshold", accuracy, most=1),
            known.drift_threshold if drift is None else _threshold("drift_threshold", drift),
            known.drift_min_samples if least is None else int(_threshold("drift_min_samples", least)),
        )


def _threshold(name: str, value: float, most: float = math.inf) -> float:
    number = _finite(value)
    if number is None or not 0 <= number <= most:
        wanted = "a number of 0 or more" if most == math.inf else f"a number from 0 to {most:g}"
        raise InvalidSettings(f"{name} is {value!r}.", remedy=f"Give {wanted}.")
    return number


def _as_drift(given: float | DriftReport | Drift | None) -> Drift | None:
    if given is None or isinstance(given, Drift):
        return given
    if isinstance(given, Mapping) and given.keys() >= DriftReport.__required_keys__:
        return Drift(given["score"], given["feature"], dict(given["shifts"]), given["rows"], given["enough"])
    score = _finite(given)
    if score is None:
        raise DriftDetectionError(
            f"The drift is {given!r}.", remedy="Give what compute_drift returned, or a finite number."
        )
    return Drift(score, None)


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
