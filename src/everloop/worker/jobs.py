"""Do what is queued, then end: ``python -m everloop.worker.jobs``, told the project on standard input."""

from __future__ import annotations

import json
import os
import sys
from typing import BinaryIO

from everloop.flows.serving import jobs
from everloop.settings import folder_settings
from everloop.wiring import connect

NICENESS = 10  # training gives way to serving


def main(source: BinaryIO) -> None:
    told = json.loads(source.read())
    os.nice(NICENESS)
    project = connect(folder_settings(told["root"], told["settings"]))
    try:
        while jobs.run_next(project) is not None:
            pass
    finally:
        project.close()


if __name__ == "__main__":
    main(sys.stdin.buffer)
