"""What a check says of windows that are broken, empty or odd, in words."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.unit.monitoring.worlds import latent, table

from everloop.monitoring import checks, promise, reference, windows

ALPHA = 0.001


def world(rows, seed=0, **changed):
    return table(latent(np.random.default_rng(seed), rows, 8), **changed)


KNOWN = reference.build(world(20_000))


def checked(data, known=KNOWN, **options):
    window = windows.summarise(known, data)
    return {
        (each.subject, each.statistic): each for each in checks.check(known, window, alpha=ALPHA, **options)
    }


def fired(data, known=KNOWN):
    return {key: each for key, each in checked(data, known).items() if each.fired}


def test_no_rows_are_said_to_be_unable():
    (only,) = checked(world(0)).values()
    assert only.unable
    assert not only.fired
    assert "no rows" in only.message


@pytest.mark.parametrize("rows", [1, 2, 5, 20])
def test_few_rows_find_nothing_by_chance(rows):
    for seed in range(30):
        assert not fired(world(rows, seed + 1))


def test_a_missing_column_is_critical_and_the_rest_is_checked():
    found = checked(world(500, 1).drop(["x"]))
    assert found["x", "missing_column"].fired
    assert found["x", "missing_column"].level == "critical"
    assert not found["other", "ks"].fired


def test_a_column_more_is_told():
    assert (
        fired(world(500, 1).append_column("extra", pa.array(range(500))))["extra", "new_column"].level
        == "info"
    )


def test_a_changed_type_is_critical_and_not_compared():
    broken = world(500, 1)
    found = checked(broken.set_column(0, "x", broken["x"].cast(pa.string())))
    assert found["x", "type"].fired
    assert "number to text" in found["x", "type"].message
    assert ("x", "ks") not in found


def test_columns_as_they_were_are_said_too():
    assert not checked(world(500, 1))["columns", "schema"].fired


def test_a_constant_column_is_critical():
    stuck = world(200, 1)
    found = fired(stuck.set_column(0, "x", pa.array(np.full(200, 1.25))))
    assert found["x", "constant"].level == "critical"
    assert "all 200 rows are 1.25" in found["x", "constant"].message


def test_all_missing_is_critical():
    gone = world(200, 1)
    found = fired(gone.set_column(0, "x", pa.nulls(200)))
    assert found["x", "missing"].level == "critical"
    assert "all of them" in found["x", "missing"].message
    assert (found["x", "missing"].value, found["x", "missing"].usual) == (1.0, 0.0)


def test_a_constant_is_told_as_it_is():
    """Without what rounding of sums leaves, and in the words of its kind."""
    rows = world(300, 1)
    days = pa.array(np.datetime64("2026-01-01") + np.arange(300) % 90)
    notes = pa.array([f"note number {number} of {number**3}" for number in range(300)])
    usual = reference.build(rows.append_column("day", days).append_column("note", notes))
    old = pa.array(np.full(300, np.datetime64("1970-01-01")))
    broken = rows.append_column("day", old).append_column("note", pa.array([""] * 300))
    found = fired(broken, usual)
    assert "all 300 rows are 1970-01-01" in found["day", "constant"].message
    assert "all 300 rows are empty" in found["note", "constant"].message
    told = found["day", "ks"].details
    assert (told["mean"], told["sd"]) == (0.0, 0.0)
    assert "→ 1970-01-01 (" in found["day", "ks"].message


def test_values_that_are_all_infinite_are_critical():
    odd = world(500, 1)
    for value in (np.inf, -np.inf):
        found = fired(odd.set_column(0, "x", pa.array(np.full(500, value))))
        assert found["x", "infinite"].level == "critical"


def test_infinite_values_are_found():
    odd = world(500, 1)
    values = odd["x"].to_numpy().copy()
    values[::50] = np.inf
    found = fired(odd.set_column(0, "x", pa.array(values)))
    assert found["x", "infinite"].details == {"negative": 0, "positive": 10, "windows": 1}


def test_a_new_and_a_vanished_level_are_named():
    odd = world(1_000, 1)
    levels = odd["level"].to_pandas().replace({"b": "z"})
    found = fired(odd.set_column(3, "level", pa.array(levels)))
    assert "'z'" in found["level", "new_level"].message
    assert found["level", "vanished_level"].details["level"] == "b"
    assert found["level", "new_level"].details["levels"] == {"z": levels.eq("z").sum()}


def test_levels_that_come_no_more_are_named_together():
    def lost(*gone):
        rng = np.random.default_rng(3)
        usual = pa.table({"kind": rng.choice(list("abcdefgh"), 4_000)})
        now = pa.table({"kind": rng.choice([one for one in "abcdefgh" if one not in gone], 1_000)})
        found = fired(now, reference.build(usual))
        return found["kind", "vanished_level"]

    assert lost("b").message.startswith("'kind': level 'b', 13.")
    two, five = lost("b", "f"), lost(*"abcde")
    assert sorted(two.details["levels"]) == ["b", "f"]
    assert re.match(
        r"'kind': levels '[bf]' \(1.*\) and '[bf]' \(1.* %\) of the reference do not", two.message
    )
    assert sorted(five.details["levels"]) == list("abcde")
    assert five.message.count("%") == 3
    assert " and 2 more of the reference do not come in 1,000 rows" in five.message


def test_the_message_says_what_moved_and_where_to():
    found = fired(world(1_000, 1, mean=0.5))["x", "ks"]
    assert found.message.startswith("'x': mean ")
    assert "(+0.5" in found.message
    assert "floor 0.05" in found.message
    assert found.details["direction"] == "up"
    assert found.details["shift"] == pytest.approx(0.5, abs=0.1)
    assert found.low < found.value < found.high


def test_a_changed_correlation_names_the_pair():
    found = fired(world(1_000, 1, correlation=0.0))["pairs", "correlation"]
    assert found.details["pairs"][0]["features"] == ["skewed", "other"]
    assert found.usual == pytest.approx(0.6, abs=0.05)
    assert found.value == pytest.approx(0.0, abs=0.1)


def test_a_million_levels_are_text_and_cost_no_more():
    many = pa.table({"id": [f"user {row}" for row in np.random.default_rng(4).permutation(30_000)]})
    known = reference.build(many)
    assert known.features["id"].kind == "text"
    longer = pa.table({"id": [f"user number {row}" for row in range(1_000)]})
    assert ("id", "ks") in fired(longer, known)


def test_levels_that_come_and_go_all_the_time_are_no_news():
    """Names of which many come once: a new one is usual."""
    rng = np.random.default_rng(5)
    draw = lambda rows: pa.table({"name": [f"n{int(each)}" for each in rng.pareto(0.7, rows) * 3]})  # noqa: E731 - one line says it
    known = reference.build(draw(20_000))
    assert known.features["name"].kind == "category"
    assert not sum(bool(fired(draw(500), known)) for _ in range(20))


def test_a_reference_of_odd_columns_can_be_checked():
    rows = 400
    odd = pa.table(
        {
            "none": pa.nulls(rows),
            "nan": pa.array(np.full(rows, np.nan)),
            "same": pa.array(np.ones(rows)),
            "infinite": pa.array(np.where(np.arange(rows) % 2, np.inf, -np.inf)),
            "huge": pa.array(np.linspace(-1.7, 1.7, rows) * 1e308),
            "list": pa.array([[1]] * rows),
            "one": pa.array(["a"] * rows),
        }
    )
    known = reference.Reference.from_document(reference.build(odd).to_document())
    assert not fired(odd, known)
    changed = odd.set_column(2, "same", pa.array(np.full(rows, 2.0))).set_column(
        0, "none", pa.array([1] * rows)
    )
    assert {"same", "none"} <= {subject for subject, _ in fired(changed, known)}


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_a_tiny_reference_is_uncalibrated_and_says_so(rows):
    known = reference.build(world(rows, 3))
    assert not known.calibrated
    results = checked(world(500, 4), known)
    told = [each for each in results.values() if each.statistic == "ks"]
    assert told
    assert all(each.details["calibrated"] is False and "uncalibrated" in each.message for each in told)
    assert promise.promise(known, 100, 720, 1.0).words


@pytest.mark.parametrize(("windows", "told"), [(30, "30 windows"), (1, "1 window"), (1 / 3, "0.33 windows")])
def test_a_promise_counts_windows_that_are_longer_than_a_month(windows, told):
    assert f"of {told} of 500 rows." in promise.promise(KNOWN, 500, windows, 1.0).words


def test_rows_are_put_in_the_order_of_time():
    rng = np.random.default_rng(6)
    data = table(latent(rng, 8_000, 8, "ar", 0.95))
    mixed = rng.permutation(8_000)
    times = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(8_000), unit="s")
    known = reference.build(data.take(mixed), order=times[mixed])
    assert known.to_document() == reference.build(data).to_document()
    shuffled = reference.build(data.take(mixed))
    assert known.features["x"].dependence.at(1_000).effect[0] > 20
    assert shuffled.features["x"].dependence.at(1_000).effect[0] == 1


def test_the_past_of_no_rows_counts_for_nothing():
    none = windows.summarise(KNOWN, world(0))
    window = windows.summarise(KNOWN, world(1_000, 1, mean=0.5))
    results = checks.check(KNOWN, window, alpha=ALPHA, recent=[none, none])
    assert any(each.subject == "x" and each.fired for each in results)


def test_a_row_or_two_are_too_few_and_columns_are_judged_all_the_same():
    found = checked(world(3, 1).drop(["x"]))
    assert found["window", "rows"].unable
    assert found["window", "rows"].message == "3 rows are too few to tell a change; 20 are needed."
    assert found["x", "missing_column"].fired
    assert set(found) == {("window", "rows"), ("x", "missing_column")}


# -- windows one after the other -----------------------------------------------------------------------------


def windows_of(*tables):
    return [windows.summarise(KNOWN, each) for each in tables]


def test_what_moved_far_in_one_window_waits_for_another_and_says_so():
    before = windows_of(*(world(700, seed) for seed in range(1, 6)))
    found = checked(world(700, 9, mean=3.0), recent=before)
    assert not found["x", "ks"].fired
    assert found["x", "ks"].details["alone"]
    assert "alone" not in found["other", "ks"].details


def test_a_type_that_changed_and_changed_back_is_not_found_again():
    odd = world(700, 1)
    recent = windows_of(world(700, 2), odd.set_column(0, "x", pa.array(["n/a"] * 700)), world(700, 3))
    found = checked(world(700, 4), recent=recent)
    assert not [each for each in found.values() if each.fired]


def test_one_odd_hour_is_rarely_found_again_in_the_quiet_ones_after_it():
    """Eight features moved in it."""
    again = 0
    rng = np.random.default_rng(4)
    for _ in range(40):
        quiet = [world(400, int(rng.integers(10**9))) for _ in range(6)]
        z = latent(rng, 400, 8)
        odd = table(z, mean=2.0, deviation=2.0, correlation=-0.6, moved=0.3, missing=0.2, new=0.2)
        recent = windows_of(*quiet[:3], odd)
        for each in quiet[3:]:
            found = checked(each, recent=recent)
            again += sum(one.fired for one in found.values())
            recent += windows_of(each)
    assert again <= 5  # in 120 quiet windows; 16 without the louder voice
