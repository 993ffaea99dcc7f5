"""The target column: task, labels and values."""

import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.core.errors import AllMissing, ConstantTarget, WrongType
from everloop.training.targets import check_target, infer_task, missing, target_labels, target_values


def column(values: Any, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"], "classification"),
        ([True, None], "classification"),
        ([0, 1, 1], "classification"),
        (list(range(20)), "classification"),
        (list(range(21)), "regression"),
        ([0.0, 1.0, None], "classification"),
        ([0.5, 1.0], "regression"),
        ([decimal.Decimal("1.50"), decimal.Decimal("2.25")], "regression"),
    ],
)
def test_the_task_follows_from_the_values(values: Any, task: str) -> None:
    assert infer_task(column(values)) == task


def test_dictionaries_are_what_they_hold() -> None:
    assert infer_task(column(["a", "b"]).dictionary_encode()) == "classification"
    assert list(target_labels(column(["a", None]).dictionary_encode())) == ["a", None]


def test_labels_do_not_depend_on_how_numbers_are_stored() -> None:
    assert list(target_labels(column([1, 0, None]))) == ["1", "0", None]
    assert list(target_labels(column([1.0, 0.0, None]))) == ["1", "0", None]
    assert list(target_labels(column([True, False]))) == ["true", "false"]


def test_values_are_floats_with_nan_for_missing() -> None:
    assert np.array_equal(target_values(column([1, None])), [1, np.nan], equal_nan=True)
    assert list(target_values(column([decimal.Decimal("1.5")]))) == [1.5]


def test_types_that_are_no_target_are_refused() -> None:
    with pytest.raises(WrongType, match="string cannot be used for regression"):
        target_values(column(["1"]))
    with pytest.raises(WrongType, match="timestamp"):
        infer_task(column([1], pa.timestamp("us")))
    with pytest.raises(WrongType, match="list"):
        target_labels(column([[1]]))


def test_null_nan_and_infinite_targets_are_missing() -> None:
    assert list(missing(column([1.0, None, np.nan, np.inf, -2.0]))) == [False, True, True, True, False]
    assert list(missing(column(["a", None]))) == [False, True]


def test_a_target_without_values_or_with_one_value_is_refused() -> None:
    with pytest.raises(AllMissing, match="'late' has no values"):
        check_target("late", column([None, None], pa.string()), np.array([True, True]))
    with pytest.raises(ConstantTarget, match=r"'late' has one value only: 'no'"):
        check_target("late", column(["no", None, "no"]), np.array([False, True, False]))
