"""What hangs on the champion in production: the alias, the reference of later data, the contract."""

from __future__ import annotations

from everloop.core.models import ModelVersion
from everloop.store import datasets, models
from everloop.store.database import Tx
from everloop.store.times import to_text
from everloop.validation import inference

from . import documents
from .project import Project


def install(tx: Tx, project: Project, version: ModelVersion) -> None:
    """Let a version be the champion, here and in MLflow's registry."""
    now = to_text(project.clock.now())
    documents.point(tx, project, version.model, "champion", version.version)
    if models.list_aliases(tx, version.model).get("challenger") == version.version:
        documents.point(tx, project, version.model, "challenger", None)
    if version.dataset:  # else it was made outside, from data that are not here
        reference = datasets.find_version(tx, version.data_version, version.dataset)
        models.set_reference(tx, version.model, version.data_version, reference.statistics, now)
        datasets.add_contract(tx, version.model, inference.infer(reference), now)
