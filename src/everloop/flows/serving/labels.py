"""True outcomes of predictions, which come late: taken in and joined by id, and how complete they are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np

from everloop.core.errors import Invalid, MLOpsError, nearest
from everloop.core.moments import check_period, checked
from everloop.core.runs import Run
from everloop.core.serving import class_of
from everloop.flows.project import Project
from everloop.store import labels, models, predictions
from everloop.store.database import Row, Tx
from everloop.store.predictions import Wanted
from everloop.store.times import to_text

from .texts import is_storable

Status = Literal["new", "corrected", "unchanged", "unmatched", "invalid"]
_LONGEST = 1_000  # characters of a label
_LARGEST = 10**300
APART = timedelta(minutes=5)
LEAST = 20  # labels, with fewer nothing is said about those to come
NEARLY = 0.95
NEWEST = 2_000  # labels, by which it is told how long they take


@dataclass(frozen=True)
class LabelItem:
    """The true outcome of a prediction, and when it came true [now]."""

    prediction_id: str
    label: str | float | bool
    at: datetime | None = None


@dataclass(frozen=True)
class LabelResult:
    """What became of one item. ``corrected``: another label stood there. ``unmatched``: no such prediction is
    recorded yet; the label is kept, and joined when it comes. ``invalid``: not kept, for the ``error``."""

    prediction_id: str
    status: Status
    error: MLOpsError | None = None


@dataclass(frozen=True)
class LabelOutcome:
    """The items' results in their order, and how many there are of each status."""

    results: tuple[LabelResult, ...]
    counts: dict[Status, int]


@dataclass(frozen=True)
class Period:
    """The predictions of a day or an hour, and how complete their labels are.

    ``median_delay`` and ``late_delay`` (95 %) are from a prediction to its first label, in seconds.
    ``expected_share`` is what ``share`` is expected to become, None where too little is known to say.
    ``score`` is the accuracy, or for regression the mean absolute error, of those with a label.
    """

    start: datetime
    end: datetime
    predictions: int
    labelled: int
    share: float
    median_delay: float | None
    late_delay: float | None
    expected_share: float | None
    mature: bool
    metric: Literal["accuracy", "mean_absolute_error"]
    score: float | None


# -- taking in ---------------------------------------------------------------------------------------------


def add(project: Project, items: Sequence[LabelItem]) -> LabelOutcome:
    """Take in labels: all that are valid in one transaction, what is invalid told item by item.

    A label of a prediction that is known must be a class of its model version (a number for regression), and
    no label is from the future or from before its prediction, but for a few minutes of wrong clocks. The same
    label once more changes nothing. The last of several for one prediction stands, and the earlier ones
    stay in its history.
    """
    ids = list(dict.fromkeys(item.prediction_id for item in items if is_storable(item.prediction_id)))
    now = project.clock.now()
    with project.store.reading() as tx:
        known = predictions.find(tx, ids)
        runs = _runs(tx, {(row["model"], row["version"]) for row in known.values()})
    with project.store.writing() as tx:
        labels.begin(tx)
        standing = {name: (row["label"], row["at"]) for name, row in labels.latest(tx, ids).items()}
        results, rows = [], []
        for item in items:
            result, row = _taken(item, known, runs, standing, now)
            results.append(result)
            if row is not None:
                standing[item.prediction_id] = (row["label"], row["at"])
                rows.append({**row, "received_at": to_text(now), "by": project.user})
        labels.add(tx, rows)
    counts: dict[Status, int] = {}
    for result in results:
        counts[result.status] = counts.get(result.status, 0) + 1
    return LabelOutcome(tuple(results), counts)


def _taken(
    item: LabelItem,
    known: dict[str, Row],
    runs: dict[tuple[str, str], Run | None],
    standing: dict[str, tuple[str, str]],
    now: datetime,
) -> tuple[LabelResult, dict[str, Any] | None]:
    """What becomes of an item, and the row to be kept."""
    prediction = known.get(item.prediction_id) if is_storable(item.prediction_id) else None
    run = runs.get((prediction["model"], prediction["version"])) if prediction is not None else None
    try:
        label, value = _valid(item, run)
        _check_time(item, prediction, now)
    except Invalid as error:
        return LabelResult(str(item.prediction_id), "invalid", error), None
    before = standing.get(item.prediction_id)
    at = to_text(item.at) if item.at is not None else None
    same = before is not None and before[0] == label and at in (None, before[1])
    row = {"prediction_id": item.prediction_id, "label": label, "value": value, "at": at or to_text(now)}
    status: Status = "unchanged" if same else "new" if before is None else "corrected"
    if prediction is None:
        status = "unmatched"
    return LabelResult(item.prediction_id, status), None if same else row


def _valid(item: LabelItem, run: Run | None) -> tuple[str, float | None]:
    """The label as text, and as a number where it is one. Raises Invalid, naming the id and the value."""
    named, given = item.prediction_id, item.label
    if not is_storable(named) or not 0 < len(named) <= 200:
        raise Invalid(f"{str(named)[:50]!r} is no prediction id.", remedy="It is in the answer to /predict.")
    if isinstance(given, int) and abs(given) > _LARGEST:
        raise Invalid(f"The label of prediction {named} is larger than any number.", remedy="Give a smaller.")
    shown = "None (null)" if given is None else repr(str(given)[:80])
    said = f"The label {shown} of prediction {named}"
    if not isinstance(given, (str, int, float, bool)):
        raise Invalid(f"{said} is neither text nor number.", remedy="Give a class, or a number.")
    text, value = _text(given), _number(given)
    if not text or len(text) > _LONGEST or not is_storable(text):
        raise Invalid(f"{said} cannot be kept.", remedy=f"Give 1 to {_LONGEST} characters, none of them 0.")
    if value is None and isinstance(given, float):
        raise Invalid(f"{said} is no finite number.", remedy="Give a finite number.")
    if run is None:
        return text, value
    if run.task == "regression":
        if value is None:
            raise Invalid(f"{said} is no number.", remedy=f"{run.model} predicts numbers: give one.")
    elif text not in run.classes and (named_class := class_of(given, run.classes)):
        return named_class, _number(named_class)
    elif text not in run.classes:
        raise Invalid(f"{said} is no class of {run.model}.", remedy=nearest(text, run.classes))
    return text, value


def _check_time(item: LabelItem, prediction: Row | None, now: datetime) -> None:
    """Raises Invalid for a label that came true in the future, or before its prediction was made. The clocks
    of those who tell may be wrong by APART."""
    if item.at is None:
        return
    named = f"The time of the label of prediction {item.prediction_id}"
    at = checked(item.at, named)
    if at > now + APART:
        raise Invalid(
            f"{named} is in the future: {at.isoformat()}.", remedy="Give when it came true, or leave it out."
        )
    made = datetime.fromisoformat(prediction["at"]) if prediction is not None else at
    if at < made - APART:
        raise Invalid(
            f"{named} is before the prediction: {at.isoformat()}, which was made at {made.isoformat()}.",
            remedy="Give when it came true, or leave it out.",
        )


def _text(label: str | float | bool) -> str:
    """As classes are spelled: ``true``, ``3`` for 3 and for 3.0."""
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, float) and label.is_integer() and abs(label) < 1e15:
        return str(int(label))
    return str(label)


def _number(label: str | float | bool) -> float | None:
    try:
        value = float(label)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _runs(tx: Tx, versions: set[tuple[str, str]]) -> dict[tuple[str, str], Run | None]:
    """The run of each model version; None where it is not known here."""
    found: dict[tuple[str, str], Run | None] = {}
    for model in {model for model, _ in versions}:
        made = {version.version: version.run_id for version in models.list_model_versions(tx, model)}
        for name in [version for of, version in versions if of == model]:
            found[model, name] = models.find_run(tx, made[name]) if name in made else None
    return found


# -- maturity ----------------------------------------------------------------------------------------------


@dataclass
class _Tally:
    predictions: int = 0
    delays: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


def maturity(
    project: Project,
    model: str,
    since: datetime,
    until: datetime,
    *,
    by: Literal["day", "hour"] = "day",
    learn: timedelta = timedelta(days=30),
) -> list[Period]:
    """How complete the labels of each day or hour (UTC) from ``since`` to before ``until`` are.

    How labels come is learnt from the predictions of these periods and of ``learn`` before them. Those
    without a label may only be waiting for it, so the share that has one after a delay ``d``, F(d), is the
    Kaplan-Meier estimate: a prediction without a label counts for as long as it has waited. Of a period whose
    predictions have waited ``a``, the part without a label is expected to get one with the probability
    (F(longest) - F(a)) / (1 - F(a)).

    A period is ``mature`` when its share is at least 95 % of that expectation, and it has waited at least
    twice as long as 95 % of the labels take to come. Nothing is said with fewer than 20 labels. The estimate
    cannot know of labels that take longer than the oldest prediction looked at has waited, and takes it that
    labels come as they came before.
    """
    if by not in ("day", "hour"):
        raise Invalid(f"by is '{by}'.", remedy="Say day or hour.")
    check_period(since, until)
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    now = project.clock.now()
    step = timedelta(days=1) if by == "day" else timedelta(hours=1)
    start = _floor(since, by)
    wanted = Wanted(model=model, since=start - learn, until=until)
    with project.store.snapshot() as tx:
        counts = predictions.per_hour(tx, wanted)
        tallies: dict[datetime, _Tally] = defaultdict(_Tally)
        for hour, many in counts.items():
            tallies[_hour(hour)].predictions = many
        errors = _read(tx, wanted, tallies)
    arrivals = _Arrivals(tallies, now)
    merged: dict[datetime, _Tally] = {}
    for moment, tally in sorted(tallies.items()):
        if moment >= start:
            whole = merged.setdefault(_floor(moment, by), _Tally())
            whole.predictions += tally.predictions
            whole.delays += tally.delays
            whole.scores += tally.scores
    metric: Literal["accuracy", "mean_absolute_error"] = "mean_absolute_error" if errors else "accuracy"
    return [_period(at, at + step, tally, arrivals, now, metric) for at, tally in merged.items()]


def complete_until(project: Project, model: str) -> datetime | None:
    """Labels of predictions from before then have come, as far as they ever will: they have waited twice as
    long as 95 % of the newest labels took. None while too few have come to say."""
    now = project.clock.now()
    with project.store.reading() as tx:
        came = labels.newest(tx, model, NEWEST)
    if len(came) < LEAST:
        return None
    took = [(row["received_at"], row["at"]) for row in came]
    delays = [(datetime.fromisoformat(a) - datetime.fromisoformat(b)).total_seconds() for a, b in took]
    return now - timedelta(seconds=2 * max(0.0, float(np.quantile(delays, NEARLY))))


def _read(tx: Tx, wanted: Wanted, tallies: dict[datetime, _Tally]) -> bool:
    """Delays and scores of all that have a label; whether these are errors of a regression."""
    errors = False
    for row in predictions.labelled(tx, wanted):
        tally = tallies[_hour(row["at"][:13])]
        waited = datetime.fromisoformat(row["received_at"]) - datetime.fromisoformat(row["at"])
        tally.delays.append(max(0.0, waited.total_seconds()))
        if row["value"] is None:
            tally.scores.append(float(row["prediction"] == row["label"]))
        elif row["label_value"] is not None:
            errors = True
            tally.scores.append(abs(row["value"] - row["label_value"]))
    return errors


class _Arrivals:
    """How labels come: the share that has one after each delay (Kaplan and Meier 1958)."""

    def __init__(self, tallies: dict[datetime, _Tally], now: datetime) -> None:
        came = np.sort(np.concatenate([np.empty(0), *(np.asarray(t.delays) for t in tallies.values())]))
        ages = [max(0.0, (now - hour - timedelta(minutes=30)).total_seconds()) for hour in tallies]
        waiting = np.array([max(0, t.predictions - len(t.delays)) for t in tallies.values()], dtype=float)
        self.known = len(came) >= LEAST
        if not self.known:
            return
        self._delays, events = np.unique(came, return_counts=True)
        labelled_later = len(came) - np.searchsorted(came, self._delays, side="left")
        order = np.argsort(ages)
        censored = np.concatenate([[0.0], np.cumsum(waiting[order])])
        before = np.searchsorted(np.asarray(ages)[order], self._delays, side="left")
        at_risk = labelled_later + censored[-1] - censored[before]
        self._share = 1.0 - np.cumprod(1.0 - events / at_risk)
        self.final = float(self._share[-1])
        self.late = float(self._delays[np.searchsorted(self._share, NEARLY * self.final)])

    def share(self, delay: float) -> float:
        """The share that has a label after this delay in seconds."""
        at = int(np.searchsorted(self._delays, delay, side="right"))
        return float(self._share[at - 1]) if at else 0.0

    def expected(self, share: float, waited: float) -> float:
        """What a share becomes when the others have waited so long."""
        here = self.share(waited)
        to_come = (self.final - here) / (1.0 - here) if here < 1.0 else 0.0
        return share + (1.0 - share) * max(0.0, to_come)


def _period(
    start: datetime,
    end: datetime,
    tally: _Tally,
    arrivals: _Arrivals,
    now: datetime,
    metric: Literal["accuracy", "mean_absolute_error"],
) -> Period:
    labelled = len(tally.delays)
    share = labelled / tally.predictions
    youngest = max(0.0, (now - end).total_seconds())
    expected = None
    if arrivals.known:
        middle = max(0.0, (now - start - (end - start) / 2).total_seconds())
        expected = arrivals.expected(share, middle)
    mature = (
        expected is not None and end <= now and share >= NEARLY * expected and youngest >= 2 * arrivals.late
    )
    late = np.quantile(tally.delays, [0.5, NEARLY]).tolist() if labelled else [None, None]
    return Period(
        start=start,
        end=end,
        predictions=tally.predictions,
        labelled=labelled,
        share=share,
        median_delay=late[0],
        late_delay=late[1],
        expected_share=expected,
        mature=mature,
        metric=metric,
        score=float(np.mean(tally.scores)) if tally.scores else None,
    )


def _hour(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}:00:00+00:00")


def _floor(moment: datetime, by: str) -> datetime:
    moment = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return moment.replace(hour=0) if by == "day" else moment
