"""The gate once more, for a new version that waited while the champion became another one."""

from __future__ import annotations

from everloop.core.decisions import GateVerdict
from everloop.core.documents import load
from everloop.core.errors import NotFound
from everloop.core.loop import DecisionRecord
from everloop.flows import gating
from everloop.flows.material import Material
from everloop.flows.project import Project
from everloop.settings import Model
from everloop.store import turns


def judge(project: Project, record: DecisionRecord) -> tuple[str | None, GateVerdict]:
    """The champion of now, and the verdict on the version beside it, on the data and by the settings of the
    turn that made it. Raises NotFound and Corrupt where what the turn left is gone."""
    turn_id = record.turn_id or ""
    with project.store.reading() as tx:
        plan = turns.find_turn(tx, turn_id)["plan"]
        versioned, trained = (turns.finished_step(tx, turn_id, name) for name in ("version", "train"))
    if versioned is None or trained is None:
        raise NotFound(f"What the turn {turn_id} has trained is not known any more.")
    material = Material(project, Model.model_validate(plan["model"]))
    material.version_id = versioned["result"]["data_version"]
    judged = gating.judge(material, trained["result"], fresh=True)
    return judged["champion"], load(GateVerdict, judged["verdict"])
