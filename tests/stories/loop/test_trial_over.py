"""When a trial is over before the last look: at once, with the reason in the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.stories.loop.test_trial import champion, days, on_trial
from tests.stories.loop.test_trial_troubled import set_otherwise
from tests.stories.loop.town import MODEL, Town, as_ever, work

from everloop.core.errors import Conflict
from everloop.core.loop import DecisionRecord
from everloop.flows.loop import advancing, asking, following, pausing, showing, telling, trials, working
from everloop.flows.releases import deploying
from everloop.retraining import triage

Open = Callable[..., Town]


def check_over(town: Town, record: DecisionRecord, because: str) -> None:
    """Before the next look is due."""
    assert following.is_due(town.project)
    advancing.advance(town.project)
    after = showing.find(town.project, record.decision_id)
    assert (after.stage, after.outcome, after.looks, after.again_at) == ("ended", "kept", 0, None)
    assert after.evidence[-1].message == f"Not judged again: {because}."
    assert not following.is_due(town.project)


def test_another_champion(open_town: Open) -> None:
    town, record = on_trial(open_town)
    town.spoil()
    check_over(town, record, "churn@6.6.6 is champion now")


def test_another_champion_that_was_taken_back(open_town: Open) -> None:
    town, record = on_trial(open_town)
    town.clock.at += town.clock.at - record.at + following.between_looks(town.project, MODEL) / 24
    town.spoil()
    deploying.rollback(town.project, MODEL)
    assert champion(town) == "1.0.0"
    check_over(town, record, "there was a release or a rollback meanwhile")


def test_a_release_of_it_by_hand(open_town: Open) -> None:
    """What people have rolled back does not go out by itself a day later."""
    town, record = on_trial(open_town)
    asked = deploying.Request(f"{MODEL}@{record.version}", strategy="shadow")
    begun = deploying.deploy(town.project, asked)
    check_over(town, record, f"the release {begun.release_id} is on its way")
    deploying.abort(town.project, begun.release_id)
    days(town, 5)
    work(town.project)
    assert champion(town) == "1.0.0"


def test_a_release_of_it_by_hand_while_the_clock_was_behind(open_town: Open) -> None:
    town, record = on_trial(open_town)
    town.clock.at -= timedelta(hours=20)
    asked = deploying.Request(f"{MODEL}@{record.version}", strategy="direct")
    begun = deploying.deploy(town.project, asked)
    deploying.rollback(town.project, MODEL)
    town.clock.at += timedelta(hours=20)
    assert champion(town) == "1.0.0"
    check_over(town, record, f"it was released already, {begun.release_id}")


def test_labels_that_are_not_learnt_from_any_more(open_town: Open) -> None:
    town, record = on_trial(open_town)
    set_otherwise(town, retraining={"production": False})
    check_over(town, record, "labelled predictions are not learnt from any more")


def test_another_candidate_that_was_trained(open_town: Open) -> None:
    town, record = on_trial(open_town)
    asking.ask(town.project, MODEL, force=True)
    working.run_next(town.project)
    first, second = town.decisions()
    assert (first.decision_id, first.stage, first.again_at) == (record.decision_id, "ended", None)
    assert (
        first.evidence[-1].message == f"Not judged again: {second.decision_id} has trained another candidate."
    )


def test_a_retraining_that_trains_nothing_is_none(open_town: Open) -> None:
    """Its turn sees that it would not help."""
    town, record = on_trial(open_town, as_ever)
    set_otherwise(town, retraining={"cooldown": "1m"})
    days(town, 9, as_ever)
    pausing.pause(town.project, MODEL)
    asking.ask(town.project, MODEL)
    work(town.project)
    assert town.decisions()[-1].code == triage.NO_BENEFIT
    assert showing.find(town.project, record.decision_id).stage == "trial"


def test_a_training_that_people_reject_is_none(open_town: Open) -> None:
    town, record = on_trial(open_town)
    set_otherwise(town, retraining={"approve": ["train"], "cooldown": "1m"})
    days(town, 5)
    pausing.pause(town.project, MODEL)
    asking.ask(town.project, MODEL)
    work(town.project)
    waits = town.decisions()[-1]
    assert waits.stage == "approval"
    advancing.reject(town.project, waits.decision_id, "not now")
    pausing.resume(town.project, MODEL)
    work(town.project)
    assert champion(town) == record.version


def test_people_say_no(open_town: Open) -> None:
    town, record = on_trial(open_town)
    with pytest.raises(Conflict) as told:
        advancing.approve(town.project, record.decision_id)
    assert f"The decision {record.decision_id} is at the stage 'trial'." in told.value.message
    assert f"decisions reject {record.decision_id} --why TEXT ends the trial" in str(told.value.remedy)
    advancing.reject(town.project, record.decision_id, "the supplier is another one")
    days(town, 5)
    work(town.project)
    after = showing.find(town.project, record.decision_id)
    assert (after.stage, after.outcome, after.looks, after.again_at) == ("ended", "kept", 0, None)
    said = "Not judged again: rejected by "
    assert after.evidence[-1].message.startswith(said)
    assert after.evidence[-1].message.endswith(": the supplier is another one.")
    assert telling.outcome(after).endswith(after.evidence[-1].message.removeprefix("N").rstrip("."))
    assert champion(town) == "1.0.0"
    with pytest.raises(Conflict, match="has ended: kept"):
        advancing.reject(town.project, record.decision_id, "once more")


def test_it_is_not_looked_at_while_another_one_is_trained(open_town: Open) -> None:
    town, record = on_trial(open_town)
    days(town, 5)
    going = {"number": 2, "job_id": "job_other", "stage": "train", "outcome": "", "again_at": None}
    other = replace(record, decision_id="dec_other", **going)
    with town.project.store.writing() as tx:
        working.advancing.loop.put(tx, other)
    assert not following.is_due(town.project)
    assert advancing.advance(town.project) == []


def test_what_begins_while_it_is_looked_at_comes_first(
    open_town: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look takes seconds: in these somebody promotes another one by hand."""
    town, record = on_trial(open_town)
    days(town, 5)
    judge = trials.rooms.versus.judge

    def slowly(*given: object) -> object:
        found = judge(*given)
        town.spoil()
        return found

    monkeypatch.setattr(trials.rooms.versus, "judge", slowly)
    advancing.advance(town.project)
    after = showing.find(town.project, record.decision_id)
    assert (after.stage, after.outcome) == ("ended", "kept")
    assert after.evidence[-1].message == "Not judged again: churn@6.6.6 is champion now."
    assert champion(town) == "6.6.6"
