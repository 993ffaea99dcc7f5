"""The contract that counts for a model, where one was agreed on."""

from __future__ import annotations

from collections.abc import Mapping

from everloop.core.contracts import Contract
from everloop.store import datasets
from everloop.validation import settings_form

from .project import Project


def contract(project: Project, model: str) -> Contract | None:
    """The settings' own, else the one recorded last. None where there is neither, or a schema in Python."""
    settings = project.settings.models.get(model)
    given = settings.contract if settings else None
    if isinstance(given, str):
        return None
    if isinstance(given, Mapping):
        return settings_form.contract_from_mapping(given)
    with project.store.reading() as tx:
        return datasets.newest_contract(tx, model)
