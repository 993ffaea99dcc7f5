"""A shop whose model says which customers leave: days of production on a clock that the test sets, recorded
from the log as a server writes it, with labels a day later."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tests.clocks import Hands
from tests.made import copied
from tests.stories.serving.log import prediction, write

from everloop.core.monitoring import Checked
from everloop.data.examples.customers import customers
from everloop.flows import models, turn
from everloop.flows.monitoring import checking
from everloop.flows.project import Project
from everloop.flows.serving import labels, recording
from everloop.flows.serving.labels import LabelItem
from everloop.settings import folder_settings
from everloop.training import fitting
from everloop.wiring import connect

MODEL = "churn"
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
ROWS = 1_000  # a day
Change = Callable[[pa.Table], pa.Table]


def settings(**monitoring: Any) -> dict[str, Any]:
    """``retraining``: its settings; all others are of monitoring."""
    retraining = monitoring.pop("retraining", {})
    model = {
        "data": {"example": {"name": "customers", "rows": 8_000}},
        "target": "churned",
        "monitoring": monitoring,
        "retraining": retraining,
    }
    return {"tracking": {"enabled": False}, "models": {MODEL: model}}


class Shop:
    begin = BEGIN

    def __init__(self, folder: Path, url: str | None = None, **monitoring: Any) -> None:
        self.clock = Hands(self.begin - timedelta(days=1))
        tree = self.tree(**monitoring) | ({"store": {"url": url}} if url else {})
        if url is None and not (folder.exists() and any(folder.iterdir())):
            copied(f"shop {self.begin} {tree}", folder, lambda place: self._trained(place, tree).close())
            self.project = self._connected(folder, tree)
        else:
            self.project = self._trained(folder, tree)
        self.version = models.find(self.project, f"{MODEL}@latest").version.version
        self.day = 0
        self.first = 0  # number of the first prediction
        self._due: list[LabelItem] = []

    def _connected(self, folder: Path, tree: dict[str, Any]) -> Project:
        return replace(connect(folder_settings(folder, tree), self.clock), clock=self.clock)

    def _trained(self, folder: Path, tree: dict[str, Any]) -> Project:
        project = self._connected(folder, tree)
        turn.run(project, MODEL)
        return project

    @classmethod
    def tree(cls, **given: Any) -> dict[str, Any]:
        """The settings."""
        return settings(**given)

    def serve(self, days: int, change: Change | None = None, *, rows: int = ROWS, label: bool = True) -> None:
        """So many days; labels of a day come on the next."""
        for _ in range(days):
            self.clock.at = self.begin + timedelta(days=self.day, hours=12)
            if label and self._due:
                labels.add(self.project, self._due)
            table = customers(rows, 1_000 + self.day)
            truth = table.column("churned").to_pylist()
            asked = change(table) if change else table
            self._due = self._answer(asked, [str(each) for each in truth])
            self.day += 1
        self.clock.at = self.begin + timedelta(days=self.day, hours=1)

    def logged(self, line: dict[str, Any]) -> dict[str, Any]:
        """A line as the server logs it."""
        return line

    def close(self) -> None:
        self.project.close()

    def look(self) -> list[Checked]:
        return checking.look(self.project, MODEL)

    def _answer(self, table: pa.Table, truth: list[str]) -> list[LabelItem]:
        found = models.find(self.project, f"{MODEL}@{self.version}")
        pipeline = models.load(self.project, f"{MODEL}@{self.version}")
        said = fitting.predict(pipeline, table, found.run.features, "classification")
        start = self.begin + timedelta(days=self.day)
        lines = []
        for number, (row, chance) in enumerate(
            zip(table.select(list(found.run.features)).to_pylist(), said, strict=True)
        ):
            at = start + timedelta(seconds=86_000 * number / len(said))
            named = dict(zip(found.run.classes, map(float, chance), strict=True))
            lines.append(
                prediction(
                    self.first + self.day * 100_000 + number,
                    at=at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
                    model=MODEL,
                    version=self.version,
                    inputs={name: _plain(value) for name, value in row.items()},
                    prediction=max(named, key=lambda name: named[name]),
                    confidence=max(named.values()),
                    probabilities=named,
                )
            )
        content = b"".join(json.dumps(self.logged(line)).encode() + b"\n" for line in lines)
        write(self.project, content, f"w1-{self.first + self.day:06}.jsonl")
        recording.record(self.project)
        return [LabelItem(line["prediction_id"], label) for line, label in zip(lines, truth, strict=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value.isoformat() if hasattr(value, "isoformat") else value
