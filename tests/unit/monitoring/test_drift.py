"""The relative mean shift, and what stands beside it for levels and missing values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from everloop.core.data import ColumnStatistics
from everloop.core.errors import UnknownColumn, WrongType
from everloop.monitoring.drift import mean_shift


def numbers(mean: float, std: float | None = 1.0, rows: int = 100, missing: int = 0) -> ColumnStatistics:
    return ColumnStatistics(count=rows - missing, missing=missing, distinct=rows, mean=mean, std=std)


def levels(rows: dict[str, int], missing: int = 0, count: int | None = None) -> ColumnStatistics:
    total = sum(rows.values()) if count is None else count
    return ColumnStatistics(count=total, missing=missing, distinct=len(rows), levels=rows)


def shift(before: ColumnStatistics, after: ColumnStatistics) -> float:
    return mean_shift({"x": before}, {"x": after}, ["x"]).shifts["x"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (numbers(10, 1), numbers(12, 1), 0.2),
        (numbers(10, 1), numbers(8, 1), 0.2),
        (numbers(-10, 1), numbers(-12, 1), 0.2),
        (numbers(0, 2), numbers(1, 2), 0.5),
        (numbers(0.001, 2), numbers(1.001, 2), 0.5),
        (numbers(5, 0), numbers(5, 0), 0.0),
        (numbers(5, None), numbers(6, None), 0.2),
        (numbers(0, 0), numbers(0, 0), 0.0),
        (numbers(0, 0), numbers(7, 1), 1.0),
        (numbers(0, 0), numbers(1, 4), 0.25),
    ],
)
def test_the_mean_shift_is_relative_to_the_larger_of_mean_and_spread(before, after, expected):
    assert shift(before, after) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("was", "now"), [(5e-324, 1.0), (1e308, -1e308), (1e-300, 1e300)])
def test_shifts_of_extreme_means_are_finite(was, now):
    found = shift(numbers(was, 0), numbers(now, 0))
    assert math.isfinite(found)
    assert found >= 1


def test_booleans_go_by_their_mean():
    before = ColumnStatistics(100, 0, 2, mean=0.2, std=0.4, levels={"true": 20, "false": 80})
    after = ColumnStatistics(100, 0, 2, mean=0.4, std=0.49, levels={"true": 40, "false": 60})
    assert shift(before, after) == pytest.approx(0.5)


def test_the_score_is_the_largest_and_names_its_feature():
    before = {"a": numbers(10), "b": numbers(10), "c": numbers(10)}
    after = {"a": numbers(11), "b": numbers(7), "c": numbers(99)}
    drift = mean_shift(before, after, ["a", "b"])
    assert (drift.feature, drift.score) == ("b", pytest.approx(0.3))
    assert set(drift.shifts) == {"a", "b"}
    assert (drift.rows, drift.enough) == (100, True)


def test_no_features_is_no_drift():
    drift = mean_shift({"a": numbers(1)}, {"a": numbers(9)}, [])
    assert (drift.score, drift.feature, drift.shifts, drift.rows) == (0.0, None, {}, 100)


@pytest.mark.parametrize(("rows", "enough"), [(49, False), (50, True)])
def test_few_rows_claim_nothing_and_missing_ones_count(rows, enough):
    drift = mean_shift({"a": numbers(1)}, {"a": numbers(9, rows=rows, missing=20)}, ["a"], min_samples=50)
    assert (drift.rows, drift.enough) == (rows, enough)
    assert drift.score > 0


def test_levels_that_have_nothing_in_common_shift_by_almost_one():
    assert 0.99 < shift(levels({"a": 10**6}), levels({"b": 10**6})) <= 1


def test_levels_shift_by_the_share_that_moved():
    before, after = levels({"a": 700_000, "b": 300_000}), levels({"a": 500_000, "b": 500_000})
    assert shift(before, after) == pytest.approx(0.2, abs=0.002)
    assert shift(before, before) == 0.0


def test_levels_that_statistics_do_not_list_are_taken_together():
    before = levels({"a": 500_000, "b": 300_000}, count=1_000_000)
    after = levels({"a": 500_000, "c": 300_000}, count=1_000_000)
    assert shift(before, after) == pytest.approx(0.0, abs=0.002)
    complete = levels({"a": 500_000, "c": 500_000})
    assert shift(complete, before) == pytest.approx(0.3, abs=0.002)
    assert shift(before, complete) == pytest.approx(shift(complete, before))


def test_a_change_of_the_missing_share_is_an_entry_of_its_own():
    drift = mean_shift({"x": numbers(5, missing=10)}, {"x": numbers(5, missing=60)}, ["x"])
    assert drift.shifts == {"x": 0.0, "x (missing)": pytest.approx(0.5)}
    assert drift.feature == "x (missing)"


def test_a_column_that_went_missing_altogether_drifts_by_missing_only():
    gone = ColumnStatistics(count=0, missing=100, distinct=0)
    assert mean_shift({"x": numbers(5)}, {"x": gone}, ["x"]).shifts == {"x (missing)": 1.0}
    nothing = ColumnStatistics(count=0, missing=0, distinct=0)
    assert mean_shift({"x": nothing}, {"x": nothing}, ["x"]).shifts == {}


def test_a_feature_without_statistics_is_refused_with_the_side_and_the_nearest():
    with pytest.raises(UnknownColumn, match=r"reference data has no column 'agee'.*'age'"):
        mean_shift({"age": numbers(1)}, {"age": numbers(1)}, ["agee"])
    with pytest.raises(UnknownColumn, match="current data has no column 'age'"):
        mean_shift({"age": numbers(1)}, {}, ["age"])


def test_a_column_that_turned_into_text_is_refused():
    with pytest.raises(WrongType, match="'x' was numbers in the reference data and is text now"):
        mean_shift({"x": numbers(1)}, {"x": levels({"1": 5})}, ["x"])
    with pytest.raises(WrongType, match="was text in the reference data and is numbers now"):
        mean_shift({"x": levels({"1": 5})}, {"x": numbers(1)}, ["x"])


def test_values_too_large_for_a_mean_have_no_shift():
    huge = ColumnStatistics(count=5, missing=0, distinct=5)
    assert mean_shift({"x": huge}, {"x": numbers(1)}, ["x"]).shifts == {}
    assert mean_shift({"x": huge}, {"x": levels({"a": 5})}, ["x"]).shifts == {}


@pytest.mark.parametrize(("kinds", "rows"), [(2, 50), (16, 50), (16, 1000), (100, 200)])
def test_chance_alone_shifts_levels_by_little_and_real_moves_show(kinds, rows):
    rng = np.random.default_rng(7)
    shares = rng.dirichlet(np.ones(kinds))
    moved = shares * 0.6
    moved[0] += 0.4
    quiet, real = [], []
    reference = _draw(rng, shares, 5000)
    for _ in range(200):
        quiet.append(shift(reference, _draw(rng, shares, rows)))
        real.append(shift(reference, _draw(rng, moved, rows)))
    assert np.mean(quiet) < 0.07
    assert np.mean(np.array(quiet) > 0.2) < 0.05
    assert np.mean(real) == pytest.approx(np.abs(moved - shares).sum() / 2, abs=0.03)


def _draw(rng: np.random.Generator, shares: np.ndarray, rows: int) -> ColumnStatistics:
    return levels({f"l{i}": int(n) for i, n in enumerate(rng.multinomial(rows, shares)) if n})
