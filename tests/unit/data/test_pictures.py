"""Small distributions, and the picture of a comparison."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.data.distributions import Spread, spread
from everloop.data.pictures import picture

from .test_diff import _diff


def _spread(before: Any, after: Any) -> Spread:
    found = spread("c", pa.chunked_array([before]), pa.chunked_array([after]))
    assert found is not None
    return found


def test_few_whole_numbers_have_a_bin_each() -> None:
    found = _spread(pa.array([1, 1, 2, 3]), pa.array([3, None, 3]))
    assert found.edges.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert found.before.tolist() == [0.5, 0.25, 0.25]
    assert found.after.tolist() == [0.0, 0.0, 1.0]


def test_an_outlier_does_not_flatten_all_others() -> None:
    values = np.linspace(0, 1, 10_000)
    found = _spread(pa.array(values), pa.array(np.append(values, 1e9)))
    assert found.edges[-1] < 2
    assert found.after.sum() == pytest.approx(1.0)


def test_levels_beyond_the_most_frequent_are_one() -> None:
    found = _spread(pa.array(list("aaabbcdefgh")), pa.array(["a", "z"]).dictionary_encode())
    assert found.levels[0] == "a"
    assert (len(found.levels), found.levels[-1]) == (7, "all others")
    assert found.before.sum() == pytest.approx(1.0)
    assert found.after[found.levels.index("a")] == 0.5


def test_times_are_seconds_and_lists_have_no_distribution() -> None:
    days = pa.array([datetime(2024, 1, 1) + timedelta(days=n) for n in range(100)])
    found = _spread(days, days)
    assert found.is_time
    assert found.edges[0] == pytest.approx(1704067200, abs=86_400)
    lists = pa.chunked_array([pa.array([[1]])])
    assert spread("c", lists, lists) is None
    nothing = pa.chunked_array([pa.nulls(2, pa.float64())])
    assert spread("c", nothing, nothing) is None


@pytest.mark.parametrize("whole", [False, True])
def test_many_columns_with_long_names_fit_in_one_picture(whole: bool) -> None:
    names = [f"measured $ by the {n}th sensor in the northern hall (°C), corrected" for n in range(40)]
    before = pa.table({"id": range(50), **{n: np.arange(50.0) for n in names}})
    after = pa.table({"id": range(50), **{n: np.arange(50.0) + at for at, n in enumerate(names)}})
    found = _diff(before, after, "id", whole=whole)
    spreads = [spread(n, before[n], after[n]) for n in names[:6]]
    drawn = picture(found, [s for s in spreads if s], "a → b")
    assert drawn.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", drawn[16:24])
    assert (width, height < 1200) == (1210, True)


def test_two_versions_that_are_alike_can_be_drawn() -> None:
    table = pa.table({"a": pa.array([], pa.int64())})
    assert picture(_diff(table, table), [], "nothing moved").startswith(b"\x89PNG")
