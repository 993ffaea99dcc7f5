"""Features are ranked by what their drift does to a model's answers, not by how far they drifted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from everloop.core.monitoring import Result
from everloop.monitoring import damage, estimated, reference
from everloop.monitoring.reference import Reference

ROWS = 3_000


def table(seed: int, rows: int = ROWS, **moved: Any) -> pa.Table:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "ignored": rng.normal(size=rows),
        "used": rng.normal(size=rows),
        "little": rng.normal(size=rows),
        "size": rng.poisson(4, rows),
        "kind": rng.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]),
    }
    for name, change in moved.items():
        columns[name] = change(columns[name], rng)
    return pa.table(columns)


def answers(asked: pa.Table) -> Any:
    """A logistic model that does not look at ``ignored``."""
    column = {
        name: np.nan_to_num(asked.column(name).to_numpy().astype(float))
        for name in ("used", "little", "size")
    }
    kinds = np.asarray([{"a": 0.0, "b": 0.8, "c": -0.8}.get(each, 0.0) for each in asked["kind"].to_pylist()])
    odds = 1.2 * column["used"] + 0.2 * column["little"] + 0.1 * (column["size"] - 4) + kinds
    chance = 1 / (1 + np.exp(-odds))
    return np.column_stack([1 - chance, chance])


@pytest.fixture(scope="module")
def known() -> Reference:
    return reference.build(table(1, 20_000))


def test_the_feature_that_the_model_ignores_is_last_though_it_drifted_most(known: Reference) -> None:
    window = table(
        2, ignored=lambda x, _: x + 5, used=lambda x, _: x + 1, little=lambda x, _: x + 1,
        kind=lambda x, r: np.where(r.random(x.size) < 0.6, "c", x),
    )  # fmt: skip

    ranked = damage.rank(known, window, answers, ["ignored", "used", "little", "kind"])

    assert [each.feature for each in ranked] == ["used", "kind", "little", "ignored"]
    assert (ranked[-1].effect, ranked[-1].high) == (0, 0)
    assert ranked[0].moved > 0.1  # it raised the probability of the last class
    assert sum(each.share for each in ranked) == pytest.approx(1)
    assert ranked[0].share > 0.5


def test_a_feature_is_seen_that_hides_behind_another(known: Reference) -> None:
    """All answers are 1 for the one, so that putting back the other alone changes nothing."""
    window = table(2, used=lambda x, _: x + 50, little=lambda x, _: x + 8, ignored=lambda x, _: x + 8)
    ranked = damage.rank(known, window, answers, ["ignored", "little", "used"])
    assert [each.feature for each in ranked] == ["used", "little", "ignored"]
    assert ranked[1].low > 0.05


def test_the_effect_is_that_of_the_answers_had_the_feature_not_drifted(known: Reference) -> None:
    usual = table(3)
    drifted = usual.set_column(1, "used", pa.array(usual.column("used").to_numpy() * 2 + 1))

    (found,) = damage.rank(known, drifted, answers, ["used"])

    truth = np.abs(answers(drifted) - answers(usual))[:, 1].mean()
    assert found.low < truth < found.high
    assert found.effect == pytest.approx(truth, abs=0.01)


def test_intervals_hold_the_effect_of_many_windows(known: Reference) -> None:
    found = []
    for seed in range(100):
        window = table(100 + seed, 1_000, used=lambda x, _: x + 0.5)
        found += damage.rank(known, window, answers, ["used"], seed=seed)
    middle = np.mean([each.effect for each in found])
    held = [each.low <= middle <= each.high for each in found]
    assert np.mean(held) >= 0.9


def test_a_feature_that_did_not_drift_does_nothing(known: Reference) -> None:
    (still,) = damage.rank(known, table(4), answers, ["used"])
    (broken,) = damage.rank(known, table(4, used=lambda x, _: np.zeros_like(x)), answers, ["used"])
    assert still.effect < 0.02 < 0.1 < broken.effect


def test_missing_values_are_filled_as_usual_and_whole_numbers_stay_whole(known: Reference) -> None:
    rng = np.random.default_rng(5)
    size = np.where(rng.random(ROWS) < 0.4, None, rng.poisson(9, ROWS).astype(object))
    column = pa.chunked_array([pa.array(size, pa.int64())])

    back = damage.repaired(known.features["size"], column, rng)

    assert (back.type, back.null_count) == (pa.int64(), 0)
    assert np.mean(back.to_numpy()) == pytest.approx(4, abs=0.05)
    assert np.var(back.to_numpy()) == pytest.approx(4, abs=0.3)


def test_as_few_levels_are_changed_as_bring_the_shares_back(known: Reference) -> None:
    rng = np.random.default_rng(6)
    kinds = rng.choice(["a", "b", "c", "new"], ROWS, p=[0.4, 0.3, 0.1, 0.2])

    back = np.asarray(damage.repaired(known.features["kind"], pa.chunked_array([kinds]), rng).to_pylist())

    shares = {name: float(np.mean(back == name)) for name in ("a", "b", "c", "new")}
    assert shares == pytest.approx({"a": 0.6, "b": 0.3, "c": 0.1, "new": 0.0}, abs=0.02)
    assert np.mean(back != kinds) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, True, None, False], pa.bool_()),
        ([1.5, None, 2.0, 9.0], pa.float64()),
        ([1, 2, None, 9], pa.int32()),
        (["x", None, "y", "y"], pa.string()),
        ([0, 86_400_000_000, None, 5], pa.timestamp("us")),
        ([0, 20_000, None, 5], pa.date32()),
        ([0, 20_000_000, None, 5], pa.timestamp("us", "UTC")),
    ],
)
def test_a_column_comes_back_in_the_type_it_came_in(values: list[Any], kind: pa.DataType) -> None:
    usual = pa.array(values * 50, kind)
    feature = reference.build(pa.table({"x": usual})).features["x"]
    column = pa.chunked_array([pa.array(values, kind)])

    back = damage.repaired(feature, column, np.random.default_rng(0))

    assert (back.type, len(back), back.null_count) == (kind, 4, 1)


def test_the_performance_to_expect_is_told_where_it_can_be(known: Reference) -> None:
    held = table(7, 5_000)
    chances = answers(held)
    truth = (np.random.default_rng(8).random(5_000) < chances[:, 1]).astype(int).astype(str)
    estimator = estimated.fit(truth, probabilities=chances, classes=["0", "1"], positive="1")
    window = table(9, used=lambda x, _: x * 0.1, ignored=lambda x, _: x + 3)

    first, last = damage.rank(known, window, answers, ["ignored", "used"], estimator=estimator)

    assert (first.feature, last.feature) == ("used", "ignored")
    assert first.metric is not None
    assert (first.harm or 0) > 0.01
    assert last.harm == 0


def test_values_of_a_regression_are_compared_as_they_are(known: Reference) -> None:
    def value(asked: pa.Table) -> Any:
        return 10.0 * asked.column("used").to_numpy()

    (found,) = damage.rank(known, table(10, used=lambda x, _: x + 1), value, ["used"])
    assert found.effect == pytest.approx(10, abs=0.6)
    assert found.moved == pytest.approx(10, abs=0.6)


def test_what_it_costs_is_bounded(known: Reference) -> None:
    asked: list[int] = []

    def counting(rows: pa.Table) -> Any:
        asked.append(rows.num_rows)
        return answers(rows)

    names = [f"x{place}" for place in range(40)]
    wide = pa.table({name: np.arange(9_000.0) for name in names})
    for name in table(1).column_names:
        wide = wide.append_column(name, table(1, 9_000).column(name))
    damage.rank(reference.build(wide), wide, counting, names)

    assert len(asked) == 2 + 4 * damage.MOST_FEATURES
    assert set(asked) == {damage.MOST_ROWS}


def test_nothing_is_ranked_of_no_rows_or_of_what_cannot_be_put_back(known: Reference) -> None:
    assert damage.rank(known, table(1).slice(0, 0), answers, ["used"]) == []
    strange = table(1).set_column(1, "used", pa.array(["text"] * ROWS))
    assert damage.rank(known, strange, lambda rows: np.zeros(rows.num_rows), ["used", "gone"]) == []


def test_drifted_features_come_with_the_farthest_first() -> None:
    def fired(family: Any, subject: str, value: float, **details: Any) -> Result:
        return Result(family, subject, "ks", True, "", value=value, usual=0.0, floor=0.05, details=details)

    results = [
        fired("joint", "pairs", 0.9, pairs=[{"features": ["p", "q"]}]),
        fired("data", "near", 0.1),
        fired("data", "far", 0.6),
        fired("quality", "one", 0.2, features=["one", "other"]),
        Result("data", "quiet", "ks", False, ""),
        fired("performance", "model", 0.3),
    ]
    assert damage.drifted(results) == ["far", "one", "other", "near", "p", "q"]
