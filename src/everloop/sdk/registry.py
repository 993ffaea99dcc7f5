"""The model registry for Python: register fitted models, load and promote versions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from everloop.core.models import Lineage
from everloop.flows import models, outside
from everloop.flows.outside import Origin
from everloop.flows.releases import deploying, memory
from everloop.flows.releases.memory import Then

from .places import absolute, close_with, first_model, open_place


class VersionEntry(TypedDict):
    """A registered version and the aliases that point to it (champion, challenger)."""

    model: str
    version: str
    aliases: list[str]
    metrics: dict[str, float]
    data_version: str
    run_id: str
    parent: str | None
    created_at: str
    created_by: str
    tags: dict[str, str]


class ModelRegistry:
    """The versions of one model.

    Args:
        folder: where fitted models are [the project's]. A folder that the project's configuration names as
            ``paths.model_registry`` shares the versions that turns have made.
        model: the model's name [the configuration's first].
    """

    def __init__(
        self, folder: str | Path | None = None, *, model: str | None = None, tenant_id: str | None = None
    ) -> None:
        self._project = open_place(folder, "model_registry", tenant_id)
        close_with(self, self._project)
        self.model = first_model(self._project, model)

    def register(
        self,
        model: Any,
        version: str | None = None,
        *,
        metrics: Mapping[str, float] | None = None,
        data_version: str | None = None,
        target: str = "",
        features: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        promote: bool = False,
        trust_pickle: bool = False,
    ) -> str:
        """Register a fitted scikit-learn model, or a file of one; returns its version.

        It becomes the challenger; with ``promote`` the champion, unjudged, as ``promote()`` does it. Without
        ``version`` it gets the next number. Pickle and joblib files run code when they are read, so they need
        ``trust_pickle``. ``features`` names its columns in their order; one that was fitted on arrays knows
        no names, and warns where none are given. Raises WrongType, Invalid for a model that can never answer,
        Conflict for a number that is taken, FileMissing, Refused.
        """
        place = absolute(model)
        if isinstance(place, str):
            model = outside.read_model(self._project, Path(place), trust_pickle=trust_pickle)
        origin = Origin(data_version, metrics or {}, target, features, tags or {})
        reason = "promoted as it was registered" if promote else None
        number = None if version is None else str(version)
        warn = partial(warnings.warn, stacklevel=3)  # at the line that called this
        return outside.register(
            self._project, self.model, model, origin, version=number, promote=reason, warn=warn
        ).version

    def load(self, version: str | None = None) -> Any:
        """The fitted model of a version: a number, ``champion``, ``challenger`` or ``latest`` [the champion,
        while there is none the latest]. Raises UnknownModel, UnknownVersion, Corrupt."""
        return models.load(self._project, self._spec(version))

    def get(self, version: str | None = None) -> VersionEntry:
        """What is known of a version."""
        return _entry(models.find(self._project, self._spec(version)))

    def latest(self) -> VersionEntry:
        """The version with the highest number. Raises UnknownModel while there is none."""
        return self.get("latest")

    def promote(self, version: str, reason: str = "promoted by hand") -> VersionEntry:
        """Release a version to production directly; recorded with who and why. Where an approval is asked for
        it becomes champion when that is given. Raises Conflict when it is champion already, Refused by the
        environment's rules."""
        deploying.deploy(self._project, deploying.Request(self._spec(version), reason=reason))
        return self.get(version)

    def lineage(self, version: str | None = None) -> Lineage:
        """Where a version comes from: data, run, commit, the models before it."""
        return models.trace(self._project, self._spec(version))

    def at(self, moment: datetime, environment: str = "prod") -> Then:
        """What served at a moment: versions with their shares, data, runs, commits and gate results, and what
        was known then. Raises NotFound where nothing did, Invalid for a moment without a zone."""
        return memory.at(self._project, self.model, moment, environment)

    def list(self) -> Sequence[VersionEntry]:
        """Every version, oldest first; empty while there is none."""
        return [
            _entry(found) for found in models.list_models(self._project) if found.version.model == self.model
        ]

    def close(self) -> None:
        self._project.close()

    def _spec(self, version: str | None) -> str:
        return f"{self.model}@{version}" if version else self.model


def _entry(found: models.Registered) -> VersionEntry:
    version = found.version
    return VersionEntry(
        model=version.model,
        version=version.version,
        aliases=[*found.aliases],
        metrics=dict(version.metrics),
        data_version=version.data_version,
        run_id=version.run_id,
        parent=version.parent,
        created_at=version.created_at.isoformat(),
        created_by=version.created_by,
        tags=dict(version.tags),
    )
