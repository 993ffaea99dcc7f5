"""Which rows tell whether the world moves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.runs import Recipe
from everloop.flows import worthwhile
from everloop.flows.fitted import About

BASE, NEW = 2_000, 3_000
RUN: Any = SimpleNamespace(features=("x", "seen_on"), task="regression")


def material(draw: np.random.Generator, time_column: str | None = None) -> Any:
    """A file that is sorted by a column, then rows of production that do not change."""
    x = np.concatenate([np.sort(draw.normal(size=BASE)), draw.normal(size=NEW)])
    days = np.arange(BASE + NEW).astype("timedelta64[h]") + np.datetime64("2026-01-01")
    table = pa.table({"x": x, "seen_on": days.astype("datetime64[us]"), "y": draw.normal(size=BASE + NEW)})
    return SimpleNamespace(
        table=table,
        labelled=np.ones(BASE + NEW, dtype=bool),
        model=SimpleNamespace(time_column=time_column, target="y"),
        recipe=Recipe("y"),
        truth=lambda run, rows: table.column("y").to_numpy()[rows],
        had=lambda run: np.arange(BASE + NEW) < BASE,
    )


def moves(material: Any, known: About) -> Any:
    return worthwhile._moves(material, RUN, known)


def test_the_order_of_a_file_says_nothing() -> None:
    draw = np.random.default_rng(0)
    at = np.concatenate([np.zeros(BASE), np.arange(NEW) * 3_600.0])
    found = moves(material(draw), About(times=at))
    assert found.rows == NEW - 1
    assert not found.sure
    assert moves(material(draw), About()) is None


def test_a_column_of_times_does() -> None:
    found = moves(material(np.random.default_rng(0), "seen_on"), About())
    assert (found.rows, found.column) == (BASE + NEW, "x")
    assert found.sure


def test_rows_that_are_there_because_of_an_answer_say_nothing() -> None:
    draw = np.random.default_rng(0)
    judges = np.arange(BASE + NEW) >= BASE
    found = moves(material(draw, "seen_on"), About(judges=judges))
    assert found.rows == NEW
    assert not found.sure
