"""Environments, and what a version has to have behind it before it may come to one."""

from __future__ import annotations

import shlex

from everloop.core import spans
from everloop.core.errors import NotFound, Refused, nearest
from everloop.core.models import ModelVersion
from everloop.core.releases import ENVIRONMENTS, Environment, environment_name
from everloop.store import releases
from everloop.store.database import Tx

from .project import Project


def names(project: Project) -> list[str]:
    """All environments, the usual ones first."""
    return list(dict.fromkeys([*ENVIRONMENTS, *project.settings.environments]))


def find(project: Project, name: str) -> Environment:
    """An environment by its name; ``production`` is prod. Raises NotFound."""
    wanted, known = environment_name(name), names(project)
    if wanted not in known:
        raise NotFound(f"There is no environment '{name}'.", remedy=nearest(name, [*known, "production"]))
    rules = project.settings.environments.get(wanted)
    if rules is None:
        return Environment(wanted)
    return Environment(wanted, rules.after, spans.seconds(rules.time), rules.validated, rules.approval)


def check(tx: Tx, project: Project, environment: Environment, version: ModelVersion) -> None:
    """Raises Refused for a version that may not come to an environment (yet)."""
    said = f"{version.model}@{version.version} may not come to {environment.name}"
    if environment.validated and version.tags.get("gate_verdict") != "promote":
        why = version.tags.get("gate", "it was never judged")
        raise Refused(
            f"{said}: it did not pass the gate ({why}).",
            remedy=f"Deploy one that did, or set environments.{environment.name}.validated to false.",
        )
    if environment.after is None:
        return
    there = releases.in_force(tx, version.model, environment.after)
    if there is None or there.champion != version.version:
        current = f"{version.model}@{there.champion}" if there else "nothing"
        raise Refused(
            f"{said}: in {environment.after} {current} is current.",
            remedy=f"Deploy it there first: everloop deploy {version.model}@{version.version} "
            f"--env {environment.after}",
        )
    since = releases.champion_since(tx, version.model, environment.after)
    waited = (project.clock.now() - since).total_seconds() if since else 0.0
    if waited < environment.seconds:
        raise Refused(
            f"{said}: it has been in {environment.after} for {spans.words(waited)}, and "
            f"{spans.words(environment.seconds)} are asked for.",
            remedy=f"Wait for {spans.words(environment.seconds - waited)}.",
        )


def approving(environment: Environment, named: str) -> str:
    """Whose approval a release waits for, and how it is given. ``named``: the release's id, or its model."""
    role = shlex.quote(environment.approval or "")
    return (
        f"It waits for the approval of '{environment.approval}': "
        f"everloop release approve {named} --role {role}"
    )
