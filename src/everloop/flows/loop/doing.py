"""Do what was asked for, here and now: for those who wait for it."""

from __future__ import annotations

from everloop.core.errors import Unavailable
from everloop.core.turns import Listener
from everloop.flows import turn
from everloop.flows.project import Project
from everloop.flows.serving import jobs
from everloop.flows.serving.jobs import Job

from . import advancing, working

PATIENCE = 2.0  # seconds to wait for a process that holds a model's lock for a moment only


def see_through(project: Project, job: Job, listener: Listener = turn.silent) -> Job:
    """The job, done here or by somebody else, and what comes at once of it. Raises Unavailable where its
    model is busy; then it waits for others."""
    while (known := jobs.find(project, job.job_id)).status in ("queued", "running"):
        if working.run_next(project, wait=PATIENCE, listener=listener) is None:
            if jobs.find(project, job.job_id).status == "queued":
                raise Unavailable(
                    f"The model {job.model} is busy.",
                    remedy=f"{job.job_id} waits: ask again, or leave it to a worker.",
                )
            project.clock.sleep(PATIENCE)
    advancing.advance(project)
    return known
