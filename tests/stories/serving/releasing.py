"""A project with two versions of iris, and traffic between them written by hand."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from tests.stories.serving.server import NAMES, iris_project

from everloop.core.releases import BUCKETS, Arm, Range, Traffic
from everloop.data.examples.iris import iris
from everloop.flows import outside
from everloop.flows.project import Project
from everloop.store import models, releases
from everloop.wiring import open_project

OLD, NEW = "1.0.0", "2.0.0"
WHOLE = (Range(0, BUCKETS),)
DIRECT = (Arm("champion", OLD, WHOLE),)


def two_versions(folder: Path, weights: float = 1.0, **sections: Any) -> None:
    """Champion is 1.0.0; 2.0.0 is another logistic regression, whose weights are multiplied."""
    iris_project(folder, **sections)
    project = open_project(folder=folder)
    try:
        register(project, weights)
    finally:
        project.close()


def register(project: Project, weights: float = 1.0, version: str = NEW) -> None:
    frame = iris().to_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(max_iter=50).fit(frame[NAMES], frame["species"])
    model.coef_ = model.coef_ * weights
    with project.store.reading() as tx:
        known = models.list_model_versions(tx, "iris")
    origin = outside.Origin(known[0].data_version if np.isfinite(weights) else None, {}, "species", NAMES, {})
    outside.register(project, "iris", model, origin, version=version)


def canary(weight: int) -> tuple[Arm, ...]:
    return (
        Arm("canary", NEW, (Range(0, weight),)),
        Arm("control", OLD, (Range(BUCKETS - weight, BUCKETS),)),
        Arm("champion", OLD, (Range(weight, BUCKETS - weight),) if weight < BUCKETS // 2 else ()),
    )


def direct(
    project: Project, arms: tuple[Arm, ...], release: str = "rel_test", champion: str = OLD, **more: Any
) -> int:
    """Put traffic in force; returns its number."""
    with project.store.writing() as tx:
        before = releases.in_force(tx, "iris", "prod")
        number = before.sequence + 1 if before else 1
        entry = Traffic(
            "iris", "prod", number, datetime.now(UTC), "shifted", champion, arms, release_id=release, **more
        )
        releases.direct(tx, entry)
    return number


def break_content(project: Project, version: str = NEW) -> None:
    """Let a version be run by what cannot answer for it: no worker loads it."""
    with project.store.writing() as tx:
        chosen = next(one for one in models.list_model_versions(tx, "iris") if one.version == version)
        assert chosen.form is not None
        models.set_form(tx, chosen, replace(chosen.form, classes=("one", "two")))


def count(values: Iterable[Any]) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return found
