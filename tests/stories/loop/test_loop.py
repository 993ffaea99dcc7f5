"""Weeks of a shop whose loop is at work: it retrains when the world changes, and refuses when that would not
help."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.stories.loop.town import MODEL, Town, turned, work

from everloop.core.errors import Conflict, StorageFull
from everloop.core.loop import DecisionRecord
from everloop.data.examples.customers import customers
from everloop.flows import data, models, steps, turn
from everloop.flows.loop import advancing, asking, lookout, pausing, showing
from everloop.flows.releases import deploying
from everloop.flows.releases.planning import Wishes
from everloop.settings import folder_settings
from everloop.store import datasets
from everloop.store.tables import predictions
from everloop.wiring import connect

Open = Callable[..., Town]


def in_cents(table: pa.Table) -> pa.Table:
    """A bug of the feed: fees come in cents."""
    at = table.column_names.index("monthly_fee")
    return table.set_column(at, "monthly_fee", pc.multiply(table.column(at), 100.0))


def trained(town: Town) -> list[DecisionRecord]:
    return [one for one in town.decisions() if one.run_id]


def test_a_changed_world_is_learnt_and_a_broken_feed_is_not(open_town: Open) -> None:
    town = open_town()
    town.live(4)
    assert trained(town) == []  # nothing changed: each look is refused, with what would change it
    quiet = town.decisions()
    assert {(one.action, one.code) for one in quiet} == {("refuse", "no_benefit")}
    assert all(one.changes for one in quiet)
    assert town.alerts() == []

    for _ in range(5):
        town.live(1, turned)
        if trained(town):
            break
    (learnt,) = trained(town)
    assert (learnt.action, learnt.code, learnt.outcome) == ("retrain", "changed_world", "promoted")
    assert {each.kind for each in learnt.triggers} >= {"performance"}
    assert models.find(town.project, f"{MODEL}@champion").version.version == learnt.version == "1.0.1"
    assert len(town.alerts()) == 1

    before = len(town.decisions())
    town.live(3, turned, in_cents)
    refused = [one for one in town.decisions()[before:] if one.code == "broken_feed"]
    assert refused
    assert "monthly_fee" in refused[0].reason
    assert "Repair the feed" in refused[0].changes
    broken = [one for one in town.decisions()[before:] if one.run_id]
    assert broken == []
    assert models.find(town.project, f"{MODEL}@champion").version.version == "1.0.1"


def test_a_world_that_changes_after_a_feed_was_broken_is_learnt(open_town: Open) -> None:
    town = open_town()
    town.live(3)
    town.live(2, change=in_cents)
    town.live(1)
    for _ in range(9):
        town.live(1, turned)
        if trained(town):
            break
    (learnt,) = trained(town)
    assert (learnt.code, learnt.outcome) == ("changed_world", "promoted")
    assert any(one.code == "broken_feed" for one in town.decisions())
    new, feed = town.alerts()
    assert (feed.status, feed.closed_by) == ("closed", "everloop")
    assert "monthly_fee" in feed.title
    assert {each.result.family for each in new.findings} <= {"performance", "concept", "estimated"}
    assert "monthly_fee" not in new.title


def test_a_feed_that_nobody_has_checked_yet_is_not_learnt_either(open_town: Open) -> None:
    """Labels may be complete before the window is over, or before somebody looks."""
    town = open_town(on=())
    town.live(2)
    town.day_of(change=in_cents)
    for _ in range(3):
        town.day_of()
    assert town.alerts() == []
    asking.ask(town.project, MODEL, reason="by hand")
    work(town.project)
    refused = town.decisions()[-1]
    assert (refused.action, refused.code) == ("refuse", "broken_feed")
    assert "monthly_fee" in refused.reason
    assert "rows of its window are left out" in refused.changes
    [where] = showing.standings(town.project, MODEL, counted=True)
    assert where.leeway
    told = next(each for each in refused.evidence if each.check == "rows")
    assert where.leeway.rows.left_out > 0
    assert (where.leeway.rows.new, "; ".join(where.leeway.rows.others)) == (
        told.value,
        told.message.partition("; ")[2].rstrip("."),
    )

    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    (learnt,) = trained(town)
    with town.project.store.reading() as tx:
        (version,) = [one for one in datasets.versions(tx, MODEL) if one.origin.get("production")]
    fees = data.load(town.project, version, ["monthly_fee"]).column(0)
    assert pc.max(fees).as_py() < 100  # those of the day in cents are not among them
    assert 10_000 < len(fees) < 11_000  # two days before it, and what is complete of the day after
    assert learnt.forced
    said = next(each for each in learnt.evidence if each.check == "rows")
    left_out = re.search(r"([0-9,]+) rows were left out, as their feed is broken[.]", learnt.reason)
    assert left_out
    assert f"{left_out[1]} are left out, as their feed was broken" in said.message
    assert said.value is not None
    assert said.value < 3_000


def test_a_prediction_that_cannot_be_read_is_named_and_not_learnt(open_town: Open) -> None:
    town = open_town(on=())
    for _ in range(5):
        town.day_of()
    with town.project.store.writing() as tx:
        named = tx.rows(predictions, only=("prediction_id",), limit=1)[0]["prediction_id"]
        tx.change(predictions, predictions.c.prediction_id == named, inputs="not { json")
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    (learnt,) = trained(town)
    told = next(each for each in learnt.evidence if each.check == "damaged")
    assert f"({named})" in told.message
    assert learnt.outcome in ("kept", "promoted")


def test_what_the_model_is_not_asked_for_may_be_missing_in_production(open_town: Open) -> None:
    """A column of the file that is excluded, which its contract does not let be missing."""
    town = open_town(exclude=("signup_date",), on=())
    for _ in range(4):
        town.day_of()
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    (learnt,) = trained(town)
    assert town.alerts() == []
    found = models.find(town.project, f"{MODEL}@{learnt.version}")
    table = data.load(town.project, data.find(town.project, found.version.data_version, MODEL))
    assert table.column("signup_date").null_count > 1_000


def test_a_bad_release_is_taken_back_and_not_retrained_over(open_town: Open) -> None:
    """A version that answers the wrong way round gets live by hand; the loop goes back to the one before."""
    town = open_town()
    town.live(3)
    town.spoil()
    town.live(4)
    (decided,) = [one for one in town.decisions() if one.code == "release_problem"]
    assert decided.action == "refuse"
    assert "1.0.0" in decided.reason
    assert models.find(town.project, f"{MODEL}@champion").version.version == "1.0.0"
    assert trained(town) == []
    town.live(2)
    assert len([one for one in town.decisions() if one.code == "release_problem"]) == 1


def test_what_is_asked_for_while_paused_is_done_and_nothing_else(open_town: Open) -> None:
    town = open_town()
    assert pausing.pause(town.project, MODEL, "a move") == [MODEL]
    assert pausing.pause(town.project) == []
    town.live(4)
    assert town.decisions() == []
    (standing,) = showing.standings(town.project)
    assert standing.pause is not None
    assert standing.pause.reason == "a move"
    job = asking.ask(town.project, MODEL, force=True)
    work(town.project)
    (decided,) = town.decisions()
    assert (decided.code, decided.job_id) == ("forced", job.job_id)
    assert pausing.resume(town.project) == [MODEL]
    work(town.project)
    assert len(town.decisions()) == 2  # the labels that came meanwhile


def test_what_is_told_while_paused_is_kept_and_considered_once_when_it_is_resumed(open_town: Open) -> None:
    town = open_town(on=())
    town.live(3)
    pausing.pause(town.project, MODEL, "a move")
    for _ in range(2):
        assert asking.tell(town.project, MODEL, "webhook", reason="it came", key="warehouse/1") is None
    for rows in (100, 101):
        assert asking.tell(town.project, MODEL, "labels", reason=f"{rows} new samples") is None
    town.live(1)
    assert town.decisions() == []
    (standing,) = showing.standings(town.project)
    assert (standing.work, standing.under_way) == (None, ())
    assert [each.message for each in standing.waiting] == ["it came", "100 new samples"]
    assert pausing.resume(town.project) == [MODEL]
    work(town.project)
    (decided,) = town.decisions()
    assert [each.kind for each in decided.triggers] == ["webhook", "labels"]
    work(town.project)
    assert (len(town.decisions()), decided.times) == (1, 1)


def test_what_is_told_while_paused_is_considered_with_what_people_ask_for(open_town: Open) -> None:
    town = open_town(on=())
    pausing.pause(town.project, MODEL)
    asking.tell(town.project, MODEL, "webhook", reason="it came", key="warehouse/1")
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    (decided,) = trained(town)
    assert [each.kind for each in decided.triggers] == ["webhook", "manual"]
    pausing.resume(town.project)
    work(town.project)
    assert len(town.decisions()) == 1


def test_several_triggers_are_one_retraining(open_town: Open) -> None:
    town = open_town()
    jobs = [asking.ask(town.project, MODEL, force=n == 2, reason=f"reason {n}") for n in range(3)]
    event = asking.tell(town.project, MODEL, "webhook", reason="it came", key="warehouse/1")
    assert event is not None
    assert asking.tell(town.project, MODEL, "webhook", reason="it came", key="warehouse/1") == event
    assert {one.job_id for one in jobs} == {event.job_id}
    work(town.project)
    (decided,) = town.decisions()
    assert [each.kind for each in decided.triggers] == ["manual"] * 3 + ["webhook"]
    assert decided.run_id is not None


def test_a_file_that_is_gone_is_told_where_it_trains_all_the_same(tmp_path: Path) -> None:
    pq.write_table(customers(600, 1), tmp_path / "shop.parquet")
    model = {"data": {"path": "shop.parquet"}, "target": "churned", "retraining": {"on": []}}
    project = connect(folder_settings(tmp_path, {"tracking": {"enabled": False}, "models": {MODEL: model}}))
    turn.run(project, MODEL)
    (tmp_path / "shop.parquet").unlink()
    asking.ask(project, MODEL, force=True)
    work(project)
    (decided,) = showing.decisions(project, MODEL)
    told = {each.check: each.message for each in decided.evidence}
    assert told["data"] == "shop.parquet is gone: its newest version that is known, of churn, stands in."
    assert decided.run_id


def test_rows_that_were_refused_once_are_asked_again(open_town: Open) -> None:
    town = open_town(on=())
    town.live(5)
    for _ in range(2):
        asking.ask(town.project, MODEL, reason="by hand")
        work(town.project)
    first, second = town.decisions()
    assert (first.code, second.code) == ("no_benefit", "no_benefit")
    found = [{each.check: each for each in one.evidence}["fresh_rows"] for one in (first, second)]
    assert found[0].value == found[1].value
    assert found[0].value
    assert second.reason == first.reason


def test_people_are_asked_before_it_trains_and_before_it_is_released(open_town: Open) -> None:
    town = open_town(approve=["train", "release"], on=("performance",))
    town.live(3)
    for _ in range(6):
        town.live(1, turned)
        if town.decisions():
            break
    (waits,) = town.decisions()
    assert (waits.stage, waits.run_id) == ("approval", None)
    town.live(3, turned)
    assert len(town.decisions()) == 1  # nothing is considered beside it
    advancing.approve(town.project, waits.decision_id, "owner", "seen")
    work(town.project)
    released = showing.find(town.project, waits.decision_id)
    assert released.stage == "release_approval"
    assert models.find(town.project, f"{MODEL}@champion").version.version == "1.0.0"
    advancing.approve(town.project, waits.decision_id)
    work(town.project)
    done = showing.find(town.project, waits.decision_id)
    assert (done.stage, done.outcome) == ("ended", "promoted")
    assert [each.step for each in done.approvals] == ["train", "release"]
    assert models.find(town.project, f"{MODEL}@champion").version.version == "1.0.1"
    with pytest.raises(Conflict, match="has ended: promoted"):
        advancing.approve(town.project, waits.decision_id)


def test_what_people_have_approved_is_trained_though_nothing_shows_that_it_helps(open_town: Open) -> None:
    town = open_town(approve=["train"], on=["labels"], new_labels=200)
    town.live(4)
    (waits,) = town.decisions()
    assert (waits.stage, waits.code) == ("approval", "new_data")
    advancing.approve(town.project, waits.decision_id, "owner")
    work(town.project)
    done = showing.find(town.project, waits.decision_id)
    assert (done.action, done.outcome) == ("retrain", "kept")  # nothing changed: the gate keeps the champion
    told = {each.check: each for each in done.evidence}
    assert told["loop"].message.startswith("Its training was approved: ")
    assert not told["benefit"].fired


def test_rows_that_change_in_time_are_a_reason_to_try(open_town: Open) -> None:
    """Ever fewer customers from Germany: nothing shows harm, and what learns it has never been tried."""
    town = open_town(on=["labels"], new_labels=200, cooldown="1h")
    begin = town.day

    def fewer(table: pa.Table) -> pa.Table:
        at = table.column_names.index("country")
        gone = np.arange(table.num_rows) % 20 < town.day - begin
        named = [
            "FR" if each == "DE" and out else each
            for each, out in zip(table.column("country").to_pylist(), gone, strict=True)
        ]
        return table.set_column(at, "country", pa.array(named))

    for _ in range(18):
        town.day_of(change=fewer)
    work(town.project)
    (tried,) = town.decisions()
    assert tried.run_id
    why = next(each.message for each in tried.evidence if each.check == "benefit")
    assert why.startswith("The rows change in time: 'country' most surely (p = 0.00")


def test_the_schedule_is_one_trigger_however_often_it_was_missed(open_town: Open) -> None:
    town = open_town(on=(), schedule="0 0 * * *")
    work(town.project)
    assert town.decisions() == []
    town.clock.at += timedelta(days=5)
    work(town.project)
    (decided,) = town.decisions()
    assert [each.kind for each in decided.triggers] == ["schedule"]
    assert decided.action in ("refuse", "defer")
    work(town.project)
    assert len(town.decisions()) == 1


def test_a_full_disk_delays_it_and_registers_one_version(
    open_town: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = open_town(on=(), retry="1m")
    fits, full = steps.Steps.train, [True, True]

    def train(self: steps.Steps) -> Any:
        if full:
            full.pop()
            raise StorageFull("The disk is full.", remedy="Make room.")
        return fits(self)

    monkeypatch.setattr(steps.Steps, "train", train)
    asking.ask(town.project, MODEL, force=True)
    for minutes in (1, 2):
        work(town.project)
        (record,) = town.decisions()
        assert (record.stage, record.run_id) == ("train", None)
        assert record.again_at == town.clock.at + timedelta(minutes=minutes)
        assert record.said == "The disk is full. Make room."
        town.clock.at += timedelta(minutes=minutes)
    work(town.project)
    (record,) = town.decisions()
    assert record.outcome in ("kept", "promoted")
    assert len(models.list_models(town.project, MODEL)) == 2


def failed_when_registered(town: Town, monkeypatch: pytest.MonkeyPatch) -> DecisionRecord:
    """A retraining whose disk is full after its version was registered."""

    def full(*_: Any) -> None:
        raise StorageFull("The disk is full.", remedy="Make room.")

    monkeypatch.setattr(steps.Steps, "save_metrics", full)
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    monkeypatch.undo()
    (record,) = town.decisions()
    return record


def test_what_fails_after_the_version_is_registered_is_not_done_again(
    open_town: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = open_town(on=(), retry="1m")
    record = failed_when_registered(town, monkeypatch)
    assert (record.stage, record.outcome, record.version) == ("ended", "kept", "1.0.1")
    assert "disk is full" in record.evidence[-1].message
    town.clock.at += timedelta(days=1)
    work(town.project)
    assert [one.version.version for one in models.list_models(town.project, MODEL)] == ["1.0.0", "1.0.1"]


def test_what_fails_after_the_version_is_registered_is_released_all_the_same(
    open_town: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = open_town(on=(), approve=["release"])
    for _ in range(4):
        town.day_of(turned)
    record = failed_when_registered(town, monkeypatch)
    assert (record.stage, record.version) == ("release_approval", "1.0.1")
    advancing.approve(town.project, record.decision_id)
    work(town.project)
    assert models.find(town.project, f"{MODEL}@champion").version.version == "1.0.1"


def test_a_release_that_somebody_else_makes_is_waited_for(open_town: Open) -> None:
    town = open_town(on=(), rollout="canary")
    town.live(2)
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    (first,) = town.decisions()
    wishes = Wishes(measures={}, hourly=100_000.0)
    made = deploying.deploy(
        town.project, deploying.Request(f"{MODEL}@{first.version}", strategy="canary", wishes=wishes)
    )
    asking.ask(town.project, MODEL)
    for _ in range(3):
        town.clock.at += timedelta(minutes=1)
        work(town.project)
    assert [one.code for one in town.decisions()] == ["forced", "release_under_way"]
    assert town.decisions()[-1].times == 1
    assert not lookout.Lookout()(town.project)
    deploying.abort(town.project, made.release_id)
    assert lookout.Lookout()(town.project)
    work(town.project)
    assert town.decisions()[-1].code != "release_under_way"
