"""How the loop retrains by itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from everloop.core import spans
from everloop.core.errors import Invalid
from everloop.retraining import schedule
from everloop.retraining.triage import Rules

from .section import Section, Span

Rollout = Literal["direct", "canary", "shadow", "shadow-canary"]


class Retraining(Section):
    on: tuple[Literal["performance", "estimated", "drift", "labels", "data"], ...] = Field(
        ("performance", "estimated", "drift", "labels", "data"),
        description="What makes the loop think about it by itself; () leaves it to people and the clock.",
    )
    schedule: str | None = Field(None, description='A cron expression, UTC: "0 3 * * 1".')
    new_labels: int = Field(500, ge=1, description="So many new labelled rows make it think about it.")
    min_rows: int = Field(50, ge=1, description="New labelled rows, with fewer it waits.")
    production: bool = Field(True, description="Predictions with a label are rows to train on.")
    past_gains: bool = Field(True, description="Let the gains of the last candidates speak for the next.")
    try_data: bool = Field(
        True, description="Where training.data is all: try which rows to train on, newest or weighted ones."
    )
    cooldown: Span = Field("1d", description="At least so long between two retrainings.")
    budget: int = Field(8, ge=1, description="Retrainings, at most, in each period.")
    period: Span = Field("30d", description="Of the budget.")
    rollout: Rollout = Field(
        "canary", description="How a new version goes out; directly where nobody asks for predictions."
    )
    approve: tuple[Literal["train", "release"], ...] = Field(
        (), description="Before which steps people are asked."
    )
    retry: Span = Field("5m", description="After a failure that passes (a full disk); then ever later.")

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, expression: str | None) -> str | None:
        if expression is None:
            return None
        try:
            return schedule.check(expression)
        except Invalid as error:
            raise ValueError(f"{error.message} {error.remedy}") from error

    @field_validator("period", "retry")
    @classmethod
    def _takes_time(cls, span: str) -> str:
        if spans.seconds(span) <= 0:
            raise ValueError(f"it is '{span}', and has to be longer than 0s.")
        return span

    @property
    def rules(self) -> Rules:
        """What triage goes by."""
        return Rules(spans.seconds(self.cooldown), self.budget, spans.seconds(self.period), self.min_rows)
