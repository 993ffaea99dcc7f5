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
        parents=_chain(version, parent)[1:],
        run=run,
        data=() if data is None else _chain(data, lambda d: datasets.get(d.parent) if d.parent else None),
        source=data.source if data else None,
        git_commit=version.git_commit or (run.environment.git_commit if run else None),
        promotions=tuple(
            e
            for e in sorted(events, key=lambda e: e.sequence)
            if (e.model, e.kind, e.details.get("version")) == (version.model, PROMOTED, version.version)
        ),
    )


def _chain(start: T, parent: Callable[[T], T | None]) -> tuple[T, ...]:
    """``start``, its parent, that one's parent …, ending before anything comes twice."""
    found: list[T] = []
    here: T | None = start
    while here is not None and here not in found:
        found.append(here)
        here = parent(here)
    return tuple(found)


def draw(lineage: Lineage) -> str:
    """A small tree for the terminal, most important first."""
    version, run = lineage.version, lineage.run
    made = f"{version.created_at:%Y-%m-%d %H:%M} by {version.created_by}"
    branches: list[list[str]] = []
    if run is None:
        branches.append([f"run {version.run_id} (no longer stored)"])
    else:
        size = f"{run.train_rows:,} rows, {len(run.features)} features"
        branches.append([f"run {run.run_id}: {run.recipe.estimator} on {size}"])
    if lineage.data:
        branches.append([_data_line(d) for d in lineage.data])
    else:
        branches.append([f"data {version.dataset} {version.data_version[:12]} (no longer stored)"])
    if lineage.git_commit:
        branches.append([f"code {lineage.git_commit[:12]}"])
    if lineage.parents:
        branches.append([f"after {p.model} {p.version}, data {p.data_version[:12]}" for p in lineage.parents])
    elif version.parent:
        branches.append([f"after {version.parent} (no longer stored)"])
    branches += [[f"promoted {e.at:%Y-%m-%d %H:%M} by {e.by}: {e.summary}"] for e in lineage.promotions]
    return "\n".join([f"{version.model} {version.version}, made {made}", *_tree(branches)])


def _data_line(data: DatasetVersion) -> str:
    return f"data {data.dataset} {data.short}: {data.rows:,} rows from {data.source}"


def _tree(branches: Sequence[Sequence[str]]) -> list[str]:
    """Each branch is a chain: its first line hangs on the trunk, every further one on the line before."""
    lines = []
    for number, chain in enumerate(branches, start=1):
        last = number == len(branches)
        lines.append(("└── " if last else "├── ") + chain[0])
        trunk = "    " if last else "│   "
        lines += [f"{trunk}{'    ' * depth}└── {text}" for depth, text in enumerate(chain[1:])]
    return lines
