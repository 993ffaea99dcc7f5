"""What goes wrong with the serving of a candidate, told by the server: it ends the release."""

from __future__ import annotations

from dataclasses import replace

from everloop.core.errors import Conflict
from everloop.core.ids import new_id
from everloop.core.releases import Release
from everloop.flows import states
from everloop.flows.project import Project
from everloop.store import failures, releases
from everloop.store.observations import CRASHED
from everloop.store.times import to_text


def unloadable(project: Project, name: str, problem: str) -> Release | None:
    """``MODEL@VERSION`` cannot be loaded by a server: a running release of it is rolled back."""
    model, _, version = name.rpartition("@")
    environment = project.settings.serving.environment
    with project.store.writing() as tx:
        releases.begin(tx, model)
        release = releases.open_release(tx, model, environment)
        concerned = release is not None and release.status == "running" and version != release.against
        if release is None or not concerned or version not in {release.version, *_versions(release)}:
            return None
        try:
            return states.end(tx, project, release, "rolled_back", f"it cannot be loaded: {problem}")
        except Conflict:
            return None


def rolled_out(project: Project, release_id: str) -> None:
    """All workers of a server have the version of a rolling release: it is taken after its probation."""
    now = project.clock.now()
    with project.store.writing() as tx:
        release = releases.find(tx, release_id)
        releases.begin(tx, release.model)
        release = releases.find(tx, release_id)
        if release.status != "running" or release.strategy != "rolling" or release.step:
            return
        there = replace(release, step=1, step_since=now)
        releases.put(tx, there)
        if not release.plan.dwell:
            states.promote(tx, project, there, "all workers have it and answer")


def crashed(project: Project, problem: str, name: str | None = None) -> None:
    """A worker died: written down against the version of each running release of this server's environment.
    Or ``name``, a ``MODEL@VERSION``, ended the process that it runs in: written down for its release."""
    environment = project.settings.serving.environment
    model, _, version = (name or "").rpartition("@")
    now = project.clock.now()
    with project.store.writing() as tx:
        for release in releases.list_releases(
            tx, model or None, environment=environment, statuses=("running",)
        ):
            failures.add(
                tx,
                [
                    (
                        new_id("crash", now), to_text(now), release.model, version or release.version, "",
                        release.release_id, "", CRASHED, "", problem,
                    )
                ],
            )  # fmt: skip


def end(project: Project, release_id: str, problem: str) -> None:
    """Roll a running release back for what went wrong with its candidate."""
    with project.store.writing() as tx:
        release = releases.find(tx, release_id)
        releases.begin(tx, release.model)
        release = releases.find(tx, release_id)
        if release.status == "running":
            states.end(tx, project, release, "rolled_back", problem)


def _versions(release: Release) -> set[str]:
    return {arm.version for arm in release.arms}
