"""A shadow: the candidate is asked what the champion was asked, from the prediction log, where it can touch
neither an answer nor its latency."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from everloop.core.errors import MLOpsError, Refused, Unavailable, UnknownVersion
from everloop.core.releases import Plan, Release
from everloop.core.runs import Business
from everloop.deployment.checks import CRASHES
from everloop.flows.project import Project
from everloop.flows.serving import planning
from everloop.serving.answers import Outcome, Reading, label_of
from everloop.serving.inputs import InputPolicy, Inputs, Rejected, Row
from everloop.settings import ModelServing
from everloop.store import failures, models, observations, predictions, shadows
from everloop.store.database import Row as Recorded

from . import faults

ARM = "shadow"
BATCH = 500  # rows that are asked at once
MOST = 40  # batches between two looks
LAG = timedelta(minutes=5)  # what is recorded later than that is found by
SWEEP = timedelta(minutes=10)  # looking at all of the release again, so often
REHEARSED = 1_000  # recorded requests that tell beforehand how far the answers lie apart
_LEAST = 100
_TOLD = 300


def check(project: Project, model: str, version: str) -> None:
    """Raises Refused where inputs of the version are masked in the log: it could not be asked the same."""
    masked = _serving(project, model).mask
    if not masked:
        return
    with project.store.reading() as tx:
        known = models.find_model_version(tx, model, version)
    fields = {each.name for each in known.form.fields} if known and known.form else set(masked)
    hidden = sorted(fields & masked.keys())
    if hidden:
        raise Refused(
            f"A shadow sees the inputs as they are logged, and models.{model}.serving.mask hides "
            f"{', '.join(repr(name) for name in hidden)} there.",
            remedy="Release it by canary instead, or log these fields.",
        )


def _serving(project: Project, model: str) -> ModelServing:
    settings = project.settings.models.get(model)
    return settings.serving if settings else ModelServing()


# -- the candidate -----------------------------------------------------------------------------------------


class Died(Unavailable):
    """The candidate ended its process."""


class _Damaged(Unavailable):
    """A recorded request that cannot be read: it says nothing about the candidate."""


class Candidate:
    """A version that answers here: compiled if it has such a form, else by the original."""

    def __init__(self, project: Project, model: str, number: str) -> None:
        with project.store.reading() as tx:
            version = models.find_model_version(tx, model, number)
        if version is None:
            raise UnknownVersion(f"There is no {model}@{number}.", remedy="See 'everloop models list'.")
        planned = planning.of_version(project, version)
        try:
            content = planning.content(project, planned)
        except (MLOpsError, OSError):
            planned = planning.as_original(planned)
            content = planning.content(project, planned)
        policy = InputPolicy(**{**_serving(project, model).inputs.model_dump(), "extra": "allow"})
        self.inputs = Inputs(planned.form, policy)
        self.reading = Reading(planned.form)
        self.version = number
        self._scores = _runner(project, planned, content)

    def ask(self, rows: Sequence[Row]) -> list[Outcome]:
        """Raises Rejected for inputs that the version refuses, Unavailable for a model that fails, Died for
        one that ends the process it has for itself."""
        tensors, _ = self.inputs.encode(rows)
        return self.reading.outcomes(self._scores(rows, tensors))

    def ordered(self, inputs: str) -> Row:
        """A logged row in the order of this version's fields; what it does not have is left away. Raises
        _Damaged."""
        found = predictions.object_of(inputs)
        if found is None:
            raise _Damaged(predictions.DAMAGED)
        row, _ = self.inputs.ordered(found)
        return row


def _runner(
    project: Project, planned: planning.PlannedVersion, content: bytes
) -> Callable[[Sequence[Row], Any], np.ndarray]:
    if planned.format == "onnx":
        _, session = project.open_compiler()
        compiled = session(content)

        def run(rows: Sequence[Row], tensors: Any) -> np.ndarray:
            try:
                return np.asarray(compiled.run_matrix(tensors))
            except Exception as error:  # it may raise anything
                said = " ".join(str(error).split())[:_TOLD]
                raise Unavailable(f"The model failed ({type(error).__name__}: {said}).") from error

        return run
    native = project.open_native(planned.format, content, planned.form)

    def ask(rows: Sequence[Row], tensors: Any) -> np.ndarray:
        try:
            return np.asarray(native.scores(rows))
        except Unavailable as error:
            if native.died:
                raise Died(native.died) from error
            raise

    return ask


# -- catching up -------------------------------------------------------------------------------------------


@dataclass
class _Shadow:
    """What one process knows of a shadow: its candidate, from when on answers may be waiting, and when all
    of the release was looked at."""

    candidate: Candidate
    since: datetime
    swept: datetime


@dataclass
class Kept:
    """The shadows of one process, by release."""

    by_release: dict[str, _Shadow] = field(default_factory=dict)


_kept = Kept()


def catch_up(project: Project, release: Release, kept: Kept = _kept) -> int:
    """Ask the candidate what the champion was asked since the release began, each request once, and keep what
    it says; returns how many rows. What is done stands in the database, so that it may end at any time."""
    check(project, release.model, release.version)
    begun = release.started_at or release.created_at
    now = project.clock.now()
    shadow = kept.by_release.get(release.release_id)
    if shadow is None:
        candidate = Candidate(project, release.model, release.version)
        kept.by_release.clear()  # of one that is over
        shadow = kept.by_release[release.release_id] = _Shadow(candidate, begun, now)
    if now - shadow.swept >= SWEEP:
        shadow.since, shadow.swept = begun, now
    done = 0
    for _ in range(MOST):
        with project.store.reading() as tx:
            rows = shadows.waiting(tx, release.model, release.release_id, shadow.since, BATCH)
        if rows:
            try:
                _take(project, release, shadow.candidate, rows)
            except Died as error:
                _died(project, release, error)
                break
            done += len(rows)
            shadow.since = max(shadow.since, datetime.fromisoformat(rows[-1]["at"]))
        if len(rows) < BATCH:
            shadow.since = max(begun, shadow.since - LAG) if rows else shadow.since
            break
    return done


def _died(project: Project, release: Release, error: Died) -> None:
    """Written down; the second time it ends the release, whoever asked before."""
    faults.crashed(project, error.message, f"{release.model}@{release.version}")
    with project.store.reading() as tx:
        count = observations.crashes(tx, release.release_id).get(release.version, 0)
    if count >= CRASHES:
        faults.end(project, release.release_id, f"{error.message[:-1]}, {count} times.")


def _take(project: Project, release: Release, candidate: Candidate, rows: Sequence[Recorded]) -> None:
    """One batch: asked, and kept in one transaction."""
    begun = project.clock.monotonic()
    outcomes, failed = _asked(candidate, rows)
    taken = (project.clock.monotonic() - begun) * 1000 / len(rows)
    said = [
        _row(release, candidate, row, outcome, taken)
        for row, outcome in zip(rows, outcomes, strict=True)
        if outcome is not None
    ]
    told = [
        (
            row["prediction_id"] + shadows.FAILED, row["at"], release.model, release.version, ARM,
            release.release_id, row["unit"], kind, row["request_id"], problem[:_TOLD],
        )
        for row, kind, problem in failed
    ]  # fmt: skip
    with project.store.writing() as tx:
        shadows.add(tx, said)
        failures.add(tx, told)


_Failed = tuple[Recorded, str, str]  # the row, the kind, what was wrong


def _asked(candidate: Candidate, rows: Sequence[Recorded]) -> tuple[list[Outcome | None], list[_Failed]]:
    """What the candidate says to each row, and to which it says nothing, and why."""
    try:
        return [*candidate.ask([candidate.ordered(row["inputs"]) for row in rows])], []
    except Died:
        raise
    except MLOpsError as error:
        if len(rows) == 1:
            refused = isinstance(error, Rejected)
            kind = "refused" if refused else "damaged" if isinstance(error, _Damaged) else "failed"
            return [None], [(rows[0], kind, error.message)]
    outcomes: list[Outcome | None] = []
    failed: list[_Failed] = []
    for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):  # to find the row that it is
        some, wrong = _asked(candidate, part)
        outcomes += some
        failed += wrong
    return outcomes, failed


def _row(
    release: Release, candidate: Candidate, asked: Recorded, outcome: Outcome, latency_ms: float
) -> tuple[Any, ...]:
    """A row of ``shadows.COLUMNS``."""
    said = label_of(outcome)
    is_label = isinstance(said, str)
    return (
        release.release_id,
        asked["prediction_id"],
        candidate.version,
        said if is_label else repr(said),
        None if is_label else said,
        outcome.confidence,
        json.dumps(outcome.probabilities, separators=(",", ":")) if outcome.probabilities else None,
        gap(asked, outcome),
        latency_ms,
    )


def gap(asked: Recorded, outcome: Outcome) -> float | None:
    """How far two answers lie apart: the largest difference of a probability, or that of the values."""
    if asked["value"] is not None:
        return abs(float(outcome.prediction) - float(asked["value"]))
    if not asked["probabilities"] or not outcome.probabilities:
        return None
    before = predictions.object_of(asked["probabilities"])
    if before is None:
        return None
    names = before.keys() | outcome.probabilities.keys()
    return float(max(abs(before.get(name, 0.0) - outcome.probabilities.get(name, 0.0)) for name in names))


# -- beforehand --------------------------------------------------------------------------------------------


def rehearse(
    project: Project, release: Release, plan: Plan, business: Business | None = None
) -> tuple[dict[str, float], tuple[str, ...]]:
    """The candidate is asked the champion's newest requests: the standard deviation of the differences that a
    shadow's measures will have, at most, and in words what it could not answer. Both are empty where too few
    are recorded."""
    with project.store.reading() as tx:
        rows = shadows.newest(tx, release.model, release.against or "", REHEARSED)
    if len(rows) < _LEAST:
        return {}, ()
    try:
        outcomes, failed = _asked(Candidate(project, release.model, release.version), rows)
    except Died as error:
        raise Refused(
            f"{release.model}@{release.version} was asked recorded requests. {error.message}",
            remedy="Look at the model and its inputs.",
        ) from error
    pairs = [(row, outcome) for row, outcome in zip(rows, outcomes, strict=True) if outcome is not None]
    return _deviations(pairs, plan, business) if pairs else {}, _unanswered(release, len(rows), failed)


def _unanswered(release: Release, asked: int, failed: Sequence[_Failed]) -> tuple[str, ...]:
    kinds = [kind for _, kind, _ in failed]
    problem = next((each for _, kind, each in failed if kind != "damaged"), "")
    if not problem:
        return ()
    said = (
        f"Of {asked - kinds.count('damaged'):,} recorded requests {release.version} refused "
        f"{kinds.count('refused'):,} and could not answer {kinds.count('failed'):,}"
    )
    return (f"{said}: {problem[:_TOLD]}",)


def _deviations(
    pairs: Sequence[tuple[Recorded, Outcome]], plan: Plan, business: Business | None
) -> dict[str, float]:
    apart = np.mean([str(label_of(outcome)) != row["prediction"] for row, outcome in pairs])
    gaps = [apart_by for row, outcome in pairs if (apart_by := gap(row, outcome)) is not None]
    changed = float(np.sqrt(max(apart, 1 / len(pairs))))
    moved = float(np.sqrt(np.mean(np.square(gaps)))) if gaps else 0.0
    found: dict[str, float] = {}
    for measure in plan.measures:
        if measure.name == "accuracy" or measure.name.startswith("share:"):
            found[measure.name] = changed
        elif measure.name == "net_value" and business is not None:
            outcome_values = (
                business.true_positive, business.false_positive,
                business.true_negative, business.false_negative,
            )  # fmt: skip
            found[measure.name] = changed * (max(outcome_values) - min(outcome_values))
        elif measure.name in ("mae", "value", "confidence") and moved > 0:
            found[measure.name] = moved
        elif measure.name == "brier":
            found[measure.name] = min(1.0, 2 * moved + changed)
    return found
