"""Register models that were trained elsewhere: each gets a run, so that it has a lineage like any other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from everloop.core.errors import Conflict, FileMissing, Invalid, UnknownVersion, WrongType
from everloop.core.ids import new_id
from everloop.core.models import ModelVersion, SemanticVersion, check_name
from everloop.core.runs import OUTSIDE, Recipe, Run
from everloop.registry import versions
from everloop.store import datasets, history, models, outbox
from everloop.store.database import Tx
from everloop.training import serialise
from everloop.training.outside import describe

from . import artifacts, compiling, documents, states
from . import data as versions_of_data
from .project import Project

_FORMATS = {".skops": "skops", ".joblib": "joblib", ".pkl": "joblib", ".pickle": "joblib"}


@dataclass(frozen=True)
class Origin:
    """What is told of a model from elsewhere. ``data_version`` is one of this project's, or any name."""

    data_version: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    target: str = ""
    features: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def read_model(project: Project, path: Path, *, trust_pickle: bool = False) -> Any:
    """The model in a .skops, .joblib, .pkl or .pickle file; pickles, which run code, only when trusted."""
    file = project.settings.root / path.expanduser()
    if not file.is_file():
        raise FileMissing(f"There is no model file at {file}.", remedy="Check the path.")
    kind = _FORMATS.get(file.suffix.lower())
    if kind is None:
        raise Invalid(f"'{file.name}' is no model file.", remedy=f"Known endings: {', '.join(_FORMATS)}.")
    return serialise.loads(file.read_bytes(), kind, trust_pickle=trust_pickle)


def register(
    project: Project,
    name: str,
    model: Any,
    origin: Origin,
    *,
    version: str | None = None,
    promote: str | None = None,
    warn: Callable[[str], object] = str,
) -> ModelVersion:
    """Register a fitted scikit-learn model as a version of ``name``: the challenger, or with a ``promote``
    reason the champion. Without ``version`` it gets the next number. ``warn`` is told what is odd about it.

    Raises WrongType for what is no fitted estimator, Conflict for a number that is taken, Invalid for a
    name that no model can have and for a model that can never answer. Of a promotion that production's rules
    forbid (Refused), or that another release is in the way of (Conflict), the version is registered.
    """
    check_name(name)
    run = _run(project, name, model, origin)
    rows = None
    if run.dataset:
        rows = versions_of_data.load(project, versions_of_data.find(project, run.data_version, run.dataset))
    compiling.check_answers(model, run, rows)
    form = compiling.compile_version(project, model, run, rows)
    with project.locks.hold(f"model/{name}"), project.store.writing() as tx:
        known = models.list_model_versions(tx, name)
        newest = known[-1] if known else None
        made = ModelVersion(
            model=name,
            version=_number(tx, version, known, run),
            run_id=run.run_id,
            dataset=run.dataset,
            data_version=run.data_version,
            created_at=run.started_at,
            created_by=project.user,
            git_commit=run.environment.git_commit,
            parent=newest.version if newest else None,
            metrics=run.metrics,
            tags={
                **{str(name): str(value) for name, value in origin.tags.items()},
                "gate": "made outside of everloop",
                "gate_verdict": "none",
            },
            form=form,
        )
        models.add_run(tx, run)
        models.add_model_version(tx, made)
        if run.metrics:
            at, data, number = run.started_at, run.data_version, made.version
            history.add_metrics(tx, name, run.metrics, at=at, data_version=data, model_version=number)
        details = {"version": made.version, "run_id": run.run_id, "data_version": run.data_version}
        summary = f"{name}@{made.version} from outside: {run.recipe.estimator}"
        history.append(tx, name, "registered", summary, at=run.started_at, by=project.user, details=details)
        if project.settings.tracking.enabled:
            document = documents.tracked_run(run, project.settings)
            outbox.post(tx, "run", f"run/{run.run_id}", document, run.started_at)
        documents.post_version(tx, project, made)
        documents.point(tx, project, name, "challenger", made.version)
    if promote is not None:
        with project.store.writing() as tx:
            states.promote_now(tx, project, made, promote)
    if form.fields and not run.features:
        named = ", ".join(one.name for one in form.fields[:2]) + (" …" if len(form.fields) > 2 else "")
        warn(
            f"{name}@{made.version} was fitted on arrays and knows no names: who asks it calls its fields "
            f"{named}. Register it with features=[…], the names of its columns in their order."
        )
    return made


def _number(tx: Tx, asked: str | None, known: Sequence[ModelVersion], run: Run) -> str:
    if asked is None:
        before = models.find_run(tx, known[-1].run_id) if known else None
        return str(
            versions.next_version(known[-1] if known else None, before, run, [v.version for v in known])
        )
    number = str(SemanticVersion.parse(asked))
    if number in {v.version for v in known}:
        raise Conflict(
            f"{run.model}@{number} is there already.", remedy="Versions never change: give another number."
        )
    return number


def _run(project: Project, name: str, model: Any, origin: Origin) -> Run:
    now = project.clock.now()
    known = describe(model)
    dataset, data_version = _data(project, origin.data_version)
    try:
        content, kind = serialise.dumps(model)
    except (TypeError, AttributeError, ValueError) as error:
        raise WrongType(
            f"The model cannot be stored: {error}.", remedy="Take out what cannot be pickled."
        ) from error
    return Run(
        run_id=new_id("run", now),
        model=name,
        turn_id=OUTSIDE,
        dataset=dataset,
        data_version=data_version,
        recipe=Recipe(target=origin.target, task=known.task, estimator=known.estimator, params=known.params),
        task=known.task,
        features=tuple(origin.features) or known.features,
        classes=known.classes,
        train_rows=0,
        test_rows=0,
        dropped_rows=0,
        metrics={key: _metric(key, value) for key, value in origin.metrics.items()},
        environment=project.environment(),
        artifact=artifacts.keep(project, content, kind),
        artifact_format=kind,
        rows_seen=artifacts.keep(project, artifacts.to_bytes(np.empty(0, dtype=np.uint64)), "npy"),
        predictions_hash=sha256(b"").hexdigest(),
        started_at=now,
        seconds=0.0,
        notes=("made outside of everloop",),
    )


def _data(project: Project, name: str | None) -> tuple[str, str]:
    """The dataset and full id of a data version of this project; any other name stays as it is."""
    if name is None:
        return "", ""
    if not isinstance(name, str):
        raise Invalid(
            f"data_version is a {type(name).__name__}.",
            remedy="Give the id of a data version as text: what DataVersioner.register returns.",
        )
    with project.store.reading() as tx:
        try:
            found = datasets.find_version(tx, name)
        except UnknownVersion:
            return "", name
    return found.dataset, found.version_id


def _metric(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Invalid(f"The metric '{name}' is {value!r}.", remedy="Give a finite number, or leave it out.")
    return number
