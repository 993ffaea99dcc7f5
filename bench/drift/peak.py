"""How much memory a step takes."""

from __future__ import annotations

import gc
from pathlib import Path


class Peak:
    """The most memory held beyond what was held at the start (Linux: the high-water mark is reset)."""

    megabytes = 0.0

    def __enter__(self) -> Peak:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.megabytes = max(0.0, (_status("VmHWM") - self._before) / 1024)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name + ":")).split()[1])
