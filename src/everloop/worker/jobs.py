"""Do what is queued, then end: ``python -m everloop.worker.jobs``, told the project on standard input."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, BinaryIO

from everloop.adapters.logs import open_log
from everloop.core.turns import StepStatus
from everloop.flows.project import Project
from everloop.flows.serving import jobs
from everloop.flows.serving.jobs import Job
from everloop.settings import folder_settings
from everloop.wiring import connect

NICENESS = 10  # training gives way to serving


def run_next(project: Project, log: Any) -> Job | None:
    """Do the next job. The log ties each of its steps to the request that asked for it."""
    bound = log

    def taken(job: Job) -> None:
        nonlocal bound
        bound = log.bind(job_id=job.job_id, request_id=job.request_id, model=job.model)
        bound.info("job", status="running", reason=job.reason, attempts=job.attempts)

    def tell(step: str, status: StepStatus, message: str) -> None:
        (bound.error if status == "failed" else bound.info)("step", step=step, status=status, message=message)

    job = jobs.run_next(project, listener=tell, taken=taken)
    if job is not None:
        write = bound.error if job.status == "failed" else bound.info
        write("job", status=job.status, turn_id=job.turn_id, error=job.error)
    return job


def main(source: BinaryIO) -> None:
    told = json.loads(source.read())
    os.setpgid(0, 0)  # Ctrl-C is for the office. Not a new session: between those priorities do not count
    os.nice(NICENESS)
    project = connect(folder_settings(told["root"], told["settings"]))
    try:
        with open_log(project.settings, project.clock) as log:
            try:
                while run_next(project, log) is not None:
                    pass
            except Exception as error:  # noqa: BLE001 (the job has failed and says so; the next process goes on)
                log.error("job", status="failed", error=f"{type(error).__name__}: {error}"[:500])
    finally:
        project.close()


if __name__ == "__main__":
    main(sys.stdin.buffer)
