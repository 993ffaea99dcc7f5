"""The loop over HTTP: where it is, what it decided, approvals, and what other systems tell it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import ConfigDict, Field

from everloop.api.media import wants_page
from everloop.core.ids import random_bytes
from everloop.dashboard import loop as pages
from everloop.flows.loop import advancing, asking, course, pausing, showing

from .descriptions import PROBLEMS, READING, SAYS, Shape
from .events import DESCRIBED, TellingTrigger, Word, event
from .routes import KEPT, SENT, do

if TYPE_CHECKING:
    from everloop.core.loop import DecisionRecord
    from everloop.flows.project import Project

router = APIRouter(tags=["retraining"])
MOST_DRAWN = 4  # models with their course on the page of all of them
Named = Annotated[str, Path(description="A decision's id.", max_length=100)]
EITHER: dict[int | str, Any] = {
    **READING,
    200: {"content": {"application/json": {}, "text/html": {}}},
}
_PAGE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "vary": "accept",
}
Text = Annotated[str, Field(max_length=500)]


class PausingLoop(Shape):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"model": "iris", "reason": "the feed is moved"}]}
    )
    model: Word | None = Field(None, description="[all models]")
    reason: Text = Field("", description="For the history.")


class ApprovingDecision(Shape):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "owner"}]})
    role: Annotated[str, Field(pattern=SAYS, max_length=500)] = Field("", description="As whom.")
    reason: Text = Field("", description="For the history.")


class RejectingDecision(Shape):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "a holiday week"}]})
    reason: Annotated[str, Field(pattern=SAYS, max_length=500, description="For the history.")]


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
    """Let the loop go on; what was told while it was paused is considered."""
    changed = await do(pausing.resume, _project(request), body.model)
    request.app.state.office.jobs_wait()
    return {"resumed": changed}


@router.get("/decisions", response_model=None, responses=EITHER)
async def list_decisions(
    request: Request,
    response: Response,
    model: Annotated[str | None, Query(max_length=100)] = None,
    action: Literal["retrain", "refuse", "defer", ""] | None = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> dict[str, Any] | HTMLResponse:
    """What was decided about retraining, the newest first: the evidence, and what came of it; `unreadable`
    are the ids of those that are damaged. Browsers get a page (`Accept: text/html`), with where the loop of
    each model is."""
    project = _project(request)
    found, unreadable = await do(showing.readable, project, model or None, action or None, limit)
    if wants_page(request.headers.get("accept", "")):
        return await _page(
            lambda nonce: _overview(project, found, unreadable, model or None, action or None, limit, nonce)
        )
    response.headers["vary"] = "accept"
    return {"decisions": [asdict(each) for each in found], "count": len(found), "unreadable": unreadable}


@router.get("/decisions/{decision_id}", response_model=None, responses=EITHER)
async def show_decision(
    decision_id: Named, request: Request, response: Response
) -> dict[str, Any] | HTMLResponse:
    """A decision: what called for it, all that was looked at, what would change it, what came of it. Browsers
    get a page (`Accept: text/html`)."""
    project = _project(request)
    found = await do(showing.find, project, decision_id)
    if wants_page(request.headers.get("accept", "")):
        return await _page(
            lambda nonce: pages.render_decision(found, showing.champion(project, found.model), nonce)
        )
    response.headers["vary"] = "accept"
    return asdict(found)


def _overview(
    project: Project,
    found: list[DecisionRecord],
    unreadable: list[str],
    model: str | None,
    action: str | None,
    limit: int,
    nonce: str,
) -> str:
    known = [*project.settings.models]
    shown = [name for name in known if model in (None, name)]
    drawn = {name: course.course(project, name) for name in shown} if len(shown) <= MOST_DRAWN else {}
    return pages.render(
        [each for name in shown for each in showing.standings(project, name, counted=True)],
        {name: each for name, each in drawn.items() if each is not None},
        found,
        unreadable=unreadable,
        models=known if model is None or model in known else [*known, model],
        model=model,
        action=action,
        limit=limit,
        now=project.clock.now(),
        nonce=nonce,
    )


async def _page(made: Callable[[str], str]) -> HTMLResponse:
    nonce = random_bytes(16).hex()
    return HTMLResponse(
        await do(made, nonce), headers={**_PAGE, "content-security-policy": pages.policy(nonce)}
    )


@router.post("/decisions/{decision_id}/approve", dependencies=SENT, responses=PROBLEMS)
async def approve_decision(decision_id: Named, body: ApprovingDecision, request: Request) -> dict[str, Any]:
    """Approve the step that a retraining waits at (`retraining.approve`); it goes on."""
    found = await do(advancing.approve, _project(request), decision_id, body.role, body.reason)
    request.app.state.office.jobs_wait()
    return asdict(found)


@router.post("/decisions/{decision_id}/reject", dependencies=SENT, responses=PROBLEMS)
async def reject_decision(decision_id: Named, body: RejectingDecision, request: Request) -> dict[str, Any]:
    """Say no at the step that a retraining waits at, or to a candidate on trial; it ends there. So does one
    that is damaged, at any step."""
    return asdict(await do(advancing.reject, _project(request), decision_id, body.reason))


@router.post("/triggers/{model}", status_code=202, responses=PROBLEMS, openapi_extra=DESCRIBED)
async def tell_trigger(
    model: Annotated[str, Path(max_length=100)],
    told: Annotated[TellingTrigger, Depends(event)],
    request: Request,
    response: Response,
) -> dict[str, Any]:
    """Another system says that there may be something to learn; the loop considers it. It sends a CloudEvent
    of version 1.0, structured or binary, or what is needed of one as JSON; one a request. Follow it at
    `/jobs/{job_id}`, and what was decided at `/decisions`. While the loop is paused it is kept,
    without a job, and considered when that is resumed."""
    said = told.reason or f"{told.source} says {told.type} ({told.id})"
    job = await do(
        asking.tell, _project(request), model, "webhook", reason=said, key=f"{told.source}/{told.id}"
    )
    if job is None:
        return {"status": "kept", "job_id": None, "model": model, "reason": KEPT}
    request.app.state.office.jobs_wait()
    response.headers["Location"] = f"/jobs/{job.job_id}"
    return {"status": job.status, "job_id": job.job_id, "model": model}


def _project(request: Request) -> Project:
    project: Project = request.app.state.office.project
    return project
