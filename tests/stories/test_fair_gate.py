"""The gate compares what can be compared: no row the champion has learnt from, no champion of yesterday."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from everloop import wiring
from everloop.flows import data, models, outside, turn
from everloop.flows.outside import Origin
from everloop.flows.project import Project
from everloop.flows.releases import deploying
from everloop.settings import load_settings

_ROWS = 1500


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """One model that learns its training rows by heart, watched at an accuracy of 0.8."""
    model = {
        "data": {"path": "data.csv"},
        "target": "late",
        "training": {"model_type": "random_forest", "params": {"n_estimators": 30}},
        "monitoring": {"accuracy_min_threshold": 0.8, "drift_threshold": None},
        "gate": {"metric": "accuracy"},
    }
    config = tmp_path / "everloop.yaml"
    config.write_text(json.dumps({"tracking": {"enabled": False}, "models": {"m": model}}))
    opened = wiring.connect(load_settings(config, variables={}))
    yield opened
    opened.close()


def _frame() -> tuple[pd.DataFrame, np.ndarray]:
    """Rows whose label ``a`` says little of, and the column that says the rest."""
    rng = np.random.default_rng(0)
    a, b, rest = rng.normal(size=(3, _ROWS))
    late = rng.random(_ROWS) < 1 / (1 + np.exp(-(0.8 * a + 2.5 * rest)))
    frame = pd.DataFrame({"a": a, "b": b, "day": rng.integers(1, 8, _ROWS), "late": late.astype(int)})
    return frame, rest


@pytest.mark.parametrize("change", ["a new column", "integers that became floats"])
def test_rows_the_champion_learnt_from_are_known_when_columns_change(project: Project, change: str) -> None:
    frame, rest = _frame()
    first = turn.run(project, "m", source=frame)
    assert first.promoted
    if change == "a new column":
        frame["rest"] = rest
    else:
        frame["day"] = frame["day"].where(frame["day"].index != 3)
    second = turn.run(project, "m", source=frame)
    assert second.decision is not None
    assert "under the smallest accepted value" in second.decision.reason, (
        "measured on what it does not know by heart"
    )
    assert second.verdict is not None
    assert second.verdict.comparison is not None
    assert second.verdict.comparison.champion < 0.75
    assert second.promoted == (change == "a new column")


def test_a_champion_that_was_chosen_meanwhile_is_not_replaced_uncompared(project: Project) -> None:
    frame, rest = _frame()
    turn.run(project, "m", source=frame)
    turn.run(project, "m", source=frame, force=True)  # 1.0.1: as good, so not promoted
    opened = turn.open_turn(project, "m", source=frame.assign(rest=rest))
    opened.advance("gate")
    assert opened.results["gate"]["verdict"]["promote"]
    deploying.deploy(project, deploying.Request("m@1.0.1", reason="chosen by a person"))
    summary = opened.advance("record")
    assert summary is not None
    assert not summary.promoted
    assert models.find(project, "m").version.version == "1.0.1"
    newest = models.list_models(project, "m")[-1]
    assert "1.0.1 was promoted after the gate had compared" in newest.version.tags["gate"]


def test_rows_are_matched_over_the_columns_that_are_still_the_same(project: Project) -> None:
    before = data.register(project, pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [1, 1, 1]}), "d")
    now = pd.DataFrame({"b": ["z", "y", "x"], "a": [3.0, 2.0, None], "c": ["1", "1", "1"], "new": [0, 0, 0]})
    here, there = data.shared_rows(project, data.register(project, now, "d").table, before.version)
    assert np.isin(here, there).tolist() == [True, True, False]


def test_a_model_from_outside_is_not_judged_on_the_data_it_was_made_from(project: Project) -> None:
    frame, _ = _frame()
    known = data.register(project, frame, "m").version.version_id
    fitted = RandomForestClassifier(30, random_state=0).fit(frame[["a", "b"]], frame["late"].astype(str))
    origin = Origin(data_version=known, target="late", features=("a", "b"))
    outside.register(project, "m", fitted, origin, promote="made elsewhere")
    summary = turn.run(project, "m", source=frame, force=True)
    assert summary.verdict is not None
    assert "0 unseen rows are too few" in summary.verdict.reason
