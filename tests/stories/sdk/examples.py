"""Examples as users write them, run in a folder of their own."""

from __future__ import annotations

from typing import Any

CONFIG = """\
logging:
  level: "INFO"
  file: "logs/app.log"

paths:
  data_versions: "data_versions"
  model_registry: "model_registry"
  monitoring: "monitoring"

data_versioning:
  enabled: true
  hash_algorithm: "sha256"

monitoring:
  metrics_history_file: "metrics_history.json"
  drift_history_file: "drift_history.json"
  accuracy_min_threshold: 0.70
  drift_threshold: 5.0
  drift_min_samples: 50

training:
  model_type: "logistic"
  random_state: 42
  test_size: 0.2
  max_iter: 500
  C: 1.0

pipeline:
  evaluate_after_retrain: true
"""
"""``config.yaml`` of S0, unchanged."""


def execute(example: str, **names: Any) -> dict[str, Any]:
    """Run an example as a module of its own; returns its names."""
    scope = {"__name__": "example", **names}
    exec(compile(example, "example", "exec"), scope)
    return scope
