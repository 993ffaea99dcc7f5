"""Deliver the messages of alerts that are due, then end: ``python -m everloop.worker.alerts``, told the
project on standard input."""

from __future__ import annotations

import json
import os
import sys
from typing import BinaryIO

from everloop.adapters.logs import open_log
from everloop.core.ending import end_quickly
from everloop.flows.alerts import delivering
from everloop.settings import folder_settings
from everloop.wiring import connect

NICENESS = 10  # messages give way to serving


def main(source: BinaryIO) -> None:
    told = json.loads(source.read())
    os.setpgid(0, 0)  # Ctrl-C is for the office. Not a new session: between those priorities do not count
    os.nice(NICENESS)
    project = connect(folder_settings(told["root"], told["settings"]))
    office = os.getppid()
    try:
        with open_log(project.settings, project.clock, sys.stderr if told.get("shows") else None) as log:
            done = delivering.deliver(project, stop=lambda: os.getppid() != office)
            for channel, problem in done.problems.items():
                log.error("alerts", channel=channel, error=problem, waiting=done.waiting)
            if done.delivered or done.rejected:
                log.info("alerts", delivered=done.delivered, given_up=done.rejected)
    finally:
        project.close()


if __name__ == "__main__":
    end_quickly()
    main(sys.stdin.buffer)
