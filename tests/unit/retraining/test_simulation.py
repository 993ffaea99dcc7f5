"""A year of the loop from a seed: what is promised holds, and a loop that breaks a promise is caught."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations

import numpy as np
import pytest
from matplotlib.image import imread

from everloop.flows.loop.simulating import compare
from everloop.retraining import triage
from everloop.retraining.simulation import pictures, promises
from everloop.retraining.simulation.kept import Deaths, Plan
from everloop.retraining.simulation.loop import Loop
from everloop.retraining.simulation.world import DAY, QUIET, Climate, Made
from everloop.retraining.triage import Rules

ROUGH = Climate(fault=1 / 12, jump=1 / 12, change=1 / 30)
WILD = Climate(jump=0.3, far=40.0, change=1 / 20)
OFTEN = Plan(rules=Rules(cooldown=3 * DAY, budget=3, period=30 * DAY), new_labels=150, canary=2)

SLOW = replace(OFTEN, rules=Rules(cooldown=12 * DAY))


def lived(seed, days=75, *, climate=ROUGH, plan=OFTEN, deaths=None, **told):
    return promises.simulate(Made(seed, days, compare, climate), plan, seed=seed, deaths=deaths, **told)


@pytest.mark.parametrize("seed", range(30))
def test_no_promise_is_broken_and_deaths_change_nothing(seed):
    without, among = lived(seed), lived(seed, deaths=Deaths())
    assert without.broken is None, str(without.broken)
    assert among.broken is None, str(among.broken)
    assert among.killed > 0
    assert among.state == without.state


def test_much_happens_in_a_year():
    years = [lived(seed, 200, deaths=Deaths()) for seed in range(4)]
    assert [each.broken for each in years] == [None] * 4
    codes = {record.code for each in years for record in each.records}
    assert codes >= {"no_model", "changed_world", "new_data", "broken_feed", "cooldown", "budget"}
    outcomes = {record.outcome for each in years for record in each.records}
    assert outcomes >= {"promoted", "kept", "refused", "deferred"}
    assert sum(each.stalled for each in years) > 20
    assert sum(each.faults for each in years) > 20


def test_candidates_that_the_gate_could_not_tell_are_judged_again():
    years = [lived(seed, 200, deaths=Deaths()) for seed in (2, 10)]
    assert [each.broken for each in years] == [None] * 2
    found = {(record.looks, record.stage, record.outcome) for each in years for record in each.records}
    assert found >= {(1, "ended", "promoted"), (2, "ended", "kept")}


def test_a_candidate_that_cannot_reach_the_gates_margin_is_on_no_trial():
    year = lived(10, 200, plan=replace(OFTEN, margin=5.0))
    assert {record.looks for record in year.records} == {0}
    assert "trial" not in {record.stage for record in year.records}


def test_the_same_seed_gives_the_same_to_the_bit_and_another_one_does_not():
    first, again = lived(5, deaths=Deaths()), lived(5, deaths=Deaths())
    assert first.state == again.state
    assert first.loss.tobytes() == again.loss.tobytes()
    assert (first.killed, first.stalled) == (again.killed, again.stalled)
    assert lived(6).state != first.state


def test_a_year_begins_as_a_shorter_one_does():
    whole, part = lived(3, 90), lived(3, 50)
    np.testing.assert_array_equal(whole.loss[:50], part.loss)
    assert lived(3, 90, until=50).state == part.state


def test_retraining_helps_where_the_world_changes():
    years = [lived(seed, 240, climate=Climate(change=1 / 45), plan=Plan()) for seed in range(4)]
    gains = [each.never[np.isfinite(each.never)].mean() / np.nanmean(each.loss) for each in years]
    assert min(gains) > 1.02
    assert np.mean(gains) > 1.1


def test_where_nothing_changes_a_model_that_has_learnt_enough_is_never_retrained():
    years = [lived(seed, 180, climate=QUIET, plan=Plan(first=2_500)) for seed in range(6)]
    assert [len(each.trained) for each in years] == [1] * 6
    assert all(each.considered > 1 for each in years)


# -- a loop that breaks a promise ---------------------------------------------------------------------------


def blind(rules, facts, triggers, *, forced=False):
    """Decides as if no feed was ever broken."""
    return triage.consider(rules, replace(facts, broken=()), triggers, forced=forced)


def hasty(rules, facts, triggers, *, forced=False):
    """Forgets when it was retrained last."""
    return triage.consider(rules, replace(facts, retrained=()), triggers, forced=forced)


class Greedy(Loop):
    """Leaves no row out."""

    def usable(self):
        return np.flatnonzero(self.known() & (self.world.times < self.complete_until()))


class Forgetful(Loop):
    """Does a step anew without looking whether somebody else has done it meanwhile."""

    def _once(self, job, step, compute, save):
        if (job.number, step) not in self.kept.steps:
            found = compute()
            yield
            self.kept.steps[job.number, step] = save(job, found)
        yield
        return self.kept.steps[job.number, step]


class Crowded(Loop):
    """Lets a canary be and goes on to the next job."""

    def notice(self):
        kept, self.kept.under_way = self.kept, list
        try:
            super().notice()
        finally:
            del kept.under_way

    def facts(self):
        return replace(super().facts(), release=None)


class Muddled(Loop):
    """Takes the record with the latest time for the newest, whatever the clock did."""

    def _put(self, job, found):
        kept = self.kept
        order = sorted(kept.records.values(), key=lambda each: each.at)
        kept.records = {each.decision_id: each for each in order}
        return super()._put(job, found)


class Silent(Loop):
    """Ends a job without a record."""

    def _put(self, job, found):
        record = super()._put(job, found)
        if record.action == "refuse":
            del self.kept.records[record.decision_id]
        return record


EAGER = Plan(rules=Rules(cooldown=0, budget=99), new_labels=60, canary=6)


@pytest.mark.parametrize(
    ("promise", "told"),
    [
        ("broken feed", {"consider": blind}),
        ("broken feed", {"loop": Greedy}),
        ("cooldown", {"consider": hasty, "plan": SLOW}),
        ("one version", {"loop": Forgetful, "deaths": Deaths(kill=0.05, stall=0.3)}),
        ("one at a time", {"loop": Crowded, "plan": EAGER}),
        ("records", {"loop": Silent}),
        ("said once", {"loop": Muddled, "climate": WILD, "plan": SLOW}),
    ],
)
def test_a_loop_that_breaks_a_promise_is_caught_and_its_seed_shows_it_again(promise, told):
    years = (lived(seed, 120, **told) for seed in range(12))
    caught = next(year.broken for year in years if year.broken is not None and year.broken.promise == promise)
    assert caught.replay == f"everloop simulate --seed {caught.seed} --until {caught.day}"
    again = lived(caught.seed, 120, until=caught.day, **told).broken
    assert again == caught
    assert lived(caught.seed, 120, until=caught.day - 1, **told).broken is None
    assert f"seed {caught.seed}, day {caught.day}" in str(caught)


def test_a_budget_that_is_not_kept_is_caught():
    rules = OFTEN.rules

    def lavish(_, facts, triggers, *, forced=False):
        return triage.consider(replace(rules, budget=99), facts, triggers, forced=forced)

    found = [lived(seed, 120, consider=lavish).broken for seed in range(8)]
    assert {each.promise for each in found if each} == {"budget"}


def test_what_is_written_down_keeps_the_cooldown_whatever_the_clock_does():
    for seed in range(6):
        year = lived(seed, 150, climate=WILD)
        assert year.broken is None, str(year.broken)
        times = [each.at for each in year.records if each.run_id]  # in the order in which they were made
        pairs = [(a, b) for a, b in combinations(times, 2) if a <= b + triage.AHEAD]
        assert len(pairs) > len(times)
        assert all((b - a).total_seconds() >= OFTEN.rules.cooldown for a, b in pairs)


def test_faults_that_nobody_finds_are_counted():
    found, missed = (lived(1, 120, climate=replace(ROUGH, found=share)) for share in (1.0, 0.3))
    assert found.slipped == 0
    assert missed.slipped > 0


def test_the_loss_that_is_drawn_is_the_mean_over_the_rows_of_seven_days():
    loss, rows = np.array([1.0, np.nan, 3.0, *[0.0] * 6]), np.array([10.0, np.nan, 30.0, *[1.0] * 6])
    drawn = pictures.smooth(loss, rows)
    assert drawn[0] == 1.0
    assert drawn[1] == 1.0
    assert drawn[2] == (10 + 90) / 40
    assert drawn[7] == 90 / (30 + 5)
    assert np.isnan(pictures.smooth(np.full(3, np.nan), np.zeros(3))).all()


def test_a_past_of_one_day_is_drawn_too():
    line = pictures.Line("your settings", np.array([1.0]), np.array([9.0]), [], [])
    drawn = pictures.picture("a day", "loss", [datetime(2026, 3, 2, tzinfo=UTC)], [line])
    shown = imread(io.BytesIO(drawn))[:, :, :3] * 255
    middle = shown[len(shown) // 4 : 3 * len(shown) // 4]  # the legend is above
    assert np.all(np.abs(middle - (0x1F, 0x5F, 0xA8)) < 2, axis=2).any()
