"""``everloop data lineage``: from the raw file to the models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli import late
from everloop.cli.call import Call, command

from .group import app
from .versions import standing

if TYPE_CHECKING:
    from everloop.core.data import DatasetVersion
    from everloop.core.models import DataLineage

_MOST = 5


@command(app)
def lineage(
    call: Call,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A version, or the raw file that versions came from.")
    ],
) -> None:
    """Trace a version back to its raw file, and forward to the runs and models made of it.

    \b
    Example:
      everloop data lineage flights@latest
      everloop data lineage data/flights.csv
    """
    with call.project() as project:
        found = late.origins.trace(project, version, folder=Path.cwd())

    def show() -> None:
        for at, each in enumerate(found):
            if at:
                late.output.line("")
            _show(each)

    call.answer({"lineages": found}, show)


def _show(found: DataLineage) -> None:
    out, version = late.output, found.version
    out.pairs(
        {
            "data": f"{version.dataset}@{version.short}, {version.rows:,} rows",
            "names": standing(found.refs),
            "source": version.source,
            "origin": ", ".join(f"{name} {value}" for name, value in version.origin.items()),
            **{f"DVC {file.how}": _under_dvc(file.file, file.repository, file.commit) for file in found.dvc},
            "registered": f"{out.moment(version.created_at)} UTC by {version.created_by}",
            "before": _few(found.parents),
            "after": _few(found.children),
        }
    )
    if not found.trained:
        out.line("No run was trained on it.")
        return
    rows = [
        (
            out.short_run(each.run.run_id),
            each.run.model,
            each.run.recipe.estimator,
            each.version.version if each.version else None,
            each.aliases,
            each.run.started_at,
        )
        for each in found.trained
    ]
    out.table(("run", "model", "estimator", "version", "alias", "trained (UTC)"), rows)


def _under_dvc(file: str, repository: str, commit: str) -> str:
    return file + (f" of {repository}" if repository else "") + (f", commit {commit[:12]}" if commit else "")


def _few(versions: tuple[DatasetVersion, ...]) -> str:
    return ", ".join(version.short for version in versions[:_MOST]) + (" …" if len(versions) > _MOST else "")
