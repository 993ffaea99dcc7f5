"""``everloop run``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from everloop.core.errors import InvalidSettings, MLOpsError

from . import errors, late, plain
from .call import Call, command, group
from .data.versions import within

if TYPE_CHECKING:
    from everloop.adapters.courier import Courier
    from everloop.core.turns import TurnSummary
    from everloop.flows.project import Project

app = group("Do one turn of the loop for every model.")
_PATIENCE = 2.0  # seconds to wait for a process that holds a model's lock for a moment only


@command(app)
def run(
    call: Call,
    model: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]…", help="Only these [all]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Train whatever speaks against it.")] = False,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead of the model's own data.")
    ] = None,
) -> int:
    """Do one turn of the loop for every model.

    Version the data, validate them, decide whether to retrain, train, track, compare with the champion,
    register, record. A turn that was killed goes on from its last finished step.

    \b
    Example:
      everloop run
      everloop run churn --data data/june.csv
    """
    with call.project() as project:
        names = list(dict.fromkeys(model or project.settings.models))
        for name in names:
            project.model(name)
        if data is not None and len(names) > 1:
            raise InvalidSettings(
                f"--data {data} could be for {', '.join(names)}.", remedy="Name the one MODEL it is for."
            )
        source = within(project, data) if data is not None else None
        with ExitStack() as stack:
            courier = None
            if project.settings.tracking.enabled:
                courier = stack.enter_context(late.wiring.start_courier(project))
            log = stack.enter_context(late.log.open_log(project.settings, project.clock))
            asked = Asked(call, project, source, force, log)
            outcomes = {name: _turn(asked, name) for name in names}
            undelivered = _deliver(call, project, courier)
    _answer(call, outcomes, undelivered, asked=force or source is not None)
    return next((code for code in map(_code, outcomes.values()) if code), errors.OK)


@dataclass(frozen=True)
class Asked:
    """What was asked for every model, and the log."""

    call: Call
    project: Project
    source: str | None
    force: bool
    log: Any


def _turn(asked: Asked, name: str) -> TurnSummary | MLOpsError:
    """The turn's summary, or the error that ended it: other models go on."""
    call, project = asked.call, asked.project
    quiet = call.quiet or call.json or project.settings.logging.level in ("WARNING", "ERROR")
    try:
        with late.progress.progress(name, quiet=quiet) as shown:
            summary = late.turn.run(
                project,
                name,
                source=asked.source,
                force=asked.force,
                listener=late.log.logged(asked.log, name, shown),
                wait=_PATIENCE,
            )
    except (MLOpsError, OSError) as error:
        known = errors.as_known(error)
        if known is None:
            raise
        errors.trace(known, debug=call.debug)
        asked.log.error("turn", model=name, **errors.document(known))
        return known
    asked.log.info(
        "turn", model=name, turn_id=summary.turn_id, status=summary.status, seconds=summary.seconds
    )
    return summary


def _deliver(call: Call, project: Project, courier: Courier | None) -> int:
    """Give the courier a while to bring MLflow what it has not got yet; how much is left then."""
    if courier is None:
        return 0
    tracking = project.settings.tracking
    waiting = late.status.undelivered(project)
    if waiting and tracking.wait:
        call.note(f"{_records(waiting)} on the way to MLflow (waiting at most {tracking.wait:g} s) …")
    courier.finish(tracking.wait if waiting else 0)
    left = late.status.undelivered(project)
    if left:
        uri = late.output.without_password(project.settings.tracking_uri)
        why = f"{courier.problem} " if courier.problem else ""
        call.note(f"{why}{_records(left)} still waiting for MLflow at {uri}. 'everloop deliver' sends them.")
    return left


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"


def _code(outcome: TurnSummary | MLOpsError) -> int:
    if isinstance(outcome, MLOpsError):
        return errors.exit_code(outcome)
    if outcome.status == "stopped":
        return errors.CONTRACT
    return errors.NOT_TRAINED if _refused(outcome) else errors.OK


def _refused(turn: TurnSummary) -> bool:
    return turn.decision is not None and turn.decision.action == "refuse"


def _answer(
    call: Call, outcomes: dict[str, TurnSummary | MLOpsError], undelivered: int, *, asked: bool
) -> None:
    failed = {n: errors.document(o) for n, o in outcomes.items() if isinstance(o, MLOpsError)}
    turns = [outcome for outcome in outcomes.values() if not isinstance(outcome, MLOpsError)]
    document = {"turns": turns, "errors": failed, "undelivered": undelivered}

    def show() -> None:
        for name, outcome in outcomes.items():
            if isinstance(outcome, MLOpsError):
                prefix = f"{name}: " if len(outcomes) > 1 else ""
                typer.echo(prefix + errors.rendered(outcome), err=True)
            else:
                _show(outcome, asked=asked)

    call.answer(document, show)


def _show(turn: TurnSummary, *, asked: bool) -> None:
    out = late.output
    facts = {"data version": out.short(turn.data_version)}
    if turn.status == "stopped":
        out.line(f"{turn.model}: stopped, the data break their contract", "bold")
        out.pairs(facts)
        _show_findings(turn)
        return
    out.line(f"{turn.model}: {_headline(turn)}", "bold")
    if turn.decision:
        facts["decision"] = f"{turn.decision.action}: {turn.decision.reason}"
    if turn.verdict:
        facts["gate"] = f"{'promote' if turn.verdict.promote else 'do not promote'}: {turn.verdict.reason}"
    facts["champion"] = f"{turn.model}@{turn.model_version}" if turn.model_version else "none yet"
    if turn.registered and not turn.promoted:
        facts["challenger"] = f"{turn.model}@{turn.registered}"
    if turn.held:
        facts["not promoted"] = turn.held
    if turn.metrics:
        whose = "" if turn.promoted or not turn.registered else f" (of {facts['champion']})"
        facts["measured"] = late.documents.shown_metrics(turn.metrics) + whose
    facts["run"] = turn.run_id
    facts["time"] = out.seconds(turn.seconds)
    out.pairs({name: value for name, value in facts.items() if value})
    for check in turn.verdict.checks if turn.verdict else ():
        out.line(f"  {'against it' if check.fired else 'gate'}: {check.message}")
    warnings = [finding for finding in turn.findings if finding["severity"] == "warning"]
    for finding in warnings[:5]:
        out.line(f"  warning: {finding['message']}")
    if turn.resumed and asked:
        out.line("  This finished an interrupted turn as it was begun. Run again for what you asked now.")


def _headline(turn: TurnSummary) -> str:
    before = "resumed; " if turn.resumed else ""
    if turn.promoted:
        return f"{before}trained and promoted"
    if _refused(turn):
        return f"{before}not trained"
    return before + ("trained, not promoted" if turn.retrained else "kept as it is")


def _show_findings(turn: TurnSummary) -> None:
    rows = [
        (
            finding["severity"],
            plain.name(finding["column"]) or None,
            finding["message"],
            finding["failed_rows"] or None,
            ", ".join(
                f"{row}: {value}" for row, value in zip(finding["rows"][:5], finding["values"], strict=False)
            ),
        )
        for finding in turn.findings
    ]
    late.output.table(
        ("", "column", "what is wrong", "rows", "first rows (from 0)"),
        rows,
        right=("rows",),
        fold=("column", "what is wrong"),
    )
    late.output.line(
        "  what to do: correct the data; or, if they are meant to be so, change the contract: "
        f"everloop contract infer {turn.model}"
    )
