"""A table against a contract, by real Pandera."""

from __future__ import annotations

import datetime as dt
import decimal
import time

import numpy as np
import pyarrow as pa
import pytest

from everloop.core.contracts import ColumnRule, Contract
from everloop.core.errors import DuplicateColumns, InvalidSettings
from everloop.validation.checking import check


def findings(columns, *rules, **contract):
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    return check(table, Contract(columns=rules, **contract)).findings


def only(columns, *rules, **contract):
    [finding] = findings(columns, *rules, **contract)
    return finding


def test_good_data_pass_and_the_verdict_says_of_what():
    rule = ColumnRule("x", type="number", minimum=0, maximum=9, max_missing=0.5, unique=True)
    contract = Contract(columns=(rule,), expressions=("x >= 0",), origin="inferred:abc")
    verdict = check(pa.table({"x": [1, 2, None]}), contract)
    assert (verdict.passed, verdict.rows, verdict.origin, verdict.findings) == (True, 3, "inferred:abc", ())


def test_a_value_under_the_minimum_is_found_with_row_value_and_limit():
    finding = only({"distance": [5, -3, 7, -8]}, ColumnRule("distance", minimum=0))
    assert (finding.rule, finding.column, finding.severity) == ("minimum", "distance", "error")
    assert (finding.failed_rows, finding.rows, finding.values) == (2, (1, 3), ("-3", "-8"))
    assert finding.message == "'distance' is under its minimum 0 in 2 of 4 rows; the first is row 1: -3."


def test_bounds_themselves_are_allowed():
    assert not findings({"x": [0, 10]}, ColumnRule("x", minimum=0, maximum=10))


def test_row_numbers_count_rows_that_miss_values_and_only_ten_are_listed():
    finding = only({"x": [None, *range(20)]}, ColumnRule("x", maximum=-1))
    assert finding.failed_rows == 20
    assert finding.rows == tuple(range(1, 11))
    assert finding.values[0] == "0"


def test_values_that_are_not_allowed():
    finding = only({"carrier": ["UA", "XX", None, "YY"]}, ColumnRule("carrier", allowed=("AA", "UA")))
    assert (finding.failed_rows, finding.values) == (2, ("XX", "YY"))
    assert "none of the 2 allowed values (AA, UA) in 2 of 4 rows; the first is row 1: XX" in finding.message


@pytest.mark.parametrize(
    ("values", "allowed", "failed"),
    [
        (pa.array([1, 2, None, 3]), ("1", "2"), 1),
        (pa.array([1.0, 2.5]), ("1", "nan"), 1),
        (pa.array([1.0, 2.5]), ("one", "1"), 1),
        (pa.array([True, None, False]), ("true",), 1),
        (pa.array(["a", "b"]).dictionary_encode(), ("a",), 1),
        (pa.array(["a", "b"], pa.large_string()), ("a",), 1),
    ],
)
def test_allowed_values_are_compared_as_the_columns_type(values, allowed, failed):
    assert only({"x": values}, ColumnRule("x", allowed=allowed)).failed_rows == failed


def test_all_rows_that_share_a_value_break_uniqueness():
    finding = only({"id": [7, 8, 7, None, None]}, ColumnRule("id", unique=True))
    assert (finding.failed_rows, finding.rows) == (2, (0, 2))


def test_large_identifiers_stay_exact_where_values_are_missing():
    assert not findings({"id": [2**53, 2**53 + 1, None]}, ColumnRule("id", unique=True))


def test_severity_is_of_values_and_warnings_do_not_fail_a_table():
    rule = ColumnRule("x", minimum=0, maximum=1, allowed=("0", "1"), unique=True, severity="warning")
    verdict = check(pa.table({"x": [-1, 5, 5]}), Contract(columns=(rule,)))
    assert verdict.passed
    assert {f.rule for f in verdict.findings} == {"minimum", "maximum", "allowed", "unique"}
    assert not verdict.errors


def test_missing_types_and_missing_values_are_errors_whatever_the_severity_and_come_first():
    rules = (
        ColumnRule("x", maximum=0, severity="warning"),
        ColumnRule("gone", severity="warning"),
        ColumnRule("text", type="number", severity="warning"),
        ColumnRule("holes", max_missing=0.5, severity="warning"),
    )
    found = findings({"x": [1, 1, 1], "text": ["a", "b", "c"], "holes": [None, 1, None]}, *rules)
    assert [(f.rule, f.severity) for f in found] == [
        ("required", "error"),
        ("type", "error"),
        ("max_missing", "error"),
        ("maximum", "warning"),
    ]


def test_a_missing_column_names_the_nearest_and_an_optional_one_is_not_missed():
    finding = only({"carier": ["UA"]}, ColumnRule("carrier"), ColumnRule("note", required=False))
    assert finding.message == "The column 'carrier' is not in the table. Did you mean 'carier'?"


def test_too_much_missing_tells_both_shares_and_nan_counts():
    finding = only({"x": pa.array([1.0, None, float("nan"), 2.0])}, ColumnRule("x", max_missing=0.25))
    assert (finding.failed_rows, finding.rows) == (2, (1, 2))
    assert finding.message == "50.0% of 'x' is missing (2 of 4 rows); at most 25.0% may be."


def test_exactly_the_share_that_may_be_missing_passes():
    assert not findings({"x": [1, None]}, ColumnRule("x", max_missing=0.5))


@pytest.mark.parametrize(
    ("asked", "values"),
    [
        ("int64", pa.array([1.5, None])),
        ("float64", pa.array([1, 2])),
        ("number", pa.array([1], pa.uint8())),
        ("number", pa.array([decimal.Decimal("1.5")])),
        ("decimal[4,2]", pa.array([1.0])),
        ("string", pa.array(["a"], pa.large_string())),
        ("string", pa.array(["a"]).dictionary_encode()),
        ("ordered<string>", pa.array(["a"])),
        ("timestamp[UTC]", pa.array([0], pa.timestamp("ms"))),
        ("time", pa.array([dt.date(2020, 1, 1)])),
        ("boolean", pa.array([True])),
        ("bool", pa.array([None, False])),
        ("number", pa.nulls(3)),
        ("list<int64>", pa.array([[1], [2]])),
        ("binary", pa.array([b"x"], pa.large_binary())),
    ],
)
def test_types_of_one_family_stand_in_for_each_other(asked, values):
    assert not findings({"x": values}, ColumnRule("x", type=asked))


@pytest.mark.parametrize(
    ("asked", "values", "actual"),
    [
        ("int64", pa.array(["1"]), "string"),
        ("number", pa.array([True]), "bool"),
        ("string", pa.array([1]), "int64"),
        ("time", pa.array(["2020-01-01"]), "string"),
        ("number", pa.array([0], pa.timestamp("s", "UTC")), "timestamp[UTC]"),
        ("number", pa.array([[1.0]]), "list<item: double>"),
    ],
)
def test_another_family_is_an_error_and_its_values_are_not_judged(asked, values, actual):
    rule = ColumnRule("x", type=asked, minimum=5, maximum=6)
    finding = only({"x": values}, rule, expressions=("x > 3",))
    assert finding.message == f"'x' is {actual}; the contract asks for {asked}."


def test_times_are_bounded_in_seconds_since_1970_and_shown_as_times():
    times = pa.array([0, 10**9], pa.timestamp("s", "Europe/Paris"))
    finding = only({"at": times}, ColumnRule("at", type="time", minimum=1e6))
    assert finding.rows == (0,)
    assert "is under its minimum 1970-01-12 13:46:40 in 1 of 2 rows" in finding.message
    days = pa.array([dt.date(1970, 1, 1), dt.date(2020, 1, 1)])
    assert only({"day": days}, ColumnRule("day", maximum=1e9)).values == ("2020-01-01",)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (pa.array(["a"]), ColumnRule("x", minimum=1)),
        (pa.array([[1]]), ColumnRule("x", maximum=1)),
        (pa.array([0], pa.timestamp("s")), ColumnRule("x", allowed=("a",))),
    ],
)
def test_rules_that_make_no_sense_for_the_type_are_told_as_errors(values, rule):
    finding = only({"x": values}, rule)
    assert finding.severity == "error"
    assert finding.message.startswith("'x' is ")


def test_a_row_rule_shows_the_values_of_its_columns():
    table = {"dep": [1, 5, None, 9], "arr": [2, 4, 1, 9], "note": ["a", "b", "c", "d"]}
    finding = only(table, expressions=("dep <= arr",))
    assert (finding.rule, finding.column, finding.failed_rows) == ("dep <= arr", "", 1)
    assert (
        finding.message
        == "The rule 'dep <= arr' does not hold in 1 of 4 rows; the first is row 1: dep=5, arr=4."
    )


def test_row_rules_read_times_in_utc_and_text_beside_numbers():
    table = {
        "at": pa.array([0, 10**9], pa.timestamp("s", "Europe/Paris")),
        "carrier": ["UA", "AA"],
        "price": [decimal.Decimal("1.50"), None],
    }
    finding = only(table, expressions=("at >= '2001-01-01' or carrier == 'AA' or price > 2",))
    assert finding.rows == (0,)


def test_a_row_rule_of_columns_that_do_not_fit_together_is_an_error_not_a_crash():
    finding = only({"carrier": ["UA"], "x": [1]}, expressions=("carrier > x",))
    assert finding.severity == "error"
    assert "The rule 'carrier > x' could not be checked" in finding.message


def test_row_rules_of_unknown_columns_are_refused_by_name():
    with pytest.raises(InvalidSettings, match=r"'dep <= ar' names the column 'ar'.*Did you mean 'arr'"):
        findings({"dep": [1], "arr": [2]}, expressions=("dep <= ar",))


def test_row_rules_of_columns_that_only_the_contract_knows_wait_for_them():
    finding = only({"dep": [1]}, ColumnRule("arr"), expressions=("dep <= arr",))
    assert finding.rule == "required"
    assert not findings({"dep": [1]}, ColumnRule("arr", required=False), expressions=("dep <= arr",))


def test_too_few_rows_and_tables_without_rows():
    assert only({"x": [1]}, min_rows=2).message == "The table has too few rows: 1; at least 2 are needed."
    empty = pa.table({"x": pa.array([], pa.int64())})
    rule = ColumnRule("x", minimum=1, max_missing=0.1, unique=True)
    assert only(empty, rule, expressions=("x > 1",)).rule == "min_rows"


def test_extra_columns_are_errors_only_when_asked():
    assert not findings({"x": [1], "y": [1]}, ColumnRule("x"))
    assert only({"x": [1], "y": [1]}, ColumnRule("x"), allow_extra_columns=False).rule == "extra_column"


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(DuplicateColumns, match="'x'"):
        findings(pa.table([[1], [2]], names=["x", "x"]))


def test_odd_column_names_and_chunked_tables():
    part = pa.table({"a b": [1, -2], "c0": [1, 1], "index": [1, 1]})
    rules = (ColumnRule("a b", minimum=0), ColumnRule("index", unique=True))
    found = findings(pa.concat_tables([part, part]), *rules, expressions=("`a b` <= c0 + index - 1",))
    assert {f.rule: f.rows for f in found} == {
        "minimum": (1, 3),
        "unique": (0, 1, 2, 3),
    }


def test_the_table_is_left_as_it_was():
    table = pa.table({"x": [3, None, 1]})
    check(table, Contract(columns=(ColumnRule("x", minimum=2),), expressions=("x > 2",)))
    assert table.equals(pa.table({"x": [3, None, 1]}))


def test_a_large_table_full_of_failures_takes_about_as_long_as_a_good_one():
    rows = 100_000
    rng = np.random.default_rng(0)
    table = pa.table(
        {f"x{i}": rng.normal(size=rows) for i in range(10)} | {"s": rng.choice(["a", "b"], rows)}
    )
    rules = [ColumnRule(f"x{i}", minimum=0, maximum=1, max_missing=0.1) for i in range(10)]
    started = time.process_time()
    found = findings(table, *rules, ColumnRule("s", allowed=("a",), unique=True), expressions=("x0 < x1",))
    assert len(found) == 23
    assert time.process_time() - started < 2
