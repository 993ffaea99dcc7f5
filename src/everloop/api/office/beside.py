"""Processes beside the office, for work that must not be in the way of answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys

from everloop.adapters.courier import describe
from everloop.core.errors import MLOpsError
from everloop.core.releases import Look, Release
from everloop.flows import states
from everloop.flows.alerts import delivering
from everloop.flows.monitoring import spans
from everloop.flows.project import Project
from everloop.flows.releases import keeping

from .hand import Hand, within
from .recorder import Recorder

JOBS_EVERY = 60.0  # seconds between looks for jobs that were queued elsewhere
JOBS_MODULE = "everloop.worker.jobs"
MONITORS_EVERY = 300.0  # seconds between looks for a window that is over
MONITORS_MODULE = "everloop.worker.monitors"
ALERTS_EVERY = 2.0  # seconds between looks for messages that are due
ALERTS_MODULE = "everloop.worker.alerts"
RELEASES_EVERY = 1.0  # seconds between looks for a release that runs
RELEASES_MODULE = "everloop.worker.releases"
_log = logging.getLogger("everloop.serve")


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


async def guard(project: Project, recorder: Recorder) -> None:
    """What fails in a release is looked at here, every second: that is cheap, and waits for no process.
    Meanwhile what is logged is recorded without giving way: it decides."""
    looker = Hand("everloop-guard")

    def told(release: Release, look: Look) -> None:
        _log.warning("release %s is %s: %s", release.release_id, release.status, look.reason)

    def failed(release: Release, error: MLOpsError) -> None:
        _log.error("release %s: %s", release.release_id, error.message)

    while True:
        with contextlib.suppress(MLOpsError):  # the database does not answer: others tell that
            recorder.awaited = await looker.do(lambda: keeping.glance(project, told, failed))
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
