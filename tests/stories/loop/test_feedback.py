"""Whoever the model says leaves is called and stays: what is seen then was made by the model. A few are not
called, at random, and by them the loop sees that the world has changed, and learns it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from everloop.core.errors import InvalidSettings
from everloop.core.serving import Prediction
from everloop.data.examples.customers import customers
from everloop.flows import fitted, models
from everloop.flows.loop import gathering
from everloop.flows.serving import history, planning
from everloop.flows.serving.labels import LabelItem
from everloop.serving.feedback import Feedback
from everloop.settings import folder_settings
from everloop.training import fitting
from everloop.wiring import connect

from .town import MODEL, Town, as_ever, turned

LEAVES, HELD_OUT = "1", 0.25


class Calling(Town):
    """A town that calls those of whom the model says that they leave, but for those it is told to hold out;
    who is called stays."""

    feedback: ClassVar[dict[str, Any]] = {"answers": [LEAVES], "hold_out": HELD_OUT}
    called = 0

    @classmethod
    def tree(cls, **retraining: Any) -> dict[str, Any]:
        tree = super().tree(**retraining)
        tree["models"][MODEL]["serving"] = {"feedback": cls.feedback}
        return tree

    def logged(self, line: dict[str, Any]) -> dict[str, Any]:
        asked = self.project.model(MODEL).serving.feedback
        if not asked.answers:
            return line
        mark = Feedback(asked.answers, asked.hold_out).mark(line["prediction_id"], line["prediction"])
        return {**line, "selection": mark.selection, "inclusion": mark.inclusion}

    def _answer(self, table: Any, truth: list[str]) -> list[LabelItem]:
        due = super()._answer(table, truth)
        said = {one.prediction_id: one for one in self.newest(len(due))}
        seen = []
        for item in due:
            told = said[item.prediction_id]
            called = told.prediction == LEAVES and told.selection != "hold_out"
            self.called += called
            seen.append(LabelItem(item.prediction_id, "0" if called else item.label))
        return seen

    def newest(self, many: int) -> list[Prediction]:
        found, _ = history.page(self.project, model=MODEL, limit=many)
        return found

    def right(self) -> float:
        """How often the champion is right of the world as it is now, were nobody called."""
        table = customers(4_000, 99)
        found = models.find(self.project, f"{MODEL}@champion")
        pipeline = models.load(self.project, f"{MODEL}@champion")
        said = fitting.predict(pipeline, table, found.run.features, "classification")
        answers = np.asarray(found.run.classes)[said.argmax(axis=1)]
        return float((answers == turned(table)).mean())


class Trusting(Calling):
    """The same, and nothing is said of it."""

    feedback: ClassVar[dict[str, Any]] = {}


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Calling]:
    town = Calling(tmp_path / "held_out")
    yield town
    town.close()


@pytest.fixture
def trusting(tmp_path: Path) -> Iterator[Trusting]:
    town = Trusting(tmp_path / "trusting")
    yield town
    town.close()


def test_who_believes_its_own_effect_sees_a_change_where_there_is_none(
    town: Calling, trusting: Trusting
) -> None:
    for each in (town, trusting):
        each.live(4)
        assert each.called > 300
    assert "changed_world" in {one.code for one in trusting.decisions()}
    assert {one.code for one in town.decisions()} == {"no_benefit"}
    told = [each.message for one in town.decisions() for each in one.evidence if each.check == "rows"]
    assert all("are left out, as the model's own answer decided their label" in each for each in told)


def test_those_who_are_held_out_show_a_change_and_judge_what_was_learnt_of_it(town: Calling) -> None:
    town.live(3)
    before = town.right()
    town.live(12, turned)
    (promoted,) = [one for one in town.decisions() if one.outcome == "promoted"]
    assert promoted.code == "changed_world"
    assert town.right() > before + 0.1
    run = models.find(town.project, f"{MODEL}@champion").run
    assert run.row_weights
    assert run.row_judges
    again = fitted.again(town.project, run)
    assert len(again.test_index) == run.test_rows
    assert sha256(np.ascontiguousarray(again.predictions).tobytes()).hexdigest() == run.predictions_hash


def test_what_is_decided_teaches_nothing_and_judges_nothing(town: Calling) -> None:
    town.day_of(as_ever)
    town.day_of(as_ever)
    until = town.clock.now()
    found, _ = history.page(town.project, model=MODEL, label="known", limit=1_000)
    labelled = [one for one in found if one.label is not None]
    by = {
        kind: [one for one in labelled if one.selection == kind] for kind in ("decided", "seen", "hold_out")
    }
    assert all(by.values())
    assert all(one.prediction == LEAVES and one.label == "0" for one in by["decided"])
    rows = gathering.count(town.project, MODEL, until)
    assert rows.decided == len(by["decided"])
    assert rows.new == len(by["seen"]) + len(by["hold_out"])

    taught = gathering.production(town.project, MODEL, until)
    assert len(taught) == rows.new
    assert sum(row["judges"] for row in taught) == len(by["hold_out"])
    heavy = [row for row in taught if row["weight"] == pytest.approx(1 / HELD_OUT)]
    assert len(heavy) == sum(one.prediction == LEAVES for one in by["hold_out"])
    assert {row["weight"] for row in taught if row not in heavy} == {1.0}


def test_an_answer_that_the_model_does_not_know_is_refused(town: Calling) -> None:
    tree = Calling.tree()
    tree["models"][MODEL]["serving"] = {"feedback": {"answers": ["leaves"]}}
    project = connect(folder_settings(town.project.settings.root, tree))
    with pytest.raises(InvalidSettings, match=r"answers names 'leaves', which churn does not answer"):
        planning.plan(project)
    project.close()


def test_a_hold_out_of_nothing_is_refused(tmp_path: Path) -> None:
    tree = Calling.tree()
    tree["models"][MODEL]["serving"] = {"feedback": {"hold_out": 0.1}}
    with pytest.raises(InvalidSettings, match=r"hold_out is 0\.1, and no answers are named"):
        folder_settings(tmp_path, tree)
