"""A candidate on trial that cannot be judged: the loop says so, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from tests.stories.loop.test_trial import SOME, champion, days, on_trial
from tests.stories.loop.town import MODEL, Town, turned, work

from everloop.core.errors import Refused, Unavailable
from everloop.core.loop import DecisionRecord
from everloop.flows import models, turn
from everloop.flows.loop import advancing, asking, following, showing, trials
from everloop.flows.monitoring import referring
from everloop.retraining import trial
from everloop.settings import folder_settings
from everloop.wiring import connect

Open = Callable[..., Town]


def newest(town: Town) -> DecisionRecord:
    return town.decisions()[-1]


def set_otherwise(town: Town, exclude: tuple[str, ...] = (), **changed: Any) -> None:
    """Somebody changes settings of the model."""
    tree = Town.tree(on=(), exclude=exclude)
    for name, values in changed.items():
        tree["models"][MODEL][name] = tree["models"][MODEL].get(name, {}) | values
    connected(town, tree)


def connected(town: Town, tree: dict[str, Any]) -> None:
    root = town.project.settings.root
    town.project.close()
    town.project = replace(connect(folder_settings(root, tree), town.clock), clock=town.clock)


def test_a_guarded_slice_of_which_nothing_is_asked(open_town: Open) -> None:
    """It may be in the data alone; who is harmed in it labels of predictions do not tell."""
    town = open_town(on=(), exclude=("country",))
    for rows in (SOME, 50, 50):
        town.day_of(turned, rows=rows)
    set_otherwise(town, exclude=("country",), gate={"slices": ["country"]})
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    assert newest(town).stage == "trial"
    days(town, 5)
    work(town.project)
    assert newest(town).looks == 1
    assert (
        "cannot be compared: The gate's slice 'country' is not a column." in newest(town).evidence[-1].message
    )
    assert champion(town) == "1.0.0"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"calibration_max": 0.01}, "expected calibration error 0."),
        ({"fairness": [{"column": "plan", "max_difference": 0.01}]}, "selection rate by plan: "),
    ],
)
def test_what_else_the_gate_asks_labels_tell_too(open_town: Open, asked: dict[str, Any], said: str) -> None:
    """The gate saw nothing on its few rows: the labels that came show it."""
    town, _ = on_trial(open_town)
    set_otherwise(town, gate=asked)
    days(town, 5)
    work(town.project)
    assert (newest(town).stage, newest(town).looks, champion(town)) == ("trial", 1, "1.0.0")
    found = newest(town).evidence[-1].message
    assert ": better by " in found
    assert f", but {said}" in found
    verdict = newest(town).last_look
    assert verdict is not None
    assert [each.fired for each in verdict.checks] == [True]


def test_its_calibration_is_looked_at_beside_the_champions(open_town: Open) -> None:
    town, record = on_trial(open_town)
    set_otherwise(town, gate={"calibration_margin": 0.05})
    days(town, 5)
    work(town.project)
    verdict = newest(town).last_look
    assert verdict is not None
    (looked,) = verdict.checks
    assert (looked.check, looked.fired) == ("calibration beside the champion", False)
    assert " of champion 1.0.0 on 846 unseen rows" in looked.message
    assert champion(town) == record.version


def test_labels_of_one_class_alone_are_no_look(open_town: Open) -> None:
    """By these the model is better that says this class oftener: the rest is late, or the feed is broken."""
    town, _ = on_trial(open_town)
    days(town, 5, lambda table: np.full(table.num_rows, "0"))
    work(town.project)
    assert (newest(town).stage, newest(town).looks, champion(town)) == ("trial", 0, "1.0.0")
    assert " Too early: all 846 unseen rows are of the class '0'" in newest(town).changes


def test_another_target_is_not_what_it_was_trained_for(open_town: Open) -> None:
    town, _ = on_trial(open_town)
    tree = Town.tree(on=())
    tree["models"][MODEL]["target"] = "plan"
    connected(town, tree)
    days(town, 5)
    work(town.project)
    assert newest(town).looks == 1
    assert "cannot be compared: The target is now 'plan', not 'churned'." in newest(town).evidence[-1].message
    assert champion(town) == "1.0.0"


def test_a_group_that_labels_do_not_tell(open_town: Open) -> None:
    town = open_town(on=(), exclude=("country",))
    for rows in (SOME, 50, 50):
        town.day_of(turned, rows=rows)
    set_otherwise(town, ("country",), gate={"fairness": [{"column": "country", "max_difference": 0.9}]})
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    days(town, 5)
    work(town.project)
    assert newest(town).looks == 1
    found = newest(town).evidence[-1].message
    assert "cannot be compared: gate.fairness.column: 'country' is no column of the data." in found
    assert champion(town) == "1.0.0"


def test_a_champion_that_was_made_elsewhere(open_town: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    town, _ = on_trial(open_town)
    days(town, 5)

    def unknown(*_: object) -> None:
        raise Refused(f"{MODEL} was trained elsewhere.")

    monkeypatch.setattr(referring, "of_version", unknown)
    work(town.project)
    assert newest(town).looks == 1
    assert "cannot be compared: churn was trained elsewhere." in newest(town).evidence[-1].message


def test_a_model_that_fails_when_it_is_asked(open_town: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    town, _ = on_trial(open_town)
    days(town, 5)
    monkeypatch.setattr(trials.rooms.versus, "judge", lambda *_: {}["plan"])
    work(town.project)
    assert newest(town).looks == 1
    assert "cannot be compared: KeyError: 'plan'" in newest(town).evidence[-1].message


def test_one_whose_file_is_gone_is_let_go(open_town: Open) -> None:
    town, record = on_trial(open_town)
    run = models.find(town.project, f"{MODEL}@{record.version}").run
    town.project.artifacts.remove(run.artifact)
    days(town, 3)
    for _ in range(trial.LOOKS):
        days(town, 2)
        work(town.project)
    assert (newest(town).stage, newest(town).outcome, newest(town).looks) == ("ended", "kept", trial.LOOKS)
    assert champion(town) == "1.0.0"


def test_what_is_away_is_no_look_and_is_tried_again(open_town: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    town, _ = on_trial(open_town)
    days(town, 5)

    def away(*_: object) -> None:
        raise Unavailable("The store of models is away.")

    with monkeypatch.context() as gone:
        gone.setattr(trials.rooms.versus, "judge", away)
        advancing.advance(town.project)
    waits = newest(town)
    assert (waits.stage, waits.looks, waits.again_at) == ("trial", 0, town.clock.at + timedelta(minutes=5))
    assert not following.is_due(town.project)
    town.clock.at += timedelta(minutes=5)
    work(town.project)
    assert champion(town) == "1.0.1"


def test_a_first_model_that_the_gate_refuses_is_on_no_trial(open_town: Open) -> None:
    town = open_town(on=())
    tree = Town.tree(on=())
    tree["models"]["other"] = tree["models"][MODEL] | {"features": ["country"]}
    connected(town, tree)
    turn.run(town.project, "other")
    asking.ask(town.project, "other", force=True)
    work(town.project)
    (record,) = showing.decisions(town.project, "other")
    assert (record.against, record.outcome, record.stage) == (None, "kept", "ended")


def test_one_that_has_no_fair_comparison_is_on_no_trial(open_town: Open) -> None:
    """People have to promote it, the gate says."""
    town = open_town(on=())
    town.day_of(turned, rows=SOME)
    tree = Town.tree(on=())
    tree["models"][MODEL]["target"] = "plan"
    connected(town, tree)
    asking.ask(town.project, MODEL, force=True)
    work(town.project)
    assert "no fair comparison" in newest(town).said
    assert newest(town).stage == "ended"
