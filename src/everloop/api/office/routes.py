"""History, labels, training data, retraining and metrics over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from everloop.api.media import is_json, unsupported
from everloop.api.problems import BadRequest
from everloop.core import moments
from everloop.core.errors import NotFound, UnknownModel, nearest
from everloop.core.serving import Prediction
from everloop.flows import serving
from everloop.flows.loop import asking

from . import metrics
from .business import Business
from .descriptions import PROBLEMS, READING, BusinessMetric, Labels, Moment, RetrainRequest, TrainingSample

if TYPE_CHECKING:
    from .office import Office


async def _json(request: Request) -> None:
    """A body is JSON and says so."""
    kind = request.headers.get("content-type", "").encode("latin-1")
    if not is_json(kind):
        raise unsupported(kind)


router = APIRouter()
SENT = [Depends(_json)]
KEPT = "The loop is paused: this is kept, and considered when the loop is resumed."
T = TypeVar("T")
_business = Business()


def _office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


async def do(work: Callable[..., T], *given: Any, **named: Any) -> T:
    """Database work, beside the loop."""
    return await run_in_threadpool(work, *given, **named)


def _model(office: Office, asked: str | None) -> str:
    """The model that is asked for, or the default one."""
    name = asked or (office.plan.default if office.plan else "")
    if not name:
        raise NotFound("There is no model yet.", remedy="Train one with 'everloop run'.")
    return name


def _check_known(office: Office, model: str | None) -> None:
    """Where nothing is found of a model: whether there is one of that name. Raises UnknownModel."""
    known = [
        *office.project.settings.models,
        *(one.name for one in (office.plan.models if office.plan else ())),
    ]
    if model is not None and model not in known:
        raise UnknownModel(f"There is no model '{model}'.", remedy=nearest(model, known))


@router.post("/labels", dependencies=SENT, tags=["labels"], responses=PROBLEMS)
async def add_labels(body: Labels, request: Request) -> dict[str, Any]:
    """Tell the true outcomes of predictions: late, corrected, in part or in bulk.

    Each label has a status of its own: new, corrected, unchanged, unmatched (no such prediction is recorded
    yet: kept, and joined when it comes) or invalid (not kept). Where all are invalid, the request is.
    """
    office = _office(request)
    items = [serving.labels.LabelItem(one.prediction_id, one.label, one.at) for one in body.labels]
    outcome = await do(serving.labels.add, office.project, items)
    if outcome.counts.get("invalid") == len(items):
        raise _no_label(items, outcome.results)
    return {
        "counts": outcome.counts,
        "results": [
            {"prediction_id": one.prediction_id, "status": one.status}
            | ({"error": str(one.error)} if one.error else {})
            for one in outcome.results
        ],
    }


def _no_label(
    items: Sequence[serving.labels.LabelItem], results: Sequence[serving.labels.LabelResult]
) -> BadRequest:
    """Who only looks at the status must not take labels for kept of which none was."""
    wrong = [
        {"field": f"labels.{place}", "value": f"{item.label!r}"[:80], "reason": _within(one.error.message)}
        for place, (item, one) in enumerate(zip(items, results, strict=True))
        if one.error
    ]
    remedy = next((one.error.remedy for one in results if one.error), "")
    return BadRequest(wrong, remedy=remedy)


def _within(sentence: str) -> str:
    return f"{sentence[:1].lower()}{sentence[1:].rstrip('.')}"


@router.get("/labels/maturity", tags=["labels"], responses=READING)
async def label_maturity(
    request: Request,
    model: Annotated[str | None, Query(max_length=100, description="[the default model]")] = None,
    since: Moment = "7d",
    until: Moment = "now",
    by: Literal["day", "hour"] = "day",
) -> dict[str, Any]:
    """How complete the labels of each period are, and how good the predictions with a label were."""
    office = _office(request)
    name = _model(office, model)
    now = office.project.clock.now()
    begin, end = moments.read(since, now), moments.read(until, now)
    found = await do(serving.labels.maturity, office.project, name, begin, end, by=by)
    if not found:
        _check_known(office, model)
    return {"model": name, "periods": [asdict(period) for period in found]}


@router.get("/predictions/history", tags=["predictions"], responses=READING)
async def predictions_history(
    request: Request,
    model: Annotated[str | None, Query(max_length=100)] = None,
    version: Annotated[str | None, Query(max_length=100)] = None,
    variant: Annotated[str | None, Query(max_length=100)] = None,
    since: Moment | None = None,
    until: Moment | None = None,
    request_id: Annotated[str | None, Query(max_length=200)] = None,
    label: Annotated[str | None, Query(max_length=1_000, description="known, missing, or a label")] = None,
    prediction: Annotated[str | None, Query(max_length=1_000)] = None,
    min_confidence: Annotated[float | None, Query(ge=0, le=1)] = None,
    max_confidence: Annotated[float | None, Query(ge=0, le=1)] = None,
    release: Annotated[str | None, Query(max_length=100, description="A release's id.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[str | None, Query(max_length=500, description="`next` of the page before.")] = None,
) -> dict[str, Any]:
    """Predictions with their labels, the newest first, page by page."""
    project = _office(request).project
    begin, end = (moments.read(each, project.clock.now()) if each else None for each in (since, until))
    found, after = await do(
        serving.history.page, project, model=model, version=version, variant=variant,
        since=begin, until=end, request_id=request_id, label=label, prediction=prediction,
        min_confidence=min_confidence, max_confidence=max_confidence, release=release, limit=limit,
        cursor=cursor,
    )  # fmt: skip
    if not found:
        _check_known(_office(request), model)
    return {"history": [_told(one) for one in found], "count": len(found), "next": after}


def _told(one: Prediction) -> dict[str, Any]:
    return asdict(one)


@router.post("/add_training_data", dependencies=SENT, tags=["retraining"], responses=PROBLEMS)
async def add_training_data(body: TrainingSample, request: Request) -> dict[str, Any]:
    """Keep a labelled row for the next retraining, which starts by itself when enough are there; while the
    loop is paused, when that is resumed."""
    office = _office(request)
    name = _model(office, body.model)
    request_id = request.headers.get("x-request-id", "")
    stored = await do(serving.samples.add, office.project, name, body.features, body.target, request_id)
    told = {
        "status": "added",
        "model": name,
        "sample_id": stored.ids[0],
        "samples": stored.count,
        "waiting": stored.waiting,
        "threshold": stored.threshold,
        **({"warnings": stored.warnings} if stored.warnings else {}),
    }
    if stored.due:
        reason = f"{stored.waiting} new samples"
        job = await do(asking.tell, office.project, name, "labels", reason=reason, request_id=request_id)
        if job is None:
            told["retraining"] = KEPT
        else:
            office.jobs_wait()
            told["job_id"] = job.job_id
    return told


@router.post("/trigger_retrain", dependencies=SENT, tags=["retraining"], status_code=202, responses=PROBLEMS)
async def trigger_retrain(body: RetrainRequest, request: Request, response: Response) -> dict[str, Any]:
    """Ask for a retraining; follow it at `/jobs/{job_id}`."""
    office = _office(request)
    name = _model(office, body.model)
    job = await do(
        asking.ask, office.project, name, force=body.force_retrain,
        reason=body.reason or "asked for over HTTP", request_id=request.headers.get("x-request-id", ""),
    )  # fmt: skip
    office.jobs_wait()
    response.headers["Location"] = f"/jobs/{job.job_id}"
    return {"status": job.status, "job_id": job.job_id, "model": name, "job": asdict(job)}


@router.get("/jobs", tags=["retraining"], responses=READING)
async def list_jobs(
    request: Request,
    model: Annotated[str | None, Query(max_length=100)] = None,
    status: Literal["queued", "running", "done", "failed"] | None = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> dict[str, Any]:
    """Retrainings, the newest first."""
    found = await do(serving.jobs.list_jobs, _office(request).project, model, status, limit)
    if not found:
        _check_known(_office(request), model)
    return {"jobs": [asdict(job) for job in found], "count": len(found)}


@router.get("/jobs/{job_id}", tags=["retraining"], responses=READING)
async def show_job(job_id: str, request: Request) -> dict[str, Any]:
    """How far a retraining is, and what came of it."""
    return asdict(await do(serving.jobs.find, _office(request).project, job_id))


@router.get(
    "/metrics",
    tags=["metrics"],
    responses={**READING, 200: {"content": {"text/plain": {}, "application/json": {}}}},
)
async def show_metrics(request: Request) -> Any:
    """Requests, latency (seconds) and use per model; Prometheus' text form for `Accept: text/plain`."""
    accept = request.headers.get("accept", "")
    if "text/plain" in accept or "openmetrics" in accept:
        return await prometheus_metrics(request)
    office = _office(request)
    return metrics.document(office, await office.counted(), request.app.state.host)


@router.get(
    "/prometheus_metrics", tags=["metrics"], response_class=Response,
    responses={**READING, 200: {"content": {"text/plain": {}}}},
)  # fmt: skip
async def prometheus_metrics(request: Request) -> Response:
    """All metrics in Prometheus' text form."""
    office = _office(request)
    counts = await office.counted()
    more = [*_business.metrics(), *await request.app.state.monitored.metrics()]
    content = metrics.text(office, counts, request.app.state.host, more)
    return Response(content, media_type=metrics.MEDIA_TYPE)


@router.post("/business_metrics", dependencies=SENT, tags=["metrics"], responses=PROBLEMS)
async def business_metric(body: BusinessMetric) -> dict[str, str]:
    """Tell a figure of your own; it appears in `/prometheus_metrics` as `everloop_business_NAME`."""
    _business.observe(body.name, body.value, body.kind, body.help, body.labels)
    return {"status": "added", "name": body.name}
