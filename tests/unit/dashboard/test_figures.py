"""The figures show what the report says, and Plotly understands them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import pytest

from everloop.core.decisions import Drift
from everloop.dashboard import figures

from .makers import point, story

ALL = [figures.performance, figures.gains, figures.drift, figures.gate, figures.rows]


def trace(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(t for t in figure["data"] if t["name"] == name)


@pytest.mark.parametrize("draw", ALL)
def test_plotly_knows_every_property(draw: Any) -> None:
    go.Figure(draw(story()))


def test_a_property_that_plotly_does_not_know_would_be_noticed() -> None:
    figure = figures.gains(story())
    figure["data"][0]["colour"] = "red"
    with pytest.raises(ValueError, match="colour"):
        go.Figure(figure)


def test_performance_marks_what_the_loop_did() -> None:
    figure = figures.performance(story())
    served = trace(figure, "what served")
    assert served["x"] == ["2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30", "2026-04-06"]
    assert served["y"] == [0.5, 0.6, 0.6, 0.46, 0.53]
    assert trace(figure, "first version, never retrained")["y"] == [0.5, 0.6, 0.6, 0.5, 0.5]
    assert trace(figure, "retrained, promoted")["x"] == ["2026-03-23"]
    assert trace(figure, "retrained, not promoted")["x"] == ["2026-03-16"]
    assert trace(figure, "limit (0.55)")["y"] == [0.55, 0.55]
    assert trace(figure, "share of late")["y"] == [0.2, 0.3, 0.3]
    assert [t["name"] for t in figure["data"] if "stopped" in t["name"]] == []


def test_a_stopped_turn_is_marked() -> None:
    stopped = point(1, status="stopped", metrics={"log_loss": 0.5})
    figure = figures.performance(story(points=(stopped,)))
    assert trace(figure, "stopped by its contract")["text"] == ["stopped"]


def test_gains_are_green_above_zero_and_red_below() -> None:
    bars = figures.gains(story())["data"][0]
    assert bars["y"] == pytest.approx([0, 0, 0, 0.04, -0.03])
    assert bars["marker"]["color"][-2:] == [figures.GREEN, figures.RED]


def test_gain_follows_the_direction_of_the_metric() -> None:
    report = story()
    upwards = replace(report, lower_is_better=False)
    assert [upwards.gain(p) for p in upwards.compared] == [-report.gain(p) for p in report.compared]


def test_drift_puts_the_feature_that_moved_most_at_the_top() -> None:
    heat = figures.drift(story())["data"][0]
    assert heat["y"] == ["size", "age"]  # Plotly draws from below
    assert heat["z"] == [[0.1] * 5, [0.8] * 5]


def test_drift_of_a_feature_that_was_not_there_is_empty() -> None:
    points = (point(0, drift=Drift(0.2, "a", {"a": 0.2}, 9)), point(1, drift=Drift(0.1, "b", {"b": 0.1}, 9)))
    heat = figures.drift(story(points=points))["data"][0]
    assert heat["z"] == [[None, 0.1], [0.2, None]]


def test_gate_draws_each_interval_around_its_improvement() -> None:
    figure = figures.gate(story())
    promoted, refused = trace(figure, "promoted"), trace(figure, "not promoted")
    assert promoted["y"] == ["1.0.0", "1.0.2"]
    assert promoted["x"] == [0.05, 0.04]
    assert (refused["y"], refused["x"]) == (["1.0.1"], [-0.03])
    assert refused["error_x"]["array"] == pytest.approx([0.02])
    assert refused["error_x"]["arrayminus"] == pytest.approx([0.01])


def test_rows_and_missing_values_of_each_version() -> None:
    bars, line = figures.rows(story())["data"]
    assert bars["y"] == [100, 110, 120, 130, 140, 150]
    assert line["y"] == pytest.approx([10 / 200] * 6)


def test_turns_without_times_stand_in_order() -> None:
    points = tuple(replace(p, until=None) for p in story().points)
    report = story(points=points)
    assert [figures.place(report, p) for p in points] == [1, 2, 3, 4, 5, 6]
    assert figures.rows(report)["layout"]["xaxis"]["type"] == "category"
