"""What the live page draws: differences of counters, and quantiles of what came in between."""

from __future__ import annotations

import pytest

from everloop.api.office.series import Series
from everloop.serving.counts import LATENCY, Counts, Histogram


def counted(requests: int, *, errors: int = 0, latency: float = 0.002, model: str = "iris") -> Counts:
    counts = Counts()
    counts.requests[model, "1.0.0", "champion", "plain", "200"] = requests
    counts.requests[model, "1.0.0", "champion", "plain", "422"] = errors
    for _ in range(requests + errors):
        counts.latency[model].observe(latency)
    return counts


def test_a_point_is_what_happened_since_the_look_before() -> None:
    series = Series()
    series.look(100.0, counted(10), {"iris": {"setosa": 10}}, {}, {"cpu": 5.0})
    assert series.since(0) == []
    series.look(102.0, counted(30, errors=4), {"iris": {"setosa": 25, "virginica": 5}}, {}, {"cpu": 7.0})
    series.look(104.0, counted(30, errors=4), {"iris": {"setosa": 25, "virginica": 5}}, {}, {"cpu": 1.0})
    first, second = series.since(0, "iris")
    assert first["requests"] == {"iris": 24}
    assert first["errors"] == {"422": 4}
    assert first["classes"] == {"setosa": 15, "virginica": 5}
    assert (first["seconds"], first["cpu"]) == (2.0, 7.0)
    assert (second["requests"], second["latency"], second["classes"]) == ({}, [None, None, None], {})
    assert series.since(1, "iris") == [second]
    assert series.since(0, "another")[0]["classes"] == {}


def test_latencies_are_those_that_came_in_between() -> None:
    series = Series()
    series.look(0.0, counted(1_000, latency=5.0), {}, {}, {})
    later = counted(1_000, latency=5.0)
    for _ in range(100):
        later.latency["iris"].observe(0.0007)
        later.latency["another"].observe(0.0007)
    series.look(2.0, later, {}, {}, {})
    assert all(0.5 <= value <= 1.0 for value in series.since(0)[0]["latency"])


def test_the_mean_of_a_regression_is_of_what_came_in_between() -> None:
    series = Series()
    series.look(0.0, Counts(), {}, {"price": (10, 1_000.0)}, {})
    series.look(2.0, Counts(), {}, {"price": (14, 1_040.0)}, {})
    assert series.since(0, "price")[0]["mean"] == 10.0
    assert series.since(0, "iris")[0]["mean"] is None


def test_a_worker_that_forgot_is_no_negative_traffic() -> None:
    series = Series()
    series.look(0.0, counted(50), {"iris": {"setosa": 50}}, {}, {})
    series.look(2.0, counted(3), {"iris": {"setosa": 3}}, {}, {})
    point = series.since(0, "iris")[0]
    assert (point["requests"], point["classes"]) == ({}, {})


def test_memory_is_bounded_and_the_oldest_give_way() -> None:
    series = Series(kept=5)
    for second in range(100):
        counts = Counts()
        for model in range(200):
            counts.requests[f"m{model}", "1", "", "plain", "200"] = second
        series.look(float(second), counts, {}, {}, {})
    points = series.since(0)
    assert [one["n"] for one in points] == [95, 96, 97, 98, 99]
    assert len(points[0]["requests"]) == 51
    assert sum(points[0]["requests"].values()) == 200


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [
        ([], 0.5, None),
        ([0.002] * 100, 0.5, 0.00175),  # half way from 1 to 2.5 ms
        ([0.002] * 90 + [0.04] * 10, 0.9, 0.0025),
        ([0.002] * 90 + [0.04] * 10, 0.95, 0.0375),
        ([99.0], 0.5, 10.0),
    ],
)
def test_a_quantile_lies_evenly_in_its_bucket(
    values: list[float], share: float, wanted: float | None
) -> None:
    found = Histogram(LATENCY)
    for value in values:
        found.observe(value)
    assert found.quantile(share) == pytest.approx(wanted)
