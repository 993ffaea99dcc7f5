"""What an office does beside answering, and the processes that it starts for work that must not be in the way
of answers (``errands``)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterator
from typing import Any

from everloop.core.errors import MLOpsError
from everloop.core.releases import Look, Release
from everloop.flows.project import Project
from everloop.flows.releases import keeping

from . import errands
from .hand import Hand
from .recorder import Recorder

GUARD_EVERY = 1.0  # seconds between looks at what fails in a release
_log = logging.getLogger("everloop.serve")


def work(project: Project, say: errands.Say, queued: asyncio.Event) -> Iterator[Coroutine[Any, Any, None]]:
    """All errands, where the settings leave them to us; ``queued``: there may be a job now."""
    serving = project.settings.serving
    for errand in errands.ERRANDS if serving.work else ():
        if errand.name != "jobs":
            yield errands.keep(errand, project, say)
        elif serving.retrain:
            yield errands.keep(errand, project, say, queued)


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
        await asyncio.sleep(GUARD_EVERY)
