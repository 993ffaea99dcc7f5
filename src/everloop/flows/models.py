"""Look at registered models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from everloop.core import documents
from everloop.core.data import DatasetVersion
from everloop.core.decisions import GateVerdict
from everloop.core.errors import UnknownModel, nearest
from everloop.core.models import Lineage, ModelVersion
from everloop.core.runs import Run
from everloop.registry import lineage, versions
from everloop.store import datasets, history, models, turns

from . import runs
from .project import Project


@dataclass(frozen=True)
class Registered:
    """``gate``: the verdict of the turn that made it, where a gate judged it and one version is asked for."""

    version: ModelVersion
    aliases: tuple[str, ...]
    run: Run
    gate: GateVerdict | None = None


def list_models(project: Project, model: str | None = None) -> list[Registered]:
    """Every registered version, oldest first, with the aliases that point to it."""
    with project.store.reading() as tx:
        found = []
        for name in [model] if model else models.registered(tx):
            aliases = models.list_aliases(tx, name)
            for version in models.list_model_versions(tx, name):
                pointing = tuple(sorted(a for a, v in aliases.items() if v == version.version))
                found.append(Registered(version, pointing, models.find_run(tx, version.run_id)))
        known = models.registered(tx)
    if model and not found:
        raise unknown(known, model)
    return found


def find(project: Project, spec: str) -> Registered:
    """``MODEL`` (its champion), ``MODEL@1.2.0``, ``MODEL@latest`` …"""
    name, wanted = versions.split_spec(spec)
    with project.store.reading() as tx:
        known = models.list_model_versions(tx, name)
        if not known:
            raise unknown(models.registered(tx), name)
        aliases = models.list_aliases(tx, name)
        version = versions.resolve(
            wanted or ("champion" if "champion" in aliases else "latest"), known, aliases
        )
        pointing = tuple(sorted(a for a, v in aliases.items() if v == version.version))
        run = models.find_run(tx, version.run_id)
        judged = turns.finished_step(tx, run.turn_id, "gate")
    verdict = documents.load(GateVerdict, judged["result"]["verdict"]) if judged else None
    return Registered(version, pointing, run, verdict)


def load(project: Project, spec: str) -> Any:
    """The fitted pipeline of a version."""
    return runs.load_model(project, find(project, spec).run)


def trace(project: Project, spec: str) -> Lineage:
    """Where a model version comes from: raw file, data version, run, commit, parents, promotions."""
    version = find(project, spec).version
    with project.store.reading() as tx:
        known = models.list_model_versions(tx, version.model)
        made = {run.run_id: run for run in models.list_runs(tx, version.model)}
        data: dict[str, DatasetVersion] = {v.version_id: v for v in datasets.versions(tx, version.dataset)}
        promotions = history.list_events(tx, version.model, kind=lineage.PROMOTED)
        return lineage.lineage(version, known, made, data, promotions)


def unknown(known: Sequence[str], name: str) -> UnknownModel:
    """The error about a model without versions."""
    return UnknownModel(
        f"There is no registered model '{name}'.",
        remedy=nearest(name, known) + (" 'everloop run' trains the first." if not known else ""),
    )
