"""The training of a turn: a recipe and the turn's table become a Run, its files kept by their hashes."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pyarrow as pa

from everloop.core.documents import dump
from everloop.core.ids import new_id
from everloop.core.runs import Run
from everloop.training import fitting, plots, serialise

from . import artifacts, documents, usercode
from .journal import Document
from .material import Material


def train(material: Material, turn_id: str) -> Document:
    """Fit and measure; the run, where the test rows are kept, and what the constant predictor says."""
    project, recipe = material.project, material.recipe
    started, begun = project.clock.now(), project.clock.monotonic()
    factory = None
    if recipe.user_code:
        factory = usercode.load(project, recipe.estimator, recipe.user_code)
    fitted = fitting.fit(material.table, recipe, material.rows, factory=factory)
    model, kind = serialise.dumps(fitted.pipeline)
    pictures = plots.plots(fitted, material.table, recipe)
    seen = np.unique(material.rows[fitted.train_index])
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
    )
    tested = artifacts.to_bytes(fitted.test_index.astype(np.int64))
    constant = fitting.baseline(fitted.train_target, fitted.test_target[:1], fitted.task, fitted.classes)
    return {
        "run": dump(run),
        "test_rows": artifacts.keep(project, tested, "npy"),
        "constant": np.asarray(constant)[0].tolist(),
    }
