"""Artifacts (fitted models, plots, row hashes) by the hash of their bytes, checked on every reading."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO

import numpy as np

from everloop.core.errors import Corrupt
from everloop.store import models
from everloop.store.database import Tx

from .project import Project


def keep(project: Project, data: bytes, ending: str) -> str:
    """Store bytes durably; returns their address. The same bytes have one address."""
    digest = sha256(data).hexdigest()
    address = f"{project.tenant}/{digest[:2]}/{digest}.{ending}"
    project.artifacts.put(address, data)
    return address


def fetch(project: Project, address: str) -> bytes:
    """The bytes at an address; damaged ones raise Corrupt and are never returned."""
    data = project.artifacts.get(address)
    named = address.rsplit("/", 1)[-1].split(".", 1)[0]
    if sha256(data).hexdigest() != named:
        raise Corrupt(
            f"The artifact {project.artifacts.where(address)} is damaged: its bytes are not what was stored.",
            remedy="Restore that file from a backup, or promote another version ('everloop models promote').",
        )
    return data


def to_bytes(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def from_bytes(data: bytes) -> np.ndarray:
    array: np.ndarray = np.load(BytesIO(data), allow_pickle=False)
    return array


def files_by_run(tx: Tx) -> dict[str, tuple[str, ...]]:
    """The addresses of all that each run has stored, with the compiled form of its model."""
    compiled = {
        version.run_id: version.form.artifact
        for version in models.list_model_versions(tx)
        if version.form is not None and version.form.artifact
    }
    found: dict[str, tuple[str, ...]] = {}
    for run in models.list_runs(tx):
        more = (compiled[run.run_id],) if run.run_id in compiled else ()
        found[run.run_id] = (run.artifact, run.rows_seen, *run.plots.values(), *more)
    return found
