"""One turn of the loop, durable: version, validate, decide, train, track, gate, register, record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from everloop.core.contracts import ContractVerdict
from everloop.core.decisions import Decision, GateVerdict
from everloop.core.documents import dump, load
from everloop.core.errors import Conflict, MLOpsError, Overtaken
from everloop.core.ids import new_id
from everloop.core.loop import Order
from everloop.core.turns import Listener, TurnSummary
from everloop.data.examples import sources
from everloop.settings import Model
from everloop.store import models, turns
from everloop.store.database import Tx

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
        summary = _opened(project, model, source, force, listener).walk()
    if summary is None:
        raise AssertionError("a walk without an end in between ends the turn")
    return summary


class Turn:
    """An open turn of one model: its steps one after the other, with a stop after any of them.

    ``results`` has what the finished steps gave, by name; ``summary`` is there once the turn has ended. What
    a stopped turn has done is kept as that of a killed one is: the next ``run`` or ``open_turn`` goes on.
    """

    def __init__(
        self,
        project: Project,
        model: Model,
        turn_id: str,
        source: object,
        force: bool,
        listener: Listener,
        *,
        resumed: bool,
        order: Order | None = None,
    ) -> None:
        self.project = project
        self.model = model
        self.turn_id = turn_id
        self.results: dict[str, Document] = {}
        self.summary: TurnSummary | None = None
        self._resumed = resumed
        self._begun = project.clock.monotonic()
        self._journal = Journal(project, turn_id, listener)
        self._material = Material(project, model)
        self._steps = Steps(self._material, turn_id, source, force, order)

    def advance(self, until: str, *, wait: float = 0.0) -> TurnSummary | None:
        """Do the steps up to ``until``, those that are done already excepted; the summary if that ended the
        turn. Raises Busy when another process works on this model, Conflict when one has ended this turn as
        failed, and what the steps raise."""
        with self.project.locks.hold(f"model/{self.model.name}", wait=wait):
            with self.project.store.reading() as tx:
                known = turns.find_turn(tx, self.turn_id)
            if self.summary is None and known["status"] == "failed":
                raise Conflict(
                    f"The turn {self.turn_id} was ended: {known['error']}.", remedy="Begin another one."
                )
            return self.walk(until)

    def walk(self, until: str | None = None) -> TurnSummary | None:
        """Like ``advance`` for those who hold the model's lock; without ``until`` to the end."""
        if self.summary is not None:
            return self.summary
        with _failing(self.project, self.turn_id):
            for step in _way(self._steps, self._material, self.results):
                if step.name not in self.results:
                    done = self._journal.step(step.name, step.work, step.save, tell=step.tell)
                    self.results[step.name] = done
                if step.name == until and until != STEPS[-1]:
                    return None
            self.summary = self._end()
        history.write_files(self.project)
        return self.summary

    def _end(self) -> TurnSummary:
        seconds = self.project.clock.monotonic() - self._begun
        summary = _summary(self.project, self.model.name, self.turn_id, self.results)
        summary = replace(summary, resumed=self._resumed, seconds=seconds, steps=self._journal.seconds)
        with self.project.store.writing() as tx:
            now = self.project.clock.now()
            turns.close_turn(tx, self.turn_id, summary.status, now, summary=dump(summary))
        return summary


def open_turn(
    project: Project,
    name: str,
    *,
    source: object = None,
    force: bool = False,
    listener: Listener = silent,
    wait: float = 0.0,
    order: Order | None = None,
) -> Turn:
    """A turn to be advanced step by step: the open one of this model if there is one, else a new one.
    ``order``: what the loop has decided of it."""
    model = project.model(name)
    with project.locks.hold(f"model/{name}", wait=wait):
        return _opened(project, model, source, force, listener, order)


def _opened(
    project: Project,
    model: Model,
    source: object,
    force: bool,
    listener: Listener,
    order: Order | None = None,
) -> Turn:
    resumed = _unfinished(project, model.name)
    if resumed is not None:
        turn_id, plan = resumed
        known = Model.model_validate(plan["model"])
        source = _source(known, plan["source"])
        told = load(Order, plan["order"]) if plan.get("order") else None
        return Turn(project, known, turn_id, source, plan["force"], listener, resumed=True, order=told)
    turn_id = new_id("turn", project.clock.now())
    given = "memory" if source is not None and not isinstance(source, str) else source
    plan = {"model": model.model_dump(mode="json"), "source": given, "force": force}
    plan |= {"order": dump(order)} if order else {}
    with project.store.writing() as tx:
        turns.open_turn(tx, turn_id, model.name, plan, project.clock.now())
    chosen = source if source is not None else _source(model, None)
    return Turn(project, model, turn_id, chosen, force, listener, resumed=False, order=order)


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


@contextmanager
def _failing(project: Project, turn_id: str) -> Iterator[None]:
    """A turn that raises is closed as failed; one interrupted from the keyboard stays, to be resumed, and one
    that another process has taken over is that one's."""
    try:
        yield
    except Overtaken:
        raise
    except Exception as error:
        with project.store.writing() as tx:
            said = str(error) if isinstance(error, MLOpsError) else f"{type(error).__name__}: {error}"
            turns.close_turn(tx, turn_id, "failed", project.clock.now(), error=said)
        raise


@dataclass(frozen=True)
class _Step:
    name: str
    work: Callable[[], Document]
    save: Callable[[Tx, Document], None] | None = None
    tell: Callable[[Document], str] = lambda _: ""


def _way(steps: Steps, material: Material, results: Mapping[str, Document]) -> Iterator[_Step]:
    """The way of a turn: each step is asked for once the one before it is in ``results``."""
    yield _Step("version", steps.version, tell=_tell_version)
    material.version_id = results["version"]["data_version"]
    yield _Step("validate", steps.validate, steps.save_validation, _tell_contract)
    if not results["validate"]["passed"]:
        return
    yield _Step("decide", steps.decide, steps.save_decision, _tell_decision)
    if results["decide"]["decision"]["action"] != "retrain":
        return
    yield _Step("train", steps.train, steps.save_run, _tell_run)
    trained = results["train"]
    yield _Step("track", lambda: steps.track(trained), steps.save_tracking, lambda _: "spooled for MLflow")
    yield _Step("gate", lambda: steps.judge(trained), steps.save_verdict, _tell_gate)
    judged = results["gate"]
    yield _Step(
        "register", lambda: steps.register(trained, judged), steps.save_registration, _tell_version_number
    )
    if material.project.settings.pipeline.evaluate_after_retrain:
        registered = results["register"]
        yield _Step("record", dict, lambda tx, _: steps.save_metrics(tx, registered))


def _summary(project: Project, model: str, turn_id: str, results: Mapping[str, Document]) -> TurnSummary:
    with project.store.reading() as tx:
        champion = models.champion(tx, model)
    verdict = load(ContractVerdict, results["validate"])
    registered = results.get("register")
    promoted = bool(registered and registered["promoted"])
    run = results["train"]["run"] if "train" in results else None
    metrics = run["metrics"] if promoted and run else results.get("decide", {}).get("metrics", {})
    return TurnSummary(
        turn_id=turn_id,
        model=model,
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
        metrics=metrics,
        findings=tuple(asdict(finding) for finding in verdict.findings),
        held=registered.get("held", "") if registered else "",
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
    said = f"{version['model']}@{version['version']} is {'champion' if result['promoted'] else 'challenger'}"
    return f"{said}. {result['held']}" if result.get("held") else said
