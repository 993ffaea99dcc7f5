"""The memory of production over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from everloop.core import moments
from everloop.flows.releases import memory

from .descriptions import READING, Moment, Name
from .routes import do

if TYPE_CHECKING:
    from .office import Office

router = APIRouter(tags=["releases"])
Environment = Annotated[str, Query(max_length=100, description="dev, staging, prod, or one of yours.")]


@router.get("/models/{model}/history", responses=READING)
async def model_history(
    model: Name,
    request: Request,
    environment: Annotated[
        str | None, Query(max_length=100, description="Only the releases to this environment.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="The newest ones.")] = 100,
) -> dict[str, Any]:
    """What happened to a model, oldest first: releases, moved weights, verdicts with numbers, approvals,
    rollbacks, by whom and why."""
    office: Office = request.app.state.office
    found = await do(memory.history, office.project, model, environment, limit)
    if not found:
        await do(memory.check_known, office.project, model)
    return {"model": model, "events": [asdict(event) for event in found]}


@router.get("/models/{model}/at", responses=READING)
async def model_at(
    model: Name,
    request: Request,
    time: Moment,
    environment: Environment = "prod",
) -> dict[str, Any]:
    """What served at a moment: versions with their shares, data, runs, commits and gate results, and what was
    known then."""
    office: Office = request.app.state.office
    moment = moments.read(time, office.project.clock.now())
    return asdict(await do(memory.at, office.project, model, moment, environment))


@router.get("/predictions/{prediction_id}/explanation", responses=READING)
async def explanation(
    prediction_id: Annotated[str, Path(max_length=200, description="As it was answered.")], request: Request
) -> dict[str, Any]:
    """From an answer back: what chose the version, its model, run, code and data."""
    office: Office = request.app.state.office
    return asdict(await do(memory.explain, office.project, prediction_id))
