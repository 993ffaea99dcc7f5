"""What a version's production is compared with: the data it was trained on, and what it said of the rows that
were held out. Made once per version from its run, or given as a table for a model from outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everloop import training
from everloop.core.documents import dump, load
from everloop.core.errors import Corrupt, MLOpsError, Refused, TooFewRows, UnknownVersion
from everloop.core.runs import Run
from everloop.data import identity, reading
from everloop.flows import artifacts, champion, data
from everloop.flows.project import Project
from everloop.monitoring import concept, estimated, performance, reference, texture
from everloop.monitoring.concept import Losses
from everloop.monitoring.estimated import Estimator
from everloop.monitoring.performance import Baseline
from everloop.monitoring.reference import Reference
from everloop.monitoring.texture import Texture
from everloop.settings.monitoring import Watch
from everloop.store import models, monitors
from everloop.store.database import Row
from everloop.training import serialise, targets

from . import production
from .production import Answers
from .spans import rules_of

FORMAT = 1
_NO_SEASON = "there is no season"
MOST_HELD_OUT = 200_000  # rows that the model is asked again for


@dataclass(frozen=True)
class References:
    """``answers``, ``baseline`` and ``estimator`` are None where ``without`` says why. ``masked``: features
    whose values are not in the log."""

    run: Run
    inputs: Reference
    answers: Reference | None = None
    baseline: Baseline | None = None
    estimator: Estimator | None = None
    losses: Losses | None = None
    texture: Texture | None = None
    season: str | None = None
    without: tuple[str, ...] = ()
    masked: frozenset[str] = frozenset()

    @property
    def positive(self) -> str | None:
        return champion.positive(self.run)

    def phase_of(self, hour: datetime) -> str | None:
        """Of an hour of production, where the reference tells phases apart."""
        if not self.inputs.slots:
            return None
        return f"{hour.hour}" if self.season == "hour" else f"{hour.weekday()}"

    def table(self, rows: Iterable[Row]) -> pa.Table:
        """What the version was asked, as far as it was logged; see ``production.inputs``."""
        kinds = {name: feature.kind for name, feature in self.inputs.features.items()}
        return production.inputs(rows, kinds, self.masked)

    def document(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            name: dump(part) if (part := getattr(self, name)) else None for name in _PARTS
        }
        answers = self.answers.to_document() if self.answers else None
        return {
            "format": FORMAT,
            "inputs": self.inputs.to_document(),
            "answers": answers,
            **told,
            "season": self.season,
            "without": list(self.without),
        }


_PARTS: dict[str, Any] = {"baseline": Baseline, "estimator": Estimator, "losses": Losses, "texture": Texture}


def of_version(project: Project, model: str, version: str) -> References:
    """Kept, or made now and kept. Raises UnknownVersion, and Refused where nothing is known of its data."""
    with project.store.reading() as tx:
        run = _run(tx, model, version)
        kept = monitors.reference(tx, model, version)
    if kept is not None:
        found = _read(run, version, kept)
    else:
        table, rows = _trained_on(project, run, version)
        found = _keep(project, model, version, _made(project, run, table, rows))
    settings = project.settings.models.get(model)
    masked = frozenset(settings.serving.mask if settings else ())
    return replace(
        found,
        masked=masked,
        without=(*found.without, *_set_since(found, version, rules_of(project, model))),
    )


def give(project: Project, model: str, version: str, source: object) -> References:
    """Take a table as what a version is compared with, instead of the data of its run. With the target as a
    column its rows also tell how good the version usually is: they should be rows it was not trained on."""
    with project.store.reading() as tx:
        run = _run(tx, model, version)
    table = reading.refuse_empty(reading.to_table(source))
    return _keep(project, model, version, _made(project, run, table, np.ones(table.num_rows, dtype=bool)))


def _set_since(found: References, version: str, rules: Watch) -> Iterator[str]:
    """What the settings ask for now and the reference, which was made before, does not have."""
    named = f"everloop monitor reference {found.run.model}@{version} FILE"
    anew = f"'{named}' makes one, of rows with the target that were held out, as the next version does"
    cuts = found.baseline.cuts if found.baseline is not None else {}
    for name in rules.slices if found.baseline is not None else ():
        if name not in found.run.features:
            yield f"performance is not judged on '{name}' of monitoring.slices: the model is not asked for it"
        elif name not in cuts:
            yield (
                f"performance is not judged on '{name}': monitoring.slices names it since the reference was "
                f"made; {anew}"
            )
    if rules.season != found.season and not any(each.startswith(_NO_SEASON) for each in found.without):
        yield (
            f"monitoring.season is {rules.season or 'not set'}, and the reference was made with "
            f"{found.season or 'none'}, which windows are compared by; {anew}"
        )


def _run(tx: Any, model: str, version: str) -> Run:
    found = models.find_model_version(tx, model, version)
    if found is None:
        raise UnknownVersion(f"There is no {model}@{version}.", remedy="See 'everloop models list'.")
    return models.find_run(tx, found.run_id)


def _read(run: Run, version: str, kept: Mapping[str, Any]) -> References:
    """Raises Corrupt where the document is damaged or of a newer release."""
    if kept.get("format", FORMAT) != FORMAT:
        raise Corrupt(
            f"What {run.model} is compared with has format {kept['format']!r}; this release reads {FORMAT}.",
            remedy="Upgrade everloop.",
        )
    try:
        parts: dict[str, Any] = {
            name: load(kind, kept[name]) if kept.get(name) else None for name, kind in _PARTS.items()
        }
        answers = Reference.from_document(kept["answers"]) if kept["answers"] else None
        inputs = Reference.from_document(kept["inputs"])
        without, season = tuple(kept["without"]), kept["season"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Corrupt(
            f"What {run.model} is compared with is damaged: {error!r}.",
            remedy="Restore a backup, or tell it again: "
            f"everloop monitor reference {run.model}@{version} FILE.",
        ) from error
    return References(run, inputs, answers, **parts, season=season, without=without)


def _keep(project: Project, model: str, version: str, made: References) -> References:
    with project.store.writing() as tx:
        monitors.put_reference(tx, model, version, made.document(), project.clock.now())
    return made


def _trained_on(project: Project, run: Run, version: str) -> tuple[pa.Table, np.ndarray]:
    """The data of a run, and which rows it was not trained on."""
    if not run.dataset:
        raise Refused(
            f"{run.model} was trained elsewhere: what its data looked like is not known here.",
            remedy=f"Tell it: everloop monitor reference {run.model}@{version} FILE.",
        )
    trained = data.find(project, run.data_version, run.dataset)
    seen = artifacts.from_bytes(artifacts.fetch(project, run.rows_seen))
    table = data.load(project, trained)
    return table, ~np.isin(identity.row_hashes(table), seen) if len(seen) else np.zeros(table.num_rows, bool)


def _made(project: Project, run: Run, table: pa.Table, held_out: np.ndarray) -> References:
    rules = rules_of(project, run.model)
    column = run.recipe.split.column if run.recipe.split.kind == "time" else None
    times = table.column(column) if column in table.column_names else None
    season = rules.season if times is not None else None
    here = set(table.column_names)
    features = table.select([name for name in run.features if name in here])
    inputs = reference.build(features, order=times, phases=_phases(times, season))
    usual: dict[str, Any] = {"texture": texture.of(features, order=times), "season": season}
    without: list[str] = []
    if rules.season and times is None:
        without.append(f"{_NO_SEASON}: the model has no time_column")
    try:
        answers = _held_out(project, run, table, held_out)
    except MLOpsError as error:
        return References(
            run, inputs, **usual, without=(*without, f"the model was not asked: {error.message}")
        )
    chosen, said = answers
    order = None if times is None else times.take(pa.array(chosen))
    parts: dict[str, Any] = {}
    if len(chosen):
        parts["answers"] = reference.build(said.table(), order=order)
    known = said.known()
    there = said.take(known)
    try:
        parts |= _judged(run, rules, there, table.take(pa.array(chosen[known])), order, known)
    except TooFewRows as error:
        without.append(f"performance is not judged: {error.message}")
    return References(run, inputs, **usual, without=tuple(without), **parts)


def _phases(times: pa.ChunkedArray | None, season: str | None) -> list[str] | None:
    """As ``References.phase_of`` names them."""
    if times is None or season is None:
        return None
    found = pc.hour(times) if season == "hour" else pc.day_of_week(times)
    return [str(each) for each in found.to_pylist()]


def _held_out(
    project: Project, run: Run, table: pa.Table, held_out: np.ndarray
) -> tuple[np.ndarray, Answers]:
    """The newest rows that the model was not trained on, and its answers with their truth."""
    chosen = np.flatnonzero(held_out)[-MOST_HELD_OUT:]
    rows = table.take(pa.array(chosen))
    said = training.fitting.predict(pipeline_of(project, run), rows, run.features, run.task)
    return chosen, production.of_model(run, champion.positive(run), said, _truth(run, rows))


def pipeline_of(project: Project, run: Run) -> Any:
    stored = artifacts.fetch(project, run.artifact)
    return serialise.loads(stored, run.artifact_format, trust_pickle=True)  # the registry's


def _truth(run: Run, rows: pa.Table) -> np.ndarray:
    name = run.recipe.target
    if name not in rows.column_names:
        nothing: Any = np.nan if run.task == "regression" else None
        return np.full(rows.num_rows, nothing)
    target = rows.column(name)
    if run.task == "regression":
        return targets.target_values(target)
    labels = targets.target_labels(target).astype(object)
    labels[targets.missing(target)] = None
    return np.asarray(labels)


def _judged(
    run: Run, rules: Watch, there: Answers, rows: pa.Table, order: Any, known: np.ndarray
) -> dict[str, Any]:
    """The usual performance, and what estimates it without labels. Raises TooFewRows."""
    when = None if order is None else order.filter(pa.array(known))
    slices = {name: rows.column(name) for name in rules.slices if name in rows.column_names}
    given = given_to_judge(there)
    about: dict[str, Any] = {"classes": there.classes, "positive": there.positive} if there.classes else {}
    return {
        "baseline": performance.baseline(
            there.truth, **given, **about, business=run.recipe.business, order=when, slices=slices
        ),
        "estimator": estimated.fit(there.truth, **given, **about, order=when),
        "losses": concept.reference_losses(ordered(losses(there), when), ordered=when is not None),
    }


def losses(said: Answers) -> np.ndarray:
    """0 for a right class and 1 for a wrong one; of a regression the absolute error."""
    if said.classes:
        return np.asarray(said.decided != said.truth, dtype=float)
    return np.asarray(np.abs(said.said - said.truth))


def ordered(values: np.ndarray, times: Any) -> np.ndarray:
    return values if times is None else values[np.argsort(np.asarray(times), kind="stable")]


def given_to_judge(said: Answers) -> dict[str, Any]:
    """Answers in the words of the monitoring room."""
    if said.classes:
        return {"answers": said.decided, "probabilities": said.said}
    return {"answers": said.said}
