"""Whether a project is what it says: each version against its hash, each file of each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from everloop.core.errors import Corrupt, NotFound
from everloop.flows import artifacts, data
from everloop.flows.content.objects import Objects
from everloop.flows.content.proving import Prover
from everloop.flows.project import Project

from .saving import Progress, quiet


@dataclass(frozen=True)
class Checked:
    """How many were looked at, and what is wrong."""

    versions: int
    runs: int
    rows: int
    problems: tuple[str, ...]


def check(project: Project, progress: Progress = quiet) -> Checked:
    """Decode every data version and compute its id anew; read every file of every run."""
    versions = data.list_versions(project)
    with project.store.reading() as tx:
        runs = artifacts.files_by_run(tx)
    prover = Prover(Objects(project.data, project.tenant))
    problems = []
    for done, version in enumerate(versions, 1):
        fault = prover.fault(version.version_id)
        if fault:
            problems.append(f"{version.dataset}@{version.short}: {fault}")
        progress("versions compared", done, len(versions))
    for done, (run_id, addresses) in enumerate(runs.items(), 1):
        problems += _of_run(project, run_id, addresses)
        progress("runs compared", done, len(runs))
    return Checked(len(versions), len(runs), sum(version.rows for version in versions), tuple(problems))


def _of_run(project: Project, run_id: str, addresses: Sequence[str]) -> list[str]:
    problems = []
    for address in addresses:
        try:
            artifacts.fetch(project, address)
        except (Corrupt, NotFound) as error:
            problems.append(f"run {run_id}: {error.message}")
    return problems
