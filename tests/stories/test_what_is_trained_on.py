"""What a turn trains on and how: the evidence is kept, a killed turn keeps it, and a run is made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from everloop import wiring
from everloop.cli.application import app
from everloop.core.documents import dump, load
from everloop.core.runs import Run
from everloop.flows import artifacts, data, reproduction, runs, turn
from everloop.flows.material import Material
from everloop.flows.project import Project
from everloop.settings import load_settings
from everloop.store import outbox
from everloop.training import fitting, trying, tuning

Open = Callable[..., Project]


@pytest.fixture
def open_project(tmp_path: Path) -> Iterator[Open]:
    opened: list[Project] = []

    def make(**training: Any) -> Project:
        model = {"data": {"path": "data.csv"}, "target": "y", "time_column": "when", "training": training}
        config = tmp_path / "everloop.yaml"
        config.write_text(json.dumps({"models": {"m": model}, "tracking": {"enabled": True, "wait": 0}}))
        project = wiring.connect(load_settings(config, variables={}))
        opened.append(project)
        return project

    yield make
    for project in opened:
        project.close()


def world(rows: int = 4_000, seed: int = 0, change: float = 0.55, start: str = "2026-01-01") -> pd.DataFrame:
    """Rows of one every hour; from the share ``change`` on, a and b mean the opposite."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows)).round(6)
    score = np.where(np.arange(rows) >= change * rows, -2, 2) * (a - b)
    yes = rng.random(rows) < 1 / (1 + np.exp(-score))
    when = pd.date_range(start, periods=rows, freq="h")
    return pd.DataFrame({"a": a, "b": b, "when": when, "y": np.where(yes, "yes", "no")})


def trained(project: Project, frame: pd.DataFrame, **options: Any) -> Run:
    return runs.find(project, str(turn.run(project, "m", source=frame, **options).run_id))


def test_the_choice_is_kept_shown_and_made_again(
    open_project: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = open_project(data="try")
    run = trained(project, world())
    assert run.choice is not None
    assert run.choice.chosen == "recent"
    assert set(run.choice.losses) == {"all", "recent", "weighted"}
    assert run.train_rows < 1_200
    seen = artifacts.from_bytes(artifacts.fetch(project, run.rows_seen))
    assert len(seen) == run.train_rows, "rows that did not count were not seen"

    monkeypatch.setattr(trying, "attempt", lambda *_: pytest.fail("it is tried again"))
    assert reproduction.reproduce(project, run.run_id).identical
    project.close()

    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["runs", "show", run.run_id], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert "recent rows are better than all" in shown.output
    assert f"from {run.choice.blocks[0]}" in shown.output


def test_a_turn_that_is_killed_after_its_training_does_not_try_again(
    open_project: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = open_project(data="try", tune={"seconds": 1000, "trials": 2})
    opened = turn.open_turn(project, "m", source=world())
    assert opened.advance("train") is None
    kept = load(Run, opened.results["train"]["run"])
    monkeypatch.setattr(fitting, "fit", lambda *_, **__: pytest.fail("it is trained again"))
    summary = turn.run(project, "m")
    assert summary.resumed
    run = runs.find(project, str(summary.run_id))
    assert run == kept
    assert run.choice
    assert run.choice.losses
    assert run.tuned
    assert run.tuned.trials == 2


def test_a_tuned_run_is_made_again_with_what_was_found(
    open_project: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = open_project(
        model_type="decision_tree", tune={"trials": 4, "seconds": 1000, "params": {"max_depth": [2, 6]}}
    )
    run = trained(project, world(600, change=1.0))
    assert run.tuned is not None
    assert set(run.tuned.params) == {"max_depth"}
    assert run.recipe.params == {}, "the recipe is what was asked for: the next turn sees no change in it"
    assert run.params == run.tuned.params
    with project.store.reading() as tx:
        told = [one["document"]["params"] for one in outbox.waiting(tx) if one["kind"] == "run"]
    assert [one["param.max_depth"] for one in told] == [run.params["max_depth"]]
    monkeypatch.setattr(tuning, "tune", lambda *_: pytest.fail("it is tuned again"))
    assert reproduction.reproduce(project, run.run_id).identical
    again = turn.run(project, "m", source=world(600, change=1.0))
    assert not again.retrained


def test_a_warm_start_goes_on_from_the_champion(open_project: Open) -> None:
    project = open_project(model_type="gradient_boosting", params={"n_estimators": 20}, warm_start=True)
    first = trained(project, world(800, change=1.0))
    assert first.warm_from is None
    assert any("no champion" in note for note in first.notes)
    more = pd.concat(
        [world(800, change=1.0), world(800, 1, change=1.0, start="2026-04-01")], ignore_index=True
    )
    second = trained(project, more, force=True)
    assert second.warm_from == first.run_id, second.notes
    assert runs.load_model(project, second)["model"].n_estimators_ == 25
    assert reproduction.reproduce(project, second.run_id).identical

    material = Material(project, project.model("m"))
    material.version_id = second.data_version
    before, after = material.seen(first), material.seen(second)
    assert (before & after).sum() == before.sum(), "what the champion learned the new model has learned too"
    table = data.load(project, material.version)
    made = fitting.fit(table, replace(second.recipe, warm_start=False), material.rows)
    tested = np.zeros(len(before), dtype=bool)
    tested[made.test_index] = True
    assert second.test_rows == int((tested & ~before).sum()), "on no row that either was fitted to"


def test_a_run_of_an_older_release_is_read(open_project: Open) -> None:
    project = open_project()
    document = dump(trained(project, world(400)))
    for name in ("choice", "tuned", "warm_from", "row_times"):
        document.pop(name)
    for name in ("data", "time_column", "tune", "warm_start"):
        document["recipe"].pop(name)
    old = load(Run, document)
    assert old.choice is None
    assert dump(old.recipe) == dump(runs.find(project, old.run_id).recipe), "its recipe has not changed"
    assert load(Run, dump(replace(old, tuned=None))) == old
