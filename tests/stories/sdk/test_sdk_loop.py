"""The loop from Python: where it is, what it decided, approvals, and what another policy would have done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from everloop import (
    Conflict,
    Invalid,
    InvalidSettings,
    NotFound,
    RetrainingLoop,
    UnknownModel,
    run_pipeline,
)
from everloop.data import writing
from everloop.data.examples.iris import iris
from everloop.flows import steps
from everloop.store import loop as records
from everloop.wiring import open_project

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
DAYS, ROWS = 30, 100


@pytest.fixture
def flowers(folder: Path) -> Iterator[RetrainingLoop]:
    (folder / "iris.csv").write_bytes(writing.to_bytes(iris(), ".csv"))
    model = {"data": {"path": "iris.csv"}, "target": "species", "training": {"model_type": "logistic"}}
    model |= {"retraining": {"approve": ["release"], "rollout": "direct"}}
    write(folder, "iris", model)
    run_pipeline()
    made = RetrainingLoop()
    yield made
    made.close()


def write(folder: Path, name: str, model: dict[str, object]) -> None:
    tree = {"models": {name: model}, "tracking": {"enabled": False}}
    (folder / "everloop.yaml").write_text(yaml.safe_dump(tree))


def test_where_it_is_and_what_was_decided(flowers: RetrainingLoop) -> None:
    before = flowers.status()
    assert (before.model, before.champion, before.last, before.pause) == ("iris", "1.0.0", None, None)
    refused = flowers.retrain(why="to see")
    assert (refused.action, refused.code, refused.outcome) == ("refuse", "nothing_new", "refused")
    assert refused.changes
    trained = flowers.retrain(force=True, why="a new supplier")
    assert (trained.action, trained.forced) == ("retrain", True)
    assert trained.run_id is not None
    assert [one.decision_id for one in flowers.decisions()] == [trained.decision_id, refused.decision_id]
    assert flowers.decisions("refuse", limit=1) == [refused]
    assert flowers.decision(refused.decision_id[-8:]) == refused
    after = flowers.status()
    assert after.last == trained
    assert after.leeway is not None
    assert (after.leeway.trained, after.leeway.rests_until) == (1, trained.at + timedelta(days=1))
    with pytest.raises(NotFound):
        flowers.decision("dec_nothing")


def test_paused_and_resumed(flowers: RetrainingLoop) -> None:
    assert flowers.pause("the feed is moved")
    assert not flowers.pause()
    paused = flowers.status().pause
    assert paused is not None
    assert paused.reason == "the feed is moved"
    assert flowers.resume()
    assert not flowers.resume()
    assert flowers.status().pause is None


def test_what_waits_for_people_is_approved_or_rejected(flowers: RetrainingLoop) -> None:
    refused = flowers.retrain()
    with pytest.raises(Conflict, match="has ended: refused"):
        flowers.approve(refused.decision_id)
    waiting = replace(refused, action="retrain", stage="release_approval", outcome="", version="1.0.1")
    project = open_project()
    for number in (2, 3):
        with project.store.writing() as tx:
            records.put(tx, replace(waiting, decision_id=f"dec_{number}", number=number))
    project.close()
    approved = flowers.approve("dec_2", role="owner", why="seen")
    assert approved.stage == "direct"
    assert [(each.step, each.role, each.note) for each in approved.approvals] == [
        ("release", "owner", "seen")
    ]
    rejected = flowers.reject("dec_3", "a holiday week")
    assert (rejected.stage, rejected.outcome) == ("ended", "held")
    assert "a holiday week" in rejected.said


def test_a_failure_is_in_the_decision(flowers: RetrainingLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: steps.Steps) -> None:
        raise Conflict("The rows contradict each other.")

    monkeypatch.setattr(steps.Steps, "train", broken)
    failed = flowers.retrain(force=True)
    assert (failed.stage, failed.outcome) == ("ended", "failed")
    assert "contradict" in failed.said


def test_a_model_that_there_is_none_of(flowers: RetrainingLoop) -> None:
    with pytest.raises(UnknownModel):
        RetrainingLoop("nobody").status()
    with pytest.raises(InvalidSettings):
        RetrainingLoop(3)


def test_another_policy_on_the_past(folder: Path) -> None:
    draw = np.random.default_rng(3)
    day = np.repeat(np.arange(DAYS), ROWS)
    x, y = draw.normal(size=(2, len(day)))
    score = np.where(day < 15, 2 * x, 2 * y)
    at = [BEGIN + timedelta(seconds=86_400 * k / ROWS) for k in range(len(day))]
    late = draw.random(len(day)) < 1 / (1 + np.exp(-score))
    pd.DataFrame({"at": at, "x": x, "y": y, "late": late}).to_parquet("rows.parquet")
    model = {"data": {"path": "rows.parquet"}, "target": "late", "time_column": "at"}
    write(folder, "late", model | {"retraining": {"new_labels": 200, "try_data": False}})
    with pytest.raises(InvalidSettings, match="cooldown"):
        RetrainingLoop().simulate({"cooldown": "soon"})
    made = RetrainingLoop()
    with pytest.raises(Invalid, match="no time zone"):
        made.simulate(since=datetime(2026, 3, 2))
    found = made.simulate({"cooldown": "20d"}, since=BEGIN + timedelta(days=10), compare=True)
    ours, present, *_ = found.policies
    assert [one.name for one in found.policies] == [
        "these settings", "present settings", "every week", "never",
    ]  # fmt: skip
    assert ours.trainings < present.trainings
    assert made.decisions() == []
    made.close()
