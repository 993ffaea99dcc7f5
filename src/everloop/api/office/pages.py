"""Pages for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from everloop.dashboard import live
from everloop.flows import serving

from . import metrics

if TYPE_CHECKING:
    from .office import Office

router = APIRouter(include_in_schema=False)


@router.get("/")
async def start() -> RedirectResponse:
    return RedirectResponse("/dashboard")


@router.get("/dashboard", include_in_schema=True, tags=["pages"], response_class=HTMLResponse)
async def dashboard(request: Request) -> HTMLResponse:
    """What happens now: traffic, latency, versions, recent predictions."""
    office: Office = request.app.state.office
    return HTMLResponse(live.page(office.project.settings.project))


@router.get("/dashboard/data")
async def dashboard_data(request: Request) -> dict[str, Any]:
    """What the page shows, as JSON."""
    office: Office = request.app.state.office
    counts = await office.counted()
    found = await run_in_threadpool(serving.overview.overview, office.project)
    return {**found, "metrics": metrics.document(office, counts, request.app.state.host)}
