"""Sides and folds: shares, stability, duplicates, time and groups."""

import numpy as np
import pandas as pd
import pytest

from everloop.core.errors import AllMissing, InvalidSettings, TooFewRows, UnknownColumn, WrongType
from everloop.core.runs import Recipe, Split
from everloop.training.splits import EXACT_ROWS, fold, split, uniforms

RNG = np.random.default_rng(7)
MANY = 20_000


def frame(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(rows)
    return pd.DataFrame(
        {
            "y": rng.choice(["a", "b", "c"], rows, p=[0.7, 0.25, 0.05]),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 400, rows), "D"),
            "shop": rng.integers(0, 300, rows),
        }
    )


def hashes(rows: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, rows, dtype=np.uint64)


def recipe(kind: str = "random", size: float = 0.2, column: str | None = None, **more: object) -> Recipe:
    return Recipe("y", split=Split(kind, size, column), **more)


@pytest.mark.parametrize("kind", ["random", "stratified"])
def test_the_share_is_near_the_asked_one_and_both_sides_make_the_table(kind: str) -> None:
    train, test = split(frame(MANY), "y", recipe(kind), hashes(MANY))
    assert abs(len(test) / MANY - 0.2) < 4 * np.sqrt(0.2 * 0.8 / MANY)
    assert sorted([*train, *test]) == list(range(MANY))


@pytest.mark.parametrize("kind", ["random", "stratified", "group"])
def test_old_rows_keep_their_side_when_rows_are_added_anywhere(kind: str) -> None:
    old, keys = frame(MANY), hashes(MANY)
    _, before = split(old, "y", recipe(kind, column="shop"), keys)
    more = pd.concat([frame(999), old, frame(4_000)], ignore_index=True)
    more_keys = np.concatenate([hashes(999, 2), keys, hashes(4_000, 3)])
    _, after = split(more, "y", recipe(kind, column="shop"), more_keys)
    inside = after[(after >= 999) & (after < 999 + MANY)] - 999
    assert np.array_equal(before, inside)


def test_few_stratified_rows_that_are_added_move_few_old_ones() -> None:
    old, keys = frame(2_000), hashes(2_000)
    _, before = split(old, "y", recipe("stratified"), keys)
    more = pd.concat([old, frame(100)], ignore_index=True)
    _, after = split(more, "y", recipe("stratified"), np.concatenate([keys, hashes(100, 2)]))
    moved = set(before) ^ set(after[after < 2_000])
    assert len(moved) < 0.01 * 2_000


def test_small_tables_are_stratified_exactly() -> None:
    for rows in (60, 777, EXACT_ROWS):
        table = frame(rows)
        _, test = split(table, "y", recipe("stratified"), hashes(rows))
        for label, count in table["y"].value_counts().items():
            assert (table["y"].iloc[test] == label).sum() == max(1, round(0.2 * count))


def test_a_rare_class_of_a_large_table_has_rows_on_both_sides() -> None:
    table = frame(MANY)
    table["y"] = "common"
    table.loc[[5, 17, 4711], "y"] = "rare"
    for seed in range(30):
        train, test = split(table, "y", recipe("stratified", seed=seed), hashes(MANY))
        assert {5, 17, 4711} & set(train)
        assert {5, 17, 4711} & set(test)


@pytest.mark.parametrize(("kind", "rows"), [("random", 900), ("stratified", 900), ("stratified", 9_000)])
def test_equal_rows_are_on_one_side(kind: str, rows: int) -> None:
    keys = RNG.integers(0, rows // 4, rows).astype(np.uint64)
    train, test = split(frame(rows).assign(y="a"), "y", recipe(kind), keys)
    assert len(test)
    assert not set(keys[train]) & set(keys[test])


def test_the_seed_changes_the_sides_and_nothing_else_does() -> None:
    table, keys = frame(500), hashes(500)
    first = split(table, "y", recipe(seed=1), keys)[1]
    assert np.array_equal(first, split(table, "y", recipe(seed=1), keys)[1])
    assert not np.array_equal(first, split(table, "y", recipe(seed=2), keys)[1])


def test_uniforms_are_uniform_even_for_hashes_that_are_not() -> None:
    counted = np.bincount((uniforms(np.arange(100_000), 3) * 10).astype(int), minlength=10)
    assert abs(counted - 10_000).max() < 4 * np.sqrt(10_000)
    assert abs(np.corrcoef(uniforms(np.arange(100_000), 3), uniforms(np.arange(100_000), 4))[0, 1]) < 0.02


def test_sides_are_pinned_so_that_no_release_moves_old_rows() -> None:
    def splitmix(state: int) -> float:
        z = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return ((z ^ (z >> 31)) >> 11) / 2**53

    keys = [0, 1, 2**63, 2**64 - 1]
    expected = [splitmix(key + 42 * 0x9E3779B97F4A7C15) for key in keys]
    assert uniforms(np.array(keys, dtype=np.uint64), 42).tolist() == expected
    assert round(expected[0], 6) == 0.030709


@pytest.mark.parametrize("as_type", ["timestamp", "zone", "date", "text", "number"])
def test_time_tests_on_the_latest_rows_with_equal_times_together(as_type: str) -> None:
    table = frame(2_000)
    days = (table["when"] - table["when"].min()).dt.days
    table["when"] = {
        "timestamp": table["when"],
        "zone": table["when"].dt.tz_localize("America/New_York"),
        "date": table["when"].dt.date,
        "text": table["when"].dt.strftime("%Y-%m-%d"),
        "number": days,
    }[as_type]
    train, test = split(table, "y", recipe("time", column="when"), hashes(2_000))
    assert days.iloc[train].max() < days.iloc[test].min()
    assert abs(len(test) / 2_000 - 0.2) < 0.01


def test_time_takes_the_side_nearest_to_the_share_when_most_times_are_equal() -> None:
    table = pd.DataFrame({"y": "a", "when": [1] * 10 + [2] * 80 + [3] * 10})
    assert len(split(table, "y", recipe("time", column="when"), hashes(100))[1]) == 10
    table = pd.DataFrame({"y": "a", "when": [1] * 10 + [2] * 90})
    assert len(split(table, "y", recipe("time", column="when"), hashes(100))[1]) == 90


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ([1.0, None, 3.0], WrongType),
        ([None, None, None], AllMissing),
        ([2, 2, 2], TooFewRows),
        (["soon", "later", "never"], WrongType),
    ],
)
def test_times_that_give_no_order_are_refused(values: list[object], error: type[Exception]) -> None:
    table = pd.DataFrame({"y": ["a", "b", "a"], "when": values})
    with pytest.raises(error, match="'when'"):
        split(table, "y", recipe("time", column="when"), hashes(3))


def test_groups_stay_whole_whatever_type_their_column_has() -> None:
    table, keys = frame(MANY), hashes(MANY)
    train, test = split(table, "y", recipe("group", column="shop"), keys)
    assert not set(table["shop"].iloc[train]) & set(table["shop"].iloc[test])
    as_float = split(table.astype({"shop": float}), "y", recipe("group", column="shop"), keys)[1]
    assert np.array_equal(test, as_float)


def test_two_groups_are_one_on_each_side() -> None:
    table = pd.DataFrame({"y": "a", "shop": ["north"] * 5 + ["south"] * 5})
    for seed in range(20):
        train, test = split(table, "y", recipe("group", column="shop", seed=seed), hashes(10))
        assert len(train) == len(test) == 5


def test_rows_without_group_are_one_group() -> None:
    table = pd.DataFrame({"y": "a", "shop": ["x"] * 50 + [None] * 50})
    train, test = split(table, "y", recipe("group", column="shop"), hashes(100))
    assert {len(train), len(test)} == {50}


@pytest.mark.parametrize(
    ("chosen", "error", "match"),
    [
        (recipe("random", 1.0), InvalidSettings, "test_size is 1.0"),
        (recipe("random", 0.0), InvalidSettings, "test_size is 0.0"),
        (recipe("time"), InvalidSettings, "time split needs a column"),
        (recipe("group", column="shopp"), UnknownColumn, "'shopp'.*Did you mean 'shop'"),
    ],
)
def test_split_settings_that_make_no_sense_are_refused(
    chosen: Recipe, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        split(frame(50), "y", chosen, hashes(50))


def test_one_group_only_is_refused() -> None:
    with pytest.raises(TooFewRows, match="one group only"):
        split(frame(50).assign(shop=1), "y", recipe("group", column="shop"), hashes(50))


@pytest.mark.parametrize("kind", ["random", "stratified", "group"])
def test_each_row_is_judged_once_in_folds(kind: str) -> None:
    table = frame(1_000)
    folds = list(fold(table, "y", recipe(kind, column="shop", folds=5), hashes(1_000)))
    assert sorted(np.concatenate([judged for _, judged in folds])) == list(range(1_000))
    for fitting, judged in folds:
        assert sorted([*fitting, *judged]) == list(range(1_000))
        assert abs(len(judged) - 200) < (1 if kind == "random" else 10)
        if kind == "stratified":
            share = (table["y"].iloc[judged] == "c").mean()
            assert abs(share - (table["y"] == "c").mean()) < 0.006
        if kind == "group":
            assert not set(table["shop"].iloc[fitting]) & set(table["shop"].iloc[judged])


def test_equal_rows_are_in_one_fold() -> None:
    keys = RNG.integers(0, 100, 400).astype(np.uint64)
    for fitting, judged in fold(frame(400), "y", recipe(folds=4), keys):
        assert not set(keys[fitting]) & set(keys[judged])


def test_folds_do_not_depend_on_the_order_of_rows() -> None:
    table, keys = frame(300), hashes(300)
    order = RNG.permutation(300)
    asked = recipe("stratified", folds=3)
    straight = [set(keys[judged]) for _, judged in fold(table, "y", asked, keys)]
    shuffled = [set(keys[order][judged]) for _, judged in fold(table.iloc[order], "y", asked, keys[order])]
    assert straight == shuffled


def test_time_folds_judge_the_future_only() -> None:
    table = frame(300).sample(frac=1, random_state=1)
    table["when"] = np.arange(300)[::-1]
    for past, future in fold(table, "y", recipe("time", column="when", folds=4), hashes(300)):
        assert table["when"].iloc[past].max() < table["when"].iloc[future].min()


def test_fewer_groups_or_contents_than_folds_are_refused() -> None:
    with pytest.raises(TooFewRows, match="3 groups"):
        list(
            fold(
                frame(30).assign(shop=[1, 2, 3] * 10),
                "y",
                recipe("group", column="shop", folds=5),
                hashes(30),
            )
        )
    with pytest.raises(TooFewRows, match="5 different contents"):
        list(fold(frame(30), "y", recipe(folds=5), np.arange(30, dtype=np.uint64) % 2))
