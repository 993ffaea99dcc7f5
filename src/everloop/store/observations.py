"""What was seen of the arms of a release: counts and sums over predictions, their labels and failures.

Everything is by unit: a unit counts once, and each mean comes with the sums that its spread between units
needs (see ``core.releases.Sums``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Float, and_, case, cast, func, literal, select, union

from everloop.core.releases import Sums
from everloop.core.runs import Business

from .database import Tx
from .predictions import LATEST, with_labels
from .tables import failures, predictions
from .times import to_text

_P, _F, _L = predictions.c, failures.c, LATEST.c
LABELLED = ("accuracy", "brier", "net_value", "mae", "mse")


def units(tx: Tx, release_id: str) -> dict[str, int]:
    """How many units each arm had, also those that only failed."""
    said = tx.mine(select(_P.tenant, _P.variant, _P.unit).where(*_of(release_id)), predictions)
    failed = select(_F.tenant, _F.variant, _F.unit).where(_F.release_id == release_id)
    both = union(said, tx.mine(failed, failures)).subquery()
    query = select(both.c.variant, func.count().label("n")).group_by(both.c.variant)
    return {row["variant"]: int(row["n"]) for row in tx.select(query, both)}


def rows(tx: Tx, release_id: str) -> dict[str, int]:
    """How many rows each arm predicted."""
    query = select(_P.variant, func.count().label("n")).where(*_of(release_id)).group_by(_P.variant)
    return {row["variant"]: int(row["n"]) for row in tx.select(query, predictions)}


def events(tx: Tx, release_id: str, slow_above: float | None) -> dict[str, dict[str, int]]:
    """By arm and kind, how many units had an event."""
    n = func.count(_F.unit.distinct()).label("n")
    query = select(_F.variant, _F.kind, n).where(_F.release_id == release_id).group_by(_F.variant, _F.kind)
    found: dict[str, dict[str, int]] = {}
    for row in tx.select(query, failures):
        found.setdefault(row["variant"], {})[row["kind"]] = int(row["n"])
    if slow_above is not None:
        n = func.count(_P.unit.distinct()).label("n")
        query = select(_P.variant, n).where(*_of(release_id), _P.latency_ms > slow_above)
        for row in tx.select(query.group_by(_P.variant), predictions):
            found.setdefault(row["variant"], {})["slow"] = int(row["n"])
    return found


def sums(
    tx: Tx,
    release_id: str,
    measure: str,
    *,
    before: datetime | None = None,
    positive: str | None = None,
    business: Business | None = None,
) -> dict[str, Sums]:
    """The sums of a measure by arm; of measures with labels, over the predictions before a moment that have
    one."""
    needs_label = measure in LABELLED
    value = _value(measure, positive, business).label("y")
    source = with_labels(predictions) if needs_label else predictions
    wanted = _of(release_id)
    if needs_label:
        wanted.append(_L.sequence.is_not(None))
    if before is not None:
        wanted.append(_P.at <= to_text(before))
    named = select(_P.tenant, _P.variant, _P.unit, value).select_from(source).where(*wanted)
    each = tx.mine(named, predictions).subquery()
    m, y = func.count(each.c.y), func.coalesce(func.sum(each.c.y), 0.0)
    grouped = select(each.c.tenant, each.c.variant, m.label("m"), cast(y, Float).label("y"))
    unit = grouped.group_by(each.c.tenant, each.c.variant, each.c.unit).subquery()
    moments = _moments(cast(unit.c.m, Float), unit.c.y)
    query = select(
        unit.c.variant,
        func.count().label("units"),
        *(func.sum(column).label(name) for name, column in moments.items()),
    ).where(unit.c.m > 0)
    return {
        row["variant"]: Sums(int(row["units"]), **{name: float(row[name]) for name in moments})
        for row in tx.select(query.group_by(unit.c.variant), unit)
    }


def quantiles(tx: Tx, release_id: str, variant: str, total: int) -> dict[str, float]:
    """Of the latency, in milliseconds."""
    found: dict[str, float] = {}
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        query = (
            select(_P.latency_ms)
            .where(*_of(release_id), _P.variant == variant, _P.latency_ms.is_not(None))
            .order_by(_P.latency_ms)
            .offset(int(share * max(0, total - 1)))
            .limit(1)
        )
        for row in tx.select(query, predictions):
            found[name] = float(row["latency_ms"])
    return found


def requests(tx: Tx, model: str, since: datetime, until: datetime) -> tuple[datetime | None, int]:
    """When the first prediction of a period was, and how many requests there were."""
    wanted = (_P.model == model, _P.at >= to_text(since), _P.at < to_text(until))
    query = select(func.min(_P.at).label("begun"), func.count(_P.request_id.distinct()).label("n"))
    row = tx.select(query.where(*wanted), predictions)[0]
    return datetime.fromisoformat(row["begun"]) if row["begun"] else None, int(row["n"])


def latency_quantile(tx: Tx, model: str, since: datetime, until: datetime, share: float) -> float | None:
    """Of all predictions of a period, in milliseconds."""
    wanted = (_P.model == model, _P.at >= to_text(since), _P.at < to_text(until), _P.latency_ms.is_not(None))
    total = int(tx.select(select(func.count().label("n")).where(*wanted), predictions)[0]["n"])
    query = select(_P.latency_ms).where(*wanted).order_by(_P.latency_ms)
    found = tx.select(query.offset(int(share * max(0, total - 1))).limit(1), predictions)
    return float(found[0]["latency_ms"]) if found else None


def _moments(m: Any, y: Any) -> Mapping[str, Any]:
    return {
        "rows": m,
        "total": y,
        "rows_squared": m * m,
        "total_squared": y * y,
        "rows_by_total": m * y,
    }


def _of(release_id: str) -> list[ColumnElement[bool]]:
    return [_P.release_id == release_id, _P.unit.is_not(None)]


def _value(measure: str, positive: str | None, business: Business | None) -> ColumnElement[Any]:
    right = case((_P.prediction == _L.label, 1.0), else_=0.0)
    if measure == "accuracy":
        return right
    if measure == "brier":
        return (_P.confidence - right) * (_P.confidence - right)
    if measure == "mae":
        return func.abs(_P.value - _L.value)
    if measure == "mse":
        return (_P.value - _L.value) * (_P.value - _L.value)
    if measure == "net_value":
        assert business is not None  # noqa: S101 (the plan was refused without)
        acted, outcome = _P.prediction == positive, _L.label == positive
        return case(
            (and_(acted, outcome), business.true_positive),
            (acted, business.false_positive),
            (outcome, business.false_negative),
            else_=business.true_negative,
        )
    if measure == "confidence":
        return _P.confidence
    if measure == "value":
        return _P.value
    return case((_P.prediction == literal(measure.removeprefix("share:")), 1.0), else_=0.0)
