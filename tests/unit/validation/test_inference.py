"""A contract read off a version: ordinary weeks pass, broken feeds do not."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from everloop.core.data import Column, ColumnStatistics, DatasetVersion
from everloop.validation.checking import check
from everloop.validation.inference import infer


def version_of(**columns: tuple[str, ColumnStatistics]) -> DatasetVersion:
    return DatasetVersion(
        dataset="flights",
        version_id="ab" * 32,
        sequence=1,
        rows=2000,
        columns=tuple(Column(name, kind) for name, (kind, _) in columns.items()),
        statistics={name: statistics for name, (_, statistics) in columns.items()},
        hash_algorithm="sha256",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        created_by="test",
        source="test",
    )


def rule_of(kind: str, **statistics):
    [rule] = infer(version_of(x=(kind, ColumnStatistics(**statistics)))).columns
    return rule


def test_the_origin_names_the_version():
    assert infer(version_of()).origin == "inferred:" + "ab" * 32


@pytest.mark.parametrize(
    ("count", "missing", "limit"),
    [(1000, 0, 0.02), (999, 0, 0.15), (978, 22, 0.216), (750, 250, 0.9), (600, 400, 0.95), (100, 900, None)],
)
def test_the_missing_share_is_limited_grossly(count, missing, limit):
    assert rule_of("float64", count=count, missing=missing, distinct=90).max_missing == limit


def test_numbers_may_leave_their_range_by_its_width_and_only_warn():
    rule = rule_of("float64", count=100, missing=0, distinct=90, minimum=-10.0, maximum=30.0)
    assert (rule.minimum, rule.maximum, rule.severity) == (-50.0, 70.0, "warning")


def test_a_constant_may_leave_by_its_own_size():
    rule = rule_of("int64", count=100, missing=0, distinct=1, minimum=2013.0, maximum=2013.0)
    assert (rule.minimum, rule.maximum) == (0.0, 4026.0)


def test_numbers_at_the_edge_of_doubles_get_no_bound_that_is_not_finite():
    rule = rule_of("float64", count=100, missing=0, distinct=2, minimum=-1.7e308, maximum=1.7e308)
    assert (rule.minimum, rule.maximum) == (None, None)


@pytest.mark.parametrize("kind", ["timestamp[UTC]", "date"])
def test_times_are_free(kind):
    rule = rule_of(kind, count=100, missing=0, distinct=90, minimum=0.0, maximum=1e9)
    assert (rule.type, rule.minimum, rule.maximum) == (kind, None, None)


def test_whole_numbers_that_look_like_identifiers_are_free_and_floats_are_not():
    seen = {"count": 100, "missing": 0, "distinct": 99, "minimum": 1.0, "maximum": 100.0}
    assert rule_of("int64", **seen).maximum is None
    assert rule_of("float64", **seen).maximum == 199.0


def test_few_levels_are_listed_and_many_or_mostly_different_ones_are_not():
    few = rule_of("string", count=100, missing=0, distinct=2, levels={"UA": 60, "AA": 40})
    assert (few.allowed, few.severity) == (("AA", "UA"), "warning")
    many = {f"t{i}": 20 for i in range(51)}
    assert rule_of("string", count=1020, missing=0, distinct=51, levels=many).allowed is None
    ids = {f"id{i}": 1 for i in range(10)}
    assert rule_of("string", count=10, missing=0, distinct=10, levels=ids).allowed is None
    cut = rule_of("string", count=1000, missing=0, distinct=3, levels={"a": 10, "b": 5})
    assert cut.allowed is None


def test_a_column_without_a_single_value_is_asked_for_and_nothing_else():
    empty = rule_of("null", count=0, missing=10, distinct=0)
    assert (empty.type, empty.required, empty.max_missing) == (None, True, None)
    assert rule_of("float64", count=0, missing=10, distinct=0).type == "float64"


LEVELS = {"UA": 900, "AA": 600, "DL": 500}
REFERENCE = version_of(
    delay=("float64", ColumnStatistics(1956, 44, 300, mean=5, std=30, minimum=-40, maximum=400)),
    distance=("int64", ColumnStatistics(2000, 0, 200, mean=1000, std=700, minimum=80, maximum=5000)),
    carrier=("string", ColumnStatistics(2000, 0, 3, levels=LEVELS)),
    at=("timestamp[UTC]", ColumnStatistics(2000, 0, 1900, minimum=0.0, maximum=1e6)),
)


def week(rng: np.random.Generator, rows: int = 500) -> dict:
    delay = rng.normal(10, 60, rows).round()
    return {
        "delay": pa.array(delay, mask=rng.random(rows) < 0.15),
        "distance": pa.array(rng.integers(60, 6000, rows).astype(float), mask=rng.random(rows) < 0.002),
        "carrier": pa.array(rng.choice(["UA", "AA", "DL", "NEW"], rows)),
        "at": pa.array(rng.integers(10**9, 2 * 10**9, rows), pa.timestamp("s", "UTC")),
        "extra": pa.array(np.arange(rows)),
    }


def test_ordinary_next_weeks_pass_with_at_most_warnings():
    contract = infer(REFERENCE)
    for seed in range(20):
        verdict = check(pa.table(week(np.random.default_rng(seed))), contract)
        assert verdict.passed, verdict.errors
        assert {finding.column for finding in verdict.findings} == {"carrier"}


@pytest.mark.parametrize("broken", ["gone", "text", "empty", "half"])
def test_broken_feeds_are_errors(broken):
    columns = week(np.random.default_rng(0))
    if broken == "gone":
        del columns["distance"]
    elif broken == "text":
        columns["distance"] = columns["distance"].cast(pa.string())
    elif broken == "empty":
        columns["distance"] = pa.nulls(500, pa.int64())
    else:
        columns["delay"] = pa.array(np.zeros(500), mask=np.arange(500) % 2 == 0)
    verdict = check(pa.table(columns), infer(REFERENCE))
    assert not verdict.passed
    assert {f.column for f in verdict.errors} == {"delay" if broken == "half" else "distance"}
