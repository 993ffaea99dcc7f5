"""Processes held to a share of a core by the kernel (control groups, version 1, as root), so that two of them
do not want more than this machine has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

CPU = Path("/sys/fs/cgroup/cpu")
PERIOD = 100_000  # microseconds: shorter ones let a process run beyond its share (the kernel hands out 5 ms)


def can_hold() -> bool:
    return (CPU / "cgroup.procs").exists() and os.access(CPU, os.W_OK)


@contextlib.contextmanager
def held(processes: Sequence[int], share: float) -> Iterator[None]:
    """Each of these processes gets at most ``share`` of a core meanwhile."""
    groups = {pid: CPU / f"everloop-bench-{pid}" for pid in processes}
    try:
        for pid, group in groups.items():
            group.mkdir()
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(int(share * PERIOD)))
            (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for pid, group in groups.items():
            if group.exists():
                with contextlib.suppress(ProcessLookupError):
                    (CPU / "cgroup.procs").write_text(str(pid))
                group.rmdir()
