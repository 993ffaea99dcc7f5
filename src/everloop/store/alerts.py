"""Alerts and silences."""

from __future__ import annotations

from datetime import datetime

from everloop.core.documents import dump, load
from everloop.core.monitoring import Alert, AlertStatus, Silence

from . import ids
from .database import Tx
from .tables import alerts, silences
from .times import to_text

_A, _S = alerts.c, silences.c


def begin(tx: Tx, model: str) -> None:
    """Changes of a model's alerts come one after the other."""
    tx.lock(f"alerts/{model}")


def put(tx: Tx, alert: Alert) -> None:
    tx.put(
        alerts,
        alert_id=alert.alert_id,
        model=alert.model,
        key=alert.key,
        level=alert.level,
        status=alert.status,
        opened_at=to_text(alert.opened_at),
        updated_at=to_text(alert.updated_at),
        notified_at=to_text(alert.notices[-1]) if alert.notices else None,
        document=dump(alert),
    )


def find(tx: Tx, alert_id: str) -> Alert:
    """By its id, or a unique ending or beginning of it. Raises NotFound."""
    row = ids.find(tx, _A.alert_id, alert_id, noun="alert", listing="everloop alerts list --all")
    return load(Alert, row["document"])


def list_alerts(
    tx: Tx,
    model: str | None = None,
    status: AlertStatus | None = None,
    *,
    key: str | None = None,
    limit: int | None = None,
) -> list[Alert]:
    """Newest first."""
    wanted = [_A.model == model] if model else []
    wanted += [_A.status == status] if status else []
    wanted += [_A.key == key] if key else []
    rows = tx.rows(alerts, *wanted, newest=True, by="opened_at", limit=limit)
    return [load(Alert, row["document"]) for row in rows]


def told_since(tx: Tx, model: str, since: datetime) -> int:
    """How many times somebody was told of the model's alerts since then."""
    rows = tx.rows(alerts, _A.model == model, _A.notified_at >= to_text(since), by="notified_at")
    notices = [at for row in rows for at in load(Alert, row["document"]).notices]
    return sum(at >= since for at in notices)


def put_silence(tx: Tx, silence: Silence) -> None:
    tx.put(silences, silence_id=silence.silence_id, until=to_text(silence.until), document=dump(silence))


def find_silence(tx: Tx, silence_id: str) -> Silence:
    """By its id, or a unique ending or beginning of it. Raises NotFound."""
    row = ids.find(tx, _S.silence_id, silence_id, noun="silence", listing="everloop alerts silences")
    return load(Silence, row["document"])


def list_silences(tx: Tx, at: datetime | None = None) -> list[Silence]:
    """Those that end last first; only those that still hold ``at`` a moment."""
    wanted = [_S.until > to_text(at)] if at else []
    rows = tx.rows(silences, *wanted, newest=True, by="until")
    return [load(Silence, row["document"]) for row in rows]
