"""What the candidate of a shadow release would have answered to recorded requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Join, Select, and_, func, select

from everloop.core.releases import CHAMPION

from .database import Row, Tx
from .predictions import LATEST, compared, latencies, with_labels
from .tables import failures, predictions, shadows
from .times import to_text

COLUMNS = (
    *("release_id", "prediction_id", "version", "prediction", "value", "confidence", "probabilities"),
    *("gap", "latency_ms"),
)
FAILED = ":shadow"  # ends the ids of failures of a shadow's candidate
_P, _S, _L = predictions.c, shadows.c, LATEST.c


def add(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> int:
    """Insert rows of ``COLUMNS``, those whose prediction has one excepted; returns how many were new."""
    return tx.add_new(shadows, COLUMNS, rows)


def waiting(tx: Tx, model: str, release_id: str, since: datetime, limit: int) -> list[Row]:
    """The champion's answers under a release since a moment that its candidate has not seen, oldest first."""
    columns = (
        *(_P.prediction_id, _P.at, _P.request_id, _P.unit, _P.inputs),
        *(_P.prediction, _P.value, _P.confidence, _P.probabilities),
    )
    seen = select(_S.prediction_id).where(
        _S.tenant == _P.tenant, _S.release_id == release_id, _S.prediction_id == _P.prediction_id
    )
    failed = select(failures.c.failure_id).where(
        failures.c.tenant == _P.tenant, failures.c.failure_id == _P.prediction_id + FAILED
    )
    query = (
        select(*columns)
        .where(_P.model == model, _P.at >= to_text(since), *of_release(release_id))
        .where(~seen.exists(), ~failed.exists())
        .order_by(_P.at, _P.prediction_id)
        .limit(limit)
    )
    return list(tx.select(query, predictions))


def newest(tx: Tx, model: str, version: str, limit: int) -> list[Row]:
    """The newest answers of a version: inputs and what was said."""
    columns = (_P.prediction_id, _P.inputs, _P.prediction, _P.value, _P.confidence, _P.probabilities)
    query = select(*columns).where(_P.model == model, _P.version == version)
    return list(tx.select(query.order_by(_P.at.desc(), _P.prediction_id.desc()).limit(limit), predictions))


def counted(tx: Tx, release_id: str) -> tuple[int, int]:
    """Units and rows that the candidate has answered."""
    numbers: tuple[Any, ...] = (func.count(_P.unit.distinct()).label("units"), func.count().label("rows"))
    query = select(*numbers).select_from(pairs(release_id)).where(*of_release(release_id))
    row = tx.select(query, predictions)[0]
    return int(row["units"]), int(row["rows"])


def latest(tx: Tx, release_id: str, limit: int) -> Iterator[Row]:
    """Both answers to each of the newest requests, with the inputs and the latest label, some at a time in
    memory."""
    return tx.stream(_both(release_id).order_by(_P.at.desc()).limit(limit), predictions)


def widest(tx: Tx, release_id: str, version: str, limit: int) -> list[Row]:
    """The requests on which both answers lie farthest apart, as ``latest`` gives them, the farthest first."""
    query = _both(release_id).where(_S.version == version, _S.gap.is_not(None))
    return list(tx.select(query.order_by(_S.gap.desc()).limit(limit), predictions))


def latency(tx: Tx, release_id: str) -> dict[str, float]:
    """Quantiles of the candidate's time for a row, in milliseconds."""
    return latencies(tx, _S.latency_ms, shadows, _S.release_id == release_id)


def pairs(release_id: str, *, labelled: bool = False) -> Join:
    """Predictions with what the candidate said to the same request."""
    source: Any = with_labels(predictions) if labelled else predictions
    same = (_S.tenant == _P.tenant, _S.prediction_id == _P.prediction_id, _S.release_id == release_id)
    joined: Join = source.join(shadows, and_(*same))
    return joined


def of_release(release_id: str) -> list[ColumnElement[bool]]:
    """The champion's answers in the comparison."""
    return [*compared(release_id), _P.variant == CHAMPION]


def _both(release_id: str) -> Select[Any]:
    names = ("prediction", "value", "confidence", "probabilities")
    query = select(
        *(_P.prediction_id, _P.at, _P.inputs, _S.gap, _L.label, _L.value.label("label_value")),
        *(_P[name] for name in names),
        *(_S[name].label(f"shadow_{name}") for name in names),
    )
    return query.select_from(pairs(release_id, labelled=True)).where(*of_release(release_id))
