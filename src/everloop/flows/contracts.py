"""What a model's data must be like: look at it, and read it off data anew when they changed on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from everloop.core.contracts import Contract
from everloop.core.errors import Conflict, UnknownVersion
from everloop.settings import Model
from everloop.settings.writing import to_yaml
from everloop.store import datasets, history
from everloop.store.times import to_text
from everloop.validation import inference, settings_form

from . import agreed, data
from .project import Project


@dataclass(frozen=True)
class Asked:
    """A contract, and the ``mapping`` that says the same in settings.

    ``contract`` is None for a schema in Python; ``origin`` names it.
    """

    origin: str
    contract: Contract | None
    mapping: Mapping[str, Any]

    def yaml(self) -> str:
        """What to write under ``contract:`` to have the same in the settings."""
        return to_yaml({"contract": dict(self.mapping)})


def show(project: Project, model: str) -> Asked:
    """The contract that the next turn checks: the settings' own, else the one recorded last, else what the
    newest data version suggests. Raises UnknownVersion when there are no data yet."""
    settings = project.model(model)
    if isinstance(settings.contract, str):
        return Asked(f"python:{settings.contract}", None, {})
    return _asked(agreed.contract(project, model) or inference.infer(_newest(project, settings)))


def infer(project: Project, model: str, version_id: str | None = None) -> Asked:
    """The contract that a data version [the newest] suggests. Changes nothing."""
    settings = project.model(model)
    version = data.find(project, version_id, settings.dataset) if version_id else _newest(project, settings)
    return _asked(inference.infer(version))


def adopt(project: Project, model: str, version_id: str | None = None) -> Asked:
    """Infer a contract and make it the one that the model's data are checked against from now on.

    Raises Conflict where the settings have a contract: theirs would still be the one that counts.
    """
    if project.model(model).contract is not None:
        raise Conflict(
            f"The settings have a contract for '{model}', and that is the one that counts.",
            remedy=f"Change it there; 'everloop contract infer {model} --yaml' shows what the data suggest.",
        )
    asked = infer(project, model, version_id)
    now = project.clock.now()
    with project.locks.hold(f"model/{model}"), project.store.writing() as tx:
        if asked.contract is not None:
            datasets.add_contract(tx, model, asked.contract, to_text(now))
        summary = f"contract read off data version {asked.origin.partition(':')[2][:12]}, by hand"
        details = {"contract": dict(asked.mapping), "origin": asked.origin}
        history.append(tx, model, "agreed", summary, at=now, by=project.user, details=details)
    return asked


def _asked(contract: Contract) -> Asked:
    return Asked(contract.origin, contract, settings_form.contract_to_mapping(contract))


def _newest(project: Project, model: Model) -> Any:
    found = data.list_versions(project, model.dataset)
    if not found:
        raise UnknownVersion(
            f"There are no data of '{model.dataset}' to read a contract off.",
            remedy="'everloop run' or 'everloop data add FILE' registers some.",
        )
    return found[-1]
