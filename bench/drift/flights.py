"""Thirty-six weeks of flights from New York: which alerts that claim damage are true?

A model learns late arrivals from eight weeks; the next eight are its reference, the 36 after them are
watched, a window each. A week is a real drop where its ROC AUC lies below the reference's by .02 and by 2.33
standard errors (of both, DeLong) at least. ``python -m bench.drift.flights JSON`` leaves the weeks in a
folder for the others, and tells what ours says of each week, at the settings' defaults for windows of a week.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from everloop.data.examples.flights import flights
from everloop.flows.monitoring import checking
from everloop.monitoring import checks, concept, estimated, performance, reference, windows
from everloop.settings.monitoring import Watch

WEEKS = 36
LIMIT = 0.02  # below the reference's ROC AUC: as a user would set performance_min


@dataclass(frozen=True)
class Year:
    """All flights with a label, in the order of time. ``held``: rows of the reference, ``later``: watched."""

    day: Any
    inputs: Any
    truth: Any
    scores: Any
    week: Any
    held: Any
    later: Any


@cache
def year() -> Year:
    table = flights().to_pandas()
    table = table[table["late"].notna()]
    truth = table["late"].astype(int).to_numpy()
    day = (table["scheduled"] - table["scheduled"].min()).dt.days.to_numpy()
    week = day // 7
    X = table.drop(columns=["late", "scheduled", "month", "day"])
    for column in X.columns:
        if X[column].dtype.kind not in "iufb":
            X[column] = X[column].astype("category")
    trained, held, later = week < 8, (week >= 8) & (week < 16), (week >= 16) & (week < 16 + WEEKS)
    model = lgb.LGBMClassifier(
        n_estimators=200, learning_rate=0.05, num_leaves=31, verbose=-1, n_jobs=1, random_state=0
    )
    scores = model.fit(X[trained], truth[trained]).predict_proba(X)[:, 1]
    return Year(day, X, truth, scores, week, held, later)


def auc(truth: Any, scores: Any) -> tuple[float, float]:
    """ROC AUC and its variance (DeLong, DeLong & Clarke-Pearson 1988)."""
    over, under = _placements(truth, scores)
    return float(over.mean()), float(over.var(ddof=1) / len(over) + under.var(ddof=1) / len(under))


def _placements(truth: Any, scores: Any) -> tuple[Any, Any]:
    """For each late flight the share of others that it is ranked above, and the reverse."""
    yes, no = scores[truth == 1], scores[truth == 0]
    ranks = rankdata(np.concatenate([yes, no]))
    over = (ranks[: len(yes)] - rankdata(yes)) / len(no)
    return over, 1 - (ranks[len(yes) :] - rankdata(no)) / len(yes)


def errors(it: Year) -> tuple[float, float]:
    """Standard error of a watched week's ROC AUC, the median of all: with flights independent, and with days
    independent instead (the same placements, summed by day)."""
    of_flights, of_days = [], []
    for number in range(16, 16 + WEEKS):
        rows = it.week == number
        truth, day = it.truth[rows], it.day[rows] - it.day[rows].min()
        over, under = _placements(truth, it.scores[rows])
        of_flights.append(np.sqrt(auc(truth, it.scores[rows])[1]))
        influence = np.empty(len(truth))
        influence[truth == 1] = (over - over.mean()) / len(over)
        influence[truth == 0] = (under - under.mean()) / len(under)
        sums = np.bincount(day, influence)
        of_days.append(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)))
    return float(np.median(of_flights)), float(np.median(of_days))


def drops(it: Year) -> list[bool]:
    usual, variance = auc(it.truth[it.held], it.scores[it.held])
    found = []
    for number in range(16, 16 + WEEKS):
        rows = it.week == number
        value, own = auc(it.truth[rows], it.scores[rows])
        found.append(usual - value >= max(0.02, 2.33 * np.sqrt(own + variance)))
    return found


def losses(it: Year) -> list[bool]:
    """Weeks whose log loss is above the reference's by a twentieth and by 2.33 standard errors."""
    lost = -np.log(np.clip(np.where(it.truth == 1, it.scores, 1 - it.scores), 1e-15, 1))
    usual = lost[it.held]
    found = []
    for number in range(16, 16 + WEEKS):
        week = lost[it.week == number]
        error = np.sqrt(week.var() / len(week) + usual.var() / len(usual))
        found.append(bool(week.mean() - usual.mean() >= max(0.05 * usual.mean(), 2.33 * error)))
    return found


def held_weeks(it: Year) -> list[float]:
    """ROC AUC of each week of the reference."""
    return [auc(it.truth[it.week == each], it.scores[it.week == each])[0] for each in range(8, 16)]


def told(it: Year) -> dict[str, list[bool]]:
    """Weeks in which something fired, by family."""
    rules = Watch(window="7d")
    alpha, about = checking.alpha(rules), {"classes": [0, 1], "positive": 1}
    rows = np.arange(len(it.truth))
    held = {"answers": (it.scores[it.held] >= 0.5).astype(int), "probabilities": it.scores[it.held]}
    base = performance.baseline(it.truth[it.held], **held, **about, order=rows[it.held])
    estimator = estimated.fit(it.truth[it.held], **held, **about, order=rows[it.held])
    wrong = (held["answers"] != it.truth[it.held]).astype(float)
    losses = concept.reference_losses(wrong, ordered=True)
    known = reference.build(pa.Table.from_pandas(it.inputs[it.held], preserve_index=False))
    answers = reference.build(pa.table({"answer": it.scores[it.held]}))
    detector, fed = None, 0
    found: dict[str, list[bool]] = {
        each: [] for each in ("inputs", "prediction", "estimated", "performance", "concept", "limit")
    }
    recent: tuple[list[windows.Window], list[windows.Window]] = ([], [])
    for number in range(16, 16 + WEEKS):
        these = it.week == number
        truth, scores = it.truth[these], it.scores[these]
        said = {"answers": (scores >= 0.5).astype(int), "probabilities": scores}
        tables = (
            pa.Table.from_pandas(it.inputs[these], preserve_index=False),
            pa.table({"answer": scores}),
        )
        for name, one, table, before in zip(
            ("inputs", "prediction"), (known, answers), tables, recent, strict=True
        ):
            window = windows.summarise(one, table)
            results = checks.check(one, window, alpha=alpha, recent=before)
            found[name].append(any(each.fired for each in results))
            before.append(window)
        order = rows[these]
        guess = estimated.estimate(estimator, **said, order=order, alpha=alpha)
        found["estimated"].append(any(each.fired for each in guess))
        measured = performance.measure(base, truth, **said, order=order, alpha=alpha / 2)
        found["performance"].append(any(each.fired for each in measured))
        limit = base.of_model("roc_auc").value - LIMIT
        found["limit"].append(performance.bounded(measured, "roc_auc", limit).fired)
        if detector is None:
            run = max(1_000.0, len(truth) / (alpha / 2))
            detector = concept.RisingLoss(losses, average_run=run)
        errors = (said["answers"] != truth).astype(float)
        found["concept"].append(bool(detector.feed(errors, np.arange(fed, fed + len(errors)))))
        fed += len(errors)
    return found


def main(folder: str) -> None:
    it = year()
    kept = Path(folder)
    weeks = it.inputs[it.later].assign(week=it.week[it.later] - 16)
    it.inputs[it.held].to_parquet(kept / "reference.parquet")
    weeks.to_parquet(kept / "weeks.parquet")
    np.savez(
        kept / "flights.npz", reference_y=it.truth[it.held], reference_p=it.scores[it.held],
        window_y=it.truth[it.later], window_p=it.scores[it.later], window=it.week[it.later] - 16,
    )  # fmt: skip
    real = {"drops": [bool(each) for each in drops(it)], "losses": losses(it)}
    print(json.dumps({**real, "held": held_weeks(it), "errors": errors(it), "told": told(it)}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
