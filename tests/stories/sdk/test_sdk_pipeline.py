"""MLOpsPipeline: the examples of S3, stages of one's own, some stages at a time, the status meanwhile."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.stories.sdk.examples import execute

from everloop import (
    Conflict,
    ContractFailed,
    DataVersioner,
    ExperimentTracker,
    FileMissing,
    Invalid,
    MLOpsPipeline,
    ModelMonitor,
    ModelRegistry,
    PipelineStage,
    create_data_versioner,
    create_experiment_tracker,
    create_mlops_pipeline,
    create_model_monitor,
    create_model_registry,
)
from everloop.data.examples.customers import customers


def test_s3_create_and_run_a_pipeline(untracked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = """
from everloop import MLOpsPipeline
from everloop import PipelineStage

# Create pipeline
pipeline = MLOpsPipeline("ticket_classifier_pipeline", tenant_id="tenant_123")

# Run full pipeline
results = pipeline.run_pipeline(
    stages=[
        PipelineStage.DATA_COLLECTION,
        PipelineStage.DATA_PREPROCESSING,
        PipelineStage.TRAINING,
        PipelineStage.VALIDATION,
        PipelineStage.DEPLOYMENT,
        PipelineStage.MONITORING
    ]
)

# Check status
status = pipeline.get_pipeline_status()
print(f"Pipeline status: {status['status']}")
"""
    found = execute(example)

    assert capsys.readouterr().out == "Pipeline status: done\n"
    results = found["results"]
    assert list(results) == list(found["status"]["stages"])
    assert {stage["status"] for stage in found["status"]["stages"].values()} == {"done"}
    assert results["training"]["retrained"] is True
    assert results["deployment"] == {
        "model_version": "1.0.0",
        "promoted": True,
        "reason": results["validation"]["reason"],
    }
    assert results["monitoring"]["metrics"] == results["training"]["metrics"]
    assert [entry["version"] for entry in ModelRegistry(tenant_id="tenant_123").list()] == ["1.0.0"]
    assert ModelRegistry().list() == []


def test_s3_a_custom_stage_without_a_body_says_how_to_give_it_one(untracked: Path) -> None:
    example = """
from everloop import PipelineStage

# Add custom stage
class CustomPipelineStage(PipelineStage):
    CUSTOM_STAGE = "custom_stage"

# Use in pipeline
pipeline.run_stage(CustomPipelineStage.CUSTOM_STAGE)
"""
    pipeline = MLOpsPipeline("p")
    with pytest.raises(Invalid, match=r"custom_stage.*no implementation"):
        execute(example, pipeline=pipeline)
    gc.collect()
    pipeline.add_stage("custom_stage", lambda context: context.turn_id)
    assert execute(example, pipeline=pipeline)["pipeline"].get_pipeline_status()["status"] == "done"
    gc.collect()


def test_a_stage_of_ones_own_has_the_turn_at_hand(untracked: Path) -> None:
    class Publishing(PipelineStage):
        PUBLISH = "publish"

        def publish(self, context: Any) -> dict[str, Any]:
            table = context.data()
            answers = context.model().predict(table)
            return {"rows": len(answers), "version": context.results["deployment"]["model_version"]}

    pipeline = MLOpsPipeline("p")
    pipeline.add_stage("count", lambda context: len(context.data()), after=PipelineStage.DATA_COLLECTION)
    results = pipeline.run_pipeline()
    assert list(results)[:2] == ["data_collection", "count"]
    assert results["count"] == 2000
    assert pipeline.run_stage(Publishing.PUBLISH) == {"rows": 2000, "version": "1.0.0"}


def test_some_stages_now_and_the_others_later_are_one_turn(untracked: Path) -> None:
    first = MLOpsPipeline("p")
    begun = first.run_pipeline([PipelineStage.DATA_COLLECTION, PipelineStage.TRAINING])
    assert ModelRegistry().list() == []
    later = MLOpsPipeline("p")
    seen = later.get_pipeline_status()
    assert seen["turn_id"] == first.get_pipeline_status()["turn_id"]
    assert [stage["status"] for stage in seen["stages"].values()] == ["done"] * 3 + ["waiting"] * 3
    done = later.run_pipeline([PipelineStage.VALIDATION, PipelineStage.DEPLOYMENT, PipelineStage.MONITORING])
    assert done["deployment"]["model_version"] == "1.0.0"
    assert later.get_pipeline_status()["turn_id"] == first.get_pipeline_status()["turn_id"]
    [entry] = ModelRegistry().list()
    assert entry["run_id"] == begun["training"]["run_id"]
    assert later.run_pipeline()["training"]["decision"] == "keep"
    assert later.get_pipeline_status()["turn_id"] != first.get_pipeline_status()["turn_id"]


def test_one_stage_takes_along_those_before_it(untracked: Path) -> None:
    pipeline = MLOpsPipeline("p")
    assert pipeline.run_stage(PipelineStage.VALIDATION)["promote"] is True
    stages = pipeline.get_pipeline_status()["stages"]
    assert [stage["status"] for stage in stages.values()] == ["done"] * 4 + ["waiting"] * 2
    again = pipeline.run_stage(PipelineStage.DATA_COLLECTION)
    assert again["rows"] == 2000
    assert ModelRegistry().list() == []


def test_a_failing_stage_leaves_its_error_in_the_status(untracked: Path) -> None:
    pipeline = MLOpsPipeline("p", source="nowhere.csv")
    with pytest.raises(FileMissing):
        pipeline.run_pipeline()
    status = pipeline.get_pipeline_status()
    assert status["status"] == "failed"
    assert "nowhere.csv" in str(status["error"])
    assert status["stages"]["data_collection"]["status"] == "failed"
    assert status["stages"]["training"]["status"] == "waiting"

    pd.DataFrame(customers(rows=500, seed=1).to_pandas()).to_csv("nowhere.csv", index=False)
    assert pipeline.run_pipeline()["training"]["retrained"] is True
    assert pipeline.get_pipeline_status()["status"] == "done"
    assert pipeline.get_pipeline_status()["error"] is None


def test_a_broken_contract_fails_the_stage_that_checks_it(untracked: Path) -> None:
    MLOpsPipeline("p").run_pipeline()
    table = customers(rows=300, seed=3).to_pandas().drop(columns="age")
    pipeline = MLOpsPipeline("p", source=table)
    with pytest.raises(ContractFailed, match="age"):
        pipeline.run_stage(PipelineStage.TRAINING)
    stages = pipeline.get_pipeline_status()["stages"]
    assert stages["data_preprocessing"]["status"] == "failed"
    assert stages["training"]["status"] == "waiting"


def test_a_failing_stage_of_ones_own_can_be_run_again(untracked: Path) -> None:
    attempts = iter([ValueError("not yet"), "sent"])

    def send(context: Any) -> str:
        found = next(attempts)
        if isinstance(found, Exception):
            raise found
        return found

    pipeline = MLOpsPipeline("p")
    pipeline.add_stage("send", send, after=PipelineStage.TRAINING)
    with pytest.raises(ValueError, match="not yet"):
        pipeline.run_pipeline()
    status = pipeline.get_pipeline_status()
    assert (status["stages"]["send"]["status"], status["stages"]["training"]["status"]) == ("failed", "done")
    results = pipeline.run_pipeline()
    assert results["send"] == "sent"
    assert results["deployment"]["model_version"] == "1.0.0"
    assert pipeline.get_pipeline_status()["turn_id"] == status["turn_id"]


def test_the_status_can_be_asked_while_it_runs(untracked: Path) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def pause(context: Any) -> None:
        reached.set()
        assert go_on.wait(30)

    pipeline = MLOpsPipeline("p")
    pipeline.add_stage("pause", pause, after=PipelineStage.DATA_PREPROCESSING)
    assert pipeline.get_pipeline_status()["status"] == "waiting"
    thread = threading.Thread(target=pipeline.run_pipeline)
    thread.start()
    assert reached.wait(30)
    during = pipeline.get_pipeline_status()
    with pytest.raises(Conflict, match="'p'"):
        pipeline.run_stage(PipelineStage.TRAINING)
    go_on.set()
    thread.join(60)
    assert during["status"] == "running"
    assert [during["stages"][name]["status"] for name in ("data_preprocessing", "pause", "training")] == [
        "done",
        "running",
        "waiting",
    ]
    assert pipeline.get_pipeline_status()["status"] == "done"


def test_unknown_stages_are_refused_before_anything_runs(untracked: Path) -> None:
    pipeline = MLOpsPipeline("p")
    with pytest.raises(Invalid, match="trainning"):
        pipeline.run_pipeline([PipelineStage.DATA_COLLECTION, "trainning"])
    assert pipeline.get_pipeline_status()["status"] == "waiting"
    with pytest.raises(Conflict, match="training"):
        pipeline.add_stage("training", lambda context: None)
    with pytest.raises(Invalid, match="nowhere"):
        pipeline.add_stage("mine", lambda context: None, after="nowhere")


def test_s3_factories_make_the_same_objects(untracked: Path) -> None:
    example = """
from everloop import (
    create_mlops_pipeline,
    create_experiment_tracker,
)

# Create components
pipeline = create_mlops_pipeline("pipeline_1", tenant_id="tenant_123")
tracker = create_experiment_tracker(tenant_id="tenant_123")
"""
    found = execute(example)
    assert isinstance(found["pipeline"], MLOpsPipeline)
    assert found["pipeline"].tenant_id == "tenant_123"
    assert isinstance(found["tracker"], ExperimentTracker)
    assert isinstance(create_data_versioner("v", hash_algorithm="sha512"), DataVersioner)
    assert isinstance(create_model_monitor("m", drift_threshold=0.2), ModelMonitor)
    assert isinstance(create_model_registry("r", model="x"), ModelRegistry)
    assert create_mlops_pipeline("q").tenant_id == "default"
    assert create_experiment_tracker("./mlruns") is not None
