"""Flights of 2013 as requests, in the order in which they were to leave: the real front routes and answers
them, the log is recorded, and a day later it is known which ones were late. Only the clock is a test's."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier
from tests.clocks import Hands

from everloop.adapters.predictionlog.journal import Journal
from everloop.api.front.front import Front, Limits
from everloop.api.front.loading import Loader
from everloop.api.front.tables import Table
from everloop.api.office.plans import Plans
from everloop.core.errors import Conflict
from everloop.core.releases import Look, Release
from everloop.data.examples.flights import flights
from everloop.flows import data, outside
from everloop.flows.project import Project
from everloop.flows.releases import looking
from everloop.flows.serving import labels, recording
from everloop.flows.serving.labels import LabelItem
from everloop.serving.desk import Ask
from everloop.settings import folder_settings
from everloop.wiring import connect

FIELDS = ["hour", "weekday", "sched_dep_time", "distance", "temp", "humid", "wind_speed", "precip", "visib"]
BEGIN = datetime(2013, 4, 1, tzinfo=UTC)
WORSE_DEPTH = 9
GOOD, EQUAL, WORSE = "1.0.0", "1.1.0", "1.2.0"


@cache
def season() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The flights to learn from, and those to come."""
    known = flights().to_pandas().dropna(subset=["late", *FIELDS]).sort_values("scheduled")
    known["late"] = known["late"].map({True: "late", False: "on time"})
    return known[known.scheduled < BEGIN], known[known.scheduled >= BEGIN]


@cache
def fitted(version: str) -> Any:
    learn, _ = season()
    model: Any = HistGradientBoostingClassifier(max_iter=80, random_state=0)
    if version == EQUAL:
        model = HistGradientBoostingClassifier(max_iter=70, random_state=1)
    if version == WORSE:
        model = DecisionTreeClassifier(max_depth=WORSE_DEPTH, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(learn[FIELDS], learn["late"])


def accuracy(version: str, days: int) -> float:
    """On the first flights to come."""
    _, coming = season()
    rows = coming[coming.scheduled < BEGIN + timedelta(days=days)]
    return float((fitted(version).predict(rows[FIELDS]) == rows["late"]).mean())


class _Answers:
    """Where answers go: the id that the label is for."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def reply(self, ask: Ask) -> None:
        assert ask.reply is not None
        assert ask.reply.error is None, ask.reply.error
        self.ids.append(json.loads(ask.reply.body)["prediction_id"])

    def send(self) -> None:
        assert self.ids


class Season:
    """A project whose model ``late`` answers each flight of a day; labels come a day later."""

    def __init__(self, folder: Path) -> None:
        self.clock = Hands(BEGIN)
        tree = {"tracking": {"enabled": False}}
        self.project: Project = replace(connect(folder_settings(folder, tree), self.clock), clock=self.clock)
        learn, _ = season()
        learnt = data.register(self.project, learn[[*FIELDS, "late"]], "flights").version.version_id
        for version in (GOOD, EQUAL, WORSE):
            origin = outside.Origin(learnt, {}, "late", FIELDS, {})
            promote = "the first" if version == GOOD else None
            outside.register(self.project, "late", fitted(version), origin, version=version, promote=promote)
        self.day = 0
        self._due: list[tuple[list[str], list[str]]] = []  # ids and outcomes of the day before

    def days(self, count: int) -> Iterator[None]:
        """So many days, one after the other."""
        for _ in range(count):
            asyncio.run(self._served())
            recording.record(self.project)
            self._labelled()
            yield

    def follow(self, release: Release, days: int) -> tuple[Release, list[Look]]:
        """Look at a release each day until it ends."""
        found: list[Look] = []
        for _ in self.days(days):
            try:
                release, look = looking.look(self.project, release.release_id)
            except Conflict:
                break
            found.append(look)
            if release.status != "running":
                break
        return release, found

    async def _served(self) -> None:
        """One day of flights, each at its time."""
        since = BEGIN + timedelta(days=self.day)
        _, coming = season()
        rows = coming[(coming.scheduled >= since) & (coming.scheduled < since + timedelta(days=1))]
        plans, loader = Plans(self.project), Loader()
        plans.look()
        message = {**plans.message, "number": plans.number, "data": plans.content}
        journal = Journal(recording.log_folder(self.project), f"day{self.day:03}", 64_000_000)
        front = Front(asyncio.get_running_loop(), self.clock, journal, Limits())
        front.table = loader.table(message, loader.load(message), Table())
        target, answers = front.table.hot[b"/models/late/predict"], _Answers()
        values = rows[FIELDS].to_dict("records")
        for at, (moment, row) in enumerate(zip(rows.scheduled, values, strict=True)):
            self.clock.at = moment.to_pydatetime()
            front.ask(answers, target, Ask(json.dumps({"features": row}).encode(), f"flight-{self.day}-{at}"))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        journal.close()
        assert len(answers.ids) == len(rows)
        self.day += 1
        self.clock.at = BEGIN + timedelta(days=self.day)
        self._due.append((answers.ids, list(rows["late"])))

    def _labelled(self) -> None:
        """What became of the flights of the day before."""
        if len(self._due) > 1:
            ids, outcomes = self._due.pop(0)
            items = [LabelItem(name, late) for name, late in zip(ids, outcomes, strict=True)]
            counts = labels.add(self.project, items).counts
            assert counts == {"new": len(items)}, counts
