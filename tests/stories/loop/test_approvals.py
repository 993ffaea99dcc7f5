"""People are asked before a retraining goes on: what comes meanwhile, what they have said, what they are
shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from tests.stories.loop.town import MODEL, Town, turned, work
from tests.stories.test_cli import everloop

from everloop.core.errors import Conflict
from everloop.core.loop import DecisionRecord
from everloop.data.examples.customers import customers
from everloop.flows import models, outside
from everloop.flows.loop import advancing, asking, considering, gathering, showing, telling
from everloop.flows.material import Material
from everloop.flows.serving import jobs, samples
from everloop.store import turns

Open = Callable[..., Town]


def waits_to_train(open_town: Open) -> tuple[Town, DecisionRecord]:
    town = open_town(approve=["train", "release"], on=(), new_labels=200)
    town.live(4)
    asking.ask(town.project, MODEL, reason="the week is over")
    work(town.project)
    (waits,) = town.decisions()
    assert waits.stage == "approval"
    return town, waits


def waits_to_release(open_town: Open, **retraining: object) -> tuple[Town, DecisionRecord]:
    town = open_town(**{"approve": ["release"], "on": (), **retraining})
    town.day_of()
    for _ in range(6):
        town.day_of(turned)
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    (waits,) = town.decisions()
    assert waits.stage == "release_approval"
    return town, waits


def test_what_comes_while_one_waits_for_approval_joins_it(open_town: Open) -> None:
    town, waits = waits_to_train(open_town)
    for force in (False, True):  # a person's --force is no approval
        job = asking.ask(town.project, MODEL, force=force, reason=f"again, force {force}")
        work(town.project)
        done = jobs.find(town.project, job.job_id)
        assert (done.status, done.decision_id) == ("done", waits.decision_id)
    (joined,) = town.decisions()
    assert (joined.decision_id, joined.stage, joined.run_id) == (waits.decision_id, "approval", None)
    assert [each.message for each in joined.triggers] == [
        "the week is over", "again, force False", "again, force True",
    ]  # fmt: skip
    (standing,) = showing.standings(town.project, MODEL)
    assert (standing.under_way, standing.waiting) == ((joined,), ())
    advancing.approve(town.project, waits.decision_id, "owner")
    work(town.project)
    (done_one,) = town.decisions()
    assert done_one.run_id
    assert done_one.job_id not in (waits.job_id, job.job_id)


def test_a_job_that_joined_and_is_taken_over_does_not_do_what_it_joined(open_town: Open) -> None:
    town, waits = waits_to_train(open_town)
    job = asking.ask(town.project, MODEL)
    held = jobs.claim(town.project, "a process that dies")
    assert held is not None
    assert considering.consider(town.project, held).decision_id == waits.decision_id
    advancing.approve(town.project, waits.decision_id)
    jobs.release(town.project, job.job_id, "a process that dies")
    town.clock.sleep(60)
    work(town.project)
    found = {one.job_id: one for one in jobs.list_jobs(town.project)}
    assert (found[job.job_id].decision_id, found[job.job_id].turn_id) == (waits.decision_id, None)
    (trained,) = town.decisions()
    assert found[trained.job_id].turn_id == trained.turn_id


def test_what_is_asked_while_a_release_waits_for_approval_is_considered_after_it(open_town: Open) -> None:
    town, waits = waits_to_release(open_town)
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    first, later = town.decisions()
    assert (first.stage, later.action, later.code) == ("release_approval", "defer", "release_under_way")
    assert later.changes.endswith(f"everloop decisions approve {waits.decision_id}, or reject.")
    advancing.reject(town.project, waits.decision_id, "a holiday week")
    work(town.project)
    assert town.decisions()[-1].code != "release_under_way"


def test_status_and_the_command_say_how_to_go_on(open_town: Open) -> None:
    town, waits = waits_to_train(open_town)
    root = town.project.settings.root
    tree = Town.tree(approve=["train", "release"], on=[])
    (root / "everloop.yaml").write_text(yaml.safe_dump(tree))
    approve = f"everloop decisions approve {waits.decision_id}, or reject"
    asked = everloop(root, "retrain", MODEL, "--force")
    assert asked.code == 0
    assert "waits for approval before it trains" in asked.out
    assert approve in asked.out
    assert approve in everloop(root, "loop", "status").out
    for words in (("decisions", "approve", waits.decision_id, "--role", ""), ("loop", "pause", "--why", " ")):
        refused = everloop(root, *words)
        assert refused.code == 20
        assert f"{words[-2]} is empty" in refused.err
    (shown,) = everloop(root, "loop", "status", "--json").json["models"]
    assert shown["pause"] is None
    assert [one["decision_id"] for one in shown["under_way"]] == [waits.decision_id]


def send(town: Town, rows: int) -> None:
    """Samples of the world as it ever was."""
    names = town.features()
    sent = [
        ({name: str(row[name]) if name == "signup_date" else row[name] for name in names}, row["churned"])
        for row in customers(rows, 99).to_pylist()
    ]
    samples.add_all(town.project, MODEL, sent)


def new_rows(town: Town) -> int:
    return gathering.new(town.project, MODEL, gathering.until(town.project, MODEL))


def test_rows_that_only_a_refused_candidate_has_learnt_are_new_but_not_trained_on_alone(
    open_town: Open,
) -> None:
    town = open_town(on=(), production=False, try_data=False, cooldown="1h")
    send(town, 60)
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    assert town.decisions()[-1].outcome == "kept"
    assert new_rows(town) == 60
    town.clock.sleep(30 * 86_400)
    asking.ask(town.project, MODEL)
    work(town.project)
    again = town.decisions()[-1]
    assert (again.action, again.run_id) == ("refuse", None)
    assert "60. The gate has refused a candidate that had all of them" in again.reason
    told = {each.check: each for each in again.evidence}
    assert told["rows"].message.startswith("60 labelled rows are new")


def test_rows_that_only_a_rejected_candidate_has_learnt_call_for_another(open_town: Open) -> None:
    town, waits = waits_to_release(open_town, cooldown="1h")
    advancing.reject(town.project, waits.decision_id, "a holiday week")
    town.clock.sleep(5 * 86_400)  # windows
    asking.ask(town.project, MODEL)
    work(town.project)
    again = town.decisions()[-1]
    first, second = (
        next(each.value for each in one.evidence if each.check == "fresh_rows") for one in (waits, again)
    )
    assert first
    assert second
    assert second >= first
    assert again.run_id


def test_an_approved_training_trains_though_a_refused_candidate_has_learnt_its_rows(open_town: Open) -> None:
    town = open_town(approve=["train"], on=(), production=False, try_data=False, cooldown="1h")
    send(town, 60)
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    assert town.decisions()[-1].outcome == "kept"
    town.clock.sleep(86_400)
    asking.ask(town.project, MODEL)
    work(town.project)
    waits = town.decisions()[-1]
    assert waits.stage == "approval"
    advancing.approve(town.project, waits.decision_id, "owner")
    work(town.project)
    done = town.decisions()[-1]
    assert (done.action, done.outcome) == ("retrain", "kept")
    assert done.run_id


def by_hand(town: Town, waits: DecisionRecord) -> None:
    """Somebody promotes the same model, as another version."""
    known = models.find(town.project, f"{MODEL}@{waits.version}")
    pipeline = Material(town.project, town.project.model(MODEL)).pipeline(known.run)
    pipeline["preparation"]["types"].n_features_in_ = len(known.run.features)  # else it passes for not fitted
    origin = outside.Origin(known.version.data_version, {}, "churned", list(known.run.features), {})
    outside.register(town.project, MODEL, pipeline, origin, version="7.7.7", promote="by hand")


def test_a_version_that_waited_is_compared_with_the_champion_of_now(open_town: Open) -> None:
    town, waits = waits_to_release(open_town)
    assert waits.compared_with == waits.champion
    by_hand(town, waits)
    changed = f"7.7.7 became champion after the gate had compared with {waits.champion}"
    (standing,) = showing.standings(town.project, MODEL)
    (told,) = telling.waits(standing, town.clock.now())
    assert changed in told
    advancing.approve(town.project, waits.decision_id)
    work(town.project)
    (done,) = town.decisions()
    assert (done.stage, done.outcome, done.against) == ("ended", "kept", "7.7.7")
    assert done.said.startswith(f"{changed}, and compared again: ")
    assert done.evidence[-1].fired
    assert not done.releases
    assert models.find(town.project, f"{MODEL}@champion").version.version == "7.7.7"


def test_a_version_that_is_better_than_the_champion_of_now_too_is_released(open_town: Open) -> None:
    town, waits = waits_to_release(open_town)
    town.spoil()
    advancing.approve(town.project, waits.decision_id)
    work(town.project)
    (done,) = town.decisions()
    assert (done.stage, done.outcome, done.against) == ("ended", "promoted", "6.6.6")
    assert "6.6.6 became champion" in done.evidence[-1].message
    assert models.find(town.project, f"{MODEL}@champion").version.version == waits.version


def test_a_champion_of_newer_data_is_compared_with_on_these(open_town: Open) -> None:
    town, waits = waits_to_release(open_town)
    root = town.project.settings.root
    newer = customers(4_000, 77).to_pandas()
    newer["churned"] = 1 - newer["churned"]  # another world
    newer.to_csv(root / "newer.csv", index=False)
    (root / "everloop.yaml").write_text(yaml.safe_dump(Town.tree(approve=["release"], on=[])))
    assert everloop(root, "run", "--force", "--data", "newer.csv").code == 0
    champion = models.find(town.project, f"{MODEL}@champion").version.version
    assert champion not in (waits.champion, waits.version)
    advancing.approve(town.project, waits.decision_id)
    work(town.project)
    (done,) = town.decisions()
    assert (done.outcome, done.against) == ("kept", champion)
    assert f"of champion {champion}: worse by" in done.said
    assert models.find(town.project, f"{MODEL}@champion").version.version == champion


def test_what_it_was_compared_with_is_gone(open_town: Open) -> None:
    town, waits = waits_to_release(open_town)
    by_hand(town, waits)
    with town.project.store.reading() as tx:
        trained = turns.finished_step(tx, waits.turn_id or "", "train")
    assert trained is not None
    town.project.artifacts.remove(trained["result"]["test_rows"])
    advancing.approve(town.project, waits.decision_id)
    work(town.project)
    (done,) = town.decisions()
    assert (done.outcome, done.releases) == ("held", ())
    assert f"everloop retrain {MODEL} --force" in done.said


def test_people_are_told_that_the_champion_is_another_by_now(open_town: Open) -> None:
    town, waits = waits_to_release(open_town)
    by_hand(town, waits)
    root = town.project.settings.root
    (root / "everloop.yaml").write_text(yaml.safe_dump(Town.tree(approve=["release"], on=[])))
    changed = f"7.7.7 became champion after the gate had compared with {waits.champion}"
    assert changed in " ".join(everloop(root, "decisions", "show", waits.decision_id).out.split())
    assert changed in " ".join(everloop(root, "loop", "status").out.split())
    approved = everloop(root, "decisions", "approve", waits.decision_id)
    assert approved.code == 0
    assert "is approved: " in approved.out
    assert changed in " ".join(approved.out.split())


def test_a_second_approval_is_told_of_the_first(open_town: Open) -> None:
    town, waits = waits_to_train(open_town)
    advancing.approve(town.project, waits.decision_id, "owner")
    at = f"{town.clock.now():%Y-%m-%d %H:%M} UTC"
    for again in (advancing.approve, advancing.reject):
        with pytest.raises(Conflict) as refused:
            again(town.project, waits.decision_id)
        by = f"its training was approved by {town.project.user} as owner, {at}"
        assert refused.value.remedy == f"It waits for nobody's approval: {by}."
