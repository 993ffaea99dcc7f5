"""Recorded predictions, and how far the log files that they come from have been read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, FromClause, Join, Select, Table, and_, case, func, or_, select

from everloop.core.serving import Prediction

from .database import Row, Tx
from .tables import labels, prediction_files, predictions
from .times import to_text

COLUMNS = (
    *("prediction_id", "at", "model", "version", "variant", "request_id", "latency_ms"),
    *("prediction", "value", "confidence", "inputs", "probabilities", "warnings"),
    *("release_id", "probability", "unit", "selection", "inclusion"),
)
_P = predictions.c
LATEST = labels.alias("latest")
_L = LATEST
_MANY = 500
DAMAGED = "Its inputs or probabilities are no JSON in the database."
MOST_NAMED = 5  # predictions in a sentence

Labelled = Literal["known", "missing"]


@dataclass(frozen=True)
class Wanted:
    """Which predictions: ``until`` is exclusive, bounds of the confidence are inclusive. ``label`` is whether
    one is known, ``label_is`` which one it is. ``teaches``: only those whose label the answer has not
    decided."""

    model: str | None = None
    version: str | None = None
    variant: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    request_id: str | None = None
    prediction: str | None = None
    label: Labelled | None = None
    label_is: str | None = None
    min_confidence: float | None = None
    max_confidence: float | None = None
    release_id: str | None = None
    teaches: bool = False


# -- recording ---------------------------------------------------------------------------------------------


def add(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> int:
    """Insert rows of ``COLUMNS``, those whose id is known excepted; returns how many were new."""
    return tx.add_new(predictions, COLUMNS, rows)


def offset(tx: Tx, name: str) -> int:
    """How far a log file has been read, in bytes; the caller's transaction alone may move it on."""
    tx.lock(f"predictions/{name}")
    row = tx.row(prediction_files, prediction_files.c.name == name)
    return int(row["offset"]) if row else 0


def offsets(tx: Tx) -> dict[str, int]:
    return {row["name"]: int(row["offset"]) for row in tx.rows(prediction_files, by="name")}


def last_line(tx: Tx, name: str) -> str | None:
    """The digest of the last line that was recorded; None where an earlier release did it."""
    row = tx.row(prediction_files, prediction_files.c.name == name)
    return row["last"] if row else None


def reach(tx: Tx, name: str, offset: int, last: str | None) -> None:
    """``last``: the digest of the line that ends at ``offset``."""
    tx.put(prediction_files, name=name, offset=offset, last=last)


def forget(tx: Tx, name: str) -> None:
    """A log file that is gone."""
    tx.remove(prediction_files, prediction_files.c.name == name)


# -- reading -----------------------------------------------------------------------------------------------


def models(tx: Tx) -> list[str]:
    """The names of all models with a prediction, one look into the index for each."""
    found: list[str] = []
    while True:
        after = [_P.model > found[-1]] if found else []
        name = tx.select(select(func.min(_P.model).label("model")).where(*after), predictions)[0]["model"]
        if name is None:
            return found
        found.append(name)


def find(tx: Tx, ids: Sequence[str]) -> dict[str, Row]:
    """Those of these predictions that are recorded, by id, without their inputs."""
    columns = [_P[name] for name in ("prediction_id", "at", "model", "version", "prediction")]
    found: dict[str, Row] = {}
    for start in range(0, len(ids), _MANY):
        query = select(*columns).where(_P.prediction_id.in_(ids[start : start + _MANY]))
        found |= {row["prediction_id"]: row for row in tx.select(query, predictions)}
    return found


def one(tx: Tx, prediction_id: str) -> Row | None:
    """A prediction as ``page`` gives it."""
    found = tx.select(_labelled_rows().where(_P.prediction_id == prediction_id), predictions)
    return found[0] if found else None


def page(
    tx: Tx, wanted: Wanted, limit: int, after: tuple[str, str] | None = None, *, oldest: bool = False
) -> list[Row]:
    """At most ``limit`` predictions, newest first [or oldest first], that come after the (time, id)
    ``after``, each with its latest label or None (``label``, ``labelled_at``)."""
    if wanted.request_id is not None:
        names: list[str | None] = [None]
    else:
        names = list(models(tx)) if wanted.model is None else [wanted.model]
    if not names:
        return []
    found = [
        row for name in names for row in tx.select(_page(wanted, name, limit, after, oldest), predictions)
    ]
    if len(names) > 1:
        found.sort(key=lambda row: (row["at"], row["prediction_id"]), reverse=not oldest)
    return found[:limit]


def each(tx: Tx, wanted: Wanted) -> Iterator[Row]:
    """All predictions of one model, oldest first, as ``page`` gives them, some at a time in memory."""
    return tx.stream(_page(wanted, wanted.model, None, None, oldest=True), predictions)


def intact(rows: Iterable[Row], damaged: list[str] | None = None) -> Iterator[Row]:
    """Those whose inputs and probabilities can be read, as far as these are asked for; the ids of the others
    are added to ``damaged``."""
    for row in rows:
        if all(object_of(row[name]) is not None for name in ("inputs", "probabilities") if row.get(name)):
            yield row
        elif damaged is not None:
            damaged.append(row["prediction_id"])


def object_of(text: str) -> dict[str, Any] | None:
    """What stands in the database as JSON; None where it is damaged."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def told(damaged: Sequence[str]) -> str:
    """Which of them cannot be read, in words; empty where all can."""
    if not damaged:
        return ""
    named = ", ".join(damaged[:MOST_NAMED]) + (" …" if len(damaged) > MOST_NAMED else "")
    return f"left out: {len(damaged):,} whose inputs or probabilities are no JSON in the database ({named})"


def usage(tx: Tx, since: datetime | None = None) -> list[Row]:
    """By model, version and variant: ``count``, ``latency_ms`` (the mean) and ``latest``, a time."""
    columns = (_P.model, _P.version, _P.variant)
    counted = (
        func.count().label("count"),
        func.avg(_P.latency_ms).label("latency_ms"),
        func.max(_P.at).label("latest"),
    )
    query = select(*columns, *counted).group_by(*columns).order_by(*columns)
    found: list[Row] = []
    for name in models(tx):
        found += tx.select(query.where(*_conditions(Wanted(model=name, since=since))), predictions)
    return found


def per_hour(tx: Tx, wanted: Wanted) -> dict[str, int]:
    """How many predictions by hour (``2026-11-21T09``)."""
    hour = func.substr(_P.at, 1, 13).label("hour")
    query = select(hour, func.count().label("count")).where(*_conditions(wanted)).group_by(hour)
    return {row["hour"]: int(row["count"]) for row in tx.select(query, predictions)}


def labelled(tx: Tx, wanted: Wanted) -> Iterator[Row]:
    """The predictions that have a label, by time: ``at``, ``prediction``, ``value``, their latest ``label``
    and ``label_value``, and when the first one came (``received_at``)."""
    first = _of_prediction(func.min)
    early = labels.alias()
    joined = with_labels(predictions).join(
        early, and_(early.c.tenant == _P.tenant, early.c.sequence == first)
    )
    query = (
        select(
            _P.at, _P.prediction, _P.value, _L.c.label, _L.c.value.label("label_value"), early.c.received_at
        )
        .select_from(joined)
        .where(*_conditions(wanted))
        .order_by(_P.at)
    )
    return tx.stream(query, predictions)


def prune(tx: Tx, model: str, before: datetime, limit: int) -> int:
    """Delete at most ``limit`` predictions of a model from before a time; returns how many."""
    chosen = select(_P.prediction_id).where(_P.model == model, _P.at < to_text(before)).order_by(_P.at)
    ids = [row["prediction_id"] for row in tx.select(chosen.limit(limit), predictions)]
    return sum(
        tx.remove(predictions, _P.prediction_id.in_(ids[start : start + _MANY]))
        for start in range(0, len(ids), _MANY)
    )


def count(tx: Tx, wanted: Wanted) -> int:
    query = (
        select(func.count().label("count")).select_from(with_labels(predictions)).where(*_conditions(wanted))
    )
    return int(tx.select(query, predictions)[0]["count"])


def as_prediction(row: Row) -> Prediction:
    """Where its inputs or probabilities are damaged it has none, and a warning says so."""
    inputs, warnings = object_of(row["inputs"]), row["warnings"]
    probabilities = object_of(row["probabilities"]) if row["probabilities"] else None
    damaged = [DAMAGED] if inputs is None or (row["probabilities"] and probabilities is None) else []
    return Prediction(
        prediction_id=row["prediction_id"],
        at=datetime.fromisoformat(row["at"]),
        model=row["model"],
        version=row["version"],
        inputs=inputs or {},
        prediction=row["prediction"] if row["value"] is None else row["value"],
        variant=row["variant"],
        request_id=row["request_id"],
        latency_ms=row["latency_ms"],
        confidence=row["confidence"],
        probabilities=probabilities,
        warnings=(*(json.loads(warnings) if warnings else ()), *damaged),
        label=row["label"],
        labelled_at=datetime.fromisoformat(row["labelled_at"]) if row["labelled_at"] else None,
        release_id=row["release_id"],
        probability=row["probability"],
        selection=row["selection"],
        inclusion=row["inclusion"],
    )


def _page(
    wanted: Wanted, model: str | None, limit: int | None, after: tuple[str, str] | None, oldest: bool
) -> Select[Any]:
    query = _labelled_rows().where(*_conditions(replace(wanted, model=model)))
    order = (_P.at, _P.prediction_id)
    if after is not None:
        at, name = after
        if oldest:
            query = query.where(_P.at >= at, or_(_P.at > at, _P.prediction_id > name))
        else:
            query = query.where(_P.at <= at, or_(_P.at < at, _P.prediction_id < name))
    return query.order_by(*(order if oldest else [column.desc() for column in order])).limit(limit)


def _labelled_rows() -> Select[Any]:
    columns = [_P[name] for name in COLUMNS]
    return select(*columns, _L.c.label, _L.c.at.label("labelled_at")).select_from(with_labels(predictions))


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    equal = {
        _P.model: wanted.model,
        _P.version: wanted.version,
        _P.variant: wanted.variant,
        _P.request_id: wanted.request_id,
        _P.prediction: wanted.prediction,
        _P.release_id: wanted.release_id,
        _L.c.label: wanted.label_is,
    }
    found = [column == value for column, value in equal.items() if value is not None]
    if wanted.since is not None:
        found.append(_P.at >= to_text(wanted.since))
    if wanted.until is not None:
        found.append(_P.at < to_text(wanted.until))
    if wanted.min_confidence is not None:
        found.append(_P.confidence >= wanted.min_confidence)
    if wanted.max_confidence is not None:
        found.append(_P.confidence <= wanted.max_confidence)
    if wanted.label is not None:
        found.append(_L.c.sequence.is_not(None) if wanted.label == "known" else _L.c.sequence.is_(None))
    if wanted.teaches:
        found.append(or_(_P.selection.is_(None), _P.selection != "decided"))
    return found


def judged() -> list[ColumnElement[bool]]:
    """The rows by whose labels a model may be judged: of a model whose answers decide over labels those that
    were held out, which are like all that it is asked."""
    return [_L.c.sequence.is_not(None), _fair(_P.selection)]


def _fair(selection: ColumnElement[Any]) -> ColumnElement[bool]:
    return or_(selection.is_(None), selection == "hold_out")


def compared(release_id: str) -> list[ColumnElement[bool]]:
    """The predictions of a release that are compared."""
    return [_P.release_id == release_id, _P.unit.is_not(None)]


def latencies(
    tx: Tx, column: ColumnElement[Any], table: Table, *wanted: ColumnElement[bool]
) -> dict[str, float]:
    """The quantiles that are shown, in milliseconds; none where nothing was timed."""
    names = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = zip(names, quantiles(tx, column, table, list(names.values()), *wanted), strict=True)
    return {name: value for name, value in found if value is not None}


def quantiles(
    tx: Tx, column: ColumnElement[Any], table: Table, shares: Sequence[float], *wanted: ColumnElement[bool]
) -> list[float | None]:
    """Of a column's values that are there; None where none is."""
    there = (*wanted, column.is_not(None))
    total = int(tx.select(select(func.count().label("n")).where(*there), table)[0]["n"])
    query = select(column.label("value")).where(*there).order_by(column)
    found: list[float | None] = []
    for share in shares:
        rows = tx.select(query.offset(int(share * max(0, total - 1))).limit(1), table)
        found.append(float(rows[0]["value"]) if rows else None)
    return found


def scored(tx: Tx, model: str, since: datetime, until: datetime, most: int) -> list[Row]:
    """By version, of the newest ``most`` predictions from ``since`` to before ``until``: how many there are
    (``many``), how many had a label by then to judge by (``labelled``), the share of these that it agrees
    with (``right``) and the mean absolute error (``error``)."""
    wanted = (_P.model == model, _P.at >= to_text(since), _P.at < to_text(until))
    columns = [
        _P[name] for name in ("tenant", "prediction_id", "version", "prediction", "value", "selection")
    ]
    query = select(*columns).where(*wanted)
    newest = query.order_by(_P.at.desc(), _P.prediction_id.desc()).limit(most)
    said, of = tx.mine(newest, predictions).subquery().c, labels.alias().c
    known_then = (of.tenant == said.tenant, of.prediction_id == said.prediction_id)
    latest = select(func.max(of.sequence)).where(*known_then, of.received_at <= to_text(until))
    label = and_(
        _L.c.tenant == said.tenant,
        _L.c.sequence == latest.correlate(said.tenant.table).scalar_subquery(),
        _fair(said.selection),
    )
    right = case((_L.c.label == said.prediction, 1.0), else_=0.0)
    found = select(
        said.version,
        func.count().label("many"),
        func.count(_L.c.sequence).label("labelled"),
        func.avg(case((_L.c.sequence.is_not(None), right))).label("right"),
        func.avg(func.abs(said.value - _L.c.value)).label("error"),
    ).select_from(said.tenant.table.outerjoin(_L, label))
    return list(tx.select(found.group_by(said.version).order_by(said.version), said.tenant.table))


def with_labels(table: FromClause) -> Join:
    """With the latest label of each prediction, if it has one."""
    return table.outerjoin(_L, and_(_L.c.tenant == _P.tenant, _L.c.sequence == _of_prediction(func.max)))


def _of_prediction(chosen: Callable[..., Any]) -> Any:
    """The number of the first or latest label of the prediction at hand."""
    of = labels.alias()
    return (
        select(chosen(of.c.sequence))
        .where(of.c.tenant == _P.tenant, of.c.prediction_id == _P.prediction_id)
        .correlate(predictions)
        .scalar_subquery()
    )
