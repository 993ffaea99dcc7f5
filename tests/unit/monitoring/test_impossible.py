"""Faults that show in values which the reference rules out, also in few rows; and what is honest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.core.documents import dump, load
from everloop.core.monitoring import Result
from everloop.monitoring import checks, faults, reference, texture, windows
from everloop.monitoring.texture import Texture

ROWS = 60
HOURS = np.array([*range(6, 24), 8, 8, 9, 17, 17, 18])


def shop(seed: int, rows: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    return {
        "weekday": draw.integers(0, 7, rows),
        "member": (draw.uniform(size=rows) < 0.2).astype(float),
        "returns": np.where(draw.uniform(size=rows) < 0.1, draw.integers(1, 4, rows), 0),
        "price": np.round(draw.normal(30, 5, rows), 2),
        "riders": np.round(np.exp(draw.normal(1, 1, rows)) + 0.2, 3),
        "outside": np.round(20 + 12 * np.sin(np.arange(rows) / rows * 6.3) + draw.normal(0, 2, rows), 1),
        "hour": draw.choice(HOURS, rows),
        "open": draw.choice(HOURS[2:15], rows),
        "meal": draw.choice(["half", "full", "breakfast"], rows),
        "number": 1_000.0 + np.arange(rows),
    }


def table(columns: dict[str, Any]) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


USUAL = table(shop(0, 4_000))
KNOWN, FABRIC = reference.build(USUAL), texture.of(USUAL)


def found(columns: dict[str, Any], *, moved: tuple[str, ...] = ()) -> dict[str, str]:
    rows = table(columns)
    fired = [Result("data", name, "ks", True, "moved") for name in moved]
    told = faults.diagnose(KNOWN, windows.summarise(KNOWN, rows), rows, fired, texture=FABRIC)
    return {each.subject: each.details["fault"] for each in told}


BREAKS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "a weekday a hundredfold": ("weekday", lambda values: values * 100, "out of range"),
    "a flag that is 100": ("member", lambda values: values * 100, "out of range"),
    "a count of thousands": ("returns", lambda values: values / 1000, "fractions"),
    "a weekday in Fahrenheit": ("weekday", lambda values: values * 1.8 + 32, "unit change"),
    "a price in thousands": ("price", lambda values: values / 1000, "unit change"),
    "a price in cents": ("price", lambda values: values * 100, "out of range"),
    "a sign turned": ("returns", lambda values: -values, "sign turned"),
    "a price owed": ("price", lambda values: -values, "sign turned"),
    "another column's values": ("member", lambda values: np.arange(values.size) % 5, "out of range"),
    "a warmer month": ("outside", lambda values: values + 15, ""),
    "riders in thousands": ("riders", lambda values: values / 1000, "out of range"),
    "names in capitals": ("meal", lambda values: np.char.upper(values), "new levels"),
    "stuck": ("weekday", lambda values: np.full(values.size, 3), "stuck"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_values_that_cannot_be_are_found_in_few_rows(name: str) -> None:
    column, change, kind = BREAKS[name]
    columns = shop(1, ROWS)
    columns["number"] = columns["number"] + 4_000
    assert found(columns) == {}
    columns[column] = change(columns[column])
    assert found(columns) == ({column: kind} if kind else {})


def test_temperatures_of_another_scale_are_found_where_none_is_in_the_usual_range() -> None:
    columns = shop(2, ROWS)
    columns["price"] = columns["price"] * 1.8 + 32
    assert found(columns) == {"price": "unit change"}


def test_a_clock_five_hours_late_is_found_in_hours_that_are_numbers() -> None:
    columns = shop(3, 1_000)
    columns["hour"] = (columns["hour"] + 5) % 24
    assert found(columns) == {"hour": "clock"}
    shifted = shop(4, 1_000)
    shifted["open"] = shifted["open"] + 2  # later by day, and never over midnight
    assert found(shifted) == {}


def test_what_counts_up_may_be_far_away() -> None:
    """An order's number a year later."""
    columns = shop(5, ROWS)
    columns["number"] = columns["number"] + 20_000
    assert found(columns) == {}


def test_an_honest_level_that_is_rare_at_first_is_none() -> None:
    columns = shop(6, ROWS)
    columns["meal"] = np.where(np.arange(ROWS) % 6 == 0, "vegan", columns["meal"])
    assert found(columns) == {}


def test_a_batch_that_came_again_is_found_over_more_rows_than_a_chunk() -> None:
    columns = {name: np.concatenate([values[:2_500]] * 2) for name, values in shop(7, 5_000).items()}
    long = table(shop(8, 6_000))
    known, fabric = reference.build(long), texture.of(long)
    rows = table(columns)
    told = faults.diagnose(known, windows.summarise(known, rows), rows, [], texture=fabric)
    assert [(each.subject, each.details["fault"]) for each in told] == [("rows", "duplicated rows")]


def test_the_texture_comes_back_as_it_was_kept_also_that_of_a_release_before() -> None:
    kept = dump(FABRIC)
    assert load(Texture, kept) == FABRIC
    for feature in kept["features"].values():
        for name in ("whole", "least", "steady", "pair"):
            del feature[name]
    old = load(Texture, {name: kept[name] for name in ("format", "rows", "duplicates", "features")})
    assert not old.features["weekday"].whole
    rows = table(shop(9, ROWS) | {"weekday": np.full(ROWS, 0.5)})
    faults.diagnose(KNOWN, windows.summarise(KNOWN, rows), rows, [], texture=old)


@pytest.mark.parametrize(
    ("result", "broken"),
    [
        (Result("quality", "x", "missing", True, "", "critical"), True),
        (Result("quality", "x", "missing", True, "", "info"), False),
        (Result("quality", "x", "missing", False, "", "critical"), False),
        (Result("data", "x", "ks", True, "", "critical"), False),
        (Result("quality", "x", "new_level", True, "", "warning", value=0.3), True),
        (Result("quality", "x", "new_level", True, "", "warning", value=0.02), False),
        (Result("quality", "x", "new_level", True, "", "warning", value=0.3, details={"open": True}), False),
        (Result("quality", "x", "vanished_level", True, "", "warning", usual=0.3), True),
        (Result("quality", "x", "vanished_level", True, "", "warning", usual=0.02), False),
    ],
)
def test_what_breaks_a_feed_and_what_is_the_worlds(result: Result, broken: bool) -> None:
    assert result.breaks_feed is broken


def test_a_new_level_says_whether_the_list_was_open() -> None:
    draw = np.random.default_rng(10)
    for rare, is_open in ((["once"], True), ([], False)):
        usual = pa.table({"agent": [*draw.choice(["a", "b"], 3_000), *rare]})
        now = pa.table({"agent": [*draw.choice(["a", "b"], 300), *["new"] * 100]})
        known = reference.build(usual)
        told = checks.check(known, windows.summarise(known, now), alpha=0.01)
        (new,) = (each for each in told if each.statistic == "new_level")
        assert (new.fired, new.details["open"], new.breaks_feed) == (True, is_open, not is_open)
