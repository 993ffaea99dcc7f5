"""A member of the group of ``everloop up``: ``python -m everloop.worker.member serve|worker|mlflow``, told
the project on the first line of standard input. The end of that input says that nobody keeps the group any
more: then it ends in order, too, or at once when that takes too long.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module

from everloop import wiring
from everloop.adapters.logs import open_log
from everloop.core.ending import end_quickly
from everloop.core.errors import MLOpsError
from everloop.settings import Settings, folder_settings

MARGIN = 10.0  # seconds for the end, over what the settings give


def main(name: str, source: int) -> int:
    """``source``: the file number of the input. Returns the exit code."""
    told = json.loads(_first_line(source))
    settings = folder_settings(told["root"], told["settings"])
    patience = settings.serving.drain + settings.worker.finish + MARGIN
    threading.Thread(target=_end_with, args=(source, patience), daemon=True).start()
    try:
        WORK[name](settings)
    except (MLOpsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _serve(settings: Settings) -> None:
    opening = import_module("everloop.api.office.opening")
    opening.run(settings, sys.stderr, lambda address: None)  # the log has the address


def _work(settings: Settings) -> None:
    working = import_module("everloop.api.office.working")
    project = wiring.connect(settings)
    try:
        with open_log(settings, project.clock, sys.stderr) as log:
            working.run(project, log.info, lambda names: log.info(f"Working: {', '.join(names)}."))
    finally:
        project.close()


WORK: dict[str, Callable[[Settings], None]] = {
    "serve": _serve,
    "worker": _work,
    "mlflow": wiring.serve_mlflow,
}


def _first_line(source: int) -> bytes:
    """Byte by byte: what comes after it, and its end, is for the one that watches."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(source, 1)
        if not chunk:
            break
        line += chunk
    return line


def _end_with(source: int, patience: float) -> None:
    while os.read(source, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(patience)
    os._exit(1)


if __name__ == "__main__":
    end_quickly()
    sys.exit(main(sys.argv[1], sys.stdin.fileno()))
