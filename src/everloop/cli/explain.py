"""``everloop explain PREDICTION_ID``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.flows.releases.memory import Explanation

app = group("Explain an answer, from its prediction back to the raw data.")


@command(app)
def explain(
    call: Call, prediction_id: Annotated[str, typer.Argument(metavar="PREDICTION_ID", help="As answered.")]
) -> None:
    """Explain an answer: what was asked and said, what chose the version, and its model, run, code and data.

    \b
    Example:
      everloop explain pred_0192f0c1
    """
    with call.project() as project:
        late.serving.recording.record(project)
        found = late.memory.explain(project, prediction_id)
    call.answer(found, lambda: _show(found))


def _show(found: Explanation) -> None:
    one, entry = found.prediction, found.traffic
    shown = late.output.moment
    made: dict[str, object] = {}
    if found.lineage:
        version, run = found.lineage.version, found.lineage.run
        newest = found.lineage.data[0] if found.lineage.data else None
        made = {
            "gate": version.tags.get("gate"),
            "run": f"{run.run_id}, {run.recipe.estimator}, seed {run.recipe.seed}" if run else version.run_id,
            "commit": found.lineage.git_commit,
            "data": f"{newest.dataset}@{newest.short}, {newest.rows:,} rows" if newest else None,
            "source": found.lineage.source,
            "data before": [each.short for each in found.lineage.data[1:6]],
            "models before": [each.version for each in found.lineage.parents[:5]],
        }
    late.output.pairs(
        {
            "prediction": one.prediction_id,
            "at": f"{one.at.isoformat(timespec='milliseconds')}",
            "inputs": ", ".join(f"{name}={value}" for name, value in one.inputs.items()),
            "answer": one.prediction,
            "confidence": one.confidence,
            "label": one.label,
            "model": f"{one.model}@{one.version} in {found.environment}",
            "chosen as": _chosen(found),
            "release": found.release and f"{found.release.release_id} ({found.release.strategy})",
            "deployed": found.release
            and f"{shown(found.release.created_at)} UTC by {found.release.by}: {found.release.reason}",
            "traffic": entry and f"since {shown(entry.at)} UTC, by {entry.by}: {entry.reason}",
            **made,
        }
    )


def _chosen(found: Explanation) -> str:
    one = found.prediction
    if one.release_id is None:
        return f"{one.variant}, by no release"
    share = f" with probability {one.probability:g}" if one.probability is not None else ""
    step = f", step {found.step} of {len(found.release.plan.steps)}" if found.step and found.release else ""
    return f"{one.variant}{share}{step}"
