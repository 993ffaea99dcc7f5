"""What comes out of the preparation, for every kind of column and however a later table brings it."""

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from tests.unit.training.frames import customers, table

from everloop.core.errors import AllMissing, InvalidSettings, UnknownColumn, WrongType
from everloop.core.runs import Preparation, Recipe
from everloop.training.preparation import ColumnTypes, kind_of, prepare, sources

FEATURES = ["age", "visits", "plan", "active", "since"]


def prepared(estimator: Any = None, **preparation: Any) -> tuple[Any, np.ndarray, list[str]]:
    frame = customers()
    recipe = Recipe("churn", preparation=Preparation(**preparation))
    fitted = prepare(frame, FEATURES, recipe, estimator).fit(frame)
    out = fitted.transform(frame)
    return fitted, out.toarray() if sparse.issparse(out) else out, sources(fitted)


def test_linear_estimators_get_scaled_complete_numbers_and_one_hot_categories() -> None:
    _, out, names = prepared(LogisticRegression())
    assert np.isfinite(out).all()
    assert [names.count(f) for f in FEATURES] == [2, 1, 4, 2, 4]  # value and indicator; levels and missing
    visits = out[:, names.index("visits")]
    assert abs(visits.mean()) < 1e-9
    assert visits.std() == pytest.approx(1)
    plan = out[:, [i for i, name in enumerate(names) if name == "plan"]]
    assert (plan.sum(axis=1) == 1).all()


def test_trees_get_numbers_as_they_are_and_codes() -> None:
    frame = customers()
    _, out, names = prepared(RandomForestClassifier())
    assert np.isfinite(out).all()
    assert (out[:, names.index("visits")] == frame["visits"]).all()
    assert set(out[:, names.index("plan")]) == {1, 2, 3, 4}


def test_trees_that_take_missing_values_get_them() -> None:
    frame = customers()
    _, out, names = prepared(HistGradientBoostingClassifier())
    assert names[:1] == ["age"]
    assert len(names) == len(FEATURES) + 3  # a time is four numbers
    assert np.array_equal(np.isnan(out[:, names.index("age")]), frame["age"].isna())
    assert np.array_equal(np.isnan(out[:, names.index("active")]), frame["active"].isna())


@pytest.mark.parametrize(("way", "value"), [("median", 3.0), ("mean", 4.0), ("zero", 0.0)])
def test_numbers_are_imputed_from_training_rows(way: Any, value: float) -> None:
    frame = pd.DataFrame({"x": [1.0, 3.0, 8.0, None]})
    recipe = Recipe("y", preparation=Preparation(numeric_missing=way, scale=False))
    out = prepare(frame, ["x"], recipe).fit_transform(frame)
    assert out.tolist() == [[1, 0], [3, 0], [8, 0], [value, 1]]


def test_keep_needs_an_estimator_that_takes_missing_values() -> None:
    prepared(HistGradientBoostingClassifier(), numeric_missing="keep")
    with pytest.raises(InvalidSettings, match="numeric_missing is 'keep'"):
        prepared(LogisticRegression(), numeric_missing="keep")


def codes(training: list[Any], later: list[Any], most: int = 40, least: int = 1) -> list[float]:
    types = ColumnTypes({"c": "category"}, most, least).fit(pd.DataFrame({"c": training}))
    return list(types.transform(pd.DataFrame({"c": later}))["c"])


def test_rare_and_unseen_categories_share_one_code() -> None:
    training = ["a"] * 10 + ["b"] * 9 + ["c"] * 8 + ["d"]
    assert codes(training, ["a", "b", "c", "d", "new"], least=2) == [1, 2, 3, 0, 0]
    assert codes(training, ["a", "b", "c", "d", "new"], most=2) == [1, 2, 0, 0, 0]
    assert codes(training, ["a", "d"], least=99) == [0, 0]


@pytest.mark.parametrize("absent", [None, np.nan, pd.NA])
def test_missing_categories_are_a_level_however_they_are_written(absent: Any) -> None:
    assert codes(["x", None, "z"], [absent, "x", "z"]) == [1, 2, 3]
    assert codes(["x", "z"], [absent, "x"]) == [0, 1]


def test_categories_do_not_depend_on_the_dtype_of_a_table() -> None:
    training = ["3", "12", None]
    assert codes(training, [3, 12]) == codes(training, [3.0, 12.0]) == codes(training, ["3", "12"]) == [3, 2]
    frame = pd.DataFrame({"c": pd.Categorical(["12", None, "3"])})
    types = ColumnTypes({"c": "category"}, 40, 1).fit(pd.DataFrame({"c": training}))
    assert list(types.transform(frame)["c"]) == [2, 1, 3]


def test_the_levels_kept_among_equally_frequent_ones_do_not_depend_on_their_order() -> None:
    assert (
        codes(list("abcd"), list("abcd"), most=2) == codes(list("dcba"), list("abcd"), most=2) == [1, 2, 0, 0]
    )


def moments(values: Any, zone: str = "time") -> list[list[float]]:
    out = ColumnTypes({"t": zone}).fit_transform(pd.DataFrame({"t": values}))
    assert list(out.columns) == ["t.hour", "t.weekday", "t.month", "t.day_of_year"]
    return out.to_numpy().tolist()


def test_a_time_becomes_hour_weekday_month_and_day_of_the_year() -> None:
    assert moments([pd.Timestamp("2024-02-29 17:30")]) == [[17, 3, 2, 60]]
    assert moments([dt.date(2024, 12, 31)]) == [[0, 1, 12, 366]]
    assert moments(["2024-02-29T17:30:00"]) == [[17, 3, 2, 60]]
    assert np.isnan(moments([pd.NaT, pd.Timestamp("2024-01-01")])[0]).all()
    assert np.isnan(moments([None, None])).all()


def test_times_are_read_in_the_zone_of_training() -> None:
    late = pd.Series([pd.Timestamp("2024-07-01 02:00", tz="UTC")])
    assert moments(late, "time[America/New_York]") == [[22, 6, 6, 182]]
    assert moments(late.dt.tz_convert("Asia/Tokyo"), "time[America/New_York]") == [[22, 6, 6, 182]]
    assert moments(late.dt.tz_localize(None), "time[America/New_York]") == [[2, 0, 7, 183]]
    assert moments(["2024-07-01"], "time[America/New_York]") == [[0, 0, 7, 183]]
    assert moments(["2024-07-01 02:00-04"], "time[America/New_York]") == [[2, 0, 7, 183]]
    assert moments(["2024-07-01T02:00:00Z"], "time[UTC]") == [[2, 0, 7, 183]]
    assert moments(["2024-07-01T02:00:00Z", "2024-07-01T04:00:00+02:00"], "time[UTC]") == [[2, 0, 7, 183]] * 2


def test_a_text_that_is_no_time_is_told_in_one_sentence_of_ours() -> None:
    with pytest.raises(WrongType) as refused:
        moments(["2024-07-01", "not a date"])
    assert "not a date" in refused.value.message
    assert refused.value.message.count(".") == 1
    assert "format=" not in refused.value.message


def numbers(values: Any) -> list[float]:
    return list(ColumnTypes({"x": "number"}).fit_transform(pd.DataFrame({"x": values}))["x"])


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        [1.0, 2.0],
        ["1", "2"],
        pd.array([1, 2], dtype="Int64"),
        [decimal.Decimal(1), decimal.Decimal(2)],
        pd.to_timedelta([1, 2], "s"),
        pd.Series([1, 2], dtype="int8"),
        pd.Categorical([1, 2]),
    ],
)
def test_numbers_come_in_many_types(values: Any) -> None:
    assert numbers(values) == [1, 2]


@pytest.mark.parametrize(
    "values", [[None, None], [np.inf, -np.inf], [1e300, None], pd.array([None] * 2, "Int64")]
)
def test_numbers_that_no_tree_can_take_are_missing(values: Any) -> None:
    assert np.isnan(numbers(values)).all()


def test_booleans_come_in_many_types() -> None:
    for values in ([True, False], pd.array([True, False], dtype="boolean"), [1, 0], [1.0, 0.0]):
        out = ColumnTypes({"x": "boolean"}).fit_transform(pd.DataFrame({"x": values}))
        assert list(out["x"]) == [1, 0]


def test_values_that_cannot_be_converted_are_named() -> None:
    with pytest.raises(WrongType, match=r"'x'.*'tall'"):
        numbers([1, "tall"])
    with pytest.raises(WrongType, match=r"'t'.*soon"):
        moments(["soon"])
    with pytest.raises(UnknownColumn, match="'x' is missing"):
        ColumnTypes({"x": "number"}).transform(pd.DataFrame({"y": [1]}))


ARROW = {
    "number": [
        pa.array([1, None]), pa.array([1.5, None]), pa.array([1, None], pa.uint8()),
        pa.array([decimal.Decimal("1.50"), None]), pa.array([5, None], pa.duration("us")),
        pa.array([1, 2]), pa.array([1.5, None], pa.float32()),
    ],
    "boolean": [pa.array([True, None]), pa.array([True, False])],
    "category": [
        pa.array(["a", None]), pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", None]).dictionary_encode(),
    ],
    "time": [
        pa.array([1, None], pa.timestamp("us")), pa.array([1, None], pa.date32()), pa.array([1], pa.date64()),
    ],
    "time[UTC]": [pa.array([1, None], pa.timestamp("ns", tz="UTC"))],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "array"), [(kind, array) for kind in ARROW for array in ARROW[kind]], ids=str
)
def test_columns_of_arrow_tables_are_told_apart(kind: str, array: pa.Array) -> None:
    for options in ({}, {"date_as_object": False}):
        frame = pa.table({"c": array}).to_pandas(**options)
        assert kind_of(frame["c"]) == kind
        prepare(frame, ["c"], Recipe("y")).fit_transform(frame)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1], [2]]), pa.array([{"a": 1}, {"a": 2}]), pa.array([b"x", b"y"]),
        pa.array([dt.time(1), dt.time(2)]),
    ],
    ids=str,
)  # fmt: skip
def test_nested_binary_and_other_columns_are_refused(array: pa.Array) -> None:
    frame = pa.table({"c": array}).to_pandas()
    with pytest.raises(WrongType, match=r"'c'.*leave it out"):
        prepare(frame, ["c"], Recipe("y"))


@pytest.mark.parametrize("array", [pa.nulls(3), pa.nulls(3, pa.string()), pa.array([np.nan] * 3)], ids=str)
def test_a_feature_without_values_is_refused(array: pa.Array) -> None:
    frame = pa.table({"c": array, "d": [1, 2, 3]}).to_pandas()
    with pytest.raises(AllMissing, match="'c' has no values"):
        prepare(frame, ["c", "d"], Recipe("y"))


@pytest.mark.parametrize("estimator", [LogisticRegression(), RandomForestClassifier()])
def test_a_column_without_values_in_the_training_rows_only_is_no_trouble(estimator: Any) -> None:
    frame = customers()
    frame.loc[:299, ["age", "active", "plan", "since"]] = None
    fitted = prepare(frame, FEATURES, Recipe("churn"), estimator).fit(frame.iloc[:300])
    out = fitted.transform(frame)
    assert np.isfinite(out.toarray() if sparse.issparse(out) else out).all()
    assert out.shape[1] == len(sources(fitted))


@pytest.mark.parametrize("estimator", [LogisticRegression(), RandomForestClassifier(), None])
def test_pandas_frames_and_arrow_tables_give_the_same(estimator: Any) -> None:
    frame = customers()
    recipe = Recipe("churn")
    direct = prepare(frame, FEATURES, recipe, estimator).fit_transform(frame)
    back = table(frame).to_pandas()
    through = prepare(back, FEATURES, recipe, estimator).fit_transform(back)
    assert abs(direct - through).max() == 0


def test_missing_values_first_seen_after_training_are_imputed() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "b": [True, True, False]})
    fitted = prepare(frame, ["x", "b"], Recipe("y", preparation=Preparation(scale=False))).fit(frame)
    assert fitted.transform(pd.DataFrame({"x": [None], "b": [None]})).tolist() == [[2, 1]]
