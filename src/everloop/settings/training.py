"""What is trained, on which rows, and what is looked for before."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from everloop.core.runs import SplitKind, Tuning

from .section import Section

Share = Annotated[float, Field(gt=0, lt=1)]


class PreparationSection(Section):
    numeric_missing: Literal["median", "mean", "zero", "keep"] = "median"
    scale: bool = True
    max_categories: int = Field(40, ge=2)
    min_frequency: int = Field(10, ge=1)


class Tune(Section):
    seconds: float = Field(60.0, gt=0, description="No trial is begun that would end after so long.")
    trials: int = Field(50, ge=1, description="At most so many.")
    params: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict, description="[low, high], [low, high, log] or values [the estimator's usual]"
    )

    @field_validator("params")
    @classmethod
    def _searchable(cls, params: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for name, space in params.items():
            numbers = [value for value in space[:2] if _is_number(value)]
            logarithmic = len(space) == 3 and space[2] == "log"
            if not space:
                raise ValueError(f"{name} has nothing to choose from; give [low, high] or a list of values")
            if len(numbers) == 2 and (len(space) == 2 or logarithmic) and not numbers[0] < numbers[1]:
                raise ValueError(f"{name}: {numbers[0]} is not below {numbers[1]}; give [low, high]")
            if logarithmic and (len(numbers) < 2 or numbers[0] <= 0):
                raise ValueError(f"{name}: 'log' stands after two numbers above 0, as in [0.01, 0.3, log]")
        return params

    @property
    def wanted(self) -> Tuning:
        return Tuning(self.seconds, self.trials, self.params)


class Training(Section):
    model_type: str = Field("logistic", description="An estimator's name, or file.py:function.")
    random_state: int = Field(42, ge=0, lt=2**32)
    test_size: Share = 0.2
    split: SplitKind | None = Field(None, description="[stratified; random for regression]")
    cross_validation: int = Field(0, ge=0, description="Folds; 0 leaves it out.")
    max_iter: int | None = Field(None, ge=1)
    C: float | None = Field(None, gt=0)
    params: dict[str, Any] = Field(default_factory=dict, description="The estimator's own parameters.")
    preparation: PreparationSection = PreparationSection()
    data: Literal["all", "recent", "weighted", "seasonal", "try"] = Field(
        "all", description="Which training rows count, by time_column; try finds out."
    )
    tune: Tune | None = Field(None, description="Look for parameters with Optuna [not].")
    warm_start: bool = Field(False, description="Go on from the champion's fit where that can be done.")

    @model_validator(mode="after")
    def _folds(self) -> Training:
        if self.cross_validation == 1:
            raise ValueError("cross_validation takes 0 (none) or at least 2 folds, not 1")
        return self


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
