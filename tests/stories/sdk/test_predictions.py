"""Predictions and labels from Python."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop import EmptyTable, Invalid, PredictionLog
from everloop.cli import main
from everloop.flows.serving import recording
from everloop.wiring import open_project


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PredictionLog:
    """A project in the working folder whose model has answered ten requests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERLOOP_TRACKING__ENABLED", "false")
    for command in (
        ["init", "flowers", "--example", "iris"],
        ["run", "--quiet", "-c", "flowers/everloop.yaml"],
    ):
        with pytest.raises(SystemExit) as left:
            main(command)
        assert not left.value.code
    monkeypatch.chdir(tmp_path / "flowers")
    project = open_project()
    folder = recording.log_folder(project)
    folder.mkdir(parents=True)
    lines = [
        {
            "prediction_id": f"pred_{number}",
            "at": datetime(2026, 3, 1, 12, number, tzinfo=UTC).isoformat(),
            "model": "iris",
            "version": "1.0.0",
            "inputs": {"sepal_length": 5.1},
            "prediction": "setosa",
            "confidence": 0.9,
        }
        for number in range(10)
    ]
    (folder / "w-000001.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    project.close()
    return PredictionLog()


def test_labels_come_late_and_are_corrected(served: PredictionLog) -> None:
    assert [one.prediction_id for one in served.list(limit=2)] == ["pred_9", "pred_8"]
    assert served.label("pred_3", "versicolor") == "new"
    assert served.label("pred_3", "setosa") == "corrected"
    assert served.label("pred_3", "setosa") == "unchanged"
    assert served.label("pred_77", "setosa") == "unmatched"
    assert [(one.prediction_id, one.label) for one in served.list(label="known")] == [("pred_3", "setosa")]
    with pytest.raises(Invalid, match="tulip"):
        served.label("pred_3", "tulip")


def test_an_export_is_a_data_version(served: PredictionLog) -> None:
    from everloop import DataVersioner

    version = served.export()
    table, _ = DataVersioner(dataset="iris.predictions").load(version)
    assert len(table) == 10
    with pytest.raises(EmptyTable):
        served.export(since=datetime(2027, 1, 1, tzinfo=UTC))
