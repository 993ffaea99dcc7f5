"""``everloop predictions …``."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.core.errors import Invalid, Unreadable

from . import errors, late
from .call import Call, command, group
from .moments import moment

if TYPE_CHECKING:
    from everloop.flows.serving.labels import LabelItem

app = group("List, label, export and remove predictions that were served.")
Model = Annotated[str, typer.Argument(help="The model's name.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="From then on: 2026-03-01, 2026-03-01T12:00, or 7d ago.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before then.")]


@command(app, "list")
def list_(
    call: Call,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    version: Annotated[str | None, typer.Option(help="Only of this version.")] = None,
    since: Since = None,
    until: Until = None,
    label: Annotated[str | None, typer.Option(help="known, missing, or a label.")] = None,
    request: Annotated[str | None, typer.Option(metavar="ID", help="Only of this request.")] = None,
    release: Annotated[str | None, typer.Option(metavar="ID", help="Only of this release.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
) -> None:
    """List predictions with their labels, the newest first.

    \b
    Example:
      everloop predictions list --model iris --label missing --since 1d
    """
    with call.project() as project:
        late.serving.recording.record(project)
        now = project.clock.now()
        found, _ = late.serving.history.page(
            project,
            model=model,
            version=version,
            since=moment(since, now),
            until=moment(until, now),
            label=label,
            request_id=request,
            release=release,
            limit=limit,
        )

    def show() -> None:
        if not found:
            late.output.line("No prediction fits.")
            return
        rows = [
            (p.at, f"{p.model}@{p.version}", p.variant, p.prediction, p.confidence, p.label, p.prediction_id)
            for p in found
        ]
        names = ("at (UTC)", "model", "variant", "prediction", "confidence", "label", "id")
        late.output.table(names, rows, right=("confidence",), fold=("id",))

    call.answer({"predictions": found}, show)


@command(app)
def label(
    call: Call,
    prediction: Annotated[str | None, typer.Argument(metavar="[ID]", help="The prediction's id.")] = None,
    value: Annotated[str | None, typer.Argument(metavar="[LABEL]", help="What was true.")] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Many: columns prediction_id, label and perhaps at.")
    ] = None,
) -> int:
    """Tell what was true of a prediction, or of those in a file.

    A label may come late and be corrected: the last one stands, earlier ones stay in the history.

    \b
    Example:
      everloop predictions label pred_y092nqjt1 setosa
      everloop predictions label --file outcomes.csv
    """
    if (file is None) == (prediction is None) or (file is None) == (value is None):
        raise Invalid(
            "Give either an ID and a LABEL, or a file.", remedy="everloop predictions label --file FILE.csv"
        )
    with call.project() as project:
        late.serving.recording.record(project)
        item = late.serving.labels.LabelItem
        items = _items(file, project.clock.now()) if file else [item(str(prediction), str(value))]
        outcome = late.serving.labels.add(project, items)
    wrong = [one for one in outcome.results if one.error]

    def show() -> None:
        late.output.line(", ".join(f"{n:,} {status}" for status, n in outcome.counts.items()) or "No labels.")
        for one in wrong[:20]:
            late.output.line(f"  {one.prediction_id}: {one.error}")

    results = [
        {"prediction_id": one.prediction_id, "status": one.status, "error": str(one.error or "") or None}
        for one in outcome.results
    ]
    call.answer({"counts": outcome.counts, "results": results}, show)
    return errors.EXIT_CODES["invalid"] if wrong else errors.OK


@command(app)
def maturity(
    call: Call,
    model: Model,
    since: Since = "7d",
    by: Annotated[str, typer.Option(help="day or hour.")] = "day",
) -> None:
    """Show how complete the labels of each period are, and how good its predictions were.

    \b
    Example:
      everloop predictions maturity iris --since 30d
    """
    if by not in ("day", "hour"):
        raise Invalid(f"--by is '{by}'.", remedy="Say day or hour.")
    with call.project() as project:
        now = project.clock.now()
        start = moment(since, now) or now - timedelta(days=7)
        periods = late.serving.labels.maturity(
            project, model, start, now, by="day" if by == "day" else "hour"
        )

    def show() -> None:
        rows = [
            (
                p.start,
                p.predictions,
                p.labelled,
                p.share,
                p.expected_share,
                "yes" if p.mature else "no",
                p.score,
            )
            for p in periods
        ]
        metric = periods[0].metric if periods else "accuracy"
        numbers = ("predictions", "labelled", "share", "expected", metric)
        late.output.table(("from (UTC)", *numbers[:4], "mature", metric), rows, right=numbers)

    call.answer({"model": model, "periods": periods}, show)


@command(app)
def export(
    call: Call,
    model: Model,
    since: Since = None,
    until: Until = None,
    dataset: Annotated[str | None, typer.Option(help="Its dataset [MODEL.predictions].")] = None,
) -> None:
    """Make a data version of a model's predictions: inputs, answers, probabilities, labels.

    \b
    Example:
      everloop predictions export iris --since 30d
      everloop data get iris.predictions@latest --to predictions.parquet
    """
    with call.project() as project:
        late.serving.recording.record(project)
        now = project.clock.now()
        made = late.serving.exporting.export(
            project, model, moment(since, now), moment(until, now), dataset=dataset
        )
    version = made.version
    left_out = version.origin.get("left_out", "")

    def show() -> None:
        late.output.line(f"{version.dataset}@{version.short}: {version.rows:,} predictions")
        if left_out:
            late.output.line(left_out, "red")

    call.answer({"version": version, "new": made.new, "left_out": left_out}, show)


@command(app)
def remove(
    call: Call,
    older_than: Annotated[float, typer.Option(metavar="DAYS", help="Those made before so many days.", min=0)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
) -> None:
    """Remove old predictions from the database; their labels stay. Export first what is to be kept.

    \b
    Example:
      everloop predictions remove --older-than 90 --dry-run
    """
    with call.project() as project:
        counts = late.serving.recording.retain(project, days=older_than, dry_run=dry_run)
        late.serving.recording.clean(project, keep_days=older_than, dry_run=dry_run)
    said = "would be removed" if dry_run else "removed"
    call.answer(
        {"removed": counts, "dry_run": dry_run},
        lambda: late.output.line(
            ", ".join(f"{n:,} of {name}" for name, n in counts.items() if n) + f" {said}."
            if any(counts.values())
            else f"Nothing is older than {older_than:g} days."
        ),
    )


def _items(path: Path, now: datetime) -> list[LabelItem]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(f"{path} cannot be read: {error}.", remedy="Give a CSV file in UTF-8.") from None
    if not rows or not {"prediction_id", "label"} <= set(rows[0]):
        raise Unreadable(
            f"{path} has no columns prediction_id and label.", remedy="Name them in its first line."
        )
    item = late.serving.labels.LabelItem
    return [item(row["prediction_id"], row["label"], moment(row.get("at") or None, now)) for row in rows]
