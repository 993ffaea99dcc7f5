"""What the last candidates gained speaks for the next one, and how seldom it does so wrongly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from everloop.core.decisions import BASELINE, Comparison, GateVerdict
from everloop.retraining import remembered, trial

REACH = float(norm.ppf(0.975))
CANDIDATES, EVERY, WORLDS = 8, 4, 250


def verdict(gain, error, against="1", confidence=0.95, **other):
    """Of a candidate that lowers a loss of 1 by ``gain``."""
    reach = float(norm.ppf((1 + confidence) / 2)) * error
    found = Comparison("log_loss", 1.0, 1.0 - gain, gain, gain - reach, gain + reach, 500, confidence)
    it = GateVerdict(gain > reach, "better, a gain that may be chance", found, against=against)
    return replace(it, **other)


def of_loss(it, **other):
    return replace(it, comparison=replace(it.comparison, **other))


DOUBTFUL = verdict(0.04, 0.03, "3")
GAINED = [verdict(0.05, 0.02, "1"), verdict(0.04, 0.015, "2")]


def test_one_that_may_be_chance_goes_out_after_others_that_gained():
    found = remembered.judge(DOUBTFUL, GAINED, 0.0)
    assert found == replace(DOUBTFUL, promote=True, reason=found.reason)
    assert found.reason.startswith("better, a gain that may be chance by itself; with what the last 2 candi")
    assert "gained (4.5% of the loss on average) it is better with a probability of 98." in found.reason
    one = remembered.judge(DOUBTFUL, [verdict(0.05, 0.01, "1")], 0.0)
    assert "with what the last candidate gained (5.0% of the loss) it is" in one.reason


@pytest.mark.parametrize(
    ("now", "earlier"),
    [
        (DOUBTFUL, []),
        (DOUBTFUL, [verdict(0.0, 0.02, "1"), verdict(-0.02, 0.02, "2")]),  # others gained nothing
        (DOUBTFUL, [verdict(0.05, 0.02, "3")] * 2),  # rows of this comparison
        (DOUBTFUL, [replace(each, against=BASELINE) for each in GAINED]),  # no champion to compare with
        (verdict(0.02, 0.03, "3"), GAINED),  # its own rows hardly favour it
        (verdict(-0.01, 0.03, "3"), GAINED),
        (replace(DOUBTFUL, worse_slices=("plan=basic",)), GAINED),
        (replace(DOUBTFUL, against=None), GAINED),
        (replace(DOUBTFUL, comparison=None), GAINED),
        (of_loss(DOUBTFUL, metric="roc_auc"), GAINED),
        (of_loss(DOUBTFUL, champion=0.0), GAINED),
        (of_loss(DOUBTFUL, metric="brier"), GAINED),  # others were judged by another metric
        (of_loss(DOUBTFUL, low=0.04, high=0.04), GAINED),
        (DOUBTFUL, [replace(each, comparison=None) for each in GAINED]),
        (DOUBTFUL, [of_loss(each, low=0.05, high=0.05) for each in GAINED]),  # the same answers
    ],
)
def test_the_verdict_stays_where_they_say_nothing_of_it(now, earlier):
    assert remembered.judge(now, earlier, 0.0) is now


def test_of_each_champion_the_last_one_counts():
    lucky = verdict(0.05, 0.01, "1")
    assert remembered.judge(DOUBTFUL, [lucky], 0.0).promote
    assert not remembered.judge(DOUBTFUL, [lucky, verdict(-0.02, 0.01, "1")], 0.0).promote


def test_a_gain_after_the_world_has_changed_once_does_not_speak_for_the_next():
    once = [verdict(0.7, 0.05, "1")]
    assert not remembered.judge(DOUBTFUL, once, 0.0).promote
    assert not remembered.judge(DOUBTFUL, [*once, verdict(0.0, 0.02, "2")], 0.0).promote


def test_a_margin_is_kept():
    small = [verdict(0.03, 0.01, each) for each in ("1", "2")]
    assert remembered.judge(DOUBTFUL, small, 0.0).promote
    assert not remembered.judge(DOUBTFUL, small, 0.012).promote


def test_a_gain_that_is_sure_by_itself_needs_no_others():
    sure = verdict(0.1, 0.02, "3")
    assert remembered.judge(sure, GAINED, 0.0) is sure


def test_it_asks_for_the_confidence_of_the_comparison():
    doubtful = [verdict(0.04, 0.03, "3", confidence) for confidence in (0.95, 0.9999)]
    assert [remembered.judge(each, GAINED, 0.0).promote for each in doubtful] == [True, False]


class World:
    """Every four windows a candidate. Errors of models are independent in each window, on the fifth that is
    held out and on the rest; a candidate is judged on what was held out since its champion was trained, and
    up to three times again on all that came after it."""

    def __init__(self, draw, gain, error, remembers):
        self.draw, self.gain, self.error, self.remembers = draw, gain, error, remembers
        self.noise, self.known = {}, []

    def mean(self, better, worse, begin, end):
        """The difference of two models in some windows: what was held out, and all."""
        for each in (better, worse):
            if each not in self.noise:
                size = (2, CANDIDATES * EVERY + 1)
                self.noise[each] = self.draw.normal(size=size) * [[1], [0.5]] * self.error / np.sqrt(2)
        held, rest = (self.noise[worse] - self.noise[better])[:, begin:end]
        more = self.gain * (better - worse)
        count = end - begin
        return (
            (held.mean() + more, self.error / np.sqrt(count)),
            ((held + 4 * rest).mean() / 5 + more, self.error * np.sqrt(5) / 5 / np.sqrt(count)),
        )

    def judged(self, gain, error, champion, confidence, earlier):
        it = verdict(gain, error, str(champion), confidence)
        return remembered.judge(it, earlier, 0.0) if self.remembers else it

    def promoted(self):
        """The share of the candidates."""
        champion, out, waiting = 0, 0, 0
        confidence = 1 - 0.05 / trial.LOOKS
        for candidate in range(1, CANDIDATES + 1):
            now = candidate * EVERY
            for look in range(1, trial.LOOKS + 1) if waiting else ():
                since = waiting * EVERY
                _, found = self.mean(waiting, champion, since, since + look)
                it = self.judged(*found, champion, confidence, self.known[:-1])
                self.known[-1] = it
                if it.promote:
                    champion, out = waiting, out + 1
                    break
            found, _ = self.mean(candidate, champion, champion * EVERY, now)
            it = self.judged(*found, champion, 0.95, self.known)
            self.known.append(it)
            champion, waiting = (candidate, 0) if it.promote else (champion, candidate)
            out += it.promote
        return out / CANDIDATES


def promoted(gain, error, remembers, seed=1):
    draw = np.random.default_rng(seed)
    return float(np.mean([World(draw, gain, error, remembers).promoted() for _ in range(WORLDS)]))


@pytest.mark.parametrize("error", [0.01, 0.08])
def test_where_none_is_better_few_go_out(error):
    with_past, without = (promoted(0.0, error, remembers) for remembers in (True, False))
    assert with_past <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / (WORLDS * CANDIDATES))
    assert with_past <= without + 0.03


def test_where_each_gains_half_as_many_again_go_out():
    assert promoted(0.02, 0.08, True) >= 1.3 * promoted(0.02, 0.08, False)


def test_the_same_rows_again_and_again_prove_no_more():
    """Somebody asks for candidate after candidate on the rows that are there."""
    draw = np.random.default_rng(2)
    found = 0
    for _ in range(WORLDS * 4):
        shared, known = draw.normal(0, 0.04), [verdict(0.0, 0.04, "1")]
        for _ in range(6):
            it = remembered.judge(verdict(shared + draw.normal(0, 0.01), 0.04, "2"), known, 0.0)
            if it.promote:
                found += 1
                break
            known.append(it)
    assert found / (WORLDS * 4) <= 0.06
