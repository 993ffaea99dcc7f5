"""Contracts in YAML form, there and back."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.contracts import ColumnRule, Contract
from everloop.core.errors import InvalidSettings
from everloop.validation.settings_form import contract_from_mapping, contract_to_mapping


def test_the_written_form_is_read():
    contract = contract_from_mapping(
        {
            "min_rows": 100,
            "columns": {
                "distance": {"type": "number", "minimum": 0, "maximum": 6000, "max_missing": 0.01},
                "carrier": {"type": "string", "allowed": ["UA", "AA"], "severity": "warning"},
                "id": {"unique": True},
                "note": None,
                "late": {"allowed": [True, 1, 0.5]},
            },
            "rules": ["dep_time <= arr_time"],
        }
    )
    assert contract == Contract(
        columns=(
            ColumnRule("distance", type="number", minimum=0, maximum=6000, max_missing=0.01),
            ColumnRule("carrier", type="string", allowed=("UA", "AA"), severity="warning"),
            ColumnRule("id", unique=True),
            ColumnRule("note"),
            ColumnRule("late", allowed=("true", "1", "0.5")),
        ),
        expressions=("dep_time <= arr_time",),
        min_rows=100,
        origin="settings",
    )


def test_nothing_written_asks_for_one_row():
    assert contract_from_mapping({}) == Contract()


def test_dates_bound_times():
    given_dates = {"minimum": dt.date(2013, 1, 1), "maximum": dt.datetime(2014, 1, 1, 12)}
    [rule] = contract_from_mapping({"columns": {"at": given_dates}}).columns
    assert (rule.minimum, rule.maximum) == (1356998400.0, 1388577600.0)


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"colums": {}}, "'colums'. Did you mean 'columns'"),
        (
            {"columns": {"x": {"minimun": 1}}},
            "contract.columns.x has no setting 'minimun'. Did you mean 'minimum'",
        ),
        ({"columns": {"x": {"name": "y"}}}, "no setting 'name'"),
        ({"columns": {"x": {"type": "nubmer"}}}, "no column type 'nubmer'. Did you mean 'number'"),
        ({"columns": {"x": {"type": 3}}}, "contract.columns.x.type is 3"),
        ({"columns": {"x": {"max_missing": 5}}}, "x.max_missing is 5. It must be a share from 0 to 1"),
        ({"columns": {"x": {"max_missing": True}}}, "x.max_missing is True"),
        ({"columns": {"x": {"minimum": "low"}}}, "x.minimum is 'low'"),
        ({"columns": {"x": {"maximum": float("inf")}}}, "x.maximum is inf"),
        ({"columns": {"x": {"minimum": float("nan")}}}, "x.minimum is nan"),
        (
            {"columns": {"x": {"minimum": 2, "maximum": 1}}},
            "x.minimum is 2. It must be at most the maximum, 1",
        ),
        ({"columns": {"x": {"type": "string", "minimum": 2}}}, "x is a string and has a minimum"),
        ({"columns": {"x": {"allowed": []}}}, "x.allowed is []"),
        ({"columns": {"x": {"allowed": "UA"}}}, "x.allowed is 'UA'"),
        ({"columns": {"x": {"allowed": [None]}}}, "x.allowed is [None]"),
        ({"columns": {"x": {"severity": "fatal"}}}, "x.severity is 'fatal'"),
        ({"columns": {"x": {"unique": "yes"}}}, "x.unique is 'yes'"),
        ({"columns": {"x": "number"}}, "contract.columns.x is 'number'"),
        ({"columns": ["x"]}, "contract.columns is ['x']"),
        ({"min_rows": -1}, "contract.min_rows is -1"),
        ({"min_rows": 1.5}, "contract.min_rows is 1.5"),
        ({"allow_extra_columns": "no"}, "contract.allow_extra_columns is 'no'"),
        ({"rules": "a > 1"}, "contract.rules is 'a > 1'"),
        ({"rules": ["a >"]}, "'a >' cannot be used"),
        ([], "contract is []"),
    ],
)
def test_mistakes_are_told_with_place_and_value(mapping, told):
    with pytest.raises(InvalidSettings) as error:
        contract_from_mapping(mapping)
    assert told in str(error.value)


_numbers = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def _rules(draw):
    low, high = draw(_numbers), draw(_numbers)
    if low is not None and high is not None and low > high:
        low, high = high, low
    kinds = [None, "number", "float64", "timestamp[UTC]", "decimal[10,2]"]
    kinds += ["string"] if (low, high) == (None, None) else []
    return ColumnRule(
        name=draw(st.text(min_size=1, max_size=5)),
        type=draw(st.sampled_from(kinds)),
        required=draw(st.booleans()),
        max_missing=draw(st.one_of(st.none(), st.floats(0, 1))),
        minimum=low,
        maximum=high,
        allowed=draw(st.one_of(st.none(), st.lists(st.text(max_size=3), min_size=1).map(tuple))),
        unique=draw(st.booleans()),
        severity=draw(st.sampled_from(["error", "warning"])),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_rules(), max_size=4, unique_by=lambda rule: rule.name),
    st.sampled_from([(), ("a > 1", "`b c` in ['x']")]),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_what_is_written_out_reads_back_the_same(columns, rules, min_rows, extra):
    contract = Contract(tuple(columns), rules, min_rows, extra)
    assert contract_from_mapping(contract_to_mapping(contract)) == contract


def test_only_what_is_asked_is_written():
    contract = Contract((ColumnRule("x", minimum=1.0),), origin="inferred:abc")
    assert contract_to_mapping(contract) == {"min_rows": 1, "columns": {"x": {"minimum": 1.0}}}
