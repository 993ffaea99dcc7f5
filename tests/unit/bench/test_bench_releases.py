"""The simulated traffic has the rates asked for, and the others' rules give what their examples say."""

import numpy as np
import pytest
from bench.releases import kayenta, ours, peers
from bench.releases.kayenta import Metric, classify, interval, score, verdict
from bench.releases.run import LOOKS, STRATEGIES, run, within
from bench.releases.scenarios import (
    DAY,
    HOUR,
    MINUTE,
    P95,
    P99,
    SCENARIOS,
    SLOW,
    Counts,
    Version,
    World,
)
from scipy.stats import norm, rankdata

from everloop.deployment import events

# -- traffic -----------------------------------------------------------------------------------------------


def drawn(scenario, version, share=0.1, start=0.0, stop=HOUR, client=None, releases=400):
    world = World(scenario, releases, 1)
    return world, world.draw(version, share, start, stop, world.weather(start, stop), client)


def near(found, expected, of):
    """Within five binomial standard errors."""
    return abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / of) + 1e-12


@pytest.mark.parametrize("name", ["equal", "errors x10", "slow", "worse"])
def test_an_arm_sees_its_share_and_answers_as_its_version_does(name):
    version = SCENARIOS[name].candidate
    _, seen = drawn(SCENARIOS[name], version)
    n = seen.requests.sum()
    assert abs(n / 400 / 6_000 - 1) < 0.01
    assert near(seen.refused.sum() / n, 0.01, n)
    assert near(seen.failed.sum() / (n - seen.refused.sum()), version.failed, n)
    answered = seen.answered.sum()
    assert answered == n - seen.refused.sum() - seen.failed.sum()
    assert near(seen.right.sum() / answered, version.accuracy, answered)
    assert near(seen.yes.sum() / answered, 0.4, answered)
    assert near(seen.slow.sum() / answered, version.longer_than(SLOW), answered)


def test_latencies_have_the_quantiles_that_were_asked_for():
    usual = Version()
    assert usual.longer_than(P99) == pytest.approx(0.01)
    assert usual.longer_than(P95) == pytest.approx(0.05)
    assert usual.latency(np.array([0.5, 0.99])) == pytest.approx([40, 200], rel=0.01)
    tail = SCENARIOS["slow tail"].candidate
    assert tail.longer_than(500) == pytest.approx(
        0.95 * usual.longer_than(500) + 0.05 * usual.longer_than(50)
    )


def test_a_noisy_day_has_as_many_requests_as_a_quiet_one_and_bursts_of_errors():
    world = World(SCENARIOS["noisy"], 2_000, 1)
    assert world.expected(0, DAY) == pytest.approx(24 * 60_000)
    hour = world.expected(0, HOUR)
    assert hour.min() < 20_000 < 100_000 < hour.max()
    errors, gain, _ = world.weather(0, MINUTE)
    assert errors.mean() == pytest.approx(1, abs=0.1)
    assert np.mean(errors > 2) == pytest.approx(2 * norm.sf(np.sqrt(2)), abs=0.03)  # chi-square of 1 degree
    assert abs(gain).max() == pytest.approx(0.03, abs=0.001)


def test_an_outage_takes_half_of_the_requests_while_it_lasts():
    scenario = SCENARIOS["outage"]
    for (start, stop), share in (((2, 12), 0.5), ((0, 12), 5 / 12), ((12, 20), 0.0)):
        _, seen = drawn(scenario, scenario.champion, start=start * MINUTE, stop=stop * MINUTE)
        taken = seen.requests.sum() - seen.refused.sum()
        assert near(seen.failed.sum() / taken, 0.005 + 0.995 * share, taken)


def test_the_one_client_is_in_one_arm_with_all_its_requests():
    scenario = SCENARIOS["client"]
    inside = np.arange(400) < 40
    _, seen = drawn(scenario, Version(), client=inside)
    assert seen.requests[inside].mean() / 60_000 == pytest.approx(0.1 * 0.7 + 0.3, abs=0.001)
    assert seen.requests[~inside].mean() / 60_000 == pytest.approx(0.1 * 0.7, abs=0.001)
    assert seen.units.mean() / 60_000 == pytest.approx(0.1 * 0.7, abs=0.001)


def test_the_first_ten_requests_fail_and_no_other():
    scenario = SCENARIOS["first ten"]
    world, calm = World(scenario, 200, 1), World(SCENARIOS["equal"], 200, 1)
    first, later, usual = (
        each.draw(version, 0.1, at, at + HOUR, each.weather(at, at + HOUR))
        for each, version, at in (
            (world, scenario.candidate, 0.0),
            (world, scenario.candidate, HOUR),
            (calm, Version(), 0.0),
        )
    )
    assert first.failed.mean() - usual.failed.mean() == pytest.approx(10, abs=2)
    assert later.failed.mean() == pytest.approx(usual.failed.mean(), abs=2)


def test_bad_answers_are_those_beyond_the_champions():
    assert SCENARIOS["equal"].excess == pytest.approx(0)
    assert SCENARIOS["worse"].excess == pytest.approx(0.99 * 0.995 * 0.02)
    late = 0.995 * (1 - norm.cdf(np.log(SLOW / 40) / (np.log(5) / norm.ppf(0.99))))
    wrong = 0.995 * 0.1
    assert SCENARIOS["broken"].excess == pytest.approx(0.99 * (0.995 - late - wrong))


# -- Kayenta -----------------------------------------------------------------------------------------------

UP = Metric("m", "increase")


def test_kayenta_passes_seven_samples_of_ten_that_are_a_hundred_times_as_high():
    """spinnaker/kayenta#780: interval 0 to 99, estimate 99; the eighth makes it fail."""
    baseline = np.ones(10)
    seven, eight = (np.repeat([100.0, 1.0], [n, 10 - n]) for n in (7, 8))
    assert interval(seven, baseline) == (0, 99, 99)
    assert classify(UP, seven, baseline) == "Pass"
    assert classify(UP, eight, baseline) == "High"
    assert classify(Metric("m", "decrease"), eight, baseline) == "Pass"
    assert classify(Metric("m", "decrease"), baseline, eight) == "Low"
    assert classify(Metric("m", "increase", effect=(1.0, 100.0)), eight, baseline) == "Pass"


def test_kayenta_passes_a_shift_whose_low_end_is_within_a_quarter_of_the_estimate():
    rng = np.random.default_rng(3)
    baseline, canary = rng.normal(10, 2, 35), rng.normal(10, 2, 40)
    little, more = canary - np.median(canary) + 11.7, canary - np.median(canary) + 13.0
    low, _, estimate = interval(little, baseline)
    assert 0 < low < 0.25 * estimate
    assert classify(UP, little, baseline) == "Pass"
    low, _, estimate = interval(more, baseline)
    assert low > 0.25 * estimate
    assert classify(UP, more, baseline) == "High"


@pytest.mark.parametrize("ties", [False, True])
def test_kayentas_interval_is_where_its_statistic_crosses_the_quantile(ties):
    """Its own way to it: a root of a standardised rank sum, which falls as the shift grows."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(10.5, 2, 40), rng.normal(10, 2, 35)
    if ties:
        x, y = x.round(), y.round()
    for end, quantile in zip(interval(x, y), (norm.ppf(0.99), norm.ppf(0.01), 0.0), strict=True):
        below, above = (_statistic(x, y, end + step) for step in (-1e-6, 1e-6))
        assert below >= quantile >= above
        assert below > above


def _statistic(x, y, shift):
    ranks = rankdata(np.concatenate((x - shift, y)))
    n, m = len(x), len(y)
    distance = ranks[:n].sum() - n * (n + 1) / 2 - n * m / 2
    _, counts = np.unique(ranks, return_counts=True)
    sigma = np.sqrt(n * m / 12 * (n + m + 1 - (counts**3 - counts).sum() / ((n + m) * (n + m - 1))))
    return (distance - 0.5 * np.sign(distance)) / sigma


def test_kayenta_and_missing_samples():
    none, some = np.full(5, np.nan), np.array([1.0, 2.0, np.nan, 3.0, np.nan])
    assert classify(UP, none, some) == "Nodata"
    assert classify(Metric("m", "increase", "replace"), none, np.zeros(5)) == "Pass"
    assert classify(UP, some, np.array([3.0, 1.0, 2.0])) == "Pass"  # the same values
    assert classify(UP, np.full(9, 5.0), np.full(9, 1.0)) == "High"  # both constant


def test_kayentas_score_and_its_thresholds():
    assert score(["Pass", "Pass", "High"]) == pytest.approx(200 / 3)
    assert score(["Pass", "Nodata"]) == 50
    assert verdict([200 / 3], last=False) == "rolled back"
    assert verdict([75.0], last=False) is None
    assert verdict([100.0, 75.0], last=True) == "rolled back"
    assert verdict([75.0, 100.0], last=True) == "promoted"
    assert (
        kayenta.judge((UP, Metric("n")), {"m": (np.ones(9), np.ones(9)), "n": (np.ones(9), np.ones(9))})
        == 100
    )


# -- fixed thresholds and a test that is peeked at ---------------------------------------------------------


def counts(requests, failed):
    zeros = np.zeros(len(requests), dtype=np.int64)
    requests, failed = np.array(requests), np.array(failed)
    return Counts(requests, requests, failed, zeros, zeros, zeros, requests - failed, zeros, zeros)


def test_flaggers_checks():
    """99 % of successes at least, 1 % over 500 ms at most; no requests are no values."""
    seen = counts([100, 100, 100, 100, 0], [1, 2, 0, 0, 0])
    assert peers.healthy(seen, np.array([0, 0, 1, 2, 0])).tolist() == [True, False, True, False, False]


def test_flagger_takes_five_good_minutes_or_rolls_back_at_the_tick_after_the_fifth_bad_one():
    flawless = Version(failed=0.0, slower=((1.0, 0.01),))
    good = peers.flagger(_scenario("equal", flawless), 20, 1, LOOKS)
    bad = peers.flagger(SCENARIOS["broken"], 20, 1, LOOKS)
    assert (set(good.verdict), set(good.time)) == ({"promoted"}, {5 * MINUTE})
    assert good.exposed == pytest.approx(1_000 * (0.1 + 0.2 + 0.3 + 0.4 + 0.5))
    assert (set(bad.verdict), set(bad.time)) == ({"rolled back"}, {6 * MINUTE})
    assert bad.exposed == pytest.approx(1_000 * 0.1 * 6)


def _scenario(name, candidate):
    return type(SCENARIOS[name])("x", "x", candidate, ())


def test_argos_measurements():
    """95 % at least; nothing to divide by is no success; the fourth that fails aborts, 5 minutes apart from
    the tenth minute on."""
    assert peers.successful(counts([100, 100, 0], [5, 6, 0])).tolist() == [True, False, False]
    found = peers.argo(SCENARIOS["broken"], 20, 1, LOOKS)
    assert (set(found.verdict), set(found.time)) == ({"rolled back"}, {25 * MINUTE})
    assert found.exposed == pytest.approx(10_000 * (0.2 + 0.4) + 5_000 * 0.6)


def test_a_pooled_test_of_two_proportions():
    """60 and 40 of 100: z = 0.2 / sqrt(0.5 * 0.5 * 0.02) = 2.83; 55 and 45: 1.41."""
    hits, others = np.array([60, 55, 40, 20]), np.array([40, 45, 60, 2])
    units = np.array([100, 100, 100, 29])
    assert peers.larger(hits, units, others, units).tolist() == [True, False, False, False]


# -- ours, and the lines -----------------------------------------------------------------------------------


def test_what_is_foreseen_is_what_the_judge_works_out():
    hits, misses = np.array([0, 3, 12]), np.array([4, 3, 1])
    ours.FORESEEN.foresee([(hits, misses)], 0.5)
    with ours.foreseeing():
        found = [events.evidence(int(a), int(b), 0.5) for a, b in zip(hits, misses, strict=True)]
    assert found == [float(events.evidence(a, b, 0.5)) for a, b in zip(hits, misses, strict=True)]
    assert ours.FORESEEN.known[12, 1, 0.5] == found[2]
    assert events.evidence is ours.FORESEEN.compute


@pytest.mark.parametrize("strategy", ["canary", "blue-green", "rolling", "shadow, canary"])
def test_a_broken_candidate_is_rolled_back_by_the_judge(strategy):
    line = run("broken", strategy, 20)
    assert (line.rolled_back, line.false) == (20, 0)
    assert line.time <= MINUTE
    assert line.after == line.before < 100


def test_equal_candidates_are_promoted_and_those_directly_released_always():
    line = run("equal", "canary", 10)
    assert line.promoted >= 8
    assert DAY < line.time < 3 * DAY
    assert run("broken", "direct", 10).false == 10
    assert line.after == pytest.approx(0, abs=1e-6)


def test_a_share_of_nothing_is_not_surely_nothing():
    assert within(0, 1_000) == (0.0, pytest.approx(0.00368, abs=1e-5))
    assert within(50, 1_000) == pytest.approx((0.0373, 0.0654), abs=1e-4)
    assert within(7, 7)[1] == 1.0
    assert set(STRATEGIES) >= {"canary", "flagger", "argo", "kayenta", "peeked test"}
