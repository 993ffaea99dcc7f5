"""What was seen of the arms of a release, from the database: predictions, their labels, failures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from everloop.core.releases import Arm, Release, Seen, Sums
from everloop.core.runs import Run
from everloop.flows.project import Project
from everloop.store import models, observations, releases
from everloop.store.database import Tx

CRASHED = "crash"  # of the serving process: nobody's unit


def seen(project: Project, release: Release, now: datetime) -> tuple[Seen, ...]:
    """Each arm that is in the comparison, the control first."""
    with project.store.snapshot() as tx:
        entry = releases.in_force(tx, release.model, release.environment)
        arms = entry.arms if entry and entry.release_id == release.release_id else release.arms
        run = _run(tx, release)
        return _seen(tx, release, arms, run, now)


def _seen(
    tx: Tx, release: Release, arms: tuple[Arm, ...], run: Run | None, now: datetime
) -> tuple[Seen, ...]:
    plan, name = release.plan, release.release_id
    units, rows = observations.units(tx, name), observations.rows(tx, name)
    slow = next((rail.above for rail in plan.guardrails if rail.event == "slow"), None)
    events = observations.events(tx, name, slow)
    crashes = events.get("", {}).get(CRASHED, 0)
    mature = now - timedelta(seconds=plan.label_delay)
    sums: dict[str, Mapping[str, Sums]] = {}
    for measure in plan.measures:
        before = mature if measure.name in observations.LABELLED else None
        sums[measure.name] = observations.sums(
            tx,
            name,
            measure.name,
            before=before,
            positive=positive_of(run),
            business=run and run.recipe.business,
        )
    found = [
        Seen(
            arm=arm.name,
            version=arm.version,
            weight=arm.weight,
            units=units.get(arm.name, 0),
            rows=rows.get(arm.name, 0),
            events={
                **events.get(arm.name, {}),
                **({CRASHED: crashes} if arm.version == release.version else {}),
            },
            sums={measure: by_arm[arm.name] for measure, by_arm in sums.items() if arm.name in by_arm},
            latency_ms=observations.quantiles(tx, name, arm.name, rows.get(arm.name, 0)),
        )
        for arm in arms
    ]
    return tuple(sorted(found, key=lambda each: not each.arm.startswith("control")))


def _run(tx: Tx, release: Release) -> Run | None:
    for version in models.list_model_versions(tx, release.model):
        if version.version == release.version:
            return models.find_run(tx, version.run_id)
    return None


def positive_of(run: Run | None) -> str | None:
    """The class that counts as positive."""
    if run is None:
        return None
    return run.recipe.positive or (run.classes[-1] if len(run.classes) == 2 else None)
