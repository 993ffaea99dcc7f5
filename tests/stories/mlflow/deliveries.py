"""What flows would tell a tracker of one training, with its files."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

FEATURES = pd.DataFrame(
    {
        "distance": [120.0, 800.5, 2500.0, 90.0, 1400.0, 333.0, None, 60.0] * 8,
        "hour": [6, 21, 22, 7, 19, 8, 18, 9] * 8,
        "carrier": ["UA", "EV", "EV", "UA", "EV", "UA", "EV", None] * 8,
    }
)
LATE = pd.Series([0, 1, 1, 0, 1, 0, 1, 0] * 8)


def run_document(
    name: str, model: tuple[bytes, str], **changes: Any
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What flows would send for one training, with its files."""
    data, kind = model
    example = json.loads(FEATURES.head(3).to_json(orient="records"))
    document = {
        "format": 1,
        "run_id": f"run_{name}",
        "experiment": name,
        "experiment_tags": {"model_type": "classification"},
        "run_name": "first",
        "params": {"C": 1.0, "grid": "x" * 9000, **{f"p{i}": i for i in range(130)}},
        "metrics": {"accuracy": 0.91, "auc": None, "log loss@val": 0.3},
        "series": {"cv/accuracy": [0.9, None, 0.92], "accuracy": [0.5, 0.7], "steps": list(range(1200))},
        "tags": {"everloop.data_version": "d1", "everloop.git_commit": "abc123", "everloop.parent": ""},
        "started_at": "2013-01-01T10:00:00+00:00",
        "ended_at": "2013-01-01T10:00:09+00:00",
        "status": "FINISHED",
        "model": {
            "file": f"model.{kind}",
            "format": kind,
            "task": "classification",
            "input_example": example,
        },
        "plots": ["roc.png"],
        **changes,
    }
    return document, {f"model.{kind}": data, "roc.png": b"PNG", "recipe.json": b"{}"}


def version_document(name: str, version: str = "1.0.0") -> dict[str, Any]:
    tags = {"everloop.data_version": "d1", "everloop.parent": ""}
    described = {"model": name, "version": version, "run_id": f"run_{name}", "tags": tags}
    return {**described, "description": "better by 1 point"}
