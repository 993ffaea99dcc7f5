"""Let the loop go on and do what is queued, then end: ``python -m everloop.worker.jobs``, told the project on
standard input, by which name it holds jobs (``owner``), whether it goes on when who started it is gone
(``stays``), and whether it is not started again (``once``): then its exit code tells that a job failed. With
the word ``ahead`` it first loads what a training needs; where its input then closes without a word, it was
not needed.

SIGTERM lets it finish the job that is under way, and take no other.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from typing import Any, BinaryIO

from everloop.adapters.courier import AWAY
from everloop.adapters.logs import open_log
from everloop.core.ending import end_quickly
from everloop.core.errors import Busy
from everloop.core.ids import token
from everloop.core.turns import StepStatus
from everloop.flows.loop import advancing, noticing, working
from everloop.flows.project import Project
from everloop.flows.serving import jobs
from everloop.flows.serving.jobs import Job
from everloop.settings import folder_settings
from everloop.wiring import connect

from . import parent

FAILED = 1  # the exit code where a job failed
NICENESS = 10  # training gives way to serving
LATE = (  # what a training loads when it comes to it
    "everloop.training.skopsfile",
    "everloop.adapters.onnx.compile",
    "everloop.adapters.onnx.session",
    "matplotlib.backends.backend_agg",
    "pandera.backends.pandas.builtin_checks",
)


def run_next(project: Project, log: Any, owner: str | None = None) -> Job | None:
    """Do the next job. The log ties each of its steps to the request that asked for it. Raises Busy where its
    model is busy: then it waits."""
    bound = log
    begun: list[Job] = []

    def taken(job: Job) -> None:
        nonlocal bound
        begun.append(job)
        bound = log.bind(job_id=job.job_id, request_id=job.request_id, model=job.model)
        bound.info("job", status="running", reason=job.reason, attempts=job.attempts)

    def tell(step: str, status: StepStatus, message: str) -> None:
        (bound.error if status == "failed" else bound.info)("step", step=step, status=status, message=message)

    job = working.run_next(project, owner=owner, listener=tell, taken=taken)
    if job is None and begun:
        raise Busy(begun[0].model)
    if job is not None:
        write = bound.error if job.status == "failed" else bound.info
        write("job", status=job.status, turn_id=job.turn_id, error=job.error)
    return job


def _go_on(project: Project, log: Any, owner: str, failed: list[Job]) -> bool:
    """What is under way, what is new, the next job; whether there was anything. A job that failed is added to
    ``failed``."""
    advanced = advancing.advance(project)
    for record in advanced:
        said = {"model": record.model, "stage": record.stage, "outcome": record.outcome}
        log.info("decision", decision_id=record.decision_id, **said)
    noticed = noticing.notice(project)
    job = run_next(project, log, owner)
    if job is not None and job.status == "failed":
        failed.append(job)
    return bool(job is not None or advanced or noticed)


def main(source: BinaryIO, *, ahead: bool = False) -> int:
    """Returns the exit code."""
    os.setpgid(0, 0)  # Ctrl-C is for the office. Not a new session: between those priorities do not count
    os.nice(NICENESS)
    for name in LATE if ahead else ():
        import_module(name)
    said = source.read()
    if not said:
        return 0
    stopped: list[int] = []
    failed: list[Job] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    told = json.loads(said)
    project = connect(folder_settings(told["root"], told["settings"]))
    owner = told.get("owner") or f"worker-{token()}"
    if not told.get("stays"):
        parent.end_with_it(told.get("parent"), lambda: jobs.give_back(project, owner))
    try:
        with open_log(project.settings, project.clock, sys.stderr if told.get("shows") else None) as log:
            try:
                while not stopped and _go_on(project, log, owner, failed):
                    pass
            except Busy:
                return AWAY
            except Exception as error:  # noqa: BLE001 (the job has failed and says so; the next process goes on)
                log.error("job", status="failed", error=f"{type(error).__name__}: {error}"[:500])
                return FAILED if told.get("once") else 0
    finally:
        project.close()
    return FAILED if failed and told.get("once") else 0


if __name__ == "__main__":
    end_quickly()
    sys.exit(main(sys.stdin.buffer, ahead="ahead" in sys.argv[1:]))
