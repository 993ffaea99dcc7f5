"""Draw what lies between two data versions."""

from __future__ import annotations

from pathlib import Path

from everloop.core.data import DatasetDiff, DatasetVersion
from everloop.data import pictures
from everloop.data.distributions import Spread, spread

from .comparison import side
from .project import Project


def draw(
    project: Project, diff: DatasetDiff, before: DatasetVersion, after: DatasetVersion, path: Path
) -> Path:
    """Write the picture of a comparison to ``path`` as PNG; reads only the columns that moved most."""
    old, new = side(project, before), side(project, after)
    found: list[Spread] = []
    for change in diff.changes:
        if len(found) == pictures.MOST_SPREADS:
            break
        if change.before and change.after:
            one = spread(change.name, old.column(change.name), new.column(change.name))
            found += [one] if one else []
    names = [f"{version.dataset}@{version.short}" for version in (before, after)]
    project.write_file(path, pictures.picture(diff, found, " → ".join(names)))
    return path
