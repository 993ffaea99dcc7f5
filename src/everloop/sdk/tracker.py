"""Experiment tracking for Python: log to MLflow without waiting for it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from everloop import wiring
from everloop.adapters.courier import Courier
from everloop.core.errors import ExperimentError, Unavailable
from everloop.flows import tracking
from everloop.flows.project import Project
from everloop.flows.tracking import Experiment, OpenRun

from .places import open_tracking


class ExperimentTracker:
    """Logs parameters, metrics and artifacts of runs.

    What is logged is kept on this machine at once and brought to MLflow by a process beside this one: in
    order, each entry once, later when MLflow is away. Only ``create_experiment`` (briefly) and the searches
    ask MLflow itself. A ``with`` block ends the run, as FAILED where it raises.

    Args:
        tracking_uri: a folder, an SQLite or PostgreSQL address or a server's http address [the project's].
        tenant_id: whose experiments [the configuration's].
        deliver: bring entries to MLflow while they come; without, the next search or tracker does.
    """

    def __init__(
        self, tracking_uri: str | None = None, tenant_id: str | None = None, *, deliver: bool = True
    ) -> None:
        project = open_tracking(tracking_uri, tenant_id)
        self._project = replace(project, open_tracker=cache(project.open_tracker))
        self._session = _Session(self._project, deliver)
        weakref.finalize(self, self._session.leave)

    def create_experiment(self, experiment_name: str, tags: Mapping[str, Any] | None = None) -> str:
        """Make the experiment (or take the one of that name) the one that is logged to; returns MLflow's id
        of it. While MLflow does not answer the experiment is made later, and its name is returned. A run of
        another experiment that is open is ended. Raises ExperimentError where MLflow refuses it."""
        if not (isinstance(experiment_name, str) and experiment_name.strip()):
            raise ExperimentError(f"{experiment_name!r} is no name of an experiment.", remedy="Give a text.")
        self.end_run()
        texts = {name: str(value) for name, value in (tags or {}).items()}
        experiment = self._session.experiment = Experiment(experiment_name, texts)
        try:
            return tracking.create_experiment(self._project, experiment)
        except Unavailable:
            tracking.spool_experiment(self._project, experiment)
            self._session.call_courier()
            return experiment_name

    def start_run(self, run_name: str | None = None) -> str:
        """Begin another run; returns its id. The first thing logged after ``create_experiment`` or
        ``end_run`` does it too."""
        self.end_run()
        return self._session.begin(run_name).run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """A parameter keeps its first value: MLflow refuses another one for the same run."""
        tracking.log_params(self._project, self._session.run(), params)
        self._session.call_courier()

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Raises ExperimentError for what is no number, and for a step that is no whole one."""
        tracking.log_metrics(self._project, self._session.run(), metrics, step)
        self._session.call_courier()

    def log_artifacts(self, artifacts: Mapping[str, str | Path]) -> None:
        """Files and folders by name, as they are now. Raises ExperimentError for one that is not there."""
        try:
            paths = {str(name): Path.cwd() / Path(path).expanduser() for name, path in artifacts.items()}
        except (TypeError, AttributeError) as error:
            raise ExperimentError(
                f"The artifacts are {artifacts!r}.", remedy="Give names with paths: {'name': path}."
            ) from error
        tracking.log_artifacts(self._project, self._session.run(), paths)
        self._session.call_courier()

    def end_run(self, status: str = "FINISHED") -> None:
        """End the open run, if there is one: FINISHED, FAILED or KILLED."""
        self._session.end(status)

    def search_experiments(self, filter_string: str = "") -> list[dict[str, Any]]:
        """The tenant's experiments: experiment_id, name, tags, artifact_location. A bare key is a tag:
        ``model_type='classification'``. Raises Unavailable when MLflow does not answer."""
        return tracking.search_experiments(self._project, filter_string)

    def search_runs(
        self, filter_string: str = "", experiment_ids: Iterable[str] | None = None
    ) -> list[dict[str, Any]]:
        """The tenant's runs, newest first: run_id, status, params, metrics, tags … ``filter_string`` like
        ``metrics.accuracy > 0.9``. Raises Unavailable when MLflow does not answer."""
        return tracking.search_runs(self._project, filter_string, experiment_ids)

    def flush(self) -> None:
        """Wait until MLflow has everything. Raises Unavailable when it does not take it."""
        tracking.deliver_all(self._project)

    def close(self) -> None:
        """End the run and go; what MLflow lacks is delivered by itself."""
        self._session.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.end_run("FAILED" if kind else "FINISHED")
        self.close()


@dataclass
class _Session:
    """What must be put in order when the tracker goes, and so cannot hold the tracker itself."""

    project: Project
    deliver: bool
    experiment: Experiment | None = None
    open_run: OpenRun | None = None
    couriers: list[Courier] = field(default_factory=list)

    def begin(self, run_name: str | None = None) -> OpenRun:
        if self.experiment is None:
            raise ExperimentError(
                "There is no experiment to log to.", remedy="Call create_experiment(name) first."
            )
        self.open_run = tracking.start_run(self.project, self.experiment, run_name)
        return self.open_run

    def run(self) -> OpenRun:
        return self.open_run or self.begin()

    def call_courier(self) -> None:
        if self.deliver and not self.couriers:
            self.couriers.append(wiring.start_courier(self.project))

    def end(self, status: str) -> None:
        if self.open_run is not None:
            tracking.end_run(self.project, self.open_run, status)
            self.open_run = None
            self.call_courier()

    def leave(self) -> None:
        self.end("FINISHED")
        while self.couriers:
            self.couriers.pop().finish(0)
        self.project.close()
