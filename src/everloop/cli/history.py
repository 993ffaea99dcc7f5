"""``everloop history MODEL``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import late
from .call import Call, command, group

app = group("Show what happened to a model, oldest first.")


@command(app)
def history(
    call: Call,
    model: Annotated[str, typer.Argument(help="The model's name.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the newest ones.")] = None,
    metric: Annotated[str | None, typer.Option(help="The values of this metric over time instead.")] = None,
) -> None:
    """Show what happened to a model, oldest first: when, who, what.

    \b
    Example:
      everloop history iris --limit 20
      everloop history iris --metric accuracy
    """
    with call.project() as project:
        if metric:
            values = late.history.metrics(project, model, metric)[-(limit or 0) :]
        else:
            events = late.history.events(project, model, limit)
        if not (values if metric else events):
            project.model(model)

    def show_metrics() -> None:
        names = ("at (UTC)", "value", "rows", "data", "model version")
        rows = [
            (
                v["at"][:16].replace("T", " "),
                v["value"],
                v["rows"],
                late.output.short(v["data_version"]),
                v["model_version"],
            )
            for v in values
        ]
        late.output.table(names, rows, right=("value", "rows"))

    def show_events() -> None:
        if not events:
            late.output.line(f"Nothing has happened to '{model}' yet. 'everloop run {model}' begins.")
            return
        rows = [(e.at, e.by, e.kind, e.summary) for e in events]
        late.output.table(("at (UTC)", "by", "", "what"), rows, fold=("what",))

    if metric:
        call.answer({"model": model, "metric": metric, "values": values}, show_metrics)
    else:
        call.answer({"model": model, "events": events}, show_events)
