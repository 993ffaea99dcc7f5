"""Keep the releases that run until none does: ``python -m everloop.worker.releases``, told the project on
standard input; with ``once`` each gets one turn."""

from __future__ import annotations

import itertools
import json
import os
import sys
from typing import BinaryIO

from everloop.adapters.logs import open_log
from everloop.core.ending import end_quickly
from everloop.core.errors import MLOpsError
from everloop.core.releases import Look, Release
from everloop.flows.releases import keeping
from everloop.settings import folder_settings
from everloop.wiring import connect

NICENESS = 10  # looks give way to serving


def main(source: BinaryIO) -> None:
    told = json.loads(source.read())
    os.setpgid(0, 0)  # Ctrl-C is for the office. Not a new session: between those priorities do not count
    os.nice(NICENESS)
    project = connect(folder_settings(told["root"], told["settings"]))
    try:
        with open_log(project.settings, project.clock, sys.stderr if told.get("shows") else None) as log:

            def looked(release: Release, look: Look) -> None:
                if look.verdict != "hold":
                    said = {"release_id": release.release_id, "model": release.model, "verdict": look.verdict}
                    log.info("release", **said, status=release.status, reason=look.reason)

            def failed(release: Release, error: MLOpsError) -> None:
                log.error("release", release_id=release.release_id, model=release.model, error=error.message)

            office, turns = os.getppid(), itertools.count()
            keeping.keep(
                project,
                looked,
                failed,
                lambda: os.getppid() == office and not (told.get("once") and next(turns)),
            )
    finally:
        project.close()


if __name__ == "__main__":
    end_quickly()
    main(sys.stdin.buffer)
