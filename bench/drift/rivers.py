"""River's detectors on streams of errors, by River's own Python: ``python -m bench.drift.rivers JSON``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from river import drift
from river.drift import binary

from . import worlds

MAKERS = {
    "ADWIN": drift.ADWIN,
    "PageHinkley": drift.PageHinkley,
    "DDM": binary.DDM,
    "EDDM": binary.EDDM,
    "HDDM_A": binary.HDDMA,
    "HDDM_W": binary.HDDMW,
    "FHDDM": binary.FHDDM,
    "KSWIN": drift.KSWIN,
}


def stream(
    tool: str, share: float, later: float, memory: float, seeds: Sequence[int], rows: int
) -> dict[str, Any]:
    """As ``ours.stream``."""
    false, labels, seconds = 0, 0, 0.0
    delays: list[int | None] = []
    for seed in seeds:
        _, now = worlds.stream(seed, share, later, memory, rows)
        options = {"seed": 1} if tool == "KSWIN" else {}
        detector, alarms = MAKERS[tool](**options), []
        is_binary = tool in ("DDM", "EDDM", "HDDM_A", "HDDM_W", "FHDDM")
        values = now.astype(bool).tolist() if is_binary else now.tolist()
        began = time.process_time()
        for at, value in enumerate(values):
            detector.update(value)
            if detector.drift_detected:
                alarms.append(at)
        seconds += time.process_time() - began
        quiet, found = worlds.judged(np.array(alarms), share, later, rows)
        false, labels, delays = false + quiet[0], labels + quiet[1], [*delays, found]
    return {"false": false, "labels": labels, "delays": delays, "speed": 2 * rows * len(seeds) / seconds}


if __name__ == "__main__":
    print(json.dumps(stream(**json.loads(sys.argv[1]))))
