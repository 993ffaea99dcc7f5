"""What a challenger has to show before it becomes champion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from everloop.core import decisions, spans
from everloop.core.decisions import FairMetric, GatePolicy

from .section import Section


class Fairness(Section):
    column: str = Field(description="Whose values are the groups; it need not be a feature.")
    metric: FairMetric = Field("selection_rate", description="What is compared between groups.")
    max_difference: float | None = Field(None, gt=0, lt=1, description="Between any two groups, at most.")
    min_ratio: float | None = Field(None, gt=0, lt=1, description="Of any group to any other, at least.")
    min_rows: int = Field(30, ge=2, description="Groups with fewer rows that count are not judged.")

    @model_validator(mode="after")
    def _one_limit(self) -> Fairness:
        if (self.max_difference is None) == (self.min_ratio is None):
            raise ValueError("give either max_difference (such as 0.1) or min_ratio (such as 0.8)")
        return self


def _seconds(given: object) -> object:
    if not isinstance(given, str):
        return given
    if spans.is_span(given):
        return spans.seconds(given)
    try:
        return float(given)
    except ValueError:
        raise ValueError(f"it is {given!r}; write seconds, 0.005, or a span of time, 0.005s") from None


def _listed(given: object) -> object:
    return [given] if isinstance(given, Mapping) else given


class Gate(Section):
    metric: str | None = Field(None, description="[log_loss; rmse for regression]")
    margin: float = Field(0.0, ge=0)
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    slices: tuple[str, ...] = Field((), description="Columns: on none of their values may it be worse.")
    slice_margin: float = Field(0.0, ge=0)
    min_rows: int = Field(30, ge=2)
    min_slice_rows: int = Field(100, ge=2)
    frozen: str | None = Field(
        None, description="A data version with labels, DATASET@TAG, on which it may not be worse either."
    )
    frozen_margin: float = Field(0.0, ge=0, description="By how much it may be worse there.")
    calibration_max: float | None = Field(None, gt=0, lt=1, description="Largest calibration error.")
    calibration_margin: float | None = Field(
        None, ge=0, lt=1, description="How far it may lie above the champion's."
    )
    latency_max: Annotated[float | None, BeforeValidator(_seconds)] = Field(
        None, gt=0, description="Seconds that one row may take; or a span."
    )
    latency_ratio: float | None = Field(None, gt=0, description="The same, as a multiple of the champion's.")
    size_max: int | None = Field(None, ge=1, description="Bytes of the fitted model's file.")
    fairness: Annotated[tuple[Fairness, ...], BeforeValidator(_listed)] = Field(
        (), description="What groups may be treated differently: one constraint or a list."
    )

    def policy(self) -> GatePolicy:
        fair = tuple(decisions.Fairness(**each.model_dump()) for each in self.fairness)
        return GatePolicy(**{**self.model_dump(), "fairness": fair})
