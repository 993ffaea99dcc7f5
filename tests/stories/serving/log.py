"""Log files as the workers write them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from everloop.flows.project import Project
from everloop.flows.serving import recording

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def prediction(number: int, **changed: Any) -> dict[str, Any]:
    """The ``number``-th prediction, a second after the one before it."""
    at = (NOW - timedelta(days=1) + timedelta(seconds=number)).isoformat(timespec="microseconds")
    return {
        "prediction_id": f"pred_{number:06}",
        "at": at.replace("+00:00", "Z"),
        "model": "iris",
        "version": "1.0.0",
        "variant": "champion",
        "request_id": f"request-{number}",
        "latency_ms": 0.25,
        "inputs": FLOWER,
        "prediction": "setosa",
        "confidence": 0.9,
        "probabilities": {"setosa": 0.9, "versicolor": 0.1},
        **changed,
    }


def line(number: int, **changed: Any) -> bytes:
    text = json.dumps(prediction(number, **changed), separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def lines(numbers: range, **changed: Any) -> bytes:
    return b"".join(line(number, **changed) for number in numbers)


def log_file(project: Project, name: str = "w1-000001.jsonl") -> Path:
    folder = recording.log_folder(project)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def write(project: Project, content: bytes, name: str = "w1-000001.jsonl") -> Path:
    """Append to a log file."""
    path = log_file(project, name)
    with path.open("ab") as file:
        file.write(content)
    return path
