"""The split of an A/B test moved towards the arms that do better, within what the plan allows."""

from __future__ import annotations

from everloop.core.errors import Conflict
from everloop.core.releases import Release
from everloop.deployment import bandit
from everloop.flows import states
from everloop.flows.project import Project
from everloop.store import releases

from . import observing

LEAST_CHANGE = 100  # buckets: smaller ones are not worth a new split


def adjust(project: Project, release: Release) -> Release:
    """Give the arms the weights that Thompson sampling gives them, once each dwell."""
    now = project.clock.now()
    with project.store.reading() as tx:
        entry = releases.in_force(tx, release.model, release.environment)
    if entry is None or (now - entry.at).total_seconds() < release.plan.dwell:
        return release
    seen = observing.seen(project, release, now)
    weights = bandit.weights(release, seen, seed=entry.sequence)
    moved = max(abs(weights[arm.name] - arm.weight) for arm in entry.arms)
    if moved < LEAST_CHANGE:
        return release
    try:
        with project.store.writing() as tx:
            releases.begin(tx, release.model)
            if releases.find(tx, release.release_id) != release:
                return release
            return states.reweigh(tx, project, release, weights, "Thompson sampling")
    except Conflict:
        return release
