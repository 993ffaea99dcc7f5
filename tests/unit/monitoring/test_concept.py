"""The default detector of concept drift: its arithmetic, its memory, and its promises over many streams."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from tests.unit.monitoring.answering import errors

from everloop.core.errors import Invalid, TooFewRows
from everloop.monitoring.concept import RisingLoss, judged, reference_losses

ROWS = 10_000
RUN = 20_000


def detector(seed: int = 1, share: float = 0.2, r: float = 0.0, run: float = RUN) -> RisingLoss:
    return RisingLoss(
        reference_losses(errors(np.random.default_rng(seed), ROWS, share, r), ordered=True), average_run=run
    )


def changing(seed: int, before: float, after: float, at: int = 5_000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([errors(rng, at, before), errors(rng, 10_000, after)])


def test_the_evidence_is_that_of_the_definition():
    """M = (M + 1) L for every bet, label by label, averaged over the bets."""
    reference = reference_losses(errors(np.random.default_rng(1), ROWS, 0.2), ordered=False)
    stream = errors(np.random.default_rng(2), 60, 0.3)
    limit = reference.limit
    bets = np.minimum(np.array([0.1, 0.25, 0.5, 1.0, 2.0]) * limit / reference.variance, 0.9 / limit)
    m = np.zeros(len(bets))
    for loss in stream:
        m = (m + 1) * (1 + bets * (loss - limit))
    ours = RisingLoss(reference)
    ours.update(stream)
    assert ours.evidence == pytest.approx(m.mean())


def test_a_long_silence_does_not_break_the_arithmetic():
    """Wealth of e-3000 in one block, and a rise after it."""
    ours = detector(share=0.5)
    assert not ours.update(np.zeros(200_000))
    assert 0 < ours.evidence < 10
    assert ours.update(np.ones(2_000))[0] < 60


def test_the_limit_is_a_tenth_above_the_mean_or_the_references_own_error():
    many = reference_losses(np.tile([0.0, 0, 0, 0, 1], 20_000), ordered=False)
    few = reference_losses(np.tile([0.0, 0, 0, 0, 1], 20), ordered=False)
    assert many.limit == pytest.approx(0.22)
    assert few.limit == pytest.approx(0.2 + 1.645 * 0.04)
    perfect = reference_losses(np.zeros(1_000), ordered=True)
    assert 0 < perfect.limit < 0.01


def test_a_rise_is_found_and_dated():
    ours = detector()
    alarms = ours.feed(changing(3, 0.2, 0.4), np.arange(15_000))
    first = alarms[0]
    assert 5_000 <= first.at < 5_400
    assert abs(first.since - 5_000) < 200
    assert 0.3 < first.mean < 0.6
    assert first.labels == first.at - first.since + 1
    assert first.evidence >= RUN


def test_it_starts_anew_after_an_alarm():
    alarms = detector().feed(changing(3, 0.2, 0.4), np.arange(15_000))
    assert len(alarms) > 20
    assert all(one.at < two.since for one, two in pairwise(alarms))


def test_an_improvement_raises_no_alarm():
    assert not detector().feed(changing(4, 0.2, 0.02), np.arange(15_000))


def test_how_the_stream_is_cut_makes_no_difference():
    stream, at = changing(5, 0.2, 0.26), np.arange(15_000) * 3
    whole, parts = detector(), detector()
    expected = whole.feed(stream, at)
    found = []
    for rows in np.split(np.arange(15_000), [0, 1, 127, 500, 1_024, 4_999, 7_777, 12_000]):
        found += parts.feed(stream[rows], at[rows])
    assert [(a.at, a.since, a.labels) for a in found] == [(a.at, a.since, a.labels) for a in expected]
    assert parts.evidence == pytest.approx(whole.evidence)
    assert len(expected) > 1


def test_a_window_that_comes_twice_changes_nothing():
    stream = changing(6, 0.2, 0.2)
    ours = detector()
    ours.feed(stream[:3_000], np.arange(3_000))
    evidence, state = ours.evidence, ours.state
    assert not ours.feed(stream[1_000:3_000], np.arange(1_000, 3_000))
    assert ours.evidence == evidence
    assert ours.state.bursts == state.bursts
    assert ours.state.late == 2_000
    ours.feed(stream[2_000:4_000], np.arange(2_000, 4_000))
    once = detector()
    once.feed(stream[:4_000], np.arange(4_000))
    assert ours.evidence == pytest.approx(once.evidence)


def test_a_document_continues_where_it_was_left():
    stream = changing(7, 0.2, 0.26)
    whole, first = detector(), detector()
    expected = whole.feed(stream, np.arange(15_000))
    found = first.feed(stream[:5_200], np.arange(5_200))
    text = json.dumps(first.to_document(), allow_nan=False)
    assert len(text) < 3_000
    again = RisingLoss.from_document(json.loads(text))
    assert again.state == first.state
    found += again.feed(stream[5_200:], np.arange(5_200, 15_000))
    assert [(a.at, a.since) for a in found] == [(a.at, a.since) for a in expected]
    assert RisingLoss.from_document(detector().to_document()).evidence == 0.0


def test_losses_without_limit_are_cut_off():
    rng = np.random.default_rng(8)
    usual = rng.exponential(size=ROWS)
    losses = reference_losses(usual, ordered=True)
    assert losses.scale == pytest.approx(np.quantile(usual, 0.995))
    ours = RisingLoss(losses, average_run=RUN)
    assert not ours.update(rng.exponential(size=10_000))
    assert not ours.update([np.inf])
    at = ours.update(1.3 * rng.exponential(size=3_000))
    assert at
    assert at[0] < 1_500


def test_missing_losses_are_left_out_and_counted():
    stream = changing(9, 0.2, 0.4)
    holes = np.insert(stream, 100, [np.nan] * 50)
    ours, plain = detector(), detector()
    alarms = ours.update(holes)
    assert ours.state.left_out == 50
    assert alarms == [at + 50 for at in plain.update(stream)]


def test_what_a_window_came_to_is_said():
    ours = detector()
    quiet = judged(ours, ours.feed(changing(10, 0.2, 0.4)[:5_000], np.arange(5_000)), 5_000)
    assert not quiet.fired
    assert "5,000 labels" in quiet.message
    loud = judged(ours, ours.feed(changing(10, 0.2, 0.4)[5_000:], np.arange(5_000, 15_000)), 10_000)
    assert loud.fired
    assert loud.level == "critical"
    assert loud.usual == pytest.approx(0.2, abs=0.02)
    assert loud.value > loud.floor > loud.usual
    assert loud.details["since"] <= loud.details["at"]


@pytest.mark.parametrize(
    ("losses", "sequences", "words"),
    [
        ([0, 1, 0], [1, 3, 2], "Sequence 2 follows 3"),
        ([0, 1, 0], [1, 2, 2], "Sequence 2 follows 2"),
        ([0, 1], [1, 2, 3], "2 losses and 3 sequences"),
        ([0, -1], [1, 2], "A loss is -1"),
    ],
)
def test_what_cannot_be_is_refused(losses, sequences, words):
    with pytest.raises(Invalid, match=words):
        detector().feed(losses, sequences)


def test_an_empty_window_and_too_small_a_reference():
    assert detector().feed([], []) == []
    with pytest.raises(TooFewRows, match="100 losses"):
        reference_losses(np.zeros(99), ordered=True)
    with pytest.raises(Invalid, match="100 labels or more"):
        detector(run=5)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_false_alarms_of_independent_errors(share):
    """Promised: one in 20,000 labels at most; reached with the margin: one in 100,000."""
    alarms = sum(
        len(detector(seed, share).update(errors(np.random.default_rng(1_000 + seed), 20_000, share)))
        for seed in range(48)
    )
    assert alarms / 96 <= 0.1  # per 10,000 labels


@pytest.mark.parametrize("r", [0.6, 0.9])
def test_false_alarms_of_errors_in_bursts(r):
    alarms = sum(
        len(detector(seed, 0.2, r).update(errors(np.random.default_rng(2_000 + seed), 20_000, 0.2, r)))
        for seed in range(48)
    )
    assert alarms / 96 <= 0.5


def test_bursts_that_a_random_reference_hides_are_learnt_from_the_stream():
    alarms = sum(
        len(detector(seed, 0.2).update(errors(np.random.default_rng(3_000 + seed), 40_000, 0.2, 0.9)))
        for seed in range(16)
    )
    assert alarms / 64 <= 1.5  # ADWIN: 37


def test_without_margin_the_average_run_is_at_least_what_was_asked_for():
    """The theorem itself: the true mean is the limit, and runs are 1,000 labels or more on average."""
    runs = []
    for seed in range(60):
        ours = detector(1, 0.2, run=1_000)
        limit = ours.state.reference.limit
        alarms = ours.update(errors(np.random.default_rng(4_000 + seed), 20_000, limit))
        runs.append(20_000 / max(len(alarms), 1))
    assert 1 / np.mean(1 / np.array(runs)) >= 1_000


@pytest.mark.parametrize(
    ("before", "after", "labels"), [(0.2, 0.3, 500), (0.05, 0.1, 400), (0.15, 0.22, 600)]
)
def test_delays(before, after, labels):
    delays = []
    for seed in range(24):
        alarms = detector(seed, before).update(changing(5_000 + seed, before, after))
        delays.append(next(at for at in alarms if at >= 5_000) - 5_000)
    assert np.median(delays) <= labels
