"""How models are watched, in turns and in production."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator, model_validator

from everloop.core import spans
from everloop.core.monitoring import SHARES

from .section import Section, Span


class Watch(Section):
    metric: str | None = Field(None, description="What is watched [accuracy; rmse for regression].")
    performance_min: float | None = Field(None, description="Retrain, and alert, when the metric is worse.")
    accuracy_min_threshold: float | None = Field(None, ge=0, le=1, description="The same for accuracy.")
    drift_threshold: float | None = Field(5.0, ge=0, description="Retrain when the mean shift is larger.")
    drift_min_samples: int = Field(50, ge=1, description="With fewer rows nothing is decided on.")

    window: Span = Field("1d", description="Of production: each is checked once, when it is over.")
    min_rows: int = Field(500, ge=30, description="A window with fewer rows lasts longer.")
    false_alarms: float = Field(
        0.1, gt=0, le=30, description="Of drift, to be expected in 30 days in which nothing changes."
    )
    season: Literal["hour", "weekday"] | None = Field(
        None, description="Compare with the same hour or weekday of the training data; needs time_column."
    )
    slices: tuple[str, ...] = Field((), description="Columns: performance is also measured on their values.")
    suite: str | None = Field(
        None, description="A file: a suite of Great Expectations 1.x (JSON), run on each window."
    )
    label_wait: Span = Field("30d", description="A window whose labels have not come by then is given up.")

    @field_validator("window")
    @classmethod
    def _whole_hours(cls, window: str) -> str:
        length = spans.seconds(window)
        if length < 3600 or length % 3600:
            raise ValueError(f"'{window}' is no whole number of hours; give one such as 1h, 6h, 1d or 7d")
        return window

    @model_validator(mode="after")
    def _one_threshold(self) -> Watch:
        if self.performance_min is not None and self.accuracy_min_threshold is not None:
            raise ValueError("set performance_min or accuracy_min_threshold, not both")
        if self.accuracy_min_threshold is not None and self.metric not in (None, "accuracy"):
            raise ValueError(f"accuracy_min_threshold does not go with metric '{self.metric}'")
        least = self.performance_min
        if least is not None and not math.isfinite(least):
            raise ValueError(f"performance_min is {least}, which nothing is better or worse than")
        if least is not None and self.metric in SHARES and not 0 <= least <= 1:
            raise ValueError(f"performance_min is {least:g}, and {self.metric} is between 0 and 1")
        return self


class Monitoring(Watch):
    metrics_history_file: str = Field("metrics_history.json", description="In paths.monitoring.")
    drift_history_file: str = Field("drift_history.json", description="In paths.monitoring.")
