"""The training of a turn: a recipe and the turn's table become a Run, its files kept by their hashes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.documents import dump
from everloop.core.ids import new_id
from everloop.core.runs import Run
from everloop.training import fitting, plots, serialise, warm

from . import artifacts, champion, data, documents, runs, usercode
from .journal import Document
from .material import Material
from .project import Project


@dataclass(frozen=True, eq=False)
class About:
    """What is known of rows beside their values, each (rows,): ``times`` in seconds since the epoch, where
    they are not the recipe's ``time_column``; ``weights``, what each counts; ``judges``, whether a model may
    be judged by it. None: of no row anything else than of the others."""

    times: np.ndarray | None = None
    weights: np.ndarray | None = None
    judges: np.ndarray | None = None


def about(known: np.ndarray, time_column: str | None) -> About:
    """Of what is kept beside a table, (rows, 3)."""
    times, weights, judges = known.T
    return About(
        times if time_column is None else None,
        None if (weights == 1).all() else weights,
        None if judges.all() else judges.astype(bool),
    )


def train(
    material: Material,
    turn_id: str,
    known: About = About(),
    trying: bool = False,
) -> Document:
    """Fit and measure; the run, where the test rows are kept, and what the constant predictor says.
    ``trying``: which rows count is tried, where the recipe takes all."""
    project, recipe = material.project, material.recipe
    tried = replace(recipe, data="try") if trying and recipe.data == "all" else recipe
    started, begun = project.clock.now(), project.clock.monotonic()
    factory = None
    if recipe.user_code:
        factory = usercode.load(project, recipe.estimator, recipe.user_code)
    base = _base(material)
    fitted = fitting.fit(
        material.table,
        tried,
        material.rows,
        factory=factory,
        times=known.times,
        weights=known.weights,
        judges=known.judges,
        base=base[1] if base else None,
        clock=project.clock.monotonic,
    )
    model, kind = serialise.dumps(fitted.pipeline)
    pictures = plots.plots(fitted, material.table, recipe)
    gone_on = base[0] if base and fitted.warm else None
    seen = np.unique(material.rows[fitted.train_index])
    if gone_on:  # the champion's rows are in the new model too
        before = artifacts.from_bytes(artifacts.fetch(project, gone_on.rows_seen))
        seen = np.unique(np.concatenate([seen, before, material.rows[material.seen(gone_on)]]))
    example = material.table.take(pa.array(fitted.test_index[:3])).select(list(fitted.features))
    run = Run(
        run_id=new_id("run", started),
        model=material.model.name,
        turn_id=turn_id,
        dataset=material.version.dataset,
        data_version=material.version_id,
        recipe=recipe,
        task=fitted.task,
        features=fitted.features,
        classes=fitted.classes,
        train_rows=len(fitted.train_index),
        test_rows=len(fitted.test_index),
        dropped_rows=fitted.dropped_rows,
        metrics=fitted.metrics,
        environment=project.environment(),
        artifact=artifacts.keep(project, model, kind),
        artifact_format=kind,
        rows_seen=artifacts.keep(project, artifacts.to_bytes(seen), "npy"),
        predictions_hash=sha256(np.ascontiguousarray(fitted.predictions).tobytes()).hexdigest(),
        started_at=started,
        seconds=project.clock.monotonic() - begun,
        series=fitted.series,
        plots={name: artifacts.keep(project, picture, "png") for name, picture in pictures.items()},
        input_example=tuple(documents.plain_rows(example)),
        notes=fitted.notes,
        choice=fitted.choice,
        tuned=fitted.tuned,
        warm_from=gone_on.run_id if gone_on else None,
        row_times=_kept(project, known.times),
        row_weights=_kept(project, known.weights),
        row_judges=_kept(project, known.judges),
    )
    tested = artifacts.to_bytes(fitted.test_index.astype(np.int64))
    constant = fitting.baseline(fitted.train_target, fitted.test_target[:1], fitted.task, fitted.classes)
    return {
        "run": dump(run),
        "test_rows": artifacts.keep(project, tested, "npy"),
        "constant": np.asarray(constant)[0].tolist(),
        "selected": known.judges is not None and not known.judges[fitted.test_index].all(),
    }


def _kept(project: Project, values: np.ndarray | None) -> str | None:
    return None if values is None else artifacts.keep(project, artifacts.to_bytes(values), "npy")


def _known(project: Project, run: Run) -> About:
    kept = (run.row_times, run.row_weights, run.row_judges)
    return About(*(artifacts.from_bytes(artifacts.fetch(project, name)) if name else None for name in kept))


def again(project: Project, run: Run) -> fitting.Fitted:
    """Train as a run did: with the rows and parameters that were found then, and from the same fit."""
    version = data.find(project, run.data_version, run.dataset)
    table, rows = data.load(project, version), data.rows_of(project, version)
    recipe, factory, base, known = run.recipe, None, None, _known(project, run)
    if recipe.user_code:
        factory = usercode.load(project, recipe.estimator, recipe.user_code)
    if run.warm_from:
        before = runs.find(project, run.warm_from)
        seen = Material(project, project.model(run.model)).learnt(before, table, version, rows)
        base = _going_on(before, runs.load_model(project, before), seen)
    found = replace(recipe, params=run.params, tune=None, warm_start=base is not None)
    if run.choice:
        found = replace(found, data=run.choice.chosen)
    return fitting.fit(
        table, found, rows, factory=factory, base=base,
        times=known.times, weights=known.weights, judges=known.judges,
    )  # fmt: skip


def _base(material: Material) -> tuple[Run, warm.Base] | None:
    """The champion, where the recipe asks for a warm start and the champion can be read."""
    known = material.champion
    if not material.recipe.warm_start or known is None or champion.lost(material, known[1]):
        return None
    run = known[1]
    return run, _going_on(run, material.pipeline(run), material.seen(run))


def _going_on(run: Run, pipeline: Any, seen: np.ndarray) -> warm.Base:
    recipe = replace(run.recipe, params=run.params)
    return warm.Base(pipeline, recipe, run.task, run.features, run.classes, seen)
