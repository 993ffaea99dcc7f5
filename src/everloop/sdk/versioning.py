"""Versions of models that were made elsewhere, by the path of their file, for Python."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from everloop.core.errors import WrongType
from everloop.core.models import Lineage, ModelVersion
from everloop.flows import models, outside
from everloop.flows.outside import Origin
from everloop.settings import load_settings
from everloop.wiring import connect

from .places import absolute, close_with, flags_of, store_flags
from .refusals import as_deployment_errors

_DATA = ("data_version", "dataset_version")


class ModelVersioning:
    """Model versions in a database, with where they come from; files lie in the project's folder.

    Every error that its methods raise is a ``DeploymentError``, and also what it is by itself:
    ``FileMissing``, ``Conflict``, ``UnknownVersion`` …

    Args:
        db: a database URL or an SQLAlchemy engine [the database of the project in the working folder].
    """

    @as_deployment_errors
    def __init__(self, db: Any = None, tenant_id: str | None = None) -> None:
        self._project = connect(load_settings(flags=[*flags_of(tenant_id), *store_flags(db)]))
        close_with(self, self._project)

    @as_deployment_errors
    def version_model(
        self,
        model_id: str,
        version: str,
        model_path: str | Path,
        metadata: Mapping[str, Any] | None = None,
        *,
        trust_pickle: bool = True,
    ) -> str:
        """Register the fitted scikit-learn model in a file (.joblib, .pkl, .pickle, .skops) as a version;
        returns its id, MODEL@VERSION.

        Of ``metadata`` numbers become metrics, ``data_version`` or ``dataset_version`` the data version; all
        is kept. A joblib or pickle file runs code when it is read, as by ``joblib.load``: name only files
        that you trust, or refuse them with ``trust_pickle=False``.

        Raises FileMissing, Conflict for a number that is taken, WrongType, Unreadable, Invalid, Refused.
        """
        told = {name: _plain(name, value) for name, value in (metadata or {}).items()}
        model = outside.read_model(self._project, Path(str(absolute(model_path))), trust_pickle=trust_pickle)
        data_version = next((str(told[name]) for name in _DATA if told.get(name)), None)
        metrics = {
            name: value
            for name, value in told.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        tags = {name: str(value) for name, value in told.items() if name not in metrics}
        origin = Origin(data_version=data_version, metrics=metrics, tags=tags)
        made = outside.register(self._project, model_id, model, origin, version=version)
        return f"{made.model}@{made.version}"

    @as_deployment_errors
    def get_version(self, model_id: str, version: str = "latest") -> dict[str, Any]:
        """What is known of a version. Raises UnknownModel, UnknownVersion."""
        return _told(models.find(self._project, f"{model_id}@{version}"))

    @as_deployment_errors
    def list_versions(self, model_id: str) -> list[dict[str, Any]]:
        """Oldest first. Raises UnknownModel."""
        return [_told(found) for found in models.list_models(self._project, model_id)]

    @as_deployment_errors
    def load_model(self, model_id: str, version: str = "latest") -> Any:
        """The fitted model of a version."""
        return models.load(self._project, f"{model_id}@{version}")

    @as_deployment_errors
    def get_lineage(self, model_id: str, version: str = "latest") -> dict[str, Any]:
        """Where a version comes from: data, run, commit, the versions before it, its promotions. Raises
        UnknownModel, UnknownVersion."""
        return _traced(models.trace(self._project, f"{model_id}@{version}"))

    def close(self) -> None:
        self._project.close()


def _plain(name: str, value: Any) -> Any:
    """What can be read again later, in whatever program. Raises WrongType."""
    try:
        json.dumps(value, default=lambda each: each.item() if hasattr(each, "item") else each.isoformat())
    except (AttributeError, TypeError, ValueError) as error:
        raise WrongType(
            f"metadata.{name} is {reprlib.repr(value)}, which cannot be kept.",
            remedy="Give texts, numbers, dates, or lists and mappings of them.",
        ) from error
    return value


def _told(found: models.Registered) -> dict[str, Any]:
    version = found.version
    return {
        "version_id": f"{version.model}@{version.version}",
        "model_id": version.model,
        "version": version.version,
        "aliases": [*found.aliases],
        "metadata": {**version.tags, **version.metrics},
        "metrics": dict(version.metrics),
        "data_version": version.data_version,
        "run_id": version.run_id,
        "parent": version.parent,
        "created_at": version.created_at.isoformat(),
        "created_by": version.created_by,
    }


def _traced(found: Lineage) -> dict[str, Any]:
    version = found.version
    return {
        "version_id": _id(version),
        "model_id": version.model,
        "version": version.version,
        "run_id": version.run_id,
        "estimator": found.run.recipe.estimator if found.run else None,
        "data_version": version.data_version,
        "data": [f"{each.dataset}@{each.version_id}" for each in found.data],
        "source": found.source,
        "git_commit": found.git_commit,
        "parents": [_id(each) for each in found.parents],
        "metadata": {**version.tags, **version.metrics},
        "promotions": [
            {"at": event.at.isoformat(), "by": event.by, "what": event.summary} for event in found.promotions
        ],
        "created_at": version.created_at.isoformat(),
        "created_by": version.created_by,
    }


def _id(version: ModelVersion) -> str:
    return f"{version.model}@{version.version}"
