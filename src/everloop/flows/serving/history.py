"""Look at recorded predictions: page by page, newest first, with their labels; and how models are used."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime

from everloop.core.errors import Invalid
from everloop.core.moments import check_period, checked
from everloop.core.serving import Prediction
from everloop.flows.project import Project
from everloop.store import labels, predictions
from everloop.store.predictions import Wanted
from everloop.store.times import to_text

from .lines import REQUEST_LENGTH
from .texts import is_storable

MOST = 1_000


@dataclass(frozen=True)
class Label:
    """One label that a prediction was given: the text, when it came true, when and by whom it was told."""

    label: str
    at: datetime
    received_at: datetime
    by: str


@dataclass(frozen=True)
class Usage:
    """How many predictions a version made, their mean latency in milliseconds, and the latest's time."""

    model: str
    version: str
    variant: str
    count: int
    latency_ms: float | None
    latest: datetime


def page(
    project: Project,
    *,
    model: str | None = None,
    version: str | None = None,
    variant: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    request_id: str | None = None,
    label: str | None = None,
    prediction: str | None = None,
    min_confidence: float | None = None,
    max_confidence: float | None = None,
    release: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> tuple[list[Prediction], str | None]:
    """Predictions with their latest labels, newest first, and the cursor of the next page (None: no more).

    Pages stay what they are while new predictions come: each begins where the one before it ended. ``until``
    is exclusive. ``label`` is ``known``, ``missing``, or a label itself (``=known`` for one called so).
    Raises Invalid for a limit that is not 1 to 1,000, a cursor that no page gave, times that are none, and
    a period that ends before it begins.
    """
    if not 1 <= limit <= MOST:
        raise Invalid(f"limit is {limit}.", remedy=f"Ask for 1 to {MOST:,} predictions a page.")
    check_period(since, until)
    for text in (model, version, variant, request_id, label, prediction, release):
        if text is not None and not is_storable(text):
            raise Invalid(f"No prediction has {text[:80]!r}.", remedy="Give text without the character 0.")
    wanted = Wanted(
        model=model,
        version=version,
        variant=variant,
        since=since,
        until=until,
        request_id=request_id[:REQUEST_LENGTH] if request_id is not None else None,
        prediction=prediction,
        label="known" if label == "known" else "missing" if label == "missing" else None,
        label_is=None if label in (None, "known", "missing") else label.removeprefix("="),
        min_confidence=min_confidence,
        max_confidence=max_confidence,
        release_id=release,
    )
    with project.store.reading() as tx:
        rows = predictions.page(tx, wanted, limit + 1, _read_cursor(cursor) if cursor else None)
    last = rows[limit - 1] if len(rows) > limit else None
    found = [predictions.as_prediction(row) for row in rows[:limit]]
    return found, _cursor(last["at"], last["prediction_id"]) if last is not None else None


def labels_of(project: Project, prediction_id: str) -> list[Label]:
    """All labels that a prediction was given, oldest first; the last one stands."""
    with project.store.reading() as tx:
        found = labels.of(tx, prediction_id)
    return [
        Label(
            row["label"],
            datetime.fromisoformat(row["at"]),
            datetime.fromisoformat(row["received_at"]),
            row["by"],
        )
        for row in found
    ]


def usage(project: Project, since: datetime | None = None) -> list[Usage]:
    """By model, version and variant [of all time]."""
    with project.store.reading() as tx:
        rows = predictions.usage(tx, since)
    return [
        Usage(
            row["model"],
            row["version"],
            row["variant"],
            int(row["count"]),
            row["latency_ms"],
            datetime.fromisoformat(row["latest"]),
        )
        for row in rows
    ]


def _cursor(at: str, prediction_id: str) -> str:
    text = json.dumps([at, prediction_id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[str, str]:
    try:
        at, prediction_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        moment = checked(datetime.fromisoformat(at), "at")
        if not is_storable(prediction_id):
            raise ValueError(prediction_id)
        return to_text(moment), str(prediction_id)
    except (binascii.Error, ValueError, TypeError, Invalid) as error:
        raise Invalid(
            f"The cursor '{cursor[:80]}' is none that a page gave.", remedy="Begin without a cursor."
        ) from error
