"""What is known of the champion on a turn's data: is it comparable, how good, how far from its reference."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from everloop import training
from everloop.core.decisions import Drift
from everloop.core.documents import dump
from everloop.core.errors import Corrupt, NotFound, UnknownColumn, WrongType
from everloop.core.runs import Run
from everloop.data import statistics
from everloop.monitoring import drift
from everloop.store import models

from .material import Material

_PROBE = 50  # rows that show whether the columns have types that a model takes


def changed(material: Material, run: Run) -> str | None:
    """Why the champion is not what would be trained now, whatever the data say.

    The recipe that was tried last counts too: a change that the gate refused is not tried again and again.
    """
    reason = incomparable(material, run)
    if reason is not None:
        return reason
    with material.project.store.reading() as tx:
        tried = [run, *models.list_runs(tx, material.model.name, limit=1)]
    if dump(material.recipe) in [dump(one.recipe) for one in tried]:
        return None
    return "the recipe has changed since the champion was trained"


def lost(material: Material, run: Run) -> str | None:
    """Why a run's model cannot be read any more: its file is gone or damaged. Such a champion can neither
    serve nor be compared, and what replaces it is a first model again."""
    try:
        material.pipeline(run)
        material.seen(run)
    except (Corrupt, NotFound) as error:
        return f"the champion's model cannot be read: {error.message.rstrip('.')}"
    return None


def incomparable(material: Material, run: Run) -> str | None:
    """Why a run's answers cannot be compared with what is asked now."""
    recipe, known = material.recipe, run.recipe
    if recipe.target != known.target or material.task != run.task:
        return f"the target is now '{recipe.target}' ({material.task}), not '{known.target}'"
    here = set(material.table.column_names)
    missing = [name for name in run.features if name not in here]
    if missing:
        return f"the champion needs the column '{missing[0]}', now gone from the data"
    try:
        material.answers(run, material.table.slice(0, _PROBE))
    except WrongType as error:
        return f"the champion cannot answer these data ({error.message.rstrip('.')})"
    return None


def performance(material: Material, run: Run, fresh: np.ndarray) -> tuple[dict[str, float], int | None]:
    """The champion's metrics on labelled rows it was not trained on, and how many they are.

    The rows are the fresh ones (a mask over the table) when there are enough of them, else all unseen ones.
    Labels that the champion does not know are left out.
    """
    unseen = material.labelled & ~material.seen(run)
    wanted = unseen & fresh
    if wanted.sum() < material.model.monitoring.drift_min_samples:
        wanted = unseen
    chosen = np.flatnonzero(wanted)
    truth = material.truth(run, chosen)
    if run.task == "classification":
        known = np.isin(truth, run.classes)
        chosen, truth = chosen[known], truth[known]
    if not len(chosen):
        return {}, None
    answers = material.answers(run, material.table.take(pa.array(chosen)))
    measured = training.fitting.measure(truth, answers, run.task, run.classes, positive(run), run.recipe)
    return measured, len(truth)


def moved(material: Material, run: Run, fresh: np.ndarray) -> Drift | None:
    """How far the features of the fresh rows (of all, when few are fresh) lie from the reference."""
    with material.project.store.reading() as tx:
        reference = models.reference(tx, material.model.name)
    if reference is None:
        return None
    least = material.model.monitoring.drift_min_samples
    current = material.version.statistics
    if least <= fresh.sum() < len(fresh):
        current = statistics.describe(material.table.select(list(run.features)).filter(pa.array(fresh)))
    try:
        return drift.mean_shift(reference[1], current, run.features, min_samples=least)
    except (UnknownColumn, WrongType):
        return None


def positive(run: Run) -> str | None:
    if run.task == "regression" or len(run.classes) != 2:
        return None
    return run.recipe.positive or run.classes[1]


def aligned(answers: np.ndarray, old: Run, new: Run) -> np.ndarray:
    """Probabilities of ``old`` in the order of ``new``'s classes; a class that it did not know gets 0."""
    if old.task == "regression" or old.classes == new.classes:
        return answers
    placed = np.zeros((len(answers), len(new.classes)))
    for position, name in enumerate(new.classes):
        if name in old.classes:
            placed[:, position] = answers[:, old.classes.index(name)]
    return placed
