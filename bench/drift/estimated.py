"""Performance without labels, estimated by ours and by NannyML on the same windows of real data.

``python -m bench.drift.estimated``; ``--peer PYTHON`` names an environment with NannyML, in place of that of
``environments``. The sets are those that NannyML ships, and flights of
New York: a model of the first 8 weeks, 8 weeks as reference, 36 weeks as windows. Printed: mean absolute
error of the estimates, the share of windows whose true value our interval holds, and seconds of CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from everloop.monitoring import estimated
from everloop.monitoring.metrics import METRICS, certain
from everloop.monitoring.outcomes import kind_of, read

from . import flights
from .environments import python_of

OURS = "everloop"
BINARY = ("employment_MA", "car_loan", "california", "flights")
ROWS: list[dict[str, Any]] = []
FEATURES = ("car_age", "km_driven", "price_new", "accident_count", "door_count", "fuel", "transmission")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="a Python with NannyML")
    parser.add_argument("--json", action="store_true", help="print the numbers as one line of JSON, last")
    parser.add_argument("--folder", type=Path, help="where the windows are (made there with --peer)")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    peer = arguments.peer or (None if arguments.folder else python_of("nannyml"))
    if peer:
        make_flights(folder)
        script = Path(__file__).with_name("estimated_peer.py")
        quiet = {**os.environ, "NML_DISABLE_USAGE_LOGGING": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run([peer, script, folder], check=True, capture_output=True, env=quiet)
    theirs = json.loads((folder / "nannyml.json").read_text())
    print(
        f"{'set':14} {'metric':9} {'windows':>7} {'NannyML':>8} {'ours':>8} {'r':>5} {'held':>5} {'CPU':>6}"
    )
    for name in BINARY:
        kept = dict(np.load(folder / f"{name}.npz"))
        compare(name, kept, {"classes": [0, 1], "positive": 1}, theirs[name]["windows"])
    kept = dict(np.load(folder / "mc.npz"))
    compare("mc", kept, {"classes": list(kept["names"])}, theirs["mc"]["windows"])
    compare("regression", dict(np.load(folder / "regression.npz")), {}, theirs["regression"]["windows"])
    if arguments.json:
        print(json.dumps({"rows": ROWS}))


def make_flights(folder: Path) -> None:
    """Scores of a model that was trained on eight weeks, for the weeks after them."""
    year = flights.year()
    np.savez(
        folder / "flights.npz", reference_y=year.truth[year.held], reference_p=year.scores[year.held],
        window_y=year.truth[year.later], window_p=year.scores[year.later], window=year.week[year.later] - 16,
    )  # fmt: skip


def given(kept: dict, part: str, rows: np.ndarray | slice) -> tuple[np.ndarray, dict]:
    """Truth, and what the estimator is told."""
    if f"{part}_y_pred" in kept:
        features = {name: kept[f"{part}_{name}"][rows] for name in FEATURES}
        return kept[f"{part}_y_true"][rows], {"answers": kept[f"{part}_y_pred"][rows], "features": features}
    told = {"probabilities": kept[f"{part}_p"][rows]}
    if f"{part}_d" in kept:
        told["answers"] = kept[f"{part}_d"][rows]
    return kept[f"{part}_y"][rows], told


def compare(name: str, kept: dict, what: dict, theirs: list) -> None:
    truth, told = given(kept, "reference", slice(None))
    started = time.process_time()
    estimator = estimated.fit(truth, **told, **what, order=np.arange(len(truth)))
    kind = kind_of(what.get("classes"), what.get("positive"))
    errors: dict[str, list] = {}
    for number, other in enumerate(theirs):
        rows = np.flatnonzero(kept["window"] == number)
        truth, told = given(kept, "window", rows)
        results = {each.statistic: each for each in estimated.estimate(estimator, **told)}
        told.pop("features", None)
        weighed = certain(read(kind, truth, **told))
        for metric, result in results.items():
            actual = METRICS[metric].measure(weighed)
            if not actual.why and result.value is not None:
                nanny = other.get(metric, [np.nan])[0]
                errors.setdefault(metric, []).append(
                    (actual.value, result.value, nanny, result.low <= actual.value <= result.high)
                )
    seconds = time.process_time() - started
    for metric, rows in errors.items():
        actual, ours, nanny, held = np.array(rows, dtype=float).T
        r = np.corrcoef(actual, ours)[0, 1]
        ROWS.append(
            {
                "set": name, "metric": metric, "windows": len(rows), "held": float(held.mean()),
                "NannyML": float(np.abs(nanny - actual).mean()), OURS: float(np.abs(ours - actual).mean()),
            }
        )  # fmt: skip
        print(
            f"{name:14} {metric:9} {len(rows):7} {np.abs(nanny - actual).mean():8.4f} "
            f"{np.abs(ours - actual).mean():8.4f} {r:5.2f} {held.mean():5.2f} {seconds:6.2f}"
        )


if __name__ == "__main__":
    main()
