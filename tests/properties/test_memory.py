"""What served at a moment, and since when its champion had been that, is what a replay of all that happened
until then gives: whatever the history, also where several things happened at the same moment."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clocks import Hands

from everloop.core.errors import NotFound
from everloop.core.ids import token
from everloop.core.models import ModelVersion
from everloop.core.releases import BUCKETS, Change, Traffic
from everloop.deployment import buckets
from everloop.flows.project import Project
from everloop.flows.releases import memory
from everloop.settings import folder_settings
from everloop.store import history, models, releases
from everloop.store.database import open_store
from everloop.wiring import connect

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
VERSIONS = ("1.0.0", "1.0.1", "1.1.0")
PLACES = [(model, place) for model in ("a", "b") for place in ("prod", "staging")]
FOLDER = tempfile.TemporaryDirectory()
SHARED = connect(folder_settings(Path(FOLDER.name), {"tracking": {"enabled": False}}))

Step = tuple[tuple[str, str], Change, str, int, int, dict[str, float]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(PLACES),
        st.sampled_from(("promoted", "rolled_back", "shifted", "ended")),
        st.sampled_from(VERSIONS),
        st.integers(0, 2),  # seconds after the step before
        st.integers(1, BUCKETS // 2),  # buckets of a canary
        st.dictionaries(st.sampled_from(("accuracy", "drift_score")), st.floats(0, 1), max_size=2),
    ),
    max_size=25,
)


@contextmanager
def fresh() -> Iterator[Project]:
    clock = Hands(NOW + timedelta(days=1))
    store = open_store(SHARED.settings.store_url, token(), clock)
    project = replace(SHARED, clock=clock, store=store)
    with store.writing() as tx:
        for model in ("a", "b"):
            for number in VERSIONS:
                made = ModelVersion(model, number, f"{model}{number}", "d", f"data-{number}", NOW, "a test")
                models.add_model_version(tx, made)
    try:
        yield project
    finally:
        project.close()


def happen(project: Project, steps: list[Step]) -> list[tuple[Traffic, dict[str, float]]]:
    """Write the steps down; returns them as they were."""
    done: list[tuple[Traffic, dict[str, float]]] = []
    at = NOW
    with project.store.writing() as tx:
        for (model, place), change, version, later, width, measured in steps:
            at += timedelta(seconds=later)
            before = [entry for entry, _ in done if (entry.model, entry.environment) == (model, place)]
            champion = before[-1].champion if before and change in ("shifted", "ended") else version
            arms = (
                buckets.canary(champion, version, width) if change == "shifted" else buckets.direct(champion)
            )
            entry = Traffic(model, place, len(before) + 1, at, change, champion, arms, by=f"step {len(done)}")
            releases.direct(tx, entry)
            history.add_metrics(tx, model, measured, at=at)
            done.append((entry, measured))
    return done


@settings(max_examples=120, deadline=None)
@given(steps=STEPS, place=st.sampled_from(PLACES), seconds=st.integers(-1, 30))
def test_a_moment_is_as_a_replay_until_then(steps: list[Step], place: tuple[str, str], seconds: int) -> None:
    with fresh() as project:
        done = happen(project, steps)
        moment = NOW + timedelta(seconds=seconds)
        until = [(entry, measured) for entry, measured in done if entry.at <= moment]
        entries = [entry for entry, _ in until if (entry.model, entry.environment) == place]
        if not entries:
            with pytest.raises(NotFound):
                memory.at(project, place[0], moment, place[1])
            return
        then = memory.at(project, place[0], moment, place[1])
        assert (then.since, then.by, then.champion) == (entries[-1].at, entries[-1].by, entries[-1].champion)
        shares = {arm.name: (arm.version, arm.weight / BUCKETS) for arm in entries[-1].arms if arm.weight}
        assert {arm.arm: (arm.version, arm.share) for arm in then.arms} == shares
        assert all(arm.data_version == f"data-{arm.version}" for arm in then.arms)
        known: dict[str, float] = {}
        for entry, measured in until:
            known |= measured if entry.model == place[0] else {}
        assert {each.name: each.value for each in then.metrics} == known
        in_prod = [e for e, _ in until if (e.model, e.environment) == (place[0], "prod")]
        assert then.reference == (f"data-{in_prod[-1].champion}" if in_prod else None)


@settings(max_examples=120, deadline=None)
@given(steps=STEPS, place=st.sampled_from(PLACES), seconds=st.integers(-1, 30))
def test_a_champion_has_been_that_since_it_took_over(
    steps: list[Step], place: tuple[str, str], seconds: int
) -> None:
    with fresh() as project:
        done = happen(project, steps)
        moment = NOW + timedelta(seconds=seconds)
        entries = [e for e, _ in done if (e.model, e.environment) == place and e.at <= moment]
        since = None
        for entry in reversed(entries):
            if entry.champion != entries[-1].champion:
                break
            since = entry.at
        with project.store.reading() as tx:
            assert releases.champion_since(tx, *place, moment) == since
