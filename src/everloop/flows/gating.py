"""The gate's step of a turn: the challenger beside the champion on rows that neither was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from everloop.core.decisions import GateVerdict
from everloop.core.documents import dump, load
from everloop.core.models import ModelVersion
from everloop.core.runs import Run
from everloop.core.serving import Form
from everloop.deployment import gate
from everloop.retraining import remembered

from . import artifacts, champion, compiling, constraints
from .journal import Document
from .material import Material

FRESH = 100  # rows that are new since the champion was trained, with fewer all unseen ones are compared on

NOT_HELD_OUT = (
    "too few of the rows to compare on were held out: the labels of the others are those that the model's "
    "own answers let be seen. Wait for more, or raise serving.feedback.hold_out"
)


def judge(
    material: Material,
    trained: Document,
    *,
    fresh: bool = False,
    rows: np.ndarray | None = None,
    earlier: Sequence[GateVerdict] = (),
) -> Document:
    """The verdict on the run that the step ``train`` made, and the champion's version that it is about; how
    the model is served, where its latency had to be measured. ``fresh``: compared on what is new since the
    champion was trained, where that are enough rows. ``rows``: those of the material that the run was not
    trained on, where these are not the ones that ``train`` has held out. ``earlier``: verdicts on the
    candidates before, the newest last."""
    run, known = load(Run, trained["run"]), material.champion
    test_rows = artifacts.from_bytes(artifacts.fetch(material.project, trained["test_rows"]))
    test_rows = test_rows if rows is None else rows
    lost = champion.lost(material, known[1]) if known else None
    incomparable = champion.incomparable(material, known[1]) if known and not lost else None
    if known and not lost and trained.get("selected"):
        verdict = GateVerdict(False, NOT_HELD_OUT, against=known[0].version)
    elif known and not lost and not incomparable:
        verdict = _against_champion(material, run, test_rows, *known, fresh, earlier)
    else:
        verdict = _against_constant(material, run, test_rows, np.asarray(trained["constant"]))
        if lost:
            verdict = replace(verdict, reason=f"{lost}; {verdict.reason}")
        if incomparable:
            reason = f"{incomparable}: no fair comparison, promote it by hand if that is meant"
            verdict = replace(verdict, promote=False, reason=reason)
    compared = None if lost or incomparable else known
    checked = constraints.check(constraints.Candidate(material, run, test_rows, compared))
    verdict = gate.constrained(verdict, checked.evidence)
    return {
        "verdict": dump(verdict),
        "champion": known[0].version if known else None,
        "form": dump(checked.form) if checked.form else None,
    }


def form(material: Material, run: Run, judged: Document) -> Form:
    """How the run's model is served: as the gate has found out already, or found out now."""
    if judged.get("form"):
        return load(Form, judged["form"])
    return compiling.compile_version(material.project, material.pipeline(run), run, material.table)


def _against_champion(
    material: Material,
    run: Run,
    rows: np.ndarray,
    version: ModelVersion,
    old: Run,
    fresh: bool,
    earlier: Sequence[GateVerdict],
) -> GateVerdict:
    """On held-out rows of the challenger that the champion was not trained on either."""
    unseen = rows[~material.seen(old)[rows]]
    if fresh:
        new = unseen[~material.had(old)[unseen]]
        fresh = len(new) >= max(FRESH, material.model.gate.min_rows)
        unseen = new if fresh else unseen
    answers = material.answers(old, material.table.take(pa.array(unseen)))
    verdict = _judged(material, run, unseen, champion.aligned(answers, old, run), None, version.version)
    return remembered.judge(verdict, earlier, material.model.gate.margin) if fresh else verdict


def _against_constant(material: Material, run: Run, rows: np.ndarray, constant: np.ndarray) -> GateVerdict:
    return _judged(material, run, rows, None, np.repeat(constant[np.newaxis], len(rows), axis=0), None)


def _judged(
    material: Material, run: Run, rows: np.ndarray, old: Any, constant: Any, name: str | None
) -> GateVerdict:
    table = material.table.take(pa.array(rows))
    model = material.model
    guarded = {name: constraints.levels(table, name) for name in model.gate.slices}
    return gate.judge(
        model.gate_policy(),
        task=run.task,
        classes=run.classes,
        positive=champion.positive(run),
        truth=material.truth(run, rows),
        champion=old,
        challenger=material.answers(run, table),
        baseline=constant,
        slices=guarded,
        business=run.recipe.business,
        champion_name=name,
    )
