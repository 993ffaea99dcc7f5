"""Monitors over HTTP: what was checked of production, what was found, what they will find."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from everloop.core import moments
from everloop.dashboard import monitoring as pages
from everloop.flows.monitoring import reporting, showing

from .descriptions import READING, Moment
from .routes import do

if TYPE_CHECKING:
    from everloop.flows.project import Project

router = APIRouter(tags=["monitors"])
Model = Annotated[str, Path(max_length=100, description="The model's name.")]
Version = Annotated[str | None, Query(max_length=100, description="Only of this version.")]


@router.get("/monitors", responses=READING)
async def list_monitors(request: Request) -> dict[str, Any]:
    """Each model with the newest check of each version, and its open alerts."""
    return {"models": [asdict(one) for one in await do(showing.overview, _project(request))]}


@router.get("/monitors/{model}", responses=READING)
async def model_checks(
    model: Model,
    request: Request,
    version: Version = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 20,
) -> dict[str, Any]:
    """The checks of a model, the newest window first: all that was looked at in each, and what fired."""
    found = await do(showing.history, _project(request), model, version, limit)
    return {"model": model, "checks": [asdict(one) for one in found]}


@router.get("/monitors/{model}/plan", responses=READING)
async def monitor_plan(
    model: Model,
    request: Request,
    version: Annotated[str | None, Query(max_length=100, description="[the champion]")] = None,
    hourly: Annotated[
        float | None, Query(ge=0, le=1e9, description="Rows an hour [as in the last week].")
    ] = None,
) -> dict[str, Any]:
    """What the monitors of a version will find, by when, and how often they will be wrong."""
    return asdict(await do(_plan, _project(request), model, version, hourly))


@router.get("/monitors/{model}/report", response_class=HTMLResponse, responses=READING)
async def monitor_report(
    model: Model,
    request: Request,
    version: Annotated[str | None, Query(max_length=100, description="[the champion]")] = None,
    until: Moment | None = None,
) -> HTMLResponse:
    """What the monitors of a version found as a page with plots, which needs nothing else; as of the window
    that ended ``until`` then [the newest]."""
    project = _project(request)
    end = moments.read(until, project.clock.now()) if until else None

    def made() -> str:
        return pages.render(reporting.document(project, model, version, end))

    return HTMLResponse(await do(made), headers={"x-content-type-options": "nosniff"})


def _plan(project: Project, model: str, version: str | None, hourly: float | None) -> Any:
    return showing.plan(project, model, showing.version_of(project, model, version), hourly)


def _project(request: Request) -> Project:
    project: Project = request.app.state.office.project
    return project
