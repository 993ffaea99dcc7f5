"""What the children of the zygote do with releases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from everloop.core.errors import MLOpsError
from everloop.core.ids import new_id
from everloop.core.models import ModelVersion
from everloop.core.releases import BUCKETS, Plan, Release
from everloop.deployment import buckets
from everloop.flows import states
from everloop.flows.project import Project
from everloop.flows.releases import deploying
from everloop.store import models, releases
from tests.drills import deeds

VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
PLAN = Plan(steps=(500, 5_000), longest=1e9)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def begin(folder: str, url: str | None = None) -> None:
    """Three versions, the first of them champion."""
    here = deeds.project(folder, url)
    with here.store.writing() as tx:
        for number in VERSIONS:
            models.add_model_version(tx, ModelVersion("m", number, f"run_{number}", "", "", NOW, "a drill"))
        states.promote_now(tx, here, _version(tx, VERSIONS[0]), "the first")


def life(folder: str, die_at: int | None = None, url: str | None = None) -> dict[str, Any]:
    """A canary that is widened and promoted, one that is aborted, a rollback; killed before or after the
    ``die_at``-th commit."""
    counted = deeds.count_operations(die_at)
    here = deeds.project(folder, url)
    first = _canary(here, VERSIONS[1])
    _step(here, first)
    deploying.promote(here, first.release_id)
    second = _canary(here, VERSIONS[2])
    deploying.abort(here, second.release_id)
    deploying.rollback(here, "m")
    return {"operations": counted["operations"]}


def attempt(folder: str, name: str, url: str | None = None) -> dict[str, Any]:
    """One of several operators at once: release, widen, end, go back, as often as they may."""
    here, said = deeds.project(folder, url), []
    for turn in range(6):
        try:
            if (len(name) + turn) % 3 == 0:
                deploying.rollback(here, "m", to=VERSIONS[turn % 3])
            else:
                release = _canary(here, VERSIONS[(turn + 1) % 3])
                _step(here, release)
                (deploying.promote if turn % 2 else deploying.abort)(here, release.release_id)
            said.append("done")
        except MLOpsError as error:
            said.append(error.code)
    return {"said": said}


def look(folder: str, url: str | None = None) -> dict[str, Any]:
    """Who answers, and whether that is whole."""
    here = deeds.project(folder, url)
    with here.store.reading() as tx:
        entries = releases.list_traffic(tx, "m", "prod")
        alias = models.list_aliases(tx, "m").get("champion")
        going = releases.open_release(tx, "m", "prod")
    for entry in entries:
        buckets.check(entry.arms)
        assert sum(arm.weight for arm in entry.arms) == BUCKETS
    now = entries[0]
    return {
        "numbers": [entry.sequence for entry in entries],
        "champion": now.champion,
        "alias": alias,
        "open": going.status if going else None,
        "answers": bool(going) == (len(now.arms) > 1),
        "of": not going or going.release_id == now.release_id,
    }


def _canary(here: Project, version: str) -> Release:
    now = here.clock.now()
    with here.store.writing() as tx:
        against = states.champion(tx, "m", "prod")
        release = Release(
            new_id("rel", now), "m", "prod", "canary", version, "waiting", now, "a drill", against=against,
            plan=PLAN,
        )  # fmt: skip
        return states.begin(tx, here, states.enter(tx, here, release))


def _step(here: Project, release: Release) -> None:
    with here.store.writing() as tx:
        states.widen(tx, here, releases.find(tx, release.release_id), 1, "a drill")


def _version(tx: Any, number: str) -> ModelVersion:
    return next(each for each in models.list_model_versions(tx, "m") if each.version == number)
