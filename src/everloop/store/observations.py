"""What was seen of the arms of a release: counts and sums over predictions, their labels and failures.

Everything is by unit: a unit counts once, and each mean comes with the sums that its spread between units
needs (see ``core.releases.Sums``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Float, Select, and_, case, cast, func, literal, select, union

from everloop.core.releases import CHAMPION, Sums
from everloop.core.runs import Business

from .database import Row, Tx
from .predictions import LATEST, compared, judged, latencies, quantiles, with_labels
from .shadows import of_release, pairs
from .tables import failures, predictions, shadows
from .times import to_text

_P, _F, _L = predictions.c, failures.c, LATEST.c
CRASHED = "crash"  # of a process that serves: nobody's unit
_FALLBACK = "fallback"
LABELLED = ("accuracy", "brier", "net_value", "mae", "mse")


def units(tx: Tx, release_id: str) -> dict[str, int]:
    """How many units each arm had, also those that only failed."""
    said = tx.mine(select(_P.tenant, _P.variant, _P.unit).where(*compared(release_id)), predictions)
    failed = select(_F.tenant, _F.variant, _F.unit).where(_F.release_id == release_id)
    both = union(said, tx.mine(failed, failures)).subquery()
    query = select(both.c.variant, func.count().label("n")).group_by(both.c.variant)
    return {row["variant"]: int(row["n"]) for row in tx.select(query, both)}


def rows(tx: Tx, release_id: str) -> dict[str, int]:
    """How many rows each arm predicted."""
    query = select(_P.variant, func.count().label("n")).where(*compared(release_id)).group_by(_P.variant)
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
        query = select(_P.variant, n).where(*compared(release_id), _P.latency_ms > slow_above)
        for row in tx.select(query.group_by(_P.variant), predictions):
            found.setdefault(row["variant"], {})["slow"] = int(row["n"])
    return found


def crashes(tx: Tx, release_id: str) -> dict[str, int]:
    """How many processes died, by the version that they served."""
    query = select(_F.version, func.count().label("n"))
    query = query.where(_F.release_id == release_id, _F.variant == "", _F.kind == CRASHED)
    return {row["version"]: int(row["n"]) for row in tx.select(query.group_by(_F.version), failures)}


def rescued(tx: Tx, release_id: str) -> dict[str, tuple[int, int]]:
    """By arm, how many requests it could not answer, and how many of these the fallback answered."""
    instead = and_(
        _P.tenant == _F.tenant,
        _P.request_id == _F.request_id,
        _P.release_id == _F.release_id,
        _P.variant == _FALLBACK,
    )
    columns = [func.count(each.distinct()) for each in (_F.request_id, _P.request_id)]
    query = select(_F.variant, columns[0].label("failed"), columns[1].label("answered"))
    query = query.select_from(failures.outerjoin(predictions, instead))
    query = query.where(_F.release_id == release_id, _F.kind == "failed").group_by(_F.variant)
    return {row["variant"]: (int(row["failed"]), int(row["answered"])) for row in tx.select(query, failures)}


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
    value = _value(_P, measure, positive, business)
    source = with_labels(predictions) if measure in LABELLED else predictions
    named = select(_P.tenant, _P.variant.label("part"), _P.unit, value.label("y")).select_from(source)
    found = _summed(tx, named.where(*compared(release_id), *_mature(measure, before)))
    return {str(part): summed for part, summed in found.items()}


def paired_sums(
    tx: Tx,
    release_id: str,
    measure: str,
    *,
    before: datetime | None = None,
    positive: str | None = None,
    business: Business | None = None,
) -> tuple[Sums, Sums, Sums]:
    """Of a shadow release, over the requests that both answered: the sums of the champion, of the candidate,
    and of the differences, candidate minus champion, row by row."""
    old, new = (_value(said, measure, positive, business) for said in (_P, shadows.c))
    source = pairs(release_id, labelled=measure in LABELLED)
    wanted = (*of_release(release_id), *_mature(measure, before))
    found = []
    for value in (old, new, new - old):
        named = select(_P.tenant, _P.variant.label("part"), _P.unit, value.label("y")).select_from(source)
        found.append(_summed(tx, named.where(*wanted)).get(CHAMPION, Sums()))
    return found[0], found[1], found[2]


def _mature(measure: str, before: datetime | None) -> list[ColumnElement[bool]]:
    """Rows of which the measure is known, until a moment."""
    wanted = judged() if measure in LABELLED else []
    if before is not None:
        wanted.append(_P.at <= to_text(before))
    return wanted


def _summed(tx: Tx, named: Select[Any]) -> dict[str, Sums]:
    """By ``part``, the sums of the values ``y`` of each ``unit``."""
    each = tx.mine(named, predictions).subquery()
    m, y = func.count(each.c.y), func.coalesce(func.sum(each.c.y), 0.0)
    grouped = select(each.c.tenant, each.c.part, m.label("m"), cast(y, Float).label("y"))
    unit = grouped.group_by(each.c.tenant, each.c.part, each.c.unit).subquery()
    moments = _moments(cast(unit.c.m, Float), unit.c.y)
    totals = [func.sum(column).label(name) for name, column in moments.items()]
    query = select(unit.c.part, func.count().label("units"), *totals).where(unit.c.m > 0)
    return {
        row["part"]: Sums(int(row["units"]), **{name: float(row[name]) for name in moments})
        for row in tx.select(query.group_by(unit.c.part), unit)
    }


def answers(tx: Tx, release_id: str, limit: int) -> Iterator[Row]:
    """The newest answers in the comparison: arm, unit, inputs, what was said and the latest label, some at a
    time in memory."""
    columns = [_P[name] for name in ("variant", "unit", "inputs", "prediction", "value", "confidence")]
    query = select(*columns, _L.label, _L.value.label("label_value")).select_from(with_labels(predictions))
    return tx.stream(query.where(*compared(release_id)).order_by(_P.at.desc()).limit(limit), predictions)


def requests(tx: Tx, model: str, since: datetime, until: datetime) -> tuple[datetime | None, int]:
    """When the first prediction of a period was, and how many requests there were."""
    wanted = (_P.model == model, _P.at >= to_text(since), _P.at < to_text(until))
    columns = [func.min(_P.at).label("begun"), func.count(_P.request_id.distinct()).label("n")]
    query = select(*columns)
    row = tx.select(query.where(*wanted), predictions)[0]
    return datetime.fromisoformat(row["begun"]) if row["begun"] else None, int(row["n"])


def latency(tx: Tx, release_id: str, variant: str) -> dict[str, float]:
    """Quantiles of an arm's latency, in milliseconds."""
    return latencies(tx, _P.latency_ms, predictions, *compared(release_id), _P.variant == variant)


def latency_quantile(
    tx: Tx, model: str, since: datetime, until: datetime, share: float, version: str | None = None
) -> float | None:
    """Of all predictions of a period, or those of a version, in milliseconds."""
    wanted = [_P.model == model, _P.at >= to_text(since), _P.at < to_text(until)]
    if version is not None:
        wanted.append(_P.version == version)
    return quantiles(tx, _P.latency_ms, predictions, [share], *wanted)[0]


def slow_share(tx: Tx, model: str, since: datetime, until: datetime, above: float) -> float:
    """The share of the predictions of a period that took longer than so many milliseconds."""
    wanted = (_P.model == model, _P.at >= to_text(since), _P.at < to_text(until), _P.latency_ms.is_not(None))
    slow = case((_P.latency_ms > above, 1), else_=0)
    asked: list[Any] = [func.count().label("n"), func.sum(slow).label("slow")]
    row = tx.select(select(*asked).where(*wanted), predictions)[0]
    return int(row["slow"] or 0) / int(row["n"]) if row["n"] else 0.0


def _moments(m: Any, y: Any) -> Mapping[str, Any]:
    return {
        "rows": m,
        "total": y,
        "rows_squared": m * m,
        "total_squared": y * y,
        "rows_by_total": m * y,
    }


def _value(said: Any, measure: str, positive: str | None, business: Business | None) -> ColumnElement[Any]:
    """Of what was ``said``: columns of a prediction, or of a shadow's."""
    right: ColumnElement[Any] = case((said.prediction == _L.label, 1.0), else_=0.0)
    squared: ColumnElement[Any]
    if measure == "accuracy":
        return right
    if measure == "brier":
        squared = (said.confidence - right) * (said.confidence - right)
        return squared
    if measure == "mae":
        return func.abs(said.value - _L.value)
    if measure == "mse":
        squared = (said.value - _L.value) * (said.value - _L.value)
        return squared
    if measure == "net_value":
        assert business is not None  # noqa: S101 (the plan was refused without)
        acted, outcome = said.prediction == positive, _L.label == positive
        return case(
            (and_(acted, outcome), business.true_positive),
            (acted, business.false_positive),
            (outcome, business.false_negative),
            else_=business.true_negative,
        )
    if measure == "confidence":
        return cast(said.confidence, Float)
    if measure == "value":
        return cast(said.value, Float)
    return case((said.prediction == literal(measure.removeprefix("share:")), 1.0), else_=0.0)
