"""The loop over HTTP: where it is, what it decided, approvals, and what other systems tell it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict, Field

from everloop.flows.loop import advancing, asking, pausing, showing

from .descriptions import PROBLEMS, READING, Shape
from .routes import SENT, do

if TYPE_CHECKING:
    from everloop.flows.project import Project

router = APIRouter(tags=["retraining"])
Named = Annotated[str, Path(description="A decision's id.", max_length=100)]
Text = Annotated[str, Field(max_length=500)]
Word = Annotated[str, Field(min_length=1, max_length=200)]


class PausingLoop(Shape):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"model": "iris", "reason": "the feed is moved"}]}
    )
    model: Word | None = Field(None, description="[all models]")
    reason: Text = Field("", description="For the history.")


class ApprovingDecision(Shape):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "owner"}]})
    role: Text = Field("", description="As whom.")
    reason: Text = Field("", description="For the history.")


class RejectingDecision(Shape):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "a holiday week"}]})
    reason: Annotated[str, Field(min_length=1, max_length=500, description="For the history.")]


class TellingTrigger(Shape):
    """A CloudEvent (1.0, structured JSON), or what it needs of one: the same `source` and `id` count once."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {"specversion": "1.0", "type": "warehouse.loaded", "source": "warehouse", "id": "2026-11-21"}
            ]
        },
    )
    id: Word
    source: Word
    type: Word = "told"
    reason: Text = ""


@router.get("/loop", responses=READING)
async def show_loop(
    request: Request, model: Annotated[str | None, Query(max_length=100)] = None
) -> dict[str, Any]:
    """Where the loop of each model is: what waits, what is under way, what the rules leave, what was decided
    last."""
    found = await do(showing.standings, _project(request), model, counted=True)
    return {"models": [asdict(each) for each in found]}


@router.post("/loop/pause", dependencies=SENT, responses=PROBLEMS)
async def pause_loop(body: PausingLoop, request: Request) -> dict[str, Any]:
    """Let the loop do nothing by itself; what is asked for is still done."""
    return {"paused": await do(pausing.pause, _project(request), body.model, body.reason)}


@router.post("/loop/resume", dependencies=SENT, responses=PROBLEMS)
async def resume_loop(body: PausingLoop, request: Request) -> dict[str, Any]:
    """Let the loop go on."""
    return {"resumed": await do(pausing.resume, _project(request), body.model)}


@router.get("/decisions", responses=READING)
async def list_decisions(
    request: Request,
    model: Annotated[str | None, Query(max_length=100)] = None,
    action: Literal["retrain", "refuse", "defer"] | None = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> dict[str, Any]:
    """What was decided about retraining, the newest first: the evidence, and what came of it."""
    found = await do(showing.decisions, _project(request), model, action, limit)
    return {"decisions": [asdict(each) for each in found], "count": len(found)}


@router.get("/decisions/{decision_id}", responses=READING)
async def show_decision(decision_id: Named, request: Request) -> dict[str, Any]:
    """A decision: what called for it, all that was looked at, what would change it, what came of it."""
    return asdict(await do(showing.find, _project(request), decision_id))


@router.post("/decisions/{decision_id}/approve", dependencies=SENT, responses=PROBLEMS)
async def approve_decision(decision_id: Named, body: ApprovingDecision, request: Request) -> dict[str, Any]:
    """Approve the step that a retraining waits at (`retraining.approve`); it goes on."""
    found = await do(advancing.approve, _project(request), decision_id, body.role, body.reason)
    request.app.state.office.jobs_wait()
    return asdict(found)


@router.post("/decisions/{decision_id}/reject", dependencies=SENT, responses=PROBLEMS)
async def reject_decision(decision_id: Named, body: RejectingDecision, request: Request) -> dict[str, Any]:
    """Say no at the step that a retraining waits at; it ends there."""
    return asdict(await do(advancing.reject, _project(request), decision_id, body.reason))


@router.post("/triggers/{model}", status_code=202, dependencies=SENT, responses=PROBLEMS)
async def tell_trigger(
    model: Annotated[str, Path(max_length=100)], body: TellingTrigger, request: Request, response: Response
) -> dict[str, Any]:
    """Another system says that there may be something to learn; the loop considers it. Follow it at
    `/jobs/{job_id}`, and what was decided at `/decisions`."""
    said = body.reason or f"{body.source} says {body.type} ({body.id})"
    job = await do(
        asking.ask, _project(request), model, kind="webhook", reason=said, key=f"{body.source}/{body.id}"
    )
    request.app.state.office.jobs_wait()
    response.headers["Location"] = f"/jobs/{job.job_id}"
    return {"status": job.status, "job_id": job.job_id, "model": model}


def _project(request: Request) -> Project:
    project: Project = request.app.state.office.project
    return project
