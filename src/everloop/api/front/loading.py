"""A plan -> models in memory. What is there already stays; what fails leaves what served before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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


class Loader:
    """Keeps compiled models by the address of their content."""

    def __init__(self) -> None:
        self._compiled: dict[str, Compiled] = {}
        self._loaded: set[str] = set()

    def load(self, message: Message, before: Table) -> tuple[Table, dict[str, str], list[Native]]:
        """The table of a plan, what could not be loaded (by ``model@version``) and why, and the models that
        need a process of their own."""
        failed: dict[str, str] = {}
        natives: list[Native] = []
        models: dict[str, Shown] = {}
        data: Mapping[str, bytes] = message["data"]
        for model in message["models"]:
            versions: dict[str, Served] = {}
            for one in model["versions"]:
                try:
                    versions[one["version"]] = self._served(model, one, data, message["salt"], natives)
                except (MLOpsError, ValueError, RuntimeError, KeyError, TypeError) as error:
                    failed[f"{model['name']}@{one['version']}"] = f"{error}"[:300]
            shown = self._shown(model, versions, before)
            if shown is not None:
                models[shown.name] = shown
        wanted = {one["key"] for model in message["models"] for one in model["versions"]}
        self._compiled = {key: kept for key, kept in self._compiled.items() if key in wanted}
        return table_of(models, message["default"]), failed, natives

    def without(self, table: Table, failed: Mapping[str, str]) -> Table:
        """The table without versions that failed."""
        models = {}
        for name, shown in table.models.items():
            versions = {v: one for v, one in shown.versions.items() if f"{name}@{v}" not in failed}
            if versions:
                models[name] = replace(shown, versions=versions)
        return table_of(models, table.default)

    def _shown(self, model: Mapping[str, Any], versions: dict[str, Served], before: Table) -> Shown | None:
        """A model with the versions that could be loaded; one whose default could not keeps the default that
        serves."""
        default = model["default"]
        known = before.models.get(model["name"])
        if default and default not in versions and known is not None and known.default in known.versions:
            default = known.default
            versions = {default: known.versions[default], **versions}
        if not versions:
            return None
        constant = model["constant"]
        return Shown(
            model["name"], versions, default, model["fallback"], tuple(constant) if constant else None
        )

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
            if key not in self._loaded:
                natives.append((f"{model['name']}@{one['version']}", one["format"], data[key], form))
                self._loaded.add(key)
            return served
        compiled = self._compiled.get(key) or Compiled(data[key])
        _prove(compiled, form)
        self._compiled[key] = compiled
        return replace(served, run=compiled.run_columns if form.layout == "columns" else compiled.run_matrix)


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
