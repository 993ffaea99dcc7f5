"""What days of upkeep are made of: versions, damage, and a look at whether all is right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from everloop import wiring
from everloop.core.data import DatasetVersion
from everloop.data import identity
from everloop.flows import data, upkeep
from everloop.flows.project import Project
from everloop.settings import load_settings

NOW = timedelta(0)


def opened(folder: Path, *flags: str, **variables: str) -> Project:
    folder.mkdir(exist_ok=True)
    chosen = ["tracking.enabled=false", *flags]
    return wiring.connect(load_settings(folder=folder, flags=chosen, variables=variables))


def table(seed: int, rows: int = 4000) -> pa.Table:
    chance = np.random.default_rng(seed)
    return pa.table({"id": np.arange(rows), "a": chance.random(rows), "b": chance.integers(0, 9, rows)})


def changed(before: pa.Table, seed: int) -> pa.Table:
    """The same with one column new."""
    other = np.random.default_rng(seed).random(before.num_rows)
    return before.set_column(1, "a", pa.array(other))


def series(project: Project, count: int = 4, dataset: str = "d") -> list[DatasetVersion]:
    versions, now = [], table(0)
    for seed in range(count):
        versions.append(data.register(project, now, dataset).version)
        now = changed(now, seed + 100)
    return versions


def keys(project: Project, room: str) -> list[str]:
    return sorted(entry.key for entry in project.data.entries(f"{project.tenant}/{room}/"))


def everything(project: Project) -> dict[str, bytes]:
    found = {e.key: project.data.get(e.key) for e in project.data.entries(f"{project.tenant}/")}
    return {key: content for key, content in found.items() if "/damaged/" not in key}


def assert_right(project: Project, versions: list[DatasetVersion]) -> None:
    for version in versions:
        loaded = data.load(project, version)
        assert identity.version_id(loaded, version.hash_algorithm) == version.version_id
    assert upkeep.verify(project, full=True).sound


HARMS: dict[str, Callable[[bytes], bytes | None]] = {
    "flipped": lambda d: d[: len(d) // 2] + bytes([d[len(d) // 2] ^ 1]) + d[len(d) // 2 + 1 :],
    "flipped-first": lambda d: bytes([d[0] ^ 128]) + d[1:],
    "flipped-last": lambda d: d[:-1] + bytes([d[-1] ^ 1]),
    "cut": lambda d: d[:-7],
    "empty": lambda d: b"",
    "longer": lambda d: d + b"x",
    "missing": lambda d: None,
}


def harm(project: Project, key: str, how: str) -> None:
    content = HARMS[how](project.data.get(key))
    if content is None:
        project.data.remove(key)
    else:
        project.data.replace(key, content)
