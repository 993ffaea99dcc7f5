"""Nouns of the decisions: to retrain or not, to promote or not, with the evidence in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FairMetric = Literal["selection_rate", "true_positive_rate", "false_positive_rate", "accuracy"]

BASELINE = "baseline"  # what a verdict is against where there is no champion to compare with


@dataclass(frozen=True)
class Evidence:
    """One thing that was looked at. ``fired``: it speaks for retraining (or against promoting)."""

    check: str
    fired: bool
    message: str
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Drift:
    """The relative mean shift per feature; ``score`` is the largest, in ``feature``. See monitoring.drift."""

    score: float
    feature: str | None
    shifts: dict[str, float] = field(default_factory=dict)
    rows: int = 0
    enough: bool = True


@dataclass(frozen=True)
class Decision:
    """``retrain``: go and train. ``keep``: nothing speaks for it. ``refuse``: something speaks against it."""

    action: Literal["retrain", "keep", "refuse"]
    reason: str
    evidence: tuple[Evidence, ...] = ()

    @property
    def retrain(self) -> bool:
        return self.action == "retrain"


@dataclass(frozen=True)
class Comparison:
    """Challenger against champion on the same rows, paired. ``improvement`` is signed so that positive is
    better for the challenger, whichever direction the metric has; ``low`` and ``high`` bound it at
    ``confidence`` (two-sided)."""

    metric: str
    champion: float
    challenger: float
    improvement: float
    low: float
    high: float
    rows: int
    confidence: float
    name: str = "all"


@dataclass(frozen=True)
class GateVerdict:
    """Whether the challenger may become champion, and why. ``checks`` are what the policy asks for besides
    the comparison: those that fired speak against it."""

    promote: bool
    reason: str
    comparison: Comparison | None = None
    slices: tuple[Comparison, ...] = ()
    worse_slices: tuple[str, ...] = ()
    against: str | None = None
    checks: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class RetrainPolicy:
    """When to retrain. ``performance_min`` bounds ``metric`` from below (losses: from above)."""

    metric: str = "accuracy"
    performance_min: float | None = None
    drift_threshold: float | None = None
    min_samples: int = 50


@dataclass(frozen=True)
class Fairness:
    """What a model may do differently to the groups of ``column``: between any two of them ``metric`` may
    lie ``max_difference`` apart at most, or be ``min_ratio`` of the other at least. Groups with fewer than
    ``min_rows`` rows that count are not judged."""

    column: str
    metric: FairMetric = "selection_rate"
    max_difference: float | None = None
    min_ratio: float | None = None
    min_rows: int = 30


@dataclass(frozen=True)
class GatePolicy:
    """When a challenger may replace the champion: its ``metric`` must be better by more than ``margin`` with
    ``confidence``, and on no guarded slice worse by more than ``slice_margin``. Slices with fewer than
    ``min_slice_rows`` rows are not judged; with fewer than ``min_rows`` rows in all there is no promotion.

    The rest is asked only where it is set. On the data version ``frozen`` it may not be shown to be worse by
    more than ``frozen_margin``. ``calibration_max`` bounds its calibration error and ``calibration_margin``
    what that may be above the champion's; ``latency_max`` (seconds) and ``latency_ratio`` (to the champion's)
    the time of one row; ``size_max`` the bytes of its file.

    ``looks``: it may be judged so many times, and ``confidence`` is that of all of them together; each is
    asked for more. What speaks against it is shown with ``confidence`` at each."""

    metric: str | None = None
    margin: float = 0.0
    confidence: float = 0.95
    slices: tuple[str, ...] = ()
    slice_margin: float = 0.0
    min_rows: int = 30
    min_slice_rows: int = 100
    frozen: str | None = None
    frozen_margin: float = 0.0
    calibration_max: float | None = None
    calibration_margin: float | None = None
    latency_max: float | None = None
    latency_ratio: float | None = None
    size_max: int | None = None
    fairness: tuple[Fairness, ...] = ()
    looks: int = 1

    @property
    def confidence_of_look(self) -> float:
        """All of them together let one that is no better through no more often than one does (Bonferroni)."""
        return 1 - (1 - self.confidence) / self.looks
