"""The worlds that monitoring is scored on are what they are said to be, and its page counts rightly."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from bench.drift import environments, flights, jobs, ours, run, showing, worlds
from bench.drift.goals import goals
from bench.drift.jobs import OURS, Line
from bench.drift.page import page
from bench.drift.worlds import CHANGES, World
from scipy.stats import spearmanr

# -- worlds ------------------------------------------------------------------------------------------------


def lag(values):
    return spearmanr(values[1:], values[:-1]).statistic


def test_a_world_is_the_same_whenever_it_is_asked_and_another_with_another_seed():
    first, again, other = (World(seed).rows(500, part=1) for seed in (1, 1, 2))
    assert len(first) == 50
    assert all(np.array_equal(first[name], again[name], equal_nan=True) for name in first)
    assert not np.array_equal(first["x05"], other["x05"])
    assert not np.array_equal(first["x05"], World(1).rows(500, part=2)["x05"])


def test_rows_depend_on_those_before_as_asked():
    name = World(1).smooth[0]
    independent, memory, average = (
        lag(world.rows(20_000, part=1)[name])
        for world in (World(1), World(1, memory=0.95), World(1, average=30))
    )
    assert abs(independent) < 0.03
    assert memory == pytest.approx(0.95, abs=0.02)
    assert average == pytest.approx(29 / 30, abs=0.02)


def test_a_seasonal_feature_swings_by_half_a_standard_deviation_and_others_do_not():
    world = World(1, season=True)
    columns = world.rows(70_000, part=1, window=1_000)
    phase = np.arange(70_000) // 1_000 % worlds.PHASES
    swings = []
    for name in ("x24", "x35"):
        ranks = np.argsort(np.argsort(columns[name])) / 70_000
        swings.append(np.ptp([ranks[phase == each].mean() for each in range(worlds.PHASES)]))
    assert swings[0] > 0.25
    assert swings[1] < 0.05


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_of_its_size_and_in_the_named_column_only(change):
    world = World(3)
    usual = world.rows(20_000, part=0)
    columns, names = worlds.change_at(world, usual, change, 20_000, 1, 0)
    part = 1_000 + 500 + 10 * CHANGES.index(change)
    before = world.rows(20_000, part=part)
    moved = {name for name in before if not np.array_equal(before[name], columns[name], equal_nan=True)}
    if change.startswith("correlation"):
        assert moved == {"x01"}
        assert np.corrcoef(before["x00"], before["x01"])[0, 1] == pytest.approx(0.6, abs=0.02)
        assert np.corrcoef(columns["x00"], columns["x01"])[0, 1] == pytest.approx(0.3, abs=0.02)
        assert columns["x01"].std() == pytest.approx(before["x01"].std(), rel=0.03)
        return
    assert moved == set(names)
    was, now = before[names[0]], columns[names[0]]
    if change.startswith("mean"):
        assert (now.mean() - was.mean()) / usual[names[0]].std() == pytest.approx(0.25, abs=0.01)
    elif change.startswith("sd"):
        assert now.std() / was.std() == pytest.approx(1.5)
    elif change.startswith("category"):
        gains = np.bincount(now, minlength=5) / 20_000 - np.bincount(was, minlength=5) / 20_000
        assert gains.max() == pytest.approx(0.1, abs=0.015)
    elif change.startswith("new"):
        assert np.mean(now == worlds.NEW) == pytest.approx(0.01, abs=0.003)
    else:
        assert np.isnan(was).mean() == pytest.approx(0.01, abs=0.003)
        assert np.isnan(now).mean() == pytest.approx(0.03, abs=0.004)


def test_errors_have_their_share_and_their_bursts_and_change_where_they_should():
    usual, now = worlds.stream(1, 0.2, 0.4, 0.9, 100_000)
    assert len(usual) == 10_000
    assert [now[:100_000].mean(), now[100_000:].mean()] == pytest.approx([0.2, 0.4], abs=0.02)
    assert np.corrcoef(now[1:100_000], now[: 100_000 - 1])[0, 1] == pytest.approx(0.9, abs=0.02)


def test_alarms_are_false_before_the_change_and_late_after_it():
    at = np.array([5, 90, 130, 150])
    assert worlds.judged(at, 0.2, 0.3, 100) == ((2, 100), 30)
    assert worlds.judged(at, 0.2, 0.2, 100) == ((4, 200), 30)
    assert worlds.judged(at[:2], 0.2, 0.3, 100) == ((2, 100), None)


# -- ours, small -------------------------------------------------------------------------------------------


def test_ours_on_few_windows(monkeypatch):
    monkeypatch.setattr(ours, "REFERENCE", 7_000)
    found = ours.quiet("seasonal", 1_000, [5], 3)
    assert (found["alarms"], found["windows"]) == (0, 3)
    found = ours.power(1_000, [5], 1)
    assert found["new level 1 %"] == {"draws": 1, "alone": 1, "first": 1, "second": 1, "third": 1}
    assert found["mean +.25 sd"]["first"] <= found["mean +.25 sd"]["third"]


def test_the_reference_is_stored_and_the_check_reads_it(tmp_path):
    file = str(tmp_path / "reference.json")
    built = ours.build(6_000, file)
    assert built["stored"] == (tmp_path / "reference.json").stat().st_size
    assert ours.check(file, 2_000, times=1)["check"] > 0


def test_ours_on_a_stream_of_errors():
    found = ours.stream(0.2, 0.5, 0.0, [1, 2], 3_000)
    assert (found["false"], found["labels"]) == (0, 6_000)
    assert max(found["delays"]) < 300


def test_every_peer_has_an_environment_and_every_job_a_part():
    assert set(jobs.ENVIRONMENT.values()) <= set(environments.PACKAGES)
    chosen = [*jobs._speed(True), *jobs._quiet(True), *jobs._power(True), *jobs._streams(True)]
    assert {job.part for job in chosen} <= set(run.PARTS)
    assert {job.python for job in chosen} - {OURS} <= set(environments.PACKAGES)


# -- the page ----------------------------------------------------------------------------------------------


def test_auc_and_its_variance_are_those_of_a_plain_count():
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=200)
    scores = np.round(rng.normal(truth, 1), 1)
    pairs = scores[truth == 1][:, None] - scores[truth == 0][None, :]
    over = (pairs > 0) + 0.5 * (pairs == 0)
    value, variance = flights.auc(truth, scores)
    assert value == pytest.approx(over.mean())
    by_row = over.mean(axis=1).var(ddof=1) / over.shape[0] + over.mean(axis=0).var(ddof=1) / over.shape[1]
    assert variance == pytest.approx(by_row)


def test_alerts_are_scored():
    drops = [True, True, False, False]
    found = showing.score([True, False, True, False], drops)
    assert found == {"true": 1, "precision": 0.5, "recall": 0.5, "f1": 0.5, "accuracy": 0.5}
    never = showing.score([False] * 4, drops)
    assert np.isnan(never["precision"])
    assert (never["recall"], never["f1"]) == (0, 0)


LINES = (
    Line("speed", "build", OURS, {"build": 1.0, "build_memory": 9.0, "stored": 251_000, "usual": 100}),
    Line("speed", "check", OURS, {"check": 0.1, "check_memory": 9.0, "rows": 10}),
    Line(
        "speed", "both", "NannyML",
        {"build": 9, "check": 0.9, "check_memory": 300, "build_memory": 1, "stored": 1e6}
        | {"usual": 100, "rows": 10},
    ),
    Line("quiet", "independent, 1,000 rows", OURS, {"alarms": 3, "windows": 1_000}),
    Line("quiet", "independent, 1,000 rows", "whylogs", {"alarms": 9, "windows": 9}),
    Line("quiet", "seasonal, 1,000 rows", OURS, {"alarms": 0, "windows": 299}),
    Line("errors", ".2 to .3", OURS, {"false": 0, "labels": 1, "delays": [550, None, 540], "speed": 1e6}),
    Line("errors", ".2 to .3", "ADWIN", {"false": 0, "labels": 1, "delays": [500], "speed": 1e6}),
    Line("flights", "inputs", "whylogs", error="not done after 5 s"),
)  # fmt: skip


def test_goals_say_what_was_not_reached():
    told = goals(LINES).splitlines()
    verdicts = [line.rsplit("|", 2)[1].strip() for line in told[2:]]
    assert verdicts == ["reached", "reached", "**NOT**", "reached", "**NOT**", "-", "reached"]
    assert "NannyML 0.9 | 0.1 " in told[2]
    assert "whylogs 1000" in told[6]
    assert "| 550 | ADWIN 500 | 550 |" in told[8]


def test_the_page_shows_every_part_and_what_failed(tmp_path, capsys):
    shown = page(LINES)
    assert "0.9 (9x)" in shown
    assert "- whylogs, inputs: not done after 5 s" in shown
    file = tmp_path / "out.json"
    older = [
        asdict(Line("errors", ".2 to .3", "ADWIN", {"false": 9, "labels": 1, "delays": [1], "speed": 1}))
    ]
    file.write_text(json.dumps(older + [asdict(each) for each in LINES]))
    run.main(["--read", str(file), "--page", str(tmp_path / "page.md")])
    assert "ADWIN 500" in capsys.readouterr().out
    assert (tmp_path / "page.md").read_text().startswith("# Monitoring, side by side")
