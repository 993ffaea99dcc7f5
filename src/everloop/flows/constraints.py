"""What a model's gate asks besides the comparison: looked at before training, and measured after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from everloop.core.data import DatasetVersion
from everloop.core.decisions import Evidence, GatePolicy
from everloop.core.errors import AllMissing, InvalidSettings, MLOpsError, UnknownColumn, WrongType, nearest
from everloop.core.models import ModelVersion
from everloop.core.runs import Run, Task
from everloop.core.serving import Form
from everloop.data import identity
from everloop.deployment import calibration, constraints, fairness, gate, measures
from everloop.deployment.measures import Answers
from everloop.training import prepared, targets

from . import artifacts, champion, compiling, data, timing
from .material import Material, column


def check_request(material: Material) -> None:
    """Said before anything is trained. Raises UnknownVersion, UnknownColumn, AllMissing, WrongType,
    InvalidSettings."""
    policy = material.model.gate_policy()
    if policy.frozen is not None:
        _check_frozen(material, policy.frozen)
    _check_task(policy, material.task)
    for rule in policy.fairness:
        column(material.table, rule.column, "gate.fairness.column:")
        if rule.metric != "accuracy" and material.recipe.positive is None and _classes(material) > 2:
            raise InvalidSettings(
                f"gate.fairness compares {rule.metric}, and which of {_classes(material)} classes counts as "
                "positive is not known.",
                remedy="Set 'positive' of the model, or compare 'accuracy'.",
            )


def _check_task(policy: GatePolicy, task: Task) -> None:
    asked = {
        "gate.calibration_max": policy.calibration_max is not None,
        "gate.calibration_margin": policy.calibration_margin is not None,
        "gate.fairness": bool(policy.fairness),
    }
    wrong = [name for name, wanted in asked.items() if wanted]
    if wrong and task == "regression":
        raise InvalidSettings(f"{wrong[0]} is for classification, and this is a regression.")


def _classes(material: Material) -> int:
    return len(np.unique(targets.target_labels(material.target.filter(pa.array(material.labelled)))))


def _check_frozen(material: Material, ref: str) -> None:
    """It has the target, with labels, and every feature, of a type that is alike."""
    version, target = data.find(material.project, ref, material.model.dataset), material.recipe.target
    there = [each.name for each in version.columns]
    wanted = (target, *prepared.chosen_features(material.table, material.recipe))
    for name in wanted:
        if name not in there:
            raise UnknownColumn(f"gate.frozen: {ref} has no column '{name}'.", remedy=nearest(name, there))
    if targets.missing(data.load(material.project, version, [target]).column(target)).all():
        raise AllMissing(
            f"gate.frozen: no row of {ref} has a label in '{target}'.", remedy="Name a version with labels."
        )
    few = data.load(material.project, version, wanted, stop=1)
    for name in wanted:
        here, frozen = (data.kind(table, name) for table in (material.table, few))
        if here != frozen and "null" not in (here, frozen):  # a column without any value fits everything
            raise WrongType(
                f"gate.frozen: '{name}' is {frozen} in {ref} and {here} in the data.",
                remedy="Name a version of the same columns, or set gate.frozen to null.",
            )


@dataclass(frozen=True)
class Candidate:
    """The challenger with its held-out rows, and the champion where there is one to compare with."""

    material: Material
    run: Run
    rows: np.ndarray
    known: tuple[ModelVersion, Run] | None

    @property
    def against(self) -> str:
        return f"champion {self.known[0].version}" if self.known else ""

    def answered(self, run: Run, table: pa.Table, truth: np.ndarray, positive: str | None) -> Answers:
        """What the model of a run says of a table, in the classes of the challenger."""
        answers = champion.aligned(self.material.answers(run, table), run, self.run)
        given = (self.run.task, self.run.classes, positive, self.run.recipe.business)
        return gate.answered(f"the predictions of {run.run_id}", truth, answers, *given)

    def held_out(self, run: Run, rows: np.ndarray, positive: str | None) -> Answers:
        table, truth = self.material.table.take(pa.array(rows)), self.material.truth(self.run, rows)
        return self.answered(run, table, truth, positive)


@dataclass(frozen=True)
class Checked:
    """The lines of evidence, and how the challenger is served where that had to be found out for them."""

    evidence: tuple[Evidence, ...]
    form: Form | None = None


def check(candidate: Candidate) -> Checked:
    """All that the policy asks for, in the order in which it is told."""
    policy = candidate.material.model.gate_policy()
    found: list[Evidence] = [
        *_frozen(candidate, policy),
        *_calibration(candidate, policy),
        *_fairness(candidate, policy),
    ]
    form = None
    if policy.latency_max is not None or policy.latency_ratio is not None:
        form = _form(candidate)
        found += _latency(candidate, policy, form)
    if policy.size_max is not None:
        stored = artifacts.fetch(candidate.material.project, candidate.run.artifact)
        found.append(constraints.check_size(len(stored), policy.size_max))
    return Checked(tuple(found), form)


# -- a frozen data version -------------------------------------------------------------------------------


def _frozen(candidate: Candidate, policy: GatePolicy) -> Iterator[Evidence]:
    if policy.frozen is None:
        return
    if candidate.known is None:
        yield constraints.unjudged(policy, "there is no champion to compare with")
        return
    material, run, old = candidate.material, candidate.run, candidate.known[1]
    try:
        version = data.find(material.project, policy.frozen, material.model.dataset)
        table, left_out = _unseen(candidate, version, old)
        truth = _truth(run, table)
        before, now = (candidate.answered(r, table, truth, champion.positive(run)) for r in (old, run))
    except MLOpsError as error:
        yield constraints.unjudged(policy, error.message.rstrip("."))
        return
    metric = measures.find_metric(policy.metric, run.task)
    yield constraints.check_frozen(policy, metric, before, now, candidate.against, left_out)


def _unseen(candidate: Candidate, version: DatasetVersion, old: Run) -> tuple[pa.Table, str]:
    """The rows with a label that neither model was trained on, and in words which are left out."""
    material, run = candidate.material, candidate.run
    table = data.load(material.project, version)
    hashes = identity.row_hashes(table)
    target = column(table, run.recipe.target, "Target")
    trained = material.learnt(run, table, version, hashes) | material.learnt(old, table, version, hashes)
    reasons = {"without a label": targets.missing(target), "that a model was trained on": trained}
    if run.task == "classification":
        known = np.isin(targets.target_labels(target), run.classes)
        reasons["of a class that the challenger does not know"] = ~known
    kept = np.ones(table.num_rows, dtype=bool)
    said = []
    for why, out in reasons.items():
        if (out & kept).any():
            said.append(f"{int((out & kept).sum()):,} rows {why}")
        kept &= ~out
    return table.filter(pa.array(kept)), f"left out: {', '.join(said)}" if said else ""


def _truth(run: Run, table: pa.Table) -> np.ndarray:
    target = table.column(run.recipe.target)
    return targets.target_values(target) if run.task == "regression" else targets.target_labels(target)


# -- calibration and fairness ----------------------------------------------------------------------------


def _calibration(candidate: Candidate, policy: GatePolicy) -> Iterator[Evidence]:
    run, material, positive = candidate.run, candidate.material, champion.positive(candidate.run)
    if policy.calibration_max is not None:
        if len(candidate.rows) < policy.min_rows:
            yield calibration.unjudged(len(candidate.rows), policy.min_rows)
        else:
            answers = candidate.held_out(run, candidate.rows, positive)
            yield calibration.check_error(answers, policy.calibration_max, policy.confidence)
    if policy.calibration_margin is not None and candidate.known is not None:
        old = candidate.known[1]
        unseen = candidate.rows[~material.seen(old)[candidate.rows]]
        if len(unseen) < policy.min_rows:
            yield calibration.unjudged(len(unseen), policy.min_rows, candidate.against)
        else:
            before, now = (candidate.held_out(each, unseen, positive) for each in (old, run))
            margin, confidence = policy.calibration_margin, policy.confidence
            yield calibration.check_change(before, now, margin, confidence, candidate.against)


def _fairness(candidate: Candidate, policy: GatePolicy) -> Iterator[Evidence]:
    run = candidate.run
    if not policy.fairness:
        return
    answers = candidate.held_out(run, candidate.rows, run.recipe.positive or champion.positive(run))
    for rule in policy.fairness:
        groups = levels(candidate.material.table.take(pa.array(candidate.rows)), rule.column)
        yield fairness.check(rule, groups, answers, policy.confidence)


def levels(table: pa.Table, name: str) -> np.ndarray:
    """The values of a column as strings, None where missing (rows,)."""
    return np.asarray(table.column(name).cast(pa.string()).to_pandas(), dtype=object)


def told_by_labels(
    policy: GatePolicy,
    run: Run,
    table: pa.Table,
    truth: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
    version: str,
) -> list[Evidence]:
    """Calibration and fairness on rows of production that neither model was trained on. ``old``: what the
    champion, ``version``, said, whose ``run`` it is; ``new``: the challenger, in its classes. Raises
    UnknownColumn, InvalidSettings."""
    _check_task(policy, run.task)
    positive, confidence, against = champion.positive(run), policy.confidence, f"champion {version}"

    def answered(said: np.ndarray, positive: str | None) -> Answers:
        return gate.answered("the predictions", truth, said, run.task, run.classes, positive)

    found = []
    if policy.calibration_max is not None:
        found.append(calibration.check_error(answered(new, positive), policy.calibration_max, confidence))
    if policy.calibration_margin is not None:
        both = answered(old, positive), answered(new, positive)
        found.append(calibration.check_change(*both, policy.calibration_margin, confidence, against))
    for rule in policy.fairness:
        column(table, rule.column, "gate.fairness.column:")
        asked = answered(new, run.recipe.positive or positive)
        found.append(fairness.check(rule, levels(table, rule.column), asked, confidence))
    return found


# -- time ------------------------------------------------------------------------------------------------


def _form(candidate: Candidate) -> Form:
    material, run = candidate.material, candidate.run
    return compiling.compile_version(material.project, material.pipeline(run), run, material.table)


def _latency(candidate: Candidate, policy: GatePolicy, form: Form) -> Iterator[Evidence]:
    asked: list[tuple[Run, Form | None]] = [(candidate.run, form)]
    if policy.latency_ratio is not None and candidate.known is not None:
        asked.append((candidate.known[1], candidate.known[0].form))
    rows = candidate.material.table.take(pa.array(candidate.rows[: timing.ROWS]))
    new, *old = timing.time_models(candidate.material, asked, rows)
    if policy.latency_max is not None:
        yield constraints.check_latency(new, policy.latency_max)
    if policy.latency_ratio is not None and old:
        yield constraints.check_latency_ratio(new, old[0], policy.latency_ratio, candidate.against)
