"""Each way in which a feed breaks is found and named."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.monitoring import feeds

from everloop.core.monitoring import Result
from everloop.monitoring import checks, faults, reference, stretches, texture, windows
from everloop.monitoring import swapped as swaps

Break = Callable[[Any, pa.Table], pa.Table]
DAY = 86_400.0


def put(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def numbers(table: pa.Table, name: str) -> Any:
    return table.column(name).to_numpy().astype(float).copy()


def unit(name: str, factor: float, offset: float = 0.0, start: float = 0.0) -> Break:
    def broken(rng: Any, table: pa.Table) -> pa.Table:
        values = numbers(table, name)
        late = slice(int(start * values.size), None)
        values[late] = factor * values[late] + offset
        return put(table, name, values)

    return broken


def some(name: str, value: Any, share: float) -> Break:
    def broken(rng: Any, table: pa.Table) -> pa.Table:
        there = table.column(name).to_pylist()
        return put(table, name, [value if rng.random() < share else each for each in there])

    return broken


def stuck(name: str, share: float) -> Break:
    def broken(rng: Any, table: pa.Table) -> pa.Table:
        there = table.column(name).to_pylist()
        at = int((1 - share) * len(there))
        return put(table, name, [*there[:at], *[there[at]] * (len(there) - at)])

    return broken


def swapped(one: str, other: str, start: float = 0.0) -> Break:
    def broken(rng: Any, table: pa.Table) -> pa.Table:
        first, second = table.column(one).to_pylist(), table.column(other).to_pylist()
        at = int(start * len(first))
        return put(put(table, one, first[:at] + second[at:]), other, second[:at] + first[at:])

    return broken


def repeated(share: float) -> Break:
    def broken(rng: Any, table: pa.Table) -> pa.Table:
        places = np.arange(table.num_rows)
        earlier = np.maximum(places - rng.integers(1, 50, places.size), 0)
        return table.take(pa.array(np.where(rng.random(places.size) < share, earlier, places)))

    return broken


def renamed(name: str, way: Callable[[str], str], share: float = 1.0) -> Break:
    def broken(rng: Any, table: pa.Table) -> pa.Table:
        there = table.column(name).to_pylist()
        return put(table, name, [way(each) if rng.random() < share else each for each in there])

    return broken


def numeric(name: str, change: Callable[[Any], Any]) -> Break:
    return lambda rng, table: put(table, name, change(numbers(table, name)))


CASES: dict[str, tuple[str, str, Break]] = {
    "celsius as fahrenheit": ("n1", "unit change", unit("n1", 1.8, 32)),
    "celsius as kelvin": ("n1", "unit change", unit("n1", 1, 273.15)),
    "a thousandfold": ("n2", "unit change", unit("n2", 1000)),
    "a thousandfold from the middle on": ("n2", "unit change", unit("n2", 1000, start=0.5)),
    "pounds as kilograms": ("n4", "unit change", unit("n4", 0.45359237)),
    "inches as centimetres": ("n7", "unit change", unit("n7", 2.54)),
    "percent as a share": ("n0", "unit change", unit("n0", 0.01)),
    "a factor without a name": ("n2", "unit change", unit("n2", 37.0)),
    "-999 for missing": ("n1", "default value", some("n1", -999.0, 0.05)),
    "0 for missing": ("n1", "default value", some("n1", 0.0, 0.05)),
    "-1 of a count": ("n3", "default value", some("n3", -1.0, 0.15)),
    "an odd value": ("n6", "default value", some("n6", 412.37, 0.05)),
    "an empty level": ("c5", "default value", some("c5", "", 0.05)),
    "unknown": ("c9", "default value", some("c9", "Unknown", 0.2)),
    "all zero": ("n1", "default value", some("n1", 0.0, 1.0)),
    "stuck": ("n0", "stuck", stuck("n0", 1.0)),
    "stuck since a while": ("n0", "stuck", stuck("n0", 0.3)),
    "a level that stays": ("c4", "stuck", stuck("c4", 0.5)),
    "swapped numbers": ("n1", "swapped", swapped("n1", "n4")),
    "swapped from the middle on": ("n1", "swapped", swapped("n1", "n4", 0.5)),
    "swapped categories": ("c3", "swapped", swapped("c3", "c5")),
    "some rows twice": ("rows", "duplicated rows", repeated(0.1)),
    "half of the rows twice": ("rows", "duplicated rows", repeated(0.5)),
    "missing": ("n5", "missing", some("n5", None, 0.15)),
    "rounded": ("n1", "rounded", numeric("n1", np.rint)),
    "truncated": ("n4", "rounded", numeric("n4", np.floor)),
    "clipped": ("n1", "clipped", numeric("n1", lambda x: np.minimum(x, 15 + 8 * 1.645))),
    "clipped below": ("n2", "clipped", numeric("n2", lambda x: np.maximum(x, 9.3))),
    "upper case": ("c4", "renamed levels", renamed("c4", str.upper)),
    "upper case in some rows": ("c4", "renamed levels", renamed("c4", str.upper, 0.3)),
    "a space": ("c2", "renamed levels", renamed("c2", lambda name: f"{name} ")),
    "other codes": ("c3", "renamed levels", renamed("c3", lambda name: f"{zlib.crc32(name.encode())}")),
}


def diagnosed(table: pa.Table, memory: float = 0.0) -> list[Result]:
    known, usual = feeds.world(memory)
    window = windows.summarise(known, table)
    results = checks.check(known, window, alpha=0.001)
    return faults.diagnose(known, window, table, results, texture=usual)


@pytest.mark.parametrize("name", CASES)
def test_a_broken_feed_is_found_and_named_and_nothing_else_is(name: str) -> None:
    subject, kind, broken = CASES[name]
    for seed in range(5):
        rng = np.random.default_rng([31, seed])
        found = diagnosed(broken(rng, feeds.table(feeds.scores(rng, 2_000))))
        assert [(each.subject, each.details["fault"]) for each in found] == [(subject, kind)]
        assert found[0].fired
        assert subject in found[0].message or subject == "rows"


@pytest.mark.parametrize("since", [0.05, 0.125, 0.3, 0.45, 0.6, 0.8, 0.9])
@pytest.mark.parametrize("ends", ["later", "earlier", "within"])
def test_it_begins_and_ends_when_it_likes(since: float, ends: str) -> None:
    """From then on, until then, or for two fifths of the rows."""
    rng = np.random.default_rng([35, int(since * 1000)])
    table = feeds.table(feeds.scores(rng, 3_000))
    first, last = {"later": (since, 1), "earlier": (0, 1 - since), "within": (since / 2, since / 2 + 0.4)}[
        ends
    ]
    rows = slice(int(first * 3_000), int(last * 3_000))
    hours, one, other = (numbers(table, name) for name in ("n2", "n1", "n4"))
    hours[rows] *= 60
    (found,) = diagnosed(put(table, "n2", hours))
    assert (found.subject, found.details["fault"]) == ("n2", "unit change")
    assert found.details["factor"] == pytest.approx(60, rel=0.05)  # of few rows 57.3 fits as well
    assert abs(found.details["since"] - first) < 0.06
    assert abs(found.details["until"] - last) < 0.06
    crossed = [
        np.where(np.isin(np.arange(3_000), np.r_[rows]), b, a) for a, b in ((one, other), (other, one))
    ]
    (found,) = diagnosed(put(put(table, "n1", crossed[0]), "n4", crossed[1]))
    assert (found.subject, found.details["fault"]) == ("n1", "swapped")


def test_a_change_for_a_while_is_no_fault() -> None:
    for seed in range(10):
        rng = np.random.default_rng([36, seed])
        table = feeds.table(feeds.scores(rng, 3_000))
        values = numbers(table, "n2")
        values[900:2_000] *= 1.5 + 0.1 * seed
        assert diagnosed(put(table, "n2", values)) == []


@pytest.mark.parametrize("name", ["a thousandfold", "-999 for missing", "stuck", "half of the rows twice"])
def test_so_it_is_where_rows_depend_on_each_other(name: str) -> None:
    subject, kind, broken = CASES[name]
    rng = np.random.default_rng(32)
    found = diagnosed(broken(rng, feeds.table(feeds.scores(rng, 3_000, 0.95))), 0.95)
    assert (subject, kind) in [(each.subject, each.details["fault"]) for each in found]


def dates(rng: Any, rows: int, late: float = 0.0) -> Any:
    """Working hours of so many days."""
    hour = np.clip(rng.normal(12, 2.5, rows), 0, 23.9)
    stamps = np.sort(rng.integers(20_000, 20_200, rows)) * DAY + hour * 3_600 + late
    return pa.array((stamps * 1e6).astype(np.int64), pa.timestamp("us"))


def test_a_clock_in_another_zone_is_told_by_the_pattern_of_the_day() -> None:
    rng = np.random.default_rng(33)
    usual = pa.table({"at": dates(rng, 20_000), "x": rng.normal(size=20_000)})
    known, fabric = reference.build(usual), texture.of(usual)

    def found(late: float) -> list[Result]:
        table = pa.table({"at": dates(rng, 2_000, late), "x": rng.normal(size=2_000)})
        return faults.diagnose(known, windows.summarise(known, table), table, [], texture=fabric)

    assert found(0.0) == []
    assert [each.details for each in found(5 * 3_600.0)] == [{"fault": "clock", "hours": 5}]
    assert [each.details["hours"] for each in found(-6 * 3_600.0)] == [-6]


def test_a_clock_that_is_ahead_is_told_by_when_it_was_asked() -> None:
    rng = np.random.default_rng(34)
    asked = 20_300 * DAY + np.sort(rng.uniform(0, DAY, 2_000))
    stamps = pa.array(((asked + 7_200 + rng.normal(0, 20, 2_000)) * 1e6).astype(np.int64), pa.timestamp("us"))
    known = reference.build(pa.table({"at": dates(rng, 5_000)}))
    table = pa.table({"at": stamps})
    (found,) = faults.diagnose(known, windows.summarise(known, table), table, [], times=asked)
    assert found.details["fault"] == "clock"
    assert found.details["seconds"] == pytest.approx(7_200, abs=60)


def test_the_first_of_1970_stands_in_for_missing_dates() -> None:
    rng = np.random.default_rng(35)
    known = reference.build(pa.table({"at": dates(rng, 5_000)}))
    stamps = dates(rng, 1_000).to_pylist()
    mixed = [None if rng.random() < 0.05 else each for each in stamps]
    table = pa.table({"at": pa.array(mixed, pa.timestamp("us")).fill_null(0)})
    (found,) = faults.diagnose(known, windows.summarise(known, table), table, [])
    assert (found.details["fault"], found.details["stands_at"]) == ("default value", 0.0)


def test_values_that_come_in_bunches_are_no_default_and_not_stuck() -> None:
    """As the weather of an hour in all rows of that hour."""
    rng = np.random.default_rng(36)

    def hourly(rows: int) -> pa.Table:
        hours = np.repeat(rng.normal(15, 8, rows // 50 + 1), 50)[:rows]
        return pa.table({"weather": hours, "x": rng.normal(size=rows)})

    usual = hourly(40_000)
    known = reference.build(usual)
    for fabric in (texture.of(usual), None):
        for _ in range(30):
            table = hourly(1_000)
            results = feeds.suspected(known)
            assert (
                faults.diagnose(known, windows.summarise(known, table), table, results, texture=fabric) == []
            )


def test_rows_that_repeat_as_the_reference_does_are_no_fault() -> None:
    rng = np.random.default_rng(37)

    def few(rows: int) -> pa.Table:
        return pa.table({"a": rng.integers(0, 4, rows), "b": rng.choice(["x", "y"], rows)})

    usual = few(20_000)
    known, fabric = reference.build(usual), texture.of(usual)
    table = few(2_000)
    assert faults.diagnose(known, windows.summarise(known, table), table, [], texture=fabric) == []


def test_a_new_level_and_a_new_grade_are_honest() -> None:
    rng = np.random.default_rng(38)
    usual = pa.table({"grade": rng.choice(["A", "B", "C"], 20_000)})
    known, fabric = reference.build(usual), texture.of(usual)
    for new in ("D", "A+", "a level of its own"):
        table = pa.table({"grade": rng.choice(["A", "B", "C", new], 2_000, p=[0.25, 0.3, 0.3, 0.15])})
        found = faults.diagnose(
            known, windows.summarise(known, table), table, feeds.suspected(known), texture=fabric
        )
        assert found == []


def test_a_code_that_has_a_new_value_is_honest() -> None:
    """A shop that opened is not a default."""
    rng = np.random.default_rng(39)
    known = reference.build(pa.table({"shop": rng.integers(1, 40, 20_000)}))
    shops = np.where(rng.random(2_000) < 0.06, 41, rng.integers(1, 40, 2_000))
    table = pa.table({"shop": shops})
    assert faults.diagnose(known, windows.summarise(known, table), table, feeds.suspected(known)) == []


@pytest.mark.parametrize("rows", [0, 1, 2, 40])
def test_few_rows_are_no_trouble(rows: int) -> None:
    known, usual = feeds.world()
    table = feeds.table(feeds.scores(np.random.default_rng(40), rows))
    window = windows.summarise(known, table)
    assert faults.diagnose(known, window, table, feeds.suspected(known), texture=usual) == []


def test_strange_columns_are_no_trouble() -> None:
    known, usual = feeds.world()
    table = feeds.table(feeds.scores(np.random.default_rng(41), 500)).select(["n0", "n1", "c0"])
    table = put(put(table, "n0", ["text"] * 500), "n1", [float("inf")] * 500)
    window = windows.summarise(known, table)
    results = checks.check(known, window, alpha=0.001)
    found = faults.diagnose(known, window, table, results, texture=usual)
    assert {each.details["fault"] for each in found} <= {"missing"}


def test_a_unit_is_named_in_the_first_window_that_has_it() -> None:
    """Distributions wait for a second window; a feed that is broken does not."""
    known, usual = feeds.world()
    rng = np.random.default_rng(3)
    before = [windows.summarise(known, feeds.table(feeds.scores(rng, 700))) for _ in range(6)]
    table = unit("n2", 100.0)(rng, feeds.table(feeds.scores(rng, 700)))
    window = windows.summarise(known, table)
    results = checks.check(known, window, alpha=0.0014, recent=before)
    assert not any(each.fired for each in results if each.family == "data")
    (found,) = faults.diagnose(known, window, table, results, texture=usual)
    assert (found.subject, found.details["fault"], found.details["factor"]) == ("n2", "unit change", 100.0)


def test_columns_in_each_others_place_are_found_though_only_one_of_them_fired() -> None:
    known, usual = feeds.world()
    rng = np.random.default_rng(5)
    table = swapped("n1", "n4")(rng, feeds.table(feeds.scores(rng, 700)))
    only = [Result("data", "n4", "ks", True, "moved")]
    (found,) = faults.diagnose(known, windows.summarise(known, table), table, only, texture=usual)
    assert found.details["features"] == ["n1", "n4"]
    assert faults.diagnose(known, windows.summarise(known, table), table, [], texture=usual) == []


def test_a_sorted_table_is_not_stuck() -> None:
    known, _ = feeds.world()
    rng = np.random.default_rng(6)
    table = stuck("c4", 0.5)(rng, feeds.table(feeds.scores(rng, 700)))
    window = windows.summarise(known, table)
    (found,) = faults.diagnose(known, window, table, [])
    assert found.details["fault"] == "stuck"
    assert faults.diagnose(known, window, table, [], in_time=False) == []


def test_of_very_many_columns_the_pairs_of_those_that_moved_most_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, looked = np.random.default_rng(5), []
    names = [f"x{n}" for n in range(130)]
    usual = {name: rng.normal(size=300) for name in names}
    now = {name: rng.normal(0.5, size=300) for name in names}
    usual |= {"high": rng.normal(100, size=300), "low": rng.normal(-100, size=300)}
    now |= {"high": rng.normal(-100, size=300), "low": rng.normal(100, size=300)}
    crossed = swaps._crossed

    def seen(usual: Any, table: pa.Table, one: str, other: str, parts: Any) -> Any:
        looked.append((one, other))
        assert table.column_names == [one, other]  # what is sliced is not the wide table
        return crossed(usual, table, one, other, parts)

    monkeypatch.setattr(swaps, "_crossed", seen)
    parts = [stretches.Stretch(0, 300, 300)]
    known, table = reference.build(pa.table(usual)), pa.table(now)
    found = list(swaps.find(known, table, [*names, "high", "low"], lambda _: parts))
    assert [each.details["features"] for each in found] == [["high", "low"]]
    assert len(looked) <= swaps.MOST_COLUMNS * (swaps.MOST_COLUMNS - 1) / 2
