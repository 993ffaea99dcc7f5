"""``everloop models …``: the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.core.models import Lineage
    from everloop.flows.models import Registered

app = group("List and show model versions, trace and promote them.")
Spec = Annotated[
    str,
    typer.Argument(metavar="MODEL[@VERSION]", help="MODEL is its champion; also MODEL@1.2.0, MODEL@latest."),
]


@command(app, "list")
def list_(
    call: Call, model: Annotated[str | None, typer.Argument(help="Only of this model.")] = None
) -> None:
    """List registered model versions, oldest first.

    \b
    Example:
      everloop models list
    """
    with call.project() as project:
        found = late.models.list_models(project, model)

    def show() -> None:
        if not found:
            late.output.line("There is no model yet. 'everloop run' trains the first.")
            return
        rows = [
            (
                r.version.model,
                r.version.version,
                r.aliases,
                _headline(r),
                late.output.short(r.version.data_version),
                late.output.short_run(r.run.run_id),
                r.version.created_at,
            )
            for r in found
        ]
        names = ("model", "version", "alias", "held-out", "data", "run", "registered (UTC)")
        late.output.table(names, rows, fold=("held-out",))

    call.answer({"models": [_document(r) for r in found]}, show)


@command(app)
def show(call: Call, model: Spec) -> None:
    """Show a model version: metrics, recipe, data, and why it was promoted or not.

    \b
    Example:
      everloop models show iris@1.0.0
    """
    with call.project() as project:
        found = late.models.find(project, model)
    call.answer({**_document(found), "gate": found.gate}, lambda: _show(found))


@command(app)
def lineage(call: Call, model: Spec) -> None:
    """Trace a model version back to its data, its code, and the models before it.

    \b
    Example:
      everloop models lineage iris
    """
    with call.project() as project:
        found = late.models.trace(project, model)
    call.answer({"lineage": found}, lambda: _show_lineage(found))


@command(app)
def promote(
    call: Call,
    model: Annotated[str, typer.Argument(metavar="MODEL@VERSION")],
    reason: Annotated[str, typer.Option(help="For the history.")] = "promoted by hand",
) -> None:
    """Make a version the champion by hand: a direct release to prod, under the rules that hold there. The
    history says who did and why.

    \b
    Example:
      everloop models promote iris@1.0.1 --reason "seen in the field to be better"
    """
    with call.project() as project:
        release = late.deploying.deploy(project, late.deploying.Request(model, reason=reason))
        waits = late.deploying.waits_for(project, release)
        version = late.models.find(project, f"{release.model}@{release.version}").version
    said = f"{release.model}@{release.version} is {'not champion yet.' if waits else 'champion.'}"
    call.answer({"version": version, "release": release}, lambda: late.output.line(f"{said} {waits}".strip()))


def _document(found: Registered) -> dict[str, object]:
    return {"version": found.version, "aliases": found.aliases, "estimator": found.run.recipe.estimator}


def _headline(found: Registered) -> str:
    return late.documents.shown_metrics(found.version.metrics, most=2)


def _show(found: Registered) -> None:
    version, run = found.version, found.run
    late.output.pairs(
        {
            "model": f"{version.model}@{version.version}",
            "alias": found.aliases,
            "registered": f"{late.output.moment(version.created_at)} UTC by {version.created_by}",
            "estimator": run.recipe.estimator,
            "parameters": ", ".join(f"{name}={value}" for name, value in run.params.items()),
            "target": run.recipe.target,
            "features": run.features,
            "run": run.run_id,
            "data": f"{version.dataset}@{late.output.short(version.data_version)}",
            "rows": f"{run.train_rows:,} to train, {run.test_rows:,} held out",
            "commit": late.output.short(version.git_commit),
            "parent": version.parent,
            "gate": version.tags.get("gate"),
            "served": version.form.reason if version.form else None,
        }
    )
    for check in found.gate.checks if found.gate else ():
        late.output.line(f"  {'against it' if check.fired else 'gate'}: {check.message}")
    late.output.table(("metric", "held-out"), sorted(version.metrics.items()), right=("held-out",))


def _show_lineage(found: Lineage) -> None:
    version, run = found.version, found.run
    newest = found.data[0] if found.data else None
    earlier = ", ".join(v.short for v in found.data[1:6]) + (" …" if len(found.data) > 6 else "")
    late.output.pairs(
        {
            "model": f"{version.model}@{version.version}",
            "run": f"{run.run_id}, {run.recipe.estimator}, seed {run.recipe.seed}" if run else version.run_id,
            "commit": found.git_commit,
            "data": f"{version.dataset}@{late.output.short(version.data_version)}"
            + (f", {newest.rows:,} rows" if newest else ""),
            "source": found.source,
            "origin": ", ".join(f"{name} {value}" for name, value in newest.origin.items())
            if newest
            else None,
            "data before": earlier,
            "models before": [f"{v.model}@{v.version}" for v in found.parents],
        }
    )
    for event in found.promotions:
        late.output.line(f"{late.output.moment(event.at)}  {event.by}  {event.summary}")
