"""Nouns of the registry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from .data import DataRef, DatasetVersion
from .dvc import DvcFile
from .errors import Invalid
from .runs import Run
from .serving import Form

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
NAMES = "Use letters, digits, '.', '_' and '-', at most 100, the first a letter or digit."
Alias = Literal["champion", "challenger"]


def check_name(model: str) -> None:
    """Raises Invalid for a name that a path, an address or ``MODEL@VERSION`` could not hold."""
    if not re.fullmatch(NAME, model):
        raise Invalid(f"A model cannot be called '{model}'.", remedy=NAMES)


@dataclass(frozen=True, order=True)
class SemanticVersion:
    """major: the model's inputs or outputs changed; minor: the recipe changed; patch: newer data only."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> SemanticVersion:
        match = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)", text.strip())
        if not match:
            raise Invalid(f"'{text}' is not a semantic version.", remedy="Write it as 1.2.3.")
        return cls(*(int(part) for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class ModelVersion:
    """A registered model: which run made it, from which data and code, and after which model. ``form`` is how
    it is served; None until that was tried."""

    model: str
    version: str
    run_id: str
    dataset: str
    data_version: str
    created_at: datetime
    created_by: str
    git_commit: str | None = None
    parent: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    form: Form | None = None


@dataclass(frozen=True)
class Event:
    """One line of a model's history: append-only, in order of ``sequence``."""

    sequence: int
    model: str
    kind: str
    at: datetime
    by: str
    summary: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Lineage:
    """Where a model version comes from. ``parents`` are the models before it and ``data`` its data version
    with the versions before that one, both nearest first. ``source`` is the file or table the data came
    from. ``run`` is None and the chains end early where something is no longer stored."""

    version: ModelVersion
    parents: tuple[ModelVersion, ...] = ()
    run: Run | None = None
    data: tuple[DatasetVersion, ...] = ()
    source: str | None = None
    git_commit: str | None = None
    promotions: tuple[Event, ...] = ()


@dataclass(frozen=True)
class TrainedModel:
    """A run on a data version, and the model version it was registered as, with its aliases, if it was."""

    run: Run
    version: ModelVersion | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataLineage:
    """A data version between the raw file it came from and the models made of it.

    ``version.source`` and ``version.origin`` say what was read, ``dvc`` which files under DVC it is, of which
    commits. ``parents`` are the versions before it, nearest first; ``children`` those that follow it;
    ``refs`` the tags and branches that stand at it; ``trained`` the runs on it, oldest first. None of the
    versions brings its statistics.
    """

    version: DatasetVersion
    dvc: tuple[DvcFile, ...] = ()
    parents: tuple[DatasetVersion, ...] = ()
    children: tuple[DatasetVersion, ...] = ()
    refs: tuple[DataRef, ...] = ()
    trained: tuple[TrainedModel, ...] = ()
