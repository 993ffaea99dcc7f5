"""Two versions on what one of them was asked in production, and on what turned out."""

from __future__ import annotations

from datetime import datetime

from everloop.core.decisions import GatePolicy, GateVerdict
from everloop.core.errors import NotFound
from everloop.deployment import gate, reasons
from everloop.flows import champion, constraints
from everloop.flows.material import Material
from everloop.flows.monitoring import production, referring
from everloop.flows.project import Project
from everloop.store import models, monitors
from everloop.store.times import to_text

from . import gathering


def judge(
    project: Project,
    model: str,
    version: str,
    other: str,
    since: datetime,
    until: datetime,
    policy: GatePolicy,
    most: int,
) -> GateVerdict:
    """The gate's verdict on the ``other`` version beside the one that answered, on the newest labelled rows,
    ``most`` of them, without those of broken feeds, with what else the policy asks that labels tell. Raises
    NotFound where one of them is gone or nothing is known of what was asked, and what the gate and a model
    raise that takes other columns."""
    with project.store.snapshot() as tx:
        rows = list(monitors.answers(tx, model, version, since, until, labelled=True, newest=most))
        spans = gathering.broken_spans(tx, model, since)
        made = models.find_model_version(tx, model, other)
        run = models.find_run(tx, made.run_id) if made else None
    known = referring.of_version(project, model, version)
    if run is None or known.masked:
        raise NotFound(f"{model}@{other} cannot be asked what {version} was asked.")
    broken = [(to_text(each.since), to_text(each.until)) for each in spans]
    rows = [row for row in rows if not any(begin <= row["at"] < end for begin, end in broken)]
    said = production.of_rows(known.run, known.positive, rows)
    there = said.known()
    if there.sum() < policy.min_rows:
        return GateVerdict(False, reasons.too_few(int(there.sum()), policy.min_rows))
    table = known.table([row for row, usable in zip(rows, there, strict=True) if usable])
    said = said.take(there)
    answers = Material(project, project.model(model)).answers(run, table)
    answers = champion.aligned(answers, run, known.run)
    asked = [name for name in policy.slices if name in table.column_names]  # the gate tells which is not
    verdict = gate.judge(
        policy,
        task=known.run.task,
        classes=known.run.classes,
        positive=known.positive,
        truth=said.truth,
        champion=said.said,
        challenger=answers,
        baseline=None,
        slices={name: constraints.levels(table, name) for name in asked},
        business=known.run.recipe.business,
        champion_name=version,
    )
    if verdict.comparison is None:
        return verdict
    told = constraints.told_by_labels(policy, known.run, table, said.truth, said.said, answers, version)
    return gate.constrained(verdict, told)
