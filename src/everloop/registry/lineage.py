"""Where a model version comes from: run, data, source file, code, the models before it, and its
promotions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from everloop.core.data import DatasetVersion
from everloop.core.models import Event, Lineage, ModelVersion
from everloop.core.runs import Run

from .versions import split_spec

PROMOTED = "promoted"
T = TypeVar("T")


def lineage(
    version: ModelVersion,
    versions: Sequence[ModelVersion],
    runs: Mapping[str, Run],
    datasets: Mapping[str, DatasetVersion],
    events: Sequence[Event],
) -> Lineage:
    """``runs`` go by run id, ``datasets`` by version id. What is no longer stored is left out: a chain ends
    there.

    Promotions are events of kind ``promoted`` whose details name this ``version``.
    """
    by_name = {(v.model, v.version): v for v in versions}

    def parent(child: ModelVersion) -> ModelVersion | None:
        if child.parent is None:
            return None
        model, number = split_spec(child.parent) if "@" in child.parent else (child.model, child.parent)
        return by_name.get((model, number or ""))

    data = datasets.get(version.data_version)
    run = runs.get(version.run_id)
    return Lineage(
        version=version,
        parents=chain(version, parent)[1:],
        run=run,
        data=() if data is None else chain(data, lambda d: datasets.get(d.parent) if d.parent else None),
        source=data.source if data else None,
        git_commit=version.git_commit or (run.environment.git_commit if run else None),
        promotions=tuple(
            e
            for e in sorted(events, key=lambda e: e.sequence)
            if (e.model, e.kind, e.details.get("version")) == (version.model, PROMOTED, version.version)
        ),
    )


def chain(start: T, parent: Callable[[T], T | None]) -> tuple[T, ...]:
    """``start``, its parent, that one's parent …, ending before anything comes twice."""
    found: list[T] = []
    here: T | None = start
    while here is not None and here not in found:
        found.append(here)
        here = parent(here)
    return tuple(found)
