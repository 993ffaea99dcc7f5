"""The stages of a pipeline: six that are parts of a turn, and those that users add."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from everloop.core.documents import load
from everloop.core.errors import Invalid, nearest
from everloop.core.runs import Run
from everloop.data import frames
from everloop.flows import data, models, runs
from everloop.flows.project import Project

StageFunction = Callable[["StageContext"], Any]


class PipelineStage:
    """Names of stages. A subclass adds its own: a constant with the stage's name, and a method of that name
    that does it, given a StageContext::

        class MyStages(PipelineStage):
            PUBLISH = "publish"

            def publish(self, context):
                return send(context.model())
    """

    DATA_COLLECTION = "data_collection"
    DATA_PREPROCESSING = "data_preprocessing"
    TRAINING = "training"
    VALIDATION = "validation"
    DEPLOYMENT = "deployment"
    MONITORING = "monitoring"


STEPS = {
    PipelineStage.DATA_COLLECTION: ("version",),
    PipelineStage.DATA_PREPROCESSING: ("validate",),
    PipelineStage.TRAINING: ("decide", "train", "track"),
    PipelineStage.VALIDATION: ("gate",),
    PipelineStage.DEPLOYMENT: ("register",),
    PipelineStage.MONITORING: ("record",),
}
"""The steps of a turn that each stage takes, in order."""

STAGE_OF = {step: stage for stage, steps in STEPS.items() for step in steps}


@dataclass(frozen=True)
class StageContext:
    """What a stage of the user's is given: the turn so far. ``results`` are of the stages before it."""

    project: Project = field(repr=False)
    model_name: str
    tenant_id: str
    turn_id: str | None
    results: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]] = field(repr=False)

    @property
    def data_version(self) -> str | None:
        """The version that this turn works on; None before data_collection."""
        return str(self.steps["version"]["data_version"]) if "version" in self.steps else None

    def data(self) -> pd.DataFrame:
        """The table of this turn. Raises Invalid before data_collection."""
        if self.data_version is None:
            raise Invalid("This turn has no data yet.", remedy="Run the stage 'data_collection' before.")
        version = data.find(self.project, self.data_version)
        frame: pd.DataFrame = frames.convert(data.load(self.project, version), "pandas")
        return frame

    def model(self) -> Any:
        """The fitted pipeline that this turn trained, else the champion. Raises UnknownModel."""
        if "train" in self.steps:
            return runs.load_model(self.project, load(Run, self.steps["train"]["run"]))
        return models.load(self.project, self.model_name)


def own_function(stage: str) -> StageFunction | None:
    """What a subclass of PipelineStage does for its ``stage``: of the newest one that says so."""
    for kind in reversed(list(_below(PipelineStage))):
        if stage in _constants(kind) and callable(getattr(kind, stage, None)):
            function: StageFunction = getattr(kind(), stage)
            return function
    return None


def missing(stage: str, known: Mapping[str, Any]) -> Invalid:
    """The error for a stage that nobody can run."""
    for kind in _below(PipelineStage):
        if stage in _constants(kind):
            return Invalid(
                f"The stage '{stage}' of {kind.__name__} has no implementation.",
                remedy=f"Write a method '{stage}(self, context)' in {kind.__name__}, or call "
                f"pipeline.add_stage('{stage}', function).",
            )
    return Invalid(
        f"There is no stage '{stage}'.",
        remedy=f"{nearest(str(stage), known)} Your own ones come with pipeline.add_stage(name, function).",
    )


def result_of(stage: str, steps: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a stage of the turn gives, from the results of its steps; ``skipped`` says why there was nothing
    for it to do."""
    if stage == PipelineStage.DATA_COLLECTION:
        return {name: steps["version"][name] for name in ("data_version", "rows", "new")}
    if stage == PipelineStage.DATA_PREPROCESSING:
        return {name: steps["validate"][name] for name in ("passed", "rows", "findings")}
    decision, decided = steps["decide"]["decision"], steps["decide"]
    if stage == PipelineStage.TRAINING:
        made = steps["train"]["run"] if "train" in steps else None
        run = (
            {"run_id": made["run_id"], "metrics": made["metrics"]}
            if made
            else {"metrics": decided["metrics"]}
        )
        told = {"decision": decision["action"], "reason": decision["reason"]}
        return {"retrained": made is not None, **told, **run}
    if "train" not in steps:
        nothing = {"skipped": f"nothing was trained: {decision['reason']}"}
        if stage != PipelineStage.MONITORING:
            return nothing
        return {"model_version": decided["champion"], "metrics": decided["metrics"], **nothing}
    if stage == PipelineStage.VALIDATION:
        return {name: value for name, value in steps["gate"]["verdict"].items() if name != "format"}
    registered, promoted = steps["register"]["version"], steps["register"]["promoted"]
    version = registered["version"]
    if stage == PipelineStage.DEPLOYMENT:
        return {"model_version": version, "promoted": promoted, "reason": registered["tags"]["gate"]}
    return {"model_version": version, "metrics": dict(registered["metrics"])}


def _below(kind: type[PipelineStage]) -> Iterator[type[PipelineStage]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _constants(kind: type[PipelineStage]) -> set[str]:
    return {value for name, value in vars(kind).items() if isinstance(value, str) and name.isupper()}
