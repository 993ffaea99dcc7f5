"""One turn of the loop as one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from everloop import wiring
from everloop.core.errors import ContractFailed, Invalid
from everloop.core.turns import TurnSummary
from everloop.flows import status, turn
from everloop.flows.project import Project
from everloop.settings import load_settings

from .places import absolute, first_model, flags_of

_SHOWN_FINDINGS = 5


class PipelineSummary(TypedDict):
    """What a turn did. ``model_version`` and ``accuracy`` are the champion's after it; ``registered`` is the
    version that this turn made, ``gate`` why that one became champion or not."""

    model: str
    data_version: str
    model_version: str | None
    retrained: bool
    accuracy: float | None
    promoted: bool
    decision: str
    reason: str
    registered: str | None
    gate: str | None
    metrics: dict[str, float]
    status: str
    turn_id: str
    run_id: str | None
    resumed: bool
    seconds: float
    warnings: list[str]


def run_pipeline(
    config: str | Path | None = None,
    *,
    model: str | None = None,
    source: object = None,
    force: bool = False,
    tenant_id: str | None = None,
    deliver: bool = True,
    wait: float = 0.0,
) -> PipelineSummary:
    """Version, validate, decide, train, track, gate, register and record, for one model.

    Args:
        config: the configuration file [``CONFIG_PATH``, else everloop.yaml or config.yaml here].
        model: one of its models [the first].
        source: a file or a table (pandas, Polars, Arrow) instead of the model's own data.
        force: train whatever speaks against it.
        deliver: hand what was recorded over to MLflow, waiting at most ``tracking.wait`` seconds; without,
            the next delivery takes it along.
        wait: seconds to wait for another process that is at work on the same model.

    Raises ContractFailed with the findings when the data break their contract, Busy, and what training
    raises (all under MLOpsError).
    """
    project = wiring.connect(load_settings(config, flags=flags_of(tenant_id)))
    try:
        name = first_model(project, model)
        with delivering(project, deliver):
            summary = turn.run(project, name, source=absolute(source), force=force, wait=wait)
    finally:
        project.close()
    return plain_summary(accepted(summary))


@contextmanager
def delivering(project: Project, wanted: bool) -> Iterator[None]:
    """Deliver to MLflow beside what is done inside, and afterwards what is left, while ``tracking.wait``
    lasts. What MLflow does not take in time stays in the outbox."""
    if not (wanted and project.settings.tracking.enabled):
        yield
        return
    with wiring.start_courier(project) as courier:
        yield
        courier.finish(project.settings.tracking.wait if status.undelivered(project) else 0.0)


def accepted(summary: TurnSummary) -> TurnSummary:
    """The summary, unless the turn was stopped by its contract: then ContractFailed."""
    if summary.status != "stopped":
        return summary
    broken = [finding["message"] for finding in summary.findings if finding["severity"] == "error"]
    shown = " ".join(broken[:_SHOWN_FINDINGS])
    more = f" And {len(broken) - _SHOWN_FINDINGS} more." if len(broken) > _SHOWN_FINDINGS else ""
    raise ContractFailed(
        f"The data of '{summary.model}' (version {summary.data_version[:12]}) break their contract: "
        f"{shown}{more}",
        remedy="Correct the data, or the contract if it asks too much. Nothing was trained.",
    )


def plain_summary(summary: TurnSummary) -> PipelineSummary:
    decision = summary.decision
    if decision is None:
        raise Invalid(f"The turn {summary.turn_id} has no decision.", remedy="Run it to its end.")
    return PipelineSummary(
        model=summary.model,
        data_version=summary.data_version,
        model_version=summary.model_version,
        retrained=summary.retrained,
        accuracy=summary.accuracy,
        promoted=summary.promoted,
        decision=decision.action,
        reason=decision.reason,
        registered=summary.registered,
        gate=summary.verdict.reason if summary.verdict else None,
        metrics=dict(summary.metrics),
        status=summary.status,
        turn_id=summary.turn_id,
        run_id=summary.run_id,
        resumed=summary.resumed,
        seconds=summary.seconds,
        warnings=[_message(finding) for finding in summary.findings],
    )


def _message(finding: Mapping[str, Any]) -> str:
    return str(finding["message"])
