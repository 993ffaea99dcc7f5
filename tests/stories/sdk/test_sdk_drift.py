"""Two tables, metrics and streams of errors from Python: what is compared, what not, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from everloop import DriftDetectionError, DriftDetector, Invalid
from everloop.core.monitoring import Result
from everloop.monitoring import checks, overall, reference, windows
from everloop.retraining import policy

rng = np.random.default_rng(8)
FEW = (rng.random(1_000) < 0.2).astype(float)
MANY = (rng.random(1_000) < 0.6).astype(float)
USUAL = rng.normal(size=(1_000, 3))
HOLES = np.where(np.arange(1_000) % 3, FEW, np.nan)


# -- losses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adwin", "page_hinkley", "kswin", "ddm", "eddm"])
def test_a_detector_of_river_has_read_the_reference(name: str) -> None:
    detectors = pytest.importorskip("everloop.adapters.river").DETECTORS
    alarms = DriftDetector().detect_concept_drift(FEW, MANY, name)["alarms"]
    whole = detectors[name](None).update(np.concatenate([FEW, MANY]))
    assert alarms == [at - 1_000 for at in whole if at >= 1_000]
    assert alarms


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ((FEW, [np.nan] * 300), "Current losses hold nan at position 0; 300 in all"),
        ((HOLES, MANY), "Losses of the reference hold nan at position 0; 334 in all"),
        ((FEW, [0.0, 1.0, np.inf]), "inf at position 2; 1 in all"),
        ((FEW, []), "Current losses are empty"),
        ((FEW, "many"), "'many'"),
    ],
)
def test_losses_that_are_no_numbers_are_refused(losses: Any, said: str) -> None:
    with pytest.raises(DriftDetectionError, match=said):
        DriftDetector().detect_concept_drift(*losses)


# -- wrong types and ranges --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda d: d.detect_data_drift(USUAL, USUAL, "a"), "threshold is 'a'"),
        (lambda d: d.detect_data_drift(USUAL, USUAL, None), "threshold is None"),
        (lambda d: d.detect_data_drift(USUAL, USUAL, float("nan")), "threshold is nan"),
        (
            lambda d: d.detect_data_drift({"x": [1]}, USUAL),
            "A dict is neither a table nor a profile.*DataFrame",
        ),
        (
            lambda d: d.detect_data_drift(USUAL, {"x": [1]}),
            "A dict is neither a table nor a profile.*DataFrame",
        ),
        (lambda d: d.detect_model_drift({"a": 0.9}, {"a": 0.5}, float("nan")), "threshold is nan"),
        (lambda d: d.detect_model_drift({"a": 0.9}, {"a": 0.5}, -0.1), "threshold is -0.1"),
        (lambda d: d.detect_model_drift({"a": 0.9}, {"a": 0.5}, "x"), "threshold is 'x'"),
        (lambda d: d.detect_model_drift(None, None), "The reference: None"),
        (lambda d: d.detect_model_drift({"a": 1}, [1]), r"current metrics: \[1\]"),
        (lambda d: d.detect_model_drift({1: 2}, {1: 2}), "The reference: {1: 2}"),
        (lambda d: d.check_drift(None, None, USUAL, {}), r"The reference: array"),
        (lambda d: d.detect_data_drift(USUAL, USUAL, to=5), "page's file is 5"),
        (lambda d: d.detect_concept_drift(FEW, MANY, average_run=USUAL), "does not take these options"),
        (lambda d: d.detect_concept_drift(FEW, MANY, detector=3), "detector is 3"),
        (lambda d: d.detect_concept_drift(FEW, MANY, detector=""), "no detector ''"),
    ],
)
def test_misuse_is_a_drift_error_and_invalid(work: Any, said: str) -> None:
    with pytest.raises(DriftDetectionError, match=said) as caught:
        work(DriftDetector())
    assert isinstance(caught.value, Invalid)
    assert caught.value.remedy


# -- detectors of one's own --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "data_drift", "model_drift", "custom", "drift_detected", "unable", "reason", "a b", 3]
)
def test_a_name_that_the_answer_has_no_place_for_is_refused(name: Any) -> None:
    with pytest.raises(DriftDetectionError, match=f"{name!r} is"):
        DriftDetector().register(name, lambda before, now: True)


def out_of_memory(before: Any, now: Any) -> bool:
    raise MemoryError


@pytest.mark.parametrize(
    ("raising", "said"),
    [
        (lambda before, now: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda before, now: exit(3), "SystemExit: 3"),
        (out_of_memory, "MemoryError."),
    ],
)
def test_a_detector_that_raises_does_not_take_the_others_with_it(raising: Any, said: str) -> None:
    detector = DriftDetector()
    detector.register("bad", raising)
    detector.register("good", lambda before, now: True)
    found = detector.check_drift(USUAL, USUAL)
    assert found["custom"]["good"] is True
    assert found["drift_detected"]
    assert found["custom"]["bad"]["unable"]
    assert not found["custom"]["bad"]["drift_detected"]
    assert f"'bad' could not check: {said}" in found["custom"]["bad"]["reason"]
    with pytest.raises(DriftDetectionError, match="could not check"):
        detector.detect("bad", USUAL, USUAL)


@pytest.mark.parametrize(
    "nonsense",
    [float("nan"), "hello", 7, 1.0, None, np.ones(2), {}, {"foo": 1}]
    + [{"drift_detected": value} for value in ("no", float("nan"), None, 1)],
    ids=repr,
)
def test_an_answer_that_is_neither_yes_nor_no_is_no_drift_but_told(nonsense: Any) -> None:
    detector = DriftDetector()
    detector.register("odd", lambda before, now: nonsense)
    found = detector.check_drift(USUAL, USUAL)
    assert not found["drift_detected"]
    assert found["custom"]["odd"]["unable"]
    assert f"'odd' could not check: it returned {nonsense!r}" in found["custom"]["odd"]["reason"]
    with pytest.raises(DriftDetectionError, match="could not check: it returned"):
        detector.detect("odd", USUAL, USUAL)


@pytest.mark.parametrize("yes", [True, np.True_, {"drift_detected": True, "p_value": 0.01}])
def test_an_answer_is_a_bool_or_says_it_in_a_mapping(yes: Any) -> None:
    detector = DriftDetector()
    detector.register("mine", lambda before, now: yes)
    found = detector.check_drift(USUAL, USUAL)
    assert found["drift_detected"] is True
    assert found["custom"]["mine"] == yes


# -- one p-value for all ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"x": [3.0, 1.0, 2.0] * 20}),
        pd.Series([3.0, 1.0, 2.0] * 20, name="x"),
        np.array([3.0, 1.0, 2.0] * 20),
        [{"x": value} for value in [3.0, 1.0, 2.0] * 20],
    ],
    ids=["frame", "series", "array", "rows"],
)
def test_a_detector_that_changes_its_tables_damages_nobody_elses(table: Any) -> None:
    def careless(before: Any, now: Any) -> bool:
        for each in (before, now):
            if isinstance(each, list):
                each[0]["x"] = -1.0
            elif isinstance(each, pd.DataFrame):
                each["more"] = 1
                each.loc[0, "x"] = -1.0
            else:
                each[0] = -1.0
        return False

    detector, seen, as_it_was = DriftDetector(), [], repr(table)
    detector.register("careless", careless)
    detector.register("looks", lambda before, now: bool(seen.extend([repr(before), repr(now)])))
    found = detector.check_drift(table, table)
    assert found["custom"]["careless"] is False
    assert repr(table) == as_it_was
    assert seen == [as_it_was, as_it_was]


def test_quiet_tables_have_a_small_p_value_as_seldom_as_it_says() -> None:
    draw = np.random.default_rng(60)
    found = [
        DriftDetector().detect_data_drift(draw.normal(size=(1_000, 20)), draw.normal(size=(1_000, 20)))
        for _ in range(60)
    ]
    assert sum(each["p_value"] < 0.05 for each in found) <= 7  # of 3 that are expected at most; more: p 2 %
    assert all(each["drift_detected"] == (each["p_value"] <= 0.05) for each in found)


@pytest.mark.parametrize("shift", [0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.25, 0.3])
@pytest.mark.parametrize("threshold", [0.001, 0.05, 0.3])
def test_drift_is_detected_just_where_the_p_value_says_so(shift: float, threshold: float) -> None:
    now = np.random.default_rng(3).normal(size=(1_000, 3)) + np.array([shift, 0, 0])
    found = DriftDetector().detect_data_drift(USUAL, now, threshold)
    assert found["drift_detected"] == (found["p_value"] <= threshold)


def test_what_is_certain_has_the_p_value_0() -> None:
    table = pd.DataFrame({"x": USUAL[:, 0], "y": USUAL[:, 1]})
    assert DriftDetector().detect_data_drift(table, table.assign(x="a"))["p_value"] == 0
    assert DriftDetector().detect_data_drift(table, table[["y"]])["p_value"] == 0
    assert DriftDetector().detect_data_drift(table, table)["p_value"] == 1


def test_what_fired_by_a_rule_has_the_p_value_0() -> None:
    usual = reference.build(pa.table({"x": USUAL[:, 0]}))
    window = windows.summarise(usual, pa.table({"x": USUAL[:, 1]}))
    quiet = checks.check(usual, window, alpha=0.05)
    fault = Result("quality", "x", "fault", True, "x is stuck.")
    assert overall.p_value(usual, window, quiet) == 1
    assert overall.p_value(usual, window, [*quiet, fault]) == 0


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (USUAL[:, 0] > 0, np.where(USUAL[:, 0] > 0, "a", "b"), "from boolean to text"),
        (np.arange(1_000), ["a", "b"] * 500, "from whole number to text"),
        (USUAL[:, 0], pd.date_range("2026-01-01", periods=1_000), "from number to date and time"),
        (["a", "b"] * 500, [[1]] * 1_000, "from text to lists"),
    ],
)
def test_a_changed_type_is_told_in_words(before: Any, now: Any, words: str) -> None:
    found = DriftDetector().detect_data_drift(pd.DataFrame({"x": before}), pd.DataFrame({"x": now}))
    assert found["features"]["x"] == [f"'x': its type changed {words}, so it cannot be compared"]


# -- nothing to tell by -------------------------------------------------------------------------------------


VECTORS = pd.DataFrame({"x": [[0.1, 0.2]] * 1_000})


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (USUAL, USUAL[:1], "1 row is too few to tell a change; 20 are needed"),
        (USUAL, USUAL[:0], "The window has no rows"),
        (VECTORS, VECTORS, "'x' could not be compared: it holds lists"),
        (
            pd.DataFrame({f"x{n}": VECTORS["x"] for n in range(9)}),
            pd.DataFrame({f"x{n}": VECTORS["x"] for n in range(9)}),
            "6 more could not be compared",
        ),
    ],
)
def test_where_nothing_could_be_compared_there_is_no_clean_bill(before: Any, now: Any, said: str) -> None:
    found = DriftDetector().detect_data_drift(before, now)
    assert found["drift_detected"] is False
    assert found["p_value"] is None
    assert found["unable"] is True
    assert said in str(found["reason"])
    everything = DriftDetector().check_drift(before, now, {"f1": 0.9}, {"f1": 0.9})
    assert everything["drift_detected"] is False
    assert everything["unable"] is True
    assert everything["reason"] == everything["data_drift"]["reason"] == found["reason"]


@pytest.mark.parametrize("rows", [1, 19])
def test_a_reference_of_few_rows_gives_no_clean_bill(rows: int) -> None:
    rng = np.random.default_rng(1)
    usual, now = pd.DataFrame({"x": rng.normal(size=rows)}), pd.DataFrame({"x": rng.normal(size=2_000)})
    found = DriftDetector().detect_data_drift(usual, now)
    assert (found["drift_detected"], found["unable"], found["p_value"]) == (False, True, None)
    assert f"{rows} row" in str(found["reason"])
    assert "of the reference" in str(found["reason"])
    if rows > 1:
        assert DriftDetector().detect_data_drift(usual, now + 9)["drift_detected"]
    assert DriftDetector().detect_data_drift(usual, now.astype(str))["drift_detected"]


def test_rows_of_several_lengths_are_refused_in_words() -> None:
    with pytest.raises(DriftDetectionError, match=r"\[\[1, 2\], \[3\]\].*Give rows of one length"):
        DriftDetector().detect_data_drift([[1, 2], [3]], [[1, 2]])


def test_what_is_masked_is_missing() -> None:
    values = np.random.default_rng(1).normal(size=2_000)
    found = DriftDetector().detect_data_drift(values, np.ma.masked_array(values, values > 0))
    assert "missing 0.0 %" in str(found["features"]) or "is missing in" in str(found["features"])


def test_what_was_compared_is_not_unable() -> None:
    mixed = VECTORS.assign(y=USUAL[:, 1])
    for before, now in ((mixed, mixed), (mixed, mixed[["x"]]), (mixed, mixed.head(1)[["x"]])):
        found = DriftDetector().detect_data_drift(before, now)
        assert found["unable"] is False
        assert found["reason"] is None
        assert found["p_value"] is not None
    detector = DriftDetector()
    assert not detector.check_drift(mixed, mixed)["unable"]
    detector.register("odd", lambda before, now: 7)
    found = detector.check_drift(mixed, mixed)
    assert found["unable"]
    assert "'odd' could not check" in found["reason"]


# -- what can be compared -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"), [([[1]] * 1_000, "lists"), ([{"a": 1}] * 1_000, "dicts"), ([b"a"] * 1_000, "")]
)
def test_columns_that_cannot_be_compared_are_told(values: list[Any], words: str) -> None:
    table = pd.DataFrame({"x": pd.Series(values), "y": USUAL[:, 1]})
    results = DriftDetector().detect_data_drift(table, table)["results"]
    told = [each.message for each in results if each.unable]
    if words:
        assert told == [
            f"'x' could not be compared: it holds {words} in the reference; only missing values are counted "
            "of these."
        ]
    else:
        assert told == []  # of bytes the length is compared


@pytest.mark.parametrize("kind", [pd.Series, list, pa.array, pa.chunked_array])
def test_one_column_is_taken_however_it_is_held(kind: Any) -> None:
    before, now = USUAL[:, 0], USUAL[:, 0] + 1
    if kind is pa.chunked_array:
        before, now = [before], [now]
    found = DriftDetector().detect_data_drift(kind(before), kind(now))
    assert list(found["features"]) == ["feature_0"]


def test_the_index_of_a_series_is_no_column() -> None:
    rows = pd.Series(USUAL[:, 0], name="age")
    found = DriftDetector().detect_data_drift(rows[rows.index % 2 == 0], rows.iloc[::-2])
    assert {each.subject for each in found["results"]} == {"columns", "feature_0"}


def test_how_widely_times_spread_is_told_in_spans_of_time() -> None:
    before = pd.date_range("2026-01-01", periods=1_000, freq="h")
    now = pd.date_range("2026-03-01", periods=1_000, freq="min")
    found = DriftDetector().detect_data_drift(pd.DataFrame({"at": before}), pd.DataFrame({"at": now}))
    assert any("sd 12 days → 4.9 hours" in each.message for each in found["results"])


def test_a_column_that_is_lost_is_told_once() -> None:
    table = pd.DataFrame({"x": USUAL[:, 0], "y": USUAL[:, 1], "z": USUAL[:, 2]})
    found = DriftDetector().detect_data_drift(table, table[["z"]].assign(y=np.nan))
    assert {name: len(told) for name, told in found["features"].items()} == {"x": 1, "y": 1}
    assert found["features"]["x"] == ["'x' does not come any more: the column is missing."]
    assert found["features"]["y"][0].startswith("'y' is missing in 100.0 % of 1,000 rows")
    assert found["drift_detected"]
    assert found["p_value"] == 0


@pytest.mark.parametrize("name", sorted(policy.LOWER_IS_BETTER))
def test_of_all_metrics_of_training_it_is_known_which_way_is_worse(name: str) -> None:
    assert DriftDetector().detect_model_drift({name: 0.1}, {name: 0.3})["drift_detected"]
    assert not DriftDetector().detect_model_drift({name: 0.3}, {name: 0.1})["drift_detected"]
    assert DriftDetector().detect_model_drift({f"val_{name}": 0.1}, {f"val_{name}": 0.3})["drift_detected"]
