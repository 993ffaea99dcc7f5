"""ExperimentTracker: the example of S3, servers that are away, what cannot be logged."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.servers import free_port
from tests.stories.sdk.examples import execute

from everloop import ExperimentError, ExperimentTracker, Unavailable, wiring
from everloop.adapters.mlflow.tracker import MlflowTracker
from everloop.flows import delivery, tracking
from everloop.flows.tracking import Experiment
from everloop.settings import load_settings
from everloop.wiring import open_project


def test_s3_track_an_experiment(folder: Path) -> None:
    for name in ("models/ticket_classifier.joblib", "plots/confusion_matrix.png"):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(name.encode())
    example = """
from everloop import ExperimentTracker

# Create tracker
tracker = ExperimentTracker(tracking_uri="./mlruns", tenant_id="tenant_123")

# Create experiment
experiment_id = tracker.create_experiment(
    experiment_name="ticket_classifier_v1",
    tags={"model_type": "classification", "dataset": "tickets_2024"}
)

# Log parameters
tracker.log_params({
    "n_estimators": 100,
    "max_depth": 10,
    "learning_rate": 0.01
})

# Log metrics
tracker.log_metrics({
    "accuracy": 0.95,
    "precision": 0.94,
    "recall": 0.93,
    "f1": 0.935
}, step=1)

# Log artifacts
tracker.log_artifacts({
    "model": "./models/ticket_classifier.joblib",
    "confusion_matrix": "./plots/confusion_matrix.png"
})

# Search experiments
experiments = tracker.search_experiments(filter_string="model_type='classification'")
"""
    found = execute(example)
    tracker, experiment_id = found["tracker"], found["experiment_id"]

    [experiment] = found["experiments"]
    assert (experiment["experiment_id"], experiment["name"]) == (experiment_id, "ticket_classifier_v1")
    [run] = tracker.search_runs("metrics.accuracy > 0.9")
    assert run["params"] == {"n_estimators": "100", "max_depth": "10", "learning_rate": "0.01"}
    assert run["metrics"] == {"accuracy": 0.95, "precision": 0.94, "recall": 0.93, "f1": 0.935}
    kept = sorted(path.name for path in (folder / "mlruns" / "artifacts").rglob("*.*"))
    assert kept == ["confusion_matrix.png", "ticket_classifier.joblib"]
    assert ExperimentTracker("./mlruns", "other").search_experiments() == []

    tracker.end_run()
    tracker.start_run("second")
    tracker.log_metrics({"loss": float("nan"), "accuracy": 0.5})
    tracker.close()
    again = ExperimentTracker("./mlruns", "tenant_123")
    assert [each["status"] for each in again.search_runs()] == ["FINISHED", "FINISHED"]
    assert again.search_runs()[0]["run_name"] == "second"


def test_a_dead_server_fails_no_training(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"1")
    tracker = ExperimentTracker(f"http://127.0.0.1:{free_port()}", deliver=False)
    assert tracker.create_experiment("e", {"a": 1}) == "e"
    tracker.log_params({"depth": 3})
    tracker.log_metrics({"loss": 0.5}, step=1)
    tracker.log_artifacts({"model": "model.bin"})
    tracker.end_run()
    with pytest.raises(Unavailable, match="5 records"):
        tracker.search_runs()


def test_what_waited_is_delivered_later_in_order_and_once(folder: Path) -> None:
    class Server:
        up = False

        def __init__(self) -> None:
            self.calls: list[str] = []

        def record_log(self, document: Any, files: Any) -> None:
            if not self.up:
                raise Unavailable("MLflow does not answer.")
            self.calls.append(document["call"])

    server = Server()
    project = replace(open_project(), open_tracker=lambda: server)
    run = tracking.start_run(project, Experiment("e", {}))
    tracking.log_params(project, run, {"depth": 3})
    assert delivery.deliver(project).waiting == 1
    tracking.log_metrics(project, run, {"loss": 0.5}, step=1)
    tracking.end_run(project, run, "FINISHED")
    server.up = True
    tracking.deliver_all(project)
    tracking.deliver_all(project)
    assert server.calls == ["params", "metrics", "end"]
    project.close()


def test_an_entry_told_twice_is_in_mlflow_once(folder: Path) -> None:
    told = MlflowTracker("./mlruns", tenant="t")
    at = "2026-01-01T00:00:00+00:00"
    shared = {"experiment": "e", "experiment_tags": {"a": "1"}, "at": at}
    run = {**shared, "run_id": "run_1", "run_name": "first", "started_at": at}
    files = {"model/m.bin": b"1", "model/sub/n.bin": b"2"}
    for _ in range(2):
        told.record_log({**shared, "call": "experiment"}, {})
        told.record_log({**run, "call": "params", "params": {"depth": "3"}}, {})
        told.record_log({**run, "call": "metrics", "metrics": {"loss": 0.5, "odd": "nan"}, "step": 1}, {})
        told.record_log({**run, "call": "artifacts", "files": {}}, files)
        told.record_log({**run, "call": "end", "status": "FAILED"}, {})
    [found] = told.search_runs()
    assert (found["run_name"], found["status"], found["params"]) == ("first", "FAILED", {"depth": "3"})
    assert found["metrics"]["loss"] == 0.5
    assert math.isnan(found["metrics"]["odd"])
    kept = sorted(path.name for path in (folder / "mlruns" / "artifacts").rglob("*.bin"))
    assert kept == ["m.bin", "n.bin"]
    with told.connection.talk() as client:
        assert len(client.get_metric_history(found["mlflow_run_id"], "loss")) == 1


def test_what_cannot_be_logged_is_said(folder: Path) -> None:
    tracker = ExperimentTracker(f"http://127.0.0.1:{free_port()}", deliver=False)
    with pytest.raises(ExperimentError, match="no experiment"):
        tracker.log_params({"a": 1})
    tracker.create_experiment("e")
    with pytest.raises(ExperimentError, match=r"confusion.*nowhere\.png"):
        tracker.log_artifacts({"confusion": "nowhere.png"})
    with pytest.raises(ExperimentError, match="'high'"):
        tracker.log_metrics({"accuracy": "high"})


def test_what_waits_for_another_mlflow_is_found_and_delivered(folder: Path) -> None:
    """'everloop deliver' sends it too, from a process that knows nothing of the tracker."""
    tracker = ExperimentTracker("./elsewhere", deliver=False)
    tracker.create_experiment("elsewhere")
    tracker.start_run("later")
    tracker.log_metrics({"loss": 0.5}, step=1)
    tracker.close()
    settings = load_settings(folder=folder, variables={})
    (ledger,) = wiring.ledgers(settings)
    assert delivery.deliver(ledger).waiting == 0
    ledger.close()
    (run,) = ExperimentTracker("./elsewhere").search_runs()
    assert run["metrics"] == {"loss": 0.5}
