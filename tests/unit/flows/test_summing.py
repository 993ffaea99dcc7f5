"""What many predictions were like, however they come."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from everloop.flows.serving.summing import ModelSummary

SAME = [{"age": 30, "city": "Oslo"}, {"city": "Rome", "age": 40.5}, {"age": None, "city": "Oslo"}]
MORE = {"age": 50, "city": "Rome", "member": True}
VARIED: list[dict[str, Any]] = [
    {"age": 30, "city": "Oslo"},
    {"age": True, "member": False},
    {"city": ["a"], "age": {"b": 1}},
    {"age": 1e999, "city": "x" * 150},
    {"age": 10**400, "city": "x" * 150 + "y"},
    {"age": "***", "city": "sha256:00"},
    {},
]


@pytest.mark.parametrize(
    "rows", [SAME, VARIED, SAME + VARIED, [*SAME, MORE], [{"age": 1.0}, {"age": 2}], [{}]]
)
def test_all_at_once_is_as_one_by_one(rows: list[dict[str, Any]]) -> None:
    together, singly = ModelSummary(), ModelSummary()
    together.add(list(rows), ["yes"] * len(rows))
    for row in rows:
        singly.add([row], ["yes"])
    assert together == singly


def test_numbers_that_do_not_add_up_are_counted_in_silence() -> None:
    summary = ModelSummary()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary.add([{"age": 1e308}] * 3, ["yes"] * 3)
    assert (summary.fields["age"].numbers, summary.fields["age"].maximum) == (3, 1e308)


def test_what_is_counted() -> None:
    summary = ModelSummary()
    summary.add(list(VARIED), ["yes"] * 6 + [1.5])
    age, city = summary.fields["age"], summary.fields["city"]
    assert (age.count, age.missing, age.numbers, age.total, age.other) == (6, 1, 1, 30.0, 4)
    assert age.levels == {"true": 1}
    assert (city.count, city.missing, city.other) == (5, 2, 2)
    assert city.levels == {"Oslo": 1, "x" * 100: 2}  # a level is its first hundred characters
    assert summary.fields["member"].levels == {"false": 1}
    assert (summary.predictions.levels, summary.predictions.total) == ({"yes": 6}, 1.5)
