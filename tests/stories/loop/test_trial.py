"""A candidate that the gate could not tell from the champion is judged again on the labels that come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from tests.stories.loop.town import MODEL, Town, Truth, as_ever, turned, work

from everloop.core.decisions import Comparison, GateVerdict
from everloop.core.loop import DecisionRecord
from everloop.flows import candidates, models
from everloop.flows.loop import advancing, asking, following, gathering, pausing, showing, telling
from everloop.retraining import trial
from everloop.store import loop, predictions
from everloop.store.database import Tx
from everloop.store.predictions import Wanted

Open = Callable[..., Town]
DAY = timedelta(days=1)
SOME = 400  # predictions of a day


def on_trial(open_town: Open, truth: Truth = turned) -> tuple[Town, DecisionRecord]:
    """The candidate has learnt few rows of a changed world: too few to be judged by."""
    town = open_town(on=())
    for rows in (SOME, 50, 50):
        town.day_of(truth, rows=rows)
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    (record,) = town.decisions()
    return town, record


def champion(town: Town) -> str:
    return models.find(town.project, f"{MODEL}@champion").version.version


def days(town: Town, count: int, truth: Truth = turned) -> None:
    for _ in range(count):
        town.day_of(truth, rows=SOME)


def test_one_that_is_better_goes_out_when_enough_labels_have_come(open_town: Open) -> None:
    town, record = on_trial(open_town)
    assert (record.stage, record.outcome, record.looks, record.is_open) == ("trial", "kept", 0, False)
    assert ": no gain; judged again on later labels at 2026-" in telling.outcome(record)
    assert not following.is_due(town.project)
    assert advancing.advance(town.project) == []
    days(town, 1)
    assert following.is_due(town.project)
    work(town.project)
    (record,) = town.decisions()
    assert (record.stage, record.looks) == ("trial", 0)
    assert record.changes.endswith("unseen rows are too few to judge: the gate asks for 100.")
    days(town, 4)
    assert following.is_due(town.project)
    work(town.project)
    (record,) = town.decisions()
    assert (record.stage, record.outcome, record.looks) == ("ended", "promoted", 1)
    assert len(record.releases) == 1
    looked = record.evidence[-1]
    assert (looked.check, looked.fired) == ("trial", False)
    assert looked.message.startswith("Judged again on later labels: log loss ")
    assert "98.3" in looked.message
    assert champion(town) == record.version == "1.0.1"
    assert not following.is_due(town.project)


def test_labels_that_were_looked_at_are_not_looked_at_again(open_town: Open) -> None:
    """Some send theirs once a week: a look at the same labels would say the same."""
    town, _ = on_trial(open_town, as_ever)
    days(town, 5, as_ever)
    for passed in (0, 3, 1):  # in the three days the labels that are there become complete
        town.clock.at += timedelta(days=passed)
        work(town.project)
    (record,) = town.decisions()
    assert (record.stage, record.looks, record.again_at) == ("trial", 2, town.clock.at + DAY)
    assert record.changes.endswith(" Too early: 0 of 100 labels have come since the last look.")


def test_a_look_is_no_later_than_a_window_from_now(open_town: Open) -> None:
    """A clock was wrong by a year when that was set, or the window is a shorter one by now."""
    town, record = on_trial(open_town)
    with town.project.store.writing() as tx:
        put(tx, replace(record, again_at=town.clock.at + 400 * DAY))
    assert following.is_due(town.project)
    work(town.project)
    (record,) = town.decisions()
    assert (record.stage, record.again_at) == ("trial", town.clock.at + DAY)
    assert not following.is_due(town.project)


def test_what_is_on_trial_is_told_after_later_decisions_too(open_town: Open) -> None:
    town, record = on_trial(open_town)
    (standing,) = showing.standings(town.project)
    assert telling.waits(standing, town.clock.at) == [f"{record.decision_id} {telling.outcome(record)}"]
    asking.ask(town.project, MODEL)
    work(town.project)
    (standing,) = showing.standings(town.project)
    assert standing.last != record
    assert telling.waits(standing, town.clock.at)[0] == f"{record.decision_id} {telling.outcome(record)}"


def test_one_that_is_no_better_is_let_go_after_three_looks(open_town: Open) -> None:
    town, record = on_trial(open_town, as_ever)
    assert record.stage == "trial"
    days(town, 3, as_ever)
    for looks in range(1, trial.LOOKS + 1):
        days(town, 2, as_ever)
        assert telling.outcome(record).endswith(f"(look {looks} of {trial.LOOKS})")
        work(town.project)
        (record,) = town.decisions()
        assert (record.outcome, record.looks) == ("kept", looks)
    assert (record.stage, record.again_at) == ("ended", None)
    assert telling.outcome(record).endswith("; nor do later labels show it better, looked at 3 times")
    assert [each.fired for each in record.evidence if each.check == "trial"] == [True] * trial.LOOKS
    (known,) = candidates.verdicts(town.project, town.project.model(MODEL))
    assert known == record.last_look
    assert known.reason in record.evidence[-1].message
    assert candidates.verdicts(town.project, town.project.model(MODEL), but=record.turn_id) == []
    days(town, 2, as_ever)
    assert not following.is_due(town.project)
    assert champion(town) == "1.0.0"


def test_who_releases_may_have_to_be_asked(open_town: Open) -> None:
    town = open_town(on=(), approve=["release"])
    for rows in (SOME, 50, 50):
        town.day_of(turned, rows=rows)
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    days(town, 5)
    work(town.project)
    (record,) = town.decisions()
    assert (record.stage, record.outcome) == ("release_approval", "")
    assert champion(town) == "1.0.0"
    advancing.approve(town.project, record.decision_id)
    work(town.project)
    assert champion(town) == "1.0.1"


def test_rows_that_the_candidate_has_learnt_do_not_judge_it(open_town: Open) -> None:
    """People took days to approve its training: it has what was predicted meanwhile, too."""
    town = open_town(on=(), approve=["train"])
    days(town, 3, as_ever)
    asking.ask(town.project, MODEL)
    work(town.project)
    (record,) = town.decisions()
    days(town, 5, as_ever)
    advancing.approve(town.project, record.decision_id)
    work(town.project)
    (record,) = town.decisions()
    assert record.stage == "trial"
    trained = town.clock.at
    days(town, 4, as_ever)
    work(town.project)
    (record,) = town.decisions()
    until = gathering.until(town.project, MODEL)
    with town.project.store.reading() as tx:
        came = predictions.count(tx, Wanted(MODEL, since=trained, until=until, label="known"))
    assert record.looks == 1
    assert f" on {came:,} unseen rows" in record.evidence[-1].message


def test_one_that_was_trained_while_nobody_asked_goes_out_as_the_settings_say(open_town: Open) -> None:
    """By then it is asked, as the labels show: not directly any more."""
    town = open_town(on=(), rollout="canary")
    for rows in (SOME, 50, 50):
        town.day_of(turned, rows=rows)
    town.clock.at += timedelta(days=2)
    town.day += 2
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    (record,) = town.decisions()
    assert (record.stage, record.rollout) == ("trial", "direct")
    days(town, 5)
    work(town.project)
    (record,) = town.decisions()
    assert (record.looks, record.rollout) == (1, "canary")
    assert champion(town) == "1.0.0"


def test_it_is_over_where_there_is_another_champion_or_candidate(open_town: Open) -> None:
    town, record = on_trial(open_town)
    town.spoil()
    days(town, 3)
    work(town.project)
    (record,) = town.decisions()
    assert (record.stage, record.outcome, record.looks) == ("ended", "kept", 0)
    assert champion(town) == "6.6.6"


def test_it_is_over_where_another_one_is_trained(open_town: Open) -> None:
    town, first = on_trial(open_town)
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    days(town, 3)
    work(town.project)
    first, second = town.decisions()
    assert (first.stage, first.outcome, first.looks) == ("ended", "kept", 0)
    assert second.run_id != first.run_id


def test_a_loop_that_is_paused_does_not_look(open_town: Open) -> None:
    town, _ = on_trial(open_town)
    days(town, 3)
    pausing.pause(town.project, MODEL, "a holiday")
    assert not following.is_due(town.project)
    assert advancing.advance(town.project) == []
    pausing.resume(town.project, MODEL)
    assert following.is_due(town.project)


def test_one_whose_model_is_gone_from_the_settings_stops_no_other(open_town: Open) -> None:
    town, record = on_trial(open_town)
    days(town, 5)
    with town.project.store.writing() as tx:
        put(tx, replace(record, decision_id="dec_gone", model="gone", job_id="job_gone"))
    work(town.project)
    assert champion(town) == "1.0.1"
    with town.project.store.reading() as tx:
        assert loop.find(tx, "dec_gone").stage == "ended"


def put(tx: Tx, record: DecisionRecord) -> None:
    loop.begin(tx, record.model)
    loop.put(tx, record)


def after_one_that_gained(open_town: Open, past_gains: bool) -> tuple[Town, DecisionRecord]:
    """The last candidate seems better than the first that had learnt the changed world, on 122 rows. That one
    gained so much that it says nothing of the next: it is taken for one that gained a little."""
    town = open_town(on=(), past_gains=past_gains)
    for each in ((6_000, 50, 50), (260, 260, 50), (260, 260, 50)):
        for rows in each:
            town.day_of(turned, rows=rows)
        asking.ask(town.project, MODEL, force=True)
        work(town.project)
        found = Comparison("log_loss", 0.65, 0.61, 0.04, 0.03, 0.05, 500, 0.95)
        with town.project.store.writing() as tx:
            first = replace(
                town.decisions()[0], last_look=GateVerdict(True, "better", found, against="1.0.0")
            )
            put(tx, first)
    return town, town.decisions()[-1]


def test_what_the_last_one_gained_speaks_for_the_next(open_town: Open) -> None:
    town, record = after_one_that_gained(open_town, past_gains=True)
    assert (record.stage, record.outcome) == ("ended", "promoted")
    assert "on 122 unseen rows, a gain that may be chance by itself; with what the last candi" in record.said
    assert champion(town) == record.version == "1.0.3"


def test_it_does_not_where_the_settings_say_so(open_town: Open) -> None:
    town, record = after_one_that_gained(open_town, past_gains=False)
    assert (record.stage, record.outcome) == ("trial", "kept")
    assert record.said.endswith("on 122 unseen rows, a gain that may be chance")
    assert champion(town) == "1.0.1"
