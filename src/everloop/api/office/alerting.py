"""Alerts over HTTP: list, show, close, silence."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ConfigDict, Field

from everloop.api.media import wants_page
from everloop.core import spans
from everloop.dashboard import alert as pages
from everloop.flows.alerts import closing, showing, silencing

from .descriptions import PROBLEMS, READING, Shape
from .routes import SENT, do

if TYPE_CHECKING:
    from everloop.flows.project import Project

router = APIRouter(tags=["alerts"])
_PAGE = {
    "content-security-policy": pages.POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "vary": "accept",
}
Named = Annotated[str, Path(description="An alert's id.", max_length=100)]
Silenced = Annotated[str, Path(description="A silence's id.", max_length=100)]
Why = Annotated[str, Field(min_length=1, max_length=500, description="For the history.")]


class Closing(Shape):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"why": "a known holiday"}]})
    why: Why


class Silencing(Shape):
    """Nobody is told of this for a while; alerts are still opened and shown."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"model": "iris", "for": "2h", "why": "the feed is repaired"}]},
    )
    model: str | None = Field(None, min_length=1, max_length=100, description="[all models]")
    subject: str | None = Field(
        None, min_length=1, max_length=200, description="Only findings about this feature or metric."
    )
    span: Annotated[str, Field(pattern=spans.PATTERN, alias="for", description="At most 90d.")]
    why: Why


@router.get("/alerts", responses=READING)
async def list_alerts(
    request: Request,
    model: Annotated[str | None, Query(max_length=100)] = None,
    status: Annotated[Literal["open", "closed", "all"], Query(description="Which ones.")] = "open",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> dict[str, Any]:
    """Alerts, the newest first: what was found, who was told, and why somebody was not (`held`)."""
    chosen = None if status == "all" else status
    found = await do(showing.listed, _project(request), model, chosen, limit)
    return {"alerts": [asdict(alert) for alert in found], "count": len(found)}


@router.get(
    "/alerts/{alert_id}",
    response_model=None,
    responses={**READING, 200: {"content": {"application/json": {}, "text/html": {}}}},
)
async def show_alert(alert_id: Named, request: Request, response: Response) -> dict[str, Any] | HTMLResponse:
    """An alert: everything that was found, the expected damage, what was done or is proposed. Browsers get a
    page (`Accept: text/html`)."""
    project = _project(request)
    found = await do(showing.find, project, alert_id)
    if not wants_page(request.headers.get("accept", "")):
        response.headers["vary"] = "accept"
        return asdict(found)
    content = await do(lambda: pages.render(found, showing.timeline(project, found)))
    return HTMLResponse(content, headers=_PAGE)


@router.post("/alerts/{alert_id}/close", dependencies=SENT, responses=PROBLEMS)
async def close_alert(alert_id: Named, body: Closing, request: Request) -> dict[str, Any]:
    """Close an alert by hand. What is found afterwards opens another."""
    return asdict(await do(closing.close, _project(request), alert_id, body.why))


@router.get("/silences", responses=READING)
async def list_silences(
    request: Request,
    every: Annotated[bool, Query(description="Also those that have ended.")] = False,
) -> dict[str, Any]:
    """The silences that hold."""
    found = await do(silencing.listed, _project(request), every=every)
    return {"silences": [asdict(silence) for silence in found], "count": len(found)}


@router.post("/silences", status_code=201, dependencies=SENT, responses=PROBLEMS)
async def silence(body: Silencing, request: Request) -> dict[str, Any]:
    """Tell nobody of a model, or of one of its features or metrics, for a while. `doubt` says where no
    monitor has looked at that feature or metric yet: it may be misspelt."""
    project = _project(request)
    made = await do(
        silencing.silence, project, body.model, spans.seconds(body.span), body.why,
        subject=body.subject,
    )  # fmt: skip
    return {**asdict(made), "doubt": await do(silencing.unknown, project, made)}


@router.delete("/silences/{silence_id}", responses=PROBLEMS)
async def end_silence(silence_id: Silenced, request: Request) -> dict[str, Any]:
    """End a silence before its time."""
    return asdict(await do(silencing.end, _project(request), silence_id))


def _project(request: Request) -> Project:
    project: Project = request.app.state.office.project
    return project
