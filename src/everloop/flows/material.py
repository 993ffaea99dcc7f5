"""What a turn works on: the table, its row hashes, the champion; loaded when needed and kept for the turn."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from everloop import training
from everloop.core.data import DatasetVersion
from everloop.core.errors import UnknownColumn, nearest
from everloop.core.models import ModelVersion
from everloop.core.runs import Recipe, Run, Task
from everloop.data import frames, identity
from everloop.settings import Model
from everloop.store import models, turns
from everloop.training import serialise, targets

from . import artifacts, data, usercode
from .project import Project


class Material:
    """``use`` gives it the version of this turn; after a crash it is loaded by id instead."""

    def __init__(self, project: Project, model: Model) -> None:
        self.project = project
        self.model = model
        self.version_id = ""
        self._pipelines: dict[str, Any] = {}
        self._seen: dict[str, np.ndarray] = {}

    def use(self, registered: data.Registered) -> None:
        self.version_id = registered.version.version_id
        table = frames.with_sound_levels(registered.table)
        self.__dict__.update(version=registered.version, table=table)

    @cached_property
    def version(self) -> DatasetVersion:
        return data.find(self.project, self.version_id, self.model.dataset)

    @cached_property
    def table(self) -> pa.Table:
        return frames.with_sound_levels(data.load(self.project, self.version))

    @cached_property
    def rows(self) -> np.ndarray:
        return identity.row_hashes(self.table)

    @cached_property
    def target(self) -> pa.ChunkedArray:
        return column(self.table, self.model.target, "Target")

    @cached_property
    def labelled(self) -> np.ndarray:
        """Which rows have a label."""
        return ~targets.missing(self.target)

    @cached_property
    def task(self) -> Task:
        return self.model.task or targets.infer_task(self.target)

    @cached_property
    def recipe(self) -> Recipe:
        name = self.model.training.model_type
        source = usercode.keep_source(self.project, name) if usercode.is_user_code(name) else None
        return self.model.recipe(self.task, source)

    @cached_property
    def champion(self) -> tuple[ModelVersion, Run] | None:
        with self.project.store.reading() as tx:
            version = models.champion(tx, self.model.name)
            return (version, models.find_run(tx, version.run_id)) if version else None

    @cached_property
    def considered(self) -> np.ndarray:
        """Hashes of the rows that an earlier turn has looked at: the champion's data and the last turn's."""
        with self.project.store.reading() as tx:
            past = turns.list_turns(tx, self.model.name, limit=20)
        last = next(
            (t["summary"]["data_version"] for t in past if t["status"] == "done" and t["summary"]), None
        )
        made = [self.champion[1]] if self.champion else []
        return self._rows_in({*self._versions_of(made), *({str(last)} if last else ())})

    @cached_property
    def known(self) -> np.ndarray:
        """Hashes of the rows in the champion's data."""
        return self._rows_in(self._versions_of([self.champion[1]] if self.champion else []))

    @cached_property
    def refused(self) -> np.ndarray:
        """Hashes of the rows in the data of the newest candidate, where the gate has refused it. One that
        passed and is no champion was stopped by people or in its release."""
        with self.project.store.reading() as tx:
            newest = models.list_model_versions(tx, self.model.name)[-1:]
            made = [models.find_run(tx, one.run_id) for one in newest]
            judged = [turns.finished_step(tx, run.turn_id, "gate") for run in made]
        chosen = [
            run
            for run, gate in zip(made, judged, strict=True)
            if gate is None or not gate["result"]["verdict"]["promote"]
        ]
        return self._rows_in(self._versions_of(chosen))

    def _versions_of(self, made: Iterable[Run]) -> set[str]:
        return {run.data_version for run in made if run.dataset == self.model.dataset}  # not from outside

    def _rows_in(self, versions: Iterable[str]) -> np.ndarray:
        known = [
            data.rows_of(self.project, data.find(self.project, version, self.model.dataset))
            for version in sorted(versions)
        ]
        return np.concatenate(known) if known else np.empty(0, dtype=np.uint64)

    def truth(self, run: Run, where: np.ndarray) -> np.ndarray:
        """Labels as strings, or values, at the positions (or where the mask is true)."""
        chosen = (
            self.target.filter(pa.array(where)) if where.dtype == bool else self.target.take(pa.array(where))
        )
        return targets.target_values(chosen) if run.task == "regression" else targets.target_labels(chosen)

    def pipeline(self, run: Run) -> Any:
        """The fitted pipeline of a run. Our own store is trusted: what is in it was trained here."""
        if run.artifact not in self._pipelines:
            stored = artifacts.fetch(self.project, run.artifact)
            self._pipelines[run.artifact] = serialise.loads(stored, run.artifact_format, trust_pickle=True)
        return self._pipelines[run.artifact]

    def answers(self, run: Run, table: pa.Table) -> np.ndarray:
        """What the model of a run says of the rows of a table."""
        said: np.ndarray = training.fitting.predict(self.pipeline(run), table, run.features, run.task)
        return said

    def seen(self, run: Run) -> np.ndarray:
        """Which rows of the table the run was trained on."""
        if run.run_id not in self._seen:
            self._seen[run.run_id] = self.learnt(run, self.table, self.version, self.rows)
        return self._seen[run.run_id]

    def had(self, run: Run) -> np.ndarray:
        """Which rows of the table were in the data of the run, learnt or held out."""
        if not run.dataset:
            return np.zeros(self.table.num_rows, dtype=bool)
        before = data.find(self.project, run.data_version, run.dataset)
        return np.isin(self.rows, data.rows_of(self.project, before))

    def learnt(self, run: Run, table: pa.Table, version: DatasetVersion, rows: np.ndarray) -> np.ndarray:
        """Which rows of a version's table, whose hashes are ``rows``, the run was trained on, also when
        columns came, went or changed type since: then the same rows have other hashes."""
        trained = artifacts.from_bytes(artifacts.fetch(self.project, run.rows_seen))
        if not run.dataset:  # made outside of everloop, from data that are not here
            return np.zeros(len(rows), dtype=bool)
        before = data.find(self.project, run.data_version, run.dataset)
        if not len(trained):  # made outside from data that are: which rows is not known, so any may be
            trained = data.rows_of(self.project, before)
        if {(c.name, c.type) for c in before.columns} == {(c.name, c.type) for c in version.columns}:
            return np.isin(rows, trained)
        here, there = data.shared_rows(self.project, table, before)
        return np.isin(here, there[np.isin(data.rows_of(self.project, before), trained)])


def column(table: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise UnknownColumn(
            f"{what} '{name}' is no column of the data.", remedy=nearest(name, table.column_names)
        )
    return table.column(name)
