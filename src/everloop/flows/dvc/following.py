"""The branches and tags of git, as those of the datasets that were imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from everloop.core.data import DataRef
from everloop.core.dvc import Tip
from everloop.core.errors import Invalid
from everloop.data import names
from everloop.flows.project import Project
from everloop.store import dvc as dvc_files
from everloop.store import refs

from .lineage import newest_imported


def follow(
    project: Project,
    repository: str,
    datasets: Mapping[str, str],
    tips: Sequence[Tip],
    versions: Mapping[tuple[str, str], str],
    heads: Mapping[str, str | None],
) -> None:
    """Put names where git has them: branches that stand at an imported version, and new tags.

    A branch that has gone on with versions of our own stays, and so does a tag. A branch whose tip has the
    file no more, or content that could not be imported, goes to the last on it that could; it is not made for
    that. ``datasets`` is by path of data, ``versions`` by dataset and md5, ``heads`` where each dataset's
    ``main`` stood before the import, which registers there.
    """
    now, user = project.clock.now(), project.user
    with project.store.writing() as tx:
        for path, dataset in datasets.items():
            known = dvc_files.files(tx, dataset)
            imported = {file.version_id for file in known if file.repository == repository}
            own = heads.get(dataset)
            if own is not None and own not in imported and refs.head(tx, dataset) != own:
                refs.move(tx, DataRef(dataset, names.MAIN, "branch", own, now, user), "it is ahead of git's")
            for tip in tips:
                version_id = versions.get((dataset, tip.md5s.get(path, "")))
                there = refs.find_ref(tx, dataset, tip.name)
                if version_id is None and there is not None and path in tip.last:
                    version_id = newest_imported(tip.last[path], dataset, versions)
                if version_id is None or not _may_be_called(tip.name):
                    continue
                free = there is None or (
                    there.kind == tip.kind == "branch" and there.version_id in imported - {version_id}
                )
                if free:
                    ref = DataRef(dataset, tip.name, tip.kind, version_id, now, user)
                    refs.move(tx, ref, f"as in git: {tip.kind} {tip.name}")


def _may_be_called(name: str) -> bool:
    try:
        names.check(name)
    except Invalid:
        return False
    return True
