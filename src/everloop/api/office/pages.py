"""Pages for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from everloop.core.ids import random_bytes
from everloop.dashboard import live

if TYPE_CHECKING:
    from .board import Board
    from .office import Office

router = APIRouter(include_in_schema=False)


@router.get("/")
async def start() -> RedirectResponse:
    return RedirectResponse("/dashboard")


@router.get("/dashboard", include_in_schema=True, tags=["pages"], response_class=HTMLResponse)
async def dashboard(request: Request) -> HTMLResponse:
    """What happens now: traffic, latency, versions, recent predictions."""
    office: Office = request.app.state.office
    nonce = random_bytes(16).hex()
    headers = {
        "content-security-policy": live.policy(nonce),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return HTMLResponse(live.page(office.project.settings.project, nonce), headers=headers)


@router.get("/dashboard/data")
async def dashboard_data(
    request: Request,
    since: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
    model: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """What the page shows, as JSON: the points after ``since``, and the answers of one model over time."""
    board: Board = request.app.state.board
    content = msgspec.json.encode(await board.document(since, model))  # what is no number becomes null
    return Response(content, media_type="application/json", headers={"cache-control": "no-store"})
