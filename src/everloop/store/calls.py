"""How a model answered: predictions that were served here, and calls that somebody else told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select

from .database import Row, Tx
from .tables import calls, failures, predictions
from .times import to_text

_C, _F, _P = calls.c, failures.c, predictions.c


def add(tx: Tx, model: str, at: datetime, seconds: float, success: bool, error: str | None) -> None:
    tx.add(calls, model=model, at=to_text(at), seconds=seconds, success=int(success), error=error)


def counts(tx: Tx, model: str, since: datetime, until: datetime) -> tuple[int, int, float]:
    """Calls, those that failed, and the seconds that all took. ``until`` is excluded."""
    told = (_C.model == model, _C.at >= to_text(since), _C.at < to_text(until))
    served = (_P.model == model, _P.at >= to_text(since), _P.at < to_text(until))
    failed = (_F.model == model, _F.at >= to_text(since), _F.at < to_text(until), _F.kind == "failed")
    told_of: list[Any] = [
        func.count().label("n"),
        func.sum(case((_C.success == 0, 1), else_=0)).label("failed"),
        func.sum(_C.seconds).label("seconds"),
    ]
    row = tx.select(select(*told_of).where(*told), calls)[0]
    served_of: list[Any] = [func.count().label("n"), func.sum(_P.latency_ms).label("ms")]
    here = tx.select(select(*served_of).where(*served), predictions)[0]
    broken = int(tx.select(select(func.count().label("n")).where(*failed), failures)[0]["n"])
    return (
        int(row["n"]) + int(here["n"]) + broken,
        int(row["failed"] or 0) + broken,
        float(row["seconds"] or 0.0) + float(here["ms"] or 0.0) / 1000,
    )


def errors(tx: Tx, model: str, since: datetime, until: datetime, limit: int) -> list[Row]:
    """The most frequent errors that were told: ``error`` and ``n``."""
    wanted = (_C.model == model, _C.at >= to_text(since), _C.at < to_text(until), _C.error.is_not(None))
    n = func.count().label("n")
    query = select(_C.error, n).where(*wanted).group_by(_C.error).order_by(n.desc(), _C.error)
    return list(tx.select(query.limit(limit), calls))
