"""Nouns of the decisions: to retrain or not, to promote or not, with the evidence in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


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
    """Whether the challenger may become champion, and why."""

    promote: bool
    reason: str
    comparison: Comparison | None = None
    slices: tuple[Comparison, ...] = ()
    worse_slices: tuple[str, ...] = ()
    against: str | None = None


@dataclass(frozen=True)
class RetrainPolicy:
    """When to retrain. ``performance_min`` bounds ``metric`` from below (losses: from above)."""

    metric: str = "accuracy"
    performance_min: float | None = None
    drift_threshold: float | None = None
    min_samples: int = 50


@dataclass(frozen=True)
class GatePolicy:
    """When a challenger may replace the champion: its ``metric`` must be better by more than ``margin`` with
    ``confidence``, and on no guarded slice worse by more than ``slice_margin``. Slices with fewer than
    ``min_slice_rows`` rows are not judged; with fewer than ``min_rows`` rows in all there is no promotion."""

    metric: str | None = None
    margin: float = 0.0
    confidence: float = 0.95
    slices: tuple[str, ...] = ()
    slice_margin: float = 0.0
    min_rows: int = 30
    min_slice_rows: int = 100
