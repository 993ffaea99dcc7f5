"""The true outcomes of predictions: append-only, the latest of a prediction stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, func, select

from .database import Row, Tx
from .tables import labels, predictions

_L, _P = labels.c, predictions.c
_MANY = 500


def begin(tx: Tx) -> None:
    """Labels are added one transaction after the other: the latest is the one that was committed last."""
    tx.lock("labels")


def add(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Each with ``prediction_id``, ``label``, ``value`` (the label as a number, if it is one), ``at`` (when
    it came true), ``received_at`` and ``by``."""
    tx.add_all(labels, rows)


def latest(tx: Tx, ids: Sequence[str]) -> dict[str, Row]:
    """The latest label of each of these predictions that has one, by prediction id."""
    found: dict[str, Row] = {}
    for start in range(0, len(ids), _MANY):
        newest = select(func.max(_L.sequence).label("sequence")).group_by(_L.prediction_id)
        chosen = newest.where(_L.prediction_id.in_(ids[start : start + _MANY]))
        numbers = [row["sequence"] for row in tx.select(chosen, labels)]
        found |= {row["prediction_id"]: row for row in tx.rows(labels, _L.sequence.in_(numbers))}
    return found


def of(tx: Tx, prediction_id: str) -> list[Row]:
    """All labels that a prediction was given, oldest first."""
    return list(tx.rows(labels, _L.prediction_id == prediction_id))


def newest(tx: Tx, model: str, many: int) -> list[Row]:
    """The newest labels of a model's predictions: when each prediction was made (``at``), and when its label
    came (``received_at``)."""
    joined = labels.join(predictions, and_(_P.tenant == _L.tenant, _P.prediction_id == _L.prediction_id))
    query = select(_P.at, _L.received_at).select_from(joined).where(_P.model == model)
    return list(tx.select(query.order_by(_L.sequence.desc()).limit(many), labels))
