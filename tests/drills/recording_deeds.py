"""What the children of the zygote do with prediction logs."""

from __future__ import annotations

from typing import Any

from everloop.flows.serving import history, recording
from tests.drills.deeds import count_operations, project
from tests.stories.serving.log import lines, write


def write_log(folder: str, first: int, last: int, name: str, url: str | None = None) -> dict[str, Any]:
    """Predictions ``first`` to before ``last`` in a log file."""
    write(project(folder, url), lines(range(first, last)), name)
    return {}


def record(folder: str, url: str | None = None, die_at: int | None = None) -> dict[str, Any]:
    """Record all there is, seven lines a transaction; killed before or after the ``die_at``-th commit."""
    counted = count_operations(die_at)
    recording.BATCH = 7
    done = recording.record(project(folder, url))
    return {"rows": done.rows, "known": done.known, "operations": counted["operations"]}


def recorded(folder: str, url: str | None = None) -> dict[str, Any]:
    """The ids of all that is recorded."""
    found, _ = history.page(project(folder, url), limit=1000)
    return {"ids": sorted(each.prediction_id for each in found)}
