"""Served predictions and their labels for Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from everloop.core.moments import ago
from everloop.core.serving import Prediction
from everloop.flows import serving
from everloop.flows.releases import memory
from everloop.flows.releases.memory import Explanation
from everloop.flows.serving.labels import LabelItem, LabelOutcome, Period
from everloop.settings import load_settings
from everloop.wiring import connect

from .places import close_with, first_model, flags_of


class PredictionLog:
    """What the models of the project in the working folder predicted, and what was true.

    Args:
        model: the model's name [the configuration's first].
    """

    def __init__(self, model: str | None = None, *, tenant_id: str | None = None) -> None:
        self._project = connect(load_settings(flags=flags_of(tenant_id)))
        close_with(self, self._project)
        self.model = first_model(self._project, model)

    def list(
        self,
        *,
        version: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        label: str | None = None,
        limit: int = 100,
    ) -> Sequence[Prediction]:
        """Predictions with their latest labels, newest first. ``label``: ``known``, ``missing`` or a label;
        ``limit`` 1 to 1,000. Raises Invalid."""
        serving.recording.record(self._project)
        found: list[Prediction] = serving.history.page(
            self._project,
            model=self.model,
            version=version,
            since=since,
            until=until,
            label=label,
            limit=limit,
        )[0]
        return found

    def label(self, prediction_id: str, label: str | float | bool, at: datetime | None = None) -> str:
        """Tell what was true of a prediction; says ``new``, ``corrected``, ``unchanged`` or ``unmatched`` (no
        such prediction yet: kept until it comes). Raises Invalid for what is no class of the model."""
        result = self.add_labels([{"prediction_id": prediction_id, "label": label, "at": at}]).results[0]
        if result.error is not None:
            raise result.error
        return result.status

    def add_labels(self, labels: Sequence[Mapping[str, Any]]) -> LabelOutcome:
        """Tell what was true of many, each with ``prediction_id``, ``label`` and perhaps ``at``. What is
        invalid is told in its result and does not stop the others."""
        serving.recording.record(self._project)
        items = [LabelItem(one["prediction_id"], one["label"], one.get("at")) for one in labels]
        outcome: LabelOutcome = serving.labels.add(self._project, items)
        return outcome

    def maturity(self, days: float = 7, *, by: Literal["day", "hour"] = "day") -> Sequence[Period]:
        """How complete the labels of each period are, and how good its predictions were."""
        now = self._project.clock.now()
        found: list[Period] = serving.labels.maturity(
            self._project, self.model, ago(now, days=days), now, by=by
        )
        return found

    def explain(self, prediction_id: str) -> Explanation:
        """From an answer back: what chose the version, its model, run, code and data. Raises NotFound."""
        serving.recording.record(self._project)
        return memory.explain(self._project, prediction_id)

    def export(self, since: datetime | None = None, until: datetime | None = None) -> str:
        """Register the predictions as a version of the dataset MODEL.predictions; its id.

        Raises EmptyTable where there is none."""
        serving.recording.record(self._project)
        version_id: str = serving.exporting.export(self._project, self.model, since, until).version.version_id
        return version_id

    def close(self) -> None:
        self._project.close()
