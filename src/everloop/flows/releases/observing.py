"""What was seen of the arms of a release, from the database: predictions, their labels, failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from everloop.core.errors import UnknownVersion
from everloop.core.releases import Arm, Release, Seen, Sums
from everloop.core.runs import Run
from everloop.deployment.intervals import PAIRED
from everloop.flows.project import Project
from everloop.store import models, observations, releases, shadows
from everloop.store.database import Tx
from everloop.store.observations import CRASHED

from . import shadowing


def seen(project: Project, release: Release, now: datetime) -> tuple[Seen, ...]:
    """Each arm that is in the comparison, the control first."""
    with project.store.snapshot() as tx:
        entry = releases.in_force(tx, release.model, release.environment)
        arms = entry.arms if entry and entry.release_id == release.release_id else release.arms
        run = run_of(tx, release)
        found = _seen(tx, release, arms, run, now)
        return _with_shadow(tx, release, found, run, now) if release.strategy == "shadow" else found


def troubles(project: Project, release: Release, units: Mapping[str, int] | None = None) -> tuple[Seen, ...]:
    """Of each arm what failed, was refused or crashed, and nothing else: this stays cheap however much was
    answered. ``units``: taken instead of counting them."""
    with project.store.snapshot() as tx:
        entry = releases.in_force(tx, release.model, release.environment)
        arms = entry.arms if entry and entry.release_id == release.release_id else release.arms
        events = observations.events(tx, release.release_id, None)
        crashes = observations.crashes(tx, release.release_id)
        units = observations.units(tx, release.release_id) if units is None else units
    found = []
    for arm in arms:
        happened = {**events.get(arm.name, {}), CRASHED: crashes.get(arm.version, 0)}
        counted = max(units.get(arm.name, 0), *(n for kind, n in happened.items() if kind != CRASHED), 0)
        found.append(Seen(arm.name, arm.version, arm.weight, counted, events=happened))
    return _control_first(found)


def _seen(
    tx: Tx, release: Release, arms: tuple[Arm, ...], run: Run | None, now: datetime
) -> tuple[Seen, ...]:
    plan, name = release.plan, release.release_id
    units, rows = observations.units(tx, name), observations.rows(tx, name)
    slow = next((rail.above for rail in plan.guardrails if rail.event == "slow"), None)
    events = observations.events(tx, name, slow)
    crashes = observations.crashes(tx, name)
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
            business=run.recipe.business if run else None,
        )
    found = [
        Seen(
            arm=arm.name,
            version=arm.version,
            weight=arm.weight,
            units=units.get(arm.name, 0),
            rows=rows.get(arm.name, 0),
            events={**events.get(arm.name, {}), CRASHED: crashes.get(arm.version, 0)},
            sums={measure: by_arm[arm.name] for measure, by_arm in sums.items() if arm.name in by_arm},
            latency_ms=observations.latency(tx, name, arm.name),
        )
        for arm in arms
    ]
    return _control_first(found)


def _control_first(found: list[Seen]) -> tuple[Seen, ...]:
    return tuple(sorted(found, key=lambda each: not each.arm.startswith("control")))


def _with_shadow(
    tx: Tx, release: Release, found: tuple[Seen, ...], run: Run | None, now: datetime
) -> tuple[Seen, ...]:
    """The champion, the candidate that sees its requests, and their differences, over the requests that both
    have answered."""
    name, plan = release.release_id, release.plan
    units, rows = shadows.counted(tx, name)
    events = observations.events(tx, name, None).get(shadowing.ARM, {})
    silent = observations.units(tx, name).get(shadowing.ARM, 0)
    mature = now - timedelta(seconds=plan.label_delay)
    sums = {
        measure.name: observations.paired_sums(
            tx,
            name,
            measure.name,
            before=mature if measure.name in observations.LABELLED else None,
            positive=positive_of(run),
            business=run.recipe.business if run else None,
        )
        for measure in plan.measures
    }
    old, new, differences = ({name: each[part] for name, each in sums.items()} for part in range(3))
    candidate = Seen(
        arm=shadowing.ARM,
        version=release.version,
        weight=0,
        units=units + silent,
        rows=rows,
        events=events,
        sums=new,
        latency_ms=shadows.latency(tx, name),
    )
    paired = Seen(PAIRED, release.version, 0, units, rows, sums=differences)
    return (*(replace(each, sums=old) for each in found), candidate, paired)


def run_of(tx: Tx, release: Release) -> Run | None:
    """The run that made a release's version; None where it is not known here."""
    version = models.find_model_version(tx, release.model, release.version)
    try:
        return models.find_run(tx, version.run_id) if version else None
    except UnknownVersion:
        return None


def positive_of(run: Run | None) -> str | None:
    """The class that counts as positive."""
    if run is None:
        return None
    return run.recipe.positive or (run.classes[-1] if len(run.classes) == 2 else None)
