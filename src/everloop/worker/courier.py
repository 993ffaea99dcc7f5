"""Deliver the outbox while another process trains: ``python -m everloop.worker.courier``, see
``adapters.courier``. MLflow is imported when there is something to deliver, not before."""

from __future__ import annotations

import json
import signal
import sys
import threading
from dataclasses import replace
from functools import cache
from typing import BinaryIO

from everloop.adapters.courier import AWAY
from everloop.core.ending import end_quickly
from everloop.flows import delivery
from everloop.flows.delivery import Delivery
from everloop.flows.project import Project
from everloop.settings import folder_settings
from everloop.wiring import connect

LOOK_EVERY = 0.2
LONGEST_PAUSE = 15.0


def follow(project: Project, closed: threading.Event) -> Delivery:
    """Deliver what comes until ``closed``, then what is left; an absent tracker is asked ever less often.

    Once closed, a tracker that does not answer ends it at once: the rest waits for the next delivery.
    """
    pause = LOOK_EVERY
    while not closed.wait(pause):
        done = delivery.deliver(project)
        pause = min(2 * pause, LONGEST_PAUSE) if done.problem else LOOK_EVERY
    return delivery.deliver(project)


def main(source: BinaryIO) -> int:
    """The first line of ``source`` says which project; its end says that nobody waits any longer. Returns the
    exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = source.readline()
    if not line:
        return 0
    told = json.loads(line)
    project = connect(folder_settings(told["root"], told["settings"]))
    closed = threading.Event()
    threading.Thread(target=_watch, args=(source, closed), daemon=True).start()
    try:
        done = follow(replace(project, open_tracker=cache(project.open_tracker)), closed)
    finally:
        project.close()
    return AWAY if done.problem else 0


def _watch(source: BinaryIO, closed: threading.Event) -> None:
    source.read()
    closed.set()


if __name__ == "__main__":
    end_quickly()
    sys.exit(main(sys.stdin.buffer))
