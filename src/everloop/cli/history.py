"""``everloop history MODEL``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import late
from .call import Call, command, group

app = group("Show what happened to a model, oldest first.")


NEWEST = 100


@command(app)
def history(
    call: Call,
    model: Annotated[str, typer.Argument(help="The model's name.")],
    environment: Annotated[
        str | None, typer.Option("--env", metavar="NAME", help="Only its releases to this environment.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"Only the newest ones [{NEWEST} of what happened].")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="The values of this metric over time instead.")] = None,
) -> None:
    """Show what happened to a model, oldest first: when, who, what.

    Releases, moved weights, verdicts with their numbers (--json), approvals and rollbacks; data, trainings,
    judgements of the gate.

    \b
    Example:
      everloop history iris --limit 20
      everloop history iris --env prod
      everloop history iris --metric accuracy
    """
    most = limit or NEWEST
    with call.project() as project:
        if metric:
            values = late.history.metrics(project, model, metric)[-(limit or 0) :]
        else:
            found = late.memory.history(project, model, environment, most + 1)
            events = found[-most:]
        if not (values if metric else events):
            late.memory.check_known(project, model)

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
            where = f"There is no release of '{model}' to {environment}"
            said = where if environment else f"Nothing has happened to '{model}'"
            begins = f"'everloop deploy {model}@latest" if environment else f"'everloop run {model}"
            late.output.line(f"{said} yet. {begins}' begins.")
            return
        if limit is None and len(found) > most:
            call.note(f"The newest {most}; --limit shows more.")
        rows = [(e.at, e.by, e.kind, e.summary) for e in events]
        late.output.table(("at (UTC)", "by", "", "what"), rows, fold=("what",))

    if metric:
        call.answer({"model": model, "metric": metric, "values": values}, show_metrics)
    else:
        call.answer({"model": model, "events": events}, show_events)
