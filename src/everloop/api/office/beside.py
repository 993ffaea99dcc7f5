"""Processes beside the office, for work that must not be in the way of answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from everloop.adapters.courier import describe
from everloop.core.errors import MLOpsError
from everloop.flows import states
from everloop.flows.alerts import delivering
from everloop.flows.monitoring import spans
from everloop.flows.project import Project

from .hand import Hand, within

JOBS_EVERY = 60.0  # seconds between looks for jobs that were queued elsewhere
JOBS_MODULE = "everloop.worker.jobs"
MONITORS_EVERY = 300.0  # seconds between looks for a window that is over
MONITORS_MODULE = "everloop.worker.monitors"
ALERTS_EVERY = 2.0  # seconds between looks for messages that are due
ALERTS_MODULE = "everloop.worker.alerts"
RELEASES_EVERY = 1.0  # seconds between looks for a release that runs
RELEASES_MODULE = "everloop.worker.releases"


async def work(project: Project, queued: asyncio.Event) -> None:
    """Jobs are done by a process of their own, which ends when none is left; ``queued`` begins another."""
    while True:
        await _run(JOBS_MODULE, project)
        await within(JOBS_EVERY, queued)
        queued.clear()


async def keep(project: Project) -> None:
    """Releases are judged by a process of their own, which ends when none runs."""
    looker = Hand("everloop-releases")
    while True:
        with contextlib.suppress(MLOpsError):  # the database does not answer: others tell that
            if await looker.do(lambda: states.running(project)):
                await _run(RELEASES_MODULE, project, ends=True)
        await asyncio.sleep(RELEASES_EVERY)


async def watch(project: Project) -> None:
    """Windows of production are checked by a process of their own, which ends when none is left. Those whose
    labels are waited for are asked after as often, too."""
    looker = Hand("everloop-monitors")
    while True:
        with contextlib.suppress(MLOpsError):  # the database does not answer: others tell that
            if await looker.do(lambda: spans.waiting(project)):
                await _run(MONITORS_MODULE, project, ends=True)
        await asyncio.sleep(MONITORS_EVERY)


async def deliver(project: Project) -> None:
    """Messages of alerts are delivered by a process of their own, which ends when none is due."""
    looker = Hand("everloop-alerts")
    while True:
        with contextlib.suppress(MLOpsError):  # the database does not answer: others tell that
            if await looker.do(lambda: delivering.is_due(project)):
                await _run(ALERTS_MODULE, project, ends=True)
        await asyncio.sleep(ALERTS_EVERY)


async def _run(module: str, project: Project, *, ends: bool = False) -> None:
    """Run a process to its end (``ends``: or ours); what it needs to know comes on its standard input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module), stdin=asyncio.subprocess.PIPE, cwd=project.settings.root
    )
    try:
        await process.communicate(json.dumps(describe(project.settings)).encode())
    finally:
        if ends and process.returncode is None:
            process.terminate()
            await process.wait()
