"""What the children of the zygote do with versions of files. Each call that lasts is a moment to die at."""

from __future__ import annotations

import os
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from everloop.flows import data, files
from everloop.flows.content import verifying
from tests.drills import deeds

_LASTING = ("fsync", "open", "link", "unlink", "replace", "rename", "mkdir", "symlink", "sync")


def write_folder(folder: str, seed: int) -> dict[str, Any]:
    """Files of several sizes; the seed changes some of them."""
    root = Path(folder) / "in"
    (root / "sub").mkdir(parents=True, exist_ok=True)
    for number in range(6):
        fixed = 0 if number % 2 else seed
        (root / "sub" / f"{number}").write_bytes(np.random.default_rng(fixed + number).bytes(40_000 * number))
    if not (root / "link").is_symlink():
        (root / "link").symlink_to("sub/3")
    return {}


def register(folder: str, die_at: int | None = None) -> dict[str, Any]:
    """Register the folder; killed at the ``die_at``-th lasting call."""
    here = deeds.project(folder)
    counted = _count(die_at)
    version = files.register_files(here, Path(folder) / "in", "files").version
    return {"operations": counted["operations"], "version": version.version_id}


def restore(folder: str, die_at: int | None = None) -> dict[str, Any]:
    """Write the newest version into a folder, over an earlier one."""
    here = deeds.project(folder)
    counted = _count(die_at)
    files.restore(here, data.find(here, "files@latest"), Path(folder) / "out", force=True)
    return {"operations": counted["operations"]}


def state(folder: str) -> dict[str, Any]:
    """The versions, whether each is whole, and whether the store is."""
    here = deeds.project(folder)
    versions = data.list_versions(here)
    return {
        "versions": [version.version_id for version in versions],
        "faults": [fault for version in versions if (fault := files.fault(here, version))],
        "damages": [str(each) for each in verifying.verify(here, full=True).damages],
    }


def tree(folder: str, name: str) -> dict[str, Any]:
    root = Path(folder) / name
    paths = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {p.relative_to(root).as_posix(): sha256(p.read_bytes()).hexdigest() for p in paths}


def _count(die_at: int | None) -> dict[str, int]:
    seen = {"operations": 0}

    def counted(real: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            seen["operations"] += 1
            if seen["operations"] == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **named)

        return call

    for name in _LASTING:
        setattr(os, name, counted(getattr(os, name)))
    return seen
