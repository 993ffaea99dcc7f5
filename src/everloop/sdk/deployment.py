"""Releases for Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from everloop.core import spans
from everloop.core.errors import Invalid
from everloop.core.releases import Release, Rule
from everloop.flows import serving
from everloop.flows.project import Project
from everloop.flows.releases import deploying, showing
from everloop.flows.releases.planning import Wishes
from everloop.settings import load_settings
from everloop.wiring import connect

from .places import close_with, flags_of, store_flags
from .refusals import as_deployment_errors


class Deployment(TypedDict):
    """A release. ``status`` is planned (a dry run, which has no id), waiting, running, promoted, rolled_back,
    aborted, inconclusive or concluded; ``plan`` says in words what it does and what it can detect;
    ``outcome`` why it ended so."""

    deployment_id: str
    status: str
    model_id: str
    version: str
    environment: str
    strategy: str
    against: str | None
    created_at: str
    created_by: str
    reason: str
    outcome: str
    plan: list[str]


class ModelDeployment:
    """Releases of the models of the project in the working folder.

    Every error that its methods raise is a ``DeploymentError``, and also what it is by itself:
    ``UnknownVersion``, ``Conflict``, ``Refused`` …

    Args:
        db: a database URL or an SQLAlchemy engine [the project's database].
    """

    @as_deployment_errors
    def __init__(self, tenant_id: str | None = None, *, db: Any = None) -> None:
        flags = [*flags_of(tenant_id), *store_flags(db)]
        self._project = connect(load_settings(flags=flags))
        close_with(self, self._project)

    @as_deployment_errors
    def deploy_model(
        self,
        model_id: str,
        version: str,
        environment: str = "prod",
        *,
        strategy: str = "direct",
        reason: str = "",
        steps: Sequence[float] | None = None,
        dwell: str | None = None,
        longest: str | None = None,
        measures: Mapping[str, float] | None = None,
        goal: str | None = None,
        alpha: float | None = None,
        hourly: float | None = None,
        label_delay: str | None = None,
        size: int | None = None,
        unit: str | None = None,
        arms: Mapping[str, tuple[str, float]] | None = None,
        bandit: bool = False,
        rules: Sequence[tuple[Mapping[str, Sequence[str]], str]] = (),
        overrides: Mapping[str, str] | None = None,
        dry_run: bool = False,
    ) -> Deployment:
        """Release a version to an environment (``production`` is prod).

        ``strategy``: direct, blue-green, canary, rolling, shadow or ab. What is left out is as the settings'
        ``release`` says. ``measures``: each with the harm that is put up with. ``hourly``: units expected an
        hour. ``dwell``, ``longest``, ``label_delay``: 10m, 7d. ``size``: units of an arm that are agreed on,
        with which it ends; fewer prove it then (see ``ab_test_size``). ``unit``: request or entity. ``arms``
        of an A/B test: name -> (version, share). ``rules``: ({field: values}, arm). ``overrides``: entity ->
        arm. ``dry_run`` shows the plan and releases nothing.

        Raises UnknownModel, UnknownVersion, Conflict (it is current, or another release is on its way),
        Refused (a rule of the environment, or a plan that cannot finish), Invalid.
        """
        request = deploying.Request(
            spec=f"{model_id}@{version}",
            environment=environment,
            strategy=strategy,
            reason=reason,
            arms=arms or {},
            unit=_one_of("unit", unit, ("request", "entity")),
            rules=tuple(
                Rule({name: tuple(given) for name, given in when.items()}, arm) for when, arm in rules
            ),
            overrides=overrides or {},
            wishes=Wishes(
                measures=measures,
                goal=_one_of("goal", goal, ("no_harm", "better")),
                steps=None if steps is None else tuple(steps),
                dwell=_seconds(dwell),
                longest=_seconds(longest),
                alpha=alpha,
                hourly=hourly,
                label_delay=_seconds(label_delay),
                size=size,
                bandit=bandit,
            ),
        )
        serving.recording.record(self._project)
        release = (deploying.prepare if dry_run else deploying.deploy)(self._project, request)
        return _told(self._project, release)

    @as_deployment_errors
    def get_deployment(self, deployment_id: str) -> Deployment:
        """Where a release is. Raises NotFound."""
        return _told(self._project, deploying.find(self._project, deployment_id))

    @as_deployment_errors
    def list_deployments(
        self, model_id: str | None = None, environment: str | None = None, limit: int = 100
    ) -> list[Deployment]:
        """Newest first."""
        found = deploying.list_releases(self._project, model_id, environment, limit)
        return [_told(self._project, release) for release in found]

    @as_deployment_errors
    def rollback_deployment(self, deployment_id: str, reason: str = "rolled back by hand") -> Deployment:
        """Undo a release: one on its way ends; behind one whose version is current the last good version
        comes back.

        Raises NotFound, Conflict for one that is over or not the newest, DeploymentError where there was
        nothing before it.
        """
        return _told(self._project, deploying.roll_back_release(self._project, deployment_id, reason))

    @as_deployment_errors
    def rollback_model(
        self,
        model_id: str,
        environment: str = "prod",
        *,
        to: str | None = None,
        at: datetime | None = None,
        reason: str = "rolled back by hand",
    ) -> str:
        """Go back to the last good version, to a version, or to what was current at a moment; that version.

        Raises UnknownModel, UnknownVersion, NotFound, Conflict, DeploymentError."""
        return deploying.rollback(self._project, model_id, environment, to=to, at=at, reason=reason)[1]

    @as_deployment_errors
    def approve_deployment(self, deployment_id: str, role: str, note: str = "") -> Deployment:
        """Approve a release that waits; it begins then. Raises Conflict, Refused for another role."""
        return _told(self._project, deploying.approve(self._project, deployment_id, role, note))

    @as_deployment_errors
    def promote_deployment(self, deployment_id: str, reason: str = "promoted by hand") -> Deployment:
        """End a running release by taking its version. Raises Conflict."""
        return _told(self._project, deploying.promote(self._project, deployment_id, reason))

    @as_deployment_errors
    def abort_deployment(self, deployment_id: str, reason: str = "aborted by hand") -> Deployment:
        """End a release without taking its version. Raises Conflict."""
        return _told(self._project, deploying.abort(self._project, deployment_id, reason))

    def close(self) -> None:
        self._project.close()


def _told(project: Project, release: Release) -> Deployment:
    return Deployment(
        deployment_id=release.release_id,
        status=release.status,
        model_id=release.model,
        version=release.version,
        environment=release.environment,
        strategy=release.strategy,
        against=release.against,
        created_at=release.created_at.isoformat(),
        created_by=release.by,
        reason=release.reason,
        outcome=release.outcome,
        plan=list(showing.plan(project, release)),
    )


def _seconds(span: str | None) -> float | None:
    return None if span is None else spans.seconds(span)


def _one_of(name: str, value: str | None, known: tuple[str, ...]) -> Any:
    if value is not None and value not in known:
        raise Invalid(f"{name} is '{value}'.", remedy=f"Say {' or '.join(known)}.")
    return value
