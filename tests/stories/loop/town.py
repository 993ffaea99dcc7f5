"""A shop whose loop runs: each day is served by the champion of that day, labelled a day later, looked at by
monitors, and the loop does what is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from tests.stories.monitoring.shop import MODEL, ROWS, Change, Shop, settings

from everloop.core.loop import DecisionRecord
from everloop.core.monitoring import Alert
from everloop.data.examples.customers import customers
from everloop.flows import models, outside
from everloop.flows.loop import advancing, noticing, showing, working
from everloop.flows.project import Project
from everloop.flows.serving import labels
from everloop.store import alerts as stored
from everloop.store import predictions
from everloop.store.predictions import Wanted
from everloop.training import prepared

Truth = Callable[[pa.Table], np.ndarray]


def as_ever(table: pa.Table) -> np.ndarray:
    return np.array([str(each) for each in table.column("churned").to_pylist()])


def turned(table: pa.Table) -> np.ndarray:
    """The world has changed: of those who are long with us the others leave now."""
    truth = as_ever(table)
    classes = sorted(set(truth))
    long = np.asarray(table.column("tenure_months").to_numpy()) > 24
    other = np.where(truth == classes[0], classes[1], classes[0])
    return np.asarray(np.where(long, other, truth))


def work(project: Project) -> None:
    """What a worker does, until nothing is left."""
    while True:
        advanced, noticed = advancing.advance(project), noticing.notice(project)
        if working.run_next(project) is None and not advanced and not noticed:
            return


class Town(Shop):
    def __init__(
        self, folder: Path, url: str | None = None, *, known: bool = False, **retraining: Any
    ) -> None:
        """``known``: the project is there, and its last day was served. ``exclude``: columns of the data that
        the model is not asked for; ``floor``: its accuracy, at
        least; ``window`` of monitoring; the rest are settings of retraining."""
        super().__init__(folder, url, **retraining)
        if known:
            self.day = (self.clock_of_last() - self.begin).days + 1
            self.clock.at = self.begin + timedelta(days=self.day, hours=1)

    @classmethod
    def tree(
        cls,
        *,
        exclude: tuple[str, ...] = (),
        floor: float | None = None,
        window: str = "1d",
        **retraining: Any,
    ) -> dict[str, Any]:
        tree = settings(
            window=window, accuracy_min_threshold=floor, retraining={"rollout": "direct", **retraining}
        )
        tree["models"][MODEL]["exclude"] = list(exclude)
        return tree

    def clock_of_last(self) -> datetime:
        """When somebody last asked."""
        with self.project.store.reading() as tx:
            (newest,) = predictions.page(tx, Wanted(MODEL), 1)
        return datetime.fromisoformat(newest["at"])

    def features(self) -> list[str]:
        return list(models.find(self.project, f"{MODEL}@champion").run.features)

    def live(self, days: int, truth: Truth = as_ever, change: Change | None = None) -> None:
        """So many days with the loop at work."""
        for _ in range(days):
            self.day_of(truth, change)
            self.look()
            work(self.project)

    def day_of(self, truth: Truth = as_ever, change: Change | None = None, rows: int = ROWS) -> None:
        """One day of production, and the labels of the day before."""
        self.version = models.find(self.project, f"{MODEL}@champion").version.version
        self.clock.at = self.begin + timedelta(days=self.day, hours=12)
        if self._due:
            labels.add(self.project, self._due)
        table = customers(rows, 1_000 + self.day)
        asked = change(table) if change else table
        self._due = self._answer(asked, [str(each) for each in truth(table)])
        self.day += 1
        self.clock.at = self.begin + timedelta(days=self.day, hours=1)

    def spoil(self) -> None:
        """Somebody promotes a version that says the opposite."""
        known = models.find(self.project, f"{MODEL}@champion")
        table = customers(4_000, 7)
        names = list(known.run.features)
        frame = prepared.to_frame(table, names)
        chosen = make_column_transformer((OneHotEncoder(), ["plan", "country"]))
        wrong = make_pipeline(chosen, LogisticRegression())
        wrong.fit(frame, np.array([str(1 - each) for each in table.column("churned").to_pylist()]))
        origin = outside.Origin(known.version.data_version, {}, "churned", names, {})
        outside.register(self.project, MODEL, wrong, origin, version="6.6.6", promote="by hand")

    def decisions(self) -> list[DecisionRecord]:
        """Oldest first."""
        return showing.decisions(self.project, MODEL)[::-1]

    def alerts(self) -> list[Alert]:
        with self.project.store.reading() as tx:
            return stored.list_alerts(tx, MODEL)


__all__ = ["MODEL", "Town", "as_ever", "turned", "work"]
