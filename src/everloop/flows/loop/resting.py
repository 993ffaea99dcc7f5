"""How long the next candidate waits, as far as that is known before anything is gathered."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from everloop.core import spans
from everloop.core.documents import dump
from everloop.core.errors import MLOpsError
from everloop.core.models import ModelVersion
from everloop.core.runs import Run
from everloop.flows import champion, usercode, worthwhile
from everloop.flows.monitoring import production
from everloop.flows.project import Project
from everloop.retraining import benefit, policy
from everloop.retraining.triage import Wait
from everloop.settings import Model
from everloop.store import models, monitors
from everloop.training import fitting

from . import gathering, telling

NEWEST = 2_000  # answers that are measured


def wait(project: Project, serving: ModelVersion, *, proven: bool) -> Wait | None:
    """Of the next candidate of a champion. ``proven``: labels have shown that it got worse. None where nobody
    has to wait, and where only the turn can tell: people are asked before it trains, the recipe is another
    one, or the champion is worse than the settings allow."""
    settings = project.model(serving.model)
    if "train" in settings.retraining.approve:
        return None
    with project.store.reading() as tx:
        run = models.find_run(tx, serving.run_id)
    last, refused = worthwhile.last_tried(project, run)
    if last is None:
        return None
    periods = benefit.wait(refused, proven)
    until = last + timedelta(seconds=periods * spans.seconds(settings.monitoring.window))
    if project.clock.now() >= until:
        return None
    try:
        if _changed(project, settings, run) or _is_too_bad(project, settings, serving, run):
            return None
    except MLOpsError:
        return None  # the turn tells what is wrong, and has a record to tell it in
    which = "The last candidate" if refused else "The model"
    said = f"{which} was trained at {telling.moment(last)}. {benefit.waits(refused, proven)}"
    return Wait(last, until, said)


def _changed(project: Project, settings: Model, run: Run) -> bool:
    """Whether the recipe is another one than the champion's and that of the newest run; what the data say of
    it the turn sees."""
    name = settings.training.model_type
    source = usercode.keep_source(project, name) if usercode.is_user_code(name) else None
    now = settings.recipe(settings.task or run.task, source)
    with project.store.reading() as tx:
        tried = [run, *models.list_runs(tx, run.model, limit=1)]
    return dump(now) not in [dump(one.recipe) for one in tried]


def _is_too_bad(project: Project, settings: Model, serving: ModelVersion, run: Run) -> bool:
    """Whether the newest answers with a complete label are worse than ``monitoring.performance_min``."""
    watched, until = settings.retrain_policy(run.task), gathering.until(project, run.model)
    if watched.performance_min is None or until is None:
        return False
    with project.store.snapshot() as tx:
        asked = monitors.answers(
            tx,
            run.model,
            serving.version,
            gathering.LONG_AGO,
            until,
            labelled=True,
            inputs=False,
            newest=NEWEST,
        )
        said = production.of_rows(run, champion.positive(run), list(asked))
    there = said.known()
    if int(np.sum(there)) < watched.min_samples:
        return False
    said = said.take(there)
    found = fitting.measure(said.truth, said.said, run.task, run.classes, champion.positive(run), run.recipe)
    value = found.get(watched.metric)
    if value is None:
        return False
    lower = policy.lower_is_better(watched.metric)
    return value > watched.performance_min if lower else value < watched.performance_min
