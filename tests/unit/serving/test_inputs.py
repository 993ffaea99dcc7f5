"""Values of requests become what a model takes, or are refused by name."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from everloop.core.contracts import ColumnRule
from everloop.core.serving import Field, Form
from everloop.serving.inputs import InputPolicy, Inputs, Rejected


def inputs(*fields: Field, layout: Any = "matrix", **policy: Any) -> Inputs:
    form = Form("onnx", "", "classification", ("a", "b"), fields, layout)
    return Inputs(form, InputPolicy(**policy))


RULE = ColumnRule("city", allowed=("Oslo", "Rome"), severity="warning")
AGE = Field("age", rule=ColumnRule("age", minimum=0, maximum=120, severity="warning"))
CITY = Field("city", "category", ("(missing)", "Oslo", "Rome"), nullable=True)
MEMBER = Field("member", "boolean")
AT = Field("at", "time")


def test_numbers_are_a_matrix() -> None:
    matrix, warned = inputs(AGE, Field("height")).encode([[30, 1.8], [40.5, -2]])
    assert matrix.dtype == np.float64
    assert matrix.tolist() == [[30.0, 1.8], [40.5, -2.0]]
    assert warned is None


@pytest.mark.parametrize(
    "value", [True, False, "30", [30], {}, math.nan, math.inf, -math.inf, 1e39, 10**40, -(10**400)]
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    for policy in ("allow", "warn", "refuse"):
        with pytest.raises(Rejected) as caught:
            inputs(AGE, range=policy, missing=policy).encode([[value]])
        (wrong,) = caught.value.wrong
        assert wrong.field == "age"
        assert wrong.allowed == "a number from 0 to 120"
        assert len(wrong.value) < 100


@pytest.mark.parametrize(("value", "wanted"), [(0, None), (120, None), (-0.1, "warn"), (120.5, "warn")])
def test_a_range_warns_where_its_rule_does(value: float, wanted: str | None) -> None:
    matrix, warned = inputs(AGE).encode([[value]])
    assert matrix.tolist() == [[value]]
    assert (warned is not None) == (wanted == "warn")


def test_a_rule_that_is_an_error_refuses() -> None:
    strict = Field("age", rule=ColumnRule("age", minimum=0, severity="error"))
    with pytest.raises(Rejected, match="age: -1 is out of range; allowed: a number from 0"):
        inputs(strict).encode([[-1]])
    assert inputs(strict, range="allow").encode([[-1]])[1] is None


def test_missing_is_refused_where_training_missed_nothing() -> None:
    with pytest.raises(Rejected, match="age: null is missing"):
        inputs(AGE).encode([[None]])
    matrix, warned = inputs(AGE, missing="warn").encode([[None]])
    assert np.isnan(matrix).all()
    assert warned == [["age: missing; wanted: a number from 0 to 120."]]
    matrix, warned = inputs(Field("age", nullable=True)).encode([[None]])
    assert np.isnan(matrix).all()
    assert warned is None


def test_categories_are_codes_as_in_training() -> None:
    matrix, _ = inputs(CITY, category="allow").encode([["Oslo"], ["Rome"], [None], ["Bonn"]])
    assert matrix.tolist() == [[2.0], [3.0], [1.0], [0.0]]
    unknown = Field("city", "category", ("Oslo", "Rome"), nullable=True)
    assert inputs(unknown, category="allow").encode([[None]])[0].tolist() == [[0.0]]


def _found(some: Inputs, row: list[Any]) -> object:
    """A row's first three codes as text (NaN is itself there), or what is wrong with it; and its warnings."""
    try:
        matrix, warned = some.encode([row])
    except Rejected as refused:
        return refused.wrong
    return str(matrix[:, :3].tolist()), warned


@pytest.mark.parametrize("policy", [{}, {"category": "refuse"}, {"category": "allow", "range": "refuse"}])
def test_what_goes_by_a_table_is_as_what_is_read_value_by_value(policy: dict[str, Any]) -> None:
    """A boolean beside them, and no row goes by a table."""
    strict = Field("strict", "category", ("Oslo", "Lima", "a\0b"), rule=RULE)
    table = inputs(AGE, CITY, strict, **policy)
    singly = inputs(AGE, CITY, strict, MEMBER, **policy)
    ages = (30, 40.5, -1, 10**40, 10**400, math.nan, None, True, "30", [30])
    cities = ("Oslo", "Rome", "Lima", "(missing)", "a\0b", "x" * 10_001, None, 1, 1.5, True, [], {})
    for age, city, other in itertools.product(ages, cities, ("Oslo", "Rome", "Lima", "a\0b", 1, None)):
        row = [age, city, other]
        assert _found(table, row) == _found(singly, [*row, True])
    rows = [[30, "Oslo", "Oslo"], [40.5, "Rome", "Oslo"]]
    assert table.encode(rows)[0].tolist() == [[30.0, 2.0, 1.0], [40.5, 3.0, 1.0]]
    with pytest.raises(Rejected, match="2 values do not fit this model"):
        table.encode([*rows, [30, "Oslo"]])


def test_categories_beyond_the_rule() -> None:
    ruled = Field("city", "category", ("Oslo", "Rome"), rule=RULE)
    matrix, warned = inputs(ruled).encode([["Bonn"]])
    assert matrix.tolist() == [[0.0]]
    assert warned == [["city: 'Bonn' was not seen in training."]]
    with pytest.raises(
        Rejected, match="city: 'Bonn' is not among the known values; allowed: one of Oslo, Rome"
    ):
        inputs(ruled, category="refuse").encode([["Bonn"]])


@pytest.mark.parametrize("value", ["a\0b", "x" * 10_001, [], {}, 10**400, True, 1.5])
def test_what_is_no_category_is_refused(value: Any) -> None:
    with pytest.raises(Rejected, match="city"):
        inputs(CITY, category="allow").encode([[value]])


def test_numbers_that_are_known_categories() -> None:
    code = Field("code", "category", ("1", "2.5"))
    assert inputs(code, category="allow").encode([[1], [2.5], [1.0], ["1"]])[0].tolist() == [
        [1.0], [2.0], [1.0], [1.0],
    ]  # fmt: skip


@pytest.mark.parametrize("value", [0, 1, "true", "", 1.0, []])
def test_a_boolean_is_true_or_false(value: Any) -> None:
    assert inputs(MEMBER).encode([[True], [False]])[0].tolist() == [[1.0], [0.0]]
    with pytest.raises(Rejected, match="allowed: true or false"):
        inputs(MEMBER).encode([[value]])


def test_times_are_hour_weekday_month_and_day_of_the_year() -> None:
    moments = [
        ["2026-02-01T13:30:00"],
        ["2026-02-01T13:30:00Z"],
        ["2026-02-01T00:30:00+02:00"],
        ["2026-02-01"],
    ]
    assert inputs(AT).encode(moments)[0].tolist() == [
        [13, 6, 2, 32], [13, 6, 2, 32], [22, 5, 1, 31], [0, 6, 2, 32],
    ]  # fmt: skip
    rome = Field("at", "time[Europe/Rome]")
    assert inputs(rome).encode(moments[:2])[0].tolist() == [[13, 6, 2, 32], [14, 6, 2, 32]]


@pytest.mark.parametrize(
    "value", [1770000000, "soon", "", "2026-13-01", True, "0001-01-01T00:00:00+14:00", "9" * 99]
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(Rejected, match="allowed: an ISO 8601 time"):
        inputs(Field("at", "time[Pacific/Honolulu]")).encode([[value]])


def test_an_original_takes_the_values_themselves() -> None:
    raw = Field("city", "category", nullable=True)
    known = inputs(AGE, raw, layout="columns", category="allow")
    assert known.encode([[30, "Bonn"], [31, None]]) == (None, None)
    with pytest.raises(Rejected, match=r"^age: 'x' is no number"):
        known.encode([["x", "Bonn"]])


def test_no_policy_lets_through_what_the_model_cannot_take() -> None:
    strict = Field("age", "number", nullable=True, rule=ColumnRule("age", max_missing=0.0))
    with pytest.raises(Rejected, match=r"^age: null is missing"):
        inputs(strict, missing="allow").encode([[None]])


def test_nothing_is_told_of_a_masked_field() -> None:
    city = Field(
        "city", "category", levels=("Oslo",), rule=ColumnRule("city", allowed=("Oslo",), severity="warning")
    )
    age = Field("age", "number", rule=ColumnRule("age", minimum=0, maximum=99, severity="warning"))
    form = Form("onnx", "", "regression", (), (city, age))
    _, warned = Inputs(form, InputPolicy(), {"city", "age"}).encode([["Secretville", 7_777]])
    assert warned is not None
    assert "Secretville" not in str(warned)
    assert "7777" not in str(warned)
    with pytest.raises(Rejected) as caught:
        Inputs(form, InputPolicy(category="refuse", range="refuse"), {"city", "age"}).encode(
            [["Secretville", "x9"]]
        )
    told = str([vars(one) for one in caught.value.wrong])
    assert "Secretville" not in told
    assert "Oslo" not in told
    assert "x9" not in told


def test_where_nothing_is_known_of_a_field_it_takes_any_plain_value() -> None:
    unknown = inputs(Field("x", "any"), layout="columns")
    for value in (1, 2.5, "a", True, None):
        assert unknown.encode([[value]]) == (None, None)
    for value in ([1], {}, 10**400, float("inf")):
        with pytest.raises(Rejected, match=r"^x: .*is no plain value"):
            unknown.encode([[value]])


def test_rows_are_named_in_batches_only() -> None:
    with pytest.raises(Rejected, match=r"^age: 'x' is no number"):
        inputs(AGE).encode([["x"]])
    with pytest.raises(Rejected, match=r"^age in row 1: 'x' is no number"):
        inputs(AGE).encode([[1], ["x"]])
    with pytest.raises(Rejected, match=r"^features in row 1: 2 values do not fit"):
        inputs(AGE).encode([[1], [1, 2]])


def test_all_that_is_wrong_is_told_up_to_a_limit() -> None:
    with pytest.raises(Rejected) as caught:
        inputs(AGE, CITY).encode([["x", []]])
    assert [one.field for one in caught.value.wrong] == ["age", "city"]
    assert "And 1 more." in str(caught.value)
    with pytest.raises(Rejected) as caught:
        inputs(AGE).encode([["x"]] * 5000)
    assert len(caught.value.wrong) == 20


def test_rows_by_name() -> None:
    found = inputs(AGE, CITY)
    assert found.ordered({"city": "Rome", "age": 1}) == ([1, "Rome"], [])
    assert found.ordered({"city": "Rome"}) == ([None, "Rome"], [])
    with pytest.raises(
        Rejected, match="town: a value was given, but is no input of this model; allowed: age, city"
    ):
        found.ordered({"town": "x"})
    row, warned = inputs(AGE, CITY, extra="warn").ordered({"town": "x", "age": 1})
    assert row == [1, None]
    assert len(warned) == 1
    assert inputs(AGE, extra="allow").ordered({"town": "x", "age": 1}) == ([1], [])


def test_thousands_of_unknown_names_are_told_briefly() -> None:
    with pytest.raises(Rejected) as caught:
        inputs(AGE).ordered({f"{'x' * 500}{number}": number for number in range(5000)})
    assert len(caught.value.wrong) == 20
    assert len(str(caught.value)) < 500
