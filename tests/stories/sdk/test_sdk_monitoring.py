"""Drift and the health of a service from Python: S3's examples as they stand there, and what comes next."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.stories.sdk.examples import execute

from everloop import (
    DriftDetectionError,
    DriftDetector,
    Invalid,
    InvalidSettings,
    ModelMonitor,
    ModelMonitoring,
    MonitoringError,
    create_drift_detector,
    create_model_monitoring,
)

rng = np.random.default_rng(6)
USUAL = rng.normal(size=(2_000, 4))
QUIET = rng.normal(size=(800, 4))
MOVED = np.column_stack([QUIET[:, 0], QUIET[:, 1] + 0.6, QUIET[:, 2:]])


def test_s3_detect_drift(capsys: pytest.CaptureFixture[str]) -> None:
    example = """
from everloop import DriftDetector
import numpy as np

detector = DriftDetector(tenant_id="tenant_123")

# Detect data drift
data_drift = detector.detect_data_drift(
    reference_data=reference_features,
    current_data=current_features,
    threshold=0.05
)

if data_drift['drift_detected']:
    print(f"Data drift detected! P-value: {data_drift['p_value']}")

# Detect model drift
model_drift = detector.detect_model_drift(
    reference_metrics={"accuracy": 0.95, "f1": 0.93},
    current_metrics={"accuracy": 0.88, "f1": 0.85},
    threshold=0.1
)

if model_drift['drift_detected']:
    print(f"Model drift detected! Degradation: {model_drift['degradation']}")

# Check drift
drift_results = detector.check_drift(
    reference_data=reference_features,
    current_data=current_features,
    reference_metrics=ref_metrics,
    current_metrics=curr_metrics
)
"""
    metrics = {"ref_metrics": {"accuracy": 0.95}, "curr_metrics": {"accuracy": 0.80}}
    found = execute(example, reference_features=USUAL, current_features=MOVED, **metrics)

    assert "Data drift detected! P-value: " in capsys.readouterr().out
    assert list(found["data_drift"]["features"]) == ["feature_1"]
    assert found["model_drift"] == {
        "drift_detected": False,
        "degradation": pytest.approx(0.08 / 0.93),
        "metric": "f1",
        "degradations": {"accuracy": pytest.approx(0.07 / 0.95), "f1": pytest.approx(0.08 / 0.93)},
    }
    assert found["drift_results"]["drift_detected"]
    assert found["drift_results"]["model_drift"]["drift_detected"]


def test_s3_monitor_a_model(untracked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = """
from datetime import timedelta
from everloop import ModelMonitoring

monitoring = ModelMonitoring(tenant_id="tenant_123")

# Track prediction
monitoring.track_prediction(
    model_id="ticket_classifier",
    prediction_time=0.15,  # seconds
    success=True
)

# Track error
monitoring.track_prediction(
    model_id="ticket_classifier",
    prediction_time=0.05,
    success=False,
    error="Invalid input format"
)

# Get metrics
metrics = monitoring.get_metrics(
    model_id="ticket_classifier",
    time_window=timedelta(hours=1)
)

print(f"Total predictions: {metrics['total_predictions']}")
print(f"Success rate: {metrics['success_rate']}")
print(f"Average latency: {metrics['avg_latency']}s")

# Check health
health = monitoring.check_health("ticket_classifier")
print(f"Model health: {health['status']}")
"""
    found = execute(example)

    said = capsys.readouterr().out
    assert "Total predictions: 2" in said
    assert "Success rate: 0.5" in said
    assert "Average latency: 0.1s" in said
    assert "Model health: unknown" in said  # two calls are too few to say
    assert found["metrics"]["errors"] == {"Invalid input format": 1}


def test_calls_of_other_models_tenants_and_times_do_not_count(untracked: Path) -> None:
    mine, other = ModelMonitoring("a"), create_model_monitoring("b")
    for _ in range(60):
        mine.track_prediction("m", 0.1)
    other.track_prediction("m", 0.1, success=False)

    assert mine.get_metrics("m")["total_predictions"] == 60
    assert mine.check_health("m")["status"] == "healthy"
    assert other.get_metrics("m")["failed_predictions"] == 1
    assert mine.get_metrics("n")["success_rate"] is None
    assert mine.check_health("n")["status"] == "unknown"


def test_many_failures_are_unhealthy(untracked: Path) -> None:
    monitoring = ModelMonitoring()
    for number in range(50):
        monitoring.track_prediction("m", 0.1, success=number % 3 > 0, error=None if number % 3 else "timeout")

    health = monitoring.check_health("m")

    assert health["status"] == "unhealthy"
    assert "17 of 50" in health["reasons"][0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model_id": "m", "prediction_time": -1}, "-1"),
        ({"model_id": "m", "prediction_time": float("nan")}, "nan"),
        ({"model_id": "m", "prediction_time": "fast"}, "'fast'"),
        ({"model_id": "", "prediction_time": 1}, "no model"),
        ({"model_id": "m", "prediction_time": 1, "error": "why"}, "'why'"),
        ({"model_id": "m", "prediction_time": 1, "success": False, "error": 5}, "error is 5"),
        ({"model_id": "m", "prediction_time": 1, "success": None}, "success is None"),
        ({"model_id": "m", "prediction_time": 1, "success": "no"}, "success is 'no'"),
        ({"model_id": "m", "prediction_time": True}, "prediction_time is True"),
        ({"model_id": "m", "prediction_time": 1e300}, "1e[+]300 s"),
        ({"model_id": "m" * 5_000, "prediction_time": 1}, "cannot be called"),
        ({"model_id": "m\0", "prediction_time": 1}, "cannot be called"),
        ({"model_id": 5, "prediction_time": 1}, "name is 5"),
    ],
)
def test_a_call_that_cannot_be_is_refused(untracked: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(MonitoringError, match=said) as caught:
        ModelMonitoring().track_prediction(**given)
    assert isinstance(caught.value, Invalid)
    assert caught.value.remedy


def test_an_exception_is_an_error_as_it_is(untracked: Path) -> None:
    monitoring = ModelMonitoring()
    for error in (ValueError("x"), TimeoutError(), "y" * 1_000_000, "a\0\ud800b"):
        monitoring.track_prediction("m", 0.1, success=False, error=error)
    monitoring.track_prediction("m", np.float32(0.1), success=np.True_)

    found = monitoring.get_metrics("m")
    assert found["failed_predictions"] == 4
    assert set(found["errors"]) == {"ValueError: x", "TimeoutError", "y" * 299 + "…", "a ?b"}


@pytest.mark.parametrize("window", [timedelta(0), timedelta.max, 5, "1h", None])
def test_a_window_that_is_none_is_refused(untracked: Path, window: Any) -> None:
    monitoring = ModelMonitoring()
    for ask in (monitoring.get_metrics, monitoring.check_health):
        with pytest.raises(
            MonitoringError, match=f"The window is {window!s}|The window is {window!r}"
        ) as caught:
            ask("m", window)
        assert isinstance(caught.value, Invalid)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda m: m.record_metrics(0.5, data_version=[1]), r"data_version is \[1\]"),
        (lambda m: m.record_metrics(0.5, model_version=3), "model_version is 3"),
        (lambda m: m.record_metrics([1]), r"metrics is \[1\]"),
        (lambda m: m.metrics_history({}), "name is {}"),
        (lambda m: m.events(3), "environment is 3"),
        (lambda m: m.events(limit="x"), "limit is 'x'"),
    ],
)
def test_a_value_of_another_type_is_refused(untracked: Path, work: Any, said: str) -> None:
    with pytest.raises(MonitoringError, match=said) as caught:
        work(ModelMonitor(model="m"))
    assert isinstance(caught.value, Invalid)


@pytest.mark.parametrize("name", ["model", "tenant_id"])
def test_a_name_that_is_no_text_is_refused(untracked: Path, name: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"{name} is \[1\]"):
        ModelMonitor(**{name: [1]})  # type: ignore[arg-type]  # as somebody may


def test_numbers_of_numpy_are_numbers(untracked: Path) -> None:
    monitor = ModelMonitor(model="m")
    monitor.record_metrics({"f1": np.float32(0.5)}, rows=np.int64(7))
    monitor.record_metrics(np.float64(0.25))
    assert [each["value"] for each in monitor.metrics_history()] == [0.5, 0.25]
    assert monitor.events(limit=np.int64(1)) is not None


def test_the_end_of_a_report_is_a_moment(untracked: Path) -> None:
    with pytest.raises(MonitoringError, match="'yesterday'"):
        ModelMonitoring().report("m", until="yesterday")  # type: ignore[arg-type]  # as somebody may


def test_tables_of_all_kinds_are_compared() -> None:
    plans = rng.choice(["basic", "standard", "premium"], 3_000, p=[0.4, 0.4, 0.2])
    before = pd.DataFrame({"plan": plans, "fee": rng.normal(10, 2, 3_000), "paid": rng.random(3_000) < 0.9})
    now = before.iloc[:1_000].copy()
    detector = create_drift_detector()
    assert not detector.detect_data_drift(before, now)["drift_detected"]

    now.loc[now.index[:300], "fee"] = np.nan
    now["plan"] = now["plan"].where(now["plan"] != "premium", "gold")
    found = detector.detect_data_drift(before, now)

    assert set(found["features"]) == {"fee", "plan"}
    assert found["p_value"] < 1e-6


def test_errors_that_rise_are_found_and_those_that_fall_are_not() -> None:
    detector = DriftDetector()
    before = rng.random(3_000) < 0.2
    worse = np.concatenate([rng.random(1_000) < 0.2, rng.random(2_000) < 0.4])

    found = detector.detect_concept_drift(before, worse)
    assert found["detector"] == "rising_loss"
    assert 1_000 <= found["alarms"][0] < 1_400
    assert not detector.detect_concept_drift(before, rng.random(3_000) < 0.1)["drift_detected"]
    assert detector.detect_concept_drift(before, worse, "adwin")["drift_detected"]


def test_detectors_of_ones_own() -> None:
    class CustomDriftDetector(DriftDetector):
        def detect_custom_drift(self, data1: Any, data2: Any) -> bool:
            return bool(abs(np.median(data1) - np.median(data2)) > 0.1)

    detector = CustomDriftDetector(tenant_id="t")
    assert detector.detect_custom_drift(USUAL[:, 1], MOVED[:, 1])

    detector.register(
        "median", lambda before, now: {"drift_detected": np.median(now) - np.median(before) > 9}
    )
    assert not detector.detect("median", USUAL, MOVED)["drift_detected"]
    found = detector.check_drift(reference_data=USUAL, current_data=QUIET)
    assert not found["drift_detected"]
    assert list(found["custom"]) == ["median"]
    with pytest.raises(DriftDetectionError, match=r"'medain'.*median"):
        detector.detect("medain", USUAL, MOVED)
    with pytest.raises(DriftDetectionError, match="registered already"):
        detector.register("median", lambda before, now: False)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda d: d.detect_data_drift(USUAL, MOVED, 5), "5"),
        (lambda d: d.detect_data_drift(np.empty((0, 4)), MOVED), "no rows"),
        (lambda d: d.detect_data_drift(np.zeros((2, 2, 2)), MOVED), "3 dimensions"),
        (lambda d: d.detect_data_drift(None, MOVED), "NoneType"),
        (lambda d: d.detect_model_drift({"a": 1}, {"b": 1}), "No metric is in both.*'a'"),
        (lambda d: d.detect_model_drift({"a": "x"}, {"a": 1}), "'x'"),
        (lambda d: d.detect_model_drift({"a": float("nan")}, {"a": 1}), "nan"),
        (lambda d: d.detect_concept_drift(["x"], [1, 0]), "Losses of the reference"),
        (lambda d: d.detect_concept_drift(USUAL[:, 0] > 0, USUAL[:, 0] > 0, "adwim"), "adwim"),
        (lambda d: d.check_drift(), "nothing to check"),
    ],
)
def test_what_cannot_be_compared_is_a_drift_error(work: Any, said: str) -> None:
    with pytest.raises(DriftDetectionError, match=said):
        work(DriftDetector())


def test_losses_that_rise_are_a_degradation() -> None:
    found = DriftDetector().detect_model_drift({"log_loss": 0.4, "auc": 0.8}, {"log_loss": 0.5, "auc": 0.9})
    assert found["drift_detected"]
    assert found["metric"] == "log_loss"
    assert found["degradations"]["auc"] == pytest.approx(-0.125)
