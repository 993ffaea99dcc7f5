"""What workers are told to serve. A version whose content is lost or damaged, or that no worker can load,
never takes the place of one that serves."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from everloop.core.documents import dump
from everloop.core.errors import Corrupt, MLOpsError
from everloop.flows.project import Project
from everloop.flows.serving import planning
from everloop.flows.serving.planning import Plan, PlannedModel, PlannedVersion

_ANY = "any"  # the address of an artifact


class Plans:
    """The newest plan: its ``number``, the ``message`` for workers, the ``content`` of each address in it.
    ``problems`` tells why versions are not served, or not by what they were compiled to (``originals``), by
    ``model@version``; ``rolled`` are the releases whose version all workers have taken, one after the
    other."""

    def __init__(self, project: Project) -> None:
        self.plan: Plan | None = None
        self.number = 0
        self.message: dict[str, Any] = {}
        self.content: dict[str, bytes] = {}
        self.problems: dict[str, str] = {}
        self.originals: set[str] = set()
        self.rolled: set[str] = set()
        self._project = project
        self._serving: dict[str, PlannedVersion] = {}  # by model: what answers by default, proven by a worker

    def look(self) -> None:
        """Plan anew, and read what is not in memory. Raises MLOpsError when nothing can be planned."""
        plan = planning.plan(self._project)
        content: dict[str, bytes] = {}
        problems, originals = dict(plan.problems), set[str]()
        models = tuple(self._with_content(model, content, problems, originals) for model in plan.models)
        self.plan = replace(plan, models=models)
        self.content, self.problems, self.originals = content, problems, originals
        self.number += 1
        self.message = {
            "default": plan.default,
            "salt": plan.salt,
            "models": [self._told(model) for model in models],
            "problems": self.shown,
        }

    @property
    def serves_original(self) -> bool:
        """Whether some version is not compiled."""
        models = self.plan.models if self.plan else ()
        return any(version.format != "onnx" for model in models for version in model.versions)

    @property
    def shown(self) -> dict[str, str]:
        """The same problems for all to read: without where artifacts are."""
        place = self._project.artifacts.where(_ANY).removesuffix(_ANY)
        return {name: self.said(name).replace(place, "") for name in self.problems}

    def said(self, name: str) -> str:
        """What is wrong with a version."""
        how = "served by its original" if name in self.originals else "not served"
        return f"{name} is {how}: {self.problems[name]}"

    def fails(self, name: str, problem: str) -> None:
        """No worker can load a version."""
        self.problems[name] = problem
        self.originals.discard(name)

    def _with_content(
        self, model: PlannedModel, content: dict[str, bytes], problems: dict[str, str], originals: set[str]
    ) -> PlannedModel:
        """The model with the versions whose content is there, and with the one that serves now."""
        planned = {version.version: version for version in model.versions}
        serving = self._serving.get(model.name)
        if serving is not None:
            planned.setdefault(serving.version, serving)
        there = []
        for version in planned.values():
            try:
                there.append(self._fetched(version, content))
            except (MLOpsError, OSError) as error:
                name, said = f"{model.name}@{version.version}", _reason(error)
                problems[name] = said
                if version.format == "onnx":
                    with suppress(MLOpsError, OSError):
                        there.append(self._fetched(planning.as_original(version), content))
                        originals.add(name)
                        state = "damaged" if isinstance(error, Corrupt) else "not to be had"
                        problems[name] = f"its compiled form is {state}. {said}"
        names = {version.version for version in there}
        absent = planned.get(model.default) if model.default not in names else None
        return replace(model, versions=tuple(there), absent=absent)

    def _fetched(self, version: PlannedVersion, content: dict[str, bytes]) -> PlannedVersion:
        """The version, when its content is there: then it is in ``content``."""
        found = self.content.get(version.address)
        content[version.address] = planning.content(self._project, version) if found is None else found
        return version

    def serves(self, number: int, serving: Mapping[str, str]) -> None:
        """A worker answers with these versions, by model, where none is asked for."""
        if number != self.number or self.plan is None:
            return
        for model in self.plan.models:
            for version in model.versions:
                if version.version == serving.get(model.name):
                    self._serving[model.name] = version

    def serving(self, model: PlannedModel) -> str:
        """The version that answers where none is asked for."""
        serving = self._serving.get(model.name)
        return serving.version if serving else model.default

    @property
    def unloadable(self) -> dict[str, str]:
        """Of ``problems``, those of versions that a release brings."""
        brought = {
            f"{model.name}@{arm.version}"
            for model in (self.plan.models if self.plan else ())
            if model.traffic is not None
            for arm in model.traffic.arms
            if arm.version != model.traffic.champion
        }
        return {name: problem for name, problem in self.problems.items() if name in brought}

    def rolling(self) -> dict[str, str]:
        """The releases that come to one worker after the other and are not everywhere yet, by the
        ``model@version`` that comes."""
        return {
            f"{model.name}@{arm.version}": model.traffic.release_id
            for model in (self.plan.models if self.plan else ())
            if model.traffic is not None and model.traffic.one_by_one
            for arm in model.traffic.arms
            if model.traffic.release_id not in self.rolled
        }

    def _told(self, model: PlannedModel) -> dict[str, Any]:
        serving = self._serving.get(model.name)
        instead = [serving.version if serving else "", model.fallback or ""]
        return {
            "name": model.name,
            "default": model.default,
            "instead": [version for version in instead if version],
            "fallback": model.fallback,
            "constant": list(model.constant) if model.constant else None,
            "rescued": model.serving.fallback == "previous",
            "traffic": dump(model.traffic) if model.traffic else None,
            "inputs": model.serving.inputs.model_dump(),
            "mask": model.serving.mask,
            "feedback": model.serving.feedback.model_dump() if model.serving.feedback.answers else None,
            "versions": [_told(version) for version in model.versions],
            "absent": _told(model.absent) if model.absent is not None else None,
        }


def _told(version: PlannedVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "variant": version.variant,
        "form": dump(version.form),
        "key": version.address,
        "format": version.format,
    }


def _reason(error: MLOpsError | OSError) -> str:
    return error.message if isinstance(error, MLOpsError) else f"{error.strerror or type(error).__name__}."
