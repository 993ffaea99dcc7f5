"""Rebuild a run from its id (data version, recipe, user code, seed) and compare what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from everloop.core.errors import Refused
from everloop.core.runs import OUTSIDE, Run

from . import fitted, runs
from .project import Project

_SAME = 1e-9


@dataclass(frozen=True)
class Reproduction:
    """``equal``: every metric that was recorded agrees to 1e-9. ``identical``: and every prediction is equal
    to the last bit.
    ``differences`` name what differs between then and now (commit, packages), whether or not it mattered."""

    run: Run
    identical: bool
    equal: bool
    metrics: dict[str, tuple[float | None, float | None]]
    differences: tuple[str, ...] = field(default=())


def reproduce(project: Project, run_id: str) -> Reproduction:
    """Train again exactly as the run did. Changes nothing in the project."""
    run = runs.find(project, run_id)
    if run.turn_id == OUTSIDE:
        raise Refused(
            f"{run.run_id} was made outside of everloop: how it was trained is not known here.",
            remedy="Train the model in a turn ('everloop run'); those can be reproduced.",
        )
    made = fitted.again(project, run)
    predictions = sha256(np.ascontiguousarray(made.predictions).tobytes()).hexdigest()
    names = sorted({*run.metrics, *made.metrics})
    metrics = {name: (run.metrics.get(name), made.metrics.get(name)) for name in names}
    recorded = [(a, b) for a, b in metrics.values() if a is not None]  # a new metric is no difference
    equal = all(b is not None and abs(a - b) <= _SAME * max(1.0, abs(a)) for a, b in recorded)
    identical = equal and predictions == run.predictions_hash
    return Reproduction(run, identical, equal, metrics, _differences(project, run))


def _differences(project: Project, run: Run) -> tuple[str, ...]:
    then, now = run.environment, project.environment()
    found = []
    if then.git_commit != now.git_commit:
        found.append(f"git commit: {then.git_commit or 'none'} then, {now.git_commit or 'none'} now")
    if then.git_dirty:
        found.append("the work tree had uncommitted changes then")
    old, new = {"Python": then.python, **then.packages}, {"Python": now.python, **now.packages}
    moved = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    found += [f"{name}: {old.get(name, 'absent')} then, {new.get(name, 'absent')} now" for name in moved]
    return tuple(found)
