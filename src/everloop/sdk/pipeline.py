"""A turn of the loop in stages: all, some or one of them, with a status to ask for meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from everloop import wiring
from everloop.core.errors import Busy, Conflict, Invalid
from everloop.core.turns import StepState
from everloop.flows import status, turn
from everloop.flows.turn import Turn
from everloop.settings import load_settings

from .places import absolute, close_with, first_model, flags_of
from .running import accepted, delivering
from .stages import (
    STAGE_OF,
    STEPS,
    PipelineStage,
    StageContext,
    StageFunction,
    missing,
    own_function,
    result_of,
)

_FROM_TRAINING = list(STEPS)[2:]


class StageStatus(TypedDict):
    """``status``: waiting, running, done or failed; ``message``: what its last step said."""

    status: str
    message: str
    error: str | None
    started_at: str | None
    finished_at: str | None


class PipelineStatus(TypedDict):
    """``status`` is of the last call: waiting (none yet), running, done or failed."""

    pipeline: str
    tenant_id: str
    model: str
    turn_id: str | None
    status: str
    error: str | None
    stages: dict[str, StageStatus]


class MLOpsPipeline:
    """The stages of one model's turn. What they do is kept after each: a later call, also of another process,
    goes on with the turn that is open.

    Args:
        name: of the pipeline, and of the model where the configuration has one of that name.
        tenant_id: whose data and models [the configuration's].
        config: the configuration file [the one of the working folder; without any, synthetic customers].
        model: one of its models [the one named like the pipeline, else the first].
        source: a file or a table instead of the model's own data.
        force: train whatever speaks against it.
        deliver: hand over to MLflow at the end of each call, as ``everloop.run_pipeline`` does.
    """

    def __init__(
        self,
        name: str,
        tenant_id: str | None = None,
        config: str | Path | None = None,
        *,
        model: str | None = None,
        source: object = None,
        force: bool = False,
        deliver: bool = True,
    ) -> None:
        self.name = name
        self._project = wiring.connect(load_settings(config, flags=flags_of(tenant_id)))
        close_with(self, self._project)
        named = name if name in self._project.settings.models else None
        self.model = self._project.model(first_model(self._project, model or named)).name
        self.tenant_id = self._project.tenant
        self._source, self._force, self._deliver = absolute(source), force, deliver
        self._order = list(STEPS)
        self._functions: dict[str, StageFunction] = {}
        self._turn: Turn | None = None
        self._answered: dict[str, Any] = {}
        self._work = threading.Lock()
        self._state = threading.Lock()
        self._status, self._error = "waiting", ""
        self._stages: dict[str, StageStatus] = {stage: _waiting() for stage in self._order}

    def run_pipeline(self, stages: Sequence[str] | None = None) -> dict[str, Any]:
        """Run the stages in the given order [all, the added ones in their places]; stage -> result.

        A stage of the turn takes along those before it that are not done yet. Stages that the open turn has
        done are not done again. Raises what fails: ContractFailed, what training raises, what a stage of your
        own raises.
        """
        if isinstance(stages, str):
            stages = [stages]
        chosen = list(self._order if stages is None else stages)
        functions = {stage: self._function(stage) for stage in chosen}
        trains = any(stage in _FROM_TRAINING for stage in chosen)
        with self._working(), delivering(self._project, self._deliver and trains):
            return {stage: self._run(stage, functions[stage]) for stage in chosen}

    def run_stage(self, stage: str) -> Any:
        """Run one stage; its result."""
        return self.run_pipeline([stage])[stage]

    def add_stage(self, name: str, function: StageFunction, *, after: str | None = None) -> None:
        """Add a stage of your own: ``function(context)``, in its place ``after`` another [the last]."""
        if not (isinstance(name, str) and name and callable(function)):
            raise Invalid(
                f"{name!r} with {function!r} is no stage.",
                remedy="Give a name and a function of the context.",
            )
        if name in STEPS:
            raise Conflict(f"'{name}' is a stage of every pipeline.", remedy="Name yours otherwise.")
        if after is not None and after not in self._order:
            raise missing(after, dict.fromkeys(self._order))
        if name in self._order:
            self._order.remove(name)
        self._order.insert(len(self._order) if after is None else self._order.index(after) + 1, name)
        with self._state:
            self._functions[name] = function
            self._stages.setdefault(name, _waiting())

    def get_pipeline_status(self) -> PipelineStatus:
        """How far the pipeline is; may be asked from any thread, also while it runs. Before its first call it
        shows the turn that another one has left open, or is at."""
        with self._state:
            turn_id = self._turn.turn_id if self._turn else None
            stages = {stage: StageStatus(**state) for stage, state in self._stages.items()}
            word, error = self._status, self._error or None
        if word == "waiting":
            newest = status.recent(self._project, self.model, limit=1)
            if newest and newest[0].status == "running":
                turn_id = newest[0].turn_id
                stages |= {stage: _seen(stage, newest[0].steps) for stage in STEPS}
        return PipelineStatus(
            pipeline=self.name,
            tenant_id=self.tenant_id,
            model=self.model,
            turn_id=turn_id,
            status=word,
            error=error,
            stages=stages,
        )

    def close(self) -> None:
        self._project.close()

    # -- one stage ---------------------------------------------------------------------------------------

    def _function(self, stage: str) -> Callable[[], Any]:
        if stage in STEPS:
            return lambda: self._of_turn(stage)
        own = self._functions.get(stage) or own_function(stage)
        if own is None:
            raise missing(stage, dict.fromkeys(self._order))
        return lambda: own(self._context())

    def _of_turn(self, stage: str) -> dict[str, Any]:
        current = self._turn
        if current is None or (current.summary is not None and not self._is_ahead(stage)):
            current = self._begin()
        summary = current.advance(STEPS[stage][-1])
        if summary is not None:
            self._settle(stage, stopped=summary.status == "stopped")
            accepted(summary)
        return result_of(stage, current.results)

    def _settle(self, asked: str, *, stopped: bool) -> None:
        """The turn has ended: no other stage than the one that was asked for is under way any more."""
        for stage in [name for name in STEPS if self._stages[name]["status"] == "running" and name != asked]:
            self._mark(stage, "done")
        if stopped:
            self._mark(PipelineStage.DATA_PREPROCESSING, "failed", error="the data break their contract")

    def _is_ahead(self, stage: str) -> bool:
        """Whether nobody has asked the turn for this stage or one behind it yet."""
        asked = [name for name in STEPS if name in self._answered]
        return not asked or list(STEPS).index(stage) > list(STEPS).index(asked[-1])

    def _begin(self) -> Turn:
        opened = turn.open_turn(
            self._project, self.model, source=self._source, force=self._force, listener=self._listen
        )
        with self._state:
            self._turn, self._answered = opened, {}
            self._stages |= {
                stage: _waiting() for stage in STEPS if self._stages[stage]["status"] != "running"
            }
        return opened

    def _context(self) -> StageContext:
        opened = self._turn
        return StageContext(
            project=self._project,
            model_name=self.model,
            tenant_id=self.tenant_id,
            turn_id=opened.turn_id if opened else None,
            results=dict(self._answered),
            steps=dict(opened.results) if opened else {},
        )

    # -- status ------------------------------------------------------------------------------------------

    @contextmanager
    def _working(self) -> Iterator[None]:
        if not self._work.acquire(blocking=False):
            raise Busy(f"the pipeline '{self.name}'")
        try:
            with self._state:
                self._status, self._error = "running", ""
            yield
            with self._state:
                self._status = "done"
        except BaseException as error:
            with self._state:
                self._status, self._error = "failed", f"{type(error).__name__}: {error}"
            raise
        finally:
            self._work.release()

    def _run(self, stage: str, function: Callable[[], Any]) -> Any:
        self._mark(stage, "running")
        try:
            result = function()
        except BaseException as error:
            self._fail(stage, error)
            raise
        self._mark(stage, "done")
        self._answered[stage] = result
        return result

    def _fail(self, stage: str, error: BaseException) -> None:
        """The stage whose step failed is the one that failed; the one that was asked for did not begin."""
        with self._state:
            broken = [name for name in STEPS if self._stages[name]["status"] == "failed" and name != stage]
        if stage in STEPS and broken:
            self._mark(stage, "waiting")
        else:
            self._mark(stage, "failed", error=f"{type(error).__name__}: {error}")
        if stage in STEPS:
            self._turn = None

    def _listen(self, step: str, word: str, message: str) -> None:
        stage = STAGE_OF[step]
        if word == "failed":
            self._mark(stage, "failed", error=message)
        else:
            ended = word in ("done", "kept") and step == STEPS[stage][-1]
            self._mark(stage, "done" if ended else "running", message=message)

    def _mark(self, stage: str, word: str, *, message: str = "", error: str | None = None) -> None:
        now = self._project.clock.now().isoformat()
        with self._state:
            known = self._stages.setdefault(stage, _waiting())
            again = word == "running" and known["status"] != "running"
            began = now if again else known["started_at"] or now
            self._stages[stage] = StageStatus(
                status=word,
                message=message or known["message"],
                error=error,
                started_at=None if word == "waiting" else began,
                finished_at=now if word in ("done", "failed") else None,
            )


def _seen(stage: str, steps: Sequence[StepState]) -> StageStatus:
    """A stage as the journal of its turn shows it."""
    found = [step for step in steps if step.name in STEPS[stage]]
    if not found:
        return _waiting()
    first, last = found[0], found[-1]
    ended = last.status == "done" and last.name == STEPS[stage][-1]
    return StageStatus(
        status="done" if ended else "failed" if last.status == "failed" else "running",
        message="",
        error=last.error,
        started_at=first.started_at.isoformat() if first.started_at else None,
        finished_at=last.finished_at.isoformat() if ended and last.finished_at else None,
    )


def _waiting() -> StageStatus:
    return StageStatus(status="waiting", message="", error=None, started_at=None, finished_at=None)
