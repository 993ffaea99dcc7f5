"""A retraining that was asked for happens once, whoever dies meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.stories.serving.log import FLOWER

from everloop.core.errors import NotFound, Overtaken, UnknownModel
from everloop.flows import history, models, status, turn
from everloop.flows.journal import Journal
from everloop.flows.loop import advancing, asking, considering, showing, working
from everloop.flows.project import Project
from everloop.flows.serving import jobs, samples
from everloop.store import samples as stored
from everloop.store.tables import jobs as table

Open = Callable[..., Project]


class Died(BaseException):
    """A process that is killed."""


def waiting(project: Project) -> int:
    with project.store.reading() as tx:
        return stored.count(tx, "iris", waiting=True)


def test_asked_twice_while_it_waits_it_is_one_job(trained: Project) -> None:
    first = asking.ask(trained, "iris", reason="drift", request_id="r1")
    again = asking.ask(trained, "iris", reason="again")
    assert (first.status, first.job_id, first.reason) == ("queued", again.job_id, again.reason)
    forced = asking.ask(trained, "iris", force=True, reason="by hand")
    assert (forced.job_id, forced.force, forced.reason) == (first.job_id, True, "by hand")
    assert asking.ask(trained, "iris").force
    assert [job.job_id for job in jobs.list_jobs(trained, "iris", "queued")] == [first.job_id]
    assert [e.kind for e in history.events(trained, "iris")].count("requested") == 1
    with pytest.raises(UnknownModel):
        asking.ask(trained, "rose")
    with pytest.raises(NotFound, match="no job 'x'"):
        jobs.find(trained, "x")


def test_a_job_is_one_turn_that_takes_the_samples_in(trained: Project) -> None:
    samples.add_all(trained, "iris", [(FLOWER, "setosa"), (FLOWER, "virginica")])
    asked = asking.ask(trained, "iris", force=True)
    steps: list[str] = []
    done = working.run_next(trained, listener=lambda step, how, _: steps.append(f"{step} {how}"))
    assert done is not None
    assert (done.job_id, done.status, done.error, done.attempts) == (asked.job_id, "done", None, 1)
    assert done.summary is not None
    assert done.summary["retrained"]
    assert done.summary["turn_id"] == done.turn_id
    assert "train done" in steps
    run = models.find(trained, "iris@latest").run
    assert run.turn_id == done.turn_id
    assert run.train_rows + run.test_rows == 152
    assert waiting(trained) == 0
    with trained.store.reading() as tx:
        assert {row["used_in"] for row in stored.list_samples(tx, "iris")} == {done.turn_id}
    assert working.run_next(trained) is None
    assert list((trained.settings.state / "retraining" / "default").iterdir()) == []


def test_while_one_runs_another_one_can_be_asked_for(trained: Project) -> None:
    first = asking.ask(trained, "iris")
    held = jobs.claim(trained, "a")
    assert held is not None
    assert (held.job_id, held.status) == (first.job_id, "running")
    second = asking.ask(trained, "iris")
    assert second.job_id != first.job_id
    assert jobs.claim(trained, "b") is None  # of one model one at a time
    jobs.finish(trained, first.job_id, "a", {})
    found = jobs.claim(trained, "b")
    assert found is not None
    assert found.job_id == second.job_id


def test_a_lease_that_has_run_out_is_taken_over_and_its_holder_is_told(trained: Project, clock: Any) -> None:
    asked = asking.ask(trained, "iris")
    worker = trained.settings.worker.model_copy(update={"hold": 60.0})
    trained = replace(trained, settings=trained.settings.model_copy(update={"worker": worker}))
    assert jobs.claim(trained, "a") is not None
    clock.sleep(50)
    assert jobs.renew(trained, asked.job_id, "a")
    heard = clock.now()
    clock.sleep(50)
    assert jobs.claim(trained, "b") is None
    (standing,) = showing.standings(trained, "iris")
    assert standing.work is not None
    assert abs(standing.work.heard_at - heard) < timedelta(seconds=1)  # the clock goes on
    clock.sleep(20)
    taken = jobs.claim(trained, "b")
    assert taken is not None
    assert (taken.job_id, taken.attempts) == (asked.job_id, 2)
    assert not jobs.renew(trained, asked.job_id, "a")
    with pytest.raises(Overtaken, match="not held by a"):
        jobs.finish(trained, asked.job_id, "a", {})
    with pytest.raises(Overtaken, match="not held by a"), trained.store.writing() as tx:
        jobs.fail(tx, trained, asked.job_id, "a", "x")
    assert jobs.finish(trained, asked.job_id, "b", {}).status == "done"


def test_a_job_that_kills_whoever_takes_it_is_given_up(trained: Project, clock: Any) -> None:
    asked = asking.ask(trained, "iris")
    for owner in "abc":
        assert jobs.claim(trained, owner) is not None
        clock.sleep(3600)
    given_up = working.run_next(trained)
    assert given_up is not None
    assert (given_up.job_id, given_up.status) == (asked.job_id, "failed")
    assert "3 processes" in (given_up.error or "")


@pytest.mark.parametrize("request_", [{"force": "maybe"}, [], {"force": True, "taken": 3}])
def test_a_damaged_job_fails_and_says_which_it_is(trained: Project, request_: Any) -> None:
    asked = asking.ask(trained, "iris")
    with trained.store.writing() as tx:
        tx.change(table, table.c.job_id == asked.job_id, request=request_)
    (known,) = jobs.list_jobs(trained)
    assert "reason" in known.unreadable
    again = asking.ask(trained, "iris", reason="by hand")
    assert again.job_id != asked.job_id
    failed = working.run_next(trained)
    assert failed is not None
    assert (failed.job_id, failed.status) == (asked.job_id, "failed")
    assert f"The request of {asked.job_id} is damaged" in (failed.error or "")
    done = working.run_next(trained)
    assert done is not None
    assert (done.job_id, done.status) == (again.job_id, "done")


def test_a_training_that_kills_whoever_does_it_is_tried_again_later_and_anew(
    trained: Project, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking.ask(trained, "iris", force=True)
    before = {one.turn_id for one in status.recent(trained)}
    for _ in range(4):  # the first of them has got as far as that
        with monkeypatch.context() as patch:
            kill(patch, "in train")
            with pytest.raises(Died):
                working.run_next(trained)
        clock.sleep(600)
    given_up = working.run_next(trained)
    assert given_up is not None
    assert given_up.status == "failed"
    (record,) = showing.decisions(trained, "iris")
    assert record.stage == "train"
    assert "3 processes" in record.said
    assert [one.status for one in status.recent(trained) if one.turn_id not in before] == ["failed"]
    assert working.run_next(trained) is None
    clock.sleep(600)
    advancing.advance(trained)
    done = working.run_next(trained)
    assert done is not None
    assert done.status == "done"
    (record,) = showing.decisions(trained, "iris")
    assert (record.stage, record.version) == ("ended", "1.0.1")
    assert [each.version.version for each in models.list_models(trained, "iris")] == ["1.0.0", "1.0.1"]


def test_who_gets_further_each_time_may_die_as_often_as_there_are_steps(
    trained: Project, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asking.ask(trained, "iris", force=True)
    places = ("considered", "opened", "after version", "in train", "after train", "after register", "finish")
    for point in places:
        with monkeypatch.context() as patch:
            kill(patch, point)
            with pytest.raises(Died):
                working.run_next(trained)
        clock.sleep(600)
    done = working.run_next(trained)
    assert done is not None
    assert (done.job_id, done.status, done.attempts) == (asked.job_id, "done", len(places) + 1)
    assert [each.version.version for each in models.list_models(trained, "iris")] == ["1.0.0", "1.0.1"]


def test_two_offices_do_a_job_once(open_project: Open, trained: Project) -> None:
    other = open_project()
    asking.ask(trained, "iris")
    assert working.run_next(trained) is not None
    assert working.run_next(other) is None


def points() -> list[str]:
    """Moments at which the process that does a job dies."""
    return [
        *("considered", "samples", "merge", "opened", "marked", "taken in", "finish"),
        *(
            f"{when} {step}"
            for step in ("version", "train", "register", "record")
            for when in ("in", "after")
        ),
    ]


@pytest.mark.parametrize("point", points())
def test_killed_anywhere_a_job_becomes_exactly_one_turn(
    trained: Project, clock: Any, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    samples.add_all(trained, "iris", [(FLOWER, "setosa")] * 5)
    asked = asking.ask(trained, "iris", force=True)
    before = {one.turn_id for one in status.recent(trained)}
    with monkeypatch.context() as patch:
        kill(patch, point)
        with pytest.raises(Died):
            working.run_next(trained)
    samples.add(trained, "iris", FLOWER, "virginica")  # comes too late for this job
    assert working.run_next(trained) is None  # still held by the dead
    clock.sleep(600)
    done = working.run_next(trained)
    assert done is not None
    assert (done.job_id, done.status, done.attempts) == (asked.job_id, "done", 2)
    made = [one for one in status.recent(trained) if one.turn_id not in before]
    assert [(one.turn_id, one.status) for one in made] == [(done.turn_id, "done")]
    runs = [each.run for each in models.list_models(trained, "iris")]
    late = point == "considered"  # then which samples belong to it was not chosen yet
    assert [run.train_rows + run.test_rows for run in runs] == [150, 155 + late]
    assert waiting(trained) == 1 - late
    assert working.run_next(trained) is None


def kill(patch: pytest.MonkeyPatch, point: str) -> None:
    """Let the process die at this moment."""

    def dies(*_: Any, **__: Any) -> Any:
        raise Died

    named: dict[str, tuple[Any, str]]
    named = {"merge": (samples, "merge"), "marked": (working, "_walked"), "finish": (jobs, "finish")}
    done = {
        "considered": (considering, "consider"),
        "samples": (working, "_chosen"),
        "opened": (turn, "open_turn"),
        "taken in": (advancing, "after_turn"),
    }
    if point in named:
        patch.setattr(*named[point], dies)
    elif point in done:
        original = getattr(*done[point])

        def and_dies(*given: Any, **named: Any) -> Any:
            original(*given, **named)
            raise Died

        patch.setattr(*done[point], and_dies)
    else:
        when, _, wanted = point.partition(" ")
        steps = Journal.step

        def step(self: Journal, name: str, *given: Any, **named: Any) -> Any:
            if name == wanted and when == "in":
                raise Died
            result = steps(self, name, *given, **named)
            if name == wanted:
                raise Died
            return result

        patch.setattr(Journal, "step", step)


def test_a_turn_that_somebody_left_is_ended_first(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    left = turn.open_turn(trained, "iris", force=True)
    left.advance("train")
    samples.add(trained, "iris", FLOWER, "setosa")
    asking.ask(trained, "iris", force=True)
    done = working.run_next(trained)
    assert done is not None
    assert done.status == "done"
    assert done.turn_id != left.turn_id
    assert {one.status for one in status.recent(trained)} == {"done"}
    rows = [each.run.train_rows + each.run.test_rows for each in models.list_models(trained, "iris")]
    assert rows == [150, 150, 151]


def test_a_turn_that_fails_makes_the_job_fail_and_its_samples_wait_again(
    open_project: Open, trained: Project
) -> None:
    broken = open_project(models={"iris": {"data": {"path": "iris.csv"}, "target": "colour"}})
    samples.add(trained, "iris", FLOWER, "setosa")
    asking.ask(broken, "iris", force=True)
    failed = working.run_next(broken)
    assert failed is not None
    assert failed.status == "failed"
    assert "colour" in (failed.error or "")
    assert failed.turn_id is not None
    assert waiting(trained) == 1
    asking.ask(trained, "iris", force=True)
    again = working.run_next(trained)
    assert again is not None
    assert again.status == "done"
    assert waiting(trained) == 0


def test_a_busy_model_leaves_the_job_for_later(open_project: Open, trained: Project, clock: Any) -> None:
    other = open_project()
    asking.ask(trained, "iris", force=True)
    with other.locks.hold("model/iris"):
        assert working.run_next(trained) is None
    (job,) = jobs.list_jobs(trained)
    assert (job.status, job.attempts) == ("queued", 0)
    clock.sleep(10)
    done = working.run_next(trained)
    assert done is not None
    assert done.status == "done"


def test_with_nothing_new_nothing_is_trained_and_it_says_so(trained: Project) -> None:
    os.utime(trained.settings.root / "iris.csv", (0, 0))
    asking.ask(trained, "iris")
    done = working.run_next(trained)
    assert done is not None
    assert (done.status, done.turn_id) == ("done", None)
    assert done.decision_id is not None
    record = showing.find(trained, done.decision_id)
    assert (record.action, record.code) == ("refuse", "nothing_new")
    assert "has not seen" in record.reason
    assert "--force" in record.changes
