"""What a gate asks besides the comparison, in turns on the real parts."""

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
from everloop.core.clock import SystemClock
from everloop.core.decisions import Evidence
from everloop.core.errors import (
    AllMissing,
    InvalidSettings,
    MLOpsError,
    UnknownColumn,
    UnknownVersion,
    WrongType,
)
from everloop.core.turns import TurnSummary
from everloop.flows import data, models, refs, runs, turn
from everloop.flows.project import Project
from everloop.settings import load_settings

_ROWS = 2000
Open = Callable[..., Project]


class Ticking(SystemClock):
    """Every look at it takes so many seconds: an answer too."""

    def __init__(self, tick: float) -> None:
        self._tick, self._at = tick, 0.0

    def monotonic(self) -> float:
        self._at += self._tick
        return self._at


@pytest.fixture
def open_project(tmp_path: Path) -> Iterator[Open]:
    """One model of the label ``late`` on ``a`` and ``b``; ``sex`` is no feature."""
    opened: list[Project] = []

    def make(gate: dict[str, Any], **more: Any) -> Project:
        model = {
            "data": {"path": "data.csv"},
            "target": "late",
            "exclude": ["sex"],
            "monitoring": {"accuracy_min_threshold": None, "drift_threshold": None},
            "gate": gate,
            **more,
        }
        config = tmp_path / "everloop.yaml"
        config.write_text(json.dumps({"tracking": {"enabled": False}, "models": {"m": model}}))
        opened.append(wiring.connect(load_settings(config, variables={})))
        return opened[-1]

    yield make
    for project in opened:
        project.close()


def world(seed: int, a: float = 2.0, b: float = 0.0, rows: int = _ROWS) -> pd.DataFrame:
    """Rows whose label follows ``a`` and ``b`` so strongly; of one sex ``a`` is larger."""
    rng = np.random.default_rng(seed)
    sex = rng.integers(0, 2, rows)
    first, second = rng.normal(size=rows) + 0.6 * sex, rng.normal(size=rows)
    late = rng.random(rows) < 1 / (1 + np.exp(-(a * first + b * second)))
    return pd.DataFrame(
        {"a": first, "b": second, "sex": np.where(sex == 1, "f", "m"), "late": late.astype(int)}
    )


def tagged(project: Project, frame: pd.DataFrame, name: str = "golden") -> str:
    version = data.register(project, frame, "m").version
    refs.tag(project, version.version_id, name)
    return version.short


def checked(summary: TurnSummary, name: str) -> Evidence:
    assert summary.verdict is not None
    return next(check for check in summary.verdict.checks if check.check == name)


@pytest.mark.parametrize(
    ("gate", "error", "says"),
    [
        ({"frozen": "m@nothing"}, UnknownVersion, "nothing"),
        ({"frozen": "m@narrow"}, UnknownColumn, "gate.frozen: m@narrow has no column 'b'"),
        ({"frozen": "m@unlabelled"}, AllMissing, "no row of m@unlabelled has a label in 'late'"),
        ({"frozen": "m@texts"}, WrongType, "gate.frozen: 'a' is string in m@texts and number in the data"),
        ({"fairness": {"column": "sec", "min_ratio": 0.8}}, UnknownColumn, "gate.fairness.column: 'sec'"),
    ],
)
def test_what_cannot_be_asked_is_said_before_training(
    open_project: Open, gate: dict[str, Any], error: type[MLOpsError], says: str
) -> None:
    project = open_project(gate)
    tagged(project, world(3).assign(a="x"), "texts")
    tagged(project, world(1).drop(columns="b"), "narrow")
    tagged(project, world(2).assign(late=pd.Series([None] * _ROWS, dtype="Int64")), "unlabelled")
    with pytest.raises(error, match=says):
        turn.run(project, "m", source=world(0))
    assert not runs.list_runs(project, "m")


FAIR = {"fairness": {"column": "sex", "min_ratio": 0.8}}


@pytest.mark.parametrize(
    ("gate", "target", "estimator", "says"),
    [
        (FAIR, "three", "logistic", "which of 3 classes counts as positive is not known"),
        (FAIR, "b", "linear", "gate.fairness is for classification"),
        ({"calibration_max": 0.1}, "b", "linear", "gate.calibration_max is for classification"),
        ({"calibration_margin": 0.1}, "b", "linear", "gate.calibration_margin is for classification"),
    ],
)
def test_what_a_task_does_not_have_is_said_before_training(
    open_project: Open, gate: dict[str, Any], target: str, estimator: str, says: str
) -> None:
    frame = world(0).assign(three=np.resize(["x", "y", "z"], _ROWS))
    project = open_project(gate, target=target, training={"model_type": estimator})
    with pytest.raises(InvalidSettings, match=says):
        turn.run(project, "m", source=frame)
    assert not runs.list_runs(project, "m")


@pytest.mark.parametrize("margin", [0.0, 5.0])
def test_a_challenger_that_forgets_the_old_world_is_not_promoted(open_project: Open, margin: float) -> None:
    project = open_project({"frozen": "m@golden", "frozen_margin": margin})
    tagged(project, world(1, a=2.0))
    first = turn.run(project, "m", source=world(0, a=2.0))
    assert first.promoted
    assert "there is no champion to compare with" in checked(first, "frozen").message
    second = turn.run(project, "m", source=world(2, a=0.0, b=2.0), force=True)
    frozen = checked(second, "frozen")
    assert second.verdict is not None
    assert second.verdict.comparison is not None
    assert second.verdict.comparison.low > 0, "it is better on what is new"
    assert second.promoted == (margin == 5.0)
    assert frozen.fired == (margin == 0.0)
    if margin == 0.0:
        assert ", but on m@golden log loss " in second.verdict.reason
        assert f"on {_ROWS:,} unseen rows, shown to be worse" in frozen.message
        assert frozen.value is not None
        assert frozen.value < -0.3


def test_frozen_rows_that_a_model_was_trained_on_are_left_out(open_project: Open) -> None:
    project = open_project({"frozen": "m@golden"})
    frame = world(0)
    frame.loc[:9, "late"] = None
    golden = pd.concat([frame[:500], world(1)[:300]], ignore_index=True)
    tagged(project, golden)
    turn.run(project, "m", source=frame)
    second = turn.run(project, "m", source=pd.concat([frame, world(3)], ignore_index=True), force=True)
    message = checked(second, "frozen").message
    _, said = message.split("left out: 10 rows without a label, ")
    trained = int(said.split()[0].replace(",", ""))
    assert 300 < trained < 490, "most of the 490, for a fifth was held out by the first and the second"
    assert f"on {790 - trained} unseen rows" in message


def test_too_few_frozen_rows_are_said_and_stop_nothing(open_project: Open) -> None:
    project = open_project({"frozen": "m@golden"})
    tagged(project, world(1)[:12])
    turn.run(project, "m", source=world(0))
    second = turn.run(project, "m", source=world(2, a=-2.0), force=True)
    assert (
        "not judged on m@golden: 12 rows are left and 30 are asked for" in checked(second, "frozen").message
    )
    assert second.promoted


def test_an_unfair_first_model_is_not_promoted_and_everybody_is_told(
    open_project: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = open_project({"fairness": {"column": "sex", "max_difference": 0.05}})
    summary = turn.run(project, "m", source=world(0))
    assert not summary.promoted
    fair = checked(summary, "fairness by sex")
    assert fair.fired
    assert fair.message.startswith("selection rate by sex: 0.")
    assert summary.verdict is not None
    assert summary.verdict.reason.startswith("the first model: log loss")
    assert f", but {fair.message}" in summary.verdict.reason
    found = models.find(project, "m@latest")
    assert found.gate == summary.verdict
    monkeypatch.chdir(project.settings.root)
    shown = CliRunner().invoke(app, ["models", "show", "m@latest"])
    assert f"against it: {fair.message}" in " ".join(shown.output.split())
    document = json.loads(CliRunner().invoke(app, ["models", "show", "m@latest", "--json"]).output)
    assert document["gate"]["checks"][0]["fired"]
    page = project.settings.root / "report.html"
    assert CliRunner().invoke(app, ["report", "--to", str(page)]).exit_code == 0
    assert f'<li class="fired">gate: {fair.message}</li>' in page.read_text(encoding="utf-8")


def test_calibration_is_looked_at_by_itself_and_beside_the_champion(open_project: Open) -> None:
    project = open_project({"calibration_max": 0.4, "calibration_margin": 0.1})
    first = turn.run(project, "m", source=world(0))
    assert first.promoted
    assert first.verdict is not None
    assert [check.check for check in first.verdict.checks] == ["calibration"]
    second = turn.run(project, "m", source=world(1, a=-2.0), force=True)
    assert second.verdict is not None
    assert [check.check for check in second.verdict.checks] == [
        "calibration",
        "calibration beside the champion",
    ]
    assert second.promoted
    beside = checked(second, "calibration beside the champion")
    assert "of champion 1.0.0 on 400 unseen rows, 0.1 more is allowed" in beside.message
    assert beside.value is not None
    assert beside.value < -0.2, "the champion errs much in the new world"


@pytest.mark.parametrize(("most", "promoted"), [("0.001s", False), (0.003, True)])
def test_a_slow_model_is_not_promoted_and_a_resumed_turn_has_the_same_verdict(
    open_project: Open, most: object, promoted: bool
) -> None:
    project = open_project({"latency_max": most, "latency_ratio": 1.5, "size_max": 10_000_000})
    opened = turn.open_turn(replace(project, clock=Ticking(0.002)), "m", source=world(0))
    opened.advance("gate")
    ended = turn.run(replace(project, clock=Ticking(7.0)), "m")
    assert ended.resumed
    assert ended.promoted == promoted
    assert ended.verdict is not None
    assert [check.check for check in ended.verdict.checks] == ["latency", "size"]
    latency = checked(ended, "latency")
    assert latency.value == pytest.approx(0.002)
    assert latency.message.startswith("one row takes 2 ms (compiled; 95% of 500 answers, median of 5 runs), ")
    form = models.find(project, "m@latest").version.form
    assert form is not None
    assert form.route == "onnx"


def test_latency_is_compared_with_the_champions(open_project: Open) -> None:
    project = open_project({"latency_ratio": 0.9})
    ticking = replace(project, clock=Ticking(0.002))
    assert turn.run(ticking, "m", source=world(0)).promoted
    second = turn.run(ticking, "m", source=world(1, a=-2.0), force=True)
    assert not second.promoted
    beside = checked(second, "latency beside the champion")
    assert beside.value == pytest.approx(1.0)
    assert "1 times the 2 ms of champion 1.0.0: 0.9 times are allowed" in beside.message


def test_a_model_larger_than_allowed_is_not_promoted(open_project: Open) -> None:
    summary = turn.run(open_project({"size_max": 100}), "m", source=world(0))
    assert not summary.promoted
    assert checked(summary, "size").message.endswith("bytes, 100 are allowed")


def test_a_model_that_is_not_compiled_is_timed_as_it_is(open_project: Open, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from sklearn.base import BaseEstimator, ClassifierMixin\n"
        "from sklearn.linear_model import LogisticRegression\n\n\n"
        "class Own(ClassifierMixin, BaseEstimator):\n"
        "    def fit(self, X, y):\n"
        "        self.inner_ = LogisticRegression().fit(X, y)\n"
        "        self.classes_ = self.inner_.classes_\n"
        "        return self\n\n"
        "    def predict_proba(self, X):\n"
        "        return self.inner_.predict_proba(X)\n\n"
        "    def predict(self, X):\n"
        "        return self.inner_.predict(X)\n\n\n"
        "def make():\n"
        "    return Own()\n"
    )
    project = open_project({"latency_max": 1.0}, training={"model_type": "own.py:make"})
    summary = turn.run(replace(project, clock=Ticking(0.5)), "m", source=world(0))
    message = checked(summary, "latency").message
    assert "(not compiled; 95% of 50 answers, median of 5 runs)" in message, "ten rows a run: it is slow"
