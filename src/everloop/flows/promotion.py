"""Make a version the champion, in the transaction of whoever decided it."""

from __future__ import annotations

from everloop.core.models import ModelVersion
from everloop.store import datasets, history, models
from everloop.store.database import Tx
from everloop.store.times import to_text
from everloop.validation import inference

from . import documents
from .project import Project


def promote(tx: Tx, project: Project, version: ModelVersion, reason: str, *, by_hand: bool = False) -> None:
    """Make a version the champion: alias, reference, contract, history and MLflow, all or nothing."""
    now = project.clock.now()
    before = models.champion(tx, version.model)
    documents.point(tx, project, version.model, "champion", version.version)
    if models.list_aliases(tx, version.model).get("challenger") == version.version:
        documents.point(tx, project, version.model, "challenger", None)
    if version.dataset:  # else it was made outside, from data that are not here
        reference = datasets.find_version(tx, version.data_version, version.dataset)
        models.set_reference(tx, version.model, version.data_version, reference.statistics, to_text(now))
        datasets.add_contract(tx, version.model, inference.infer(reference), to_text(now))
    history.append(
        tx,
        version.model,
        "promoted",
        f"{version.model}@{version.version} is champion"
        + (f" after {before.version}" if before else "")
        + (f", by hand: {reason}" if by_hand else ""),
        at=now,
        by=project.user,
        details={
            "version": version.version,
            "previous": before.version if before else None,
            "reason": reason,
        },
    )
