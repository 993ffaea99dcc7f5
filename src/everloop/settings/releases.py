"""Environments, and how models are released to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from everloop.core import spans
from everloop.core.errors import InvalidSettings, nearest
from everloop.core.releases import ENVIRONMENTS, environment_name

from .section import Section, Span


class EnvironmentRules(Section):
    after: str | None = Field(None, description="Only versions that are current there may come: staging.")
    time: Span = Field("0s", description="So long they have been current there: 24h.")
    validated: bool = Field(False, description="Only versions that passed the gate.")
    approval: str | None = Field(None, description="The role that approves each release.")

    @field_validator("after")
    @classmethod
    def _one_name(cls, after: str | None) -> str | None:
        return None if after is None else environment_name(after)

    @field_validator("approval")
    @classmethod
    def _names_a_role(cls, approval: str | None) -> str | None:
        if approval is not None and not approval.strip():
            raise ValueError("name a role, or leave it out")
        return approval

    @model_validator(mode="after")
    def _somewhere(self) -> EnvironmentRules:
        if self.after is None and spans.seconds(self.time):
            raise ValueError(f"time is {self.time}, and 'after' does not say in which environment")
        return self


def check_environments(environments: Mapping[str, EnvironmentRules], *, served: str) -> None:
    """Raises InvalidSettings where one is named that there is not, or one comes after itself."""
    after = {name: rules.after for name, rules in environments.items()}
    known = dict.fromkeys([*ENVIRONMENTS, *environments])
    if served not in known:
        raise InvalidSettings(f"serving.environment is '{served}'.", remedy=nearest(served, known))
    for name, before in after.items():
        if before is not None and before not in known:
            others = [each for each in known if each != name]
            raise InvalidSettings(f"environments.{name}.after is '{before}'.", remedy=nearest(before, others))
        way = [name]
        while before is not None and before not in way:
            way.append(before)
            before = after.get(before)
        if before == name:
            raise InvalidSettings(
                f"No version could ever come to {name}: {' after '.join([*way, name])}.",
                remedy=f"Take environments.{name}.after away, or another of these.",
            )


class ReleaseRules(Section):
    measures: dict[str, float] | None = Field(
        None, description="Each with the harm that is put up with: {accuracy: 0.01} [by task and labels]."
    )
    goal: Literal["no_harm", "better"] = Field("no_harm", description="What a candidate has to prove.")
    steps: tuple[float, ...] = Field(
        (0.05, 0.1, 0.25, 0.5), description="Shares of a canary; its control has as much."
    )
    dwell: Span = Field("1h", description="At least so long at each step.")
    longest: Span = Field("14d", description="Then it is inconclusive.")
    burn_in: int = Field(100, ge=2, description="Units of an arm before means are judged.")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Probability of a false verdict, at most.")
    power: float = Field(0.8, gt=0, lt=1, description="Of finding a harm as large as the margin.")
    label_delay: Span | None = Field(None, description="When labels count as there [learnt].")
    unit: Literal["request", "entity"] = Field("request", description="What an arm is chosen for.")
    failed: float | None = Field(1.0, ge=1, description="Failures, as a multiple of the control's.")
    refused: float | None = Field(1.0, ge=1, description="Refused inputs, likewise.")
    slow: float | None = Field(1.0, ge=1, description="Slow answers, likewise.")
    slow_above: float | None = Field(
        None, gt=0, description="What slow is, in ms [the 95 % quantile + half, or + 20]."
    )
    probation: Span = Field("1h", description="How long blue-green keeps the old version at hand.")

    @field_validator("steps")
    @classmethod
    def _widen(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if not steps or any(not 0 < each <= 0.5 for each in steps) or list(steps) != sorted(set(steps)):
            raise ValueError("give shares that grow, above 0 and up to 0.5, such as [0.05, 0.25, 0.5]")
        return steps
