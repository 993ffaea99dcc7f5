"""The gate once more, for a new version that waited while the champion became another one."""

from __future__ import annotations

import numpy as np

from everloop.core.decisions import GateVerdict
from everloop.core.documents import load
from everloop.core.errors import NotFound
from everloop.core.loop import DecisionRecord
from everloop.core.runs import Run
from everloop.flows import candidates, data, gating
from everloop.flows.material import Material
from everloop.flows.project import Project
from everloop.settings import Model
from everloop.store import turns


def judge(project: Project, record: DecisionRecord) -> tuple[str | None, GateVerdict]:
    """The champion of now, and the verdict on the version beside it, by the settings of the turn that made
    it: on the data of that turn, or on those of the champion where they are newer, since the older ones may
    be of another world. Raises NotFound and Corrupt where what the turn left is gone, Invalid where the
    newer data lack a column."""
    turn_id = record.turn_id or ""
    with project.store.reading() as tx:
        plan = turns.find_turn(tx, turn_id)["plan"]
        versioned, trained = (turns.finished_step(tx, turn_id, name) for name in ("version", "train"))
    if versioned is None or trained is None:
        raise NotFound(f"What the turn {turn_id} has trained is not known any more.")
    model, rows = Model.model_validate(plan["model"]), None
    material = _of(project, model, versioned["result"]["data_version"])
    if (newer := _newer(material)) is not None:
        material = _of(project, model, newer)
        rows = np.flatnonzero(material.labelled & ~material.seen(load(Run, trained["result"]["run"])))
    earlier = candidates.verdicts(project, model, but=turn_id)
    judged = gating.judge(material, trained["result"], fresh=True, rows=rows, earlier=earlier)
    return judged["champion"], load(GateVerdict, judged["verdict"])


def _of(project: Project, model: Model, version_id: str) -> Material:
    material = Material(project, model)
    material.version_id = version_id
    return material


def _newer(material: Material) -> str | None:
    """The champion's data version, where it was registered after that of the material."""
    if material.champion is None or material.champion[1].dataset != material.model.dataset:
        return None
    version = data.find(material.project, material.champion[1].data_version, material.model.dataset)
    return version.version_id if version.created_at > material.version.created_at else None
