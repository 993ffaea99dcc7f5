"""``everloop retrain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import decisions, errors, late
from .call import Call, command, group

if TYPE_CHECKING:
    from everloop.core.loop import DecisionRecord
    from everloop.flows.serving.jobs import Job

app = group("Have a retraining considered, and do it where it would help.")


@command(app)
def retrain(
    call: Call,
    model: Annotated[str, typer.Argument(help="Which one.")],
    force: Annotated[bool, typer.Option("--force", help="Train whatever speaks against it.")] = False,
    reason: Annotated[str, typer.Option("--why", metavar="TEXT", help="For the history.")] = "",
    leave: Annotated[
        bool, typer.Option("--leave", help="To the server or worker that runs; do not wait for it.")
    ] = False,
) -> int:
    """Have a retraining of a model considered now, and do it where it would help.

    What monitoring found, labels, new rows, the time since the last one and the budget are looked at, then
    the errors of the champion on labelled rows that it has not seen. Everything is written down, whatever
    the decision is. What passes the gate goes out as retraining.rollout says. Where a retraining of the
    model waits for approval, this one joins it, and it is said how to approve. Exit code 6: not trained.

    \b
    Example:
      everloop retrain iris
      everloop retrain iris --force --why "a new supplier"
    """
    with call.project() as project:
        job = late.loop.asking.ask(project, model, force=force, reason=reason)
        if leave:
            said = f"{job.job_id} waits for a server or a worker: everloop loop status {model}"
            call.answer({"job": job, "decision": None}, lambda: late.output.line(said))
            return errors.OK
        with late.progress.progress(model, quiet=call.quiet or call.json) as shown:
            done = late.loop.doing.see_through(project, job, shown)
        record = late.loop.showing.of_job(project, done)
    call.answer({"job": done, "decision": record}, lambda: _show(done, record))
    if done.status == "failed":
        return errors.UNEXPECTED
    going_on = record is None or record.is_open or record.version
    return errors.OK if going_on else errors.NOT_TRAINED


def _show(job: Job, record: DecisionRecord | None) -> None:
    if record is not None:
        decisions.tell(record)
    if job.status == "failed":
        late.output.line(f"It failed: {job.error}")
