"""A process that has everything imported and forks one child a task: many real process deaths in seconds.

It reads one JSON list of tasks a line and answers one JSON line: ``{"died": bool, "answer": …}`` for each.
A task names a function of ``tests.drills.deeds``, or of a module beside it as ``module.function``, and its
arguments.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from typing import Any

from everloop.training import plots
from everloop.worker.jobs import LATE
from tests.drills import deeds as deeds  # imported before the children are born
from tests.warm import warm

LOADED = (*LATE, "alembic.command", "everloop.adapters.onnx.graph", "sklearn.linear_model")


def main() -> None:
    """Pictures are files as any other here, and drawing them would be a third of a turn's time."""
    for name in LOADED:  # else each child would load anew what a turn comes to
        import_module(name)
    plots._draw = lambda paint: f"picture {paint.__code__.co_firstlineno}".encode()
    warm()
    for line in sys.stdin:
        tasks = json.loads(line)
        print(json.dumps(serve(tasks)), flush=True)


def serve(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run the tasks at the same time, each in a child of its own; wait for all."""
    children = []
    for task in tasks:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            work(task, writing)
        os.close(writing)
        children.append((child, reading))
    answers = []
    for child, reading in children:
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        answers.append({"died": os.WIFSIGNALED(status), "answer": json.loads(text) if text else None})
    return answers


def work(task: dict[str, Any], writing: int) -> None:
    try:
        module, _, name = task["do"].rpartition(".")
        answer = getattr(import_module(f"tests.drills.{module or 'deeds'}"), name)(**task.get("with", {}))
    except Exception:  # noqa: BLE001 (whatever went wrong is told to the test)
        answer = {"error": traceback.format_exc()}
    with os.fdopen(writing, "w") as pipe:
        json.dump(answer, pipe)
    os._exit(0)


if __name__ == "__main__":
    main()
