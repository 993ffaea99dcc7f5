"""``everloop runs …``: trainings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import errors, late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.core.runs import Run
    from everloop.flows.reproduction import Reproduction

app = group("List, show, compare and reproduce training runs.")
RunId = Annotated[str, typer.Argument(metavar="ID", help="A run's id, or 4 characters or more of its end.")]


@command(app, "list")
def list_(
    call: Call,
    model: Annotated[str | None, typer.Argument(help="Only of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
) -> None:
    """List runs, newest first.

    \b
    Example:
      everloop runs list churn --limit 5
    """
    with call.project() as project:
        found = late.runs.list_runs(project, model, limit)
        if model and not found:
            project.model(model)

    def show() -> None:
        if not found:
            late.output.line("There is no run yet. 'everloop run' makes the first.")
            return
        out = late.output
        rows = [
            (
                out.short_run(run.run_id),
                run.model,
                run.recipe.estimator,
                run.train_rows,
                late.documents.shown_metrics(run.metrics, most=3),
                out.short(run.data_version),
                run.started_at,
                out.seconds(run.seconds),
            )
            for run in found
        ]
        names = ("run", "model", "estimator", "rows", "held-out", "data", "at (UTC)", "took")
        out.table(names, rows, right=("rows", "took"), fold=("held-out",))

    call.answer({"runs": found}, show)


@command(app)
def show(
    call: Call,
    run_id: RunId,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="Write its pictures there.")] = None,
) -> None:
    """Show a run: recipe, data, environment, metrics, pictures.

    \b
    Example:
      everloop runs show 6kyfhpf1t8 --plots pictures
    """
    with call.project() as project:
        run = late.runs.find(project, run_id)
        version = late.runs.version_of(project, run.run_id)
        written = late.runs.save_plots(project, run, str(Path.cwd() / plots)) if plots else []

    def show_() -> None:
        _show(run, version)
        for path in written:
            late.output.line(f"  {path}")

    call.answer({"run": run, "registered": version, "plots": written}, show_)


@command(app)
def compare(
    call: Call, run_ids: Annotated[list[str], typer.Argument(metavar="ID ID…", help="Two runs or more.")]
) -> None:
    """Compare runs: each metric side by side, and the settings that differ.

    \b
    Example:
      everloop runs compare 6kyfhpf1t8 8pq2mzr40c
    """
    with call.project() as project:
        runs = [late.runs.find(project, run_id) for run_id in run_ids]
        found = late.runs.compare(project, [run.run_id for run in runs])

    def show() -> None:
        short = [late.output.short_run(run.run_id) for run in runs]
        rows = [(name, *values) for name, values in found["metrics"].items()]
        late.output.table(("metric", *short), rows, right=short)
        settings = [(name, *values) for name, values in found["settings"].items()]
        if settings:
            late.output.table(("differs", *short), settings, fold=short)
        else:
            late.output.line("Data, code and recipe are the same.")

    call.answer({"run_ids": [run.run_id for run in runs], **found}, show)


@command(app)
def reproduce(call: Call, run_id: RunId) -> int:
    """Train a run again from its id and compare, metric by metric. Changes nothing; exit code 4: different.

    \b
    Example:
      everloop runs reproduce 6kyfhpf1t8
    """
    with call.project() as project:
        found = late.reproduction.reproduce(project, run_id)
    document = {
        "run_id": found.run.run_id,
        "result": _result(found),
        "metrics": {name: {"then": a, "now": b} for name, (a, b) in found.metrics.items()},
        "differences": found.differences,
    }
    call.answer(document, lambda: _show_reproduction(found))
    return errors.OK if found.identical or found.equal else errors.DIFFERENT


def _result(found: Reproduction) -> str:
    return "identical" if found.identical else "equal" if found.equal else "different"


_RESULTS = {
    "identical": "identical: every prediction is equal to the last bit",
    "equal": "equal: every metric agrees to nine digits, some predictions differ in their last bits",
    "different": "different",
}


def _show_reproduction(found: Reproduction) -> None:
    late.output.line(f"{found.run.run_id} is {_RESULTS[_result(found)]}.", "bold")
    rows = [(name, a, b, "same" if a == b else "differs") for name, (a, b) in found.metrics.items()]
    late.output.table(("metric", "then", "now", ""), rows, right=("then", "now"))
    for difference in found.differences:
        late.output.line(f"  {difference}")


def _show(run: Run, version: str | None) -> None:
    out = late.output
    recipe, where = run.recipe, run.environment
    split = f"{recipe.split.kind}, {recipe.split.test_size:g} held out"
    out.pairs(
        {
            "run": run.run_id,
            "model": run.model,
            "registered": version or "no",
            "at": f"{out.moment(run.started_at)} UTC, took {out.seconds(run.seconds)}",
            "data": f"{run.dataset}@{out.short(run.data_version)}",
            "rows": f"{run.train_rows:,} to train, {run.test_rows:,} held out, {run.dropped_rows:,} left out",
            "estimator": recipe.estimator,
            "parameters": ", ".join(f"{name}={value}" for name, value in run.params.items()),
            "target": f"{recipe.target} ({run.task})",
            "features": run.features,
            "split": split + (f" by {recipe.split.column}" if recipe.split.column else ""),
            "seed": str(recipe.seed),
            "commit": (where.git_commit or "–") + (" with uncommitted changes" if where.git_dirty else ""),
            "Python": f"{where.python} on {where.platform}",
            **_found(run),
            "pictures": list(run.plots),
            "notes": run.notes,
        }
    )
    folds = [(name, values) for name, values in run.series.items()]
    out.table(("metric", "held-out"), sorted(run.metrics.items()), right=("held-out",))
    if folds:
        out.table(("metric by step", "values"), folds, fold=("values",))
    if run.choice and run.choice.losses:
        blocks = tuple(f"from {start}" for start in run.choice.blocks)
        rows = [(name, *values) for name, values in run.choice.losses.items()]
        out.table(("loss, rows", *blocks), rows, right=blocks)


def _found(run: Run) -> dict[str, object]:
    """What was looked for, and what came of it."""
    said: dict[str, object] = {}
    if run.choice and run.recipe.data != "all":
        said["rows that count"] = f"{run.choice.chosen}: {run.choice.reason}"
    if run.tuned:
        found = ", ".join(f"{name}={value}" for name, value in run.tuned.params.items())
        change = f", loss {run.tuned.loss_before:.4g} to {run.tuned.loss:.4g}" if found else ""
        tried = f"{run.tuned.trials} trials in {late.output.seconds(run.tuned.seconds)}"
        said["tuned"] = f"{found or 'nothing better'}{change} ({tried}: {run.tuned.reason})"
    if run.warm_from:
        said["gone on from"] = run.warm_from
    return said
