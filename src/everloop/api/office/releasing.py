"""Releases over HTTP: deploy, follow, approve, promote, abort, roll back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ConfigDict, Field

from everloop.core import moments, spans
from everloop.core.releases import Goal, Release, Rule, Strategy, Unit
from everloop.dashboard import release as pages
from everloop.flows import releases
from everloop.flows.releases import deploying, showing
from everloop.flows.releases.planning import Wishes

from .descriptions import PROBLEMS, READING, SAYS, Moment, Shape
from .routes import SENT, do

if TYPE_CHECKING:
    from everloop.flows.project import Project

router = APIRouter(tags=["releases"])
Span = Annotated[str, Field(pattern=spans.PATTERN, examples=["10m"])]
Text = Annotated[str, Field(max_length=500)]
Word = Annotated[str, Field(pattern=SAYS, max_length=100)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Named = Annotated[str, Path(description="A release's id.", max_length=100)]
Model = Annotated[str, Path(description="A model's name.", max_length=100, examples=["iris"])]


class ArmOf(Shape):
    """A version of an A/B test, and its share of the requests."""

    model_config = ConfigDict(extra="forbid")
    version: Word
    share: Annotated[float, Field(gt=0, lt=1)]


class RuleOf(Shape):
    """Requests whose fields have one of these values get an arm."""

    model_config = ConfigDict(extra="forbid")
    when: dict[Word, list[Word]] = Field(min_length=1, max_length=20)
    arm: Word


class Deployment(Shape):
    """What is released, and how. Whatever is left out is as the settings' `release` says."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"model": "iris", "version": "1.0.1", "environment": "staging"},
                {
                    "model": "iris", "version": "1.0.1", "strategy": "canary", "steps": [0.05, 0.25, 0.5],
                    "dwell": "10m", "longest": "7d", "measures": {"accuracy": 0.02}, "hourly": 20_000,
                    "dry_run": True,
                },
            ]
        },
    )  # fmt: skip
    model: Word
    version: Word = Field(description="A number, or an alias such as latest.")
    environment: Word = "prod"
    strategy: Strategy = "direct"
    reason: Text = ""
    dry_run: bool = Field(False, description="Answer with the plan (200) and release nothing.")
    steps: list[Annotated[float, Field(gt=0, le=0.5)]] | None = Field(None, min_length=1, max_length=50)
    dwell: Span | None = Field(None, description="At least so long per step.")
    longest: Span | None = Field(None, description="Inconclusive after so long.")
    measures: dict[Word, Finite] | None = Field(None, description="Each with the harm that is put up with.")
    goal: Goal | None = None
    alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    hourly: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None, description="Units expected an hour [what was seen]."
    )
    label_delay: Span | None = Field(None, description="When labels count as there [learnt].")
    size: Annotated[int, Field(gt=0, le=10**12)] | None = Field(
        None, description="Units of an arm that are agreed on: it ends with them."
    )
    unit: Unit | None = Field(None, description="What an arm is chosen for.")
    arms: dict[Word, ArmOf] = Field(default_factory=dict, max_length=20, description="Of an A/B test.")
    bandit: bool = Field(False, description="Move the split of an A/B test.")
    rules: list[RuleOf] = Field(default_factory=list, max_length=100)
    overrides: dict[Word, Word] = Field(default_factory=dict, description="Arms of testers, by entity.")


class Because(Shape):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "seen enough"}]})
    reason: Text | None = Field(None, description="For the history.")


class Approving(Shape):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "owner"}]})
    role: Word
    note: Text = ""


class GoingBack(Shape):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"to": "1.0.0"}]})
    environment: Word = "prod"
    to: Word | None = Field(None, description="This version [the last good one].")
    at: Moment | None = Field(None, description="What was current then.")
    reason: Text | None = Field(None, description="For the history.")


@router.post(
    "/deployments",
    status_code=201,
    dependencies=SENT,
    responses={**PROBLEMS, 200: {"description": "The plan of a dry run.", "model": dict[str, Any]}},
)
async def deploy(body: Deployment, request: Request, response: Response) -> dict[str, Any]:
    """Release a version to an environment. The answer tells the plan in words: steps, guardrails, and what it
    can detect by when. A plan that cannot finish is refused (403)."""
    project = _project(request)
    release = await do(deploying.prepare if body.dry_run else deploying.deploy, project, _request(body))
    if body.dry_run:
        response.status_code = 200
        return {
            "dry_run": True,
            "release": asdict(release),
            "plan": list(await do(showing.plan, project, release)),
        }
    response.headers["Location"] = f"/releases/{release.release_id}"
    return await _told(project, release)


@router.get("/releases", responses=READING)
async def list_releases(
    request: Request,
    model: Annotated[str | None, Query(max_length=100)] = None,
    environment: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> dict[str, Any]:
    """Releases, the newest first."""
    found = await do(deploying.list_releases, _project(request), model, environment, limit)
    return {"releases": [asdict(release) for release in found], "count": len(found)}


@router.get("/releases/{release_id}", responses=READING)
async def show_release(release_id: Named, request: Request) -> dict[str, Any]:
    """A release: its plan in words, who answers in its environment now, its newest look."""
    project = _project(request)
    return await _told(project, await do(deploying.find, project, release_id))


@router.get("/releases/{release_id}/looks", responses=READING)
async def list_looks(
    release_id: Named, request: Request, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
) -> dict[str, Any]:
    """The newest looks at a release, oldest first: what was seen, each interval and check, the verdict."""
    found = await do(deploying.looks, _project(request), release_id, limit)
    return {"looks": [asdict(look) for look in found], "count": len(found)}


@router.get("/releases/{release_id}/failures", responses=READING)
async def list_failures(
    release_id: Named, request: Request, limit: Annotated[int, Query(ge=1, le=1_000)] = 100
) -> dict[str, Any]:
    """The newest requests of a release that an arm could not answer, or whose inputs it refused, and the
    processes that ended under it; newest first."""
    project = _project(request)
    found = await do(lambda: showing.failures(project, deploying.find(project, release_id), limit))
    return {"failures": [asdict(each) for each in found], "count": len(found)}


@router.get("/releases/{release_id}/results", responses=READING)
async def show_results(release_id: Named, request: Request) -> dict[str, Any]:
    """What came of a release, or comes so far: intervals over time, shares, segments; of a shadow, how its
    answers differ."""
    project = _project(request)
    return asdict(await do(lambda: releases.results.document(project, deploying.find(project, release_id))))


@router.get("/releases/{release_id}/report", response_class=HTMLResponse, responses=READING)
async def show_report(release_id: Named, request: Request) -> HTMLResponse:
    """The results as a page with plots, which needs nothing else."""
    project = _project(request)

    def made() -> str:
        return pages.render(releases.results.document(project, deploying.find(project, release_id)))

    return HTMLResponse(await do(made), headers={"x-content-type-options": "nosniff"})


@router.post("/releases/{release_id}/promote", dependencies=SENT, responses=PROBLEMS)
async def promote(release_id: Named, body: Because, request: Request) -> dict[str, Any]:
    """End a running release by taking its version, whatever its verdict is so far."""
    return await _ended(request, deploying.promote, release_id, body.reason or "promoted over HTTP")


@router.post("/releases/{release_id}/abort", dependencies=SENT, responses=PROBLEMS)
async def abort(release_id: Named, body: Because, request: Request) -> dict[str, Any]:
    """End a release without taking its version."""
    return await _ended(request, deploying.abort, release_id, body.reason or "aborted over HTTP")


@router.post("/releases/{release_id}/approve", dependencies=SENT, responses=PROBLEMS)
async def approve(release_id: Named, body: Approving, request: Request) -> dict[str, Any]:
    """Approve a release that waits; it begins when the role is the one that its environment asks for."""
    return await _ended(request, deploying.approve, release_id, body.role, body.note)


@router.post("/models/{name}/rollback", dependencies=SENT, responses=PROBLEMS)
async def roll_back(name: Model, body: GoingBack, request: Request) -> dict[str, Any]:
    """Go back: a release on its way ends, else the last good version is current again, or the one that is
    named."""
    project = _project(request)
    at = None if body.at is None else moments.read(body.at, project.clock.now())
    before, after = await do(
        deploying.rollback, project, name, body.environment, to=body.to, at=at,
        reason=body.reason or "rolled back over HTTP",
    )  # fmt: skip
    return {"model": name, "environment": body.environment, "before": before, "after": after}


@router.get("/environments", responses=READING)
async def list_environments(request: Request) -> dict[str, Any]:
    """The environments, what a version needs to come there, and what is current of each model."""
    found = await do(showing.places, _project(request))
    return {
        "environments": [
            {
                **asdict(place.environment),
                "rules": showing.rules_words(place.environment),
                "current": {model: asdict(one) for model, one in place.current.items()},
            }
            for place in found
        ]
    }


def _project(request: Request) -> Project:
    project: Project = request.app.state.office.project
    return project


async def _told(project: Project, release: Release) -> dict[str, Any]:
    return asdict(await do(showing.view, project, release))


async def _ended(request: Request, work: Callable[..., Release], *given: Any) -> dict[str, Any]:
    project = _project(request)
    return await _told(project, await do(work, project, *given))


def _request(body: Deployment) -> deploying.Request:
    return deploying.Request(
        spec=f"{body.model}@{body.version}",
        environment=body.environment,
        strategy=body.strategy,
        reason=body.reason,
        arms={name: (arm.version, arm.share) for name, arm in body.arms.items()},
        unit=body.unit,
        rules=tuple(
            Rule({field: tuple(values) for field, values in rule.when.items()}, rule.arm)
            for rule in body.rules
        ),
        overrides=body.overrides,
        wishes=Wishes(
            measures=body.measures,
            goal=body.goal,
            steps=tuple(body.steps) if body.steps else None,
            dwell=_seconds(body.dwell),
            longest=_seconds(body.longest),
            alpha=body.alpha,
            hourly=body.hourly,
            label_delay=_seconds(body.label_delay),
            size=body.size,
            bandit=body.bandit,
        ),
    )


def _seconds(span: str | None) -> float | None:
    return None if span is None else spans.seconds(span)
