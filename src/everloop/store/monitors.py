"""What monitors keep: references, hours of production, how far they are, what they checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from everloop.core.documents import dump, load
from everloop.core.monitoring import Checked, Kind

from .database import Row, Tx
from .predictions import LATEST, intact, judged, with_labels
from .tables import monitor_checks, monitor_marks, monitor_references, monitor_windows, predictions
from .times import to_text

_P, _R, _W, _M, _C = (
    table.c for table in (predictions, monitor_references, monitor_windows, monitor_marks, monitor_checks)
)


# -- references --------------------------------------------------------------------------------------------


def put_reference(tx: Tx, model: str, version: str, document: Mapping[str, Any], at: datetime) -> None:
    tx.put(monitor_references, model=model, version=version, created_at=to_text(at), document=dict(document))


def reference(tx: Tx, model: str, version: str) -> dict[str, Any] | None:
    row = tx.row(monitor_references, _R.model == model, _R.version == version)
    return dict(row["document"]) if row else None


# -- hours of production -----------------------------------------------------------------------------------


def versions(tx: Tx, model: str, since: datetime) -> list[str]:
    """The versions that answered since then."""
    query = select(_P.version).where(_P.model == model, _P.at >= to_text(since)).distinct()
    return sorted(row["version"] for row in tx.select(query, predictions))


def first(tx: Tx, model: str, version: str, since: datetime) -> datetime | None:
    """When a version first answered since then."""
    wanted = (_P.model == model, _P.version == version, _P.at >= to_text(since))
    found = tx.select(select(func.min(_P.at).label("at")).where(*wanted), predictions)[0]["at"]
    return datetime.fromisoformat(found) if found else None


def put_window(
    tx: Tx, model: str, version: str, since: str, hours: int, rows: int, document: Mapping[str, Any]
) -> None:
    """``since`` is an hour, as predictions are counted by (``2026-11-21T09``)."""
    key = {"model": model, "version": version, "hours": hours, "since": since}
    tx.put(monitor_windows, **key, rows=rows, document=dict(document))


def windows(tx: Tx, model: str, version: str, hours: int, since: str, until: str) -> list[Row]:
    """Those of so many hours that begin from ``since`` to before ``until``, oldest first."""
    wanted = (_W.model == model, _W.version == version, _W.hours == hours)
    return list(tx.rows(monitor_windows, *wanted, _W.since >= since, _W.since < until, by="since"))


def hour_rows(tx: Tx, model: str, version: str, since: str, until: str) -> dict[str, int]:
    """How many predictions are summed up in each hour."""
    wanted = (_W.model == model, _W.version == version, _W.hours == 1, _W.since >= since, _W.since < until)
    query = select(_W.since, _W.rows).where(*wanted)
    return {row["since"]: int(row["rows"]) for row in tx.select(query, monitor_windows)}


def forget_windows(tx: Tx, model: str, version: str, before: str) -> None:
    """Those that began before an hour."""
    wanted = (_W.model == model, _W.version == version, _W.since < before)
    tx.remove(monitor_windows, *wanted)


def answers(
    tx: Tx,
    model: str,
    version: str,
    since: datetime,
    until: datetime,
    *,
    labelled: bool = False,
    inputs: bool = True,
    newest: int | None = None,
    damaged: list[str] | None = None,
) -> Iterator[Row]:
    """What a version answered, oldest first, some at a time in memory; ``labelled``: that which may be judged
    by its label, with it (``label``, ``label_value``); ``inputs``: with what it was asked; ``newest``: so
    many, newest first. What cannot be read is left out, and its id added to ``damaged``."""
    names = ("prediction_id", "at", "prediction", "value", "probabilities", *(["inputs"] if inputs else []))
    columns = [_P[name] for name in names]
    wanted = [_P.model == model, _P.version == version, _P.at >= to_text(since), _P.at < to_text(until)]
    query = select(*columns)
    if labelled:
        found = (LATEST.c.label, LATEST.c.value.label("label_value"))
        query = select(*columns, *found).select_from(with_labels(predictions))
        wanted += judged()
    if newest is not None:
        query = query.where(*wanted).order_by(_P.at.desc(), _P.prediction_id.desc()).limit(newest)
    else:
        query = query.where(*wanted).order_by(_P.at, _P.prediction_id)
    return intact(tx.stream(query, predictions), damaged)


# -- how far a monitor is ----------------------------------------------------------------------------------


def put_mark(tx: Tx, model: str, version: str, document: Mapping[str, Any]) -> None:
    tx.put(monitor_marks, model=model, version=version, document=dict(document))


def mark(tx: Tx, model: str, version: str) -> dict[str, Any]:
    row = tx.row(monitor_marks, _M.model == model, _M.version == version)
    return dict(row["document"]) if row else {}


# -- checks ------------------------------------------------------------------------------------------------


def begin(tx: Tx, model: str) -> None:
    """Checks of a model come one after the other."""
    tx.lock(f"monitor/{model}")


def add_check(tx: Tx, checked: Checked) -> bool:
    """Whether it was new: a window is judged once."""
    return tx.add_once(
        monitor_checks,
        ("model", "version", "kind", "since"),
        model=checked.model,
        version=checked.version,
        kind=checked.kind,
        since=to_text(checked.since),
        until=to_text(checked.until),
        at=to_text(checked.at),
        rows=checked.rows,
        document=dump(checked),
    )


def checks(
    tx: Tx,
    model: str,
    *,
    version: str | None = None,
    kind: Kind | None = None,
    before: datetime | None = None,
    until: datetime | None = None,
    since: datetime | None = None,
    limit: int | None = None,
    by_window: bool = False,
) -> list[Checked]:
    """The last one made first, or ``by_window`` that of the newest window; ``before``: made before then;
    ``until``: of windows that ended by then; ``since``: that ended after then."""
    wanted = [_C.model == model]
    wanted += [_C.version == version] if version else []
    wanted += [_C.kind == kind] if kind else []
    wanted += [_C.at <= to_text(before)] if before else []
    wanted += [_C.until <= to_text(until)] if until else []
    wanted += [_C.until > to_text(since)] if since else []
    by = "until" if by_window else "at" if before else "sequence"
    rows = tx.rows(monitor_checks, *wanted, newest=True, by=by, limit=limit)
    return [load(Checked, row["document"]) for row in rows]


def check_of(tx: Tx, model: str, version: str, kind: Kind, since: datetime) -> Checked | None:
    """The check of the window that began then."""
    wanted = (_C.model == model, _C.version == version, _C.kind == kind, _C.since == to_text(since))
    row = tx.row(monitor_checks, *wanted)
    return load(Checked, row["document"]) if row else None


def latest_checks(tx: Tx, model: str | None = None) -> list[Checked]:
    """The newest of each model, version and kind."""
    newest = select(func.max(_C.sequence).label("sequence")).group_by(_C.model, _C.version, _C.kind)
    if model is not None:
        newest = newest.where(_C.model == model)
    found = [row["sequence"] for row in tx.select(newest, monitor_checks)]
    rows = tx.rows(monitor_checks, _C.sequence.in_(found))
    return [load(Checked, row["document"]) for row in rows]
