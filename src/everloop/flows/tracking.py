"""What users log, told to MLflow by way of the outbox: it waits there for a server that is away."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from everloop.core.errors import ExperimentError, Unavailable
from everloop.core.ids import new_id
from everloop.store import outbox
from everloop.store.times import to_text

from . import artifacts, delivery
from .project import Project

_LOOK_EVERY = 0.1
_LARGEST_STEP = 2**63 - 1  # what a database keeps; a larger one would hold up everything behind it
_STATUSES = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Experiment:
    name: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class OpenRun:
    """A run that is being logged to. ``run_id`` is ours; MLflow's run carries it as a tag."""

    experiment: Experiment
    run_id: str
    run_name: str
    started_at: datetime


def start_run(project: Project, experiment: Experiment, run_name: str | None = None) -> OpenRun:
    """A new run; MLflow hears of it with the first thing that is logged."""
    now = project.clock.now()
    run_id = new_id("run", now)
    return OpenRun(experiment, run_id, run_name or run_id, now)


def spool_experiment(project: Project, experiment: Experiment) -> None:
    _post(project, experiment, None, "experiment", {})


def log_params(project: Project, run: OpenRun, params: Mapping[str, Any]) -> None:
    """Raises ExperimentError for what is no mapping."""
    _check_mapping("parameters", params)
    _post(project, run.experiment, run, "params", {"params": {k: str(v) for k, v in params.items()}})


def log_metrics(project: Project, run: OpenRun, metrics: Mapping[str, Any], step: int) -> None:
    """Raises ExperimentError for what is no number, and for a step that is no whole one. NaN and infinities
    are numbers that MLflow keeps."""
    _check_mapping("metrics", metrics)
    numbers = {name: _number(name, value) for name, value in metrics.items()}
    _post(project, run.experiment, run, "metrics", {"metrics": numbers, "step": _step(step)})


def log_artifacts(project: Project, run: OpenRun, paths: Mapping[str, Path]) -> None:
    """Keep a copy of each file or folder as it is now. Raises ExperimentError for one that is not there,
    before any is kept, and for a name that leaves the run's folder."""
    for name, path in paths.items():
        inside = PurePosixPath(name.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts or not inside.parts:
            raise ExperimentError(
                f"'{name}' cannot be the name of an artifact.", remedy="Use a relative name."
            )
        if not path.exists():
            raise ExperimentError(f"The artifact '{name}' is not at {path}.", remedy="Check the path.")
    files = {
        f"{name}/{inside}": artifacts.keep(project, file.read_bytes(), "artifact")
        for name, path in paths.items()
        for inside, file in _files(path)
    }
    _post(project, run.experiment, run, "artifacts", {"files": files})


def end_run(project: Project, run: OpenRun, status: str) -> None:
    """``status``: FINISHED, FAILED or KILLED. Raises ExperimentError for another."""
    if status not in _STATUSES:
        raise ExperimentError(f"A run cannot end as {status!r}.", remedy=f"Known: {', '.join(_STATUSES)}.")
    _post(project, run.experiment, run, "end", {"status": status})


def create_experiment(project: Project, experiment: Experiment) -> str:
    """MLflow's id of the experiment, made if it is not there. Raises Unavailable when MLflow is not."""
    return project.open_tracker().create_experiment(experiment.name, experiment.tags)


def search_experiments(project: Project, filter_string: str) -> list[dict[str, Any]]:
    """Asks MLflow, once it has what waits. Raises Unavailable when it does not answer."""
    deliver_all(project)
    return project.open_tracker().search_experiments(filter_string)


def search_runs(
    project: Project, filter_string: str, experiment_ids: Iterable[str] | None
) -> list[dict[str, Any]]:
    """Like ``search_experiments``, for runs, newest first."""
    deliver_all(project)
    return project.open_tracker().search_runs(filter_string, experiment_ids=experiment_ids)


def deliver_all(project: Project) -> None:
    """Deliver what waits, or let the process that does finish; at most ``tracking.wait`` seconds.

    Raises Unavailable with the reason when something still waits then.
    """
    deadline = project.clock.monotonic() + project.settings.tracking.wait
    while True:
        done = delivery.deliver(project)
        if not done.waiting:
            return
        if not done.busy or project.clock.monotonic() > deadline:
            raise Unavailable(
                f"{done.waiting} records could not be delivered to MLflow: {done.problem}",
                remedy="They are kept and delivered when it is there again.",
            )
        project.clock.sleep(_LOOK_EVERY)


def _post(
    project: Project, experiment: Experiment, run: OpenRun | None, call: str, what: Mapping[str, Any]
) -> None:
    now = project.clock.now()
    document = {"experiment": experiment.name, "experiment_tags": dict(experiment.tags), "call": call, **what}
    if run is not None:
        document |= {"run_id": run.run_id, "run_name": run.run_name, "started_at": to_text(run.started_at)}
    with project.store.writing() as tx:
        outbox.post(tx, "log", new_id("log", now), {**document, "at": to_text(now)}, now)


def _check_mapping(what: str, given: Any) -> None:
    if not isinstance(given, Mapping):
        raise ExperimentError(f"The {what} are {given!r}.", remedy="Give names with values: {'name': value}.")


def _step(step: Any) -> int:
    """Of any integer type, as numpy's."""
    try:
        number = operator.index(step)
    except TypeError as error:
        raise ExperimentError(f"The step is {step!r}.", remedy="Give a whole number.") from error
    if abs(number) > _LARGEST_STEP:
        raise ExperimentError(f"The step {number} is too large.", remedy="Give one below 2**63.")
    return number


def _number(name: str, value: Any) -> float | str:
    """The number; as text where JSON has no number for it."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ExperimentError(f"The metric '{name}' is {value!r}, not a number.") from error
    return number if math.isfinite(number) else str(number)


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
        return
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        yield file.relative_to(path).as_posix(), file
