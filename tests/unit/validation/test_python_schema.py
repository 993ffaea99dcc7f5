"""A table against a user's own Pandera schema."""

from __future__ import annotations

import pandera.pandas as pandera
import pyarrow as pa
import pytest
from pandera.typing import Series

from everloop.core.errors import InvalidSettings
from everloop.validation.python_schema import check_python

TABLE = pa.table({"distance": [5, -3, 7], "carrier": ["UA", "XX", "AA"]})
ORIGIN = "python:contracts.py:schema"


class Flights(pandera.DataFrameModel):
    distance: Series[int] = pandera.Field(ge=0)
    carrier: Series[str] = pandera.Field(isin=["UA", "AA"])


def test_a_model_passes_good_data():
    verdict = check_python(TABLE.take([0, 2]), Flights, ORIGIN)
    assert (verdict.passed, verdict.rows, verdict.origin, verdict.findings) == (True, 2, ORIGIN, ())


def test_a_model_tells_rule_row_and_value():
    verdict = check_python(TABLE, Flights, ORIGIN)
    assert not verdict.passed
    first, second = verdict.findings
    assert (first.column, first.failed_rows, first.rows, first.values) == ("distance", 1, (1,), ("-3",))
    assert first.message == (
        "'distance' breaks greater_than_or_equal_to(0) in 1 of 3 rows; the first is row 1: -3."
    )
    assert (second.column, second.values) == ("carrier", ("XX",))


def test_a_schema_object_reports_everything_it_checks():
    schema = pandera.DataFrameSchema(
        {
            "distance": pandera.Column(str),
            "gone": pandera.Column(),
            "carrier": pandera.Column(checks=pandera.Check(lambda s: s.nunique() < 2, name="few_carriers")),
        },
        checks=pandera.Check(lambda frame: frame["distance"] < 6, name="short_flights"),
        strict=True,
    )
    verdict = check_python(TABLE, schema, ORIGIN)
    told = {finding.rule: finding for finding in verdict.findings}
    assert "column_in_dataframe" in told
    assert told["few_carriers"].column == "carrier"
    assert told["short_flights"].rows == (2,)
    assert any("dtype" in rule for rule in told)
    assert all(finding.severity == "error" for finding in verdict.findings)


GAPS = pa.table({"age": [20.0, None], "sure": [True, None], "calls": [1, 2], "kept": [True, False]})


class Customers(pandera.DataFrameModel):
    age: Series[float] = pandera.Field(nullable=True)
    sure: Series[object] = pandera.Field(nullable=True)
    calls: Series[int]
    kept: Series[bool] = pandera.Field(nullable=True)


def test_what_a_model_is_asked_is_held_as_pandas_held_what_it_is_trained_on():
    assert check_python(GAPS, Customers, ORIGIN).passed
    asked = pa.table({"age": [20, 30], "sure": [True, False], "calls": [3, 4], "kept": [True, None]})
    told = check_python(asked, Customers, ORIGIN, inputs=asked.column_names, gaps=["age", "sure"])
    assert told.findings == ()  # a boolean that may be missing has no other type for it

    asked = asked.set_column(2, "calls", pa.array([None, 4]))
    told = check_python(asked, Customers, ORIGIN, inputs=asked.column_names, gaps=["age", "sure"])
    assert [(f.column, f.rule, f.rows) for f in told.findings] == [("calls", "not_nullable", (0,))]

    asked = asked.set_column(2, "calls", pa.array(["a", "b"])).set_column(0, "age", pa.array(["x", "y"]))
    told = check_python(asked, Customers, ORIGIN, inputs=asked.column_names, gaps=["age", "sure"])
    assert {f.column for f in told.findings} == {"age", "calls"}
    assert all("dtype" in f.rule for f in told.findings)


def test_missing_and_repeated_values():
    schema = pandera.DataFrameSchema({"x": pandera.Column(float), "id": pandera.Column(int, unique=True)})
    verdict = check_python(pa.table({"x": [1.0, None, 3.0], "id": [1, 2, 1]}), schema, ORIGIN)
    assert {f.column: f.rows for f in verdict.findings} == {"x": (1,), "id": (0, 2)}


def test_a_check_that_only_warns_is_a_warning():
    check = pandera.Check.ge(0, raise_warning=True)
    verdict = check_python(TABLE, pandera.DataFrameSchema({"distance": pandera.Column(checks=check)}), ORIGIN)
    assert verdict.passed
    assert [finding.severity for finding in verdict.findings] == ["warning"]


def test_a_check_that_crashes_is_an_error_of_the_data():
    check = pandera.Check(lambda s: s / "x", name="odd")
    verdict = check_python(TABLE, pandera.DataFrameSchema({"distance": pandera.Column(checks=check)}), ORIGIN)
    assert not verdict.passed
    assert "TypeError" in verdict.findings[0].message


def test_many_failures_are_counted_and_the_first_ten_listed_and_the_schema_is_left_alone():
    schema = pandera.DataFrameSchema({"x": pandera.Column(checks=pandera.Check.lt(0))})
    [finding] = check_python(pa.table({"x": list(range(5000))}), schema, ORIGIN).findings
    assert (finding.failed_rows, finding.rows) == (5000, tuple(range(10)))
    assert schema.columns["x"].checks[0].n_failure_cases is None


@pytest.mark.parametrize("schema", [dict, {"x": int}, None, pandera.Column(int)])
def test_what_is_no_schema_is_refused(schema):
    with pytest.raises(InvalidSettings, match=r"python:contracts\.py:schema is a"):
        check_python(TABLE, schema, ORIGIN)


def test_a_model_that_cannot_be_made_is_refused():
    class Wrong(pandera.DataFrameModel):
        x: Series[int]

        @pandera.check("y")
        def positive(cls, values):  # noqa: N805
            return values > 0

    with pytest.raises(InvalidSettings, match="cannot be used"):
        check_python(TABLE, Wrong, ORIGIN)
