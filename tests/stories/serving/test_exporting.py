"""Predictions become a data version that tables and models can be made of."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.stories.serving.log import FLOWER, NOW, line, lines, write

from everloop.core.errors import EmptyTable, Invalid
from everloop.flows import data
from everloop.flows.project import Project
from everloop.flows.serving import exporting, labels, recording
from everloop.flows.serving.labels import LabelItem
from everloop.store.tables import predictions

START = NOW - timedelta(days=1)


def test_inputs_answers_and_labels_are_columns(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_ROWS", 3)
    write(
        project, lines(range(7), inputs={"n": 1, "city": "Zürich", "ok": True, "label": "mine", "gone": None})
    )
    write(project, line(7, inputs={"n": 2.5, "city": "***", "ok": None}, prediction="other"))
    write(project, line(8, model="rose"))
    recording.record(project)
    labels.add(project, [LabelItem("pred_000001", "setosa", NOW)])
    made = exporting.export(project, "iris")
    assert (made.version.dataset, made.version.rows, made.new) == ("iris.predictions", 8, True)
    types = {column.name: column.type for column in made.version.columns}
    assert types == {
        "n": "float64",
        "city": "string",
        "ok": "bool",
        "input_label": "string",
        "gone": "string",
        "prediction_id": "string",
        "at": "timestamp[UTC]",
        "model": "string",
        "version": "string",
        "variant": "string",
        "request_id": "string",
        "latency_ms": "float64",
        "prediction": "string",
        "confidence": "float64",
        "label": "string",
        "labelled_at": "timestamp[UTC]",
        "selection": "string",
        "inclusion": "float64",
        "probability_setosa": "float64",
        "probability_versicolor": "float64",
    }
    rows = data.load(project, made.version).to_pylist()
    assert [row["prediction_id"] for row in rows] == [f"pred_{n:06}" for n in range(8)]
    assert (rows[1]["label"], rows[1]["labelled_at"], rows[0]["label"]) == ("setosa", NOW, None)
    assert (rows[0]["n"], rows[0]["ok"], rows[0]["input_label"]) == (1.0, True, "mine")
    assert (rows[7]["n"], rows[7]["city"], rows[7]["prediction"]) == (2.5, "***", "other")
    assert rows[3]["at"] == START + timedelta(seconds=3)
    assert not exporting.export(project, "iris").new
    assert list((project.settings.state / "exports" / "default").iterdir()) == []


def test_a_period_and_a_version_are_chosen(project: Project) -> None:
    write(project, lines(range(10)) + lines(range(10, 12), version="2.0.0"))
    recording.record(project)
    part = exporting.export(
        project, "iris", START + timedelta(seconds=3), START + timedelta(seconds=6), dataset="looked/at"
    )
    assert (part.version.dataset, part.version.rows) == ("looked/at", 3)
    assert exporting.export(project, "iris", version="2.0.0").version.rows == 2
    with pytest.raises(EmptyTable, match="no predictions of 'iris'"):
        exporting.export(project, "iris", NOW)
    with pytest.raises(EmptyTable, match="'rose'"):
        exporting.export(project, "rose")
    with pytest.raises(Invalid, match="zone"):
        exporting.export(project, "iris", NOW.replace(tzinfo=None))
    with pytest.raises(Invalid):
        exporting.export(project, "iris", dataset="../out")


def test_a_regression_is_in_numbers_and_odd_inputs_are_text(project: Project) -> None:
    plain = {"probabilities": None, "confidence": None}
    write(project, line(1, prediction=2, inputs={**FLOWER, "x": 1, "big": 2**60}, **plain))
    write(project, line(2, prediction=2.5, inputs={**FLOWER, "x": "one", "big": 1}, **plain))
    recording.record(project)
    rows = data.load(project, exporting.export(project, "iris").version).to_pylist()
    assert [row["prediction"] for row in rows] == [2.0, 2.5]
    assert [(row["x"], row["big"]) for row in rows] == [("1", str(2**60)), ("one", "1")]


@pytest.mark.parametrize("damage", [{"inputs": "not { json"}, {"inputs": "[1]"}, {"probabilities": "{"}])
def test_what_cannot_be_read_is_named_and_left_out(project: Project, damage: dict[str, str]) -> None:
    write(project, lines(range(4)))
    recording.record(project)
    with project.store.writing() as tx:
        tx.change(predictions, predictions.c.prediction_id == "pred_000002", **damage)
    made = exporting.export(project, "iris")
    ids = data.load(project, made.version, ["prediction_id"]).column(0).to_pylist()
    assert ids == ["pred_000000", "pred_000001", "pred_000003"]
    assert made.version.origin["left_out"].startswith("left out: 1 whose inputs or probabilities are no JSON")
    assert "(pred_000002)" in made.version.origin["left_out"]
