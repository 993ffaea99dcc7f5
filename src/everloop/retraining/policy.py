"""To retrain or not: every check is made and kept as evidence, the first that speaks decides."""

from __future__ import annotations

import math
from dataclasses import replace

from everloop.core.decisions import Decision, Drift, Evidence, RetrainPolicy
from everloop.core.errors import Invalid, InvalidSettings, nearest
from everloop.core.loop import Order

_SHARES = ("precision", "recall", "f1")
HIGHER_IS_BETTER = frozenset(
    {"accuracy", "roc_auc", "r2", *_SHARES, *(f"{name}_macro" for name in _SHARES)}
    | {"net_value", "net_value_per_row", "roi", "best_net_value", "best_roi"}
)
LOWER_IS_BETTER = frozenset(
    {"log_loss", "brier", "calibration_error", "mae", "mse", "rmse", "median_ae", "mape"}
)


def decide(
    policy: RetrainPolicy,
    *,
    champion: str | None,
    rows: int | None,
    fresh_rows: int | None,
    untried_rows: int | None = None,
    performance: float | None,
    performance_rows: int | None,
    drift: Drift | None,
    changed: str | None = None,
    forced: bool = False,
    order: Order | None = None,
    helps: Evidence | None = None,
) -> Decision:
    """Whether to train now. ``champion`` is the model version that serves, None when there is none.

    ``rows`` are there to train on, ``fresh_rows`` of them the champion has not seen, ``untried_rows`` neither
    it nor the newest candidate that the gate refused; ``performance`` is the
    champion's ``policy.metric`` on ``performance_rows`` labelled rows. Counts that are None are unknown: what
    needs them is then taken as met.

    The first of these that applies gives the action and the reason; all are in the evidence, with "not
    measured because …" where there was nothing to measure:

    1. it was forced -> retrain;
    2. fewer than ``min_samples`` rows -> refuse, even when there is no model;
    3. no model yet -> retrain;
    4. recipe, target or columns have ``changed`` (how, in words) -> retrain;
    5. no fresh rows, or none that is untried -> keep, unless people have approved it: training on the same
       rows by the same recipe gives the same model;
    6. performance worse than ``performance_min`` -> retrain (not judged on fewer than ``min_samples`` rows);
    7. in a turn that the loop has ordered: people have approved it, labels have shown that the model got
       worse, or its own errors or rows that training would help (``helps``) -> retrain;
    8. in any other turn: drift over ``drift_threshold``, on enough rows -> retrain;
    9. otherwise keep.

    Raises InvalidSettings when ``performance_min`` is set for a metric whose better direction is not known.
    """
    was_forced = _forced(forced)
    samples = _samples(policy, rows)
    no_model = _no_model(champion)
    other = _changed(champion, changed)
    worse = _performance(policy, performance, performance_rows)
    drifted = _drift(policy if order is None else replace(policy, drift_threshold=None), drift)
    fresh = _fresh(fresh_rows, untried_rows)
    ordered = () if order is None else (_ordered(order), helps or _not_asked(champion, forced))
    evidence = (was_forced, samples, no_model, other, worse, *ordered, drifted, fresh)
    if was_forced.fired:
        return Decision("retrain", was_forced.message, evidence)
    if samples.fired:
        return Decision("refuse", samples.message, evidence)
    approved = order is not None and order.approved
    if not (no_model.fired or other.fired or approved) and 0 in (fresh_rows, untried_rows):
        return Decision("keep", fresh.message, evidence)
    for check in (no_model, other, worse, *ordered, drifted):
        if check.fired:
            return Decision("retrain", check.message, evidence)
    if order is not None and helps is not None:
        return Decision("keep", helps.message, evidence)
    return Decision("keep", "Nothing that was checked speaks for retraining.", evidence)


def _not_asked(champion: str | None, forced: bool) -> Evidence:
    model = "there is no model to ask" if champion is None else "the model cannot answer these rows"
    return Evidence("benefit", False, f"Not asked, as {'it was forced' if forced else model}.")


def _ordered(order: Order) -> Evidence:
    """What called for the turn; drift is no reason by itself in it."""
    said = f"Its training was approved: {order.because}" if order.approved else order.because
    return Evidence("loop", order.approved, said)


def _forced(forced: bool) -> Evidence:
    return Evidence("forced", forced, "Retraining was asked for." if forced else "Retraining was not forced.")


def _samples(policy: RetrainPolicy, rows: int | None) -> Evidence:
    if rows is None:
        return Evidence(
            "samples",
            False,
            "Not measured because the number of rows is unknown.",
            threshold=float(policy.min_samples),
        )
    few = rows < policy.min_samples
    message = (
        f"Too few rows to train on: {rows:,}; at least {policy.min_samples:,} are needed."
        if few
        else f"Enough rows to train on: {rows:,}; at least {policy.min_samples:,} are needed."
    )
    return Evidence("samples", few, message, float(rows), float(policy.min_samples))


def _no_model(champion: str | None) -> Evidence:
    if champion is None:
        return Evidence("no_model", True, "There is no model yet.")
    return Evidence("no_model", False, f"There is a model: {champion}.")


def _changed(champion: str | None, changed: str | None) -> Evidence:
    if champion is None:
        return Evidence("changed", False, "Not compared because there is no model yet.")
    if not changed:
        return Evidence("changed", False, "No change of recipe, target or columns is known.")
    return Evidence("changed", True, f"{changed[0].upper()}{changed[1:]}.")


def _performance(policy: RetrainPolicy, performance: float | None, rows: int | None) -> Evidence:
    limit, metric = policy.performance_min, policy.metric
    if limit is None:
        return Evidence("performance", False, "Not judged because performance_min is not set.", performance)
    lower = lower_is_better(metric)
    if performance is None:
        return Evidence(
            "performance",
            False,
            f"Not measured because there are no labelled rows to measure {metric} on.",
            threshold=limit,
        )
    if not math.isfinite(performance):
        raise Invalid(
            f"The measured {metric} is {performance}, which is not a number to decide on.",
            remedy="Give None when it could not be measured.",
        )
    on = "" if rows is None else f" on {rows:,} labelled rows"
    if rows is not None and rows < policy.min_samples:
        message = f"Not judged because {metric} was measured{on} only; {policy.min_samples:,} are needed."
        return Evidence("performance", False, message, performance, limit)
    worse = performance > limit if lower else performance < limit
    side = "over" if performance > limit else "under" if performance < limit else "exactly"
    kind = "largest" if lower else "smallest"
    message = f"{metric}{on} is {performance:.4g}, {side} the {kind} accepted value {limit:.4g}."
    return Evidence("performance", worse, message, performance, limit)


def lower_is_better(metric: str) -> bool:
    """The direction of a metric. Raises InvalidSettings for one that is not known."""
    if metric in LOWER_IS_BETTER:
        return True
    if metric in HIGHER_IS_BETTER:
        return False
    raise InvalidSettings(
        f"It is not known whether a higher or a lower '{metric}' is better.",
        remedy=nearest(metric, HIGHER_IS_BETTER | LOWER_IS_BETTER),
    )


def _drift(policy: RetrainPolicy, drift: Drift | None) -> Evidence:
    limit = policy.drift_threshold
    if drift is None:
        return Evidence(
            "drift", False, "Not measured because there is nothing to compare with.", threshold=limit
        )
    where = f" (largest in '{drift.feature}')" if drift.feature else ""
    if limit is None:
        message = f"Drift is {drift.score:.4g}{where}; not judged because drift_threshold is not set."
        return Evidence("drift", False, message, drift.score)
    if not drift.enough:
        message = f"Not judged because drift was measured on {drift.rows:,} rows only, too few to claim any."
        return Evidence("drift", False, message, drift.score, limit)
    over = drift.score > limit
    side = "over" if over else "within"
    message = f"Drift is {drift.score:.4g}{where}, {side} the limit of {limit:.4g}."
    return Evidence("drift", over, message, drift.score, limit)


def _fresh(fresh_rows: int | None, untried_rows: int | None) -> Evidence:
    if fresh_rows is None:
        return Evidence("fresh_rows", False, "Not measured because it is unknown what the model has seen.")
    if fresh_rows == 0:
        return Evidence(
            "fresh_rows", False, "There are no rows to train on that the model has not seen.", 0.0
        )
    message = f"Rows that the model has not seen: {fresh_rows:,}."
    if untried_rows == 0:
        message += " The gate has refused a candidate that had all of them."
    return Evidence("fresh_rows", False, message, float(fresh_rows))
