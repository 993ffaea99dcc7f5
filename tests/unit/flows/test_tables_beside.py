"""Two tables side by side: what is said of them, and what is drawn."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.dashboard import comparison as pages
from everloop.flows.monitoring import comparing
from everloop.flows.monitoring.comparing import Beside

ROWS = 600
DAY = 86_400
HUGE = 1.7e308


def moments(low: float, high: float, rows: int = ROWS) -> list[datetime]:
    return [datetime(2026, 1, 1) + timedelta(seconds=float(each)) for each in np.linspace(low, high, rows)]


def beside(before: Any, now: Any) -> Beside:
    return comparing.beside(pa.table({"it": before}), pa.table({"it": now}), 0.05)


def said(found: Beside, statistic: str) -> str:
    return next(each.message for each in found.results if each.statistic == statistic and each.fired)


def spans(low: float, high: float) -> pa.Array:
    return pa.array([timedelta(seconds=round(each)) for each in np.linspace(low, high, ROWS)])


def hours(low: float, high: float) -> pa.Array:
    return pa.array(
        [(datetime.min + timedelta(hours=round(each, 2))).time() for each in np.linspace(low, high, ROWS)]
    )


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (moments(0, 30 * DAY), moments(9 * DAY, 9 * DAY), "2026-01-10"),
        (spans(0, DAY), spans(10_800, 10_800), "3 hours"),
        (hours(0, 23.9), hours(13.25, 13.25), "13:15"),
        (["x" * size + f"{size}" for size in range(ROWS)], ["here"] * ROWS, "4 letters long"),
        (["x" * size + f"{size}" for size in range(ROWS)], ["y"] * ROWS, "1 letter long"),
        (["'a'", "b"] * 300, ["'a'"] * ROWS, "''a''"),
    ],
)  # fmt: skip
def test_what_a_stuck_column_stays_at_is_said_as_people_write_it(before: Any, now: Any, told: str) -> None:
    found = beside(before, now)
    assert f"all 600 rows are {told};" in said(found, "constant")
    assert said(found, "fault") == f"'it' is stuck: all 600 rows are {told}."


def test_a_stuck_column_may_miss_values() -> None:
    usual = [None if each % 2 else each / 7 for each in range(ROWS)]
    found = beside(usual, [1.5, None] * 300)
    assert said(found, "fault") == "'it' is stuck: all 300 rows with a value are 1.5."


def rare(first: int, last: int) -> list[str]:
    return [f"r{each % (last - first) + first}" for each in range(ROWS)]


def test_many_rare_levels_in_one_place_of_a_summary_are_not_stuck() -> None:
    often = [f"often{each}" for each in range(40)] * 400
    before = [*often, *(f"r{each}" for each in range(3_000))]
    found = beside(before, rare(2_000, 2_003))
    assert not [each for each in found.results if "stuck" in each.message]
    assert said(beside(before, rare(2_000, 2_001)), "fault") == "'it' is stuck: all 600 rows are 'r2000'."


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (spans(0, DAY), spans(DAY, 2 * DAY), "mean 12 hours → 1.5 days"),
        (hours(0, 12), hours(12, 23.99), "mean 06:00 → 17:59"),
        ([1.0] * ROWS, [2.0] * ROWS, "mean 1 → 2, sd 0 → 0,"),
        (np.linspace(-1, 1, ROWS), np.full(ROWS, 1e300), " → 1e+300 (+1.73e+300 sd), sd 0.578 → 0,"),
        (np.linspace(-1, 1, ROWS), np.linspace(5e11, 1e12, ROWS), "from 5e+11 to 1e+12, usually from -1 to"),
        (np.linspace(0, HUGE, ROWS), np.linspace(-HUGE, 0, ROWS), "mean 8.5e+307 → -8.5e+307 (-3.46 sd)"),
    ],
)  # fmt: skip
def test_how_far_a_mean_has_moved_is_said_as_people_write_it(before: Any, now: Any, told: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert told in said(beside(before, now), "ks")


@pytest.mark.parametrize("value", [-12_345.0, 5e6, 1e300, -HUGE])
def test_a_value_that_many_rows_have_and_none_can_is_a_broken_feed(value: float) -> None:
    rng = np.random.default_rng(1)
    usual = np.round(rng.gamma(4, 5, 4_000), 1)
    now = np.where(np.arange(ROWS) % 7, np.round(rng.gamma(4, 5, ROWS), 1), value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = beside(usual, now)
    assert "a default that stands in for missing values" in said(found, "fault")


def test_a_new_code_and_a_longer_tail_are_no_broken_feed() -> None:
    rng = np.random.default_rng(2)
    codes = np.where(np.arange(ROWS) % 7, rng.integers(1, 9, ROWS), 40)
    tail = np.round(np.exp(rng.normal(0, 2.5, 4_000)), 2)
    for usual, now in ((rng.integers(1, 9, 4_000), codes), (tail, np.round(tail[:ROWS] * 3, 2))):
        assert not [each for each in beside(usual, now).results if each.statistic == "fault"]


def test_what_lies_beyond_all_that_was_seen_is_drawn_where_it_lies() -> None:
    found = beside(moments(0, 30 * DAY), moments(400 * DAY, 430 * DAY))
    (shape,) = found.shapes
    begin = datetime(2026, 1, 1).timestamp()
    before = [share for end, share in zip(shape.ends, shape.now, strict=False) if end < begin + 380 * DAY]
    assert sum(before) == 0
    assert sum(shape.now) == pytest.approx(0.995, abs=0.01)


def test_what_no_axis_holds_is_said_and_not_drawn() -> None:
    found = beside(np.linspace(0, HUGE, ROWS), np.linspace(-HUGE, 0, ROWS))
    assert not found.shapes
    assert found.more == 1
    assert said(found, "ks")


def test_a_name_that_turns_the_direction_of_writing_is_escaped_on_the_page() -> None:
    name = "b\u202enp.exe\x1b[31m"
    found = comparing.beside(pa.table({name: [1.0] * ROWS}), pa.table({name: [2.0] * ROWS}), 0.05)
    page = pages.render(found, "usual", "now")
    assert r"<h3>b\u202enp.exe\x1b[31m</h3>" in page
    assert "b\u202enp" not in page
