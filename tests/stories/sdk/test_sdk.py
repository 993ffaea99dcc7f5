"""The Python API: the examples of S0 and S3 as they stand there, with only the import line changed, and what
people do next with the same objects."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from tests.stories.sdk.examples import CONFIG, execute

from everloop import (
    Conflict,
    ContractFailed,
    DataVersioner,
    DriftDetectionError,
    ExperimentTracker,
    FileMissing,
    Invalid,
    ModelMonitor,
    ModelRegistry,
    MonitoringError,
    Refused,
    UnknownModel,
    UnknownVersion,
    WrongType,
    run_pipeline,
)
from everloop.data.examples.customers import customers


def fitted() -> tuple[LogisticRegression, pd.DataFrame]:
    frame = load_iris(as_frame=True).data
    target = load_iris().target
    return LogisticRegression(max_iter=500).fit(frame, target), frame


# -- S0 --------------------------------------------------------------------------------------------------


def test_s0_run_the_pipeline_then_look_at_what_it_made(folder: Path) -> None:
    (folder / "config.yaml").write_text(CONFIG)
    example = """
from everloop import run_pipeline, DataVersioner, ModelRegistry, ModelMonitor

summary = run_pipeline("config.yaml")
# summary["data_version"], summary["model_version"], summary["retrained"], summary["accuracy"]
"""
    summary = execute(example)["summary"]

    assert summary["retrained"] is True
    assert summary["model_version"] == "1.0.0"
    assert 0.8 < summary["accuracy"] < 0.95
    table, meta = DataVersioner("data_versions").load(summary["data_version"])
    assert meta["row_count"] == len(table) == 2000
    model = ModelRegistry("model_registry").load(summary["model_version"])
    truth = table["churned"].astype(str)
    assert (model.predict(table) == truth).mean() > 0.8
    written = json.loads((folder / "monitoring" / "metrics_history.json").read_text())["history"]
    assert summary["accuracy"] in [entry["value"] for entry in written if entry["name"] == "accuracy"]
    [run] = ExperimentTracker().search_runs()
    assert run["run_id"] == summary["run_id"]


def test_s0_version_data(folder: Path) -> None:
    pd.DataFrame({"age": [31, 45, 28], "plan": ["a", "b", None]}).to_csv(folder / "raw_data.csv", index=False)
    example = """
from everloop import DataVersioner
import pandas as pd

versioner = DataVersioner("data_versions")
df = pd.read_csv("raw_data.csv")
version_id = versioner.register(df)
loaded_df, meta = versioner.load(version_id)
"""
    found = execute(example)

    pd.testing.assert_frame_equal(found["loaded_df"], found["df"])
    assert found["meta"]["version_id"] == found["version_id"]
    assert found["meta"]["row_count"] == 3
    assert found["meta"]["schema"] == {"age": "int64", "plan": "string"}
    assert found["meta"]["feature_means"]["age"] == pytest.approx(34.667, abs=1e-3)
    assert (folder / "data_versions" / "everloop.db").is_file()


def test_s0_monitor_and_ask_whether_to_retrain(folder: Path) -> None:
    example = """
from everloop import ModelMonitor

monitor = ModelMonitor("monitoring", accuracy_min_threshold=0.75, drift_threshold=0.2)
monitor.record_metrics(0.82, data_version="v1", model_version="m1")
should_retrain = monitor.should_retrain(current_accuracy=0.70, no_model_yet=False)
"""
    found = execute(example)

    assert found["should_retrain"] is True
    [entry] = json.loads((folder / "monitoring" / "metrics_history.json").read_text())["history"]
    assert (entry["name"], entry["value"]) == ("accuracy", 0.82)
    assert (entry["data_version"], entry["model_version"]) == ("v1", "m1")
    assert [event.kind for event in found["monitor"].events()] == ["decided"]


# -- running ---------------------------------------------------------------------------------------------


def test_the_second_turn_finds_nothing_new(untracked: Path) -> None:
    first, second = run_pipeline("config.yaml"), run_pipeline("config.yaml")
    assert (first["decision"], second["decision"]) == ("retrain", "keep")
    assert second["retrained"] is False
    assert second["model_version"] == first["model_version"]
    assert second["accuracy"] == first["accuracy"]


def test_the_environment_names_file_and_seed(untracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (untracked / "config.yaml").rename(untracked / "other.yaml")
    monkeypatch.setenv("CONFIG_PATH", "other.yaml")
    first = run_pipeline()
    monkeypatch.setenv("RANDOM_SEED", "7")
    second = run_pipeline(force=True)
    assert (untracked / "data_versions").is_dir()
    assert first["data_version"] != second["data_version"]


def test_broken_data_raise_what_is_wrong_and_train_nothing(untracked: Path) -> None:
    run_pipeline()
    table = customers(rows=300, seed=3).to_pandas()
    with pytest.raises(ContractFailed, match="age"):
        run_pipeline(source=table.drop(columns="age"))
    assert [version["version"] for version in ModelRegistry("model_registry").list()] == ["1.0.0"]


def test_a_missing_file_is_said_with_its_name(untracked: Path) -> None:
    with pytest.raises(FileMissing, match=r"nowhere\.csv"):
        run_pipeline(source="nowhere.csv")


# -- data ------------------------------------------------------------------------------------------------


def test_the_same_content_is_one_version_and_another_is_compared() -> None:
    versioner = DataVersioner("versions", dataset="people")
    before = versioner.register(pd.DataFrame({"age": [31, 45]}))
    assert versioner.register(pd.DataFrame({"age": [31, 45]})) == before
    after = versioner.register(pd.DataFrame({"age": [31, 45, 60]}), tags={"week": "2"})
    assert [meta["version_id"] for meta in versioner.list_versions()] == [before, after]
    assert versioner.list_versions()[1]["parent"] == before
    changed = versioner.diff(before, after)
    assert (changed.rows_added, changed.rows_kept, changed.rows_removed) == (1, 2, 0)
    with pytest.raises(UnknownVersion, match="0000000"):
        versioner.load("0000000")


def test_the_hash_can_be_chosen() -> None:
    frame = pd.DataFrame({"age": [31, 45]})
    short, long = (DataVersioner(name, hash_algorithm=name).register(frame) for name in ("sha256", "sha512"))
    assert (len(short), len(long)) == (64, 128)


def test_a_file_is_meant_from_where_one_stands(folder: Path) -> None:
    pd.DataFrame({"age": [31, 45]}).to_csv(folder / "people.csv", index=False)
    versioner = DataVersioner("versions")
    assert versioner.load(versioner.register("people.csv"))[1]["row_count"] == 2


def test_tenants_do_not_see_each_other() -> None:
    frame = pd.DataFrame({"age": [31, 45]})
    mine = DataVersioner("versions", tenant_id="a")
    version_id = mine.register(frame)
    other = DataVersioner("versions", tenant_id="007")
    assert other.list_versions() == []
    with pytest.raises(UnknownVersion):
        other.load(version_id)
    monitors = [ModelMonitor("monitoring", tenant_id=name) for name in ("a", "007")]
    monitors[0].record_metrics(0.9)
    assert [len(monitor.metrics_history()) for monitor in monitors] == [1, 0]
    registries = [ModelRegistry("registry", tenant_id=name) for name in ("a", "007")]
    registries[0].register(fitted()[0])
    assert [len(registry.list()) for registry in registries] == [1, 0]


# -- monitoring ------------------------------------------------------------------------------------------


def test_drift_is_measured_from_the_reference_and_decides() -> None:
    rng = np.random.default_rng(0)
    before = pd.DataFrame({"age": rng.normal(40, 5, 500)})
    monitor = ModelMonitor("monitoring", accuracy_min_threshold=0.75, drift_threshold=0.2)
    with pytest.raises(DriftDetectionError, match="no reference"):
        monitor.compute_drift(before)
    monitor.set_reference(before)
    same, moved = monitor.compute_drift(before), monitor.compute_drift(before * 1.5)
    assert (same["score"], same["drifted"]) == (0.0, False)
    assert moved["score"] == pytest.approx(0.5)
    assert moved["drifted"]
    assert not monitor.should_retrain(current_accuracy=0.9, drift=same)
    decision = monitor.decide(current_accuracy=0.9, drift=moved)
    assert decision.retrain
    assert "age" in decision.reason
    assert monitor.should_retrain(0.9, drift=0.3)
    written = json.loads(Path("monitoring/drift_history.json").read_text())["history"]
    assert [entry["value"] for entry in written] == [same["score"], moved["score"]]


def test_few_rows_claim_no_drift() -> None:
    frame = pd.DataFrame({"age": np.linspace(30, 50, 49)})
    monitor = ModelMonitor("monitoring", drift_threshold=0.2, drift_min_samples=50)
    monitor.set_reference(frame)
    moved = monitor.compute_drift(frame * 3)
    assert (moved["enough"], moved["drifted"]) == (False, False)
    assert not monitor.should_retrain(0.9, drift=moved)


def test_no_model_yet_always_trains() -> None:
    assert ModelMonitor("monitoring").should_retrain(no_model_yet=True)


def test_metrics_by_name_and_nothing_that_is_no_number() -> None:
    monitor = ModelMonitor("monitoring")
    monitor.record_metrics({"accuracy": 0.8, "f1": 0.7}, rows=100)
    assert {entry["name"]: entry["value"] for entry in monitor.metrics_history()} == {
        "accuracy": 0.8,
        "f1": 0.7,
    }
    with pytest.raises(MonitoringError, match="nan"):
        monitor.record_metrics(float("nan"))


# -- registry --------------------------------------------------------------------------------------------


def test_a_model_from_elsewhere_is_registered_loaded_and_promoted() -> None:
    registry = ModelRegistry("model_registry", model="iris")
    assert registry.list() == []
    with pytest.raises(UnknownModel, match="iris"):
        registry.latest()
    model, frame = fitted()
    assert (
        registry.register(model, metrics={"accuracy": 0.97}, data_version="v1", target="species") == "1.0.0"
    )
    assert registry.register(model, target="species") == "1.0.1"
    assert registry.get("1.0.0")["data_version"] == "v1"
    assert registry.latest()["aliases"] == ["challenger"]
    assert registry.promote("1.0.0")["aliases"] == ["champion"]
    with pytest.raises(Conflict, match="is current in prod already"):
        registry.promote("1.0.0")
    loaded = registry.load()
    assert (loaded.predict(frame) == model.predict(frame)).all()
    lineage = registry.lineage("1.0.1")
    assert [parent.version for parent in lineage.parents] == ["1.0.0"]
    assert lineage.run is not None
    assert lineage.run.recipe.estimator.endswith("LogisticRegression")
    assert lineage.run.features == tuple(frame.columns)


def test_a_number_is_given_once() -> None:
    registry = ModelRegistry("model_registry")
    model, _ = fitted()
    assert registry.register(model, "2.1.0") == "2.1.0"
    with pytest.raises(Conflict, match=r"2\.1\.0"):
        registry.register(model, "v2.1.0")
    with pytest.raises(Invalid, match="m1"):
        registry.register(model, "m1")


def test_what_is_no_fitted_model_is_refused() -> None:
    registry = ModelRegistry("model_registry")
    with pytest.raises(WrongType, match="not fitted"):
        registry.register(LogisticRegression())
    with pytest.raises(WrongType, match="no scikit-learn model"):
        registry.register({"a": 1})
    assert registry.list() == []


def test_a_pickle_is_read_only_when_trusted(folder: Path) -> None:
    model, frame = fitted()
    joblib.dump(model, folder / "model.joblib")
    registry = ModelRegistry("model_registry")
    with pytest.raises(Refused, match="pickle"):
        registry.register("model.joblib")
    registry.register("model.joblib", trust_pickle=True)
    assert (registry.load().predict(frame) == model.predict(frame)).all()
    with pytest.raises(FileMissing, match="other"):
        registry.register("other.joblib", trust_pickle=True)


def test_a_champion_from_elsewhere_takes_part_in_the_loop(untracked: Path) -> None:
    table = customers(rows=500, seed=5).to_pandas()
    model = LogisticRegression(max_iter=500).fit(table[["age", "monthly_fee"]], table["churned"])
    ModelRegistry("model_registry").register(model, target="churned", data_version="elsewhere", promote=True)
    summary = run_pipeline()
    assert (summary["retrained"], summary["promoted"]) == (True, True)
    assert "log loss" in str(summary["gate"])
    assert summary["model_version"] == "2.0.0"
    assert run_pipeline()["decision"] == "keep"
