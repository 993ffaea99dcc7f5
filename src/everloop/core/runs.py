"""Nouns of the training room: what to train, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Task = Literal["classification", "regression"]
SplitKind = Literal["random", "stratified", "time", "group"]
RowChoice = Literal["all", "recent", "weighted", "seasonal"]


OUTSIDE = "outside"
"""The turn of a run that no turn made: its model was trained elsewhere and registered."""


@dataclass(frozen=True)
class Split:
    """How held-out rows are chosen: ``test_size`` is their share. ``column`` is the time or group column."""

    kind: SplitKind = "stratified"
    test_size: float = 0.2
    column: str | None = None


@dataclass(frozen=True)
class Preparation:
    """What is fitted on training rows only and shipped inside the model.

    ``numeric_missing``: ``median``, ``mean``, ``zero`` or ``keep`` (for estimators that take missing values).
    ``max_categories`` per column; rarer ones share one code, unseen ones too.
    """

    numeric_missing: Literal["median", "mean", "zero", "keep"] = "median"
    scale: bool = True
    max_categories: int = 40
    min_frequency: int = 10


@dataclass(frozen=True)
class Business:
    """Money per outcome of a decision (revenue positive, cost negative), for two classes."""

    true_positive: float = 0.0
    false_positive: float = 0.0
    true_negative: float = 0.0
    false_negative: float = 0.0


@dataclass(frozen=True)
class Tuning:
    """Parameters are to be looked for, for ``seconds`` and in ``trials`` at most.

    ``params`` maps name to where it is looked for: two numbers are the ends of a range, with ``log`` as third
    by orders of magnitude; anything else is a list of values. Empty: the estimator's usual ones.
    """

    seconds: float = 60.0
    trials: int = 50
    params: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training does, besides the data: same recipe and data, same model.

    ``estimator`` is a short name (``logistic``, ``random_forest`` …), a dotted scikit-learn class, or
    ``file.py:function`` (called with the parameters, returns an unfitted estimator). ``features`` empty means
    all columns but target, time, group and excluded ones. ``user_code`` is the sha256 of the user's file.
    ``data`` says which training rows count, by their times in ``time_column``; ``try`` is to find out.
    ``warm_start`` goes on from the champion's fit where that can be done.
    """

    target: str
    task: Task | None = None
    estimator: str = "logistic"
    params: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    positive: str | None = None
    split: Split = field(default_factory=Split)
    preparation: Preparation = field(default_factory=Preparation)
    folds: int = 0
    seed: int = 42
    business: Business | None = None
    user_code: str | None = None
    data: RowChoice | Literal["try"] = "all"
    time_column: str | None = None
    tune: Tuning | None = None
    warm_start: bool = False


@dataclass(frozen=True)
class Choice:
    """Which training rows counted, and why: ``chosen`` of the choices in ``losses``.

    ``losses`` has one number per block and choice, the mean loss (log loss, or squared error) on the rows of
    the block of a model that was trained on the rows before; empty when nothing was tried. ``blocks`` are the
    times that the blocks begin with, as texts, the oldest first.
    """

    chosen: RowChoice
    reason: str
    losses: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    blocks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tuned:
    """What a search for parameters found. ``params`` are the ones that differ from the recipe's, empty when
    nothing was better. ``loss`` and ``loss_before`` are means over folds of the training rows, with and
    without ``params`` (None: no time for it). ``trials`` counts those that were begun."""

    params: Mapping[str, Any]
    trials: int
    seconds: float
    reason: str
    loss: float | None = None
    loss_before: float | None = None


@dataclass(frozen=True)
class Environment:
    """Where a run happened: enough to say later why a reproduction differs."""

    python: str
    platform: str
    packages: Mapping[str, str]
    git_commit: str | None = None
    git_dirty: bool = False


@dataclass(frozen=True)
class Run:
    """One training: recipe + data version -> model, with what was measured on held-out rows.

    ``metrics`` are of the held-out rows, ``series`` are metrics by step (cross-validation folds, boosting
    rounds). ``model`` addresses the fitted pipeline in the artifact store, ``rows_seen`` the hashes of the
    training rows, ``plots`` name -> address. ``predictions_hash`` is compared by ``runs reproduce``.
    ``choice`` and ``tuned`` are what was found where the recipe asks to look. ``warm_from`` is the run whose
    fit was gone on from. ``row_times`` addresses the rows' times when they were not a column of the data,
    ``row_weights`` what each counted and ``row_judges`` whether it could be a test row, where not all did.
    """

    run_id: str
    model: str
    turn_id: str
    dataset: str
    data_version: str
    recipe: Recipe
    task: Task
    features: tuple[str, ...]
    classes: tuple[str, ...]
    train_rows: int
    test_rows: int
    dropped_rows: int
    metrics: Mapping[str, float]
    environment: Environment
    artifact: str
    artifact_format: str
    rows_seen: str
    predictions_hash: str
    started_at: datetime
    seconds: float
    series: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    plots: Mapping[str, str] = field(default_factory=dict)
    input_example: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    choice: Choice | None = None
    tuned: Tuned | None = None
    warm_from: str | None = None
    row_times: str | None = None
    row_weights: str | None = None
    row_judges: str | None = None

    @property
    def params(self) -> dict[str, Any]:
        """The estimator's parameters: the recipe's, with what tuning found."""
        return {**self.recipe.params, **(self.tuned.params if self.tuned else {})}
