"""Processes beside the office, for work that must not be in the way of answers."""

from __future__ import annotations

import asyncio
import json
import sys

from everloop.adapters.courier import describe
from everloop.flows.project import Project

from .hand import within

JOBS_EVERY = 60.0  # seconds between looks for jobs that were queued elsewhere
JOBS_MODULE = "everloop.worker.jobs"


async def work(project: Project, queued: asyncio.Event) -> None:
    """Jobs are done by a process of their own, which ends when none is left; ``queued`` begins another."""
    while True:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", JOBS_MODULE), stdin=asyncio.subprocess.PIPE, cwd=project.settings.root
        )
        await process.communicate(json.dumps(describe(project.settings)).encode())
        await within(JOBS_EVERY, queued)
        queued.clear()
