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
from everloop.core.serving import Form
from everloop.serving.desk import Served
from everloop.serving.inputs import InputPolicy

from .front import Shown, Table, table_of

Native = tuple[str, str, bytes, Form]  # key, format, content, form


@dataclass
class Loaded:
    """The versions of each model that could be loaded; why others could not, by ``model@version``; and the
    models that a process of their own has to load yet."""

    versions: dict[str, dict[str, Served]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    natives: list[Native] = field(default_factory=list)


class Loader:
    """Keeps compiled models by the address of their content, and knows which ones the other process has."""

    def __init__(self) -> None:
        self._compiled: dict[str, Compiled] = {}
        self._native: dict[str, str] = {}  # model@version -> address

    def load(self, message: Message) -> Loaded:
        """Load what a plan asks for and is not in memory. Slow: not for the event loop."""
        loaded = Loaded()
        data: Mapping[str, bytes] = message["data"]
        for model in message["models"]:
            versions = loaded.versions[model["name"]] = {}
            for one in model["versions"]:
                try:
                    versions[one["version"]] = self._served(model, one, data, message["salt"], loaded.natives)
                except Exception as error:  # noqa: BLE001 (whatever it was: others are served)
                    said = (
                        error.message if isinstance(error, MLOpsError) else f"{type(error).__name__}: {error}"
                    )
                    loaded.failed[f"{model['name']}@{one['version']}"] = said[:300]
        wanted = {one["key"] for model in message["models"] for one in model["versions"]}
        self._compiled = {key: kept for key, kept in self._compiled.items() if key in wanted}
        self._native = {name: key for name, key in self._native.items() if key in wanted}
        return loaded

    def without(self, loaded: Loaded, failed: Mapping[str, str]) -> None:
        """Take out what the other process could not load; it is tried again with the next plan."""
        loaded.failed |= failed
        for name in failed:
            self._native.pop(name, None)
            model, _, version = name.rpartition("@")
            loaded.versions[model].pop(version, None)

    def table(self, message: Message, loaded: Loaded, before: Table) -> Table:
        """The table of a plan."""
        models = {}
        for model in message["models"]:
            shown = _shown(model, loaded.versions[model["name"]], before.models.get(model["name"]))
            if shown is not None:
                models[shown.name] = shown
        return table_of(models, message["default"])

    def _served(
        self, model: Mapping[str, Any], one: Mapping[str, Any], data: Mapping[str, bytes], salt: bytes,
        natives: list[Native],
    ) -> Served:  # fmt: skip
        form = load(Form, one["form"])
        served = Served(
            name=model["name"],
            version=one["version"],
            variant=one["variant"],
            form=form,
            run=None,
            policy=InputPolicy(**model["inputs"]),
            masked=model["mask"],
            salt=salt,
        )
        key = one["key"]
        if one["format"] != "onnx":
            name = f"{model['name']}@{one['version']}"
            if self._native.get(name) != key:
                natives.append((name, one["format"], _content(data, key), form))
                self._native[name] = key
            return served
        compiled = self._compiled.get(key) or Compiled(_content(data, key))
        _prove(compiled, form)
        self._compiled[key] = compiled
        return replace(served, run=compiled.run_columns if form.layout == "columns" else compiled.run_matrix)


def _shown(model: Mapping[str, Any], versions: dict[str, Served], known: Shown | None) -> Shown | None:
    """A model with the versions that could be loaded. Where its default could not, the one that serves goes
    on, or in a worker that has just begun the one that serves elsewhere, or its fallback."""
    default = model["default"]
    if default not in versions:
        if known is not None and known.default in known.versions:
            default = known.default
            versions = {default: known.versions[default], **versions}
        else:
            default = next((one for one in model["instead"] if one in versions), default)
    if not versions:
        return None
    constant = model["constant"]
    return Shown(model["name"], versions, default, model["fallback"], tuple(constant) if constant else None)


def _content(data: Mapping[str, bytes], key: str) -> bytes:
    if key not in data:
        raise Unavailable("Its content has not arrived yet.")
    return data[key]


def _prove(compiled: Compiled, form: Form) -> None:
    """Run it once: what cannot answer is not loaded."""
    answer: Any
    if form.layout == "columns":
        texts = {field.name for field in form.fields if field.kind == "category"}
        answer = compiled.run_columns(
            {
                field.name: np.array([[""]], dtype=object) if field.name in texts else np.zeros((1, 1))
                for field in form.fields
            }
        )
    else:
        width = sum(4 if field.kind.startswith("time") else 1 for field in form.fields)
        answer = compiled.run_matrix(np.zeros((1, width)))
    wanted = (1, len(form.classes)) if form.task == "classification" else (1,)
    if answer.shape != wanted:
        raise Unavailable(f"The compiled model answers with the shape {answer.shape}, not {wanted}.")
