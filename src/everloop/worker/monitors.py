"""Check the windows of production that are over, then end: ``python -m everloop.worker.monitors``, told the
project on standard input."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import BinaryIO

from everloop.adapters.logs import open_log
from everloop.core.ending import end_quickly
from everloop.core.errors import MLOpsError
from everloop.core.monitoring import Alert, Checked
from everloop.flows.monitoring import checking, spans
from everloop.settings import folder_settings
from everloop.wiring import connect

from . import parent

NICENESS = 10  # checks give way to serving


def main(source: BinaryIO) -> None:
    told = json.loads(source.read())
    os.setpgid(0, 0)  # Ctrl-C is for the office. Not a new session: between those priorities do not count
    os.nice(NICENESS)
    parent.end_with_it(told.get("parent"))
    project = connect(folder_settings(told["root"], told["settings"]))
    try:
        with open_log(project.settings, project.clock, sys.stderr if told.get("shows") else None) as log:

            def checked(one: Checked, changed: Sequence[Alert]) -> None:
                said = {"model": one.model, "version": one.version, "kind": one.kind, "rows": one.rows}
                fired = [f"{each.family} {each.subject}" for each in one.results if each.fired]
                log.info("monitor", **said, until=one.until.isoformat(), fired=fired)

            for model in spans.waiting(project):
                try:
                    checking.look(project, model, checked)
                except MLOpsError as error:
                    log.error("monitor", model=model, error=f"{error}")
                except Exception as error:
                    log.exception("monitor", model=model, error=f"{type(error).__name__}: {error}")
    finally:
        project.close()


if __name__ == "__main__":
    end_quickly()
    main(sys.stdin.buffer)
