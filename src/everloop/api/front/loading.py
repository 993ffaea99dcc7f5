"""A plan -> models in memory. What is there already stays; what fails leaves what served before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from everloop.adapters.onnx.session import Compiled
from everloop.api.channel import Message
from everloop.core.documents import load
from everloop.core.errors import MLOpsError, Unavailable
from everloop.core.releases import Traffic
from everloop.core.serving import Form
from everloop.serving.desk import CONSTANT, FALLBACK, Served, constant
from everloop.serving.feedback import Feedback
from everloop.serving.inputs import InputPolicy

from .tables import Shown, Table, table_of

Native = tuple[str, str, bytes, Form]  # key, format, content, form


@dataclass
class Loaded:
    """The versions of each model that could be loaded; why others could not, by ``model@version``; and those
    that a process of their own has to load yet."""

    versions: dict[str, dict[str, Served]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    pending: dict[str, tuple[str, Native]] = field(default_factory=dict)  # with its address


class Loader:
    """Keeps compiled models by the address of their content, and knows which ones the other process has."""

    def __init__(self) -> None:
        self._compiled: dict[str, Compiled] = {}
        self._ready: dict[str, tuple[Any, Served]] = {}  # by model@version, and what it was made of
        self._native: dict[str, str] = {}  # model@version -> address
        self._failed: dict[str, str] = {}  # in the other process, since the newest plan
        self._content: dict[str, bytes] = {}  # of what is pending

    def load(self, message: Message) -> Loaded:
        """Load what a plan asks for and is not in memory. Slow: not for the event loop."""
        loaded = Loaded()
        self._failed = {}
        self._content |= message["data"]
        for model in message["models"]:
            versions = loaded.versions[model["name"]] = {}
            for one in model["versions"]:
                name = f"{model['name']}@{one['version']}"
                try:
                    versions[one["version"]] = self._kept(name, model, one, message["salt"])
                    if one["format"] != "onnx" and self._native.get(name) != one["key"]:
                        content, form = self._content_of(one["key"]), versions[one["version"]].form
                        loaded.pending[name] = one["key"], (name, one["format"], content, form)
                except Exception as error:  # noqa: BLE001 (whatever it was: others are served)
                    said = (
                        error.message if isinstance(error, MLOpsError) else f"{type(error).__name__}: {error}"
                    )
                    loaded.failed[name] = said[:300]
                    versions.pop(one["version"], None)
        names = {
            f"{model['name']}@{one['version']}" for model in message["models"] for one in model["versions"]
        }
        self._ready = {name: kept for name, kept in self._ready.items() if name in names}
        keys = {one["key"]: one["format"] for model in message["models"] for one in model["versions"]}
        self._compiled = {key: kept for key, kept in self._compiled.items() if key in keys}
        self._native = {name: key for name, key in self._native.items() if key in keys}
        self._content = {k: data for k, data in self._content.items() if keys.get(k, "onnx") != "onnx"}
        return loaded

    @property
    def natives(self) -> frozenset[str]:
        """The versions that the other process has."""
        return frozenset(self._native)

    def settle(self, name: str, key: str, problem: str | None) -> None:
        """The other process has loaded a version, or could not; then it is tried again with the next plan."""
        if problem is None:
            self._native[name] = key
        else:
            self._failed[name] = problem

    def table(self, message: Message, loaded: Loaded, before: Table) -> Table:
        """The table of a plan, without what failed, and without what is not loaded yet where another version
        can answer meanwhile; else requests wait for it."""
        models = {}
        for model in message["models"]:
            name = model["name"]
            versions, known = dict(loaded.versions[name]), before.models.get(name)
            for one in model["versions"]:
                full = f"{name}@{one['version']}"
                if full in loaded.pending and self._native.get(full) == one["key"]:
                    del loaded.pending[full]
                elif full in loaded.pending and full in self._failed:
                    loaded.failed[full] = self._failed[full]
                    del loaded.pending[full]
                waits = full in loaded.pending and known is not None and known.default != one["version"]
                if waits or full in loaded.failed:
                    versions.pop(one["version"], None)
            if not versions and model["constant"] and known is None:
                versions = _constant(model, message["salt"])
            shown = _shown(model, versions, known, waits=f"{name}@{model['default']}" in loaded.pending)
            if shown is not None:
                models[name] = shown
        return table_of(models, message["default"])

    def _content_of(self, key: str) -> bytes:
        if key not in self._content:
            raise Unavailable("Its content has not arrived yet.")
        return self._content[key]

    def _kept(self, name: str, model: Mapping[str, Any], one: Mapping[str, Any], salt: bytes) -> Served:
        """The version as it is in memory already, where nothing about it is new."""
        told = (model["inputs"], model["mask"], model["feedback"], dict(one), salt)
        known = self._ready.get(name)
        if known is None or known[0] != told:
            known = self._ready[name] = told, self._served(model, one, salt)
        return known[1]

    def _served(self, model: Mapping[str, Any], one: Mapping[str, Any], salt: bytes) -> Served:
        served, key = _described(model, one, salt), one["key"]
        if one["format"] != "onnx":
            return served
        compiled = self._compiled.get(key) or Compiled(self._content_of(key))
        _prove(compiled, served.form)
        self._compiled[key] = compiled
        return replace(served, run=compiled.run_matrix)


def _described(model: Mapping[str, Any], one: Mapping[str, Any], salt: bytes) -> Served:
    """A version without what runs it."""
    return Served(
        name=model["name"],
        version=one["version"],
        variant=one["variant"],
        form=load(Form, one["form"]),
        run=None,
        policy=InputPolicy(**model["inputs"]),
        masked=model["mask"],
        salt=salt,
        feedback=_feedback(model["feedback"]),
    )


def _constant(model: Mapping[str, Any], salt: bytes) -> dict[str, Served]:
    """The constant, which checks what is asked as the default would that cannot be loaded."""
    known = [*model["versions"], *([model["absent"]] if model["absent"] else [])]
    one = next((each for each in known if each["version"] == model["default"]), None)
    if one is None:
        return {}
    lost = _described(model, one, salt)
    fields = tuple(replace(each, levels=each.levels or ()) for each in lost.form.fields)  # a matrix of codes
    form = replace(lost.form, layout="matrix", fields=fields)

    def run(X: np.ndarray) -> np.ndarray:
        return constant(form, model["constant"], len(X))

    return {CONSTANT: replace(lost, version=CONSTANT, variant=FALLBACK, form=form, run=run)}


def _feedback(told: Mapping[str, Any] | None) -> Feedback | None:
    if told is None:
        return None
    return Feedback(None if told["answers"] == "all" else told["answers"], told["hold_out"])


def _shown(
    model: Mapping[str, Any], versions: dict[str, Served], known: Shown | None, *, waits: bool
) -> Shown | None:
    """A model with the versions that could be loaded. Where its default could not, the one that serves stands
    in for it, or in a worker that has just begun the one that serves elsewhere, or a fallback. While the
    default only ``waits`` to be loaded, what serves goes on as it is."""
    traffic = load(Traffic, model["traffic"]) if model["traffic"] else None
    default = model["default"]
    wanted = traffic.champion if traffic else default
    if default not in versions:
        if known is not None and known.default in known.versions:
            default = known.default
            versions = {default: known.versions[default], **versions}
            if waits:
                traffic, wanted = known.traffic, known.wanted or default
        else:
            default = next((one for one in (*model["instead"], CONSTANT) if one in versions), default)
    if not versions:
        return None
    fallback, answer = model["fallback"], model["constant"]
    return Shown(
        model["name"], versions, default, fallback if fallback in versions and fallback != default else None,
        tuple(answer) if answer else None, traffic, model["rescued"],
        wanted if wanted != default else "",
    )  # fmt: skip


def _prove(compiled: Compiled, form: Form) -> None:
    """Run it once: what cannot answer is not loaded."""
    width = sum(4 if field.kind.startswith("time") else 1 for field in form.fields)
    answer = compiled.run_matrix(np.zeros((1, width)))
    wanted = (1, len(form.classes)) if form.task == "classification" else (1,)
    if answer.shape != wanted:
        raise Unavailable(f"The compiled model answers with the shape {answer.shape}, not {wanted}.")
