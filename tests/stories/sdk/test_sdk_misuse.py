"""Wrong values are refused where they are given, and numpy's numbers are numbers."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from everloop import (
    DataVersioner,
    DriftDetectionError,
    ExperimentError,
    ExperimentTracker,
    Invalid,
    InvalidSettings,
    MLOpsPipeline,
    ModelMonitor,
    ModelRegistry,
    MonitoringError,
    UnknownVersion,
    WrongType,
    run_pipeline,
)
from everloop.flows import delivery
from everloop.store import outbox


def tracker() -> ExperimentTracker:
    """One that delivers nothing by itself, logging to an experiment."""
    made = ExperimentTracker("./mlruns", deliver=False)
    made.create_experiment("e")
    return made


def test_a_step_is_a_whole_number_of_any_type() -> None:
    log = tracker()
    log.log_metrics({"loss": np.float32(0.5)}, step=np.int64(3))
    for step in (None, "x", 1.5, 2**70):
        with pytest.raises(ExperimentError, match="step"):
            log.log_metrics({"loss": 1.0}, step=step)
    log.flush()
    assert log.search_runs()[0]["metrics"] == {"loss": 0.5}


@pytest.mark.parametrize("given", [None, 0.5, [1]])
def test_what_is_no_mapping_is_refused_when_it_is_logged(given: Any) -> None:
    log = tracker()
    for call in (log.log_params, log.log_metrics, log.log_artifacts):
        with pytest.raises(ExperimentError):
            call(given)
    with pytest.raises(ExperimentError, match="name of an artifact"):
        log.log_artifacts({"../x": __file__})
    with pytest.raises(ExperimentError, match="name of an experiment"):
        log.create_experiment("")


def test_an_entry_whose_files_are_lost_does_not_hold_up_the_ones_behind_it(folder: Path) -> None:
    log = tracker()
    (folder / "plot.png").write_text("plot")
    log.log_artifacts({"plot": "plot.png"})
    log.log_params({"after": 1})
    project = log._project
    with project.store.reading() as tx:
        [address] = outbox.waiting(tx)[0]["document"]["files"].values()
    Path(project.artifacts.where(address)).unlink()
    done = delivery.deliver(project)
    assert (done.rejected, done.waiting, done.problem) == (1, 0, None)
    assert log.search_runs()[0]["params"] == {"after": "1"}


def test_numpy_counts_do_not_spoil_the_metrics_history(untracked: Path) -> None:
    monitor = ModelMonitor("monitoring")
    monitor.record_metrics(0.8, rows=np.int64(500))
    assert monitor.metrics_history()[-1]["rows"] == 500
    assert run_pipeline("config.yaml")["retrained"]
    with pytest.raises(MonitoringError, match="rows is 'many'"):
        monitor.record_metrics(0.8, rows="many")


def test_tenants_have_metrics_files_of_their_own(untracked: Path) -> None:
    for tenant, value in (("default", 0.1), ("acme", 0.2), ("other", 0.3)):
        ModelMonitor("monitoring", tenant_id=tenant).record_metrics(value)
    for place, value in (("", 0.1), ("acme", 0.2), ("other", 0.3)):
        file = untracked / "monitoring" / place / "metrics_history.json"
        assert [entry["value"] for entry in json.loads(file.read_text())["history"]] == [value]


def test_thresholds_and_drift_are_numbers(untracked: Path) -> None:
    for bad in ("high", float("nan"), 75, -1):
        with pytest.raises(InvalidSettings, match="accuracy_min_threshold"):
            ModelMonitor("monitoring", accuracy_min_threshold=bad)
    monitor = ModelMonitor("monitoring", accuracy_min_threshold=0.75, drift_threshold=0.2)
    for wrong in ("x", float("nan"), {}):
        with pytest.raises(DriftDetectionError):
            monitor.should_retrain(0.9, drift=wrong)
    assert monitor.should_retrain(0.9, drift=np.float64(0.3))


def test_tags_are_texts_and_versions_are_looked_up(untracked: Path) -> None:
    registry = ModelRegistry("model_registry")
    fitted = LogisticRegression().fit([[0], [1]], [0, 1])
    registry.register(fitted, tags={"seed": np.int64(3)}, features=["x"])
    assert registry.latest()["tags"]["seed"] == "3"
    with pytest.raises(Invalid, match="The metric"):
        registry.register(fitted, metrics={"accuracy": "good"})
    with pytest.raises(UnknownVersion):
        DataVersioner("data_versions").load(3)


def test_attributes_that_would_be_lost_are_not_registered(untracked: Path) -> None:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"read": datetime(2026, 3, 1)}
    versioner = DataVersioner("data_versions")
    with pytest.raises(WrongType, match="The attribute 'read' in attrs"):
        versioner.register(frame)
    frame.attrs = {"read": "2026-03-01"}
    assert versioner.load(versioner.register(frame))[0].attrs == frame.attrs


def test_stages_are_names(untracked: Path) -> None:
    pipeline = MLOpsPipeline("p")
    assert pipeline.run_pipeline("data_collection")["data_collection"]["rows"] == 2000
    with pytest.raises(Invalid, match="no stage"):
        pipeline.run_stage(None)
    with pytest.raises(Invalid, match="is no stage"):
        pipeline.add_stage("publish", 3)
