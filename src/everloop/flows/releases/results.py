"""What came of a release, or comes so far: intervals over time, who answered what share, how segments differ;
of a shadow, how its answers lie apart from the champion's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from everloop.core.releases import BUCKETS, CHAMPION, CONTROL, FIXED, Interval, Look, Release
from everloop.core.runs import Business
from everloop.core.serving import Field
from everloop.deployment.compared import find_measure
from everloop.flows.project import Project
from everloop.store import models, observations, predictions, releases, shadows
from everloop.store.database import Row, Tx

from .observing import positive_of
from .showing import plan_words

MOST_LOOKS = 300
MOST_ROWS = 200_000  # of the newest, for segments
MOST_LEVELS = 8
BINS = 5
LEAST = 30  # rows of a segment that is told
FARTHEST = 20
_IN = "input: "  # begins the columns of inputs
_NORMAL = 1.96  # standard errors to either side: 95 %


@dataclass(frozen=True)
class Point:
    """The intervals of one look."""

    at: datetime
    step: int
    verdict: str
    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class Split:
    """Who answered what share from a moment on."""

    at: datetime
    shares: dict[str, float]
    reason: str


@dataclass(frozen=True)
class Segment:
    """The measure of an arm and of the control where ``field`` has a value: ``difference`` with its 95 %
    interval, each for itself and at this moment alone: a hint where to look, no verdict."""

    field: str
    value: str
    arm: str
    rows: int
    control_rows: int
    candidate: float
    control: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Slice:
    """Where ``field`` has a value: how often both said the same (of a regression None), how far they lie
    apart on average, and the difference of the measure over the rows with a label."""

    field: str
    value: str
    rows: int
    agreement: float | None
    gap: float | None
    labelled: int = 0
    difference: float | None = None


@dataclass(frozen=True)
class Apart:
    """A request on which both answers lie far apart."""

    prediction_id: str
    at: datetime
    gap: float
    champion: str
    candidate: str
    label: str | None
    inputs: dict[str, Any]


@dataclass(frozen=True)
class ShadowReport:
    """How the candidate's answers differ from the champion's, over ``rows``; the newest ``looked_at`` of them
    were read. ``confusion``: champion's class -> candidate's class -> rows. ``slices``: the worst first.
    ``latency_ms`` of the candidate is the time for one row of a batch."""

    rows: int
    units: int
    looked_at: int
    agreement: float | None
    gap: float | None
    gaps: tuple[float, ...]
    confusion: dict[str, dict[str, int]]
    slices: tuple[Slice, ...]
    farthest: tuple[Apart, ...]
    latency_ms: dict[str, float]


@dataclass(frozen=True)
class Results:
    """``conclusion`` in words; ``measure`` is what segments are compared by."""

    release: Release
    made_at: datetime
    plan: tuple[str, ...]
    conclusion: str
    course: tuple[Point, ...]
    split: tuple[Split, ...]
    look: Look | None
    measure: str | None
    segments: tuple[Segment, ...] = ()
    shadow: ShadowReport | None = None


def document(project: Project, release: Release) -> Results:
    """All that is known of a release by now."""
    shadow = shadow_report(project, release) if release.strategy == "shadow" else None
    with project.store.snapshot() as tx:
        looks = releases.some_looks(tx, release.release_id, MOST_LOOKS)
        entries = releases.list_traffic(
            tx, release.model, release.environment, release_id=release.release_id, limit=MOST_LOOKS
        )
        known = _Known(tx, release)
        measure = release.plan.measures[0].name if release.plan.measures else None
        segments = _segments(tx, release, known, measure) if measure and not shadow else []
    return Results(
        release=release,
        made_at=project.clock.now(),
        plan=plan_words(release),
        conclusion=_conclusion(release, looks[-1] if looks else None),
        course=tuple(Point(look.at, look.step, look.verdict, look.intervals) for look in looks),
        split=tuple(_split(entry.at, entry.arms, entry.reason) for entry in reversed(entries)),
        look=looks[-1] if looks else None,
        measure=measure,
        segments=tuple(segments),
        shadow=shadow,
    )


def _split(at: datetime, arms: Iterable[Any], reason: str) -> Split:
    return Split(at, {arm.name: arm.weight / BUCKETS for arm in arms}, reason)


def _conclusion(release: Release, look: Look | None) -> str:
    said = {
        "promoted": f"{release.version} was promoted",
        "rolled_back": f"{release.version} was rolled back",
        "aborted": "It was aborted",
        "inconclusive": f"It is inconclusive: {release.against} stays",
        "concluded": f"It is concluded: {release.against} stays",
        "waiting": "It waits for its approval",
    }.get(release.status)
    if said is None:
        return f"It is on its way. {look.reason}" if look else "It is on its way; nobody has looked yet."
    return f"{said}. {release.outcome[:1].upper()}{release.outcome[1:]}" if release.outcome else f"{said}."


class _Known:
    """What is known of the candidate's inputs and outcomes."""

    def __init__(self, tx: Tx, release: Release) -> None:
        version = models.find_model_version(tx, release.model, release.version)
        run = models.find_run(tx, version.run_id) if version else None
        self.fields: tuple[Field, ...] = version.form.fields if version and version.form else ()
        self.business = run.recipe.business if run else None
        self.positive = positive_of(run)


# -- segments ----------------------------------------------------------------------------------------------


def _segments(tx: Tx, release: Release, known: _Known, measure: str) -> list[Segment]:
    """The measure by the levels of each categorical input, the largest differences against the candidate
    first."""
    fields = [each.name for each in known.fields if each.kind in ("category", "boolean")]
    rows = observations.answers(tx, release.release_id, MOST_ROWS)
    frame = _frame(rows, fields, measure, known, ("",))
    if frame.empty or not fields:
        return []
    control = next((arm for arm in frame.variant.unique() if arm.removesuffix(FIXED) == CONTROL), None)
    arms = [arm for arm in frame.variant.unique() if arm not in (control, CHAMPION)]
    found = []
    for name in fields if control else ():
        for level in _levels(frame[_IN + name]):
            inside = frame[frame[_IN + name] == level]
            old = _estimate(inside[inside.variant == control])
            for arm in arms:
                new = _estimate(inside[inside.variant == arm])
                if old and new and min(old[2], new[2]) >= LEAST:
                    found.append(_segment(name, level, arm, new, old))
    sign = find_measure(measure).sign or 1
    return sorted(found, key=lambda each: sign * each.difference)


def _segment(
    name: str, level: str, arm: str, new: tuple[float, float, int], old: tuple[float, float, int]
) -> Segment:
    difference, error = new[0] - old[0], float(np.hypot(new[1], old[1]))
    low, high = difference - _NORMAL * error, difference + _NORMAL * error
    return Segment(name, level, arm, new[2], old[2], new[0], old[0], difference, low, high)


def _estimate(rows: pd.DataFrame) -> tuple[float, float, int] | None:
    """The mean, its standard error (rows of a unit are not independent), and the rows."""
    known = rows[rows.y.notna()]
    units = known.groupby("unit").y.agg(["sum", "count"])
    if len(units) < 2:
        return None
    mean = float(known.y.mean())
    spread = ((units["sum"] - mean * units["count"]) ** 2).sum() * len(units) / (len(units) - 1)
    return mean, float(np.sqrt(spread) / len(known)), len(known)


def _levels(column: pd.Series) -> list[str]:
    """The most frequent ones."""
    return [str(level) for level in column.value_counts().index[:MOST_LEVELS]]


def _frame(
    rows: Iterable[Row], fields: Sequence[str], measure: str | None, known: _Known, prefixes: Sequence[str]
) -> pd.DataFrame:
    """Rows with these inputs and, by prefix of who said it, the value ``y`` of the measure."""
    found = []
    for row in predictions.intact(rows):
        inputs = json.loads(row["inputs"])
        kept = {name: value for name, value in row.items() if name != "inputs"}
        values = {
            f"{prefix}y": _value(row, prefix, measure, known) if measure else None for prefix in prefixes
        }
        found.append({**kept, **values, **{_IN + name: _plain(inputs.get(name)) for name in fields}})
    return pd.DataFrame(found)


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return "(missing)" if value is None else value


def _value(row: Row, prefix: str, measure: str, known: _Known) -> float | None:
    """A row's value of a measure; None where its label is missing."""
    said, value, confidence = (row[f"{prefix}{name}"] for name in ("prediction", "value", "confidence"))
    if measure == "confidence":
        return None if confidence is None else float(confidence)
    if measure == "value":
        return None if value is None else float(value)
    if measure.startswith("share:"):
        return float(said == measure.removeprefix("share:"))
    label = row["label"]
    if label is None:
        return None
    if measure in ("mae", "mse"):
        apart = abs(float(value) - float(row["label_value"]))
        return apart if measure == "mae" else apart**2
    if measure == "net_value":
        return _worth(known.business or Business(), said == known.positive, label == known.positive)
    right = float(said == label)
    return right if measure == "accuracy" else (float(confidence) - right) ** 2


def _worth(business: Business, acted: bool, outcome: bool) -> float:
    if acted:
        return business.true_positive if outcome else business.false_positive
    return business.false_negative if outcome else business.true_negative


# -- a shadow ----------------------------------------------------------------------------------------------


def shadow_report(project: Project, release: Release) -> ShadowReport:
    """How a shadow's answers differ from the champion's."""
    with project.store.snapshot() as tx:
        known = _Known(tx, release)
        measure = release.plan.measures[0].name if release.plan.measures else None
        units, rows = shadows.counted(tx, release.release_id)
        names = [each.name for each in known.fields]
        newest = shadows.latest(tx, release.release_id, MOST_ROWS)
        frame = _frame(newest, names, measure, known, ("", "shadow_"))
        farthest = shadows.widest(tx, release.release_id, release.version, FARTHEST)
        times = shadows.latency(tx, release.release_id)
    if frame.empty:
        return ShadowReport(rows, units, 0, None, None, (), {}, (), (), times)
    regression = frame.value.notna().any()
    frame["same"] = np.nan if regression else (frame.prediction == frame.shadow_prediction).astype(float)
    frame["change"] = frame.shadow_y.astype(float) - frame.y.astype(float)
    gaps = frame.gap.dropna().to_numpy(dtype=float)
    return ShadowReport(
        rows=rows,
        units=units,
        looked_at=len(frame),
        agreement=None if regression else float(frame.same.mean()),
        gap=float(gaps.mean()) if len(gaps) else None,
        gaps=tuple(float(value) for value in np.quantile(gaps, np.linspace(0, 1, 101))) if len(gaps) else (),
        confusion={} if regression else _confusion(frame),
        slices=tuple(_slices(frame, known.fields)),
        farthest=tuple(_apart(row) for row in farthest),
        latency_ms=times,
    )


def _confusion(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    counted = pd.crosstab(frame.shadow_prediction, frame.prediction)
    return {
        str(champion): {str(candidate): int(count) for candidate, count in column.items()}
        for champion, column in counted.items()
    }


def _slices(frame: pd.DataFrame, fields: Sequence[Field]) -> list[Slice]:
    """By the levels of categories and fifths of numbers: where both agree least, or lie farthest apart."""
    found = [
        _slice(each.name, str(value), inside)
        for each in fields
        for value, inside in frame.groupby(_binned(frame[_IN + each.name]), observed=True)
        if len(inside) >= LEAST
    ]
    return sorted(
        found, key=lambda each: (each.agreement if each.agreement is not None else 0.0, -(each.gap or 0.0))
    )


def _binned(column: pd.Series) -> pd.Series:
    """A category's frequent levels; of a number fifths with as many rows each, and where it is missing."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().mean() < 0.5 or numbers.nunique() <= MOST_LEVELS:
        return column.astype(str).where(column.astype(str).isin(_levels(column.astype(str))))
    fifths = pd.qcut(numbers, BINS, duplicates="drop", precision=4)
    lowest = numbers.min()
    named = fifths.astype(object).map(
        lambda part: f"{max(part.left, lowest):.4g} to {part.right:.4g}", na_action="ignore"
    )
    return named.fillna("(missing)")


def _slice(name: str, value: str, rows: pd.DataFrame) -> Slice:
    change, gaps = rows.change.dropna(), rows.gap.dropna()
    return Slice(
        field=name,
        value=value,
        rows=len(rows),
        agreement=None if rows.same.isna().all() else float(rows.same.mean()),
        gap=float(gaps.mean()) if len(gaps) else None,
        labelled=len(change),
        difference=float(change.mean()) if len(change) else None,
    )


def _apart(row: Row) -> Apart:
    return Apart(
        prediction_id=row["prediction_id"],
        at=datetime.fromisoformat(row["at"]),
        gap=float(row["gap"]),
        champion=row["prediction"],
        candidate=row["shadow_prediction"],
        label=row["label"],
        inputs=predictions.object_of(row["inputs"]) or {},
    )
