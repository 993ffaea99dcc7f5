"""One turn of the loop, durable: version, validate, decide, train, track, gate, register, record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from everloop.core.contracts import ContractVerdict
from everloop.core.decisions import Decision, GateVerdict
from everloop.core.documents import dump, load
from everloop.core.errors import MLOpsError
from everloop.core.ids import new_id
from everloop.core.turns import Listener, TurnSummary
from everloop.data.examples import sources
from everloop.settings import Model
from everloop.store import models, turns

from . import documents, history
from .journal import Document, Journal
from .material import Material
from .project import Project
from .steps import Steps

STEPS = ("version", "validate", "decide", "train", "track", "gate", "register", "record")


def silent(step: str, status: str, message: str) -> None:
    """A listener that does not listen."""


def run(
    project: Project,
    name: str,
    *,
    source: object = None,
    force: bool = False,
    listener: Listener = silent,
    wait: float = 0.0,
) -> TurnSummary:
    """One turn for one model; first a turn that was killed is finished, and then that one is all.

    Args:
        source: a file or a table instead of the model's own data.
        force: train whatever speaks against it.
        wait: seconds to wait for another process that is at work on this model.

    Raises Busy when it still is, and what the steps raise; a turn that raises is recorded as failed.
    """
    model = project.model(name)
    with project.locks.hold(f"model/{name}", wait=wait):
        resumed = _unfinished(project, name)
        if resumed is None:
            return _begin(project, model, source, force, listener)
        turn_id, plan = resumed
        known = Model.model_validate(plan["model"])
        return _go(
            project, known, turn_id, _source(known, plan["source"]), plan["force"], listener, resumed=True
        )


def _begin(project: Project, model: Model, source: object, force: bool, listener: Listener) -> TurnSummary:
    turn_id = new_id("turn", project.clock.now())
    given = "memory" if source is not None and not isinstance(source, str) else source
    plan = {"model": model.model_dump(mode="json"), "source": given, "force": force}
    with project.store.writing() as tx:
        turns.open_turn(tx, turn_id, model.name, plan, project.clock.now())
    chosen = source if source is not None else _source(model, None)
    return _go(project, model, turn_id, chosen, force, listener, resumed=False)


def _unfinished(project: Project, name: str) -> tuple[str, Mapping[str, Any]] | None:
    """A killed turn that can go on. One whose table was in memory only, and is lost, is closed as failed."""
    with project.store.writing() as tx:
        found = turns.unfinished(tx, name)
        if found is None:
            return None
        versioned = turns.finished_step(tx, found["turn_id"], "version")
        if found["plan"]["source"] == "memory" and versioned is None:
            lost = "interrupted before its table, given in memory, was versioned"
            turns.close_turn(tx, found["turn_id"], "failed", project.clock.now(), error=lost)
            return None
        return found["turn_id"], found["plan"]


def _source(model: Model, given: str | None) -> object:
    if given is not None and given != "memory":
        return given
    if model.data.example is None:
        return model.data.path
    example = model.data.example
    seed = model.training.random_state if example.seed is None else example.seed
    options = {"drift": example.drift, "label_noise": example.label_noise, "missing": example.missing}
    table: pa.Table = sources.table(example.name, rows=example.rows, seed=seed, **options)
    return table


def _go(
    project: Project,
    model: Model,
    turn_id: str,
    source: object,
    force: bool,
    listener: Listener,
    *,
    resumed: bool,
) -> TurnSummary:
    begun = project.clock.monotonic()
    journal = Journal(project, turn_id, listener)
    material = Material(project, model)
    with _failing(project, turn_id):
        results = _walk(journal, Steps(material, turn_id, source, force), material)
        summary = _summary(
            project, material, results, turn_id, resumed, project.clock.monotonic() - begun, journal
        )
        with project.store.writing() as tx:
            turns.close_turn(tx, turn_id, summary.status, project.clock.now(), summary=dump(summary))
    history.write_files(project)
    return summary


@contextmanager
def _failing(project: Project, turn_id: str) -> Iterator[None]:
    """A turn that raises is closed as failed; one interrupted from the keyboard stays, to be resumed."""
    try:
        yield
    except Exception as error:
        with project.store.writing() as tx:
            said = str(error) if isinstance(error, MLOpsError) else f"{type(error).__name__}: {error}"
            turns.close_turn(tx, turn_id, "failed", project.clock.now(), error=said)
        raise


def _walk(journal: Journal, steps: Steps, material: Material) -> dict[str, Document]:
    results: dict[str, Document] = {}
    results["version"] = journal.step("version", steps.version, tell=_tell_version)
    material.version_id = results["version"]["data_version"]
    results["validate"] = journal.step("validate", steps.validate, steps.save_validation, tell=_tell_contract)
    if not results["validate"]["passed"]:
        return results
    results["decide"] = journal.step("decide", steps.decide, steps.save_decision, tell=_tell_decision)
    if results["decide"]["decision"]["action"] != "retrain":
        return results
    trained = results["train"] = journal.step("train", steps.train, steps.save_run, tell=_tell_run)
    journal.step(
        "track", lambda: steps.track(trained), steps.save_tracking, tell=lambda _: "spooled for MLflow"
    )
    judged = results["gate"] = journal.step(
        "gate", lambda: steps.judge(trained), steps.save_verdict, tell=_tell_gate
    )
    registered = results["register"] = journal.step(
        "register",
        lambda: steps.register(trained, judged),
        steps.save_registration,
        tell=_tell_version_number,
    )
    if material.project.settings.pipeline.evaluate_after_retrain:
        journal.step("record", dict, lambda tx, _: steps.save_metrics(tx, registered))
    return results


def _summary(
    project: Project,
    material: Material,
    results: Mapping[str, Document],
    turn_id: str,
    resumed: bool,
    seconds: float,
    journal: Journal,
) -> TurnSummary:
    with project.store.reading() as tx:
        champion = models.champion(tx, material.model.name)
    verdict = load(ContractVerdict, results["validate"])
    registered = results.get("register")
    promoted = bool(registered and registered["promoted"])
    run = results["train"]["run"] if "train" in results else None
    metrics = run["metrics"] if promoted and run else results.get("decide", {}).get("metrics", {})
    return TurnSummary(
        turn_id=turn_id,
        model=material.model.name,
        status="done" if verdict.passed else "stopped",
        data_version=results["version"]["data_version"],
        model_version=champion.version if champion else None,
        retrained=run is not None,
        promoted=promoted,
        accuracy=metrics.get("accuracy"),
        decision=load(Decision, results["decide"]["decision"]) if "decide" in results else None,
        verdict=load(GateVerdict, results["gate"]["verdict"]) if "gate" in results else None,
        registered=registered["version"]["version"] if registered else None,
        run_id=run["run_id"] if run else None,
        resumed=resumed,
        seconds=seconds,
        metrics=metrics,
        findings=tuple(asdict(finding) for finding in verdict.findings),
        steps=journal.seconds,
    )


def _tell_version(result: Document) -> str:
    known = "new version" if result["new"] else "known version"
    return f"{result['rows']:,} rows, {known} {result['data_version'][:12]}"


def _tell_contract(result: Document) -> str:
    if not result["findings"]:
        return "the data keep their contract"
    first = result["findings"][0]
    return (
        f"{len(result['findings'])} finding{'s' if len(result['findings']) > 1 else ''}: {first['message']}"
    )


def _tell_decision(result: Document) -> str:
    return f"{result['decision']['action']}: {result['decision']['reason']}"


def _tell_run(result: Document) -> str:
    return documents.shown_metrics(result["run"]["metrics"])


def _tell_gate(result: Document) -> str:
    return str(result["verdict"]["reason"])


def _tell_version_number(result: Document) -> str:
    version = result["version"]
    return f"{version['model']}@{version['version']} is {'champion' if result['promoted'] else 'challenger'}"
