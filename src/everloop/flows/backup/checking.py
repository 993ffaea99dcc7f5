"""Whether a project is what it says: each version against its hash, each file of each run."""

from __future__ import annotations

from dataclasses import dataclass

from everloop.core.data import DatasetVersion
from everloop.core.errors import Corrupt, NotFound
from everloop.core.runs import Run
from everloop.data import identity
from everloop.flows import artifacts, data, files
from everloop.flows.project import Project
from everloop.store import models

from .saving import Progress, quiet


@dataclass(frozen=True)
class Checked:
    """How many were looked at, and what is wrong."""

    versions: int
    runs: int
    rows: int
    problems: tuple[str, ...]


def check(project: Project, progress: Progress = quiet) -> Checked:
    """Load every data version and compute its id anew; read every file of every run."""
    versions = data.list_versions(project)
    with project.store.reading() as tx:
        runs = models.list_runs(tx)
    problems = []
    for done, version in enumerate(versions, 1):
        problems += _of_version(project, version)
        progress("versions compared", done, len(versions))
    for done, run in enumerate(runs, 1):
        problems += _of_run(project, run)
        progress("runs compared", done, len(runs))
    return Checked(len(versions), len(runs), sum(version.rows for version in versions), tuple(problems))


def _of_version(project: Project, version: DatasetVersion) -> list[str]:
    name = f"{version.dataset}@{version.short}"
    if version.kind == "files":
        fault = files.fault(project, version)
        return [f"{name}: {fault}"] if fault else []
    try:
        table = data.load(project, version)
    except (Corrupt, NotFound) as error:
        return [f"{name}: {error.message}"]
    if identity.version_id(table, version.hash_algorithm) != version.version_id:
        return [f"{name}: its content has another hash"]
    return []


def _of_run(project: Project, run: Run) -> list[str]:
    problems = []
    for address in artifacts.files_of(run):
        try:
            artifacts.fetch(project, address)
        except (Corrupt, NotFound) as error:
            problems.append(f"run {run.run_id}: {error.message}")
    return problems
